//! What is attacked: machines that can be killed, stopped and cut off, and the way of clients to them.

use std::time::Duration;

use anyhow::Context;
use quorate_resp::Value;
use rustix::process::Signal;

use crate::admin;
use crate::client::Client;
use crate::local_cluster::LocalCluster;

/// How long a machine has to answer what is asked beside the workload.
const ANSWER_TIME: Duration = Duration::from_secs(2);
/// The same, where it is asked again and again.
const SHORT_TIME: Duration = Duration::from_millis(500);
/// How long a sentinel has.
const SENTINEL_TIME: Duration = Duration::from_millis(500);
/// The name of the primary, as sentinels know it.
pub(super) const PRIMARY: &str = "torture";

/// Machines, by their numbers from 1 on. A machine that ends is not started again by itself.
pub(super) trait Machines {
    /// How many there are.
    fn count(&self) -> u64;
    /// SIGKILL; returns when it is gone.
    fn kill(&mut self, id: u64) -> anyhow::Result<()>;
    /// A signal to a machine that runs.
    fn signal(&mut self, id: u64, signal: Signal) -> anyhow::Result<()>;
    /// Starts a machine that does not run, on the data that it has.
    fn start(&mut self, id: u64) -> anyhow::Result<()>;
    /// Whether it runs, or is stopped by a signal.
    fn runs(&self, id: u64) -> bool;
    /// Which ones have ended since it was last asked, and how.
    fn ended(&mut self) -> Vec<(u64, String)>;
    /// Asks for another leader; `to` if it is given.
    fn transfer(&mut self, leader: u64, to: Option<u64>) -> anyhow::Result<()>;
    /// Whether it takes writes, and votes: before that, another damaged one could be one too many.
    fn works(&self, id: u64) -> bool;
    /// Asks the others to remove it from their cluster; true when it is no member any more.
    fn remove(&mut self, id: u64) -> bool;
    /// Takes the data of a machine that was removed, so that it joins as a new one when it is started. The answer tells
    /// under which name.
    fn begin_anew(&mut self, id: u64) -> anyhow::Result<String>;
}

impl Machines for LocalCluster {
    fn count(&self) -> u64 {
        self.nodes().len() as u64
    }

    fn kill(&mut self, id: u64) -> anyhow::Result<()> {
        Self::kill(self, id)
    }

    fn signal(&mut self, id: u64, signal: Signal) -> anyhow::Result<()> {
        Self::signal(self, id, signal)
    }

    fn start(&mut self, id: u64) -> anyhow::Result<()> {
        self.restart(id)
    }

    fn runs(&self, id: u64) -> bool {
        Self::runs(self, id)
    }

    fn ended(&mut self) -> Vec<(u64, String)> {
        Self::ended(self).into_iter().map(|(id, status)| (id, status.to_string())).collect()
    }

    fn transfer(&mut self, leader: u64, to: Option<u64>) -> anyhow::Result<()> {
        let mut client = self.connect(leader, ANSWER_TIME)?;
        match to {
            Some(id) => client.expect(&["QUORATE", "FAILOVER", "TO", &id.to_string()])?,
            None => client.expect(&["QUORATE", "FAILOVER"])?,
        };
        Ok(())
    }

    fn works(&self, id: u64) -> bool {
        let number = self.nodes().iter().find(|node| node.id == id).map_or(id, |node| node.number);
        let members = || {
            let mut client = self.connect(id, SHORT_TIME)?;
            client.expect(&["SET", "torture:works", &id.to_string()])?;
            admin::members(&mut client)
        };
        members().is_ok_and(|members| members.iter().any(|m| m.id == number && m.is_voter()))
    }

    fn remove(&mut self, id: u64) -> bool {
        let number = self.nodes().iter().find(|node| node.id == id).map_or(id, |node| node.number);
        let others: Vec<u64> = self
            .nodes()
            .iter()
            .map(|node| node.id)
            .filter(|other| *other != id && Self::runs(self, *other))
            .collect();
        others.into_iter().any(|other| {
            let Ok(mut client) = self.connect(other, ANSWER_TIME) else { return false };
            match admin::members(&mut client) {
                // What a node sees may be old; only one that can still commit counts.
                Ok(members) if members.iter().all(|member| member.id != number) => {
                    client.expect(&["SET", "torture:removed", &number.to_string()]).is_ok()
                }
                Ok(_) => {
                    // It may be refused for a moment: another change is under way, or there is no leader.
                    let _ = client.expect(&["QUORATE", "NODE", "REMOVE", &number.to_string()]);
                    false
                }
                Err(_) => false,
            }
        })
    }

    fn begin_anew(&mut self, id: u64) -> anyhow::Result<String> {
        Self::begin_anew(self, id)?;
        let node = self.nodes().iter().find(|node| node.id == id).context("a node of this cluster")?;
        Ok(format!("node {}", node.number))
    }
}

/// What the error codes of a server mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Words {
    Quorate,
    Redis,
}

impl Words {
    /// Whether an error says that the command was not applied; or that it may have been; none if it says neither.
    pub(super) fn means(self, code: &str) -> Option<bool> {
        match (self, code) {
            // Who is told UNBLOCKED has taken nothing.
            (Self::Quorate, "NOQUORUM" | "OVERLOADED" | "LOADING" | "EXECABORT" | "UNBLOCKED") => Some(true),
            (Self::Quorate, "UNKNOWN") => Some(false),
            (Self::Quorate, _) => None,
            (
                Self::Redis,
                "READONLY" | "MASTERDOWN" | "LOADING" | "NOREPLICAS" | "MISCONF" | "EXECABORT"
                | "CLUSTERDOWN",
            ) => Some(true),
            // It promises nothing about the rest.
            (Self::Redis, _) => Some(false),
        }
    }
}

/// How clients find a server.
#[derive(Debug, Clone)]
pub(super) enum Route {
    /// Any of these nodes, by number and address.
    Nodes(Vec<(u64, String)>),
    /// The primary that one of these sentinels names.
    Sentinels(Vec<String>),
}

impl Route {
    /// Any of these nodes.
    pub(super) fn nodes(nodes: Vec<(u64, String)>) -> Self {
        Self::Nodes(nodes)
    }

    /// Whether READONLY reads by followers are a promise.
    pub(super) fn reads_followers(&self) -> bool {
        matches!(self, Self::Nodes(_))
    }

    /// What its errors mean.
    pub(super) fn words(&self) -> Words {
        match self {
            Self::Nodes(_) => Words::Quorate,
            Self::Sentinels(_) => Words::Redis,
        }
    }

    /// A connection, and to which node, if that is known. None: it did not work out this time.
    pub(super) fn connect(&self, rng: &mut fastrand::Rng, patience: Duration) -> Option<(u64, Client)> {
        match self {
            Self::Nodes(nodes) => {
                let (id, addr) = nodes.get(rng.usize(..nodes.len().max(1)))?;
                Some((*id, Client::connect(addr, None, patience).ok()?))
            }
            Self::Sentinels(sentinels) => {
                let addr = primary(sentinels.get(rng.usize(..sentinels.len()))?)?;
                Some((0, Client::connect(&addr, None, patience).ok()?))
            }
        }
    }
}

/// The address of the primary, as a sentinel knows it.
pub(super) fn primary(sentinel: &str) -> Option<String> {
    let mut client = Client::connect(sentinel, None, SENTINEL_TIME).ok()?;
    let reply = client.expect(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", PRIMARY]).ok()?;
    let [host, port] = reply.as_array()? else { return None };
    Some(format!("{}:{}", host.as_str()?, Value::as_str(port)?))
}
