//! Everything that is measured: which meshes are made for it, and what came out.

use std::collections::BTreeMap;
use std::time::Duration;

use super::measure::{Crash, Detection, Heal, Starved, Traffic};
use super::measure::{churn, detection, heal, spread, starved, traffic};
use super::mesh::{Mesh, Setup};
use super::profiles::Profile;
use crate::sim::Time;

/// Who detects, and what carries the packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Way {
    /// Whose settings.
    pub profile: Profile,
    /// Whether packets go as datagrams where they are small.
    pub datagrams: bool,
}

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Members, and crashes of each kind at each loss.
    pub sizes: Vec<(usize, usize)>,
    /// Lost packets, in percent.
    pub losses: Vec<u32>,
    /// Members of a mesh that is cut, seconds of the cut, and how often.
    pub cuts: Vec<(usize, u64, usize)>,
    /// Members of the mesh of which some are starved, and how many are.
    pub starved: (usize, Vec<usize>),
    /// Members, half of which are dead, and for how many seconds.
    pub half_dead: (usize, Vec<u64>),
}

/// What one mesh did from its start to its end.
#[derive(Clone, Debug)]
pub struct Life {
    /// Whose settings.
    pub way: Way,
    /// Members.
    pub nodes: usize,
    /// From the last start of a process until all were in one view.
    pub cold_start: Time,
    /// What it sends when nothing happens.
    pub idle: Traffic,
    /// What it sends while hosts are lost and come back; not of the largest.
    pub churn: Option<Traffic>,
    /// How long changes of a record took to reach everybody, sorted.
    pub spread: Vec<Time>,
    /// How crashes were found, by kind and by lost packets in percent.
    pub found: BTreeMap<(Crash, u32), Detection>,
}

/// Everything that was measured.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// By mesh.
    pub lives: Vec<Life>,
    /// By members, seconds of the cut, and whose settings.
    pub heals: BTreeMap<(usize, u64, Profile), Vec<Heal>>,
    /// Members of the mesh of which some are starved, and of the one that is half dead.
    pub starved_of: usize,
    /// See above.
    pub half_dead_of: usize,
    /// By starved members, and whose settings.
    pub starved: BTreeMap<(usize, Way), Starved>,
    /// Bytes a second and node by seconds for which the other half has been dead.
    pub half_dead: BTreeMap<u64, Traffic>,
}

impl Way {
    /// Ours, and models of others, over connections and over datagrams.
    pub const ALL: [Self; 5] = [
        Self::over(Profile::Local, false),
        Self::over(Profile::Swim, false),
        Self::over(Profile::Swim, true),
        Self::over(Profile::MemberlistLan, false),
        Self::over(Profile::MemberlistLan, true),
    ];

    const fn over(profile: Profile, datagrams: bool) -> Self {
        Self { profile, datagrams }
    }

    /// As it stands in tables.
    pub fn name(self) -> String {
        let carrier = if self.datagrams { "UDP" } else { "TCP" };
        format!("{} ({carrier})", self.profile.name())
    }

    /// A mesh in which nodes detect so.
    pub fn setup(self, nodes: usize, seed: u64) -> Setup {
        Setup {
            nodes,
            config: self.profile.config(nodes),
            datagrams: self.datagrams,
            seed,
        }
    }
}

impl Plan {
    /// What docs/reliability.md shows.
    pub fn full() -> Self {
        Self {
            sizes: vec![(3, 150), (32, 60), (256, 8), (1000, 4)],
            losses: vec![0, 10, 25],
            cuts: vec![
                (5, 10, 40),
                (5, 60, 40),
                (5, 600, 40),
                (32, 10, 20),
                (32, 60, 20),
                (32, 600, 10),
                (256, 60, 3),
                (256, 600, 1),
            ],
            starved: (128, vec![1, 2, 4, 8, 16, 32]),
            half_dead: (32, vec![60, 900, 3600, 14_400]),
        }
    }

    /// The same with little of everything.
    pub fn quick() -> Self {
        Self {
            sizes: vec![(3, 20), (32, 6)],
            losses: vec![0, 25],
            cuts: vec![(5, 10, 3), (5, 60, 3), (32, 60, 1)],
            starved: (32, vec![1, 8]),
            half_dead: (8, vec![60]),
        }
    }

