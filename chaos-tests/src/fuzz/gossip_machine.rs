//! A membership machine that hears whatever a script says: packets true and false, refusals,
//! resets, names looked up, time that passes. It says only what others can read, never takes its
//! own record for anything but its own, holds no more than it may, and always knows when it wants
//! to be called next.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use zmesh_gossip::{
    Body, Config, Gossip, MAX_PACKET_OUT, Me, Member, NodeId, Output, Packet, State, decode, encode,
};

use super::member::{CLUSTER, NAMES, Seen, address, id, member, packet};
use super::script::Script;

/// Longer scripts only repeat themselves.
const STEPS: usize = 120;

/// More than any one input makes a machine of so few members say.
const MOST_OUTPUTS: usize = 200;

/// Fewer than there are names, so that the table gets full.
const MAX_MEMBERS: usize = 6;

/// A seed that has a name.
const SEED: &str = "seed.example:5556";

/// Questions that a script can answer.
const SEQS: usize = 8;

/// Nothing above this epoch could be read.
const BEYOND_ANSWER: u64 = 1 << 56;

/// No pause is longer.
const LONGEST: Duration = Duration::from_secs(100 * 3600);

/// The process itself.
const NONCE: u64 = 7;

/// Calls in a row that are on time.
const CALLS: usize = 10;

/// What is known of a node's claims: epoch, nonce, incarnation, state.
type Claim = (u64, u64, u64, State);

struct Run {
    machine: Gossip,
    now: Duration,
    cluster: u64,
    /// Numbers of the questions that it asked last.
    seqs: Vec<u32>,
    /// The digest that it told last.
    digest: u64,
    joined: bool,
    leaves: bool,
    departed: bool,
    conflict: bool,
    /// The last claim about each node.
    claims: BTreeMap<NodeId, Claim>,
}

/// Takes a script.
pub fn run(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let mut run = Run::new(script.below(3), cluster());
    for _ in 0..STEPS {
        if script.is_over() {
            break;
        }
        run.step(&mut script);
        run.drain();
        run.check();
    }
}

/// The hash of the cluster's name, as a machine tells it in its first packet.
fn cluster() -> u64 {
    static HASH: OnceLock<u64> = OnceLock::new();
    *HASH.get_or_init(|| {
        let mut run = Run::new(1, 0);
        run.machine.handle_timeout(run.now);
        let outputs = std::iter::from_fn(|| run.machine.poll_output());
        let mut packets = outputs.filter_map(|output| match output {
            Output::Send { packet, .. } => decode(&packet).ok(),
            _ => None,
        });
        packets.next().expect("it asks its seed").header.cluster
    })
}

impl Run {
    fn new(seeds: usize, cluster: u64) -> Self {
        let me = Me {
            cluster: CLUSTER.into(),
            name: NAMES[0].into(),
            epoch: 100,
            nonce: NONCE,
            client: "10.0.0.1:5555".into(),
            gossip: address(0),
            link: "10.0.0.1:5557".into(),
            zone: String::new(),
            weight: 1,
        };
        let config = Config {
            max_members: MAX_MEMBERS,
            max_probes: 4,
            tombstone_keep: Duration::from_secs(60),
            tombstone_spread: Duration::from_secs(30),
            ..Config::local()
        };
        let seeds = [address(1), SEED.to_string()]
            .into_iter()
            .take(seeds)
            .collect();
        let now = Duration::from_secs(1000);
        Self {
            machine: Gossip::new(config, me, seeds, 1, now).expect("all of it is in bounds"),
            now,
            cluster,
            seqs: Vec::new(),
            digest: 0,
            joined: false,
            leaves: false,
            departed: false,
            conflict: false,
            claims: BTreeMap::new(),
        }
    }

