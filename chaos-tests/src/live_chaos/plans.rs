//! Who publishes and subscribes where.

use crate::live::Language;
use crate::live::load::{Publish, Subscribe};
use crate::live::site::Plan;

/// Topics of every publisher.
const TOPICS: u16 = 24;

/// Bytes of a message behind its topic.
const SIZE: usize = 64;

/// Messages a second of the publisher in Python, at most.
const PYTHON_RATE: u32 = 1000;

/// What the subscriber in Python asks for: 11 of the 24 topics.
const SOME: &str = "load.1";

/// What the others ask for: all topics.
const ALL: &str = "load.";

/// Four publishers and three subscribers, in C and Python. The last host has no clients: its node
/// is an owner of topics and nothing else.
pub fn five_nodes(rate: u32) -> Plan {
    let python = PYTHON_RATE.min(rate / 4);
    let share = (rate - python) / 3;
    Plan {
        hosts: 5,
        publishers: vec![
            publish(0, Language::C, share),
            publish(1, Language::C, share),
            publish(3, Language::C, share),
            publish(2, Language::Python, python),
        ],
        subscribers: vec![
            subscribe(1, Language::C, ALL),
            subscribe(2, Language::C, ALL),
            subscribe(3, Language::Python, SOME),
        ],
        ..nobody()
    }
}

/// Three publishers and two subscribers; the last host has no clients.
pub fn three_nodes(rate: u32) -> Plan {
    let python = PYTHON_RATE.min(rate / 4);
    let share = (rate - python) / 2;
    Plan {
        hosts: 3,
        publishers: vec![
            publish(0, Language::C, share),
            publish(1, Language::C, share),
            publish(0, Language::Python, python),
        ],
        subscribers: vec![
            subscribe(1, Language::C, ALL),
            subscribe(0, Language::Python, SOME),
        ],
        ..nobody()
    }
}

/// Nodes without clients.
pub fn idle(hosts: usize) -> Plan {
    Plan { hosts, ..nobody() }
}

/// A publisher without limit and a subscriber on every host.
pub fn saturated(hosts: usize) -> Plan {
    Plan {
        hosts,
        publishers: (0..hosts)
            .map(|host| publish(host, Language::C, 0))
            .collect(),
        subscribers: (0..hosts)
            .map(|host| subscribe(host, Language::C, ALL))
            .collect(),
        history: false,
        ..nobody()
    }
}

fn nobody() -> Plan {
    Plan {
        hosts: 0,
        seeds: vec![0, 1],
        flags: Vec::new(),
        publishers: Vec::new(),
        subscribers: Vec::new(),
        history: true,
    }
}

fn publish(host: usize, language: Language, rate: u32) -> Publish {
    Publish {
        host,
        language,
        rate,
        topics: TOPICS,
        size: SIZE,
    }
}

fn subscribe(host: usize, language: Language, prefix: &'static str) -> Subscribe {
    Subscribe {
        host,
        language,
        prefix,
    }
}
