//! Membership of this node: the gossip machine on its own thread, and how the rest talks to it.

mod commands;
mod driver;
mod inbox;
mod log;
mod lookup;
mod peers;
mod socket;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use zmesh_gossip::{Config, InvalidMember, Me, NodeId};

use self::commands::Command;
pub(crate) use self::commands::GossipCommands;
use self::driver::Driver;
use self::inbox::Inbox;
use crate::config::bracketed;
use crate::events::Events;
use crate::listen::listen;
use crate::view::Membership;

/// What the gossip thread is started with.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Name of this node.
    pub(crate) name: String,
    /// Its cluster.
    pub(crate) cluster: String,
    /// Number of partitions of the mesh.
    pub(crate) partitions: u32,
    /// Address to listen on.
    pub(crate) bind: IpAddr,
    /// Its port; 0 takes a free one.
    pub(crate) port: u16,
    /// Host that others are told; the bound address if unset.
    pub(crate) advertise: Option<String>,
    /// Gossip addresses to join through.
    pub(crate) seeds: Vec<String>,
    /// Share of the topics relative to others.
    pub(crate) weight: u8,
    /// A label for where the node runs.
    pub(crate) zone: String,
    /// `host:port` for clients, as others are told.
    pub(crate) client: String,
    /// `host:port` for links, as others are told.
    pub(crate) link: String,
    /// Where it tells what happens, and counts closed connections.
    pub(crate) events: Events,
}

impl Settings {
    /// What others connect to.
    fn host(&self) -> Result<String, StartError> {
        match &self.advertise {
            Some(host) => Ok(host.clone()),
            None if self.bind.is_unspecified() => Err(StartError::NoHost(self.bind)),
            None => Ok(self.bind.to_string()),
        }
    }
}

/// Why the gossip thread did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The port is taken or the address is not this machine's.
    #[error(
        "cannot bind the gossip socket to {address} port {port}: {reason}; choose another address \
         with --bind or another port with --gossip-port (0 takes a free one)"
    )]
    Bind {
        /// The address.
        address: IpAddr,
        /// The port.
        port: u16,
        /// The system's words.
        reason: io::Error,
    },
    /// Others cannot connect to "every address".
    #[error("bound to {0}, this node needs --advertise HOST: the host that other nodes connect to")]
    NoHost(IpAddr),
    /// A name or address that no node may have.
    #[error("cannot gossip: {0}; names have 1 to 64 bytes, addresses are HOST:PORT")]
    Invalid(#[from] InvalidMember),
    /// libzmq or the operating system has no more to give.
    #[error("cannot set the gossip thread up: {0}")]
    Socket(#[from] zmq::Error),
    /// The same for threads.
    #[error("cannot start the gossip thread: {0}")]
    Thread(#[from] io::Error),
}

/// The running gossip thread. Dropping it stops it.
pub(crate) struct Gossip {
    address: String,
    me: Identity,
    membership: watch::Receiver<Arc<Membership>>,
    fatal: watch::Receiver<Option<Arc<str>>>,
    commands: GossipCommands,
    thread: Option<JoinHandle<()>>,
}

/// Which node and which process of it this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The node.
    pub(crate) id: NodeId,
    /// Boot time in milliseconds since 1970. Others may come to know a later one.
    pub(crate) epoch: u64,
    /// The process.
    pub(crate) nonce: u64,
}

/// Binds the gossip socket and starts the thread; it listens when this returns.
pub(crate) fn start(settings: Settings) -> Result<Gossip, StartError> {
    let host = settings.host()?;
    let wanted = SocketAddr::new(settings.bind, settings.port);
    let listener = listen(wanted).map_err(|reason| StartError::Bind {
        address: settings.bind,
        port: settings.port,
        reason,
    })?;
    let address = format!("{}:{}", bracketed(&host), listener.local_addr()?.port());
    let me = Me {
        cluster: settings.cluster,
        name: settings.name,
        epoch: wall_clock_ms(),
        nonce: rand::random(),
        client: settings.client,
        gossip: address.clone(),
        link: settings.link,
        zone: settings.zone,
        weight: settings.weight,
    };
    let identity = Identity {
        id: NodeId::new(&me.cluster, &me.name),
        epoch: me.epoch,
        nonce: me.nonce,
    };
    let seeds = settings.seeds.join(",");
    let config = Config {
        partitions: settings.partitions,
        ..Config::local()
    };
    let seed = rand::random();
    let machine = zmesh_gossip::Gossip::new(config, me, settings.seeds, seed, Duration::ZERO)?;

    let context = zmq::Context::new();
    let (wake_in, wake_out) = socket::wake_pair(&context)?;
    let (commands, received) = GossipCommands::new(wake_in);
    let (publish, membership) = watch::channel(Arc::default());
    let (fail, fatal) = watch::channel(None);
    let ears = driver::Ears {
        inbox: Inbox::start(
            listener,
            commands.clone(),
            settings.events.metrics().clone(),
            inbox::FIRST_PACKET,
        )?,
        wake: wake_out,
        received,
    };
    let mouths = driver::Mouths {
        events: settings.events,
        publish,
        fail,
    };
    let driver = Driver::new(machine, context, ears, commands.clone(), mouths, seeds)?;
    let thread = std::thread::Builder::new()
        .name("gossip".into())
        .spawn(|| driver.run())?;
    Ok(Gossip {
        address,
        me: identity,
        membership,
        fatal,
        commands,
        thread: Some(thread),
    })
}

impl Gossip {
    /// `host:port` of the gossip socket, as others are told.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Which node and which process this is.
    pub(crate) fn me(&self) -> Identity {
        self.me
    }

    /// The latest membership, and a way to wait for the next.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<Membership>> {
        self.membership.clone()
    }

    /// The way to the thread.
    pub(crate) fn commands(&self) -> GossipCommands {
        self.commands.clone()
    }

    /// Ends when this process must stop, with a text that says why and what to do. Never ends
    /// otherwise.
    pub(crate) fn fatal(&self) -> impl Future<Output = Arc<str>> + Send + use<> {
        let mut fatal = self.fatal.clone();
        async move {
            let reason = fatal
                .wait_for(Option::is_some)
                .await
                .ok()
                .and_then(|text| text.clone());
            match reason {
                Some(text) => text,
                None => std::future::pending().await,
            }
        }
    }

    /// Says goodbye, waits up to half a second until others have heard it, and ends the thread.
    pub(crate) fn stop(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        self.commands.send_surely(Command::Stop);
        if thread.join().is_err() {
            tracing::error!("the gossip thread panicked");
        }
    }
}

impl Drop for Gossip {
    fn drop(&mut self) {
        self.stop();
    }
}

fn wall_clock_ms() -> u64 {
    // A clock before 1970 is as good as any: the machine takes one more than any epoch it sees.
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
