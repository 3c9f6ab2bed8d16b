//! One `zmesh node` process.

use super::http;
use super::options::Options;
use super::wait;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use zmesh_node::report;

/// The most that is kept of what a process says: enough for a failure message.
const MAX_LOG_BYTES: usize = 4 << 20;

/// How much of a log a failing test shows.
const SHOWN_LOG_BYTES: usize = 6000;

/// A running node. It is killed when this is dropped.
pub struct Node {
    /// What it was started with; after it was ready, with the ports it took.
    pub options: Options,
    child: Child,
    /// `host:port` for clients and HTTP, once it is ready.
    pub client: String,
    /// `host:port` of its gossip socket, once it is ready.
    pub gossip: String,
    /// `host:port` for links, once it is ready.
    pub link: String,
    said: Said,
}

/// What a process has printed so far.
#[derive(Clone, Default)]
struct Said {
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
}

impl Node {
    /// Starts a process; does not wait for it.
    pub fn spawn(options: Options) -> Self {
        let said = Said::default();
        let child = spawn(&options, &said);
        let unknown = String::new;
        Self {
            options,
            child,
            client: unknown(),
            gossip: unknown(),
            link: unknown(),
            said,
        }
    }

    /// Starts a node and waits until it is ready.
    pub fn start(options: Options) -> Self {
        let mut node = Self::spawn(options);
        node.wait_ready();
        node
    }

    /// Waits for the line `ready name=… client=… gossip=… link=…`.
    ///
    /// # Panics
    /// If the process ends, or says nothing for too long.
    pub fn wait_ready(&mut self) {
        let line = wait::until(&format!("{} to be ready", self.options.name), || {
            let ended = self.child.try_wait().expect("the process is ours to ask");
            assert!(
                ended.is_none(),
                "{} ended: {ended:?}\n{}",
                self.options.name,
                self.log()
            );
            let said = self.stdout();
            said.lines()
                .find(|line| line.starts_with("ready "))
                .map(String::from)
        });
        let field = |name: &str| {
            let value = line.split(' ').find_map(|word| word.strip_prefix(name));
            value
                .unwrap_or_else(|| panic!("no {name} in {line}"))
                .to_string()
        };
        assert_eq!(field("name="), self.options.name);
        (self.client, self.gossip) = (field("client="), field("gossip="));
        self.link = field("link=");
        let port = |address: &str| {
            address
                .rsplit(':')
                .next()
                .and_then(|port| port.parse().ok())
        };
        let ports = [&self.client, &self.gossip, &self.link].map(|it| port(it));
        self.options.ports = ports.map(|port| port.expect("an address ends with a port"));
    }

    /// `tcp://host:port` for ZeroMQ sockets.
    pub fn endpoint(&self) -> String {
        format!("tcp://{}", self.client)
    }

    /// A JSON page of the admin API; None while the node does not answer.
    pub fn ask<T: DeserializeOwned + Send>(&self, path: &str) -> Option<T> {
        self.options.inside(|| http::json(&self.client, path).ok())
    }

    /// A page as it stands, or why there is none.
    pub fn page(&self, path: &str) -> Result<String, String> {
        let page = self.options.inside(|| http::page(&self.client, path));
        page.map(|(_, body)| body)
            .map_err(|error| format!("{error:#}"))
    }

    /// The sum of a metric's samples whose labels contain this text.
    ///
    /// # Panics
    /// If the node does not answer for too long.
    pub fn metric(&self, name: &str, labels: &str) -> u64 {
        let ask = || http::metric(&self.client, name, labels).ok();
        let value = wait::until(name, || self.options.inside(ask));
        value as u64
    }

    /// The node at a glance.
    ///
    /// # Panics
    /// If it does not answer for too long.
    pub fn status(&self) -> report::Node {
        wait::until("the node's status", || self.ask("/api/v1/node"))
    }

    /// Connections closed for this reason so far.
    pub fn closed(&self, reason: &str) -> u64 {
        self.status()
            .closed_connections
            .get(reason)
            .copied()
            .unwrap_or(0)
    }

    /// Connections closed because of what the client did, for whatever reason.
    pub fn refused(&self) -> u64 {
        let closed = self.status().closed_connections;
        let all: u64 = closed.values().sum();
        all - ["peer_closed", "io"]
            .iter()
            .filter_map(|name| closed.get(*name))
            .sum::<u64>()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        // An error only says that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends it a signal such as `TERM`, `STOP` or `CONT`.
    ///
    /// # Panics
    /// If there is no such signal or process.
    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(
            sent.is_ok_and(|status| status.success()),
            "kill -s {signal} {pid}"
        );
    }

    /// Whether it has not ended yet.
    ///
    /// # Panics
    /// If the operating system does not say.
    pub fn is_running(&mut self) -> bool {
        let ended = self.child.try_wait().expect("the process is ours to ask");
        ended.is_none()
    }

    /// Waits until it has ended by itself; gives its exit code.
    pub fn wait_end(&mut self) -> Option<i32> {
        let name = format!("{} to end", self.options.name);
        wait::until(&name, || {
            self.child.try_wait().expect("the process is ours to ask")
        })
        .code()
    }

    /// Starts it again on the same ports, and waits until it is ready.
    pub fn restart(&mut self) {
        self.spawn_again();
        self.wait_ready();
    }

    /// Starts it again on the same ports; does not wait for it. Its log goes on.
    pub fn spawn_again(&mut self) {
        self.kill();
        self.said.stdout = Arc::default();
        self.child = spawn(&self.options, &self.said);
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Memory in use, in bytes.
    ///
    /// # Panics
    /// If the process has ended.
    pub fn memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(path).expect("the process is running");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes =
            line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kilobytes.expect("Linux says how much memory a process uses") * 1024
    }

    /// Everything it wrote to stdout.
    pub fn stdout(&self) -> String {
        text(&self.said.stdout)
    }

    /// Everything it wrote to stderr: its log.
    pub fn log(&self) -> String {
        text(&self.said.stderr)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            let log = self.log();
            let start = log.len().saturating_sub(SHOWN_LOG_BYTES);
            let start = (start..=log.len())
                .find(|&at| log.is_char_boundary(at))
                .unwrap_or(0);
            eprintln!("---- log of {} ----\n{}", self.options.name, &log[start..]);
        }
    }
}

fn text(said: &Mutex<String>) -> String {
    said.lock().expect("no reader panics").clone()
}

fn spawn(options: &Options, said: &Said) -> Child {
    let mut command = options.command();
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let spawned = match &options.namespace {
        Some(namespace) => namespace.spawn(&mut command),
        None => command.spawn(),
    };
    let mut child = spawned.expect("the program can be started");
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let file = options.log_file.as_ref().map(|path| {
        let file = File::options().create(true).append(true).open(path);
        file.expect("room for a log")
    });
    keep(stdout.expect("stdout is piped"), said.stdout.clone(), None);
    keep(stderr.expect("stderr is piped"), said.stderr.clone(), file);
    child
}

/// Reads to the end, so that the process never waits for us.
fn keep(stream: impl Read + Send + 'static, into: Arc<Mutex<String>>, mut file: Option<File>) {
    thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while reader
            .read_until(b'\n', &mut line)
            .is_ok_and(|count| count > 0)
        {
            if let Some(file) = &mut file {
                // A full disk fails the test elsewhere.
                let _ = file.write_all(&line);
            }
            let mut kept = into.lock().expect("no reader panics");
            if kept.len() < MAX_LOG_BYTES {
                kept.push_str(&String::from_utf8_lossy(&line));
            }
            line.clear();
        }
    });
}
