//! No acknowledged write is lost.

use super::History;

/// A key that was written with an answer must be there on every node, unless it expires.
pub(super) fn check(history: &History, key: &str) -> Result<(), String> {
    if history.expires(key) || history.is_counter(key) {
        return Ok(());
    }
    let Some(acknowledged) = history.of(key).find(|call| call.written().is_some() && call.is_acknowledged())
    else {
        return Ok(());
    };
    match history.seen(key).find(|seen| seen.value.is_none()) {
        Some(seen) => Err(format!(
            "{key} is gone from node {}, though this was acknowledged: {acknowledged:?}",
            seen.node
        )),
        None => Ok(()),
    }
}
