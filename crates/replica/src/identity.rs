//! Who this node is: a disk is a member, not a number (R5).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use quorate_env::{Env, Op};
use quorate_planted::{Bug, is_planted};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::bus::{Credentials, Refusal};
use crate::secret::Secret;
use crate::types::{Member, NodeId};

/// The file in the data folder.
const FILE: &str = "identity";
/// The identity file is a few lines; anything larger is not one.
const FILE_BYTES_MAX: usize = 64 << 10;

/// What the identity file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stored {
    format: u32,
    pub(crate) node_id: NodeId,
    pub(crate) cluster: u64,
    pub(crate) incarnation: u64,
    pub(crate) start: u64,
    /// Whether this folder founded its cluster: only then may it ever initialise one (R19).
    founder: bool,
    /// Whether consensus was ever started on it: from then on its log must be there.
    pub(crate) initialized: bool,
    /// Checksum of the cluster's secret that the folder has.
    #[serde(default)]
    secret: Option<u32>,
}

/// The identity of this node, and what it knows of the others'.
pub struct Identity {
    env: Env,
    path: PathBuf,
    nonce: u64,
    new: bool,
    stored: Mutex<Stored>,
    known: Mutex<Known>,
    /// The runs that are known of members have changed.
    runs: Notify,
    /// Another member holds against this run that its folder is not what it was.
    distrusted: Notify,
}

/// How often a folder was started, and the nonce of that start.
pub(crate) type Run = (u64, u64);

/// What the cluster has agreed on about its members.
#[derive(Default)]
struct Known {
    members: BTreeMap<NodeId, Member>,
    /// Nodes that this one has known as members and that are none any more.
    former: BTreeSet<NodeId>,
    starts: BTreeMap<NodeId, Run>,
    /// The term in which this node leads, or last led, and the last entry that each member acknowledged in it.
    acknowledged: (u64, BTreeMap<NodeId, u64>),
    /// Tells the last entry of this node's log and the term of its vote.
    position: Option<Box<dyn Fn() -> (u64, u64) + Send>>,
    /// Starts that this node saw and that are not yet in the replicated record.
    seen: BTreeMap<NodeId, Run>,
}

impl Known {
    /// The latest run of a member that this node has let in or read of.
    fn newest(&self, id: NodeId) -> Option<Run> {
        self.starts.get(&id).copied().max(self.seen.get(&id).copied())
    }

    fn check_run(&self, id: NodeId, run: Run) -> Result<(), String> {
        if self.newest(id).is_some_and(|newest| is_older(run, newest)) && !is_planted(Bug::ReusedIdentity) {
            return Err(format!(
                "node {id} was started anew elsewhere: what its earlier run says counts no more"
            ));
        }
        Ok(())
    }
}

/// Whether a run is not the newest one, nor a later one: an earlier start, or another copy started as often.
fn is_older(run: Run, newest: Run) -> bool {
    run.0 < newest.0 || run.0 == newest.0 && run.1 != newest.1
}

impl Identity {
    /// Reads the identity of a data folder, or makes one, and counts this start. Blocks; start of a node only.
    pub fn open(env: &Env, dir: &Path) -> io::Result<Arc<Self>> {
        let path = Self::path(dir);
        let found = Self::stored_in(env, dir)?;
        let new = found.is_none();
        let mut stored = found.unwrap_or_else(|| Stored {
            format: 1,
            incarnation: env.random.next_u64() | 1,
            ..Stored::default()
        });
        stored.start += 1;
        let nonce = env.random.next_u64();
        let identity = Self {
            env: env.clone(),
            path,
            nonce,
            new,
            stored: Mutex::new(stored),
            known: Mutex::default(),
            runs: Notify::new(),
            distrusted: Notify::new(),
        };
        identity.save()?;
        Ok(Arc::new(identity))
    }

    /// Where the identity of a data folder lies.
    pub(crate) fn path(dir: &Path) -> PathBuf {
        dir.join(FILE)
    }

