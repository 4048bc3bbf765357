//! Groups: what one submission to the disk makes durable at once.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use quorate_env::{Completion, Op};
use quorate_planted::{Bug, is_planted};

use crate::entry::ShardId;
use crate::options::Durability;
use crate::record::{GROUP_BYTES, GroupMark, HEADER_BYTES, Record, Tag};
use crate::run_file::{CleanEnd, Run};
use crate::segment::{SEGMENT_HEADER_BYTES, Segment, SegmentId};
use crate::votes::{self, VotePages};

/// A group takes no further records beyond this, so that its completions do not wait for ever more bytes.
pub(crate) const GROUP_BYTES_MAX: u64 = 16 << 20;

/// A payload up to this length is copied behind its header: that costs less than a buffer of its own.
const PAYLOAD_COPIED_BYTES_MAX: usize = 512;

/// What one submission to the disk makes durable at once. Positions are planned when a record joins; checksums,
/// which need what only the submission knows, are made by [`Writer::build`].
#[derive(Default)]
pub(crate) struct Group {
    /// It begins a new segment.
    pub(crate) roll: Option<Roll>,
    /// Where its group record stands, if it has records.
    pub(crate) lsn: u64,
    /// Where the log ends after it.
    pub(crate) end: u64,
    pub(crate) records: Vec<Record>,
    pub(crate) votes: VotePages,
    /// Fsynced in every durability mode.
    pub(crate) sync: bool,
    /// A group with a task is complete: nothing joins it any more.
    pub(crate) task: Option<Task>,
    pub(crate) completions: Vec<Completion>,
}

/// The start of a new segment.
pub(crate) struct Roll {
    pub(crate) segment: Segment,
    pub(crate) start_record: Record,
}

/// What a group does besides writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    SetDurability(Durability),
    /// The suspicion of a former crash is over.
    Trust,
    /// The damaged rest of the log is given up.
    Discard,
    /// The clean end.
    Close,
}

/// The end of the log as it will be when what was submitted is done. Whoever holds it is the one who may submit.
pub(crate) struct Writer {
    pub(crate) dir: PathBuf,
    pub(crate) segment_bytes: u64,
    pub(crate) segment: Segment,
    pub(crate) end: u64,
    /// The last record's checksum.
    pub(crate) chain: u32,
    /// The segment holds records that no fsync covers.
    pub(crate) unsynced: bool,
    /// The next segment, once it is there and durable.
    pub(crate) prepared: Option<u64>,
}

/// What a group needs to know when it is submitted.
pub(crate) struct Moment {
    /// Up to where the log is durable.
    pub(crate) durable: u64,
    /// Whether the group is fsynced.
    pub(crate) sync: bool,
    /// What the file `run` says once the group's task is done.
    pub(crate) run: Option<Run>,
    /// Empties the vote slots without an owner.
    pub(crate) clear_votes: Vec<Op>,
}

/// A group as the disk gets it.
#[derive(Default)]
pub(crate) struct Built {
    pub(crate) ops: Vec<Op>,
    pub(crate) bytes: u64,
    pub(crate) fsyncs: u64,
}

impl Writer {
    /// Turns a group into operations and moves the end of the log behind it.
    pub(crate) fn build(&mut self, group: &mut Group, moment: &mut Moment) -> Built {
        let mut built = Built { ops: votes::save_ops(&self.dir, &group.votes), ..Built::default() };
        // These must be durable before anything that relies on them is written.
        if let Some(Task::Discard | Task::Trust | Task::SetDurability(Durability::EverySecond)) = group.task {
            built.ops.append(&mut moment.clear_votes);
            self.replace_run(moment, &mut built);
        }
        let mut headers = Buffers::with_capacity((group.records.len() + 2) * HEADER_BYTES);
        if let Some(roll) = group.roll.take() {
            self.roll(roll, &mut headers, &mut built);
        }
        let from = self.end - headers.len;
        self.write_records(group, moment.durable, &mut headers);
        if headers.len > 0 {
            built.bytes += headers.len;
            built.ops.push(Op::Write {
                path: self.segment.path.clone(),
                offset: self.segment.offset(from),
                bufs: headers.finish(),
            });
            self.unsynced = true;
        }
        if moment.sync && (group.sync || !is_planted(Bug::SkipFsync)) {
            self.sync(&mut built);
        }
        match group.task {
            Some(Task::SetDurability(Durability::Always)) => self.replace_run(moment, &mut built),
            Some(Task::Close) => self.close(moment, &mut built),
            _ => {}
        }
        built
    }

