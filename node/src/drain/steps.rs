//! What a node that goes does, in which order, and what it waits for before the next step.

use std::time::Duration;

use crate::forward::Time;

/// A node that does not take in that this one's clients want nothing more is not waited for
/// longer: it would only count as dropped what nobody wants.
const WITHDRAWAL_PATIENCE: Time = Duration::from_secs(2);

/// What the steps depend on, at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Others may still count on this node for partitions.
    pub is_in_view: bool,
    /// Clients that may still publish are connected.
    pub has_publishers: bool,
    /// Nothing is undone or unacked.
    pub owes_nothing: bool,
    /// Every other member that is leaving has handed on what it had.
    pub others_have_handed_on: bool,
    /// Every linked node knows what this node's clients want.
    pub is_interest_known: bool,
    /// Every client has gone, or has been sent everything and had the time to close.
    pub sent_away: bool,
}

/// What is to be done when a step is through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Tell the other nodes that this one has handed on what it had.
    SayHandedOn,
    /// The node's clients want nothing more from now on; they are sent away when they have got what
    /// waits for them.
    Withdraw,
    /// Say goodbye: nothing is left.
    Leave,
}

/// What a node waits for on its way out, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    View,
    HandOn,
    Others,
    Withdrawal,
    Flush,
    Over,
}

/// How far a node is on its way out.
#[derive(Clone, Copy, Debug)]
pub struct Steps {
    step: Step,
    since: Time,
}

impl Steps {
    /// The first step begins.
    pub fn begin(now: Time) -> Self {
        Self {
            step: Step::View,
            since: now,
        }
    }

    /// Looks whether the step is through, and goes on to the next. To be called until it returns
    /// nothing, each time with what is the case then.
    pub fn advance(&mut self, facts: &Facts, now: Time) -> Option<Act> {
        loop {
            let waited = now.saturating_sub(self.since);
            let (is_through, next, act) = match self.step {
                Step::View => (!facts.is_in_view, Step::HandOn, None),
                Step::HandOn => (
                    !facts.has_publishers && facts.owes_nothing,
                    Step::Others,
                    Some(Act::SayHandedOn),
                ),
                Step::Others => (
                    facts.others_have_handed_on,
                    Step::Withdrawal,
                    Some(Act::Withdraw),
                ),
                Step::Withdrawal => (
                    facts.is_interest_known || waited >= WITHDRAWAL_PATIENCE,
                    Step::Flush,
                    None,
                ),
                Step::Flush => (
                    facts.sent_away && facts.owes_nothing,
                    Step::Over,
                    Some(Act::Leave),
                ),
                Step::Over => return None,
            };
            if !is_through {
                return None;
            }
            (self.step, self.since) = (next, now);
            if act.is_some() {
                return act;
            }
        }
    }

    /// What it waits for, for a person.
    pub fn waits_for(&self) -> &'static str {
        match self.step {
            Step::View => "the view without this node",
            Step::HandOn => "other nodes to take what this node has",
            Step::Others => "messages of other nodes that are leaving",
            Step::Withdrawal => "other nodes to hear that its clients go",
            Step::Flush => "its subscribers to read what waits for them",
            Step::Over => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING_YET: Facts = Facts {
        is_in_view: true,
        has_publishers: true,
        owes_nothing: false,
        others_have_handed_on: false,
        is_interest_known: false,
        sent_away: false,
    };

    #[test]
    fn each_step_waits_for_what_it_is_about_and_then_acts_once() {
        let mut facts = NOTHING_YET;
        let mut steps = Steps::begin(Time::ZERO);
        assert_eq!(steps.advance(&facts, Time::ZERO), None);
        facts.is_in_view = false;
        facts.owes_nothing = true;
        assert_eq!(steps.advance(&facts, Time::ZERO), None);
        facts.has_publishers = false;
        assert_eq!(steps.advance(&facts, Time::ZERO), Some(Act::SayHandedOn));
        assert_eq!(steps.advance(&facts, Time::ZERO), None);
        facts.others_have_handed_on = true;
        assert_eq!(steps.advance(&facts, Time::ZERO), Some(Act::Withdraw));
        assert_eq!(steps.advance(&facts, Time::ZERO), None);
        facts.sent_away = true;
        assert_eq!(steps.advance(&facts, Time::ZERO), None);
        let later = WITHDRAWAL_PATIENCE;
        assert_eq!(steps.advance(&facts, later), Some(Act::Leave));
        assert_eq!(steps.advance(&facts, later), None);
        assert_eq!(steps.waits_for(), "");
    }
}
