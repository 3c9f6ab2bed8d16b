//! Exchanges that cannot go wrong, without the events that they would take. In a mesh of a thousand
//! that is idle, signs of life are nearly all that happens.

use super::{End, Network};

impl Network {
    /// A question of so many bytes and its answer are exchanged at once, if nothing is on its way
    /// on this connection and both ends are held; where packets are lost only if that is `always`
    /// to be. That the other program stands still is not seen.
    pub fn exchange(&mut self, end: End, [question, answer]: [u64; 2], always: bool) -> bool {
        let Some(conn) = self.conns.get(&end.conn) else {
            return false;
        };
        let idle = |end: &super::EndState| {
            let still = end.in_flight.is_empty() && end.received.is_empty();
            still && end.process.is_some() && end.connected && end.closed.is_none() && !end.finished
        };
        if !conn.ends.iter().all(idle) {
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
