//! Hosts of their own in a network of their own, and what can happen to it.
//!
//! Each host is a namespace with one address. Cables join them to a switch, a namespace with a
//! bridge, where packets are lost by the rules of this file: a host does not see why nothing comes.
//! Addresses are still resolved during a cut, as they are behind a router: nobody is told that a
//! host cannot be reached.

use super::namespace::Namespace;
use std::fmt::Write;
use std::sync::Arc;

/// Bytes of a cable that is slow: what fits goes at once, what does not waits up to the queue.
const SLOW_BURST: &str = "16kb";
const SLOW_QUEUE: &str = "256kb";

/// Where the watcher is: no host comes so far.
const WATCHER: &str = "10.77.255.1";

/// Hosts by number, from 0.
pub struct Network {
    switch: Arc<Namespace>,
    hosts: Vec<Host>,
    rules: Vec<Rule>,
    slow: Vec<usize>,
}

/// A host. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Host {
    /// Where its programs run.
    pub namespace: Arc<Namespace>,
    /// Its address.
    pub address: String,
}

/// What happens to packets from one host to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rule {
    from: usize,
    to: usize,
    /// 100 for a cut.
    percent: u32,
}

impl Network {
    /// So many hosts that all reach each other.
    ///
    /// # Panics
    /// If network namespaces are not permitted here; the message says what to do.
    pub fn new(hosts: usize) -> Self {
        let switch = Arc::new(Namespace::new());
        let setup = "link set lo up\nlink add switch type bridge\nlink set switch up\n";
        switch.run("ip", &["-batch", "-"], setup);
        let mut network = Self {
            switch,
            hosts: Vec::new(),
            rules: Vec::new(),
            slow: Vec::new(),
        };
        for _ in 0..hosts {
            network.add_host();
        }
        network
    }

    /// One more host. Gives its number.
    pub fn add_host(&mut self) -> usize {
        let number = self.hosts.len();
        let namespace = self.switch.another();
        let (cable, holder) = (cable(number), namespace.holder());
        let plug = format!(
            "link add {cable} type veth peer name eth0 netns {holder}\n\
             link set {cable} master switch up\n"
        );
        self.switch.run("ip", &["-batch", "-"], &plug);
        let address = format!("10.77.{}.{}", number / 250, number % 250 + 1);
        let setup =
            format!("link set lo up\naddress add {address}/16 dev eth0\nlink set eth0 up\n");
        namespace.run("ip", &["-batch", "-"], &setup);
        self.hosts.push(Host {
            namespace: Arc::new(namespace),
            address,
        });
        number
    }

    /// A host.
    pub fn host(&self, number: usize) -> &Host {
        &self.hosts[number]
    }

    /// A place beside the switch that every host reaches and that reaches every host, whatever
    /// happens to what passes between hosts: for who watches.
    pub fn watcher(&self) -> Host {
        let address = WATCHER.to_string();
        let setup = format!("address replace {address}/16 dev switch\n");
        self.switch.run("ip", &["-batch", "-"], &setup);
        Host {
            namespace: Arc::clone(&self.switch),
            address,
        }
    }

    /// Nothing passes between two hosts.
    pub fn cut(&mut self, one: usize, other: usize) {
        self.cut_one_way(one, other);
        self.cut_one_way(other, one);
    }

    /// Nothing passes from one host to the other; what that one sends still comes.
    pub fn cut_one_way(&mut self, from: usize, to: usize) {
        self.add_rules(&[(from, to)], 100);
    }

    /// Nothing passes between these hosts and all others.
    pub fn isolate(&mut self, side: &[usize]) {
        let others: Vec<usize> = (0..self.hosts.len())
            .filter(|it| !side.contains(it))
            .collect();
        let pairs: Vec<_> = side
            .iter()
            .flat_map(|one| {
                others
                    .iter()
                    .flat_map(|other| [(*one, *other), (*other, *one)])
            })
            .collect();
        self.add_rules(&pairs, 100);
    }

    /// Nothing that a host sends arrives anywhere; what others send to it does.
    pub fn mute(&mut self, host: usize) {
        let others = (0..self.hosts.len()).filter(|it| *it != host);
        let pairs: Vec<_> = others.map(|other| (host, other)).collect();
        self.add_rules(&pairs, 100);
    }

    /// Nothing arrives at a host; what it sends does.
    pub fn deafen(&mut self, host: usize) {
        let others = (0..self.hosts.len()).filter(|it| *it != host);
        let pairs: Vec<_> = others.map(|other| (other, host)).collect();
        self.add_rules(&pairs, 100);
    }

    /// So many of a hundred packets between any two hosts are lost.
    pub fn drop(&mut self, percent: u32) {
        let hosts = 0..self.hosts.len();
        let pairs: Vec<_> = hosts
            .clone()
            .flat_map(|from| hosts.clone().map(move |to| (from, to)))
            .filter(|(from, to)| from != to)
            .collect();
        self.add_rules(&pairs, percent);
    }

