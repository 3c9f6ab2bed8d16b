//! `zmesh doctor`: can every member reach every other? Names what fails, and what to do.

mod findings;
mod look;
mod ways;

use anyhow::Result;
use serde::Serialize;
use serde_json::json;

use super::ask::AskArgs;
use crate::address::Address;
use crate::exit::Outcome;
use crate::output::{self, printable};

use look::Look;

const HELP: &str = "\
Examples:
  zmesh doctor                                ask the node at 127.0.0.1:5555
  zmesh doctor 10.0.0.9:5555                  and this one, which should be in the same mesh
  zmesh doctor --json | jq -r .problems[].text

It has every member try the client, gossip and link address of every other, tries them from here as
well, and compares views, versions, settings and clocks. A node that does not get into the mesh is
unknown to the others: name its client address, so that it is asked too.
Exit code 0: all is well, notes apart. 1: there are problems. 2: the node does not answer.";

/// `zmesh doctor`
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    ask: AskArgs,
    /// Client addresses of more nodes that should be in the mesh
    others: Vec<Address>,
}

/// One thing to tell.
#[derive(Debug, Serialize)]
struct Finding {
    /// What is wrong.
    text: String,
    /// What to do about it.
    remedy: String,
}

impl Finding {
    fn new(text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            remedy: remedy.into(),
        }
    }
}

/// What was found.
#[derive(Debug, Default)]
struct Diagnosis {
    problems: Vec<Finding>,
    /// What may be as it should.
    notes: Vec<Finding>,
}

pub(crate) fn run(args: &DoctorArgs) -> Result<Outcome> {
    let look = Look::take(&args.ask.target.node, &args.others)?;
    let mut diagnosis = Diagnosis::default();
    ways::judge(&look, &mut diagnosis);
    findings::judge(&look, &mut diagnosis);
    let well = diagnosis.problems.is_empty();
    let text = if args.ask.json {
        serde_json::to_string(&json!({
            "ok": well,
            "cluster": look.mesh.cluster,
            "members": look.mesh.nodes.len(),
            "attempts": look.attempts(),
            "problems": diagnosis.problems,
            "notes": diagnosis.notes,
        }))?
    } else {
        text(&look, &diagnosis)
    };
    output::print(&text)?;
    Ok(match well {
        true => Outcome::Done,
        false => Outcome::Negative,
    })
}

fn text(look: &Look, diagnosis: &Diagnosis) -> String {
    let of = |kind: &str, finding: &Finding| {
        let (text, remedy) = (printable(&finding.text), printable(&finding.remedy));
        format!("{kind:<8} {text}\n         {remedy}")
    };
    let problems = diagnosis.problems.iter().map(|it| of("PROBLEM", it));
    let notes = diagnosis.notes.iter().map(|it| of("note", it));
    let mut lines: Vec<String> = problems.collect();
    lines.push(summary(look, diagnosis.problems.len()));
    lines.extend(notes);
    lines.join("\n")
}

fn summary(look: &Look, problems: usize) -> String {
    let cluster = printable(&look.mesh.cluster);
    let members = look.mesh.nodes.len();
    match (problems, members) {
        (0, 1) => format!("all is well: the one member of cluster {cluster} is reached from here"),
        (0, _) => format!(
            "all is well: the {members} members of cluster {cluster} reach each other ({} \
             attempts) and hold one view",
            look.attempts()
        ),
        (1, _) => format!("1 problem in cluster {cluster}"),
        _ => format!("{problems} problems in cluster {cluster}"),
    }
}
