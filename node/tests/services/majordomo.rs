//! Majordomo clients and workers (ZeroMQ RFC 7, 18 and 8), frame by frame.

use std::time::Duration;

use zmesh_node::forward::ClientId;

use crate::alone::{Alone, CLIENT};

const WORKER: ClientId = ClientId(8);

const SECOND: Duration = Duration::from_secs(1);

/// The two versions, with what a worker's messages begin with and its commands: READY, the last
/// answer, HEARTBEAT and DISCONNECT.
const VERSIONS: [(&[&[u8]], [u8; 4]); 2] = [
    (&[b"", b"MDPW01"], [1, 3, 4, 5]),
    (&[b"MDPW02"], [1, 4, 5, 6]),
];

type Frames = Vec<Vec<u8>>;

fn frames(head: &[&[u8]], rest: &[&[u8]]) -> Frames {
    let all = head.iter().chain(rest);
    all.map(|frame| frame.to_vec()).collect()
}

impl Alone {
    fn worker_says(&mut self, head: &[&[u8]], rest: &[&[u8]]) {
        let message = frames(head, rest);
        let message: Vec<&[u8]> = message.iter().map(|frame| &frame[..]).collect();
        self.says(WORKER, &message);
    }
}

fn with_worker(head: &[&[u8]]) -> Alone {
    let mut node = Alone::single();
    node.services.handle_client_opened(WORKER);
    node.worker_says(head, &[&[1], b"echo"]);
    assert_eq!(
        node.hears(WORKER),
        Vec::<Frames>::new(),
        "no response to a READY"
    );
    node
}

#[test]
fn clients_and_workers_of_both_versions_and_of_none_understand_each_other() {
    let clients: [[&[&[u8]]; 2]; 4] = [
        [&[b"", b"MDPC01", b"echo"], &[b"", b"MDPC01", b"echo"]],
        [&[b"MDPC02", &[1], b"echo"], &[b"MDPC02", &[3], b"echo"]],
        [&[b"", b"echo"], &[b""]],
        [
            &[b"$zmesh.request", b"7", b"echo"],
            &[b"$zmesh.reply", b"7"],
        ],
    ];
    for (head, [_, answer, ..]) in VERSIONS {
        let mut node = with_worker(head);
        for [asked, replied] in clients {
            let asked = frames(asked, &[b"a", b""]);
            node.says(CLIENT, &asked.iter().map(|it| &it[..]).collect::<Vec<_>>());
            let [request] = &node.hears(WORKER)[..] else {
                panic!("one request")
            };
            let begin = frames(head, &[&[2]]);
            assert_eq!(request[..begin.len()], begin);
            let [id, empty, body @ ..] = &request[begin.len()..] else {
                panic!("an address and an empty frame: {request:?}")
            };
            assert_eq!(
                (&empty[..], body),
                (&b""[..], &frames(&[b"a", b""], &[])[..])
            );
            node.worker_says(head, &[&[answer], id, b"", b"b", b""]);
            assert_eq!(node.hears(CLIENT), [frames(replied, &[b"b", b""])]);
        }
    }
}

#[test]
fn parts_of_an_answer_reach_a_client_that_knows_of_them_and_no_other() {
    let head: &[&[u8]] = &[b"MDPW02"];
    let mut node = with_worker(head);
    let clients: [&[&[u8]]; 2] = [&[b"MDPC02", &[1], b"echo", b"a"], &[b"", b"echo", b"a"]];
    let mut heard = Vec::new();
    for asked in clients {
        node.says(CLIENT, asked);
        let id = node.hears(WORKER)[0][2].clone();
        for part in [b"1", b"2"] {
            node.worker_says(head, &[&[3], &id, b"", part]);
        }
        node.worker_says(head, &[&[4], &id, b"", b"3"]);
        heard.extend(node.hears(CLIENT));
    }
    let part = |kind, body: &[u8]| frames(&[b"MDPC02", &[kind], b"echo"], &[body]);
    let plain = frames(&[b""], &[b"3"]);
    assert_eq!(heard, [part(2, b"1"), part(2, b"2"), part(3, b"3"), plain]);
}

