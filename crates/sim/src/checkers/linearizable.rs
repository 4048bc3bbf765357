//! One order of all reads and writes of a key explains every answer.

use super::{Act, Call, History};
use crate::history::{Action, Op, check_register};

/// Judges a key that is written and read. READONLY connections are [`super::session_reads`]'s; a key that expires is
/// [`super::expiry`]'s; a counter is [`super::exactly_once`]'s.
pub(super) fn check(history: &History, key: &str) -> Result<(), String> {
    if history.expires(key) || history.is_counter(key) {
        return Ok(());
    }
    let ops = history
        .of(key)
        .filter(|call| !(call.is_not_applied() || call.readonly && call.act == Act::Get))
        .map(op);
    let last = history.seen(key).map(|seen| Op {
        begin: history.now,
        end: Some(history.now),
        action: Action::Read(seen.value),
    });
    let ops: Vec<Op> = ops.chain(last).collect();
    check_register(&ops).map_err(|why| format!("{key}: {why}"))
}

fn op(call: &Call) -> Op {
    let action = match call.act {
        Act::Set(value) => Action::Write(value),
        _ => Action::Read(call.shown().flatten()),
    };
    Op { begin: call.begin, end: call.end.filter(|_| call.is_acknowledged()), action }
}
