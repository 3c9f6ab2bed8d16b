//! Links between the processes of the world: one dialed each way, in order, until they break and
//! lose what was on its way.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use zmesh_node::forward::{Batch, Instance, Message, Time};

use crate::oracle::Kind;
use crate::plan::Planted;
use crate::world::World;

/// Messages on their way in one direction, before writers have to wait.
const ROOM: usize = 4;

/// Which side of a connection believes what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The dialer has yet to hear that it was accepted.
    Opening,
    Open,
    Closed,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) dialer: Instance,
    pub(crate) acceptor: Instance,
    to: VecDeque<Message>,
    back: VecDeque<Message>,
    dialer_end: End,
    acceptor_end: End,
    opens: Time,
    broken: bool,
    /// The dialer's membership has dropped the acceptor.
    pub(crate) doomed: bool,
    dialer_notices: Time,
    acceptor_notices: Time,
}

impl Session {
    pub(crate) fn is_idle(&self) -> bool {
        let open = self.dialer_end == End::Open && self.acceptor_end == End::Open;
        open && self.to.is_empty() && self.back.is_empty() && !self.broken && !self.doomed
    }
}

impl World {
    pub(crate) fn move_links(&mut self) {
        let ids: Vec<u64> = self.sessions.keys().copied().collect();
        for id in ids {
            if let Some(mut session) = self.sessions.remove(&id) {
                self.move_session(id, &mut session);
                if (session.dialer_end, session.acceptor_end) != (End::Closed, End::Closed) {
                    self.sessions.insert(id, session);
                }
            }
        }
        self.dial();
    }

    fn dial(&mut self) {
        for dialer in self.instances() {
            let targets: Vec<_> = self.process(dialer).membership.others().collect();
            for target in targets {
                let (acceptor, now) = (target.instance(), self.now);
                let process = self.process(dialer);
                let from = process.record.id;
                let waits = process.next_dial.get(&acceptor).is_some_and(|at| *at > now);
                if waits || process.dialed.contains_key(&acceptor) {
                    continue;
                }
                let cut = self
                    .cuts
                    .get(&(from, target.id))
                    .is_some_and(|until| *until > now);
                if !cut && self.processes.contains_key(&acceptor) && self.dice.chance(0.5) {
                    self.accept(dialer, acceptor);
                }
            }
        }
    }

    /// The acceptor is the first to know of a connection.
    fn accept(&mut self, dialer: Instance, acceptor: Instance) {
        let id = self.fresh();
        let session = Session {
            dialer,
            acceptor,
            to: VecDeque::new(),
            back: VecDeque::new(),
            dialer_end: End::Opening,
            acceptor_end: End::Open,
            opens: self.soon(60),
            broken: false,
            doomed: false,
            dialer_notices: self.now,
            acceptor_notices: self.now,
        };
        self.trace("accepts", &(acceptor, dialer, id));
        self.sessions.insert(id, session);
        self.process(dialer).dialed.insert(acceptor, id);
        let process = self.process(acceptor);
        process.replies_wait.insert(dialer);
        if let Some(old) = process.accepted.insert(dialer, id)
            && let Some(old) = self.sessions.get_mut(&old)
        {
            // A newer one has taken its place: nothing more is read from it.
            old.acceptor_end = End::Closed;
        }
        self.input(acceptor, |router, now| router.handle_accepted(dialer, now));
        if self.dice.chance(self.plan.resets) && !self.calm {
            self.break_session(id);
        }
    }

    fn move_session(&mut self, id: u64, session: &mut Session) {
        let pump = self.pump_of(session);
        if session.dialer_end == End::Opening && session.opens <= self.now {
            self.open(session);
        }
        if session.doomed && session.dialer_end == End::Open && self.dice.chance(0.6) {
            self.cut_short(session);
            session.dialer_notices = self.now;
        }
        for _ in 0..ROOM {
            if self.dice.chance(pump) {
                self.write_message(session);
            }
            if self.dice.chance(pump) {
                self.read_message(session);
            }
            if self.dice.chance(pump) {
                self.write_reply(session);
            }
            if self.dice.chance(pump) {
                self.read_reply(session);
            }
        }
        self.notice(id, session);
    }

