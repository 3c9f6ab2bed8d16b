//! `zmesh owner TOPIC`: which node owns a topic.

use anyhow::Result;
use zmesh_node::report::Owner;

use super::{OwnerArgs, answer};
use crate::exit::Outcome;
use crate::output::printable;

pub(crate) fn run(args: &OwnerArgs) -> Result<Outcome> {
    answer(&args.ask, "owner", &[("topic", &args.topic)], lines)
}

fn lines(report: &Owner) -> String {
    let successors = match report.successors.is_empty() {
        true => "none".into(),
        false => report.successors.join(", "),
    };
    let shown = format!(
        "topic       {}\npartition   {}\nowner       {}\nsuccessors  {successors}",
        report.topic, report.partition, report.owner
    );
    shown.lines().map(printable).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_and_those_who_follow_it_are_named() {
        let report = Owner {
            topic: "T".into(),
            partition: 7,
            owner: "a".into(),
            successors: vec!["b".into(), "c".into()],
        };
        assert_eq!(
            lines(&report),
            "topic       T\npartition   7\nowner       a\nsuccessors  b, c"
        );
    }
}
