//! The end of a load: everything is handed over, and histories are compared.

use super::{Excuse, Site};
use crate::live::history::order::disagreements;
use crate::live::history::{Findings, Record, Sent};
use crate::live::load::{Loader, topic};
use crate::live::wait;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What came of a load.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Messages sent.
    pub sent: u64,
    /// What all subscribers got; pauses that a fault excuses do not count.
    pub total: Findings,
    /// Neighbours on a topic that two subscribers saw in different orders while its owner stood.
    pub disagreements: u64,
    /// Messages that nodes dropped, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// What the fault measured, in milliseconds.
    pub measured: BTreeMap<String, Vec<u64>>,
    /// Everything that is wrong.
    pub complaints: Vec<String>,
}

impl Site {
    /// Lets the publishers end and waits until all is delivered; compares.
    pub fn finish(&mut self) -> Outcome {
        if !self.plan.history {
            return self.finish_unseen();
        }
        self.say("the load ends");
        self.publishers.iter_mut().for_each(Loader::end);
        self.publishers
            .iter_mut()
            .for_each(|it| it.wait_said("sent", 1));
        let missing = self.wait_last();
        self.end_calm();
        let mut complaints = std::mem::take(&mut self.complaints);
        complaints.extend(missing);
        if !complaints.is_empty() {
            self.save_pages();
        }
        let mut sent = Sent::default();
        for publisher in &mut self.publishers {
            sent.add(&publisher.history());
        }
        let wants = self.plan.subscribers.iter();
        let wanted = wants
            .map(|it| sent.messages(|number| it.wants(number)))
            .sum();
        let messages = sent.messages(|_| true);
        complaints.extend(self.wait_at_rest());
        let counted = self.counted();
        let received: Vec<Vec<Record>> = self.subscribers.iter_mut().map(Loader::history).collect();
        let mut total = Findings::default();
        for (number, records) in received.iter().enumerate() {
            total.add(&self.check(&sent, number, records, &mut complaints));
        }
        if let Some(counted) = counted {
            complaints.extend(self.compare(counted, messages, wanted, total.late));
        }
        let disagreements = disagreements(&received, &sent, self.calms.over());
        if disagreements > 0 {
            complaints.push(format!(
                "subscribers saw topics in different orders: {disagreements} times"
            ));
        }
        Outcome {
            sent: messages,
            total,
            disagreements,
            dropped: self.drops(),
            measured: std::mem::take(&mut self.measured),
            complaints,
        }
    }

    /// Without histories only what was complained of before counts.
    fn finish_unseen(&mut self) -> Outcome {
        let statuses = self.up().into_iter().map(|host| self.nodes[host].status());
        let mut outcome = Outcome::default();
        for status in statuses {
            outcome.sent += status.taken_messages;
            outcome.total.received += status.delivered_messages;
        }
        outcome.dropped = self.drops();
        outcome.complaints = std::mem::take(&mut self.complaints);
        outcome
    }

    /// Keeps what the nodes say of themselves, while they still do.
    fn save_pages(&self) {
        for host in self.up() {
            let node = &self.nodes[host];
            for page in [
                "metrics",
                "api/v1/node",
                "api/v1/connections",
                "api/v1/links",
            ] {
                let text = node.page(&format!("/{page}")).unwrap_or_else(|error| error);
                let file = format!("{}.{}", node.options.name, page.replace('/', "."));
                // A full disk fails the test elsewhere.
                let _ = std::fs::write(self.folder.join(file), text);
            }
        }
    }

    /// Every subscriber gets the last message of every topic of every publisher.
    fn wait_last(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        let up = self.up();
        for (plan, subscriber) in self.plan.subscribers.iter().zip(&self.subscribers) {
            for (number, publish) in (1..).zip(&self.plan.publishers) {
                if !up.contains(&plan.host) || !up.contains(&publish.host) {
                    continue;
                }
                let wanted = (0..publish.topics).filter(|it| plan.wants(*it)).count();
                let end = format!("end {number} ");
                if !wait::comes_true(|| subscriber.said(&end) >= wanted) {
                    let got = subscriber.said(&end);
                    let what = subscriber.what();
                    complaints.push(format!(
                        "{what} got {got} of {wanted} last messages of publisher {number}"
                    ));
                }
            }
        }
        complaints
    }

    fn check(
        &self,
        sent: &Sent,
        number: usize,
        received: &[Record],
        complaints: &mut Vec<String>,
    ) -> Findings {
        let plan = &self.plan.subscribers[number];
        let host_of = |publisher: u16| self.plan.publishers[usize::from(publisher) - 1].host;
        let faults = |publisher| {
            let excuses = self.excuses.iter();
            let concerned = excuses.filter(|it| it.concerns(host_of(publisher), plan.host));
            concerned.map(Excuse::span).collect()
        };
        let found = sent.check(received, |number| plan.wants(number), faults);
        let mut total = Findings::default();
        for (publisher, found) in found {
            if found.is_bad() {
                let what = self.subscribers[number].what();
                complaints.push(format!(
                    "{what} of publisher {publisher}: {}",
                    self.describe(&found)
                ));
            }
            total.add(&found);
        }
        total
    }

    fn describe(&self, found: &Findings) -> String {
        let Findings {
            lost,
            doubled,
            out_of_order,
            unknown,
            ..
        } = found;
        let first = found.first_lost.map_or(String::new(), |it| {
            let seconds = (it.at as f64 - self.began as f64) / 1e9;
            format!(
                ", the first number {} on {} at {seconds:.3}",
                it.number,
                topic(it.topic)
            )
        });
        format!(
            "lost {lost}, doubled {doubled}, out of order {out_of_order}, unknown {unknown}{first}"
        )
    }
}
