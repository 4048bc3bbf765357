//! Who said that it leads (`one-leader`).

use std::collections::BTreeMap;

use crate::{Promise, Violation};

/// The leaders that were seen, by their terms.
#[derive(Debug, Default)]
pub struct Leaders {
    by_term: BTreeMap<u64, u64>,
}

impl Leaders {
    /// A node says that it leads in a term. The error: another one had said so.
    pub fn claim(&mut self, term: u64, node: u64) -> Result<(), Violation> {
        let leader = *self.by_term.entry(term).or_insert(node);
        if leader == node {
            return Ok(());
        }
        Err(Violation::new(
            Promise::OneLeader,
            format!("nodes {leader} and {node} both say that they lead in term {term}"),
        ))
    }

    /// Terms in which somebody led.
    #[must_use]
    pub fn terms(&self) -> usize {
        self.by_term.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_has_one_leader() {
        let mut leaders = Leaders::default();
        for (term, node) in [(1, 1), (2, 3), (1, 1), (4, 1)] {
            leaders.claim(term, node).unwrap();
        }
        assert_eq!(leaders.terms(), 3);
        assert_eq!(leaders.claim(2, 1).unwrap_err().promise, Promise::OneLeader);
    }
}
