//! Clients that load a mesh and write down what they sent or received (see `clients/README.md`).

use super::history::{self, RECORD_BYTES, Record};
use super::language::Language;
use super::network::Host;
use super::wait::{self, PATIENCE};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

/// Port for clients on every host.
pub const CLIENT_PORT: u16 = 5555;

/// What a publisher does.
#[derive(Clone, Copy, Debug)]
pub struct Publish {
    /// Number of the host that it runs on.
    pub host: usize,
    /// What it is written in.
    pub language: Language,
    /// Messages a second; with 0, as many as it can.
    pub rate: u32,
    /// On how many topics it sends, in turn.
    pub topics: u16,
    /// Bytes of a message behind its topic.
    pub size: usize,
}

/// What a subscriber does.
#[derive(Clone, Copy, Debug)]
pub struct Subscribe {
    /// Number of the host that it runs on.
    pub host: usize,
    /// What it is written in.
    pub language: Language,
    /// What it subscribes to.
    pub prefix: &'static str,
}

/// A client program. It is killed when this is dropped.
#[derive(Debug)]
pub struct Loader {
    what: String,
    child: Child,
    stdin: Option<ChildStdin>,
    said: Arc<Mutex<Said>>,
    file: PathBuf,
}

/// What a client has said.
#[derive(Debug, Default)]
struct Said {
    lines: Vec<String>,
    /// It says nothing more.
    ended: bool,
}

/// The topic of this number.
pub fn topic(number: u16) -> String {
    format!("load.{number}")
}

impl Publish {
    /// Starts it, as publisher of this number, with a file in this folder or none.
    pub fn start(self, host: &Host, number: u16, folder: Option<&Path>) -> Loader {
        let rest = [
            number.to_string(),
            self.rate.to_string(),
            self.topics.to_string(),
            self.size.to_string(),
        ];
        let what = format!("publisher{number}");
        Loader::start(host, self.language, "publish", what, folder, &rest)
    }
}

impl Subscribe {
    /// Starts it with a file in this folder or none.
    pub fn start(self, host: &Host, folder: Option<&Path>) -> Loader {
        let what = format!("subscriber-{}-{:?}", self.host + 1, self.language);
        let rest = [self.prefix.to_string()];
        Loader::start(host, self.language, "subscribe", what, folder, &rest)
    }

    /// Whether it asks for this topic.
    pub fn wants(&self, number: u16) -> bool {
        topic(number).starts_with(self.prefix)
    }
}

impl Loader {
    fn start(
        host: &Host,
        language: Language,
        verb: &str,
        what: String,
        folder: Option<&Path>,
        rest: &[String],
    ) -> Self {
        let file = folder.map_or("-".into(), |folder| folder.join(&what));
        let mut command = language.load_command();
        command.args([verb, &format!("tcp://{}:{CLIENT_PORT}", host.address)]);
        command.arg(&file).args(rest);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let spawned = host.namespace.spawn(&mut command);
        let mut child = spawned.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let said = Arc::new(Mutex::new(Said::default()));
        let (stdout, heard) = (child.stdout.take(), Arc::clone(&said));
        thread::spawn(move || {
            let stdout = BufReader::new(stdout.expect("stdout is piped"));
            for line in stdout.lines().map_while(Result::ok) {
                heard.lock().expect("no reader panics").lines.push(line);
            }
            heard.lock().expect("no reader panics").ended = true;
        });
        Self {
            what,
            stdin: child.stdin.take(),
            child,
            said,
            file,
        }
    }

    /// How often it has said something that begins like this.
    pub fn said(&self, word: &str) -> usize {
        let said = self.said.lock().expect("no reader panics");
        let lines = said.lines.iter();
        lines.filter(|line| line.starts_with(word)).count()
    }

    /// Waits until it has said so as often as this.
    ///
    /// # Panics
    /// If it does not.
    pub fn wait_said(&mut self, word: &str, times: usize) {
        let what = format!("{} to say {word} {times} times", self.what);
        wait::until_true(&what, || {
            let ended = self.said.lock().expect("no reader panics").ended;
            let found = self.said(word) >= times;
            assert!(found || !ended, "{} ended early", self.what);
            found
        });
    }

    /// A publisher begins.
    pub fn go(&mut self) {
        let stdin = self.stdin.as_mut().expect("open until it is to end");
        let told = stdin.write_all(b"g").and_then(|()| stdin.flush());
        assert!(told.is_ok(), "{} has ended", self.what);
    }

    /// Tells it to end: a publisher sends the last message of each topic.
    pub fn end(&mut self) {
        drop(self.stdin.take());
    }

    /// About how many messages it has written down so far.
    pub fn written(&self) -> u64 {
        let length = std::fs::metadata(&self.file).map_or(0, |it| it.len());
        length / RECORD_BYTES as u64
    }

    /// Waits until it has told to the end what it did, after [`Loader::end`].
    ///
    /// # Panics
    /// If it does not, or a message was not as it was sent.
    pub fn history(&mut self) -> Vec<Record> {
        self.end();
        self.wait_said("written", 1);
        let broken = self.said("broken");
        assert_eq!(broken, 0, "messages broken at {}", self.what);
        history::read(&self.file).unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// What it is, for people.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Waits until it has ended by itself.
    pub fn wait_end(&mut self) {
        self.end();
        let what = format!("{} to end within {PATIENCE:?}", self.what);
        wait::until(&what, || {
            self.child.try_wait().expect("the process is ours to ask")
        });
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        // An error only says that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
