//! Commands on keys, connections and the server.

use super::{Entry, absent, complete, later, partial, with_note};

const ACL: &str =
    "it comes with access control; until then there is one user, `default`, whose password is `requirepass`";
const CHANNELS: &str = "it comes with publish/subscribe";
const TRACKING: &str = "it comes with client-side caching";
const LATENCY: &str = "it comes with what watches over latency";
const MODULES: &str = "there are no modules: no JSON, search, time series or Bloom filters";
const SLOTS: &str = "slots are not assigned by hand: one shard has all of them, and nodes join with `--join`";
const REPLICATION: &str = "replication is the log that all nodes share, not a stream from a primary";
const TOOLS: &str = "it comes with what else tools expect of a server";
const MEMORY: &str = "it comes with the limits of memory; INFO memory tells what there is";

pub(super) static GENERIC: &[Entry] = &[
    complete("copy"),
    complete("del"),
    complete("dump"),
    complete("exists"),
    complete("expire"),
    complete("expireat"),
    complete("expiretime"),
    with_note("keys", "Keys come in the order of keyed hashes, alike on every node."),
    with_note(
        "migrate",
        "It does not stop the server: what is written to a key while it is sent is kept here, and the \
         command sends the key again (with REPLACE) or says so. Not within MULTI or scripts.",
    ),
    complete("move"),
    complete("object"),
    complete("object|encoding"),
    with_note("object|freq", "There is no LFU policy yet, and the command says so."),
    complete("object|help"),
    with_note("object|idletime", "Always 0: how long a key was idle is not tracked yet."),
    with_note("object|refcount", "Always 1: values of different keys are not shared."),
    complete("persist"),
    complete("pexpire"),
    complete("pexpireat"),
    complete("pexpiretime"),
    complete("pttl"),
    with_note("randomkey", "Expired keys are never picked."),
    complete("rename"),
    complete("renamenx"),
    with_note(
        "restore",
        "IDLETIME and FREQ are checked and have no effect. Values of modules and zipmaps (before Redis 2.6) \
         are refused.",
    ),
    with_note(
        "scan",
        "Keys come in the order of keyed hashes, alike on every node: a cursor goes on at another node and \
         after a failover.",
    ),
    with_note(
        "sort",
        "The order of equal weights, and of what is not sorted, is each server's own; Redis promises none.",
    ),
    with_note("sort_ro", "As SORT."),
    with_note("touch", "It counts keys; there is no idle time to set back yet."),
    complete("ttl"),
    complete("type"),
    with_note("unlink", "DEL and UNLINK are the same: what was held is freed bit by bit."),
    with_note(
        "wait",
        "A write is acknowledged only when a majority has it: WAIT is not needed for that. It tells how \
         many further nodes have the connection's last write.",
    ),
    with_note(
        "waitaof",
        "The first number tells whether this node has synced its log, the second how many others have.",
    ),
];

pub(super) static SCRIPTING: &[Entry] = &[
    with_note(
        "eval",
        "A run may spend `script-steps-max` instructions and hold `script-memory-max` bytes, the same on \
         every node, and fails when that is used up. Its time stands still, its random numbers follow from \
         the log, and addresses never show.",
    ),
    complete("eval_ro"),
    complete("evalsha"),
    complete("evalsha_ro"),
    complete("fcall"),
    complete("fcall_ro"),
    complete("function"),
    complete("function|delete"),
    complete("function|dump"),
    with_note("function|flush", "ASYNC and SYNC are the same."),
    complete("function|help"),
    with_note("function|kill", "Always NOTBUSY: a function ends by itself, when its budget is used up."),
    with_note("function|list", "Libraries come in the order of their names."),
    complete("function|load"),
    complete("function|restore"),
    complete("function|stats"),
    complete("script"),
    absent("script|debug", "there is no debugger of scripts"),
    complete("script|exists"),
    with_note("script|flush", "ASYNC and SYNC are the same."),
    complete("script|help"),
    with_note("script|kill", "Always NOTBUSY: a script ends by itself, when its budget is used up."),
    complete("script|load"),
];

pub(super) static TRANSACTIONS: &[Entry] = &[
    complete("discard"),
    with_note("exec", "It takes effect as a whole, or UNKNOWN says that this is not known."),
    complete("multi"),
    complete("unwatch"),
    with_note(
        "watch",
        "It holds across failovers and restarts. Rarely (two keys share a trace of what was deleted) a \
         transaction is aborted without need.",
    ),
];

