//! The table of parameters. CONFIG, the configuration file, `--set` and docs/CONFIGURATION.md all follow it.

mod redis;

use quorate_keyspace::Policy;

use super::kind::{Kind, Unit};

pub(super) use redis::HIDDEN;

/// Whom a value belongs to (R12).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Each node has its own.
    Node,
    /// The cluster has one, kept in the replicated directory and changed by an entry of the log.
    Cluster,
}

/// When a value may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changes {
    /// At any time, by CONFIG SET.
    Live,
    /// Only by a restart (of the node), or not after the start of the first node (of the cluster).
    AtStart,
    /// Never: only the default is accepted, for this reason. It exists because clients set it.
    Never(&'static str),
}

/// One parameter.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Its name: Redis's where Redis has it.
    pub name: &'static str,
    /// Whom its value belongs to.
    pub scope: Scope,
    /// Its type and range.
    pub kind: Kind,
    /// Its value unless given, in the form that is read.
    pub default: &'static str,
    /// When it may change.
    pub changes: Changes,
    /// What it does.
    pub doc: &'static str,
}

const fn count(min: i64, max: i64) -> Kind {
    Kind::Integer { min, max, unit: Unit::Count }
}

const fn seconds(min: i64, max: i64) -> Kind {
    Kind::Integer { min, max, unit: Unit::Seconds }
}

const fn milliseconds(min: i64, max: i64) -> Kind {
    Kind::Integer { min, max, unit: Unit::Milliseconds }
}

const fn bytes(min: i64, max: i64) -> Kind {
    Kind::Integer { min, max, unit: Unit::Bytes }
}

const MB: i64 = 1 << 20;
const GB: i64 = 1 << 30;
const INT_MAX: i64 = i32::MAX as i64;

/// The words of `appendfsync`, in the order of [`Appendfsync`](super::Appendfsync).
const APPENDFSYNC: &[&str] = &["everysec", "always"];
/// The words of `enable-debug-command`, in the order of [`DebugAccess`](super::DebugAccess).
const DEBUG_ACCESS: &[&str] = &["no", "yes", "local"];
/// The words of `loglevel`, in the order of [`LogLevel`](super::LogLevel).
const LOGLEVEL: &[&str] = &["debug", "verbose", "notice", "warning"];

/// Every parameter, in the order of the documentation.
pub const PARAMETERS: &[Parameter] = &join::<{ OWN.len() + redis::REDIS.len() }>(OWN, redis::REDIS);

const fn join<const N: usize>(first: &[Parameter], second: &[Parameter]) -> [Parameter; N] {
    assert!(N == first.len() + second.len());
    let mut all = [first[0]; N];
    let mut i = 0;
    while i < N {
        all[i] = if i < first.len() { first[i] } else { second[i - first.len()] };
        i += 1;
    }
    all
}

/// Those that can only be set at start in Redis, too.
pub(super) const IMMUTABLE: &[&str] = &["databases", "enable-debug-command", "logfile", "tcp-backlog"];

