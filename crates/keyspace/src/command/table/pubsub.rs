//! Publish/subscribe.

use super::{BASE, arg, categories, flags, key_flags, range};
use crate::command::{Command, Group, Handler, ScriptPolicy, pubsub};

/// What the commands of subscribers have in common.
const OF_SUBSCRIBERS: Command = Command {
    flags: flags!(PUBSUB NOSCRIPT LOADING STALE),
    categories: categories!(PUBSUB),
    since: "2.0.0",
    group: Group::Pubsub,
    script: ScriptPolicy::Refused,
    handler: Handler::Session,
    ..BASE
};

/// What the commands that look at subscriptions have in common.
const OF_LISTS: Command = Command {
    flags: flags!(PUBSUB LOADING STALE),
    categories: categories!(PUBSUB),
    since: "2.8.0",
    group: Group::Pubsub,
    script: ScriptPolicy::Refused,
    handler: Handler::Session,
    ..BASE
};

pub(super) static PUBSUB: &[Command] = &[
    Command {
        name: "psubscribe",
        arity: -2,
        complexity: "O(N) in the number of patterns",
        summary: "Listens to the channels whose names match patterns.",
        arguments: &[arg("pattern", "pattern").multiple()],
        ..OF_SUBSCRIBERS
    },
    Command {
        name: "publish",
        arity: 3,
        flags: flags!(PUBSUB LOADING STALE FAST MAY_REPLICATE),
        categories: categories!(PUBSUB),
        since: "2.0.0",
        complexity: "O(N + M) in the numbers of subscribers of the channel and of patterns",
        summary: "Sends a message to a channel.",
        group: Group::Pubsub,
        arguments: &[arg("channel", "string"), arg("message", "string")],
        handler: Handler::Aside(pubsub::publish),
        ..BASE
    },
    Command {
        name: "pubsub",
        arity: -2,
        since: "2.8.0",
        summary: "Container for commands about subscriptions.",
        group: Group::Pubsub,
        subcommands: &[
            Command {
                name: "pubsub|channels",
                arity: -2,
                complexity: "O(N) in the number of channels",
                summary: "Lists channels that this node has subscribers of.",
                arguments: &[arg("pattern", "pattern").optional()],
                ..OF_LISTS
            },
            Command {
                name: "pubsub|help",
                arity: 2,
                flags: flags!(LOADING STALE),
                since: "6.2.0",
                summary: "Lists the subcommands.",
                group: Group::Pubsub,
                handler: Handler::Session,
                ..BASE
            },
            Command {
                name: "pubsub|numpat",
                arity: 2,
                summary: "Counts the patterns that this node has subscribers of.",
                ..OF_LISTS
            },
            Command {
                name: "pubsub|numsub",
                arity: -2,
                complexity: "O(N) in the number of channels asked for",
                summary: "Counts this node's subscribers of channels.",
                arguments: &[arg("channel", "string").optional().multiple()],
                ..OF_LISTS
            },
            Command {
                name: "pubsub|shardchannels",
                arity: -2,
                since: "7.0.0",
                complexity: "O(N) in the number of channels",
                summary: "Lists channels of shards that this node has subscribers of.",
                arguments: &[arg("pattern", "pattern").optional()],
                ..OF_LISTS
            },
            Command {
                name: "pubsub|shardnumsub",
                arity: -2,
                since: "7.0.0",
                complexity: "O(N) in the number of channels asked for",
                summary: "Counts this node's subscribers of channels of shards.",
                arguments: &[arg("shardchannel", "string").optional().multiple()],
                ..OF_LISTS
            },
        ],
        handler: Handler::Container,
        ..BASE
    },
    Command {
        name: "punsubscribe",
        arity: -1,
        complexity: "O(N) in the number of patterns",
        summary: "Listens no more to channels by patterns.",
        arguments: &[arg("pattern", "pattern").optional().multiple()],
        ..OF_SUBSCRIBERS
    },
    Command {
        name: "spublish",
        arity: 3,
        flags: flags!(PUBSUB LOADING STALE FAST MAY_REPLICATE),
        keys: &[range(1, 0, 1, key_flags!(NOT_KEY))],
        categories: categories!(PUBSUB),
        since: "7.0.0",
        complexity: "O(N) in the number of subscribers of the channel",
        summary: "Sends a message to a channel of a shard.",
        group: Group::Pubsub,
        arguments: &[arg("shardchannel", "string"), arg("message", "string")],
        handler: Handler::Aside(pubsub::spublish),
        ..BASE
    },
    Command {
        name: "ssubscribe",
        arity: -2,
        keys: &[range(1, -1, 1, key_flags!(NOT_KEY))],
        since: "7.0.0",
        complexity: "O(N) in the number of channels",
        summary: "Listens to channels of shards.",
        arguments: &[arg("shardchannel", "string").multiple()],
        ..OF_SUBSCRIBERS
    },
    Command {
        name: "subscribe",
        arity: -2,
        complexity: "O(N) in the number of channels",
        summary: "Listens to channels.",
        arguments: &[arg("channel", "string").multiple()],
        ..OF_SUBSCRIBERS
    },
    Command {
        name: "sunsubscribe",
        arity: -1,
        keys: &[range(1, -1, 1, key_flags!(NOT_KEY))],
        since: "7.0.0",
        complexity: "O(N) in the number of channels",
        summary: "Listens no more to channels of shards.",
        arguments: &[arg("shardchannel", "string").optional().multiple()],
        ..OF_SUBSCRIBERS
    },
    Command {
        name: "unsubscribe",
        arity: -1,
        complexity: "O(N) in the number of channels",
        summary: "Listens no more to channels.",
        arguments: &[arg("channel", "string").optional().multiple()],
        ..OF_SUBSCRIBERS
    },
];