    fn step(&mut self, script: &mut Script) {
        let now = self.now;
        match script.byte() {
            0..=119 => {
                let packet = encode(&self.packet(script));
                self.machine.handle_packet(&packet, now);
            }
            120..=139 => {
                let length = usize::from(script.byte());
                self.machine.handle_packet(script.bytes(length), now);
            }
            140..=169 => self.call(),
            170..=189 => {
                for _ in 0..script.below(CALLS) {
                    self.now = self
                        .now
                        .max(self.machine.next_deadline().min(now + LONGEST));
                    self.call();
                }
            }
            190..=199 => {
                let pause = Duration::from_millis(script.number()).min(LONGEST);
                self.now += pause;
                self.call();
            }
            200..=214 => {
                self.machine
                    .handle_refused(&address(script.below(NAMES.len())), now);
            }
            215..=219 => self
                .machine
                .handle_reset(&address(script.below(NAMES.len())), now),
            220..=234 => self.card(member(script)),
            235..=239 => {
                let address = |last| SocketAddr::from(([10, 0, 0, last], 5556));
                let addresses: Vec<_> = script.bytes(2).iter().copied().map(address).collect();
                self.machine.handle_resolved(SEED, &addresses, now);
            }
            240..=247 => self.machine.set_ready(now),
            248..=249 => self.machine.set_leaving(now),
            250..=251 => self.machine.set_lag(Duration::from_millis(script.number())),
            252 => {
                self.leaves = true;
                self.machine.leave(now);
            }
            253..=255 => self.now += Duration::from_millis(script.byte().into()),
        }
    }

    /// A record comes over a link. What it claims of this process is answered at once.
    fn card(&mut self, card: Member) {
        let about_me = card.id == id(0) && card.nonce == NONCE && card.check().is_ok();
        let said = claim(&card);
        self.machine.handle_card(card, self.now);
        if about_me && said.0 < BEYOND_ANSWER {
            assert!(claim(self.machine.me()) >= said, "{said:?} stands");
        }
    }

    fn packet(&self, script: &mut Script) -> Packet {
        let seen = Seen {
            cluster: self.cluster,
            seqs: &self.seqs,
            digest: self.digest,
        };
        packet(script, &seen)
    }

    /// After a call there is time until the next one. What follows from a death may be due at once.
    fn call(&mut self) {
        for _ in 0..=MAX_MEMBERS {
            self.machine.handle_timeout(self.now);
            self.drain();
            if self.machine.next_deadline() > self.now {
                return;
            }
        }
        panic!("it wants to be called for ever");
    }

    fn drain(&mut self) {
        for count in 0.. {
            assert!(count < MOST_OUTPUTS, "there is no end to what it says");
            let Some(output) = self.machine.poll_output() else {
                break;
            };
            self.take(output);
        }
    }

    fn take(&mut self, output: Output) {
        match output {
            Output::Send { to, packet } => {
                assert!(packet.len() <= MAX_PACKET_OUT && to.contains(':'));
                self.sent(decode(&packet).expect("others can read what it says"));
            }
            Output::View { ids, .. } => {
                let sorted = ids.windows(2).all(|pair| pair[0] < pair[1]);
                assert!(sorted && ids.len() <= MAX_MEMBERS, "{ids:?}");
                let owners = self
                    .machine
                    .members()
                    .filter(|known| known.member.in_view());
                assert!(
                    owners.map(|known| known.member.id).eq(ids),
                    "the view is of its members"
                );
            }
            Output::Joined { .. } => {
                assert!(!std::mem::replace(&mut self.joined, true), "it joins once");
            }
            Output::NameConflict { .. } => {
                assert!(
                    !std::mem::replace(&mut self.conflict, true),
                    "it gives way once"
                );
            }
            Output::Departed => {
                let again = std::mem::replace(&mut self.departed, true);
                assert!(self.leaves && !again, "it goes once, when it was told to");
            }
            Output::Resolve { seed } => assert_eq!(seed, SEED),
            Output::MembersChanged
            | Output::Refused { .. }
            | Output::RefusedOther { .. }
            | Output::Event(_) => {}
        }
    }

    fn sent(&mut self, packet: Packet) {
        assert_eq!((packet.header.from, packet.header.nonce), (id(0), NONCE));
        self.digest = packet.header.digest;
        if let Body::Ping { seq, .. } | Body::PingReq { seq, .. } = packet.body {
            self.seqs.push(seq);
            let old = self.seqs.len().saturating_sub(SEQS);
            self.seqs.drain(..old);
        }
    }

