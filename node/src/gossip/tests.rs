//! Real drivers on loopback.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpStream};
use std::time::{Duration, Instant};

use zmesh_gossip::{Output, State};

use super::*;
use crate::events::Events;
use crate::metrics::Metrics;

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
        events: Events::new("test", metrics()).0,
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

fn metrics() -> Metrics {
    Metrics::new("test", "test", "0").unwrap()
}

/// Connections to the gossip port that were closed for this reason.
fn closed(metrics: &Metrics, reason: &str) -> u64 {
    let text = String::from_utf8(metrics.text().unwrap()).unwrap();
    let sample = format!("zmesh_gossip_connections_closed_total{{reason=\"{reason}\",");
    let line = text.lines().find(|line| line.starts_with(&sample)).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Waits until so many are counted: the peer sees the end a moment before.
fn until_closed(metrics: &Metrics, reason: &str, count: u64) {
    let patience = Instant::now() + PATIENCE;
    while closed(metrics, reason) < count {
        assert!(Instant::now() < patience, "{reason} is not counted");
        std::thread::yield_now();
    }
    assert_eq!(closed(metrics, reason), count, "{reason}");
}

/// The opening of a ZMTP peer of this socket type, and what it says then.
fn opened(socket_type: &str, then: &[u8]) -> Vec<u8> {
    use crate::zmtp::greeting::{greeting, ready};
    [&greeting()[..], &ready(socket_type), then].concat()
}

/// Says this and waits until the other side closes; gives what it said before.
fn say(address: &str, bytes: &[u8]) -> Vec<u8> {
    let mut raw = TcpStream::connect(address).unwrap();
    raw.set_read_timeout(Some(PATIENCE)).unwrap();
    // The other side may close while this is written.
    let _ = raw.write_all(bytes);
    let mut answer = Vec::new();
    let _ = raw.read_to_end(&mut answer).map_err(|error| {
        let reset = error.kind() == std::io::ErrorKind::ConnectionReset;
        assert!(reset, "the connection stays open: {error}");
    });
    answer
}

#[test]
fn garbage_on_the_gossip_port_is_closed_with_its_reason_and_harms_nobody() {
    let settings_a = settings("a", &[]);
    let metrics = settings_a.events.metrics().clone();
    let a = start_ready(settings_a);
    let b = start_ready(settings("b", &[a.address()]));
    wait(&b, "a view of two", |m| m.view.len() == 2);
    let half = &opened("DEALER", &[])[..40];
    let mut curve = opened("DEALER", &[]);
    curve[12..17].copy_from_slice(b"CURVE");
    let endless = &[2, 0x80, 0, 0, 0, 0, 0, 0, 0];
    let garbage = [
        ("not_zmtp", &[0x16, 3, 1, 2, 0][..]),
        ("not_zmtp", b"GET / HTTP/1.1\r\n\r\n"),
        ("not_zmtp", &[0x80; 4096]),
        ("old_zmtp", &[1, 0, 4, 0, b'a']),
        (
            "old_zmtp",
            &[0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 1, 1, 0, 0],
        ),
        ("mechanism", &curve),
        ("handshake_timeout", &[]),
        ("handshake_timeout", half),
        (
            "bad_handshake",
            &[&opened("", &[])[..64], &[0, 1, 2]].concat(),
        ),
        ("unsupported_socket_type", &opened("SUB", &[])),
        ("message_too_large", &opened("DEALER", endless)),
        (
            "too_many_frames",
            &opened("DEALER", &[1, 0].repeat(1_000_000)),
        ),
        ("bad_frame", &opened("DEALER", &[0xf8, 1, 2])),
    ];
    for (reason, bytes) in garbage {
        let before = closed(&metrics, reason);
        let answer = say(a.address(), bytes);
        assert!(answer.len() < 1024);
        until_closed(&metrics, reason, before + 1);
    }
    let c = start_ready(settings("c", &[a.address()]));
    for node in [&a, &b, &c] {
        wait(node, "a view of three", |m| m.view.len() == 3);
        assert_eq!(node.watch().borrow().stats.deaths, 0);
    }
}

#[test]
fn packets_that_cannot_be_read_are_counted_and_their_connection_stays() {
    let settings = settings("a", &[]);
    let metrics = settings.events.metrics().clone();
    let a = start_ready(settings);
    let context = zmq::Context::new();
    let dealer = context.socket(zmq::DEALER).unwrap();
    dealer.set_linger(0).unwrap();
    dealer.connect(&format!("tcp://{}", a.address())).unwrap();
    for length in 0..300 {
        dealer.send(vec![length as u8; length], 0).unwrap();
    }
    let two = vec![b"two".to_vec(), b"frames".to_vec()];
    dealer.send_multipart(two, 0).unwrap();
    wait(&a, "counting", |m| {
        m.stats.malformed + m.stats.foreign == 301
    });
    assert_eq!(closed(&metrics, "peer_closed"), 0);
    drop(dealer);
    wait(&a, "the end of it", |_| {
        closed(&metrics, "peer_closed") == 1
    });
}

#[test]
fn a_crowd_that_says_nothing_is_sent_away_and_a_member_comes_in() {
    let settings_a = settings("a", &[]);
    let metrics = settings_a.events.metrics().clone();
    let a = start_ready(settings_a);
    let crowd: Vec<_> = (0..200)
        .map(|_| TcpStream::connect(a.address()).unwrap())
        .collect();
    let b = start_ready(settings("b", &[a.address()]));
    wait(&b, "a view of two", |m| m.view.len() == 2);
    wait(&a, "the crowd to be sent away", |_| {
        closed(&metrics, "handshake_timeout") == 200
    });
    drop(crowd);
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

/// What a member says first.
fn packet() -> Vec<u8> {
    let me = Me {
        cluster: "drivers".into(),
        name: "m".into(),
        epoch: 1,
        nonce: 1,
        client: "127.0.0.1:1".into(),
        gossip: "127.0.0.1:2".into(),
        link: "127.0.0.1:3".into(),
        zone: String::new(),
        weight: 1,
    };
    let seeds = vec!["127.0.0.1:4".into()];
    let mut machine =
        zmesh_gossip::Gossip::new(Config::local(), me, seeds, 1, Duration::ZERO).unwrap();
    loop {
        match machine.poll_output() {
            Some(Output::Send { packet, .. }) => return packet,
            Some(_) => {}
            None => machine.handle_timeout(machine.next_deadline()),
        }
    }
}

#[test]
fn who_never_sends_a_packet_is_sent_away_and_who_has_sent_one_may_be_silent() {
    use crate::zmtp::{frames, heartbeat};
    let context = zmq::Context::new();
    let (wake, woken) = socket::wake_pair(&context).unwrap();
    woken.set_rcvtimeo(PATIENCE.as_millis() as i32).unwrap();
    let (commands, _received) = GossipCommands::new(wake);
    let metrics = metrics();
    let listener = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let first_packet = Duration::from_millis(100);
    let mut inbox = Inbox::start(listener, commands, metrics.clone(), first_packet).unwrap();

    let said = packet();
    let mut framed = Vec::new();
    frames::put_header(&mut framed, false, said.len());
    framed.extend_from_slice(&said);
    let mut member = TcpStream::connect(&address).unwrap();
    member.set_read_timeout(Some(PATIENCE)).unwrap();
    member.write_all(&opened("DEALER", &framed)).unwrap();
    woken.recv_msg(0).unwrap();
    assert_eq!(inbox.receive().unwrap(), said);

    // These were later, so the member's time is over too when they are sent away.
    say(&address, &opened("DEALER", &[]));
    say(&address, &opened("DEALER", &[0, 3, 1, 2, 3]));
    until_closed(&metrics, "no_packet", 2);
    let ping = heartbeat::ping(Duration::ZERO);
    member.write_all(&ping).unwrap();
    let answers = opened("ROUTER", &heartbeat::pong(&[0, 0]));
    let mut heard = vec![0; answers.len()];
    member.read_exact(&mut heard).unwrap();
    assert_eq!(heard, answers);
    drop(inbox);
    assert_eq!(member.read(&mut heard).unwrap_or(0), 0);
}
