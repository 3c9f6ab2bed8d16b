//! `zmesh completions SHELL`.

use anyhow::Result;
use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Cli;
use crate::exit::Outcome;
use crate::output;

const EXAMPLES: &str = "\
Examples:
  zmesh completions bash > ~/.local/share/bash-completion/completions/zmesh
  zmesh completions fish > ~/.config/fish/completions/zmesh.fish
  source <(zmesh completions zsh)";

/// `zmesh completions`
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompletionsArgs {
    /// The shell to print completions for
    shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs) -> Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "zmesh", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(Outcome::Done)
}
