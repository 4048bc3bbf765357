//! Fetching what commands will need, before they are carried out.
//!
//! A value stands behind several reads of memory that each depend on the one before: segment, entry, record, bytes. In a
//! table that does not fit the processor's cache, small commands do little but wait for them. Going through these steps
//! with many keys side by side lets the processor wait for all of them at once (group prefetching; Chen, Ailamaki,
//! Gibbons, Mowry, ICDE 2004). It changes nothing and decides nothing.

use std::hint::black_box;

use smallvec::SmallVec;

use crate::{batch::Element, keyspace::Keyspace};

/// So many commands are looked at together: enough to keep memory busy, few enough to stay in the nearest cache.
pub(crate) const GROUP: usize = 16;

/// The name of a key and the number of its database.
pub type KeyName<'a> = (usize, &'a [u8]);

impl Keyspace {
    /// Brings what these keys hold closer to the processor. Keys that do not exist, or databases, are passed over.
    pub fn warm<'a>(&self, keys: impl Iterator<Item = KeyName<'a>>) {
        // Often it is the same key again and again.
        let mut last = None;
        let known = keys.filter(|key| key.0 < self.databases() && last.replace(*key) != Some(*key));
        let places: SmallVec<[_; GROUP]> =
            known.map(|(db, key)| (&self.databases[db].table, self.hash(key))).collect();
        if places.len() > 1 {
            black_box(crate::table::touch(&places));
        }
    }

    /// The same for the first keys of commands: where there is none, this is in vain.
    pub(crate) fn warm_elements(&self, elements: &[Element<'_>]) {
        self.warm(elements.iter().filter_map(|element| match element {
            Element::Command { db, args, .. } => args.get(first_key(args)).map(|key| (*db, *key)),
            Element::Transaction { .. } => None,
        }));
    }
}

/// Where the first key of a command stands, if it has one: behind the source of a script and the number of its keys, else at once.
fn first_key(args: &[&[u8]]) -> usize {
    let has_prefix = |prefix: &[u8]| {
        args.first()
            .and_then(|name| name.get(..prefix.len()))
            .is_some_and(|name| name.eq_ignore_ascii_case(prefix))
    };
    if has_prefix(b"eval") || has_prefix(b"fcall") { 3 } else { 1 }
}
