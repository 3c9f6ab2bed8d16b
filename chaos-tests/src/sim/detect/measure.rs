//! What is measured of a mesh, one thing at a time.

use std::time::Duration;

use zmesh_gossip::{NodeId, State};

use super::mesh::{Death, Mesh};
use crate::sim::Time;
use crate::sim::network::HostId;

/// A survivor that has not declared a death by then never does.
const FOUND_BY: Time = Duration::from_secs(120);
/// No other wait is longer.
const PATIENCE: Time = Duration::from_secs(300);

/// What befalls a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Crash {
    /// Its host is gone without a word.
    HostLost,
    /// Its process is killed; the host refuses connections.
    Killed,
}

/// How crashes were found.
#[derive(Clone, Debug, Default)]
pub struct Detection {
    /// From a crash until a survivor declared the death, for each survivor of each crash, sorted.
    pub times: Vec<Time>,
    /// Survivors that did not within two minutes.
    pub missed: usize,
    /// Living members that were declared dead meanwhile, counted at each that did.
    pub false_deaths: usize,
    /// How long the members were watched, all together.
    pub watched: Time,
}

/// Bytes a second and node.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// Of gossip packets.
    pub packets: f64,
    /// Of everything written to sockets: frames and heartbeats too.
    pub written: f64,
    /// Connections begun a second and node.
    pub connections: f64,
}

/// How a mesh came together again after it was cut in two.
#[derive(Clone, Copy, Debug, Default)]
pub struct Heal {
    /// From the end of the cut until all were in one view; `None` if that never came.
    pub took: Option<Time>,
    /// Members declared dead by members of their own side after the cut, counted at each.
    pub deaths_inside: usize,
}

/// What became of a mesh of which some members hardly ever run. Each death is counted at each
/// member that declared it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Starved {
    /// Deaths of members that ran as they should, declared by anybody.
    pub healthy: usize,
    /// Of these, ones that were declared by members that ran as they should.
    pub healthy_at_healthy: usize,
    /// Deaths of members that were starved.
    pub starved: usize,
}

/// The value below which so many percent of these lie. They are sorted.
pub fn percentile(times: &[Time], percent: usize) -> Time {
    let at = (times.len() * percent).div_ceil(100).saturating_sub(1);
    times.get(at).copied().unwrap_or_default()
}

/// Lets one member after the other crash. In a small mesh each is back before the next, in a large
/// one all come back at the end.
pub fn detection(mesh: &mut Mesh, crash: Crash, crashes: usize) -> Detection {
    let mut found = Detection::default();
    let (begun, mut gone) = (mesh.now, Vec::new());
    for _ in 0..crashes {
        let pause = mesh
            .dice
            .time(Duration::from_secs(2), Duration::from_secs(4));
        mesh.run(pause);
        found.false_deaths += lives(&mesh.deaths());
        let running = mesh.running();
        let victim = mesh.dice.pick(&running).expect("some member runs");
        match crash {
            Crash::HostLost => mesh.lose_host(victim),
            Crash::Killed => mesh.kill(victim),
        }
        let (crashed, survivors) = (mesh.now, running.len() - 1);
        mesh.run_until(FOUND_BY, |mesh| mesh.declared() >= survivors);
        let deaths = mesh.deaths();
        found.false_deaths += lives(&deaths);
        let of_victim = deaths.iter().filter(|it| it.of == victim && !it.lives);
        let before = found.times.len();
        found
            .times
            .extend(of_victim.map(|death| death.at - crashed));
        found.missed += survivors.saturating_sub(found.times.len() - before);
        gone.push(victim);
        if mesh.size() < 200 {
            come_back(mesh, &mut gone);
        }
    }
    come_back(mesh, &mut gone);
    found.false_deaths += lives(&mesh.deaths());
    found.watched = (mesh.now - begun) * mesh.size() as u32;
    found.times.sort_unstable();
    found
}

fn come_back(mesh: &mut Mesh, gone: &mut Vec<HostId>) {
    for host in gone.drain(..) {
        mesh.start(host);
    }
    mesh.run_until(Duration::from_secs(60), Mesh::is_one);
}

fn lives(deaths: &[Death]) -> usize {
    deaths.iter().filter(|death| death.lives).count()
}

/// Lets time pass and counts living members that are declared dead.
pub fn false_deaths(mesh: &mut Mesh, time: Time) -> usize {
    mesh.deaths();
    mesh.run(time);
    lives(&mesh.deaths())
}

