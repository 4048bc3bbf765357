//! NOT applied is certain (R14).

use super::History;

/// What was reported as not applied is shown to nobody, ever.
pub(super) fn check(history: &History, key: &str) -> Result<(), String> {
    for call in history.of(key).filter(|call| call.is_not_applied()) {
        let Some(value) = call.written() else { continue };
        let shown = history.of(key).find(|read| read.shown() == Some(Some(value)));
        let last = history.seen(key).find(|seen| seen.value == Some(value));
        if shown.is_some() || last.is_some() {
            return Err(format!(
                "this was reported as not applied, and it was: {call:?}; {shown:?} {last:?}"
            ));
        }
    }
    Ok(())
}
