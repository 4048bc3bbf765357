//! The log: requests from outside, submissions to the disk, completions back.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use quorate_env::{Completion, Disk, Op, Queue};

use crate::entry::{Entry, IndexTerm, PAYLOAD_BYTES_MAX, ShardId, ShardState};
use crate::group::{Built, Group, Moment, Task, Writer, create_ops};
use crate::options::{Durability, Options};
use crate::plan::{Outcome, Plan, Step, Submitted, purged_error, segment_of_in};
use crate::read::Steps;
use crate::record::{Record, Tag};
use crate::recover::{Recovered, recover};
use crate::report::{OpenError, Recovery, Stats};
use crate::segment::{SEGMENT_HEADER_BYTES, Segment, SegmentId};
use crate::shard::Shard;
use crate::votes::{VOTE_BYTES_MAX, Votes};

/// The replication log of a node, shared by all its shards. Clones share it.
///
/// No method but [`open`](Log::open) and [`read`](Log::read) blocks on the disk, unless the log is to be
/// [prompt](Log::set_prompt). Each `done` is called exactly once, in the order of the calls, without any lock held: on the
/// disk's thread, or at once on the caller's when there is nothing to wait for (a request is refused, changes nothing, or
/// has been carried out).
///
/// Requests that arrive while the disk is busy gather into one group, written and fsynced at once for all
/// shards; its submission is the first thing the disk's completion does. No timer is involved, and no thread.
///
/// After a failed write or fsync nothing is written any more and every request fails (R7).
#[derive(Clone)]
pub struct Log {
    shared: Arc<Shared>,
}

/// A read under way: see [`Log::begin_read`].
pub struct Reading {
    log: Log,
    shard: ShardId,
    from: u64,
    steps: Steps,
}

impl Reading {
    /// Reads on, at most about a megabyte; blocks for that. The entries, once all are there: with the first step if they
    /// are in memory. Errors are those of [`Log::read`].
    pub fn step(&mut self) -> io::Result<Option<Vec<Entry>>> {
        let shared = &self.log.shared;
        self.steps.step(&*shared.disk).map_err(|error| {
            // The segment may have been removed in between.
            match shared.plan().shards.get(&self.shard).and_then(Shard::purged) {
                Some((purged, _)) if self.from <= purged => purged_error(self.shard, self.from, purged),
                _ => error,
            }
        })
    }
}

struct Shared {
    disk: Arc<dyn Disk>,
    plan: Mutex<Plan>,
    /// See [`Log::set_prompt`].
    prompt: AtomicBool,
}

