//! A group of consumers, who share the entries of a stream, and what they have not yet acknowledged.

use std::sync::Arc;

use super::id::StreamId;
use crate::tree::{Range, Tree};

/// The name of a group or a consumer.
pub(crate) type Name = Arc<[u8]>;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    name: Name,
    /// Up to where entries are delivered.
    last_id: StreamId,
    /// How many of all entries ever added that are, if known.
    entries_read: Option<i64>,
    /// By id: what is delivered and not acknowledged.
    pending: Tree<Pending>,
    /// By name.
    consumers: Tree<Arc<Consumer>>,
}

/// One who reads.
#[derive(Clone, Debug)]
pub(crate) struct Consumer {
    name: Name,
    /// When it last tried to get entries.
    pub(crate) seen_ms: u64,
    /// When it last got some.
    pub(crate) active_ms: Option<u64>,
    /// The ids of what it has not acknowledged, ascending.
    pending: Tree<StreamId>,
}

/// An entry that is delivered and not acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    /// Which.
    pub(crate) id: StreamId,
    /// The consumer it is delivered to.
    pub(crate) owner: Name,
    /// When it was delivered last.
    pub(crate) delivered_ms: u64,
    /// How often.
    pub(crate) deliveries: u64,
}

/// The place of what `order` calls equal, or where it belongs.
pub(super) fn search<E: Clone>(
    tree: &Tree<E>,
    order: impl Fn(&E) -> std::cmp::Ordering,
) -> Result<usize, usize> {
    let at = tree.position(|element| order(element).is_lt());
    if tree.get(at).is_some_and(|element| order(element).is_eq()) { Ok(at) } else { Err(at) }
}

/// Puts an id into its place. What is delivered mostly belongs to the end.
fn add_id(ids: &mut Tree<StreamId>, id: StreamId) {
    let is_last = ids.len().checked_sub(1).and_then(|last| ids.get(last)).is_none_or(|last| *last < id);
    let place = if is_last { Err(ids.len()) } else { search(ids, |other| other.cmp(&id)) };
    if let Err(at) = place {
        ids.insert(at, id);
    }
}

impl Group {
    /// A group without consumers.
    pub(crate) fn new(name: &[u8], last_id: StreamId, entries_read: Option<i64>) -> Self {
        Self { name: name.into(), last_id, entries_read, pending: Tree::new(), consumers: Tree::new() }
    }

    /// A group of its parts: consumers ascending by name, and what is pending ascending by id, each with the place of
    /// its consumer. `None` if they are not so.
    pub(crate) fn from_parts(
        name: &[u8],
        last_id: StreamId,
        entries_read: Option<i64>,
        consumers: Vec<Consumer>,
        pending: Vec<(Pending, usize)>,
    ) -> Option<Self> {
        let names_ascend = consumers.windows(2).all(|pair| pair[0].name < pair[1].name);
        let ids_ascend = pending.windows(2).all(|pair| pair[0].0.id < pair[1].0.id);
        if !names_ascend || !ids_ascend {
            return None;
        }
        let mut ids: Vec<Vec<StreamId>> = vec![Vec::new(); consumers.len()];
        for (pending, owner) in &pending {
            ids.get_mut(*owner)?.push(pending.id);
        }
        let consumers = consumers.into_iter().zip(ids);
        let consumers = consumers
            .map(|(consumer, ids)| Arc::new(Consumer { pending: Tree::from_ordered(ids), ..consumer }));
        Some(Self {
            name: name.into(),
            last_id,
            entries_read,
            pending: Tree::from_ordered(pending.into_iter().map(|(pending, _)| pending)),
            consumers: Tree::from_ordered(consumers),
        })
    }

    /// Its name.
    #[must_use]
    pub(crate) fn name(&self) -> &[u8] {
        &self.name
    }

    /// Up to where entries are delivered.
    #[must_use]
    pub(crate) fn last_id(&self) -> StreamId {
        self.last_id
    }

    /// How many of all entries ever added are delivered, if known.
    #[must_use]
    pub(crate) fn entries_read(&self) -> Option<i64> {
        self.entries_read
    }

    /// What follows is delivered from behind `last_id` on.
    pub(crate) fn set_last_id(&mut self, last_id: StreamId, entries_read: Option<i64>) {
        self.last_id = last_id;
        self.entries_read = entries_read;
    }

