//! A program on a terminal of its own, as a person would sit at it.

use super::wait;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread;

/// A running program and the terminal it draws on. It is killed when this is dropped.
pub struct Terminal {
    child: Child,
    keyboard: File,
    /// Kept open, so that the terminal outlives the program.
    line: OwnedFd,
    before: Termios,
    drawn: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// Starts the program on a terminal of this size.
    ///
    /// # Panics
    /// If there is no terminal to be had, or the program cannot be started.
    pub fn start(command: &mut Command, columns: u16, rows: u16) -> Self {
        let (ours, line) = pair(columns, rows).expect("the system has terminals");
        let side = || line.try_clone().expect("room for a descriptor");
        command.stdin(side()).stdout(side()).stderr(side());
        command.env("TERM", "xterm-256color");
        let before = tcgetattr(&line).expect("it is a terminal");
        let child = command.spawn().expect("the program can be started");
        let keyboard = File::from(ours);
        let drawn: Arc<Mutex<Vec<u8>>> = Arc::default();
        let mut screen = keyboard.try_clone().expect("room for a descriptor");
        let into = Arc::clone(&drawn);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = screen.read(&mut buffer) {
                let mut into = into.lock().expect("no reader panics");
                into.extend(&buffer[..count]);
            }
        });
        Self {
            child,
            keyboard,
            line,
            before,
            drawn,
        }
    }

    /// Presses keys.
    ///
    /// # Panics
    /// If the terminal is gone.
    pub fn press(&mut self, keys: &str) {
        let pressed = self.keyboard.write_all(keys.as_bytes());
        pressed.expect("the terminal is open");
    }

    /// Everything that was drawn so far, with the sequences that move the cursor.
    ///
    /// # Panics
    /// Never: no reader panics.
    pub fn drawn(&self) -> String {
        let drawn = self.drawn.lock().expect("no reader panics");
        String::from_utf8_lossy(&drawn).into_owned()
    }

    /// Waits until this has been drawn.
    pub fn wait_drawn(&self, text: &str) {
        wait::until_true(&format!("{text} on the screen"), || {
            self.drawn().contains(text)
        });
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the program has ended.
    pub fn wait_end(&mut self) -> ExitStatus {
        wait::until("the program to end", || {
            self.child.try_wait().expect("the process is ours to ask")
        })
    }

    /// Whether the terminal is as it was before: it echoes, takes lines, and shows the ordinary
    /// screen and a cursor.
    pub fn is_as_before(&self) -> bool {
        let after = tcgetattr(&self.line).expect("it is a terminal");
        let drawn = self.drawn();
        let last = |one: &str, other: &str| drawn.rfind(one) > drawn.rfind(other);
        after.local_modes == self.before.local_modes
            && after.input_modes == self.before.input_modes
            && after.output_modes == self.before.output_modes
            && last("\u{1b}[?1049l", "\u{1b}[?1049h")
            && last("\u{1b}[?25h", "\u{1b}[?25l")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // An error only says that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The two ends of a new terminal: ours, and the one for the program.
fn pair(columns: u16, rows: u16) -> std::io::Result<(OwnedFd, OwnedFd)> {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    let name = ptsname(&ours, Vec::new())?;
    let path = String::from_utf8_lossy(name.as_bytes()).into_owned();
    let line = File::options().read(true).write(true).open(path)?;
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&line, size)?;
    Ok((ours, line.into()))
}
