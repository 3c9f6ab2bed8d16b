//! Clients and workers that were written for a Majordomo broker: MDP/0.1 and 0.2 (ZeroMQ RFC 7 and
//! 18), and the management interface MMI (RFC 8). To them each node is the broker.
//!
//! A worker of theirs is a worker with a credit of 1. The client address in what it gets is the id
//! of the request.

use std::collections::{BTreeSet, HashMap, HashSet};

use bytes::Bytes;

use super::verbs::Frames;
use super::{RequestId, Services};
use crate::forward::{ClientId, Time};
use crate::zmtp::frames::{frames, put_header};

/// Between two signs of life. The RFC leaves it open; its reference programs take this.
const INTERVAL: Time = Time::from_millis(2500);

/// A worker that has said nothing for so long is out: three intervals, as in those programs.
const PATIENCE: Time = Time::from_millis(7500);

/// Services that begin so are those of the broker itself.
const MANAGEMENT: &[u8] = b"mmi.";

/// Tells whether anybody serves something.
const IS_SERVED: &[u8] = b"mmi.service";

/// Which of the two protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// MDP/0.1
    V1,
    /// MDP/0.2
    V2,
}

impl Version {
    /// What a client's messages begin with.
    pub(super) fn client(self) -> &'static [u8] {
        match self {
            Self::V1 => b"MDPC01",
            Self::V2 => b"MDPC02",
        }
    }

    fn worker(self) -> &'static [u8] {
        match self {
            Self::V1 => b"MDPW01",
            Self::V2 => b"MDPW02",
        }
    }

    fn heartbeat(self) -> &'static [u8] {
        match self {
            Self::V1 => &[4],
            Self::V2 => &[5],
        }
    }

    fn disconnect(self) -> &'static [u8] {
        match self {
            Self::V1 => &[5],
            Self::V2 => &[6],
        }
    }

    /// That of a client or a worker whose message begins so.
    pub(super) fn of(header: &[u8]) -> Option<(Self, Side)> {
        match header {
            b"MDPC01" => Some((Self::V1, Side::Client)),
            b"MDPC02" => Some((Self::V2, Side::Client)),
            b"MDPW01" => Some((Self::V1, Side::Worker)),
            b"MDPW02" => Some((Self::V2, Side::Worker)),
            _ => None,
        }
    }
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Worker,
}

/// How a worker wants to be spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Manner {
    pub(super) version: Version,
    /// Its messages begin with an empty frame.
    pub(super) delimiter: bool,
}

/// What a worker says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Says {
    /// It serves this.
    Ready { service: Bytes },
    /// An answer, or a part of one.
    Answer { id: Bytes, body: Bytes, last: bool },
    /// It is there.
    Heartbeat,
    /// It goes.
    Disconnect,
    /// No command of its protocol.
    Nonsense,
}

impl Says {
    /// A message behind its header; it has so many frames, the header included.
    pub(super) fn of(version: Version, message: &Frames<'_>, frames: u32) -> Self {
        let command = message.get(1).unwrap_or_default();
        let answer = |last| {
            let (id, empty) = (message.get(2), message.get(3));
            match (id, empty) {
                (Some(id), Some(empty)) if empty.is_empty() => Self::Answer {
                    id,
                    body: message.from(4),
                    last,
                },
                _ => Self::Nonsense,
            }
        };
        match (&command[..], version, frames) {
            ([1], _, 3) => match message.get(2) {
                Some(service) => Self::Ready {
                    service: Bytes::copy_from_slice(&service),
                },
                None => Self::Nonsense,
            },
            ([3], Version::V1, _) | ([4], Version::V2, _) => answer(true),
            ([3], Version::V2, _) => answer(false),
            (command, version, 2) if command == version.heartbeat() => Self::Heartbeat,
            (command, version, 2) if command == version.disconnect() => Self::Disconnect,
            _ => Self::Nonsense,
        }
    }
}

/// A worker that is ready.
#[derive(Debug)]
struct Member {
    manner: Manner,
    /// When it last said something, and was last told something.
    heard: Time,
    told: Time,
    /// Its entry among the timers.
    due: Time,
}

/// The workers of this node that speak so.
#[derive(Debug, Default)]
pub(super) struct Majordomo {
    members: HashMap<ClientId, Member>,
    timers: BTreeSet<(Time, ClientId)>,
    /// Connections whose worker is out: nothing more is said there, until a new one is made.
    dismissed: HashSet<ClientId>,
}

impl Majordomo {
    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// A connection has ended.
    pub(super) fn forget(&mut self, client: ClientId) {
        self.dismissed.remove(&client);
        self.remove(client);
    }

    fn remove(&mut self, client: ClientId) -> Option<Manner> {
        let member = self.members.remove(&client)?;
        self.timers.remove(&(member.due, client));
        Some(member.manner)
    }

    /// The manner of a worker that is told something now, if it is one of these.
    fn tell(&mut self, client: ClientId, now: Time) -> Option<Manner> {
        let member = self.members.get_mut(&client)?;
        member.told = now;
        Some(member.manner)
    }
}

