//! The pusher's node: keeps each task until its owner says that it is safe.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use bytes::Bytes;

use super::message::Pushed;
use super::{Message, Output, Queues};
use crate::forward::{ClientId, Instance, compact};

/// Tasks of a queue that are on their way to its owner at a time, and their bytes: as many as an
/// owner may have to hold of each node over its limit.
const WINDOW_TASKS: usize = 8192;
const WINDOW_BYTES: usize = 4 << 20;

/// Tasks in one message to an owner.
const BATCH_TASKS: usize = 512;
const BATCH_BYTES: usize = 256 << 10;

/// What a task takes beside its bytes.
const OVERHEAD_BYTES: usize = 64;

#[derive(Debug)]
struct Push {
    client: ClientId,
    task: Pushed,
}

/// What waits for the owner of one queue.
#[derive(Debug)]
struct Outgoing {
    owner: Instance,
    tasks: VecDeque<Push>,
    /// The first of them are on their way, with so many bytes.
    sent: usize,
    sent_bytes: usize,
    /// The number of the last of them; 0 if none was sent to this owner.
    last: u64,
}

/// A client with a PUSH socket.
#[derive(Debug, Default)]
struct Pusher {
    tasks: usize,
    bytes: usize,
}

/// All of this node's clients.
#[derive(Debug, Default)]
pub(super) struct Pushes {
    queues: BTreeMap<Bytes, Outgoing>,
    pushers: HashMap<ClientId, Pusher>,
    last: u64,
    tasks: usize,
    bytes: usize,
    /// Tasks that were safe.
    pub(super) taken: u64,
}

impl Outgoing {
    /// Whatever was on its way may have arrived, and may not.
    fn begin_again(&mut self) {
        let sent = self.tasks.iter_mut().take(self.sent);
        sent.for_each(|push| push.task.again = true);
        (self.sent, self.sent_bytes, self.last) = (0, 0, 0);
    }
}

impl Pushes {
    pub(super) fn len(&self) -> usize {
        self.tasks
    }
}

impl Queues {
    /// A PUSH socket has connected.
    pub fn handle_pusher_opened(&mut self, client: ClientId) {
        self.pushes.pushers.insert(client, Pusher::default());
    }

    /// It has gone. What it has pushed stays.
    pub fn handle_pusher_closed(&mut self, client: ClientId) {
        self.pushes.pushers.remove(&client);
    }

    /// The numbers, in the order of their coming, of tasks that are not safe yet.
    pub fn untaken(&self) -> BTreeSet<u64> {
        let queues = self.pushes.queues.values();
        queues
            .flat_map(|it| it.tasks.iter().map(|push| push.task.number))
            .collect()
    }

    /// Whether more may be read from a pusher. If not, [`Output::Client`] says when.
    pub fn may_read(&self, client: ClientId) -> bool {
        let (pushes, limits) = (&self.pushes, &self.limits);
        let Some(pusher) = pushes.pushers.get(&client) else {
            return true;
        };
        let own = pusher.tasks < limits.pusher_tasks && pusher.bytes < limits.pusher_bytes;
        // One that waits for nothing gets its turn however much the others have.
        own && (pusher.tasks == 0 || pushes.bytes < limits.untaken_bytes)
    }

    /// A task from a client; sent on by [`Queues::flush`].
    pub(super) fn push_task(&mut self, client: ClientId, queue: Bytes, body: &Bytes) {
        let owner = self.owner_of(&queue);
        let pushes = &mut self.pushes;
        pushes.last += 1;
        let body = compact(body);
        let bytes = OVERHEAD_BYTES + body.len();
        pushes.tasks += 1;
        pushes.bytes += bytes;
        if let Some(pusher) = pushes.pushers.get_mut(&client) {
            pusher.tasks += 1;
            pusher.bytes += bytes;
        }
        let task = Pushed {
            number: pushes.last,
            again: false,
            body,
        };
        let push = Push { client, task };
        let outgoing = pushes.queues.entry(queue).or_insert(Outgoing {
            owner,
            tasks: VecDeque::new(),
            sent: 0,
            sent_bytes: 0,
            last: 0,
        });
        outgoing.tasks.push_back(push);
    }

