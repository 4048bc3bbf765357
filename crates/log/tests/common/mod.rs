//! A disk in memory that fails the way disks do: it loses what was not synced, in pieces and in any order,
//! tears writes, forgets names, refuses writes and fsyncs, and flips bits. All from one seed.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use quorate_env::{Completion, Disk, Op, Queue};

const SECTOR: usize = 512;

/// SplitMix64.
#[derive(Clone)]
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In `0..n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

#[derive(Clone, Default)]
struct Inode {
    /// What a read sees.
    seen: Vec<u8>,
    /// What survives for certain.
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Len(usize),
}

fn write(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if content.len() < offset + bytes.len() {
        content.resize(offset + bytes.len(), 0);
    }
    content[offset..offset + bytes.len()].copy_from_slice(bytes);
}

#[derive(Clone)]
enum NameChange {
    Link(PathBuf, usize),
    Rename(PathBuf, PathBuf, usize),
    Unlink(PathBuf),
}

fn rename(names: &mut BTreeMap<PathBuf, usize>, change: &NameChange) {
    match change {
        NameChange::Link(path, inode) => {
            names.insert(path.clone(), *inode);
        }
        NameChange::Rename(from, to, inode) => {
            names.remove(from);
            names.insert(to.clone(), *inode);
        }
        NameChange::Unlink(path) => {
            names.remove(path);
        }
    }
}

struct Submission {
    ops: VecDeque<Op>,
    done: Completion,
}

#[derive(Default)]
struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    unsynced_names: Vec<NameChange>,
    queues: [VecDeque<Submission>; 2],
    /// The machine stops at this many more operations.
    fuse: Option<u64>,
    stopped: bool,
    /// This many more operations of that name, and it fails.
    fault: Option<(&'static str, u64)>,
    boot: u64,
    syncs: BTreeMap<PathBuf, u64>,
}

/// See the module.
pub struct TestDisk {
    state: Mutex<State>,
    /// Carry out submissions as they come, instead of waiting for [`TestDisk::step`].
    inline: bool,
    submissions: AtomicU64,
}

impl TestDisk {
    /// Operations wait for [`TestDisk::step`].
    pub fn manual() -> Arc<TestDisk> {
        Arc::new(TestDisk { state: Mutex::default(), inline: false, submissions: AtomicU64::new(0) })
    }

    /// Operations are carried out as they are submitted, on the caller's thread.
    pub fn inline() -> Arc<TestDisk> {
        Arc::new(TestDisk { state: Mutex::default(), inline: true, submissions: AtomicU64::new(0) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn submissions(&self) -> u64 {
        self.submissions.load(Ordering::Relaxed)
    }

    /// Carries out one operation of a queue that has any; false if none has.
    pub fn step(&self, rng: &mut Rng) -> bool {
        let busy: Vec<usize> = (0..2).filter(|queue| !self.state().queues[*queue].is_empty()).collect();
        let queue = busy.get(rng.below(busy.len() as u64) as usize).copied();
        queue.is_some_and(|queue| self.step_of(queue))
    }

    /// The same for a queue that has something to do.
    fn step_of(&self, queue: usize) -> bool {
        let done = {
            let mut state = self.state();
            let op = state.queues[queue][0].ops.pop_front();
            let result = op.map_or(Ok(()), |op| state.execute(op));
            if state.stopped {
                return false;
            }
            if result.is_ok() && !state.queues[queue][0].ops.is_empty() {
                return true;
            }
            let submission = state.queues[queue].pop_front().unwrap();
            (submission.done, result)
        };
        (done.0)(done.1);
        true
    }

    /// Carries out everything.
    pub fn settle(&self) {
        let mut rng = Rng(1);
        while self.step(&mut rng) {}
    }

    /// The machine stops after `ops` more operations, until a crash.
    pub fn stop_after(&self, ops: u64) {
        self.state().fuse = Some(ops);
    }

    pub fn has_stopped(&self) -> bool {
        self.state().stopped
    }

    /// The `nth` operation of that kind from now fails.
    pub fn fail(&self, kind: &'static str, nth: u64) {
        self.state().fault = Some((kind, nth));
    }

    /// The process dies: what it submitted may be carried out in part, what the system has it keeps.
    pub fn kill(&self, rng: &mut Rng) {
        let queues = {
            let mut state = self.state();
            state.fuse = None;
            state.fault = None;
            let queues = std::mem::take(&mut state.queues);
            let mut more = if state.stopped { 0 } else { rng.below(4) };
            for queue in &queues {
                for op in queue.iter().flat_map(|submission| &submission.ops) {
                    if more == 0 {
                        if let Op::Write { path, offset, bufs } = op
                            && rng.percent(50)
                            && !state.stopped
                        {
                            let all = bufs.concat();
                            let part = rng.below(all.len() as u64 + 1) as usize;
                            state.write(path, *offset, &all[..part]).unwrap();
                        }
                        break;
                    }
                    more -= 1;
                    state.execute(copy(op)).unwrap();
                }
            }
            state.stopped = false;
            queues
        };
        // Dropped without the lock: a completion may own what owns this disk.
        drop(queues);
    }

    /// The machine loses power: what was not synced survives in random pieces.
    pub fn crash(&self, rng: &mut Rng) {
        self.kill(rng);
        let mut state = self.state();
        let State { inodes, .. } = &mut *state;
        let keep = [0, 10, 50, 90, 100][rng.below(5) as usize];
        for inode in inodes.iter_mut() {
            let mut content = std::mem::take(&mut inode.durable);
            for change in inode.unsynced.drain(..) {
                match change {
                    Change::Len(len) if rng.percent(50) => content.resize(len, 0),
                    Change::Len(_) => {}
                    Change::Write(offset, bytes) => keep_pieces(&mut content, offset, &bytes, keep, rng),
                }
            }
            inode.seen.clone_from(&content);
            inode.durable = content;
        }
        let changes = std::mem::take(&mut state.unsynced_names);
        let in_order = rng.percent(50);
        for change in changes {
            if rng.percent(50) {
                rename(&mut state.durable_names, &change);
            } else if in_order {
                break;
            }
        }
        state.names = state.durable_names.clone();
        state.boot += 1;
    }

    /// Flips a bit of what is written to a file. False if it has no content there.
    pub fn flip(&self, path: &Path, bit: u64) -> bool {
        let mut state = self.state();
        let Some(inode) = state.names.get(path).copied() else { return false };
        let inode = &mut state.inodes[inode];
        let at = (bit / 8) as usize;
        if at >= inode.seen.len() {
            return false;
        }
        inode.seen[at] ^= 1 << (bit % 8);
        if let Some(byte) = inode.durable.get_mut(at) {
            *byte = inode.seen[at];
        }
        true
    }

    pub fn overwrite(&self, path: &Path, offset: u64, bytes: &[u8]) {
        let mut state = self.state();
        let inode = state.names[path];
        write(&mut state.inodes[inode].seen, offset as usize, bytes);
        write(&mut state.inodes[inode].durable, offset as usize, bytes);
    }

    pub fn content(&self, path: &Path) -> Vec<u8> {
        let state = self.state();
        state.names.get(path).map_or(Vec::new(), |inode| state.inodes[*inode].seen.clone())
    }

    pub fn delete(&self, path: &Path) {
        let mut state = self.state();
        state.names.remove(path);
        state.durable_names.remove(path);
    }

    pub fn files(&self) -> Vec<PathBuf> {
        self.state().names.keys().cloned().collect()
    }

    /// How often a file was fsynced.
    pub fn syncs(&self) -> BTreeMap<PathBuf, u64> {
        self.state().syncs.clone()
    }
}

/// A write that was not synced reaches the disk sector by sector, and a sector may tear.
fn keep_pieces(content: &mut Vec<u8>, offset: usize, bytes: &[u8], keep: u64, rng: &mut Rng) {
    let mut at = 0;
    while at < bytes.len() {
        let len = (SECTOR - (offset + at) % SECTOR).min(bytes.len() - at);
        if rng.percent(keep) {
            let kept = if rng.percent(10) { rng.below(len as u64 + 1) as usize } else { len };
            write(content, offset + at, &bytes[at..at + kept]);
        }
        at += len;
    }
}

fn copy(op: &Op) -> Op {
    match op {
        Op::Create { path, len } => Op::Create { path: path.clone(), len: *len },
        Op::Write { path, offset, bufs } => {
            Op::Write { path: path.clone(), offset: *offset, bufs: bufs.clone() }
        }
        Op::Sync { path } => Op::Sync { path: path.clone() },
        Op::SetLen { path, len } => Op::SetLen { path: path.clone(), len: *len },
        Op::Rename { from, to } => Op::Rename { from: from.clone(), to: to.clone() },
        Op::Remove { path } => Op::Remove { path: path.clone() },
        Op::SyncDir { path } => Op::SyncDir { path: path.clone() },
        Op::Close { path } => Op::Close { path: path.clone() },
    }
}

impl State {
    fn inode(&self, path: &Path) -> io::Result<usize> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, format!("no file {}", path.display()));
        self.names.get(path).copied().ok_or_else(missing)
    }

    fn write(&mut self, path: &Path, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let inode = self.inode(path)?;
        write(&mut self.inodes[inode].seen, offset as usize, bytes);
        self.inodes[inode].unsynced.push(Change::Write(offset as usize, bytes.to_vec()));
        Ok(())
    }

    fn name_change(&mut self, change: NameChange) {
        rename(&mut self.names, &change);
        self.unsynced_names.push(change);
    }

    fn fails(&mut self, kind: &'static str) -> bool {
        match &mut self.fault {
            Some((failing, left)) if *failing == kind => {
                if *left == 0 {
                    self.fault = None;
                    return true;
                }
                *left -= 1;
                false
            }
            _ => false,
        }
    }

    fn execute(&mut self, op: Op) -> io::Result<()> {
        match &mut self.fuse {
            Some(0) => self.stopped = true,
            Some(left) => *left -= 1,
            None => {}
        }
        if self.stopped {
            return Err(io::Error::other("the machine has stopped"));
        }
        match op {
            Op::Create { path, len } => {
                let seen = vec![0; len as usize];
                let unsynced = vec![Change::Len(len as usize)];
                self.inodes.push(Inode { seen, durable: Vec::new(), unsynced });
                self.name_change(NameChange::Link(path, self.inodes.len() - 1));
            }
            Op::Write { path, offset, bufs } => {
                if self.fails("write") {
                    return Err(io::Error::other(format!("write {}: no space", path.display())));
                }
                self.write(&path, offset, &bufs.concat())?;
            }
            Op::Sync { path } => {
                let inode = self.inode(&path)?;
                if self.fails("sync") {
                    // As Linux does: the pages are clean now, and what was in them is nowhere.
                    self.inodes[inode].unsynced.clear();
                    return Err(io::Error::other(format!(
                        "fdatasync {}: input/output error",
                        path.display()
                    )));
                }
                let inode = &mut self.inodes[inode];
                for change in inode.unsynced.drain(..) {
                    match change {
                        Change::Write(offset, bytes) => write(&mut inode.durable, offset, &bytes),
                        Change::Len(len) => inode.durable.resize(len, 0),
                    }
                }
                *self.syncs.entry(path.to_path_buf()).or_default() += 1;
            }
            Op::SetLen { path, len } => {
                let inode = self.inode(&path)?;
                self.inodes[inode].seen.resize(len as usize, 0);
                self.inodes[inode].unsynced.push(Change::Len(len as usize));
            }
            Op::Rename { from, to } => {
                let inode = self.inode(&from)?;
                self.name_change(NameChange::Rename(from, to, inode));
            }
            Op::Remove { path } => self.name_change(NameChange::Unlink(path)),
            Op::SyncDir { path } => {
                assert!(self.names.keys().all(|file| file.parent() == Some(&path)), "one folder");
                for change in std::mem::take(&mut self.unsynced_names) {
                    rename(&mut self.durable_names, &change);
                }
            }
            Op::Close { .. } => {}
        }
        Ok(())
    }
}

impl Disk for TestDisk {
    fn submit(&self, queue: Queue, ops: Vec<Op>, done: Completion) {
        self.submissions.fetch_add(1, Ordering::Relaxed);
        if self.inline {
            let result = self.run(ops);
            return done(result);
        }
        let queue = usize::from(queue == Queue::Snapshot);
        self.state().queues[queue].push_back(Submission { ops: ops.into(), done });
    }

    /// As the real one: writes alone, when nothing stands before them.
    fn submit_prompt(&self, queue: Queue, ops: Vec<Op>, done: Completion) {
        assert_eq!(queue, Queue::Log);
        let is_next = !self.inline && self.state().queues[0].is_empty();
        let mut more =
            if is_next && ops.iter().all(|op| matches!(op, Op::Write { .. })) { ops.len() } else { 0 };
        self.submit(queue, ops, done);
        while more > 0 && self.step_of(0) {
            more -= 1;
        }
    }

    fn read(&self, path: &Path, offset: u64, len: usize) -> io::Result<Bytes> {
        let state = self.state();
        let content = &state.inodes[state.inode(path)?].seen;
        let from = content.len().min(offset as usize);
        let to = content.len().min(from.saturating_add(len));
        Ok(Bytes::copy_from_slice(&content[from..to]))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        let inside = state.names.keys().filter(|file| file.parent() == Some(path));
        Ok(inside.map(|file| file.file_name().unwrap().to_str().unwrap().to_owned()).collect())
    }

    fn len(&self, path: &Path) -> io::Result<Option<u64>> {
        let state = self.state();
        Ok(state.names.get(path).map(|inode| state.inodes[*inode].seen.len() as u64))
    }

    fn create_dir(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn boot_id(&self) -> String {
        format!("boot {}", self.state().boot)
    }

    fn run(&self, ops: Vec<Op>) -> io::Result<()> {
        let mut state = self.state();
        ops.into_iter().try_for_each(|op| state.execute(op))
    }
}
