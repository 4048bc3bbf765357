//! The cluster.

use super::{BASE, arg, categories, flags, one_of, token};
use crate::command::{Command, Group, Handler};

pub(super) static CLUSTER: &[Command] = &[
    Command {
        name: "asking",
        arity: 1,
        flags: flags!(FAST),
        categories: categories!(CONNECTION),
        since: "3.0.0",
        summary: "Announces a command that was redirected with ASK.",
        group: Group::Cluster,
        handler: Handler::Session,
        ..BASE
    },
    Command {
        name: "cluster",
        arity: -2,
        since: "3.0.0",
        summary: "Container for commands about the cluster.",
        group: Group::Cluster,
        subcommands: &[
            Command {
                name: "cluster|countkeysinslot",
                arity: 3,
                flags: flags!(STALE),
                since: "3.0.0",
                complexity: "O(N) in the number of keys",
                summary: "Counts the keys of a slot.",
                group: Group::Cluster,
                arguments: &[arg("slot", "integer")],
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "cluster|failover",
                arity: -2,
                flags: flags!(ADMIN STALE NO_ASYNC_LOADING),
                since: "3.0.0",
                summary: "Hands leadership over to this node.",
                group: Group::Cluster,
                arguments: &[
                    one_of("options", &[token("force", "FORCE"), token("takeover", "TAKEOVER")]).optional()
                ],
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "cluster|getkeysinslot",
                arity: 4,
                flags: flags!(STALE),
                since: "3.0.0",
                complexity: "O(N) in the number of keys",
                summary: "Lists keys of a slot.",
                group: Group::Cluster,
                tips: &["nondeterministic_output"],
                arguments: &[arg("slot", "integer"), arg("count", "integer")],
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "cluster|help",
                arity: 2,
                flags: flags!(LOADING STALE),
                since: "5.0.0",
                summary: "Lists the subcommands.",
                group: Group::Cluster,
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "cluster|info",
                arity: 2,
                flags: flags!(STALE),
                since: "3.0.0",
                summary: "Tells the state of the cluster.",
                group: Group::Cluster,
                tips: &["nondeterministic_output"],
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "cluster|keyslot",
                arity: 3,
                flags: flags!(STALE),
                since: "3.0.0",
                complexity: "O(N) in the length of the key",
                summary: "Tells the slot of a key.",
                group: Group::Cluster,
                arguments: &[arg("key", "string")],
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "cluster|myid",
                arity: 2,
                flags: flags!(STALE),
                since: "3.0.0",
                summary: "Tells the id of this node.",
                group: Group::Cluster,
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "cluster|myshardid",
                arity: 2,
                flags: flags!(STALE),
                since: "7.2.0",
                summary: "Tells the id of the shard, which is the cluster's.",
                group: Group::Cluster,
                tips: &["nondeterministic_output"],
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "cluster|nodes",
                arity: 2,
                flags: flags!(STALE),
                since: "3.0.0",
                complexity: "O(N) in the number of nodes",
                summary: "Describes the nodes as text.",
                group: Group::Cluster,
                tips: &["nondeterministic_output"],
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "cluster|replicas",
                arity: 3,
                flags: flags!(ADMIN STALE),
                since: "5.0.0",
                summary: "Describes the nodes that follow the leader.",
                group: Group::Cluster,
                tips: &["nondeterministic_output"],
                arguments: &[arg("node-id", "string")],
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "cluster|shards",
                arity: 2,
                flags: flags!(STALE),
                since: "7.0.0",
                complexity: "O(N) in the number of nodes",
                summary: "Describes the shards and their nodes.",
                group: Group::Cluster,
                tips: &["nondeterministic_output"],
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "cluster|slaves",
                arity: 3,
                flags: flags!(ADMIN STALE),
                since: "3.0.0",
                summary: "Describes the nodes that follow the leader.",
                group: Group::Cluster,
                tips: &["nondeterministic_output"],
                arguments: &[arg("node-id", "string")],
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "cluster|slots",
                arity: 2,
                flags: flags!(STALE),
                since: "3.0.0",
                complexity: "O(N) in the number of nodes",
                summary: "Tells which nodes serve which slots.",
                group: Group::Cluster,
                tips: &["nondeterministic_output"],
                handler: Handler::Session,
                ..BASE
            },
        ],
        handler: Handler::Container,
        ..BASE
    },
    Command {
        name: "readonly",
        arity: 1,
        flags: flags!(LOADING STALE FAST),
        categories: categories!(CONNECTION),
        since: "3.0.0",
        summary: "Lets a follower answer this connection's reads.",
        group: Group::Cluster,
        handler: Handler::Session,
        ..BASE
    },
    Command {
        name: "readwrite",
        arity: 1,
        flags: flags!(LOADING STALE FAST),
        categories: categories!(CONNECTION),
        since: "3.0.0",
        summary: "Asks for linearizable reads again.",
        group: Group::Cluster,
        handler: Handler::Session,
        ..BASE
    },
];
