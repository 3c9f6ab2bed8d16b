//! The page that shows the figures: everything between two marks is ours, the rest is left alone.

use std::fs;
use std::io;
use std::path::Path;

const HEADING: &str = "# Reliability\n";

/// Puts a text between the marks of that name in a file, behind everything if there are none.
pub fn put(file: &Path, name: &str, text: &str) -> io::Result<()> {
    let before = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => HEADING.into(),
        Err(error) => return Err(error),
    };
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(file, between(&before, name, text))
}

fn between(page: &str, name: &str, text: &str) -> String {
    let (begin, end) = (
        format!("<!-- {name}:begin -->"),
        format!("<!-- {name}:end -->"),
    );
    let block = format!("{begin}\n{text}{end}");
    let parts = page
        .split_once(&begin)
        .and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    match parts {
        Some((before, after)) => format!("{before}{block}{after}"),
        None => format!("{}\n\n{block}\n", page.trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_stays() {
        let page = between("# A\n", "x", "one\n");
        assert_eq!(page, "# A\n\n<!-- x:begin -->\none\n<!-- x:end -->\n");
        let page = page.replace("# A", "# B") + "more\n";
        let page = between(&page, "x", "two\n");
        assert_eq!(page, "# B\n\n<!-- x:begin -->\ntwo\n<!-- x:end -->\nmore\n");
        assert!(between(&page, "y", "z\n").ends_with("<!-- y:begin -->\nz\n<!-- y:end -->\n"));
    }
}
