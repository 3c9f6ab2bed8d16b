//! Network namespaces that end with the test, however that ends.
//!
//! A namespace has no name and leaves no trace: it is held by a `cat` that ends as soon as the test
//! no longer holds its other end. The first one of a network is also a process namespace: when its
//! holder ends, the kernel kills every process that was started in it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::panic::resume_unwind;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;

const REMEDY: &str = "this test needs network namespaces: run it as root, \
    or as `unshare --map-root-user cargo test …`";

/// A network of its own for the processes that are started in it.
#[derive(Debug)]
pub struct Namespace {
    network: File,
    processes: Arc<File>,
    holder: Child,
}

impl Namespace {
    /// A namespace with nothing in it, and with processes of its own.
    ///
    /// # Panics
    /// If that is not permitted; the message says what to do.
    pub fn new() -> Self {
        let mut command = Command::new("unshare");
        command.args(["--net", "--pid", "--fork", "--kill-child", "cat"]);
        let holder = hold(command, |command| command.spawn());
        let path = |kind: &str| format!("/proc/{}/ns/{kind}", holder.id());
        let open = |kind| File::open(path(kind)).expect("a namespace has its place in /proc");
        let (network, processes) = (open("net"), Arc::new(open("pid_for_children")));
        Self {
            network,
            processes,
            holder,
        }
    }

    /// One more network, whose processes end with this namespace.
    pub fn another(&self) -> Self {
        let mut command = Command::new("unshare");
        command.args(["--net", "cat"]);
        let holder = hold(command, |command| self.spawn(command));
        let path = format!("/proc/{}/ns/net", holder.id());
        Self {
            network: File::open(path).expect("a namespace has its place in /proc"),
            processes: Arc::clone(&self.processes),
            holder,
        }
    }

    /// A process that lives in the namespace for as long as that does.
    pub fn holder(&self) -> u32 {
        self.holder.id()
    }

    /// Does something that opens its sockets here.
    pub fn inside<T: Send>(&self, action: impl FnOnce() -> T + Send) -> T {
        let entered = || {
            enter(&self.network);
            action()
        };
        let done = thread::scope(|scope| scope.spawn(entered).join());
        done.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Starts a program here.
    ///
    /// # Errors
    /// As [`Command::spawn`].
    pub fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        self.inside(|| {
            // Only now, and only for this: a thread whose children are elsewhere cannot have
            // threads.
            enter(&self.processes);
            command.spawn()
        })
    }

    /// Runs a program here until it ends, with these lines to read.
    ///
    /// # Panics
    /// If it fails, with what it said.
    pub fn run(&self, program: &str, arguments: &[&str], input: &str) {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        // Not among its processes: `ip` finds the holder of a namespace by its number outside.
        let mut child = match self.inside(|| command.spawn()) {
            Ok(child) => child,
            Err(error) => panic!("{program}: {error}: run `make setup`"),
        };
        let mut stdin = child.stdin.take().expect("stdin is piped");
        // A program that has ended early says why.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().expect("the process is ours");
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {}\n{input}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        // An error only says that it has ended already.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Starts the holder of a namespace, and waits until it holds it: until its `cat` answers.
fn hold(mut command: Command, spawn: impl FnOnce(&mut Command) -> io::Result<Child>) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut holder = match spawn(command.stderr(Stdio::piped())) {
        Ok(holder) => holder,
        Err(error) => panic!("unshare: {error}: run `make setup`"),
    };
    let mut line = String::new();
    let stdin = holder.stdin.as_mut().expect("stdin is piped");
    // If it has ended, nothing comes back.
    let _ = stdin.write_all(b"there?\n");
    let stdout = holder.stdout.as_mut().expect("stdout is piped");
    let answered = BufReader::new(stdout).read_line(&mut line);
    if !answered.is_ok_and(|length| length > 0) {
        let output = holder.wait_with_output().expect("the process is ours");
        panic!("{}{REMEDY}", String::from_utf8_lossy(&output.stderr));
    }
    holder
}

/// Moves this thread.
#[cfg(target_os = "linux")]
fn enter(namespace: &File) {
    let entered =
        rustix::thread::move_into_link_name_space(std::os::fd::AsFd::as_fd(namespace), None);
    assert!(entered.is_ok(), "{entered:?}: {REMEDY}");
}

#[cfg(not(target_os = "linux"))]
fn enter(_namespace: &File) {
    panic!("network namespaces are a thing of Linux");
}

/// The monotonic clock that every process on this machine reads, in nanoseconds.
#[cfg(target_os = "linux")]
pub fn monotonic() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The same where there are no namespaces to use it in.
#[cfg(not(target_os = "linux"))]
pub fn monotonic() -> u64 {
    panic!("network namespaces are a thing of Linux");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::wait;
    use std::net::TcpListener;

    #[test]
    fn what_is_opened_inside_is_not_seen_outside() {
        let (one, other) = (Namespace::new(), Namespace::new());
        for namespace in [&one, &other] {
            namespace.run("ip", &["-batch", "-"], "link set lo up\n");
        }
        let listen = || TcpListener::bind("127.0.0.1:5555").expect("a port of its own");
        let inside = one.inside(listen);
        let elsewhere = other
            .another()
            .inside(|| TcpListener::bind("127.0.0.1:5555"));
        drop((inside, elsewhere, other.inside(listen)));
    }

    #[test]
    fn processes_end_with_their_namespace() {
        let namespace = Namespace::new();
        let host = namespace.another();
        let mut sleeper = host
            .spawn(Command::new("sleep").arg("1000"))
            .expect("a program that is everywhere");
        assert!(sleeper.try_wait().expect("ours to ask").is_none());
        drop(namespace);
        wait::until("the process to end", || {
            sleeper.try_wait().expect("ours to ask")
        });
    }
}
