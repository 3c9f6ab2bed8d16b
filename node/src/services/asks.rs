//! The asker's node: keeps each request until it is answered, or its time is up.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use bytes::Bytes;

use super::breaker::Verdict;
use super::majordomo::{self, Version};
use super::verbs::{Form, Reply, Wrong};
use super::{Code, Message, Output, RequestId, Services};
use crate::forward::{ClientId, Instance, Time, Times, compact};

/// A request of a client of this node.
#[derive(Debug)]
pub(super) struct Ask {
    client: ClientId,
    reply: Reply,
    service: Bytes,
    since: Time,
    /// When its time is up.
    pub(super) until: Time,
    /// Attempts before this one.
    pub(super) attempt: u8,
    /// What it says, if it may be asked again.
    pub(super) kept: Option<Bytes>,
    /// The owner that this attempt went to, once it has.
    pub(super) asked: Option<Instance>,
    /// The node of the worker that has it.
    pub(super) placed: Option<Instance>,
}

/// All requests of this node's clients.
#[derive(Debug, Default)]
pub(super) struct Asks {
    asks: HashMap<u64, Ask>,
    /// When the time of each is up; those of requests that are over are passed over.
    deadlines: BinaryHeap<Reverse<(Time, u64)>>,
    last: u64,
    /// Bytes of those that may be asked again.
    kept: usize,
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

    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut Ask> {
        self.asks.get_mut(&number)
    }

    fn remove(&mut self, number: u64) -> Option<Ask> {
        let ask = self.asks.remove(&number)?;
        self.kept -= ask.kept.as_ref().map_or(0, Bytes::len);
        self.drop_old_deadlines();
        Some(ask)
    }

    /// A client has gone: nobody waits for its answers.
    pub(super) fn forget(&mut self, client: ClientId) {
        let kept = &mut self.kept;
        self.asks.retain(|_, ask| {
            let stays = ask.client != client;
            *kept -= ask
                .kept
                .as_ref()
                .map_or(0, |it| if stays { 0 } else { it.len() });
            stays
        });
        self.drop_old_deadlines();
    }

    /// A worker of this node gets an attempt.
    pub(super) fn placed(&mut self, number: u64, attempt: u8, node: Instance) {
        let ask = self.asks.get_mut(&number);
        if let Some(ask) = ask.filter(|ask| ask.attempt == attempt) {
            ask.placed = Some(node);
        }
    }

