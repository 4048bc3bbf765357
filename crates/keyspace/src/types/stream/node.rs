//! A run of neighbouring entries in one allocation.
//!
//! It is a listpack laid out as Redis does: first how many entries are there and how many are deleted, then the names of
//! the fields of its first entry, and a zero. Then entry by entry: flags, the difference of its id to that of the first,
//! the fields (their number and names only if they are not those of the first entry), the values, and the number of all
//! these elements, to walk backwards.

use std::sync::Arc;

use super::id::StreamId;
use crate::listpack::{self, Appender, Element, Text};

const DELETED: i64 = 1;
const SAME_FIELDS: i64 = 2;

/// Flags and the two halves of the id.
const HEAD_ELEMENTS: i64 = 3;

/// Most bytes of entries that a node may have, whatever is configured.
pub(super) const BYTES_MAX: usize = 1 << 30;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// The id of the first entry, which may be deleted.
    first: StreamId,
    pack: Arc<Vec<u8>>,
}

/// What all entries of a node have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<'a> {
    first: StreamId,
    pack: &'a [u8],
    /// Where the names of the first entry's fields begin, and how many they are.
    fields_at: usize,
    fields: usize,
    /// Where the first entry begins.
    pub(super) begin: usize,
}

/// An entry of a stream.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// When it was added.
    pub id: StreamId,
    pack: &'a [u8],
    /// Where it begins.
    at: usize,
    is_deleted: bool,
    /// Number of pairs.
    fields: usize,
    /// Where the names begin, if they are not in turn with the values.
    names_at: Option<usize>,
    values_at: usize,
}

impl Node {
    /// A node of one entry, whose fields and values stand in turn.
    pub(super) fn new(id: StreamId, pairs: &[&[u8]]) -> Self {
        /// Most texts have a head of one byte and a length behind of one; the numbers take some more.
        const NUMBERS_BYTES: usize = 32;
        let bytes: usize = pairs.iter().map(|text| text.len() + 2).sum();
        let mut pack = listpack::new(bytes + NUMBERS_BYTES);
        let mut appender = Appender::new(&mut pack);
        let fields = pairs.len() / 2;
        appender.int(1);
        appender.int(0);
        appender.int(fields as i64);
        pairs.iter().step_by(2).for_each(|field| appender.text(field));
        appender.int(0);
        for n in [SAME_FIELDS, 0, 0] {
            appender.int(n);
        }
        pairs.iter().skip(1).step_by(2).for_each(|value| appender.text(value));
        appender.int(fields as i64 + HEAD_ELEMENTS);
        appender.finish();
        Self { first: id, pack: Arc::new(pack) }
    }

    /// A node of these bytes, if they are one whose first entry has this id.
    pub(crate) fn from_listpack(first: StreamId, pack: Vec<u8>) -> Option<Self> {
        listpack::validate(&pack)?;
        let node = Self { first, pack: Arc::new(pack) };
        node.is_sound().then_some(node)
    }

    /// The id of its first entry.
    pub(crate) fn first(&self) -> StreamId {
        self.first
    }

    /// Its bytes.
    pub(crate) fn listpack(&self) -> &[u8] {
        &self.pack
    }

    /// Bytes allocated.
    pub(super) fn memory_bytes(&self) -> usize {
        /// The counts of the `Arc`, the vector, and two allocations.
        const OVERHEAD_BYTES: usize = 16 + 24 + 16;
        self.pack.capacity() + OVERHEAD_BYTES
    }

    /// Number of entries that are not deleted.
    pub(super) fn len(&self) -> usize {
        self.number_at(listpack::HEADER_LEN) as usize
    }

    fn deleted(&self) -> usize {
        self.number_at(self.deleted_at()) as usize
    }

    fn deleted_at(&self) -> usize {
        listpack::next(&self.pack, listpack::HEADER_LEN)
    }

    fn number_at(&self, at: usize) -> i64 {
        listpack::get(&self.pack, at).int().expect("a sound node has a number here")
    }

    /// Whether an entry of so many bytes belongs into it. Deleted ones count.
    pub(super) fn has_room(&self, bytes: usize, bytes_max: usize, entries_max: usize) -> bool {
        let bytes_max = if bytes_max == 0 { BYTES_MAX } else { bytes_max.min(BYTES_MAX) };
        self.pack.len() + bytes < bytes_max && (entries_max == 0 || self.len() + self.deleted() < entries_max)
    }