    /// What the identity file of a folder says, if there is one. Blocks.
    pub(crate) fn stored_in(env: &Env, dir: &Path) -> io::Result<Option<Stored>> {
        let path = Self::path(dir);
        let bytes = match env.disk.len(&path)? {
            Some(n) if n as usize > FILE_BYTES_MAX => return Err(damaged(&path, "it is too large")),
            Some(n) => env.disk.read(&path, 0, n as usize)?,
            None => Bytes::new(),
        };
        (!bytes.is_empty()).then(|| parse(&path, &bytes)).transpose()
    }

    /// Whether the folder had no identity before this start.
    pub fn is_new(&self) -> bool {
        self.new
    }

    /// The node's number; 0 until it has one.
    pub fn node_id(&self) -> NodeId {
        self.stored().node_id
    }

    /// The cluster's random number; 0 until it belongs to one.
    pub fn cluster(&self) -> u64 {
        self.stored().cluster
    }

    /// The folder's random number.
    pub fn incarnation(&self) -> u64 {
        self.stored().incarnation
    }

    /// How often the folder was started, this time included.
    pub fn start(&self) -> u64 {
        self.stored().start
    }

    /// This run of the folder: how often it was started, and the nonce of this start.
    pub(crate) fn run(&self) -> Run {
        (self.start(), self.nonce)
    }

    pub(crate) fn credentials(&self) -> Credentials {
        let s = self.stored().clone();
        let (last, term) = self.known().position.as_ref().map_or((0, 0), |position| position());
        Credentials { incarnation: s.incarnation, start: s.start, nonce: self.nonce, last, term }
    }

    /// Whether this folder founded its cluster.
    pub fn is_founder(&self) -> bool {
        self.stored().founder
    }

    /// Whether consensus was ever started on this folder.
    pub fn is_initialized(&self) -> bool {
        self.stored().initialized
    }

    /// Notes, durably, that consensus was started on this folder. Blocks.
    pub fn initialized(&self) -> io::Result<()> {
        if std::mem::replace(&mut self.stored.lock().expect("not poisoned").initialized, true) {
            return Ok(());
        }
        self.save()
    }

    /// Whether this secret, from a file in the folder, is the one that was written there.
    pub fn vouches_for(&self, secret: &Secret) -> bool {
        self.stored().secret.is_none_or(|checksum| checksum == secret.checksum())
    }

    /// Keeps the secret of the cluster in the folder, durably. Blocks; before the node serves.
    pub fn keep_secret(&self, secret: &Secret) -> io::Result<()> {
        let dir = self.path.parent().expect("it lies in the data folder");
        if Secret::stored_in(&self.env, dir).ok().flatten().as_ref() != Some(secret) {
            secret.store(&self.env, dir)?;
        }
        let checksum = Some(secret.checksum());
        if std::mem::replace(&mut self.stored.lock().expect("not poisoned").secret, checksum) == checksum {
            return Ok(());
        }
        self.save()
    }

    /// Becomes member `node_id` of `cluster`, durably. Blocks; before the node serves.
    pub fn adopt(&self, node_id: NodeId, cluster: u64, founder: bool) -> io::Result<()> {
        {
            let mut s = self.stored.lock().expect("not poisoned");
            s.founder = founder;
            s.node_id = node_id;
            s.cluster = cluster;
        }
        self.save()
    }

    /// The members by the latest membership.
    pub fn set_members(&self, members: BTreeMap<NodeId, Member>) {
        let mut known = self.known();
        let before = std::mem::replace(&mut known.members, members);
        let gone: Vec<NodeId> = before.into_keys().filter(|id| !known.members.contains_key(id)).collect();
        known.former.extend(gone);
    }

    /// How to tell the last entry of this node's log and the term of its vote.
    pub(crate) fn set_position(&self, position: impl Fn() -> (u64, u64) + Send + 'static) {
        self.known().position = Some(Box::new(position));
    }

    /// Another member says that this folder is an older copy, or lacks what it acknowledged.
    pub(crate) fn set_distrusted(&self) {
        self.distrusted.notify_one();
    }

