//! Everything that the doctor asks, before it is judged.

use std::collections::VecDeque;
use std::io::IsTerminal;
use std::sync::Mutex;
use std::thread;

use anyhow::{Result, bail};
use zmesh_node::report::{Mesh, Node, Reach};

use crate::address::Address;
use crate::date;
use crate::http::{self, Answer};
use crate::output::printable;

/// Nodes that are asked at a time.
const AT_A_TIME: usize = 16;
/// Asking more than these may take a while, which a person is told.
const MANY: usize = 20;

/// What was seen.
pub(super) struct Look {
    pub(super) mesh: Mesh,
    /// How each living member reaches the others, or why it could not be asked.
    pub(super) reaches: Vec<(String, Result<Reach, String>)>,
    /// Each living member as it is seen from here.
    pub(super) seen: Vec<Seen>,
    /// The further nodes that were named, or why one does not answer.
    pub(super) further: Vec<(Address, Result<Further, String>)>,
}

/// A member as it is seen from this machine.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) name: String,
    /// The addresses that it tells others and that are not reached from here.
    pub(super) unreached: Vec<Told>,
    /// Its metrics, if it answers here.
    pub(super) metrics: Option<String>,
    /// Seconds by which its clock is ahead of the one here, if it answers here.
    pub(super) ahead: Option<i64>,
}

/// An address that a member tells others.
#[derive(Clone, Debug)]
pub(super) struct Told {
    /// `client`, `gossip` or `link`.
    pub(super) port: &'static str,
    pub(super) address: String,
}

/// A node that should be in the mesh.
pub(super) struct Further {
    pub(super) node: Node,
    pub(super) unreached: Vec<Told>,
}

impl Look {
    /// Asks the node, through it the others, and the others from here.
    pub(super) fn take(node: &Address, others: &[Address]) -> Result<Self> {
        let body = match http::get(node, "mesh", &[])? {
            Answer::Yes(body) => body,
            Answer::No(reason) => bail!("{node} cannot say: {}: try again", printable(&reason)),
        };
        let mesh: Mesh = http::read(node, &body)?;
        let nodes: Vec<(String, Node)> = mesh.nodes.iter().map(|it| of_member(&mesh, it)).collect();
        if std::io::stderr().is_terminal() && nodes.len() > MANY {
            eprintln!("asking {} members", nodes.len());
        }
        let reaches = each(&nodes, |(name, told)| {
            (name.clone(), reach(node, name, &told.client))
        });
        let seen = each(&nodes, |(name, told)| seen(name, told));
        let further = each(others, |address| (address.clone(), further(address)));
        Ok(Self {
            mesh,
            reaches,
            seen,
            further,
        })
    }

    /// How many attempts were made between members.
    pub(super) fn attempts(&self) -> usize {
        let reaches = self.reaches.iter();
        let reaches = reaches.filter_map(|(_, reach)| reach.as_ref().ok());
        reaches.map(|reach| reach.attempts.len()).sum()
    }
}

/// Name and addresses of a living member: its own word, or what is known of it.
fn of_member(mesh: &Mesh, node: &zmesh_node::report::MeshNode) -> (String, Node) {
    if let Some(overview) = &node.overview {
        return (node.name.clone(), overview.node.clone());
    }
    let member = mesh.members.iter().find(|it| it.name == node.name);
    let known = member.map(|member| Node {
        client: member.client.clone(),
        gossip: member.gossip.clone(),
        link: member.link.clone(),
        ..Node::default()
    });
    (node.name.clone(), known.unwrap_or_default())
}

/// Has a member try the others: through the node that was asked, else directly.
fn reach(node: &Address, name: &str, client: &str) -> Result<Reach, String> {
    let through = read_reach(node, &[("node", name)]);
    through.or_else(|error| {
        let direct = client.parse::<Address>();
        let direct = direct.map_err(|_| String::new());
        let direct = direct.and_then(|client| read_reach(&client, &[]));
        direct.map_err(|_| error)
    })
}

fn read_reach(node: &Address, query: &[(&str, &str)]) -> Result<Reach, String> {
    match http::post(node, "reach", query) {
        Ok(Answer::Yes(body)) => http::read(node, &body).map_err(|error| format!("{error:#}")),
        Ok(Answer::No(reason)) => Err(reason),
        Err(error) => Err(format!("{error:#}")),
    }
}

fn seen(name: &str, told: &Node) -> Seen {
    let mut seen = Seen {
        name: name.into(),
        unreached: unreached(told),
        ..Seen::default()
    };
    let client = told.client.parse::<Address>().ok();
    let client = client.filter(|_| seen.unreached.iter().all(|it| it.port != "client"));
    if let Some((page, date)) = client.and_then(|client| http::page(&client, "/metrics").ok()) {
        let theirs = date.as_deref().and_then(date::of_http);
        seen.ahead = theirs.map(|theirs| theirs - (date::now_ms() / 1000) as i64);
        seen.metrics = Some(page);
    }
    seen
}

/// The addresses of a node at which nothing takes a connection from here.
fn unreached(told: &Node) -> Vec<Told> {
    let all = [
        ("client", &told.client),
        ("gossip", &told.gossip),
        ("link", &told.link),
    ];
    let closed = all.into_iter().filter(|(_, address)| {
        let address = address.parse::<Address>();
        !address.is_ok_and(|address| address.is_there())
    });
    closed
        .map(|(port, address)| Told {
            port,
            address: address.clone(),
        })
        .collect()
}

fn further(address: &Address) -> Result<Further, String> {
    let body = match http::get(address, "node", &[]) {
        Ok(Answer::Yes(body)) => body,
        Ok(Answer::No(reason)) => return Err(reason),
        Err(error) => return Err(format!("{error:#}")),
    };
    let node: Node = http::read(address, &body).map_err(|error| format!("{error:#}"))?;
    let unreached = unreached(&node);
    Ok(Further { node, unreached })
}

/// Does the same with each, some at a time. The results are in their order.
fn each<T: Sync, R: Send>(items: &[T], ask: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let left: Mutex<VecDeque<(usize, &T)>> = Mutex::new(items.iter().enumerate().collect());
    let done = Mutex::new(Vec::with_capacity(items.len()));
    thread::scope(|scope| {
        for _ in 0..items.len().min(AT_A_TIME) {
            scope.spawn(|| {
                loop {
                    let next = left.lock().expect("nobody panics with it").pop_front();
                    let Some((place, item)) = next else { return };
                    let answer = ask(item);
                    let mut done = done.lock().expect("nobody panics with it");
                    done.push((place, answer));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("nobody panics with it");
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, answer)| answer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_in_the_order_of_the_questions() {
        let items: Vec<usize> = (0..100).collect();
        assert_eq!(each(&items, |it| it * 2)[..3], [0, 2, 4]);
        assert!(each(&[] as &[usize], |it| *it).is_empty());
    }
}
