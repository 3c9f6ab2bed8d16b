//! A link that this process makes, and makes again when it breaks.

use zmesh_node::forward::{Message, Router};
use zmesh_node::link::timing::{FIRST_PAUSE, LAST_PAUSE, OPEN_TIMEOUT};
use zmesh_node::link::wire::{self, Head, Hello};

use super::carrying::{Carrying, messages};
use super::{LIMITS, Target};
use crate::sim::Time;
use crate::sim::network::End;
use crate::sim::outside::Outside;
use crate::sim::process::ProcessId;
use crate::sim::stream::Stream;

#[derive(Debug)]
pub(super) enum Wire {
    Pause(Time),
    Connecting(End, Time),
    Greeting(Stream, Time),
    Up(Carrying),
}

#[derive(Debug)]
pub(super) struct Dial {
    pub(super) target: Target,
    pub(super) wire: Wire,
    pub(super) pause: Time,
}

impl Dial {
    pub(super) fn end(&self) -> Option<End> {
        match &self.wire {
            Wire::Pause(_) => None,
            Wire::Connecting(end, _) => Some(*end),
            Wire::Greeting(stream, _) => Some(stream.end),
            Wire::Up(carrying) => Some(carrying.stream.end),
        }
    }

    pub(super) fn deadline(&self) -> Time {
        match &self.wire {
            Wire::Pause(until) => *until,
            Wire::Connecting(_, since) | Wire::Greeting(_, since) => *since + OPEN_TIMEOUT,
            Wire::Up(carrying) => carrying.next_ping,
        }
    }

    pub(super) fn hang_up(&mut self, router: &mut Router, now: Time, outside: &mut Outside<'_>) {
        if let Some(end) = self.end() {
            outside.close(end);
        }
        if matches!(self.wire, Wire::Up(_)) {
            router.handle_link_down(self.target.instance, now);
        }
    }

    pub(super) fn fail(&mut self, router: &mut Router, now: Time, outside: &mut Outside<'_>) {
        self.hang_up(router, now, outside);
        self.wire = Wire::Pause(now + self.pause);
        self.pause = (self.pause * 2).min(LAST_PAUSE);
    }

    /// Goes on where the connection stands. `None` if it has to go.
    pub(super) fn advance(
        &mut self,
        (process, me, quiet): (ProcessId, Hello, bool),
        router: &mut Router,
        now: Time,
        outside: &mut Outside<'_>,
    ) -> Option<()> {
        if let Wire::Connecting(end, since) = self.wire {
            let mut stream = Stream::new(end, LIMITS);
            stream.queue(wire::encode_head(&Head::Hello(me), false));
            stream.flush(outside);
            self.wire = Wire::Greeting(stream, since);
        }
        let instance = self.target.instance;
        let mut items = Vec::new();
        if let Wire::Greeting(stream, _) = &mut self.wire {
            items = messages(stream, outside)?;
            if items.is_empty() {
                return Some(());
            }
            let (chunk, span) = items.remove(0);
            let hello = wire::decode_head(&chunk, &span).ok()?;
            if !matches!(hello, Head::Hello(hello) if hello.instance == instance.0) {
                return None;
            }
            self.pause = FIRST_PAUSE;
            self.wire = match std::mem::replace(&mut self.wire, Wire::Pause(now)) {
                Wire::Greeting(stream, _) => Wire::Up(Carrying::new(stream, quiet, now)),
                other => other,
            };
            outside.watch.answered(process, instance);
            router.handle_link_up(instance, now);
        }
        let Wire::Up(carrying) = &mut self.wire else {
            return Some(());
        };
        items.extend(carrying.read(now, outside)?);
        for (chunk, span) in items {
            let message: Message = wire::decode(&chunk, &span, instance).ok()?.core()?;
            outside.watch.answered(process, instance);
            if !outside.watch.swallows(&message) {
                router.handle_reply(instance, message, now).ok()?;
            }
        }
        carrying.write(instance, router, now, outside);
        Some(())
    }
}
