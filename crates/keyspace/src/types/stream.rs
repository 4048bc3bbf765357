//! Entries in the order of their times, and who has read them.
//!
//! Entries lie in nodes of some dozens ([`node`]), nodes in a [`Tree`] by the id of their first entry; the last one,
//! which grows, stands beside it. Groups of consumers ([`group`]) keep what is delivered and not acknowledged in trees of
//! their own. So a clone takes constant time, and a change after it copies a node.
//!
//! Where nodes begin and end shows in what approximate trimming leaves. It is part of the state, as a snapshot and the
//! digest have whole nodes ([`parts`]).

pub(crate) mod group;
mod id;
pub(crate) mod node;
mod parts;
mod range;
mod reads;
mod trim;

use std::{cmp::Ordering, sync::Arc};

pub(crate) use self::{
    group::{Consumer, Group, Pending},
    node::Node,
    range::Entries,
    trim::{Trim, TrimTo},
};
pub use self::{
    id::{StreamId, WantedId},
    node::Entry,
};
use crate::{rules::Rules, tree::Tree};

/// Longest entry: all its fields and values together, in bytes.
pub(crate) const ENTRY_BYTES_MAX: usize = node::BYTES_MAX;

/// Up to so many nodes the radix tree that Redis would keep them in is counted; beyond, it is estimated.
const RADIX_KEYS_COUNTED_MAX: usize = 16_384;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    /// All nodes but the last.
    sealed: Tree<Node>,
    /// The last one: none if there are no others either.
    tail: Option<Node>,
    /// Entries that are not deleted.
    len: u64,
    /// The highest id that was ever given to an entry, or set.
    last_id: StreamId,
    /// The id of the first entry; zero without one.
    first_id: StreamId,
    /// The highest id that `XDEL` has removed.
    max_deleted_id: StreamId,
    /// All entries that ever were added.
    entries_added: u64,
    /// By name.
    groups: Option<Tree<Arc<Group>>>,
    /// Changes that do not count for who watches the key.
    aside: Aside,
}

/// The last run of changes that were only to what groups keep: the key's version before and after them.
#[derive(Clone, Copy, Debug, Default)]
struct Aside {
    before: u64,
    after: u64,
}

impl Stream {
    /// A stream without entries.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The highest id that was ever given to an entry, or set.
    #[must_use]
    pub fn last_id(&self) -> StreamId {
        self.last_id
    }

    /// The id of the first entry; zero without one.
    #[must_use]
    pub fn first_id(&self) -> StreamId {
        self.first_id
    }

    /// The highest id that was deleted one by one.
    #[must_use]
    pub fn max_deleted_id(&self) -> StreamId {
        self.max_deleted_id
    }

    /// How many entries were ever added.
    #[must_use]
    pub fn entries_added(&self) -> u64 {
        self.entries_added
    }

    /// Sets what a replica of Redis would be told (`XSETID`).
    pub fn set_id(
        &mut self,
        last_id: StreamId,
        entries_added: Option<u64>,
        max_deleted_id: Option<StreamId>,
    ) {
        self.last_id = last_id;
        self.entries_added = entries_added.unwrap_or(self.entries_added);
        self.max_deleted_id = max_deleted_id.unwrap_or(self.max_deleted_id);
    }

    /// The id that an entry added at `now_ms` gets. `None` if it would not be above all others.
    #[must_use]
    pub fn resolve(&self, wanted: WantedId, now_ms: u64) -> Option<StreamId> {
        let id = match wanted {
            WantedId::Next => self.last_id.following(now_ms)?,
            WantedId::InMs(ms) if ms == self.last_id.ms => {
                StreamId::new(ms, self.last_id.seq.checked_add(1)?)
            }
            WantedId::InMs(ms) => StreamId::new(ms, 0),
            WantedId::Exactly(id) => id,
        };
        (id > self.last_id).then_some(id)
    }