    fn pump_of(&self, session: &Session) -> f64 {
        let ends = [session.dialer, session.acceptor].map(|end| self.processes.get(&end));
        if self.calm {
            return 1.0;
        }
        match ends {
            [Some(dialer), Some(acceptor)]
                if self.slow.contains(&(dialer.record.id, acceptor.record.id)) =>
            {
                self.plan.pump / 10.0
            }
            _ => self.plan.pump,
        }
    }

    fn open(&mut self, session: &mut Session) {
        let (dialer, acceptor) = (session.dialer, session.acceptor);
        if session.broken || session.doomed {
            session.dialer_end = End::Open;
            self.cut_short(session);
            session.dialer_end = End::Closed;
            self.forget_dialed(session);
            return;
        }
        session.dialer_end = End::Open;
        self.process(dialer).messages_wait.insert(acceptor);
        self.trace("link up", &(dialer, acceptor));
        self.input(dialer, |router, now| router.handle_link_up(acceptor, now));
    }

    fn write_message(&mut self, session: &mut Session) {
        let (dialer, acceptor) = (session.dialer, session.acceptor);
        let free = session.dialer_end == End::Open && session.to.len() < ROOM;
        if !free || !self.process(dialer).messages_wait.contains(&acceptor) {
            return;
        }
        match self.input(dialer, |router, _| router.take_message(acceptor)) {
            Some(message) if !session.broken => session.to.push_back(message),
            Some(_) => {}
            None => {
                self.process(dialer).messages_wait.remove(&acceptor);
            }
        }
    }

    fn read_message(&mut self, session: &mut Session) {
        let (dialer, acceptor) = (session.dialer, session.acceptor);
        if session.acceptor_end != End::Open {
            return;
        }
        // What is already read is handed over even if the link is held.
        let held = self.process(acceptor).router.is_held(dialer);
        if held && !self.dice.chance(0.05) {
            return;
        }
        let Some(message) = session.to.pop_front().map(arrived) else {
            return;
        };
        self.trace("message", &(dialer, acceptor, summary(&message)));
        self.oracle.note_interest(acceptor, dialer, &message);
        let taken = self.input(acceptor, |router, now| {
            router.handle_message(dialer, message, now)
        });
        if let Err(error) = taken {
            self.oracle
                .report(Kind::Refused, format!("{acceptor:?}: {error}"));
        }
    }

    fn write_reply(&mut self, session: &mut Session) {
        let (dialer, acceptor) = (session.dialer, session.acceptor);
        let free = session.acceptor_end == End::Open && session.back.len() < ROOM;
        if !free || !self.process(acceptor).replies_wait.contains(&dialer) {
            return;
        }
        let reply = self.input(acceptor, |router, _| router.take_reply(dialer));
        let lost = match (&reply, self.plan.planted) {
            (Some(Message::Done { .. }), Some(Planted::LostDone)) => true,
            (Some(Message::Ack { .. }), Some(Planted::LostAck)) => true,
            (Some(Message::InterestAck { .. }), Some(Planted::LostInterestAck)) => true,
            _ => session.broken,
        };
        match reply {
            Some(reply) if !lost => session.back.push_back(reply),
            Some(_) => {}
            None => {
                self.process(acceptor).replies_wait.remove(&dialer);
            }
        }
    }

    fn read_reply(&mut self, session: &mut Session) {
        let (dialer, acceptor) = (session.dialer, session.acceptor);
        if session.dialer_end != End::Open {
            return;
        }
        let Some(reply) = session.back.pop_front() else {
            return;
        };
        self.trace("reply", &(acceptor, dialer, &reply));
        let taken = self.input(dialer, |router, now| {
            router.handle_reply(acceptor, reply, now)
        });
        if let Err(error) = taken {
            self.oracle
                .report(Kind::Refused, format!("{dialer:?}: {error}"));
        }
    }

