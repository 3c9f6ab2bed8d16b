//! Metrics of work queues.

use super::super::metric::{Metric, counter, gauge};

pub(crate) const TASKS_TAKEN: Metric = counter(
    "zmesh_tasks_taken_total",
    &[],
    "Tasks of this node's pushers that are safe at the owner of their queue and its copy.",
);
pub(crate) const TASKS_UNTAKEN: Metric = gauge(
    "zmesh_tasks_untaken",
    &[],
    "Tasks of this node's pushers that are not safe yet: a pusher with too many waits.",
);
pub(crate) const TASKS_GIVEN: Metric = counter(
    "zmesh_tasks_given_total",
    &["attempt"],
    "Times that a task of a queue here was given to a worker: for the first time, or again.",
);
pub(crate) const TASKS_ENDED: Metric = counter(
    "zmesh_tasks_ended_total",
    &["outcome"],
    "Tasks of queues here that were done, that were given too often (dead), and dead ones that \
     made room for others (dead_dropped).",
);
pub(crate) const TASKS: Metric = gauge(
    "zmesh_tasks",
    &["state"],
    "Tasks of queues here that wait for a worker (ready), are with one (given), and were given \
     too often (dead).",
);
pub(crate) const TASK_BYTES: Metric = gauge(
    "zmesh_tasks_bytes",
    &[],
    "Bytes of the tasks of queues here, with 128 for each.",
);
pub(crate) const QUEUES: Metric = gauge(
    "zmesh_work_queues",
    &["copy"],
    "Work queues here whose copy at another node is complete, and those without (incomplete): \
     their tasks are lost if this node dies now.",
);
pub(crate) const QUEUE_WORKERS: Metric = gauge(
    "zmesh_queue_workers",
    &[],
    "Clients of this node that work for a queue.",
);