impl Log {
    /// Opens the log in `dir`, which is made if it is not there, and recovers it (R6). The caller has locked the
    /// data folder. Blocks: for the start of a node only.
    ///
    /// A log that is damaged below what was durable opens too, read-only: see [`Recovery::damage`] and
    /// [`Log::discard_damaged`].
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, options: Options) -> Result<(Log, Recovery), OpenError> {
        let at = |source| OpenError::Io { path: dir.to_owned(), source };
        disk.create_dir(dir).map_err(at)?;
        let mut recovered = recover(&*disk, dir, options.durability)?;
        let report = recovered.report.clone();
        // What makes this log suspect is durable before anything hides it; so is the number of this start
        // before anything is written in its name.
        disk.run(recovered.run.replace_ops(dir)).map_err(at)?;
        prepare_votes(&*disk, dir, &mut recovered).map_err(at)?;
        if report.damage.as_ref().is_some_and(|damage| damage.below_durable) {
            return Ok((Log::read_only(disk, dir, options, recovered), report));
        }
        recovered.rewrite_unsynced(&*disk).map_err(at)?;
        let log = Log::begin(disk, dir, options, recovered).map_err(at)?;
        Ok((log, report))
    }

    /// Recovers the log in `dir` as [`Log::open`] does, for looking at it: nothing on the disk is changed, every
    /// request to change it is refused, and the next start finds what this one found. Blocks.
    pub fn look(disk: Arc<dyn Disk>, dir: &Path, options: Options) -> Result<(Log, Recovery), OpenError> {
        let recovered = recover(&*disk, dir, options.durability)?;
        let report = recovered.report.clone();
        let log = Log::read_only(disk, dir, options, recovered);
        log.shared.plan().closed = true;
        Ok((log, report))
    }

    /// Begins the new segment that cuts whatever stands behind the log's end.
    fn begin(disk: Arc<dyn Disk>, dir: &Path, options: Options, recovered: Recovered) -> io::Result<Log> {
        let fresh = recovered.report.fresh;
        let old_tail = recovered.segments.back().map(|old| (old.path.clone(), old.offset(recovered.end)));
        let mut plan = plan_of(dir, options, recovered);
        plan.roll();
        let Some(Step::Group { writer, group, moment }) = plan.next_step() else {
            unreachable!("a group was just planned and nothing is at the disk");
        };
        let (built, submitted) = build(writer, group, Moment { sync: true, ..moment });
        disk.run(built.ops)?;
        plan.finish_group(submitted, Ok(()));
        if let Some((path, len)) = old_tail {
            plan.segments.iter_mut().filter(|s| s.path == path).for_each(|s| s.file_bytes = len);
            disk.run(vec![Op::SetLen { path, len }])?;
        }
        if fresh || plan.run.durability != plan.options.durability {
            plan.run.durability = plan.options.durability;
            plan.run.newest_segment = plan.segments.back().map_or(0, |segment| segment.id.number);
            disk.run(plan.run.replace_ops(dir))?;
        }
        let removals = removal_ops(dir, plan.take_removals());
        disk.run(removals)?;
        plan.removing = false;
        Ok(Log::new(disk, plan))
    }

    fn new(disk: Arc<dyn Disk>, plan: Plan) -> Log {
        Log { shared: Arc::new(Shared { disk, plan: Mutex::new(plan), prompt: AtomicBool::new(false) }) }
    }

    fn read_only(disk: Arc<dyn Disk>, dir: &Path, options: Options, recovered: Recovered) -> Log {
        let damage = recovered.report.damage.clone();
        let mut plan = plan_of(dir, options, recovered);
        plan.damage = damage;
        plan.keeps_strays = true;
        Log::new(disk, plan)
    }

    /// Whether small writes may be carried out on the thread that asks for them, which saves waking others. It may be held up
    /// by the disk now and then: not for a node whose heartbeats or votes others wait for (R20). Off at first.
    pub fn set_prompt(&self, prompt: bool) {
        self.shared.prompt.store(prompt, Ordering::Relaxed);
    }

    /// Whether an append is mostly complete when [`Log::append`] returns, so that nothing is won by appending much at once.
    pub fn is_prompt(&self) -> bool {
        self.shared.prompt.load(Ordering::Relaxed)
            && self.shared.plan().options.durability == Durability::EverySecond
    }

    /// Appends entries behind the shard's last one; they can be read at once. `done` is called when they are
    /// durable, or under [`Durability::EverySecond`] written.
    ///
    /// Entries that do not follow each other, or a payload beyond [`PAYLOAD_BYTES_MAX`], are refused with
    /// `InvalidInput`, and nothing of them is appended.
    pub fn append(&self, shard: ShardId, entries: Vec<Entry>, done: Completion) {
        self.append_summed(shard, entries.into_iter().map(|entry| (entry, None)).collect(), done);
    }

    /// The same for callers that know the CRC-32C of some payloads already: of large ones it takes a while. A wrong one
    /// is found when the entry is read back, as damage.
    pub fn append_summed(&self, shard: ShardId, entries: Vec<(Entry, Option<u32>)>, done: Completion) {
        if entries.iter().any(|(entry, _)| entry.payload.len() > PAYLOAD_BYTES_MAX) {
            let reason = format!("an entry is larger than {PAYLOAD_BYTES_MAX} bytes");
            return done(Err(io::Error::new(io::ErrorKind::InvalidInput, reason)));
        }
        // Checksums of payloads are made here, on the caller's thread and without the lock.
        let records = entries.into_iter().map(|(entry, sum)| {
            let payload_crc = sum.unwrap_or_else(|| crc32c::crc32c(&entry.payload));
            let Entry { index, term, kind, ref payload } = entry;
            let record =
                Record { tag: Tag::Entry, kind, shard, index, term, payload: payload.clone(), payload_crc };
            (entry, record)
        });
        let records = records.collect();
        self.request(|plan| plan.append(shard, records, done));
    }

    /// Removes the entries from `from_index` on. They do not come back, whatever crashes.
    /// A purged index is refused with `InvalidInput`.
    pub fn truncate(&self, shard: ShardId, from_index: u64, done: Completion) {
        self.request(|plan| plan.truncate(shard, from_index, done));
    }

    /// Forgets the entries up to `upto`, which a snapshot covers. If that is behind the last one, the log is
    /// empty and goes on behind `upto`. Segments that hold nothing live any more are removed, oldest first.
    pub fn purge(&self, shard: ShardId, upto: IndexTerm, done: Completion) {
        self.request(|plan| plan.purge(shard, upto, done));
    }

    /// Forgets all entries, also those behind `last`: a snapshot up to `last` was installed. The next entry is
    /// the one behind `last`.
    pub fn reset(&self, shard: ShardId, last: IndexTerm, done: Completion) {
        self.request(|plan| plan.reset(shard, last, done));
    }

    /// Saves a shard's vote, at most [`VOTE_BYTES_MAX`] bytes, in place of the last one. It is fsynced in every
    /// durability mode, in two copies. [`Log::vote`] gives it at once.
    pub fn save_vote(&self, shard: ShardId, vote: Bytes, done: Completion) {
        if vote.len() > VOTE_BYTES_MAX {
            let reason = format!("a vote is larger than {VOTE_BYTES_MAX} bytes");
            return done(Err(io::Error::new(io::ErrorKind::InvalidInput, reason)));
        }
        self.request(|plan| plan.save_vote(shard, vote, done));
    }

    /// The last vote of a shard. If none is there although [`Recovery::vote_lost`], it may have voted.
    pub fn vote(&self, shard: ShardId) -> Option<Bytes> {
        self.shared.plan().votes.get(shard)
    }

    /// What a shard's log reaches from and to, with what is not durable yet.
    pub fn state(&self, shard: ShardId) -> ShardState {
        self.shared.plan().shards.get(&shard).map(Shard::state).unwrap_or_default()
    }

    /// The entries of `range` that are there, in order: at least one if any, and no more than fit `max_bytes`
    /// of payload. From memory, or else from disk, where each is verified; blocks then.
    ///
    /// `NotFound` says that the range begins at a purged entry, `InvalidData` names the file and the byte of
    /// a damaged one.
    pub fn read(&self, shard: ShardId, range: Range<u64>, max_bytes: usize) -> io::Result<Vec<Entry>> {
        let mut reading = self.begin_read(shard, range, max_bytes)?;
        loop {
            if let Some(entries) = reading.step()? {
                return Ok(entries);
            }
        }
    }

    /// The same in steps, for callers that must not be held up by the disk for long.
    pub fn begin_read(&self, shard: ShardId, range: Range<u64>, max_bytes: usize) -> io::Result<Reading> {
        let plan = self.shared.plan().plan_read(shard, range.clone(), max_bytes)?;
        Ok(Reading { log: self.clone(), shard, from: range.start, steps: Steps::new(shard, plan) })
    }

    /// Says that the entries below `index` have been handed to who applies them. Until then they stay in memory, up to
    /// four times [`Options::cache_bytes`]: they will be read at least once more. Without this call all count as handed on.
    pub fn release(&self, shard: ShardId, index: u64) {
        self.shared.plan().release(shard, index);
    }

    /// The term of an entry, also of the last purged one; `None` if it is not there.
    pub fn term_of(&self, shard: ShardId, index: u64) -> Option<u64> {
        self.shared.plan().shards.get(&shard)?.term_of(index)
    }

    /// Makes everything before it durable: the tick of [`Durability::EverySecond`].
    pub fn sync(&self, done: Completion) {
        self.request(|plan| plan.sync(done));
    }

    /// Changes when an append is complete. [`Durability::Always`] is done once everything before it is durable;
    /// [`Durability::EverySecond`] once the next start would know of it (R8).
    pub fn set_durability(&self, durability: Durability, done: Completion) {
        self.request(|plan| plan.task(Task::SetDurability(durability), done));
    }

    /// Says that the replicas of this log have caught up with what a former crash may have cost: the next start
    /// does not report it again.
    pub fn trust(&self, done: Completion) {
        self.request(|plan| plan.task(Task::Trust, done));
    }

    /// Gives up what a damaged log holds behind its intact part, and makes the log writable. The replicas
    /// re-fetch from their peers and neither vote nor acknowledge before; [`Recovery::discarded`] reminds
    /// them at every start, until [`Log::trust`]. Without damage it does nothing.
    pub fn discard_damaged(&self, done: Completion) {
        self.request(|plan| plan.task(Task::Discard, done));
    }

    /// Makes everything durable and marks the end as clean: the next start takes any damage for what it is. All
    /// later requests are refused.
    pub fn close_clean(&self, done: Completion) {
        self.request(|plan| plan.task(Task::Close, done));
    }

    /// Counters and sizes.
    pub fn stats(&self) -> Stats {
        self.shared.plan().stats()
    }

    /// Why the log has stopped, if a write or fsync failed (R7).
    pub fn failed(&self) -> Option<String> {
        self.shared.plan().failed.as_ref().map(|(_, reason)| reason.clone())
    }

    /// Asks under the lock, then does what follows without it.
    fn request(&self, ask: impl FnOnce(&mut Plan)) {
        ask(&mut self.shared.plan());
        self.shared.submit();
        self.shared.deliver();
    }
}

