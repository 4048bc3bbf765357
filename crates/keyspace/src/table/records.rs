//! The records of a segment, in pages of one size.

use super::Record;

/// Records in a page: 2 KiB. All pages of all tables have this size, so an allocator can use each one again; arrays that
/// grow would leave holes of sizes that nobody needs any more, for all segments of a table grow alike.
const PAGE_LEN: usize = 32;

/// A sequence of records.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// All full but the last one, none empty.
    pages: Vec<Vec<Record>>,
}

impl Records {
    pub(super) fn len(&self) -> usize {
        self.pages.last().map_or(0, |last| (self.pages.len() - 1) * PAGE_LEN + last.len())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// How many records the page of `slot` holds.
    pub(super) fn page_len(&self, slot: u16) -> usize {
        self.pages[usize::from(slot) / PAGE_LEN].len()
    }

    pub(super) fn get(&self, slot: u16) -> &Record {
        &self.pages[usize::from(slot) / PAGE_LEN][usize::from(slot) % PAGE_LEN]
    }

    pub(super) fn get_mut(&mut self, slot: u16) -> &mut Record {
        &mut self.pages[usize::from(slot) / PAGE_LEN][usize::from(slot) % PAGE_LEN]
    }

    pub(super) fn push(&mut self, record: Record) {
        match self.pages.last_mut() {
            Some(page) if page.len() < PAGE_LEN => page.push(record),
            _ => {
                let mut page = Vec::with_capacity(PAGE_LEN);
                page.push(record);
                self.pages.push(page);
            }
        }
    }

    pub(super) fn pop(&mut self) -> Option<Record> {
        let page = self.pages.last_mut()?;
        let record = page.pop();
        if page.is_empty() {
            self.pages.pop();
        }
        record
    }

    /// Takes a record out and puts the last one into its place.
    pub(super) fn swap_remove(&mut self, slot: u16) -> Record {
        let last = self.pop().expect("there is a record at the slot");
        if usize::from(slot) == self.len() { last } else { std::mem::replace(self.get_mut(slot), last) }
    }

    /// All records in order.
    pub(super) fn into_iter(self) -> impl Iterator<Item = Record> {
        self.pages.into_iter().flatten()
    }
}
