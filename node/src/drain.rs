//! How a node goes: it hands on what it has, to the other nodes and to its own clients, and says
//! how that went.
//!
//! Nodes that go at the same time must not wait for each other for ever, and must not go before
//! they have each other's messages. So each says when it has handed everything on, stays to take
//! what the others have, and goes when all that are leaving have said so.

mod account;
mod steps;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use zmesh_gossip::NodeId;

use self::account::{Standing, complaint, name_the_slow, tell};
pub use self::steps::{Act, Facts, Steps};
use crate::data::Asker;
use crate::forward::{DropReason, Time};
use crate::gossip::GossipCommands;
use crate::hub::Hub;
use crate::report;
use crate::view::View;

/// It is looked so often whether a step is through.
const POLL: Duration = Duration::from_millis(10);

/// The log tells so often what a drain waits for.
const TELL: Duration = Duration::from_secs(5);

/// A client that has got everything and does not close is not waited for longer: what it has yet
/// to read is with the operating system, which goes on without this process.
const CLOSE_PATIENCE: Time = Duration::from_secs(2);

/// Who follows a drain asks again within this time.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Asks a node to stop.
#[derive(Clone, Debug)]
pub struct StopHandle {
    sender: mpsc::Sender<()>,
}

impl StopHandle {
    /// A handle, and what hears it.
    pub(crate) fn new() -> (Self, mpsc::Receiver<()>) {
        let (sender, receiver) = mpsc::channel(1);
        (Self { sender }, receiver)
    }

    /// The node hands on what it has, says goodbye to the others and ends. More than one call does
    /// nothing more.
    pub fn stop(&self) {
        // Full or closed: it stops already.
        let _ = self.sender.try_send(());
    }
}

/// How far a drain is.
#[derive(Clone, Debug, Default)]
struct Progress {
    /// When it began, and what was dropped before.
    begun: Option<(Instant, [u64; DropReason::ALL.len()])>,
    steps: Option<Steps>,
    /// How it ended.
    outcome: Option<Arc<report::Drain>>,
    /// Nothing more is to be told.
    over: bool,
    /// Questions that are held back until there is an outcome.
    held: usize,
    /// When somebody was last told how far it is, and whether somebody was told the outcome.
    told_at: Option<Instant>,
    told_outcome: bool,
}

/// See the module.
pub(crate) struct Drain {
    name: String,
    me: NodeId,
    timeout: Mutex<Duration>,
    stop: StopHandle,
    data: Asker,
    view: watch::Receiver<Arc<View>>,
    progress: watch::Sender<Progress>,
}

/// What the data thread sees at one moment.
struct Look {
    publishers: usize,
    /// Every client has gone, or has been sent everything and had the time to close.
    sent_away: bool,
    owes_nothing: bool,
    is_interest_known: bool,
}

impl Look {
    fn at(hub: &Hub) -> Self {
        let now = hub.now();
        let clients = hub.clients.borrow();
        let sent_away = |at: Option<Time>| at.is_some_and(|at| now - at >= CLOSE_PATIENCE);
        Self {
            publishers: clients.values().filter(|it| it.role.only_sends()).count(),
            sent_away: clients.values().all(|it| sent_away(it.handle.parted.get())),
            owes_nothing: hub.look(|router| router.owes_nothing())
                && hub.look_services(|services| services.owes_nothing())
                && hub.look_queues(|queues| queues.owes_nothing()),
            is_interest_known: hub.look(|router| router.is_interest_known()),
        }
    }
}

impl Drain {
    pub(crate) fn new(
        (name, me): (String, NodeId),
        timeout: Duration,
        stop: StopHandle,
        data: Asker,
        view: watch::Receiver<Arc<View>>,
    ) -> Self {
        Self {
            name,
            me,
            timeout: Mutex::new(timeout),
            stop,
            data,
            view,
            progress: watch::Sender::default(),
        }
    }

