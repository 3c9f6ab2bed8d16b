//! The data thread: clients, links and the forwarding core, on one tokio runtime of one thread.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::TcpListener as StdListener;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::Instant;
use zmesh_gossip::NodeId;

use crate::config::Config;
use crate::forward::{Instance, Topology};
use crate::hub::{Hub, Parts, Phase};
use crate::link::Target;
use crate::link::timing::JOIN_PATIENCE;
use crate::metrics::DATA_LAG;
use crate::report::Event;
use crate::view::View;
use crate::{edge, link};

/// Questions that may wait for the data thread.
const QUESTIONS: usize = 64;

/// While it joins, the node looks so often whether it may take part.
const JOIN_POLL: Duration = Duration::from_millis(10);

/// A data thread that has not ended by then does not keep the process.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// After this long the node says once more that it is ready, if that has not shown yet.
const READY_PATIENCE: Duration = Duration::from_secs(2);

type Question = Box<dyn FnOnce(&Hub) + Send>;

/// The running data thread.
pub(crate) struct DataThread {
    questions: Asker,
    stop: oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

/// Asks the data thread; clones ask the same one.
#[derive(Clone)]
pub(crate) struct Asker {
    questions: mpsc::Sender<Question>,
}

/// What the data thread starts with.
pub(crate) struct Settings {
    pub(crate) config: Config,
    pub(crate) clients: StdListener,
    pub(crate) links: StdListener,
    /// Those for REP sockets, each with the service that they serve.
    pub(crate) reps: Vec<(StdListener, String)>,
    pub(crate) view: watch::Receiver<Arc<View>>,
    /// What clients may have asked to be told of.
    pub(crate) events: mpsc::Receiver<Event>,
}

impl Asker {
    /// Runs a question on the data thread; `None` if that has ended.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Hub) -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let question = Box::new(move |hub: &Hub| {
            // Nobody waits any more if the asker's own connection has gone.
            let _ = answer.send(question(hub));
        });
        self.questions.send(question).await.ok()?;
        answered.await.ok()
    }

    /// Ends when the data thread has.
    pub(crate) async fn closed(&self) {
        self.questions.closed().await;
    }
}

impl DataThread {
    /// Starts the thread; it listens when this returns.
    pub(crate) fn start(settings: Settings, parts: Parts) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (sender, receiver) = mpsc::channel(QUESTIONS);
        let questions = Asker { questions: sender };
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new().name("data".into()).spawn(move || {
            let local = LocalSet::new();
            let result = local.block_on(&runtime, run(settings, parts, receiver, stopped));
            if let Err(error) = result {
                tracing::error!(%error, "the data thread has ended");
            }
        })?;
        Ok(Self {
            questions,
            stop,
            thread,
        })
    }

    pub(crate) fn asker(&self) -> Asker {
        self.questions.clone()
    }

    /// Ends the thread: its connections are closed.
    pub(crate) fn stop(self) {
        drop(self.stop);
        let asked = std::time::Instant::now();
        while !self.thread.is_finished() {
            if asked.elapsed() > STOP_PATIENCE {
                tracing::error!("the data thread hangs and is left behind: this is a bug");
                return;
            }
            thread::sleep(JOIN_POLL);
        }
        if self.thread.join().is_err() {
            tracing::error!("the data thread has panicked");
        }
    }
}

async fn run(
    settings: Settings,
    parts: Parts,
    mut questions: mpsc::Receiver<Question>,
    mut stopped: oneshot::Receiver<()>,
) -> io::Result<()> {
    let hub = Rc::new(Hub::new(&settings.config, parts));
    let clients = TcpListener::from_std(settings.clients)?;
    let links = TcpListener::from_std(settings.links)?;
    spawn_local(edge::listen(Rc::clone(&hub), clients));
    for (listener, service) in settings.reps {
        let listener = TcpListener::from_std(listener)?;
        spawn_local(edge::listen_for_reps(Rc::clone(&hub), listener, service));
    }
    spawn_local(link::listen(Rc::clone(&hub), links));
    spawn_local(follow_view(Rc::clone(&hub), settings.view.clone()));
    spawn_local(keep_time(Rc::clone(&hub)));
    spawn_local(keep_time_of_requests(Rc::clone(&hub)));
    spawn_local(keep_time_of_queues(Rc::clone(&hub)));
    spawn_local(tell_clients(Rc::clone(&hub), settings.events));
    spawn_local(join(Rc::clone(&hub), settings.view));
    loop {
        tokio::select! {
            _ = &mut stopped => return Ok(()),
            question = questions.recv() => match question {
                Some(question) => question(&hub),
                None => return Ok(()),
            },
        }
    }
}