    /// Sends what may be on its way.
    pub(super) fn send_pushes(&mut self, queue: &Bytes) {
        let mut batches = Vec::new();
        let Some(outgoing) = self.pushes.queues.get_mut(queue) else {
            return;
        };
        let owner = outgoing.owner;
        let (mut tasks, mut bytes) = (Vec::new(), 0);
        while outgoing.sent < WINDOW_TASKS
            && outgoing.sent_bytes < WINDOW_BYTES
            && let Some(push) = outgoing.tasks.get(outgoing.sent)
        {
            outgoing.sent += 1;
            outgoing.sent_bytes += push.task.body.len();
            bytes += push.task.body.len();
            tasks.push(push.task.clone());
            if tasks.len() >= BATCH_TASKS || bytes >= BATCH_BYTES {
                batches.push(std::mem::take(&mut tasks));
                bytes = 0;
            }
        }
        if !tasks.is_empty() {
            batches.push(tasks);
        }
        let mut messages = Vec::new();
        for tasks in batches {
            let after = outgoing.last;
            outgoing.last = tasks.last().map_or(after, |task: &Pushed| task.number);
            let queue = queue.clone();
            messages.push(Message::Push {
                queue,
                after,
                tasks,
            });
        }
        for message in messages {
            self.send(owner, message);
        }
    }

    /// What was pushed up to this number is safe.
    pub(super) fn taken(&mut self, queue: &Bytes, number: u64) {
        let limits = self.limits;
        let pushes = &mut self.pushes;
        let Some(outgoing) = pushes.queues.get_mut(queue) else {
            return;
        };
        while outgoing
            .tasks
            .front()
            .is_some_and(|push| push.task.number <= number)
            && let Some(push) = outgoing.tasks.pop_front()
        {
            if outgoing.sent > 0 {
                outgoing.sent -= 1;
                outgoing.sent_bytes -= push.task.body.len();
            }
            let bytes = OVERHEAD_BYTES + push.task.body.len();
            pushes.tasks -= 1;
            pushes.bytes -= bytes;
            pushes.taken += 1;
            if let Some(pusher) = pushes.pushers.get_mut(&push.client) {
                let was_full =
                    pusher.tasks >= limits.pusher_tasks || pusher.bytes >= limits.pusher_bytes;
                pusher.tasks -= 1;
                pusher.bytes -= bytes;
                let is_full =
                    pusher.tasks >= limits.pusher_tasks || pusher.bytes >= limits.pusher_bytes;
                if was_full && !is_full {
                    self.outputs.push_back(Output::Client(push.client));
                }
            }
        }
        if outgoing.tasks.is_empty() {
            pushes.queues.remove(queue);
        }
        let over = pushes.bytes >= limits.untaken_bytes;
        if std::mem::replace(&mut self.was_over, over) && !over {
            let pushers = self.pushes.pushers.keys();
            self.outputs
                .extend(pushers.map(|client| Output::Client(*client)));
        }
        self.send_pushes(queue);
    }

    /// Whatever was on its way to a node may not have arrived.
    pub(super) fn push_again(&mut self, peer: Instance) {
        let queues = self.pushes.queues.iter_mut();
        let mut again = Vec::new();
        for (queue, outgoing) in queues.filter(|(_, it)| it.owner == peer) {
            outgoing.begin_again();
            again.push(queue.clone());
        }
        for queue in again {
            self.send_pushes(&queue);
        }
    }

    /// An owner misses something.
    pub(super) fn push_queue_again(&mut self, from: Instance, queue: &Bytes) {
        let outgoing = self.pushes.queues.get_mut(queue);
        if let Some(outgoing) = outgoing.filter(|outgoing| outgoing.owner == from) {
            outgoing.begin_again();
            self.send_pushes(queue);
        }
    }

    /// The ring has changed: other owners get what is not safe yet.
    pub(super) fn redirect_pushes(&mut self) {
        let ring = &self.ring;
        let me = self.me;
        let mut moved = Vec::new();
        for (queue, outgoing) in &mut self.pushes.queues {
            let owner = super::owner_in(ring, queue).unwrap_or(me);
            if owner != outgoing.owner {
                outgoing.owner = owner;
                outgoing.begin_again();
                moved.push(queue.clone());
            }
        }
        for queue in moved {
            self.send_pushes(&queue);
        }
    }

    /// Before more is read: whether pushers have too much together.
    pub(super) fn note_fullness(&mut self) {
        self.was_over = self.pushes.bytes >= self.limits.untaken_bytes;
    }
}
