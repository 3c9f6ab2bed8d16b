//! `zmesh services`: which services there are, and who serves them.

use std::collections::BTreeSet;

use anyhow::Result;
use zmesh_node::report::{Service, Services};

use super::{AskArgs, answer};
use crate::exit::Outcome;
use crate::output::{Align::*, Table, thousands};

pub(crate) fn run(args: &AskArgs) -> Result<Outcome> {
    answer(args, "services", &[], table)
}

fn table(report: &Services) -> String {
    let mut text = match report.services.is_empty() {
        true => {
            "nobody serves anything: a worker comes with [$zmesh.serve, service, credit]".into()
        }
        false => rows(&report.services),
    };
    if !report.silent.is_empty() {
        let silent = report.silent.join(", ");
        text += &format!("\nno answer from {silent}: what they know is missing");
    }
    text
}

fn rows(services: &[Service]) -> String {
    let mut table = Table::new(&[
        ("SERVICE", Left),
        ("OWNER", Left),
        ("WORKERS", Right),
        ("AT", Left),
        ("CREDIT", Right),
        ("IN HAND", Right),
        ("WAITING", Right),
    ]);
    for service in services {
        let workers = &service.workers;
        let nodes: BTreeSet<&str> = workers.iter().map(|it| it.node.as_str()).collect();
        let nodes: Vec<&str> = nodes.into_iter().collect();
        let sum = |of: fn(&zmesh_node::report::Worker) -> u32| {
            thousands(workers.iter().map(|it| u64::from(of(it))).sum())
        };
        table.row([
            service.name.clone(),
            service.owner.clone(),
            thousands(workers.len() as u64),
            nodes.join(", "),
            sum(|it| it.credit),
            sum(|it| it.outstanding),
            thousands(service.waiting),
        ]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use zmesh_node::report::Worker;

    #[test]
    fn a_service_is_a_row_and_who_is_silent_is_named() {
        let worker = |node: &str, outstanding| Worker {
            node: node.into(),
            credit: 10,
            outstanding,
            ..Worker::default()
        };
        let report = Services {
            services: vec![Service {
                name: "risk".into(),
                owner: "b".into(),
                waiting: 0,
                workers: vec![worker("c", 1), worker("a", 2)],
            }],
            silent: vec!["d".into()],
        };
        assert_eq!(
            table(&report),
            "SERVICE  OWNER  WORKERS  AT    CREDIT  IN HAND  WAITING\n\
             risk     b            2  a, c      20        3        0\n\
             no answer from d: what they know is missing"
        );
    }
}
