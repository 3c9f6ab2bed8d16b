//! Reading source text the way the tidy rules need it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Words that begin like a metric and are none: the libraries of this workspace.
const NOT_METRICS: [&str; 3] = ["zmesh_gossip", "zmesh_node", "zmesh_partition"];

/// A source file with its path from the root of the workspace.
pub struct Source {
    /// From the root of the workspace.
    pub path: String,
    /// All of it.
    pub text: String,
}

/// The root of the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

/// Every file below a folder whose name ends so, in order. Nothing that is built or installed.
pub fn files(below: &str, ending: &str) -> Vec<Source> {
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

/// First line and length of every function with a body, in code as rustfmt leaves it: the body
/// ends at the first line that begins with a brace as far in as the function itself.
pub fn functions(text: &str) -> Vec<(usize, usize)> {
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

/// The crates of this workspace that a manifest names as a dependency of any kind.
pub fn own_dependencies(manifest: &str) -> BTreeSet<String> {
    let ends = |c: char| !(c.is_ascii_alphanumeric() || c == '-');
    let names = manifest.lines().filter_map(|line| line.split(ends).next());
    names
        .filter(|name| name.starts_with("zmesh-") || *name == "zmesh")
        .map(String::from)
        .collect()
}

/// Numbered lines without the comments that fill a line.
pub fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..)
        .zip(text.lines())
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// Whether a line says this as a word of its own.
pub fn has_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .any(|part| part == word)
}

/// What is wrong with a line that panics without saying why it cannot happen.
pub fn gives_up(line: &str) -> Option<&'static str> {
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
pub fn test_modules(sources: &[Source]) -> BTreeSet<String> {
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

/// Every word that is named like a metric.
pub fn metric_names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let metrics = words.filter(|word| word.len() > 6 && word.starts_with("zmesh_"));
    metrics
        .filter(|word| !NOT_METRICS.contains(word))
        .map(String::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
