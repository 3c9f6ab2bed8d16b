//! Two living processes with one name: the one that has run for less time stops.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::Gossip;
use crate::output::Output;
use crate::packet::{Body, Header};

/// Shortest time between two answers to a namesake.
const ANSWER_INTERVAL: Duration = Duration::from_millis(100);
/// Shortest time between two epochs raised against a namesake.
const CONTEST_INTERVAL: Duration = Duration::from_secs(1);

/// How the quarrel stands.
#[derive(Debug, Default)]
pub(super) struct Twin {
    lost: bool,
    next_answer: Duration,
    next_contest: Duration,
}

impl Twin {
    /// This process is the younger one and has nothing more to say.
    pub(super) fn has_lost(&self) -> bool {
        self.lost
    }

    /// Whether the epoch may be raised again; so two processes that cannot reach each other do
    /// not fill the mesh with their quarrel.
    pub(super) fn may_contest(&mut self, now: Duration) -> bool {
        let may = now >= self.next_contest;
        if may {
            self.next_contest = now + CONTEST_INTERVAL;
        }
        may
    }
}

impl Gossip {
    /// Asks another process with this node's name who of the two is younger.
    pub(super) fn send_twin(&mut self, to: &str) {
        let body = Body::Twin {
            uptime_ms: self.uptime_ms(),
            established: self.join.is_announced(),
            client: self.me().client.clone(),
        };
        self.emit(to, body, Vec::new());
    }

    /// A packet with this node's own id: an echo, or the word of a namesake.
    ///
    /// Only the process with the smaller nonce judges, so that the two never disagree. Running
    /// time decides and not the epoch, because the clocks of two hosts may differ by more.
    pub(super) fn receive_namesake(&mut self, header: &Header, body: &Body) {
        if header.nonce == self.nonce {
            return;
        }
        match body {
            Body::Stop { nonce, client } if *nonce == self.nonce => {
                self.lose(header.address.clone(), client.clone());
            }
            Body::Twin {
                uptime_ms,
                established,
                client,
            } if self.nonce < header.nonce => {
                let mine = (self.join.is_announced(), self.uptime_ms());
                if mine < (*established, *uptime_ms) {
                    self.lose(header.address.clone(), client.clone());
                } else {
                    let client = self.me().client.clone();
                    let body = Body::Stop {
                        nonce: header.nonce,
                        client,
                    };
                    self.emit(&header.address, body, Vec::new());
                }
            }
            _ => self.answer_namesake(header),
        }
    }

    pub(super) fn answer_namesake(&mut self, header: &Header) {
        if self.now >= self.twin.next_answer {
            self.twin.next_answer = self.now + ANSWER_INTERVAL;
            self.send_twin(&header.address);
        }
    }

    fn lose(&mut self, gossip: String, client: String) {
        self.twin.lost = true;
        self.outputs
            .push_back(Output::NameConflict { gossip, client });
    }

    fn uptime_ms(&self) -> u64 {
        u64::try_from(self.now.saturating_sub(self.born).as_millis()).unwrap_or(u64::MAX)
    }
}
