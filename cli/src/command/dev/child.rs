//! One node of `zmesh dev`: a child process, its lines, and its end.

use std::io::{BufRead, BufReader, Read};
use std::process::{ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::Sender;

use anyhow::{Context, Result};

use crate::output;

/// Colours of the names, in turn.
const COLOURS: [&str; 6] = ["36", "33", "35", "32", "34", "31"];
/// A mesh to try things out with ends soon, also with a client that does not read.
const DRAIN_TIMEOUT: &str = "5s";
/// A longer line of a log is passed on in pieces.
const MAX_LINE_BYTES: u64 = 64 * 1024;
/// Variables that would make two nodes alike.
const OWN_VARIABLES: [&str; 9] = [
    "ZMESH_NAME",
    "ZMESH_PORT",
    "ZMESH_GOSSIP_PORT",
    "ZMESH_LINK_PORT",
    "ZMESH_SEED",
    "ZMESH_BIND",
    "ZMESH_ADVERTISE",
    "ZMESH_CONFIG",
    "ZMESH_LOG",
];

/// What happens to the mesh.
pub(super) enum Event {
    /// The node of this number is ready.
    Ready(usize, Ready),
    /// The node of this number has closed its stdout: it is ending or has ended.
    Ended(usize),
    /// A signal asks for the end.
    Stop,
}

/// What a node says when it is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ready {
    pub(super) name: String,
    pub(super) client: String,
    pub(super) gossip: String,
    pub(super) link: String,
}

impl Ready {
    /// Reads the line `ready name=… client=… gossip=… link=…`.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        if words.next() != Some("ready") {
            return None;
        }
        let fields: Vec<(&str, &str)> = words.filter_map(|word| word.split_once('=')).collect();
        let field = |wanted: &str| {
            fields
                .iter()
                .find(|(name, _)| *name == wanted)
                .map(|(_, value)| (*value).to_string())
        };
        Some(Self {
            name: field("name")?,
            client: field("client")?,
            gossip: field("gossip")?,
            link: field("link")?,
        })
    }
}

/// A running node.
pub(super) struct Child {
    pub(super) name: String,
    pub(super) ready: Option<Ready>,
    pub(super) ended: bool,
    process: std::process::Child,
    stdin: Option<ChildStdin>,
}

