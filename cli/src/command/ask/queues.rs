//! `zmesh queues` and `zmesh queue`: which work queues there are, and what became of their tasks.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use zmesh_node::report::{DeadTasks, Queue, Queues};

use super::{AskArgs, answer};
use crate::exit::Outcome;
use crate::http::{self, Answer};
use crate::output::{self, Align::*, Table, printable, thousands};

const EXAMPLES: &str = "\
Examples:
  zmesh queue thumbs                 its tasks, its copy and its workers
  zmesh queue dead thumbs            tasks that were given five times and never done
  zmesh queue dead thumbs --json | jq -r '.tasks[].frames[0]' | zmesh push thumbs
                                     once more from the beginning";

/// `zmesh queue`
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct QueueArgs {
    #[command(flatten)]
    pub(crate) ask: AskArgs,
    /// Name of the queue; after `dead`, its tasks that nobody is given any more
    #[arg(value_name = "[dead] QUEUE", required = true, num_args = 1..=2)]
    words: Vec<String>,
}

pub(crate) fn run(args: &AskArgs) -> Result<Outcome> {
    answer(args, "queues", &[], table)
}

/// One queue.
pub(crate) fn one(args: &QueueArgs) -> Result<Outcome> {
    match &args.words[..] {
        [name] => show(&args.ask, name),
        [dead, name] if dead == "dead" => {
            answer(&args.ask, "dead-tasks", &[("queue", name)], dead_table)
        }
        _ => bail!("it is `zmesh queue QUEUE` or `zmesh queue dead QUEUE`"),
    }
}

fn show(args: &AskArgs, name: &str) -> Result<Outcome> {
    let node = &args.target.node;
    let body = match http::get(node, "queues", &[])? {
        Answer::Yes(body) => body,
        Answer::No(reason) => {
            eprintln!("{node}: {}", printable(&reason));
            return Ok(Outcome::Negative);
        }
    };
    let mut report: Queues = http::read(node, &body)?;
    report.queues.retain(|queue| queue.name == name);
    if report.queues.is_empty() {
        eprintln!(
            "there is no queue {}: nobody pushes to it or works for it",
            printable(name)
        );
        return Ok(Outcome::Negative);
    }
    output::print(&match args.json {
        true => serde_json::to_string(&report)?,
        false => described(&report.queues),
    })?;
    Ok(Outcome::Done)
}

fn described(queues: &[Queue]) -> String {
    let mut lines = Vec::new();
    for queue in queues {
        let copy = match (&queue.copy, queue.copied) {
            (None, _) => {
                "none: there is no other node, and its tasks are lost with this one".into()
            }
            (Some(copy), true) => format!("{copy}, complete"),
            (Some(copy), false) => format!("{copy}, not complete yet"),
        };
        let mut table = Table::new(&[("", Left), ("", Left)]);
        let number = |count: u64| thousands(count);
        for (what, value) in [
            ("owner", queue.owner.clone()),
            ("copy", copy),
            ("ready", number(queue.ready)),
            ("with workers", number(queue.given)),
            ("dead", number(queue.dead)),
            ("not safe yet", number(queue.untaken)),
            ("given", number(queue.given_total)),
            ("given again", number(queue.again_total)),
            ("done", number(queue.done_total)),
        ] {
            table.row([what.into(), value]);
        }
        lines.push(table.to_string().trim_start().to_string());
        for worker in &queue.workers {
            lines.push(format!(
                "worker {} at {}: has {} of {}",
                worker.id, worker.node, worker.outstanding, worker.credit
            ));
        }
    }
    lines.join("\n")
}

fn table(report: &Queues) -> String {
    let mut text = match report.queues.is_empty() {
        true => "no work queues: a PUSH socket sends [queue, body…]".into(),
        false => rows(&report.queues),
    };
    if !report.silent.is_empty() {
        let silent = report.silent.join(", ");
        text += &format!("\nno answer from {silent}: what they have is missing");
    }
    text
}

fn rows(queues: &[Queue]) -> String {
    let mut table = Table::new(&[
        ("QUEUE", Left),
        ("OWNER", Left),
        ("COPY", Left),
        ("READY", Right),
        ("GIVEN", Right),
        ("DEAD", Right),
        ("DONE", Right),
        ("WORKERS", Right),
        ("AT", Left),
    ]);
    for queue in queues {
        let nodes: BTreeSet<&str> = queue.workers.iter().map(|it| it.node.as_str()).collect();
        let nodes: Vec<&str> = nodes.into_iter().collect();
        let copy = queue.copy.as_deref().unwrap_or("-");
        let copy = if queue.copied || queue.copy.is_none() {
            copy.to_string()
        } else {
            format!("{copy} (begun)")
        };
        table.row([
            queue.name.clone(),
            queue.owner.clone(),
            copy,
            thousands(queue.ready),
            thousands(queue.given),
            thousands(queue.dead),
            thousands(queue.done_total),
            thousands(queue.workers.len() as u64),
            nodes.join(", "),
        ]);
    }
    table.to_string()
}

fn dead_table(report: &DeadTasks) -> String {
    if report.tasks.is_empty() {
        return "no dead tasks".into();
    }
    let mut table = Table::new(&[("ID", Left), ("GIVEN", Right), ("FRAMES", Left)]);
    for task in &report.tasks {
        let frames: Vec<String> = task.frames.iter().map(|it| printable(it)).collect();
        table.row([
            task.id.clone(),
            task.attempts.to_string(),
            frames.join("  "),
        ]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use zmesh_node::report::Worker;

    #[test]
    fn a_queue_is_a_row_and_who_is_silent_is_named() {
        let queue = Queue {
            name: "thumbs".into(),
            owner: "b".into(),
            copy: Some("c".into()),
            copied: true,
            ready: 1200,
            given: 2,
            done_total: 7,
            workers: vec![Worker {
                node: "a".into(),
                ..Worker::default()
            }],
            ..Queue::default()
        };
        let report = Queues {
            queues: vec![queue.clone()],
            silent: vec!["d".into()],
        };
        assert_eq!(
            table(&report),
            "QUEUE   OWNER  COPY  READY  GIVEN  DEAD  DONE  WORKERS  AT\n\
             thumbs  b      c     1,200      2     0     7        1  a\n\
             no answer from d: what they have is missing"
        );
        let text = described(&[queue]);
        assert!(text.contains("c, complete"), "{text}");
    }
}
