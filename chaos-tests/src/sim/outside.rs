//! Everything that a process reaches outside itself.

use bytes::Bytes;

use super::Time;
use super::agenda::Agenda;
use super::dice::Dice;
use super::network::{End, HostId, Network, Service};
use super::process::ProcessId;
use super::tables::Tables;
use super::watch::Watch;

/// The world as one process sees it while it runs.
pub struct Outside<'a> {
    /// The world's time. A process's own clock may show another.
    pub now: Time,
    /// Connections.
    pub net: &'a mut Network,
    /// What is to happen.
    pub agenda: &'a mut Agenda,
    /// Chance.
    pub dice: &'a mut Dice,
    /// Who looks on and notes what is wrong.
    pub watch: &'a mut Watch,
    /// Tables that were made before.
    pub tables: &'a mut Tables,
}

impl Outside<'_> {
    /// See [`Network::read`].
    pub fn read(&mut self, end: End) -> Option<Bytes> {
        self.net.read(end, self.now, self.agenda)
    }

    /// See [`Network::write`].
    pub fn write(&mut self, end: End, bytes: &Bytes) -> usize {
        self.net.write(end, bytes, self.now, self.agenda, self.dice)
    }

    /// See [`Network::connect`].
    pub fn connect(&mut self, process: ProcessId, hosts: [HostId; 2], service: Service) -> End {
        self.net
            .connect(process, hosts, service, self.now, self.agenda)
    }

    /// See [`Network::send_datagram`].
    pub fn send_datagram(&mut self, hosts: [HostId; 2], service: Service, packet: Bytes) {
        self.net
            .send_datagram(hosts, service, packet, self.now, self.agenda, self.dice);
    }

    /// See [`Network::exchange`].
    pub fn exchange(&mut self, end: End, bytes: [u64; 2], always: bool) -> bool {
        self.net.exchange(end, bytes, always, self.now)
    }

    /// See [`Network::close`].
    pub fn close(&mut self, end: End) {
        self.net.close(end, self.now, self.agenda, self.dice);
    }
}

/// Address of a host's service, as nodes are told it.
pub fn address(host: HostId, service: Service) -> String {
    let [high, low] = host.0.to_be_bytes();
    let port = match service {
        Service::Gossip => 5556,
        Service::Link => 5557,
    };
    format!("10.0.{high}.{low}:{port}")
}

/// The host of an address made by [`address`].
pub fn host_of(address: &str) -> Option<HostId> {
    let host = address.rsplit_once(':')?.0;
    let mut bytes = host.split('.').skip(2).map(str::parse::<u8>);
    let (high, low) = (bytes.next()?.ok()?, bytes.next()?.ok()?);
    Some(HostId(u16::from_be_bytes([high, low])))
}
