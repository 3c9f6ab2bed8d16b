//! What the membership machine reports, in the words of the log.

use zmesh_gossip::{Event, Refusal};

use crate::events::{Events, Kind};

pub(super) fn log_refused(by: &str, reason: &Refusal) {
    match reason {
        Refusal::Cluster { joiner, seed } => {
            tracing::warn!(
                by,
                cluster = joiner,
                seed_cluster = seed,
                "refused by a seed"
            );
        }
        Refusal::Version { joiner, seed } => {
            tracing::warn!(
                by,
                version = joiner,
                seed_version = seed,
                "refused by a seed"
            );
        }
        Refusal::Partitions { joiner, seed } => {
            tracing::warn!(
                by,
                partitions = joiner,
                seed_partitions = seed,
                "refused by a seed"
            );
        }
    }
}

pub(super) fn log_refused_other(name: &str, address: &str, reason: &Refusal) {
    match reason {
        Refusal::Cluster { joiner, seed } => {
            tracing::warn!(
                name,
                address,
                cluster = seed,
                its_cluster = joiner,
                "refused a node"
            );
        }
        Refusal::Version { joiner, seed } => {
            tracing::warn!(
                name,
                address,
                version = seed,
                its_version = joiner,
                "refused a node"
            );
        }
        Refusal::Partitions { joiner, seed } => {
            tracing::warn!(
                name,
                address,
                partitions = seed,
                its_partitions = joiner,
                "refused a node"
            );
        }
    }
}

pub(super) fn tell_event(events: &Events, event: &Event) {
    let tell = |kind, name: &str, words: &str| {
        events.tell(kind, name, &format!("member {name} {words}"), &[]);
    };
    let tell_at = |kind, name: &str, address: &str, words: &str| {
        let fields = [("address", address.to_string())];
        let text = format!("member {name} {words} at {address}");
        events.tell(kind, name, &text, &fields);
    };
    match event {
        Event::Discovered { name, address } => {
            tell_at(Kind::MemberDiscovered, name, address, "is new");
        }
        Event::Restarted { name, address } => {
            tell_at(Kind::MemberRestarted, name, address, "has started anew");
        }
        Event::Suspected { name } => tell(Kind::MemberSuspected, name, "does not answer"),
        Event::Recovered { name } => tell(Kind::MemberAlive, name, "is alive again"),
        Event::Died { name } => tell(Kind::MemberDead, name, "is dead"),
        Event::Left { name } => tell(Kind::MemberLeft, name, "has left"),
        Event::Refuted { incarnation } => tracing::info!(incarnation, "refuted a suspicion"),
        Event::NameContested { address } => {
            tracing::warn!(address, "another process bears this node's name");
        }
        Event::Stalled { gap } => {
            tracing::warn!(gap_ms = gap.as_millis() as u64, "this process stood still");
        }
        Event::Lagging { name, lag } => {
            tracing::warn!(
                name,
                lag_ms = lag.as_millis() as u64,
                "data thread of a member lags"
            );
        }
        Event::TableFull => tracing::warn!("no room for more members"),
    }
}
