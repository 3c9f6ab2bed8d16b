//! What must hold of membership: the lattice, who may say what, and when somebody may be declared
//! dead.

use zmesh_gossip::{Gossip, Member, State};
use zmesh_node::forward::Instance;

use super::{Kind, Planted, Watch};
use crate::sim::Time;
use crate::sim::process::ProcessId;

/// As long as the machine waits before it believes a death that it was told of, and a little.
const HEARSAY: Time = Time::from_millis(2500);

/// Epoch, nonce, incarnation and state: what a record says, in the order of precedence.
pub(super) type Claim = (u64, u64, u64, State);

fn claim(member: &Member) -> Claim {
    (member.epoch, member.nonce, member.incarnation, member.state)
}

impl Watch {
    pub(super) fn check_members(&mut self, process: ProcessId, machine: &Gossip) {
        let me = machine.me();
        let word = (me.incarnation, me.state == State::Left);
        self.own_word.insert(Instance(me.nonce), word);
        for known in machine.members() {
            self.check_record(process, known.member, me.nonce);
        }
    }

    fn check_record(&mut self, process: ProcessId, member: &Member, me: u64) {
        let mut claim = claim(member);
        let key = (process, member.id);
        let before = self.claims.get(&key).copied();
        if self.planted == Some(Planted::WentBack) && before.is_some_and(|it| it.2 > 0) {
            claim.2 = 0;
        }
        if before == Some(claim) {
            return;
        }
        if let Some(before) = before.filter(|before| *before > claim) {
            let text = format!("{process:?} of {}: {before:?}, then {claim:?}", member.name);
            self.report(Kind::WentBack, text);
        }
        self.claims.insert(key, claim);
        if member.nonce != me {
            self.check_word(process, member, before);
        }
    }

    /// A record says no more than its subject has said.
    fn check_word(&mut self, process: ProcessId, member: &Member, before: Option<Claim>) {
        let instance = Instance(member.nonce);
        let Some(&(incarnation, left)) = self.own_word.get(&instance) else {
            return;
        };
        if member.incarnation > incarnation || (member.state == State::Left && !left) {
            let text = format!(
                "{process:?} holds {} {:?} at incarnation {}, itself it is at {incarnation}",
                member.name, member.state, member.incarnation
            );
            self.report(Kind::RaisedByOther, text);
        }
        let was_dead = before
            .is_some_and(|(_, nonce, _, state)| nonce == member.nonce && state >= State::Dead);
        if was_dead && member.is_live() && self.calm && !self.lives(instance) {
            let text = format!(
                "{process:?} holds {} alive again, which has ended",
                member.name
            );
            self.report(Kind::Resurrected, text);
        }
    }

    /// A process hears another one.
    pub fn heard(&mut self, process: ProcessId) {
        if self.deaths.is_none() {
            self.heard_at.insert(process, self.now);
        }
    }

    /// A process could not hear anybody for a reason of its own: it stood still.
    pub fn excuse_silence(&mut self, process: ProcessId, until: Time) {
        self.heard_at.insert(process, until);
    }

    /// A process holds another suspect from now on.
    pub fn suspected(&mut self, process: ProcessId, instance: Instance) {
        if self.deaths.is_none() {
            self.suspected_at.insert((process, instance), self.now);
        }
    }

    /// A process holds another dead from now on, one of so many that it held alive. While it hears
    /// nobody it must take longer over that than it otherwise would.
    pub fn died(&mut self, process: ProcessId, instance: Instance, live: usize) {
        if let Some(deaths) = &mut self.deaths {
            deaths.push((self.now, process, instance));
            return;
        }
        let suspected = self.suspected_at.remove(&(process, instance));
        if !self.lives(instance) {
            return;
        }
        self.counts.false_deaths += 1;
        let (Some(heard), Some(config)) = (self.heard_at.get(&process), &self.config) else {
            return;
        };
        let silence = self.now.saturating_sub(*heard);
        let held = self.now.saturating_sub(suspected.unwrap_or(*heard));
        // A clock may be a little ahead of the watch's own.
        let soon = held + Time::from_millis(500) < config.isolation_hold;
        // A death that another told waits for its refutation before it is believed.
        let deaf = silence > config.isolation_silence.max(HEARSAY);
        if live > 2 && deaf && soon {
            let text = format!(
                "{process:?} heard nobody for {silence:?}, and declared {instance:?} dead, \
                 suspect for {held:?}"
            );
            self.report(Kind::DeafDeath, text);
        }
    }
}
