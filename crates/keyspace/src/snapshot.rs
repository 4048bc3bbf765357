//! The complete state at one index, written in slices between applies (R9).
//!
//! A snapshot is a sequence of frames: kind (1 byte), length of the body (4 bytes, little-endian), body. Numbers within
//! are variable (LEB128), byte strings have their length in front.
//!
//! | kind | body |
//! |---|---|
//! | [`frame::BEGIN`] | format, semantics, counters, secrets, and for each database when it was last exchanged |
//! | [`frame::SETTING`] | name and value of one replicated setting |
//! | [`frame::ORIGINS`] | (node, start, epoch, sequence) of each origin |
//! | [`frame::TRACES`] | database, first place, versions |
//! | [`frame::WAITERS`] | number of the next one; (number, node, start, epoch, sequence, number in the batch, user, database, kind, keys, arguments) of some |
//! | [`frame::SCRIPT`] | whether it was loaded, source |
//! | [`frame::LIBRARY`] | name, source; of each function its name, whether it has a description, that, flags |
//! | [`frame::USERS`] | number of the next one; (number, name, rules) of some |
//! | [`frame::RECORDS`] | records with their whole values, see `contents` |
//! | [`frame::LARGE`], [`frame::PIECE`], [`frame::LARGE_END`] | a record; some of its value; end of the value |
//! | [`frame::END`] | number of records, XXH3 of all frames before this one |
//!
//! Records come in no particular order. Whoever stores or sends a snapshot adds checksums of their own; the one at the
//! end finds what was lost or changed between.

use std::{collections::VecDeque, sync::Arc};

use xxhash_rust::xxh3::Xxh3;

use crate::{
    acl,
    batch::{SEMANTICS, put_bytes, put_varint},
    contents::{Contents, Sink},
    database::{Database, TRACES, Traces},
    keyspace::{Keyspace, Meta},
    script::Library,
    waiters::Waiter,
    walk::Walk,
};

/// Version of this layout.
pub(crate) const SNAPSHOT_FORMAT: u8 = 3;

/// Places of traces in one frame.
const TRACES_IN_FRAME: usize = 4096;

/// Bytes of commands that wait in one frame, about.
const WAITERS_FRAME_BYTES: usize = 64 << 10;

/// Kinds of frames.
pub(crate) mod frame {
    /// Always first.
    pub(crate) const BEGIN: u8 = 1;
    /// One replicated setting.
    pub(crate) const SETTING: u8 = 2;
    /// The batches applied of each node.
    pub(crate) const ORIGINS: u8 = 3;
    /// When keys came and went.
    pub(crate) const TRACES: u8 = 4;
    /// Whole records.
    pub(crate) const RECORDS: u8 = 5;
    /// A record whose value follows.
    pub(crate) const LARGE: u8 = 6;
    /// Some of that value.
    pub(crate) const PIECE: u8 = 7;
    /// The end of that value.
    pub(crate) const LARGE_END: u8 = 8;
    /// Always last.
    pub(crate) const END: u8 = 9;
    /// Commands that wait.
    pub(crate) const WAITERS: u8 = 10;
    /// The source of a script.
    pub(crate) const SCRIPT: u8 = 11;
    /// A library of functions.
    pub(crate) const LIBRARY: u8 = 12;
    /// Users.
    pub(crate) const USERS: u8 = 13;
    /// The last kind there is.
    pub(crate) const LAST: u8 = USERS;
}

/// A snapshot being written.
pub(crate) struct Snapshot {
    pub(crate) contents: Contents,
    /// Frames made when the snapshot began and not yet written.
    rest: VecDeque<Vec<u8>>,
    /// Of each database, as they were then, with how many frames of them are written.
    traces: VecDeque<(usize, Traces, usize)>,
    /// Those that waited then and are not written yet, and the number of the next one.
    waiters: VecDeque<(u64, Arc<Waiter>)>,
    next_waiter: u64,
    checksum: Xxh3,
    records: u64,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("records", &self.records).finish_non_exhaustive()
    }
}

impl Snapshot {
    /// Of the state as it is now.
    pub(crate) fn new(keyspace: &Keyspace) -> Self {
        let mut rest = VecDeque::new();
        put_rest(keyspace, &keyspace.meta, &mut |frame| rest.push_back(frame.to_vec()));
        let databases = keyspace.databases.iter().enumerate();
        let traces = databases.map(|(db, database)| (db, database.traces.clone(), 0)).collect();
        let contents = Contents::new(Walk::new(keyspace.databases(), keyspace.version()));
        let waiters = waiters(keyspace);
        // Even when nobody waits, the next one's number is a part of the state.
        let next_waiter = keyspace.waiters.next_number();
        if next_waiter > 0 && waiters.is_empty() {
            let mut frame = Vec::new();
            put_waiters(next_waiter, &mut VecDeque::new(), &mut frame);
            rest.push_back(frame);
        }
        Self { contents, rest, traces, waiters, next_waiter, checksum: Xxh3::new(), records: 0 }
    }

