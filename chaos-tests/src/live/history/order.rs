//! Whether all subscribers saw each topic in one order, while its owner stood.

use super::{Record, Sent};
use std::collections::HashMap;

/// A time in which no topic went from one owner to another, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calm {
    /// When every node held the view with which it began.
    pub from: u64,
    /// When something happened that may have moved a topic.
    pub to: u64,
}

/// How often two of the subscribers saw two messages of one topic in different orders. Compared is
/// what was sent and came within one calm: all of that went through one owner.
pub fn disagreements(received: &[Vec<Record>], sent: &Sent, calms: &[Calm]) -> u64 {
    let mut found = 0;
    for calm in calms {
        let within: Vec<Vec<Record>> = received.iter().map(|it| calm.part(it, sent)).collect();
        for (number, one) in within.iter().enumerate() {
            let places = places(one);
            let others = within[number + 1..].iter();
            found += others.map(|other| turned(&places, other)).sum::<u64>();
        }
    }
    found
}

impl Calm {
    fn part(&self, received: &[Record], sent: &Sent) -> Vec<Record> {
        let within = |it: &&Record| {
            let after = sent.at(it).is_some_and(|at| at >= self.from);
            after && it.at <= self.to
        };
        received.iter().filter(within).copied().collect()
    }
}

type Message = (u16, u16, u32);

fn message(record: &Record) -> Message {
    (record.publisher, record.topic, record.number)
}

fn places(received: &[Record]) -> HashMap<Message, usize> {
    received.iter().map(message).zip(0..).collect()
}

/// Neighbours on a topic that came the other way round at the one with these places.
fn turned(places: &HashMap<Message, usize>, other: &[Record]) -> u64 {
    let mut last: HashMap<u16, usize> = HashMap::new();
    let mut found = 0;
    for record in other {
        let Some(&place) = places.get(&message(record)) else {
            continue;
        };
        let before = last.insert(record.topic, place);
        found += u64::from(before.is_some_and(|before| before > place));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a subscriber received: publisher, topic, number and the time when it came.
    fn came(records: &[(u16, u16, u32, u64)]) -> Vec<Record> {
        let record = |&(publisher, topic, number, at)| Record {
            publisher,
            topic,
            number,
            at,
        };
        records.iter().map(record).collect()
    }

    /// Publishers 1, 2 and 3 send on topics 0 and 1 at 10, 20, … 90.
    fn found(received: &[Vec<Record>], calms: &[(u64, u64)]) -> u64 {
        let mut sent = Sent::default();
        for publisher in 1..=3 {
            for topic in 0..2 {
                let times = (0..9).map(|it| (publisher, topic, it, 10 + 10 * u64::from(it)));
                sent.add(&came(&times.collect::<Vec<_>>()));
            }
        }
        let calms = calms.iter().map(|&(from, to)| Calm { from, to });
        disagreements(received, &sent, &calms.collect::<Vec<_>>())
    }

    const ALWAYS: [(u64, u64); 1] = [(0, 1000)];

    #[test]
    fn subscribers_disagree_when_they_see_a_topic_in_different_orders() {
        let one = came(&[(1, 0, 0, 11), (2, 0, 0, 12), (1, 1, 0, 13)]);
        let apart = came(&[(1, 1, 0, 11), (1, 0, 0, 12), (2, 0, 0, 13)]);
        assert_eq!(found(&[one.clone(), apart], &ALWAYS), 0, "topics are apart");
        let other = came(&[(2, 0, 0, 12), (1, 0, 0, 13)]);
        assert_eq!(found(&[one, other], &ALWAYS), 1);
    }

    #[test]
    fn the_first_and_the_last_are_compared_as_well() {
        let one = came(&[(1, 0, 0, 11), (2, 0, 0, 12)]);
        let between = came(&[(1, 0, 0, 11), (3, 0, 0, 12)]);
        let last = came(&[(2, 0, 0, 11), (1, 0, 0, 12), (3, 0, 0, 13)]);
        assert_eq!(found(&[one.clone(), between.clone()], &ALWAYS), 0);
        assert_eq!(found(&[between.clone(), last.clone()], &ALWAYS), 0);
        assert_eq!(found(&[one, between, last], &ALWAYS), 1);
    }

    #[test]
    fn what_another_owner_may_have_passed_on_is_not_compared() {
        let one = came(&[(1, 0, 1, 31), (2, 0, 1, 32)]);
        let other = came(&[(2, 0, 1, 31), (1, 0, 1, 32)]);
        let both = [one, other];
        assert_eq!(found(&both, &[(20, 32)]), 1, "sent and come in one calm");
        assert_eq!(found(&both, &[(21, 100)]), 0, "sent before it");
        assert_eq!(found(&both, &[(0, 31)]), 0, "come after it");
        assert_eq!(found(&both, &[(0, 15), (20, 40), (50, 90)]), 1);
        assert_eq!(found(&both, &[]), 0);
    }
}
