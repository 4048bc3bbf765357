//! What was acknowledged took effect once; what is unknown, once at most.

use super::{Act, History};
use crate::history::{Count, check_counter};

/// Judges a key that is only incremented and read.
pub(super) fn check(history: &History, key: &str) -> Result<(), String> {
    if !history.is_counter(key) {
        return Ok(());
    }
    let increments = || history.of(key).filter(|call| call.act == Act::Increment);
    let least = increments().filter(|call| call.is_acknowledged()).count() as u64;
    let most =
        least + increments().filter(|call| !call.is_acknowledged() && !call.is_not_applied()).count() as u64;
    for seen in history.seen(key) {
        let value = seen.value.unwrap_or(0);
        if !(least..=most).contains(&value) {
            return Err(format!(
                "{key} is {value} on node {}: {least} increments were acknowledged, {most} may have been applied",
                seen.node
            ));
        }
    }
    let answered = history.of(key).filter(|call| call.is_acknowledged() && !call.readonly);
    let counts = answered.filter_map(|call| {
        Some(Count {
            begin: call.begin,
            end: call.end?,
            increments: call.act == Act::Increment,
            value: call.reply.as_ref().and_then(super::number).unwrap_or(0),
        })
    });
    check_counter(&counts.collect::<Vec<_>>()).map_err(|why| format!("{key}: {why}"))
}
