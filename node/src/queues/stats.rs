//! What is known of queues, for people.

use bytes::Bytes;

use super::owner::Owned;
use super::{Queues, TaskId};
use crate::forward::{ClientId, Instance};

/// What has become of a queue's tasks here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tasks that were given to a worker, each time.
    pub given: u64,
    /// Of those, the ones that may have been given before.
    pub again: u64,
    /// Tasks that were done.
    pub done: u64,
    /// Tasks that were given too often.
    pub dead: u64,
    /// Of those, the ones that made room for others.
    pub dead_dropped: u64,
}

/// Counters and sizes of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Tasks of this node's pushers that are safe.
    pub taken: u64,
    /// Those that are not yet.
    pub untaken: usize,
    /// Clients of this node that work.
    pub workers: usize,
    /// Of the queues that are here: tasks that wait for a worker, are with one, and are dead.
    pub ready: usize,
    /// See above.
    pub given: usize,
    /// See above.
    pub dead: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Queues here, and those of them whose copy is not complete.
    pub queues: usize,
    /// See above.
    pub uncopied: usize,
    /// What has become of their tasks.
    pub counts: Counts,
}

/// A queue, as its owner knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueStats {
    /// Its name.
    pub name: Bytes,
    /// Tasks that wait for a worker, are with one, were given too often, and are not safe yet.
    pub ready: usize,
    /// See above.
    pub given: usize,
    /// See above.
    pub dead: usize,
    /// See above.
    pub untaken: usize,
    /// Bytes of all.
    pub bytes: usize,
    /// Who has the copy, and whether that is complete.
    pub copy: Option<(Instance, bool)>,
    /// Node and client of each worker, its credit, and the tasks that it has.
    pub workers: Vec<(Instance, ClientId, u32, usize)>,
    /// What has become of its tasks.
    pub counts: Counts,
}

impl Queues {
    /// The queues that are here, sorted by name; so many at most.
    pub fn list(&self, most: usize) -> Vec<QueueStats> {
        let owned = self.owned.iter().take(most);
        owned.map(|(name, owned)| describe(name, owned)).collect()
    }

    /// One of them.
    pub fn queue(&self, name: &[u8]) -> Option<QueueStats> {
        let (name, owned) = self.owned.get_key_value(name)?;
        Some(describe(name, owned))
    }

    /// Tasks of a queue that nobody is given any more, oldest first: id, attempts and frames.
    pub fn dead_tasks(&self, name: &[u8], most: usize) -> Vec<(TaskId, u8, Bytes)> {
        let tasks = self.owned.get(name).map(|owned| owned.store.dead_tasks());
        let tasks = tasks.into_iter().flatten().take(most);
        tasks
            .map(|(id, task)| (id, task.attempt, task.body.clone()))
            .collect()
    }

    /// Counters and sizes.
    pub fn stats(&self) -> Stats {
        let mut stats = Stats {
            taken: self.pushes.taken,
            untaken: self.pushes.len(),
            workers: self.workers.len(),
            queues: self.owned.len(),
            counts: self.past,
            ..Stats::default()
        };
        for owned in self.owned.values() {
            stats.ready += owned.store.ready();
            stats.given += owned.store.given();
            stats.dead += owned.store.dead();
            stats.bytes += owned.store.bytes();
            stats.uncopied += usize::from(!owned.is_copied());
            stats.counts.add(owned.stats);
        }
        stats
    }
}

impl Counts {
    pub(super) fn add(&mut self, other: Self) {
        self.given += other.given;
        self.again += other.again;
        self.done += other.done;
        self.dead += other.dead;
        self.dead_dropped += other.dead_dropped;
    }
}

fn describe(name: &Bytes, owned: &Owned) -> QueueStats {
    let workers = owned.workers.iter();
    QueueStats {
        name: name.clone(),
        ready: owned.store.ready(),
        given: owned.store.given(),
        dead: owned.store.dead(),
        untaken: owned.waiting,
        bytes: owned.store.bytes(),
        copy: owned.feed.map(|feed| (feed.to, owned.is_copied())),
        workers: workers
            .map(|((node, client), it)| (*node, *client, it.credit, it.tasks.len()))
            .collect(),
        counts: owned.stats,
    }
}