    /// Adds an entry, whose id must be above all others.
    ///
    /// # Panics
    /// If it is not.
    pub(crate) fn append(&mut self, id: StreamId, pairs: &[&[u8]], rules: &Rules) {
        assert!(id > self.last_id, "{id} is not behind {}", self.last_id);
        let bytes: usize = pairs.iter().map(|text| text.len()).sum();
        let (bytes_max, entries_max) = (rules.stream_node_bytes_max, rules.stream_node_entries_max);
        match &mut self.tail {
            Some(tail) if tail.has_room(bytes, bytes_max, entries_max) => tail.append(id, pairs),
            tail => {
                let full = tail.replace(Node::new(id, pairs));
                if let Some(mut full) = full {
                    full.seal();
                    self.sealed.insert(self.sealed.len(), full);
                }
            }
        }
        self.len += 1;
        self.entries_added = self.entries_added.wrapping_add(1);
        self.last_id = id;
        if self.len == 1 {
            self.first_id = id;
        }
    }

    /// Whether there is an entry of this id.
    #[must_use]
    pub fn contains(&self, id: StreamId) -> bool {
        self.entry(id).is_some()
    }

    /// The entry of this id.
    #[must_use]
    pub fn entry(&self, id: StreamId) -> Option<Entry<'_>> {
        self.entries(id, id).next()
    }

    /// The last entry.
    #[must_use]
    pub fn last_entry(&self) -> Option<Entry<'_>> {
        self.entries(StreamId::MIN, StreamId::MAX).next_back()
    }

    /// The entries between two ids, both included, from either end.
    pub(crate) fn entries(&self, start: StreamId, end: StreamId) -> Entries<'_> {
        Entries::new(self, start, end)
    }

    /// Removes these entries, and returns how many there were.
    pub fn delete(&mut self, ids: &[StreamId]) -> usize {
        let mut deleted = 0;
        let mut first_is_gone = false;
        for &id in ids {
            if self.delete_one(id) {
                deleted += 1;
                first_is_gone |= id == self.first_id;
                self.max_deleted_id = self.max_deleted_id.max(id);
            }
        }
        if first_is_gone || self.len == 0 {
            self.find_first();
        }
        deleted
    }

    fn delete_one(&mut self, id: StreamId) -> bool {
        let Some((i, place)) = self.find(id) else { return false };
        self.modify_node(i, |node| node.delete(&[place]));
        self.len -= 1;
        if self.node(i).is_some_and(|node| node.len() == 0) {
            self.remove_node(i);
        }
        true
    }

    /// The node that holds an entry, and its place in it.
    fn find(&self, id: StreamId) -> Option<(usize, usize)> {
        let i = self.node_for(id)?;
        let entry = self.node(i)?.all_entries().find(|entry| entry.id >= id)?;
        (entry.id == id && !entry.is_deleted()).then_some((i, entry.place()))
    }

    /// Looks anew for the first entry.
    fn find_first(&mut self) {
        let first = self.entries(StreamId::MIN, StreamId::MAX).next();
        self.first_id = first.map_or(StreamId::MIN, |entry| entry.id);
    }

    /// Number of nodes.
    #[must_use]
    pub fn node_count(&self) -> usize {
        self.sealed.len() + usize::from(self.tail.is_some())
    }

    /// A node.
    pub(crate) fn node(&self, i: usize) -> Option<&Node> {
        if i == self.sealed.len() { self.tail.as_ref() } else { self.sealed.get(i) }
    }

    /// All nodes.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes_from(0)
    }

    fn nodes_from(&self, start: usize) -> impl Iterator<Item = &Node> {
        let len = self.sealed.len();
        self.sealed.range(start.min(len)..len).chain(self.tail.iter().skip(start.saturating_sub(len)))
    }

    /// The last node whose first entry is not behind `id`: the only one that may hold it.
    fn node_for(&self, id: StreamId) -> Option<usize> {
        match &self.tail {
            Some(tail) if tail.first() <= id => Some(self.sealed.len()),
            _ => self.sealed.position(|node| node.first() <= id).checked_sub(1),
        }
    }

    fn modify_node(&mut self, i: usize, change: impl FnOnce(&mut Node)) {
        if i == self.sealed.len() {
            change(self.tail.as_mut().expect("the last of some nodes"));
        } else if let Some(mut node) = self.sealed.remove(i) {
            // Taken out, as the tree may hold a second reference to a node that is the first of several, which would
            // have to be copied to be changed.
            change(&mut node);
            self.sealed.insert(i, node);
        }
    }

    fn remove_node(&mut self, i: usize) {
        if i < self.sealed.len() {
            self.sealed.remove(i);
        } else {
            self.tail = self.sealed.len().checked_sub(1).and_then(|last| self.sealed.remove(last));
        }
    }

    /// Notes that only groups have changed, which has brought the key from one version to another.
    pub(crate) fn set_aside(&mut self, before: u64, after: u64) {
        self.aside = Aside { before: self.watched_version(before), after };
    }

    /// Notes that more than groups has changed.
    pub(crate) fn forget_aside(&mut self) {
        self.aside = Aside::default();
    }

    /// The version of the last change of more than groups, if that of the last change is `version`.
    #[must_use]
    pub(crate) fn watched_version(&self, version: u64) -> u64 {
        if version == self.aside.after { self.aside.before } else { version }
    }

    /// Number of groups.
    #[must_use]
    pub fn group_count(&self) -> usize {
        self.groups.as_ref().map_or(0, Tree::len)
    }

    /// Its groups, by name.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter().flat_map(|groups| groups.iter().map(|group| &**group))
    }

    /// The group of this name.
    pub(crate) fn group(&self, name: &[u8]) -> Option<&Group> {
        let groups = self.groups.as_ref()?;
        groups.get(find_group(groups, name).ok()?).map(|group| &**group)
    }

    /// Changes the group of this name. `None` if there is none.
    pub(crate) fn modify_group<R>(&mut self, name: &[u8], change: impl FnOnce(&mut Group) -> R) -> Option<R> {
        let groups = self.groups.as_mut()?;
        let place = find_group(groups, name).ok()?;
        groups.update(place, |group| change(Arc::make_mut(group)))
    }

    /// Adds a group. False if there is one of this name.
    pub(crate) fn create_group(&mut self, group: Group) -> bool {
        let groups = self.groups.get_or_insert_default();
        match find_group(groups, group.name()) {
            Ok(_) => false,
            Err(place) => {
                groups.insert(place, Arc::new(group));
                true
            }
        }
    }

    /// Removes a group. False if there is none of this name.
    pub(crate) fn destroy_group(&mut self, name: &[u8]) -> bool {
        let Some(groups) = &mut self.groups else { return false };
        let Ok(place) = find_group(groups, name) else { return false };
        groups.remove(place);
        if groups.is_empty() {
            self.groups = None;
        }
        true
    }

    /// How many nodes the radix tree would have in which Redis keeps the nodes, for `XINFO`.
    #[must_use]
    pub fn radix_nodes(&self) -> usize {
        let keys: Vec<[u8; 16]> =
            self.nodes().take(RADIX_KEYS_COUNTED_MAX).map(|node| node.first().to_bytes()).collect();
        let counted = radix_nodes(&keys, 0);
        if keys.is_empty() { counted } else { counted * self.node_count() / keys.len() }
    }

    /// Bytes allocated, about.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        /// Nodes of one stream are about equally large.
        const MEASURED_MAX: usize = 64;
        let measured: usize = self.sealed.iter().take(MEASURED_MAX).map(Node::memory_bytes).sum();
        let sealed = match self.sealed.len() {
            len @ ..=MEASURED_MAX => measured + len * size_of::<Node>(),
            len => (measured / MEASURED_MAX + size_of::<Node>()) * len,
        };
        let tail = self.tail.as_ref().map_or(0, Node::memory_bytes);
        let groups: usize = self.groups().map(Group::memory_bytes).sum();
        size_of::<Self>() + 16 + size_of::<Vec<Node>>() + sealed + tail + groups
    }
}

fn find_group(groups: &Tree<Arc<Group>>, name: &[u8]) -> Result<usize, usize> {
    group::search(groups, |group| -> Ordering { group.name().cmp(name) })
}

/// Nodes of a radix tree of these keys, ascending and different, below their first `depth` bytes: one for each place
/// where keys part, one for each run of bytes between such places, and one for each end.
fn radix_nodes(keys: &[[u8; 16]], depth: usize) -> usize {
    let [first, .., last] = keys else {
        return match keys {
            [] => 1,
            _ => 1 + usize::from(depth < 16),
        };
    };
    let parts_at = (depth..16).find(|&i| first[i] != last[i]).expect("the keys differ");
    let below =
        keys.chunk_by(|a, b| a[parts_at] == b[parts_at]).map(|chunk| radix_nodes(chunk, parts_at + 1));
    usize::from(parts_at > depth) + 1 + below.sum::<usize>()
}

#[cfg(test)]
mod tests;
