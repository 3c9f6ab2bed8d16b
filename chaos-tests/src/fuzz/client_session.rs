//! Clients of one node: what they send, cut anyhow on its way, against a model of a publisher's
//! messages and everybody's subscriptions. Each subscriber gets what it asked for, byte for byte
//! and in order; what it does not get is counted.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::time::Duration;

use zmesh_node::config::QueuePolicy;
use zmesh_node::edge::request::Request;
use zmesh_node::forward::{ClientId, Output, Router};
use zmesh_node::zmtp::frames::{FrameError, Item, Span, item_at, put_command, put_header};
use zmesh_node::zmtp::intake::{Arena, Intake, Read, Scanned};

use super::router::{FRAMES, START, conserves, drain, is_empty, roomy, small};
use super::script::Script;
use super::topics::{PREFIXES, TOPICS, put_message};
use super::zmtp_frames::frames;

/// Longer scripts only repeat themselves.
const STEPS: usize = 150;

/// Clients at a time. Those in the first places subscribe, the others publish.
const CLIENTS: usize = 4;
const SUBSCRIBERS: usize = 2;

/// What a node itself says to a client begins so.
const OWN: &[u8] = b"$zmesh.";
const DROPPED: &[u8] = b"$zmesh.dropped";

/// A connection, with what its client should get.
#[derive(Default)]
struct Client {
    intake: Intake,
    scanned: Scanned,
    /// Sent and not yet read by the node.
    sent: Vec<u8>,
    prefixes: BTreeMap<Vec<u8>, u32>,
    expected: VecDeque<Vec<u8>>,
    /// Messages that it was to get and did not.
    missed: u64,
    /// Messages that it was told to be missing, if it has asked for that from the beginning.
    told: Option<u64>,
    has_subscribed: bool,
}

struct Run {
    router: Router,
    now: Duration,
    arena: Arena,
    clients: BTreeMap<ClientId, Client>,
    /// Who is in each place. The number of one that has gone is not used again.
    places: [ClientId; CLIENTS],
    /// No queue ever gets full: nothing may be missing.
    roomy: bool,
}

/// Takes a script.
pub fn run(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let policies = QueuePolicy::ALL.map(|(_, policy)| policy);
    let roomy_one = script.flag();
    let mut run = Run {
        router: if roomy_one {
            roomy()
        } else {
            small(script.pick(&policies))
        },
        now: START,
        arena: Arena::default(),
        clients: BTreeMap::new(),
        places: [1, 2, 3, 4].map(ClientId),
        roomy: roomy_one,
    };
    for _ in 0..STEPS {
        if script.is_over() {
            break;
        }
        run.step(&mut script);
        run.settle();
        conserves(&run.router, run.places.iter());
    }
    run.end();
}

impl Run {
    fn step(&mut self, script: &mut Script) {
        let what = script.byte();
        let client = script.pick(&self.places);
        match what {
            0..=199 => {
                let bytes = say(script, what);
                self.client(client).sent.extend(bytes);
                let piece = usize::from(script.byte());
                self.read(client, if piece < 200 { usize::MAX } else { piece - 199 });
            }
            200..=229 => drop(self.write(client)),
            230..=239 => self.close(client),
            240..=247 => {
                self.now = (self.now + Duration::from_millis(250)).max(self.router.next_deadline());
                self.router.handle_timeout(self.now);
            }
            248..=255 => self.read(client, usize::MAX),
        }
    }

    /// The client, connected anew if it has gone.
    fn client(&mut self, id: ClientId) -> &mut Client {
        let router = &mut self.router;
        self.clients.entry(id).or_insert_with(|| {
            router.handle_client_opened(id);
            Client::default()
        })
    }

    /// Reads so many bytes at most, as a session does.
    fn read(&mut self, id: ClientId, most: usize) {
        let Self { arena, router, .. } = self;
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        if client.sent.is_empty() || is_publisher(id) && !router.may_read(id) {
            return;
        }
        let Client { intake, sent, .. } = client;
        let read = intake.read(arena, |buffer| {
            let count = (buffer.capacity() - buffer.len()).min(sent.len()).min(most);
            buffer.extend_from_slice(&sent[..count]);
            sent.drain(..count);
            Ok(count)
        });
        if let Read::Data(data) = read.expect("reading from memory does not fail") {
            let mut requests = Vec::new();
            let Client {
                intake, scanned, ..
            } = client;
            let scanned = intake.scan::<FrameError>(data, FRAMES, scanned, |body| {
                requests.extend(Request::of_command(body));
                ControlFlow::Continue(())
            });
            let taken = scanned.is_ok() && self.take(id, requests);
            if !taken {
                self.close(id);
            }
        }
    }

