//! What an operator does while it storms: replaces nodes whose folders are no longer what they were, as the messages of
//! the nodes say (`QUORATE NODE REMOVE`, an empty folder, `--join`), and moves leadership.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use quorate_sim::{SimClient, SimCluster};

use super::{MS, SECOND};

/// A node with a suspicious folder that has not come back by itself after this time is replaced.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long the operator waits for an answer before asking another node.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// See the [module's documentation](self).
#[derive(Default)]
pub(crate) struct Operator {
    jobs: Vec<Job>,
    /// Nodes whose folders are not what they were, and when that happened.
    suspects: BTreeMap<usize, Duration>,
    /// Nodes whose folders were changed and not replaced since: these may find out later, and stop.
    doubts: BTreeSet<usize>,
    transfers: Vec<(Duration, SimClient, bool)>,
}

/// A node is replaced.
struct Job {
    n: usize,
    /// Its number so far.
    id: u64,
    stage: Stage,
}

enum Stage {
    /// REMOVE is asked for, from one node after the other.
    Removing {
        asked: Option<(Duration, SimClient, bool)>,
        next: Duration,
    },
    Joining,
}

impl Operator {
    /// Whether there is work.
    pub(crate) fn is_busy(&self) -> bool {
        !self.jobs.is_empty()
    }

    /// Whether this node's folder is in doubt: it may refuse to start, or be refused.
    pub(crate) fn suspects(&self, n: usize) -> bool {
        self.suspects.contains_key(&n)
    }

    /// Whether this node's folder was changed, and not replaced since: it may stop when it finds out.
    pub(crate) fn doubts(&self, n: usize) -> bool {
        self.doubts.contains(&n)
    }

    /// Whether all folders are as the nodes have left them.
    pub(crate) fn suspects_nobody(&self) -> bool {
        self.suspects.is_empty()
    }

    /// The folder of a node is not what it was.
    pub(crate) fn suspect(&mut self, cluster: &SimCluster, n: usize) {
        self.suspects.insert(n, cluster.now());
        self.doubts.insert(n);
    }

    /// Removes a node and lets it join anew.
    pub(crate) fn replace(&mut self, cluster: &SimCluster, n: usize) {
        let Some(id) = cluster.member_id(n) else { return };
        if self.jobs.iter().all(|job| job.n != n) {
            let stage = Stage::Removing { asked: None, next: cluster.now() };
            self.jobs.push(Job { n, id, stage });
        }
    }

    /// Asks for another leader.
    pub(crate) fn transfer(&mut self, cluster: &mut SimCluster, through: usize) {
        let client = cluster.connect(through);
        self.transfers.push((cluster.now() + ANSWER_MAX, client, false));
    }

    /// Goes on. What was done, a line each.
    pub(crate) fn step(&mut self, cluster: &mut SimCluster) -> Vec<String> {
        let (now, mut said) = (cluster.now(), Vec::new());
        self.transfers.retain_mut(|(end, client, sent)| {
            if client.is_connected() && !std::mem::replace(sent, true) {
                client.send(&[b"QUORATE", b"FAILOVER"]);
            }
            now < *end && client.ended().is_none() && client.reply().is_none()
        });
        self.look_after_suspects(cluster);
        for job in &mut self.jobs {
            said.extend(job.step(cluster));
        }
        let done: Vec<usize> = self.jobs.iter().filter(|job| job.is_done(cluster)).map(|job| job.n).collect();
        for n in &done {
            said.push(format!("node {n} votes again, as node {:?} of the cluster", cluster.member_id(*n)));
            self.suspects.remove(n);
            self.doubts.remove(n);
        }
        self.jobs.retain(|job| !done.contains(&job.n));
        said
    }

    fn look_after_suspects(&mut self, cluster: &SimCluster) {
        let suspects: Vec<(usize, Duration)> = self.suspects.iter().map(|(n, since)| (*n, *since)).collect();
        for (n, since) in suspects {
            if self.jobs.iter().any(|job| job.n == n) || cluster.now() < since + SECOND {
                continue;
            }
            if is_voter(cluster, n) && follows(cluster, n) {
                self.suspects.remove(&n);
            } else if cluster.now() > since + PATIENCE {
                self.replace(cluster, n);
            }
        }
    }
}

impl Job {
    fn step(&mut self, cluster: &mut SimCluster) -> Option<String> {
        let (n, id, now) = (self.n, self.id, cluster.now());
        let Stage::Removing { asked, next } = &mut self.stage else { return None };
        let Some((end, client, sent)) = asked else {
            if now >= *next && cluster.numbers().count() > 1 {
                let others = cluster.numbers().filter(|other| *other != n).collect::<Vec<_>>();
                let through = others[cluster.world().rng().usize(..others.len())];
                *asked = Some((now + ANSWER_MAX, cluster.connect(through), false));
            }
            return None;
        };
        if client.is_connected() && !std::mem::replace(sent, true) {
            client.send(&[b"QUORATE", b"NODE", b"REMOVE", id.to_string().as_bytes()]);
        }
        if let Some(reply) = client.reply() {
            let gone = reply.as_error().is_none_or(|error| error.contains("is not a member"));
            if gone {
                self.stage = Stage::Joining;
                cluster.join_anew(n);
                return Some(format!("node {n} is removed ({reply:?}) and joins anew"));
            }
            self.again(now);
            return Some(format!("node {n} is not removed yet: {reply:?}"));
        }
        if now > *end || client.ended().is_some() {
            self.again(now);
        }
        None
    }

    fn again(&mut self, now: Duration) {
        self.stage = Stage::Removing { asked: None, next: now + 200 * MS };
    }

    fn is_done(&self, cluster: &SimCluster) -> bool {
        // Of an even number, the one that came last does not vote by itself.
        let votes = cluster.numbers().count().is_multiple_of(2) || is_voter(cluster, self.n);
        matches!(self.stage, Stage::Joining) && votes && follows(cluster, self.n)
    }
}

/// Whether the leader counts on this node's vote, and on this folder.
fn is_voter(cluster: &SimCluster, n: usize) -> bool {
    let view = cluster.leader().and_then(|leader| cluster.view(leader));
    let id = cluster.member_id(n);
    view.is_some_and(|v| id.is_some_and(|id| v.voters.contains(&id)))
}

/// Whether a node serves, and has nearly all that is committed.
fn follows(cluster: &SimCluster, n: usize) -> bool {
    let committed = cluster.leader().and_then(|leader| cluster.view(leader)).map(|v| v.committed);
    let mine = cluster.digests().into_iter().find(|d| d.0 == n).map(|d| d.1);
    mine.is_some_and(|mine| committed.is_some_and(|committed| mine + 20 >= committed))
}
