//! Which topics are busy, counted where they are served: at their owner.
//!
//! A record counts for the key of its first message: all of it is of one partition, and nearly
//! always of one key. In quiet times every record is counted; under load one in
//! [`Topics::STRIDE`], chosen at random, counts for as many, so that the cost has a bound.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use super::Time;

/// Records counted one by one between two ticks, before only a sample is.
const EXACT_A_TICK: u32 = 2000;

/// Topics that are remembered, before new ones count as others only.
const REMEMBERED: usize = 4096;

/// Topics that are named.
pub(crate) const NAMED: usize = 20;

/// Bytes of a key that are remembered.
const KEY_BYTES: usize = 64;

/// How often it is looked who is busy.
const LOOK_EVERY: Time = Time::from_secs(2);

/// A topic below this many messages a second is forgotten when there are too many.
const FORGOTTEN_BELOW: f64 = 0.05;

/// How much busier a topic must be than a named one to take its place: names that change with
/// every look would say little.
const TAKE_OVER: f64 = 1.25;

/// The traffic of one topic.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TopicStats {
    /// Its key, at most 64 bytes of it.
    pub key: Vec<u8>,
    /// Its partition.
    pub partition: u16,
    /// Messages since it was named; never falls while it is.
    pub messages: u64,
    /// Messages a second, lately.
    pub messages_per_second: f64,
    /// Bytes a second, lately.
    pub bytes_per_second: f64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Topics {
    topics: HashMap<Box<[u8]>, Traffic, FixedState>,
    others: u64,
    exact_left: u32,
    skip: u32,
    random: u64,
    looked_at: Time,
}

#[derive(Debug, Default)]
struct Traffic {
    partition: u16,
    named: bool,
    named_messages: u64,
    /// Since the last look.
    messages: u64,
    bytes: u64,
    messages_per_second: f64,
    bytes_per_second: f64,
}

impl Topics {
    /// One record in so many is counted under load.
    pub(crate) const STRIDE: u32 = 16;

    pub(crate) fn new(now: Time) -> Self {
        Self {
            topics: HashMap::default(),
            others: 0,
            exact_left: EXACT_A_TICK,
            skip: 0,
            random: 0x9e37_79b9_7f4a_7c15,
            looked_at: now,
        }
    }

    /// For how many records the next one counts: 0 if it is not in the sample.
    pub(crate) fn weight(&mut self) -> u32 {
        if self.exact_left > 0 {
            self.exact_left -= 1;
            return 1;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return 0;
        }
        // Of 0 to 2 · (STRIDE − 1), all alike: a fixed stride would always meet the same topics of
        // a publisher that goes round them. (Marsaglia, Xorshift RNGs, 2003.)
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.skip = (self.random >> 32) as u32 % (2 * Self::STRIDE - 1);
        Self::STRIDE
    }

    /// Counts a record of this key.
    pub(crate) fn count(&mut self, key: &[u8], partition: u16, messages: u64, bytes: u64) {
        let key = &key[..key.len().min(KEY_BYTES)];
        if !self.topics.contains_key(key) {
            if self.topics.len() >= REMEMBERED {
                self.others += messages;
                return;
            }
            self.topics.insert(key.into(), Traffic::default());
        }
        let Some(traffic) = self.topics.get_mut(key) else {
            return;
        };
        traffic.partition = partition;
        traffic.messages += messages;
        traffic.bytes += bytes;
        if traffic.named {
            traffic.named_messages += messages;
        } else {
            self.others += messages;
        }
    }

    /// To be called at each tick.
    pub(crate) fn tick(&mut self, now: Time) {
        self.exact_left = EXACT_A_TICK;
        let since = now.saturating_sub(self.looked_at);
        if since >= LOOK_EVERY {
            self.looked_at = now;
            self.look(since.as_secs_f64());
        }
    }

    /// Brings the rates up to date and chooses whom to name.
    fn look(&mut self, seconds: f64) {
        // Half of what is remembered is of the last three seconds or so.
        let new = 1.0 - (-seconds / 4.0).exp();
        for traffic in self.topics.values_mut() {
            let mix = |old: f64, count: u64| old + new * (count as f64 / seconds - old);
            traffic.messages_per_second = mix(traffic.messages_per_second, traffic.messages);
            traffic.bytes_per_second = mix(traffic.bytes_per_second, traffic.bytes);
            (traffic.messages, traffic.bytes) = (0, 0);
        }
        if self.topics.len() > REMEMBERED / 2 {
            self.topics
                .retain(|_, traffic| traffic.messages_per_second >= FORGOTTEN_BELOW);
        }
        if self.topics.len() >= REMEMBERED {
            // All of them are busy: the quieter half makes room.
            let mut rates: Vec<f64> = self.topics.values().map(Traffic::rank).collect();
            let (_, median, _) = rates.select_nth_unstable_by(REMEMBERED / 2, f64::total_cmp);
            let median = *median;
            self.topics.retain(|_, traffic| traffic.rank() > median);
        }
        self.choose();
    }

