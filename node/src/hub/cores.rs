//! Requests and work queues: inputs and looks, as for the forwarding core.

use super::{Hub, Side};
use crate::forward::Time;
use crate::queues::{self, Queues};
use crate::services::{self, Code, RequestId, Services};

impl Hub {
    /// One input to what requests go through; afterwards whoever is concerned is woken.
    pub(crate) fn input_services<T>(&self, input: impl FnOnce(&mut Services, Time) -> T) -> T {
        let mut services = self.services.borrow_mut();
        let due = services.next_deadline();
        let result = input(&mut services, self.now());
        while let Some(output) = services.poll_output() {
            match output {
                services::Output::Client(id) => self.wake_client(id, false),
                services::Output::CloseClient(id) => self.wake_client(id, true),
                services::Output::Link(peer) => self.wake_link(peer, Side::Dialed),
                services::Output::Failed {
                    id,
                    service,
                    code,
                    text,
                } => self.log_failed(id, &service, code, &text),
            }
        }
        let next = services.next_deadline();
        if next.is_some_and(|next| due.is_none_or(|due| next < due)) {
            self.services_due.notify_one();
        }
        result
    }

    /// One input to the work queues; afterwards whoever is concerned is woken.
    pub(crate) fn input_queues<T>(&self, input: impl FnOnce(&mut Queues, Time) -> T) -> T {
        let mut queues = self.queues.borrow_mut();
        let due = queues.next_deadline();
        let result = input(&mut queues, self.now());
        while let Some(output) = queues.poll_output() {
            match output {
                queues::Output::Client(id) => self.wake_client(id, false),
                queues::Output::CloseClient(id) => self.wake_client(id, true),
                queues::Output::Link(peer) => self.wake_link(peer, Side::Dialed),
            }
        }
        let next = queues.next_deadline();
        if next.is_some_and(|next| due.is_none_or(|due| next < due)) {
            self.queues_due.notify_one();
        }
        result
    }

    /// A look at them.
    pub(crate) fn look_queues<T>(&self, look: impl FnOnce(&Queues) -> T) -> T {
        look(&self.queues.borrow())
    }

    /// Every failed request is in the log at `debug`; the first of a kind for a while above that.
    fn log_failed(&self, id: RequestId, service: &[u8], code: Code, text: &str) {
        let service = String::from_utf8_lossy(service);
        let matters = matches!(code, Code::Timeout | Code::WorkerLost);
        if matters && self.is_news(code.name()) {
            tracing::warn!(request = %id, ?service, code = code.name(), "request failed: {text}");
        } else {
            tracing::debug!(request = %id, ?service, code = code.name(), "request failed: {text}");
        }
    }

    /// A look at it.
    pub(crate) fn look_services<T>(&self, look: impl FnOnce(&Services) -> T) -> T {
        look(&self.services.borrow())
    }
}
