//! `zmesh pull`: works for a queue from the command line.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::args::{Target, duration};
use crate::exit::Outcome;
use crate::frames::{Frame, as_text};
use crate::output::{Output, printable_bytes};

/// How long to wait for the node before saying that it is not there.
const NODE_TIMEOUT: Duration = Duration::from_secs(10);

/// A worker that hears nothing says again so often that it is there.
const AGAIN: Duration = Duration::from_secs(1);

const EXAMPLES: &str = "\
Examples:
  zmesh pull thumbs                    prints tasks, each done when it comes
  zmesh pull thumbs --ack              each is done when it is printed: none is lost
  zmesh pull thumbs --count 10 --json | jq .frames

A line is the frames of a task, tabs between them, or {\"id\": …, \"frames\": […]}. The id of
a task that may have been given before ends with .1, .2 and so on.";

/// `zmesh pull`
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PullArgs {
    #[command(flatten)]
    target: Target,
    /// Name of the queue
    queue: String,
    /// Say that a task is done when it is printed, not when it comes
    #[arg(long)]
    ack: bool,
    /// End after so many tasks
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End when nothing has come for so long
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,
    /// One JSON object a task
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Task<'a> {
    id: String,
    frames: Vec<Frame<'a>>,
}

pub(crate) fn run(args: &PullArgs) -> Result<Outcome> {
    let reached = args.target.node.reach(NODE_TIMEOUT)?;
    let context = zmq::Context::new();
    let socket = context.socket(zmq::DEALER)?;
    socket.set_ipv6(reached.is_ipv6())?;
    // So that the last word is heard.
    socket.set_linger(1000)?;
    socket.set_immediate(true)?;
    socket.connect(&format!("tcp://{reached}"))?;
    socket.set_rcvtimeo(100)?;
    let come = ["$zmesh.work", args.queue.as_str(), "1"];
    socket.send_multipart(come, 0)?;
    let (mut said, mut heard) = (Instant::now(), Instant::now());
    let mut output = Output::stdout();
    let mut count = 0;
    while args.count.is_none_or(|most| count < most) {
        let frames = match socket.recv_multipart(0) {
            Ok(frames) => frames,
            Err(zmq::Error::EAGAIN) => {
                if args
                    .timeout
                    .is_some_and(|timeout| heard.elapsed() >= timeout)
                {
                    return Ok(Outcome::Negative);
                }
                if said.elapsed() >= AGAIN {
                    // None goes out while there is no node: then they would pile up.
                    let _ = socket.send_multipart(come, zmq::DONTWAIT);
                    said = Instant::now();
                }
                continue;
            }
            Err(zmq::Error::EINTR) => continue,
            Err(error) => return Err(error).context("cannot receive"),
        };
        heard = Instant::now();
        let [id, body @ ..] = &frames[..] else {
            continue;
        };
        if id == b"$zmesh.error" {
            let words: Vec<String> = body.iter().map(|it| printable_bytes(it)).collect();
            bail!("the node refuses: {}", words.join(": "));
        }
        let done = || socket.send_multipart([b"$zmesh.done", &id[..]], 0);
        if !args.ack {
            done()?;
        }
        output.line(&match args.json {
            true => serde_json::to_string(&Task {
                id: printable_bytes(id),
                frames: body.iter().map(|frame| Frame::of(frame)).collect(),
            })?,
            false => as_text(body),
        })?;
        output.flush()?;
        if args.ack {
            done()?;
        }
        count += 1;
    }
    Ok(Outcome::Done)
}
