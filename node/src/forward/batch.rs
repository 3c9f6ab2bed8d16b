//! Records on their way to one node, gathered so that bytes which lie side by side stay together.

use std::ops::Range;

use bytes::Bytes;

use super::Instance;
use super::memory::compact;

/// What a link message may hold before another one is begun. Past some hundred kilobytes larger
/// writes gain nothing, and a reset costs more.
const BATCH_BYTES: usize = 256 << 10;
const BATCH_RECORDS: usize = 4096;

/// What is said of a record beside its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Header {
    /// The partition.
    pub partition: u16,
    /// Sequence number of the first message: 1, 2, 3 … for each origin and partition.
    pub first: u64,
    /// Sequence numbers that the record takes up.
    pub count: u32,
    /// Messages in the body: fewer than `count` where only some were wanted.
    pub messages: u32,
    /// Length of the messages in bytes.
    pub length: u32,
}

impl Header {
    /// Sequence number of the last message.
    pub fn last(&self) -> u64 {
        self.first + u64::from(self.count) - 1
    }
}

/// Records of one origin, with their messages one behind the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The node that took the messages from its clients.
    pub origin: Instance,
    /// The records, in order.
    pub headers: Vec<Header>,
    /// The messages of all records, in order.
    pub body: Vec<Bytes>,
    bytes: usize,
    /// A range of the buffer that is being cut up, not yet in `body`.
    open: Option<Range<usize>>,
    compacted: bool,
}

impl Batch {
    pub(crate) fn new(origin: Instance) -> Self {
        Self {
            origin,
            headers: Vec::new(),
            body: Vec::new(),
            bytes: 0,
            open: None,
            compacted: false,
        }
    }

    /// A batch as it came over a link.
    pub fn received(origin: Instance, headers: Vec<Header>, body: Bytes) -> Self {
        Self {
            origin,
            headers,
            bytes: body.len(),
            body: vec![body],
            open: None,
            compacted: false,
        }
    }

    /// Bytes of all messages.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Messages of all records.
    pub fn messages(&self) -> u64 {
        self.headers
            .iter()
            .map(|header| u64::from(header.messages))
            .sum()
    }

    pub(crate) fn has_room(&self) -> bool {
        !self.compacted && self.bytes < BATCH_BYTES && self.headers.len() < BATCH_RECORDS
    }

    /// Adds a record; its messages are ranges of `source`, followed by [`Batch::close`] before
    /// anything is added from another buffer.
    pub(crate) fn add(&mut self, header: Header, source: &Bytes, ranges: &[Range<usize>]) {
        self.headers.push(header);
        for range in ranges {
            self.bytes += range.len();
            match &mut self.open {
                Some(open) if open.end == range.start => open.end = range.end,
                _ => {
                    self.close(source);
                    self.open = Some(range.clone());
                }
            }
        }
    }

    /// Gives the messages memory of their own: the batch waits for a slow link.
    pub(crate) fn compact(&mut self) {
        if !std::mem::replace(&mut self.compacted, true) {
            self.body.iter_mut().for_each(|part| *part = compact(part));
        }
    }

    pub(crate) fn close(&mut self, source: &Bytes) {
        if let Some(range) = self.open.take() {
            self.body.push(source.slice(range));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_in_a_buffer_become_one_slice() {
        let source = Bytes::from_static(b"0123456789");
        let header = Header {
            partition: 1,
            first: 1,
            count: 1,
            messages: 1,
            length: 2,
        };
        let mut batch = Batch::new(Instance(1));
        for range in [0..2, 2..4, 6..8, 8..10] {
            batch.add(header, &source, &[range]);
        }
        batch.close(&source);
        assert_eq!(batch.body, [&b"0123"[..], b"6789"]);
        assert_eq!(batch.bytes(), 8);
    }
}
