//! Whether there is one order in which all could have seen what they saw.

use std::collections::{HashMap, HashSet};

use foldhash::fast::FixedState;
use zmesh_node::forward::ClientId;

use super::Stamp;
use crate::sim::process::ProcessId;

/// A program at a node.
type At = (ProcessId, ClientId);

/// Messages, and which came behind which for somebody.
#[derive(Debug, Default)]
pub(super) struct Order {
    behind: HashMap<Stamp, Vec<(Stamp, At)>, FixedState>,
    /// How many came right before each of these, all programs together.
    before: HashMap<Stamp, usize, FixedState>,
    known: HashSet<(Stamp, Stamp), FixedState>,
}

impl Order {
    /// A program got a message, and right before it another one.
    pub(super) fn add(&mut self, before: Option<Stamp>, stamp: Stamp, at: At) {
        let count = self.before.entry(stamp).or_default();
        if let Some(before) = before
            && self.known.insert((before, stamp))
        {
            *count += 1;
            self.behind.entry(before).or_default().push((stamp, at));
        }
    }

    /// A message, and one of the programs that had it behind others, if there is no order that all
    /// of them saw: taking away what nothing is before, again and again, something is left (Kahn's
    /// algorithm).
    pub(super) fn contradiction(mut self) -> Option<(Stamp, At)> {
        let first = self.before.iter().filter(|(_, count)| **count == 0);
        let mut free: Vec<Stamp> = first.map(|(stamp, _)| *stamp).collect();
        while let Some(stamp) = free.pop() {
            for (next, _) in self.behind.remove(&stamp).unwrap_or_default() {
                let count = self.before.entry(next).or_default();
                *count -= 1;
                if *count == 0 {
                    free.push(next);
                }
            }
        }
        self.behind.into_values().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(number: u32) -> Stamp {
        Stamp {
            publisher: number % 2,
            topic: 0,
            number,
        }
    }

    fn contradicts(seen: &[&[u32]]) -> bool {
        let mut order = Order::default();
        for (client, numbers) in seen.iter().enumerate() {
            let at = (ProcessId(1), ClientId(client as u32));
            let mut last = None;
            for number in *numbers {
                order.add(last, stamp(*number), at);
                last = Some(stamp(*number));
            }
        }
        order.contradiction().is_some()
    }

    #[test]
    fn gaps_are_no_contradiction_and_swaps_are_also_over_a_third() {
        assert!(!contradicts(&[&[1, 2, 3, 4], &[1, 3], &[2, 4], &[]]));
        assert!(contradicts(&[&[1, 2, 3], &[2, 1]]));
        assert!(contradicts(&[&[1, 2], &[2, 3], &[3, 1]]));
    }
}
