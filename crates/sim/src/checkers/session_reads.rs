//! A READONLY connection sees its own writes, and never less than it has seen.

use std::collections::BTreeMap;

use super::History;

/// Judges keys whose values are written in growing order by one connection after the other: what a READONLY
/// connection is shown may be old, but never falls behind what it has written or seen.
pub(super) fn check(history: &History, key: &str) -> Result<(), String> {
    let written: Vec<u64> = history.of(key).filter_map(|call| call.written()).collect();
    if history.expires(key) || history.is_counter(key) || !written.is_sorted() {
        return Ok(());
    }
    let mut known: BTreeMap<usize, u64> = BTreeMap::new();
    for call in history.of(key).filter(|call| call.readonly && call.is_acknowledged()) {
        let value = call.written().or(call.shown().flatten()).unwrap_or(0);
        let least = known.insert(call.client, value).unwrap_or(0);
        if value < least {
            return Err(format!("this connection had seen {least} already: {call:?}"));
        }
    }
    Ok(())
}
