//! Which of the messages that a subscriber misses it may miss.
//!
//! A fault between a publisher and a subscriber may cost what was on its way, and what was sent
//! until all is in force again: that is one hole in each stream. A connection brings messages in
//! their order, so what was on its way is the end of what the connection brought: a message that
//! is missing although a later one of the same connection came is lost, however close to the
//! fault it was sent.

/// The time of a fault in which a stream may pause, in nanoseconds, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first moment at which a message that is missing may have been sent.
    pub from: u64,
    /// When the fault began: what came before that came on a connection that was whole.
    pub began: u64,
    /// The last moment at which a message that is missing may have been sent.
    pub to: u64,
    /// Whether the stream may have a hole, too.
    pub may_lose: bool,
}

/// What was on its way when a fault began is counted where it was dropped, and so is what was
/// sent until a silent node is held dead, which takes as long as this. Later messages are counted
/// only for as long as a link to the node stands: then nobody knows what its clients want. In
/// nanoseconds.
const COUNTED: u64 = 3_500_000_000;

impl Span {
    /// Whether nobody need have counted a message that was dropped, by the time it was sent.
    pub fn is_late(&self, sent: u64) -> bool {
        self.may_lose && self.meets(sent, sent) && sent > self.began.saturating_add(COUNTED)
    }

    /// Whether some moment is in both.
    pub fn meets(&self, from: u64, to: u64) -> bool {
        to >= self.from && from <= self.to
    }
}

/// Numbers of the messages of a stream that are lost. `sent` says when each was sent, `came` when
/// it came. Each fault explains one hole, and of that only what was sent in its time.
pub fn lost(sent: &[u64], came: impl Fn(usize) -> Option<u64>, faults: &[Span]) -> Vec<usize> {
    let mut missing: Vec<usize> = (0..sent.len())
        .filter(|number| came(*number).is_none())
        .collect();
    if missing.is_empty() {
        return missing;
    }
    let last_before = |time| {
        let mut numbers = (0..sent.len()).rev();
        numbers.find(|number| came(*number).is_some_and(|at| at < time))
    };
    let spans = faults.iter().filter(|it| it.may_lose);
    let mut unused: Vec<_> = spans.map(|it| (*it, last_before(it.began))).collect();
    unused.sort_by_key(|(span, _)| span.from);
    let mut lost = Vec::new();
    // From the last hole on, so that a hole just before a fault's own is the one that is lost.
    while let Some(hole) = last_hole(&mut missing) {
        lost.extend(unexplained(&hole, sent, &mut unused));
    }
    lost.sort_unstable();
    lost
}

/// Takes the last run of numbers that follow each other.
fn last_hole(missing: &mut Vec<usize>) -> Option<Vec<usize>> {
    let breaks = missing.windows(2).rposition(|two| two[0] + 1 < two[1]);
    let hole = missing.split_off(breaks.map_or(0, |before| before + 1));
    (!hole.is_empty()).then_some(hole)
}

/// What of a hole the faults do not explain that have explained none so far, each with the last
/// message that came before it. Only as many are used up as it takes.
fn unexplained(
    hole: &[usize],
    sent: &[u64],
    unused: &mut Vec<(Span, Option<usize>)>,
) -> Vec<usize> {
    let mut left = hole.to_vec();
    for place in (0..unused.len()).rev() {
        let (span, last_before) = unused[place];
        let before = left.len();
        left.retain(|number| {
            let overtaken = Some(*number) < last_before;
            overtaken || !span.meets(sent[*number], sent[*number])
        });
        if left.len() < before {
            unused.remove(place);
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages sent at 0, 10, 20, … 190, of which these are missing. The others come at once.
    fn lost_of(missing: &[usize], faults: &[(u64, u64)]) -> Vec<usize> {
        let faults = faults.iter().map(|&(from, to)| Span {
            from,
            began: from,
            to,
            may_lose: true,
        });
        lost_in(missing, &faults.collect::<Vec<_>>())
    }

    fn lost_in(missing: &[usize], faults: &[Span]) -> Vec<usize> {
        let sent: Vec<u64> = (0..20).map(|number| number * 10).collect();
        let came = |number: usize| (!missing.contains(&number)).then(|| sent[number] + 1);
        lost(&sent, came, faults)
    }

    const NOTHING: [usize; 0] = [];

    #[test]
    fn without_a_fault_all_that_is_missing_is_lost() {
        assert_eq!(lost_of(&[3, 4, 9], &[]), [3, 4, 9]);
        assert_eq!(lost_of(&[], &[]), NOTHING);
    }

    #[test]
    fn a_fault_explains_the_hole_that_was_sent_in_its_time() {
        assert_eq!(lost_of(&[5, 6, 7], &[(50, 70)]), NOTHING);
        assert_eq!(lost_of(&[4, 5, 6, 7, 8], &[(50, 70)]), [4, 8]);
        assert_eq!(lost_of(&[5, 6, 7], &[(80, 90)]), [5, 6, 7]);
    }

    #[test]
    fn a_message_that_a_later_one_of_its_connection_overtook_is_lost() {
        assert_eq!(lost_of(&[5, 7, 8], &[(50, 90)]), [5]);
        assert_eq!(lost_of(&[4, 6, 8, 9], &[(0, 190)]), [4, 6]);
    }

    #[test]
    fn each_fault_explains_a_hole_of_its_own() {
        let faults = [(30, 60), (50, 120)];
        assert_eq!(lost_of(&[3, 4, 8, 9], &faults), NOTHING);
        assert_eq!(
            lost_of(&[5, 8, 9], &faults),
            NOTHING,
            "both could be the second's"
        );
        assert_eq!(lost_of(&[3, 5, 8, 9], &faults), [3]);
        assert_eq!(
            lost_of(&[3, 4, 5, 6, 7, 8, 9], &faults),
            NOTHING,
            "one hole of both"
        );
    }
    #[test]
    fn what_was_on_its_way_is_the_end_of_what_a_connection_brought() {
        let fault = Span {
            from: 30,
            began: 80,
            to: 120,
            may_lose: true,
        };
        assert_eq!(lost_in(&[8, 9, 10], &[fault]), NOTHING, "7 came before it");
        assert_eq!(
            lost_in(&[5, 6], &[fault]),
            [5, 6],
            "7 came before it, on the same way"
        );
        assert_eq!(lost_in(&[6, 8, 9], &[fault]), [6]);
    }
    #[test]
    fn a_fault_that_only_takes_time_explains_nothing() {
        let fault = Span {
            from: 50,
            began: 50,
            to: 70,
            may_lose: false,
        };
        assert_eq!(lost_in(&[5, 6], &[fault]), [5, 6]);
    }
    #[test]
    fn what_was_sent_long_after_a_fault_began_need_not_be_counted() {
        let fault = Span {
            from: 0,
            began: 10,
            to: u64::MAX,
            may_lose: true,
        };
        assert!(!fault.is_late(10 + COUNTED));
        assert!(fault.is_late(11 + COUNTED));
        let wait = Span {
            may_lose: false,
            ..fault
        };
        assert!(!wait.is_late(11 + COUNTED));
    }
}
