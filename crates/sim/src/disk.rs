//! Simulated disks: two queues that take their time, and faults.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use fastrand::Rng;

use quorate_env::{Completion, Disk, Op, Queue};

use crate::files::{FileTree, FolderImage, OpKind};
use crate::node::NodeId;
use crate::options::DiskProfile;
use crate::state::{Core, Effects};
use crate::timeline::{Event, Timeline, chance, generator, nanos, pick};

/// EIO, as Linux numbers it.
const EIO: i32 = 5;

/// The disk of one machine, with the process that uses it.
pub(crate) struct DiskState {
    node: NodeId,
    files: FileTree,
    queues: [QueueState; 2],
    profile: DiskProfile,
    faults: Vec<Fault>,
    rng: Rng,
    /// Which start of the process the queues belong to.
    generation: u64,
    /// The process does not run: what its writer threads are at waits.
    paused: bool,
    locks: BTreeSet<PathBuf>,
    boot_id: u64,
}

#[derive(Default)]
struct QueueState {
    submissions: VecDeque<Submission>,
    /// When the last operation ended, exactly: events are rounded up to ticks, these times are not.
    free_at: u64,
    /// An operation ended while the process was paused.
    ended_in_pause: bool,
}

struct Submission {
    ops: VecDeque<Op>,
    done: Completion,
}

/// The operation of this kind that comes after `skip` others fails.
struct Fault {
    kind: OpKind,
    skip: u32,
}

impl DiskState {
    pub(crate) fn new(seed: u64, node: NodeId, profile: DiskProfile) -> Self {
        let mut rng = generator(seed, "disk", node.index() as u64);
        Self {
            node,
            files: FileTree::default(),
            queues: Default::default(),
            profile,
            faults: Vec::new(),
            boot_id: rng.u64(..),
            rng,
            generation: 0,
            paused: false,
            locks: BTreeSet::new(),
        }
    }

    /// A new process starts to use the disk.
    pub(crate) fn start(&mut self, generation: u64) {
        self.generation = generation;
    }

    /// The process is killed. The operations that the kernel is at may still come to their end, or to a part
    /// of it. Returns what is to be dropped, once no lock is held.
    pub(crate) fn kill(&mut self) -> Vec<Completion> {
        let mut dropped = Vec::new();
        for queue in &mut self.queues {
            let mut submissions = std::mem::take(queue).submissions;
            if let Some(op) = submissions.front().and_then(|submission| submission.ops.front()) {
                match self.rng.u8(..3) {
                    0 => {}
                    1 => self.files.apply_partly(op, &mut self.rng),
                    _ => drop(self.files.apply(op)),
                }
            }
            dropped.extend(submissions.drain(..).map(|submission| submission.done));
        }
        self.generation += 1;
        self.paused = false;
        self.locks.clear();
        dropped
    }

    /// The machine boots after what was not synced is gone or torn.
    pub(crate) fn lose_power(&mut self) {
        self.files.lose_power(&mut self.rng);
        self.boot_id = self.rng.u64(..);
    }

    pub(crate) fn pause(&mut self) {
        self.paused = true;
    }

    pub(crate) fn resume(&mut self, timeline: &mut Timeline) {
        self.paused = false;
        for (queue, state) in self.queues.iter_mut().enumerate() {
            if std::mem::take(&mut state.ended_in_pause) {
                state.free_at = timeline.now();
                let event = Event::DiskOp { node: self.node, queue, generation: self.generation };
                timeline.schedule(timeline.now(), event);
            }
        }
    }

    /// The operation that a queue is at ends: it takes effect, and the next one begins.
    pub(crate) fn op_ends(
        &mut self,
        timeline: &mut Timeline,
        queue: usize,
        generation: u64,
        effects: &mut Effects,
    ) {
        if generation != self.generation {
            return;
        }
        if self.paused {
            self.queues[queue].ended_in_pause = true;
            return;
        }
        let Some(mut submission) = self.queues[queue].submissions.pop_front() else { return };
        let result = match submission.ops.pop_front() {
            Some(op) => self.carry_out(timeline, &op),
            None => Ok(()),
        };
        if result.is_ok() && !submission.ops.is_empty() {
            self.queues[queue].submissions.push_front(submission);
        } else {
            let number = [self.node.index() as u64, queue as u64, u64::from(result.is_ok())];
            timeline.record("completion", number, &[]);
            effects.completions.push((self.node, submission.done, result));
            effects.reached.push(self.node);
        }
        self.begin_next(timeline, queue);
    }