    /// It did not get to its worker.
    pub(super) fn taken_back(&mut self, id: RequestId) {
        let ask = self.asks.get_mut(&id.number);
        if let Some(ask) = ask.filter(|ask| ask.attempt == id.attempt) {
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

    /// The requests for which something holds, in their order.
    fn those(&self, holds: impl Fn(&Ask) -> bool) -> Vec<u64> {
        let those = self.asks.iter().filter(|(_, ask)| holds(ask));
        let mut those: Vec<u64> = those.map(|(number, _)| *number).collect();
        those.sort_unstable();
        those
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
        let rule = self.rule(&service);
        let until = now + rule.deadline;
        let may_keep = rule.idempotent && self.asks.kept + body.len() <= self.limits.bytes;
        let kept = may_keep.then(|| compact(&body));
        self.asks.kept += kept.as_ref().map_or(0, Bytes::len);
        let ask = Ask {
            client,
            reply,
            service: service.clone(),
            since: now,
            until,
            attempt: 0,
            kept,
            asked: None,
            placed: None,
        };
        self.asks.asks.insert(number, ask);
        self.asks.deadlines.push(Reverse((until, number)));
        if self.asks.len() > self.limits.node_in_flight {
            let text = "this node has too many requests that wait: ask later".into();
            return self.end_ask(number, Err((Code::Busy, text)), now);
        }
        let asks = &self.asks.asks;
        let is_open = |number| asks.contains_key(&number);
        let verdict = self.breakers.check(&service, number, now, is_open);
        if let Verdict::Refuse { failures, wait } = verdict {
            let next = wait.as_secs_f64();
            let text = format!(
                "the last {failures} requests of this service failed: the next goes in {next:.1} s"
            );
            return self.end_ask(number, Err((Code::Busy, text)), now);
        }
        self.send_attempt(number, body, now);
    }

    /// Sends what was kept.
    pub(super) fn send_ask(&mut self, number: u64, now: Time) {
        let ask = self.asks.asks.get(&number);
        if let Some(body) = ask.and_then(|ask| ask.kept.clone()) {
            self.send_attempt(number, body, now);
        }
    }

    fn send_attempt(&mut self, number: u64, body: Bytes, now: Time) {
        let Some(ask) = self.asks.asks.get(&number) else {
            return;
        };
        let (service, attempt) = (ask.service.clone(), ask.attempt);
        let patience = ask.until.saturating_sub(now);
        let owner = self.owner_of(majordomo::subject(&service, &body));
        if let Some(ask) = self.asks.asks.get_mut(&number) {
            ask.asked = Some(owner);
        }
        let id = RequestId {
            asker: self.me.0,
            number,
            attempt,
        };
        let message = Message::Ask {
            id,
            passed_on: false,
            patience,
            service,
            body,
        };
        self.send(owner, message);
    }

    /// An attempt has failed.
    pub(super) fn fail_attempt(
        &mut self,
        number: u64,
        attempt: u8,
        code: Code,
        text: String,
        now: Time,
    ) {
        let ask = self.asks.asks.get(&number);
        let Some(service) = ask
            .filter(|ask| ask.attempt == attempt)
            .map(|it| it.service.clone())
        else {
            // Another is on its way, or it is over.
            return;
        };
        let lost = code == Code::WorkerLost;
        if lost {
            self.count_failure(&service, number, now);
        }
        if (lost || attempt > 0) && self.retry(number, now) {
            return;
        }
        // Whatever became of this attempt, one before it may have been done.
        let outcome = match attempt {
            0 => (code, text),
            _ => (
                Code::WorkerLost,
                format!("its workers were lost; at last: {text}"),
            ),
        };
        self.end_ask(number, Err(outcome), now);
    }

    fn count_failure(&mut self, service: &Bytes, number: u64, now: Time) {
        let most = self.rule(service).breaker;
        self.breakers.failed(service, number, most, now);
    }

    /// An answer or an error; the first one counts.
    pub(super) fn end_ask(
        &mut self,
        number: u64,
        outcome: Result<Bytes, (Code, String)>,
        now: Time,
    ) {
        let Some(ask) = self.asks.remove(number) else {
            return;
        };
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
                let took = now.saturating_sub(ask.since);
                self.asks.times.observe(took, 1);
                self.breakers.succeeded(&ask.service);
                self.reply(ask.client, &ask.reply, &body);
            }
            Err((code, text)) => {
                let id = RequestId {
                    asker: self.me.0,
                    number,
                    attempt: ask.attempt,
                };
                self.fail(ask.client, &ask.reply, code, &text, &id.to_string());
                self.outputs.push_back(Output::Failed {
                    id,
                    service: ask.service,
                    code,
                    text,
                });
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
            let seconds = ask.until.saturating_sub(ask.since).as_secs_f64();
            let where_it_is = match (ask.placed, ask.attempt) {
                (Some(_), _) => "a worker has it and may still do it",
                (None, 0) => "it waited for a worker, or was lost with a node or a link",
                (None, _) => "its workers were lost, and no other took it in time",
            };
            let text = format!("no answer within {seconds} s: {where_it_is}");
            let service = ask.service.clone();
            self.count_failure(&service, number, now);
            self.end_ask(number, Err((Code::Timeout, text)), now);
        }
        self.asks.drop_old_deadlines();
    }

    /// Nodes that were here `before` have gone, with workers that had requests, or with requests
    /// that waited there for workers.
    pub(super) fn lose_asks_of_gone(&mut self, before: &HashSet<Instance>, now: Time) {
        let gone = |node: Instance| before.contains(&node) && !self.here.contains(&node);
        let lost = self.asks.those(|ask| ask.placed.is_some_and(gone));
        let unsure = |ask: &Ask| ask.placed.is_none() && ask.asked.is_some_and(gone);
        // Of one whose owner has gone nobody knows whether a worker has it.
        let unsure = self.asks.those(|ask| ask.kept.is_some() && unsure(ask));
        for number in lost {
            let attempt = self.asks.get_mut(number).map_or(0, |ask| ask.attempt);
            let text = "the node of its worker has gone: it may have been done".into();
            self.fail_attempt(number, attempt, Code::WorkerLost, text, now);
        }
        for number in unsure {
            // If there is no time for it, its deadline is near.
            self.retry(number, now);
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
        let id = match &reply.form {
            Form::Named(name) => &name[..],
            Form::Plain | Form::Majordomo(..) => id.as_bytes(),
        };
        let mut last = Vec::with_capacity(id.len() + 9);
        crate::zmtp::frames::put_header(&mut last, false, id.len());
        last.extend_from_slice(id);
        let error = [b"$zmesh.error", code.name().as_bytes(), text.as_bytes()];
        let mut frames = head(reply, true);
        if let Form::Named(_) = reply.form {
            // The name stands in the error.
            frames.truncate(usize::from(reply.delimiter));
        }
        frames.extend(error);
        self.push(client, &frames, &last.into());
    }

    fn reply(&mut self, client: ClientId, reply: &Reply, body: &Bytes) {
        self.push(client, &head(reply, true), body);
    }

    /// A part of an answer. Of those who ask only clients of MDP/0.2 know of such.
    pub(super) fn hear_part(&mut self, number: u64, body: &Bytes) {
        let Some(ask) = self.asks.asks.get(&number) else {
            return;
        };
        if let Form::Majordomo(Version::V2, _) = &ask.reply.form {
            let (client, reply) = (ask.client, ask.reply.clone());
            self.push(client, &head(&reply, false), body);
        }
    }

    /// Puts a message behind what waits for a client.
    pub(super) fn push(&mut self, id: ClientId, frames: &[&[u8]], body: &Bytes) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        if client.out.bytes() >= self.limits.bytes {
            self.outputs.push_back(Output::CloseClient(id));
            return;
        }
        if client.out.push(frames, body) {
            self.outputs.push_back(Output::Client(id));
        }
    }
}

/// What stands before the body of an answer, or of a part of one.
fn head(reply: &Reply, last: bool) -> Vec<&[u8]> {
    let mut frames: Vec<&[u8]> = Vec::new();
    if reply.delimiter {
        frames.push(b"");
    }
    match &reply.form {
        Form::Plain => {}
        Form::Named(name) => frames.extend([b"$zmesh.reply", &name[..]]),
        Form::Majordomo(version, service) => {
            frames.push(version.client());
            if *version == Version::V2 {
                frames.push(if last { &[3] } else { &[2] });
            }
            frames.push(service);
        }
    }
    frames
}
