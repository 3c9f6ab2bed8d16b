//! The Grafana boards of `dashboards/grafana`: what they show, what is wrong with them, and
//! pictures of them.

pub mod check;
pub mod command;
mod draw;
pub mod expression;
mod life;
pub mod metrics_page;
pub mod model;
mod prometheus;

use std::fs;

use anyhow::{Context, Result};

use crate::tidy::root;
use model::Board;

/// The boards, in the order in which a person opens them.
pub const BOARDS: [&str; 4] = ["mesh", "node", "messages", "gossip"];

/// Metrics that no board shows, and why.
pub const NOT_ON_A_BOARD: &[(&str, &str)] = &[
    (
        "process_virtual_memory_bytes",
        "what is reserved, not what is used: process_resident_memory_bytes says that",
    ),
    (
        "zmesh_tasks_bytes",
        "the board Messages shows the tasks themselves; how much memory a node uses, all \
         together, is on the board Node",
    ),
    (
        "zmesh_config_reloads_total",
        "it happens when somebody wants it, who finds what came of it in the log; nodes whose \
         settings differ are on the board Mesh",
    ),
];

/// What the `prometheus` crate tells of the process, on Linux: name, type, and what it says.
pub const PROCESS_METRICS: &[(&str, &str, &str)] = &[
    (
        "process_cpu_seconds_total",
        "counter",
        "CPU time used, in user and system mode.",
    ),
    ("process_max_fds", "gauge", "How many files may be open."),
    ("process_open_fds", "gauge", "How many files are open."),
    (
        "process_resident_memory_bytes",
        "gauge",
        "Memory that the process uses.",
    ),
    (
        "process_start_time_seconds",
        "gauge",
        "When the process started, since 1970.",
    ),
    ("process_threads", "gauge", "Threads of the process."),
    (
        "process_virtual_memory_bytes",
        "gauge",
        "Memory that the process has reserved.",
    ),
];

/// Reads one board.
pub fn read(name: &str) -> Result<Board> {
    let path = root().join(format!("dashboards/grafana/{name}.json"));
    let text = fs::read_to_string(&path)
        .with_context(|| format!("cannot read the board {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no board", path.display()))
}

/// Reads all boards, with the names of their files.
pub fn read_all() -> Result<Vec<(&'static str, Board)>> {
    BOARDS.iter().map(|name| Ok((*name, read(name)?))).collect()
}
