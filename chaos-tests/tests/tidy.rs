//! The mechanical part of how this project's code should read, as an ordinary test.
//!
//! Rules without an exception stay rules. Where one needs an exception, it stands in a list here
//! with its reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

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
        &["zmesh-gossip", "zmesh-node", "zmesh-partition"],
    ),
];

/// Where a file may not say a word, except in comments.
struct Ban {
    word: &'static str,
    within: &'static str,
    except: &'static str,
    why: &'static str,
}

const BANS: [Ban; 5] = [
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
        word: "SystemTime",
        within: "node/src/forward",
        except: "-",
        why: "no clock either",
    },
];

/// Words that begin like a metric and are none: the libraries of this workspace.
const NOT_METRICS: [&str; 3] = ["zmesh_gossip", "zmesh_node", "zmesh_partition"];

/// A source file with its path from the root of the workspace.
struct Source {
    path: String,
    text: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

/// Every file below a folder whose name ends so, in order. Nothing that is built or installed.
fn files(below: &str, ending: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(below)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for path in entries.map(|entry| entry.unwrap().path()) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && name != "node_modules" && name != ".git" {
                folders.push(path);
            } else if name.ends_with(ending) {
                let text = fs::read_to_string(&path).unwrap_or_default();
                let path = path
                    .strip_prefix(root())
                    .unwrap()
                    .to_string_lossy()
                    .into_owned();
                found.push(Source { path, text });
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}

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

/// First line and length of every function with a body, in code as rustfmt leaves it: the body
/// ends at the first line that begins with a brace as far in as the function itself.
fn functions(text: &str) -> Vec<(usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut found = Vec::new();
    for (start, line) in lines
        .iter()
        .enumerate()
        .filter(|(_, line)| begins_function(line))
    {
        let end = lines[start..].iter().position(|other| {
            let inner = other.trim();
            let closes = inner.starts_with('}') || (inner.starts_with(')') && inner.ends_with(';'));
            indent(other) == indent(line) && closes
        });
        let one_line = line.ends_with(';') || line.ends_with('}');
        let Some(length) = end.filter(|_| !one_line) else {
            continue;
        };
        if lines[start + length].trim().starts_with('}') {
            found.push((start + 1, length + 1));
        }
    }
    found
}

fn begins_function(line: &str) -> bool {
    let mut rest = line.trim_start();
    for qualifier in [
        "pub",
        "(crate)",
        "(super)",
        "const",
        "async",
        "extern \"C\"",
    ] {
        rest = rest.strip_prefix(qualifier).unwrap_or(rest).trim_start();
    }
    rest.starts_with("fn ")
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

/// The crates of this workspace that a manifest names as a dependency of any kind.
fn own_dependencies(manifest: &str) -> BTreeSet<String> {
    let ends = |c: char| !(c.is_ascii_alphanumeric() || c == '-');
    let names = manifest.lines().filter_map(|line| line.split(ends).next());
    names
        .filter(|name| name.starts_with("zmesh-") || *name == "zmesh")
        .map(String::from)
        .collect()
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

/// Numbered lines without the comments that fill a line.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..)
        .zip(text.lines())
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .any(|part| part == word)
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

/// What is wrong with a line that panics without saying why it cannot happen.
fn gives_up(line: &str) -> Option<&'static str> {
    let expected = line.split_once(".expect(\"").map(|(_, text)| text);
    if line.contains(".unwrap()") {
        Some("`unwrap()`: handle it, or `expect` with the reason why it cannot fail")
    } else if line.contains("todo!(") || line.contains("unimplemented!(") {
        Some("unfinished")
    } else if expected.is_some_and(|text| text.split(' ').count() < 3) {
        Some("`expect` without a reason in its text")
    } else {
        None
    }
}

/// Files that only tests see: those declared by `#[cfg(test)] mod name;`.
fn test_modules(sources: &[Source]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for Source { path, text } in sources {
        let stem = path.trim_end_matches(".rs");
        let folder = match stem.rsplit_once('/') {
            Some((folder, "lib" | "main")) => folder,
            _ => stem,
        };
        for after in text.split("#[cfg(test)]\n").skip(1) {
            let declared = after
                .lines()
                .next()
                .and_then(|line| line.split_once("mod "));
            if let Some(name) = declared.and_then(|(_, rest)| rest.strip_suffix(';')) {
                found.insert(format!("{folder}/{name}.rs"));
            }
        }
    }
    found
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
        if !declared.contains(&metric) && !base.is_some_and(|base| declared.contains(base)) {
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

fn metric_names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let metrics = words.filter(|word| word.len() > 6 && word.starts_with("zmesh_"));
    metrics
        .filter(|word| !NOT_METRICS.contains(word))
        .map(String::from)
        .collect()
}

#[test]
fn the_rules_see_what_they_look_for() {
    let long = format!(
        "impl A {{\n    pub(crate) async fn f(\n    ) -> B {{\n{}    }}\n}}\n",
        "\n".repeat(70)
    );
    assert_eq!(functions(&long), [(2, 73)]);
    assert_eq!(
        functions("trait A {\n    fn a(\n    );\n    fn b();\n    fn c() {}\n}\n"),
        []
    );
    assert_eq!(
        own_dependencies("zmesh-node.workspace = true\nserde = \"1\"\n").len(),
        1
    );
    assert_eq!(
        code("a\n    // b\nc")
            .map(|(number, _)| number)
            .collect::<Vec<_>>(),
        [1, 3]
    );
    assert!(has_word("use zmq::Socket;", "zmq") && !has_word("libzmq", "zmq"));
    for line in ["x.unwrap()", "todo!()", "x.expect(\"oh no\")"] {
        assert!(gives_up(line).is_some(), "{line}");
    }
    assert!(gives_up("x.expect(\"a hash has 32 bytes\")").is_none());
    let source = |path: &str, text: &str| Source {
        path: path.into(),
        text: text.into(),
    };
    let sources = [
        source("a/lib.rs", "#[cfg(test)]\nmod harness;"),
        source("a/b.rs", "mod c;"),
    ];
    assert_eq!(
        test_modules(&sources),
        BTreeSet::from(["a/harness.rs".to_string()])
    );
    assert_eq!(
        metric_names("`zmesh_taken_total` of zmesh_node, zmesh_*").len(),
        1
    );
}
