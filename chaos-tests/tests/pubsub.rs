//! What publishers and subscribers in Python, Node.js and C see through a mesh of three nodes:
//! what they would see if they were connected directly.

use chaos_tests::live::token::tokens;
use chaos_tests::live::{Client, Language, Mesh, wait};
use zmesh_node::report;

/// A publisher at the first node and a subscriber at the third, in the same language, connected.
fn pair(mesh: &Mesh, language: Language) -> (Client, Client) {
    let mut publisher = Client::start(language, "PUB", &[&mesh.nodes[0].endpoint()]);
    let mut subscriber = Client::start(language, "SUB", &[&mesh.nodes[2].endpoint()]);
    publisher.reach(&mut subscriber);
    (publisher, subscriber)
}

/// Every byte value, in an order that repeats late.
fn binary(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn messages_of_one_to_twenty_frames_arrive_byte_for_byte() {
    let mesh = Mesh::start(3);
    for language in Language::ALL {
        let (mut publisher, mut subscriber) = pair(&mesh, language);
        subscriber.subscribe(&["frames"]);
        let mut messages = Vec::new();
        for count in 1..=20 {
            let mut frames = vec![b"frames".to_vec()];
            frames.extend((1..count).map(|number| binary(number * 40)));
            messages.push(frames);
        }
        messages.push(vec![b"frames".to_vec(), vec![], vec![], vec![]]);
        messages.push(vec![b"frames".to_vec(), vec![], b"last".to_vec()]);
        messages.push(vec![b"frames".to_vec(), (0..=255).collect()]);
        for message in &messages {
            publisher.send(message);
        }
        for message in &messages {
            subscriber.expect(message);
        }
    }
}

#[test]
fn payloads_of_nothing_to_32_mib_arrive_byte_for_byte() {
    let mesh = Mesh::start(3);
    for language in Language::ALL {
        let (mut publisher, mut subscriber) = pair(&mesh, language);
        subscriber.subscribe(&["size"]);
        for length in [0, 1, 254, 255, 256, 65_535, 65_536, 1 << 20, 32 << 20] {
            let payload = binary(length);
            publisher.send(&[b"size", &payload[..]]);
            publisher.send(&[b"size", &payload[..], b"and one more"]);
            subscriber.expect(&[b"size", &payload[..]]);
            subscriber.expect(&[b"size", &payload[..], b"and one more"]);
        }
    }
}

#[test]
fn a_topic_may_be_the_only_frame_and_may_be_long_or_no_text() {
    let mesh = Mesh::start(3);
    for language in Language::ALL {
        let (mut publisher, mut subscriber) = pair(&mesh, language);
        let long = [&b"long"[..], &binary(70_000)].concat();
        let topics = [&b"10001 80 20"[..], b"\xff\x00\xfe", b"long", &long];
        subscriber.subscribe(&[&b"10001"[..], b"\xff\x00", b"long"]);
        for topic in topics {
            publisher.send(&[topic]);
            subscriber.expect(&[topic]);
        }
    }
}

#[test]
fn the_empty_prefix_takes_every_message_also_one_with_an_empty_topic() {
    let mesh = Mesh::start(3);
    for language in Language::ALL {
        let (mut publisher, mut subscriber) = pair(&mesh, language);
        subscriber.subscribe(&[""]);
        let mut sent = [
            tokens(&["a"]),
            tokens(&["b", "1"]),
            tokens(&["", "2"]),
            tokens(&[""]),
        ];
        publisher.send(&["a"]);
        publisher.send(&["b", "1"]);
        publisher.send(&["", "2"]);
        publisher.send(&[""]);
        // Three topics may have three owners: only the order within one is promised.
        let mut received: Vec<_> = sent.iter().map(|_| subscriber.receive()).collect();
        received.sort();
        sent.sort();
        assert_eq!(received, sent, "{language:?}");
    }
}

#[test]
fn overlapping_prefixes_give_a_message_once() {
    let mesh = Mesh::start(3);
    for language in Language::ALL {
        let (mut publisher, mut subscriber) = pair(&mesh, language);
        subscriber.subscribe(&["", "o", "over", "overlap 1", "overlap"]);
        for number in 0..20_u8 {
            publisher.send(&[&b"overlap 1"[..], &[number]]);
        }
        for number in 0..20_u8 {
            subscriber.expect(&[&b"overlap 1"[..], &[number]]);
        }
    }
}

#[test]
fn five_thousand_prefixes_fit_on_one_socket() {
    let mesh = Mesh::start(3);
    for language in Language::ALL {
        let (mut publisher, mut subscriber) = pair(&mesh, language);
        let prefixes: Vec<String> = (0..5000).map(|number| format!("p{number}.")).collect();
        subscriber.subscribe(&prefixes);
        for number in [0, 1, 999, 1000, 1001, 4999] {
            publisher.send(&[format!("q{number}.x")]);
            publisher.send(&[format!("p{number}.x")]);
            subscriber.expect(&[format!("p{number}.x")]);
        }
    }
}

#[test]
fn an_unsubscribed_prefix_gives_nothing_more() {
    let mesh = Mesh::start(3);
    for language in Language::ALL {
        let (mut publisher, mut subscriber) = pair(&mesh, language);
        // One key for both topics: what is published later comes later.
        subscriber.subscribe(&["key gone", "key stays"]);
        publisher.send(&["key gone", "1"]);
        subscriber.expect(&["key gone", "1"]);
        subscriber.unsubscribe("key gone");
        publisher.send(&["key gone", "2"]);
        publisher.send(&["key stays", "3"]);
        subscriber.expect(&["key stays", "3"]);
        wait::until_true("the node to forget the prefix", || {
            let held = mesh.nodes[2].ask::<report::Subscriptions>("/api/v1/subscriptions");
            held.is_some_and(|held| held.subscriptions.iter().all(|it| it.prefix != "key gone"))
        });
        subscriber.subscribe(&["key gone"]);
        publisher.send(&["key gone", "4"]);
        subscriber.expect(&["key gone", "4"]);
    }
}

#[test]
fn a_late_subscriber_gets_what_is_published_from_then_on() {
    let mesh = Mesh::start(3);
    for language in Language::ALL {
        let (mut publisher, mut early) = pair(&mesh, language);
        early.subscribe(&["late"]);
        publisher.send(&["late", "1"]);
        early.expect(&["late", "1"]);
        let mut late = Client::start(language, "SUB", &[&mesh.nodes[1].endpoint()]);
        late.subscribe(&["late"]);
        publisher.send(&["late", "2"]);
        early.expect(&["late", "2"]);
        late.expect(&["late", "2"]);
    }
}

#[test]
fn subscriptions_and_publishers_work_again_after_their_node_restarts() {
    let mut mesh = Mesh::start(3);
    for language in Language::ALL {
        let (mut publisher, mut subscriber) = pair(&mesh, language);
        subscriber.subscribe(&["again"]);
        mesh.nodes[2].restart();
        subscriber.wait_ready(&["again"]);
        mesh.settle();
        publisher.probe(&mut subscriber);
        publisher.send(&["again", "1"]);
        subscriber.expect(&["again", "1"]);
        mesh.nodes[0].restart();
        mesh.settle();
        publisher.probe(&mut subscriber);
        publisher.send(&["again", "2"]);
        subscriber.expect(&["again", "2"]);
    }
}

#[test]
fn a_thousand_topics_arrive_whole_and_each_in_order() {
    let mesh = Mesh::start(3);
    for language in Language::ALL {
        let (mut publisher, mut subscriber) = pair(&mesh, language);
        subscriber.subscribe(&["many."]);
        for round in 0..5_u8 {
            for topic in 0..1000 {
                publisher.send(&[format!("many.{topic}").as_bytes(), &[round]]);
            }
        }
        let mut rounds = std::collections::HashMap::new();
        for _ in 0..5000 {
            let message = subscriber.receive();
            rounds
                .entry(message[0].clone())
                .or_insert_with(Vec::new)
                .push(message[1].clone());
        }
        assert_eq!(rounds.len(), 1000);
        assert!(
            rounds
                .values()
                .all(|it| it == &["00", "01", "02", "03", "04"]),
            "{language:?}"
        );
    }
}

#[test]
fn xpub_and_xsub_sockets_work_like_pub_and_sub() {
    let mesh = Mesh::start(3);
    for language in Language::ALL {
        let mut publisher = Client::start(language, "XPUB", &[&mesh.nodes[0].endpoint()]);
        let mut subscriber = Client::start(language, "XSUB", &[&mesh.nodes[2].endpoint()]);
        // The node asks an XPUB for everything, once, whatever its clients want.
        publisher.expect(&[[1]]);
        subscriber.subscribe(&["key x", "key y"]);
        publisher.send(&["key x", "1"]);
        subscriber.expect(&["key x", "1"]);
        subscriber.unsubscribe("key x");
        wait::until_true("the node to forget the prefix", || {
            let held = mesh.nodes[2].ask::<report::Subscriptions>("/api/v1/subscriptions");
            held.is_some_and(|held| held.subscriptions.iter().all(|it| it.prefix != "key x"))
        });
        wait::until_true("nobody to take key x", || {
            publisher.send(&["key x", "2"]);
            publisher.send(&["key y", "3"]);
            let first = subscriber.receive();
            if first == tokens(&["key x", "2"]) {
                // An XSUB does not filter: the other nodes had not heard of it yet.
                subscriber.expect(&["key y", "3"]);
                return false;
            }
            assert_eq!(first, tokens(&["key y", "3"]), "{language:?}");
            true
        });
    }
}

#[test]
fn languages_understand_each_other() {
    let mesh = Mesh::start(3);
    for from in Language::ALL {
        for to in Language::ALL {
            let mut publisher = Client::start(from, "PUB", &[&mesh.nodes[1].endpoint()]);
            let mut subscriber = Client::start(to, "SUB", &[&mesh.nodes[0].endpoint()]);
            publisher.reach(&mut subscriber);
            subscriber.subscribe(&["mixed"]);
            publisher.send(&[b"mixed", &binary(300)[..], b""]);
            subscriber.expect(&[b"mixed", &binary(300)[..], b""]);
        }
    }
}

#[test]
fn a_mesh_on_ipv6_serves_clients_on_ipv6() {
    let mesh = Mesh::start_on("::1", 2);
    let (first, second) = (&mesh.nodes[0], &mesh.nodes[1]);
    assert!(first.client.starts_with("[::1]:"), "{}", first.client);
    for language in Language::ALL {
        let mut publisher = Client::start(language, "PUB", &[&first.endpoint()]);
        let mut subscriber = Client::start(language, "SUB", &[&second.endpoint()]);
        publisher.reach(&mut subscriber);
        subscriber.subscribe(&["six"]);
        publisher.send(&["six", "1"]);
        subscriber.expect(&["six", "1"]);
    }
}

#[test]
fn all_subscribers_of_a_topic_see_the_same_order() {
    let mesh = Mesh::start(3);
    let at =
        |node: usize, kind: &str| Client::start(Language::C, kind, &[&mesh.nodes[node].endpoint()]);
    let mut subscribers = [at(0, "SUB"), at(1, "SUB"), at(2, "SUB")];
    let mut publishers = [at(0, "XPUB"), at(1, "XPUB"), at(2, "XPUB")];
    for subscriber in &mut subscribers {
        subscriber.subscribe(&["order"]);
    }
    for publisher in &mut publishers {
        publisher.expect(&[[1]]);
    }
    for number in 0..500 {
        for (name, publisher) in ["a", "b", "c"].iter().zip(&mut publishers) {
            publisher.send(&["order", name, &number.to_string()]);
        }
    }
    let orders = subscribers
        .each_mut()
        .map(|subscriber| (0..1500).map(|_| subscriber.receive()).collect::<Vec<_>>());
    assert!(
        orders[0] == orders[1] && orders[1] == orders[2],
        "three subscribers, three orders"
    );
    for name in ["a", "b", "c"] {
        let mine = orders[0]
            .iter()
            .filter(|message| message[1] == tokens(&[name])[0]);
        let numbers: Vec<_> = mine.map(|message| message[2].clone()).collect();
        let sent: Vec<_> = (0..500)
            .map(|it| tokens(&[it.to_string()])[0].clone())
            .collect();
        assert_eq!(numbers, sent, "what {name} published");
    }
}
