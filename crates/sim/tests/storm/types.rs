//! Whether what clients saw of collections, queues and streams keeps the promises.

use std::time::Duration;

use quorate_checkers::{
    CellAct, CellOp, Count, Fate, GroupAct, GroupEnd, GroupOp, Queue, QueueAct, QueueOp, Told, Violation,
    check_cell, check_counter, check_group, check_queue,
};
use quorate_resp::Value;

use super::commands::{self, Kind, Op, entries, number, place};
use super::verdict::{Loss, any_of};

/// What the client was told, with what a power loss may have taken back.
fn fate(op: &Op, loss: Option<Loss>) -> Fate {
    match op.is_acknowledged() {
        true if loss.is_some_and(|loss| loss.may_take(op)) => Fate::Unknown,
        true => Fate::Acknowledged,
        false if op.is_not_applied() => Fate::Refused,
        false => Fate::Unknown,
    }
}

fn first_of(violations: &[Violation]) -> Result<(), String> {
    violations.first().map_or(Ok(()), |violation| Err(violation.to_string()))
}

/// A member, a field or a bit.
pub(super) fn cell(ops: &[&Op], last: &Value, now: Duration, loss: Option<Loss>) -> Result<(), String> {
    let place = place(&ops[0].key);
    let last = CellOp { begin: now, end: Some(now), act: CellAct::Look, told: told(place, Kind::Look, last) };
    let seen = |ops: &[&Op]| -> Vec<CellOp> {
        ops.iter().filter(|op| !op.is_not_applied()).map(|op| cell_op(place, op)).collect()
    };
    let Some(loss) = loss else { return check_cell(None, &[seen(ops), vec![last]].concat()) };
    let (before, after) = loss.split(ops);
    check_cell(None, &seen(&before))?;
    let put = before.iter().filter_map(|op| match cell_op(place, op).act {
        CellAct::Put(value) | CellAct::PutIfEmpty(value) => Some(Some(value)),
        CellAct::Take | CellAct::Look => None,
    });
    let after = [seen(&after), vec![last]].concat();
    any_of([None].into_iter().chain(put).collect(), |value| check_cell(value, &after))
}

fn cell_op(place: char, op: &Op) -> CellOp {
    // Members and bits are there or not: they have no value of their own.
    let value = |value: u64| if matches!(place, 's' | 'b') { 1 } else { value };
    let act = match op.kind {
        Kind::PutIfEmpty(v) if matches!(place, 'h' | 'z') => CellAct::PutIfEmpty(value(v)),
        Kind::Put(v) | Kind::PutIfEmpty(v) | Kind::Swap(v) => CellAct::Put(value(v)),
        Kind::Take => CellAct::Take,
        _ => CellAct::Look,
    };
    let end = op.end.filter(|_| op.is_acknowledged());
    let told = op.reply.as_ref().map_or(Told::WasThere(false), |reply| told(place, op.kind, reply));
    CellOp { begin: op.begin, end, act, told }
}

fn told(place: char, kind: Kind, reply: &Value) -> Told {
    let is_one = number(reply) == Some(1);
    match (place, kind) {
        ('h' | 'z', Kind::Look | Kind::Swap(_)) => Told::Held(number(reply)),
        // SADD and the like answer whether it is new; SETBIT, SREM and SISMEMBER whether it was there.
        ('s' | 'h' | 'z', Kind::Put(_) | Kind::PutIfEmpty(_)) => Told::WasThere(!is_one),
        _ => Told::WasThere(is_one),
    }
}

/// Elements that are pushed and popped.
pub(super) fn queue(ops: &[&Op], last: &[Value], loss: Option<Loss>) -> Result<(), String> {
    let place = place(&ops[0].key);
    let texts = |value: &Value| -> Vec<u64> {
        value.as_array().unwrap_or_default().iter().filter_map(number).collect()
    };
    let (left, moved) = match place {
        'f' => (texts(&last[0]), texts(&last[1])),
        _ => (last.iter().flat_map(texts).collect(), Vec::new()),
    };
    let ops = ops.iter().map(|op| queue_op(place, op, loss)).collect();
    let queue = Queue { ops, left, moved, in_order: place == 'f', one_place: place != 'm' };
    first_of(&check_queue(&queue))
}

