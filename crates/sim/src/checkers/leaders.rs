//! A term has one leader: there is never a second history that could be acknowledged.

use std::collections::BTreeMap;

/// Who has led, by term.
#[derive(Debug, Default)]
pub struct Leaders {
    shown: BTreeMap<u64, usize>,
}

impl Leaders {
    /// Notes that a node leads in a term.
    pub fn look(&mut self, node: usize, term: u64) -> Result<(), String> {
        let by = *self.shown.entry(term).or_insert(node);
        if by == node { Ok(()) } else { Err(format!("nodes {by} and {node} both led term {term}")) }
    }
}
