//! `zmesh dev`: a whole mesh on this machine, each node a process of its own.

mod child;
mod demo;

use std::net::TcpListener;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use zmesh_node::report::Node;

use crate::exit::Outcome;
use crate::http::{self, Answer};
use crate::output::{self, Align::*, Table};
use crate::signals;
use child::{Child, Event, Ready};

/// How long the nodes may take to find each other.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause between two looks at what the nodes say.
const LOOK: Duration = Duration::from_millis(20);
/// How long the nodes may take to end before they are killed: longer than their drain.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// Ports from one node to the next; each uses three.
const PORT_STEP: u16 = 10;

const EXAMPLES: &str = "\
Examples:
  zmesh dev                      three nodes, clients connect to port 5555, 5565 or 5575
  zmesh dev --demo               with made-up stock quotes to look at
  zmesh dev --nodes 5 --port 0   five nodes on free ports

Ctrl-C ends all of them.";

/// `zmesh dev`
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DevArgs {
    /// How many nodes
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=64))]
    nodes: u16,
    /// Client port of the first node, the others 10 apart; 0: free ports
    #[arg(long, default_value_t = 5555)]
    port: u16,
    /// Publish made-up stock quotes through the nodes in turn
    #[arg(long)]
    demo: bool,
    /// What the nodes log: off, error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log: String,
}

pub(crate) fn run(args: &DevArgs) -> Result<Outcome> {
    let ports = client_ports(args)?;
    let (events, inbox) = channel();
    let on_signal = events.clone();
    // The mesh may already be gone when the signal comes: then nobody needs to hear of it.
    signals::on_stop(move || drop(on_signal.send(Event::Stop)))?;
    let mut mesh = Mesh {
        children: Vec::new(),
        inbox,
    };
    let done = mesh.run(args, &ports, &events);
    mesh.stop();
    done.map(|()| Outcome::Done)
}

/// The client port of each node, after a look whether the ports are free.
fn client_ports(args: &DevArgs) -> Result<Vec<u16>> {
    if args.port == 0 {
        return Ok(vec![0; usize::from(args.nodes)]);
    }
    let last = u32::from(args.port) + u32::from(PORT_STEP) * u32::from(args.nodes - 1) + 2;
    ensure!(
        last <= u32::from(u16::MAX),
        "{} nodes from port {} on would need port {last}: give a lower --port",
        args.nodes,
        args.port
    );
    let ports: Vec<u16> = (0..args.nodes).map(|i| args.port + PORT_STEP * i).collect();
    for port in ports.iter().flat_map(|port| *port..=*port + 2) {
        if let Err(error) = TcpListener::bind(("127.0.0.1", port)) {
            bail!(
                "port {port} cannot be used ({error}): is another mesh running? \
                 Give other ports with --port N, or --port 0 for free ones"
            );
        }
    }
    Ok(ports)
}

fn all_ready(children: &[Child]) -> bool {
    children.iter().all(|child| child.ready.is_some())
}

/// Whether every node holds every other for a member: one is ready as soon as it knows a seed.
fn all_agree(children: &[Child]) -> bool {
    let view = |child: &Child| -> Option<Node> {
        let address = child.ready.as_ref()?.client.parse().ok()?;
        match http::get(&address, "node", &[]) {
            Ok(Answer::Yes(body)) => serde_json::from_str(&body).ok(),
            _ => None,
        }
    };
    let whole = |node: Node| node.view_size as usize == children.len();
    children.iter().all(|child| view(child).is_some_and(whole))
}

/// The nodes and what they tell.
struct Mesh {
    children: Vec<Child>,
    inbox: Receiver<Event>,
}

impl Mesh {
    /// Brings the nodes up and looks after them until it is told to stop.
    fn run(&mut self, args: &DevArgs, ports: &[u16], events: &Sender<Event>) -> Result<()> {
        // The first finds itself alone; its gossip address is the seed of the others.
        self.children
            .push(Child::start(0, ports[0], None, &args.log, events)?);
        if !self.wait_until(all_ready)? {
            return Ok(());
        }
        let seed = self.children[0]
            .ready
            .as_ref()
            .map(|ready| ready.gossip.clone());
        for (number, port) in ports.iter().enumerate().skip(1) {
            let child = Child::start(number, *port, seed.as_deref(), &args.log, events)?;
            self.children.push(child);
        }
        if self.wait_until(all_ready)? && self.wait_until(all_agree)? {
            self.watch(args)?;
        }
        Ok(())
    }

