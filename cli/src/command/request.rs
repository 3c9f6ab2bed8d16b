//! `zmesh request`: asks a service, and prints what it answers.

use std::io::{self, BufRead};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::args::{Target, duration};
use crate::exit::Outcome;
use crate::frames::{Frame, as_text};
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  zmesh request prices AAPL             one request, with a body of one frame
  zmesh request orders buy 100          with a body of two frames
  zmesh request prices < symbols        one request a line, one after the other
  zmesh request prices AAPL --json | jq .frames

It prints the frames of the answer, tabs between them. Where there is an error instead of an answer
(no_worker, timeout, worker_lost, busy, bad_request) it is told on stderr, and the exit code is 1.
With --json a line is {\"frames\": […]} or {\"error\": CODE, \"text\": …, \"id\": …}.";

/// `zmesh request`
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RequestArgs {
    #[command(flatten)]
    target: Target,
    /// Name of the service
    service: String,
    /// The body, a frame each; without any, one request a line of stdin
    #[arg(allow_negative_numbers = true)]
    body: Vec<String>,
    /// One JSON object an answer
    #[arg(long)]
    json: bool,
    /// How long to wait for the node, and for it to answer: the mesh itself gives up after 5 s
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    timeout: Duration,
}

/// An answer, or what there is instead.
#[derive(Serialize)]
#[serde(untagged)]
enum Answer<'a> {
    Answered {
        frames: Vec<Frame<'a>>,
    },
    Failed {
        error: &'a str,
        text: &'a str,
        id: &'a str,
    },
}

impl<'a> Answer<'a> {
    fn of(frames: &'a [Vec<u8>]) -> Self {
        let text = |frame: &'a [u8]| std::str::from_utf8(frame).unwrap_or("?");
        match frames {
            [first, code, words, id] if first == b"$zmesh.error" => Self::Failed {
                error: text(code),
                text: text(words),
                id: text(id),
            },
            frames => Self::Answered {
                frames: frames.iter().map(|frame| Frame::of(frame)).collect(),
            },
        }
    }
}

pub(crate) fn run(args: &RequestArgs) -> Result<Outcome> {
    let reached = args.target.node.reach(args.timeout)?;
    let socket = zmq::Context::new().socket(zmq::REQ)?;
    socket.set_ipv6(reached.is_ipv6())?;
    socket.set_linger(0)?;
    socket.connect(&format!("tcp://{reached}"))?;
    let mut asking = Asking {
        args,
        socket,
        output: Output::stdout(),
        failed: false,
    };
    if args.body.is_empty() {
        for line in io::stdin().lock().lines() {
            asking.ask(&[line.context("cannot read stdin")?])?;
        }
    } else {
        asking.ask(&args.body)?;
    }
    Ok(match asking.failed {
        true => Outcome::Negative,
        false => Outcome::Done,
    })
}

struct Asking<'a> {
    args: &'a RequestArgs,
    socket: zmq::Socket,
    output: Output,
    /// Some request had no answer.
    failed: bool,
}

impl Asking<'_> {
    fn ask(&mut self, body: &[String]) -> Result<()> {
        let service = std::iter::once(self.args.service.as_bytes());
        let frames: Vec<&[u8]> = service.chain(body.iter().map(|it| it.as_bytes())).collect();
        self.socket.send_multipart(frames, 0)?;
        let frames = self.receive()?;
        let answer = Answer::of(&frames);
        if let Answer::Failed { error, text, id } = &answer {
            self.failed = true;
            if !self.args.json {
                let id = if id.is_empty() {
                    String::new()
                } else {
                    format!(" (request {id})")
                };
                eprintln!("{error}: {text}{id}");
                return Ok(());
            }
        }
        let line = match self.args.json {
            true => serde_json::to_string(&answer)?,
            false => as_text(&frames),
        };
        self.output.line(&line)?;
        self.output.flush()
    }

    fn receive(&self) -> Result<Vec<Vec<u8>>> {
        let deadline = Instant::now() + self.args.timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = i64::try_from(left.as_millis()).unwrap_or(i64::MAX);
            match self.socket.poll(zmq::POLLIN, left) {
                Ok(0) => bail!(
                    "{} does not answer: is it still running? --timeout waits longer",
                    self.args.target.node
                ),
                Ok(_) => return Ok(self.socket.recv_multipart(0)?),
                Err(zmq::Error::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_told_from_an_error() {
        let frames = |parts: &[&str]| -> Vec<Vec<u8>> {
            parts.iter().map(|part| part.as_bytes().to_vec()).collect()
        };
        let json = |parts: &[&str]| {
            let frames = frames(parts);
            serde_json::to_string(&Answer::of(&frames)).expect("JSON")
        };
        assert_eq!(json(&["187.3", ""]), r#"{"frames":["187.3",""]}"#);
        assert_eq!(
            json(&["$zmesh.error", "timeout", "no answer", "0a-1"]),
            r#"{"error":"timeout","text":"no answer","id":"0a-1"}"#
        );
    }
}
