//! What a metric is.

use std::time::Duration;

/// What kind of metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises, from 0 at the node's start.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Counts by these upper bounds, with a sum.
    Histogram(&'static [Duration]),
}

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name: base units, counters end in `_total`.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Its labels beside `cluster` and `node`.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

/// A counter.
pub(super) const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric {
        name,
        kind: Kind::Counter,
        labels,
        help,
    }
}

/// A gauge.
pub(super) const fn gauge(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric {
        name,
        kind: Kind::Gauge,
        labels,
        help,
    }
}

/// A histogram without labels.
pub(super) const fn histogram(
    name: &'static str,
    bounds: &'static [Duration],
    help: &'static str,
) -> Metric {
    Metric {
        name,
        kind: Kind::Histogram(bounds),
        labels: &[],
        help,
    }
}
