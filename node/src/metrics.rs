//! All metrics of a node, with their help texts. A registry per node: nothing is global.
//!
//! What happens rarely is counted where it happens; what happens per message is counted in plain
//! numbers by the core and copied here when somebody looks ([`Metrics::update`]).

use prometheus::core::Collector;
use prometheus::{
    Encoder, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use crate::close::CloseReason;
use crate::forward::{DropReason, Stats};

/// Bounds for the time until a subscription is known everywhere, in seconds: from one round trip
/// on a host to what a lost link costs.
const READY_BUCKETS: [f64; 10] = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.0, 10.0];

/// See the module. Clones share their numbers.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) ready: IntGauge,
    pub(crate) members: IntGaugeVec,
    pub(crate) view_hash: IntGauge,
    pub(crate) view_members: IntGauge,
    pub(crate) view_changes: IntCounter,
    pub(crate) partitions_owned: IntGauge,
    pub(crate) links: IntGaugeVec,
    pub(crate) gossip_packets: IntCounterVec,
    pub(crate) gossip_bytes: IntCounterVec,
    pub(crate) gossip_rejected: IntCounterVec,
    pub(crate) gossip_probes: IntCounterVec,
    pub(crate) subscription_ready: Histogram,
    gossip_closed: IntCounterVec,
    links_refused: IntCounterVec,
    connections: IntGaugeVec,
    connections_opened: IntCounterVec,
    connections_closed: IntCounterVec,
    messages: Messages,
}

#[derive(Clone, Debug)]
struct Messages {
    taken: IntCounter,
    taken_bytes: IntCounter,
    forwarded: IntCounter,
    forwarded_bytes: IntCounter,
    matched: IntCounter,
    delivered: IntCounter,
    delivered_bytes: IntCounter,
    dropped: IntCounterVec,
    dropped_bytes: IntCounterVec,
    duplicate_records: IntCounter,
    undone_bytes: IntGauge,
    queued_bytes: IntGauge,
    unacked_bytes: IntGauge,
    moving_partitions: IntGauge,
    subscriptions: IntGauge,
}

