//! At rest, taken × matched = delivered + dropped: what the nodes themselves count.

use super::Site;
use crate::live::process::Node;
use crate::live::wait;
use std::collections::BTreeMap;
use zmesh_node::report;

/// Reasons of drops at the place of a subscriber, after a message was matched for it.
const AFTER_MATCH: [&str; 3] = ["queue_full", "queue_oldest", "subscriber_gone"];

/// What the nodes had counted at some time.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    nodes: BTreeMap<usize, Account>,
    /// Whether a node has ended since: its counts went with it.
    broken: bool,
    /// Whether an owner lost contact: it counts what it could not pass on, also if the origin then
    /// gave it to another, who could.
    doubtful: bool,
}

/// What one node has counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Account {
    taken: u64,
    matched: u64,
    delivered: u64,
    dropped: BTreeMap<String, u64>,
    undone: u64,
}

impl Accounts {
    /// A node begins to count anew.
    pub fn forget(&mut self, host: usize) {
        self.nodes.remove(&host);
        self.broken = true;
    }

    fn since(&self, before: &Self) -> Rise {
        let rise = |what: fn(&Account) -> u64| {
            let sum = |it: &Self| it.nodes.values().map(what).sum::<u64>();
            sum(self) - sum(before)
        };
        Rise {
            taken: rise(|it| it.taken),
            matched: rise(|it| it.matched),
            dropped: rise(Account::unmatched_drops),
        }
    }

    /// An owner loses contact.
    pub fn doubt(&mut self) {
        self.doubtful = true;
    }
}

/// What all nodes have counted since the load began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rise {
    taken: u64,
    matched: u64,
    /// Before anybody matched it.
    dropped: u64,
}

impl Rise {
    /// All that was sent was taken; what somebody misses was dropped and counted, also if a fault
    /// excuses it, unless it is late.
    fn compare(self, sent: u64, wanted: u64, late: u64, doubtful: bool) -> Vec<String> {
        let Self {
            taken,
            matched,
            dropped,
        } = self;
        let mut complaints = Vec::new();
        if taken != sent {
            complaints.push(format!("{sent} messages sent, {taken} taken"));
        }
        let counted = matched + dropped;
        if counted + late < wanted || (counted > wanted && !doubtful) {
            complaints.push(format!(
                "{wanted} messages × subscribers, {matched} matched and {dropped} dropped before, \
                 {late} need not be counted"
            ));
        }
        complaints
    }
}

impl Account {
    fn of(node: &Node) -> Self {
        let status: report::Node = node.status();
        Self {
            taken: status.taken_messages,
            matched: node.metric("zmesh_messages_matched_total", ""),
            delivered: status.delivered_messages,
            dropped: status.dropped_messages,
            undone: status.undone_bytes,
        }
    }

    /// What was matched was delivered or dropped, and nothing is on its way.
    fn is_at_rest(&self) -> bool {
        let dropped: u64 = AFTER_MATCH
            .iter()
            .filter_map(|it| self.dropped.get(*it))
            .sum();
        self.undone == 0 && self.matched == self.delivered + dropped
    }

    fn unmatched_drops(&self) -> u64 {
        let reasons = self
            .dropped
            .iter()
            .filter(|(it, _)| !AFTER_MATCH.contains(&it.as_str()));
        reasons.map(|(_, count)| count).sum()
    }
}

impl Site {
    pub(super) fn take_accounts(&self) -> Accounts {
        let nodes = self
            .up()
            .into_iter()
            .map(|host| (host, Account::of(&self.nodes[host])));
        Accounts {
            nodes: nodes.collect(),
            ..Accounts::default()
        }
    }

    /// Waits until every node that runs is at rest; says which are not.
    pub(super) fn wait_at_rest(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        for host in self.up() {
            let node = &self.nodes[host];
            if !wait::comes_true(|| Account::of(node).is_at_rest()) {
                complaints.push(format!("n{} at rest: {:?}", host + 1, Account::of(node)));
            }
        }
        complaints
    }

    /// What all nodes have counted since the load began. None if a process has ended that counted
    /// some of it.
    pub(super) fn counted(&self) -> Option<Rise> {
        let whole = !self.accounts.broken && self.down.is_empty();
        whole.then(|| self.take_accounts().since(&self.accounts))
    }

    /// Says what is wrong with the counts: `sent` is what publishers sent, `wanted` the pairs of
    /// such a message and a subscriber, `late` those that miss each other and nobody need have
    /// counted.
    pub(super) fn compare(&self, rise: Rise, sent: u64, wanted: u64, late: u64) -> Vec<String> {
        rise.compare(sent, wanted, late, self.accounts.doubtful)
    }

    /// Messages dropped, by reason, at the nodes that run.
    pub(super) fn drops(&self) -> BTreeMap<String, u64> {
        let mut sum = BTreeMap::new();
        for host in self.up() {
            for (reason, count) in self.nodes[host].status().dropped_messages {
                *sum.entry(reason).or_insert(0) += count;
            }
        }
        sum.retain(|_, count| *count > 0);
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(taken: u64, matched: u64, dropped: u64, doubtful: bool) -> usize {
        let rise = Rise {
            taken,
            matched,
            dropped,
        };
        rise.compare(10, 30, 0, doubtful).len()
    }

    #[test]
    fn what_is_missing_must_have_been_counted() {
        assert_eq!(complaints(10, 30, 0, false), 0);
        assert_eq!(
            complaints(10, 25, 5, false),
            0,
            "five are missing, and counted"
        );
        assert_eq!(
            complaints(10, 25, 4, false),
            1,
            "one is missing and was not counted"
        );
        assert_eq!(complaints(10, 25, 4, true), 1);
    }

    #[test]
    fn what_nobody_misses_is_counted_only_where_an_owner_lost_contact() {
        assert_eq!(complaints(10, 30, 1, false), 1);
        assert_eq!(complaints(10, 30, 1, true), 0);
    }

    #[test]
    fn what_is_late_need_not_have_been_counted() {
        let rise = Rise {
            taken: 10,
            matched: 25,
            dropped: 1,
        };
        assert_eq!(rise.compare(10, 30, 4, true).len(), 0);
        assert_eq!(rise.compare(10, 30, 3, true).len(), 1);
    }

    #[test]
    fn what_was_sent_was_taken() {
        assert_eq!(complaints(9, 30, 0, true), 1);
    }
}
