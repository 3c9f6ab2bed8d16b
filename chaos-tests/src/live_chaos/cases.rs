//! The faults, each as it happens to a loaded mesh.

use super::limits::{ANY_TIME, HEAL, KILLED, Limit, ORDERLY, PAIR_3, PAIR_15, SILENT};
use super::plans::{five_nodes, saturated, three_nodes};
use super::saturation::saturate;
use crate::live::network::Network;
use crate::live::site::{Apart, Plan, Site};
use std::time::{Duration, Instant};

/// A host with a publisher and a subscriber.
const CLIENTS: usize = 2;

/// A host with a publisher only.
const ORIGIN: usize = 0;

/// A host without clients.
const OWNER: usize = 4;

/// Messages that every subscriber must get before a fault, after it, and in between: more than
/// are on their way at any moment.
pub const SOME: u64 = 20_000;

/// A fault with its name.
#[derive(Clone, Copy)]
pub struct Case {
    /// As it is asked for.
    pub name: &'static str,
    /// What happens, in a few words.
    pub what: &'static str,
    /// Who is there.
    pub plan: fn(rate: u32) -> Plan,
    /// How long it may take.
    pub limits: &'static [Limit],
    /// Makes it happen.
    pub fault: fn(&mut Site),
}

/// All of them, in the order of the table.
pub const CASES: [Case; 28] = [
    case("none", "nothing", ORDERLY, |site| site.flow(SOME)),
    Case {
        name: "kill-owner-of-three",
        what: "kill -9 of one of three nodes, an owner",
        plan: three_nodes,
        limits: KILLED,
        fault: |site| kill(site, &[2]),
    },
    case("kill-owner", "kill -9 of an owner", KILLED, |site| {
        kill(site, &[OWNER])
    }),
    case(
        "kill-origin",
        "kill -9 of a publisher's node, which comes back",
        KILLED,
        |site| {
            kill_and_restart(site, ORIGIN);
        },
    ),
    case(
        "kill-clients",
        "kill -9 of a node with both kinds of clients, which comes back",
        KILLED,
        |site| {
            kill_and_restart(site, CLIENTS);
        },
    ),
    case(
        "stop-owner-1",
        "SIGSTOP of an owner for 1 s",
        SILENT,
        |site| stop(site, OWNER, 1),
    ),
    case(
        "stop-owner-5",
        "SIGSTOP of an owner for 5 s",
        SILENT,
        |site| stop(site, OWNER, 5),
    ),
    case(
        "stop-owner-30",
        "SIGSTOP of an owner for 30 s",
        SILENT,
        |site| stop(site, OWNER, 30),
    ),
    case(
        "stop-clients-1",
        "SIGSTOP of a node with clients for 1 s",
        SILENT,
        |site| {
            stop(site, CLIENTS, 1);
        },
    ),
    case(
        "stop-clients-5",
        "SIGSTOP of a node with clients for 5 s",
        SILENT,
        |site| {
            site.excused(Apart::Subscribers(CLIENTS), |site| stop(site, CLIENTS, 5));
        },
    ),
    case(
        "stop-clients-30",
        "SIGSTOP of a node with clients for 30 s",
        SILENT,
        |site| {
            site.excused(Apart::Subscribers(CLIENTS), |site| stop(site, CLIENTS, 30));
        },
    ),
    case(
        "cut-owner",
        "an owner is cut off for 10 s",
        SILENT,
        |site| {
            cut(site, 10, |network| network.isolate(&[OWNER]));
        },
    ),
    case(
        "cut-clients",
        "a node with clients is cut off for 10 s",
        SILENT,
        |site| {
            site.excused(Apart::Sides(vec![CLIENTS]), |site| {
                // It hears nobody, and declares nobody dead: its own topics stay where they are.
                site.waiting(CLIENTS, |site| {
                    site.parts_owners();
                    site.cut_off(CLIENTS);
                    fault(site, 10, |_| {});
                });
            });
        },
    ),
    case(
        "mute-owner",
        "nothing that an owner sends arrives, for 10 s",
        SILENT,
        |site| {
            cut(site, 10, |network| network.mute(OWNER));
        },
    ),
    case(
        "deafen-owner",
        "nothing arrives at an owner, for 10 s",
        SILENT,
        |site| {
            cut(site, 10, |network| network.deafen(OWNER));
        },
    ),
    case(
        "cut-pair-3",
        "two nodes with clients are cut off from each other for 3 s",
        PAIR_3,
        |site| {
            cut(site, 3, |network| network.cut(ORIGIN, CLIENTS));
        },
    ),
    case("cut-pair-15", "the same for 15 s", PAIR_15, |site| {
        cut(site, 15, |network| network.cut(ORIGIN, CLIENTS));
    }),
    case(
        "split",
        "three nodes and two are cut off from each other for 60 s",
        SILENT,
        split,
    ),
    case(
        "drop-10",
        "10 % of packets are lost for 20 s",
        HEAL,
        |site| {
            bad_network(site, |network| network.drop(10));
        },
    ),
    case(
        "drop-25",
        "25 % of packets are lost for 20 s",
        HEAL,
        |site| {
            bad_network(site, |network| network.drop(25));
        },
    ),
    case(
        "slow",
        "a node's cable carries 4 Mbit/s for 20 s",
        HEAL,
        |site| {
            bad_network(site, |network| network.slow(CLIENTS, 4000));
        },
    ),
    case(
        "reset",
        "all connections between nodes are reset, 20 times",
        ORDERLY,
        reset,
    ),
    case(
        "join-and-leave",
        "a node joins, and leaves",
        ORDERLY,
        |site| {
            let host = site.join();
            site.settle_since(Instant::now());
            site.flow(SOME);
            site.leave(host);
            site.settle_since(Instant::now());
        },
    ),
    case(
        "rolling-restart",
        "one after the other, five nodes are stopped and started",
        ORDERLY,
        |site| {
            for host in site.up() {
                site.excused_restart(Apart::Host(host), |site| {
                    site.leave(host);
                    site.start_again(host);
                });
                site.flow(SOME / 4);
            }
        },
    ),
    case(
        "restart-all",
        "kill -9 of all nodes at once, and all are started",
        HEAL,
        |site| {
            site.excused_restart(Apart::All, |site| {
                let all = site.up();
                all.iter().for_each(|host| site.kill(*host));
                let begin = Instant::now();
                all.iter().for_each(|host| site.spawn_again(*host));
                site.nodes.iter_mut().for_each(|node| node.wait_ready());
                site.settle_since(begin);
            });
        },
    ),
    Case {
        name: "seeds-gone",
        what: "kill -9 of both seeds; one more node starts; the seeds come back",
        plan: |rate| Plan {
            seeds: vec![3, 4],
            ..five_nodes(rate)
        },
        limits: KILLED,
        fault: seeds_gone,
    },
    Case {
        name: "saturated",
        what: "every node has clients that know no limit, for 60 s",
        plan: |_| saturated(3),
        limits: ANY_TIME,
        fault: |site| saturate(site, Duration::from_secs(60)),
    },
    Case {
        name: "saturated-10",
        what: "the same for 10 s",
        plan: |_| saturated(3),
        limits: ANY_TIME,
        fault: |site| saturate(site, Duration::from_secs(10)),
    },
];

