//! Datagrams: one packet each, which comes once or not at all, and nobody is told.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::{HostId, NetEvent, Network, Service};
use crate::sim::Time;
use crate::sim::agenda::{Agenda, Event};
use crate::sim::dice::Dice;
use crate::sim::process::ProcessId;

/// What a socket holds for a program that does not read (Linux's default).
const SOCKET_BYTES: usize = 212_992;

/// Datagrams on their way, and those that wait to be read.
#[derive(Debug, Default)]
pub(super) struct Datagrams {
    sent: u64,
    on_the_way: BTreeMap<u64, (HostId, HostId, Service, Bytes)>,
    inboxes: BTreeMap<ProcessId, Inbox>,
}

#[derive(Debug, Default)]
struct Inbox {
    packets: VecDeque<Bytes>,
    bytes: usize,
}

impl Datagrams {
    pub(super) fn forget(&mut self, process: ProcessId) {
        self.inboxes.remove(&process);
    }
}

impl Network {
    /// Sends a packet that is lost as often as the path loses packets.
    pub fn send_datagram(
        &mut self,
        [from, to]: [HostId; 2],
        service: Service,
        packet: Bytes,
        now: Time,
        agenda: &mut Agenda,
        dice: &mut Dice,
    ) {
        self.written[usize::from(from.0)].0 += packet.len() as u64;
        let path = self.path(from, to);
        if dice.chance(path.loss) {
            return;
        }
        let trip = path.latency + dice.time(Duration::ZERO, path.jitter);
        let datagrams = &mut self.datagrams;
        datagrams.sent += 1;
        let number = datagrams.sent;
        datagrams
            .on_the_way
            .insert(number, (from, to, service, packet));
        agenda.add(now + trip, Event::Net(NetEvent::Datagram(number)));
    }

    /// The next datagram that a process has not read.
    pub fn read_datagram(&mut self, process: ProcessId) -> Option<Bytes> {
        let inbox = self.datagrams.inboxes.get_mut(&process)?;
        let packet = inbox.packets.pop_front()?;
        inbox.bytes -= packet.len();
        Some(packet)
    }

    pub(super) fn datagram_arrives(&mut self, number: u64, now: Time, agenda: &mut Agenda) {
        let Some((from, to, service, packet)) = self.datagrams.on_the_way.remove(&number) else {
            return;
        };
        let listener = self.listeners.get(&(to, service)).copied();
        let Some(process) = listener.filter(|_| self.carries(from, to)) else {
            return;
        };
        let inbox = self.datagrams.inboxes.entry(process).or_default();
        if inbox.bytes + packet.len() > SOCKET_BYTES {
            return;
        }
        inbox.bytes += packet.len();
        inbox.packets.push_back(packet);
        agenda.add(now, Event::Wake(process));
    }
}
