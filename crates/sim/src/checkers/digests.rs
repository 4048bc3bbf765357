//! Nodes that have applied equally much have the same digest (R10), which covers every entry, effect and reply: equal
//! digests are equal logs, too.

use std::collections::BTreeMap;

/// The digests that nodes have shown, by index, with the node that was first.
#[derive(Debug, Default)]
pub struct Digests {
    shown: BTreeMap<u64, (u64, usize)>,
}

impl Digests {
    /// Notes what a node shows, and compares it with what others have shown.
    pub fn look(&mut self, node: usize, index: u64, digest: u64) -> Result<(), String> {
        let (first, by) = *self.shown.entry(index).or_insert((digest, node));
        if first == digest {
            return Ok(());
        }
        Err(format!(
            "digests differ at index {index}: node {by} had {first:016x}, node {node} has {digest:016x} (R10)"
        ))
    }

    /// Entries behind `index` were lost with the machines that had them, as `everysec` allows: others may take their
    /// places now.
    pub fn forget_behind(&mut self, index: u64) {
        self.shown.split_off(&(index + 1));
    }
}
