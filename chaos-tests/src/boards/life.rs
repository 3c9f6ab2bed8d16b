//! A mesh to be drawn: real nodes with traffic and faults, read by a real Prometheus.

mod traffic;

use std::thread;
use std::time::{Duration, Instant};

use crate::live::options::own_host;
use crate::live::prometheus::Prometheus;
use crate::live::raw::Raw;
use crate::live::{Node, Options, mesh};
use traffic::Traffic;

/// How often it is looked whether a fault is due.
const TICK: Duration = Duration::from_millis(100);
/// Small, so that a slow subscriber is seen soon.
const FLAGS: [&str; 4] = ["--queue-size", "1MiB", "--drain-timeout", "10s"];

/// What is done to the mesh, and at which part of its time.
const FAULTS: [(f64, Fault); 8] = [
    (0.12, Fault::SlowSubscriber),
    (0.34, Fault::SlowGoes),
    (0.42, Fault::Kill(2)),
    (0.56, Fault::Restart(2)),
    (0.68, Fault::Leave(1)),
    (0.76, Fault::Restart(1)),
    (0.86, Fault::Freeze(0)),
    (0.88, Fault::Thaw(0)),
];

#[derive(Clone, Copy, Debug)]
enum Fault {
    SlowSubscriber,
    SlowGoes,
    Kill(usize),
    Leave(usize),
    Restart(usize),
    Freeze(usize),
    Thaw(usize),
}

/// See the module. All of it ends when this is dropped.
pub(super) struct Life {
    nodes: Vec<Node>,
    prometheus: Prometheus,
}

impl Life {
    /// Starts three nodes that know each other, and a Prometheus that reads them.
    pub(super) fn start() -> Self {
        let host = own_host();
        let mut nodes: Vec<Node> = Vec::new();
        for number in 0..3 {
            let port = 5555 + 10 * number;
            let name = format!("node{}", number + 1);
            let options = Options::new(&name, "demo").at(&host, [port, port + 1, port + 2]);
            let options = match nodes.first() {
                Some(first) => options.seed(&first.gossip),
                None => options,
            };
            nodes.push(Node::start(options.flags(&FLAGS)));
        }
        mesh::settle(&nodes.iter().collect::<Vec<_>>());
        let clients: Vec<String> = nodes.iter().map(|node| node.client.clone()).collect();
        let prometheus = Prometheus::start(&clients, None, None);
        Self { nodes, prometheus }
    }

    /// Where the Prometheus is.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.prometheus.address())
    }

    /// Lets them live for a while, with all faults.
    pub(super) fn live(&mut self, minutes: u32) {
        let all = Duration::from_secs(60 * u64::from(minutes));
        println!("the mesh lives for {minutes} minutes before it is drawn");
        let traffic = Traffic::start(&self.nodes);
        let begin = Instant::now();
        let mut faults = FAULTS.iter().peekable();
        let mut slow = Vec::new();
        while begin.elapsed() < all {
            thread::sleep(TICK);
            let part = begin.elapsed().as_secs_f64() / all.as_secs_f64();
            while let Some((_, fault)) = faults.next_if(|(at, _)| *at <= part) {
                println!("{:3.0} s: {fault:?}", begin.elapsed().as_secs_f64());
                self.apply(*fault, &mut slow);
            }
        }
        drop(traffic);
    }

    fn apply(&mut self, fault: Fault, slow: &mut Vec<Raw>) {
        match fault {
            Fault::SlowSubscriber => {
                let mut client = Raw::handshake(&self.nodes[1].client, "SUB");
                client.subscribe(b"STOCK.");
                slow.push(client);
            }
            Fault::SlowGoes => slow.clear(),
            Fault::Kill(node) => self.nodes[node].kill(),
            Fault::Leave(node) => self.nodes[node].signal("TERM"),
            Fault::Restart(node) => self.nodes[node].restart(),
            Fault::Freeze(node) => self.nodes[node].signal("STOP"),
            Fault::Thaw(node) => self.nodes[node].signal("CONT"),
        }
    }
}
