//! A process that ends with the test.

use super::wait::PATIENCE;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

/// A running program, killed when this is dropped.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running program that is spoken with over lines.
pub struct Program {
    running: Running,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Program {
    /// Starts it.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = command.spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdout = child.stdout.take().expect("stdout is piped");
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            stdin: child.stdin.take(),
            running: Running(child),
            lines,
        }
    }

    /// Says a line to it.
    ///
    /// # Panics
    /// If it does not listen.
    pub fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("stdin is open");
        writeln!(stdin, "{line}").expect("it listens");
    }

    /// Its next line.
    ///
    /// # Panics
    /// If it says nothing for too long.
    pub fn hear(&self) -> String {
        let line = self.lines.recv_timeout(PATIENCE);
        line.expect("it says something")
    }

    /// Its next line that does not begin with this.
    pub fn hear_but(&self, start: &str) -> String {
        loop {
            let line = self.hear();
            if !line.starts_with(start) {
                return line;
            }
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.running.0.id()
    }
}