/// Those that do something.
const OWN: &[Parameter] = &[
    // Network.
    Parameter {
        name: "port",
        scope: Scope::Node,
        kind: count(1, 55_535),
        default: "6379",
        changes: Changes::AtStart,
        doc: "Port for clients; `--listen` sets it. The bus between nodes listens on this port + 10000, HTTP on this port + 3000 unless `--http-listen` is given.",
    },
    Parameter {
        name: "bind",
        scope: Scope::Node,
        kind: Kind::Address,
        default: "127.0.0.1",
        changes: Changes::AtStart,
        doc: "Address to listen on; `--listen` sets it.",
    },
    Parameter {
        name: "tcp-backlog",
        scope: Scope::Node,
        kind: count(0, INT_MAX),
        default: "511",
        changes: Changes::AtStart,
        doc: "How many connections the operating system keeps until they are accepted.",
    },
    Parameter {
        name: "tcp-keepalive",
        scope: Scope::Node,
        kind: seconds(0, INT_MAX),
        default: "300",
        changes: Changes::Live,
        doc: "A connection that is silent for this long is asked by TCP whether its client is still there; 0 does not ask. For connections made after the change.",
    },
    Parameter {
        name: "timeout",
        scope: Scope::Node,
        kind: seconds(0, INT_MAX),
        default: "0",
        changes: Changes::Live,
        doc: "A client that sends nothing for this long is disconnected, unless it has subscribed or is blocked; 0 never does.",
    },
    Parameter {
        name: "maxclients",
        scope: Scope::Node,
        kind: count(1, u32::MAX as i64),
        default: "10000",
        changes: Changes::Live,
        doc: "How many clients may be connected to this node; further ones get an error. The limit of open files must allow it.",
    },
    Parameter {
        name: "client-query-buffer-limit",
        scope: Scope::Node,
        kind: bytes(MB, i64::MAX),
        default: "1gb",
        changes: Changes::Live,
        doc: "How many bytes of unfinished commands one connection may hold; beyond it is closed.",
    },
    Parameter {
        name: "client-output-buffer-limit",
        scope: Scope::Node,
        kind: Kind::OutputLimits,
        default: "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
        changes: Changes::Live,
        doc: "How many bytes of replies may wait for a client that does not read them, per class of clients (`normal`, `pubsub`; `replica` is accepted and limits nothing, because nodes have their own bus): disconnected at once above HARD, or above SOFT for SECONDS; 0 is no limit. Classes that are not named keep their limits.",
    },
    Parameter {
        name: "proto-max-bulk-len",
        scope: Scope::Node,
        kind: bytes(MB, 512 * MB),
        default: "512mb",
        changes: Changes::Live,
        doc: "The longest single argument that clients may send. No string value grows beyond 512 MB in any case.",
    },
    // Access.
    Parameter {
        name: "protected-mode",
        scope: Scope::Node,
        kind: Kind::Bool,
        default: "yes",
        changes: Changes::Live,
        doc: "While there is no password, clients are accepted from this machine only.",
    },
    Parameter {
        name: "requirepass",
        scope: Scope::Cluster,
        kind: Kind::Secret,
        default: "",
        changes: Changes::Live,
        doc: "Password of the default user; empty asks for none. It is kept as a hash, as with ACL SETUSER: CONFIG GET shows `(set)` in its place, which CONFIG SET takes for the same password.",
    },
    Parameter {
        name: "acl-pubsub-default",
        scope: Scope::Cluster,
        kind: Kind::Enum(&["resetchannels", "allchannels"]),
        default: "resetchannels",
        changes: Changes::Live,
        doc: "The channels that a new user, a new selector, and one after `reset` may use.",
    },
    Parameter {
        name: "tracking-table-max-keys",
        scope: Scope::Node,
        kind: count(0, i64::MAX),
        default: "1000000",
        changes: Changes::Live,
        doc: "The keys that a node remembers its clients to have copies of (CLIENT TRACKING); beyond it clients are told to drop some. 0 is any number.",
    },
    Parameter {
        name: "acllog-max-len",
        scope: Scope::Node,
        kind: count(0, i64::MAX),
        default: "128",
        changes: Changes::Live,
        doc: "How many entries ACL LOG has on each node.",
    },
    Parameter {
        name: "enable-debug-command",
        scope: Scope::Node,
        kind: Kind::Enum(DEBUG_ACCESS),
        default: "no",
        changes: Changes::AtStart,
        doc: "Who may use DEBUG, which exists for tests: nobody, everybody, or (`local`) clients of this machine.",
    },
    // Durability and consistency.
    Parameter {
        name: "appendfsync",
        scope: Scope::Cluster,
        kind: Kind::Enum(APPENDFSYNC),
        default: "always",
        changes: Changes::Live,
        doc: "When a write is acknowledged: `always` when a majority has it on disk; `everysec` when a majority has handed it to its operating system, with an fsync every second. `everysec` survives any crash of processes; it may lose the last second when a majority loses its operating system or power at once.",
    },
    Parameter {
        name: "appendonly",
        scope: Scope::Cluster,
        kind: Kind::Bool,
        default: "yes",
        changes: Changes::Never("the replicated log is the database, it cannot be switched off"),
        doc: "Always `yes`: every write is in the log before it is acknowledged.",
    },
    Parameter {
        name: "save",
        scope: Scope::Node,
        kind: Kind::SavePoints,
        default: "",
        changes: Changes::Live,
        doc: "Without effect: every write is in the log, and snapshots follow its growth, see snapshot-log-size.",
    },
    Parameter {
        name: "write-timeout",
        scope: Scope::Node,
        kind: milliseconds(100, 3_600_000),
        default: "5000",
        changes: Changes::AtStart,
        doc: "A write that is not committed after this long gets an error that says whether it may still be applied (`-UNKNOWN`) or is not (`-NOQUORUM`).",
    },
    Parameter {
        name: "replication-factor",
        scope: Scope::Cluster,
        kind: count(1, 7),
        default: "3",
        changes: Changes::Live,
        doc: "How many voters the cluster has, as soon as it has that many nodes; further nodes are learners, until a voter is removed. Raised, learners become voters; lowered, voters become learners, never the leader. Odd numbers: with an even one the number of voters is one less, or stays one more.",
    },
    Parameter {
        name: "min-replicas-to-write",
        scope: Scope::Cluster,
        kind: count(0, INT_MAX),
        default: "0",
        changes: Changes::Live,
        doc: "Writes are refused (`-NOREPLICAS`, not applied) while the cluster has fewer voters than this beside the leader: 1 keeps a single node from taking writes that only it has. Scripts and functions whose first line does not promise `no-writes` are writes; scripts without such a line may read. Each write waits for a majority of the voters in any case.",
    },
    Parameter {
        name: "heartbeat-interval",
        scope: Scope::Node,
        kind: milliseconds(5, 60_000),
        default: "30",
        changes: Changes::AtStart,
        doc: "How often a leader says that it is alive. At most half of election-timeout-min.",
    },
    Parameter {
        name: "election-timeout-min",
        scope: Scope::Node,
        kind: milliseconds(20, 600_000),
        default: "120",
        changes: Changes::AtStart,
        doc: "A follower that hears nothing from its leader for a random time between this and election-timeout-max calls an election. Raise both when the round trip between nodes takes more than a few milliseconds. Must be the same on all nodes, because the leader's lease relies on it: a node with another value is not taken in, and a member that was restarted with one is reported by the leader.",
    },
    Parameter {
        name: "election-timeout-max",
        scope: Scope::Node,
        kind: milliseconds(20, 600_000),
        default: "180",
        changes: Changes::AtStart,
        doc: "See election-timeout-min. Must be the same on all nodes.",
    },
    Parameter {
        name: "clock-drift",
        scope: Scope::Node,
        kind: Kind::Decimal { min: 0.0, max: 0.5 },
        default: "0.05",
        changes: Changes::AtStart,
        doc: "By how much the clocks of two nodes may differ in speed (0.05 is 5 %). The leader's lease, under which it answers reads alone, is shorter by this. Must be the same on all nodes.",
    },
    Parameter {
        name: "clock-step-max",
        scope: Scope::Node,
        kind: milliseconds(0, 3_600_000),
        default: "1000",
        changes: Changes::AtStart,
        doc: "A step of the wall clock larger than this is reported and not followed by expiry.",
    },
    // Storage.
    Parameter {
        name: "dir",
        scope: Scope::Node,
        kind: Kind::Text,
        default: "./quorate-data",
        changes: Changes::AtStart,
        doc: "Folder of the node's data; `--data-dir` sets it.",
    },
    Parameter {
        name: "segment-size",
        scope: Scope::Node,
        kind: bytes(MB, 4 * GB),
        default: "64mb",
        changes: Changes::AtStart,
        doc: "Size of one file of the log, reserved in advance. A larger entry gets a file of its own.",
    },
    Parameter {
        name: "snapshot-log-size",
        scope: Scope::Node,
        kind: bytes(MB, i64::MAX),
        default: "256mb",
        changes: Changes::AtStart,
        doc: "A snapshot is taken when the log has grown by this since the last one, or by the size of that snapshot if it is larger.",
    },
    Parameter {
        name: "log-keep-size",
        scope: Scope::Node,
        kind: bytes(0, i64::MAX),
        default: "64mb",
        changes: Changes::AtStart,
        doc: "How much of the log stays behind a snapshot, so that a follower that is a little behind does not need the whole snapshot.",
    },
    // Memory.
    Parameter {
        name: "pending-writes-max",
        scope: Scope::Node,
        kind: bytes(MB, i64::MAX),
        default: "1gb",
        changes: Changes::AtStart,
        doc: "How many bytes of writes that are not yet committed a node holds; beyond it clients get `-OVERLOADED`, which means that the write is not applied.",
    },
    Parameter {
        name: "queue-memory-limit",
        scope: Scope::Node,
        kind: bytes(0, i64::MAX),
        default: "0",
        changes: Changes::AtStart,
        doc: "How many bytes everything that waits in a node may take together: commands on their way in, replies that clients have not read, writes that are not applied, what comes from other nodes. Beyond it large commands are not read until there is room, then refused with `-OVERLOADED`, which means that they are not applied; small ones go on. A command of up to a quarter of it never makes a node exceed it; a larger one is served alone. 0 is a quarter of the machine's memory (or of what its control group may use), at least 1 GB; other values count as at least 16 MB.",
    },
    Parameter {
        name: "maxmemory",
        scope: Scope::Cluster,
        kind: bytes(0, i64::MAX),
        default: "0",
        changes: Changes::Live,
        doc: "When the memory of the leader (`used_memory` of INFO there, without what queues, the log's cache and a running snapshot hold) is above this, keys are evicted as maxmemory-policy says. If none may be, commands that may need memory are refused with `-OOM`, on whatever node and in transactions and scripts too, which means that they are not applied. Give each node as much memory, and room for queue-memory-limit beside it. 0 is no limit.",
    },
    Parameter {
        name: "maxmemory-policy",
        scope: Scope::Cluster,
        kind: Kind::Enum(&Policy::NAMES),
        default: "noeviction",
        changes: Changes::Live,
        doc: "Which keys go when memory is short: of all keys (`allkeys`) or only of those that have a deadline (`volatile`), those not used for longest (`lru`), used least often (`lfu`), next to expire (`ttl`), or any (`random`); or none (`noeviction`). The leader chooses, by what it has seen itself: commands that write are uses on every node, reads only on the node that executes them, and who becomes leader begins with what it has noted so far. What it has chosen goes through the log.",
    },
    Parameter {
        name: "maxmemory-samples",
        scope: Scope::Cluster,
        kind: count(1, INT_MAX),
        default: "5",
        changes: Changes::Live,
        doc: "How many keys are looked at for each one that is evicted: with more, `lru` and `lfu` come closer to what they say, and cost more.",
    },
    Parameter {
        name: "maxmemory-eviction-tenacity",
        scope: Scope::Cluster,
        kind: count(0, 100),
        default: "10",
        changes: Changes::Live,
        doc: "How many keys are evicted at a time, beside two for each write that came: 0 a few dozen, 10 a thousand, 100 as many as it takes while all others wait.",
    },
    Parameter {
        name: "lfu-log-factor",
        scope: Scope::Cluster,
        kind: count(0, INT_MAX),
        default: "10",
        changes: Changes::Live,
        doc: "How seldom the counter of a key (OBJECT FREQ, at most 255) grows that is used often already: with 10, a million uses fill it.",
    },
    Parameter {
        name: "lfu-decay-time",
        scope: Scope::Cluster,
        kind: count(0, INT_MAX),
        default: "1",
        changes: Changes::Live,
        doc: "After so many minutes the counter of a key falls by one; 0 is never.",
    },
    Parameter {
        name: "maxmemory-clients",
        scope: Scope::Node,
        kind: Kind::BytesOrPercent,
        default: "0",
        changes: Changes::Live,
        doc: "How many bytes the clients of this node may hold together (commands that are not complete, commands queued by MULTI, replies that are not read), or how many percent of maxmemory; beyond it, those that hold most are disconnected, apart from those that asked for CLIENT NO-EVICT. 0 is no limit.",
    },
    Parameter {
        name: "databases",
        scope: Scope::Cluster,
        kind: count(1, 10_000),
        default: "16",
        changes: Changes::AtStart,
        doc: "How many databases SELECT can choose from. What the first node of a cluster is started with holds for all nodes and for the life of the cluster.",
    },
    // How values are kept.
    Parameter {
        name: "hash-max-listpack-entries",
        scope: Scope::Cluster,
        kind: count(0, INT_MAX),
        default: "512",
        changes: Changes::Live,
        doc: "Most fields of a hash that is kept in one piece, as OBJECT ENCODING shows it (`listpack`).",
    },
    Parameter {
        name: "hash-max-listpack-value",
        scope: Scope::Cluster,
        kind: bytes(0, GB),
        default: "64",
        changes: Changes::Live,
        doc: "Longest field or value in such a hash.",
    },
    Parameter {
        name: "set-max-intset-entries",
        scope: Scope::Cluster,
        kind: count(0, INT_MAX),
        default: "512",
        changes: Changes::Live,
        doc: "Most members of a set of integers that is kept in one sorted piece (`intset`).",
    },
    Parameter {
        name: "set-max-listpack-entries",
        scope: Scope::Cluster,
        kind: count(0, INT_MAX),
        default: "128",
        changes: Changes::Live,
        doc: "Most members of another set that is kept in one piece (`listpack`).",
    },
    Parameter {
        name: "set-max-listpack-value",
        scope: Scope::Cluster,
        kind: bytes(0, GB),
        default: "64",
        changes: Changes::Live,
        doc: "Longest member of such a set.",
    },
    Parameter {
        name: "zset-max-listpack-entries",
        scope: Scope::Cluster,
        kind: count(0, INT_MAX),
        default: "128",
        changes: Changes::Live,
        doc: "Most members of a sorted set that is kept in one piece (`listpack`).",
    },
    Parameter {
        name: "zset-max-listpack-value",
        scope: Scope::Cluster,
        kind: bytes(0, GB),
        default: "64",
        changes: Changes::Live,
        doc: "Longest member of such a sorted set.",
    },
    Parameter {
        name: "list-max-listpack-size",
        scope: Scope::Cluster,
        kind: count(-5, INT_MAX),
        default: "-2",
        changes: Changes::Live,
        doc: "How large a list is until OBJECT ENCODING says `quicklist`: a number of elements, or -1 to -5 for 4, 8, 16, 32, 64 KiB.",
    },
    Parameter {
        name: "stream-node-max-bytes",
        scope: Scope::Cluster,
        kind: bytes(0, 4 * GB),
        default: "4096",
        changes: Changes::Live,
        doc: "How large a node of a stream may become; 0 is any size.",
    },
    Parameter {
        name: "stream-node-max-entries",
        scope: Scope::Cluster,
        kind: count(0, INT_MAX),
        default: "100",
        changes: Changes::Live,
        doc: "How many entries a node of a stream may have; 0 is any number. XTRIM with `~` removes whole nodes.",
    },
    Parameter {
        name: "hll-sparse-max-bytes",
        scope: Scope::Cluster,
        kind: bytes(0, 64 << 10),
        default: "3000",
        changes: Changes::Live,
        doc: "Longest sparse HyperLogLog.",
    },
    Parameter {
        name: "script-steps-max",
        scope: Scope::Cluster,
        kind: count(1_000_000, 100_000_000_000),
        default: "1000000000",
        changes: Changes::Live,
        doc: "What one run of a script or function may spend, in instructions of Lua; library functions and commands count in proportion to their work. A run that spends more ends with an error, at the same step on every node, which keeps what it has written. A billion take some seconds, for which other clients wait.",
    },
    Parameter {
        name: "script-memory-max",
        scope: Scope::Cluster,
        kind: bytes(64 * MB, 64 * GB),
        default: "1gb",
        changes: Changes::Live,
        doc: "What the interpreter of one run of a script or function may hold at a time. A run that asks for more gets the error \"not enough memory\" from Lua, at the same step on every node. Every node that holds the data needs as much for the time of the run.",
    },
    // Observing.
    Parameter {
        name: "notify-keyspace-events",
        scope: Scope::Cluster,
        kind: Kind::KeyspaceEvents,
        default: "",
        changes: Changes::Live,
        doc: "Which keyspace notifications are published, as letters: on channels of keys (`K`), of events (`E`); commands for all types (`g`), on strings (`$`), lists (`l`), sets (`s`), hashes (`h`), sorted sets (`z`), streams (`t`), expired keys (`x`), evicted keys (`e`), all of these (`A`), and new keys (`n`). `d` is taken and means nothing; `m` (misses of reads) is refused: reads are not in the log. Without `K` or `E` nothing is published. Each node tells its own subscribers what it applies, all nodes the same.",
    },
    Parameter {
        name: "slowlog-log-slower-than",
        scope: Scope::Node,
        kind: count(-1, i64::MAX),
        default: "10000",
        changes: Changes::Live,
        doc: "SLOWLOG notes commands of this node's clients that take this many microseconds; 0 notes all, -1 none.",
    },
    Parameter {
        name: "slowlog-max-len",
        scope: Scope::Node,
        kind: count(0, i64::MAX),
        default: "128",
        changes: Changes::Live,
        doc: "How many commands SLOWLOG keeps.",
    },
    Parameter {
        name: "latency-monitor-threshold",
        scope: Scope::Node,
        kind: milliseconds(0, i64::MAX),
        default: "0",
        changes: Changes::Live,
        doc: "LATENCY notes what takes this long; 0 notes nothing.",
    },
    Parameter {
        name: "latency-tracking",
        scope: Scope::Node,
        kind: Kind::Bool,
        default: "yes",
        changes: Changes::Live,
        doc: "Whether the times of commands are counted for INFO latencystats and LATENCY HISTOGRAM.",
    },
    Parameter {
        name: "latency-tracking-info-percentiles",
        scope: Scope::Node,
        kind: Kind::Percentiles,
        default: "50 99 99.9",
        changes: Changes::Live,
        doc: "Which percentiles INFO latencystats shows.",
    },
    // Logs of the process.
    Parameter {
        name: "loglevel",
        scope: Scope::Node,
        kind: Kind::Enum(LOGLEVEL),
        default: "notice",
        changes: Changes::Live,
        doc: "How much the node reports of its own work.",
    },
    Parameter {
        name: "logfile",
        scope: Scope::Node,
        kind: Kind::Text,
        default: "",
        changes: Changes::AtStart,
        doc: "File to which those reports are appended; empty is the standard error stream.",
    },
];