    /// Measures it all. `tell` hears how far it is.
    pub fn run(&self, tell: impl Fn(&str)) -> Figures {
        let mut figures = Figures {
            starved_of: self.starved.0,
            half_dead_of: self.half_dead.0,
            ..Figures::default()
        };
        for &(nodes, crashes) in &self.sizes {
            for way in Way::ALL {
                if nodes < 1000 || way.profile == Profile::Local || way.datagrams {
                    tell(&format!("{nodes} members, {}", way.name()));
                    figures.lives.push(self.life(way, nodes, crashes));
                }
            }
        }
        for way in Way::ALL {
            for &count in &self.starved.1 {
                tell(&format!("{count} starved, {}", way.name()));
                let mut mesh = Mesh::started(way.setup(self.starved.0, 7));
                mesh.run(Duration::from_secs(10));
                let outcome = starved(&mut mesh, count, Duration::from_secs(60));
                figures.starved.insert((count, way), outcome);
            }
        }
        for profile in [Profile::Local, Profile::MemberlistLan] {
            self.cut(profile, &mut figures, &tell);
        }
        tell("half dead");
        figures.half_dead = self.half_dead();
        figures
    }

    fn life(&self, way: Way, nodes: usize, crashes: usize) -> Life {
        let seconds = Duration::from_secs;
        let mut mesh = Mesh::new(way.setup(nodes, nodes as u64));
        mesh.start_all(seconds(1));
        let cold_start = mesh.run_until(seconds(600), Mesh::is_one);
        let cold_start = cold_start.expect("a mesh without faults becomes one");
        // Until every idle connection that is worth keeping is there.
        mesh.run(seconds(80));
        let idle = traffic(&mut mesh, seconds(20), Mesh::run);
        let churn = (nodes < 1000).then(|| traffic(&mut mesh, seconds(120), churn));
        mesh.run_until(seconds(60), Mesh::is_one);
        let spread = spread(&mut mesh, if nodes < 100 { 40 } else { 10 });
        let mut found = BTreeMap::new();
        for &loss in &self.losses {
            mesh.lose_packets(f64::from(loss) / 100.0);
            mesh.run(seconds(5));
            let kinds = [Crash::HostLost, Crash::Killed];
            for crash in &kinds[..if way.datagrams { 1 } else { 2 }] {
                let detection = detection(&mut mesh, *crash, crashes);
                found.insert((*crash, loss), detection);
            }
        }
        Life {
            way,
            nodes,
            cold_start,
            idle,
            churn,
            spread,
            found,
        }
    }

    fn cut(&self, profile: Profile, figures: &mut Figures, tell: &impl Fn(&str)) {
        for &(nodes, seconds, times) in &self.cuts {
            if nodes > 100 && profile != Profile::Local {
                continue;
            }
            tell(&format!("{nodes} cut for {seconds} s, {}", profile.name()));
            let way = Way::over(profile, false);
            let mut mesh = Mesh::started(way.setup(nodes, seconds));
            let cut = Duration::from_secs(seconds);
            let heals = (0..times).map(|_| heal(&mut mesh, cut)).collect();
            figures.heals.insert((nodes, seconds, profile), heals);
        }
    }

    /// Half of a mesh is lost and never comes back.
    fn half_dead(&self) -> BTreeMap<u64, Traffic> {
        let (nodes, times) = &self.half_dead;
        let way = Way::over(Profile::Local, false);
        let mut mesh = Mesh::started(way.setup(*nodes, 11));
        let hosts = mesh.running();
        for host in &hosts[nodes / 2..] {
            mesh.lose_host(*host);
        }
        let begun = mesh.now;
        let mut rates = BTreeMap::new();
        for &seconds in times {
            let time = begun + Duration::from_secs(seconds);
            mesh.run(time.saturating_sub(mesh.now));
            let rate = traffic(&mut mesh, Duration::from_secs(60), Mesh::run);
            rates.insert(seconds, rate);
        }
        rates
    }
}
