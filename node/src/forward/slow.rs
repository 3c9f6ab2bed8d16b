//! Subscribers that do not keep up: when a queue becomes full, and when it is well again.
//!
//! A queue that is read slowly is full, has room for one message, and is full again, thousands of
//! times a second. All of that is one time of being slow: it ends when half of the room is free
//! and nothing was dropped for a while.

use super::clients::Clients;
use super::lane::{LaneId, Pushed};
use super::{ClientId, Stats, Time};
use crate::config::QueuePolicy;

/// A queue that has dropped nothing for so long may be well again.
const QUIET: Time = Time::from_secs(2);

/// Word of a subscriber's queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slow {
    /// It has become full.
    Full {
        /// What happens to messages now.
        policy: QueuePolicy,
        /// Prefix of the rule whose part of the queue is full; empty for topics without a rule.
        prefix: Vec<u8>,
        /// Bytes that wait.
        queue_bytes: usize,
    },
    /// It has room again.
    Relieved {
        /// Messages that were dropped meanwhile.
        dropped: u64,
        /// For how long it was slow.
        after: Time,
    },
}

/// A time of being slow.
#[derive(Debug)]
pub(crate) struct Episode {
    lane: LaneId,
    /// Bytes that waited when it began.
    queue_bytes: usize,
    since: Time,
    dropped_before: u64,
    told: bool,
}

impl Episode {
    /// The rule whose part of the queue was full first.
    pub(crate) fn lane(&self) -> LaneId {
        self.lane
    }
}

impl Clients {
    /// Looks at what a push of so many messages did to a queue.
    pub(super) fn watch(
        &mut self,
        id: ClientId,
        lane: LaneId,
        (pushed, messages): (Pushed, u64),
        stats: &mut Stats,
        now: Time,
    ) {
        let lost = match pushed {
            Pushed::Queued { dropped } if dropped.messages == 0 => return,
            Pushed::Queued { dropped } => dropped.messages,
            Pushed::Refused => messages,
            Pushed::Disconnect | Pushed::Blocked => 0,
        };
        let policy = self.policy(lane);
        let Some(client) = self.get_mut(id) else {
            return;
        };
        if client.slow.is_some() {
            return;
        }
        client.slow = Some(Episode {
            lane,
            queue_bytes: client.queue.bytes(),
            since: now,
            dropped_before: client.queue.dropped().saturating_sub(lost),
            told: false,
        });
        self.slow.insert(id);
        stats.became_slow[policy as usize] += 1;
    }

    /// How many do not keep up. One that has gone is counted for a moment longer at most.
    pub(super) fn slow_count(&self) -> usize {
        self.slow.len()
    }

    /// What there is to say of slow subscribers since the last time.
    pub(super) fn slow_news(&mut self, now: Time) -> Vec<(ClientId, Slow)> {
        let mut news = Vec::new();
        for id in self.slow.clone() {
            let word = self.news_of(id, now);
            let is_slow = self.get_mut(id).is_some_and(|client| client.slow.is_some());
            if !is_slow {
                self.slow.remove(&id);
            }
            news.extend(word.map(|word| (id, word)));
        }
        news
    }

    fn news_of(&mut self, id: ClientId, now: Time) -> Option<Slow> {
        let lane = self.get_mut(id)?.slow.as_ref()?.lane;
        let (policy, prefix) = (self.policy(lane), self.prefix(lane));
        let client = self.get_mut(id)?;
        let episode = client.slow.as_mut()?;
        if !std::mem::replace(&mut episode.told, true) {
            return Some(Slow::Full {
                policy,
                prefix,
                queue_bytes: episode.queue_bytes,
            });
        }
        let well = client.queue.lanes().iter().all(|lane| {
            let quiet = lane
                .dropped_at()
                .is_none_or(|at| now.saturating_sub(at) >= QUIET);
            quiet && lane.full_since().is_none() && lane.bytes() <= lane.config().bytes / 2
        });
        if !well {
            return None;
        }
        let (since, before) = (episode.since, episode.dropped_before);
        client.slow = None;
        Some(Slow::Relieved {
            dropped: client.queue.dropped().saturating_sub(before),
            after: now.saturating_sub(since),
        })
    }
}
