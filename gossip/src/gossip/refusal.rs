//! Refused and broken connections: evidence of a killed process, which saves it no time.

use alloc::vec::Vec;

use super::Gossip;
use super::probe::Probe;
use crate::id::NodeId;

impl Gossip {
    /// An address refuses connections: whoever lives there is probed at once.
    pub(super) fn address_refused(&mut self, address: &str) {
        self.older_refused(address);
        if !self.config.refusals {
            return;
        }
        self.relays_refused(address);
        for id in self.table.at_address(address) {
            if id == self.id {
                continue;
            }
            self.stats.refused_connections += 1;
            if let Some(entry) = self.table.get_mut(id) {
                entry.refused_at = Some(self.now);
            }
            self.probe(id, true);
            self.consider_refusals(id);
        }
    }

    /// A connection to an address broke: whoever lives there is probed at once.
    pub(super) fn address_reset(&mut self, address: &str) {
        if !self.config.refusals {
            return;
        }
        for id in self.table.at_address(address) {
            if id != self.id {
                self.stats.reset_connections += 1;
                self.probe(id, true);
            }
        }
    }

    /// Ends the probes of a member at once if its address refuses connections as seen from here
    /// and from a helper, or from here when no helper can be asked.
    pub(super) fn consider_refusals(&mut self, target: NodeId) {
        let conclusive = |p: &Probe| {
            p.target == target
                && self.refuses(target)
                && (p.refused || (p.direct_until.is_none() && self.all_refuse(&p.helpers)))
        };
        let waiting = self.probes.waiting.iter();
        let over: Vec<u32> = waiting
            .filter(|(_, probe)| conclusive(probe))
            .map(|(&seq, _)| seq)
            .collect();
        over.into_iter().for_each(|seq| self.probe_failed(seq));
    }

    /// Whether the member's address refused this node and nothing was heard of it since.
    pub(super) fn refuses(&self, id: NodeId) -> bool {
        self.table
            .get(id)
            .is_some_and(|entry| entry.refused_at.is_some())
    }

    pub(super) fn all_refuse(&self, helpers: &[NodeId]) -> bool {
        helpers.iter().all(|&id| self.refuses(id))
    }
}