    fn choose(&mut self) {
        let mut all: Vec<(&[u8], &mut Traffic)> = self
            .topics
            .iter_mut()
            .map(|(key, traffic)| (&**key, traffic))
            .collect();
        all.sort_unstable_by(|(a, left), (b, right)| {
            right.rank().total_cmp(&left.rank()).then(a.cmp(b))
        });
        for (place, (_, traffic)) in all.into_iter().enumerate() {
            let named = place < NAMED && traffic.messages_per_second >= FORGOTTEN_BELOW;
            if !named {
                traffic.named_messages = 0;
            }
            traffic.named = named;
        }
    }

    /// The named topics, the busiest first.
    pub(crate) fn named(&self) -> Vec<TopicStats> {
        let named = self.topics.iter().filter(|(_, traffic)| traffic.named);
        let mut named: Vec<TopicStats> = named
            .map(|(key, traffic)| TopicStats {
                key: key.to_vec(),
                partition: traffic.partition,
                messages: traffic.named_messages,
                messages_per_second: traffic.messages_per_second,
                bytes_per_second: traffic.bytes_per_second,
            })
            .collect();
        named.sort_unstable_by(|a, b| {
            let rates = b.messages_per_second.total_cmp(&a.messages_per_second);
            rates.then_with(|| a.key.cmp(&b.key))
        });
        named
    }

    /// Messages of topics that were not named when they came.
    pub(crate) fn others(&self) -> u64 {
        self.others
    }
}

impl Traffic {
    fn rank(&self) -> f64 {
        if self.named {
            self.messages_per_second * TAKE_OVER
        } else {
            self.messages_per_second
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(topics: &mut Topics, from: u64, to: u64, mut each: impl FnMut(&mut Topics)) {
        for tick in from * 4..to * 4 {
            each(topics);
            topics.tick(Time::from_millis(250 * (tick + 1)));
        }
    }

    fn names(topics: &Topics) -> Vec<Vec<u8>> {
        topics.named().into_iter().map(|topic| topic.key).collect()
    }

    #[test]
    fn the_busiest_are_named_and_everything_is_counted_once() {
        let mut topics = Topics::new(Time::ZERO);
        let mut all = 0;
        seconds(&mut topics, 0, 60, |topics| {
            for number in 0..100_u64 {
                let messages = 100 - number;
                let key = format!("topic {number:02}");
                topics.count(key.as_bytes(), 7, messages, messages * 10);
                all += messages;
            }
        });
        let expected = (0..20).map(|it| format!("topic {it:02}").into_bytes());
        assert_eq!(names(&topics), expected.collect::<Vec<_>>());
        let first = &topics.named()[0];
        assert!((first.messages_per_second - 400.0).abs() < 1.0, "{first:?}");
        assert!((first.bytes_per_second - 4000.0).abs() < 10.0, "{first:?}");
        let named: u64 = topics.named().iter().map(|topic| topic.messages).sum();
        assert_eq!(named + topics.others(), all);
    }

    #[test]
    fn under_load_the_sample_is_true_for_topics_that_take_turns() {
        let mut topics = Topics::new(Time::ZERO);
        seconds(&mut topics, 0, 60, |topics| {
            for record in 0..100_000_u64 {
                let weight = u64::from(topics.weight());
                if weight > 0 {
                    let key = format!("{}", record % 16);
                    topics.count(key.as_bytes(), 7, weight, weight);
                }
            }
        });
        let named = topics.named();
        assert_eq!(named.len(), 16);
        for topic in named {
            // Each has 25,000 a second.
            let wrong = (topic.messages_per_second - 25_000.0).abs() / 25_000.0;
            assert!(wrong < 0.1, "{topic:?}");
        }
    }

    #[test]
    fn what_is_remembered_has_a_bound_and_a_new_busy_topic_finds_room() {
        let mut topics = Topics::new(Time::ZERO);
        seconds(&mut topics, 0, 10, |topics| {
            for number in 0..10_000 {
                topics.count(format!("{number}").as_bytes(), 7, 1, 1);
            }
        });
        assert!(topics.topics.len() <= REMEMBERED);
        seconds(&mut topics, 10, 20, |topics| {
            topics.count(b"new", 7, 1000, 1);
        });
        assert_eq!(names(&topics)[0], b"new");
    }
}