    /// Returns when another member has said so since the last call.
    pub(crate) async fn distrusted(&self) {
        self.distrusted.notified().await;
    }

    /// Notes, before the leader of `term` counts on it, that a run of member `id` acknowledged its log up to `index`.
    ///
    /// # Errors
    /// If a later run of it was let in meanwhile. That one was asked for what the member had acknowledged until then; what an earlier
    /// run has on its disk counts no more.
    pub(crate) fn note_acknowledged(
        &self,
        term: u64,
        id: NodeId,
        run: Run,
        index: u64,
    ) -> Result<(), String> {
        let mut known = self.known();
        known.check_run(id, run)?;
        if term > known.acknowledged.0 {
            known.acknowledged = (term, BTreeMap::new());
        }
        if term == known.acknowledged.0 {
            let last = known.acknowledged.1.entry(id).or_default();
            *last = index.max(*last);
        }
        Ok(())
    }

    /// Whether a run of member `id` is the latest one that this node has let in.
    ///
    /// # Errors
    /// If it is not.
    pub(crate) fn check_run(&self, id: NodeId, run: Run) -> Result<(), String> {
        self.known().check_run(id, run)
    }

    /// Returns when a later run of member `id` than this one was let in.
    pub(crate) async fn superseded(&self, id: NodeId, run: Run) {
        loop {
            let change = self.runs.notified();
            if self.check_run(id, run).is_err() {
                return;
            }
            change.await;
        }
    }

    /// This node does not lead in `term`: what members acknowledged until then may have been cut off since.
    pub(crate) fn forget_acknowledged(&self, term: u64) {
        let mut known = self.known();
        if known.acknowledged.0 <= term {
            known.acknowledged = (term, BTreeMap::new());
        }
    }

    /// All numbers of nodes that were ever in use, as far as this node knows.
    pub fn used_ids(&self) -> Vec<NodeId> {
        let known = self.known();
        known.members.keys().chain(known.starts.keys()).copied().collect()
    }

    /// What the replicated record says of a member's last start and its nonce. Errors: it is of this node and of a later
    /// start than this one, or of another run with the same number. Then this folder is a copy: it may have been let in by
    /// a node that had been started a moment ago and did not know that yet (R5).
    pub fn set_known_start(&self, id: NodeId, start: u64, nonce: u64) -> Result<(), String> {
        let (me, mine) = (self.node_id(), self.run());
        if id == me
            && (start > mine.0 || start == mine.0 && nonce != mine.1)
            && !is_planted(Bug::ReusedIdentity)
        {
            return Err(format!(
                "the data folder of this node ({me}) is a copy: it says start {}, the cluster has seen start {start}. It \
                 may lack writes that it acknowledged. Run QUORATE NODE REMOVE {me}, empty the folder, and start it \
                 with --join",
                mine.0
            ));
        }
        let mut known = self.known();
        known.starts.insert(id, (start, nonce));
        self.runs.notify_waiters();
        if known.seen.get(&id).is_some_and(|s| s.0 <= start) {
            known.seen.remove(&id);
        }
        Ok(())
    }

    /// Starts of members that the replicated record does not hold yet; the leader writes them down.
    pub fn unrecorded_starts(&self) -> Vec<(NodeId, u64, u64)> {
        let mut known = self.known();
        let (me, mine) = (self.node_id(), (self.start(), self.nonce));
        if me != 0 && known.starts.get(&me).is_none_or(|s| s.0 < mine.0) {
            known.seen.insert(me, mine);
        }
        known.seen.iter().map(|(id, (start, nonce))| (*id, *start, *nonce)).collect()
    }

