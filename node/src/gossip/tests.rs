//! Real drivers on loopback.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpStream};
use std::time::Duration;

use zmesh_gossip::State;

use super::*;

/// Longer than any of this takes; only a failure waits so long.
const PATIENCE: Duration = Duration::from_secs(30);

fn settings(name: &str, seeds: &[&str]) -> Settings {
    Settings {
        name: name.into(),
        cluster: "drivers".into(),
        partitions: 16_384,
        bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
        port: 0,
        advertise: None,
        seeds: seeds.iter().map(|seed| (*seed).to_owned()).collect(),
        weight: 1,
        zone: String::new(),
        client: "127.0.0.1:5555".into(),
        link: "127.0.0.1:5557".into(),
    }
}

fn start_ready(settings: Settings) -> Gossip {
    let gossip = start(settings).unwrap();
    gossip.commands().set_ready();
    gossip
}

/// Waits until the membership of a node is as wanted.
fn wait(gossip: &Gossip, what: &str, wanted: impl FnMut(&Arc<Membership>) -> bool) {
    let mut watch = gossip.watch();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let done = runtime.block_on(async {
        tokio::time::timeout(PATIENCE, watch.wait_for(wanted))
            .await
            .is_ok_and(|r| r.is_ok())
    });
    assert!(done, "{what} did not happen: {:?}", watch.borrow());
}

fn state_of(membership: &Membership, name: &str) -> Option<State> {
    let mut members = membership.members.iter().map(|known| &known.member);
    members
        .find(|member| member.name == name)
        .map(|member| member.state)
}

#[test]
fn three_drivers_come_to_one_view_and_a_goodbye_is_heard() {
    let a = start_ready(settings("a", &[]));
    let b = start_ready(settings("b", &[a.address()]));
    let mut c = start_ready(settings("c", &[b.address()]));
    for node in [&a, &b, &c] {
        wait(node, "a view of three", |m| m.view.len() == 3 && m.joined);
    }
    let hash = a.watch().borrow().view_hash;
    assert!(
        [&b, &c]
            .iter()
            .all(|node| node.watch().borrow().view_hash == hash)
    );
    wait(&a, "a round trip", |m| {
        m.members.iter().filter(|known| known.rtt.is_some()).count() == 2
    });
    c.stop();
    for node in [&a, &b] {
        wait(node, "the goodbye", |m| {
            state_of(m, "c") == Some(State::Left) && m.view.len() == 2
        });
    }
}

#[test]
fn ipv6_and_names_work_as_seeds() {
    let v6 = Settings {
        bind: IpAddr::V6(Ipv6Addr::LOCALHOST),
        ..settings("a", &[])
    };
    let a = start_ready(v6.clone());
    assert!(a.address().starts_with("[::1]:"));
    let b = start_ready(Settings {
        name: "b".into(),
        seeds: vec![a.address().into()],
        ..v6
    });
    wait(&b, "a view of two", |m| m.view.len() == 2);

    let a = start_ready(Settings {
        advertise: Some("localhost".into()),
        ..settings("a", &[])
    });
    assert!(a.address().starts_with("localhost:"));
    // Numeric, so that only the seed's name decides which family is tried.
    let b = start_ready(settings("b", &[a.address()]));
    wait(&b, "a view of two", |m| m.view.len() == 2);
    wait(&a, "a view of two", |m| m.view.len() == 2);
}

#[test]
fn another_cluster_is_refused_on_both_sides() {
    let a = start_ready(settings("a", &[]));
    let other = Settings {
        cluster: "other".into(),
        ..settings("b", &[a.address()])
    };
    let b = start_ready(other);
    for node in [&a, &b] {
        wait(node, "a refusal", |m| m.stats.refusals > 0);
    }
    wait(&b, "a view of one", |m| m.view.len() == 1);
    assert_eq!(a.watch().borrow().members.len(), 1);
}

#[test]
fn the_younger_of_two_processes_with_one_name_is_told_to_stop() {
    let a = start_ready(settings("a", &[]));
    wait(&a, "a view of one", |m| m.view.len() == 1);
    let twin = start(settings("a", &[a.address()])).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let text = runtime.block_on(async { tokio::time::timeout(PATIENCE, twin.fatal()).await });
    let text = text.expect("the conflict is noticed");
    assert!(
        text.contains("--name") && text.contains(a.address()),
        "{text}"
    );
    assert!(!twin.watch().borrow().joined);
}

#[test]
fn a_thread_that_ends_without_goodbye_is_found_dead_by_its_refused_connection() {
    let a = start_ready(settings("a", &[]));
    let b = start_ready(settings("b", &[a.address()]));
    let mut c = start_ready(settings("c", &[a.address()]));
    wait(&a, "a view of three", |m| m.view.len() == 3);
    wait(&b, "a view of three", |m| m.view.len() == 3);
    c.commands.send_surely(Command::Abort);
    c.thread.take().unwrap().join().unwrap();
    wait(&a, "the death", |m| state_of(m, "c") == Some(State::Dead));
    let stats = a.watch().borrow().stats;
    assert!(stats.reset_connections + stats.refused_connections > 0);
    wait(&b, "the death", |m| {
        state_of(m, "c") == Some(State::Dead) && m.view.len() == 2
    });
}

#[test]
fn garbage_on_the_gossip_port_harms_nobody() {
    let a = start_ready(settings("a", &[]));
    let context = zmq::Context::new();
    let dealer = context.socket(zmq::DEALER).unwrap();
    dealer.set_linger(0).unwrap();
    dealer.connect(&format!("tcp://{}", a.address())).unwrap();
    for length in 0..300 {
        dealer.send(vec![length as u8; length], 0).unwrap();
    }
    dealer
        .send_multipart(vec![b"two".to_vec(), b"frames".to_vec()], 0)
        .unwrap();
    wait(&a, "counting", |m| {
        m.stats.malformed + m.stats.foreign >= 301
    });
    for garbage in [
        &[0x16, 3, 1, 2, 0][..],
        b"GET / HTTP/1.1\r\n\r\n",
        &[0xff; 4096],
    ] {
        let mut raw = TcpStream::connect(a.address()).unwrap();
        raw.set_read_timeout(Some(PATIENCE)).unwrap();
        // The other side may close while this is written.
        let _ = raw.write_all(garbage);
        let mut answer = Vec::new();
        let _ = raw.read_to_end(&mut answer);
        assert!(answer.len() < 1024);
    }
    let b = start_ready(settings("b", &[a.address()]));
    wait(&b, "a view of two", |m| m.view.len() == 2);
    assert_eq!(a.watch().borrow().stats.deaths, 0);
}

#[test]
fn a_taken_port_is_an_error_that_says_what_to_do() {
    let a = start(settings("a", &[])).unwrap();
    let port = a.address().rsplit_once(':').unwrap().1.parse().unwrap();
    let error = start(Settings {
        port,
        ..settings("b", &[])
    })
    .err()
    .unwrap()
    .to_string();
    assert!(
        error.contains(&port.to_string()) && error.contains("--gossip-port"),
        "{error}"
    );
}

#[test]
fn binding_to_every_address_needs_a_host_to_tell_others() {
    let bind = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let error = start(Settings {
        bind,
        ..settings("a", &[])
    })
    .err()
    .unwrap()
    .to_string();
    assert!(error.contains("--advertise"), "{error}");
}

#[test]
fn a_wrong_seed_is_an_error_and_not_a_panic() {
    let error = start(settings("a", &["no port"]))
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("seeds"), "{error}");
}
