//! Commands on keys, connections and the server.

use super::{Entry, absent, complete, partial, with_note};

const NO_ACL_FILE: &str = "It fails as in a Redis without an ACL file: users are in the log, and durable when ACL SETUSER is answered.";
const OF_NODE: &str = "Subscribers of this node.";
const MODULES: &str = "there are no modules: no JSON, search, time series or Bloom filters";
const SLOTS: &str = "slots are not assigned by hand: one shard has all of them, and nodes join with `--join`";
const REPLICATION: &str = "replication is the log that all nodes share, not a stream from a primary";

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
    with_note(
        "object|freq",
        "As the node that executes it has noted (an LFU policy must be chosen); 5 within transactions and scripts.",
    ),
    complete("object|help"),
    with_note(
        "object|idletime",
        "As the node that executes it has noted: writes count on every node, reads on the node that executes them. 0 within \
         transactions and scripts.",
    ),
    with_note("object|refcount", "As Redis answers; nothing is shared."),
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
        "Each node notes IDLETIME and FREQ by its own clock. Values of modules and zipmaps (before Redis 2.6) \
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
    with_note("touch", "A use on the node that executes it; within transactions and scripts on every node."),
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
    with_note("auth", "On a node that has not caught up it answers LOADING."),
    complete("client"),
    complete("client|caching"),
    complete("client|getname"),
    complete("client|getredir"),
    complete("client|help"),
    complete("client|id"),
    with_note("client|info", "As CLIENT LIST."),
    with_note("client|kill", "Connections of this node, of the types `normal` and `pubsub`."),
    with_note(
        "client|list",
        "Connections of this node. Ids are unique in the cluster. What Quorate does not have is 0, as `fd`. `rbs` and `rbp` are the \
         answers that wait. A buffer that held a large command is given back at once, all of them after two silent seconds.",
    ),
    complete("client|no-evict"),
    with_note("client|no-touch", "Of reads outside of transactions. What writes is a use on every node."),
    with_note("client|pause", "Clients of this node. Keys expire meanwhile: other nodes have clients, too."),
    complete("client|reply"),
    complete("client|setinfo"),
    complete("client|setname"),
    with_note(
        "client|tracking",
        "After a change of leader, and when a node takes over a snapshot, clients \
         are told to drop everything. Who turns tracking off and on again begins anew.",
    ),
    complete("client|trackinginfo"),
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
    complete("psubscribe"),
    with_note(
        "publish",
        "Answers how many subscribers of this node get the message; those of other nodes get it, too. Within a transaction or a \
         script it answers 0: each node delivers it when it carries the entry out.",
    ),
    complete("pubsub"),
    with_note("pubsub|channels", OF_NODE),
    complete("pubsub|help"),
    with_note("pubsub|numpat", OF_NODE),
    with_note("pubsub|numsub", OF_NODE),
    with_note("pubsub|shardchannels", OF_NODE),
    with_note("pubsub|shardnumsub", OF_NODE),
    complete("punsubscribe"),
    with_note("spublish", "As PUBLISH. Every node takes every channel: there is one shard."),
    with_note("ssubscribe", "Every node takes every channel: there is one shard."),
    complete("subscribe"),
    complete("sunsubscribe"),
    complete("unsubscribe"),
];

