//! Sizes such as `4MiB` and durations such as `250ms`, as people write them.

use std::time::Duration;

/// Suffixes of sizes with their factors; the first that fits exactly is used for printing.
const SIZE_UNITS: [(&str, u64); 12] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("g", 1 << 30),
    ("m", 1 << 20),
    ("k", 1 << 10),
    ("gb", 1_000_000_000),
    ("mb", 1_000_000),
    ("kb", 1_000),
    ("bytes", 1),
    ("b", 1),
    ("", 1),
];

/// Suffixes of durations in milliseconds, longest first for printing.
const DURATION_UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Bytes of a size such as `4MiB`, `64k` (both powers of 1024), `10MB` (of 1000) or `4096`.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    scaled(text, &SIZE_UNITS)
        .ok_or_else(|| "must be a size such as 4MiB, 64k or a number of bytes".into())
}

/// A duration such as `5s`, `250ms`, `2m` or `1h`. A number needs its unit.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    scaled(text, &DURATION_UNITS)
        .map(Duration::from_millis)
        .ok_or_else(|| "must be a duration with its unit, such as 250ms, 5s or 2m".into())
}

/// The shortest exact form of a number of bytes, such as `4MiB`.
pub(crate) fn show_size(bytes: u64) -> String {
    SIZE_UNITS[..3]
        .iter()
        .find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor))
        .map_or_else(
            || bytes.to_string(),
            |(unit, factor)| format!("{}{unit}", bytes / factor),
        )
}

/// The shortest exact form of a duration in whole milliseconds, such as `5s`.
pub(crate) fn show_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    DURATION_UNITS
        .iter()
        .find(|(_, factor)| millis >= *factor && millis.is_multiple_of(*factor))
        .map_or_else(
            || "0ms".into(),
            |(unit, factor)| format!("{}{unit}", millis / factor),
        )
}

/// A whole number times the factor of its unit, whatever the case of the unit.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let unit = text[digits..].trim_start();
    let (_, factor) = units
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    number.checked_mul(*factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_read_with_every_usual_suffix() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("64k", 65_536),
            ("64 KiB", 65_536),
            ("4MiB", 4 << 20),
            ("4M", 4 << 20),
            ("10MB", 10_000_000),
            ("2GiB", 2 << 30),
            ("7b", 7),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in [
            "",
            "MiB",
            "-1",
            "1.5MiB",
            "4 MiBs",
            "99999999999999999999",
            "20000000000GiB",
        ] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_duration_needs_its_unit() {
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        for text in ["5", "", "s", "-5s", "5 parsecs", "99999999999999999h"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_shown_can_be_read_back() {
        for bytes in [0, 1, 1000, 1024, 65_536, 4 << 20, (4 << 20) + 1, 1 << 40] {
            assert_eq!(parse_size(&show_size(bytes)), Ok(bytes));
        }
        for millis in [0, 1, 250, 1000, 1001, 60_000, 3_600_000, 5_400_000] {
            let duration = Duration::from_millis(millis);
            assert_eq!(parse_duration(&show_duration(duration)), Ok(duration));
        }
    }
}
