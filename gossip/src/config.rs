//! Every number the machine works with, and what is traded for what.

use core::time::Duration;

/// The machine's constants. [`Config::local`] is the preset for nodes near one another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Number of partitions, a constant of the mesh. Nodes that differ in it refuse each other.
    pub partitions: u32,
    /// One member is probed per tick. Shorter finds deaths sooner and costs two packets more.
    pub tick: Duration,
    /// Even ticks probe one of this many neighbours on the ring of ids, so that every member has
    /// as many steady watchers whatever the size of the mesh; odd ticks go round all members.
    /// With 0 every tick goes round all members, as in plain SWIM.
    pub ring_successors: usize,
    /// Members asked to probe in my stead when a direct probe is late. More forgive a bad path of
    /// mine and cost packets when somebody is really gone.
    pub helpers: usize,
    /// A direct probe waits for smoothed round trip + 4 × variation, but at least this long.
    pub direct_min: Duration,
    /// And at most this long, so that helpers still have time before the window ends.
    pub direct_max: Duration,
    /// A probe without an answer by then has failed; where answers came late before, by the longest
    /// time that one took lately, 4 s at most. All three are stretched by local health.
    pub probe_window: Duration,
    /// Local health goes from 0 (good) to this. Each step stretches the time-outs of probes once
    /// more by their own length: more patience where I am slow myself, at the price of finding
    /// deaths later. Lifeguard has 8; 0 turns it off.
    pub health_worst: u32,
    /// Whether a connection that is refused or breaks makes me probe at once, and refusals seen
    /// from two nodes cut the suspicion short. Off, a killed process is found like a lost host.
    pub refusals: bool,
    /// Time between two rounds of gossip, while there is something to say.
    pub gossip_interval: Duration,
    /// Members told per round. Each update reaches N members in about log(N) rounds.
    pub gossip_fanout: usize,
    /// Each update is sent this often × log2(N + 1). SWIM shows that 3 makes a miss rare; the
    /// digest mends the rest.
    pub retransmit_factor: u32,
    /// Bytes of records that ride on a packet that is sent for another reason.
    pub piggyback_bytes: usize,
    /// Shortest suspicion is this many ticks × max(1, log10 N): time for the news and the
    /// refutation to cross the mesh.
    pub suspicion_min_ticks: u32,
    /// Longest suspicion is this many times the shortest; confirmations shrink it (Lifeguard).
    pub suspicion_max_factor: u32,
    /// Confirmations shrink a suspicion to this many times the longest time that an answer took
    /// lately, and not further; to four times as much where fewer than two members could confirm.
    /// Where packets are lost that keeps the living alive and finds the dead later. It does so for
    /// about ten seconds after a cut or a stop, too. 0 turns it off, and the longer windows of
    /// probes with it.
    pub lateness_factor: u32,
    /// So many confirmations by others shrink a suspicion to its shortest; 3 at most. Fewer find
    /// deaths sooner and believe a few nodes on a bad path.
    pub confirmations: usize,
    /// Whether a healthy helper that got no answer either confirms the suspicion at once. Off,
    /// only members whose own probe failed do, as in memberlist.
    pub nacks_confirm: bool,
    /// Whether a member that is held suspect or dead is told so when it is heard.
    pub accusations: bool,
    /// More silent suspects at once than this share of the members, in percent, look like a
    /// partition: then those that nobody else accuses stay suspect for the longest time. 100 turns
    /// it off.
    pub partition_percent: usize,
    /// Suspicion of a member that refuses connections, as seen from two nodes.
    pub refused_suspicion: Duration,
    /// Added to suspicions while nobody is heard: more likely it is me who is cut off.
    pub isolation_hold: Duration,
    /// Silence of everybody for this long makes me doubt myself rather than them.
    pub isolation_silence: Duration,
    /// A call that comes this much too late is a stall of mine (a stopped process, a suspended
    /// machine): every deadline moves by it. Half of it already lowers my trust in myself.
    pub stall: Duration,
    /// How long a joining node waits for its first seed before it starts alone.
    pub join_patience: Duration,
    /// How long a joining node asks an older process with its name before it takes it for gone.
    pub twin_patience: Duration,
    /// Time between two calls on a seed that is not alive. They never end.
    pub seed_retry: Duration,
    /// The same for a seed that refused us: only an operator can mend that.
    pub refused_seed_retry: Duration,
    /// A dead member is called on by all the others together about this often, so that a partition
    /// that has ended is found at once whatever the size of the mesh: each of N members calls it
    /// once in N times this. Where as many are dead as live, that is a call per node in this time.
    pub dead_call: Duration,
    /// Who has been dead for longer than this is called on less often, in proportion.
    pub dead_call_fresh: Duration,
    /// Shortest time between two calls of mine, however many are dead.
    pub dead_call_pace: Duration,
    /// Shortest time between two syncs that I ask for.
    pub sync_interval: Duration,
    /// A view is published after this long without change: one move of partitions, not many.
    pub view_quiet: Duration,
    /// But no later than this after the first change.
    pub view_latest: Duration,
    /// Records of the dead and the gone are remembered this long, so that old news about them is
    /// known for what it is.
    pub tombstone_keep: Duration,
    /// And told to others for this long. The difference gives slow clocks room.
    pub tombstone_spread: Duration,
    /// Most records in the table. When it is full the oldest tombstone gives way.
    pub max_members: usize,
    /// Most seeds.
    pub max_seeds: usize,
    /// Most probes, and most probes for others, that may wait for their answers.
    pub max_probes: usize,
}

impl Config {
    /// For nodes in one place or a few near ones: a silent host is found in about two seconds.
    pub fn local() -> Self {
        let ms = Duration::from_millis;
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        Self {
            partitions: 16_384,
            tick: ms(250),
            ring_successors: 4,
            helpers: 3,
            direct_min: ms(80),
            direct_max: ms(200),
            probe_window: ms(500),
            health_worst: 8,
            refusals: true,
            gossip_interval: ms(100),
            gossip_fanout: 3,
            retransmit_factor: 3,
            piggyback_bytes: 1200,
            suspicion_min_ticks: 4,
            suspicion_max_factor: 6,
            lateness_factor: 2,
            confirmations: 3,
            nacks_confirm: true,
            accusations: true,
            partition_percent: 30,
            refused_suspicion: ms(500),
            isolation_hold: ms(10_000),
            isolation_silence: ms(1000),
            stall: ms(250),
            join_patience: ms(2000),
            twin_patience: ms(1000),
            seed_retry: ms(5000),
            refused_seed_retry: ms(30_000),
            dead_call: ms(1000),
            dead_call_fresh: ms(900_000),
            dead_call_pace: ms(500),
            sync_interval: ms(500),
            view_quiet: ms(200),
            view_latest: ms(1000),
            tombstone_keep: hours(24),
            tombstone_spread: hours(12),
            max_members: 10_000,
            max_seeds: 64,
            max_probes: 1024,
        }
    }
}