/// The parameter of this name, in any case.
#[must_use]
pub fn find(name: &str) -> Option<&'static Parameter> {
    position_of(name).map(|at| &PARAMETERS[at])
}

/// Names that parameters had in earlier versions of Redis, and what they are called now.
pub(super) const ALIASES: &[(&str, &str)] = &[
    ("cluster-slave-no-failover", "cluster-replica-no-failover"),
    ("cluster-slave-validity-factor", "cluster-replica-validity-factor"),
    ("hash-max-ziplist-entries", "hash-max-listpack-entries"),
    ("hash-max-ziplist-value", "hash-max-listpack-value"),
    ("list-max-ziplist-size", "list-max-listpack-size"),
    ("lua-time-limit", "busy-reply-threshold"),
    ("min-slaves-max-lag", "min-replicas-max-lag"),
    ("min-slaves-to-write", "min-replicas-to-write"),
    ("repl-ping-slave-period", "repl-ping-replica-period"),
    ("slave-announce-ip", "replica-announce-ip"),
    ("slave-announce-port", "replica-announce-port"),
    ("slave-ignore-maxmemory", "replica-ignore-maxmemory"),
    ("slave-lazy-flush", "replica-lazy-flush"),
    ("slave-priority", "replica-priority"),
    ("slave-read-only", "replica-read-only"),
    ("slave-serve-stale-data", "replica-serve-stale-data"),
    ("slaveof", "replicaof"),
    ("zset-max-ziplist-entries", "zset-max-listpack-entries"),
    ("zset-max-ziplist-value", "zset-max-listpack-value"),
];

pub(super) fn position_of(name: &str) -> Option<usize> {
    let alias = ALIASES.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(name));
    let name = alias.map_or(name, |(_, name)| name);
    PARAMETERS.iter().position(|parameter| parameter.name.eq_ignore_ascii_case(name))
}

/// The name that was probably meant.
#[must_use]
pub fn nearest(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase().replace('_', "-");
    PARAMETERS
        .iter()
        .map(|parameter| (strsim::damerau_levenshtein(parameter.name, &name), parameter.name))
        .min()
        // Further away, it is another word and not a slip.
        .filter(|(distance, nearest)| *distance <= (nearest.len() / 3).max(2))
        .map(|(_, nearest)| nearest)
}
