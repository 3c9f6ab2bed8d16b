//! What came of the faults, as a table for people.

use crate::live::site::outcome::Outcome;
use std::collections::BTreeMap;
use std::time::Duration;

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

fn reasons(dropped: &BTreeMap<String, u64>) -> String {
    if dropped.is_empty() {
        return "0".into();
    }
    let each = dropped
        .iter()
        .map(|(reason, count)| format!("{count} {reason}"));
    each.collect::<Vec<_>>().join(", ")
}

/// The middle, the ninth decile and the greatest of some times, in milliseconds.
pub fn spread(times: &[Duration]) -> String {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = |share: f64| {
        let last = sorted.len().saturating_sub(1);
        sorted
            .get((last as f64 * share).round() as usize)
            .map_or(0, Duration::as_millis)
    };
    format!(
        "p50 {} ms, p90 {} ms, max {} ms of {}",
        at(0.5),
        at(0.9),
        at(1.0),
        sorted.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_names_the_middle_and_the_greatest() {
        let times: Vec<_> = (1..=21).rev().map(Duration::from_millis).collect();
        assert_eq!(spread(&times), "p50 11 ms, p90 19 ms, max 21 ms of 21");
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
