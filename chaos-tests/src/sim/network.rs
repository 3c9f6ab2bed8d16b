//! A model of TCP between hosts: what a program can see of it when hosts and wires fail.
//!
//! A connection is two directions, each first in, first out. Latency is drawn for each write; loss
//! shows as a pause in which the sender's host tries again (200 ms, doubled each time), bandwidth
//! as a time that bytes take, and a receiver that does not read as a window that fills. A path
//! that is cut carries nothing in that direction, not even acknowledgements, and nobody is told:
//! whoever waits finds out by his own time-outs. A dead process's host says so (end of stream, or
//! reset to those who write on); a lost host says nothing until it is back.

mod datagrams;
mod quiet;

mod parts;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use bytes::Bytes;
use foldhash::fast::FixedState;

use self::parts::{Conn, EndState, Item};
pub use self::parts::{End, HostId, NetEvent, Path, Service, Status};
use super::Time;
use super::agenda::{Agenda, Event};
use super::dice::Dice;
use super::process::ProcessId;
use datagrams::Datagrams;

/// First pause before bytes that were not acknowledged are sent again (RFC 6298, as Linux has it).
const RETRY: Duration = Duration::from_millis(200);
/// Pauses double up to this.
const LONGEST_RETRY: Duration = Duration::from_secs(60);
/// The same for the first packet of a connection (RFC 6298, section 2.1).
const SYN_RETRY: Duration = Duration::from_secs(1);
/// The most that a program writes at once arrives at once.
const SEGMENT_BYTES: usize = 16 << 10;

/// See the module.
#[derive(Debug)]
pub struct Network {
    hosts: usize,
    paths: Vec<Path>,
    up: Vec<bool>,
    listeners: BTreeMap<(HostId, Service), ProcessId>,
    conns: Hashed<u64, Conn>,
    opened: u64,
    ready: Hashed<ProcessId, BTreeSet<End>>,
    accepted: Hashed<ProcessId, Vec<(End, Service)>>,
    datagrams: Datagrams,
    /// Bytes of one direction that may wait to be read.
    pub window: usize,
    /// Programs that stand still, and until when.
    still: Hashed<ProcessId, Time>,
    /// Bytes that each host's programs have written, and connections that they have begun.
    pub written: Vec<(u64, u64)>,
}

/// Looked up far more often than walked through; whoever walks sorts.
type Hashed<K, V> = HashMap<K, V, FixedState>;

impl Network {
    /// So many hosts, every path alike.
    pub fn new(hosts: usize, path: &Path, window: usize) -> Self {
        Self {
            hosts,
            paths: vec![path.clone(); hosts * hosts],
            up: vec![true; hosts],
            listeners: BTreeMap::new(),
            conns: Hashed::default(),
            opened: 0,
            ready: Hashed::default(),
            accepted: Hashed::default(),
            datagrams: Datagrams::default(),
            window,
            still: Hashed::default(),
            written: vec![(0, 0); hosts],
        }
    }

    /// The direction from one host to another.
    pub fn path(&mut self, from: HostId, to: HostId) -> &mut Path {
        &mut self.paths[usize::from(from.0) * self.hosts + usize::from(to.0)]
    }

    fn path_between(&self, from: HostId, to: HostId) -> &Path {
        &self.paths[usize::from(from.0) * self.hosts + usize::from(to.0)]
    }

    fn carries(&self, from: HostId, to: HostId) -> bool {
        let path = self.path_between(from, to);
        path.open && self.up[usize::from(from.0)] && self.up[usize::from(to.0)]
    }

    /// A process takes connections from now on. Its host is up.
    pub fn listen(&mut self, host: HostId, service: Service, process: ProcessId) {
        self.up[usize::from(host.0)] = true;
        self.listeners.insert((host, service), process);
    }

    /// Begins a connection.
    pub fn connect(
        &mut self,
        process: ProcessId,
        hosts: [HostId; 2],
        service: Service,
        now: Time,
        agenda: &mut Agenda,
    ) -> End {
        self.opened += 1;
        self.written[usize::from(hosts[0].0)].1 += 1;
        let conn = Conn {
            hosts,
            service,
            ends: Default::default(),
        };
        self.conns.insert(self.opened, conn);
        let end = End {
            conn: self.opened,
            side: 0,
        };
        self.end(end).process = Some(process);
        agenda.add(now, Event::Net(NetEvent::Syn(self.opened, 0)));
        end
    }