fn queue_op(place: char, op: &Op, loss: Option<Loss>) -> QueueOp {
    let fate = fate(op, loss);
    let act = match op.kind {
        Kind::Push { first, count, .. } => QueueAct::Push((first..first + count).collect()),
        Kind::Move { .. } => QueueAct::Move,
        Kind::Pop { most, .. } => QueueAct::Pop(most),
        other => unreachable!("{other:?} is not about queues"),
    };
    let is_push = matches!(act, QueueAct::Push(_));
    let reply = op.reply.as_ref().filter(|_| fate == Fate::Acknowledged && !is_push);
    let got = reply.map_or(Vec::new(), |reply| commands::popped(place, op.kind, reply));
    // What a power loss may have taken back has taken no more than it answered.
    let act = match (act, &op.reply) {
        (QueueAct::Pop(_), Some(reply)) if op.is_acknowledged() => {
            QueueAct::Pop(commands::popped(place, op.kind, reply).len())
        }
        (act, _) => act,
    };
    QueueOp { begin: op.begin, end: op.end.unwrap_or_default(), fate, act, got }
}

/// A stream with a group.
pub(super) fn group(ops: &[&Op], last: &[Value], loss: Option<Loss>) -> Result<(), String> {
    let [stream, pendings, undelivered] = last else { unreachable!("three answers") };
    let of_stream = entries(stream);
    let value_of = |id| of_stream.iter().find(|entry| entry.1 == id).map(|entry| entry.0);
    let pending = |value: &Value| {
        let parts = value.as_array()?;
        let consumer = parts.get(1)?.as_str()?.strip_prefix('c')?.parse().ok()?;
        Some((value_of(commands::entry_id(&parts[0])?)?, consumer))
    };
    let pendings = pendings.as_array().unwrap_or_default();
    let end = GroupEnd {
        entries: of_stream.iter().map(|entry| entry.0).collect(),
        pending: pendings.iter().filter_map(pending).collect(),
        undelivered: commands::read_entries(undelivered).iter().map(|entry| entry.0).collect(),
    };
    if end.pending.len() != pendings.len() {
        return Err(format!("something else than entries of the stream is pending: {pendings:?}"));
    }
    // Without a group nothing is delivered: it was never made, or lost with what came after it.
    if undelivered.as_error().is_none() {
        let ops: Vec<GroupOp> = ops.iter().filter_map(|op| group_op(op, loss)).collect();
        first_of(&check_group(&ops, &end))?;
    }
    ops.iter().filter(|op| fate(op, loss) == Fate::Acknowledged).try_for_each(|op| follow(op, &of_stream))
}

fn group_op(op: &Op, loss: Option<Loss>) -> Option<GroupOp> {
    let fate = fate(op, loss);
    let reply = op.reply.as_ref().filter(|_| fate == Fate::Acknowledged);
    let got = |found: fn(&Value) -> Vec<(u64, commands::EntryId)>| {
        reply.map_or(Vec::new(), |reply| found(reply).iter().map(|entry| entry.0).collect())
    };
    let claimed = |reply: &Value| reply.as_array().and_then(|parts| parts.get(1)).map_or(Vec::new(), entries);
    let act = match op.kind {
        Kind::Add(value) => GroupAct::Add(value),
        Kind::Deliver { .. } => GroupAct::Deliver(op.client, got(commands::read_entries)),
        Kind::Claim => GroupAct::Claim(op.client, got(claimed)),
        Kind::Acknowledge { value, .. } => GroupAct::Acknowledge(value, reply.and_then(number) == Some(1)),
        _ => return None,
    };
    Some(GroupOp { begin: op.begin, end: op.end.unwrap_or_default(), fate, act })
}

/// Who reads what follows an entry gets all that follows it, without a gap.
fn follow(op: &Op, stream: &[(u64, commands::EntryId)]) -> Result<(), String> {
    let Kind::Follow { after, .. } = op.kind else { return Ok(()) };
    let Some(reply) = &op.reply else { return Ok(()) };
    let got = commands::read_entries(reply);
    let follows: Vec<_> =
        stream.iter().skip_while(|entry| entry.1 <= after).take(got.len()).copied().collect();
    match got == follows {
        true => Ok(()),
        false => Err(format!("read {got:?} where {follows:?} follow (linearizable): {op}")),
    }
}

/// What a HyperLogLog estimates only grows.
pub(super) fn sketch(ops: &[&Op], loss: Option<Loss>) -> Result<(), String> {
    let estimates = |ops: &[&Op]| -> Vec<Count> {
        let answered = ops.iter().filter(|op| op.kind == Kind::Estimate && op.is_acknowledged());
        let count = |op: &&Op| Count {
            begin: op.begin,
            end: op.end.expect("answered"),
            increments: false,
            value: op.reply.as_ref().and_then(number).unwrap_or(0),
        };
        answered.map(count).collect()
    };
    match loss.map(|loss| loss.split(ops)) {
        None => check_counter(&estimates(ops)),
        Some((before, after)) => {
            check_counter(&estimates(&before)).and_then(|()| check_counter(&estimates(&after)))
        }
    }
}
