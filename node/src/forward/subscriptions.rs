//! Clients subscribe and unsubscribe; the other nodes hear of it; the clients hear when all have.

use super::interest::{Change, MAX_PREFIX_BYTES};
use super::own::{self, OWN};
use super::peers::Message;
use super::router::{Output, Router, SELF};
use super::{ClientId, Time};

/// Bytes of prefixes that one client, and all clients of a node together, may subscribe to: every
/// other node keeps them too.
const CLIENT_PREFIX_BYTES: usize = 8 << 20;
const NODE_PREFIX_BYTES: usize = 64 << 20;

/// No subscription is ready until every death is so old. A node may be held dead here by mistake
/// while others give it their records, and it does not know of subscriptions that came after. By
/// then the others hold it dead, too (a death that is only told is doubted for 2 s), or it has
/// objected and is asked like everybody.
pub const DEATH_PATIENCE: Time = Time::from_secs(3);

/// Why a subscription was not taken: the connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// See [`MAX_PREFIX_BYTES`].
    #[error("prefix longer than {MAX_PREFIX_BYTES} bytes")]
    TooLong,
    /// The connection holds as many as it may.
    #[error("more subscriptions than max-subscriptions, or too many bytes of prefixes")]
    TooMany,
}

impl Router {
    /// A client wants messages whose topic begins with a prefix.
    pub fn handle_subscribe(
        &mut self,
        client: ClientId,
        prefix: &[u8],
        now: Time,
    ) -> Result<(), SubscribeError> {
        let Some(state) = self.clients.get_mut(client) else {
            return Ok(());
        };
        if prefix.len() > MAX_PREFIX_BYTES {
            return Err(SubscribeError::TooLong);
        }
        let full = state.subscriptions.len() >= self.limits.subscriptions
            || state.prefix_bytes + prefix.len() > CLIENT_PREFIX_BYTES
            || self.interest.bytes() + prefix.len() > NODE_PREFIX_BYTES;
        if full && !state.subscriptions.contains_key(prefix) {
            return Err(SubscribeError::TooMany);
        }
        if self.clients.is_withdrawn() && !prefix.starts_with(OWN) {
            return Ok(());
        }
        let Some(state) = self.clients.get_mut(client) else {
            return Ok(());
        };
        let wanted_ready = state.wants_ready();
        if !state.subscribe(prefix) {
            return Ok(());
        }
        if prefix.starts_with(OWN) {
            if !wanted_ready {
                self.tell_what_is_ready(client, now);
            }
            return Ok(());
        }
        self.clients.index.insert(prefix, client.0);
        if self.interest.hold(prefix, client, now) {
            self.nodes.insert(prefix, SELF);
            self.tell_peers((true, prefix.to_vec()));
        }
        self.check_ready(now);
        Ok(())
    }

    /// A client no longer wants messages whose topic begins with a prefix.
    pub fn handle_unsubscribe(&mut self, client: ClientId, prefix: &[u8]) {
        let Some(state) = self.clients.get_mut(client) else {
            return;
        };
        if !state.unsubscribe(prefix) {
            return;
        }
        self.clients.index.remove(prefix, client.0);
        self.interest.forget_prefix(client, prefix);
        self.release_prefix(prefix);
    }

    /// The node is about to go: from now on its clients want nothing more. The other nodes hear of
    /// it, and what waits for the clients stays.
    pub fn handle_withdrawal(&mut self) {
        for (client, prefix) in self.clients.withdraw() {
            self.interest.forget_prefix(client, &prefix);
            self.release_prefix(&prefix);
        }
    }

    /// Whether every node with a link to it has taken in what this node's clients want now.
    pub fn is_interest_known(&self) -> bool {
        let version = self.interest.version();
        let mut linked = self.peers.iter().filter(|peer| peer.is_here() && peer.up);
        linked.all(|peer| peer.acked_interest >= Some(version))
    }

    /// One connection less holds a prefix.
    pub(super) fn release_prefix(&mut self, prefix: &[u8]) {
        if self.interest.release(prefix) {
            self.nodes.remove(prefix, SELF);
            self.tell_peers((false, prefix.to_vec()));
        }
    }

    fn tell_peers(&mut self, change: Change) {
        let version = self.interest.version();
        for slot in self.peers.linked() {
            let peer = self.peers.get_mut(slot);
            if let Some(Message::Interest {
                version: last,
                changes,
                ..
            }) = peer.outgoing.back_mut()
            {
                *last = version;
                changes.push(change.clone());
                continue;
            }
            if peer.outgoing.is_empty() {
                self.outputs.push_back(Output::Link(peer.instance));
            }
            let changes = vec![change.clone()];
            peer.outgoing.push_back(Message::Interest {
                version,
                snapshot: false,
                changes,
            });
        }
    }

    /// Looks which subscriptions every member of the topology has acked.
    pub(super) fn check_ready(&mut self, now: Time) {
        if self.doubted_deaths.values().any(|until| *until > now) {
            return;
        }
        let mut level = self.interest.version();
        for peer in &self.topology.peers {
            let state = self
                .peers
                .find(peer.instance)
                .and_then(|slot| self.peers.get(slot));
            match state.and_then(|state| state.acked_interest) {
                Some(acked) => level = level.min(acked),
                None => return,
            }
        }
        for ready in self.interest.acked(level) {
            self.outputs
                .push_back(Output::SubscriptionReady(now.saturating_sub(ready.since)));
            if self
                .clients
                .get_mut(ready.client)
                .is_some_and(|client| client.wants_ready())
            {
                self.tell_ready(ready.client, &ready.prefix, now);
            }
        }
    }

    fn tell_what_is_ready(&mut self, client: ClientId, now: Time) {
        let Some(state) = self.clients.get_mut(client) else {
            return;
        };
        if !state.wants_ready() {
            return;
        }
        let mut ready: Vec<Vec<u8>> = state.subscriptions.keys().cloned().collect();
        ready.retain(|prefix| self.interest.is_ready(prefix));
        ready.sort_unstable();
        for prefix in ready {
            self.tell_ready(client, &prefix, now);
        }
    }

    fn tell_ready(&mut self, client: ClientId, prefix: &[u8], now: Time) {
        self.tell_client(client, own::ready(prefix), now);
    }
}