#[test]
fn a_worker_gets_signs_of_life_and_is_out_when_it_gives_none() {
    for (head, [.., heartbeat, disconnect]) in VERSIONS {
        let mut node = with_worker(head);
        let beats = |count| vec![frames(head, &[&[heartbeat]]); count];
        for _ in 0..20 {
            node.pass(SECOND);
            node.worker_says(head, &[&[heartbeat]]);
        }
        assert_eq!(node.hears(WORKER), beats(8), "one in 2.5 s");
        node.says(CLIENT, &[b"$zmesh.request", b"7", b"echo"]);
        assert_eq!(node.hears(WORKER).len(), 1);
        node.says(CLIENT, &[b"$zmesh.request", b"8", b"echo"]);
        node.pass(SECOND * 4);
        // What it has still counts.
        assert_eq!(node.hears(WORKER), beats(1));
        let heard = node.hears(CLIENT);
        assert_eq!(heard, Vec::<Frames>::new());
        node.pass(SECOND * 4);
        let told = node.hears(WORKER);
        assert_eq!(told.last(), Some(&frames(head, &[&[disconnect]])));
        let codes: Vec<Vec<u8>> = node
            .hears(CLIENT)
            .into_iter()
            .map(|it| it[1].clone())
            .collect();
        // The one that waited has no worker then, and both were over 5 s old.
        assert_eq!(codes, [b"timeout", b"timeout"]);
        node.says(CLIENT, &[b"", b"echo"]);
        assert_eq!(node.hears(CLIENT)[0][2], b"no_worker");
    }
}

#[test]
fn what_a_worker_has_when_it_goes_is_lost() {
    for (head, [.., disconnect]) in VERSIONS {
        let mut node = with_worker(head);
        node.says(CLIENT, &[b"", b"MDPC01", b"echo", b"a"]);
        assert_eq!(node.hears(WORKER).len(), 1);
        node.worker_says(head, &[&[disconnect]]);
        let heard = node.hears(CLIENT);
        assert_eq!(
            heard[0][..5],
            frames(
                &[b"", b"MDPC01", b"echo"],
                &[b"$zmesh.error", b"worker_lost"]
            )
        );
        assert_eq!(
            node.hears(WORKER),
            Vec::<Frames>::new(),
            "it gets nothing more"
        );
    }
}

#[test]
fn the_unexpected_ends_a_worker() {
    for (head, [ready, answer, heartbeat, disconnect]) in VERSIONS {
        let unexpected: [&[&[u8]]; 9] = [
            &[&[ready], b"echo"],
            &[&[ready], b"other"],
            &[&[ready]],
            &[&[ready], b"echo", b"more"],
            &[&[answer], b"0000000000000002-99", b"", b"b"],
            &[&[answer], b"nonsense", b"", b"b"],
            &[&[2], b"0000000000000002-1", b"", b"b"],
            &[&[99]],
            &[],
        ];
        for said in unexpected {
            let mut node = with_worker(head);
            node.worker_says(head, said);
            let out = frames(head, &[&[disconnect]]);
            assert_eq!(node.hears(WORKER), [out], "{said:?}");
            node.worker_says(head, &[&[ready], b"echo"]);
            node.pass(SECOND * 20);
            assert_eq!(node.hears(WORKER), Vec::<Frames>::new(), "nothing after it");
            node.says(CLIENT, &[b"", b"echo"]);
            assert_eq!(node.hears(CLIENT)[0][2], b"no_worker");
        }
        // Before it is ready, and for a name that is no service.
        for said in [
            &[&[heartbeat][..]][..],
            &[&[ready], b"mmi.echo"],
            &[&[ready], b""],
        ] {
            let mut node = Alone::single();
            node.services.handle_client_opened(WORKER);
            node.worker_says(head, said);
            assert_eq!(
                node.hears(WORKER),
                [frames(head, &[&[disconnect]])],
                "{said:?}"
            );
        }
    }
}