impl Child {
    /// Starts the node and the threads that read its lines.
    pub(super) fn start(
        number: usize,
        port: u16,
        seed: Option<&str>,
        log: &str,
        events: &Sender<Event>,
    ) -> Result<Self> {
        let name = format!("node{}", number + 1);
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        let mut command = Command::new(program);
        let port_text = port.to_string();
        command.args([
            "node",
            "--stop-with-stdin",
            "--name",
            &name,
            "--port",
            &port_text,
        ]);
        command.args(["--log", log, "--drain-timeout", DRAIN_TIMEOUT]);
        if let Some(seed) = seed {
            command.args(["--seed", seed]);
        }
        for variable in OWN_VARIABLES {
            command.env_remove(variable);
        }
        apart_from_terminal(&mut command);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut process = command
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let stdin = process.stdin.take();
        let lines = Lines {
            number,
            prefix: prefix(number, &name),
            events: events.clone(),
        };
        if let (Some(stdout), Some(stderr)) = (process.stdout.take(), process.stderr.take()) {
            let log = lines.clone();
            spawn(move || log.pass_on(stderr))?;
            spawn(move || lines.watch(stdout))?;
        }
        Ok(Self {
            name,
            ready: None,
            ended: false,
            process,
            stdin,
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// How a node that has closed its stdout ended, in words.
    pub(super) fn how_it_ended(&mut self) -> String {
        let pid = self.pid();
        let status = self.wait();
        match status {
            Ok(status) => format!("{} (pid {pid}) ended: {status}", self.name),
            Err(error) => format!("{} (pid {pid}) ended: {error}", self.name),
        }
    }

    /// The command that starts the node again, without this program as its parent.
    pub(super) fn command_line(&self, all: &[Ready]) -> String {
        let port = self
            .ready
            .as_ref()
            .and_then(|ready| ready.client.rsplit_once(':'));
        let port = port.map_or("", |(_, port)| port);
        // All the others: which of them will run by then, nobody knows.
        let seeds = all.iter().filter(|ready| ready.name != self.name);
        let seeds: Vec<&str> = seeds.map(|ready| ready.gossip.as_str()).collect();
        let seed = if seeds.is_empty() { "" } else { " --seed " };
        format!(
            "{} node --name {} --port {port}{seed}{}",
            program(),
            self.name,
            seeds.join(",")
        )
    }

    /// Closes stdin, which the node takes for the wish to end.
    pub(super) fn ask_to_end(&mut self) {
        self.stdin = None;
    }

    /// Waits for a node that has closed its stdout.
    pub(super) fn reap(&mut self) {
        // A status that cannot be had leaves nothing to wait for either.
        let _ = self.wait();
    }

    pub(super) fn kill(&mut self) {
        // It fails only for a process that has just ended by itself.
        let _ = self.process.kill();
        self.reap();
    }

    fn wait(&mut self) -> std::io::Result<ExitStatus> {
        self.ended = true;
        self.stdin = None;
        self.process.wait()
    }
}

/// Keeps a Ctrl-C of the terminal to this program: it ends the nodes itself.
#[cfg(unix)]
fn apart_from_terminal(command: &mut Command) {
    std::os::unix::process::CommandExt::process_group(command, 0);
}

/// Keeps a Ctrl-C of the console to this program: it ends the nodes itself.
#[cfg(windows)]
fn apart_from_terminal(command: &mut Command) {
    const CREATE_NEW_PROCESS_GROUP: u32 = 0x200;
    std::os::windows::process::CommandExt::creation_flags(command, CREATE_NEW_PROCESS_GROUP);
}

/// How this program was called, for commands to paste.
pub(super) fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "zmesh".into())
}

fn spawn(work: impl FnOnce() + Send + 'static) -> Result<()> {
    std::thread::Builder::new()
        .name("lines".into())
        .spawn(work)
        .context("no thread")?;
    Ok(())
}

fn prefix(number: usize, name: &str) -> String {
    match output::stderr_has_colour() {
        true => format!("\x1b[{}m{name}\x1b[0m │ ", COLOURS[number % COLOURS.len()]),
        false => format!("{name} | "),
    }
}

/// Reads the lines of one node.
#[derive(Clone)]
struct Lines {
    number: usize,
    prefix: String,
    events: Sender<Event>,
}

impl Lines {
    /// Passes the log on with the name in front.
    fn pass_on(&self, stderr: impl Read) {
        each_line(stderr, |line| eprintln!("{}{line}", self.prefix));
    }

    /// Tells when the node is ready and when its stdout is closed.
    fn watch(&self, stdout: impl Read) {
        each_line(stdout, |line| match Ready::parse(line) {
            // The receiver lives as long as the mesh: without it nobody needs to know.
            Some(ready) => drop(self.events.send(Event::Ready(self.number, ready))),
            None => eprintln!("{}{line}", self.prefix),
        });
        drop(self.events.send(Event::Ended(self.number)));
    }
}

/// Calls `f` for each line, until the end or an error of the pipe.
fn each_line(from: impl Read, mut f: impl FnMut(&str)) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut from)
            .take(MAX_LINE_BYTES)
            .read_until(b'\n', &mut line)
        {
            Ok(1..) => f(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r'])),
            Ok(0) | Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_is_read_whatever_is_added_to_it() {
        let line = "ready name=a client=h:1 gossip=h:2 link=h:3 zone=x";
        let ready = Ready::parse(line).expect("a ready line");
        assert_eq!((ready.name.as_str(), ready.gossip.as_str()), ("a", "h:2"));
        assert_eq!((ready.client.as_str(), ready.link.as_str()), ("h:1", "h:3"));
        for other in ["", "ready", "ready name=a client=h:1", "not ready name=a"] {
            assert_eq!(Ready::parse(other), None, "{other}");
        }
    }
}
