//! The verbs that ask one node over HTTP: a table for people, the answer as it came with `--json`.

pub(crate) mod connections;
pub(crate) mod members;
pub(crate) mod owner;
pub(crate) mod queues;
pub(crate) mod ring;
pub(crate) mod services;
pub(crate) mod status;

use anyhow::Result;
use serde::de::DeserializeOwned;

use crate::args::Target;
use crate::exit::Outcome;
use crate::http::{self, Answer};
use crate::output;

const EXAMPLES: &str = "\
Examples:
  zmesh members                              ask the node at 127.0.0.1:5555
  zmesh status --node 10.0.0.7:5555          ask another
  zmesh connections --json | jq .            for scripts

$ZMESH_NODE sets the address for all verbs.";

/// `zmesh members`, `ring`, `status`, `connections` and `services`
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct AskArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// The node's answer as it came
    #[arg(long)]
    pub(crate) json: bool,
}

/// `zmesh owner`
#[derive(Debug, clap::Args)]
#[command(after_help = OWNER_EXAMPLES)]
pub(crate) struct OwnerArgs {
    #[command(flatten)]
    pub(crate) ask: AskArgs,
    /// The topic, as a publisher would send it
    pub(crate) topic: String,
}

const OWNER_EXAMPLES: &str = "\
Examples:
  zmesh owner STOCK.AAPL
  zmesh owner STOCK.AAPL --json | jq -r .owner";

/// Asks, and prints the answer as it came or as `table` makes it.
pub(super) fn answer<T: DeserializeOwned>(
    args: &AskArgs,
    path: &str,
    query: &[(&str, &str)],
    table: impl FnOnce(&T) -> String,
) -> Result<Outcome> {
    let node = &args.target.node;
    let body = match http::get(node, path, query)? {
        Answer::Yes(body) => body,
        Answer::No(reason) => {
            eprintln!("{node}: {}", output::printable(&reason));
            return Ok(Outcome::Negative);
        }
    };
    let report: T = http::read(node, &body)?;
    output::print(&if args.json { body } else { table(&report) })?;
    Ok(Outcome::Done)
}
