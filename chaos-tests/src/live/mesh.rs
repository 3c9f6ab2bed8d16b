//! A mesh of real processes.

use super::options::Options;
use super::process::Node;
use super::wait;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use zmesh_node::report;

/// Nodes that form one cluster.
pub struct Mesh {
    /// In the order in which they were started.
    pub nodes: Vec<Node>,
    /// A name no other mesh on this machine has.
    pub cluster: String,
}

/// A cluster name that no other test uses.
pub fn new_cluster() -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis());
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!("test-{}-{now}-{count}", std::process::id())
}

impl Mesh {
    /// Starts `n1`, `n2`, … each with the one before it as its only seed, and waits until they
    /// hold one view.
    pub fn start(count: usize) -> Self {
        Self::start_with(count, &[])
    }

    /// The same with more flags for every node.
    pub fn start_with(count: usize, flags: &[&str]) -> Self {
        let mut mesh = Self {
            nodes: Vec::new(),
            cluster: new_cluster(),
        };
        for _ in 0..count {
            let options = mesh.next_options().flags(flags);
            mesh.nodes.push(Node::start(options));
        }
        mesh.settle();
        mesh
    }

    /// The same on another address of this machine.
    pub fn start_on(bind: &str, count: usize) -> Self {
        let mut mesh = Self {
            nodes: Vec::new(),
            cluster: new_cluster(),
        };
        for _ in 0..count {
            let options = Options {
                bind: bind.into(),
                ..mesh.next_options()
            };
            mesh.nodes.push(Node::start(options));
        }
        mesh.settle();
        mesh
    }

    /// What the next node of this mesh is started with.
    pub fn next_options(&self) -> Options {
        let options = Options::new(&format!("n{}", self.nodes.len() + 1), &self.cluster);
        match self.nodes.last() {
            Some(previous) => options.seed(&previous.gossip),
            None => options,
        }
    }

    /// Waits until every node holds the view of exactly these nodes, and is linked to all others.
    pub fn settle(&self) {
        let all: Vec<&Node> = self.nodes.iter().collect();
        settle(&all);
    }

    /// A topic that this node owns, found by trying `start0`, `start1`, …
    ///
    /// # Panics
    /// If none of a thousand is.
    pub fn topic_owned_by(&self, node: usize, start: &str) -> String {
        let name = &self.nodes[node].options.name;
        let topics = (0..1000).map(|number| format!("{start}{number}"));
        let mut owned = topics.filter(|topic| {
            let path = format!("/api/v1/owner?topic={topic}");
            self.nodes[node]
                .ask::<report::Owner>(&path)
                .is_some_and(|it| it.owner == *name)
        });
        owned
            .next()
            .expect("a node of three owns every third topic")
    }
}

/// Waits until each of these nodes holds the view of exactly all of them, and every link is up.
pub fn settle(nodes: &[&Node]) {
    agree(nodes);
    wait::until_true("every link to be up", || {
        nodes.iter().all(|node| {
            let links = node.ask::<report::Links>("/api/v1/links");
            links.is_some_and(|links| {
                let up = links.links.iter().filter(|link| link.state == "up").count();
                up + 1 >= nodes.len()
            })
        })
    });
}

/// Waits until each of these nodes holds the view of exactly all of them.
pub fn agree(nodes: &[&Node]) {
    wait::until_true(&format!("one view of {} nodes", nodes.len()), || {
        let statuses: Vec<report::Node> = nodes
            .iter()
            .filter_map(|node| node.ask("/api/v1/node"))
            .collect();
        statuses.len() == nodes.len()
            && statuses.iter().all(|status| {
                status.view_size as usize == nodes.len()
                    && status.view_hash == statuses[0].view_hash
                    && status.state == "ready"
            })
    });
}
