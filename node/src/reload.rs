//! Settings that change while the node runs.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc;

use crate::config::Config;
use crate::control::Shared;
use crate::events::Kind;
use crate::metrics::CONFIG_RELOADS;

/// Wishes that may wait: what comes beside them says nothing else.
const WAITING: usize = 8;

/// What became of the settings when they were read again.
#[derive(Clone, Debug)]
pub enum Reload {
    /// They have changed. Of them `queue`, `queue_rules`, `service_rules` and
    /// `drain_timeout` are taken over.
    Changed {
        /// All settings.
        config: Box<Config>,
        /// Each setting that has changed, with its old and its new value, for people.
        changes: String,
    },
    /// They are as they were.
    Unchanged,
    /// They cannot be taken over, for this reason: nothing changes.
    Refused(String),
}

/// Tells a node of its settings.
#[derive(Clone, Debug)]
pub struct ReloadHandle {
    sender: mpsc::Sender<Reload>,
}

impl ReloadHandle {
    /// A handle, and what hears it.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Reload>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self { sender }, receiver)
    }

    /// The node takes over what has changed, and tells of it in any case. It returns before that.
    pub fn reload(&self, reload: Reload) {
        // Closed: the node has ended.
        let _ = self.sender.blocking_send(reload);
    }
}

/// Takes over settings for as long as the node runs.
pub(crate) async fn follow(shared: Arc<Shared>, mut reloads: mpsc::Receiver<Reload>) {
    while let Some(reload) = reloads.recv().await {
        let result = match reload {
            Reload::Changed { config, changes } => {
                take_over(&shared, *config, changes).await;
                "applied"
            }
            Reload::Unchanged => {
                tracing::info!("settings read again: nothing has changed");
                "unchanged"
            }
            Reload::Refused(why) => {
                tracing::warn!("settings read again and refused, nothing has changed: {why}");
                "refused"
            }
        };
        shared.metrics.add(&CONFIG_RELOADS, &[result], 1);
    }
}

async fn take_over(shared: &Shared, config: Config, changes: String) {
    shared.drain.set_timeout(config.drain_timeout);
    shared.config_hash.store(config.digest(), Ordering::Relaxed);
    // None if the data thread has ended: then the node has, too.
    let _ = shared
        .data
        .ask(move |hub| {
            hub.input(|router, now| {
                router.handle_queue_rules(config.queue, &config.queue_rules, now);
            });
            hub.input_services(|services, _| services.handle_rules(&config.service_rules));
        })
        .await;
    let text = format!("{} has new settings: {changes}", shared.name);
    let fields = [("changes", changes)];
    shared
        .events
        .tell(Kind::NodeReloaded, &shared.name, &text, &fields);
}