const fn case(
    name: &'static str,
    what: &'static str,
    limits: &'static [Limit],
    fault: fn(&mut Site),
) -> Case {
    Case {
        name,
        what,
        plan: five_nodes,
        limits,
        fault,
    }
}

fn kill(site: &mut Site, hosts: &[usize]) {
    let begin = Instant::now();
    hosts.iter().for_each(|host| site.kill(*host));
    site.settle_since(begin);
}

fn kill_and_restart(site: &mut Site, host: usize) {
    site.excused_restart(Apart::Host(host), |site| {
        kill(site, &[host]);
        site.flow(SOME);
        site.start_again(host);
    });
}

fn stop(site: &mut Site, host: usize, seconds: u64) {
    site.stop(host, Duration::from_secs(seconds));
    site.settle_since(Instant::now());
}

/// Something happens to the network for a while.
fn fault(site: &mut Site, seconds: u64, fault: impl FnOnce(&mut Network)) {
    site.say("the fault begins");
    fault(&mut site.network);
    site.hold(Duration::from_secs(seconds));
    site.network.heal();
    site.say("the fault ends");
    site.settle_since(Instant::now());
    site.say("settled");
}

/// For 20 s so much is late that links are made anew, and topics may have other owners meanwhile.
fn bad_network(site: &mut Site, what: impl FnOnce(&mut Network)) {
    site.parts_owners();
    fault(site, 20, what);
}

/// Something happens to the network for a while, and nodes cannot reach each other.
fn cut(site: &mut Site, seconds: u64, cut: impl FnOnce(&mut Network)) {
    site.parts_owners();
    fault(site, seconds, cut);
}

fn split(site: &mut Site) {
    let (one, other) = ([0, 1, 4], [2, 3]);
    site.excused(Apart::Sides(other.to_vec()), |site| {
        site.say("the cut begins");
        site.parts_owners();
        site.network.isolate(&other);
        let begin = Instant::now();
        site.settle_among(&one);
        site.settle_among(&other);
        site.say("one view on each side");
        site.flow(SOME);
        site.hold(Duration::from_secs(60).saturating_sub(begin.elapsed()));
        site.network.heal();
        site.say("the cut ends");
        site.settle_since(Instant::now());
    });
}

fn reset(site: &mut Site) {
    for _ in 0..4 {
        for host in 0..5 {
            site.network.reset(host);
            site.flow(SOME / 20);
        }
    }
    site.settle();
}

fn seeds_gone(site: &mut Site) {
    let seeds = [3, 4];
    site.excused_restart(Apart::Host(seeds[0]), |site| {
        kill(site, &seeds);
        site.flow(SOME);
        // It knows only the seeds: it is alone until they are back.
        site.join();
        site.flow(SOME);
        seeds.into_iter().for_each(|host| site.start_again(host));
    });
}
