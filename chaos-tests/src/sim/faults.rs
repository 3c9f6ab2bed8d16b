//! What goes wrong in the world, and how it is undone.

use std::time::Duration;

use zmesh_gossip::{Member, State};

use super::Time;
use super::agenda::Event;
use super::data::Phase;
use super::network::HostId;
use super::plan::Fault;
use super::process::{Process, ProcessId};
use super::watch::{Ended, Planted};
use super::world::World;

/// The end of a fault.
#[derive(Clone, Debug)]
pub enum Undo {
    /// These directions carry again.
    Open(Vec<(HostId, HostId)>),
    /// These directions are as they were at the beginning.
    Mend(Vec<(HostId, HostId)>),
    /// The node of this host is started again.
    Restart(HostId, bool),
    /// The process runs as fast as the others.
    Hurry(ProcessId),
}

impl World {
    /// Faults come from now on.
    pub fn begin_trouble(&mut self) {
        let faults = self.plan.faults.clone();
        self.next_faults = faults
            .iter()
            .map(|(_, mean)| self.now + self.dice.wait(*mean))
            .collect();
        self.enter_script();
    }

    fn enter_script(&mut self) {
        let undo = self.undo.keys().next().map(|(at, _)| *at);
        let faults = self.next_faults.iter().min().copied();
        if let Some(at) = undo.into_iter().chain(faults).min() {
            self.agenda.add(at.max(self.now), Event::Script);
        }
    }

    /// The next fault, or the end of one.
    pub(super) fn script(&mut self) {
        while let Some(entry) = self.undo.first_entry()
            && entry.key().0 <= self.now
        {
            let undo = entry.remove();
            self.undo(undo);
        }
        for index in 0..self.next_faults.len() {
            let (fault, mean) = self.plan.faults[index];
            if self.next_faults[index] <= self.now {
                self.next_faults[index] = self.now + self.dice.wait(mean);
                self.go_wrong(fault);
            }
        }
        self.enter_script();
    }

    /// Faults stop; what they did stays to be mended. Some of the dead come back.
    pub fn end_trouble(&mut self) {
        self.next_faults.clear();
        let undo = std::mem::take(&mut self.undo);
        let lasting = self.plan.planted == Some(Planted::LastingCut);
        for undo in undo.into_values() {
            let comes_back = self.dice.chance(0.5);
            match undo {
                Undo::Restart(..) if !comes_back => {}
                undo => self.undo(undo),
            }
        }
        let path = self.plan.path();
        for (from, to) in self.pairs() {
            *self.net.path(from, to) = path.clone();
            if lasting && (from.0 == 0 || to.0 == 0) {
                self.net.path(from, to).open = false;
            }
        }
        self.keep_a_seed();
        self.net.all_run();
        let now = self.now;
        for (id, process) in &mut self.processes {
            process.frozen_until = process.frozen_until.min(now);
            process.slowness = Time::ZERO;
            self.agenda.add(now, Event::Wake(*id));
        }
    }

    /// Whoever comes back needs one of the hosts that it was told of.
    fn keep_a_seed(&mut self) {
        let seeds = self.plan.seeds.min(self.plan.nodes) as u16;
        let at_seed = self.processes.values().filter(|it| it.host.0 < seeds);
        let leaves = |process: &Process| {
            let phase = process.data.as_ref().map(|data| data.phase);
            phase == Some(Phase::Leaving)
        };
        let (leaving, staying): (Vec<_>, Vec<_>) = at_seed.partition(|it| leaves(it));
        if !staying.is_empty() {
            return;
        }
        if let Some(id) = leaving.first().map(|process| process.id) {
            self.kill(id);
        }
        if let Some(host) = self.free_hosts().into_iter().find(|host| host.0 < seeds) {
            self.restart(host, false);
        }
    }

    fn undo(&mut self, undo: Undo) {
        self.note(&format!("{undo:?}"));
        match undo {
            Undo::Open(paths) => {
                for (from, to) in paths {
                    self.net.path(from, to).open = true;
                }
            }
            Undo::Mend(paths) => {
                let path = self.plan.path();
                for (from, to) in paths {
                    let open = self.net.path(from, to).open;
                    *self.net.path(from, to) = path.clone();
                    self.net.path(from, to).open = open;
                }
            }
            Undo::Restart(host, lost_clock) => {
                if self.free_hosts().contains(&host) {
                    self.restart(host, lost_clock);
                }
            }
            Undo::Hurry(process) => {
                if let Some(process) = self.processes.get_mut(&process) {
                    process.slowness = Time::ZERO;
                }
            }
        }
    }

