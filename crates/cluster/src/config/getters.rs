//! The values by their types. A name that the table does not have does not compile.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use quorate_keyspace::Policy;
use quorate_replica::Timing;

use super::output_limits::OutputLimits;
use super::parameters::PARAMETERS;
use super::{Config, Slot};

/// When a write is acknowledged (R8); the order is the table's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appendfsync {
    /// When a majority has handed it to its operating system.
    Everysec,
    /// When a majority has it on disk.
    Always,
}

/// Who may use DEBUG; the order is the table's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DebugAccess {
    /// Nobody.
    No,
    /// Everybody.
    Yes,
    /// Clients of this machine.
    Local,
}

/// How much a node reports of its work; the order is the table's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// What helps to follow what happens.
    Verbose,
    /// What an operator wants to know.
    Notice,
    /// What an operator must look at.
    Warning,
}

/// A limit, or how it follows from another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BytesOrPercent {
    /// Bytes.
    Bytes(u64),
    /// 1 to 100.
    Percent(u64),
}

const fn position(name: &str) -> usize {
    let mut at = 0;
    while at < PARAMETERS.len() {
        if same(PARAMETERS[at].name, name) {
            return at;
        }
        at += 1;
    }
    panic!("no such parameter")
}

const fn same(left: &str, right: &str) -> bool {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    if left.len() != right.len() {
        return false;
    }
    let mut at = 0;
    while at < left.len() {
        if left[at] != right[at] {
            return false;
        }
        at += 1;
    }
    true
}