pub(super) static CONNECTION: &[Entry] = &[
    with_note("auth", "There is one user, `default`. On a node that has not caught up it answers LOADING."),
    complete("client"),
    later("client|caching", TRACKING),
    complete("client|getname"),
    later("client|getredir", TRACKING),
    complete("client|help"),
    complete("client|id"),
    with_note("client|info", "As CLIENT LIST."),
    with_note("client|kill", "Connections of this node. There are no other types than `normal` yet."),
    with_note(
        "client|list",
        "Connections of this node. Ids are unique in the cluster. What Quorate does not have is 0: `fd`, \
         subscriptions, buffers that it does not keep.",
    ),
    with_note("client|no-evict", "Accepted; no connection is closed for its memory yet."),
    with_note("client|no-touch", "Accepted; usage is not tracked yet."),
    with_note("client|pause", "Clients of this node."),
    complete("client|reply"),
    complete("client|setinfo"),
    complete("client|setname"),
    later("client|tracking", TRACKING),
    later("client|trackinginfo", TRACKING),
    with_note("client|unblock", "Connections of this node. What it would have waited for may come first."),
    with_note("client|unpause", "Clients of this node."),
    complete("echo"),
    with_note("hello", "It tells the version of Redis that the replies follow."),
    complete("ping"),
    complete("quit"),
    complete("reset"),
    with_note("select", "There are as many databases as the first node was started with (`databases`)."),
];

pub(super) static PUBSUB: &[Entry] = &[
    later("psubscribe", CHANNELS),
    later("publish", CHANNELS),
    later("pubsub", CHANNELS),
    later("pubsub|channels", CHANNELS),
    later("pubsub|help", CHANNELS),
    later("pubsub|numpat", CHANNELS),
    later("pubsub|numsub", CHANNELS),
    later("pubsub|shardchannels", CHANNELS),
    later("pubsub|shardnumsub", CHANNELS),
    later("punsubscribe", CHANNELS),
    later("spublish", CHANNELS),
    later("ssubscribe", CHANNELS),
    later("subscribe", CHANNELS),
    later("sunsubscribe", CHANNELS),
    later("unsubscribe", CHANNELS),
];

pub(super) static SERVER: &[Entry] = &[
    later("acl", ACL),
    later("acl|cat", ACL),
    later("acl|deluser", ACL),
    later("acl|dryrun", ACL),
    later("acl|genpass", ACL),
    later("acl|getuser", ACL),
    later("acl|help", ACL),
    later("acl|list", ACL),
    later("acl|load", ACL),
    later("acl|log", ACL),
    later("acl|save", ACL),
    later("acl|setuser", ACL),
    later("acl|users", ACL),
    later("acl|whoami", ACL),
    with_note("bgrewriteaof", "As BGSAVE: a snapshot replaces the beginning of the log."),
    with_note(
        "bgsave",
        "A snapshot of this node, as it makes them by itself; `LASTSAVE` tells when it is done.",
    ),
    complete("command"),
    complete("command|count"),
    complete("command|docs"),
    complete("command|getkeys"),
    complete("command|getkeysandflags"),
    complete("command|help"),
    complete("command|info"),
    complete("command|list"),
    complete("config"),
    with_note(
        "config|get",
        "Every parameter of Redis 7.2 is there. Those whose subject does not exist here are shown and have \
         no effect, or are fixed: [CONFIGURATION.md](CONFIGURATION.md) says which.",
    ),
    complete("config|help"),
    complete("config|resetstat"),
    with_note(
        "config|rewrite",
        "It fails, as in a Redis without a configuration file: parameters of the cluster are kept in the \
         log.",
    ),
    with_note(
        "config|set",
        "Parameters of the cluster are changed by an entry of the log, on all nodes. What is fixed here is \
         refused with the reason.",
    ),
    complete("dbsize"),
    partial(
        "debug",
        "The words in the list [below](#what-may-follow-debug), for tests of clients and servers; those \
         that make a server fail are refused. `enable-debug-command` must allow it.",
    ),
    later("failover", "QUORATE FAILOVER hands leadership over"),
    with_note("flushall", "ASYNC and SYNC are the same: what was held is freed bit by bit."),
    with_note("flushdb", "ASYNC and SYNC are the same: what was held is freed bit by bit."),
    partial(
        "info",
        "Sections `server`, `clients`, `memory`, `persistence`, `stats`, `replication`, `cpu`, `modules`, \
         `errorstats` (empty), `cluster` and `keyspace`; `commandstats` and `latencystats` are missing, and \
         some fields.",
    ),
    with_note("lastsave", "When this node has last written a snapshot."),
    later("latency", LATENCY),
    later("latency|doctor", LATENCY),
    later("latency|graph", LATENCY),
    later("latency|help", LATENCY),
    later("latency|histogram", LATENCY),
    later("latency|history", LATENCY),
    later("latency|latest", LATENCY),
    later("latency|reset", LATENCY),
    later("lolwut", TOOLS),
    complete("memory"),
    later("memory|doctor", MEMORY),
    complete("memory|help"),
    later("memory|malloc-stats", MEMORY),
    later("memory|purge", MEMORY),
    later("memory|stats", MEMORY),
    with_note("memory|usage", "An estimate that follows from the contents, alike on every node."),
    later("module", "MODULE LIST, which will be empty, comes with what else tools expect of a server"),
    later("module|help", TOOLS),
    later("module|list", TOOLS),
    absent("module|load", MODULES),
    absent("module|loadex", MODULES),
    absent("module|unload", MODULES),
    later("monitor", TOOLS),
    absent("psync", REPLICATION),
    absent("replconf", REPLICATION),
    later("replicaof", REPLICATION),
    with_note("restore-asking", "As RESTORE."),
    with_note("role", "The leader is the master; others are its slaves. Offsets are indexes of the log."),
    with_note("save", "As BGSAVE, and waits for the end."),
    with_note(
        "shutdown",
        "Leadership is handed over first. SAVE, NOSAVE, NOW and FORCE make no difference; there is nothing \
         to ABORT. Not within MULTI.",
    ),
    later("slaveof", REPLICATION),
    later("slowlog", LATENCY),
    later("slowlog|get", LATENCY),
    later("slowlog|help", LATENCY),
    later("slowlog|len", LATENCY),
    later("slowlog|reset", LATENCY),
    complete("swapdb"),
    absent("sync", REPLICATION),
    with_note("time", "The clock of the node. Within a transaction or a script it is the log's time."),
];

