//! Packets go out: the header, the records that ride along, and the rounds of gossip.

use alloc::borrow::ToOwned;
use alloc::vec::Vec;
use core::time::Duration;

use rand::seq::SliceRandom;

use super::Gossip;
use super::probe::PARTNERS;
use crate::codec::encode;
use crate::id::NodeId;
use crate::member::{Member, State};
use crate::output::Output;
use crate::packet::{Body, Header, PROTOCOL_VERSION, Packet};

/// Bytes of records in a packet that is sent for their sake: well under the largest packet.
pub(super) const FULL_LOAD: usize = 48 << 10;
/// Bytes of records in a packet of a gossip round.
const ROUND_LOAD: usize = 16 << 10;

impl Gossip {
    /// Sends to an address whose owner is not known.
    pub(super) fn send(&mut self, to: &str, body: Body) {
        let records = self.news(self.config.piggyback_bytes);
        self.emit(to, body, records);
    }

    /// Sends to a member. If it is held suspect or dead it is told so in the same packet, so that
    /// it can refute in its answer.
    pub(super) fn send_member(&mut self, id: NodeId, body: Body) {
        self.send_member_load(id, body, self.config.piggyback_bytes);
    }

    fn send_member_load(&mut self, id: NodeId, body: Body, load: usize) {
        let Some(entry) = self.table.get(id) else {
            return;
        };
        let to = entry.member.gossip.clone();
        let claim = (entry.member.state != State::Alive).then(|| entry.aged(self.now));
        let mut records = self.news(load);
        records.extend(claim);
        self.emit(&to, body, records);
    }

    /// Sends exactly these records.
    pub(super) fn emit(&mut self, to: &str, body: Body, records: Vec<Member>) {
        let me = self.me();
        let header = Header {
            cluster: self.cluster_hash,
            from: self.id,
            epoch: me.epoch,
            nonce: self.nonce,
            incarnation: me.incarnation,
            address: me.gossip.clone(),
            digest: self.table.digest(),
            view: self.view.hash(),
        };
        let kind = body.kind();
        let packet = encode(&Packet {
            version: PROTOCOL_VERSION,
            header,
            body,
            records,
        });
        self.stats.sent[kind as usize] += 1;
        self.stats.sent_bytes += packet.len() as u64;
        self.stats.sent_bytes_by[kind as usize] += packet.len() as u64;
        self.outputs.push_back(Output::Send {
            to: to.to_owned(),
            packet,
        });
    }

    /// Gives this node's own record to an address.
    pub(super) fn introduce_myself(&mut self, to: &str) {
        let me = self.me().clone();
        self.emit(to, Body::Gossip, alloc::vec![me]);
    }

    /// Up to `count` members that are held alive, chosen at random, without those in `but`.
    pub(super) fn pick(&mut self, count: usize, but: &[NodeId]) -> Vec<NodeId> {
        let unfit = |id: &NodeId| but.contains(id) || self.table.suspects().contains(id);
        let mut fit: Vec<NodeId> = self.others().filter(|id| !unfit(id)).collect();
        let (chosen, _) = fit.partial_shuffle(&mut self.rng, count);
        chosen.to_vec()
    }

    /// Other members held alive or suspect.
    fn others(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.table
            .live()
            .iter()
            .copied()
            .filter(|&id| id != self.id)
    }

    /// Whom news is told. In a large mesh these are the members that were probed last, a random
    /// part of all that changes slowly: so connections serve more than one packet, and the news
    /// goes round as fast as among all.
    fn partners(&self) -> Vec<NodeId> {
        let met = &self.probes.met;
        if self.table.live().len() <= PARTNERS || met.len() < PARTNERS {
            return self.others().collect();
        }
        let live = met.iter().copied().filter(|&id| self.table.is_live(id));
        live.collect()
    }

    /// Whether any other member is held alive or suspect.
    pub(super) fn has_company(&self) -> bool {
        self.table.live().len() > 1
    }

    pub(super) fn gossip_deadline(&self) -> Duration {
        let idle = self.rumors.is_empty() || !self.has_company();
        if idle {
            Duration::MAX
        } else {
            self.next_gossip
        }
    }

    pub(super) fn gossip_due(&mut self) {
        if self.now < self.gossip_deadline() {
            return;
        }
        self.next_gossip = self.now + self.config.gossip_interval;
        let mut others = self.partners();
        let (chosen, _) = others.partial_shuffle(&mut self.rng, self.config.gossip_fanout);
        for &mut id in chosen {
            if self.rumors.is_empty() {
                break;
            }
            self.send_member_load(id, Body::Gossip, ROUND_LOAD);
        }
    }

    /// News for one packet: first what this node says of itself, so that a refutation is never
    /// queued behind what others say, then the least told.
    fn news(&mut self, bytes: usize) -> Vec<Member> {
        if !self.join.is_announced() || self.rumors.is_empty() {
            return Vec::new();
        }
        let mut room = bytes;
        let (mut records, mut forgotten) = (Vec::new(), Vec::new());
        let own = self.rumors.is_waiting(self.id).then_some(self.id);
        let others = self.rumors.waiting().filter(|&id| id != self.id);
        for id in own.into_iter().chain(others) {
            let Some(entry) = self.table.get(id) else {
                forgotten.push(id);
                continue;
            };
            let Some(left) = room.checked_sub(entry.member.size_bound()) else {
                break;
            };
            room = left;
            records.push(entry.aged(self.now));
        }
        forgotten.into_iter().for_each(|id| self.rumors.remove(id));
        let limit = self.retransmit_limit();
        records
            .iter()
            .for_each(|record| self.rumors.told(record.id, limit));
        records
    }

    /// 3 × ceil(log2(N + 1)): how often each update is sent.
    pub(super) fn retransmit_limit(&self) -> u32 {
        let members = self.table.live().len();
        self.config.retransmit_factor * (usize::BITS - members.leading_zeros())
    }
}
