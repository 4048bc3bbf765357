//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use quorate_cluster::NODE_ID_MAX;

use crate::args::Role;
use crate::torture::{FaultKind, NetworkKind, Target};

const EXAMPLES: &str = "\
Examples:
  quorate server                                     a durable database on this machine, port 6379
  quorate server --listen 10.0.0.2:6379 --join 10.0.0.1:6379 --cluster-secret-file cluster-secret
                                                     a further node of the cluster of 10.0.0.1
  quorate dev                                        three nodes on this machine, ports 7001 to 7003
  quorate demo                                       what happens when a leader is killed
  quorate torture                                    an attack on such a cluster, and a verdict for every promise
  quorate status --addr 127.0.0.1:7001               the nodes of a cluster

Any Redis client connects to any node.";

const SERVER_EXAMPLES: &str = "\
Examples:
  quorate server
      One node, complete and durable. Clients on 127.0.0.1:6379, HTTP on 127.0.0.1:9379.

  quorate server --listen 10.0.0.1:6379 --data-dir /var/lib/quorate
  quorate server --listen 10.0.0.2:6379 --data-dir /var/lib/quorate --join 10.0.0.1:6379 --cluster-secret-file secret
  quorate server --listen 10.0.0.3:6379 --data-dir /var/lib/quorate --join 10.0.0.1:6379 --cluster-secret-file secret
      One line per machine: a replicated cluster. From the third node on it survives the loss of any one. The file
      `secret` is a copy of /var/lib/quorate/cluster-secret of the first node, which makes it when it founds the cluster.

  quorate server --config quorate.toml --set appendfsync=everysec
      A parameter on the command line wins over the file. docs/CONFIGURATION.md lists them all.

The bus between nodes listens on the client port + 10000. SIGTERM stops the node cleanly; a second one at once.";

const DEV_EXAMPLES: &str = "\
Examples:
  quorate dev
  quorate dev --nodes 5 --port 8001 --data-dir /tmp/five --restart

Node i listens on port + i - 1. Its log is DIR/node-i/quorate.log. DIR/cluster.json tells addresses, process ids and
command lines as soon as every node serves. Started again on the same DIR, the same cluster comes back with its data.";

const TORTURE_EXAMPLES: &str = "\
What it does:
  Starts a cluster of real processes in a temporary folder. Many clients, which repeat nothing by themselves, write and
  read through all nodes: unique writes, registers, counters, lists, transfers under WATCH and MULTI, pipelines, keys
  that expire, READONLY reads. Meanwhile nodes are killed, stopped and cut off. When the faults have ended, the cluster
  must work again by itself; then everything is read back, and the history is checked:

  no-lost-ack     every acknowledged write is there
  linearizable    there is an order of all operations that explains every answer
  honest-errors   what was refused as not applied is nowhere
  one-leader      no term has two leaders
  session-reads   a READONLY connection never sees less than before
  equal-digests   nodes at the same entry hold the same
  heals           everything works again in time, and no node ended by itself
  bounded         no node takes more memory than its settings and the data explain
  no-silent-corruption
                  nobody was shown a value that nobody wrote
  fast-failover   figures: pauses of writes depend on the machine, so they are measured and not judged

  power-loss, disk-full and damage put each node's data on a small file system of this tool, which knows what was synced
  and forgets, tears or reorders the rest when the power goes. That takes root and FUSE (/dev/fuse); where it is not to
  be had, these faults are left out, and the report says so. The file systems are private to the tool: nothing stays mounted.

  As root, with iproute2, each node has a network namespace of its own (named qt and the number of this process), and
  partitions lose real packets; else the connections between nodes go through a proxy. Nothing of it stays on the machine.

  The nodes run with a log so small that there are many snapshots (segment-size=1mb snapshot-log-size=2mb log-keep-size=1mb), and
  with queue-memory-limit=64mb; --set changes that, too.

  Not yet: clocks that jump. The project's simulator does that, too.

