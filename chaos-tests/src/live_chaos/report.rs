//! What came of the faults, fault by fault, as it stands in docs/reliability.md.

use super::limits::{HELD_DEAD, PAUSE};
use super::table::{Row, percentiles, reasons};
use crate::live::history::Findings;
use crate::live::site::ONE_VIEW;
use std::collections::BTreeMap;
use std::fmt::Write;

const HEAD: &str = "\
| fault | runs | messages | lost | doubled | out of order | longest pause | one view again \
| dropped |
|---|---|---|---|---|---|---|---|---|
";

const FIGURE_HEAD: &str = "\
| fault | figure | p50 / p99 / max | times |
|---|---|---|---|
";

/// All runs of one fault.
struct Sum {
    name: &'static str,
    runs: usize,
    /// Runs that broke a promise or ended early.
    bad: usize,
    total: Findings,
    figures: BTreeMap<String, Vec<u64>>,
    dropped: BTreeMap<String, u64>,
}

/// The page's part, with the command that makes it. `what` says what each fault is.
pub fn report(command: &str, rows: &[Row], what: impl Fn(&str) -> &'static str) -> String {
    let sums = sums(rows);
    let mut text = format!(
        "`{command}`\n\nMessages are those that subscribers got, all runs together; times are \
         p50 / p99 / max over the runs, in milliseconds. Pauses are those of streams that no fault \
         stands in the way of. Dropped is what the nodes that still ran had counted.\n\n{HEAD}"
    );
    for sum in &sums {
        let _ = writeln!(text, "{}", sum.line());
    }
    let found: Vec<String> = sums.iter().filter_map(Sum::detection).collect();
    if !found.is_empty() {
        let _ = write!(text, "\n{FIGURE_HEAD}{}", found.concat());
    }
    text.push('\n');
    for sum in &sums {
        let _ = writeln!(text, "- `{}`: {}", sum.name, what(sum.name));
    }
    let bad: Vec<_> = sums.iter().filter(|it| it.bad > 0).collect();
    if !bad.is_empty() {
        let each = bad
            .iter()
            .map(|it| format!("{} of {} of `{}`", it.bad, it.runs, it.name));
        let _ = writeln!(
            text,
            "\n**Not as promised:** {}.",
            each.collect::<Vec<_>>().join(", ")
        );
    }
    text
}

fn sums(rows: &[Row]) -> Vec<Sum> {
    let mut sums: Vec<Sum> = Vec::new();
    for row in rows {
        if sums.iter().all(|it| it.name != row.name) {
            sums.push(Sum::new(row.name));
        }
        if let Some(sum) = sums.iter_mut().find(|it| it.name == row.name) {
            sum.add(row);
        }
    }
    sums
}

impl Sum {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            runs: 0,
            bad: 0,
            total: Findings::default(),
            figures: BTreeMap::new(),
            dropped: BTreeMap::new(),
        }
    }

    fn add(&mut self, row: &Row) {
        self.runs += 1;
        self.bad += usize::from(!row.is_good());
        let Ok(outcome) = &row.outcome else { return };
        self.total.add(&outcome.total);
        let pause = outcome.total.pause.length.as_millis() as u64;
        self.figures.entry(PAUSE.into()).or_default().push(pause);
        for (figure, times) in &outcome.measured {
            self.figures
                .entry(figure.clone())
                .or_default()
                .extend(times);
        }
        for (reason, count) in &outcome.dropped {
            *self.dropped.entry(reason.clone()).or_default() += count;
        }
    }

    fn line(&self) -> String {
        let total = &self.total;
        format!(
            "| `{}` | {} | {} | {} | {} | {} | {} | {} | {} |",
            self.name,
            self.runs,
            total.received,
            total.lost,
            total.doubled,
            total.out_of_order,
            self.spread(PAUSE),
            self.spread(ONE_VIEW),
            reasons(&self.dropped)
        )
    }

    fn detection(&self) -> Option<String> {
        let times = self.figures.get(HELD_DEAD)?.len();
        let (name, spread) = (self.name, self.spread(HELD_DEAD));
        Some(format!("| `{name}` | {HELD_DEAD} | {spread} | {times} |\n"))
    }

    /// A figure that nothing measured is a dash.
    fn spread(&self, figure: &str) -> String {
        let times = self.figures.get(figure);
        let times = times.filter(|it| it.iter().any(|time| *time > 0));
        times.map_or("–".into(), |it| {
            percentiles(it.clone()).map(|it| it.to_string()).join(" / ")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::history::Pause;
    use crate::live::site::outcome::Outcome;
    use std::time::Duration;

    fn row(name: &'static str, pause: u64, figure: &str, time: u64) -> Row {
        let pause = Pause {
            length: Duration::from_millis(pause),
            ..Pause::default()
        };
        let total = Findings {
            received: 1000,
            pause,
            ..Findings::default()
        };
        Row {
            name,
            outcome: Ok(Outcome {
                total,
                measured: [(figure.into(), vec![time])].into(),
                dropped: [("unreachable".into(), 2)].into(),
                ..Outcome::default()
            }),
        }
    }

    #[test]
    fn runs_of_a_fault_are_one_line() {
        let rows = [
            row("split", 5, ONE_VIEW, 30),
            row("split", 7, ONE_VIEW, 10),
            row("found", 0, HELD_DEAD, 8),
        ];
        let text = report("make it", &rows, |_| "what it is");
        for line in [
            "`make it`",
            "| `split` | 2 | 2000 | 0 | 0 | 0 | 5 / 7 / 7 | 10 / 30 / 30 | 4 unreachable |",
            "| `found` | 1 | 1000 | 0 | 0 | 0 | – | – | 2 unreachable |",
            "| `found` | all hold it dead | 8 / 8 / 8 | 1 |",
            "- `split`: what it is",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} in\n{text}");
        }
        assert!(!text.contains("Not as promised"), "{text}");
    }

    #[test]
    fn what_was_broken_stands_there() {
        let mut broken = row("split", 5, ONE_VIEW, 30);
        if let Ok(outcome) = &mut broken.outcome {
            outcome.complaints.push("lost".into());
        }
        let ended = Row {
            name: "split",
            outcome: Err("why".into()),
        };
        let rows = [broken, row("split", 1, ONE_VIEW, 1), ended];
        let text = report("make it", &rows, |_| "");
        assert!(
            text.ends_with("**Not as promised:** 2 of 3 of `split`.\n"),
            "{text}"
        );
    }
}