    /// Connections made to a process that it has not heard of.
    pub fn take_accepted(&mut self, process: ProcessId) -> Vec<(End, Service)> {
        self.accepted.remove(&process).unwrap_or_default()
    }

    /// Ends of a process of which there is something new.
    pub fn take_ready(&mut self, process: ProcessId) -> Vec<End> {
        let ready = self.ready.remove(&process).unwrap_or_default();
        ready.into_iter().collect()
    }

    /// How a connection is, seen from this end.
    pub fn status(&self, end: End) -> Status {
        let Some(conn) = self.conns.get(&end.conn) else {
            return Status::Reset;
        };
        let state = &conn.ends[usize::from(end.side)];
        match state.closed {
            // As on Linux: what had come before is still read.
            Some(closed) if state.received.is_empty() => closed,
            Some(_) => Status::Open,
            None if !state.connected => Status::Connecting,
            None if state.finished && state.received.is_empty() => Status::Ended,
            None => Status::Open,
        }
    }

    /// The next bytes that have arrived.
    pub fn read(&mut self, end: End, now: Time, agenda: &mut Agenda) -> Option<Bytes> {
        let conn = self.conns.get_mut(&end.conn)?;
        let bytes = conn.ends[usize::from(end.side)].received.pop_front()?;
        let (from, to) = conn.ways(end.side);
        conn.ends[usize::from(1 - end.side)].credit += bytes.len();
        let due = now + self.path(from, to).latency;
        agenda.add(due, Event::Net(NetEvent::Credit(end.conn, 1 - end.side)));
        Some(bytes)
    }

    /// Writes what there is room for; returns how many bytes that was. Room that comes later makes
    /// the end ready.
    pub fn write(
        &mut self,
        end: End,
        bytes: &Bytes,
        now: Time,
        agenda: &mut Agenda,
        dice: &mut Dice,
    ) -> usize {
        if self.status(end) != Status::Open {
            return 0;
        }
        let window = self.window;
        let mut written = 0;
        while written < bytes.len() {
            let room = window.saturating_sub(self.end(end).outstanding);
            let length = room.min(bytes.len() - written).min(SEGMENT_BYTES);
            if length == 0 {
                self.end(end).wants_room = true;
                break;
            }
            let part = bytes.slice(written..written + length);
            self.end(end).outstanding += length;
            self.send(end, Item::Data(part), length, now, agenda, dice);
            written += length;
        }
        written
    }

    /// The process gives the end up. What it wrote still arrives.
    pub fn close(&mut self, end: End, now: Time, agenda: &mut Agenda, dice: &mut Dice) {
        let Some(conn) = self.conns.get_mut(&end.conn) else {
            return;
        };
        let state = &mut conn.ends[usize::from(end.side)];
        if state.process.take().is_some() && state.connected && state.closed.is_none() {
            self.send(end, Item::Fin, 0, now, agenda, dice);
        }
        self.forget_if_over(end.conn);
    }

    /// Both ends find the connection broken.
    pub fn reset(&mut self, conn: u64, now: Time, agenda: &mut Agenda) {
        for side in [0, 1] {
            self.break_off(End { conn, side }, now, agenda);
        }
    }

    /// Numbers of all connections that both ends hold.
    pub fn open_connections(&self) -> Vec<u64> {
        let open = |conn: &Conn| {
            let mut ends = conn.ends.iter();
            ends.all(|end| end.process.is_some() && end.connected && end.closed.is_none())
        };
        let open = self.conns.iter().filter(|(_, conn)| open(conn));
        let mut open: Vec<u64> = open.map(|(id, _)| *id).collect();
        open.sort_unstable();
        open
    }

    /// A process is no more; its host is.
    pub fn process_ended(
        &mut self,
        process: ProcessId,
        now: Time,
        agenda: &mut Agenda,
        dice: &mut Dice,
    ) {
        self.forget_process(process);
        for end in self.ends_of(process) {
            self.close(end, now, agenda, dice);
        }
    }