impl Metrics {
    /// A registry with every metric of a node.
    pub(crate) fn new(version: &str) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let r = &registry;
        register_process(r, version)?;
        let metrics = Self {
            ready: gauge(r, "zmesh_ready", "1 once the node takes messages, else 0.")?,
            members: gauges(r, "zmesh_members", "Members known, by state.", "state")?,
            view_hash: gauge(
                r,
                "zmesh_view_hash",
                "Upper 48 bits of the hash of the view: equal where nodes agree.",
            )?,
            view_members: gauge(r, "zmesh_view_members", "Members in the view.")?,
            view_changes: counter(r, "zmesh_view_changes_total", "Views published.")?,
            partitions_owned: gauge(r, "zmesh_partitions_owned", "Partitions this node owns.")?,
            links: gauges(r, "zmesh_links", "Links to other nodes, by state.", "state")?,
            links_refused: by_reason(
                r,
                "zmesh_links_refused_total",
                "Connections to the link port refused, or closed for what they said, by reason.",
            )?,
            gossip_packets: counters(
                r,
                "zmesh_gossip_packets_total",
                "Gossip packets, by type and direction.",
                &["type", "direction"],
            )?,
            gossip_bytes: counters(
                r,
                "zmesh_gossip_bytes_total",
                "Bytes of gossip packets, by direction.",
                &["direction"],
            )?,
            gossip_rejected: by_reason(
                r,
                "zmesh_gossip_packets_rejected_total",
                "Gossip packets that could not be read or came from elsewhere, by reason.",
            )?,
            gossip_probes: probes(r)?,
            gossip_closed: by_reason(
                r,
                "zmesh_gossip_connections_closed_total",
                "Connections to the gossip port that were closed, by reason.",
            )?,
            connections: gauges(
                r,
                "zmesh_connections",
                "Clients connected by ZMTP, by the socket type of the client.",
                "socket_type",
            )?,
            connections_opened: counters(
                r,
                "zmesh_connections_opened_total",
                "ZMTP handshakes completed, by the socket type of the client.",
                &["socket_type"],
            )?,
            connections_closed: by_reason(
                r,
                "zmesh_connections_closed_total",
                "Connections to the client address that were closed, by reason.",
            )?,
            messages: Messages::new(r)?,
            subscription_ready: ready_histogram(r)?,
            registry: registry.clone(),
        };
        metrics.name_reasons();
        Ok(metrics)
    }

    /// A counter that is there from the start, with zero, makes its first rise visible.
    fn name_reasons(&self) {
        for reason in CloseReason::of_clients() {
            self.connections_closed.with_label_values(&[reason.name()]);
        }
        for reason in CloseReason::of_gossip() {
            self.gossip_closed.with_label_values(&[reason.name()]);
        }
        for reason in CloseReason::of_links() {
            self.links_refused.with_label_values(&[reason.name()]);
        }
        for (reason, _) in DropReason::ALL {
            self.messages.dropped.with_label_values(&[reason]);
            self.messages.dropped_bytes.with_label_values(&[reason]);
        }
    }

    /// Copies the core's numbers.
    pub(crate) fn update(&self, stats: &Stats) {
        let messages = &self.messages;
        raise(&messages.taken, stats.taken_messages);
        raise(&messages.taken_bytes, stats.taken_bytes);
        raise(&messages.forwarded, stats.forwarded_messages);
        raise(&messages.forwarded_bytes, stats.forwarded_bytes);
        raise(&messages.matched, stats.matched_messages);
        raise(&messages.delivered, stats.delivered_messages);
        raise(&messages.delivered_bytes, stats.delivered_bytes);
        raise(&messages.duplicate_records, stats.duplicate_records);
        for (reason, kind) in DropReason::ALL {
            raise(
                &messages.dropped.with_label_values(&[reason]),
                stats.dropped[kind as usize],
            );
            raise(
                &messages.dropped_bytes.with_label_values(&[reason]),
                stats.dropped_bytes[kind as usize],
            );
        }
        messages.undone_bytes.set(stats.undone_bytes as i64);
        messages.queued_bytes.set(stats.queued_bytes as i64);
        messages.unacked_bytes.set(stats.unacked_bytes as i64);
        messages
            .moving_partitions
            .set(stats.moving_partitions as i64);
        messages.subscriptions.set(stats.prefixes as i64);
    }

    /// A client has finished its handshake.
    pub(crate) fn connection_opened(&self, socket_type: &str) {
        self.connections.with_label_values(&[socket_type]).inc();
        self.connections_opened
            .with_label_values(&[socket_type])
            .inc();
    }

    /// A client that had finished its handshake has gone.
    pub(crate) fn connection_ended(&self, socket_type: &str) {
        self.connections.with_label_values(&[socket_type]).dec();
    }

    /// A connection to the client address was closed.
    pub(crate) fn connection_closed(&self, reason: CloseReason) {
        self.connections_closed
            .with_label_values(&[reason.name()])
            .inc();
    }

    /// Closed connections by reason, without the reasons that did not happen.
    pub(crate) fn closed_connections(&self) -> Vec<(&'static str, u64)> {
        let counts = CloseReason::of_clients()
            .map(CloseReason::name)
            .map(|name| {
                let counter = self.connections_closed.with_label_values(&[name]);
                (name, counter.get())
            });
        counts.filter(|(_, count)| *count > 0).collect()
    }

    /// A connection to the link port was refused, or closed for what it said.
    pub(crate) fn link_refused(&self, reason: CloseReason) {
        self.links_refused.with_label_values(&[reason.name()]).inc();
    }

    /// A connection to the gossip port was closed.
    pub(crate) fn gossip_connection_closed(&self, reason: CloseReason) {
        self.gossip_closed.with_label_values(&[reason.name()]).inc();
    }

    /// Everything in Prometheus's text format.
    pub(crate) fn text(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut out = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut out)?;
        Ok(out)
    }
}

