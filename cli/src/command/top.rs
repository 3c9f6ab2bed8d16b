//! `zmesh top`: nodes, links, topics and clients of the whole mesh on the screen, live.

mod app;
mod draw;
mod feed;
mod grid;
mod sample;
mod screen;

use std::io::{self, IsTerminal};
use std::thread;
use std::time::Duration;

use anyhow::Result;

use crate::args::Target;
use crate::exit::Outcome;
use crate::output;

use grid::{Grid, Section};
use sample::{History, Sample, Wish};

/// Time between two looks at the mesh.
const INTERVAL: Duration = Duration::from_secs(1);

const HELP: &str = "\
Examples:
  zmesh top                             live, of the mesh of the node at 127.0.0.1:5555
  zmesh top --once                      one look as plain text; so it is without a terminal
  zmesh top --json | jq '.nodes[].name'

Keys: 1-4 or Tab: nodes, links, topics, clients; left and right: sort by another column; r: the
other way round; up and down: choose a row; Enter: the clients of the chosen node; n, p: links and
clients of the next or previous node; q, Esc or Ctrl-C: leave.
Rates are those of the last second, of topics those of the last ten or so: one that has moved is
with its old owner for a while. Topics are the 20 busiest of each owner. P99 is the time from when a
message is taken until all who want it have acknowledged it.";

/// `zmesh top`
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct TopArgs {
    #[command(flatten)]
    target: Target,
    /// Print one look as plain text, after a second
    #[arg(long)]
    once: bool,
    /// The node's answer as it came: the whole mesh
    #[arg(long, conflicts_with = "once")]
    json: bool,
}

pub(crate) fn run(args: &TopArgs) -> Result<Outcome> {
    let node = &args.target.node;
    if args.json {
        output::print(&sample::mesh_text(node)?)?;
    } else if args.once || !io::stdout().is_terminal() {
        let first = Sample::take(node, &Wish::everything())?;
        thread::sleep(INTERVAL);
        let mut history = History::new(first);
        history.push(Sample::take(node, &Wish::everything())?);
        output::print(&plain(&history))?;
    } else {
        screen::run(node)?;
    }
    Ok(Outcome::Done)
}

/// All sections, one below the other.
fn plain(history: &History) -> String {
    let mut parts = vec![output::printable(&sample::headline(history))];
    for section in Section::ALL {
        let mut grid = Grid::of(section, history);
        let (column, reverse) = section.first_order();
        grid.sort(column, reverse);
        let title = output::printable(&section.title(history));
        let table = match grid.rows.is_empty() {
            true => "none".into(),
            false => grid.to_table().to_string(),
        };
        parts.push(format!("{title}\n{table}"));
    }
    parts.join("\n\n")
}