/// What is sent in so much time.
pub fn traffic(mesh: &mut Mesh, time: Time, during: impl FnOnce(&mut Mesh, Time)) -> Traffic {
    let sum = |mesh: &Mesh| {
        let written = mesh.net.written.iter();
        let written = written.fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
        (mesh.sent_bytes(), written)
    };
    let before = sum(mesh);
    during(mesh, time);
    let after = sum(mesh);
    let rate = |after: u64, before: u64| {
        (after - before) as f64 / time.as_secs_f64() / mesh.running().len() as f64
    };
    Traffic {
        packets: rate(after.0, before.0),
        written: rate(after.1.0, before.1.0),
        connections: rate(after.1.1, before.1.1),
    }
}

/// Every twenty seconds a host is lost, and it comes back ten seconds later.
pub fn churn(mesh: &mut Mesh, time: Time) {
    let end = mesh.now + time;
    while mesh.now < end {
        let running = mesh.running();
        let victim = mesh.dice.pick(&running).expect("some member runs");
        mesh.lose_host(victim);
        mesh.run(Duration::from_secs(10));
        mesh.start(victim);
        mesh.run(Duration::from_secs(10));
    }
}

/// A member changes its record. Returns how long each change took until everybody had it, sorted.
pub fn spread(mesh: &mut Mesh, updates: usize) -> Vec<Time> {
    let mut times = Vec::new();
    for _ in 0..updates {
        let pause = mesh
            .dice
            .time(Duration::from_secs(3), Duration::from_secs(5));
        mesh.run(pause);
        let running = mesh.running();
        let host = mesh.dice.pick(&running).expect("some member runs");
        let changed = mesh.with(host, |process, now| {
            // A claim that it must refute is the smallest change that a member can be led to.
            let machine = &mut process.gossiper.machine;
            let mut claim = machine.me().clone();
            claim.state = State::Suspect;
            claim.accusers = [NodeId([0xff; 16])].into();
            machine.handle_card(claim, now);
            (machine.id(), machine.me().incarnation)
        });
        let (id, incarnation) = changed.expect("the member runs");
        let took = mesh.run_until(PATIENCE, |mesh| {
            mesh.machines().all(|machine| {
                let record = machine.member(id);
                record.is_some_and(|record| record.incarnation >= incarnation)
            })
        });
        times.extend(took);
    }
    times.sort_unstable();
    times
}

/// Cuts the lower half of the hosts, or three of five, off from the others for a time.
pub fn heal(mesh: &mut Mesh, cut: Time) -> Heal {
    let below = mesh.size().div_ceil(2) as u16;
    let settle = mesh
        .dice
        .time(Duration::from_secs(20), Duration::from_secs(25));
    mesh.run(settle);
    mesh.cut(below);
    mesh.run(cut);
    mesh.deaths();
    mesh.heal();
    let took = mesh.run_until(PATIENCE, Mesh::is_one);
    let inside = |death: &&Death| (death.by.0 < below) == (death.of.0 < below);
    let deaths_inside = mesh.deaths().iter().filter(inside).count();
    Heal {
        took,
        deaths_inside,
    }
}

/// So many members stand still for seconds, run for some hundredths of one, stand still again.
pub fn starved(mesh: &mut Mesh, count: usize, time: Time) -> Starved {
    let mut running = mesh.running();
    let mut next: Vec<(Time, HostId)> = Vec::new();
    for _ in 0..count {
        let which = mesh.dice.below(running.len());
        next.push((mesh.now, running.swap_remove(which)));
    }
    mesh.deaths();
    let end = mesh.now + time;
    loop {
        next.sort_unstable();
        let Some((at, host)) = next.first_mut().filter(|(at, _)| *at < end) else {
            break;
        };
        let (at, host, entry) = (*at, *host, at);
        let still = mesh
            .dice
            .time(Duration::from_millis(500), Duration::from_secs(6));
        let runs = mesh
            .dice
            .time(Duration::from_millis(5), Duration::from_millis(100));
        *entry = at + still + runs;
        mesh.run(at.saturating_sub(mesh.now));
        mesh.freeze(host, at + still);
    }
    mesh.run(end.saturating_sub(mesh.now));
    let deaths = mesh.deaths();
    let hungry = |of: HostId| next.iter().any(|(_, host)| *host == of);
    let healthy = || deaths.iter().filter(|death| !hungry(death.of));
    Starved {
        healthy: healthy().count(),
        healthy_at_healthy: healthy().filter(|death| !hungry(death.by)).count(),
        starved: deaths.iter().filter(|death| hungry(death.of)).count(),
    }
}