    /// Does what a client has sent. `false` if it has to go.
    fn take(&mut self, id: ClientId, mut requests: Vec<Request>) -> bool {
        let Scanned { spans, chunk } = std::mem::take(&mut self.client(id).scanned);
        if !is_publisher(id) {
            requests.extend(
                spans
                    .iter()
                    .filter_map(|span| Request::of_message(&chunk, span)),
            );
        }
        for request in requests {
            if !self.obey(id, request) {
                return false;
            }
        }
        if is_publisher(id) {
            self.expect(&chunk, &spans);
            self.router.handle_publish(id, &chunk, &spans, self.now);
        }
        true
    }

    fn obey(&mut self, id: ClientId, request: Request) -> bool {
        let now = self.now;
        match request {
            Request::Subscribe(prefix) => {
                let taken = self.router.handle_subscribe(id, &prefix, now).is_ok();
                if taken {
                    self.client(id).subscribed(prefix);
                }
                return taken;
            }
            Request::Cancel(prefix) => {
                self.router.handle_unsubscribe(id, &prefix);
                let prefixes = &mut self.client(id).prefixes;
                if let Some(times) = prefixes.get_mut(&prefix) {
                    *times -= 1;
                    if *times == 0 {
                        prefixes.remove(&prefix);
                        self.client(id).told = None;
                    }
                }
            }
            Request::Ping(_) => {}
        }
        true
    }

    /// Notes who should get these messages.
    fn expect(&mut self, chunk: &[u8], spans: &[Span]) {
        for span in spans {
            let topic = span.topic(chunk);
            if topic.starts_with(b"$") {
                continue;
            }
            for client in self.clients.values_mut() {
                if client
                    .prefixes
                    .keys()
                    .any(|prefix| topic.starts_with(prefix))
                {
                    client.expected.push_back(chunk[span.range()].to_vec());
                }
            }
        }
    }

    /// Gives a client one segment of what waits for it. `false` if nothing waits.
    fn write(&mut self, id: ClientId) -> bool {
        let Some(segment) = self.router.take_segment(id, self.now) else {
            return false;
        };
        let roomy = self.roomy;
        let client = self.client(id);
        let (mut at, mut messages) = (0, 0);
        while at < segment.bytes.len() {
            let Ok(Item::Message(span)) = item_at(&segment.bytes, at, FRAMES) else {
                panic!("not whole messages: {:?}", segment.bytes);
            };
            at = span.end as usize;
            messages += 1;
            let message = &segment.bytes[span.range()];
            if span.topic(&segment.bytes).starts_with(OWN) {
                client.was_told(message);
            } else {
                client.got(message, roomy);
            }
        }
        assert_eq!(messages, segment.messages);
        true
    }

    fn close(&mut self, id: ClientId) {
        if self.clients.remove(&id).is_some() {
            self.places[place(id)] = ClientId(id.0 + CLIENTS as u32);
            self.router.handle_client_closed(id, self.now);
        }
    }

    fn settle(&mut self) {
        let mut closing = Vec::new();
        drain(&mut self.router, |output| {
            if let Output::CloseClient(client) = output {
                closing.push(client);
            }
        });
        closing.into_iter().for_each(|client| self.close(client));
        drain(&mut self.router, drop);
    }

    /// Everybody reads to the end, and goes.
    fn end(&mut self) {
        for id in self.places {
            while self.write(id) {
                self.settle();
            }
            if let Some(client) = self.clients.get_mut(&id) {
                let stats = self.router.client_stats(id).expect("it is connected");
                client.missed += client.expected.len() as u64;
                // Word of subscriptions may be dropped too.
                assert!(client.missed <= stats.dropped_messages, "{stats:?}");
                let told = client.told.unwrap_or(stats.dropped_messages);
                assert_eq!(
                    told, stats.dropped_messages,
                    "it was told of each: {stats:?}"
                );
                assert!(client.missed == 0 || !self.roomy);
            }
            self.close(id);
            self.settle();
        }
        conserves(&self.router, self.places.iter());
        is_empty(&self.router);
    }
}

