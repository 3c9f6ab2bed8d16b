//! Finding the others: seeds are asked for ever, and a node announces itself once it has a
//! seed's table, or has waited long enough, and no older process with its name lives.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::Gossip;
use crate::config::Config;
use crate::id::NodeId;
use crate::member::{InvalidMember, Member, is_address};
use crate::output::Output;
use crate::packet::{Body, Header, Refusal};

/// Time between two calls on a seed while the node has not joined.
const JOIN_RETRY: Duration = Duration::from_millis(500);
/// Time between two questions to an older process with this node's name.
const TWIN_RETRY: Duration = Duration::from_millis(200);

#[derive(Debug)]
struct Seed {
    address: String,
    next_try: Duration,
    /// Who answered there; while that member lives the seed is left alone.
    host: Option<NodeId>,
    /// The address leads to this very process.
    is_me: bool,
    /// Parts of its table that have come.
    parts: BTreeSet<u16>,
}

#[derive(Debug)]
enum Phase {
    /// No seed's table has come yet.
    Asking { until: Duration },
    /// An older process with this node's name may be alive: it is asked.
    Checking {
        until: Duration,
        next: Duration,
        alone: bool,
    },
    /// The cluster knows this node.
    Announced,
}

/// The seeds, and how far this node has come.
#[derive(Debug)]
pub(super) struct Join {
    seeds: Vec<Seed>,
    phase: Phase,
    older: Option<Member>,
    /// When a node that is not let in is reported next.
    pub(super) next_report: Duration,
}

impl Join {
    pub(super) fn new(
        seeds: Vec<String>,
        config: &Config,
        now: Duration,
    ) -> Result<Self, InvalidMember> {
        if seeds.len() > config.max_seeds || !seeds.iter().all(|seed| is_address(seed)) {
            return Err(InvalidMember("seeds"));
        }
        let until = if seeds.is_empty() {
            now
        } else {
            now + config.join_patience
        };
        let seeds = seeds.into_iter().map(|address| Seed {
            address,
            next_try: now,
            host: None,
            is_me: false,
            parts: BTreeSet::new(),
        });
        let phase = Phase::Asking { until };
        Ok(Self {
            seeds: seeds.collect(),
            phase,
            older: None,
            next_report: now,
        })
    }

    pub(super) fn is_announced(&self) -> bool {
        matches!(self.phase, Phase::Announced)
    }

    /// A record of another process with this node's name has come before this node is known.
    pub(super) fn found_older(&mut self, record: Member) {
        match &mut self.older {
            Some(older) => {
                older.merge(&record);
            }
            None => self.older = Some(record),
        }
    }

    /// The node becomes known; returns the last process that bore its name.
    pub(super) fn announced(&mut self) -> Option<Member> {
        self.phase = Phase::Announced;
        self.older.take()
    }

    /// A seed's address leads to this very process: it is never asked again.
    pub(super) fn is_me(&mut self, via: &str) {
        if let Some(seed) = self.seed(via) {
            seed.is_me = true;
        }
    }

    fn deadline(&self) -> Duration {
        let phase = match self.phase {
            Phase::Asking { until } => until,
            Phase::Checking { until, next, .. } => until.min(next),
            Phase::Announced => Duration::MAX,
        };
        let seeds = self
            .seeds
            .iter()
            .filter(|seed| !seed.is_me)
            .map(|seed| seed.next_try);
        seeds.min().unwrap_or(Duration::MAX).min(phase)
    }

    fn seed(&mut self, address: &str) -> Option<&mut Seed> {
        self.seeds.iter_mut().find(|seed| seed.address == address)
    }
}

impl Gossip {
    pub(super) fn join_deadline(&self) -> Duration {
        self.join.deadline()
    }

