//! A histogram over time: the more in a bucket, the darker.

use std::fmt::Write;

use anyhow::Result;

use super::chart::Frame;
use super::{Drawing, nothing, unit};

type Row = (f64, Vec<Option<f64>>);

pub(super) fn draw(drawing: &Drawing) -> Result<String> {
    let bounds = drawing.lines()?.into_iter();
    let mut rows: Vec<Row> = bounds
        .filter_map(|(bound, line)| Some((bound.parse().ok()?, line)))
        .collect();
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    let rows = apart(&rows);
    let used = |row: &&Row| row.1.iter().flatten().any(|it| *it > 0.5);
    let first = rows.iter().position(|row| used(&row));
    let last = rows.iter().rposition(|row| used(&row));
    let (Some(first), Some(last)) = (first, last) else {
        return Ok(nothing());
    };
    let rows = &rows[first..=last];
    let counts = rows.iter().flat_map(|row| row.1.iter().flatten());
    let most = counts.fold(1.0_f64, |most, count| most.max(*count));
    let frame = Frame::of(drawing, 2.0);
    let mut svg = frame.times(drawing);
    let height = frame.height / rows.len() as f64;
    // A name for each row would not fit.
    let every = rows.len().div_ceil((frame.height / 16.0) as usize);
    for (number, (bound, line)) in rows.iter().enumerate() {
        let y = frame.y + frame.height - height * (number + 1) as f64;
        if number % every == 0 {
            let _ = write!(
                svg,
                "<text x='{:.1}' y='{:.1}' text-anchor='end'>{}</text>",
                frame.x - 5.0,
                y + 4.0,
                if bound.is_finite() {
                    unit::format("s", *bound)
                } else {
                    "more".into()
                }
            );
        }
        let width = frame.width / line.len() as f64;
        for (index, count) in line.iter().enumerate() {
            let Some(count) = count.filter(|it| *it > 0.5) else {
                continue;
            };
            // The root shows a few beside many.
            let dark = (count / most).sqrt().max(0.06);
            let _ = write!(
                svg,
                "<rect x='{:.1}' y='{y:.1}' width='{:.1}' height='{:.1}' fill='#e0560a' \
                 fill-opacity='{dark:.2}'/>",
                frame.x + width * index as f64,
                width + 0.1,
                height - 0.5
            );
        }
    }
    Ok(svg + "</svg>")
}

/// What is in each bucket and not in the one below: Prometheus counts all up to a bound.
fn apart(rows: &[Row]) -> Vec<Row> {
    let mut below: Vec<Option<f64>> = Vec::new();
    let mut apart = Vec::new();
    for (bound, line) in rows {
        let pairs = line.iter().enumerate();
        let own = pairs.map(|(index, count)| {
            let less = below.get(index).copied().flatten().unwrap_or(0.0);
            count.map(|count| (count - less).max(0.0))
        });
        apart.push((*bound, own.collect()));
        below.clone_from(line);
    }
    apart
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_taken_apart() {
        let rows = [
            (1.0, vec![Some(2.0), None]),
            (2.0, vec![Some(5.0), Some(1.0)]),
        ];
        let apart = apart(&rows);
        assert_eq!(apart[1].1, [Some(3.0), Some(1.0)]);
    }
}
