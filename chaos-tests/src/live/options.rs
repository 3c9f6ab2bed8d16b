//! The program under test, and what a node is started with.

use super::namespace::Namespace;
use super::network::Host;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// What a node is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// `--name`.
    pub name: String,
    /// `--cluster`.
    pub cluster: String,
    /// `--seed`, each.
    pub seeds: Vec<String>,
    /// `--bind`, and the host under which the test reaches it.
    pub bind: String,
    /// `--port`, `--gossip-port` and `--link-port`; 0 takes free ones.
    pub ports: [u16; 3],
    /// Where it runs, if not where the test does.
    pub namespace: Option<Arc<Namespace>>,
    /// Where its log is kept, beside in memory.
    pub log_file: Option<PathBuf>,
    /// More flags.
    pub flags: Vec<String>,
}

/// The program under test: built beside the test, or named by `ZMESH_PROGRAM`.
///
/// # Panics
/// If it is not there.
pub fn program() -> PathBuf {
    if let Some(path) = std::env::var_os("ZMESH_PROGRAM") {
        return path.into();
    }
    let test = std::env::current_exe().expect("a test knows its own path");
    let name = format!("zmesh{}", std::env::consts::EXE_SUFFIX);
    // Tests lie in target/*/deps, programs in target/*.
    let folders = test.ancestors().skip(1).take(2);
    let found = folders
        .map(|folder| folder.join(&name))
        .find(|it| it.exists());
    found.unwrap_or_else(|| {
        panic!(
            "no {name} near {}: build it with `cargo build -p zmesh`, or run `make live`",
            test.display()
        )
    })
}

/// A `zmesh` command without the variables of the test's own environment.
pub fn zmesh() -> Command {
    let mut command = Command::new(program());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ZMESH_") {
            command.env_remove(name);
        }
    }
    command
}

/// An address of this machine that no other test binds to: what a test must know before its nodes
/// are started stands there on ports of its own choice.
pub fn own_host() -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(1);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let [_, a, b, c] = (std::process::id().wrapping_mul(64).wrapping_add(count)).to_be_bytes();
    format!("127.{}.{b}.{}", a % 254 + 1, c % 254 + 1)
}

impl Options {
    /// The same on an address and ports that were chosen before.
    #[must_use]
    pub fn at(mut self, host: &str, ports: [u16; 3]) -> Self {
        self.bind = host.into();
        self.ports = ports;
        self
    }

    /// The same on a host of its own, on these ports.
    #[must_use]
    pub fn on(self, host: &Host, ports: [u16; 3]) -> Self {
        Self {
            namespace: Some(Arc::clone(&host.namespace)),
            ..self.at(&host.address, ports)
        }
    }

    /// A node of this name and cluster, on free ports, without seeds.
    pub fn new(name: &str, cluster: &str) -> Self {
        Self {
            name: name.into(),
            cluster: cluster.into(),
            seeds: Vec::new(),
            bind: "127.0.0.1".into(),
            ports: [0; 3],
            namespace: None,
            log_file: None,
            flags: Vec::new(),
        }
    }

    /// The same with one more seed.
    #[must_use]
    pub fn seed(mut self, address: &str) -> Self {
        self.seeds.push(address.into());
        self
    }

    /// The same with more flags.
    #[must_use]
    pub fn flags(mut self, flags: &[&str]) -> Self {
        self.flags.extend(flags.iter().map(|flag| flag.to_string()));
        self
    }

    /// Does something that opens its sockets where the node has its own.
    pub fn inside<T: Send>(&self, action: impl FnOnce() -> T + Send) -> T {
        match &self.namespace {
            Some(namespace) => namespace.inside(action),
            None => action(),
        }
    }

    pub(super) fn command(&self) -> Command {
        let mut command = zmesh();
        command.args(["node", "--name", &self.name, "--cluster", &self.cluster]);
        command.args(["--bind", &self.bind]);
        for (flag, port) in ["--port", "--gossip-port", "--link-port"]
            .iter()
            .zip(self.ports)
        {
            command.args([flag, port.to_string().as_str()]);
        }
        for seed in &self.seeds {
            command.args(["--seed", seed]);
        }
        command.args(&self.flags);
        command
    }
}
