//! The seed's side of a join: whom it lets in, and what it tells those whom it does not.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::Gossip;
use super::sync::parts;
use crate::output::Output;
use crate::packet::{Body, Header, PROTOCOL_VERSION, Refusal, Verdict};

/// Shortest time between two reports of nodes that were not let in.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// What a node that wants in says of itself.
pub(super) struct Asked {
    pub(super) via: String,
    pub(super) name: String,
    pub(super) cluster: String,
    pub(super) partitions: u32,
}

impl Gossip {
    /// A node wants in through this one.
    pub(super) fn receive_join(&mut self, version: u8, header: &Header, asked: Asked) {
        if (header.from, header.nonce) == (self.id, self.nonce) {
            self.join.is_me(&asked.via);
            return;
        }
        if let Some(reason) = self.objection(version, &asked) {
            self.turn_away(header, asked, reason);
            return;
        }
        if header.from == self.id {
            self.answer_namesake(header);
            return;
        }
        if self.leave.is_some() {
            return;
        }
        self.stats.joins += 1;
        let announced = self.join.is_announced();
        let told = self
            .table
            .entries()
            .filter(|e| e.member.id != self.id || announced);
        let mut loads = parts(told.map(|entry| entry.aged(self.now)).collect());
        if loads.is_empty() {
            loads.push(Vec::new());
        }
        let parts = loads.len() as u16;
        for (part, load) in (0..).zip(loads) {
            let verdict = Verdict::Accept { part, parts };
            self.emit(
                &header.address,
                Body::JoinAck {
                    via: asked.via.clone(),
                    verdict,
                },
                load,
            );
        }
    }

    fn objection(&self, version: u8, asked: &Asked) -> Option<Refusal> {
        if version != PROTOCOL_VERSION {
            return Some(Refusal::Version {
                joiner: version,
                seed: PROTOCOL_VERSION,
            });
        }
        if asked.cluster != self.cluster {
            let (joiner, seed) = (asked.cluster.clone(), self.cluster.clone());
            return Some(Refusal::Cluster { joiner, seed });
        }
        let (joiner, seed) = (asked.partitions, self.config.partitions);
        (joiner != seed).then_some(Refusal::Partitions { joiner, seed })
    }

    fn turn_away(&mut self, header: &Header, asked: Asked, reason: Refusal) {
        self.stats.refusals += 1;
        let verdict = Verdict::Refuse(reason.clone());
        self.emit(
            &header.address,
            Body::JoinAck {
                via: asked.via,
                verdict,
            },
            Vec::new(),
        );
        if self.now < self.join.next_report {
            return;
        }
        self.join.next_report = self.now + REPORT_INTERVAL;
        let address = header.address.clone();
        self.outputs.push_back(Output::RefusedOther {
            name: asked.name,
            address,
            reason,
        });
    }
}
