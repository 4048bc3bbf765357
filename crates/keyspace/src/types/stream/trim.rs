//! Taking entries away from the beginning of a stream.

use super::{Stream, StreamId};

/// What is to be left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TrimTo {
    /// So many entries.
    Len(u64),
    /// Those from this id on.
    MinId(StreamId),
}

/// How a stream is to be trimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trim {
    /// What is to be left.
    pub(crate) to: TrimTo,
    /// Only whole nodes go.
    pub(crate) approximate: bool,
    /// At most so many entries go; 0 is any number.
    pub(crate) limit: u64,
}

/// What comes next.
enum Step {
    Done,
    /// The first node goes with this many entries.
    Node(u64),
    /// Some entries of the first node go.
    Entries,
}

impl Stream {
    /// Takes entries away, and returns how many.
    pub(crate) fn trim(&mut self, trim: &Trim) -> u64 {
        let mut gone = 0;
        loop {
            match self.trim_step(trim, gone) {
                Step::Done => break,
                Step::Node(entries) => {
                    self.remove_node(0);
                    self.len -= entries;
                    gone += entries;
                }
                Step::Entries => {
                    gone += self.trim_first_node(trim.to);
                    break;
                }
            }
        }
        if gone > 0 {
            self.find_first();
        }
        gone
    }

    /// Whether [`Self::trim`] changes anything.
    pub(crate) fn would_trim(&self, trim: &Trim) -> bool {
        match self.trim_step(trim, 0) {
            Step::Done => false,
            Step::Node(_) => true,
            Step::Entries => !self.surplus(trim.to).is_empty(),
        }
    }

    fn trim_step(&self, trim: &Trim, gone: u64) -> Step {
        let Some(node) = self.node(0) else { return Step::Done };
        if matches!(trim.to, TrimTo::Len(len) if self.len <= len) {
            return Step::Done;
        }
        let entries = node.len() as u64;
        if trim.limit > 0 && gone + entries > trim.limit {
            return Step::Done;
        }
        let whole = match trim.to {
            TrimTo::Len(len) => self.len - entries >= len,
            TrimTo::MinId(id) => node.last() < id,
        };
        match (whole, trim.approximate) {
            (true, _) => Step::Node(entries),
            (false, true) => Step::Done,
            (false, false) => Step::Entries,
        }
    }

    /// The places of those entries of the first node that are not to be left.
    fn surplus(&self, to: TrimTo) -> Vec<usize> {
        let Some(node) = self.node(0) else { return Vec::new() };
        let entries = node.all_entries().filter(|entry| !entry.is_deleted());
        match to {
            TrimTo::Len(len) => {
                let surplus = self.len.saturating_sub(len) as usize;
                entries.take(surplus).map(|entry| entry.place()).collect()
            }
            TrimTo::MinId(id) => {
                entries.take_while(|entry| entry.id < id).map(|entry| entry.place()).collect()
            }
        }
    }

    fn trim_first_node(&mut self, to: TrimTo) -> u64 {
        let surplus = self.surplus(to);
        if !surplus.is_empty() {
            self.modify_node(0, |node| node.delete(&surplus));
        }
        self.len -= surplus.len() as u64;
        surplus.len() as u64
    }
}
