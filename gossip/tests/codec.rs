//! Every packet survives the wire, and every byte string is a packet or an error.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use zmesh_gossip::{
    Body, DecodeError, Header, Kind, MAX_PACKET_IN, Member, NodeId, Outcome, PROTOCOL_VERSION,
    Packet, Refusal, State, Verdict, decode, encode,
};

fn id() -> impl Strategy<Value = NodeId> {
    any::<[u8; 16]>().prop_map(NodeId)
}

fn name() -> impl Strategy<Value = String> {
    "[a-zäöü0-9]{1,16}"
}

fn address() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{1,20}:[1-9][0-9]{0,3}", Just("[::1]:5556".to_owned())]
}

fn member() -> impl Strategy<Value = Member> {
    let state = prop::sample::select(vec![State::Alive, State::Suspect, State::Dead, State::Left]);
    let numbers = (
        0..1u64 << 56,
        any::<u64>(),
        0..1u64 << 48,
        1u8..,
        0u64..100_000,
    );
    let accusers = prop::collection::btree_set(id(), 0..=4);
    let addresses = (address(), address(), address());
    (
        id(),
        name(),
        numbers,
        state,
        addresses,
        accusers,
        any::<(bool, bool)>(),
    )
        .prop_map(
            |(id, name, numbers, state, (client, gossip, link), accusers, (ready, leaving))| {
                let (epoch, nonce, incarnation, weight, age) = numbers;
                let suspect = state == State::Suspect;
                let age = Duration::from_secs(if state >= State::Dead { age } else { 0 });
                let accusers = if suspect { accusers } else { BTreeSet::new() };
                let zone = name.clone();
                Member {
                    id,
                    name,
                    epoch,
                    nonce,
                    incarnation,
                    state,
                    client,
                    gossip,
                    link,
                    zone,
                    weight,
                    ready,
                    leaving,
                    accusers,
                    age,
                }
            },
        )
}

fn refusal() -> impl Strategy<Value = Refusal> {
    prop_oneof![
        (name(), name()).prop_map(|(joiner, seed)| Refusal::Cluster { joiner, seed }),
        any::<(u8, u8)>().prop_map(|(joiner, seed)| Refusal::Version { joiner, seed }),
        any::<(u32, u32)>().prop_map(|(joiner, seed)| Refusal::Partitions { joiner, seed }),
    ]
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        (0u16..1024).prop_map(|part| Verdict::Accept {
            part,
            parts: part + 1
        }),
        refusal().prop_map(Verdict::Refuse),
    ]
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(Outcome::Ack),
        any::<bool>().prop_map(|healthy| Outcome::Nack { healthy }),
        Just(Outcome::Refused),
        Just(Outcome::WrongTarget),
    ]
}

fn body() -> impl Strategy<Value = Body> {
    let join =
        (address(), name(), name(), any::<u32>()).prop_map(|(via, name, cluster, partitions)| {
            Body::Join {
                via,
                name,
                cluster,
                partitions,
            }
        });
    let probing = prop_oneof![
        (any::<u32>(), id(), any::<u64>()).prop_map(|(seq, target, nonce)| Body::Ping {
            seq,
            target,
            nonce
        }),
        any::<(u32, u32)>().prop_map(|(seq, lag_ms)| Body::Ack { seq, lag_ms }),
        (any::<u32>(), id(), any::<u64>(), address()).prop_map(|(seq, target, nonce, address)| {
            Body::PingReq {
                seq,
                target,
                nonce,
                address,
            }
        }),
        (any::<u32>(), outcome()).prop_map(|(seq, outcome)| Body::PingRes { seq, outcome }),
        any::<u32>().prop_map(|seq| Body::WrongTarget { seq }),
    ];
    let syncing = prop_oneof![
        prop::collection::vec(any::<u64>(), 64).prop_map(|buckets| Body::SyncReq { buckets }),
        prop::collection::vec(0u8..64, 0..64).prop_map(|buckets| Body::SyncRes { buckets }),
    ];
    let plain = prop::sample::select(vec![
        Body::Gossip,
        Body::Accuse,
        Body::Leave,
        Body::LeaveAck,
    ]);
    let twins = prop_oneof![
        (any::<(u64, bool)>(), address()).prop_map(|((uptime_ms, established), client)| {
            Body::Twin {
                uptime_ms,
                established,
                client,
            }
        }),
        (any::<u64>(), address()).prop_map(|(nonce, client)| Body::Stop { nonce, client }),
    ];
    let ack = (address(), verdict()).prop_map(|(via, verdict)| Body::JoinAck { via, verdict });
    prop_oneof![join, ack, probing, syncing, plain, twins]
}