    /// Number of entries that are not acknowledged.
    #[must_use]
    pub(crate) fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// What is not acknowledged, from an id on.
    pub(crate) fn pending_from(&self, start: StreamId) -> Range<'_, Pending> {
        let begin = self.pending.position(|pending| pending.id < start);
        self.pending.range(begin..self.pending.len())
    }

    /// What is not acknowledged, from a place on.
    pub(super) fn pending_at(&self, place: usize) -> Range<'_, Pending> {
        self.pending.range(place.min(self.pending.len())..self.pending.len())
    }

    /// The last of it.
    pub(crate) fn last_pending(&self) -> Option<&Pending> {
        self.pending.get(self.pending.len().checked_sub(1)?)
    }

    /// That of this id.
    pub(crate) fn pending(&self, id: StreamId) -> Option<&Pending> {
        self.pending.get(self.find_pending(id).ok()?)
    }

    fn find_pending(&self, id: StreamId) -> Result<usize, usize> {
        search(&self.pending, |pending| pending.id.cmp(&id))
    }

    /// Its consumers, by name.
    pub(crate) fn consumers(&self) -> impl ExactSizeIterator<Item = &Consumer> {
        self.consumers.iter().map(|consumer| &**consumer)
    }

    pub(super) fn consumers_at(&self, place: usize) -> impl Iterator<Item = &Consumer> {
        let begin = place.min(self.consumers.len());
        self.consumers.range(begin..self.consumers.len()).map(|consumer| &**consumer)
    }

    /// The consumer of this name.
    pub(crate) fn consumer(&self, name: &[u8]) -> Option<&Consumer> {
        let place = self.find_consumer(name).ok()?;
        self.consumers.get(place).map(|consumer| &**consumer)
    }

    /// The place of a consumer among all.
    pub(super) fn find_consumer(&self, name: &[u8]) -> Result<usize, usize> {
        search(&self.consumers, |consumer| (*consumer.name).cmp(name))
    }

    /// Adds a consumer. False if there is one of this name.
    pub(crate) fn create_consumer(&mut self, name: &[u8], now_ms: u64) -> bool {
        match self.find_consumer(name) {
            Ok(_) => false,
            Err(place) => {
                self.consumers.insert(place, Arc::new(Consumer::new(name, now_ms)));
                true
            }
        }
    }

    /// Notes that a consumer wants entries; it is made if there is none of this name. Whether it was made.
    pub(crate) fn see_consumer(&mut self, name: &[u8], now_ms: u64) -> bool {
        let is_new = self.create_consumer(name, now_ms);
        if !is_new {
            self.modify_consumer(name, |consumer| consumer.seen_ms = now_ms);
        }
        is_new
    }

    fn modify_consumer<R>(&mut self, name: &[u8], change: impl FnOnce(&mut Consumer) -> R) -> Option<R> {
        let place = self.find_consumer(name).ok()?;
        self.consumers.update(place, |consumer| change(Arc::make_mut(consumer)))
    }

    /// Removes a consumer, and tells how many entries it has not acknowledged: nobody has them then.
    pub(crate) fn delete_consumer(&mut self, name: &[u8]) -> Option<usize> {
        let place = self.find_consumer(name).ok()?;
        let consumer = self.consumers.remove(place)?;
        for id in consumer.pending.iter() {
            if let Ok(place) = self.find_pending(*id) {
                self.pending.remove(place);
            }
        }
        Some(consumer.pending.len())
    }

    /// Notes that these entries, ascending, are delivered to a consumer that exists, whoever had them.
    pub(crate) fn deliver(&mut self, consumer: &[u8], ids: &[StreamId], now_ms: u64) {
        let Some(owner) = self.consumer(consumer).map(|consumer| consumer.name.clone()) else { return };
        if ids.is_empty() {
            return;
        }
        for &id in ids {
            let pending = Pending { id, owner: owner.clone(), delivered_ms: now_ms, deliveries: 1 };
            let is_last = self.last_pending().is_none_or(|last| last.id < id);
            match if is_last { Err(self.pending.len()) } else { self.find_pending(id) } {
                Err(place) => self.pending.insert(place, pending),
                Ok(place) => {
                    let old = self.pending.update(place, |old| std::mem::replace(old, pending));
                    if let Some(old) = old.filter(|old| old.owner != owner) {
                        self.modify_consumer(&old.owner, |consumer| consumer.forget(id));
                    }
                }
            }
        }
        self.modify_consumer(consumer, |consumer| {
            consumer.active_ms = Some(now_ms);
            ids.iter().for_each(|&id| add_id(&mut consumer.pending, id));
        });
    }

    /// Notes that entries that a consumer has already are delivered to it once more.
    pub(crate) fn deliver_again(&mut self, ids: &[StreamId], now_ms: u64) {
        for &id in ids {
            self.modify_pending(id, |pending| {
                pending.delivered_ms = now_ms;
                pending.deliveries = pending.deliveries.wrapping_add(1);
            });
        }
    }

    fn modify_pending(&mut self, id: StreamId, change: impl FnOnce(&mut Pending)) {
        if let Ok(place) = self.find_pending(id) {
            self.pending.update(place, change);
        }
    }

    /// Gives an entry to a consumer that exists. If nobody has it yet, it counts as delivered once before.
    pub(crate) fn claim(&mut self, consumer: &[u8], id: StreamId, change: impl FnOnce(&mut Pending)) {
        let Some(owner) = self.consumer(consumer).map(|consumer| consumer.name.clone()) else { return };
        let old_owner = match self.find_pending(id) {
            Ok(place) => self.pending.update(place, |pending| {
                change(pending);
                std::mem::replace(&mut pending.owner, owner.clone())
            }),
            Err(place) => {
                let mut pending = Pending { id, owner: owner.clone(), delivered_ms: 0, deliveries: 1 };
                change(&mut pending);
                self.pending.insert(place, pending);
                None
            }
        };
        if old_owner.as_ref() == Some(&owner) {
            return;
        }
        if let Some(old_owner) = old_owner {
            self.modify_consumer(&old_owner, |consumer| consumer.forget(id));
        }
        self.modify_consumer(&owner, |consumer| add_id(&mut consumer.pending, id));
    }

    /// Notes that a consumer got entries by claiming them.
    pub(crate) fn mark_active(&mut self, consumer: &[u8], now_ms: u64) {
        self.modify_consumer(consumer, |consumer| consumer.active_ms = Some(now_ms));
    }

    /// Takes an entry from the pending ones. False if it is none.
    pub(crate) fn acknowledge(&mut self, id: StreamId) -> bool {
        let Ok(place) = self.find_pending(id) else { return false };
        let pending = self.pending.remove(place).expect("found just now");
        self.modify_consumer(&pending.owner, |consumer| consumer.forget(id));
        true
    }

    /// Bytes allocated, about.
    pub(super) fn memory_bytes(&self) -> usize {
        /// Allocations, and the nodes of the trees.
        const OVERHEAD_BYTES: usize = 200;
        const CONSUMER_BYTES: usize = size_of::<Consumer>() + 150;
        let pending_bytes = self.pending.len() * (size_of::<Pending>() + size_of::<StreamId>());
        let names: usize = self.consumers().map(|consumer| consumer.name.len()).sum();
        size_of::<Self>()
            + OVERHEAD_BYTES
            + self.name.len()
            + pending_bytes
            + names
            + self.consumers.len() * CONSUMER_BYTES
    }

    /// Drops about `max` pending entries; tells how many. Only for a group that is going away.
    pub(super) fn release(&mut self, max: usize) -> usize {
        match self.pending.release(max) {
            0 => self.consumers.release(max),
            gone => gone,
        }
    }
}

impl Consumer {
    /// A consumer that has nothing yet.
    pub(crate) fn new(name: &[u8], seen_ms: u64) -> Self {
        Self { name: name.into(), seen_ms, active_ms: None, pending: Tree::new() }
    }

    /// Its name.
    #[must_use]
    pub(crate) fn name(&self) -> &[u8] {
        &self.name
    }

    /// The name, to be shared.
    pub(crate) fn shared_name(&self) -> Name {
        self.name.clone()
    }

    /// Number of entries that it has not acknowledged.
    #[must_use]
    pub(crate) fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// Their ids, from one on.
    pub(crate) fn pending_from(&self, start: StreamId) -> Range<'_, StreamId> {
        let begin = self.pending.position(|id| *id < start);
        self.pending.range(begin..self.pending.len())
    }

    fn forget(&mut self, id: StreamId) {
        if let Ok(place) = search(&self.pending, |other| other.cmp(&id)) {
            self.pending.remove(place);
        }
    }
}
