//! How many connections the process may have open at a time.

/// Raises the limit to what the system allows at most. The usual soft limit of 1024 is there for
/// old programs; a node under it could be kept from its clients by a thousand silent connections.
#[cfg(unix)]
pub(crate) fn take_all() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // Where this is not allowed the old limit holds, and the node says so when it is reached.
    let _ = setrlimit(Resource::Nofile, all);
}

/// Other systems have no such limit.
#[cfg(not(unix))]
pub(crate) fn take_all() {}
