//! The sections of the screen as rows that can be sorted.

use std::cmp::Ordering;
use std::time::Duration;

use zmesh_node::report::{Connection, Link};

use super::sample::{History, dropped, short};
use crate::output::{Align, Align::*, Table, age, bytes};

/// What is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Nodes,
    Links,
    Topics,
    Clients,
}

impl Section {
    pub(super) const ALL: [Self; 4] = [Self::Nodes, Self::Links, Self::Topics, Self::Clients];

    pub(super) fn name(self) -> &'static str {
        ["Nodes", "Links", "Topics", "Clients"][self as usize]
    }

    /// Its name, with the node that it is about.
    pub(super) fn title(self, history: &History) -> String {
        match self {
            Self::Nodes | Self::Topics => self.name().into(),
            Self::Links | Self::Clients => format!("{} of {}", self.name(), history.now.node),
        }
    }

    /// Column by which it is sorted at first, and whether the greatest comes first.
    pub(super) fn first_order(self) -> (usize, bool) {
        match self {
            Self::Nodes | Self::Links => (0, false),
            Self::Topics => (3, true),
            Self::Clients => (7, true),
        }
    }

    pub(super) fn columns(self) -> &'static [(&'static str, Align)] {
        match self {
            Self::Nodes => &[
                ("NODE", Left),
                ("STATE", Left),
                ("IN/s", Right),
                ("OUT/s", Right),
                ("DROP/s", Right),
                ("P99", Right),
                ("QUEUED", Right),
                ("CLIENTS", Right),
                ("LINKS", Right),
                ("OWNS", Right),
            ],
            Self::Links => &[
                ("PEER", Left),
                ("STATE", Left),
                ("MSG/s", Right),
                ("BYTES/s", Right),
                ("PENDING", Right),
                ("RTT", Right),
                ("PREFIXES", Right),
                ("SESSIONS", Right),
            ],
            Self::Topics => &[
                ("TOPIC", Left),
                ("OWNER", Left),
                ("PARTITION", Right),
                ("MSG/s", Right),
                ("BYTES/s", Right),
            ],
            Self::Clients => &[
                ("CLIENT", Left),
                ("TYPE", Left),
                ("AGE", Right),
                ("PREFIXES", Right),
                ("IN/s", Right),
                ("OUT/s", Right),
                ("DROPPED", Right),
                ("QUEUE", Right),
                ("NOTE", Left),
            ],
        }
    }
}

/// One cell: what is shown, and the number by which it is sorted if it has one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cell {
    pub(super) text: String,
    number: Option<f64>,
}

impl Cell {
    fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            number: None,
        }
    }

    fn number(number: f64, text: String) -> Self {
        Self {
            text,
            number: Some(number),
        }
    }

    fn count(number: impl Into<u64>) -> Self {
        let number = number.into() as f64;
        Self::number(number, short(number))
    }

    fn rate(rate: Option<f64>) -> Self {
        rate.map_or(Self::text(""), |rate| Self::number(rate, short(rate)))
    }

    fn bytes(count: u64) -> Self {
        Self::number(count as f64, bytes(count))
    }

    fn byte_rate(rate: Option<f64>) -> Self {
        rate.map_or(Self::text(""), |rate| {
            Self::number(rate, bytes(rate as u64))
        })
    }

    fn micros(micros: Option<u64>) -> Self {
        micros.map_or(Self::text(""), |micros| {
            let shown = format!("{:.3?}", Duration::from_micros(micros));
            Self::number(micros as f64, trimmed(&shown))
        })
    }

    fn order(&self, other: &Self) -> Ordering {
        match (self.number, other.number) {
            (Some(one), Some(other)) => one.total_cmp(&other),
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (None, None) => self.text.cmp(&other.text),
        }
    }
}

/// A time without zeros that say nothing: `2.500ms` is `2.5ms`.
fn trimmed(shown: &str) -> String {
    let unit = shown.find(|c: char| c != '.' && !c.is_ascii_digit());
    let (number, unit) = shown.split_at(unit.unwrap_or(shown.len()));
    let number = match number.contains('.') {
        true => number.trim_end_matches('0').trim_end_matches('.'),
        false => number,
    };
    format!("{number}{unit}")
}

/// The rows of a section.
pub(super) struct Grid {
    pub(super) section: Section,
    pub(super) rows: Vec<Vec<Cell>>,
}