impl Shared {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().expect("nothing panics with the lock of the log")
    }

    /// Hands the disk the next group, unless one is there.
    fn submit(self: &Arc<Self>) {
        loop {
            let Some(step) = self.plan().next_step() else { return };
            let (ops, finish): (Vec<Op>, Finish) = match step {
                Step::Group { writer, group, moment } => {
                    let (built, submitted) = build(writer, group, moment);
                    (built.ops, Box::new(|plan, outcome| plan.finish_group(submitted, outcome)))
                }
                Step::Prepare { writer, id } => {
                    let ops = create_ops(&writer.dir, id, writer.segment_bytes);
                    (ops, Box::new(move |plan, outcome| plan.finish_prepare(writer, id, outcome)))
                }
            };
            if ops.is_empty() {
                finish(&mut self.plan(), Ok(()));
                continue;
            }
            let shared = self.clone();
            let done = move |result: io::Result<()>| {
                finish(&mut shared.plan(), outcome(result));
                shared.submit();
                shared.remove();
                shared.deliver();
            };
            return match self.prompt.load(Ordering::Relaxed) {
                true => self.disk.submit_prompt(Queue::Log, ops, Box::new(done)),
                false => self.disk.submit(Queue::Log, ops, Box::new(done)),
            };
        }
    }

    /// Removes the segments that nobody needs, beside the log's own queue: that may take its time.
    fn remove(self: &Arc<Self>) {
        let paths = self.plan().take_removals();
        if paths.is_empty() {
            return;
        }
        let dir = self.plan().dir.clone();
        let ops = removal_ops(&dir, paths);
        let shared = self.clone();
        let done = move |result: io::Result<()>| {
            {
                let mut plan = shared.plan();
                plan.removing = false;
                outcome(result).unwrap_or_else(|error| plan.fail(error));
            }
            shared.remove();
            shared.deliver();
        };
        self.disk.submit(Queue::Snapshot, ops, Box::new(done));
    }

    /// Calls completions, one thread at a time and in order. Who is called may ask again.
    fn deliver(&self) {
        if std::mem::replace(&mut self.plan().delivering, true) {
            return;
        }
        loop {
            let (completions, outcome) = {
                let mut plan = self.plan();
                match plan.ready.pop_front() {
                    Some(ready) => ready,
                    None => {
                        plan.delivering = false;
                        return;
                    }
                }
            };
            for done in completions {
                done(outcome.clone().map_err(|(kind, reason)| io::Error::new(kind, reason)));
            }
        }
    }
}