fn packet() -> impl Strategy<Value = Packet> {
    let header = (any::<[u64; 6]>(), id(), address()).prop_map(|(numbers, from, address)| {
        let [cluster, epoch, nonce, incarnation, digest, view] = numbers;
        Header {
            cluster,
            from,
            epoch,
            nonce,
            incarnation,
            address,
            digest,
            view,
        }
    });
    let records = prop::collection::vec(member(), 0..5);
    (header, body(), records).prop_map(|(header, body, records)| Packet {
        version: PROTOCOL_VERSION,
        header,
        body,
        records,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_packet_comes_back_as_it_was(packet in packet()) {
        prop_assert_eq!(decode(&encode(&packet)), Ok(packet));
    }

    #[test]
    fn a_card_comes_back_as_it_was(member in member()) {
        prop_assert_eq!(Member::decode(&member.encode()), Ok(member));
    }

    #[test]
    fn any_bytes_are_a_packet_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = decode(&bytes);
        let _ = Member::decode(&bytes);
        let mut versioned = bytes;
        versioned.insert(0, PROTOCOL_VERSION);
        let _ = decode(&versioned);
        let _ = Member::decode(&versioned);
    }

    #[test]
    fn a_damaged_packet_is_a_packet_or_an_error(
        packet in packet(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        keep in any::<prop::sample::Index>(),
    ) {
        let mut bytes = encode(&packet);
        for (index, byte) in damage {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(read) = decode(&bytes) {
            prop_assert!(read.records.iter().all(|record| record.check().is_ok()));
        }
        bytes.truncate(keep.index(bytes.len()));
        let _ = decode(&bytes);
    }

    #[test]
    fn of_another_version_only_joins_and_their_answers_are_read(
        packet in packet(),
        version in 2u8..,
    ) {
        let mut bytes = encode(&packet);
        bytes[0] = version;
        bytes.extend_from_slice(b"whatever that version says besides");
        let frozen = matches!(packet.body.kind(), Kind::Join | Kind::JoinAck);
        match decode(&bytes) {
            Ok(read) => {
                prop_assert!(frozen);
                prop_assert_eq!((read.header, read.body), (packet.header, packet.body));
            }
            Err(error) => {
                prop_assert_eq!(error, DecodeError::Version(version));
                prop_assert!(!frozen);
            }
        }
    }
}

#[test]
fn an_empty_or_an_enormous_packet_is_an_error() {
    assert_eq!(decode(&[]), Err(DecodeError::Empty));
    let enormous = vec![PROTOCOL_VERSION; MAX_PACKET_IN + 1];
    assert_eq!(
        decode(&enormous),
        Err(DecodeError::TooLong(MAX_PACKET_IN + 1))
    );
}

#[test]
fn every_kind_is_in_the_list_at_its_own_place() {
    for (place, (kind, _)) in Kind::ALL.iter().enumerate() {
        assert_eq!(*kind as usize, place);
    }
}

#[test]
fn the_layout_of_a_join_is_the_one_that_other_versions_know() {
    let header = Header {
        cluster: 1,
        from: NodeId([2; 16]),
        epoch: 3,
        nonce: 4,
        incarnation: 5,
        address: "h:1".into(),
        digest: 6,
        view: 7,
    };
    let (via, name, cluster) = ("s:2".to_owned(), "n".to_owned(), "c".to_owned());
    let body = Body::Join {
        via,
        name,
        cluster,
        partitions: 8,
    };
    let packet = Packet {
        version: PROTOCOL_VERSION,
        header,
        body,
        records: Vec::new(),
    };
    let mut expected = vec![1, 1];
    expected.extend([2; 16]);
    expected.extend([3, 4, 5, 3, b'h', b':', b'1', 6, 7]);
    expected.extend([0, 3, b's', b':', b'2', 1, b'n', 1, b'c', 8]);
    expected.push(0);
    assert_eq!(encode(&packet), expected);
}
