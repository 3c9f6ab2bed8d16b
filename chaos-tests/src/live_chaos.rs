//! What happens to a live mesh under load, case by case, and what came of it as a table.

pub mod cases;
pub mod detection;
pub mod limits;
pub mod plans;
pub mod report;
pub mod runner;
pub mod saturation;
pub mod table;

use clap::Args;
use std::path::PathBuf;

pub use runner::run;

/// `live`
#[derive(Clone, Debug, Args)]
pub struct LiveArgs {
    /// Only this fault or figure (each that is given)
    #[arg(long = "fault", value_name = "NAME")]
    pub faults: Vec<String>,
    /// How often each happens, each time to a new mesh
    #[arg(long, default_value_t = 1)]
    pub runs: u32,
    /// Messages a second of all publishers together
    #[arg(long, default_value_t = 20_000)]
    pub rate: u32,
    /// Whatever takes too long is no failure: for a machine that is busy with other things. A
    /// program that is not built for release takes what time it takes in any case
    #[arg(long)]
    pub untimed: bool,
    /// Folder whose reliability.md gets the figures, in place of those before
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
    /// Say what happened in each run
    #[arg(long, short)]
    pub verbose: bool,
    /// Only name the faults and figures
    #[arg(long)]
    pub list: bool,
    /// One run in this process, with all it writes down in this folder
    #[arg(long, hide = true, value_name = "FOLDER")]
    pub run_into: Option<PathBuf>,
}

impl LiveArgs {
    /// Whether limits of time hold.
    fn timed(&self) -> bool {
        !self.untimed && !cfg!(debug_assertions)
    }
}
