//! The whole mesh as one answer, and as a stream of answers.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

use super::Shared;
use super::api::{Asked, describe_node, list_members, stopping};
use super::connections::slow_connections;
use super::elsewhere::ask_all;
use crate::events::wall_clock_ms;
use crate::forward::{PeerStats, Stats, Times, TopicStats};
use crate::hub::Hub;
use crate::report;

/// Streams at a time; each takes an answer a second.
const STREAMS: usize = 64;

/// Time between two answers of a stream.
const STREAM_EVERY: Duration = Duration::from_secs(1);

/// An answer this young serves others as well: however many look, the mesh is asked about twice a
/// second at most.
const FRESH: Duration = Duration::from_millis(500);

/// Events in an answer about the mesh, and about one node.
const MESH_EVENTS: usize = 200;
const NODE_EVENTS: usize = 50;

/// The last answer about the whole mesh, and places for streams.
pub(crate) struct MeshLook {
    last: Mutex<Option<(Instant, Bytes)>>,
    streams: Arc<Semaphore>,
}

impl Default for MeshLook {
    fn default() -> Self {
        Self {
            last: Mutex::default(),
            streams: Arc::new(Semaphore::new(STREAMS)),
        }
    }
}

/// What the data thread knows at one moment.
struct Look {
    stats: Stats,
    connections: usize,
    peers: Vec<PeerStats>,
    slow: Vec<report::Connection>,
    topics: Vec<TopicStats>,
}

impl Look {
    fn at(hub: &Hub) -> Self {
        let (peers, topics) = hub.look(|router| (router.peer_stats().collect(), router.topics()));
        Self {
            stats: hub.stats(),
            connections: hub.clients.borrow().len(),
            peers,
            slow: slow_connections(hub),
            topics,
        }
    }
}

pub(super) async fn overview(State(shared): Asked) -> Response {
    match look(&shared).await {
        Some(overview) => Json(overview).into_response(),
        None => stopping(),
    }
}

pub(super) async fn topics(State(shared): Asked) -> Response {
    let asked = shared
        .data
        .ask(|hub| hub.look(|router| router.topics()))
        .await;
    match asked {
        Some(topics) => {
            let topics = topics.iter().map(describe_topic).collect();
            Json(report::Topics { topics }).into_response()
        }
        None => stopping(),
    }
}

pub(super) async fn events(State(shared): Asked) -> Json<report::Events> {
    Json(report::Events {
        events: shared.events.latest(usize::MAX),
    })
}

async fn look(shared: &Shared) -> Option<report::Overview> {
    let look = shared.data.ask(Look::at).await?;
    let view = Arc::clone(&shared.view.borrow());
    let names = view.names();
    let down = look.peers.iter().filter(|peer| !peer.up);
    let mut links_down: Vec<String> = down
        .filter_map(|peer| names.get(&peer.instance.0).map(|name| (*name).into()))
        .collect();
    links_down.sort_unstable();
    let pending = look.peers.iter().map(|peer| peer.pending_bytes as u64);
    let bounds = Times::BOUNDS.iter().map(|bound| bound.as_micros() as u64);
    Some(report::Overview {
        node: describe_node(shared, &view, &look.stats, look.connections),
        links_up: look.peers.iter().filter(|peer| peer.up).count() as u32,
        links_down,
        link_pending_bytes: pending.sum(),
        queued_bytes: look.stats.queued_bytes as u64,
        publishers_throttled: look.stats.throttled as u32,
        slow: look.slow,
        topics: look.topics.iter().map(describe_topic).collect(),
        done: report::Latency {
            bounds_us: bounds.collect(),
            counts: look.stats.done_times.counts().to_vec(),
        },
        events: shared.events.latest(NODE_EVENTS),
    })
}

fn describe_topic(topic: &TopicStats) -> report::Topic {
    report::Topic {
        topic: String::from_utf8_lossy(&topic.key).into_owned(),
        partition: topic.partition,
        messages_per_second: topic.messages_per_second,
        bytes_per_second: topic.bytes_per_second,
    }
}

pub(super) async fn mesh(State(shared): Asked) -> Response {
    match mesh_json(&shared).await {
        Some(json) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        None => stopping(),
    }
}

/// The answer about the whole mesh. Who asks while it is being put together waits for the same.
async fn mesh_json(shared: &Shared) -> Option<Bytes> {
    let mut last = shared.mesh.last.lock().await;
    if let Some((at, json)) = &*last
        && at.elapsed() < FRESH
    {
        return Some(json.clone());
    }
    let json = serde_json::to_vec(&gather(shared).await?).ok()?;
    let json = Bytes::from(json);
    *last = Some((Instant::now(), json.clone()));
    Some(json)
}

async fn gather(shared: &Shared) -> Option<report::Mesh> {
    let others = ask_all(shared.others(), Method::GET, "/api/v1/overview".into());
    let (own, others) = tokio::join!(look(shared), others);
    let mut answers = vec![(shared.name.clone(), Ok(own?))];
    answers.extend(others);
    answers.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut events = Vec::new();
    let nodes = answers.into_iter().map(|(name, answer)| {
        let (overview, error) = match answer {
            Ok(overview) => (Some(overview), None),
            Err(error) => (None, Some(error)),
        };
        let overview = overview.map(|mut overview: report::Overview| {
            events.append(&mut overview.events);
            overview
        });
        report::MeshNode {
            name,
            error,
            overview,
        }
    });
    let nodes = nodes.collect();
    events.sort_by(|a, b| (a.at_ms, &a.node, a.seq).cmp(&(b.at_ms, &b.node, b.seq)));
    let surplus = events.len().saturating_sub(MESH_EVENTS);
    events.drain(..surplus);
    let view = Arc::clone(&shared.view.borrow());
    Some(report::Mesh {
        node: shared.name.clone(),
        cluster: shared.cluster.clone(),
        at_ms: wall_clock_ms(),
        members: list_members(shared, &view),
        nodes,
        events,
    })
}

/// A stream of answers about the whole mesh, as server-sent events (WHATWG HTML, section 9.2).
pub(super) async fn stream(State(shared): Asked) -> Response {
    let Ok(place) = Arc::clone(&shared.mesh.streams).try_acquire_owned() else {
        let text = format!("{STREAMS} others watch already: close one of them\n");
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    };
    let start = Watching {
        shared,
        due: Instant::now(),
        _place: place,
    };
    let answers = stream::unfold(start, |mut watching| async move {
        let message = watching.next().await?;
        Some((Ok::<_, Infallible>(message), watching))
    });
    Sse::new(answers).into_response()
}

struct Watching {
    shared: Arc<Shared>,
    due: Instant,
    _place: OwnedSemaphorePermit,
}

impl Watching {
    /// The next message; `None` once the node ends.
    async fn next(&mut self) -> Option<Event> {
        tokio::select! {
            () = tokio::time::sleep_until(self.due.into()) => {}
            () = self.shared.drain.ended() => return None,
        }
        self.due = Instant::now() + STREAM_EVERY;
        let json = mesh_json(&self.shared).await?;
        let event = Event::default().event("mesh").retry(STREAM_EVERY);
        Some(event.data(str::from_utf8(&json).ok()?))
    }
}