    /// A host's cable carries so many kilobits a second, each way.
    pub fn slow(&mut self, host: usize, kilobits: u32) {
        let shape = |device: &str| {
            format!(
                "qdisc replace dev {device} root tbf rate {kilobits}kbit \
                 burst {SLOW_BURST} limit {SLOW_QUEUE}\n"
            )
        };
        self.switch
            .run("tc", &["-batch", "-"], &shape(&cable(host)));
        let namespace = &self.hosts[host].namespace;
        namespace.run("tc", &["-batch", "-"], &shape("eth0"));
        self.slow.push(host);
    }

    /// Every established connection between a host and another is reset, at both ends.
    pub fn reset(&self, host: usize) {
        let Host { namespace, address } = &self.hosts[host];
        let to_others = format!("src {address} and not dst {address}");
        namespace.run("ss", &["-K", "state", "established", &to_others], "");
    }

    /// Everything is as at the start.
    pub fn heal(&mut self) {
        self.rules.clear();
        self.apply();
        for host in std::mem::take(&mut self.slow) {
            let restore = |device: &str| format!("qdisc del dev {device} root\n");
            self.switch
                .run("tc", &["-batch", "-"], &restore(&cable(host)));
            let namespace = &self.hosts[host].namespace;
            namespace.run("tc", &["-batch", "-"], &restore("eth0"));
        }
    }

    fn add_rules(&mut self, pairs: &[(usize, usize)], percent: u32) {
        let rules = pairs.iter().map(|&(from, to)| Rule { from, to, percent });
        self.rules.extend(rules);
        self.apply();
    }

    /// All rules at once, in place of those before.
    fn apply(&self) {
        self.switch.run("nft", &["-f", "-"], &ruleset(&self.rules));
    }
}

/// The switch's end of a host's cable.
fn cable(host: usize) -> String {
    format!("host{host}")
}

fn ruleset(rules: &[Rule]) -> String {
    let mut lines = String::from("flush ruleset\n");
    if rules.is_empty() {
        return lines;
    }
    lines.push_str("table bridge faults {\n  chain forward {\n");
    lines.push_str("    type filter hook forward priority 0; policy accept;\n");
    for Rule { from, to, percent } in rules {
        let (from, to) = (cable(*from), cable(*to));
        let chance = match percent {
            100 => String::new(),
            _ => format!(" numgen random mod 100 < {percent}"),
        };
        let _ = writeln!(
            lines,
            "    ether type ip iifname \"{from}\" oifname \"{to}\"{chance} drop"
        );
    }
    lines.push_str("  }\n}\n");
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{ErrorKind, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    const PORT: u16 = 7000;

    /// A connection from the first host to the second: its two ends.
    fn connect(network: &Network) -> (TcpStream, TcpStream) {
        let (from, to) = (network.host(0), network.host(1));
        let address = (to.address.as_str(), PORT);
        let listener = to.namespace.inside(|| TcpListener::bind(address));
        let listener = listener.expect("a port of its own");
        let one = from.namespace.inside(|| TcpStream::connect(address));
        (
            one.expect("a way there"),
            listener.accept().expect("the connection").0,
        )
    }

    fn arrives(from: &mut TcpStream, to: &mut TcpStream) -> bool {
        let patience = Duration::from_millis(300);
        to.set_read_timeout(Some(patience)).expect("above zero");
        from.write_all(b"x").expect("room for a byte");
        to.read(&mut [0]).is_ok_and(|count| count == 1)
    }

    #[test]
    fn a_cut_stops_bytes_until_it_is_healed() {
        let mut network = Network::new(3);
        let (mut one, mut other) = connect(&network);
        assert!(arrives(&mut one, &mut other));
        network.cut(0, 2);
        assert!(arrives(&mut one, &mut other), "the cut is elsewhere");
        network.cut_one_way(0, 1);
        assert!(!arrives(&mut one, &mut other));
        network.heal();
        other.set_read_timeout(None).expect("no limit");
        assert_eq!(other.read(&mut [0]).expect("it was sent"), 1);
        network.isolate(&[1, 2]);
        assert!(!arrives(&mut other, &mut one));
    }

    #[test]
    fn a_reset_is_seen_at_both_ends_and_by_nobody_else() {
        let network = Network::new(3);
        let (mut one, mut other) = connect(&network);
        network.reset(2);
        assert!(arrives(&mut one, &mut other), "the reset is elsewhere");
        network.reset(1);
        let ends = [&mut one, &mut other].map(|end| end.read(&mut [0]));
        assert_eq!(
            ends[0].as_ref().map_err(std::io::Error::kind),
            Err(ErrorKind::ConnectionReset)
        );
        assert!(ends[1].is_err());
    }

    #[test]
    fn a_slow_cable_takes_its_time() {
        let mut network = Network::new(2);
        let (mut one, mut other) = connect(&network);
        let start = std::time::Instant::now();
        network.slow(1, 800);
        one.write_all(&[0; 100_000]).expect("room for it");
        other.read_exact(&mut [0; 100_000]).expect("all of it");
        assert!(
            start.elapsed() > Duration::from_millis(500),
            "a second's worth"
        );
        network.heal();
    }

    #[test]
    fn rules_name_both_ends() {
        let rule = Rule {
            from: 1,
            to: 2,
            percent: 10,
        };
        let text = ruleset(&[rule]);
        assert!(
            text.contains("iifname \"host1\" oifname \"host2\" numgen random mod 100 < 10 drop")
        );
        assert!(!ruleset(&[]).contains("table"));
    }
}