    /// Adds an entry behind the last one.
    pub(super) fn append(&mut self, id: StreamId, pairs: &[&[u8]]) {
        let len = self.len();
        let head = self.head();
        let same = head.has_fields(pairs);
        let fields = (pairs.len() / 2) as i64;
        let pack = Arc::make_mut(&mut self.pack);
        listpack::replace_int(pack, listpack::HEADER_LEN, len as i64 + 1);
        let mut appender = Appender::new(pack);
        appender.int(if same { SAME_FIELDS } else { 0 });
        appender.int(id.ms.wrapping_sub(self.first.ms) as i64);
        appender.int(id.seq.wrapping_sub(self.first.seq) as i64);
        if same {
            pairs.iter().skip(1).step_by(2).for_each(|value| appender.text(value));
            appender.int(fields + HEAD_ELEMENTS);
        } else {
            appender.int(fields);
            pairs.iter().for_each(|text| appender.text(text));
            appender.int(2 * fields + 1 + HEAD_ELEMENTS);
        }
        appender.finish();
    }

    /// Gives spare memory back: nothing will be added. A copy does so with any allocator; shrinking leaves an allocation
    /// where it is as long as half of it is used.
    pub(super) fn seal(&mut self) {
        if let Some(pack) = Arc::get_mut(&mut self.pack)
            && pack.capacity() > pack.len()
        {
            *pack = pack.as_slice().to_vec();
        }
    }

    /// Marks the entries at these places, which ascend, as deleted.
    pub(super) fn delete(&mut self, places: &[usize]) {
        let (len, deleted, deleted_at) = (self.len(), self.deleted(), self.deleted_at());
        let pack = Arc::make_mut(&mut self.pack);
        // From behind: flags that a client has written with more bytes than they need become shorter.
        for &at in places.iter().rev() {
            let flags = listpack::get(pack, at).int().expect("a sound node has flags here");
            listpack::replace_int(pack, at, flags | DELETED);
        }
        listpack::replace_int(pack, deleted_at, (deleted + places.len()) as i64);
        listpack::replace_int(pack, listpack::HEADER_LEN, (len - places.len()) as i64);
    }

    /// What is needed to read its entries.
    pub(super) fn head(&self) -> Head<'_> {
        let pack = &self.pack[..];
        let fields_count_at = listpack::next(pack, self.deleted_at());
        let fields = self.number_at(fields_count_at) as usize;
        let fields_at = listpack::next(pack, fields_count_at);
        let zero_at = skip(pack, fields_at, fields);
        Head { first: self.first, pack, fields_at, fields, begin: listpack::next(pack, zero_at) }
    }

    /// All entries, deleted ones too.
    pub(super) fn all_entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let head = self.head();
        let mut at = head.begin;
        std::iter::from_fn(move || {
            let (entry, next) = head.entry_at(at)?;
            at = next;
            Some(entry)
        })
    }

    /// The id of its last entry, which may be deleted.
    pub(crate) fn last(&self) -> StreamId {
        let entry = self.head().entry_before(listpack::end(&self.pack));
        entry.map_or(self.first, |entry| entry.id)
    }

    /// Whether the elements of the listpack make a node: see [`Self::from_listpack`].
    fn is_sound(&self) -> bool {
        let mut check = Check { pack: &self.pack, at: listpack::HEADER_LEN };
        check.node(self.first).is_some()
    }
}

/// Where the element `count` places behind that at `at` begins.
fn skip(pack: &[u8], mut at: usize, count: usize) -> usize {
    for _ in 0..count {
        at = listpack::next(pack, at);
    }
    at
}

impl<'a> Head<'a> {
    /// Whether the fields are those of the first entry.
    fn has_fields(&self, pairs: &[&[u8]]) -> bool {
        let mut at = self.fields_at;
        self.fields * 2 == pairs.len()
            && pairs.iter().step_by(2).all(|field| {
                let element = listpack::get(self.pack, at);
                at = listpack::next(self.pack, at);
                element.is(field)
            })
    }

