//! Records come in: what they change, and what a record about this node itself leads to.

use super::Gossip;
use crate::id::NodeId;
use crate::member::{MAX_EPOCH, MAX_INCARNATION, Member, State};
use crate::output::{Event, Output};
use crate::table::{Before, Merge};

impl Gossip {
    /// Takes in a record from whatever source.
    pub(super) fn learn(&mut self, record: Member) {
        if !self.is_named_so(&record) {
            self.stats.records_rejected += 1;
            return;
        }
        if record.id == self.id {
            self.learn_of_myself(record);
            return;
        }
        match self.table.merge(&record, self.now, &self.config) {
            Merge::Nothing => {}
            Merge::Full => self.table_is_full(),
            Merge::New => self.member_changed(record.id, None),
            Merge::Changed(before) => self.member_changed(record.id, Some(before)),
        }
    }

    /// Whether the id is the one of the name; where both are known that need not be hashed again.
    fn is_named_so(&self, record: &Member) -> bool {
        let known = self.table.get(record.id);
        known.is_some_and(|entry| entry.member.name == record.name)
            || record.id == NodeId::new(&self.cluster, &record.name)
    }

    /// Changes this node's own record as only its subject may: with a higher incarnation.
    pub(super) fn amend(&mut self, change: impl FnOnce(&mut Member)) {
        let mut record = self.me().clone();
        record.incarnation += 1;
        change(&mut record);
        if record.incarnation > MAX_INCARNATION {
            // Only a damaged claim is so high. The next epoch is above every incarnation.
            record.epoch += 1;
            record.incarnation = 0;
        }
        if let Merge::Changed(before) = self.table.merge(&record, self.now, &self.config) {
            self.after_change(record.id, Some(before), &record);
        }
    }

    fn table_is_full(&mut self) {
        self.stats.records_rejected += 1;
        if !self.full_is_told {
            self.full_is_told = true;
            self.event(Event::TableFull);
        }
    }

    fn member_changed(&mut self, id: NodeId, before: Option<Before>) {
        let Some(entry) = self.table.get_mut(id) else {
            return;
        };
        let now = self.now;
        let same_incarnation = before.is_some_and(|before| {
            (before.nonce, before.incarnation) == (entry.member.nonce, entry.member.incarnation)
        });
        let mut refuted = None;
        if entry.member.state != State::Suspect || !same_incarnation {
            let suspicion = entry.suspicion.take();
            let same = before.is_some_and(|before| before.nonce == entry.member.nonce);
            refuted = suspicion.filter(|_| same && entry.member.is_live());
        }
        if entry.member.state == State::Suspect && entry.suspicion.is_none() {
            entry.suspicion = Some(super::suspicion::Suspicion::new(now));
        }
        if entry.member.is_live() && before.is_some_and(|before| before.state == State::Dead) {
            entry.back_at = Some(now);
        }
        let member = entry.member.clone();
        if let Some(asked_at) = refuted.and_then(|suspicion| suspicion.asked_at()) {
            // It lived all the time: an answer that was lost is one that is late.
            self.note_lateness(id, asked_at);
        }
        if member.state == State::Dead {
            self.plan_calls(id);
        }
        self.tell_change(&member, before);
        self.after_change(id, before, &member);
        if member.is_live() && before.is_none_or(|before| before.state > State::Suspect) {
            self.probes.include(id, &mut self.rng);
        }
    }

    /// What every change of a record leads to, the own included.
    fn after_change(&mut self, id: NodeId, before: Option<Before>, member: &Member) {
        if self.join.is_announced() {
            self.rumors.add(id);
        }
        self.members_changed();
        let share = |in_view: bool, nonce, weight| in_view.then_some((nonce, weight));
        let old = before.and_then(|old| share(old.in_view, old.nonce, old.weight));
        if old != share(member.in_view(), member.nonce, member.weight) {
            self.view.touch(self.now);
        }
    }

    /// Counts a change and puts it in words.
    fn tell_change(&mut self, member: &Member, before: Option<Before>) {
        let name = member.name.clone();
        let address = member.gossip.clone();
        let restarted = before.is_some_and(|before| before.nonce != member.nonce);
        if before.is_none() && member.is_live() {
            self.event(Event::Discovered {
                name: name.clone(),
                address,
            });
        } else if restarted && member.is_live() {
            self.event(Event::Restarted {
                name: name.clone(),
                address,
            });
        }
        let old = before.filter(|_| !restarted).map(|before| before.state);
        match (old, member.state) {
            (Some(old), new) if old == new => {}
            (Some(old @ (State::Suspect | State::Dead)), State::Alive) => {
                self.stats.flaps += u64::from(old == State::Dead);
                self.event(Event::Recovered { name });
            }
            (_, State::Alive) => {}
            (_, State::Suspect) => {
                self.stats.suspicions += 1;
                self.event(Event::Suspected { name });
            }
            // Old tombstones that come with a seed's table are no news.
            (None, State::Dead | State::Left) => {}
            (_, State::Dead) => {
                self.stats.deaths += 1;
                self.event(Event::Died { name });
            }
            (_, State::Left) => {
                self.stats.leaves += 1;
                self.event(Event::Left { name });
            }
        }
    }

    fn learn_of_myself(&mut self, record: Member) {
        if record.epoch >= MAX_EPOCH {
            // A damaged claim. To answer it this node would have to say what nobody reads.
            self.stats.records_rejected += 1;
        } else if record.nonce == self.nonce {
            self.refute(&record);
        } else if !self.join.is_announced() {
            self.join.found_older(record);
        } else if record.instance() > self.me().instance() && self.twin.may_contest(self.now) {
            self.contest(&record);
        }
    }

    /// Somebody claims of this process what it has not said itself: it answers with a higher
    /// incarnation. A node that has said goodbye repeats that.
    fn refute(&mut self, claim: &Member) {
        let me = self.me();
        if claim.claim() < me.claim() || claim.says_the_same(me) {
            return;
        }
        let (epoch, incarnation) = (claim.epoch, claim.incarnation);
        self.amend(|me| {
            me.epoch = me.epoch.max(epoch);
            me.incarnation = me.incarnation.max(incarnation + 1);
        });
        self.stats.refutations += 1;
        self.health.worse();
        let incarnation = self.me().incarnation;
        self.event(Event::Refuted { incarnation });
    }

    /// A record of another process with this node's name would replace this one's: this node
    /// stands its ground with a higher epoch, and asks the other, if it lives, who is younger.
    fn contest(&mut self, other: &Member) {
        let epoch = other.epoch + 1;
        self.amend(|me| me.epoch = epoch);
        if other.is_live() {
            self.event(Event::NameContested {
                address: other.gossip.clone(),
            });
            self.send_twin(&other.gossip);
        }
    }

    /// From now on the cluster knows this node.
    pub(super) fn announce(&mut self, alone: bool) {
        let older = self.join.announced();
        let epoch = older.map_or(0, |older| older.epoch + 1);
        self.amend(|me| me.epoch = me.epoch.max(epoch));
        self.next_gossip = self.now;
        self.outputs.push_back(Output::Joined { alone });
        for address in self.hosts() {
            self.introduce_myself(&address);
        }
    }
}