    /// Appends about `budget_bytes` more to `out`. True when it is complete.
    pub(crate) fn slice(&mut self, databases: &[Database], out: &mut Vec<u8>, budget_bytes: usize) -> bool {
        let begin = out.len();
        while self.put_rest(out) {
            if out.len() - begin >= budget_bytes {
                self.checksum.update(&out[begin..]);
                return false;
            }
        }
        let left = budget_bytes.saturating_sub(out.len() - begin);
        let mut sink = Frames { out, open: None, records: 0 };
        let done = self.contents.slice(databases, left, &mut sink);
        sink.close();
        self.records += sink.records;
        self.checksum.update(&out[begin..]);
        if done {
            let mut body = Vec::new();
            put_varint(&mut body, self.records);
            body.extend_from_slice(&self.checksum.digest().to_le_bytes());
            put_frame(out, frame::END, &body);
        }
        done
    }

    /// Appends some of what is no record. False if nothing is left of it.
    fn put_rest(&mut self, out: &mut Vec<u8>) -> bool {
        if let Some(frame) = self.rest.pop_front() {
            out.extend_from_slice(&frame);
            return true;
        }
        if !self.waiters.is_empty() {
            put_waiters(self.next_waiter, &mut self.waiters, out);
            return true;
        }
        let Some((db, traces, frames)) = self.traces.front_mut() else { return false };
        if put_traces(*db, traces, *frames, out) {
            *frames += 1;
        } else {
            self.traces.pop_front();
        }
        true
    }
}

impl Keyspace {
    /// Begins a snapshot of the state as it is now. One that is under way is abandoned.
    pub fn snapshot_begin(&mut self) {
        self.snapshot_abort();
        self.walks.snapshot = Some(Box::new(Snapshot::new(self)));
    }

    /// Appends about `budget_bytes` more of the snapshot to `out`. True when it is complete, or if none was begun.
    pub fn snapshot_slice(&mut self, out: &mut Vec<u8>, budget_bytes: usize) -> bool {
        let Some(snapshot) = &mut self.walks.snapshot else { return true };
        let done = snapshot.slice(&self.databases, out, budget_bytes);
        let tables = snapshot.contents.walk.take_done_with();
        self.throw_away_tables(tables);
        if done {
            self.walks.snapshot = None;
        }
        done
    }

    /// Abandons the snapshot under way, if any.
    pub fn snapshot_abort(&mut self) {
        if let Some(snapshot) = self.walks.snapshot.take() {
            self.throw_away_tables(snapshot.contents.walk.abort());
        }
    }

    /// Whether a snapshot is under way.
    #[must_use]
    pub fn snapshot_under_way(&self) -> bool {
        self.walks.snapshot.is_some()
    }
}

/// Gives `emit` a frame for everything in the state that is neither record nor trace.
pub(crate) fn put_rest(keyspace: &Keyspace, meta: &Meta, emit: &mut impl FnMut(&[u8])) {
    let mut body = Vec::new();
    let mut frame = Vec::new();
    let mut put = |kind: u8, body: &mut Vec<u8>| {
        frame.clear();
        put_frame(&mut frame, kind, body);
        emit(&frame);
        body.clear();
    };
    put_begin(&mut body, keyspace, meta);
    put(frame::BEGIN, &mut body);
    for (name, value) in &meta.directory {
        put_bytes(&mut body, name.as_bytes());
        put_bytes(&mut body, value);
        put(frame::SETTING, &mut body);
    }
    for (&node, origin) in &meta.origins {
        for n in [node, origin.start, origin.epoch.into(), origin.seq] {
            put_varint(&mut body, n);
        }
    }
    put(frame::ORIGINS, &mut body);
    acl::put_users(&meta.users, &mut |body| put(frame::USERS, body));
    for (loaded, code) in keyspace.scripts.all_sources() {
        body.push(u8::from(loaded));
        put_bytes(&mut body, code);
        put(frame::SCRIPT, &mut body);
    }
    for (name, library) in &keyspace.scripts.libraries {
        put_library(&mut body, name, library);
        put(frame::LIBRARY, &mut body);
    }
}

