//! Metrics of requests.

use super::super::metric::{Metric, counter, gauge, histogram};
use crate::forward::Times;

pub(crate) const REQUESTS: Metric = counter(
    "zmesh_requests_total",
    &["outcome"],
    "Requests of this node's clients that came to an end: answered, or with which error \
     (no_worker, timeout, worker_lost, busy, bad_request).",
);
pub(crate) const REQUEST_SECONDS: Metric = histogram(
    "zmesh_request_seconds",
    &Times::BOUNDS,
    "Time from a request until its answer, of those that were answered.",
);
pub(crate) const REQUESTS_IN_FLIGHT: Metric = gauge(
    "zmesh_requests_in_flight",
    &[],
    "Requests of this node's clients without an answer.",
);
pub(crate) const REQUESTS_WAITING: Metric = gauge(
    "zmesh_requests_waiting",
    &[],
    "Requests that wait here, at the owner of their service, for a worker.",
);
pub(crate) const WORKERS: Metric = gauge(
    "zmesh_workers",
    &[],
    "Clients of this node that serve something.",
);
pub(crate) const REQUEST_RETRIES: Metric = counter(
    "zmesh_request_retries_total",
    &[],
    "Requests of this node's clients that were asked again, of idempotent services.",
);
pub(crate) const BREAKERS_OPEN: Metric = gauge(
    "zmesh_service_breakers_open",
    &[],
    "Services that this node does not ask for a while, since their workers kept failing.",
);
