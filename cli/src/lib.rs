//! The `zmesh` program: runs nodes, and talks to them from the command line.
//!
//! It is a library so that others can try what it reads without starting it; the program itself
//! is [`main`].

mod address;
mod args;
mod command;
mod date;
mod descriptors;
mod exit;
mod frames;
mod http;
mod logging;
mod output;
mod reload;
mod settings;
mod signals;
mod zmtp;

use clap::Parser;

/// Does what the command line says.
pub fn main() -> std::process::ExitCode {
    match args::Cli::try_parse() {
        Ok(cli) => exit::code(command::run(cli)),
        Err(error) => exit::of_arguments(&error),
    }
}

/// Reads the text of a `--config` file on a host of this name, and gives all settings that are
/// then in force as the text of such a file.
pub fn settings_of(text: &str, host: &str) -> anyhow::Result<String> {
    Ok(settings::Settings::of_file(text, host)?.to_toml())
}
