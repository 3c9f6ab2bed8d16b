//! Numbers with their units, as Grafana writes them, and the marks of an axis.

/// A number of this unit.
pub(super) fn format(unit: &str, value: f64) -> String {
    match unit {
        "s" => seconds(value),
        "bytes" => scaled(value, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB"]),
        "Bps" => scaled(value, 1000.0, &["B/s", "kB/s", "MB/s", "GB/s"]),
        "cps" => scaled(value, 1000.0, &["/s", "K/s", "Mil/s"]),
        "percentunit" => format!("{} %", number(value * 100.0)),
        _ => scaled(value, 1000.0, &["", "K", "Mil", "Bil"])
            .trim_end()
            .into(),
    }
}

fn seconds(value: f64) -> String {
    let size = value.abs();
    let (factor, unit) = match size {
        _ if size == 0.0 => (1.0, "s"),
        _ if size < 1e-3 => (1e6, "µs"),
        _ if size < 1.0 => (1e3, "ms"),
        _ if size < 120.0 => (1.0, "s"),
        _ if size < 7200.0 => (1.0 / 60.0, "min"),
        _ if size < 172_800.0 => (1.0 / 3600.0, "h"),
        _ => (1.0 / 86_400.0, "d"),
    };
    format!("{} {unit}", number(value * factor))
}

fn scaled(value: f64, base: f64, units: &[&str]) -> String {
    let (mut value, mut power) = (value, 0);
    while value.abs() >= base && power + 1 < units.len() {
        value /= base;
        power += 1;
    }
    format!("{} {}", number(value), units[power])
}

/// Three digits that count.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    if !text.contains('.') {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').into()
}

/// Marks that include all values from low to high: even steps of 1, 2 or 5. A line that is flat
/// gets an axis as tall as its value, or 1.
pub(super) fn marks(unit: &str, low: f64, high: f64) -> Vec<f64> {
    let span = if high > low {
        high - low
    } else {
        high.abs().max(1.0)
    };
    let high = low + span;
    let base: f64 = if unit == "bytes" { 1024.0 } else { 1000.0 };
    let scale = base.powf((span.ln() / base.ln()).floor());
    let rough = span / scale / 4.0;
    let ten = 10_f64.powf(rough.log10().floor());
    let nice = [1.0, 2.0, 5.0, 10.0].map(|it| it * ten);
    let step = scale
        * nice
            .into_iter()
            .find(|it| *it >= rough)
            .unwrap_or(10.0 * ten);
    let (first, last) = ((low / step).floor() as i64, (high / step).ceil() as i64);
    let last = last.max(first + 1);
    (first..=last).map(|number| number as f64 * step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(format("s", 0.00025), "250 µs");
        assert_eq!(format("s", 300.0), "5 min");
        assert_eq!(format("bytes", 1536.0), "1.5 KiB");
        assert_eq!(format("cps", 12_340.0), "12.3 K/s");
        assert_eq!(format("percentunit", 0.333), "33.3 %");
        assert_eq!(format("short", 100.0), "100");
        assert_eq!(format("short", 0.0), "0");
    }

    #[test]
    fn marks_include_all_values() {
        assert_eq!(marks("short", 0.0, 7.0), [0.0, 2.0, 4.0, 6.0, 8.0]);
        assert_eq!(marks("short", 0.0, 0.0), [0.0, 0.5, 1.0]);
        let marks = marks("bytes", 0.0, 3.0 * 1024.0 * 1024.0);
        assert_eq!(marks[1], 1024.0 * 1024.0);
    }
}