impl Services {
    /// A Majordomo worker says something.
    pub(super) fn hear_worker(&mut self, client: ClientId, manner: Manner, says: Says, now: Time) {
        if self.majordomo.dismissed.contains(&client) {
            return;
        }
        let is_member = match self.majordomo.members.get_mut(&client) {
            Some(member) => {
                member.heard = now;
                member.manner == manner
            }
            None => false,
        };
        match says {
            Says::Ready { service } if self.may_be_ready(client, &service) => {
                let due = now + INTERVAL;
                let member = Member {
                    manner,
                    heard: now,
                    told: now,
                    due,
                };
                self.majordomo.members.insert(client, member);
                self.majordomo.timers.insert((due, client));
                self.serve(client, service, 1, now);
            }
            Says::Heartbeat if is_member => {}
            Says::Answer { id, body, last } if is_member => {
                let known = match last {
                    true => self.finish(client, &id, body, now),
                    false => self.pass_part(client, &id, body),
                };
                if !known || self.leaving && !self.workers.is_busy(client) {
                    self.dismiss(client, manner);
                }
            }
            Says::Disconnect => self.retire(client),
            _ => self.dismiss(client, manner),
        }
    }

    /// Once on a connection, for a service that is not the broker's.
    fn may_be_ready(&self, client: ClientId, service: &[u8]) -> bool {
        let named = super::verbs::wrong_worker_name(service).is_none();
        named && !self.leaving && !self.workers.contains(client)
    }

    /// Part of an answer goes the way of the answer.
    fn pass_part(&mut self, client: ClientId, id: &[u8], body: Bytes) -> bool {
        let id = RequestId::parse(id).filter(|id| self.workers.has(client, *id));
        let Some(id) = id else { return false };
        let number = id.number;
        let part = super::Message::Part { number, body };
        self.send(crate::forward::Instance(id.asker), part);
        true
    }

    /// Ends a worker's part: what it has is lost, and nothing more is said to it but this.
    fn dismiss(&mut self, client: ClientId, manner: Manner) {
        self.command(client, manner, manner.version.disconnect());
        self.retire(client);
    }

    fn retire(&mut self, client: ClientId) {
        self.majordomo.remove(client);
        self.majordomo.dismissed.insert(client);
        self.lose_worker(client);
    }

    fn command(&mut self, client: ClientId, manner: Manner, command: &[u8]) {
        let mut last = Vec::new();
        put_header(&mut last, false, command.len());
        last.extend_from_slice(command);
        let frames = [&b""[..], manner.version.worker()];
        let frames = &frames[usize::from(!manner.delimiter)..];
        self.push(client, frames, &last.into());
    }

    /// Gives a request to a worker, in its manner.
    pub(super) fn hand(&mut self, client: ClientId, id: RequestId, body: &Bytes, now: Time) {
        if self.clients.get(&client).is_some_and(|it| it.is_rep) {
            return self.push(client, &[b""], body);
        }
        let id = id.to_string();
        match self.majordomo.tell(client, now) {
            None => self.push(client, &[id.as_bytes()], body),
            Some(Manner { version, delimiter }) => {
                let frames = [b"", version.worker(), &[2], id.as_bytes(), b""];
                let frames = &frames[usize::from(!delimiter)..];
                self.push(client, frames, body);
            }
        }
    }

    /// The node goes: workers that have nothing are told so, the others when they have answered.
    pub(super) fn dismiss_idle(&mut self) {
        let members = self.majordomo.members.iter();
        let idle = members.filter(|(client, _)| !self.workers.is_busy(**client));
        let mut idle: Vec<(ClientId, Manner)> = idle
            .map(|(client, member)| (*client, member.manner))
            .collect();
        idle.sort_unstable_by_key(|(client, _)| *client);
        for (client, manner) in idle {
            self.dismiss(client, manner);
        }
    }

    /// Signs of life, and the end of those who give none.
    pub(super) fn beat(&mut self, now: Time) {
        while let Some((due, client)) = self.majordomo.timers.first().copied()
            && due <= now
        {
            self.majordomo.timers.pop_first();
            let Some(member) = self.majordomo.members.get_mut(&client) else {
                continue;
            };
            if now >= due + INTERVAL {
                // This node stood still: what it was told meanwhile it has not read yet.
                member.heard = now;
            }
            let manner = member.manner;
            if now >= member.heard + PATIENCE {
                self.dismiss(client, manner);
                continue;
            }
            let beat = now >= member.told + INTERVAL;
            if beat {
                member.told = now;
            }
            member.due = (member.told + INTERVAL).min(member.heard + PATIENCE);
            self.majordomo.timers.insert((member.due, client));
            if beat {
                self.command(client, manner, manner.version.heartbeat());
            }
        }
    }

    /// Whether it is the mesh itself that answers, for the owner of [`subject`].
    pub(super) fn answer_management(
        &mut self,
        id: RequestId,
        service: &[u8],
        body: &Bytes,
        now: Time,
    ) {
        let asked = subject(service, body);
        let code = match service {
            IS_SERVED if self.pools.is_served(asked) => "200",
            IS_SERVED if self.may_be_unknown(now) => {
                let asked = Bytes::copy_from_slice(asked);
                return self.wait_for_seats(id, asked, now);
            }
            IS_SERVED => "404",
            _ => "501",
        };
        self.answer_question(id, code);
    }

    pub(super) fn answer_question(&mut self, id: RequestId, code: &str) {
        let mut body = Vec::new();
        put_header(&mut body, false, code.len());
        body.extend_from_slice(code.as_bytes());
        let message = super::Message::Answer {
            number: id.number,
            body: body.into(),
        };
        self.send(crate::forward::Instance(id.asker), message);
    }
}

/// Whether the mesh itself answers.
pub(super) fn is_management(service: &[u8]) -> bool {
    service.starts_with(MANAGEMENT)
}

/// The service whose owner knows the answer: itself, or the one that is asked about.
pub(super) fn subject<'a>(service: &'a [u8], body: &'a [u8]) -> &'a [u8] {
    if service != IS_SERVED {
        return service;
    }
    let first = frames(body, 0..body.len()).next();
    first
        .and_then(|(_, range)| body.get(range))
        .unwrap_or_default()
}
