//! What came of the faults, as a table for people.

use super::limits::PAUSE;
use crate::live::site::outcome::Outcome;
use std::collections::BTreeMap;

/// One run of a case.
#[derive(Clone, Debug)]
pub struct Row {
    /// The fault.
    pub name: &'static str,
    /// What came of it, or how it ended before its time.
    pub outcome: Result<Outcome, String>,
}

impl Row {
    /// Whether everything was as promised.
    pub fn is_good(&self) -> bool {
        self.outcome
            .as_ref()
            .is_ok_and(|it| it.complaints.is_empty())
    }
}

const HEAD: &str = "| fault | messages | lost | doubled | out of order | longest pause | \
                    dropped |\n\
    |---|---|---|---|---|---|---|";

/// The table, one line a run.
pub fn table(rows: &[Row]) -> String {
    let lines = rows.iter().map(line);
    std::iter::once(HEAD.to_string())
        .chain(lines)
        .collect::<Vec<_>>()
        .join("\n")
}

fn line(row: &Row) -> String {
    let outcome = match &row.outcome {
        Ok(outcome) => outcome,
        Err(error) => {
            let error = error.lines().next().unwrap_or_default();
            return format!("| {} | failed: {error} | | | | | |", row.name);
        }
    };
    let total = &outcome.total;
    format!(
        "| {} | {} | {} | {} | {} | {} ms | {} |",
        row.name,
        total.received,
        total.lost,
        total.doubled,
        total.out_of_order,
        total.pause.length.as_millis(),
        reasons(&outcome.dropped)
    )
}

pub(super) fn reasons(dropped: &BTreeMap<String, u64>) -> String {
    if dropped.is_empty() {
        return "0".into();
    }
    let each = dropped
        .iter()
        .map(|(reason, count)| format!("{count} {reason}"));
    each.collect::<Vec<_>>().join(", ")
}

const FIGURES_HEAD: &str =
    "| fault | figure | p50 | p99 | max | times |\n|---|---|---|---|---|---|";

/// What was measured: for each fault the longest pause of each run, if there were several, and
/// what the fault itself measures. Nothing if there is nothing.
pub fn figures(rows: &[Row]) -> String {
    let mut found: BTreeMap<(usize, &str), Vec<u64>> = BTreeMap::new();
    let mut names: Vec<&str> = Vec::new();
    for row in rows {
        let Ok(outcome) = &row.outcome else { continue };
        let place = names
            .iter()
            .position(|it| *it == row.name)
            .unwrap_or_else(|| {
                names.push(row.name);
                names.len() - 1
            });
        let pause = outcome.total.pause.length.as_millis() as u64;
        found.entry((place, PAUSE)).or_default().push(pause);
        for (what, times) in &outcome.measured {
            found.entry((place, what)).or_default().extend(times);
        }
    }
    found.retain(|_, times| times.len() > 1 && times.iter().any(|time| *time > 0));
    if found.is_empty() {
        return String::new();
    }
    let lines = found
        .into_iter()
        .map(|((place, what), times)| format!("| {} | {what} | {} |", names[place], spread(times)));
    format!(
        "\n\n{FIGURES_HEAD}\n{}",
        lines.collect::<Vec<_>>().join("\n")
    )
}

fn spread(times: Vec<u64>) -> String {
    let count = times.len();
    let [middle, most, all] = percentiles(times);
    format!("{middle} ms | {most} ms | {all} ms | {count}")
}

/// The middle, the greatest of a hundred but one, and the greatest of some figures.
pub(super) fn percentiles(mut figures: Vec<u64>) -> [u64; 3] {
    figures.sort_unstable();
    [50, 99, 100].map(|percent| figures[(figures.len() * percent).div_ceil(100).max(1) - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_names_the_middle_and_the_greatest() {
        assert_eq!(
            spread((1..=21).rev().collect()),
            "11 ms | 21 ms | 21 ms | 21"
        );
        assert_eq!(
            spread((1..=200).collect()),
            "100 ms | 198 ms | 200 ms | 200"
        );
        assert_eq!(spread(vec![7]), "7 ms | 7 ms | 7 ms | 1");
    }

    #[test]
    fn figures_are_told_of_each_fault_apart() {
        let row = |name, time| Row {
            name,
            outcome: Ok(Outcome {
                measured: [("healed".into(), vec![time])].into(),
                ..Outcome::default()
            }),
        };
        let text = figures(&[row("split", 3), row("split", 5), row("cut", 9)]);
        assert!(
            text.ends_with("| split | healed | 3 ms | 5 ms | 5 ms | 2 |"),
            "{text}"
        );
    }

    #[test]
    fn a_run_that_failed_says_so() {
        let row = Row {
            name: "none",
            outcome: Err("why\nmore".into()),
        };
        assert!(table(&[row]).ends_with("| none | failed: why | | | | | |"));
    }
}
