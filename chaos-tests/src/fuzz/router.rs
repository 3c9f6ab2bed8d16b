//! A forwarding core for scripts, and what holds of every core after every input.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use zmesh_node::config::{QueueConfig, QueuePolicy};
use zmesh_node::forward::{ClientId, DropReason, Instance, Limits, Output, Ring, Router};
use zmesh_node::zmtp::frames::FrameLimits;
use zmesh_partition::{Member, Table};

/// This node.
pub(crate) const ME: Instance = Instance(1);

/// When it starts.
pub(crate) const START: Duration = Duration::from_secs(1000);

/// More than any one input leads to.
const MOST_OUTPUTS: usize = 10_000;

pub(crate) const FRAMES: FrameLimits = FrameLimits {
    message_bytes: 1 << 20,
    frames: 16,
};

/// With queues and budgets that a script can fill.
pub(crate) fn small(policy: QueuePolicy) -> Router {
    router(policy, 600)
}

/// With room for everything.
pub(crate) fn roomy() -> Router {
    router(QueuePolicy::DropNewest, 1 << 30)
}

fn router(policy: QueuePolicy, bytes: usize) -> Router {
    let limits = Limits {
        frames: FRAMES,
        connection_budget: 4 << 10,
        node_budget: 6 << 10,
        subscriptions: 6,
        queue: QueueConfig { bytes, policy },
    };
    Router::new(ME, limits, START)
}

/// The ring of the instances whose bit is set, the lowest bit being instance 1.
pub(crate) fn ring(mask: usize) -> Arc<Ring> {
    static RINGS: OnceLock<Vec<Arc<Ring>>> = OnceLock::new();
    let rings = RINGS.get_or_init(|| (0..16).map(|mask| Arc::new(make(mask))).collect());
    Arc::clone(&rings[mask % 16])
}

fn make(mask: u64) -> Ring {
    let instances = (1..=4).filter(|instance| mask >> (instance - 1) & 1 == 1);
    let ids: HashMap<[u8; 16], Instance> = instances
        .map(|instance| ([instance as u8; 16], Instance(instance)))
        .collect();
    let member = |id: &[u8; 16]| Member { id: *id, weight: 1 };
    Ring::new(Table::new(&ids.keys().map(member).collect::<Vec<_>>()), ids)
}

/// Drains a core; `each` sees what it puts out.
pub(crate) fn drain(router: &mut Router, mut each: impl FnMut(Output)) {
    for count in 0.. {
        assert!(count < MOST_OUTPUTS, "there is no end to its outputs");
        let Some(output) = router.poll_output() else {
            return;
        };
        each(output);
    }
}

/// Nothing is lost without being counted, and nothing is counted twice.
pub(crate) fn conserves<'a>(router: &Router, clients: impl Iterator<Item = &'a ClientId>) {
    let stats = router.stats();
    let clients: Vec<_> = clients
        .filter_map(|client| router.client_stats(*client))
        .collect();
    let clients = || clients.iter();
    let waiting: u64 = clients().map(|client| client.queue_messages).sum();
    let queued: usize = clients().map(|client| client.queue_bytes).sum();
    let dropped = |reason: DropReason| stats.dropped[reason as usize];
    let lost = dropped(DropReason::QueueFull)
        + dropped(DropReason::QueueOldest)
        + dropped(DropReason::SubscriberGone);
    assert_eq!(
        stats.matched_messages,
        stats.delivered_messages + waiting + lost,
        "matched = delivered + waiting + dropped: {stats:?}"
    );
    assert_eq!(stats.queued_bytes, queued);
    for client in clients() {
        assert!(
            client.undone_bytes <= stats.undone_bytes,
            "{client:?} of {stats:?}"
        );
    }
}

/// Nothing is left of what came and went.
pub(crate) fn is_empty(router: &Router) {
    let stats = router.stats();
    let left = [
        ("undone", stats.undone_bytes),
        ("queued", stats.queued_bytes),
        ("unacked", stats.unacked_bytes),
        ("moving", stats.moving_partitions),
        ("prefixes", stats.prefixes),
        ("peers", router.peer_stats().count()),
        ("origins", stats.origins.saturating_sub(1)),
    ];
    let left: Vec<_> = left.iter().filter(|(_, count)| *count > 0).collect();
    assert!(left.is_empty(), "left when everybody has gone: {left:?}");
}
