//! How long things may take, on a machine that has nothing else to do.

use crate::live::site::ONE_VIEW;
use crate::live::site::outcome::Outcome;

/// The longest pause of a stream that no fault stands in the way of.
pub const PAUSE: &str = "longest pause";

/// Time until all others hold a node dead.
pub const HELD_DEAD: &str = "all hold it dead";

/// The most that a figure of one run may be.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    figure: &'static str,
    milliseconds: u64,
}

const fn limit(figure: &'static str, milliseconds: u64) -> Limit {
    Limit {
        figure,
        milliseconds,
    }
}

const ONE_VIEW_SOON: Limit = limit(ONE_VIEW, 3000);

/// Nothing is measured, or it may be anything.
pub const ANY_TIME: &[Limit] = &[];

/// After a fault that slows everybody down as long as it lasts.
pub const HEAL: &[Limit] = &[ONE_VIEW_SOON];

/// No node goes without a word.
pub const ORDERLY: &[Limit] = &[limit(PAUSE, 1500)];

/// A process ends without a word, and its host still answers.
pub const KILLED: &[Limit] = &[limit(PAUSE, 1500), ONE_VIEW_SOON];

/// Nothing is heard of a node, or of several.
pub const SILENT: &[Limit] = &[limit(PAUSE, 3500), ONE_VIEW_SOON];

/// Two nodes cannot reach each other for 3 s, which all others can: what is on its way between them
/// waits for as long, and then no longer than after a host fell silent.
pub const PAIR_3: &[Limit] = &[limit(PAUSE, 3000 + 3500), ONE_VIEW_SOON];

/// The same for 15 s.
pub const PAIR_15: &[Limit] = &[limit(PAUSE, 15_000 + 3500), ONE_VIEW_SOON];

/// A killed process is found.
pub const FOUND: &[Limit] = &[limit(HELD_DEAD, 1200)];

/// A silent host is found.
pub const FOUND_SILENT: &[Limit] = &[limit(HELD_DEAD, 3000)];

/// What took longer than it may, or was not measured.
pub fn exceeded(limits: &[Limit], outcome: &Outcome) -> Vec<String> {
    let mut complaints = Vec::new();
    for Limit {
        figure,
        milliseconds,
    } in limits
    {
        let longest = if *figure == PAUSE {
            Some(outcome.total.pause.length.as_millis() as u64)
        } else {
            let times = outcome.measured.get(*figure).into_iter().flatten();
            times.copied().max()
        };
        let Some(longest) = longest else {
            complaints.push(format!("{figure}: not measured"));
            continue;
        };
        if longest > *milliseconds {
            complaints.push(format!(
                "{figure}: {longest} ms, and at most {milliseconds} ms are allowed"
            ));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::history::{Findings, Pause};
    use std::time::Duration;

    fn outcome(pause: u64, one_view: &[u64]) -> Outcome {
        let pause = Pause {
            length: Duration::from_millis(pause),
            ..Pause::default()
        };
        let total = Findings {
            pause,
            ..Findings::default()
        };
        Outcome {
            total,
            measured: [(ONE_VIEW.into(), one_view.to_vec())].into(),
            ..Outcome::default()
        }
    }

    #[test]
    fn what_takes_too_long_is_told_with_its_limit() {
        let told = exceeded(KILLED, &outcome(1501, &[100, 3001]));
        let pause = "longest pause: 1501 ms, and at most 1500 ms are allowed";
        let one_view = "one view again: 3001 ms, and at most 3000 ms are allowed";
        assert_eq!(told, [pause, one_view]);
    }

    #[test]
    fn what_was_not_measured_is_told() {
        let told = exceeded(SILENT, &Outcome::default());
        assert_eq!(told, ["one view again: not measured"]);
    }

    #[test]
    fn what_takes_as_long_as_it_may_is_not_told() {
        let nothing: [String; 0] = [];
        assert_eq!(exceeded(KILLED, &outcome(1500, &[3000])), nothing);
        assert_eq!(exceeded(ANY_TIME, &outcome(9999, &[9999])), nothing);
        assert_eq!(exceeded(ORDERLY, &Outcome::default()), nothing);
    }
}
