//! What goes to stdout: lines, tables, and bytes made fit for a terminal.

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use anyhow::Result;

/// Stdout was closed by whoever reads it: not an error, but the end of the work.
#[derive(Debug)]
pub(crate) struct StdoutClosed;

impl std::fmt::Display for StdoutClosed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("stdout was closed")
    }
}

impl std::error::Error for StdoutClosed {}

/// Buffered stdout.
pub(crate) struct Output(BufWriter<StdoutLock<'static>>);

impl Output {
    pub(crate) fn stdout() -> Self {
        Self(BufWriter::with_capacity(64 * 1024, io::stdout().lock()))
    }

    /// Writes the text and a line end.
    pub(crate) fn line(&mut self, text: &str) -> Result<()> {
        self.0
            .write_all(text.as_bytes())
            .and_then(|()| self.0.write_all(b"\n"))
            .map_err(closed)
    }

    /// Hands everything over to whoever reads.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.0.flush().map_err(closed)
    }
}

/// Prints a whole text that ends without a line end.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut output = Output::stdout();
    output.line(text.trim_end_matches('\n'))?;
    output.flush()
}

fn closed(error: io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => StdoutClosed.into(),
        _ => anyhow::Error::new(error).context("cannot write to stdout"),
    }
}

/// Whether colour on stderr would be seen as colour.
pub(crate) fn stderr_has_colour() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// How a column of a table is aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    /// For words.
    Left,
    /// For numbers.
    Right,
}

/// A table for people: a heading, then aligned rows.
pub(crate) struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(columns: &[(&'static str, Align)]) -> Self {
        Self {
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; a cell that is missing or empty is shown as `-`.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut row: Vec<String> = cells.into_iter().take(self.columns.len()).collect();
        row.resize(self.columns.len(), String::new());
        for cell in &mut row {
            *cell = if cell.is_empty() {
                "-".into()
            } else {
                printable(cell)
            };
        }
        self.rows.push(row);
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let heading: Vec<String> = self
            .columns
            .iter()
            .map(|(name, _)| name.to_string())
            .collect();
        let all = || std::iter::once(&heading).chain(&self.rows);
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|column| {
                all()
                    .map(|row| row[column].chars().count())
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        for (number, row) in all().enumerate() {
            let mut line = String::new();
            for ((cell, width), (_, align)) in row.iter().zip(&widths).zip(&self.columns) {
                match align {
                    Align::Left => line.push_str(&format!("{cell:<width$}  ")),
                    Align::Right => line.push_str(&format!("{cell:>width$}  ")),
                }
            }
            let end = if number < self.rows.len() { "\n" } else { "" };
            write!(f, "{}{end}", line.trim_end())?;
        }
        Ok(())
    }
}

/// A whole number with its thousands set apart.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of bytes in three or four digits, such as `4.2 MiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    match unit {
        "B" => format!("{bytes} B"),
        _ => format!("{value:.1} {unit}"),
    }
}

/// A time span in its two largest units, such as `3h 12m`.
pub(crate) fn age(seconds: f64) -> String {
    // A float becomes the nearest whole number it can, so that no answer can overflow this.
    let whole = seconds.max(0.0) as u64;
    match whole {
        0..60 => format!("{whole}s"),
        60..3600 => format!("{}m {}s", whole / 60, whole % 60),
        3600..86_400 => format!("{}h {}m", whole / 3600, whole / 60 % 60),
        _ => format!("{}d {}h", whole / 86_400, whole / 3600 % 24),
    }
}

/// Text without anything that could move a terminal's cursor.
pub(crate) fn printable(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            clean.extend(c.escape_default())
        } else {
            clean.push(c)
        }
    }
    clean
}

/// Bytes as one line of text: UTF-8 as it is, control characters and other bytes escaped.
pub(crate) fn printable_bytes(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(&printable(chunk.valid()));
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_aligns_words_left_and_numbers_right() {
        let mut table = Table::new(&[("NAME", Align::Left), ("PARTITIONS", Align::Right)]);
        table.row(["node1".into(), "5461".into()]);
        table.row(["a-longer-name".into(), String::new()]);
        assert_eq!(
            table.to_string(),
            "NAME           PARTITIONS\nnode1                5461\na-longer-name           -"
        );
    }

    #[test]
    fn a_cell_cannot_move_the_cursor() {
        let mut table = Table::new(&[("NAME", Align::Left)]);
        table.row(["\u{1b}[2J\n".into()]);
        assert_eq!(table.to_string(), "NAME\n\\u{1b}[2J\\n");
    }

    #[test]
    fn numbers_are_shown_for_people() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(bytes(512), "512 B");
        assert_eq!(bytes(4_404_019), "4.2 MiB");
        assert_eq!(age(59.9), "59s");
        assert_eq!(age(11_520.0), "3h 12m");
        assert_eq!(age(f64::NAN), "0s");
    }

    #[test]
    fn bytes_that_are_no_text_are_escaped_and_text_is_left_alone() {
        assert_eq!(printable_bytes("größe".as_bytes()), "größe");
        assert_eq!(
            printable_bytes(b"a\tb\n\x00\xff\xfe"),
            "a\\tb\\n\\u{0}\\xff\\xfe"
        );
    }
}
