//! Values as bytes.

use super::{Version, kind, stream};
use crate::{
    collection::{Collection, Fields},
    listpack::{self, Appender},
    number::{I64_TEXT_BYTES_MAX, format_f64, parse_i64},
    types::{hash::Hash, list::List, set::Set, sorted_set::SortedSet, string::Str},
    value::Value,
};

/// A node of a list ends when it has so many bytes: Redis's default. A longer element is a node of its own.
const LIST_NODE_BYTES: usize = 8 << 10;

/// How elements of a list's node lie.
pub(super) const PLAIN: u8 = 1;
pub(super) const PACKED: u8 = 2;

/// Appends what says the type, and the value.
pub(super) fn put_value(out: &mut Vec<u8>, value: &Value, version: Version) {
    match value {
        Value::String(string) => put_str(out, string),
        Value::List(list) => put_list(out, list),
        Value::Set(set) => put_set(out, set, version),
        Value::Hash(hash) => put_hash(out, hash),
        Value::SortedSet(set) => put_sorted_set(out, set),
        Value::Stream(stream) => stream::put(out, stream, version),
    }
}

/// Appends a length.
pub(super) fn put_length(out: &mut Vec<u8>, length: u64) {
    match length {
        0..0x40 => out.push(length as u8),
        0x40..0x4000 => out.extend_from_slice(&[0x40 | (length >> 8) as u8, length as u8]),
        _ => match u32::try_from(length) {
            Ok(length) => {
                out.push(0x80);
                out.extend_from_slice(&length.to_be_bytes());
            }
            Err(_) => {
                out.push(0x81);
                out.extend_from_slice(&length.to_be_bytes());
            }
        },
    }
}

/// Appends bytes as they are.
pub(super) fn put_blob(out: &mut Vec<u8>, bytes: &[u8]) {
    put_length(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a string; a short integer as such.
pub(super) fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    match parse_i64(bytes) {
        Some(number @ -0x80..=0x7f) => out.extend_from_slice(&[0xc0, number as u8]),
        Some(number @ -0x8000..=0x7fff) => {
            out.push(0xc1);
            out.extend_from_slice(&(number as i16).to_le_bytes());
        }
        Some(number @ -0x8000_0000..=0x7fff_ffff) => {
            out.push(0xc2);
            out.extend_from_slice(&(number as i32).to_le_bytes());
        }
        _ => put_blob(out, bytes),
    }
}

fn put_str(out: &mut Vec<u8>, string: &Str) {
    out.push(kind::STRING);
    put_string(out, string.bytes(&mut [0; I64_TEXT_BYTES_MAX]));
}

/// Appends strings as one listpack.
fn put_listpack(out: &mut Vec<u8>, fields: Fields<'_>) {
    let mut pack = listpack::new(0);
    let mut appender = Appender::new(&mut pack);
    fields.for_each(|field| appender.text(&field));
    appender.finish();
    put_blob(out, &pack);
}

/// Appends strings one by one, in front of them how many there are, in units of `step`.
fn put_strings(out: &mut Vec<u8>, collection: &dyn Collection, step: usize) {
    put_length(out, (collection.field_count() / step) as u64);
    collection.fields_from(0).for_each(|field| put_string(out, &field));
}

fn put_list(out: &mut Vec<u8>, list: &List) {
    let mut nodes = ListNodes { count: 0, nodes: Vec::new(), pack: listpack::new(0) };
    for element in Collection::fields_from(list, 0) {
        nodes.push(&element);
    }
    nodes.close();
    out.push(kind::LIST_QUICKLIST_2);
    put_length(out, nodes.count);
    out.extend_from_slice(&nodes.nodes);
}

/// The nodes of a list, written as they fill.
struct ListNodes {
    count: u64,
    nodes: Vec<u8>,
    /// The one that is open.
    pack: Vec<u8>,
}

impl ListNodes {
    fn push(&mut self, element: &[u8]) {
        if self.pack.len() + element.len() > LIST_NODE_BYTES {
            self.close();
        }
        if element.len() > LIST_NODE_BYTES {
            self.put(PLAIN, element);
        } else {
            let mut appender = Appender::new(&mut self.pack);
            appender.text(element);
            appender.finish();
        }
    }

    fn close(&mut self) {
        if self.pack.len() > listpack::HEADER_LEN + 1 {
            let pack = std::mem::replace(&mut self.pack, listpack::new(0));
            self.put(PACKED, &pack);
        }
    }

    fn put(&mut self, container: u8, bytes: &[u8]) {
        put_length(&mut self.nodes, container.into());
        put_blob(&mut self.nodes, bytes);
        self.count += 1;
    }
}

fn put_set(out: &mut Vec<u8>, set: &Set, version: Version) {
    match set.encoding() {
        "intset" => {
            out.push(kind::SET_INTSET);
            put_blob(out, &intset(set));
        }
        "listpack" if version >= Version::V11 => {
            out.push(kind::SET_LISTPACK);
            put_listpack(out, Collection::fields_from(set, 0));
        }
        _ => {
            out.push(kind::SET);
            put_strings(out, set, 1);
        }
    }
}

/// The size of an integer, their number, and the integers in order.
fn intset(set: &Set) -> Vec<u8> {
    let members = Collection::fields_from(set, 0).filter_map(|member| parse_i64(&member));
    let mut ints: Vec<i64> = members.collect();
    ints.sort_unstable();
    let fits = |bytes: usize| ints.iter().all(|int| *int << (64 - 8 * bytes) >> (64 - 8 * bytes) == *int);
    let size = [2, 4].into_iter().find(|&bytes| fits(bytes)).unwrap_or(8);
    let mut out = Vec::with_capacity(8 + size * ints.len());
    out.extend_from_slice(&(size as u32).to_le_bytes());
    out.extend_from_slice(&(ints.len() as u32).to_le_bytes());
    ints.iter().for_each(|int| out.extend_from_slice(&int.to_le_bytes()[..size]));
    out
}

fn put_hash(out: &mut Vec<u8>, hash: &Hash) {
    if hash.encoding() == "listpack" {
        out.push(kind::HASH_LISTPACK);
        put_listpack(out, Collection::fields_from(hash, 0));
    } else {
        out.push(kind::HASH);
        put_strings(out, hash, 2);
    }
}

fn put_sorted_set(out: &mut Vec<u8>, set: &SortedSet) {
    if set.encoding() == "listpack" {
        let mut pack = listpack::new(0);
        let mut appender = Appender::new(&mut pack);
        for (member, score) in set.iter() {
            appender.text(member);
            appender.text(format_f64(score).as_bytes());
        }
        appender.finish();
        out.push(kind::SORTED_SET_LISTPACK);
        put_blob(out, &pack);
        return;
    }
    out.push(kind::SORTED_SET_2);
    put_length(out, set.len() as u64);
    for (member, score) in set.range(0..set.len(), true) {
        put_string(out, member);
        out.extend_from_slice(&score.to_le_bytes());
    }
}