    pub(super) fn join_due(&mut self) {
        for i in 0..self.join.seeds.len() {
            self.seed_due(i);
        }
        match self.join.phase {
            Phase::Asking { until } if self.now >= until => self.check_older(true),
            Phase::Checking { until, alone, .. } if self.now >= until => self.announce(alone),
            Phase::Checking { until, next, alone } if self.now >= next => {
                let next = self.now + TWIN_RETRY;
                self.join.phase = Phase::Checking { until, next, alone };
                if let Some(address) = self.join.older.as_ref().map(|older| older.gossip.clone()) {
                    self.send_twin(&address);
                }
            }
            _ => {}
        }
    }

    /// The name of a seed has been looked up: each of its addresses is asked.
    pub(super) fn seed_resolved(&mut self, seed: &str, addresses: &[SocketAddr]) {
        if self.join.seed(seed).is_none() {
            return;
        }
        for address in addresses {
            self.ask(&address.to_string(), seed);
        }
    }

    /// Where the seeds that have answered can be reached.
    pub(super) fn hosts(&self) -> Vec<String> {
        let hosts = self.join.seeds.iter().filter_map(|seed| seed.host);
        hosts
            .filter_map(|id| self.table.get(id))
            .map(|e| e.member.gossip.clone())
            .collect()
    }

    /// A seed has sent a part of its table, already taken in with the packet's records.
    pub(super) fn let_in(&mut self, header: &Header, via: &str, part: u16, parts: u16) {
        let Some(seed) = self.join.seed(via) else {
            return;
        };
        seed.parts.insert(part);
        if seed.parts.len() < usize::from(parts) {
            return;
        }
        seed.parts.clear();
        seed.host = Some(header.from);
        match self.join.phase {
            Phase::Asking { .. } => self.check_older(false),
            Phase::Checking { .. } => {}
            Phase::Announced => self.introduce_myself(&header.address),
        }
    }

    pub(super) fn refused_by_seed(&mut self, header: &Header, via: String, reason: Refusal) {
        let retry = self.now + self.config.refused_seed_retry;
        let Some(seed) = self.join.seed(&via) else {
            return;
        };
        seed.next_try = retry;
        self.stats.refusals += 1;
        self.outputs.push_back(Output::Refused {
            by: header.address.clone(),
            reason,
        });
    }

    /// Nobody listens at an address: if an older process with this name was there, it is gone.
    pub(super) fn older_refused(&mut self, address: &str) {
        let Phase::Checking { alone, .. } = self.join.phase else {
            return;
        };
        if self
            .join
            .older
            .as_ref()
            .is_some_and(|older| older.gossip == address)
        {
            self.announce(alone);
        }
    }

    /// Announces this node unless an older process with its name may be alive elsewhere. One at
    /// this node's own address cannot be: this node is bound to it.
    fn check_older(&mut self, alone: bool) {
        let me = self.me();
        let elsewhere = |older: &Member| older.is_live() && older.gossip != me.gossip;
        if !self.join.older.as_ref().is_some_and(elsewhere) {
            self.announce(alone);
            return;
        }
        let until = self.now + self.config.twin_patience;
        self.join.phase = Phase::Checking {
            until,
            next: self.now,
            alone,
        };
        self.join_due();
    }

    fn seed_due(&mut self, i: usize) {
        let seed = &self.join.seeds[i];
        if seed.is_me || self.now < seed.next_try {
            return;
        }
        let lives = seed.host.is_some_and(|host| self.table.is_live(host));
        let address = seed.address.clone();
        let asking = matches!(self.join.phase, Phase::Asking { .. });
        let wait = if asking {
            JOIN_RETRY
        } else {
            self.config.seed_retry
        };
        self.join.seeds[i].next_try = self.now + wait;
        if lives {
            return;
        }
        self.join.seeds[i].parts.clear();
        if address.parse::<SocketAddr>().is_ok() {
            self.ask(&address, &address);
        } else {
            self.outputs.push_back(Output::Resolve { seed: address });
        }
    }

    fn ask(&mut self, to: &str, via: &str) {
        let name = self.me().name.clone();
        let (cluster, partitions) = (self.cluster.clone(), self.config.partitions);
        let body = Body::Join {
            via: via.to_owned(),
            name,
            cluster,
            partitions,
        };
        self.emit(to, body, Vec::new());
    }
}
