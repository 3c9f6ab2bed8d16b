//! The record of one node, and the rule by which two records become one.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::time::Duration;

use bincode::{Decode, Encode};

use crate::codec::{self, DecodeError};
use crate::id::NodeId;

/// Most accusers a suspicion carries: the first and the three confirmations that count.
pub(crate) const MAX_ACCUSERS: usize = 4;
/// Longest name of a node, cluster or zone, in bytes.
pub(crate) const MAX_NAME: usize = 64;
/// Longest `host:port`: a DNS name has at most 253 bytes, brackets and port need 8.
pub(crate) const MAX_ADDRESS: usize = 261;
/// Incarnations and epochs beyond these are not made by any clock or any number of refutations.
pub(crate) const MAX_INCARNATION: u64 = 1 << 48;
pub(crate) const MAX_EPOCH: u64 = 1 << 56;

/// What is held of a node, in the order in which one claim beats another of the same incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum State {
    /// It answers.
    Alive,
    /// Somebody did not get an answer; it still keeps its partitions and may refute.
    Suspect,
    /// It did not refute in time.
    Dead,
    /// It said goodbye. Only the node itself says so.
    Left,
}

/// What is known of one node.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Member {
    /// Identity, stable over restarts.
    pub id: NodeId,
    /// The name that, with the cluster's, makes the id.
    pub name: String,
    /// Boot time in milliseconds since 1970, or one more than any epoch seen for this id.
    pub epoch: u64,
    /// The instance: random for each process.
    pub nonce: u64,
    /// Raised by the node itself whenever it refutes a claim or changes its data.
    pub incarnation: u64,
    /// What is claimed of it.
    pub state: State,
    /// `host:port` for clients and HTTP.
    pub client: String,
    /// `host:port` of its gossip socket.
    pub gossip: String,
    /// `host:port` for links from other nodes.
    pub link: String,
    /// A label for where it runs.
    pub zone: String,
    /// Its share of the topics relative to others, at least 1.
    pub weight: u8,
    /// Whether it has what it needs to own partitions; no longer, once it is leaving and has handed
    /// on all that it had.
    pub ready: bool,
    /// Whether it is handing its partitions over before it goes.
    pub leaving: bool,
    /// Who holds it suspect, the smallest ids first; empty unless it is.
    pub accusers: BTreeSet<NodeId>,
    /// How long it has been dead or gone; zero for the living.
    pub age: Duration,
}

/// Epoch, nonce, incarnation and state: what a record says, in the order of precedence.
pub(crate) type Claim = (u64, u64, u64, State);

/// A record that no node makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the field {0} of a member record is out of bounds")]
pub struct InvalidMember(pub &'static str);

impl Member {
    /// Whether the node may own partitions: it lives, is ready, and does not want to go.
    pub fn in_view(&self) -> bool {
        self.is_live() && self.ready && !self.leaving
    }

    /// Whether it is leaving and nobody needs to wait for messages of its any more.
    pub fn has_handed_on(&self) -> bool {
        self.leaving && !self.ready
    }

    /// Whether it is held alive or suspect.
    pub fn is_live(&self) -> bool {
        self.state <= State::Suspect
    }

    /// Takes in another record of the same id and says whether anything but the age changed.
    ///
    /// The record with the higher (epoch, nonce, incarnation, state) wins; between equals the
    /// accusers are united, smallest ids kept, and the greater age stays. The nonce comes before
    /// the incarnation because incarnations of different processes cannot be compared. Data
    /// settles what is left, so that the result never depends on the order of arrival.
    pub fn merge(&mut self, other: &Self) -> bool {
        debug_assert_eq!(
            self.id, other.id,
            "records of different nodes are never merged"
        );
        let order = self.precedence().cmp(&other.precedence());
        match order {
            Ordering::Less => {
                *self = other.clone();
                true
            }
            Ordering::Greater => false,
            Ordering::Equal => {
                self.age = self.age.max(other.age);
                self.unite_accusers(&other.accusers)
            }
        }
    }

    /// The card that other parts of a node carry over their own connections.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode_member(self)
    }

    /// Reads a card and checks that a node could have made it.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode_member(bytes)
    }

    /// Which process of this id the record speaks of, older processes first.
    pub(crate) fn instance(&self) -> (u64, u64) {
        (self.epoch, self.nonce)
    }

    /// Which claim the record makes, weaker claims first.
    pub(crate) fn claim(&self) -> Claim {
        (self.epoch, self.nonce, self.incarnation, self.state)
    }

    /// An upper bound of the encoded size in bytes.
    pub(crate) fn size_bound(&self) -> usize {
        let text = [
            &self.name,
            &self.client,
            &self.gossip,
            &self.link,
            &self.zone,
        ];
        80 + text.iter().map(|s| s.len()).sum::<usize>() + 16 * self.accusers.len()
    }

    /// Checks that every field is within its bounds.
    pub fn check(&self) -> Result<(), InvalidMember> {
        let addresses = [
            ("client", &self.client),
            ("gossip", &self.gossip),
            ("link", &self.link),
        ];
        let wrong_address = addresses.iter().find(|(_, address)| !is_address(address));
        let tests = [
            ("name", is_name(&self.name)),
            ("epoch", self.epoch <= MAX_EPOCH),
            ("incarnation", self.incarnation <= MAX_INCARNATION),
            ("zone", self.zone.is_empty() || is_name(&self.zone)),
            ("weight", self.weight > 0),
            ("accusers", self.accusers.len() <= MAX_ACCUSERS),
            (
                "accusers",
                self.accusers.is_empty() || self.state == State::Suspect,
            ),
            ("age", self.age.is_zero() || !self.is_live()),
        ];
        match (wrong_address, tests.iter().find(|(_, holds)| !holds)) {
            (Some((field, _)), _) | (None, Some((field, _))) => Err(InvalidMember(field)),
            (None, None) => Ok(()),
        }
    }

    /// Whether the records differ in nothing but accusers and age.
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        self.precedence().cmp(&other.precedence()).is_eq()
    }

    fn precedence(&self) -> impl Ord {
        let text = (
            &self.name,
            &self.client,
            &self.gossip,
            &self.link,
            &self.zone,
        );
        (self.claim(), text, self.weight, self.ready, self.leaving)
    }

    fn unite_accusers(&mut self, others: &BTreeSet<NodeId>) -> bool {
        let before = self.accusers.clone();
        self.accusers.extend(others);
        while self.accusers.len() > MAX_ACCUSERS {
            self.accusers.pop_last();
        }
        self.accusers != before
    }
}

/// Whether the text can name a node or a zone: 1 to 64 bytes that a terminal can show.
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_NAME && !text.chars().any(char::is_control)
}

/// Whether the text is a `host:port` that can be handed to a socket: no spaces, no scheme, no path.
pub(crate) fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._%[]:".contains(c);
    text.len() <= MAX_ADDRESS
        && !host.is_empty()
        && host.chars().all(plain)
        && port.parse::<u16>().is_ok_and(|port| port > 0)
}