/// Tells the core of each view and keeps a link to every living member.
async fn follow_view(hub: Rc<Hub>, mut views: watch::Receiver<Arc<View>>) {
    let mut dialing: HashMap<Instance, (Target, JoinHandle<()>)> = HashMap::new();
    loop {
        let view = Arc::clone(&views.borrow_and_update());
        let topology = view.topology(NodeId(hub.me.id));
        tell_topology(&hub, topology);
        let targets = targets(&view, hub.me.id);
        dialing.retain(|instance, (target, task)| {
            let keep = targets.get(instance) == Some(target);
            if !keep {
                task.abort();
            }
            keep
        });
        for (instance, target) in targets {
            dialing.entry(instance).or_insert_with(|| {
                (
                    target.clone(),
                    spawn_local(link::dial(Rc::clone(&hub), target)),
                )
            });
        }
        if views.changed().await.is_err() {
            return;
        }
    }
}

/// Tells both cores who is there and who owns what.
fn tell_topology(hub: &Hub, topology: Topology) {
    let here: HashSet<Instance> = topology.peers.iter().map(|peer| peer.instance).collect();
    let ring = Arc::clone(&topology.ring);
    hub.input(|router, now| router.handle_topology(topology, now));
    let queues = (HashSet::clone(&here), Arc::clone(&ring));
    hub.input_services(|services, now| services.handle_topology(here, ring, now));
    hub.input_queues(|it, now| it.handle_topology(queues.0, queues.1, now));
}

/// Ends requests whose time is up.
async fn keep_time_of_requests(hub: Rc<Hub>) {
    loop {
        let due = hub.look_services(|services| services.next_deadline());
        let wait = async {
            match due {
                Some(due) => tokio::time::sleep(due.saturating_sub(hub.now())).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = wait => hub.input_services(|services, now| services.handle_timeout(now)),
            () = hub.services_due.notified() => {}
        }
    }
}

/// Gives tasks that are not done in time to others.
async fn keep_time_of_queues(hub: Rc<Hub>) {
    loop {
        let due = hub.look_queues(|queues| queues.next_deadline());
        let wait = async {
            match due {
                Some(due) => tokio::time::sleep(due.saturating_sub(hub.now())).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = wait => hub.input_queues(|queues, now| queues.handle_timeout(now)),
            () = hub.queues_due.notified() => {}
        }
    }
}

fn targets(view: &View, me: [u8; 16]) -> HashMap<Instance, Target> {
    let members = view.membership.members.iter().map(|known| &known.member);
    let others = members.filter(|member| member.id.0 != me && member.is_live());
    let target = |member: &zmesh_gossip::Member| Target {
        instance: Instance(member.nonce),
        name: member.name.clone(),
        address: member.link.clone(),
    };
    others
        .map(|member| (Instance(member.nonce), target(member)))
        .collect()
}

/// Drives the core's time-outs. How late this task is woken is the data thread's lag, which
/// membership passes on: a node whose data thread hangs is seen. Membership is also told whom the
/// links have heard.
async fn keep_time(hub: Rc<Hub>) {
    loop {
        let deadline = hub.look(|router| router.next_deadline());
        let due = Instant::now() + deadline.saturating_sub(hub.now());
        tokio::time::sleep_until(due).await;
        hub.metrics.observe(&DATA_LAG, due.elapsed());
        hub.gossip.lag(due.elapsed());
        hub.gossip.signs_of_life(hub.signs_of_life());
        hub.input(|router, now| router.handle_timeout(now));
    }
}

/// Tells clients what happens, if they asked.
async fn tell_clients(hub: Rc<Hub>, mut events: mpsc::Receiver<Event>) {
    while let Some(event) = events.recv().await {
        if let Ok(json) = serde_json::to_vec(&event) {
            hub.input(|router, now| router.handle_event(&event.event, &json, now));
        }
    }
}

/// Says that the node may own partitions, once it knows the members and what they want.
async fn join(hub: Rc<Hub>, mut views: watch::Receiver<Arc<View>>) {
    let joined = views.wait_for(|view| view.membership.joined).await;
    let Ok(view) = joined.map(|view| Arc::clone(&view)) else {
        return;
    };
    // The task that follows views may wake after this one, and a core that has not been told of
    // the members misses nobody's interest.
    let topology = view.topology(NodeId(hub.me.id));
    tell_topology(&hub, topology);
    let waited = Instant::now();
    while !hub.look(|router| router.knows_interest_of_all()) {
        if waited.elapsed() > JOIN_PATIENCE {
            tracing::warn!("joining without the subscriptions of some nodes: no link from them");
            hub.input(|router, _| router.handle_joined());
            break;
        }
        tokio::time::sleep(JOIN_POLL).await;
    }
    let mut phase = hub.phase.clone();
    loop {
        // A command is dropped if the gossip thread has too many: so until it shows.
        hub.gossip.set_ready();
        let shown = phase.wait_for(|phase| *phase != Phase::Joining);
        if tokio::time::timeout(READY_PATIENCE, shown).await.is_ok() {
            return;
        }
    }
}