    /// Breaks a link: an unknown part of what is on its way still arrives.
    pub(crate) fn break_session(&mut self, id: u64) {
        if let Some(mut session) = self.sessions.remove(&id) {
            self.cut_short(&mut session);
            self.sessions.insert(id, session);
        }
    }

    fn cut_short(&mut self, session: &mut Session) {
        if session.broken {
            return;
        }
        session.broken = true;
        let (to, back) = (session.to.len(), session.back.len());
        session.to.truncate(self.dice.below(to + 1));
        session.back.truncate(self.dice.below(back + 1));
        let longest = self.dice.pick(&[0, 100, 1500]).unwrap_or(0);
        session.dialer_notices = self.soon(longest);
        session.acceptor_notices = self.soon(longest);
        self.trace("breaks", &(session.dialer, session.acceptor));
    }

    fn notice(&mut self, id: u64, session: &mut Session) {
        let (dialer, acceptor) = (session.dialer, session.acceptor);
        let now = self.now;
        if session.broken && session.dialer_end == End::Open && session.dialer_notices <= now {
            session.dialer_end = End::Closed;
            self.forget_dialed(session);
            self.trace("link down", &(dialer, acceptor));
            self.input(dialer, |router, now| router.handle_link_down(acceptor, now));
        }
        let over = session.broken && session.acceptor_notices <= now;
        if session.acceptor_end == End::Open && over {
            session.acceptor_end = End::Closed;
            let process = self.process(acceptor);
            if process.accepted.get(&dialer) == Some(&id) {
                process.accepted.remove(&dialer);
                if !process.membership.holds_alive(dialer) {
                    self.oracle.forget_interest(acceptor, dialer);
                }
                self.trace("accepted closed", &(acceptor, dialer));
                self.input(acceptor, |router, _| router.handle_accepted_closed(dialer));
            }
        }
        if session.acceptor_end == End::Closed {
            self.cut_short(session);
        }
    }

    fn forget_dialed(&mut self, session: &Session) {
        let next = self.soon(100);
        let process = self.process(session.dialer);
        process.dialed.remove(&session.acceptor);
        process.next_dial.insert(session.acceptor, next);
    }

    /// A process has gone: its ends are closed, the others find out.
    pub(crate) fn hang_up(&mut self, gone: Instance) {
        let ids: Vec<u64> = self.sessions.keys().copied().collect();
        for id in ids {
            let Some(mut session) = self.sessions.remove(&id) else {
                continue;
            };
            if session.dialer == gone || session.acceptor == gone {
                self.cut_short(&mut session);
            }
            if session.dialer == gone {
                session.dialer_end = End::Closed;
            }
            if session.acceptor == gone {
                session.acceptor_end = End::Closed;
            }
            if (session.dialer_end, session.acceptor_end) != (End::Closed, End::Closed) {
                self.sessions.insert(id, session);
            }
        }
    }

    /// Ends what keeps links from being made.
    pub(crate) fn heal(&mut self) {
        self.cuts.clear();
        let now = self.now + Duration::from_millis(1);
        for process in self.processes.values_mut() {
            process.next_dial.retain(|_, at| *at <= now);
        }
    }
}

/// A message as the other side reads it: what lay in pieces is one buffer.
fn arrived(message: Message) -> Message {
    let flat = |batch: Batch| {
        let body = Bytes::from(batch.body.concat());
        Batch::received(batch.origin, batch.headers, body)
    };
    match message {
        Message::Publish(batch) => Message::Publish(flat(batch)),
        Message::Deliver(batch) => Message::Deliver(flat(batch)),
        other => other,
    }
}

fn summary(message: &Message) -> String {
    let batch = |kind: &str, batch: &Batch| {
        let headers = batch.headers.iter();
        let headers: Vec<_> = headers
            .map(|header| {
                (
                    header.partition,
                    header.first,
                    header.last(),
                    header.messages,
                )
            })
            .collect();
        format!("{kind} {:?} {headers:?}", batch.origin)
    };
    match message {
        Message::Publish(found) => batch("publish", found),
        Message::Deliver(found) => batch("deliver", found),
        other => format!("{other:?}"),
    }
}
