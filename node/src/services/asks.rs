//! The asker's node: keeps each request until it is answered, or its time is up.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use bytes::Bytes;

use super::verbs::{Reply, Wrong};
use super::{Code, Message, Output, RequestId, Services};
use crate::forward::{ClientId, Instance, Time, Times};

/// A request of a client of this node.
#[derive(Debug)]
struct Ask {
    client: ClientId,
    reply: Reply,
    asked_at: Time,
    /// The node of the worker that has it.
    placed: Option<Instance>,
}

/// All requests of this node's clients.
#[derive(Debug, Default)]
pub(super) struct Asks {
    asks: HashMap<u64, Ask>,
    /// When the time of each is up; those of requests that are over are passed over.
    deadlines: BinaryHeap<Reverse<(Time, u64)>>,
    last: u64,
    /// How long answers took.
    pub(super) times: Times,
    pub(super) failed: [u64; Code::ALL.len()],
}

impl Asks {
    pub(super) fn len(&self) -> usize {
        self.asks.len()
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.deadlines.peek().map(|Reverse((at, _))| *at)
    }

    /// A client has gone: nobody waits for its answers.
    pub(super) fn forget(&mut self, client: ClientId) {
        self.asks.retain(|_, ask| ask.client != client);
        self.drop_old_deadlines();
    }

    pub(super) fn placed(&mut self, number: u64, node: Instance) {
        if let Some(ask) = self.asks.get_mut(&number) {
            ask.placed = Some(node);
        }
    }

    /// It did not get to its worker.
    pub(super) fn taken_back(&mut self, number: u64) {
        if let Some(ask) = self.asks.get_mut(&number) {
            ask.placed = None;
        }
    }

    /// So that the first deadline is one that matters.
    fn drop_old_deadlines(&mut self) {
        while let Some(Reverse((_, number))) = self.deadlines.peek()
            && !self.asks.contains_key(number)
        {
            self.deadlines.pop();
        }
    }
}

impl Services {
    /// A client asks for something.
    pub(super) fn ask(
        &mut self,
        client: ClientId,
        reply: Reply,
        service: Bytes,
        body: Bytes,
        now: Time,
    ) {
        self.asks.last += 1;
        let number = self.asks.last;
        if let Some(asking) = self.clients.get_mut(&client) {
            asking.in_flight += 1;
        }
        let owner = self.owner_of(&service);
        let ask = Ask {
            client,
            reply,
            asked_at: now,
            placed: None,
        };
        self.asks.asks.insert(number, ask);
        let deadline = now + self.limits.deadline;
        self.asks.deadlines.push(Reverse((deadline, number)));
        if self.asks.len() > self.limits.node_in_flight {
            let text = "this node has too many requests that wait: ask later".into();
            return self.end_ask(number, Err((Code::Busy, text)), now);
        }
        let id = RequestId {
            asker: self.me.0,
            number,
        };
        let message = Message::Ask {
            id,
            passed_on: false,
            service,
            body,
        };
        self.send(owner, message);
    }

    /// An answer or an error; the first one counts.
    pub(super) fn end_ask(
        &mut self,
        number: u64,
        outcome: Result<Bytes, (Code, String)>,
        now: Time,
    ) {
        let Some(ask) = self.asks.asks.remove(&number) else {
            return;
        };
        self.asks.drop_old_deadlines();
        let full = self.limits.client_in_flight;
        if let Some(client) = self.clients.get_mut(&ask.client) {
            let was_full = client.in_flight >= full;
            client.in_flight -= 1;
            if was_full {
                self.outputs.push_back(Output::Client(ask.client));
            }
        }
        match outcome {
            Ok(body) => {
                let took = now.saturating_sub(ask.asked_at);
                self.asks.times.observe(took, 1);
                self.reply(ask.client, &ask.reply, &body);
            }
            Err((code, text)) => {
                let id = RequestId {
                    asker: self.me.0,
                    number,
                };
                self.fail(ask.client, &ask.reply, code, &text, &id.to_string());
            }
        }
    }

    /// Words that make no sense are answered with what would.
    pub(super) fn refuse(&mut self, client: ClientId, wrong: &Wrong) {
        self.fail(client, &wrong.reply, Code::BadRequest, &wrong.text, "");
    }

    /// Requests whose time is up.
    pub(super) fn end_late_asks(&mut self, now: Time) {
        while let Some(Reverse((at, number))) = self.asks.deadlines.peek().copied()
            && at <= now
        {
            self.asks.deadlines.pop();
            let Some(ask) = self.asks.asks.get(&number) else {
                continue;
            };
            let seconds = self.limits.deadline.as_secs_f64();
            let where_it_is = match ask.placed {
                Some(_) => "a worker has it and may still do it",
                None => "it waited for a worker, or was lost with a node or a link",
            };
            let text = format!("no answer within {seconds} s: {where_it_is}");
            self.end_ask(number, Err((Code::Timeout, text)), now);
        }
        self.asks.drop_old_deadlines();
    }

    /// Requests that are with workers of nodes that were here `before` and have gone.
    pub(super) fn lose_asks_of_gone(&mut self, before: &HashSet<Instance>, now: Time) {
        let gone = |node: Instance| before.contains(&node) && !self.here.contains(&node);
        let lost = self.asks.asks.iter();
        let lost = lost.filter(|(_, ask)| ask.placed.is_some_and(gone));
        let mut lost: Vec<u64> = lost.map(|(number, _)| *number).collect();
        lost.sort_unstable();
        for number in lost {
            let text = "the node of its worker has gone: it may have been done".into();
            self.end_ask(number, Err((Code::WorkerLost, text)), now);
        }
    }

    /// Sends an error: `[$zmesh.error, code, text, id]`.
    pub(super) fn fail(
        &mut self,
        client: ClientId,
        reply: &Reply,
        code: Code,
        text: &str,
        id: &str,
    ) {
        self.asks.failed[code as usize] += 1;
        let id = reply
            .tag
            .clone()
            .unwrap_or_else(|| Bytes::copy_from_slice(id.as_bytes()));
        let mut last = Vec::with_capacity(id.len() + 9);
        crate::zmtp::frames::put_header(&mut last, false, id.len());
        last.extend_from_slice(&id);
        let frames = [
            &b""[..],
            b"$zmesh.error",
            code.name().as_bytes(),
            text.as_bytes(),
        ];
        let frames = &frames[usize::from(!reply.delimiter)..];
        self.push(client, frames, &last.into());
    }

    fn reply(&mut self, client: ClientId, reply: &Reply, body: &Bytes) {
        let delimiter: &[&[u8]] = if reply.delimiter { &[b""] } else { &[] };
        match &reply.tag {
            None => self.push(client, delimiter, body),
            Some(tag) => {
                let frames = [delimiter, &[b"$zmesh.reply", tag]].concat();
                self.push(client, &frames, body);
            }
        }
    }

    /// Puts a message behind what waits for a client.
    pub(super) fn push(&mut self, id: ClientId, frames: &[&[u8]], body: &Bytes) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        if client.bytes() >= self.limits.bytes {
            self.outputs.push_back(Output::CloseClient(id));
            return;
        }
        if client.push(frames, body) {
            self.outputs.push_back(Output::Client(id));
        }
    }
}
