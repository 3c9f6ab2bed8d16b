//! Work queues: a task that a PUSH socket sends to any node is kept, in two places, until a worker
//! at any node has done it.
//!
//! [`Queues`] is a pure state machine like the forwarding core: one input (`handle_*`), then drain
//! [`Queues::poll_output`], then wait for the next input or [`Queues::next_deadline`].
//!
//! A task passes three places, each with its file: `pushes` (the pusher's node keeps it until it is
//! safe), `owner` (the owner of the queue has it, gives it to workers, and again to another) and
//! `workers` (the worker's node hands it over, and tells the owner what became of it). `copies` is
//! how the first successor of the owner has everything, too, and goes on when the owner dies.

mod copies;
mod links;
pub mod message;
mod moves;
mod owner;
mod pushes;
mod seats;
mod stats;
mod store;
mod verbs;
mod workers;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use zmesh_partition::{Partition, Table};

use self::copies::Copies;
use self::links::Due;
pub use self::message::{Message, TaskId};
use self::owner::Owned;
pub use self::owner::{MAX_ATTEMPTS, TASK_TIME};
use self::pushes::Pushes;
pub use self::stats::{Counts, QueueStats, Stats};
use self::verbs::Verb;
pub use self::verbs::is_about_queues;
use self::workers::Workers;
use crate::forward::{ClientId, Instance, Ring, Time};
use crate::zmtp::frames::{Span, put_header};

/// A queue has a name of at most so many bytes.
pub const MAX_QUEUE_BYTES: usize = 255;

/// A worker takes at most so many tasks at a time of one queue.
pub const MAX_CREDIT: u32 = 10_000;

/// What the core may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Tasks of one queue, and their bytes with 128 for each. What is beyond stays at its pusher.
    pub queue_tasks: usize,
    /// See above.
    pub queue_bytes: usize,
    /// Queues that a node owns.
    pub queues: usize,
    /// Tasks of one queue that were given too often; the oldest make room.
    pub dead_tasks: usize,
    /// Their bytes.
    pub dead_bytes: usize,
    /// Tasks of one pusher that are not safe yet, and their bytes; it is not read over that.
    pub pusher_tasks: usize,
    /// See above.
    pub pusher_bytes: usize,
    /// Bytes of all of them.
    pub untaken_bytes: usize,
    /// Bytes that wait for one worker.
    pub client_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            queue_tasks: 1_000_000,
            queue_bytes: 512 << 20,
            queues: 10_000,
            dead_tasks: 10_000,
            dead_bytes: 64 << 20,
            pusher_tasks: 20_000,
            pusher_bytes: 4 << 20,
            untaken_bytes: 256 << 20,
            client_bytes: 256 << 20,
        }
    }
}

/// What the driver has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A client has something to write, or may be read again.
    Client(ClientId),
    /// A client must be disconnected: it does not read its tasks.
    CloseClient(ClientId),
    /// There is something for the link to this node.
    Link(Instance),
}

/// See the module.
#[derive(Debug)]
pub struct Queues {
    me: Instance,
    limits: Limits,
    ring: Arc<Ring>,
    old_ring: Arc<Ring>,
    /// Other nodes that are held alive.
    here: HashSet<Instance>,
    /// When the ring last changed.
    ring_since: Time,
    pushes: Pushes,
    owned: BTreeMap<Bytes, Owned>,
    copies: Copies,
    workers: Workers,
    /// What waits for the link to each node.
    links: BTreeMap<Instance, VecDeque<Message>>,
    due: Due,
    /// From this node to itself.
    inbox: VecDeque<Message>,
    outputs: VecDeque<Output>,
    next_tick: Option<Time>,
    /// Whether the pushers had too much together.
    was_over: bool,
    leaving: bool,
    /// The last number of a change or a part.
    seq: u64,
    /// Counts of queues that have moved away.
    past: Counts,
}

/// The first owner of a queue.
fn owner_in(ring: &Ring, queue: &[u8]) -> Option<Instance> {
    ring.owners(Partition::of_topic(queue)).next()
}

impl Queues {
    /// A node that knows of nobody else.
    pub fn new(me: Instance, limits: Limits) -> Self {
        let ring = Arc::new(Ring::new(Table::empty(), HashMap::new()));
        Self {
            me,
            limits,
            old_ring: Arc::clone(&ring),
            ring,
            here: HashSet::new(),
            ring_since: Time::ZERO,
            pushes: Pushes::default(),
            owned: BTreeMap::new(),
            copies: Copies::new(),
            workers: Workers::default(),
            links: BTreeMap::new(),
            due: Due::default(),
            inbox: VecDeque::new(),
            outputs: VecDeque::new(),
            next_tick: None,
            was_over: false,
            leaving: false,
            seq: 0,
            past: Counts::default(),
        }
    }

    /// What is to be done, oldest first; to be drained after each input.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Queues::handle_timeout`] is to be called, if ever.
    pub fn next_deadline(&self) -> Option<Time> {
        self.next_tick
    }

    /// It is time to look through the queues.
    pub fn handle_timeout(&mut self, now: Time) {
        self.look_through(now);
        self.settle(now);
    }

    /// The members or the ring have changed.
    pub fn handle_topology(&mut self, here: HashSet<Instance>, ring: Arc<Ring>, now: Time) {
        let same = Arc::ptr_eq(&self.ring, &ring);
        if same && self.here == here {
            return;
        }
        self.here = here;
        if !same {
            self.old_ring = std::mem::replace(&mut self.ring, ring);
            self.ring_since = now;
            self.owned.values_mut().for_each(|it| it.all_here = false);
        }
        self.forget_links();
        self.promote_copies(now);
        self.lose_places(now);
        self.redirect_pushes();
        let before = Arc::clone(&self.old_ring);
        if !same {
            self.move_seats(&before);
        }
        for queue in self.owned.keys().cloned().collect::<Vec<_>>() {
            self.choose_copy(&queue);
            self.move_on(&queue);
            self.advance(&queue, now);
        }
        self.settle(now);
    }