Examples:
  quorate torture
  quorate torture --seconds 900 --nodes 5 --clients 32
  quorate torture --faults kill,partition --seed 7 --keep /tmp/attack
  sudo quorate torture --faults power-loss
  sudo quorate torture --faults power-loss --ignore-fsync
      The same with disks that lie about fsync. Then it must find lost writes: a test of the tool itself.
  quorate torture --target redis-sentinel
      The same attack on Redis with Sentinel. It loses acknowledged writes: that is not a bug of the tool.";

const RECOVER_EXAMPLES: &str = "\
Examples:
  quorate recover --data-dir /var/lib/quorate
      What this folder holds. Run it on every folder that survived, and take the one with the greatest last entry.

  quorate recover --data-dir /var/lib/quorate --accept-loss --node-id 2
      Node 2 goes on alone, in a new cluster that other nodes join with empty folders.";

/// A strongly consistent database that speaks the Redis protocol and never loses an acknowledged write.
#[derive(Debug, Parser)]
#[command(name = "quorate", version, after_help = EXAMPLES, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run one node.
    Server(Server),
    /// Run a local cluster of real processes, in the foreground.
    Dev(Dev),
    /// Take the tour: start a cluster, write, kill its leader, and see what was lost (nothing) and how long it paused.
    Demo,
    /// Attack a cluster on this machine, and judge every promise. Exits with 1 if one was broken.
    Torture(Torture),
    /// Show the nodes of a cluster. Exits with 1 if it has no leader or does not answer.
    Status(Status),
    /// Look at the data folder of a stopped node, or go on with it alone when a majority is gone for good.
    Recover(Recover),
}

/// Run one node.
///
/// Alone it is a complete, durable database. A second and a third with --join make it a replicated one.
#[derive(Debug, Default, Args)]
#[command(after_help = SERVER_EXAMPLES)]
pub(crate) struct Server {
    /// Address and port for clients [default: 127.0.0.1:6379]
    #[arg(long, value_name = "HOST:PORT", help_heading = "Addresses")]
    pub(crate) listen: Option<String>,

    /// Address and port for HTTP: /health/live, /health/ready, /status [default: the client port + 3000]
    #[arg(long, value_name = "HOST:PORT", help_heading = "Addresses")]
    pub(crate) http_listen: Option<String>,

    /// Where clients and other nodes reach this one, if that is not the listen address
    #[arg(long, value_name = "HOST:PORT", help_heading = "Addresses")]
    pub(crate) announce: Option<String>,

    /// Folder of this node's data, made if missing [default: ./quorate-data]
    #[arg(long, value_name = "DIR", help_heading = "Storage")]
    pub(crate) data_dir: Option<PathBuf>,

    /// A node of the cluster to join, by its client address; may be repeated. A node that has joined keeps to its cluster
    #[arg(long, value_name = "HOST:PORT", help_heading = "Cluster")]
    pub(crate) join: Vec<String>,

    /// File with the secret that the nodes of the cluster share: a copy of DIR/cluster-secret of a member. Needed to join;
    /// whoever founds a cluster makes a secret, and a member has it in its folder
    #[arg(long, value_name = "FILE", env = "QUORATE_CLUSTER_SECRET_FILE", help_heading = "Cluster")]
    pub(crate) cluster_secret_file: Option<PathBuf>,

    /// Failure domain of this node: rack, availability zone, region
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true,
        help_heading = "Cluster"
    )]
    pub(crate) zone: String,

    /// data: may vote and lead; reader: gets the log and answers reads, never votes
    #[arg(long, value_name = "ROLE", default_value = "data", value_parser = parse_role, help_heading = "Cluster")]
    pub(crate) role: Role,

    /// Number of this node in its cluster [default: the next free one]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=NODE_ID_MAX), help_heading = "Cluster")]
    pub(crate) node_id: Option<u64>,

    /// TOML file with parameters
    #[arg(long, value_name = "FILE", help_heading = "Configuration")]
    pub(crate) config: Option<PathBuf>,

    /// Set a parameter; may be repeated
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Configuration")]
    pub(crate) set: Vec<String>,
}

