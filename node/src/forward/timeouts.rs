//! What the core does as time goes by.

use std::collections::BTreeSet;

use super::router::{Output, Router, TICK};
use super::serving::Slot;
use super::{DropReason, Time};

/// A node that owes acks and gives no sign of taking messages for so long is passed over until it
/// does. A silent link is given up after 4 s and an attempt to make it again takes up to 3 s: on a
/// bad network more than one must be possible. Meanwhile its publishers wait, if they must.
const ACK_PATIENCE: Time = Time::from_secs(20);

/// How often it is looked whether old memories can go.
const EXPIRY: Time = Time::from_secs(30);

impl Router {
    /// Looks at everything that depends on time.
    pub fn handle_timeout(&mut self, now: Time) {
        let late = now.saturating_sub(self.next_tick);
        for slot in self.peers.slots() {
            self.peers.get_mut(slot).excuse(late, now);
        }
        self.next_tick = now + TICK;
        self.look_at_clients(TICK + late);
        self.topics.tick(now);
        self.tell_of_the_slow(now);
        self.pass_over_the_silent(now);
        self.say_holding();
        self.release_held(now);
        if self.doubted_deaths.values().any(|until| *until <= now) {
            self.check_ready(now);
        }
        self.ring_changed(now);
        self.compact();
        if now >= self.next_expiry {
            self.next_expiry = now + EXPIRY;
            self.expire(now);
        }
        self.settle(now);
    }

    /// Counts the time for which publishers are not read from, by how many there are now.
    fn look_at_clients(&mut self, since: Time) {
        let throttled = self.clients.throttled() as u32;
        self.stats.throttled_time += since * throttled;
    }

    fn tell_of_the_slow(&mut self, now: Time) {
        let news = self.clients.slow_news(now).into_iter();
        self.outputs
            .extend(news.map(|(client, word)| Output::Slow(client, word)));
    }

    fn compact(&mut self) {
        self.outbox.compact();
        self.serving.compact();
        for slot in self.peers.linked() {
            self.peers.get_mut(slot).compact();
        }
    }

    fn pass_over_the_silent(&mut self, now: Time) {
        for slot in self.peers.slots() {
            let peer = self.peers.get_mut(slot);
            let silent = now.saturating_sub(peer.progress_at) >= ACK_PATIENCE;
            if peer.owing > 0 && silent && !peer.passed_over {
                peer.passed_over = true;
                peer.drop_deliveries();
                self.outputs.push_back(Output::PassedOver(peer.instance));
                self.stop_waiting_for(slot, DropReason::PassedOver, now);
            }
        }
    }

    /// Peers whose acks this node holds back, because a subscriber's queue is full or because it
    /// waits for the interest of others, must not take it for dead.
    fn say_holding(&mut self) {
        let withheld = self.withheld.keys().map(|(from, _, _)| *from);
        let mut holding: BTreeSet<Slot> = withheld.collect();
        let slots = self.peers.slots().into_iter();
        holding.extend(slots.filter(|slot| {
            let peer = self.peers.get(*slot);
            peer.is_some_and(|peer| !peer.awaiting.is_empty())
        }));
        for slot in holding {
            if self.peers.get(slot).is_none_or(|peer| !peer.accepted) {
                continue;
            }
            let peer = self.peers.get_mut(slot);
            if !peer.has_replies() {
                self.outputs.push_back(Output::Accepted(peer.instance));
            }
            peer.say_holding = true;
        }
    }

    fn expire(&mut self, now: Time) {
        let (me, peers) = (self.me, &self.peers);
        let is_here = |instance| instance == me || peers.find(instance).is_some();
        self.dedup.expire(is_here, now);
        self.serving.expire(is_here, now);
        self.departed.expire(now);
        for slot in self.peers.slots() {
            let peer = self.peers.get_mut(slot);
            if peer
                .learned_at
                .is_some_and(|at| now.saturating_sub(at) >= EXPIRY)
            {
                // Membership has had the time to take it in, and did not.
                peer.learned_at = None;
                self.review_peer(slot, now);
            }
        }
    }
}