impl Messages {
    fn new(r: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            taken: counter(
                r,
                "zmesh_messages_taken_total",
                "Messages taken from clients.",
            )?,
            taken_bytes: counter(r, "zmesh_bytes_taken_total", "Bytes taken from clients.")?,
            forwarded: counter(
                r,
                "zmesh_messages_forwarded_total",
                "Messages given to links, each time they were given.",
            )?,
            forwarded_bytes: counter(r, "zmesh_bytes_forwarded_total", "Bytes given to links.")?,
            matched: counter(
                r,
                "zmesh_messages_matched_total",
                "Pairs of a message and a client of this node that wanted it.",
            )?,
            delivered: counter(
                r,
                "zmesh_messages_delivered_total",
                "Messages handed to clients' sockets.",
            )?,
            delivered_bytes: counter(r, "zmesh_bytes_delivered_total", "Bytes of those.")?,
            dropped: counters(
                r,
                "zmesh_messages_dropped_total",
                "Messages dropped, by reason.",
                &["reason"],
            )?,
            dropped_bytes: counters(
                r,
                "zmesh_bytes_dropped_total",
                "Bytes of dropped messages, by reason.",
                &["reason"],
            )?,
            duplicate_records: counter(
                r,
                "zmesh_records_duplicate_total",
                "Records that came once more, after a link or an owner was lost, and were skipped.",
            )?,
            undone_bytes: gauge(
                r,
                "zmesh_undone_bytes",
                "Bytes taken from clients and not yet known to be with all who want them.",
            )?,
            queued_bytes: gauge(
                r,
                "zmesh_queued_bytes",
                "Bytes that wait in subscribers' queues.",
            )?,
            unacked_bytes: gauge(
                r,
                "zmesh_unacked_bytes",
                "Bytes that this node passed on as owner and that were not yet acknowledged.",
            )?,
            moving_partitions: gauge(
                r,
                "zmesh_moving_partitions",
                "Partitions whose messages wait for the old owner before they go to the new one.",
            )?,
            subscriptions: gauge(
                r,
                "zmesh_subscriptions",
                "Distinct prefixes that this node's clients subscribe to.",
            )?,
        })
    }
}

/// Brings a counter up to a number that was counted elsewhere.
pub(crate) fn raise(counter: &IntCounter, to: u64) {
    counter.inc_by(to.saturating_sub(counter.get()));
}

fn register<C: Collector + Clone + 'static>(
    registry: &Registry,
    collector: C,
) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

fn counter(r: &Registry, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
    register(r, IntCounter::new(name, help)?)
}

/// How long subscriptions took until they were in force.
fn ready_histogram(registry: &Registry) -> Result<Histogram, prometheus::Error> {
    let options = HistogramOpts::new(
        "zmesh_subscription_ready_seconds",
        "Time from a subscription until every member has acknowledged it.",
    );
    let histogram = Histogram::with_opts(options.buckets(READY_BUCKETS.to_vec()))?;
    registry.register(Box::new(histogram.clone()))?;
    Ok(histogram)
}

/// Counters with the label `reason`.
fn by_reason(
    registry: &Registry,
    name: &str,
    help: &str,
) -> Result<IntCounterVec, prometheus::Error> {
    counters(registry, name, help, &["reason"])
}

/// What the process is, and on Linux what it uses.
fn register_process(registry: &Registry, version: &str) -> Result<(), prometheus::Error> {
    #[cfg(target_os = "linux")]
    {
        use prometheus::process_collector::ProcessCollector;
        registry.register(Box::new(ProcessCollector::for_self()))?;
    }
    let build = gauges(
        registry,
        "zmesh_build_info",
        "Always 1; the label says what runs.",
        "version",
    )?;
    build.with_label_values(&[version]).set(1);
    Ok(())
}

fn probes(r: &Registry) -> Result<IntCounterVec, prometheus::Error> {
    counters(
        r,
        "zmesh_gossip_probes_total",
        "Probes of members: started, asked of helpers too, failed, \
         spared since the link had brought something, answered by somebody else.",
        &["stage"],
    )
}

fn counters(
    r: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec, prometheus::Error> {
    register(r, IntCounterVec::new(Opts::new(name, help), labels)?)
}

fn gauge(r: &Registry, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
    register(r, IntGauge::new(name, help)?)
}

fn gauges(
    r: &Registry,
    name: &str,
    help: &str,
    label: &str,
) -> Result<IntGaugeVec, prometheus::Error> {
    register(r, IntGaugeVec::new(Opts::new(name, help), &[label])?)
}