/// Run a local cluster of real processes, in the foreground.
#[derive(Debug, Args)]
#[command(after_help = DEV_EXAMPLES)]
pub(crate) struct Dev {
    /// How many nodes [default: 3, or as many as DIR has]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=99))]
    pub(crate) nodes: Option<u16>,

    /// Client port of the first node [default: 7001, or what DIR has]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,

    /// Folder of the cluster
    #[arg(long, value_name = "DIR", default_value = "quorate-dev")]
    pub(crate) data_dir: PathBuf,

    /// Start a node again when it dies
    #[arg(long)]
    pub(crate) restart: bool,

    /// How many shards; 1 is all there is so far
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) shards: u16,

    /// Set a parameter on every node; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
}

/// Attack a cluster on this machine, and judge every promise. Exits with 1 if one was broken.
///
/// What it saw then stays in a folder, with instructions.
#[derive(Debug, Args)]
#[command(after_help = TORTURE_EXAMPLES)]
pub(crate) struct Torture {
    /// How long faults come and go. The history is kept in memory, about 1 GB an hour
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) seconds: u64,

    /// How many nodes
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=9))]
    pub(crate) nodes: u16,

    /// Which faults, separated by commas [default: all that this machine allows]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) faults: Vec<FaultKind>,

    /// How many clients
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) clients: u16,

    /// Decides what happens when. The processes still run at their own pace [default: random, and shown]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,

    /// How soon everything must work again after the faults, seconds
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) heal_within: u64,

    /// Use this folder, which must be empty, and keep it
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,

    /// What to attack
    #[arg(long, value_name = "TARGET", default_value = "quorate")]
    pub(crate) target: Target,

    /// What is between the nodes
    #[arg(long, value_name = "NETWORK", default_value = "auto")]
    pub(crate) network: NetworkKind,

    /// Set a parameter on every node; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,

    /// Let all disks confirm fsync and make nothing durable, and power losses hit all nodes. The run must then fail
    #[arg(long)]
    pub(crate) ignore_fsync: bool,

    /// Print the result as JSON, for programs; progress goes to the error stream
    #[arg(long)]
    pub(crate) json: bool,
}

/// Show the nodes of a cluster. Exits with 1 if it has no leader or does not answer.
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Any node of the cluster
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:6379")]
    pub(crate) addr: String,

    /// Password, if the cluster has one
    #[arg(long, value_name = "PASSWORD", env = "QUORATE_PASSWORD", hide_env_values = true)]
    pub(crate) password: Option<String>,

    /// Print JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
}

/// Look at the data folder of a stopped node, or go on with it alone when a majority is gone for good.
///
/// Without --accept-loss nothing is changed: it shows what the folder holds, what may be missing in it, and what to do.
#[derive(Debug, Args)]
#[command(after_help = RECOVER_EXAMPLES)]
pub(crate) struct Recover {
    /// Data folder of the stopped node
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: PathBuf,

    /// Make this node the only voter of a new cluster with its data. What other nodes have beyond that is lost
    #[arg(long)]
    pub(crate) accept_loss: bool,

    /// Confirms --accept-loss: the number of the node whose folder this is
    #[arg(long, value_name = "N", requires = "accept_loss", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) node_id: Option<u64>,

    /// Confirms --accept-loss, whichever node it is
    #[arg(long, requires = "accept_loss", conflicts_with = "node_id")]
    pub(crate) yes: bool,

    /// Print JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
}