    /// Checks what another node says of itself. The error tells its operator what to do.
    ///
    /// A node that this one has never heard of is let in: its log may be too short to name it yet, and who it comes from
    /// may be the only one who can make it longer. What a stranger can do is bounded by the votes and the log.
    pub(crate) fn check(&self, id: NodeId, it: &Credentials) -> Result<(), Refusal> {
        let mut known = self.known();
        let was_heard_of = known.former.contains(&id) || known.starts.contains_key(&id);
        if was_heard_of && !known.members.contains_key(&id) {
            return Err(format!(
                "node {id} is not a member of the cluster: to join it anew, empty its folder and start it with --join"
            )
            .into());
        }
        if let Some(member) = known.members.get(&id)
            && member.incarnation != it.incarnation
        {
            return Err(format!(
                "node {id} is a member with another data folder: if its disk is lost, run QUORATE NODE REMOVE {id} \
                 on any member and start the new node with --join and without --node-id; otherwise start it on its \
                 own data folder"
            )
            .into());
        }
        if is_planted(Bug::ReusedIdentity) {
            return Ok(());
        }
        let newest = known.newest(id);
        if newest.is_some_and(|newest| is_older((it.start, it.nonce), newest)) {
            let why = format!(
                "the data folder of node {id} is an older copy: it says start {}, the cluster has seen start {}. It \
                 may lack writes that it acknowledged. Run QUORATE NODE REMOVE {id}, empty the folder, and start it \
                 with --join",
                it.start,
                newest.expect("checked").0
            );
            return Err(Refusal { why, distrust: true });
        }
        // The same run cannot have gone back; what it says here may be older than what it acknowledged since.
        let is_new = newest != Some((it.start, it.nonce));
        if let Some(acknowledged) = known.acknowledged.1.get(&id).filter(|index| is_new && it.last < **index)
        {
            let why = format!(
                "node {id} comes back with less than it acknowledged: its log ends at {}, it had {acknowledged} on disk. Its \
                 folder is an older copy or was damaged. Run QUORATE NODE REMOVE {id}, empty the folder, and start it \
                 with --join",
                it.last
            );
            // In a later term another leader may have cut its log back rightly.
            return Err(Refusal { why, distrust: it.term <= known.acknowledged.0 });
        }
        if newest.is_none_or(|(start, _)| start < it.start) && known.members.contains_key(&id) {
            known.seen.insert(id, (it.start, it.nonce));
            self.runs.notify_waiters();
        }
        Ok(())
    }

    fn stored(&self) -> std::sync::MutexGuard<'_, Stored> {
        self.stored.lock().expect("not poisoned")
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().expect("not poisoned")
    }

    fn save(&self) -> io::Result<()> {
        let text = serde_json::to_string(&*self.stored()).expect("encoding to memory cannot fail");
        let content = format!("{text}\n{:08x}\n", crc32c::crc32c(text.as_bytes()));
        let new: Arc<Path> = self.path.with_extension("new").into();
        let dir = self.path.parent().expect("it lies in the data folder").to_path_buf();
        self.env.disk.run(vec![
            Op::Create { path: new.to_path_buf(), len: 0 },
            Op::Write { path: new.clone(), offset: 0, bufs: vec![content.into()] },
            Op::Sync { path: new.clone() },
            Op::Close { path: new.clone() },
            Op::Rename { from: new.to_path_buf(), to: self.path.clone() },
            Op::SyncDir { path: dir },
        ])
    }
}

fn parse(path: &Path, bytes: &[u8]) -> io::Result<Stored> {
    let text = std::str::from_utf8(bytes).map_err(|_| damaged(path, "it is not text"))?;
    let mut lines = text.lines();
    let (json, crc) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    if u32::from_str_radix(crc, 16) != Ok(crc32c::crc32c(json.as_bytes())) {
        return Err(damaged(path, "its checksum does not match"));
    }
    let stored: Stored = serde_json::from_str(json).map_err(|e| damaged(path, &e.to_string()))?;
    match stored.format {
        1 => Ok(stored),
        f => Err(damaged(path, &format!("format {f} is newer than this version knows"))),
    }
}

fn damaged(path: &Path, why: &str) -> io::Error {
    let text = format!(
        "{} is damaged: {why}. Without it the node cannot prove which member it is: remove the member from the \
         cluster (QUORATE NODE REMOVE), empty the folder and join again",
        path.display()
    );
    io::Error::new(io::ErrorKind::InvalidData, text)
}
