//! An expiry that was seen stays seen (R2).

use super::{Act, History};

/// Judges keys that are written once, with a time to live: after a reader was shown that there is nothing, nobody who
/// asks later is shown the value.
pub(super) fn check(history: &History, key: &str) -> Result<(), String> {
    let mut writes = history.of(key).filter(|call| call.act != Act::Get);
    let (Some(write), None) = (writes.next(), writes.next()) else { return Ok(()) };
    if !history.expires(key) || !write.is_acknowledged() {
        return Ok(());
    }
    let reads = || history.of(key).filter(|call| !call.readonly);
    let gone = |call: &&super::Call| call.shown() == Some(None) && Some(call.begin) >= write.end;
    for seen in reads().filter(gone) {
        let back = reads().find(|call| call.shown().flatten().is_some() && Some(call.begin) >= seen.end);
        if let Some(back) = back {
            return Err(format!("it had expired and is back: {seen:?}, then {back:?}"));
        }
    }
    Ok(())
}