    fn check(&mut self) {
        let me = self.machine.me();
        assert_eq!((me.id, me.nonce, me.check()), (id(0), NONCE, Ok(())));
        let state = if self.leaves {
            State::Left
        } else {
            State::Alive
        };
        assert_eq!(me.state, state, "nobody else decides that");
        let members: BTreeMap<NodeId, Claim> = self
            .machine
            .members()
            .map(|known| (known.member.id, claim(known.member)))
            .collect();
        assert!(members.len() <= MAX_MEMBERS, "{} members", members.len());
        for known in self.machine.members() {
            assert_eq!(known.member.check(), Ok(()));
            let place = NAMES.iter().position(|name| *name == known.member.name);
            assert_eq!(
                Some(known.member.id),
                place.map(id),
                "the id belongs to the name"
            );
        }
        for (id, before) in &self.claims {
            // Tombstones are forgotten after a time, or when the table is full; the living never.
            let now = members.get(id);
            let kept = now.is_some_and(|now| now >= before);
            assert!(
                kept || before.3 > State::Suspect,
                "{id}: {before:?}, then {now:?}"
            );
        }
        self.claims = members;
    }
}

fn claim(member: &Member) -> Claim {
    let Member {
        epoch,
        nonce,
        incarnation,
        state,
        ..
    } = *member;
    (epoch, nonce, incarnation, state)
}

/// See [`super::Target::examples`].
pub fn examples() -> Vec<Vec<u8>> {
    // A packet of gossip from `b` with the records of three members that are ready.
    let gossip: &[u8] = &[
        &[0, 1, 96, 9, 1, 0, 0][..],
        &[1, 0, 9, 1, 0, 0],
        &[2, 0, 9, 2, 0, 0],
        &[3, 0, 9, 3, 0, 0],
        &[7],
    ]
    .concat();
    let alone = [0, 170, 5, 240].as_slice();
    let probes = [170, 9, 170, 9, 170, 9, 170, 9].as_slice();
    let ack: &[u8] = &[0, 1, 0, 9, 1, 0, 0, 3, 0, 0];
    let refused: &[u8] = &[200, 1, 200, 2, 170, 9];
    let suspect_me: &[u8] = &[220, 0, 1, 100, 7, 9, 16, 1];
    let twin: &[u8] = &[0, 0, 0, 9, 3, 0, 0, 13, 200, 1];
    let join: &[u8] = &[0, 4, 0, 9, 1, 0, 0, 0, 4, 0, 0];
    let accepted: &[u8] = &[0, 1, 96, 9, 1, 0, 0, 1, 0, 9, 1, 0, 0, 1, 0, 9, 1, 0, 0];
    let accepted = [accepted, &[1, 0, 9, 1, 0, 0, 1, 1, 0, 0, 0]].concat();
    let sync: &[u8] = &[
        0, 2, 16, 9, 2, 0, 0, 5, 0, 8, 1, 2, 3, 4, 9, 2, 16, 9, 2, 0, 0, 9, 1, 2,
    ];
    let leave: &[u8] = &[252, 170, 9];
    let card = |place: u8| [220, place, 0, 9, place, 0, 0];
    let full = [1, 2, 3, 4, 5].map(card).concat();
    vec![
        [alone, &full, leave, &card(6), &card(7)].concat(),
        [alone, gossip, probes].concat(),
        [alone, gossip, probes, ack, refused, probes].concat(),
        [alone, gossip, suspect_me, probes, leave].concat(),
        [alone, twin, join, sync].concat(),
        [
            &[2, 140],
            join,
            &accepted,
            &[240],
            gossip,
            probes,
            sync,
            leave,
        ]
        .concat(),
        [
            &[1, 140],
            twin,
            &[190, 255, 0, 0, 1, 0, 0, 0, 0, 0],
            refused,
            leave,
        ]
        .concat(),
    ]
}
