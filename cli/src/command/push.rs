//! `zmesh push`: puts tasks into a work queue.

use std::io::{self, BufRead};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::args::{Target, duration};
use crate::exit::Outcome;

const EXAMPLES: &str = "\
Examples:
  zmesh push thumbs cat.jpg 200x200     one task, with a body of two frames
  find . -name '*.jpg' | zmesh push thumbs
                                        one task a line

It ends when the node has them. `zmesh queue thumbs` shows how many are not safe yet at the queue's
owner and its copy.";

/// `zmesh push`
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PushArgs {
    #[command(flatten)]
    target: Target,
    /// Name of the queue
    queue: String,
    /// The body, a frame each; without any, one task a line of stdin
    #[arg(allow_negative_numbers = true)]
    body: Vec<String>,
    /// How many tasks were sent, as JSON
    #[arg(long)]
    json: bool,
    /// How long to wait for the node, and for a queue that is full
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    timeout: Duration,
}

pub(crate) fn run(args: &PushArgs) -> Result<Outcome> {
    if args.queue.is_empty() || args.queue.len() > 255 || args.queue.starts_with('$') {
        bail!("a queue has a name of 1 to 255 bytes that does not begin with $");
    }
    let node = &args.target.node;
    let reached = node.reach(args.timeout)?;
    let context = zmq::Context::new();
    let socket = context.socket(zmq::PUSH)?;
    let patience = i32::try_from(args.timeout.as_millis()).unwrap_or(i32::MAX);
    socket.set_ipv6(reached.is_ipv6())?;
    socket.set_linger(patience)?;
    socket.set_sndtimeo(patience)?;
    socket.connect(&format!("tcp://{reached}"))?;
    let mut sent = 0_u64;
    let mut send = |body: &[&[u8]]| -> Result<()> {
        let mut frames = vec![args.queue.as_bytes()];
        frames.extend(body);
        match socket.send_multipart(frames, 0) {
            Ok(()) => sent += 1,
            Err(zmq::Error::EAGAIN) => bail!(
                "{node} has not taken it in time, after {sent} tasks: `zmesh queue {}` says what \
                 waits; --timeout waits longer",
                args.queue
            ),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    };
    if args.body.is_empty() {
        for line in io::stdin().lock().lines() {
            send(&[line.context("cannot read stdin")?.as_bytes()])?;
        }
    } else {
        let body: Vec<&[u8]> = args.body.iter().map(String::as_bytes).collect();
        send(&body)?;
    }
    // With the context all that was sent goes out, as long as `linger` says.
    drop(socket);
    drop(context);
    if args.json {
        crate::output::print(&serde_json::json!({ "sent": sent }).to_string())?;
    }
    Ok(Outcome::Done)
}
