//! The digests of `DEBUG`: the same as Redis makes of the same data, however it is kept.

use sha1::{Digest as _, Sha1};

use crate::{
    collection::Collection,
    number::{I64_TEXT_BYTES_MAX, format_f64_17g},
    table::Record,
    types::stream::{Stream, StreamId},
    value::Value,
};

const BYTES: usize = 20;

/// A digest being made.
#[derive(Clone, Copy, Default)]
pub(super) struct Digest([u8; BYTES]);

impl Digest {
    /// Of a database's number, with which the digest of its contents begins.
    pub(super) fn database(&mut self, db: usize) {
        self.mix(&u32::try_from(db).unwrap_or(u32::MAX).to_be_bytes());
    }

    /// Takes a key and its value in: the order of the keys does not matter.
    pub(super) fn record(&mut self, record: &Record) {
        let mut digest = Self::default();
        digest.mix(record.key.as_bytes());
        digest.value(record);
        self.toggle(&digest.0);
    }

    /// Takes a value in, and whether it has a deadline.
    pub(super) fn value(&mut self, record: &Record) {
        self.mix(&type_number(&record.value).to_be_bytes());
        match &record.value {
            Value::String(string) => self.mix(string.bytes(&mut [0; I64_TEXT_BYTES_MAX])),
            Value::List(list) => list.iter_from(0).for_each(|element| self.mix(element)),
            Value::Set(set) => set.fields_from(0).for_each(|member| self.toggle(&member)),
            Value::Hash(hash) => {
                let mut fields = hash.fields_from(0);
                while let (Some(field), Some(value)) = (fields.next(), fields.next()) {
                    self.pair(&field, &value);
                }
            }
            Value::SortedSet(set) => {
                set.iter().for_each(|(member, score)| self.pair(member, format_f64_17g(score).as_bytes()));
            }
            Value::Stream(stream) => self.stream(stream),
        }
        if record.expire_at_ms() != 0 {
            self.toggle(b"!!expire!!");
        }
    }

    fn stream(&mut self, stream: &Stream) {
        for entry in stream.entries(StreamId::MIN, StreamId::MAX) {
            self.mix(format!("{}.{}", entry.id.ms, entry.id.seq).as_bytes());
            for (field, value) in entry.pairs() {
                self.mix(&field);
                self.mix(&value);
            }
        }
    }

    /// Two things that belong together, in no order with other such pairs.
    fn pair(&mut self, first: &[u8], second: &[u8]) {
        let mut digest = Self::default();
        digest.mix(first);
        digest.mix(second);
        self.toggle(&digest.0);
    }

    /// Takes something in whose place among others matters.
    fn mix(&mut self, bytes: &[u8]) {
        self.toggle(bytes);
        self.0 = Sha1::digest(self.0).into();
    }

    /// Takes something in whose place does not matter.
    fn toggle(&mut self, bytes: &[u8]) {
        let hash: [u8; BYTES] = Sha1::digest(bytes).into();
        self.0.iter_mut().zip(hash).for_each(|(byte, other)| *byte ^= other);
    }

    /// In hexadecimal.
    pub(super) fn text(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Redis's number of a type.
fn type_number(value: &Value) -> u32 {
    match value {
        Value::String(_) => 0,
        Value::List(_) => 1,
        Value::Set(_) => 2,
        Value::SortedSet(_) => 3,
        Value::Hash(_) => 4,
        Value::Stream(_) => 6,
    }
}
