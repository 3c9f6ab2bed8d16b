//! The view: which members share the partitions, published once it has settled.

use alloc::vec::Vec;
use core::time::Duration;

use super::Gossip;
use crate::config::Config;
use crate::id::{NodeId, first_eight};
use crate::output::Output;

/// What was published last, and since when it may be out of date.
#[derive(Debug, Default)]
pub(super) struct View {
    published: Option<u64>,
    /// First and last change since then.
    changed: Option<(Duration, Duration)>,
}

impl View {
    /// 0 before the first view.
    pub(super) fn hash(&self) -> u64 {
        self.published.unwrap_or(0)
    }

    /// Who is in the view has changed.
    pub(super) fn touch(&mut self, now: Duration) {
        let first = self.changed.map_or(now, |(first, _)| first);
        self.changed = Some((first, now));
    }

    pub(super) fn deadline(&self, config: &Config) -> Duration {
        self.changed.map_or(Duration::MAX, |(first, last)| {
            (last + config.view_quiet).min(first + config.view_latest)
        })
    }
}

impl Gossip {
    pub(super) fn view_due(&mut self) {
        if self.now < self.view.deadline(&self.config) {
            return;
        }
        self.view.changed = None;
        let mut hasher = blake3::Hasher::new_derive_key("zmesh v1 view");
        let mut ids: Vec<NodeId> = Vec::new();
        for member in self
            .table
            .entries()
            .map(|entry| &entry.member)
            .filter(|m| m.in_view())
        {
            hasher.update(&member.id.0);
            hasher.update(&member.nonce.to_le_bytes());
            hasher.update(&[member.weight]);
            ids.push(member.id);
        }
        let hash = first_eight(&hasher);
        if self.view.published != Some(hash) {
            self.view.published = Some(hash);
            self.outputs.push_back(Output::View { hash, ids });
        }
    }
}
