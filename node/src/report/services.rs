//! The shapes of `/api/v1/services`.

use serde::{Deserialize, Serialize};

/// `GET /api/v1/services`: the services of the whole mesh, as their owners know them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Services {
    /// Sorted by name; at most 10,000 of each owner.
    pub services: Vec<Service>,
    /// Names of members that did not answer: their services are missing.
    #[serde(default)]
    pub silent: Vec<String>,
}

/// One service.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Service {
    /// Its name; bytes that are not UTF-8 are shown as U+FFFD.
    pub name: String,
    /// The node that picks its workers.
    pub owner: String,
    /// Requests that wait for a worker.
    pub waiting: u64,
    /// Sorted by their node's instance and their id.
    pub workers: Vec<Worker>,
}

/// Who serves it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Worker {
    /// Name of its node.
    pub node: String,
    /// Its id in that node's `connections`.
    pub id: u64,
    /// Requests that it takes at a time.
    pub credit: u32,
    /// Requests that it has.
    pub outstanding: u32,
}