    /// Starts a node again, with programs that come back to it.
    pub fn restart(&mut self, host: HostId, lost_clock: bool) {
        let id = self.start(host, lost_clock);
        if let Some(process) = self.processes.get_mut(&id) {
            process.programs_wait = true;
        }
    }

    /// Programs of a node, as many as the plan says.
    pub fn open_programs(&mut self, id: ProcessId) {
        for _ in 0..self.dice.between(1, self.plan.publishers as u64) {
            self.open_publisher(id);
        }
        for _ in 0..self.dice.between(1, self.plan.subscribers as u64) {
            self.open_subscriber(id);
        }
    }

    fn later(&mut self, undo: Undo) {
        let longest = self.plan.longest_fault;
        let time = self.dice.time(Duration::from_millis(100), longest);
        let key = (self.now + time, self.fresh());
        self.undo.insert(key, undo);
    }

    fn pairs(&self) -> Vec<(HostId, HostId)> {
        let hosts = || (0..self.plan.hosts as u16).map(HostId);
        let pairs = hosts().flat_map(|from| hosts().map(move |to| (from, to)));
        pairs.filter(|(from, to)| from != to).collect()
    }

    fn some_process(&mut self) -> Option<ProcessId> {
        let ids = self.ids();
        self.dice.pick(&ids)
    }

    fn some_host(&mut self) -> Option<HostId> {
        let id = self.some_process()?;
        self.processes.get(&id).map(|process| process.host)
    }

    /// One fault of a kind, if there is anything that it can befall.
    pub fn go_wrong(&mut self, fault: Fault) {
        if self.befall(fault).is_some() {
            self.watch.counts.faults += 1;
            self.note(&("fault", fault));
        }
    }

    fn befall(&mut self, fault: Fault) -> Option<()> {
        match fault {
            Fault::Kill | Fault::LoseHost => self.crash(fault),
            Fault::Stall | Fault::Slow | Fault::ClockJump => self.hinder(fault),
            Fault::Reset => {
                let open = self.net.open_connections();
                let conn = self.dice.pick(&open)?;
                self.net.reset(conn, self.now, &mut self.agenda);
                Some(())
            }
            Fault::CutPair | Fault::CutOneWay => {
                let (one, other) = (self.some_host()?, self.some_host()?);
                let both = fault == Fault::CutPair;
                let ways = [(one, other), (other, one)];
                self.cut(ways[..if both { 2 } else { 1 }].to_vec())
            }
            Fault::Isolate => {
                let host = self.some_host()?;
                let mut pairs = self.pairs();
                pairs.retain(|(from, to)| *from == host || *to == host);
                self.cut(pairs)
            }
            Fault::Split | Fault::Bridge => self.split(fault == Fault::Bridge),
            Fault::Lossy | Fault::FarAway => self.worsen(fault),
            Fault::Join => {
                let free = self.free_hosts();
                let host = self.dice.pick(&free)?;
                self.restart(host, false);
                Some(())
            }
            Fault::Leave => {
                let ready = self.ready();
                let id = self.dice.pick(&ready).filter(|_| ready.len() > 1)?;
                self.leave(id)
            }
            Fault::Churn => self.churn(),
        }
    }

    /// A node leaves in order. It may come back.
    pub fn leave(&mut self, id: ProcessId) -> Option<()> {
        let (mut outside, processes) = self.outside();
        let process = processes.get_mut(&id)?;
        let (now, host) = (process.clock(outside.now), process.host);
        let data = process.data.as_mut()?;
        data.leave(now, &mut process.gossiper, &mut outside);
        self.agenda.add(self.now, Event::Wake(id));
        if self.dice.chance(0.7) {
            self.later(Undo::Restart(host, false));
        }
        Some(())
    }

    fn crash(&mut self, fault: Fault) -> Option<()> {
        let id = self.some_process().filter(|_| self.processes.len() > 1)?;
        let host = self.processes.get(&id)?.host;
        if fault == Fault::Kill {
            self.end(id, Ended::Crashed);
        } else {
            self.lose_host(id);
        }
        if self.dice.chance(0.8) {
            let lost_clock = self.dice.chance(0.2);
            self.later(Undo::Restart(host, lost_clock));
        }
        Some(())
    }