impl Client {
    fn subscribed(&mut self, prefix: Vec<u8>) {
        let first = !std::mem::replace(&mut self.has_subscribed, true);
        if first && prefix == OWN {
            self.told = Some(0);
        }
        *self.prefixes.entry(prefix).or_insert(0) += 1;
    }

    /// Word of the node itself.
    fn was_told(&mut self, message: &[u8]) {
        let frames = frames(message);
        if frames[0] == DROPPED
            && let Some(told) = &mut self.told
        {
            let count: Option<u64> = std::str::from_utf8(frames[1])
                .ok()
                .and_then(|count| count.parse().ok());
            *told += count.expect("word of dropped messages says how many");
        }
    }

    /// What it got is the next that it should get, or a later one.
    fn got(&mut self, message: &[u8], roomy: bool) {
        while let Some(next) = self.expected.pop_front() {
            if next == message {
                return;
            }
            assert!(!roomy, "{next:?} is missing before {message:?}");
            self.missed += 1;
            let told = self.told.unwrap_or(self.missed);
            assert!(
                self.missed <= told,
                "it was not told that {next:?} is missing"
            );
        }
        panic!("nobody sent {message:?} to it, or it came before");
    }
}

fn place(id: ClientId) -> usize {
    (id.0 as usize - 1) % CLIENTS
}

fn is_publisher(id: ClientId) -> bool {
    place(id) >= SUBSCRIBERS
}

/// What a client says next.
fn say(script: &mut Script, what: u8) -> Vec<u8> {
    let mut out = Vec::new();
    let (prefix, topic) = (script.pick(&PREFIXES), script.pick(&TOPICS));
    match what {
        0..=39 => put_command(&mut out, "SUBSCRIBE", prefix),
        40..=49 => put_command(&mut out, "CANCEL", prefix),
        50..=69 => {
            let say = if what < 60 { 1 } else { 0 };
            put_header(&mut out, false, 1 + prefix.len());
            out.push(say);
            out.extend_from_slice(prefix);
        }
        70..=149 => put_message(&mut out, topic, script.below(3), script.below(256)),
        150..=179 => {
            for _ in 0..script.below(8) {
                put_message(
                    &mut out,
                    script.pick(&TOPICS),
                    1,
                    usize::from(script.byte() & 7),
                );
            }
        }
        180..=184 => put_command(&mut out, "PING", script.bytes(5)),
        _ => {
            let length = usize::from(script.byte() & 63);
            out.extend_from_slice(script.bytes(length));
        }
    }
    out
}

/// See [`super::Target::examples`].
pub fn examples() -> Vec<Vec<u8>> {
    let subscribe: &[u8] = &[0, 0, 1, 0, 0, 55, 1, 0, 0, 0, 0, 1, 5, 0, 0];
    let publish: &[u8] = &[
        70, 2, 0, 1, 2, 30, 0, 150, 3, 0, 0, 5, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 0,
    ];
    let cut: &[u8] = &[
        70, 2, 0, 0, 1, 200, 210, 248, 2, 70, 3, 0, 1, 0, 0, 201, 248, 3,
    ];
    let read: &[u8] = &[200, 0, 200, 1, 200, 0];
    let leave: &[u8] = &[40, 0, 1, 0, 0, 60, 1, 0, 0, 0, 230, 1, 240, 0];
    let raw: &[u8] = &[
        190, 2, 0, 0, 7, 1, 1, b'a', 0, 2, b'x', b'y', 0, 190, 0, 0, 0, 2, 0x80, 1, 0,
    ];
    let all = [
        subscribe, publish, read, cut, read, leave, publish, raw, read,
    ]
    .concat();
    let asks: &[u8] = &[0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 1, 5, 0, 0, 0, 1, 1, 0, 0];
    let asked = [
        asks,
        &publish.repeat(12),
        read,
        publish,
        read,
        &publish.repeat(9),
        read,
    ]
    .concat();
    let flood = [subscribe, &publish.repeat(12), read, publish].concat();
    let mut examples = vec![[&[1][..], &all].concat()];
    for policy in 0..4 {
        examples.push([&[0, policy][..], &all].concat());
        examples.push([&[0, policy][..], &flood].concat());
        examples.push([&[0, policy][..], &asked].concat());
    }
    examples
}
