//! Streams and their groups.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Version, kind,
    reader::Reader,
    save::{put_blob, put_length, put_string},
};
use crate::types::stream::{Consumer, Group, Node, Pending, Stream, StreamId};

/// A number of entries that is not known.
const UNKNOWN: u64 = u64::MAX;

/// Appends a stream.
pub(super) fn put(out: &mut Vec<u8>, stream: &Stream, version: Version) {
    out.push(if version >= Version::V11 { kind::STREAM_3 } else { kind::STREAM_2 });
    put_length(out, stream.node_count() as u64);
    for node in stream.nodes() {
        put_blob(out, &node.first().to_bytes());
        put_blob(out, node.listpack());
    }
    put_length(out, stream.len() as u64);
    for id in [stream.last_id(), stream.first_id(), stream.max_deleted_id()] {
        put_id(out, id);
    }
    put_length(out, stream.entries_added());
    put_length(out, stream.group_count() as u64);
    stream.groups().for_each(|group| put_group(out, group, version));
}

fn put_id(out: &mut Vec<u8>, id: StreamId) {
    put_length(out, id.ms);
    put_length(out, id.seq);
}

fn put_group(out: &mut Vec<u8>, group: &Group, version: Version) {
    put_string(out, group.name());
    put_id(out, group.last_id());
    put_length(out, group.entries_read().map_or(UNKNOWN, |read| read as u64));
    put_length(out, group.pending_len() as u64);
    for pending in group.pending_from(StreamId::MIN) {
        out.extend_from_slice(&pending.id.to_bytes());
        out.extend_from_slice(&pending.delivered_ms.to_le_bytes());
        put_length(out, pending.deliveries);
    }
    put_length(out, group.consumers().len() as u64);
    for consumer in group.consumers() {
        put_string(out, consumer.name());
        out.extend_from_slice(&consumer.seen_ms.to_le_bytes());
        if version >= Version::V11 {
            out.extend_from_slice(&consumer.active_ms.unwrap_or(UNKNOWN).to_le_bytes());
        }
        put_length(out, consumer.pending_len() as u64);
        consumer.pending_from(StreamId::MIN).for_each(|id| out.extend_from_slice(&id.to_bytes()));
    }
}

/// Takes a stream of any version.
pub(super) fn take(reader: &mut Reader<'_>, version: u8) -> Option<Stream> {
    let mut nodes = Vec::new();
    for _ in 0..reader.count()? {
        let first = StreamId::from_bytes(reader.string()?.as_ref().try_into().ok()?);
        let node = Node::from_listpack(first, reader.string()?.into_owned())?;
        nodes.push(node);
    }
    let len = reader.length()?;
    let last_id = take_id(reader)?;
    let (mut max_deleted_id, mut entries_added) = (StreamId::MIN, len);
    if version != kind::STREAM {
        // The first id follows from the entries.
        take_id(reader)?;
        max_deleted_id = take_id(reader)?;
        entries_added = reader.length()?;
    }
    let mut stream = Stream::new();
    stream.set_id(last_id, Some(entries_added), Some(max_deleted_id));
    let stream = stream.with_parts(nodes, Vec::new()).filter(|stream| stream.len() as u64 == len)?;
    take_groups(reader, version, stream)
}

fn take_id(reader: &mut Reader<'_>) -> Option<StreamId> {
    Some(StreamId::new(reader.length()?, reader.length()?))
}

fn take_raw_id(reader: &mut Reader<'_>) -> Option<StreamId> {
    reader.array().map(StreamId::from_bytes)
}

fn take_groups(reader: &mut Reader<'_>, version: u8, mut stream: Stream) -> Option<Stream> {
    for _ in 0..reader.count()? {
        let group = take_group(reader, version, &stream)?;
        if !stream.create_group(group) {
            return None;
        }
    }
    Some(stream)
}

/// When and how often an entry was delivered, and to which consumer once that is known.
struct Delivery {
    at_ms: u64,
    times: u64,
    owner: Option<Arc<[u8]>>,
}

fn take_group(reader: &mut Reader<'_>, version: u8, stream: &Stream) -> Option<Group> {
    let name = reader.string()?;
    let last_id = take_id(reader)?;
    let entries_read = match version {
        kind::STREAM => stream.entries_up_to(last_id),
        _ => Some(reader.length()?).filter(|&read| read != UNKNOWN).map(|read| read as i64),
    };
    let mut deliveries = BTreeMap::new();
    for _ in 0..reader.count()? {
        let id = take_raw_id(reader)?;
        let delivery = Delivery { at_ms: reader.u64()?, times: reader.length()?, owner: None };
        if deliveries.insert(id, delivery).is_some() {
            return None;
        }
    }
    let mut consumers: Vec<Consumer> = Vec::new();
    for _ in 0..reader.count()? {
        consumers.push(take_consumer(reader, version, &mut deliveries)?);
    }
    consumers.sort_by(|a, b| a.name().cmp(b.name()));
    let mut pending = Vec::with_capacity(deliveries.len());
    for (id, delivery) in deliveries {
        let owner = delivery.owner?;
        let place = consumers.binary_search_by(|consumer| consumer.name().cmp(&owner)).ok()?;
        pending
            .push((Pending { id, owner, delivered_ms: delivery.at_ms, deliveries: delivery.times }, place));
    }
    Group::from_parts(&name, last_id, entries_read, consumers, pending)
}

/// Takes a consumer and marks as its own what it has.
fn take_consumer(
    reader: &mut Reader<'_>,
    version: u8,
    deliveries: &mut BTreeMap<StreamId, Delivery>,
) -> Option<Consumer> {
    let name = reader.string()?;
    let seen_ms = reader.u64()?;
    let mut consumer = Consumer::new(&name, seen_ms);
    consumer.active_ms = match version {
        kind::STREAM_3 => Some(reader.u64()?).filter(|&ms| ms != UNKNOWN),
        _ => Some(seen_ms),
    };
    for _ in 0..reader.count()? {
        let delivery = deliveries.get_mut(&take_raw_id(reader)?)?;
        if delivery.owner.replace(consumer.shared_name()).is_some() {
            return None;
        }
    }
    Some(consumer)
}
