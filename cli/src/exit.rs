//! Exit codes: 0 done, 1 a negative answer, 2 an error whose message names the remedy.

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
}

/// The exit code of a result; an error is told on stderr first.
pub(crate) fn code(result: Result<Outcome>) -> ExitCode {
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Negative) => ExitCode::from(1),
        // Whoever reads the output has seen enough, as in `zmesh sub | head`.
        Err(error) if error.is::<StdoutClosed>() => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
