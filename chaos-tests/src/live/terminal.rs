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
    rows: usize,
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
            rows: rows.into(),
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

    /// What the screen shows now, line by line.
    pub fn screen(&self) -> String {
        shown(&self.drawn(), self.rows)
    }

    /// Waits until the screen shows this.
    pub fn wait_shown(&self, text: &str) {
        let shown = wait::comes_true(|| self.screen().contains(text));
        assert!(shown, "no {text} on the screen:\n{}", self.screen());
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

/// The screen after this was drawn: text goes where the cursor was put; colours are left out.
fn shown(drawn: &str, rows: usize) -> String {
    let mut screen = vec![Vec::new(); rows];
    let (mut row, mut column) = (0, 0);
    let mut left = drawn.chars();
    while let Some(c) = left.next() {
        match c {
            '\u{1b}' => {
                let mut sequence = String::new();
                for next in left.by_ref() {
                    sequence.push(next);
                    if next.is_ascii_alphabetic() {
                        break;
                    }
                }
                let numbers = sequence.trim_start_matches('[');
                match sequence.chars().last() {
                    Some('H') => {
                        let mut places = numbers.trim_end_matches('H').split(';');
                        let mut place = || places.next().and_then(|it| it.parse().ok());
                        row = place().unwrap_or(1) - 1;
                        column = place().unwrap_or(1) - 1;
                    }
                    Some('J') => screen.iter_mut().for_each(Vec::clear),
                    _ => {}
                }
            }
            '\r' => column = 0,
            '\n' => row += 1,
            _ => {
                let Some(line) = screen.get_mut(row) else {
                    continue;
                };
                if line.len() <= column {
                    line.resize(column + 1, ' ');
                }
                line[column] = c;
                column += 1;
            }
        }
    }
    let lines = screen.into_iter().map(String::from_iter);
    lines.collect::<Vec<String>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stands_where_the_cursor_was_put() {
        let drawn = "\u{1b}[2J\u{1b}[1;1Hone\u{1b}[2;3H\u{1b}[31mtwo\u{1b}[0m\u{1b}[1;2HNX";
        assert_eq!(shown(drawn, 3), "oNX\n  two\n");
    }
}
