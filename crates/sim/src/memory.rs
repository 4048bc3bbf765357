//! The memory that simulated processes say they have in use.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use crate::node::{NodeId, current_node};

thread_local! {
    /// What counts for `maxmemory` in every process of the world that runs on this thread.
    static COUNTED: Cell<fn() -> u64> = const { Cell::new(nothing) };
    /// What does not count, by machine: the log's cache and the like, as it was when the cluster was last looked at.
    static UNCOUNTED: RefCell<BTreeMap<NodeId, u64>> = const { RefCell::new(BTreeMap::new()) };
}

fn nothing() -> u64 {
    0
}

/// A world begins in which this is what counts.
pub(crate) fn begin(counted: Option<fn() -> u64>) {
    COUNTED.set(counted.unwrap_or(nothing));
    UNCOUNTED.with_borrow_mut(BTreeMap::clear);
}

/// Notes what does not count on a machine.
pub(crate) fn note_uncounted(machine: NodeId, bytes: u64) {
    UNCOUNTED.with_borrow_mut(|all| all.insert(machine, bytes));
}

/// What the process whose turn it is has in use.
pub(crate) fn in_use() -> u64 {
    let beside = current_node().and_then(|machine| UNCOUNTED.with_borrow(|all| all.get(&machine).copied()));
    COUNTED.get()() + beside.unwrap_or(0)
}
