//! Packets and cards as bytes: a version byte, then bincode. Every byte string decodes or errs.

use alloc::string::String;
use alloc::vec::Vec;

use crate::member::{InvalidMember, MAX_ADDRESS, MAX_NAME, Member, is_address};
use crate::packet::{Body, Header, PROTOCOL_VERSION, Packet, Refusal, Verdict};
use crate::table::BUCKETS;

/// Largest packet a node makes, in bytes.
pub const MAX_PACKET_OUT: usize = 64 << 10;
/// Largest packet a node reads, in bytes: room for a later version to say more.
pub const MAX_PACKET_IN: usize = 256 << 10;
/// What one packet may allocate while it is read. A record takes up to ten times the memory of
/// its shortest encoding.
const DECODE_LIMIT: usize = 4 << 20;

/// Most packets in which a seed hands its table over.
const MAX_JOIN_PARTS: u16 = 1024;

/// Why bytes are no packet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// There are no bytes.
    #[error("the packet is empty")]
    Empty,
    /// More bytes than any node sends.
    #[error("the packet has {0} bytes, more than {MAX_PACKET_IN}")]
    TooLong(usize),
    /// Another protocol version.
    #[error("the packet has protocol version {0}, this node speaks {PROTOCOL_VERSION}")]
    Version(u8),
    /// Not what the version byte promised.
    #[error("the packet is malformed")]
    Malformed,
    /// A text or list longer than it may be.
    #[error("the field {0} of a packet is out of bounds")]
    Field(&'static str),
    /// A record that no node makes.
    #[error(transparent)]
    Member(#[from] InvalidMember),
}

/// Writes a packet.
pub fn encode(packet: &Packet) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    bytes.push(packet.version);
    append(&mut bytes, &packet.header);
    append(&mut bytes, &packet.body);
    append(&mut bytes, &packet.records);
    bytes
}

/// Reads a packet and checks that a node could have made it.
pub fn decode(bytes: &[u8]) -> Result<Packet, DecodeError> {
    let (version, mut rest) = versioned(bytes)?;
    let header: Header = take(&mut rest)?;
    let body: Body = take(&mut rest)?;
    check_header(&header)?;
    check_body(&body)?;
    if version != PROTOCOL_VERSION {
        return match body {
            Body::Join { .. } | Body::JoinAck { .. } => Ok(Packet {
                version,
                header,
                body,
                records: Vec::new(),
            }),
            _ => Err(DecodeError::Version(version)),
        };
    }
    let records: Vec<Member> = take(&mut rest)?;
    if !rest.is_empty() {
        return Err(DecodeError::Malformed);
    }
    records.iter().try_for_each(Member::check)?;
    Ok(Packet {
        version,
        header,
        body,
        records,
    })
}

pub(crate) fn encode_member(member: &Member) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(member.size_bound());
    bytes.push(PROTOCOL_VERSION);
    append(&mut bytes, member);
    bytes
}

pub(crate) fn decode_member(bytes: &[u8]) -> Result<Member, DecodeError> {
    let (version, mut rest) = versioned(bytes)?;
    if version != PROTOCOL_VERSION {
        return Err(DecodeError::Version(version));
    }
    let member: Member = take(&mut rest)?;
    if !rest.is_empty() {
        return Err(DecodeError::Malformed);
    }
    member.check()?;
    Ok(member)
}

fn versioned(bytes: &[u8]) -> Result<(u8, &[u8]), DecodeError> {
    if bytes.len() > MAX_PACKET_IN {
        return Err(DecodeError::TooLong(bytes.len()));
    }
    bytes
        .split_first()
        .map(|(version, rest)| (*version, rest))
        .ok_or(DecodeError::Empty)
}

fn append(bytes: &mut Vec<u8>, value: &impl bincode::Encode) {
    bincode::encode_into_writer(value, Behind(bytes), bincode::config::standard())
        .expect("plain fields always encode into memory");
}

/// Writes behind what is there already.
struct Behind<'a>(&'a mut Vec<u8>);

impl bincode::enc::write::Writer for Behind<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

fn take<T: bincode::Decode<()>>(rest: &mut &[u8]) -> Result<T, DecodeError> {
    let config = bincode::config::standard().with_limit::<DECODE_LIMIT>();
    let (value, used) =
        bincode::decode_from_slice(rest, config).map_err(|_| DecodeError::Malformed)?;
    *rest = rest.get(used..).ok_or(DecodeError::Malformed)?;
    Ok(value)
}

fn check_header(header: &Header) -> Result<(), DecodeError> {
    is_address(&header.address)
        .then_some(())
        .ok_or(DecodeError::Field("address"))
}

fn check_body(body: &Body) -> Result<(), DecodeError> {
    let short = |text: &String| text.len() <= MAX_NAME;
    let (field, holds) = match body {
        Body::Join {
            via, name, cluster, ..
        } => (
            "join",
            via.len() <= MAX_ADDRESS && short(name) && short(cluster),
        ),
        Body::JoinAck { via, verdict } => {
            let names = match verdict {
                Verdict::Refuse(Refusal::Cluster { joiner, seed }) => short(joiner) && short(seed),
                Verdict::Accept { part, parts } => part < parts && *parts <= MAX_JOIN_PARTS,
                Verdict::Refuse(_) => true,
            };
            ("join answer", via.len() <= MAX_ADDRESS && names)
        }
        Body::PingReq { address, .. } => ("address", is_address(address)),
        Body::Stop { client, .. } | Body::Twin { client, .. } => ("client", is_address(client)),
        Body::SyncReq { buckets } => ("buckets", buckets.len() == BUCKETS),
        Body::SyncRes { buckets } => (
            "buckets",
            buckets.iter().all(|&bucket| usize::from(bucket) < BUCKETS),
        ),
        _ => ("", true),
    };
    if holds {
        Ok(())
    } else {
        Err(DecodeError::Field(field))
    }
}
