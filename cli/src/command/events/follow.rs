//! A SUB socket that stays connected to one node, or to every member that lives.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use zmesh_node::report::Members;

use crate::address::Address;
use crate::http::{self, Answer};

/// How long to wait for the first node before saying that it is not there.
const NODE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time between two looks at who lives.
const LOOK: Duration = Duration::from_secs(1);
/// Longest wait for an event before new addresses are taken up.
const WAIT_MS: i32 = 200;
/// Members whose addresses are remembered, to be asked when the first node does not answer.
const REMEMBERED: usize = 1000;

/// The socket, and the thread that looks whom to follow.
pub(super) struct Following {
    socket: zmq::Socket,
    changes: Receiver<Change>,
}

/// Whom to follow from now on, or no longer.
enum Change {
    Follow(SocketAddr),
    Leave(SocketAddr),
}

impl Following {
    /// Connects to the node, and with `mesh` to the others as they come.
    pub(super) fn start(node: &Address, topics: &[String], mesh: bool) -> Result<Self> {
        let reached = node.reach(NODE_TIMEOUT)?;
        let socket = zmq::Context::new().socket(zmq::SUB)?;
        socket.set_ipv6(true)?;
        socket.set_linger(0)?;
        socket.set_reconnect_ivl(100)?;
        socket.set_rcvtimeo(WAIT_MS)?;
        for topic in topics {
            socket.set_subscribe(topic.as_bytes())?;
        }
        socket
            .connect(&format!("tcp://{reached}"))
            .with_context(|| format!("cannot connect to {reached}"))?;
        let (sender, changes) = channel();
        let mut scout = Scout {
            first: node.clone(),
            first_at: reached,
            mesh,
            known: BTreeMap::new(),
            missed: false,
        };
        thread::Builder::new()
            .name("members".into())
            .spawn(move || {
                while scout.look(&sender) {
                    thread::sleep(LOOK);
                }
            })
            .context("cannot start a thread")?;
        Ok(Self { socket, changes })
    }

    /// The next message, or `None` after a short time without one.
    pub(super) fn next(&mut self) -> Result<Option<Vec<Vec<u8>>>> {
        for change in self.changes.try_iter() {
            match change {
                Change::Follow(address) => self.socket.connect(&format!("tcp://{address}"))?,
                // It says no if there is no such connection: that is what is wanted.
                Change::Leave(address) => {
                    let _ = self.socket.disconnect(&format!("tcp://{address}"));
                }
            }
        }
        match self.socket.recv_multipart(0) {
            Ok(frames) => Ok(Some(frames)),
            Err(zmq::Error::EAGAIN | zmq::Error::EINTR) => Ok(None),
            Err(error) => Err(error).context("cannot receive"),
        }
    }
}

/// Looks again and again who lives, and tells a person when nobody answers.
struct Scout {
    first: Address,
    first_at: SocketAddr,
    mesh: bool,
    /// Client addresses of members, and where they were followed.
    known: BTreeMap<String, SocketAddr>,
    /// Whether nobody answered the last time.
    missed: bool,
}

impl Scout {
    /// Whether there is anybody left to look for.
    fn look(&mut self, changes: &Sender<Change>) -> bool {
        let members = self.members();
        if members.is_none() != self.missed {
            self.missed = !self.missed;
            match self.missed {
                true => eprintln!("no node answers at {}: waiting for it", self.first),
                false => eprintln!("{} answers again", self.first),
            }
        }
        match members {
            Some((members, by_first)) if self.mesh => {
                self.follow(&members, by_first, changes).is_ok()
            }
            _ => true,
        }
    }

    /// The members as the first node tells them, or with `mesh` another; and whether it was the
    /// first.
    fn members(&self) -> Option<(Members, bool)> {
        if let Some(members) = members_of(&self.first) {
            return Some((members, true));
        }
        let mut others = self.known.keys().filter(|_| self.mesh);
        let other = others.find_map(|client| members_of(&client.parse().ok()?));
        other.map(|members| (members, false))
    }

    fn follow(
        &mut self,
        members: &Members,
        by_first: bool,
        changes: &Sender<Change>,
    ) -> Result<(), std::sync::mpsc::SendError<Change>> {
        // A dead one may come back on its address: its connection is kept until it is forgotten.
        let wanted = |client: &String| {
            let mut members = members.members.iter();
            members.any(|it| it.client == *client && it.state != "left")
        };
        let gone = self.known.keys().filter(|client| !wanted(client));
        let gone: Vec<String> = gone.cloned().collect();
        for client in gone {
            if let Some(address) = self.known.remove(&client)
                && address != self.first_at
            {
                changes.send(Change::Leave(address))?;
            }
        }
        let living = members.members.iter();
        let living = living.filter(|it| ["alive", "suspect"].contains(&it.state.as_str()));
        for member in living.take(REMEMBERED) {
            if self.known.contains_key(&member.client) {
                continue;
            }
            let address = member.client.parse::<Address>().ok();
            let reached = address.and_then(|address| address.reach(Duration::ZERO).ok());
            let Some(reached) = reached else { continue };
            // The node that was named is followed already, whatever it calls itself.
            if reached != self.first_at && !(member.me && by_first) {
                changes.send(Change::Follow(reached))?;
            }
            self.known.insert(member.client.clone(), reached);
        }
        Ok(())
    }
}

fn members_of(node: &Address) -> Option<Members> {
    match http::get(node, "members", &[]) {
        Ok(Answer::Yes(body)) => serde_json::from_str(&body).ok(),
        _ => None,
    }
}