    fn submit(&mut self, timeline: &mut Timeline, queue: usize, submission: Submission) {
        let idle = self.queues[queue].submissions.is_empty();
        self.queues[queue].submissions.push_back(submission);
        if idle {
            self.queues[queue].free_at = timeline.now();
            self.begin_next(timeline, queue);
        }
    }

    fn begin_next(&mut self, timeline: &mut Timeline, queue: usize) {
        let state = &mut self.queues[queue];
        let Some(submission) = state.submissions.front() else { return };
        state.free_at += match submission.ops.front() {
            Some(op) => duration(&self.profile, &mut self.rng, op),
            None => 0,
        };
        let event = Event::DiskOp { node: self.node, queue, generation: self.generation };
        timeline.schedule(state.free_at, event);
    }

    /// Lets one operation take effect, or fail if a fault is due.
    fn carry_out(&mut self, timeline: &mut Timeline, op: &Op) -> io::Result<()> {
        let kind = OpKind::of(op);
        let result = if self.fault_is_due(kind) {
            self.files.apply_partly(op, &mut self.rng);
            Err(io::Error::from_raw_os_error(EIO))
        } else {
            self.files.apply(op)
        };
        if matches!(&result, Err(error) if error.kind() == io::ErrorKind::StorageFull) {
            self.files.apply_partly(op, &mut self.rng);
        }
        record(timeline, self.node, kind, op);
        result.map_err(|error| named(&format!("{kind:?}"), path_of(op), &error))
    }

    fn fault_is_due(&mut self, kind: OpKind) -> bool {
        let Some(at) = self.faults.iter().position(|fault| fault.kind == kind) else { return false };
        if self.faults[at].skip > 0 {
            self.faults[at].skip -= 1;
            return false;
        }
        self.faults.remove(at);
        true
    }
}

/// What a node sees of its disk.
pub(crate) struct SimDisk {
    pub(crate) core: Arc<Core>,
    pub(crate) node: NodeId,
    pub(crate) generation: u64,
}

impl SimDisk {
    /// An environment that outlives its process has no disk.
    fn with<T>(&self, act: impl FnOnce(&mut DiskState, &mut Timeline) -> io::Result<T>) -> io::Result<T> {
        let state = &mut *self.core.lock();
        let disk = &mut state.disks[self.node.index()];
        if disk.generation != self.generation {
            return Err(io::Error::new(io::ErrorKind::NotConnected, "this simulated process has ended"));
        }
        act(disk, &mut state.timeline)
    }
}

impl Disk for SimDisk {
    fn submit(&self, queue: Queue, ops: Vec<Op>, done: Completion) {
        let queue = match queue {
            Queue::Log => 0,
            Queue::Snapshot => 1,
        };
        let mut submission = Some(Submission { ops: ops.into(), done });
        let submitted = self.with(|disk, timeline| {
            disk.submit(timeline, queue, submission.take().expect("submitted once"));
            Ok(())
        });
        // Of a process that has ended: dropped here, where no lock is held.
        drop((submitted, submission));
    }

    fn read(&self, path: &Path, offset: u64, len: usize) -> io::Result<Bytes> {
        self.with(|disk, _| disk.files.read(path, offset, len).map_err(|error| named("read", path, &error)))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.with(|disk, _| Ok(disk.files.list(path)))
    }

    fn len(&self, path: &Path) -> io::Result<Option<u64>> {
        self.with(|disk, _| Ok(disk.files.len(path)))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.with(|disk, _| disk.files.create_dir(path).map_err(|error| named("create folder", path, &error)))
    }

    fn lock(&self, path: &Path) -> io::Result<()> {
        self.with(|disk, _| {
            if !disk.files.has_folder(path) {
                return Err(named("lock", path, &io::ErrorKind::NotFound.into()));
            }
            if !disk.locks.insert(path.to_owned()) {
                let message = format!("data folder {} is in use by {}", path.display(), disk.node);
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, message));
            }
            Ok(())
        })
    }

    fn boot_id(&self) -> String {
        let id = self.core.lock().disks[self.node.index()].boot_id;
        format!("{id:016x}")
    }

    fn run(&self, ops: Vec<Op>) -> io::Result<()> {
        self.with(|disk, timeline| ops.iter().try_for_each(|op| disk.carry_out(timeline, op)))
    }
}

/// Looks at the disk of a node from outside, and breaks it.
#[derive(Clone)]
pub struct DiskFaults {
    pub(crate) core: Arc<Core>,
    pub(crate) node: NodeId,
}

