//! What happens to the mesh, as this node sees it. Each event has its line in the log, its count,
//! its place among the latest, and its message to those of the node's clients who asked for it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;

use crate::metrics::{EVENTS, Metrics};
use crate::report::Event;

/// Events that are remembered for the HTTP API.
const REMEMBERED: usize = 256;

/// Events that may wait for the data thread. One beyond that reaches no subscriber: it is in the
/// log, in the counts and among the latest all the same, and the gap shows in the numbers.
const WAITING: usize = 1024;

/// Every kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    MemberDiscovered,
    MemberRestarted,
    MemberSuspected,
    MemberAlive,
    MemberDead,
    MemberLeft,
    OwnerMoved,
    LinkUp,
    LinkDown,
    SlowFull,
    SlowRelieved,
    SlowDisconnected,
    NodeReady,
    NodeReloaded,
    NodeLeaving,
}

impl Kind {
    /// Every kind with its name: what follows `$zmesh.event.` in its topic.
    pub(crate) const ALL: [(&'static str, Self); 15] = [
        ("member.discovered", Self::MemberDiscovered),
        ("member.restarted", Self::MemberRestarted),
        ("member.suspected", Self::MemberSuspected),
        ("member.alive", Self::MemberAlive),
        ("member.dead", Self::MemberDead),
        ("member.left", Self::MemberLeft),
        ("owner.moved", Self::OwnerMoved),
        ("link.up", Self::LinkUp),
        ("link.down", Self::LinkDown),
        ("slow.full", Self::SlowFull),
        ("slow.relieved", Self::SlowRelieved),
        ("slow.disconnected", Self::SlowDisconnected),
        ("node.ready", Self::NodeReady),
        ("node.reloaded", Self::NodeReloaded),
        ("node.leaving", Self::NodeLeaving),
    ];

    fn name(self) -> &'static str {
        Self::ALL[self as usize].0
    }

    /// Whether it is worth waking someone.
    fn is_warning(self) -> bool {
        matches!(
            self,
            Self::MemberDead | Self::SlowFull | Self::SlowDisconnected
        )
    }
}

/// The events of a node; clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Events {
    node: Arc<str>,
    metrics: Metrics,
    latest: Arc<Mutex<Latest>>,
    to_clients: mpsc::Sender<Event>,
}

#[derive(Debug, Default)]
struct Latest {
    seq: u64,
    events: VecDeque<Event>,
}

impl Events {
    /// The events of the node of this name. What comes out of the receiver is for its clients.
    pub(crate) fn new(node: &str, metrics: Metrics) -> (Self, mpsc::Receiver<Event>) {
        let (to_clients, for_clients) = mpsc::channel(WAITING);
        let events = Self {
            node: node.into(),
            metrics,
            latest: Arc::default(),
            to_clients,
        };
        (events, for_clients)
    }

    /// Something happened to `subject`; `text` is a sentence for people, without a full stop.
    pub(crate) fn tell(&self, kind: Kind, subject: &str, text: &str, fields: &[(&str, String)]) {
        let details: BTreeMap<String, String> = fields
            .iter()
            .map(|(name, value)| ((*name).into(), value.clone()))
            .collect();
        if kind.is_warning() {
            tracing::warn!(event = kind.name(), subject, "{text}");
        } else {
            tracing::info!(event = kind.name(), subject, "{text}");
        }
        self.metrics.add(&EVENTS, &[kind.name()], 1);
        self.remember(Event {
            event: kind.name().into(),
            node: self.node.to_string(),
            seq: 0,
            at_ms: wall_clock_ms(),
            subject: subject.into(),
            text: text.into(),
            fields: details,
        });
    }

    /// Name of the node whose events these are.
    pub(crate) fn node(&self) -> &str {
        &self.node
    }

    /// For what is counted along with an event.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The latest events, oldest first.
    pub(crate) fn latest(&self, most: usize) -> Vec<Event> {
        let latest = self.lock();
        let surplus = latest.events.len().saturating_sub(most);
        latest.events.iter().skip(surplus).cloned().collect()
    }

    /// Numbers an event, keeps it, and passes it on to clients: in one order.
    fn remember(&self, mut event: Event) {
        let mut latest = self.lock();
        latest.seq += 1;
        event.seq = latest.seq;
        if latest.events.len() >= REMEMBERED {
            latest.events.pop_front();
        }
        latest.events.push_back(event.clone());
        if self.to_clients.try_send(event).is_err() {
            tracing::debug!("an event found the data thread busy or ended: no client is told");
        }
    }

    /// Held for a moment, and only when something happens or somebody looks.
    fn lock(&self) -> MutexGuard<'_, Latest> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Milliseconds since 1970; 0 by a clock before that.
pub(crate) fn wall_clock_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(0)
}
