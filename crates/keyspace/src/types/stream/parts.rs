//! A stream as a snapshot and the digest see it: one byte string for what is said of the whole, one for each node, and for
//! each group one for itself, one for each consumer, one for each entry that is not acknowledged.

use std::{borrow::Cow, sync::Arc};

use super::{Aside, Consumer, Group, Node, Pending, Stream, StreamId};
use crate::{
    batch::{put_bytes, put_varint, take_array, take_varint},
    collection::{Builder, Collection, Fields},
    rules::Rules,
    tree::Tree,
    value::Value,
};

impl Stream {
    /// What makes one of the byte strings that [`Collection`] gives.
    pub(crate) fn builder(_: &Rules) -> Box<dyn Builder> {
        Box::new(Parts::default())
    }

    fn put_head(&self) -> Vec<u8> {
        let mut head = Vec::with_capacity(48);
        put_id(&mut head, self.last_id);
        put_id(&mut head, self.max_deleted_id);
        let aside = [self.aside.before, self.aside.after];
        let counts = [self.entries_added, self.node_count() as u64, self.group_count() as u64];
        aside.into_iter().chain(counts).for_each(|n| put_varint(&mut head, n));
        head
    }

    /// What groups consist of, from a byte string on.
    fn group_fields(&self, mut start: usize) -> impl Iterator<Item = Cow<'_, [u8]>> {
        self.groups().flat_map(move |group| {
            let here = start;
            let len = group.field_count();
            start = start.saturating_sub(len);
            (here < len).then(|| group.fields_from(here)).into_iter().flatten()
        })
    }
}

impl Group {
    fn field_count(&self) -> usize {
        1 + self.consumers().len() + self.pending_len()
    }

    fn fields_from(&self, start: usize) -> impl Iterator<Item = Cow<'_, [u8]>> {
        let consumers = self.consumers().len();
        let head = (start == 0).then(|| Cow::Owned(self.put_head()));
        let first_consumer = start.saturating_sub(1);
        let first_pending = first_consumer.saturating_sub(consumers);
        let names = self.consumers_at(first_consumer).map(|consumer| Cow::Owned(consumer.put()));
        let pending = self.pending_at(first_pending).map(|pending| Cow::Owned(self.put_pending(pending)));
        head.into_iter().chain(names).chain(pending)
    }

    fn put_head(&self) -> Vec<u8> {
        let mut head = Vec::with_capacity(self.name().len() + 40);
        put_bytes(&mut head, self.name());
        put_id(&mut head, self.last_id());
        put_optional(&mut head, self.entries_read().map(|read| read as u64));
        put_varint(&mut head, self.consumers().len() as u64);
        put_varint(&mut head, self.pending_len() as u64);
        head
    }

    fn put_pending(&self, pending: &Pending) -> Vec<u8> {
        let owner = self.find_consumer(&pending.owner).expect("its owner is a consumer of the group");
        let mut bytes = Vec::with_capacity(32);
        put_id(&mut bytes, pending.id);
        for n in [owner as u64, pending.delivered_ms, pending.deliveries] {
            put_varint(&mut bytes, n);
        }
        bytes
    }
}

impl Consumer {
    fn put(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.name().len() + 16);
        put_bytes(&mut bytes, self.name());
        put_varint(&mut bytes, self.seen_ms);
        put_optional(&mut bytes, self.active_ms);
        bytes
    }
}

fn put_id(out: &mut Vec<u8>, id: StreamId) {
    out.extend_from_slice(&id.to_bytes());
}

fn put_optional(out: &mut Vec<u8>, n: Option<u64>) {
    out.push(u8::from(n.is_some()));
    put_varint(out, n.unwrap_or(0));
}

fn take_id(bytes: &mut &[u8]) -> Option<StreamId> {
    take_array(bytes).ok().map(StreamId::from_bytes)
}

fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    take_varint(bytes).ok()
}

fn take_optional(bytes: &mut &[u8]) -> Option<Option<u64>> {
    let [is_some] = take_array(bytes).ok()?;
    let n = take_number(bytes)?;
    match is_some {
        0 if n == 0 => Some(None),
        1 => Some(Some(n)),
        _ => None,
    }
}

fn take_name<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(take_number(bytes)?).ok()?;
    let (name, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(name)
}

impl Collection for Stream {
    fn layout(&self) -> u8 {
        0
    }

    fn field_count(&self) -> usize {
        1 + self.node_count() + self.groups().map(Group::field_count).sum::<usize>()
    }

    fn fields_from(&self, start: usize) -> Fields<'_> {
        let head = (start == 0).then(|| Cow::Owned(self.put_head()));
        let first_node = start.saturating_sub(1);
        let nodes = self.nodes_from(first_node).map(|node| Cow::Owned(put_node(node)));
        let groups = self.group_fields(first_node.saturating_sub(self.node_count()));
        Box::new(head.into_iter().chain(nodes).chain(groups))
    }

    fn pieces(&self) -> usize {
        1 + self.node_count() + self.groups().map(Group::field_count).sum::<usize>()
    }

    fn release(&mut self, max: usize) -> usize {
        let gone = self.sealed.release(max);
        if gone > 0 {
            return gone;
        }
        let Some(groups) = &mut self.groups else { return usize::from(self.tail.take().is_some()) };
        let Some(last) = groups.len().checked_sub(1) else {
            self.groups = None;
            return 1;
        };
        let gone = groups.update(last, |group| Arc::get_mut(group).map_or(0, |group| group.release(max)));
        if let Some(0) = gone {
            groups.remove(last);
            return 1;
        }
        gone.unwrap_or(0)
    }
}