    fn write_records(&mut self, group: &Group, durable: u64, out: &mut Buffers) {
        if group.records.is_empty() {
            return;
        }
        assert_eq!(self.end, group.lsn, "groups follow each other as planned");
        let number = self.segment.id.number;
        let mark = GroupMark { segment: number, lsn: group.lsn, durable, end: group.end };
        self.seal(&Record::new(Tag::Group, ShardId(0), (0, 0), mark.encode()), out);
        for record in &group.records {
            self.seal(record, out);
        }
        assert_eq!(self.end, group.end, "a group is as long as planned");
    }

    fn seal(&mut self, record: &Record, out: &mut Buffers) {
        self.chain = record.seal(self.segment.id.seed(), self.end, self.chain, &mut out.gathering);
        out.payload(&record.payload);
        self.end += record.size();
    }

    /// The old segment is durable before the new one says so.
    fn roll(&mut self, roll: Roll, out: &mut Buffers, built: &mut Built) {
        self.sync(built);
        built.ops.push(Op::Close { path: self.segment.path.clone() });
        if self.prepared.take() != Some(roll.segment.id.number) {
            built.ops.extend(create_ops(&self.dir, roll.segment.id, self.segment_bytes));
        }
        self.segment = roll.segment;
        self.end = self.segment.start;
        self.seal(&roll.start_record, out);
    }

    fn sync(&mut self, built: &mut Built) {
        if self.unsynced {
            built.ops.push(Op::Sync { path: self.segment.path.clone() });
            built.fsyncs += 1;
            self.unsynced = false;
        }
    }

    fn replace_run(&self, moment: &Moment, built: &mut Built) {
        let run = moment.run.as_ref().expect("a task that changes the run file brings it");
        built.ops.extend(run.replace_ops(&self.dir));
    }

    /// Cuts what was reserved in advance, so that the next start need not look for records there.
    fn close(&mut self, moment: &mut Moment, built: &mut Built) {
        self.sync(built);
        let Some(run) = moment.run.as_mut() else { return };
        let path = self.segment.path.clone();
        let len = self.segment.offset(self.end);
        built.ops.extend([Op::SetLen { path: path.clone(), len }, Op::Sync { path: path.clone() }]);
        built.ops.push(Op::Close { path });
        if let Some(number) = self.prepared.take() {
            built.ops.push(Op::Remove { path: crate::segment::path_of(&self.dir, number) });
        }
        let number = self.segment.id.number;
        run.newest_segment = number;
        run.clean = Some(CleanEnd { segment: number, lsn: self.end, chain: self.chain });
        self.replace_run(moment, built);
    }
}

/// What makes a segment durable with its folder, before its first record.
pub(crate) fn create_ops(dir: &Path, id: SegmentId, segment_bytes: u64) -> Vec<Op> {
    let path: Arc<Path> = id.path(dir).into();
    vec![
        Op::Create { path: path.to_path_buf(), len: segment_bytes.max(SEGMENT_HEADER_BYTES) },
        Op::Write { path: path.clone(), offset: 0, bufs: vec![id.encode_header()] },
        Op::Sync { path },
        Op::SyncDir { path: dir.to_path_buf() },
    ]
}

/// Headers and small payloads gather in one buffer, large payloads go between as they are.
struct Buffers {
    done: Vec<Bytes>,
    gathering: BytesMut,
    len: u64,
}

impl Buffers {
    fn with_capacity(bytes: usize) -> Buffers {
        Buffers { done: Vec::new(), gathering: BytesMut::with_capacity(bytes), len: 0 }
    }

    /// What follows the header that was just put.
    fn payload(&mut self, payload: &Bytes) {
        self.len += (HEADER_BYTES + payload.len()) as u64;
        if payload.len() <= PAYLOAD_COPIED_BYTES_MAX {
            self.gathering.extend_from_slice(payload);
        } else {
            self.done.push(self.gathering.split().freeze());
            self.done.push(payload.clone());
        }
    }

    fn finish(mut self) -> Vec<Bytes> {
        if !self.gathering.is_empty() {
            self.done.push(self.gathering.freeze());
        }
        self.done
    }
}

impl Group {
    pub(crate) fn is_open(&self) -> bool {
        self.task.is_none() && (self.records.is_empty() || self.end - self.lsn < GROUP_BYTES_MAX)
    }

    /// Bytes a record costs that joins or begins this group's records.
    pub(crate) fn overhead(&self) -> u64 {
        if self.records.is_empty() { GROUP_BYTES } else { 0 }
    }
}
