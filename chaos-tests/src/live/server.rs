//! A program that serves HTTP on a free port and says on stderr which one it took, as Prometheus
//! and its Alertmanager do.

use super::network::Host;
use super::wait;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

/// What is logged before the address.
const LISTENING: &str = "msg=\"Listening on\" address=";

/// The last lines of a log that a failing test shows.
const SHOWN_LINES: usize = 30;

/// A running server. It is killed when this is dropped.
pub struct Server {
    /// `host:port`.
    pub address: String,
    program: &'static str,
    host: Option<Host>,
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    // Where it keeps what it keeps; removed after its end.
    _folder: tempfile::TempDir,
}

impl Server {
    /// Starts a program, on a host of its own if there is one, and waits until it listens.
    /// `address:0` for it to listen to is the last argument, after `listen`.
    ///
    /// # Panics
    /// If it is not there, ends, or says nothing for too long.
    pub fn start(
        program: &'static str,
        arguments: &[String],
        listen: &str,
        host: Option<&Host>,
        folder: tempfile::TempDir,
    ) -> Self {
        let address = host.map_or("127.0.0.1", |host| &host.address);
        let mut command = Command::new(program);
        command.args(arguments);
        command.arg(format!("{listen}{address}:0"));
        command.current_dir(folder.path()).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let spawned = match host {
            Some(host) => host.namespace.spawn(&mut command),
            None => command.spawn(),
        };
        let mut child = spawned.unwrap_or_else(|error| {
            panic!("{program}: {error}: run `make setup`, which installs it")
        });
        let log = Arc::<Mutex<Vec<String>>>::default();
        let lines = BufReader::new(child.stderr.take().expect("stderr is piped")).lines();
        let into = Arc::clone(&log);
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                into.lock().expect("no reader panics").push(line);
            }
        });
        let mut server = Self {
            address: String::new(),
            program,
            host: host.cloned(),
            child,
            log,
            _folder: folder,
        };
        server.address = wait::until(&format!("{program} to listen"), || {
            let ended = server.child.try_wait().expect("the process is ours to ask");
            assert!(ended.is_none(), "{program} ended: {ended:?}");
            let log = server.log.lock().expect("no reader panics");
            let mut said = log.iter().filter_map(|line| line.split_once(LISTENING));
            said.next().map(|(_, address)| address.trim().to_string())
        });
        server
    }

    /// Does something that opens its sockets where the server has its own.
    pub fn beside<T: Send>(&self, action: impl FnOnce() -> T + Send) -> T {
        match &self.host {
            Some(host) => host.namespace.inside(action),
            None => action(),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error only says that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let Ok(log) = self.log.lock() else { return };
            let shown = &log[log.len().saturating_sub(SHOWN_LINES)..];
            eprintln!("---- log of {} ----\n{}", self.program, shown.join("\n"));
        }
    }
}
