//! Starts and stops a node: its three listeners, its three threads, and what runs between them.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use zmesh_partition::PARTITIONS;

use crate::config::{Config, ConfigError};
use crate::control::{self, MeshLook, Shared};
use crate::data::{self, DataThread};
use crate::drain::{Drain, StopHandle};
use crate::events::{Events, Kind};
use crate::forward::Instance;
use crate::gossip::{self, Gossip};
use crate::hub::{HttpConnection, Me, Parts, Phase};
use crate::listen::listen;
use crate::metrics::Metrics;
use crate::reload::{self, Reload, ReloadHandle};
use crate::report::Event;
use crate::view::View;

/// How long the node waits at its end until HTTP answers are on their way: whoever follows the end
/// is to hear how it went.
const HTTP_PATIENCE: Duration = Duration::from_secs(1);

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is out of bounds.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A listener could not be bound.
    #[error("cannot listen for {what} on {address}: {error}; {remedy}")]
    Bind {
        /// Clients, gossip, links, or the REP sockets of a service.
        what: String,
        /// Where.
        address: SocketAddr,
        /// The system's words.
        error: io::Error,
        /// What to do.
        remedy: String,
    },
    /// The gossip thread could not start.
    #[error(transparent)]
    Gossip(#[from] gossip::StartError),
    /// The system gave no thread or no descriptor.
    #[error("cannot start: {0}; is `ulimit -n` or `ulimit -u` too low?")]
    System(#[from] io::Error),
    /// The metrics could not be set up.
    #[error("cannot set up the metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// Why a node that ran had to end. The text names the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Fatal(String);

/// A running node. Dropped, it goes on to run; see [`Node::stop_handle`].
pub struct Node {
    name: String,
    client: String,
    gossip: String,
    link: String,
    status: Arc<Latch>,
    stop: StopHandle,
    reload: ReloadHandle,
    control: thread::JoinHandle<()>,
}

/// Starts a node; it listens when this returns.
pub fn start(config: Config) -> Result<Node, StartError> {
    config.check()?;
    let clients = bind("clients", "--port", &config, Some(config.port))?;
    let link_port = config.link_port.or(config.port_after(2));
    let links = bind("links", "--link-port", &config, link_port)?;
    let reps = bind_reps(&config)?;
    let host = config.advertised_host()?;
    let client = format!("{host}:{}", clients.local_addr()?.port());
    let link = format!("{host}:{}", links.local_addr()?.port());
    let version = env!("CARGO_PKG_VERSION");
    let metrics = Metrics::new(&config.cluster, &config.name, version)?;
    let (events, for_clients) = Events::new(&config.name, metrics.clone());
    let gossip = gossip::start(gossip::Settings {
        name: config.name.clone(),
        cluster: config.cluster.clone(),
        partitions: PARTITIONS.into(),
        bind: config.bind,
        port: config.gossip_port.or(config.port_after(1)).unwrap_or(0),
        advertise: Some(host),
        seeds: config.seeds.clone(),
        zone: config.zone.clone(),
        weight: config.weight,
        client: client.clone(),
        link: link.clone(),
        events: events.clone(),
    })?;
    tell_open_to(&config);
    let address = gossip.address().to_string();
    let status = Arc::new(Latch::default());
    let (stop, stopped) = StopHandle::new();
    let (reload, reloads) = ReloadHandle::new();
    let started = Started {
        config,
        clients,
        links,
        reps,
        client,
        link,
        gossip,
        events,
        for_clients,
        stopped,
        reloads,
    };
    let (name, client, link) = (
        started.config.name.clone(),
        started.client.clone(),
        started.link.clone(),
    );
    let control = spawn_control(started, Arc::clone(&status), stop.clone())?;
    Ok(Node {
        name,
        client,
        gossip: address,
        link,
        status,
        stop,
        reload,
        control,
    })
}

impl Node {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `host:port` for clients and HTTP, as told to others.
    pub fn client(&self) -> &str {
        &self.client
    }

    /// `host:port` of the gossip socket, as told to others.
    pub fn gossip(&self) -> &str {
        &self.gossip
    }

    /// `host:port` for links, as told to others.
    pub fn link(&self) -> &str {
        &self.link
    }

    /// Waits until the node takes messages; `false` if it was asked to stop before.
    pub fn wait_ready(&self) -> Result<bool, Fatal> {
        self.status.wait(|status| match &status.ended {
            Some(Err(fatal)) => Some(Err(fatal.clone())),
            Some(Ok(())) => Some(Ok(false)),
            None => status.ready.then_some(Ok(true)),
        })
    }

    /// For whoever is to stop the node.
    pub fn stop_handle(&self) -> StopHandle {
        self.stop.clone()
    }

    /// For whoever reads its settings again.
    pub fn reload_handle(&self) -> ReloadHandle {
        self.reload.clone()
    }

    /// Waits until the node has ended.
    pub fn wait(self) -> Result<(), Fatal> {
        let ended = self.status.wait(|status| status.ended.clone());
        if self.control.join().is_err() {
            return Err(Fatal(
                "the control thread has panicked: this is a bug".into(),
            ));
        }
        ended
    }
}

/// Where `start` left off and the control thread goes on.
struct Started {
    config: Config,
    clients: TcpListener,
    links: TcpListener,
    /// Those for REP sockets, each with its service.
    reps: Vec<(TcpListener, String)>,
    client: String,
    link: String,
    gossip: Gossip,
    events: Events,
    for_clients: mpsc::Receiver<Event>,
    stopped: mpsc::Receiver<()>,
    reloads: mpsc::Receiver<Reload>,
}

fn spawn_control(
    started: Started,
    status: Arc<Latch>,
    stop: StopHandle,
) -> Result<thread::JoinHandle<()>, StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let Started {
        config,
        clients,
        links,
        reps,
        client,
        link,
        gossip,
        events,
        for_clients,
        stopped,
        reloads,
    } = started;
    let me = gossip.me();
    let (to_http, http) = control::http_channel();
    let (phase, phases) = watch::channel(Phase::Joining);
    let phase = Arc::new(phase);
    let (views, view) = watch::channel(Arc::new(View::empty(gossip.watch().borrow().clone())));
    let parts = parts(&config, &gossip, events.clone(), to_http, phases.clone());
    let data = DataThread::start(
        data::Settings {
            config: config.clone(),
            clients,
            links,
            reps,
            view: view.clone(),
            events: for_clients,
        },
        parts,
    )?;
    let (identity, timeout) = ((config.name.clone(), me.id), config.drain_timeout);
    let shared = Shared {
        config_hash: AtomicU64::new(config.digest()),
        name: config.name,
        cluster: config.cluster,
        id: me.id,
        client,
        gossip: gossip.address().to_string(),
        link,
        version: env!("CARGO_PKG_VERSION"),
        start: Instant::now(),
        drain: Drain::new(identity, timeout, stop, data.asker(), view.clone()),
        data: data.asker(),
        view,
        phase: phases,
        metrics: events.metrics().clone(),
        events,
        mesh: MeshLook::default(),
        link_totals: Mutex::default(),
    };
    let told = Told {
        phase,
        views,
        http,
        stopped,
        reloads,
    };
    let thread = thread::Builder::new()
        .name("control".into())
        .spawn(move || run_control(runtime, gossip, data, shared, told, &status))?;
    Ok(thread)
}

/// The control thread, until the node has ended.
fn run_control(
    runtime: Runtime,
    mut gossip: Gossip,
    data: DataThread,
    shared: Shared,
    told: Told,
    status: &Arc<Latch>,
) {
    let ended = runtime.block_on(control(&gossip, shared, told, status));
    gossip.stop();
    data.stop();
    runtime.shutdown_timeout(HTTP_PATIENCE);
    status.set(|status| status.ended = Some(ended));
}

/// What the control thread is told, and tells.
struct Told {
    phase: Arc<watch::Sender<Phase>>,
    views: watch::Sender<Arc<View>>,
    http: mpsc::Receiver<HttpConnection>,
    stopped: mpsc::Receiver<()>,
    reloads: mpsc::Receiver<Reload>,
}

/// Everything that the control thread does.
async fn control(
    gossip: &Gossip,
    shared: Shared,
    told: Told,
    status: &Arc<Latch>,
) -> Result<(), Fatal> {
    let shared = Arc::new(shared);
    let (watch, phase) = (gossip.watch(), Arc::clone(&told.phase));
    let (me, events) = (shared.id, shared.events.clone());
    let follow = control::follow_membership(watch, told.views, phase, me, events);
    let follow = tokio::spawn(follow);
    tokio::spawn(tell_ready(shared.phase.clone(), Arc::clone(status)));
    tokio::spawn(reload::follow(Arc::clone(&shared), told.reloads));
    let http = tokio::spawn(control::serve(Arc::clone(&shared), told.http));
    let ended = live(gossip, &shared, follow, told.stopped, &told.phase).await;
    // What cannot be told in time is not told.
    let _ = tokio::time::timeout(HTTP_PATIENCE, http).await;
    ended
}

/// What the data thread needs of the others.
fn parts(
    config: &Config,
    gossip: &Gossip,
    events: Events,
    http: mpsc::Sender<HttpConnection>,
    phase: watch::Receiver<Phase>,
) -> Parts {
    let me = gossip.me();
    Parts {
        me: Me {
            instance: Instance(me.nonce),
            id: me.id.0,
            name: config.name.clone(),
            cluster: config.cluster.clone(),
        },
        metrics: events.metrics().clone(),
        events,
        gossip: gossip.commands(),
        http,
        phase,
    }
}

/// Runs until the node is asked to go and has gone the whole way, or cannot go on.
async fn live(
    gossip: &Gossip,
    shared: &Shared,
    follow: JoinHandle<()>,
    mut stopped: mpsc::Receiver<()>,
    phase: &watch::Sender<Phase>,
) -> Result<(), Fatal> {
    let goes = async {
        let _ = stopped.recv().await;
        phase.send_replace(Phase::Leaving);
        let text = format!("{} leaves: it hands on what it has", shared.name);
        shared
            .events
            .tell(Kind::NodeLeaving, &shared.name, &text, &[]);
        shared.drain.run(&gossip.commands()).await.map_err(Fatal)
    };
    let bug = |thread| Fatal(format!("the {thread} thread has ended: this is a bug"));
    let ended = tokio::select! {
        // In this order: a thread that ends for a reason has told it before.
        biased;
        reason = gossip.fatal() => Err(Fatal(reason.to_string())),
        () = shared.data.closed() => Err(bug("data")),
        _ = follow => Err(bug("gossip")),
        ended = goes => ended,
    };
    shared.drain.end().await;
    ended
}

async fn tell_ready(mut phase: watch::Receiver<Phase>, status: Arc<Latch>) {
    if phase.wait_for(|phase| *phase == Phase::Ready).await.is_ok() {
        status.set(|status| status.ready = true);
    }
}

/// Nobody should be surprised by who can reach the node.
fn tell_open_to(config: &Config) {
    if config.bind.is_loopback() {
        tracing::info!(bind = %config.bind, "open to this machine only");
    } else {
        tracing::warn!(
            bind = %config.bind,
            "open to everyone who can reach this address, without encryption or password"
        );
    }
}

/// Listens for something, on the port that this flag sets.
fn bind(
    what: &str,
    flag: &str,
    config: &Config,
    port: Option<u16>,
) -> Result<TcpListener, StartError> {
    let address = SocketAddr::new(config.bind, port.unwrap_or(0));
    listen(address).map_err(|error| {
        let remedy = match error.kind() {
            io::ErrorKind::AddrInUse => format!("another process has it: choose another {flag}"),
            io::ErrorKind::AddrNotAvailable => {
                "this host has no such address: choose another --bind".into()
            }
            io::ErrorKind::PermissionDenied => format!("choose a {flag} above 1023"),
            _ => format!("choose another --bind or {flag}"),
        };
        StartError::Bind {
            what: what.into(),
            address,
            error,
            remedy,
        }
    })
}

/// Listens for the workers of services that have a port.
fn bind_reps(config: &Config) -> Result<Vec<(TcpListener, String)>, StartError> {
    let mut reps = Vec::new();
    for rule in &config.service_rules {
        if rule.rep_port.is_some() {
            let what = format!("REP sockets of {}", rule.name);
            let flag = format!("rep-port of --service {}", rule.name);
            let listener = bind(&what, &flag, config, rule.rep_port)?;
            let address = listener.local_addr()?;
            tracing::info!(service = rule.name, %address, "REP sockets that connect here serve it");
            reps.push((listener, rule.name.clone()));
        }
    }
    Ok(reps)
}

/// What became of a node, for threads that wait for it.
#[derive(Default)]
struct Latch {
    status: Mutex<Status>,
    changed: Condvar,
}

#[derive(Default)]
struct Status {
    ready: bool,
    ended: Option<Result<(), Fatal>>,
}

impl Latch {
    fn set(&self, set: impl FnOnce(&mut Status)) {
        set(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    fn wait<T>(&self, look: impl Fn(&Status) -> Option<T>) -> T {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(found) = look(&status) {
                return found;
            }
            status = self
                .changed
                .wait(status)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}