    /// Waits until something holds of the nodes; false if the wish to stop came first.
    fn wait_until(&mut self, holds: fn(&[Child]) -> bool) -> Result<bool> {
        let deadline = Instant::now() + READY_TIMEOUT;
        while !holds(&self.children) {
            match self.inbox.recv_timeout(LOOK) {
                Ok(Event::Ready(number, ready)) => self.children[number].ready = Some(ready),
                Ok(Event::Ended(number)) => bail!(
                    "{} before the mesh was ready: its last lines above say why",
                    self.children[number].how_it_ended()
                ),
                Ok(Event::Stop) => return Ok(false),
                Err(_) if Instant::now() < deadline => {}
                Err(_) => bail!(
                    "the nodes did not find each other in {} s: see what they log with --log debug",
                    READY_TIMEOUT.as_secs()
                ),
            }
        }
        Ok(true)
    }

    fn all_ended(&self) -> bool {
        self.children.iter().all(|child| child.ended)
    }

    /// Tells where the nodes are, then reports those that end, until it is told to stop.
    fn watch(&mut self, args: &DevArgs) -> Result<()> {
        let ready: Vec<Ready> = self
            .children
            .iter()
            .filter_map(|child| child.ready.clone())
            .collect();
        if args.demo {
            demo::start(&ready)?;
        }
        output::print(&self.introduction(&ready, args.demo))?;
        loop {
            match self.inbox.recv() {
                Ok(Event::Ended(number)) => {
                    let child = &mut self.children[number];
                    eprintln!("{}; start it again with:", child.how_it_ended());
                    eprintln!("  {}", child.command_line(&ready));
                    ensure!(!self.all_ended(), "all nodes have ended");
                }
                Ok(Event::Ready(..)) => {}
                Ok(Event::Stop) | Err(_) => return Ok(()),
            }
        }
    }

    /// The table of nodes, and what to try next.
    fn introduction(&self, ready: &[Ready], demo: bool) -> String {
        let columns = [
            ("NODE", Left),
            ("CLIENTS", Left),
            ("GOSSIP", Left),
            ("LINKS", Left),
            ("PID", Right),
        ];
        let mut table = Table::new(&columns);
        for (child, ready) in self.children.iter().zip(ready) {
            table.row([
                ready.name.clone(),
                ready.client.clone(),
                ready.gossip.clone(),
                ready.link.clone(),
                child.pid().to_string(),
            ]);
        }
        let program = child::program();
        let first = ready.first().map_or("", |ready| ready.client.as_str());
        let last = ready.last().map_or("", |ready| ready.client.as_str());
        let publish = match demo {
            true => "(made-up quotes of STOCK.… are published through all nodes)".to_string(),
            false => format!("{program} pub --node {first} STOCK.AAPL 187.32"),
        };
        format!(
            "{} nodes are ready. A ZeroMQ socket connects to any of the client addresses.\n\n\
             {table}\n\nnext steps, in another terminal:\n\
             \x20 {program} sub --node {last} STOCK.\n\
             \x20 {publish}\n\
             \x20 {program} members --node {first}\n\nCtrl-C ends them all.",
            ready.len()
        )
    }

    /// Ends every node: gently at first, by force after a while.
    fn stop(&mut self) {
        for child in &mut self.children {
            child.ask_to_end();
        }
        let deadline = Instant::now() + STOP_TIMEOUT;
        while !self.all_ended() {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.inbox.recv_timeout(left) {
                Ok(Event::Ended(number)) => self.children[number].reap(),
                Ok(_) => {}
                Err(_) => break,
            }
        }
        for child in self.children.iter_mut().filter(|child| !child.ended) {
            eprintln!("{} did not end in time and is killed", child.name);
            child.kill();
        }
    }
}
