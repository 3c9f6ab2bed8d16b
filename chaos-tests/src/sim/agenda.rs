//! What is to happen, in the order of time; what is due at once, in the order of entry.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Time;
use super::network::NetEvent;
use super::process::ProcessId;

/// Something that happens at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Event {
    /// Bytes, or what keeps them, move between hosts.
    Net(NetEvent),
    /// A process has something to do.
    Wake(ProcessId),
    /// The world's own next step: a fault, a client that comes or goes.
    Script,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Agenda {
    events: BinaryHeap<Reverse<(Time, u64, Event)>>,
    entered: u64,
}

impl Agenda {
    /// Enters an event.
    pub fn add(&mut self, at: Time, event: Event) {
        self.entered += 1;
        self.events.push(Reverse((at, self.entered, event)));
    }

    /// The next event, unless it is later than `end`.
    pub fn next(&mut self, end: Time) -> Option<(Time, Event)> {
        let Reverse((at, ..)) = self.events.peek()?;
        if *at > end {
            return None;
        }
        self.events.pop().map(|Reverse((at, _, event))| (at, event))
    }
}
