//! A subscriber's queue, as its reader sees it: what is missing is told where it is missing, rule
//! by rule, and everything is counted.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use zmesh_node::config::{QueueConfig, QueuePolicy, QueueRule};
use zmesh_node::forward::{ClientId, DropReason, Instance, Limits, Output, Router, Time};
use zmesh_node::zmtp::frames::{FrameLimits, Item, Span, item_at, put_header};

const PUBLISHER: ClientId = ClientId(1);
const READER: ClientId = ClientId(2);

const FRAMES: FrameLimits = FrameLimits {
    message_bytes: 1 << 20,
    frames: 16,
};

/// Rules are for the second and the third; the third begins with the second.
const TOPICS: [&str; 4] = ["other", "stock", "stock.fx", "zebra"];

/// A node that is alone, with a publisher and a reader who wants everything.
struct Node {
    router: Router,
    now: Time,
    rules: Vec<QueueRule>,
    /// The prefix of the rule that each message fell under.
    published: Vec<String>,
    closed: bool,
}

/// What the reader got.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Got {
    /// The message with this number.
    Message(usize),
    /// So many were dropped here, for this reason, so many in all, under the rule of this prefix.
    Dropped(u64, String, u64, String),
}

impl Node {
    /// Queues with these policies for no rule, `stock` and `stock.`; each holds some messages.
    fn new(policies: [QueuePolicy; 3], bytes: usize) -> Self {
        let limits = Limits {
            frames: FRAMES,
            connection_budget: 1 << 30,
            node_budget: 1 << 30,
            subscriptions: 100,
            queue: QueueConfig {
                bytes,
                policy: policies[0],
            },
        };
        let mut router = Router::new(Instance(7), limits, Time::ZERO);
        router.handle_client_opened(PUBLISHER);
        router.handle_client_opened(READER);
        let mut node = Self {
            router,
            now: Time::ZERO,
            rules: Vec::new(),
            published: Vec::new(),
            closed: false,
        };
        node.subscribe("");
        node.set(policies[0], bytes, [Some(policies[1]), Some(policies[2])]);
        node
    }

    /// Sets what holds without a rule, and with the rules that are to be there.
    fn set(&mut self, queue: QueuePolicy, bytes: usize, rules: [Option<QueuePolicy>; 2]) {
        let config = QueueConfig {
            bytes,
            policy: queue,
        };
        let rule = |(prefix, policy): (&str, Option<QueuePolicy>)| {
            Some(QueueRule {
                prefix: prefix.into(),
                policy: policy?,
                bytes: None,
            })
        };
        let rules = ["stock", "stock."].into_iter().zip(rules).filter_map(rule);
        self.rules = rules.collect();
        self.router
            .handle_queue_rules(config, &self.rules, self.now);
    }

    /// The prefix of the rule that a topic falls under now.
    fn rule(&self, topic: &str) -> String {
        let rules = self.rules.iter().map(|rule| &rule.prefix);
        let longest = rules
            .filter(|prefix| topic.starts_with(&***prefix))
            .max_by_key(|it| it.len());
        longest.cloned().unwrap_or_default()
    }

    fn subscribe(&mut self, prefix: &str) {
        let taken = self
            .router
            .handle_subscribe(READER, prefix.as_bytes(), self.now);
        taken.expect("one subscription is not too many");
    }

    /// Publishes messages of two frames, the topic and the number, in one buffer.
    fn publish(&mut self, topics: &[usize]) {
        let mut bytes = Vec::new();
        for topic in topics {
            let number = self.published.len().to_string();
            for (part, more) in [(TOPICS[*topic], true), (&number, false)] {
                put_header(&mut bytes, more, part.len());
                bytes.extend_from_slice(part.as_bytes());
            }
            self.published.push(self.rule(TOPICS[*topic]));
        }
        self.now += Duration::from_millis(1);
        let chunk = Bytes::from(bytes);
        let spans = spans(&chunk);
        self.router
            .handle_publish(PUBLISHER, &chunk, &spans, self.now);
        while let Some(output) = self.router.poll_output() {
            self.closed |= output == Output::CloseClient(READER);
        }
    }

    /// Reads so many segments at most.
    fn read(&mut self, most: usize) -> Vec<Got> {
        let mut got = Vec::new();
        for _ in 0..most {
            let Some(segment) = self.router.take_segment(READER, self.now) else {
                break;
            };
            let before = got.len();
            got.extend(
                spans(&segment.bytes)
                    .iter()
                    .map(|it| parse(&segment.bytes, it)),
            );
            assert_eq!(got.len() - before, segment.messages as usize);
        }
        got
    }

    fn dropped(&self) -> u64 {
        let stats = self.router.client_stats(READER);
        stats.expect("the reader is there").dropped_messages
    }