/// Appends the frame with this number of a database's traces, if there is anything in it. False behind the last one.
pub(crate) fn put_traces(db: usize, traces: &Traces, number: usize, out: &mut Vec<u8>) -> bool {
    let Some(versions) = traces.versions().chunks(TRACES_IN_FRAME).nth(number) else { return false };
    if versions.iter().any(|&version| version != 0) {
        let mut body = Vec::new();
        put_varint(&mut body, db as u64);
        put_varint(&mut body, (number * TRACES_IN_FRAME) as u64);
        versions.iter().for_each(|&version| put_varint(&mut body, version));
        put_frame(out, frame::TRACES, &body);
    }
    true
}

/// All commands that wait, oldest first.
pub(crate) fn waiters(keyspace: &Keyspace) -> VecDeque<(u64, Arc<Waiter>)> {
    keyspace.waiters.iter().map(|(number, waiter)| (number, Arc::clone(waiter))).collect()
}

/// Appends a frame with the first of these.
pub(crate) fn put_waiters(next: u64, waiters: &mut VecDeque<(u64, Arc<Waiter>)>, out: &mut Vec<u8>) {
    let mut body = Vec::new();
    put_varint(&mut body, next);
    while body.len() < WAITERS_FRAME_BYTES
        && let Some((number, waiter)) = waiters.pop_front()
    {
        put_waiter(&mut body, number, &waiter);
    }
    put_frame(out, frame::WAITERS, &body);
}

fn put_waiter(body: &mut Vec<u8>, number: u64, waiter: &Waiter) {
    let id = waiter.id;
    for n in [number, id.node, id.start, id.epoch.into(), id.seq, id.number, waiter.user, waiter.db as u64] {
        put_varint(body, n);
    }
    body.push(waiter.kind_byte());
    for n in [waiter.keys.start, waiter.keys.end, waiter.args.len()] {
        put_varint(body, n as u64);
    }
    waiter.args.iter().for_each(|arg| put_bytes(body, arg));
}

fn put_library(body: &mut Vec<u8>, name: &str, library: &Library) {
    put_bytes(body, name.as_bytes());
    put_bytes(body, &library.code);
    for (name, function) in &library.functions {
        put_bytes(body, name.as_bytes());
        body.push(u8::from(function.description.is_some()));
        put_bytes(body, function.description.as_deref().unwrap_or_default().as_bytes());
        put_varint(body, function.flags.len() as u64);
        function.flags.iter().for_each(|flag| put_bytes(body, flag.as_bytes()));
    }
}

fn put_begin(body: &mut Vec<u8>, keyspace: &Keyspace, meta: &Meta) {
    body.push(SNAPSHOT_FORMAT);
    body.extend_from_slice(&SEMANTICS.to_le_bytes());
    for n in [meta.version, meta.index, meta.term, meta.time_ms] {
        put_varint(body, n);
    }
    body.extend_from_slice(&meta.digest.to_le_bytes());
    body.extend_from_slice(&meta.hash_key);
    body.extend_from_slice(&meta.cluster_id);
    put_varint(body, keyspace.databases() as u64);
    for database in &keyspace.databases {
        put_varint(body, database.swapped_version);
    }
}

fn put_frame(out: &mut Vec<u8>, kind: u8, body: &[u8]) {
    out.push(kind);
    out.extend_from_slice(&frame_len(body.len()));
    out.extend_from_slice(body);
}

fn frame_len(len: usize) -> [u8; 4] {
    u32::try_from(len).expect("a frame has less than 4 GiB").to_le_bytes()
}

/// Writes records as frames.
struct Frames<'a> {
    out: &'a mut Vec<u8>,
    /// Where the frame of whole records begins that is still open.
    open: Option<usize>,
    records: u64,
}

impl Frames<'_> {
    fn close(&mut self) {
        if let Some(begin) = self.open.take() {
            let len = frame_len(self.out.len() - begin - 5);
            self.out[begin + 1..begin + 5].copy_from_slice(&len);
        }
    }
}

impl Sink for Frames<'_> {
    fn record(&mut self, bytes: &[u8]) {
        if self.open.is_none() {
            self.open = Some(self.out.len());
            put_frame(self.out, frame::RECORDS, &[]);
        }
        self.out.extend_from_slice(bytes);
        self.records += 1;
    }

    fn begin_large(&mut self, head: &[u8]) {
        self.close();
        put_frame(self.out, frame::LARGE, head);
        self.records += 1;
    }

    fn piece(&mut self, bytes: &[u8]) {
        put_frame(self.out, frame::PIECE, bytes);
    }

    fn end_large(&mut self) {
        put_frame(self.out, frame::LARGE_END, &[]);
    }
}

const _: () = assert!(TRACES.is_multiple_of(TRACES_IN_FRAME));