impl Grid {
    pub(super) fn of(section: Section, history: &History) -> Self {
        let rows = match section {
            Section::Nodes => nodes(history),
            Section::Links => links(history),
            Section::Topics => topics(history),
            Section::Clients => clients(history),
        };
        Self { section, rows }
    }

    /// Rows that are alike in this column stay in the order of the first.
    pub(super) fn sort(&mut self, column: usize, reverse: bool) {
        self.rows.sort_by(|one, other| {
            let order = one[column].order(&other[column]);
            let order = if reverse { order.reverse() } else { order };
            order.then_with(|| one[0].order(&other[0]))
        });
    }

    pub(super) fn to_table(&self) -> Table {
        let mut table = Table::new(self.section.columns());
        for row in &self.rows {
            table.row(row.iter().map(|cell| cell.text.clone()));
        }
        table
    }
}

fn nodes(history: &History) -> Vec<Vec<Cell>> {
    let sample = &history.now;
    let members = sample.mesh.members.iter();
    let rows = members.map(|member| {
        let name = member.name.as_str();
        let silent = sample.mesh.nodes.iter();
        let silent = silent
            .filter(|it| it.error.is_some())
            .any(|it| it.name == name);
        let Some(overview) = sample.overview(name) else {
            let state = match silent && member.state == "alive" {
                true => "silent",
                false => &member.state,
            };
            let mut row = vec![Cell::text(name), Cell::text(state)];
            row.resize(Section::Nodes.columns().len(), Cell::text(""));
            return row;
        };
        let state = match member.state.as_str() {
            "alive" => &overview.node.state,
            other => other,
        };
        let down = overview.links_down.len() as u32;
        let links = match down {
            0 => overview.links_up.to_string(),
            _ => format!("{}/{}", overview.links_up, overview.links_up + down),
        };
        vec![
            Cell::text(name),
            Cell::text(state),
            Cell::rate(history.node_rate(name, |it| it.node.taken_messages)),
            Cell::rate(history.node_rate(name, |it| it.node.delivered_messages)),
            Cell::rate(history.node_rate(name, dropped)),
            Cell::micros(history.done_us(name, 0.99)),
            Cell::bytes(overview.queued_bytes),
            Cell::count(overview.node.connections),
            Cell::number(overview.links_up.into(), links),
            Cell::number(
                overview.node.partitions.into(),
                overview.node.partitions.to_string(),
            ),
        ]
    });
    rows.collect()
}

fn links(history: &History) -> Vec<Vec<Cell>> {
    let before = history.before.as_ref();
    let before = before.filter(|it| it.node == history.now.node);
    let before = before.and_then(|it| it.links.as_ref());
    let earlier = |peer: &str, counter: fn(&Link) -> u64| {
        let mut links = before?.links.iter();
        links.find(|link| link.peer == peer).map(counter)
    };
    let now = history.now.links.iter().flat_map(|it| &it.links);
    let rows = now.map(|link| {
        let rate =
            |counter: fn(&Link) -> u64| history.rate(earlier(&link.peer, counter), counter(link));
        vec![
            Cell::text(&link.peer),
            Cell::text(&link.state),
            Cell::rate(rate(|link| link.messages)),
            Cell::byte_rate(rate(|link| link.bytes)),
            Cell::bytes(link.pending_bytes),
            Cell::micros(link.rtt_us),
            Cell::count(link.prefixes),
            Cell::count(link.sessions),
        ]
    });
    rows.collect()
}

fn topics(history: &History) -> Vec<Vec<Cell>> {
    let overviews = history.now.overviews();
    let rows = overviews.flat_map(|overview| {
        overview.topics.iter().map(|topic| {
            vec![
                Cell::text(&topic.topic),
                Cell::text(&overview.node.name),
                Cell::number(topic.partition.into(), topic.partition.to_string()),
                Cell::rate(Some(topic.messages_per_second)),
                Cell::byte_rate(Some(topic.bytes_per_second)),
            ]
        })
    });
    rows.collect()
}

