//! Which ways between members are not open, and what is to be done about each.

use std::collections::{BTreeMap, BTreeSet};

use super::look::{Further, Look, Told};
use super::{Diagnosis, Finding};
use crate::address::Address;

/// An address of a member.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Target {
    peer: String,
    port: String,
    address: String,
}

/// Who tried an address.
#[derive(Debug, Default)]
struct Tried {
    reached: BTreeSet<String>,
    /// With what went wrong.
    failed: BTreeMap<String, String>,
}

pub(super) fn judge(look: &Look, diagnosis: &mut Diagnosis) {
    for (name, reach) in &look.reaches {
        let Err(error) = reach else { continue };
        let mut nodes = look.mesh.nodes.iter();
        if nodes.any(|node| node.name == *name && node.error.is_some()) {
            continue; // That it does not answer is told elsewhere.
        }
        diagnosis.problems.push(Finding::new(
            format!("{name} could not be asked: {error}"),
            "its own view of the others is missing here; its log may say more",
        ));
    }
    let tried = tried(look);
    for (target, who) in &tried {
        if !who.failed.is_empty() {
            diagnosis.problems.push(between(target, who, &tried));
        }
    }
    from_here(look, &tried, diagnosis);
    for (address, further) in &look.further {
        diagnosis
            .problems
            .extend(of_further(look, address, further));
    }
}

fn tried(look: &Look) -> BTreeMap<Target, Tried> {
    let mut all: BTreeMap<Target, Tried> = BTreeMap::new();
    for (_, reach) in &look.reaches {
        let Ok(reach) = reach else { continue };
        for attempt in &reach.attempts {
            let target = Target {
                peer: attempt.peer.clone(),
                port: attempt.port.clone(),
                address: attempt.address.clone(),
            };
            let who = all.entry(target).or_default();
            match &attempt.error {
                None => drop(who.reached.insert(reach.node.clone())),
                Some(error) => drop(who.failed.insert(reach.node.clone(), error.clone())),
            }
        }
    }
    all
}

/// An address that members do not reach.
fn between(target: &Target, who: &Tried, all: &BTreeMap<Target, Tried>) -> Finding {
    let failed: Vec<&str> = who.failed.keys().map(String::as_str).collect();
    let errors: BTreeSet<&str> = who.failed.values().map(String::as_str).collect();
    let errors: Vec<&str> = errors.into_iter().collect();
    let text = format!(
        "{} address {} of {} is not reached by {}: {}",
        target.port,
        target.address,
        target.peer,
        failed.join(", "),
        errors.join("; ")
    );
    let mut same_peer = all.iter().filter(|(other, _)| other.peer == target.peer);
    let no_port = same_peer.all(|(_, who)| who.reached.is_empty());
    Finding::new(text, remedy(target, who, &errors.join(" "), no_port))
}

fn remedy(target: &Target, who: &Tried, errors: &str, no_port: bool) -> String {
    let (peer, port) = (&target.peer, &target.port);
    let reached = !who.reached.is_empty();
    let errors = errors.to_lowercase();
    if errors.contains("lookup") || errors.contains("name or service") || errors.contains("resolv")
    {
        return format!(
            "the name is not known there: start {peer} with an --advertise that resolves on every \
             host, or an address"
        );
    }
    if reached {
        let reached: Vec<&str> = who.reached.iter().map(String::as_str).collect();
        return format!(
            "{} do{} reach it, so {peer} listens: look at firewall and routes of those that do not",
            reached.join(", "),
            if reached.len() == 1 { "es" } else { "" }
        );
    }
    if no_port {
        return format!(
            "nobody reaches any port of {peer}: see whether it runs; if it does, start it with \
             --advertise set to an address that the others can reach, and --bind to one that takes \
             connections from them"
        );
    }
    if errors.contains("refused") {
        return format!(
            "other ports of {peer} are reached: nothing listens on this one, or a firewall rejects \
             it; compare its --{} with what is listening there",
            flag(port)
        );
    }
    format!(
        "other ports of {peer} are reached: open this one ({port}, --{}) in the firewall",
        flag(port)
    )
}

fn flag(port: &str) -> &'static str {
    match port {
        "gossip" => "gossip-port",
        "link" => "link-port",
        _ => "port",
    }
}

/// What is not reached from here. Where another member reaches it, that may be meant so.
fn from_here(look: &Look, tried: &BTreeMap<Target, Tried>, diagnosis: &mut Diagnosis) {
    let mut only_here: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for seen in &look.seen {
        for told in &seen.unreached {
            let known = tried
                .iter()
                .find(|(target, _)| target.peer == seen.name && target.port == told.port);
            match known {
                Some((_, who)) if who.reached.is_empty() => {} // Told already.
                Some(_) => only_here
                    .entry(&seen.name)
                    .or_default()
                    .push(format!("{} {}", told.port, told.address)),
                None => diagnosis.problems.push(alone(&seen.name, told)),
            }
        }
    }
    for (name, addresses) in only_here {
        diagnosis.notes.push(Finding::new(
            format!("{name} is not reached from here: {}", addresses.join(", ")),
            "other members do reach it; programs on this machine need its client address only",
        ));
    }
}

/// An address that nobody but this machine could try.
fn alone(name: &str, told: &Told) -> Finding {
    Finding::new(
        format!(
            "{} address {} that {name} tells others is not reached from here",
            told.port, told.address
        ),
        format!(
            "no member could try it: if others cannot reach it either, start {name} with \
             --advertise set to an address that they can reach, and --bind to one that takes \
             connections from them"
        ),
    )
}

