//! `zmesh members`: who is in the mesh, as one node sees it.

use anyhow::Result;
use zmesh_node::report::Members;

use super::{AskArgs, answer};
use crate::exit::Outcome;
use crate::output::{Align::*, Table, age, thousands};

pub(crate) fn run(args: &AskArgs) -> Result<Outcome> {
    answer(args, "members", &[], table)
}

fn table(report: &Members) -> String {
    let mut table = Table::new(&[
        ("NAME", Left),
        ("STATE", Left),
        ("CLIENT", Left),
        ("GOSSIP", Left),
        ("PARTITIONS", Right),
        ("RTT", Right),
        ("STARTED", Right),
        ("ZONE", Left),
    ]);
    for member in &report.members {
        let mark = if member.me { " *" } else { "" };
        let rtt = member.rtt_us.map(|us| format!("{} µs", thousands(us)));
        table.row([
            format!("{}{mark}", member.name),
            member.state.clone(),
            member.client.clone(),
            member.gossip.clone(),
            if member.in_view {
                thousands(member.partitions.into())
            } else {
                String::new()
            },
            rtt.unwrap_or_default(),
            started(member.epoch),
            member.zone.clone(),
        ]);
    }
    let in_view = report
        .members
        .iter()
        .filter(|member| member.in_view)
        .count();
    format!(
        "{table}\n{in_view} in view {} (* answers)",
        report.view_hash
    )
}

/// How long ago a member started, by this machine's clock.
fn started(epoch_millis: u64) -> String {
    let epoch = std::time::UNIX_EPOCH.checked_add(std::time::Duration::from_millis(epoch_millis));
    let since = epoch.and_then(|epoch| epoch.elapsed().ok());
    since
        .map(|since| format!("{} ago", age(since.as_secs_f64())))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use zmesh_node::report::Member;

    use super::*;

    #[test]
    fn the_answering_node_is_marked_and_a_dead_one_owns_nothing() {
        let member = |name: &str, state: &str, in_view| Member {
            name: name.into(),
            state: state.into(),
            in_view,
            me: name == "a",
            client: "127.0.0.1:5555".into(),
            partitions: 5461,
            ..Member::default()
        };
        let members = vec![member("a", "alive", true), member("b", "dead", false)];
        let shown = table(&Members {
            members,
            view_hash: "00ff".into(),
        });
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[0].starts_with("NAME"), "{shown}");
        assert!(
            lines[1].starts_with("a *   alive  127.0.0.1:5555"),
            "{shown}"
        );
        assert!(lines[1].contains("5,461"), "{shown}");
        assert!(!lines[2].contains("5,461"), "{shown}");
        assert_eq!(lines[3], "1 in view 00ff (* answers)");
    }
}
