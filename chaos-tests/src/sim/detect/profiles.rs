//! How others detect failures, as settings of our machine: models to compare with, for nobody's
//! use.
//!
//! A model is our machine with another's numbers, and with those of our own ideas off that the
//! other has not. It is not the other's code. Where our machine cannot do as they do:
//!
//! - memberlist sends each update 4 × ceil(log10(N + 1)) times; here it is the multiple of
//!   ceil(log2(N + 1)) that is not less. That favours the model when news must spread.
//! - memberlist exchanges whole tables with a random member every 30 s or more; here a member that
//!   notices by the digest that its table differs asks for the difference, at most every 30 s.
//! - memberlist makes one probe after the other, and stretches only the window of a probe where it
//!   doubts itself; here the first wait is stretched too, and ticks go on.
//! - memberlist asks over TCP when a datagram was not answered; here a second packet like the first
//!   is sent.
//! - memberlist never calls on the dead again, and Serf on one of them every 30 s; here it is Serf.

use std::time::Duration;

use zmesh_gossip::Config;

/// A way to detect failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// Ours: `Config::local`.
    Local,
    /// SWIM with a fixed suspicion time: what the authors of Lifeguard compare with.
    Swim,
    /// The defaults of hashicorp/memberlist for a local network (`DefaultLANConfig`).
    MemberlistLan,
}

impl Profile {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Local, Self::Swim, Self::MemberlistLan];

    /// As it stands in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "zmesh",
            Self::Swim => "swim",
            Self::MemberlistLan => "memberlist_lan",
        }
    }

    /// The settings in a mesh of so many members.
    pub fn config(self, members: usize) -> Config {
        match self {
            Self::Local => Config::local(),
            Self::Swim => Config {
                // Lifeguard, section V: alpha = 5 is what SWIM had before.
                suspicion_min_ticks: 5,
                suspicion_max_factor: 1,
                health_worst: 0,
                ..memberlist_lan(members)
            },
            Self::MemberlistLan => memberlist_lan(members),
        }
    }
}

fn memberlist_lan(members: usize) -> Config {
    let seconds = Duration::from_secs;
    let ms = Duration::from_millis;
    // SuspicionMult - 2 members must confirm, or none where there are not so many.
    let confirmations = if members < 4 { 0 } else { 2 };
    let sends = 4 * (members as f64 + 1.0).log10().ceil() as u32;
    let rounds = usize::BITS - members.leading_zeros();
    Config {
        tick: seconds(1),
        ring_successors: 0,
        helpers: 3,
        direct_min: ms(500),
        direct_max: ms(500),
        probe_window: seconds(1),
        health_worst: 7,
        refusals: false,
        gossip_interval: ms(200),
        gossip_fanout: 3,
        retransmit_factor: sends.div_ceil(rounds),
        suspicion_min_ticks: 4,
        suspicion_max_factor: 6,
        confirmations,
        nacks_confirm: false,
        lateness_factor: 0,
        accusations: false,
        partition_percent: 100,
        isolation_hold: Duration::ZERO,
        isolation_silence: Duration::MAX,
        stall: Duration::MAX,
        sync_interval: seconds(30),
        dead_call: Duration::ZERO,
        dead_call_fresh: Duration::MAX,
        dead_call_pace: seconds(30),
        seed_retry: seconds(30),
        ..Config::local()
    }
}
