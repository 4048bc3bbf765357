//! Nobody is shown what nobody wrote.

use std::collections::BTreeSet;

use super::History;

/// Every value that was ever shown was written to that key.
pub(super) fn check(history: &History, key: &str) -> Result<(), String> {
    if history.is_counter(key) {
        return Ok(());
    }
    let written: BTreeSet<u64> = history.of(key).filter_map(|call| call.written()).collect();
    let alien = |value: Option<u64>| value.is_some_and(|value| !written.contains(&value));
    if let Some(call) = history.of(key).find(|call| call.shown().is_some_and(alien)) {
        return Err(format!("nobody wrote this: {call:?}"));
    }
    match history.seen(key).find(|seen| alien(seen.value)) {
        Some(seen) => Err(format!("nobody wrote this: {seen:?}")),
        None => Ok(()),
    }
}
