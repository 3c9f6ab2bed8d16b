//! Membership records and packets as a script says: mostly such as a node makes.

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::time::Duration;

use zmesh_gossip::{
    Body, Header, Member, NodeId, Outcome, PROTOCOL_VERSION, Packet, Refusal, State, Verdict,
};

use super::script::Script;

pub(crate) const CLUSTER: &str = "cluster";

/// The names of all nodes; the first is this one's.
pub(crate) const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// The gossip address of the node with this place in [`NAMES`].
pub(crate) fn address(place: usize) -> String {
    format!("10.0.0.{}:5556", place + 1)
}

/// The id of the node with this place in [`NAMES`]. It is a hash, and asked for often.
pub(crate) fn id(place: usize) -> NodeId {
    static IDS: OnceLock<[NodeId; NAMES.len()]> = OnceLock::new();
    IDS.get_or_init(|| NAMES.map(|name| NodeId::new(CLUSTER, name)))[place]
}

/// What a script's packets may refer to.
pub(crate) struct Seen<'a> {
    /// Hash of the cluster's name.
    pub(crate) cluster: u64,
    /// Numbers of questions that the node has asked last.
    pub(crate) seqs: &'a [u32],
    /// What the node knows, by its own word.
    pub(crate) digest: u64,
}

pub(crate) fn member(script: &mut Script) -> Member {
    let place = script.below(NAMES.len());
    let state = script.pick(&[State::Alive, State::Suspect, State::Dead, State::Left]);
    let (epoch, nonce, incarnation) = (script.number(), script.number(), script.number());
    let traits = script.byte();
    let mut accusers = BTreeSet::new();
    if state == State::Suspect {
        accusers = (0..traits >> 4 & 7)
            .map(|_| id(script.below(NAMES.len())))
            .collect();
    }
    let mut age = Duration::ZERO;
    if state >= State::Dead {
        age = Duration::from_secs(script.number());
    }
    let host = if traits & 8 == 0 {
        place
    } else {
        script.below(NAMES.len())
    };
    Member {
        id: id(place),
        name: NAMES[place].into(),
        epoch,
        nonce,
        incarnation,
        state,
        client: format!("10.0.0.{}:5555", host + 1),
        gossip: address(host),
        link: format!("10.0.0.{}:5557", host + 1),
        zone: String::new(),
        weight: 1 + (traits >> 2 & 1),
        ready: traits & 1 == 0,
        leaving: traits & 2 != 0,
        accusers,
        age,
    }
}

pub(crate) fn packet(script: &mut Script, seen: &Seen) -> Packet {
    let place = script.below(NAMES.len());
    let traits = script.byte();
    let header = Header {
        cluster: if traits & 15 == 15 { 0 } else { seen.cluster },
        from: id(place),
        epoch: script.number(),
        nonce: script.number(),
        incarnation: script.number(),
        address: address(place),
        digest: if traits & 16 == 0 {
            seen.digest
        } else {
            script.number()
        },
        view: script.number(),
    };
    let version = PROTOCOL_VERSION + u8::from(traits >> 5 == 7);
    let records = (0..traits >> 5 & 3).map(|_| member(script)).collect();
    let body = body(script, seen);
    Packet {
        version,
        header,
        body,
        records,
    }
}

fn seq(script: &mut Script, seen: &Seen) -> u32 {
    match script.byte() {
        recent if usize::from(recent) < seen.seqs.len() => seen.seqs[usize::from(recent)],
        other => other.into(),
    }
}

fn body(script: &mut Script, seen: &Seen) -> Body {
    match script.below(15) {
        0 => Body::Join {
            via: address(0),
            name: NAMES[script.below(NAMES.len())].into(),
            cluster: script.pick(&[CLUSTER, CLUSTER, "other"]).into(),
            partitions: script.pick(&[16_384, 16_384, 1]),
        },
        1 => Body::JoinAck {
            via: address(script.below(NAMES.len())),
            verdict: verdict(script),
        },
        2 => Body::Ping {
            seq: script.byte().into(),
            target: id(script.below(NAMES.len())),
            nonce: script.number(),
        },
        3 => Body::Ack {
            seq: seq(script, seen),
            lag_ms: script.number() as u32,
        },
        4 => Body::PingReq {
            seq: script.byte().into(),
            target: id(script.below(NAMES.len())),
            nonce: script.number(),
            address: address(script.below(NAMES.len())),
        },
        5 => Body::PingRes {
            seq: seq(script, seen),
            outcome: outcome(script),
        },
        6 => Body::WrongTarget {
            seq: seq(script, seen),
        },
        7 => Body::Gossip,
        8 => Body::SyncReq {
            buckets: (0..64)
                .map(|bucket| if bucket < 60 { 0 } else { script.number() })
                .collect(),
        },
        9 => Body::SyncRes {
            buckets: script.bytes(8).iter().map(|bucket| bucket & 63).collect(),
        },
        10 => Body::Accuse,
        11 => Body::Leave,
        12 => Body::LeaveAck,
        13 => Body::Twin {
            uptime_ms: script.number(),
            established: script.flag(),
            client: address(0),
        },
        _ => Body::Stop {
            nonce: script.number(),
            client: address(0),
        },
    }
}

fn verdict(script: &mut Script) -> Verdict {
    match script.below(4) {
        0 | 1 => {
            let part = u16::from(script.byte() & 3);
            let parts = part + 1 + u16::from(script.byte() & 1);
            Verdict::Accept { part, parts }
        }
        2 => Verdict::Refuse(Refusal::Partitions { joiner: 1, seed: 2 }),
        _ => Verdict::Refuse(Refusal::Cluster {
            joiner: CLUSTER.into(),
            seed: "other".into(),
        }),
    }
}

fn outcome(script: &mut Script) -> Outcome {
    let healthy = script.flag();
    script.pick(&[
        Outcome::Ack,
        Outcome::Nack { healthy },
        Outcome::Refused,
        Outcome::WrongTarget,
    ])
}
