//! The verbs of the command line and what they have in common.

use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::address::Address;
use crate::command::{
    ask, bench, check, completions, dev, doctor, drain, events, explain, node, publish, pull, push,
    reply, request, subscribe, top, trace,
};
use crate::settings::units;

/// Zmesh: a message mesh for ZeroMQ programs, without a broker.
#[derive(Debug, Parser)]
#[command(name = "zmesh", version, after_help = TOUR)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

const TOUR: &str = "\
A mesh to try out:
  zmesh dev                        three nodes on this machine
  zmesh sub STOCK.                 see what is published
  zmesh pub STOCK.AAPL 187.32      publish one message

Exit codes: 0 done, 1 a negative answer, 2 an error (told on stderr). `zmesh check` has those of
Nagios instead.";

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run one node of the mesh
    Node(node::NodeArgs),
    /// Run a whole mesh on this machine
    Dev(dev::DevArgs),
    /// Publish messages
    Pub(publish::PubArgs),
    /// Print messages as they come
    Sub(subscribe::SubArgs),
    /// Ask a service
    Request(request::RequestArgs),
    /// Serve a service
    Reply(reply::ReplyArgs),
    /// Put tasks into a work queue
    Push(push::PushArgs),
    /// Work for a queue
    Pull(pull::PullArgs),
    /// Who is in the mesh, as one node sees it
    Members(ask::AskArgs),
    /// Which node owns how much
    Ring(ask::AskArgs),
    /// Which node owns a topic
    Owner(ask::OwnerArgs),
    /// One node at a glance
    Status(ask::AskArgs),
    /// The clients of one node
    Connections(ask::AskArgs),
    /// Which services there are, and who serves them
    Services(ask::AskArgs),
    /// Which work queues there are
    Queues(ask::AskArgs),
    /// One work queue, or its dead tasks
    Queue(ask::queues::QueueArgs),
    /// The whole mesh on the screen, live
    Top(top::TopArgs),
    /// What becomes of a message on a topic, and why
    Explain(explain::ExplainArgs),
    /// Send one marked message and see its way
    Trace(trace::TraceArgs),
    /// What happens to the mesh, line by line
    Events(events::EventsArgs),
    /// Is the mesh well? For Nagios, Prometheus and scripts
    Check(check::CheckArgs),
    /// Can every member reach every other? Names what fails and what to do
    Doctor(doctor::DoctorArgs),
    /// Let one node hand on what it has, and end it
    #[command(mut_arg("node", |arg| arg.help("Client address of the node that is to go")))]
    Drain(drain::DrainArgs),
    /// Measure throughput and latency
    Bench(bench::BenchArgs),
    /// Print the completions of a shell
    Completions(completions::CompletionsArgs),
}

/// Which node to talk to.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Target {
    /// Client address of any node
    #[arg(
        long,
        env = "ZMESH_NODE",
        hide_env_values = true,
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:5555"
    )]
    pub(crate) node: Address,
}

/// Reads a flag that is a duration.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    units::parse_duration(text)
}

/// Reads a flag that is a size in bytes.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    units::parse_size(text)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_has_no_contradictions() {
        Cli::command().debug_assert();
    }
}
