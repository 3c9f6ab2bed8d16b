//! Word of what happens, to those of the node's clients who asked for it.

use super::clients::Asked;
use super::lane::LaneId;
use super::own::{self, EVENT_TOPIC};
use super::router::{Output, Router};
use super::{ClientId, Segment, Time};

impl Router {
    /// Something happened: clients that subscribe to its topic are told. `event` is what it is,
    /// such as `member.dead`.
    pub fn handle_event(&mut self, event: &str, json: &[u8], now: Time) {
        let topic = [EVENT_TOPIC, event.as_bytes()].concat();
        let segment = own::event(&topic, json);
        for client in self.clients.watchers_of(&topic) {
            self.tell_client(client, segment.clone(), now);
        }
    }

    /// Puts a message of the node itself into a client's queue.
    pub(super) fn tell_client(&mut self, client: ClientId, segment: Segment, now: Time) {
        let lane = LaneId::default();
        match self
            .clients
            .push(client, segment, lane, &mut self.stats, now)
        {
            // What the node says holds no publisher back.
            Asked::Nothing | Asked::Hold => {}
            Asked::Wake => self.outputs.push_back(Output::Client(client)),
            Asked::Close => self.outputs.push_back(Output::CloseClient(client)),
        }
    }
}