    /// A host is gone with all that runs on it, without a word.
    pub fn host_lost(&mut self, host: HostId, process: ProcessId) {
        self.forget_process(process);
        self.up[usize::from(host.0)] = false;
        for end in self.ends_of(process) {
            let state = self.end(end);
            state.process = None;
            state.in_flight.clear();
            self.forget_if_over(end.conn);
        }
    }

    /// Something that was entered into the agenda has come.
    pub fn handle(&mut self, event: NetEvent, now: Time, agenda: &mut Agenda, dice: &mut Dice) {
        match event {
            NetEvent::Syn(conn, attempt) => self.syn(conn, attempt, now, agenda, dice),
            NetEvent::SynAnswer(conn, listens) => self.syn_answer(conn, listens, now, agenda),
            NetEvent::Arrive(conn, side) => self.arrive(conn, side, now, agenda),
            NetEvent::Retry(conn, side) => {
                let sender = self.conns.get_mut(&conn);
                if let Some(conn) = sender {
                    conn.ends[usize::from(1 - side)].retrying = false;
                }
                self.arrive(conn, side, now, agenda);
            }
            NetEvent::Credit(conn, side) => self.credit(conn, side, now, agenda),
            NetEvent::Rst(conn, side) => self.break_off(End { conn, side }, now, agenda),
            NetEvent::Datagram(number) => self.datagram_arrives(number, now, agenda),
        }
    }

    fn end(&mut self, end: End) -> &mut EndState {
        let conn = self.conns.get_mut(&end.conn);
        let conn = conn.expect("a connection stands until both ends were given up");
        &mut conn.ends[usize::from(end.side)]
    }

    fn ends_of(&self, process: ProcessId) -> Vec<End> {
        let mut found = Vec::new();
        for (conn, it) in &self.conns {
            for side in [0u8, 1] {
                if it.ends[usize::from(side)].process == Some(process) {
                    found.push(End { conn: *conn, side });
                }
            }
        }
        found.sort_unstable();
        found
    }

    fn forget_process(&mut self, process: ProcessId) {
        self.listeners.retain(|_, listener| *listener != process);
        self.ready.remove(&process);
        self.accepted.remove(&process);
        self.datagrams.forget(process);
    }

    fn forget_if_over(&mut self, conn: u64) {
        let over = self.conns.get(&conn).is_some_and(|conn| {
            let mut ends = conn.ends.iter();
            ends.all(|end| end.process.is_none() && end.in_flight.is_empty())
        });
        if over {
            self.conns.remove(&conn);
        }
    }

    fn tell(&mut self, end: End, now: Time, agenda: &mut Agenda) {
        let Some(process) = self.end(end).process else {
            return;
        };
        let ready = self.ready.entry(process).or_default();
        if ready.is_empty() {
            agenda.add(now, Event::Wake(process));
        }
        ready.insert(end);
    }

    fn syn(&mut self, id: u64, attempt: u32, now: Time, agenda: &mut Agenda, dice: &mut Dice) {
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        if conn.ends[0].process.is_none() {
            self.conns.remove(&id);
            return;
        }
        let ([from, to], service) = (conn.hosts, conn.service);
        let there = self.carries(from, to) && self.carries(to, from);
        let path = self.path(from, to);
        let lost = dice.chance(path.loss);
        let trip = path.latency + dice.time(Duration::ZERO, path.jitter);
        if !there || lost {
            let later = now + SYN_RETRY * 2u32.saturating_pow(attempt.min(6));
            agenda.add(later, Event::Net(NetEvent::Syn(id, attempt + 1)));
            return;
        }
        let listener = self.listeners.get(&(to, service)).copied();
        let answered = now + trip + trip;
        agenda.add(
            answered,
            Event::Net(NetEvent::SynAnswer(id, listener.is_some())),
        );
        let Some(process) = listener else { return };
        let end = End { conn: id, side: 1 };
        let state = self.end(end);
        state.process = Some(process);
        state.connected = true;
        self.accepted
            .entry(process)
            .or_default()
            .push((end, service));
        agenda.add(now + trip, Event::Wake(process));
    }

