//! All records in slices, as bytes: what a snapshot consists of and a full digest covers.

use std::collections::VecDeque;

use crate::{
    batch::{put_bytes, put_varint},
    collection::Collection,
    database::Database,
    table::Record,
    types::string::Str,
    value::{Parts, Value},
    walk::Walk,
};

/// A value that takes more bytes than this goes in pieces.
const WHOLE_BYTES_MAX: usize = 16 << 10;

/// A value of more parts than this goes in pieces, so that nobody needs to add up their lengths first.
const WHOLE_FIELDS_MAX: usize = 256;

/// Longest piece of a large value.
const PIECE_BYTES_MAX: usize = 64 << 10;

/// Records looked at before the budget is judged anew.
const STEPS: usize = 256;

/// What looking at a record costs of the budget, even if it turns out to be no part of the walk.
const STEP_BYTES: usize = 16;

/// Takes the bytes of all records.
pub(crate) trait Sink {
    /// A record with its whole value.
    fn record(&mut self, bytes: &[u8]);
    /// A record whose value follows in pieces.
    fn begin_large(&mut self, head: &[u8]);
    /// Some bytes of that value.
    fn piece(&mut self, bytes: &[u8]);
    /// The value is complete.
    fn end_large(&mut self);
}

/// Goes through all contents in slices.
#[derive(Debug)]
pub(crate) struct Contents {
    pub(crate) walk: Walk,
    /// Large values that the walk has come to.
    large: VecDeque<Large>,
    buffer: Vec<u8>,
}

/// A large value, its head, and how far it has gone.
#[derive(Debug)]
struct Large {
    head: Vec<u8>,
    value: Value,
    begun: bool,
    /// The part to go on with.
    index: usize,
    /// Bytes of the string, or of that part with its length in front, that have gone.
    offset: usize,
}

impl Contents {
    pub(crate) fn new(walk: Walk) -> Self {
        Self { walk, large: VecDeque::new(), buffer: Vec::new() }
    }

    /// Gives the sink about `budget_bytes` more. True at the end.
    pub(crate) fn slice(
        &mut self,
        databases: &[Database],
        budget_bytes: usize,
        sink: &mut impl Sink,
    ) -> bool {
        let mut left = budget_bytes.max(1);
        while left > 0 {
            if let Some(large) = self.large.front_mut() {
                let (spent, done) = large.slice(left, &mut self.buffer, sink);
                left = left.saturating_sub(spent);
                if done {
                    self.large.pop_front();
                }
                continue;
            }
            let (large, buffer) = (&mut self.large, &mut self.buffer);
            let done =
                self.walk.advance(databases, STEPS.min(left / STEP_BYTES + 1), &mut |section, record| {
                    left = left.saturating_sub(STEP_BYTES);
                    buffer.clear();
                    put_head(buffer, section, record);
                    if is_whole(&record.value) {
                        put_value(buffer, &record.value);
                        sink.record(buffer);
                        left = left.saturating_sub(buffer.len());
                    } else {
                        large.push_back(Large::new(buffer.clone(), record.value.clone()));
                    }
                    left > 0 && large.is_empty()
                });
            if done && self.large.is_empty() {
                return true;
            }
            left = left.saturating_sub(STEPS);
        }
        false
    }
}

impl Large {
    fn new(head: Vec<u8>, value: Value) -> Self {
        Self { head, value, begun: false, index: 0, offset: 0 }
    }

    /// Gives the sink one piece of at most about `bytes_max`. Returns its length and whether it was the last.
    fn slice(&mut self, bytes_max: usize, buffer: &mut Vec<u8>, sink: &mut impl Sink) -> (usize, bool) {
        if !self.begun {
            self.begun = true;
            sink.begin_large(&self.head);
        }
        let bytes_max = bytes_max.clamp(1 << 10, PIECE_BYTES_MAX);
        let (len, done) = match self.value.parts() {
            Parts::String(string) => {
                let mut scratch = [0; _];
                let rest = &string.bytes(&mut scratch)[self.offset..];
                let piece = &rest[..rest.len().min(bytes_max)];
                sink.piece(piece);
                self.offset += piece.len();
                (piece.len(), piece.len() == rest.len())
            }
            Parts::Collection(collection) => {
                buffer.clear();
                (self.index, self.offset) =
                    put_fields(buffer, collection, self.index, self.offset, bytes_max);
                sink.piece(buffer);
                (buffer.len(), self.index == collection.field_count())
            }
        };
        if done {
            sink.end_large();
        }
        (len, done)
    }
}

/// Appends bytes of a value's parts until `buffer` has `bytes_max`. Takes and returns the part, and the bytes of it (with its
/// length in front), that have gone.
fn put_fields(
    buffer: &mut Vec<u8>,
    collection: &dyn Collection,
    mut index: usize,
    mut offset: usize,
    bytes_max: usize,
) -> (usize, usize) {
    for field in collection.fields_from(index) {
        let mut head = Vec::with_capacity(10);
        put_varint(&mut head, field.len() as u64);
        let whole = [&head[..], &field];
        for (part, begin) in whole.into_iter().zip([0, head.len()]) {
            let skip = offset.saturating_sub(begin).min(part.len());
            let rest = &part[skip..];
            let len = rest.len().min(bytes_max.saturating_sub(buffer.len()));
            buffer.extend_from_slice(&rest[..len]);
            offset += len;
        }
        if offset < head.len() + field.len() {
            return (index, offset);
        }
        (index, offset) = (index + 1, 0);
    }
    (index, offset)
}

/// What stands before a value: database, key, deadline, version, type, layout, and length in bytes or elements.
fn put_head(out: &mut Vec<u8>, db: usize, record: &Record) {
    put_varint(out, db as u64);
    put_bytes(out, record.key.as_bytes());
    put_varint(out, record.expire_at_ms());
    put_varint(out, record.version());
    let (layout, len) = match record.value.parts() {
        Parts::String(string) => (string.layout(), string.len()),
        Parts::Collection(collection) => (collection.layout(), collection.field_count()),
    };
    out.extend([record.value.kind(), layout]);
    put_varint(out, len as u64);
}

fn is_whole(value: &Value) -> bool {
    match value.parts() {
        Parts::String(string) => string.len() <= WHOLE_BYTES_MAX,
        Parts::Collection(collection) => {
            collection.field_count() <= WHOLE_FIELDS_MAX
                && collection.fields_from(0).map(|field| field.len()).sum::<usize>() <= WHOLE_BYTES_MAX
        }
    }
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value.parts() {
        Parts::String(string) => put_string(out, string),
        Parts::Collection(collection) => {
            for field in collection.fields_from(0) {
                put_bytes(out, &field);
            }
        }
    }
}

fn put_string(out: &mut Vec<u8>, string: &Str) {
    out.extend_from_slice(string.bytes(&mut [0; _]));
}