    /// What a reader that got all this must be able to conclude from it.
    fn check(&self, got: &[Got]) {
        let mut sum = 0;
        let mut last = None;
        for got in got {
            match got {
                Got::Message(number) => {
                    assert!(last < Some(*number), "{number} behind {last:?}");
                    last = Some(*number);
                }
                Got::Dropped(count, _, total, _) => {
                    sum += count;
                    assert_eq!(*total, sum, "the sum of all counts so far");
                }
            }
        }
        assert_eq!(sum, self.dropped());
        for prefix in ["", "stock", "stock."] {
            self.check_rule(prefix, got);
        }
        let stats = self.router.stats();
        let dropped: u64 = stats.dropped.iter().sum();
        assert_eq!(stats.matched_messages, stats.delivered_messages + dropped);
        assert_eq!(stats.delivered_messages, got.len() as u64);
        assert_eq!((stats.queued_bytes, stats.undone_bytes), (0, 0));
    }

    /// Between two messages of a rule as many are missing as was said between them.
    fn check_rule(&self, prefix: &str, got: &[Got]) {
        let numbers = 0..self.published.len();
        let mut expected = numbers.filter(|number| self.published[*number] == prefix);
        let mut told = 0;
        for got in got {
            match got {
                Got::Message(number) if self.published[*number] == prefix => {
                    let missing = expected.by_ref().take_while(|it| it != number).count();
                    assert_eq!(missing as u64, told, "before {number} of {prefix:?}");
                    told = 0;
                }
                Got::Dropped(count, _, _, of) if of == prefix => told += count,
                _ => {}
            }
        }
        assert_eq!(expected.count() as u64, told, "at the end of {prefix:?}");
    }
}

fn spans(bytes: &[u8]) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let Ok(Item::Message(span)) = item_at(bytes, at, FRAMES) else {
            panic!("not whole messages: {bytes:?}");
        };
        at = span.end as usize;
        spans.push(span);
    }
    spans
}

fn parse(bytes: &[u8], span: &Span) -> Got {
    let message = &bytes[span.range()];
    let mut frames = Vec::new();
    let mut at = 0;
    while at < message.len() {
        let (start, length) = (at + 2, usize::from(message[at + 1]));
        let text = std::str::from_utf8(&message[start..start + length]);
        frames.push(text.expect("everything here is text"));
        at = start + length;
    }
    let number = |text: &str| text.parse().expect("a number");
    match frames[..] {
        ["$zmesh.dropped", count, reason, total, prefix] => {
            Got::Dropped(number(count), reason.into(), number(total), prefix.into())
        }
        [_, text] => Got::Message(text.parse().expect("a number")),
        _ => panic!("another message: {frames:?}"),
    }
}

fn policy() -> impl Strategy<Value = QueuePolicy> {
    use QueuePolicy::{Block, DropNewest, DropOldest};
    prop::sample::select(vec![DropNewest, DropOldest, Block])
}

fn rules() -> impl Strategy<Value = [Option<QueuePolicy>; 2]> {
    prop::array::uniform2(prop::option::of(policy()))
}

fn sizes() -> impl Strategy<Value = usize> {
    prop::sample::select(vec![1, 200, 500, 1000])
}

/// Messages to publish, then segments to read.
fn turns() -> impl Strategy<Value = Vec<(Vec<usize>, usize)>> {
    let topics = prop::collection::vec(0..TOPICS.len(), 0..8);
    prop::collection::vec((topics, 0usize..4), 0..60)
}

proptest! {
    #[test]
    fn a_reader_knows_exactly_what_is_missing_and_where(
        policies in prop::array::uniform3(policy()),
        bytes in sizes(),
        turns in turns(),
    ) {
        let mut node = Node::new(policies, bytes);
        node.subscribe("$zmesh.dropped");
        let mut got = Vec::new();
        for (topics, reads) in turns {
            node.publish(&topics);
            got.extend(node.read(reads));
        }
        got.extend(node.read(usize::MAX));
        node.check(&got);
        prop_assert!(!node.closed);
        let only_block = policies == [QueuePolicy::Block; 3];
        prop_assert!(!only_block || node.dropped() == 0);
    }

    #[test]
    fn a_reader_knows_it_also_when_the_rules_change_meanwhile(
        changes in prop::collection::vec((policy(), rules(), sizes(), turns()), 1..5),
    ) {
        let mut node = Node::new([QueuePolicy::DropNewest; 3], 500);
        node.subscribe("$zmesh.dropped");
        let mut got = Vec::new();
        for (policy, rules, bytes, turns) in changes {
            node.set(policy, bytes, rules);
            for (topics, reads) in turns {
                node.publish(&topics);
                got.extend(node.read(reads));
            }
        }
        got.extend(node.read(usize::MAX));
        node.check(&got);
    }

    #[test]
    fn who_does_not_ask_is_not_told_and_what_waits_is_bounded(
        policies in prop::array::uniform3(policy()),
        turns in turns(),
    ) {
        const LIMIT: usize = 500;
        let mut node = Node::new(policies, LIMIT);
        for (topics, reads) in turns {
            node.publish(&topics);
            let stats = node.router.client_stats(READER).expect("the reader is there");
            for lane in stats.lanes.iter().filter(|it| it.policy != QueuePolicy::Block) {
                // What filled it was let in whole: at most all messages of one buffer.
                prop_assert!(lane.bytes < LIMIT + 8 * 90, "{lane:?}");
            }
            let told = node.read(reads).into_iter().find(|it| matches!(it, Got::Dropped(..)));
            prop_assert_eq!(told, None);
        }
    }
}