fn clients(history: &History) -> Vec<Vec<Cell>> {
    let before = history.before.as_ref();
    let before = before.filter(|it| it.node == history.now.node);
    let before = before.and_then(|it| it.clients.as_ref());
    let earlier = |id: u64, counter: fn(&Connection) -> u64| {
        let mut clients = before?.connections.iter();
        clients.find(|client| client.id == id).map(counter)
    };
    let now = history.now.clients.iter().flat_map(|it| &it.connections);
    let rows = now.map(|client| {
        let rate = |counter: fn(&Connection) -> u64| {
            history.rate(earlier(client.id, counter), counter(client))
        };
        vec![
            Cell::text(&client.peer),
            Cell::text(&client.socket_type),
            Cell::number(client.age_seconds, age(client.age_seconds)),
            Cell::count(client.subscriptions),
            Cell::rate(rate(|client| client.taken_messages)),
            Cell::rate(rate(|client| client.delivered_messages)),
            Cell::count(client.dropped_messages),
            Cell::bytes(client.queue_bytes),
            Cell::text(note(client)),
        ]
    });
    rows.collect()
}

/// Whether it does not keep up, or is made to wait.
fn note(client: &Connection) -> String {
    let full = client.full_for_seconds;
    let full = full.map(|seconds| format!("full {}", age(seconds)));
    let held = client.paused.then(|| "held back".to_string());
    let notes: Vec<String> = full.into_iter().chain(held).collect();
    notes.join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::sample::Sample;
    use super::*;
    use zmesh_node::report::{Connections, Links, Member, Mesh, MeshNode, Node, Overview, Topic};

    fn sample(at_ms: u64, taken: u64) -> Sample {
        let member = |name: &str, state: &str| Member {
            name: name.into(),
            state: state.into(),
            ..Member::default()
        };
        let node = Node {
            name: "a".into(),
            state: "ready".into(),
            taken_messages: taken,
            ..Node::default()
        };
        let topic = |name: &str, rate| Topic {
            topic: name.into(),
            messages_per_second: rate,
            ..Topic::default()
        };
        let overview = Overview {
            node,
            topics: vec![topic("slow", 1.0), topic("fast", 1000.0)],
            ..Overview::default()
        };
        let answered = MeshNode {
            name: "a".into(),
            error: None,
            overview: Some(overview),
        };
        let link = Link {
            peer: "b".into(),
            messages: 2 * taken,
            rtt_us: Some(2500),
            ..Link::default()
        };
        let client = Connection {
            id: 1,
            peer: "c:1".into(),
            delivered_messages: 3 * taken,
            full_for_seconds: Some(3.0),
            ..Connection::default()
        };
        Sample {
            mesh: Mesh {
                at_ms,
                members: vec![member("a", "alive"), member("b", "dead")],
                nodes: vec![answered],
                ..Mesh::default()
            },
            node: "a".into(),
            links: Some(Links { links: vec![link] }),
            clients: Some(Connections {
                connections: vec![client],
            }),
            missing: None,
        }
    }

    fn rows(section: Section) -> Vec<Vec<String>> {
        let mut history = History::new(sample(1000, 10));
        history.push(sample(2000, 30));
        let mut grid = Grid::of(section, &history);
        let (column, reverse) = section.first_order();
        grid.sort(column, reverse);
        let columns = section.columns().len();
        assert!(grid.rows.iter().all(|row| row.len() == columns));
        let rows = grid.rows.into_iter();
        rows.map(|row| row.into_iter().map(|cell| cell.text).collect())
            .collect()
    }

    #[test]
    fn each_section_shows_rates_of_what_rose() {
        let nodes = rows(Section::Nodes);
        assert_eq!(nodes[0][..3], ["a", "ready", "20"]);
        assert_eq!(nodes[1][..3], ["b", "dead", ""]);
        assert_eq!(rows(Section::Links)[0][2], "40");
        assert_eq!(rows(Section::Links)[0][5], "2.5ms");
        assert_eq!(rows(Section::Clients)[0][5], "60");
        assert_eq!(rows(Section::Clients)[0][8], "full 3s");
        assert_eq!(rows(Section::Topics)[0][0], "fast");
    }

    #[test]
    fn numbers_are_sorted_as_numbers_and_both_ways() {
        let history = History::new(sample(1000, 1));
        let mut grid = Grid::of(Section::Topics, &history);
        grid.sort(3, false);
        assert_eq!(grid.rows[0][0].text, "slow");
        grid.sort(3, true);
        assert_eq!(grid.rows[0][0].text, "fast");
    }

    #[test]
    fn times_lose_the_zeros_that_say_nothing() {
        assert_eq!(trimmed("100.000µs"), "100µs");
        assert_eq!(trimmed("2.500ms"), "2.5ms");
        assert_eq!(trimmed("10s"), "10s");
    }
}
