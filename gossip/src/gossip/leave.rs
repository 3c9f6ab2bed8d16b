//! Saying goodbye: the record becomes Left, and a few members confirm that they pass it on.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::time::Duration;

use super::Gossip;
use crate::id::NodeId;
use crate::member::State;
use crate::output::Output;
use crate::packet::{Body, Header};

/// Members that are told. The news then spreads by itself.
const WITNESSES: usize = 8;
/// Time between two goodbyes to a member that has not confirmed.
const RETRY: Duration = Duration::from_millis(100);
/// How often the goodbye is said.
const TRIES: u32 = 5;

/// A goodbye under way.
#[derive(Debug)]
pub(super) struct Leave {
    waiting: BTreeSet<NodeId>,
    tries: u32,
    next: Duration,
}

impl Leave {
    pub(super) fn deadline(&self) -> Duration {
        self.next
    }
}

impl Gossip {
    pub(super) fn start_leave(&mut self) {
        if self.leave.is_some() {
            return;
        }
        self.amend(|me| me.state = State::Left);
        let announced = self.join.is_announced() && !self.twin.has_lost();
        let waiting = if announced {
            self.pick(WITNESSES, &[]).into_iter().collect()
        } else {
            BTreeSet::new()
        };
        self.leave = Some(Leave {
            waiting,
            tries: 0,
            next: self.now,
        });
        self.leave_due();
    }

    pub(super) fn leave_due(&mut self) {
        let Some(leave) = self.leave.as_mut().filter(|leave| self.now >= leave.next) else {
            return;
        };
        leave.tries += 1;
        if leave.waiting.is_empty() || leave.tries > TRIES {
            self.depart();
            return;
        }
        leave.next = self.now + RETRY;
        for id in leave.waiting.clone() {
            self.say_goodbye(id);
        }
    }

    /// A node that leaves only listens for confirmations; to everything else it says that it goes.
    pub(super) fn receive_while_leaving(&mut self, header: &Header, body: &Body) {
        let Some(leave) = &mut self.leave else { return };
        match body {
            Body::LeaveAck => {
                leave.waiting.remove(&header.from);
                if leave.waiting.is_empty() {
                    self.depart();
                }
            }
            Body::Ping { .. } => self.say_goodbye(header.from),
            Body::Leave => self.emit(&header.address, Body::LeaveAck, Vec::new()),
            _ => {}
        }
    }

    fn say_goodbye(&mut self, id: NodeId) {
        let Some(entry) = self.table.get(id) else {
            return;
        };
        let (to, me) = (entry.member.gossip.clone(), self.me().clone());
        self.emit(&to, Body::Leave, alloc::vec![me]);
    }

    fn depart(&mut self) {
        let Some(leave) = &mut self.leave else { return };
        if leave.next != Duration::MAX {
            leave.next = Duration::MAX;
            self.outputs.push_back(Output::Departed);
        }
    }
}
