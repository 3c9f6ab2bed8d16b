//! What rumors missed is found by the digest in every header and mended bucket by bucket.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::Gossip;
use super::send::FULL_LOAD;
use crate::id::NodeId;
use crate::member::{Claim, Member};
use crate::packet::Body;
use crate::table::BUCKETS;

impl Gossip {
    /// Somebody's table differs. While there is news that alone may be the reason, so the sync
    /// waits longer then.
    pub(super) fn consider_sync(&mut self, address: &str) {
        let patience = if self.rumors.is_empty() { 1 } else { 4 };
        let wait = self.config.sync_interval * patience;
        if !self.join.is_announced() || self.sync_at.is_some_and(|at| self.now < at + wait) {
            return;
        }
        self.sync_at = Some(self.now);
        self.stats.syncs += 1;
        let buckets = self.table.buckets().to_vec();
        self.emit(address, Body::SyncReq { buckets }, Vec::new());
    }

    /// Sends the records of the buckets that differ, whole buckets to a packet where they fit.
    pub(super) fn answer_sync(&mut self, to: &str, theirs: &[u64]) {
        let (mut covered, mut load, mut size) = (Vec::new(), Vec::new(), 0);
        for bucket in 0..BUCKETS {
            if theirs.get(bucket) == Some(&self.table.buckets()[bucket]) {
                continue;
            }
            let records: Vec<Member> = self.table.bucket(bucket, self.now).collect();
            let more: usize = records.iter().map(Member::size_bound).sum();
            if more > FULL_LOAD {
                self.send_in_parts(to, records);
                continue;
            }
            if size + more > FULL_LOAD {
                let buckets = core::mem::take(&mut covered);
                self.emit(to, Body::SyncRes { buckets }, core::mem::take(&mut load));
                size = 0;
            }
            covered.push(bucket as u8);
            load.extend(records);
            size += more;
        }
        if !covered.is_empty() {
            self.emit(to, Body::SyncRes { buckets: covered }, load);
        }
    }

    /// The answer has been taken in with the records of its packet; what this node holds in the
    /// same buckets and the other may lack goes back.
    pub(super) fn finish_sync(
        &mut self,
        to: &str,
        answered: &[u8],
        theirs: &BTreeMap<NodeId, Claim>,
    ) {
        let newer = |mine: &Member| {
            theirs
                .get(&mine.id)
                .is_none_or(|claim| *claim < mine.claim())
        };
        let mut back: Vec<Member> = Vec::new();
        for &bucket in answered {
            back.extend(self.table.bucket(bucket.into(), self.now).filter(newer));
        }
        self.send_in_parts(to, back);
    }

    /// Sends records in as many packets as they need.
    pub(super) fn send_in_parts(&mut self, to: &str, records: Vec<Member>) {
        for part in parts(records) {
            self.emit(to, Body::Gossip, part);
        }
    }
}

/// Cuts records into loads for packets.
pub(super) fn parts(records: Vec<Member>) -> Vec<Vec<Member>> {
    let mut parts: Vec<Vec<Member>> = Vec::new();
    let mut room = 0;
    for record in records {
        let size = record.size_bound();
        if size > room {
            parts.push(Vec::new());
            room = FULL_LOAD;
        }
        room = room.saturating_sub(size);
        if let Some(part) = parts.last_mut() {
            part.push(record);
        }
    }
    parts
}