macro_rules! getters {
    ($($(#[$doc:meta])* $function:ident: $type:ty = $name:literal $read:expr;)*) => {
        impl Config {
            $($(#[$doc])*
            #[must_use]
            pub fn $function(&self) -> $type {
                const AT: usize = position($name);
                let read: fn(&Slot) -> $type = $read;
                read(&self.shared.slots[AT])
            })*
        }
    };
}

getters! {
    /// Port for clients.
    port: u16 = "port" |slot| u16::try_from(slot.number()).unwrap_or(u16::MAX);
    /// Address to listen on.
    bind: IpAddr = "bind" |slot| slot.text().parse().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    /// Connections that wait to be accepted.
    tcp_backlog: u32 = "tcp-backlog" |slot| u32::try_from(slot.number()).unwrap_or(u32::MAX);
    /// Silence after which TCP asks for the peer; zero is never.
    tcp_keepalive: Duration = "tcp-keepalive" seconds;
    /// Silence after which a client is disconnected; zero is never.
    timeout: Duration = "timeout" seconds;
    /// Clients that may be connected.
    maxclients: usize = "maxclients" size;
    /// Bytes of unfinished commands per connection.
    client_query_buffer_limit: usize = "client-query-buffer-limit" size;
    /// Bytes of replies that may wait, per class of clients.
    client_output_buffer_limit: OutputLimits = "client-output-buffer-limit"
        |slot| OutputLimits::parse(&slot.text()).unwrap_or_default();
    /// Bytes of one argument.
    proto_max_bulk_len: usize = "proto-max-bulk-len" size;
    /// Whether only this machine's clients are accepted while there is no password.
    protected_mode: bool = "protected-mode" |slot| slot.number() != 0;
    /// Keys that clients may have copies of, before some are given up; 0 is any number.
    tracking_table_max_keys: usize = "tracking-table-max-keys" size;
    /// How many refusals are kept.
    acllog_max_len: usize = "acllog-max-len" size;
    /// The password that the node was started with; empty is none. The one in force is a property of the default user.
    requirepass: Arc<str> = "requirepass" |slot| slot.text();
    /// Who may use DEBUG.
    enable_debug_command: DebugAccess = "enable-debug-command" |slot| match slot.number() {
        0 => DebugAccess::No,
        1 => DebugAccess::Yes,
        _ => DebugAccess::Local,
    };
    /// When a write is acknowledged.
    appendfsync: Appendfsync = "appendfsync" |slot| match slot.number() {
        0 => Appendfsync::Everysec,
        _ => Appendfsync::Always,
    };
    /// The time after which a write that is not committed gets an error.
    write_timeout: Duration = "write-timeout" milliseconds;
    /// Voters.
    replication_factor: usize = "replication-factor" size;
    /// Voters beside the leader without which no write is taken.
    min_replicas_to_write: usize = "min-replicas-to-write" size;
    /// How often a leader says that it is alive.
    heartbeat_interval: Duration = "heartbeat-interval" milliseconds;
    /// The shortest silence after which an election is called.
    election_timeout_min: Duration = "election-timeout-min" milliseconds;
    /// The longest.
    election_timeout_max: Duration = "election-timeout-max" milliseconds;
    /// By which fraction two clocks may differ in speed.
    clock_drift: f64 = "clock-drift" |slot| f64::from_bits(slot.number().cast_unsigned());
    /// The largest step of the wall clock that is followed.
    clock_step_max: Duration = "clock-step-max" milliseconds;
    /// Folder of the data.
    dir: Arc<str> = "dir" |slot| slot.text();
    /// Bytes of one file of the log.
    segment_size: u64 = "segment-size" bytes;
    /// Growth of the log after which a snapshot is due, in bytes.
    snapshot_log_size: u64 = "snapshot-log-size" bytes;
    /// Bytes of log that stay behind a snapshot.
    log_keep_size: u64 = "log-keep-size" bytes;
    /// Bytes of writes that may wait.
    pending_writes_max: usize = "pending-writes-max" size;
    /// Bytes of everything that waits; 0 chooses by the machine.
    queue_memory_limit: usize = "queue-memory-limit" size;
    /// Bytes above which keys are evicted, or commands refused; 0 is no limit.
    maxmemory: u64 = "maxmemory" bytes;
    /// What happens above it.
    maxmemory_policy: Policy = "maxmemory-policy"
        |slot| Policy::of(Policy::NAMES.get(size(slot)).copied().unwrap_or_default());
    /// Keys that are looked at for each one that is evicted.
    maxmemory_samples: usize = "maxmemory-samples" size;
    /// How many keys are evicted at a time.
    maxmemory_eviction_tenacity: u32 = "maxmemory-eviction-tenacity"
        |slot| u32::try_from(slot.number()).unwrap_or(0);
    /// What clients may hold.
    maxmemory_clients: BytesOrPercent = "maxmemory-clients" |slot| match slot.number() {
        percent @ ..0 => BytesOrPercent::Percent(percent.unsigned_abs()),
        bytes => BytesOrPercent::Bytes(bytes.unsigned_abs()),
    };
    /// Databases.
    databases: usize = "databases" size;
    /// Microseconds from which on a command is slow; negative is never.
    slowlog_log_slower_than: i64 = "slowlog-log-slower-than" Slot::number;
    /// Slow commands that are kept.
    slowlog_max_len: usize = "slowlog-max-len" size;
    /// From when on a delay is noted; zero is never.
    latency_monitor_threshold: Duration = "latency-monitor-threshold" milliseconds;
    /// Whether the times of commands are counted.
    latency_tracking: bool = "latency-tracking" |slot| slot.number() != 0;
    /// Percentiles of those times, as text.
    latency_tracking_info_percentiles: Arc<str> = "latency-tracking-info-percentiles" |slot| slot.text();
    /// How much is reported.
    loglevel: LogLevel = "loglevel" |slot| match slot.number() {
        0 => LogLevel::Debug,
        1 => LogLevel::Verbose,
        2 => LogLevel::Notice,
        _ => LogLevel::Warning,
    };
    /// Where to; empty is the standard error stream.
    logfile: Arc<str> = "logfile" |slot| slot.text();
}

impl From<&Config> for Timing {
    fn from(config: &Config) -> Self {
        Self {
            heartbeat: config.heartbeat_interval(),
            election: (config.election_timeout_min(), config.election_timeout_max()),
            drift: config.clock_drift(),
            write_timeout: config.write_timeout(),
            clock_step_max: config.clock_step_max(),
        }
    }
}

/// No range in the table admits a negative number.
fn bytes(slot: &Slot) -> u64 {
    u64::try_from(slot.number()).unwrap_or(0)
}

fn size(slot: &Slot) -> usize {
    usize::try_from(slot.number()).unwrap_or(0)
}

fn seconds(slot: &Slot) -> Duration {
    Duration::from_secs(bytes(slot))
}

fn milliseconds(slot: &Slot) -> Duration {
    Duration::from_millis(bytes(slot))
}
