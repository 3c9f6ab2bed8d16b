//! The metrics of a node. A registry per node: nothing is global.
//!
//! What happens rarely is counted where it happens; what happens per message is counted in plain
//! numbers by the core and copied here when somebody looks (`control/scrape.rs`). The catalogue
//! names them all.

mod catalogue;
mod family;
mod metric;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use prometheus::{Encoder, Registry, TextEncoder};

pub use self::catalogue::METRICS;
pub(crate) use self::catalogue::*;
use self::family::Family;
pub use self::metric::{Kind, Metric};
use crate::close::CloseReason;
use crate::forward::DropReason;

/// Socket types that clients may have.
pub(crate) const SOCKET_TYPES: [&str; 8] =
    ["PUB", "XPUB", "SUB", "XSUB", "REQ", "DEALER", "REP", "PUSH"];

/// See the module. Clones share their numbers.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    families: Arc<HashMap<&'static str, Family>>,
}

impl Metrics {
    /// A registry with every metric of the node of this name.
    pub(crate) fn new(cluster: &str, node: &str, version: &str) -> Result<Self, prometheus::Error> {
        let labels = [("cluster", cluster), ("node", node)];
        let labels = labels.map(|(name, value)| (name.into(), value.into()));
        let registry = Registry::new_custom(None, Some(HashMap::from(labels)))?;
        #[cfg(target_os = "linux")]
        {
            use prometheus::process_collector::ProcessCollector;
            registry.register(Box::new(ProcessCollector::for_self()))?;
        }
        let mut families = HashMap::new();
        for metric in METRICS {
            families.insert(metric.name, Family::new(&registry, metric)?);
        }
        let metrics = Self {
            registry,
            families: Arc::new(families),
        };
        metrics.set(&BUILD_INFO, &[version], 1.0);
        metrics.name_reasons();
        Ok(metrics)
    }

    /// A counter that is there from the start, with zero, makes its first rise visible.
    fn name_reasons(&self) {
        for reason in CloseReason::of_clients() {
            self.add(&CONNECTIONS_CLOSED, &[reason.name()], 0);
        }
        for reason in CloseReason::of_gossip() {
            self.add(&GOSSIP_CLOSED, &[reason.name()], 0);
        }
        for reason in CloseReason::of_links() {
            self.add(&LINKS_REFUSED, &[reason.name()], 0);
        }
        for (name, reason) in DropReason::ALL {
            let labels = [name, reason.place().name()];
            self.add(&DROPPED, &labels, 0);
            self.add(&DROPPED_BYTES, &labels, 0);
        }
        for (name, _) in crate::events::Kind::ALL {
            self.add(&EVENTS, &[name], 0);
        }
        for result in ["applied", "unchanged", "refused"] {
            self.add(&CONFIG_RELOADS, &[result], 0);
        }
        for reason in ["cluster", "version", "partitions"] {
            for by in ["this", "seed"] {
                self.add(&JOINS_REFUSED, &[reason, by], 0);
            }
        }
        for cause in ["join", "leave", "death", "balance"] {
            for direction in ["gained", "lost"] {
                self.add(&PARTITION_MOVES, &[direction, cause], 0);
            }
        }
        for socket_type in SOCKET_TYPES {
            self.add(&CONNECTIONS_OPENED, &[socket_type], 0);
        }
        self.add(&VIEW_CHANGES, &[], 0);
    }

    /// Sets a gauge.
    pub(crate) fn set(&self, metric: &Metric, labels: &[&str], value: f64) {
        match self.families.get(metric.name) {
            Some(Family::Gauge(gauges)) => gauges.with_label_values(labels).set(value),
            _ => debug_assert!(false, "{} is no gauge of the catalogue", metric.name),
        }
    }

    /// Adds to a counter.
    pub(crate) fn add(&self, metric: &Metric, labels: &[&str], count: u64) {
        match self.families.get(metric.name) {
            Some(Family::Counter(counters)) => {
                counters.with_label_values(labels).inc_by(count as f64);
            }
            _ => debug_assert!(false, "{} is no counter of the catalogue", metric.name),
        }
    }

    /// Brings a counter up to a number that was counted elsewhere.
    pub(crate) fn raise(&self, metric: &Metric, labels: &[&str], to: f64) {
        match self.families.get(metric.name) {
            Some(Family::Counter(counters)) => {
                let counter = counters.with_label_values(labels);
                counter.inc_by((to - counter.get()).max(0.0));
            }
            _ => debug_assert!(false, "{} is no counter of the catalogue", metric.name),
        }
    }

    /// Forgets the series of a metric whose labels come and go: they are set anew.
    pub(crate) fn clear(&self, metric: &Metric) {
        match self.families.get(metric.name) {
            Some(Family::Counter(counters)) => counters.reset(),
            Some(Family::Gauge(gauges)) => gauges.reset(),
            _ => debug_assert!(false, "{} has no labels", metric.name),
        }
    }

    /// Takes over a histogram that was counted elsewhere.
    pub(crate) fn copy(&self, metric: &Metric, counts: &[u64], sum: Duration) {
        match self.families.get(metric.name) {
            Some(Family::Histogram(histogram)) => histogram.copy(counts, sum),
            _ => debug_assert!(false, "{} is no histogram of the catalogue", metric.name),
        }
    }

    /// Counts a time in a histogram.
    pub(crate) fn observe(&self, metric: &Metric, time: Duration) {
        match self.families.get(metric.name) {
            Some(Family::Histogram(histogram)) => histogram.observe(time),
            _ => debug_assert!(false, "{} is no histogram of the catalogue", metric.name),
        }
    }

    /// A client has finished its handshake.
    pub(crate) fn connection_opened(&self, socket_type: &str) {
        self.add(&CONNECTIONS_OPENED, &[socket_type], 1);
    }

    /// A connection to the client address was closed.
    pub(crate) fn connection_closed(&self, reason: CloseReason) {
        self.add(&CONNECTIONS_CLOSED, &[reason.name()], 1);
    }

    /// Closed connections by reason, without the reasons that did not happen.
    pub(crate) fn closed_connections(&self) -> Vec<(&'static str, u64)> {
        let Some(Family::Counter(counters)) = self.families.get(CONNECTIONS_CLOSED.name) else {
            return Vec::new();
        };
        let counts = CloseReason::of_clients()
            .map(CloseReason::name)
            .map(|name| (name, counters.with_label_values(&[name]).get() as u64));
        counts.filter(|(_, count)| *count > 0).collect()
    }

    /// A connection to the link port was refused, or closed for what it said.
    pub(crate) fn link_refused(&self, reason: CloseReason) {
        self.add(&LINKS_REFUSED, &[reason.name()], 1);
    }

    /// A connection to the gossip port was closed.
    pub(crate) fn gossip_connection_closed(&self, reason: CloseReason) {
        self.add(&GOSSIP_CLOSED, &[reason.name()], 1);
    }

    /// Everything in Prometheus's text format.
    pub(crate) fn text(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut out = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut out)?;
        Ok(out)
    }
}
