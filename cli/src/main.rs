//! The `zmesh` program: runs nodes, and talks to them from the command line.

mod address;
mod args;
mod command;
mod descriptors;
mod exit;
mod http;
mod logging;
mod output;
mod settings;
mod signals;
mod zmtp;

use clap::Parser;

fn main() -> std::process::ExitCode {
    exit::code(command::run(args::Cli::parse()))
}
