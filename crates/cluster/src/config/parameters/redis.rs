//! Parameters that Redis 7.2 has and for which there is nothing to do here.
//!
//! *Idle* ones are taken and shown and change nothing that matters to a client: what they tune does not exist. *Fixed* ones
//! promise something that does not happen: they accept only what is true.

use super::{Changes, INT_MAX, Parameter, Scope, bytes, count, milliseconds, seconds};
use crate::config::kind::Kind;

const fn idle(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Parameter {
    Parameter { name, scope: Scope::Node, kind, default, changes: Changes::Live, doc }
}

const fn fixed(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    reason: &'static str,
    doc: &'static str,
) -> Parameter {
    Parameter { name, scope: Scope::Node, kind, default, changes: Changes::Never(reason), doc }
}

const fn switch(name: &'static str, default: &'static str, doc: &'static str) -> Parameter {
    idle(name, Kind::Bool, default, doc)
}

const TLS: &str = "Fixed: connections are not encrypted yet.";
const NO_TLS: &str = "connections are not encrypted yet";
const fn tls(name: &'static str, kind: Kind, default: &'static str) -> Parameter {
    fixed(name, kind, default, NO_TLS, TLS)
}

const ANNOUNCE: &str = "Fixed: nodes announce the addresses that they listen on.";
const fn announced(name: &'static str, kind: Kind, default: &'static str) -> Parameter {
    fixed(name, kind, default, "nodes announce the addresses that they listen on", ANNOUNCE)
}

const CPUS: &str = "Fixed: which processors a node uses is left to whoever starts it.";
const fn cpus(name: &'static str) -> Parameter {
    fixed(
        name,
        Kind::Text,
        "",
        "can't set immutable config: processors are chosen by whoever starts it",
        CPUS,
    )
}

const EXPIRY: &str = "Without effect: keys past their deadline are gone by the log's time, whoever looks.";
const LAZY: &str = "Without effect: large values are always freed bit by bit.";
const SNAPSHOT_FILE: &str = "Without effect: snapshots have a format and checksums of their own.";
const AOF: &str = "Without effect: the log is not rewritten, snapshots replace its beginning.";
const REPLICATION: &str = "Without effect: replicas follow the log, see ARCHITECTURE.md.";
const DEFRAG: &str =
    "Without effect: there is no defragmentation to tune, the allocator uses its pages again.";
const EVICTION: &str = "Without effect: the leader evicts, and every node follows.";
const CLUSTER: &str = "Without effect: one group of nodes holds all slots.";
const QUORUM: &str = "Without effect: each write waits for a majority, see appendfsync.";
const SCRIPTS: &str = "Without effect: scripts end by themselves, see script-steps-max.";
const CRASH: &str = "Without effect: a crash is reported by the operating system.";
const PROCESS: &str = "Fixed: the process is left to whoever starts it, such as a service manager.";
const NO_PROCESS: &str = "can't set immutable config: the process is left to whoever starts it";
const FILES: &str = "Fixed: the files of the data folder have names of their own.";
const NO_FILES: &str = "can't set immutable config: the files of the data folder have names of their own";
const TESTS: &str = "Without effect: for tests of Redis itself.";

/// Names that patterns do not find.
pub(in crate::config) const HIDDEN: &[&str] = &[
    "close-on-replica-write",
    "key-load-delay",
    "loading-process-events-interval-bytes",
    "rdb-key-save-delay",
    "use-exit-on-panic",
    "watchdog-period",
];

pub(super) const REDIS: &[Parameter] = &[
    fixed(
        "aclfile",
        Kind::Text,
        "",
        "can't set immutable config: users are kept in the log of the cluster, ACL SETUSER makes them",
        "Fixed: users are kept in the log of the cluster, and each ACL SETUSER is durable when it is answered.",
    ),
    idle("active-defrag-cycle-max", count(1, 99), "25", DEFRAG),
    idle("active-defrag-cycle-min", count(1, 99), "1", DEFRAG),
    idle("active-defrag-ignore-bytes", bytes(1, i64::MAX), "104857600", DEFRAG),
    idle("active-defrag-max-scan-fields", count(1, i64::MAX), "1000", DEFRAG),
    idle("active-defrag-threshold-lower", count(0, 1000), "10", DEFRAG),
    idle("active-defrag-threshold-upper", count(0, 1000), "100", DEFRAG),
    idle("active-expire-effort", count(1, 10), "1", EXPIRY),
    fixed(
        "activedefrag",
        Kind::Bool,
        "no",
        "there is no defragmentation, the allocator uses its pages again",
        "Fixed: there is none, the allocator uses its pages again.",
    ),
    switch("activerehashing", "yes", "Without effect: tables grow in small steps with the writes."),
    fixed(
        "always-show-logo",
        Kind::Bool,
        "no",
        "can't set immutable config: there is no logo",
        "Fixed: there is no logo.",
    ),
    switch("aof-disable-auto-gc", "no", AOF),
    switch(
        "aof-load-truncated",
        "yes",
        "Without effect: an unfinished tail of the log is cut, other damage stops the node.",
    ),
    switch("aof-rewrite-incremental-fsync", "yes", AOF),
    switch("aof-timestamp-enabled", "no", "Without effect: each entry of the log has its time."),
    switch("aof-use-rdb-preamble", "yes", AOF),
    cpus("aof_rewrite_cpulist"),
    fixed("appenddirname", Kind::Text, "appendonlydir", NO_FILES, FILES),
    fixed("appendfilename", Kind::Text, "appendonly.aof", NO_FILES, FILES),
    idle("auto-aof-rewrite-min-size", bytes(0, i64::MAX), "67108864", AOF),
    idle("auto-aof-rewrite-percentage", count(0, INT_MAX), "100", AOF),
    cpus("bgsave_cpulist"),
    announced("bind-source-addr", Kind::Text, ""),
    cpus("bio_cpulist"),
    idle("busy-reply-threshold", milliseconds(0, i64::MAX), "5000", SCRIPTS),
    idle("close-on-replica-write", Kind::Bool, "yes", TESTS),
    switch("cluster-allow-pubsubshard-when-down", "yes", CLUSTER),
    switch(
        "cluster-allow-reads-when-down",
        "no",
        "Without effect: READONLY connections read without a quorum.",
    ),
    switch("cluster-allow-replica-migration", "yes", CLUSTER),
    announced("cluster-announce-bus-port", count(0, 65_535), "0"),
    announced("cluster-announce-hostname", Kind::Text, ""),
    announced("cluster-announce-human-nodename", Kind::Text, ""),
    announced("cluster-announce-ip", Kind::Text, ""),
    announced("cluster-announce-port", count(0, 65_535), "0"),
    announced("cluster-announce-tls-port", count(0, 65_535), "0"),
    fixed("cluster-config-file", Kind::Text, "nodes.conf", NO_FILES, FILES),
    fixed(
        "cluster-enabled",
        Kind::Bool,
        "no",
        "can't set immutable config: CLUSTER works all the same",
        "Fixed: CLUSTER works all the same, and libraries do not change their mode by themselves.",
    ),
    idle("cluster-link-sendbuf-limit", bytes(0, i64::MAX), "0", CLUSTER),
    idle("cluster-migration-barrier", count(0, INT_MAX), "1", CLUSTER),
    idle(
        "cluster-node-timeout",
        milliseconds(0, i64::MAX),
        "15000",
        "Without effect: see election-timeout-min.",
    ),
    fixed(
        "cluster-port",
        count(0, 65_535),
        "0",
        "can't set immutable config: the bus listens on the port + 10000",
        "Fixed: the bus listens on the port + 10000.",
    ),
    idle(
        "cluster-preferred-endpoint-type",
        Kind::Enum(&["ip", "hostname", "unknown-endpoint"]),
        "ip",
        ANNOUNCE_IDLE,
    ),
    switch("cluster-replica-no-failover", "no", "Without effect: any voter may become leader."),
    idle(
        "cluster-replica-validity-factor",
        count(0, INT_MAX),
        "10",
        "Without effect: only a replica that holds all acknowledged writes may become leader.",
    ),
    switch("cluster-require-full-coverage", "yes", CLUSTER),
    switch("crash-log-enabled", "yes", CRASH),
    switch("crash-memcheck-enabled", "yes", CRASH),
    fixed("daemonize", Kind::Bool, "no", NO_PROCESS, PROCESS),
    fixed("dbfilename", Kind::Text, "dump.rdb", NO_FILES, FILES),
    fixed(
        "disable-thp",
        Kind::Bool,
        "yes",
        "can't set immutable config: huge pages are not asked for",
        "Fixed: huge pages are not asked for.",
    ),
    switch("dynamic-hz", "yes", EXPIRY),
    fixed(
        "enable-module-command",
        Kind::Enum(&["no", "yes", "local"]),
        "no",
        "can't set immutable config: there are no modules",
        "Fixed: there are no modules.",
    ),
    fixed(
        "enable-protected-configs",
        Kind::Enum(&["no", "yes", "local"]),
        "no",
        "can't set immutable config: dir and dbfilename never change while a node runs",
        "Fixed: `dir` and `dbfilename` never change while a node runs.",
    ),
    idle("hz", count(1, 500), "10", EXPIRY),
    idle("ignore-warnings", Kind::Text, "", "Without effect: there are no such warnings."),
    fixed(
        "io-threads",
        count(1, 128),
        "1",
        "can't set immutable config: threads are chosen by the node",
        "Fixed: threads are chosen by the node.",
    ),
    fixed(
        "io-threads-do-reads",
        Kind::Bool,
        "no",
        "can't set immutable config: threads are chosen by the node",
        "Fixed: threads are chosen by the node.",
    ),
    switch("jemalloc-bg-thread", "yes", DEFRAG),
    idle("key-load-delay", count(-INT_MAX - 1, INT_MAX), "0", TESTS),
    switch("lazyfree-lazy-eviction", "no", LAZY),
    switch("lazyfree-lazy-expire", "no", LAZY),
    switch("lazyfree-lazy-server-del", "no", LAZY),
    switch("lazyfree-lazy-user-del", "no", LAZY),
    switch("lazyfree-lazy-user-flush", "no", LAZY),
    idle(
        "list-compress-depth",
        count(0, INT_MAX),
        "0",
        "Without effect: elements of lists are not compressed.",
    ),
    idle("loading-process-events-interval-bytes", bytes(1 << 10, INT_MAX), "2097152", TESTS),
    idle(
        "locale-collate",
        Kind::Text,
        "",
        "Without effect: SORT ALPHA compares bytes, so that all nodes agree.",
    ),
    fixed(
        "masterauth",
        Kind::Secret,
        "",
        "nodes know each other by the secret of their cluster",
        "Fixed: nodes know each other by the secret of their cluster.",
    ),
    fixed(
        "masteruser",
        Kind::Text,
        "",
        "nodes know each other by the secret of their cluster",
        "Fixed: nodes know each other by the secret of their cluster.",
    ),
    idle(
        "max-new-connections-per-cycle",
        count(1, 1000),
        "10",
        "Without effect: connections are accepted as they come.",
    ),
    idle(
        "max-new-tls-connections-per-cycle",
        count(1, 1000),
        "1",
        "Without effect: connections are accepted as they come.",
    ),
    idle("min-replicas-max-lag", seconds(0, INT_MAX), "10", QUORUM),
    switch("no-appendfsync-on-rewrite", "no", AOF),
    fixed("oom-score-adj", Kind::Enum(&["no", "yes", "relative", "absolute"]), "no", NO_PROCESS, PROCESS),
    fixed("oom-score-adj-values", Kind::Text, "0 200 800", NO_PROCESS, PROCESS),
    fixed("pidfile", Kind::Text, "", NO_PROCESS, PROCESS),
    idle(
        "proc-title-template",
        Kind::Text,
        "{title} {listen-addr} {server-mode}",
        "Without effect: the process keeps its title.",
    ),
    idle(
        "propagation-error-behavior",
        Kind::Enum(&["ignore", "panic", "panic-on-replicas"]),
        "ignore",
        TESTS,
    ),
    switch("rdb-del-sync-files", "no", SNAPSHOT_FILE),
    idle("rdb-key-save-delay", count(-INT_MAX - 1, INT_MAX), "0", TESTS),
    switch(
        "rdb-save-incremental-fsync",
        "yes",
        "Without effect: snapshots always go to the disk bit by bit.",
    ),
    fixed(
        "rdbchecksum",
        Kind::Bool,
        "yes",
        "can't set immutable config: everything on disk has a checksum",
        "Fixed: everything on disk has a checksum.",
    ),
    switch("rdbcompression", "yes", SNAPSHOT_FILE),
    idle("repl-backlog-size", bytes(1, i64::MAX), "1048576", "Without effect: see log-keep-size."),
    idle("repl-backlog-ttl", seconds(0, i64::MAX), "3600", "Without effect: see log-keep-size."),
    switch("repl-disable-tcp-nodelay", "no", REPLICATION),
    idle("repl-diskless-load", Kind::Enum(&["disabled", "on-empty-db", "swapdb"]), "disabled", REPLICATION),
    switch("repl-diskless-sync", "yes", REPLICATION),
    idle("repl-diskless-sync-delay", seconds(0, INT_MAX), "5", REPLICATION),
    idle("repl-diskless-sync-max-replicas", count(0, INT_MAX), "0", REPLICATION),
    idle("repl-ping-replica-period", seconds(1, INT_MAX), "10", "Without effect: see heartbeat-interval."),
    idle("repl-timeout", seconds(1, INT_MAX), "60", "Without effect: see election-timeout-min."),
    announced("replica-announce-ip", Kind::Text, ""),
    announced("replica-announce-port", count(0, 65_535), "0"),
    switch("replica-announced", "yes", REPLICATION),
    switch("replica-ignore-disk-write-errors", "no", "Without effect: a node that cannot write stops."),
    switch("replica-ignore-maxmemory", "yes", EVICTION),
    switch("replica-lazy-flush", "no", LAZY),
    idle("replica-priority", count(0, INT_MAX), "100", "Without effect: any voter may become leader."),
    switch(
        "replica-read-only",
        "yes",
        "Without effect: every node takes writes and hands them to the leader.",
    ),
    switch(
        "replica-serve-stale-data",
        "yes",
        "Without effect: only READONLY connections read what may be old.",
    ),
    fixed(
        "replicaof",
        Kind::Text,
        "",
        "can't set immutable config: nodes join a cluster with --join",
        "Fixed: nodes join a cluster with `--join`.",
    ),
    idle(
        "sanitize-dump-payload",
        Kind::Enum(&["no", "yes", "clients"]),
        "yes",
        "Without effect: what RESTORE takes is always checked wholly.",
    ),
    cpus("server_cpulist"),
    fixed("set-proc-title", Kind::Bool, "yes", NO_PROCESS, PROCESS),
    idle("shutdown-on-sigint", Kind::Text, "default", SHUTDOWN),
    idle("shutdown-on-sigterm", Kind::Text, "default", SHUTDOWN),
    idle("shutdown-timeout", seconds(0, INT_MAX), "10", SHUTDOWN),
    fixed(
        "socket-mark-id",
        count(0, u32::MAX as i64),
        "0",
        "can't set immutable config: sockets are not marked",
        "Fixed: sockets are not marked.",
    ),
    switch("stop-writes-on-bgsave-error", "yes", "Without effect: a node that cannot write stops."),
    fixed("supervised", Kind::Enum(&["no", "upstart", "systemd", "auto"]), "no", NO_PROCESS, PROCESS),
    fixed(
        "syslog-enabled",
        Kind::Bool,
        "no",
        "can't set immutable config: see logfile",
        "Fixed: see logfile.",
    ),
    fixed(
        "syslog-facility",
        Kind::Text,
        "local0",
        "can't set immutable config: see logfile",
        "Fixed: see logfile.",
    ),
    fixed(
        "syslog-ident",
        Kind::Text,
        "redis",
        "can't set immutable config: see logfile",
        "Fixed: see logfile.",
    ),
    tls("tls-auth-clients", Kind::Enum(&["yes", "no", "optional"]), "yes"),
    tls("tls-ca-cert-dir", Kind::Text, ""),
    tls("tls-ca-cert-file", Kind::Text, ""),
    tls("tls-cert-file", Kind::Text, ""),
    tls("tls-ciphers", Kind::Text, ""),
    tls("tls-ciphersuites", Kind::Text, ""),
    tls("tls-client-cert-file", Kind::Text, ""),
    tls("tls-client-key-file", Kind::Text, ""),
    tls("tls-client-key-file-pass", Kind::Secret, ""),
    tls("tls-cluster", Kind::Bool, "no"),
    tls("tls-dh-params-file", Kind::Text, ""),
    tls("tls-key-file", Kind::Text, ""),
    tls("tls-key-file-pass", Kind::Secret, ""),
    tls("tls-port", count(0, 65_535), "0"),
    tls("tls-prefer-server-ciphers", Kind::Bool, "no"),
    tls("tls-protocols", Kind::Text, ""),
    tls("tls-replication", Kind::Bool, "no"),
    tls("tls-session-cache-size", count(0, INT_MAX), "20480"),
    tls("tls-session-cache-timeout", seconds(0, INT_MAX), "300"),
    tls("tls-session-caching", Kind::Bool, "yes"),
    fixed(
        "unixsocket",
        Kind::Text,
        "",
        "can't set immutable config: clients connect by TCP",
        "Fixed: clients connect by TCP.",
    ),
    fixed(
        "unixsocketperm",
        count(0, 511),
        "0",
        "can't set immutable config: clients connect by TCP",
        "Fixed: clients connect by TCP.",
    ),
    idle("use-exit-on-panic", Kind::Bool, "no", TESTS),
    idle("watchdog-period", milliseconds(0, INT_MAX), "0", TESTS),
];

const ANNOUNCE_IDLE: &str = "Without effect: nodes announce addresses.";
const SHUTDOWN: &str =
    "Without effect: a node that is told to stop hands its leadership over and closes its log.";