#[test]
fn a_node_that_goes_lets_its_workers_answer_and_sends_them_away() {
    for (head, [_, answer, _, disconnect]) in VERSIONS {
        let mut node = with_worker(head);
        node.says(CLIENT, &[b"", b"echo", b"a"]);
        let request = node.hears(WORKER).remove(0);
        node.services.handle_leaving(node.now);
        assert_eq!(node.hears(WORKER), Vec::<Frames>::new());
        let id = &request[head.len() + 1];
        node.worker_says(head, &[&[answer], id, b"", b"b"]);
        assert_eq!(node.hears(CLIENT), [frames(&[b""], &[b"b"])]);
        let out = frames(head, &[&[disconnect]]);
        assert_eq!(node.hears(WORKER), std::slice::from_ref(&out));
        // One that has nothing goes at once.
        let mut node = with_worker(head);
        node.services.handle_leaving(node.now);
        assert_eq!(node.hears(WORKER), [out]);
        assert!(node.services.owes_nothing());
    }
}

#[test]
fn anybody_may_ask_whether_a_service_is_there() {
    let mut node = with_worker(VERSIONS[0].0);
    let mut ask = |service: &[u8], body: &[u8]| {
        node.says(CLIENT, &[b"", b"MDPC01", service, body]);
        let answer = node.hears(CLIENT).remove(0);
        assert_eq!(answer[..3], frames(&[b"", b"MDPC01"], &[service]));
        String::from_utf8(answer[3].clone()).unwrap()
    };
    assert_eq!(ask(b"mmi.service", b"echo"), "200");
    assert_eq!(ask(b"mmi.service", b"other"), "404");
    assert_eq!(ask(b"mmi.service", b""), "404");
    assert_eq!(ask(b"mmi.other", b"echo"), "501");
    // With other frames, too; and one that has just become the owner knows nobody yet.
    node.says(CLIENT, &[b"", b"mmi.service", b"echo"]);
    assert_eq!(node.hears(CLIENT), [frames(&[b""], &[b"200"])]);
    let mut node = Alone::single();
    node.services.handle_client_opened(WORKER);
    let ring = crate::words::ring(&std::collections::BTreeSet::from([crate::alone::ME.0]));
    node.services
        .handle_topology(Default::default(), ring, node.now);
    node.says(CLIENT, &[b"", b"mmi.service", b"echo"]);
    node.says(CLIENT, &[b"", b"mmi.service", b"other"]);
    node.worker_says(VERSIONS[1].0, &[&[1], b"echo"]);
    node.pass(SECOND);
    assert_eq!(node.hears(CLIENT), [frames(&[b""], &[b"200"])]);
    node.pass(SECOND * 2);
    assert_eq!(node.hears(CLIENT), [frames(&[b""], &[b"404"])]);
}

#[test]
fn a_client_that_makes_no_sense_hears_what_would() {
    let mut node = Alone::single();
    let said: [&[&[u8]]; 4] = [
        &[b"", b"MDPC01"],
        &[b"MDPC02"],
        &[b"MDPC02", &[2], b"echo", b"a"],
        &[b"", b"MDPC01", b"$zmesh.serve", b"a"],
    ];
    for words in said {
        node.says(CLIENT, words);
        let [answer] = &node.hears(CLIENT)[..] else {
            panic!("one answer to {words:?}")
        };
        let [.., error, code, text, _] = &answer[..] else {
            panic!("{answer:?}")
        };
        assert_eq!(
            (&error[..], &code[..]),
            (&b"$zmesh.error"[..], &b"bad_request"[..])
        );
        assert!(!text.is_empty());
    }
}
