//! `zmesh sub`: prints messages as they come.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::args::{Target, duration};
use crate::exit::Outcome;
use crate::frames::{Frame, as_text};
use crate::output::{Output, printable_bytes};

/// How long to wait for the node before saying that it is not there.
const NODE_TIMEOUT: Duration = Duration::from_secs(10);
/// On this topic a node tells its own clients which of their subscriptions every node knows.
const READY_TOPIC: &[u8] = b"$zmesh.ready";
/// On this topic it tells them, in their place, of messages that their queue had no room for.
const DROPPED_TOPIC: &[u8] = b"$zmesh.dropped";
/// Messages printed before the output is handed over although more wait.
const BATCH: usize = 1000;

const EXAMPLES: &str = "\
Examples:
  zmesh sub                          everything
  zmesh sub STOCK. FX.               what begins with STOCK. or FX.
  zmesh sub STOCK. --count 10        the next ten messages
  zmesh sub --json | jq .topic       one JSON object a message

A line is the topic and the other frames, tabs between them; bytes that are no text are escaped.
With --json it is {\"topic\": T, \"frames\": [the other frames], \"size\": bytes of all frames},
where a frame that is not UTF-8 is {\"base64\": \"…\"}.";

/// `zmesh sub`
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SubArgs {
    #[command(flatten)]
    target: Target,
    /// What topics begin with; without any, all messages
    prefix: Vec<String>,
    /// End after so many messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// One JSON object a message
    #[arg(long)]
    json: bool,
    /// End with exit code 1 when no message has come for so long
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,
}

pub(crate) fn run(args: &SubArgs) -> Result<Outcome> {
    let socket = subscribe(args)?;
    let form: fn(&[Vec<u8>]) -> Result<String> = match args.json {
        true => as_json,
        false => |frames| Ok(as_text(frames)),
    };
    let mut readiness = Readiness::of(args);
    let mut output = Output::stdout();
    let mut left = args.count.unwrap_or(u64::MAX);
    while left > 0 {
        let mut wait = 0;
        for _ in 0..BATCH {
            let frames = match socket.recv_multipart(wait) {
                Ok(frames) => frames,
                Err(zmq::Error::EINTR) => continue,
                Err(zmq::Error::EAGAIN) if wait == zmq::DONTWAIT => break,
                Err(zmq::Error::EAGAIN) => return Ok(Outcome::Negative),
                Err(error) => return Err(error).context("cannot receive"),
            };
            if readiness.takes(&frames) || tells_of_drops(args, &frames) {
                continue;
            }
            output.line(&form(&frames)?)?;
            wait = zmq::DONTWAIT;
            left -= 1;
            if left == 0 {
                break;
            }
        }
        output.flush()?;
    }
    Ok(Outcome::Done)
}

fn subscribe(args: &SubArgs) -> Result<zmq::Socket> {
    let patience = args
        .timeout
        .map_or(NODE_TIMEOUT, |timeout| timeout.min(NODE_TIMEOUT));
    let reached = args.target.node.reach(patience)?;
    let socket = zmq::Context::new().socket(zmq::SUB)?;
    socket.set_ipv6(reached.is_ipv6())?;
    socket.set_linger(0)?;
    if let Some(timeout) = args.timeout {
        socket.set_rcvtimeo(i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX))?;
    }
    for prefix in prefixes(args) {
        socket.set_subscribe(prefix.as_bytes())?;
    }
    socket.set_subscribe(READY_TOPIC)?;
    socket.set_subscribe(DROPPED_TOPIC)?;
    let endpoint = format!("tcp://{reached}");
    socket
        .connect(&endpoint)
        .with_context(|| format!("cannot connect to {endpoint}"))?;
    Ok(socket)
}

fn prefixes(args: &SubArgs) -> BTreeSet<&str> {
    match args.prefix.is_empty() {
        true => BTreeSet::from([""]),
        false => args.prefix.iter().map(String::as_str).collect(),
    }
}

/// Whether a message is the node's own, about messages that it dropped here, and was not asked for:
/// then it is told on stderr.
fn tells_of_drops(args: &SubArgs, frames: &[Vec<u8>]) -> bool {
    let asked = args
        .prefix
        .iter()
        .any(|prefix| prefix.starts_with("$zmesh."));
    let [topic, count, reason, total, ..] = frames else {
        return false;
    };
    if topic != DROPPED_TOPIC || asked {
        return false;
    }
    let [count, reason, total] = [count, reason, total].map(|frame| printable_bytes(frame));
    eprintln!("{count} messages are missing here ({reason}), {total} in all: read faster");
    true
}

/// Tells a person when every node knows the subscriptions; again after the node was away.
struct Readiness<'a> {
    all: BTreeSet<&'a str>,
    missing: BTreeSet<&'a str>,
}

impl<'a> Readiness<'a> {
    fn of(args: &'a SubArgs) -> Self {
        Self {
            all: prefixes(args),
            missing: prefixes(args),
        }
    }

    /// Whether a message is the node's own, about a subscription, and not one to print.
    fn takes(&mut self, frames: &[Vec<u8>]) -> bool {
        let [topic, prefix] = frames else {
            return false;
        };
        if topic != READY_TOPIC {
            return false;
        }
        if self
            .missing
            .remove(String::from_utf8_lossy(prefix).as_ref())
            && self.missing.is_empty()
        {
            eprintln!("subscribed: every node knows");
            self.missing = self.all.clone();
        }
        true
    }
}

/// A message as JSON, in this order.
#[derive(Serialize)]
struct Message<'a> {
    topic: Frame<'a>,
    frames: Vec<Frame<'a>>,
    size: usize,
}

/// The message as one JSON object.
fn as_json(frames: &[Vec<u8>]) -> Result<String> {
    let (topic, others) = frames.split_first().context("a message without frames")?;
    let message = Message {
        topic: Frame::of(topic),
        frames: others.iter().map(|frame| Frame::of(frame)).collect(),
        size: frames.iter().map(Vec::len).sum(),
    };
    Ok(serde_json::to_string(&message)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(frames: &[&[u8]]) -> Vec<Vec<u8>> {
        frames.iter().map(|frame| frame.to_vec()).collect()
    }

    fn json(frames: &[&[u8]]) -> String {
        as_json(&message(frames)).expect("a message")
    }

    #[test]
    fn a_message_is_one_line_of_text() {
        for (frames, line) in [
            (
                &[&b"topic"[..], b"a\nb", b"\xff"][..],
                "topic\ta\\nb\t\\xff",
            ),
            (&[b"topic"], "topic"),
            (&[b"topic", b""], "topic\t"),
        ] {
            assert_eq!(as_text(&message(frames)), line);
        }
    }

    #[test]
    fn a_message_as_json_has_topic_frames_and_size() {
        assert_eq!(
            json(&[b"t", "grö".as_bytes(), b"\xff\x00", b""]),
            r#"{"topic":"t","frames":["grö",{"base64":"/wA="},""],"size":7}"#
        );
    }

    #[test]
    fn a_topic_that_is_no_text_is_base64_as_well() {
        assert_eq!(
            json(&[b"\xff"]),
            r#"{"topic":{"base64":"/w=="},"frames":[],"size":1}"#
        );
    }

    #[test]
    fn a_message_as_json_stays_on_its_line() {
        assert!(!json(&[b"t\n", b"a\r\n\x1b[2J"]).contains(['\n', '\r', '\u{1b}']));
    }
}
