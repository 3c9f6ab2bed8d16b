//! Probing for others: a helper asks the target and tells what it found.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::Gossip;
use crate::id::NodeId;
use crate::packet::{Body, Header, Outcome};

/// A probe on behalf of another member.
#[derive(Debug)]
struct Relay {
    /// Who asked, and under which number.
    asker: NodeId,
    asker_seq: u32,
    target: NodeId,
    nonce: u64,
    sent: Duration,
    address: String,
    /// When the asker is told that there was no answer; `None` once it was.
    nack_at: Option<Duration>,
    /// Until then an answer is still worth telling.
    until: Duration,
}

/// Probes for others, by their own numbers.
#[derive(Debug, Default)]
pub(super) struct Relays {
    waiting: BTreeMap<u32, Relay>,
}

impl Relays {
    pub(super) fn deadline(&self) -> Duration {
        let relays = self.waiting.values();
        let next = relays.map(|relay| relay.nack_at.unwrap_or(relay.until));
        next.min().unwrap_or(Duration::MAX)
    }
}

impl Gossip {
    pub(super) fn start_relay(
        &mut self,
        header: &Header,
        asker_seq: u32,
        target: NodeId,
        nonce: u64,
        address: &str,
    ) {
        if self.refuses(target) {
            let body = Body::PingRes {
                seq: asker_seq,
                outcome: Outcome::Refused,
            };
            self.reply(header, body);
            return;
        }
        if self.relays.waiting.len() >= self.config.max_probes {
            return;
        }
        let seq = self.probes.next_seq();
        let direct = self.direct_timeout(target);
        let address = address.to_owned();
        self.send(&address, Body::Ping { seq, target, nonce });
        let relay = Relay {
            asker: header.from,
            asker_seq,
            target,
            nonce,
            sent: self.now,
            address,
            nack_at: Some(self.now + direct),
            until: self.now + direct.max(self.window(target)),
        };
        self.relays.waiting.insert(seq, relay);
    }

    pub(super) fn relays_due(&mut self) {
        let now = self.now;
        let late = |relay: &Relay| relay.nack_at.is_some_and(|at| at <= now);
        let mut late_for = Vec::new();
        for relay in self.relays.waiting.values_mut().filter(|it| late(it)) {
            relay.nack_at = None;
            late_for.push((relay.asker, relay.asker_seq));
        }
        let outcome = Outcome::Nack {
            healthy: self.health.is_good(),
        };
        for (asker, seq) in late_for {
            self.send_member(asker, Body::PingRes { seq, outcome });
        }
        self.relays.waiting.retain(|_, relay| relay.until > now);
    }

    /// Targets that have answered over their links, as it were.
    pub(super) fn end_relays_heard(&mut self) {
        let waiting = self.relays.waiting.iter();
        let heard = waiting.filter(|(_, it)| self.has_sign(it.nonce, it.sent));
        let heard: Vec<(u32, NodeId, u64, Duration)> = heard
            .map(|(&seq, it)| (seq, it.target, it.nonce, it.sent))
            .collect();
        for (seq, target, nonce, sent) in heard {
            if self.is_spared((target, nonce), sent) {
                self.end_relay(seq, Outcome::Ack);
            }
        }
    }

    /// The address of targets refuses connections.
    pub(super) fn relays_refused(&mut self, address: &str) {
        self.end_relays(|relay| relay.address == address, Outcome::Refused);
    }

    /// Somebody answered a ping that was sent for another member.
    pub(super) fn relay_answered(&mut self, from: NodeId, seq: u32, outcome: Outcome) {
        let Some(relay) = self.relays.waiting.get(&seq) else {
            return;
        };
        if (relay.target == from) == (outcome == Outcome::Ack) {
            self.end_relay(seq, outcome);
        }
    }

    fn end_relays(&mut self, which: impl Fn(&Relay) -> bool, outcome: Outcome) {
        let waiting = self.relays.waiting.iter();
        let over: Vec<u32> = waiting
            .filter(|(_, relay)| which(relay))
            .map(|(&seq, _)| seq)
            .collect();
        over.into_iter()
            .for_each(|seq| self.end_relay(seq, outcome));
    }

    fn end_relay(&mut self, seq: u32, outcome: Outcome) {
        if let Some(relay) = self.relays.waiting.remove(&seq) {
            self.send_member(
                relay.asker,
                Body::PingRes {
                    seq: relay.asker_seq,
                    outcome,
                },
            );
        }
    }
}