pub(super) static CLUSTER: &[Entry] = &[
    with_note("asking", "Accepted: nothing is redirected."),
    complete("cluster"),
    absent("cluster|addslots", SLOTS),
    absent("cluster|addslotsrange", SLOTS),
    absent("cluster|bumpepoch", SLOTS),
    absent("cluster|count-failure-reports", SLOTS),
    with_note("cluster|countkeysinslot", "It goes through all keys."),
    absent("cluster|delslots", SLOTS),
    absent("cluster|delslotsrange", SLOTS),
    later("cluster|failover", "QUORATE FAILOVER hands leadership over"),
    absent("cluster|flushslots", SLOTS),
    absent("cluster|forget", "QUORATE NODE REMOVE removes a member"),
    with_note("cluster|getkeysinslot", "It goes through all keys."),
    complete("cluster|help"),
    with_note("cluster|info", "One shard: `cluster_size` is 1."),
    complete("cluster|keyslot"),
    later("cluster|links", "CLUSTER NODES and QUORATE NODE LIST tell the same"),
    absent("cluster|meet", "nodes join with `--join`"),
    complete("cluster|myid"),
    later("cluster|myshardid", "CLUSTER NODES and QUORATE NODE LIST tell the same"),
    with_note(
        "cluster|nodes",
        "The leader has all slots; every node takes every command, so there are no redirections.",
    ),
    later("cluster|replicas", "CLUSTER NODES and QUORATE NODE LIST tell the same"),
    absent("cluster|replicate", REPLICATION),
    absent("cluster|reset", SLOTS),
    absent("cluster|saveconfig", SLOTS),
    absent("cluster|set-config-epoch", SLOTS),
    absent("cluster|setslot", SLOTS),
    with_note("cluster|shards", "One shard has all slots."),
    later("cluster|slaves", "CLUSTER NODES and QUORATE NODE LIST tell the same"),
    with_note(
        "cluster|slots",
        "The leader has all slots; every node takes every command, so there are no redirections.",
    ),
    with_note(
        "readonly",
        "This node answers reads itself, without asking the leader: never older than what the connection \
         has already written or read.",
    ),
    complete("readwrite"),
];

pub(super) static SENTINEL: &[Entry] =
    &[absent("sentinel", "failover is built in: no other software watches the nodes")];