    fn syn_answer(&mut self, conn: u64, listens: bool, now: Time, agenda: &mut Agenda) {
        let Some(state) = self.conns.get_mut(&conn).map(|conn| &mut conn.ends[0]) else {
            return;
        };
        if listens {
            state.connected = true;
        } else {
            state.closed = Some(Status::Refused);
        }
        self.tell(End { conn, side: 0 }, now, agenda);
        self.forget_if_over(conn);
    }

    fn send(
        &mut self,
        end: End,
        item: Item,
        length: usize,
        now: Time,
        agenda: &mut Agenda,
        dice: &mut Dice,
    ) {
        let (from, to) = self.conns[&end.conn].ways(end.side);
        self.written[usize::from(from.0)].0 += length as u64;
        let path = self.path(from, to);
        let left = now.max(path.busy_until);
        let left = left + Duration::from_nanos(length as u64 * 1_000_000_000 / path.bandwidth);
        path.busy_until = left;
        let mut due = left + path.latency + dice.time(Duration::ZERO, path.jitter);
        let (loss, mut pause) = (path.loss, RETRY);
        while dice.chance(loss) {
            due += pause;
            pause = (pause * 2).min(LONGEST_RETRY);
        }
        let state = self.end(end);
        state.last_due = state.last_due.max(due);
        let due = state.last_due;
        state.in_flight.push_back((due, item));
        agenda.add(due, Event::Net(NetEvent::Arrive(end.conn, 1 - end.side)));
    }

    fn arrive(&mut self, id: u64, side: u8, now: Time, agenda: &mut Agenda) {
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        let (from, to) = conn.ways(1 - side);
        let (carried, answered) = (self.carries(from, to), self.carries(to, from));
        let (sender, receiver) = (
            End {
                conn: id,
                side: 1 - side,
            },
            End { conn: id, side },
        );
        let is_due = |(due, _): &(Time, Item)| *due <= now;
        while self.end(sender).in_flight.front().is_some_and(is_due) {
            let there = self.end(receiver);
            let (gone, closed) = (there.process.is_none(), there.closed.is_some());
            let state = self.end(sender);
            if state.retrying {
                return;
            }
            if !carried || (gone && !answered) {
                state.retrying = true;
                let pause = (RETRY * 2u32.saturating_pow(state.backoff.min(9))).min(LONGEST_RETRY);
                state.backoff += 1;
                agenda.add(now + pause, Event::Net(NetEvent::Retry(id, side)));
                return;
            }
            state.backoff = 0;
            let item = state.in_flight.pop_front().map(|(_, item)| item);
            match item {
                Some(Item::Data(_)) if gone => {
                    let back = now + self.path(to, from).latency;
                    agenda.add(back, Event::Net(NetEvent::Rst(id, 1 - side)));
                }
                _ if closed => {}
                Some(Item::Data(bytes)) => self.end(receiver).received.push_back(bytes),
                Some(Item::Fin) => self.end(receiver).finished = true,
                None => {}
            }
            self.tell(receiver, now, agenda);
        }
        self.forget_if_over(id);
    }

    fn credit(&mut self, id: u64, side: u8, now: Time, agenda: &mut Agenda) {
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        let (here, there) = conn.ways(side);
        if !self.carries(there, here) {
            agenda.add(now + RETRY, Event::Net(NetEvent::Credit(id, side)));
            return;
        }
        let end = End { conn: id, side };
        let state = self.end(end);
        let credit = std::mem::take(&mut state.credit);
        state.outstanding -= credit;
        if credit > 0 && std::mem::take(&mut state.wants_room) {
            self.tell(end, now, agenda);
        }
    }

    fn break_off(&mut self, end: End, now: Time, agenda: &mut Agenda) {
        if !self.conns.contains_key(&end.conn) {
            return;
        }
        let state = self.end(end);
        state.closed.get_or_insert(Status::Reset);
        state.in_flight.clear();
        self.tell(end, now, agenda);
        self.forget_if_over(end.conn);
    }
}
