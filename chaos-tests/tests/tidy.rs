//! The mechanical part of how this project's code should read, as an ordinary test.
//!
//! Rules without an exception stay rules. Where one needs an exception, it stands in a list here
//! with its reason.

use chaos_tests::tidy::{
    Source, code, files, functions, gives_up, has_word, metric_names, own_dependencies, root,
    test_modules,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

const MAX_FILE_LINES: usize = 500;
const MAX_FUNCTION_LINES: usize = 70;
const MAX_COLUMNS: usize = 100;

/// What each crate may depend on of this workspace.
const ARROWS: [(&str, &[&str]); 5] = [
    ("gossip", &[]),
    ("partition", &[]),
    ("node", &["zmesh-gossip", "zmesh-partition"]),
    ("cli", &["zmesh-node"]),
    (
        "chaos-tests",
        &["zmesh", "zmesh-gossip", "zmesh-node", "zmesh-partition"],
    ),
];

/// Where a file may not say a word, except in comments.
struct Ban {
    word: &'static str,
    within: &'static str,
    except: &'static str,
    why: &'static str,
}

const BANS: [Ban; 9] = [
    Ban {
        word: "zmq",
        within: "node/src/",
        except: "node/src/gossip",
        why: "libzmq has its own thread, where bulk data cannot starve failure detection",
    },
    Ban {
        word: "tokio",
        within: "node/src/forward",
        except: "-",
        why: "the core has no socket",
    },
    Ban {
        word: "zmq",
        within: "node/src/forward",
        except: "-",
        why: "the core has no socket",
    },
    Ban {
        word: "Instant",
        within: "node/src/forward",
        except: "-",
        why: "the core has no clock",
    },
    Ban {
        word: "tokio",
        within: "node/src/services",
        except: "-",
        why: "this core has no socket either",
    },
    Ban {
        word: "SystemTime",
        within: "node/src/services",
        except: "-",
        why: "nor a clock",
    },
    Ban {
        word: "edge",
        within: "node/src/link",
        except: "-",
        why: "clients and links meet in hub.rs",
    },
    Ban {
        word: "link",
        within: "node/src/edge",
        except: "-",
        why: "clients and links meet in hub.rs",
    },
    Ban {
        word: "SystemTime",
        within: "node/src/forward",
        except: "-",
        why: "no clock either",
    },
];

fn rust() -> Vec<Source> {
    let sources = files("", ".rs");
    assert!(sources.len() > 10, "the workspace was not found");
    sources
}

/// Fails with every complaint at once.
fn expect_none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    let without = rust()
        .into_iter()
        .filter(|source| !source.text.starts_with("//! "));
    expect_none(
        without
            .map(|source| format!("{}: no `//!` line first", source.path))
            .collect(),
    );
}

#[test]
fn files_and_lines_are_short() {
    let mut complaints = Vec::new();
    for Source { path, text } in rust() {
        let lines = text.lines().count();
        if lines > MAX_FILE_LINES {
            complaints.push(format!("{path}: {lines} lines, at most {MAX_FILE_LINES}"));
        }
        for (number, line) in (1..).zip(text.lines()) {
            let columns = line.chars().count();
            if columns > MAX_COLUMNS {
                complaints.push(format!("{path}:{number}: {columns} columns"));
            }
        }
    }
    expect_none(complaints);
}

#[test]
fn functions_are_short() {
    let mut complaints = Vec::new();
    for Source { path, text } in rust() {
        for (line, length) in functions(&text) {
            if length > MAX_FUNCTION_LINES {
                complaints.push(format!("{path}:{line}: a function of {length} lines"));
            }
        }
    }
    expect_none(complaints);
}

#[test]
fn there_is_no_mod_rs() {
    let found = rust()
        .into_iter()
        .filter(|source| source.path.ends_with("mod.rs"));
    expect_none(
        found
            .map(|source| format!("{}: name it after its module", source.path))
            .collect(),
    );
}

#[test]
fn crates_depend_only_along_the_arrows() {
    let mut complaints = Vec::new();
    for (name, allowed) in ARROWS {
        let manifest = fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
        for dependency in own_dependencies(&manifest) {
            if !allowed.contains(&dependency.as_str()) {
                complaints.push(format!("{name} must not depend on {dependency}"));
            }
        }
    }
    expect_none(complaints);
}

#[test]
fn words_stay_where_they_belong() {
    let mut complaints = Vec::new();
    for Source { path, text } in rust() {
        for ban in &BANS {
            if path.starts_with(ban.within) && !path.starts_with(ban.except) {
                for (number, _) in code(&text).filter(|(_, line)| has_word(line, ban.word)) {
                    complaints.push(format!("{path}:{number}: `{}` here: {}", ban.word, ban.why));
                }
            }
        }
    }
    expect_none(complaints);
}

#[test]
fn nothing_gives_up_outside_tests() {
    let mut complaints = Vec::new();
    for folder in ["gossip/src", "partition/src", "node/src", "cli/src"] {
        let sources = files(folder, ".rs");
        let tests = test_modules(&sources);
        for Source { path, text } in sources.iter().filter(|it| !tests.contains(&it.path)) {
            let text = text
                .split("#[cfg(test)]\nmod tests {")
                .next()
                .unwrap_or_default();
            for (number, line) in code(text) {
                if let Some(what) = gives_up(line) {
                    complaints.push(format!("{path}:{number}: {what}"));
                }
            }
        }
    }
    expect_none(complaints);
}

#[test]
fn whoever_allows_what_is_forbidden_says_why() {
    let mut complaints = Vec::new();
    for Source { path, text } in rust() {
        for (number, _) in code(&text).filter(|(_, line)| allows(line)) {
            let attribute: Vec<&str> = text.lines().skip(number - 1).take(4).collect();
            let attribute = attribute.concat();
            if !attribute
                .split(")]")
                .next()
                .is_some_and(|it| it.contains("reason = "))
            {
                complaints.push(format!("{path}:{number}: `allow` without its reason"));
            }
        }
    }
    expect_none(complaints);
}

fn allows(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("#[allow(") || line.starts_with("#![allow(")
}

#[test]
fn every_metric_that_is_written_about_exists() {
    let sources = files("node/src", ".rs");
    let metrics = sources
        .iter()
        .filter(|source| source.path.contains("metrics"));
    let declared: BTreeSet<String> = metrics
        .flat_map(|source| metric_names(&source.text))
        .collect();
    let mut complaints = Vec::new();
    for (metric, place) in metrics_written_about() {
        let base = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|it| metric.strip_suffix(it));
        // A paper may speak of a family by its beginning, as in `grep zmesh_messages`.
        let family = format!("{metric}_");
        let is_family =
            place.ends_with(".md") && declared.iter().any(|name| name.starts_with(&family));
        let exists = declared.contains(&metric) || base.is_some_and(|it| declared.contains(it));
        if !exists && !is_family {
            complaints.push(format!(
                "{place}: {metric} is not declared in node/src/metrics"
            ));
        }
    }
    expect_none(complaints);
}

/// Every metric named in dashboards and papers, with one place where it is named.
fn metrics_written_about() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let papers = [
        files("dashboards", ""),
        files("docs", ".md"),
        files("", "README.md"),
    ];
    let more = ["ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| files("", name));
    for source in papers.into_iter().chain(more).flatten() {
        for metric in metric_names(&source.text) {
            found.insert(metric, source.path.clone());
        }
    }
    found
}