fn parse_role(text: &str) -> Result<Role, String> {
    match text {
        "data" => Ok(Role::Data),
        "reader" => Ok(Role::Reader),
        "witness" => Err("the role witness is not implemented yet; use data or reader".into()),
        _ => Err("the roles are data and reader".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(args: &str) -> Result<Server, String> {
        let words = ["quorate", "server"].into_iter().chain(args.split_ascii_whitespace());
        match Cli::try_parse_from(words).map_err(|error| error.to_string())?.command {
            Command::Server(server) => Ok(server),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn a_server_needs_no_arguments() {
        let server = server("").unwrap();
        assert_eq!((server.role, server.zone.as_str(), server.node_id), (Role::Data, "", None));
        assert!(server.join.is_empty() && server.listen.is_none());
    }

    #[test]
    fn a_server_takes_what_the_design_lists() {
        let server = server(
            "--config q.toml --listen 127.0.0.1:7001 --data-dir d --http-listen 127.0.0.1:9999 --join a:1 --join b:2 \
             --zone z1 --role reader --node-id 4 --announce host:7001 --set a=b --set c=d",
        )
        .unwrap();
        assert_eq!(server.join, ["a:1", "b:2"]);
        assert_eq!(server.set, ["a=b", "c=d"]);
        assert_eq!((server.role, server.zone.as_str(), server.node_id), (Role::Reader, "z1", Some(4)));
    }

    #[test]
    fn roles_that_do_not_exist_are_refused_with_a_reason() {
        assert!(server("--role witness").unwrap_err().contains("not implemented yet"));
        assert!(server("--role boss").unwrap_err().contains("data and reader"));
        assert!(server("--node-id 0").is_err());
    }

    #[test]
    fn dev_has_defaults() {
        let Command::Dev(dev) = Cli::try_parse_from(["quorate", "dev"]).unwrap().command else { panic!() };
        assert_eq!((dev.nodes, dev.port, dev.shards, dev.restart), (None, None, 1, false));
    }

    #[test]
    fn torture_takes_all_faults_unless_some_are_named() {
        let parse = |args: &str| {
            let words = ["quorate", "torture"].into_iter().chain(args.split_ascii_whitespace());
            match Cli::try_parse_from(words).map_err(|error| error.to_string())?.command {
                Command::Torture(torture) => Ok(torture),
                other => Err(format!("{other:?}")),
            }
        };
        let all = parse("").unwrap();
        assert_eq!((all.seconds, all.nodes, all.clients, all.target), (60, 3, 16, Target::Quorate));
        assert_eq!((all.faults.len(), all.ignore_fsync), (0, false));
        let some = parse("--faults kill-all,one-way --target redis-sentinel --seed 3").unwrap();
        assert_eq!(some.faults, [FaultKind::KillAll, FaultKind::OneWay]);
        assert_eq!((some.target, some.seed), (Target::RedisSentinel, Some(3)));
        assert!(parse("--faults earthquake").unwrap_err().contains("one-way"), "it says what there is");
        assert_eq!(all.network, NetworkKind::Auto);
        assert_eq!(parse("--network namespaces").unwrap().network, NetworkKind::Namespaces);
        assert!(parse("--nodes 0").is_err());
    }

    #[test]
    fn recover_asks_for_a_folder_and_confirms_only_what_it_does() {
        let parse = |args: &str| {
            let words = ["quorate", "recover"].into_iter().chain(args.split_ascii_whitespace());
            Cli::try_parse_from(words.collect::<Vec<_>>())
        };
        assert!(parse("").is_err());
        assert!(parse("--data-dir d --yes").is_err(), "nothing to confirm");
        assert!(parse("--data-dir d --accept-loss --yes --node-id 2").is_err(), "one of them");
        let Command::Recover(recover) = parse("--data-dir d --accept-loss --node-id 2").unwrap().command
        else {
            panic!()
        };
        assert_eq!(
            (recover.accept_loss, recover.node_id, recover.yes, recover.json),
            (true, Some(2), false, false)
        );
    }

    #[test]
    fn help_names_what_is_there_and_nothing_else() {
        let help = <Cli as clap::CommandFactory>::command().render_long_help().to_string();
        for word in ["server", "dev", "demo", "torture", "status", "recover", "Examples:"] {
            assert!(help.contains(word), "{word}");
        }
        assert!(!help.contains("witness"));
    }
}
