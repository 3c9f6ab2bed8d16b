//! Packets come in: who may speak, what the header tells, and which file answers the body.

use alloc::collections::BTreeMap;
use core::cmp::Ordering;
use core::time::Duration;

use super::Gossip;
use crate::codec::{DecodeError, decode};
use crate::id::NodeId;
use crate::member::{Claim, State};
use crate::output::Event;
use crate::packet::{Body, Header, PROTOCOL_VERSION, Packet, Verdict};

/// Shortest time between two accusations of one member.
const ACCUSE_INTERVAL: Duration = Duration::from_secs(1);
/// A data thread this far behind is worth a line in the log.
const LAG_WORTH_TELLING: Duration = Duration::from_secs(1);

impl Gossip {
    pub(super) fn receive_bytes(&mut self, bytes: &[u8]) {
        self.stats.received_bytes += bytes.len() as u64;
        match decode(bytes) {
            Ok(packet) => {
                let kind = packet.body.kind() as usize;
                self.stats.received[kind] += 1;
                self.stats.received_bytes_by[kind] += bytes.len() as u64;
                self.receive(packet);
            }
            Err(DecodeError::Version(_)) => self.stats.foreign += 1,
            Err(_) => self.stats.malformed += 1,
        }
    }

    fn receive(&mut self, packet: Packet) {
        let Packet {
            version,
            header,
            body,
            records,
        } = packet;
        if self.twin.has_lost() {
            return;
        }
        if let Body::Join {
            via,
            name,
            cluster,
            partitions,
        } = body
        {
            let asked = super::admit::Asked {
                via,
                name,
                cluster,
                partitions,
            };
            self.receive_join(version, &header, asked);
            return;
        }
        if let Body::JoinAck {
            via,
            verdict: Verdict::Refuse(reason),
        } = body
        {
            self.refused_by_seed(&header, via, reason);
            return;
        }
        if version != PROTOCOL_VERSION || header.cluster != self.cluster_hash {
            self.stats.foreign += 1;
            return;
        }
        if header.from == self.id {
            self.receive_namesake(&header, &body);
            return;
        }
        if self.leave.is_some() {
            self.receive_while_leaving(&header, &body);
            return;
        }
        let told = match &body {
            Body::SyncRes { .. } => records.iter().map(|r| (r.id, r.claim())).collect(),
            _ => BTreeMap::new(),
        };
        let beyond = self.is_from_beyond(&header);
        for record in records {
            if beyond || self.is_doubtful(&record) {
                self.doubt(record);
            } else {
                self.learn(record);
            }
        }
        self.heard(&header);
        self.answer(&header, body, &told);
    }

    fn answer(&mut self, header: &Header, body: Body, told: &BTreeMap<NodeId, Claim>) {
        let from = header.from;
        match body {
            Body::JoinAck {
                via,
                verdict: Verdict::Accept { part, parts },
            } => {
                self.let_in(header, &via, part, parts);
            }
            // Until it is announced a node speaks for nobody: an older process with its name may
            // still be the one that is meant.
            _ if !self.join.is_announced() => {}
            Body::Ping { seq, target, nonce } => self.receive_ping(header, seq, target, nonce),
            Body::Ack { seq, lag_ms } => {
                self.note_lag(from, Duration::from_millis(lag_ms.into()));
                self.receive_ack(from, seq);
            }
            Body::PingReq {
                seq,
                target,
                nonce,
                address,
            } => {
                self.start_relay(header, seq, target, nonce, &address);
            }
            Body::PingRes { seq, outcome } => self.receive_finding(from, seq, outcome),
            Body::WrongTarget { seq } => self.receive_wrong_target(from, seq),
            Body::SyncReq { buckets } => self.answer_sync(&header.address, &buckets),
            Body::SyncRes { buckets } => self.finish_sync(&header.address, &buckets, told),
            Body::Leave => self.emit(&header.address, Body::LeaveAck, alloc::vec::Vec::new()),
            Body::Join { .. }
            | Body::JoinAck { .. }
            | Body::Gossip
            | Body::Accuse
            | Body::LeaveAck
            | Body::Twin { .. }
            | Body::Stop { .. } => {}
        }
    }

    /// What the header of any packet from another node tells.
    fn heard(&mut self, header: &Header) {
        self.end_isolation();
        let (now, digest) = (self.now, self.table.digest());
        if let Some(entry) = self.table.get_mut(header.from) {
            match (header.epoch, header.nonce).cmp(&entry.member.instance()) {
                Ordering::Equal => {
                    entry.view = Some(header.view);
                    entry.refused_at = None;
                    entry.heard_at = now;
                    entry.spared_at = None;
                    let held = matches!(entry.member.state, State::Suspect | State::Dead);
                    if held && header.incarnation <= entry.member.incarnation {
                        self.accuse(header);
                    }
                }
                Ordering::Less => self.accuse(header),
                Ordering::Greater => {}
            }
        }
        if header.digest == digest {
            let limit = self.retransmit_limit();
            self.rumors.met_one_who_knows(limit);
        } else {
            self.consider_sync(&header.address);
        }
    }

    /// Tells a node what is held of it, so that it can refute.
    fn accuse(&mut self, header: &Header) {
        let now = self.now;
        let Some(entry) = self.table.get_mut(header.from) else {
            return;
        };
        let lately = |at| now < at + ACCUSE_INTERVAL;
        if !self.config.accusations || entry.accused_at.is_some_and(lately) {
            return;
        }
        entry.accused_at = Some(now);
        let record = entry.aged(now);
        self.emit(&header.address, Body::Accuse, alloc::vec![record]);
    }

    fn note_lag(&mut self, from: NodeId, lag: Duration) {
        let Some(entry) = self.table.get_mut(from) else {
            return;
        };
        let was_behind = entry.lag >= LAG_WORTH_TELLING;
        entry.lag = lag;
        if lag >= LAG_WORTH_TELLING && !was_behind {
            let name = entry.member.name.clone();
            self.event(Event::Lagging { name, lag });
        }
    }

    /// Answers a ping that is meant for this very process, and says so if it is not.
    fn receive_ping(&mut self, header: &Header, seq: u32, target: NodeId, nonce: u64) {
        if (target, nonce) == (self.id, self.nonce) {
            let lag_ms = u32::try_from(self.lag.as_millis()).unwrap_or(u32::MAX);
            self.reply(header, Body::Ack { seq, lag_ms });
        } else {
            let me = self.me().clone();
            self.emit(&header.address, Body::WrongTarget { seq }, alloc::vec![me]);
        }
    }

    /// Answers the sender of a packet, with the news and with what is held of it.
    pub(super) fn reply(&mut self, header: &Header, body: Body) {
        let known = self.table.get(header.from);
        if known.is_some_and(|entry| entry.member.gossip == header.address) {
            self.send_member(header.from, body);
        } else {
            self.send(&header.address, body);
        }
    }
}