/// A node that was named because it should be in the mesh.
fn of_further(look: &Look, address: &Address, further: &Result<Further, String>) -> Vec<Finding> {
    let further = match further {
        Ok(further) => further,
        Err(error) => {
            let text = format!("{address} does not answer: {error}");
            return vec![Finding::new(
                text,
                "start it, or see whether its port is open",
            )];
        }
    };
    let (node, mesh) = (&further.node, &look.mesh);
    if node.cluster != mesh.cluster {
        return vec![Finding::new(
            format!(
                "{} at {address} is in cluster {}, not {}",
                node.name, node.cluster, mesh.cluster
            ),
            "start it with the same --cluster",
        )];
    }
    let living = mesh.nodes.iter().any(|it| {
        let told = it.overview.as_ref().map(|it| &it.node.gossip);
        it.name == node.name && told.is_none_or(|gossip| *gossip == node.gossip)
    });
    if living {
        return Vec::new();
    }
    let mut found = vec![Finding::new(
        format!(
            "{} at {address} runs and is no member as {} sees it: its own view has {} members",
            node.name, mesh.node, node.view_size
        ),
        format!(
            "its --seed must be the gossip address of a member, such as {}, and what it tells \
             others (gossip {}) must be reached by them; its log says which seeds do not answer",
            gossip_of(look),
            node.gossip
        ),
    )];
    found.extend(further.unreached.iter().map(|told| alone(&node.name, told)));
    found
}

fn gossip_of(look: &Look) -> &str {
    let own = look.mesh.members.iter().find(|it| it.me);
    own.map_or("HOST:GOSSIPPORT", |member| &member.gossip)
}

#[cfg(test)]
mod tests {
    use super::super::look::Seen;
    use super::*;
    use zmesh_node::report::{Mesh, Node, Reach, ReachAttempt};

    fn attempt(peer: &str, port: &str, error: Option<&str>) -> ReachAttempt {
        ReachAttempt {
            peer: peer.into(),
            port: port.into(),
            address: format!("10.0.0.9:{port}"),
            error: error.map(Into::into),
            ms: 1,
        }
    }

    fn look(reaches: Vec<(&str, Vec<ReachAttempt>)>) -> Look {
        let reaches = reaches.into_iter().map(|(node, attempts)| {
            let reach = Reach {
                node: node.into(),
                attempts,
            };
            (node.to_string(), Ok(reach))
        });
        Look {
            mesh: Mesh::default(),
            reaches: reaches.collect(),
            seen: Vec::new(),
            further: Vec::new(),
        }
    }

    fn diagnosis(look: &Look) -> Diagnosis {
        let mut diagnosis = Diagnosis::default();
        judge(look, &mut diagnosis);
        diagnosis
    }

    #[test]
    fn an_address_that_fails_is_named_once_with_all_who_fail() {
        let refused = Some("Connection refused");
        let ports = |error| {
            ["client", "gossip", "link"]
                .map(|it| attempt("c", it, error))
                .into()
        };
        let found = diagnosis(&look(vec![("a", ports(refused)), ("b", ports(refused))]));
        assert_eq!(found.problems.len(), 3);
        let text = &found.problems[1].text;
        assert_eq!(
            text,
            "gossip address 10.0.0.9:gossip of c is not reached by a, b: Connection refused"
        );
        let remedy = &found.problems[1].remedy;
        assert!(
            ["whether it runs", "--advertise", "--bind"]
                .iter()
                .all(|part| remedy.contains(part)),
            "{remedy}"
        );
        assert!(
            diagnosis(&look(vec![("a", ports(None))]))
                .problems
                .is_empty()
        );
    }

    #[test]
    fn one_port_or_one_host_points_to_the_firewall() {
        let one_port = vec![
            attempt("c", "client", None),
            attempt("c", "link", Some("no answer within 1500 ms")),
        ];
        let found = diagnosis(&look(vec![("a", one_port)]));
        let remedy = &found.problems[0].remedy;
        assert!(
            remedy.contains("--link-port") && remedy.contains("firewall"),
            "{remedy}"
        );
        let one_host = look(vec![
            ("a", vec![attempt("c", "link", None)]),
            ("b", vec![attempt("c", "link", Some("timed out"))]),
        ]);
        let remedy = &diagnosis(&one_host).problems[0].remedy;
        assert!(remedy.starts_with("a does reach it"), "{remedy}");
    }

    #[test]
    fn what_only_this_machine_does_not_reach_is_a_note_and_alone_a_problem() {
        let seen = |name: &str| Seen {
            name: name.into(),
            unreached: vec![Told {
                port: "link",
                address: "10.0.0.9:1".into(),
            }],
            ..Seen::default()
        };
        let mut both = look(vec![("a", vec![attempt("c", "link", None)])]);
        both.seen = vec![seen("c")];
        let found = diagnosis(&both);
        assert_eq!((found.problems.len(), found.notes.len()), (0, 1));
        both.seen = vec![seen("lonely")];
        let found = diagnosis(&both);
        assert_eq!((found.problems.len(), found.notes.len()), (1, 0));
        assert!(found.problems[0].text.contains("10.0.0.9:1"));
    }

    #[test]
    fn a_node_that_should_be_a_member_is_told_what_keeps_it_out() {
        let of = |cluster: &str| Further {
            node: Node {
                name: "x".into(),
                cluster: cluster.into(),
                gossip: "10.9.9.9:5556".into(),
                ..Node::default()
            },
            unreached: Vec::new(),
        };
        let mut look = look(Vec::new());
        let address: Address = "127.0.0.1:1".parse().expect("valid");
        for (further, told) in [
            (Err("nobody".to_string()), "does not answer"),
            (Ok(of("other")), "is in cluster other"),
            (Ok(of("")), "runs and is no member"),
        ] {
            look.further = vec![(address.clone(), further)];
            let found = diagnosis(&look);
            assert!(found.problems[0].text.contains(told), "{found:?}");
        }
    }
}
