//! Exchanges that cannot go wrong, without the events that they would take. In a mesh of a thousand
//! that is idle, signs of life are nearly all that happens.

use super::{End, Network, ProcessId, Time};

impl Network {
    /// A program stands still until then.
    pub fn stands_still(&mut self, process: ProcessId, until: Time) {
        let known = self.still.entry(process).or_default();
        *known = until.max(*known);
    }

    /// No program stands still any more.
    pub fn all_run(&mut self) {
        self.still.clear();
    }

    /// A question of so many bytes and its answer are exchanged at once, if nothing is on its way
    /// on this connection, both ends are held and the other program does not stand still; where
    /// packets are lost only if that is `always` to be.
    pub fn exchange(
        &mut self,
        end: End,
        [question, answer]: [u64; 2],
        always: bool,
        now: Time,
    ) -> bool {
        let Some(conn) = self.conns.get(&end.conn) else {
            return false;
        };
        let idle = |end: &super::EndState| {
            let still = end.in_flight.is_empty() && end.received.is_empty();
            still && end.process.is_some() && end.connected && end.closed.is_none() && !end.finished
        };
        let still = |end: &super::EndState| {
            let process = end.process.and_then(|process| self.still.get(&process));
            process.is_some_and(|until| *until > now)
        };
        if !conn.ends.iter().all(idle) || conn.ends.iter().any(still) {
            return false;
        }
        let (from, to) = conn.ways(end.side);
        let loses = |one, other| !always && self.path_between(one, other).loss > 0.0;
        if !self.carries(from, to) || !self.carries(to, from) || loses(from, to) || loses(to, from)
        {
            return false;
        }
        self.written[usize::from(from.0)].0 += question;
        self.written[usize::from(to.0)].0 += answer;
        true
    }
}
