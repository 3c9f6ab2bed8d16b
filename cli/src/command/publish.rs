//! `zmesh pub`: publishes payloads from arguments or from the lines of stdin.

use std::io::{self, BufRead, IsTerminal, Read};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::args::{Target, duration};
use crate::exit::Outcome;
use crate::zmtp::Publisher;

/// The largest line that is taken for a message.
const MAX_LINE_BYTES: u64 = 64 << 20;

const EXAMPLES: &str = "\
Examples:
  zmesh pub STOCK.AAPL 187.32                one message
  zmesh pub STOCK.AAPL 187.32 187.35         two messages
  tail -f prices | zmesh pub STOCK.AAPL      one message a line
  zmesh pub T -- --flag                      a payload that begins with a dash

Each message is two frames, the topic and the payload. It ends when the node has taken them all.";

/// `zmesh pub`
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PubArgs {
    #[command(flatten)]
    target: Target,
    /// Topic of the messages
    topic: String,
    /// One message each; without any, one message a line of stdin
    #[arg(allow_negative_numbers = true)]
    payload: Vec<String>,
    /// How long to wait for the node, at first and at last
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    timeout: Duration,
}

/// Nodes drop what clients publish on such topics.
const RESERVED: char = '$';

pub(crate) fn run(args: &PubArgs) -> Result<Outcome> {
    let node = &args.target.node;
    let topic = args.topic.as_bytes();
    if args.topic.starts_with(RESERVED) {
        bail!("topics that begin with {RESERVED} are the mesh's own: choose another");
    }
    let stream = node.connect(args.timeout)?;
    let publisher = Publisher::open(stream, topic, args.timeout)
        .with_context(|| format!("{node} is no node that takes messages"))?;
    let mut sender = Sender {
        publisher,
        topic,
        sent: 0,
    };
    let done = match args.payload.as_slice() {
        [] => sender.lines(io::stdin().lock()),
        payloads => payloads
            .iter()
            .try_for_each(|payload| sender.send(payload.as_bytes())),
    };
    let sent = sender.sent;
    done.and_then(|()| Ok(sender.publisher.finish(args.timeout)?))
        .with_context(|| {
            format!("{node} has not taken all of the {sent} messages: is it still running?")
        })?;
    Ok(Outcome::Done)
}

struct Sender<'a> {
    publisher: Publisher,
    topic: &'a [u8],
    sent: u64,
}

impl Sender<'_> {
    fn send(&mut self, payload: &[u8]) -> Result<()> {
        self.sent += 1;
        Ok(self.publisher.send(&[self.topic, payload])?)
    }

    /// Sends each line, and holds none back while the next is not there yet.
    fn lines(&mut self, stdin: io::StdinLock<'_>) -> Result<()> {
        if io::stdin().is_terminal() {
            eprintln!("one message a line; Ctrl-D ends");
        }
        let mut input = io::BufReader::with_capacity(64 * 1024, stdin);
        let mut line = Vec::new();
        loop {
            line.clear();
            if !input.buffer().contains(&b'\n') {
                self.publisher.flush()?;
            }
            let read = (&mut input)
                .take(MAX_LINE_BYTES)
                .read_until(b'\n', &mut line);
            if read.context("cannot read stdin")? == 0 {
                return Ok(());
            }
            ensure_line(&line)?;
            self.send(without_end(&line))?;
        }
    }
}

fn ensure_line(line: &[u8]) -> Result<()> {
    let whole = line.ends_with(b"\n") || (line.len() as u64) < MAX_LINE_BYTES;
    ensure!(
        whole,
        "a line is longer than 64 MiB: a message must be shorter"
    );
    Ok(())
}

fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_loses_its_end_and_nothing_else() {
        for (line, payload) in [
            ("a\n", "a"),
            ("a\r\n", "a"),
            ("a", "a"),
            ("\n", ""),
            ("a\n\n", "a\n"),
            (" a \n", " a "),
        ] {
            assert_eq!(without_end(line.as_bytes()), payload.as_bytes());
        }
    }
}
