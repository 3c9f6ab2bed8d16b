//! A ZeroMQ program in another language, driven over lines (see `clients/README.md`).

use super::language::Language;
use super::token::{SHORT, token, tokens};
use super::wait::PATIENCE;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The topic on which a node says that a subscription is in force everywhere.
pub const READY: &str = "$zmesh.ready";

/// Messages that a test sends only to learn whether anything gets through.
const PROBE: &str = "probe.";

/// A running client program. It is killed when this is dropped.
pub struct Client {
    what: String,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    files: TempDir,
    sent_files: usize,
    received: VecDeque<Vec<String>>,
    ready: Vec<String>,
    synced: usize,
    probes: usize,
}

impl Client {
    /// Starts a client with a socket of this type, connected to these endpoints.
    ///
    /// # Panics
    /// If the language or its ZeroMQ package is missing; the message says what to install.
    pub fn start(language: Language, socket_type: &str, endpoints: &[&str]) -> Self {
        let mut command = language.command();
        command.arg(socket_type).args(endpoints);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdout = child.stdout.take().expect("stdout is piped");
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut client = Self {
            what: format!("{language:?} {socket_type}"),
            stdin: child.stdin.take(),
            child,
            lines,
            files: tempfile::tempdir().expect("a place for files"),
            sent_files: 0,
            received: VecDeque::new(),
            ready: Vec::new(),
            synced: 0,
            probes: 0,
        };
        let first = client.line(PATIENCE).unwrap_or_default();
        assert_eq!(first, "open", "{} did not start", client.what);
        if socket_type.ends_with("SUB") {
            client.tell("subscribe", &[READY]);
        }
        client
    }

    /// Subscribes, and waits until the subscription is in force everywhere.
    pub fn subscribe<P: AsRef<[u8]>>(&mut self, prefixes: &[P]) {
        for prefix in prefixes {
            self.tell("subscribe", &[prefix]);
        }
        self.wait_ready(prefixes);
    }

    /// Waits until each of these subscriptions is in force everywhere, once more for each call.
    pub fn wait_ready<P: AsRef<[u8]>>(&mut self, prefixes: &[P]) {
        for prefix in prefixes {
            let prefix = token(prefix.as_ref());
            self.until(
                &format!("the subscription {prefix} to be ready"),
                |client| {
                    let at = client.ready.iter().position(|ready| *ready == prefix)?;
                    client.ready.swap_remove(at);
                    Some(())
                },
            );
        }
    }

    /// Unsubscribes, and waits until the client has done so.
    pub fn unsubscribe(&mut self, prefix: &str) {
        self.tell("unsubscribe", &[prefix]);
        self.sync();
    }

    /// Sends a message.
    pub fn send<F: AsRef<[u8]>>(&mut self, frames: &[F]) {
        self.tell("send", frames);
    }

    /// Waits until everything said so far has been done.
    pub fn sync(&mut self) {
        let wanted = self.synced + 1;
        self.write("sync");
        self.until("it to catch up", |client| {
            (client.synced >= wanted).then_some(())
        });
    }

    /// The next message.
    ///
    /// # Panics
    /// If none comes.
    pub fn receive(&mut self) -> Vec<String> {
        self.until("a message", |client| client.received.pop_front())
    }

    /// Takes the next message and compares it.
    ///
    /// # Panics
    /// If it is another.
    pub fn expect<F: AsRef<[u8]>>(&mut self, frames: &[F]) {
        let received = self.receive();
        assert_eq!(
            received,
            tokens(frames),
            "{} received another message",
            self.what
        );
    }

    /// Publishes probes until `subscriber` sees one: from then on nothing is lost on the way.
    /// A PUB socket drops what it is given before the node has asked for messages, and does not
    /// say when that is over.
    pub fn reach(&mut self, subscriber: &mut Self) {
        subscriber.subscribe(&[PROBE]);
        self.probe(subscriber);
    }

    /// The same, for a subscriber that gets probes already.
    pub fn probe(&mut self, subscriber: &mut Self) {
        let before = subscriber.probes;
        let deadline = Instant::now() + PATIENCE;
        while subscriber.probes == before {
            assert!(Instant::now() < deadline, "{} reaches nobody", self.what);
            self.send(&[PROBE]);
            subscriber.take_line(Duration::from_millis(50));
        }
    }

    /// Closes the socket as a program does that ends: what was sent is handed over first.
    pub fn close(mut self) {
        drop(self.stdin.take());
        let ended = self.child.wait().expect("the process is ours to wait for");
        assert!(ended.success(), "{} ended with {ended}", self.what);
    }

    fn tell<F: AsRef<[u8]>>(&mut self, verb: &str, frames: &[F]) {
        let mut line = verb.to_string();
        for frame in frames.iter().map(AsRef::as_ref) {
            line.push(' ');
            if frame.len() > SHORT {
                self.sent_files += 1;
                let path = self.files.path().join(self.sent_files.to_string());
                std::fs::write(&path, frame).expect("room for a file");
                line.push_str(&format!("@{}", path.display()));
            } else {
                line.push_str(&token(frame));
            }
        }
        self.write(&line);
    }

    fn write(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("closed only by close");
        let written = stdin.write_all(format!("{line}\n").as_bytes());
        assert!(written.is_ok(), "{} has ended", self.what);
    }

    fn until<T>(&mut self, what: &str, mut found: impl FnMut(&mut Self) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = found(self) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                self.take_line(left),
                "{} waited in vain for {what}",
                self.what
            );
        }
    }

    /// Takes in one line, if one comes in time.
    fn take_line(&mut self, patience: Duration) -> bool {
        let Some(line) = self.line(patience) else {
            return false;
        };
        let mut words = line.split(' ').map(String::from);
        match words.next().as_deref() {
            Some("synced") => self.synced += 1,
            Some("message") => self.sort(words.collect()),
            _ => panic!("{} said {line}", self.what),
        }
        true
    }

    fn sort(&mut self, message: Vec<String>) {
        if message[0] == token(READY.as_bytes()) {
            self.ready.extend(message.into_iter().nth(1));
        } else if message[0] == token(PROBE.as_bytes()) {
            self.probes += 1;
        } else {
            self.received.push_back(message);
        }
    }

    fn line(&mut self, patience: Duration) -> Option<String> {
        self.lines.recv_timeout(patience).ok()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // An error only says that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
