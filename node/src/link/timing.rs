//! The times of links. A simulation of whole nodes keeps the same.

use std::time::Duration;

/// Each side asks the other for a sign of life so often.
pub const PING_EVERY: Duration = Duration::from_secs(1);

/// A link on which nothing was heard for so long is dead. Longer than membership needs to find a
/// dead host: this is for a connection that died between two living ones.
pub const SILENCE: Duration = Duration::from_secs(4);

/// Replies wait for each other this long: an ack for every message of a slow stream would cost two
/// nodes a wake-up each. Only the publisher's budget waits for them.
pub const REPLY_DELAY: Duration = Duration::from_millis(1);

/// Connecting, handshake and hello together take this long at most.
pub const OPEN_TIMEOUT: Duration = Duration::from_secs(2);

/// Pause before the second attempt: short, since most resets are over at once.
pub const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Pauses between attempts double up to this.
pub const LAST_PAUSE: Duration = Duration::from_secs(1);

/// A member that is held alive and cannot open a link to this node does not stop it from joining
/// for longer than this.
pub const JOIN_PATIENCE: Duration = Duration::from_secs(10);