impl DiskFaults {
    fn with<T>(&self, act: impl FnOnce(&mut DiskState) -> T) -> T {
        act(&mut self.core.lock().disks[self.node.index()])
    }

    /// The operation of this kind that comes after `skip` others of its kind fails with EIO. A write that
    /// fails may have been done in part; what a failed sync should have made durable never will be.
    pub fn fail(&self, kind: OpKind, skip: u32) {
        self.with(|disk| disk.faults.push(Fault { kind, skip }));
    }

    /// Takes back all that [`fail`](Self::fail) planned and that has not come to pass.
    pub fn fail_no_more(&self) {
        self.with(|disk| disk.faults.clear());
    }

    /// The bytes that all files together may hold, `None` for no limit. Beyond it the disk is full.
    pub fn set_capacity(&self, capacity: Option<u64>) {
        self.with(|disk| disk.files.capacity = capacity);
    }

    /// The bytes that all files together hold now, synced or not.
    pub fn used(&self) -> u64 {
        self.with(|disk| disk.files.used())
    }

    /// How fast the disk is from now on; what has begun keeps its time.
    pub fn set_profile(&self, profile: DiskProfile) {
        self.with(|disk| disk.profile = profile);
    }

    /// Bit rot: turns bit `bit` (0 to 7) of the byte at `offset` around, in memory and on the platters.
    /// Errors: no such file (`NotFound`), no such byte (`UnexpectedEof`).
    pub fn flip_bit(&self, path: impl AsRef<Path>, offset: u64, bit: u8) -> io::Result<()> {
        self.with(|disk| disk.files.flip_bit(path.as_ref(), offset, bit))
    }

    /// The names in a folder, sorted.
    pub fn list(&self, path: impl AsRef<Path>) -> Vec<String> {
        self.with(|disk| disk.files.list(path.as_ref()))
    }

    /// The contents of a file, synced or not.
    pub fn read(&self, path: impl AsRef<Path>) -> io::Result<Bytes> {
        self.with(|disk| disk.files.read(path.as_ref(), 0, usize::MAX))
    }

    /// Copies a data folder: a backup, or a disk that is about to be cloned (R5).
    pub fn image(&self, folder: impl AsRef<Path>) -> FolderImage {
        self.with(|disk| disk.files.image(folder.as_ref()))
    }

    /// Puts an image, of this node or another, in place of a data folder. The node is to be down.
    pub fn restore(&self, folder: impl AsRef<Path>, image: &FolderImage) -> io::Result<()> {
        self.with(|disk| {
            assert!(disk.locks.is_empty(), "{} runs on the folder that is to be replaced", disk.node);
            disk.files.restore(folder.as_ref(), image)
        })
    }

    /// Empties a data folder. The node is to be down.
    pub fn clear(&self, folder: impl AsRef<Path>) -> io::Result<()> {
        self.restore(folder, &FolderImage::default())
    }
}

fn duration(profile: &DiskProfile, rng: &mut Rng, op: &Op) -> u64 {
    match op {
        Op::Sync { .. } | Op::SyncDir { .. } if chance(rng, profile.slow_sync_share) => {
            pick(rng, &profile.slow_sync)
        }
        Op::Sync { .. } | Op::SyncDir { .. } => pick(rng, &profile.sync),
        Op::Write { bufs, .. } => {
            let bytes: usize = bufs.iter().map(Bytes::len).sum();
            let seconds = bytes as f64 / profile.bandwidth as f64;
            pick(rng, &profile.op) + nanos(std::time::Duration::from_secs_f64(seconds))
        }
        _ => pick(rng, &profile.op),
    }
}

fn record(timeline: &mut Timeline, node: NodeId, kind: OpKind, op: &Op) {
    let node = node.index() as u64;
    timeline.record("disk", [node, kind as u64, 0], path_of(op).as_os_str().as_encoded_bytes());
    if let Op::Write { offset, bufs, .. } = op {
        for bytes in bufs {
            timeline.record("write", [node, *offset, bytes.len() as u64], bytes);
        }
    }
}

fn path_of(op: &Op) -> &Path {
    match op {
        Op::Create { path, .. } | Op::Remove { path } | Op::SyncDir { path } => path,
        Op::Write { path, .. } | Op::Sync { path } | Op::SetLen { path, .. } | Op::Close { path } => path,
        Op::Rename { from, .. } => from,
    }
}

/// As the real disk does: what failed where, and the kind is kept.
fn named(operation: &str, path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{operation} {}: {error}", path.display()))
}