pub(super) static SERVER: &[Entry] = &[
    complete("acl"),
    with_note("acl|cat", "Commands come in the order of the table."),
    with_note("acl|deluser", "The user is out on every node as soon as the node applies this."),
    complete("acl|dryrun"),
    complete("acl|genpass"),
    complete("acl|getuser"),
    complete("acl|help"),
    complete("acl|list"),
    with_note("acl|load", NO_ACL_FILE),
    with_note("acl|log", "What this node has refused. Names and keys are cut at 1024 bytes."),
    with_note("acl|save", NO_ACL_FILE),
    with_note(
        "acl|setuser",
        "In force on every node from one entry of the log on, in which passwords stand as SHA-256 only. The rules of a user \
         may have 1 MiB; rules may name commands of Redis that are not there yet.",
    ),
    complete("acl|users"),
    complete("acl|whoami"),
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
    with_note("dbsize", "A key whose deadline has come is not counted."),
    partial(
        "debug",
        "The words in the list [below](#what-may-follow-debug), for tests of clients and servers; those \
         that make a server fail are refused. `enable-debug-command` must allow it.",
    ),
    with_note(
        "failover",
        "As QUORATE FAILOVER. It answers when it is done; TIMEOUT and FORCE make no difference.",
    ),
    with_note("flushall", "ASYNC and SYNC are the same: what was held is freed bit by bit."),
    with_note("flushdb", "ASYNC and SYNC are the same: what was held is freed bit by bit."),
    with_note(
        "info",
        "The sections and fields of Redis 7.2; what Quorate does not have is 0. Fields of its own begin with \
         `quorate_`. `used_memory` includes what the log has in memory (most of `mem_not_counted_for_evict`); \
         `rdb_changes_since_last_save` counts commands.",
    ),
    with_note("lastsave", "When this node has last written a snapshot."),
    complete("latency"),
    with_note("latency|doctor", "In words of its own."),
    complete("latency|graph"),
    complete("latency|help"),
    with_note(
        "latency|histogram",
        "The time of a command is its execution at the node that its client is connected to: the log is not in it.",
    ),
    complete("latency|history"),
    with_note(
        "latency|latest",
        "Events: `command`, `fast-command`, `apply` (an entry of the log), `expire-cycle`, `fsync` (from a second on). Large values \
         that expire are freed bit by bit, which delays nothing.",
    ),
    complete("latency|reset"),
    with_note("lolwut", "A picture of its own, whatever the version."),
    complete("memory"),
    with_note("memory|doctor", "In words of its own."),
    complete("memory|help"),
    with_note("memory|malloc-stats", "In words of its own."),
    with_note("memory|purge", "Accepted: the allocator gives pages back by itself."),
    with_note("memory|stats", "What is not counted is 0."),
    with_note("memory|usage", "An estimate that follows from the contents, alike on every node."),
    complete("module"),
    complete("module|help"),
    complete("module|list"),
    absent("module|load", MODULES),
    absent("module|loadex", MODULES),
    absent("module|unload", MODULES),
    with_note(
        "monitor",
        "Clients of this node. Of an argument of more than 1 MiB the beginning is shown. A connection in MONITOR takes no \
         commands on data.",
    ),
    absent("psync", REPLICATION),
    absent("replconf", REPLICATION),
    with_note("replicaof", "NO ONE; anything else is refused with the way to go."),
    with_note("restore-asking", "As RESTORE."),
    with_note("role", "The leader is the master; others are its slaves. Offsets are indexes of the log."),
    with_note("save", "As BGSAVE, and waits for the end."),
    with_note(
        "shutdown",
        "Leadership is handed over first. SAVE, NOSAVE, NOW and FORCE make no difference; there is nothing \
         to ABORT. Not within MULTI.",
    ),
    with_note("slaveof", "As REPLICAOF."),
    complete("slowlog"),
    with_note("slowlog|get", "Commands of this node's clients; as LATENCY HISTOGRAM, without the log."),
    complete("slowlog|help"),
    complete("slowlog|len"),
    complete("slowlog|reset"),
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
    with_note(
        "cluster|failover",
        "Leadership is handed over to the node that is asked. FORCE and TAKEOVER make no difference: nobody leads without a \
         majority.",
    ),
    absent("cluster|flushslots", SLOTS),
    absent("cluster|forget", "QUORATE NODE REMOVE removes a member"),
    with_note("cluster|getkeysinslot", "It goes through all keys."),
    complete("cluster|help"),
    with_note("cluster|info", "One shard: `cluster_size` is 1."),
    complete("cluster|keyslot"),
    absent(
        "cluster|links",
        "nodes have a connection for each class of traffic; QUORATE NODE LIST tells who answers",
    ),
    absent("cluster|meet", "nodes join with `--join`"),
    complete("cluster|myid"),
    complete("cluster|myshardid"),
    with_note(
        "cluster|nodes",
        "The leader has all slots; every node takes every command, so there are no redirections.",
    ),
    complete("cluster|replicas"),
    absent("cluster|replicate", REPLICATION),
    absent("cluster|reset", SLOTS),
    absent("cluster|saveconfig", SLOTS),
    absent("cluster|set-config-epoch", SLOTS),
    absent("cluster|setslot", SLOTS),
    with_note("cluster|shards", "One shard has all slots."),
    complete("cluster|slaves"),
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