    fn hinder(&mut self, fault: Fault) -> Option<()> {
        let id = self.some_process()?;
        let longest = self.plan.longest_fault;
        let time = self.dice.time(Duration::from_millis(200), longest);
        let slowness = self
            .dice
            .time(Duration::from_millis(20), Duration::from_millis(400));
        let until = self.now + time;
        let process = self.processes.get_mut(&id)?;
        match fault {
            Fault::Stall => {
                process.freeze(until);
                self.net.stands_still(id, until);
            }
            Fault::Slow => process.slowness = slowness,
            _ => process.jump(time),
        }
        match fault {
            Fault::Slow => self.later(Undo::Hurry(id)),
            Fault::Stall => self.watch.excuse_silence(id, until),
            _ => self.watch.excuse_silence(id, self.now),
        }
        self.agenda.add(self.now, Event::Wake(id));
        Some(())
    }

    /// These directions carry nothing for a while.
    pub fn cut(&mut self, paths: Vec<(HostId, HostId)>) -> Option<()> {
        for (from, to) in &paths {
            self.net.path(*from, *to).open = false;
        }
        self.later(Undo::Open(paths));
        Some(())
    }

    fn split(&mut self, bridge: bool) -> Option<()> {
        let parts = if bridge { 2 } else { self.dice.between(2, 3) };
        let part: Vec<u64> = (0..self.plan.hosts)
            .map(|_| self.dice.between(1, parts))
            .collect();
        let middle = if bridge { self.some_host() } else { None };
        let mut pairs = self.pairs();
        pairs.retain(|(from, to)| {
            let apart = part[usize::from(from.0)] != part[usize::from(to.0)];
            apart && Some(*from) != middle && Some(*to) != middle
        });
        self.cut(pairs)
    }

    fn worsen(&mut self, fault: Fault) -> Option<()> {
        let mut pairs = self.pairs();
        let host = self.some_host()?;
        match self.dice.below(3) {
            0 => {}
            1 => pairs.retain(|(from, to)| *from == host || *to == host),
            _ => pairs.retain(|(from, _)| *from == host),
        }
        let loss = self.dice.between(5, 40) as f64 / 100.0;
        let latency = self
            .dice
            .time(Duration::from_millis(20), Duration::from_millis(300));
        let bandwidth = self.dice.between(20_000, 2_000_000);
        for (from, to) in &pairs {
            let path = self.net.path(*from, *to);
            if fault == Fault::Lossy {
                path.loss = loss;
            } else {
                (path.latency, path.bandwidth) = (latency, bandwidth);
            }
        }
        self.later(Undo::Mend(pairs));
        Some(())
    }

    fn churn(&mut self) -> Option<()> {
        let ready = self.ready();
        let at = self.dice.pick(&ready)?;
        let data = self.processes.get(&at)?.data.as_ref()?;
        let readers: Vec<_> = data.subscribers.keys().copied().collect();
        let writers: Vec<_> = data.publishers.keys().copied().collect();
        let (reader, writer) = (self.dice.pick(&readers), self.dice.pick(&writers));
        match self.dice.below(8) {
            0 | 1 if readers.len() < 6 => self.open_subscriber(at),
            2 if writers.len() < 4 => self.open_publisher(at),
            3 => {
                let client = reader?;
                self.with_data(at, |data, now, it| data.close_client(client, now, it));
            }
            4 => {
                let client = writer?;
                self.with_data(at, |data, now, it| data.close_client(client, now, it));
            }
            5 => self.unsubscribe(at, reader?),
            _ => self.subscribe(at, reader?),
        }
        Some(())
    }

    /// Plants what a real fault of a machine would say, so that a check has something to find.
    pub fn plant(&mut self, ended: Option<Member>) {
        let Some(id) = self.in_phase(Phase::Ready).pop() else {
            return;
        };
        let Some(process) = self.processes.get_mut(&id) else {
            return;
        };
        let machine = &mut process.gossiper.machine;
        let me = machine.id();
        let mut others = machine.members().map(|known| known.member);
        let other = others.find(|it| it.id != me).cloned();
        drop(others);
        let Some(mut record) = ended.or(other) else {
            return;
        };
        record.incarnation += 3;
        record.state = State::Alive;
        record.age = Time::ZERO;
        record.accusers.clear();
        let now = process.clock(self.now);
        process.gossiper.machine.handle_card(record, now);
        self.agenda.add(self.now, Event::Wake(id));
    }
}
