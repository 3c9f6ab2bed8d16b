//! The shapes of `/api/v1/queues` and `/api/v1/dead-tasks`.

use serde::{Deserialize, Serialize};

use super::Worker;

/// `GET /api/v1/queues`: the work queues of the whole mesh, as their owners know them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Queues {
    /// Sorted by name; at most 10,000 of each owner.
    pub queues: Vec<Queue>,
    /// Names of members that did not answer: their queues are missing.
    #[serde(default)]
    pub silent: Vec<String>,
}

/// One queue.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Queue {
    /// Its name; bytes that are not UTF-8 are shown as U+FFFD.
    pub name: String,
    /// The node that has its tasks. While a queue moves two have some.
    pub owner: String,
    /// The node that has the copy, if there is another node.
    pub copy: Option<String>,
    /// Whether the copy has everything: then no task is lost when the owner dies.
    pub copied: bool,
    /// Tasks that wait for a worker.
    pub ready: u64,
    /// Tasks that a worker has.
    pub given: u64,
    /// Tasks that were given too often.
    pub dead: u64,
    /// Tasks that wait for the copy or for a place; their pushers wait, too.
    pub untaken: u64,
    /// Bytes of all tasks, with 128 for each.
    pub bytes: u64,
    /// Times that a task was given to a worker, since the owner has the queue.
    pub given_total: u64,
    /// Of those, the ones that may have been given before.
    pub again_total: u64,
    /// Tasks that were done, since the owner has the queue.
    pub done_total: u64,
    /// Sorted by their node's instance and their id.
    pub workers: Vec<Worker>,
}

/// `GET /api/v1/dead-tasks?queue=NAME`: tasks that nobody is given any more.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DeadTasks {
    /// Oldest first; at most 1000.
    pub tasks: Vec<DeadTask>,
}

/// One of them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DeadTask {
    /// Its id.
    pub id: String,
    /// How often it may have been given.
    pub attempts: u8,
    /// Its frames, each cut at 1000 bytes; bytes that are not UTF-8 are shown as U+FFFD.
    pub frames: Vec<String>,
}
