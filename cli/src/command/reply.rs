//! `zmesh reply`: serves a service from the command line.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::args::Target;
use crate::exit::Outcome;
use crate::output::printable_bytes;

/// How long to wait for the node before saying that it is not there.
const NODE_TIMEOUT: Duration = Duration::from_secs(10);

/// A worker that hears nothing says again so often that it is there: its node may be another
/// process than the one that it told.
const AGAIN: Duration = Duration::from_secs(1);

/// Requests that an echo takes at a time.
const ECHO_CREDIT: &str = "100";

const EXAMPLES: &str = "\
Examples:
  zmesh reply echo --echo                         answers with what was asked
  zmesh reply upper --command 'tr a-z A-Z'        answers with what a command prints

The command is run by the shell for each request, one at a time, in as many `zmesh reply` as you
start. It reads the body's frames, a line each, and what it prints is the answer, a frame a line.
One that fails is told on stderr; what it printed is the answer all the same.";

/// `zmesh reply`
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ReplyArgs {
    #[command(flatten)]
    target: Target,
    /// Name of the service
    service: String,
    /// Answer with the body of the request
    #[arg(long, conflicts_with = "command", required_unless_present = "command")]
    echo: bool,
    /// Answer with what this prints
    #[arg(long, value_name = "COMMAND")]
    command: Option<String>,
}

pub(crate) fn run(args: &ReplyArgs) -> Result<Outcome> {
    let reached = args.target.node.reach(NODE_TIMEOUT)?;
    let socket = zmq::Context::new().socket(zmq::DEALER)?;
    socket.set_ipv6(reached.is_ipv6())?;
    socket.set_linger(0)?;
    socket.set_immediate(true)?;
    socket.connect(&format!("tcp://{reached}"))?;
    serve(args, &socket)
}

fn serve(args: &ReplyArgs, socket: &zmq::Socket) -> Result<Outcome> {
    let credit = if args.echo { ECHO_CREDIT } else { "1" };
    let come = ["$zmesh.serve", &args.service, credit];
    socket.set_rcvtimeo(AGAIN.as_millis() as i32)?;
    socket.send_multipart(come, 0)?;
    loop {
        let frames = match socket.recv_multipart(0) {
            Ok(frames) => frames,
            Err(zmq::Error::EAGAIN) => {
                // None goes out while there is no node: then they would pile up.
                let _ = socket.send_multipart(come, zmq::DONTWAIT);
                continue;
            }
            Err(zmq::Error::EINTR) => continue,
            Err(error) => return Err(error).context("cannot receive"),
        };
        let [id, body @ ..] = &frames[..] else {
            continue;
        };
        if id == b"$zmesh.error" {
            let words: Vec<String> = body.iter().map(|it| printable_bytes(it)).collect();
            bail!("the node refuses: {}", words.join(": "));
        }
        let mut answer = vec![id.clone()];
        match &args.command {
            None => answer.extend_from_slice(body),
            Some(command) => answer.extend(output_of(command, body)?),
        }
        socket.send_multipart(answer, 0)?;
    }
}

/// What a command prints that reads these lines, line by line.
fn output_of(command: &str, lines: &[Vec<u8>]) -> Result<Vec<Vec<u8>>> {
    let mut child = shell(command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run `{command}`"))?;
    let mut input = lines.join(&b'\n');
    input.push(b'\n');
    let stdin = child.stdin.take();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || {
            // A command need not read what it is given.
            let _ = stdin.map(|mut stdin| stdin.write_all(&input));
        });
        child.wait_with_output()
    })?;
    if !output.status.success() {
        eprintln!("`{command}`: {}", output.status);
    }
    let text = output.stdout.strip_suffix(b"\n").unwrap_or(&output.stdout);
    Ok(text
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect())
}

#[cfg(unix)]
fn shell(command: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]);
    shell
}

#[cfg(not(unix))]
fn shell(command: &str) -> Command {
    let mut shell = Command::new("cmd");
    shell.args(["/C", command]);
    shell
}
