//! What may block for long is done elsewhere: looking names up, and asking an address whether it
//! refuses connections.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use super::commands::{Command, GossipCommands};

/// Questions that may wait; more are dropped, their askers ask again.
const QUESTIONS: usize = 64;
/// A refusal comes within a round trip.
const CHECK_TIMEOUT: Duration = Duration::from_millis(200);
/// Most addresses of one name.
const MAX_ADDRESSES: usize = 16;

/// Two threads that answer with commands to the gossip thread. They end when this is dropped, a
/// lookup under way when the resolver gives up.
pub(super) struct Lookup {
    names: SyncSender<String>,
    checks: SyncSender<(String, SocketAddr)>,
}

impl Lookup {
    pub(super) fn start(commands: &GossipCommands) -> io::Result<Self> {
        let (names, asked) = sync_channel(QUESTIONS);
        let answers = commands.clone();
        thread::Builder::new()
            .name("gossip-names".into())
            .spawn(move || resolve_all(&asked, &answers))?;
        let (checks, asked) = sync_channel(QUESTIONS);
        let answers = commands.clone();
        thread::Builder::new()
            .name("gossip-checks".into())
            .spawn(move || check_all(&asked, &answers))?;
        Ok(Self { names, checks })
    }

    /// Looks `name:port` up; whether the question was taken.
    pub(super) fn resolve(&self, name: &str) -> bool {
        self.names.try_send(name.to_owned()).is_ok()
    }

    /// Finds out whether connections to the member at `address`, in numbers `to`, are refused.
    pub(super) fn check(&self, address: &str, to: SocketAddr) -> bool {
        self.checks.try_send((address.to_owned(), to)).is_ok()
    }
}

fn resolve_all(asked: &Receiver<String>, answers: &GossipCommands) {
    for name in asked {
        let found = match name.to_socket_addrs() {
            Ok(addresses) => addresses.take(MAX_ADDRESSES).collect(),
            Err(error) => {
                tracing::debug!(name, %error, "cannot look a gossip address up");
                Vec::new()
            }
        };
        answers.send(Command::Resolved(name, found));
    }
}

fn check_all(asked: &Receiver<(String, SocketAddr)>, answers: &GossipCommands) {
    for (address, to) in asked {
        let result = TcpStream::connect_timeout(&to, CHECK_TIMEOUT);
        let refused = result.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
        answers.send(Command::Checked { address, refused });
    }
}
