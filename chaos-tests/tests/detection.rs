//! The targets of failure detection, in virtual time: how soon the dead are found, that nobody else
//! is, how a cut mesh comes together, and what all that sends.

use std::time::Duration;

use chaos_tests::sim::detect::figures::{Plan, Way};
use chaos_tests::sim::detect::measure::{
    Crash, Detection, detection, false_deaths, heal, percentile, spread, traffic,
};
use chaos_tests::sim::detect::mesh::Mesh;
use chaos_tests::sim::detect::table::{TARGETS, pictures, tables};

const OURS: Way = Way::ALL[0];
const MEMBERLIST_UDP: Way = Way::ALL[4];

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn found(way: Way, nodes: usize, crash: Crash, crashes: usize) -> Detection {
    let mut mesh = Mesh::started(way.setup(nodes, 5));
    let found = detection(&mut mesh, crash, crashes);
    assert_eq!(
        (found.missed, found.false_deaths),
        (0, 0),
        "{nodes} members"
    );
    found
}

#[test]
fn the_dead_are_found_in_time() {
    for ((nodes, p50, p99), crashes) in TARGETS.into_iter().zip([60, 20]) {
        let lost = found(OURS, nodes, Crash::HostLost, crashes);
        let times = [50, 99].map(|percent| percentile(&lost.times, percent));
        assert!(times[0] <= seconds(p50 * 1.1), "{nodes} members: {times:?}");
        assert!(times[1] <= seconds(p99 * 1.1), "{nodes} members: {times:?}");
        let killed = found(OURS, nodes, Crash::Killed, crashes);
        let longest = percentile(&killed.times, 100);
        assert!(longest <= seconds(1.2), "{nodes} members: {longest:?}");
    }
}

#[test]
fn others_need_more_than_twice_as_long() {
    let [ours, theirs] = [OURS, MEMBERLIST_UDP].map(|way| {
        let found = found(way, 32, Crash::HostLost, 6);
        percentile(&found.times, 50)
    });
    assert!(theirs > 2 * ours, "{ours:?} and {theirs:?}");
}

#[test]
fn nobody_is_declared_dead_where_a_quarter_of_all_packets_is_lost() {
    let mut mesh = Mesh::started(OURS.setup(32, 3));
    mesh.lose_packets(0.25);
    assert_eq!(false_deaths(&mut mesh, seconds(120.0)), 0);
    // Where there are few to confirm it takes a minute to learn how late answers are.
    for seed in 0..5 {
        let mut mesh = Mesh::started(OURS.setup(3, seed));
        mesh.lose_packets(0.25);
        mesh.run(seconds(60.0));
        assert_eq!(false_deaths(&mut mesh, seconds(120.0)), 0, "seed {seed}");
    }
}

#[test]
fn a_cut_mesh_is_one_again_within_three_seconds() {
    let mut mesh = Mesh::started(OURS.setup(5, 2));
    for cut in [60.0, 60.0, 600.0] {
        let healed = heal(&mut mesh, seconds(cut));
        let took = healed.took.expect("a mesh without faults becomes one");
        assert!(took <= seconds(3.0), "{took:?} after {cut} s");
        assert_eq!(healed.deaths_inside, 0, "after {cut} s");
    }
}

/// What a cut did to the answers must not make the members patient once it is over.
#[test]
fn a_host_that_is_lost_after_a_short_cut_is_found_in_time() {
    let [(_, few50, few99), (_, many50, many99), ..] = TARGETS;
    for (nodes, cut, p50, p99) in [
        (3, 3.0, few50, few99),
        (5, 3.0, few50, few99),
        (5, 20.0, few50, few99),
        (32, 3.0, many50, many99),
    ] {
        let (mut times, crashes) = (Vec::new(), 400 / nodes);
        for seed in 0..crashes as u64 {
            let mut mesh = Mesh::started(OURS.setup(nodes, seed));
            assert!(heal(&mut mesh, seconds(cut)).took.is_some());
            mesh.run(seconds(12.0));
            mesh.deaths();
            let found = detection(&mut mesh, Crash::HostLost, 1);
            assert_eq!(
                (found.missed, found.false_deaths),
                (0, 0),
                "{nodes} members"
            );
            times.extend(found.times);
        }
        times.sort_unstable();
        let times = [50, 99].map(|percent| percentile(&times, percent));
        let in_time = times[0] <= seconds(p50 * 1.1) && times[1] <= seconds(p99 * 1.1);
        assert!(in_time, "{nodes} members, cut for {cut} s: {times:?}");
    }
}

#[test]
fn a_mesh_at_rest_is_quiet_and_a_change_is_soon_with_all() {
    let mut mesh = Mesh::started(OURS.setup(32, 4));
    mesh.run(seconds(30.0));
    let idle = traffic(&mut mesh, seconds(20.0), Mesh::run);
    assert!(idle.written <= 1500.0, "{idle:?}");
    let times = spread(&mut mesh, 10);
    // Rounds of gossip, 100 ms each: log2 of 32.
    assert!(percentile(&times, 100) <= seconds(0.5), "{times:?}");
}

#[test]
fn the_same_plan_gives_the_same_page() {
    let plan = Plan {
        sizes: vec![(3, 2)],
        losses: vec![0, 10],
        cuts: vec![(5, 20, 1)],
        starved: (8, vec![1]),
        half_dead: (4, vec![10]),
    };
    let page = || {
        let figures = plan.run(|_| ());
        let pictures = pictures(&figures).into_iter();
        let pictures: String = pictures.map(|(_, chart)| chart.svg()).collect();
        tables(&figures) + &pictures
    };
    assert_eq!(page(), page());
}