#[test]
fn a_flood_under_one_rule_takes_nothing_from_another() {
    use QueuePolicy::{Block, DropNewest, DropOldest};
    let mut node = Node::new([DropNewest, DropOldest, Block], 500);
    node.subscribe("$zmesh.dropped");
    node.publish(&[0, 2]);
    for _ in 0..100 {
        node.publish(&[1]);
    }
    node.publish(&[0, 2]);
    let got = node.read(usize::MAX);
    node.check(&got);
    assert!(
        [0, 1, 102, 103]
            .iter()
            .all(|number| got.contains(&Got::Message(*number)))
    );
    let reasons: Vec<&str> = got
        .iter()
        .filter_map(|it| match it {
            Got::Dropped(_, reason, _, prefix) => {
                assert_eq!(prefix, "stock");
                Some(reason.as_str())
            }
            Got::Message(_) => None,
        })
        .collect();
    assert_eq!(reasons, [DropReason::QueueOldest.name()]);
}

#[test]
fn a_reader_that_asks_late_or_again_is_told_the_sum_of_what_it_was_not_told() {
    let mut node = Node::new([QueuePolicy::DropNewest; 3], 200);
    let flood = |node: &mut Node| (0..10).for_each(|_| node.publish(&[0]));
    flood(&mut node);
    let before = node.dropped();
    node.subscribe("$zmesh.d");
    flood(&mut node);
    let told = |got: Vec<Got>| {
        let mut told = got.into_iter().filter(|it| matches!(it, Got::Dropped(..)));
        let first = told.next();
        assert_eq!(told.next(), None);
        first
    };
    let gap = |count, total| {
        let reason = DropReason::QueueFull.name().into();
        Some(Got::Dropped(count, reason, total, String::new()))
    };
    assert_eq!(told(node.read(usize::MAX)), gap(10, before + 10));
    flood(&mut node);
    let untold = node.dropped();
    node.router.handle_unsubscribe(READER, b"$zmesh.d");
    assert_eq!(told(node.read(usize::MAX)), None);
    node.subscribe("$zmesh.dropped");
    flood(&mut node);
    let count = node.dropped() - untold;
    assert_eq!(told(node.read(usize::MAX)), gap(count, untold + count));
}

#[test]
fn disconnect_holds_for_its_rule_alone() {
    use QueuePolicy::{Disconnect, DropNewest};
    let mut node = Node::new([DropNewest, Disconnect, DropNewest], 300);
    (0..20).for_each(|_| node.publish(&[0, 2]));
    assert!(!node.closed);
    (0..20).for_each(|_| node.publish(&[1]));
    assert!(node.closed);
    node.router.handle_client_closed(READER, node.now);
    let stats = node.router.stats();
    assert_eq!(stats.matched_messages, stats.dropped.iter().sum::<u64>());
}

#[test]
fn after_a_withdrawal_nobody_gets_anything_new_and_what_waits_stays() {
    let mut node = Node::new([QueuePolicy::DropNewest; 3], 1 << 20);
    node.publish(&[0, 1]);
    node.router.handle_withdrawal();
    assert!(node.router.is_interest_known());
    node.publish(&[0, 1]);
    node.subscribe("stock");
    node.publish(&[1]);
    let waiting = node.router.client_waiting(READER);
    assert_eq!(waiting.messages, 2);
    assert_eq!(node.read(usize::MAX), [Got::Message(0), Got::Message(1)]);
    assert!(node.router.owes_nothing());
    assert_eq!(node.router.subscriptions().count(), 0);
}

#[test]
fn publishers_that_were_held_back_go_on_when_the_rules_say_so() {
    use QueuePolicy::{Block, DropNewest};
    let full = || {
        let mut node = Node::new([DropNewest, Block, DropNewest], 200);
        (0..10).for_each(|_| node.publish(&[1]));
        assert!(!node.router.owes_nothing());
        node
    };
    for (queue, bytes, rules) in [
        (DropNewest, 1 << 20, [Some(Block), None]),
        (DropNewest, 200, [Some(DropNewest), None]),
        (Block, 1 << 20, [None, None]),
        (Block, 200, [None, None]),
    ] {
        let mut node = full();
        node.set(queue, bytes, rules);
        assert!(node.router.owes_nothing(), "{queue:?} {bytes} {rules:?}");
        let all: Vec<Got> = (0..10).map(Got::Message).collect();
        assert_eq!(node.read(usize::MAX), all);
    }
    let mut node = full();
    node.set(DropNewest, 300, [Some(Block), None]);
    assert!(!node.router.owes_nothing(), "it is still full");
}