fn put_node(node: &Node) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16 + node.listpack().len());
    put_id(&mut bytes, node.first());
    bytes.extend_from_slice(node.listpack());
    bytes
}

/// A stream of which not everything has arrived.
#[derive(Default)]
pub(crate) struct Parts {
    stream: Stream,
    has_head: bool,
    nodes_left: u64,
    nodes: Vec<Node>,
    groups_left: u64,
    groups: Vec<Arc<Group>>,
    group: Option<GroupParts>,
}

/// A group of which not everything has arrived.
struct GroupParts {
    name: Vec<u8>,
    last_id: StreamId,
    entries_read: Option<i64>,
    consumers_left: u64,
    consumers: Vec<Consumer>,
    pending_left: u64,
    pending: Vec<(Pending, usize)>,
}

impl Parts {
    fn take(&mut self, mut field: &[u8]) -> Option<()> {
        if !self.has_head {
            self.take_head(&mut field)?;
        } else if self.nodes_left > 0 {
            let first = take_id(&mut field)?;
            let node = Node::from_listpack(first, field.to_vec())?;
            field = &[];
            self.nodes_left -= 1;
            self.nodes.push(node);
        } else {
            match &mut self.group {
                None => self.group = Some(self.take_group(&mut field)?),
                Some(group) => group.take(&mut field)?,
            }
            self.close_group()?;
        }
        field.is_empty().then_some(())
    }

    fn take_head(&mut self, field: &mut &[u8]) -> Option<()> {
        self.has_head = true;
        self.stream.last_id = take_id(field)?;
        self.stream.max_deleted_id = take_id(field)?;
        self.stream.aside = Aside { before: take_number(field)?, after: take_number(field)? };
        self.stream.entries_added = take_number(field)?;
        self.nodes_left = take_number(field)?;
        self.groups_left = take_number(field)?;
        Some(())
    }

    fn take_group(&mut self, field: &mut &[u8]) -> Option<GroupParts> {
        self.groups_left = self.groups_left.checked_sub(1)?;
        Some(GroupParts {
            name: take_name(field)?.to_vec(),
            last_id: take_id(field)?,
            entries_read: take_optional(field)?.map(|read| read as i64),
            consumers_left: take_number(field)?,
            consumers: Vec::new(),
            pending_left: take_number(field)?,
            pending: Vec::new(),
        })
    }

    /// Makes a group of its parts if all have arrived. `None` if they do not make one.
    fn close_group(&mut self) -> Option<()> {
        let is_whole = |group: &GroupParts| group.consumers_left == 0 && group.pending_left == 0;
        if self.group.as_ref().is_some_and(is_whole) {
            let parts = self.group.take()?;
            let GroupParts { name, last_id, entries_read, consumers, pending, .. } = parts;
            let group = Group::from_parts(&name, last_id, entries_read, consumers, pending)?;
            if self.groups.last().is_some_and(|last| last.name() >= group.name()) {
                return None;
            }
            self.groups.push(Arc::new(group));
        }
        Some(())
    }
}

impl GroupParts {
    fn take(&mut self, field: &mut &[u8]) -> Option<()> {
        if self.consumers_left > 0 {
            self.consumers_left -= 1;
            let mut consumer = Consumer::new(take_name(field)?, take_number(field)?);
            consumer.active_ms = take_optional(field)?;
            self.consumers.push(consumer);
            return Some(());
        }
        self.pending_left = self.pending_left.checked_sub(1)?;
        let id = take_id(field)?;
        let place = usize::try_from(take_number(field)?).ok()?;
        let owner = self.consumers.get(place)?.shared_name();
        let (delivered_ms, deliveries) = (take_number(field)?, take_number(field)?);
        self.pending.push((Pending { id, owner, delivered_ms, deliveries }, place));
        Some(())
    }
}

impl Builder for Parts {
    fn push(&mut self, field: &[u8]) -> bool {
        self.take(field).is_some()
    }

    fn finish(self: Box<Self>, layout: u8) -> Option<Value> {
        let is_whole = self.has_head && self.nodes_left == 0 && self.groups_left == 0 && self.group.is_none();
        if layout != 0 || !is_whole {
            return None;
        }
        self.stream.with_parts(self.nodes, self.groups).map(Value::from)
    }
}

impl Stream {
    /// The same with these nodes and groups (by name, all different). `None` if the nodes do not ascend up to its last id.
    pub(crate) fn with_parts(mut self, mut nodes: Vec<Node>, groups: Vec<Arc<Group>>) -> Option<Self> {
        let ascend = nodes.windows(2).all(|pair| pair[0].last() < pair[1].first());
        let last = nodes.last().map_or(StreamId::MIN, Node::last);
        if !ascend || last > self.last_id {
            return None;
        }
        self.len = nodes.iter().map(|node| node.len() as u64).sum();
        self.tail = nodes.pop();
        self.sealed = Tree::from_ordered(nodes);
        self.groups = (!groups.is_empty()).then(|| Tree::from_ordered(groups));
        self.find_first();
        Some(self)
    }
}