    /// A message came over the link from a node.
    pub fn handle_message(&mut self, from: Instance, message: Message, now: Time) {
        self.take(from, message, now);
        self.settle(now);
    }

    /// Tasks from a PUSH socket. Returns what is wrong with the last that was none.
    pub fn handle_pushes(
        &mut self,
        client: ClientId,
        chunk: &Bytes,
        spans: &[Span],
        now: Time,
    ) -> Option<String> {
        let mut touched = BTreeSet::new();
        let mut wrong = None;
        for span in spans {
            match verbs::task(chunk, span) {
                Ok((queue, body)) => {
                    self.push_task(client, queue.clone(), &body);
                    touched.insert(queue);
                }
                Err(text) => wrong = Some(text),
            }
        }
        self.note_fullness();
        for queue in touched {
            self.send_pushes(&queue);
        }
        self.settle(now);
        wrong
    }

    /// A DEALER socket says something that [`is_about_queues`].
    pub fn handle_client_message(
        &mut self,
        client: ClientId,
        chunk: &Bytes,
        span: &Span,
        now: Time,
    ) {
        match verbs::parse(chunk, span) {
            Ok(Verb::Work { queue, credit }) => self.work(client, queue, credit),
            Ok(Verb::Unwork { queue }) => self.unwork(client, queue),
            Ok(Verb::Done { id }) => self.done(client, &id),
            Ok(Verb::Failed { id, reason }) => self.failed(client, &id, reason),
            Err(text) => self.refuse(client, &text),
        }
        self.settle(now);
    }

    /// A DEALER socket has gone.
    pub fn handle_client_closed(&mut self, client: ClientId, now: Time) {
        self.lose_worker(client, now);
        self.settle(now);
    }

    /// The next bytes to write to a client: whole messages.
    pub fn take_segment(&mut self, client: ClientId) -> Option<Bytes> {
        self.workers.workers.get_mut(&client)?.out.pop()
    }

    /// Whether no task is with a client.
    pub fn is_idle(&self, client: ClientId) -> bool {
        !self.workers.is_busy(client)
    }

    /// Whether nothing is left that this node has to do for anyone. If it is the only one, nobody
    /// can take its tasks.
    pub fn owes_nothing(&self) -> bool {
        let nobody = self.here.is_empty();
        let empty = self.owned.values().all(|owned| owned.store.len() == 0);
        let sent = self.links.values().all(VecDeque::is_empty) && self.due.done.is_empty();
        nobody || empty && sent && self.pushes.len() == 0 && self.workers.are_idle()
    }

    /// Tasks that are here and nowhere else when the node ends now.
    pub fn tasks_left(&self) -> usize {
        self.owned
            .values()
            .map(|owned| owned.store.len())
            .sum::<usize>()
            + self.pushes.len()
    }

    /// The node is about to go: its workers get nothing new.
    pub fn handle_leaving(&mut self, now: Time) {
        self.leaving = true;
        let workers: Vec<ClientId> = self.workers.workers.keys().copied().collect();
        for client in workers {
            self.tell_seats_of(client);
        }
        self.settle(now);
    }

    fn take(&mut self, from: Instance, message: Message, now: Time) {
        match message {
            Message::Push {
                queue,
                after,
                tasks,
            } => self.take_pushes(from, queue, after, tasks, now),
            Message::PushAgain { queue } => self.push_queue_again(from, &queue),
            Message::Taken { queue, number } => self.taken(&queue, number),
            Message::Copy {
                queue,
                after,
                seq,
                change,
            } => self.take_change((from, queue), after, seq, change),
            Message::Copied { queue, seq } => self.take_copied(from, &queue, seq, now),
            Message::Seats(seats) => self.take_seats(from, seats, now),
            Message::Seat(seat) => self.take_seat(from, seat, now),
            Message::TellSeats => self.answer_anew(from),
            Message::Give {
                queue,
                worker,
                seq,
                tasks,
            } => self.hand_over(from, queue, worker, seq, tasks),
            Message::Done {
                queue,
                worker,
                tasks,
            } => self.take_done(&queue, (from, worker), tasks, now),
            Message::Failed {
                queue,
                worker,
                tasks,
                reason,
            } => self.take_failed(&queue, (from, worker), tasks, reason, now),
            Message::Move { .. } => self.take_moved(from, message, now),
            Message::Moved { queue, seq } => self.take_moved_ack(from, &queue, seq),
        }
    }

    /// Handles what this node has sent to itself.
    fn settle(&mut self, now: Time) {
        loop {
            let message = self.inbox.pop_front().or_else(|| self.take_due(self.me));
            let Some(message) = message else { return };
            self.take(self.me, message, now);
        }
    }

    fn owner_of(&self, queue: &[u8]) -> Instance {
        owner_in(&self.ring, queue).unwrap_or(self.me)
    }

    /// Words that make no sense are answered with what would.
    fn refuse(&mut self, client: ClientId, text: &str) {
        let mut last = Vec::new();
        put_header(&mut last, false, 0);
        let worker = self.workers.workers.entry(client).or_default();
        let frames = [b"$zmesh.error", &b"bad_request"[..], text.as_bytes()];
        if worker.out.push(&frames, &last.into()) {
            self.outputs.push_back(Output::Client(client));
        }
    }
}
