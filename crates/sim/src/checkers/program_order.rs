//! The commands of one connection take effect in the order sent (R1).

use super::{Call, History};

/// Judges keys that one connection alone uses: each GET shows the SET before it, and each reply belongs to its command.
pub(super) fn check(history: &History, key: &str) -> Result<(), String> {
    let mut calls = history.of(key).peekable();
    let Some(client) = calls.peek().map(|call| call.client) else { return Ok(()) };
    if history.expires(key) || history.is_counter(key) || history.of(key).any(|call| call.client != client) {
        return Ok(());
    }
    let mut before: Option<&Call> = None;
    // What follows a write of unknown outcome may show either.
    let mut certain = true;
    for call in calls {
        let is_write = call.written().is_some();
        if is_write && call.is_acknowledged() && call.reply.as_ref().and_then(|r| r.as_str()) != Some("OK") {
            return Err(format!("a SET got the reply of something else: {call:?}"));
        }
        if is_write {
            certain = call.is_acknowledged() || call.is_not_applied() && certain;
            before = if call.is_acknowledged() { Some(call) } else { before };
        } else if let Some(shown) = call.shown()
            && certain
            && shown != before.and_then(Call::written)
        {
            return Err(format!("{call:?} behind {before:?} of the same connection"));
        }
    }
    Ok(())
}
