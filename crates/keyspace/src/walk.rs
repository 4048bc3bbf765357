//! Going through all contents in slices, as they were when the walk began, while commands change them (R9).
//!
//! The walk goes through each table in the order of hashes. What changes before the walk gets there is kept as it was
//! (a clone shares the bytes); what has changed since is recognised by its version and passed over. Splits of the table
//! do no harm, because the walk's position is a hash.

use std::{collections::VecDeque, sync::Arc};

use crate::{
    database::Database,
    table::{Record, Table},
};

/// A walk under way.
#[derive(Debug)]
pub(crate) struct Walk {
    /// The keyspace's version when the walk began: records with a higher one are not part of it.
    version: u64,
    /// Where the contents of each database, as numbered when the walk began, are now.
    sections: Vec<Section>,
    /// By present number: which section its contents are.
    section_of: Vec<Option<usize>>,
    /// The section and the hash that the walk has come to.
    section: usize,
    next_hash: u64,
    /// Old values of keys that changed before the walk got there.
    kept: VecDeque<Kept>,
    /// What those of them take, about, that nobody else has any more.
    held_bytes: usize,
    /// Old tables that the walk is done with.
    done_with: Vec<Arc<Table>>,
}

/// An old value.
#[derive(Debug)]
struct Kept {
    section: usize,
    record: Record,
    /// See [`Walk::held_bytes`].
    bytes: usize,
}

#[derive(Debug)]
enum Section {
    /// In the database that has this number now.
    Live(usize),
    /// Flushed from the state since.
    Flushed(Arc<Table>),
    Done,
}

impl Walk {
    /// A walk over what is there now.
    pub(crate) fn new(databases: usize, version: u64) -> Self {
        Self {
            version,
            sections: (0..databases).map(Section::Live).collect(),
            section_of: (0..databases).map(Some).collect(),
            section: 0,
            next_hash: 0,
            kept: VecDeque::new(),
            held_bytes: 0,
            done_with: Vec::new(),
        }
    }

    /// Called before a record of database `db` changes, or (`goes`) its value goes.
    pub(crate) fn keep(&mut self, db: usize, hash: u64, record: &Record, goes: bool) {
        let Some(section) = self.section_of[db] else { return };
        let ahead = section > self.section || section == self.section && hash >= self.next_hash;
        if ahead && record.version() <= self.version {
            let bytes = if goes { record.memory_bytes() } else { 0 };
            self.held_bytes += bytes;
            self.kept.push_back(Kept { section, record: record.clone(), bytes });
        }
    }

    /// What has gone from the state takes so many bytes all the same, about, until the walk gets to it.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Called when the contents of database `db` are replaced by nothing.
    pub(crate) fn flushed(&mut self, db: usize, table: &Arc<Table>) {
        if let Some(section) = self.section_of[db].take()
            && section >= self.section
        {
            self.sections[section] = Section::Flushed(Arc::clone(table));
        }
    }

    /// Called when two databases exchange their contents.
    pub(crate) fn swapped(&mut self, a: usize, b: usize) {
        self.section_of.swap(a, b);
        for db in [a, b] {
            if let Some(section) = self.section_of[db]
                && section >= self.section
            {
                self.sections[section] = Section::Live(db);
            }
        }
    }

    /// Called when there are fewer databases, those that are dropped being empty, or more.
    pub(crate) fn resized(&mut self, databases: usize) {
        for section in &mut self.sections {
            if matches!(section, Section::Live(db) if *db >= databases) {
                *section = Section::Flushed(Arc::new(Table::new()));
            }
        }
        self.section_of.resize(databases, None);
    }

    /// Visits records (section, record) until about `steps_max` were looked at or `visit` returns false. True at the end.
    pub(crate) fn advance(
        &mut self,
        databases: &[Database],
        steps_max: usize,
        visit: &mut impl FnMut(usize, &Record) -> bool,
    ) -> bool {
        while let Some(Kept { section, record, bytes }) = self.kept.pop_front() {
            self.held_bytes -= bytes;
            if !visit(section, &record) {
                return false;
            }
        }
        let mut steps = 0;
        while let Some(section) = self.sections.get(self.section) {
            let table = match section {
                Section::Live(db) => &databases[*db].table,
                Section::Flushed(table) => table,
                Section::Done => unreachable!("no section is walked twice"),
            };
            let mut go_on = true;
            let mut last = None;
            for (hash, record) in table.iter_from(self.next_hash) {
                // Stop only between hashes: the position must tell which of the records are behind it.
                if last != Some(hash) && (!go_on || steps >= steps_max) {
                    self.next_hash = hash;
                    return false;
                }
                last = Some(hash);
                steps += 1;
                if record.version() <= self.version {
                    go_on &= visit(self.section, record);
                }
            }
            self.next_hash = 0;
            if let Section::Flushed(table) =
                std::mem::replace(&mut self.sections[self.section], Section::Done)
            {
                self.done_with.push(table);
            }
            self.section += 1;
            if !go_on {
                return false;
            }
        }
        true
    }

    /// Old tables that the walk no longer needs.
    pub(crate) fn take_done_with(&mut self) -> Vec<Arc<Table>> {
        std::mem::take(&mut self.done_with)
    }

    /// Ends the walk; returns the old tables it held.
    pub(crate) fn abort(self) -> impl Iterator<Item = Arc<Table>> {
        let flushed = self.sections.into_iter().filter_map(|section| match section {
            Section::Flushed(table) => Some(table),
            Section::Live(_) | Section::Done => None,
        });
        self.done_with.into_iter().chain(flushed)
    }
}