    /// How long the way may take.
    fn timeout(&self) -> Duration {
        *self.timeout.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A way that has begun keeps the time that it had.
    pub(crate) fn set_timeout(&self, timeout: Duration) {
        if self.progress.borrow().begun.is_some() {
            return;
        }
        *self.timeout.lock().unwrap_or_else(PoisonError::into_inner) = timeout;
    }

    /// Asks the node to go.
    pub(crate) fn begin(&self) {
        self.stop.stop();
    }

    /// The node ends, whether it was asked to go or not: there is nothing more to wait for. Whoever
    /// follows the drain and was told just now that it goes on asks once more.
    pub(crate) async fn end(&self) {
        let followed = |progress: &Progress| {
            let told_at = progress.told_at;
            progress.held == 0 && told_at.is_some_and(|at| at.elapsed() < ASK_AGAIN)
        };
        let mut progress = self.progress.subscribe();
        if followed(&progress.borrow()) {
            let told = progress.wait_for(|progress| progress.told_outcome);
            // Who has not come back by then does not.
            let _ = tokio::time::timeout(ASK_AGAIN, told).await;
        }
        self.progress.send_modify(|progress| progress.over = true);
    }

    /// Waits for [`Drain::end`].
    pub(crate) async fn ended(&self) {
        self.until(|progress| progress.over).await;
    }

    async fn until(&self, holds: impl FnMut(&Progress) -> bool) {
        let mut progress = self.progress.subscribe();
        // It cannot fail: the sender is this value's own.
        let _ = progress.wait_for(holds).await;
    }

    /// How far it is, held back for so long if there is no outcome yet. `None` if the data thread
    /// has ended.
    pub(crate) async fn follow(
        &self,
        phase: impl Fn() -> &'static str,
        wait: Duration,
    ) -> Option<report::Drain> {
        let held = Held::count(&self.progress);
        let outcome = self.until(|progress| progress.outcome.is_some() || progress.over);
        let _ = tokio::time::timeout(wait, outcome).await;
        drop(held);
        let outcome = self.progress.borrow().outcome.clone();
        let told = |told: fn(&mut Progress)| self.progress.send_modify(told);
        if let Some(outcome) = outcome {
            told(|progress| progress.told_outcome = true);
            return Some(report::Drain::clone(&outcome));
        }
        told(|progress| progress.told_at = Some(Instant::now()));
        self.look(phase()).await
    }

    /// How long the node has been going, and how long it may take.
    pub(crate) fn clock(&self) -> (Duration, Duration) {
        let begun = self.progress.borrow().begun.map(|(at, _)| at);
        let since = begun.map_or(Duration::ZERO, |at| at.elapsed());
        (since, self.timeout())
    }

    /// Hands on what the node has; an error if the time is over before, with what was left.
    pub(crate) async fn run(&self, gossip: &GossipCommands) -> Result<(), String> {
        let dropped = self
            .data
            .ask(|hub| {
                hub.leave();
                hub.look(|router| router.stats()).dropped
            })
            .await;
        let begun = Some((Instant::now(), dropped.unwrap_or_default()));
        self.progress.send_modify(|progress| progress.begun = begun);
        tracing::info!(
            timeout_seconds = self.timeout().as_secs_f64(),
            "draining: clients are sent away, what is here is handed on"
        );
        gossip.set_leaving();
        let in_time = tokio::time::timeout(self.timeout(), self.take_steps(gossip)).await;
        let Some(mut report) = self.look("leaving").await else {
            return Ok(());
        };
        let left = [report.undone, report.unacked, report.queued];
        let nothing_left = left == [report::Amount::default(); 3] && report.requests == 0;
        // A node that is alone has nobody to give its tasks to, however long it waits.
        let drained = (in_time.is_ok() || nothing_left) && report.tasks == 0;
        report.state = if drained { "drained" } else { "cut_short" }.into();
        report.waits_for.clear();
        tell(&report);
        let result = if drained {
            Ok(())
        } else {
            Err(complaint(&report))
        };
        let outcome = Some(Arc::new(report));
        self.progress
            .send_modify(|progress| progress.outcome = outcome);
        result
    }

    /// Takes one step after the other, until there is nobody left to be asked.
    async fn take_steps(&self, gossip: &GossipCommands) {
        let mut told = Instant::now();
        let mut steps: Option<Steps> = None;
        loop {
            // First the view: whoever is out of it by then may have got records before the look.
            let facts = self.facts();
            let look = self.data.ask(|hub| (Look::at(hub), hub.now())).await;
            let Some((look, now)) = look else { return };
            let steps = steps.get_or_insert_with(|| Steps::begin(now));
            let act = steps.advance(&facts(look), now);
            self.progress
                .send_modify(|progress| progress.steps = Some(*steps));
            match act {
                Some(Act::SayHandedOn) => gossip.set_handed_on(),
                Some(Act::Withdraw) => drop(self.data.ask(Hub::withdraw).await),
                Some(Act::Leave) => return,
                None => {
                    if told.elapsed() >= TELL {
                        told = Instant::now();
                        self.tell_progress().await;
                    }
                    tokio::time::sleep(POLL).await;
                }
            }
        }
    }

    /// What the view says now; the rest is filled in from a look at the data thread.
    fn facts(&self) -> impl FnOnce(Look) -> Facts + use<> {
        let view = self.view.borrow();
        let is_in_view = view.counts_on(self.me);
        let others_have_handed_on = view.others_have_handed_on(self.me);
        move |look| Facts {
            is_in_view,
            has_publishers: look.publishers > 0,
            owes_nothing: look.owes_nothing,
            others_have_handed_on,
            is_interest_known: look.is_interest_known,
            sent_away: look.sent_away,
        }
    }

    async fn tell_progress(&self) {
        let Some(report) = self.look("leaving").await else {
            return;
        };
        tracing::info!(
            waits_for = report.waits_for,
            undone_messages = report.undone.messages,
            unacked_messages = report.unacked.messages,
            queued_messages = report.queued.messages,
            "still draining"
        );
        name_the_slow(&report, false);
    }

    async fn look(&self, phase: &str) -> Option<report::Drain> {
        let standing = self.data.ask(Standing::of).await?;
        let progress = self.progress.borrow().clone();
        let (since, before) = progress.begun.unzip();
        let view = Arc::clone(&self.view.borrow());
        Some(report::Drain {
            node: self.name.clone(),
            state: phase.into(),
            waits_for: progress.steps.map_or("", |it| it.waits_for()).into(),
            seconds: since.map_or(0.0, |since| since.elapsed().as_secs_f64()),
            timeout_seconds: self.timeout().as_secs_f64(),
            ..standing.report(before, &view)
        })
    }
}

/// A question that is held back; whoever asked may hang up.
struct Held<'a>(&'a watch::Sender<Progress>);

impl<'a> Held<'a> {
    fn count(progress: &'a watch::Sender<Progress>) -> Self {
        progress.send_modify(|progress| progress.held += 1);
        Self(progress)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|progress| progress.held -= 1);
    }
}