    /// The entry that begins at `at`, and where the next one does. `None` at the end.
    pub(super) fn entry_at(&self, at: usize) -> Option<(Entry<'a>, usize)> {
        let pack = self.pack;
        if listpack::is_end(pack, at) {
            return None;
        }
        let number = |at| listpack::get(pack, at).int().expect("a sound node has a number here");
        let flags = number(at);
        let ms_at = listpack::next(pack, at);
        let seq_at = listpack::next(pack, ms_at);
        let mut rest_at = listpack::next(pack, seq_at);
        let ms = self.first.ms.wrapping_add(number(ms_at) as u64);
        let seq = self.first.seq.wrapping_add(number(seq_at) as u64);
        let (fields, names_at, elements) = if flags & SAME_FIELDS != 0 {
            (self.fields, Some(self.fields_at), self.fields)
        } else {
            let fields = number(rest_at) as usize;
            rest_at = listpack::next(pack, rest_at);
            (fields, None, 2 * fields)
        };
        let count_at = skip(pack, rest_at, elements);
        let is_deleted = flags & DELETED != 0;
        let id = StreamId { ms, seq };
        let entry = Entry { id, pack, at, is_deleted, fields, names_at, values_at: rest_at };
        Some((entry, listpack::next(pack, count_at)))
    }

    /// The entry that ends at `at`. `None` at the beginning.
    pub(super) fn entry_before(&self, at: usize) -> Option<Entry<'a>> {
        if at <= self.begin {
            return None;
        }
        let count_at = listpack::previous(self.pack, at);
        let count = listpack::get(self.pack, count_at).int().expect("a sound node has a number here");
        let begin = (0..count).fold(count_at, |at, _| listpack::previous(self.pack, at));
        self.entry_at(begin).map(|(entry, _)| entry)
    }
}

impl<'a> Entry<'a> {
    /// Where it stands in its node.
    pub(super) fn place(&self) -> usize {
        self.at
    }

    /// Whether only its place is left.
    pub(super) fn is_deleted(&self) -> bool {
        self.is_deleted
    }

    /// Number of its fields.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fields
    }

    /// Whether it has none: never.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields == 0
    }

    /// Its fields and values.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (Text<'a>, Text<'a>)> + use<'a> {
        let (pack, mut names_at, mut at) = (self.pack, self.names_at, self.values_at);
        let take = |at: &mut usize| {
            let element = listpack::get(pack, *at);
            *at = listpack::next(pack, *at);
            element.text()
        };
        (0..self.fields).map(move |_| {
            let name = match &mut names_at {
                Some(names_at) => take(names_at),
                None => take(&mut at),
            };
            (name, take(&mut at))
        })
    }
}

/// Goes through a sound listpack that may be no node.
struct Check<'a> {
    pack: &'a [u8],
    at: usize,
}

impl Check<'_> {
    fn element(&mut self) -> Option<Element<'_>> {
        let at = self.at;
        if listpack::is_end(self.pack, at) {
            return None;
        }
        self.at = listpack::next(self.pack, at);
        Some(listpack::get(self.pack, at))
    }

    fn number(&mut self) -> Option<i64> {
        self.element()?.int()
    }

    /// A number of elements, which cannot be more than the bytes.
    fn count(&mut self) -> Option<usize> {
        let count = usize::try_from(self.number()?).ok()?;
        (count <= self.pack.len()).then_some(count)
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        for _ in 0..count {
            self.element()?;
        }
        Some(())
    }

    fn node(&mut self, first: StreamId) -> Option<()> {
        let (len, deleted, fields) = (self.count()?, self.count()?, self.count()?);
        self.skip(fields)?;
        if fields == 0 || self.number()? != 0 {
            return None;
        }
        let (mut last, mut found_deleted) = (None, 0);
        for _ in 0..len + deleted {
            let (id, is_deleted) = self.entry(first, fields)?;
            if last.map_or(id < first, |last| id <= last) {
                return None;
            }
            last = Some(id);
            found_deleted += usize::from(is_deleted);
        }
        let is_whole = last.is_some() && found_deleted == deleted && listpack::is_end(self.pack, self.at);
        is_whole.then_some(())
    }

    fn entry(&mut self, first: StreamId, first_fields: usize) -> Option<(StreamId, bool)> {
        let flags = self.number()?;
        if !(0..=DELETED | SAME_FIELDS).contains(&flags) {
            return None;
        }
        let ms = first.ms.wrapping_add(self.number()? as u64);
        let seq = first.seq.wrapping_add(self.number()? as u64);
        let elements = if flags & SAME_FIELDS != 0 {
            self.skip(first_fields)?;
            first_fields
        } else {
            let fields = self.count().filter(|&fields| fields > 0)?;
            self.skip(2 * fields)?;
            2 * fields + 1
        };
        let is_right = self.number()? == elements as i64 + HEAD_ELEMENTS;
        is_right.then_some((StreamId { ms, seq }, flags & DELETED != 0))
    }
}
