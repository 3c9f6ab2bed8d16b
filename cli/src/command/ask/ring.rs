//! `zmesh ring`: which node owns how much.

use anyhow::Result;
use zmesh_node::report::Ring;

use super::{AskArgs, answer};
use crate::exit::Outcome;
use crate::output::{Align::*, Table, thousands};

pub(crate) fn run(args: &AskArgs) -> Result<Outcome> {
    answer(args, "ring", &[], table)
}

fn table(report: &Ring) -> String {
    let mut table = Table::new(&[
        ("NAME", Left),
        ("PARTITIONS", Right),
        ("SHARE", Right),
        ("WEIGHT", Right),
    ]);
    for owner in &report.owners {
        table.row([
            owner.name.clone(),
            thousands(owner.partitions.into()),
            format!("{:.1} %", owner.share * 100.0),
            owner.weight.to_string(),
        ]);
    }
    let partitions = thousands(report.partitions.into());
    format!(
        "{table}\n{partitions} partitions, view {}",
        report.view_hash
    )
}

#[cfg(test)]
mod tests {
    use zmesh_node::report::RingShare;

    use super::*;

    #[test]
    fn a_share_is_shown_in_percent() {
        let owner = RingShare {
            name: "a".into(),
            partitions: 4096,
            share: 0.25,
            weight: 1,
        };
        let report = Ring {
            partitions: 16384,
            view_hash: "00ff".into(),
            owners: vec![owner],
        };
        assert_eq!(
            table(&report),
            "NAME  PARTITIONS   SHARE  WEIGHT\na          4,096  25.0 %       1\n\
             16,384 partitions, view 00ff"
        );
    }
}
