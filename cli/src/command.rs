//! One file a verb.

pub(crate) mod ask;
pub(crate) mod bench;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod dev;
pub(crate) mod doctor;
pub(crate) mod drain;
pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod node;
pub(crate) mod publish;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod reply;
pub(crate) mod request;
pub(crate) mod subscribe;
pub(crate) mod top;
pub(crate) mod trace;

use anyhow::Result;

use crate::args::{Cli, Verb};
use crate::exit::Outcome;

/// Does what the command line says.
pub(crate) fn run(cli: Cli) -> Result<Outcome> {
    match cli.verb {
        Verb::Node(args) => node::run(&args),
        Verb::Dev(args) => dev::run(&args),
        Verb::Pub(args) => publish::run(&args),
        Verb::Sub(args) => subscribe::run(&args),
        Verb::Request(args) => request::run(&args),
        Verb::Reply(args) => reply::run(&args),
        Verb::Push(args) => push::run(&args),
        Verb::Pull(args) => pull::run(&args),
        Verb::Members(args) => ask::members::run(&args),
        Verb::Ring(args) => ask::ring::run(&args),
        Verb::Owner(args) => ask::owner::run(&args),
        Verb::Status(args) => ask::status::run(&args),
        Verb::Services(args) => ask::services::run(&args),
        Verb::Queues(args) => ask::queues::run(&args),
        Verb::Queue(args) => ask::queues::one(&args),
        Verb::Connections(args) => ask::connections::run(&args),
        Verb::Top(args) => top::run(&args),
        Verb::Explain(args) => explain::run(&args),
        Verb::Trace(args) => trace::run(&args),
        Verb::Events(args) => events::run(&args),
        Verb::Check(args) => check::run(&args),
        Verb::Doctor(args) => doctor::run(&args),
        Verb::Drain(args) => drain::run(&args),
        Verb::Bench(args) => bench::run(&args),
        Verb::Completions(args) => completions::run(&args),
    }
}
