//! Exit codes: 0 done, 1 a negative answer, 2 an error whose message names the remedy; but those
//! of Nagios for `zmesh check`.

use std::process::ExitCode;

use anyhow::Result;

use crate::output::StdoutClosed;

/// How a verb ended when nothing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// What was asked for has been done.
    Done,
    /// The question was understood and the answer is no.
    Negative,
    /// `zmesh check`: how well the mesh is, 0 to 3.
    Level(u8),
}

/// Exit code of `zmesh check` when it cannot say how well the mesh is.
const UNKNOWN: u8 = 3;

/// The exit code of a result; an error is told on stderr first.
pub(crate) fn code(result: Result<Outcome>) -> ExitCode {
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Negative) => ExitCode::from(1),
        Ok(Outcome::Level(level)) => ExitCode::from(level),
        // Whoever reads the output has seen enough, as in `zmesh sub | head`.
        Err(error) if error.is::<StdoutClosed>() => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Tells what is wrong with the arguments, or the help that they ask for.
pub(crate) fn of_arguments(error: &clap::Error) -> ExitCode {
    // Nobody reads what is told here if that fails.
    let _ = error.print();
    let is_check = std::env::args().nth(1).is_some_and(|verb| verb == "check");
    match error.exit_code() {
        0 => ExitCode::SUCCESS,
        _ if is_check => ExitCode::from(UNKNOWN),
        _ => ExitCode::from(2),
    }
}
