//! The control thread: HTTP, the ring that follows from membership, and the node's end.

mod api;
mod connections;
mod console;
mod drain;
mod elsewhere;
mod explain;
mod foreign;
mod http;
mod link_totals;
mod mesh;
mod moved;
mod queues;
mod reach;
mod scrape;
mod services;
mod trace;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use tokio::sync::{mpsc, watch};
use zmesh_gossip::NodeId;

use crate::data::Asker;
use crate::drain::Drain;
use crate::events::{Events, Kind};
use crate::forward::Time;
use crate::hub::{HttpConnection, Phase};
use crate::metrics::Metrics;
use crate::view::{Membership, View};

use self::moved::tell_view;

pub(crate) use http::serve;
pub(crate) use link_totals::LinkTotals;
pub(crate) use mesh::MeshLook;

/// What the handlers of the HTTP API know.
pub(crate) struct Shared {
    pub(crate) name: String,
    pub(crate) cluster: String,
    pub(crate) id: NodeId,
    pub(crate) client: String,
    pub(crate) gossip: String,
    pub(crate) link: String,
    pub(crate) version: &'static str,
    pub(crate) start: std::time::Instant,
    pub(crate) drain: Drain,
    pub(crate) data: Asker,
    pub(crate) view: watch::Receiver<Arc<View>>,
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) metrics: Metrics,
    pub(crate) events: Events,
    /// See [`crate::config::Config::digest`].
    pub(crate) config_hash: AtomicU64,
    pub(crate) mesh: MeshLook,
    /// Held while `/metrics` is made, by one thread.
    pub(crate) link_totals: Mutex<LinkTotals>,
}

impl Shared {
    fn uptime(&self) -> Time {
        self.start.elapsed()
    }
}

/// Makes a view of each membership, until membership ends. The node is ready when it is on the
/// ring itself.
pub(crate) async fn follow_membership(
    mut memberships: watch::Receiver<Arc<Membership>>,
    views: watch::Sender<Arc<View>>,
    phase: Arc<watch::Sender<Phase>>,
    me: NodeId,
    events: Events,
) {
    loop {
        let membership = Arc::clone(&memberships.borrow_and_update());
        let old = Arc::clone(&views.borrow());
        let changed = old.ring_hash != membership.view_hash;
        let before = Arc::clone(&old);
        let made = tokio::task::spawn_blocking(move || before.next(membership)).await;
        let Ok(view) = made else { return };
        if changed {
            tell_view(&events, &old, &view, me);
        }
        let on_ring = view.membership.view.contains(&me);
        views.send_replace(Arc::new(view));
        if on_ring {
            phase.send_if_modified(|phase| {
                let joined = *phase == Phase::Joining;
                if joined {
                    *phase = Phase::Ready;
                    let (me, text) = (events.node(), "takes messages");
                    events.tell(Kind::NodeReady, me, &format!("{me} {text}"), &[]);
                }
                joined
            });
        }
        if memberships.changed().await.is_err() {
            return;
        }
    }
}

/// HTTP connections that may wait for the control thread.
pub(crate) const HTTP_BACKLOG: usize = 256;

/// A channel for connections that turned out to speak HTTP.
pub(crate) fn http_channel() -> (mpsc::Sender<HttpConnection>, mpsc::Receiver<HttpConnection>) {
    mpsc::channel(HTTP_BACKLOG)
}