/// Notes in the plan what came of a submission.
type Finish = Box<dyn FnOnce(&mut Plan, Outcome) + Send>;

fn outcome(result: io::Result<()>) -> Outcome {
    result.map_err(|error| (error.kind(), error.to_string()))
}

fn build(mut writer: Writer, mut group: Group, mut moment: Moment) -> (Built, Submitted) {
    let mut built = writer.build(&mut group, &mut moment);
    let (bytes, fsyncs) = (std::mem::take(&mut built.bytes), std::mem::take(&mut built.fsyncs));
    let Group { task, completions, .. } = group;
    (built, Submitted { writer, task, run: moment.run, completions, bytes, fsyncs })
}

fn removal_ops(dir: &Path, paths: Vec<PathBuf>) -> Vec<Op> {
    let mut ops: Vec<Op> = paths.into_iter().map(|path| Op::Remove { path }).collect();
    if !ops.is_empty() {
        ops.push(Op::SyncDir { path: dir.to_owned() });
    }
    ops
}

fn prepare_votes(disk: &dyn Disk, dir: &Path, recovered: &mut Recovered) -> io::Result<()> {
    let path = Votes::path(dir);
    if disk.len(&path)?.is_none() {
        let sync = Op::Sync { path: path.clone().into() };
        disk.run(vec![Op::Create { path, len: 0 }, sync, Op::SyncDir { path: dir.to_owned() }])?;
    }
    disk.run(std::mem::take(&mut recovered.vote_repair))
}

/// The plan of a log that has just been recovered.
fn plan_of(dir: &Path, options: Options, recovered: Recovered) -> Plan {
    let mut plan = Plan::new(dir.to_owned(), options, recovered.run, recovered.votes);
    plan.segments = recovered.segments;
    for place in recovered.shards.values().flat_map(Shard::places) {
        let segment = segment_of_in(&plan.segments, place.lsn);
        plan.segments[segment].live += 1;
    }
    plan.shards = recovered.shards;
    plan.strays = recovered.strays;
    plan.next_number = recovered.next_number;
    (plan.end, plan.written, plan.durable) = (recovered.end, recovered.end, recovered.end);
    let nothing = || Segment {
        id: SegmentId { number: 0, run: 0 },
        path: dir.into(),
        start: recovered.end,
        first: recovered.end,
        live: 0,
        dead_at: 0,
        file_bytes: SEGMENT_HEADER_BYTES,
    };
    plan.writer = Some(Writer {
        dir: dir.to_owned(),
        segment_bytes: plan.options.segment_bytes,
        segment: plan.segments.back().cloned().unwrap_or_else(nothing),
        end: recovered.end,
        chain: recovered.chain,
        unsynced: false,
        prepared: None,
    });
    plan
}
