//! Whether what clients saw, and what is there in the end, keep the promises.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use quorate_resp::Value;
use quorate_sim::history::{self, Action, Count};

use super::commands::{Kind, Op, entries, number, place};
use super::{MS, WINDOW, types};

/// What was read from each key in the end.
pub(crate) type Values = BTreeMap<String, Vec<Value>>;

/// What all machines lost when they lost power under `everysec`: writes that were acknowledged within the last second (R8).
#[derive(Clone, Copy)]
pub(super) struct Loss(Duration);

impl Loss {
    /// Whether this may be gone.
    pub(super) fn may_take(self, op: &Op) -> bool {
        op.begin < self.0 && op.end.is_none_or(|end| end + WINDOW >= self.0)
    }

    /// The operations before and after it.
    pub(super) fn split<'a>(self, ops: &[&'a Op]) -> (Vec<&'a Op>, Vec<&'a Op>) {
        ops.iter().partition(|op| op.begin < self.0)
    }

    /// What one key may hold afterwards: nothing, or what was written and not overwritten before the last second.
    fn remains(self, before: &[&Op]) -> Vec<Option<u64>> {
        let written = |op: &Op| match op.kind {
            Kind::Write(value) | Kind::Bulk(value) | Kind::PrivateWrite(value) if !op.is_not_applied() => {
                Some(value)
            }
            _ => None,
        };
        let writes: Vec<(&Op, u64)> = before.iter().filter_map(|op| Some((*op, written(op)?))).collect();
        let certain = || writes.iter().filter(|(op, _)| op.is_acknowledged() && !self.may_take(op));
        let is_over = |op: &Op, by: &Op| op.is_acknowledged() && op.end.is_some_and(|end| end < by.begin);
        let held = writes.iter().filter(|(op, _)| !certain().any(|(by, _)| is_over(op, by)));
        let nothing = certain().next().is_none().then_some(None);
        nothing.into_iter().chain(held.map(|(_, value)| Some(*value))).collect()
    }
}

/// Panics if a promise was broken. `lost_second`: when all machines lost power under `everysec`.
pub(crate) fn judge(ops: &[Op], values: &Values, now: Duration, lost_second: Option<Duration>) {
    let loss = lost_second.map(Loss);
    let mut keys: BTreeMap<&str, Vec<&Op>> = BTreeMap::new();
    for op in ops {
        keys.entry(&op.key).or_default().push(op);
    }
    for (key, ops) in keys {
        if let Err(why) = verdict(key, &ops, &values[key], now, loss) {
            let ops: Vec<String> = ops.iter().rev().take(60).rev().map(|op| format!("\n  {op}")).collect();
            let last: String = format!("{:?}", values[key]).chars().take(300).collect();
            panic!("{key}: {why}\nin the end it is {last}; its last commands:{}", ops.concat());
        }
    }
}

fn verdict(key: &str, ops: &[&Op], last: &[Value], now: Duration, loss: Option<Loss>) -> Result<(), String> {
    let text = last.first().and_then(Value::as_str);
    match &key[..1] {
        "u" => unique(ops[0], text, loss),
        "c" => counter(ops, counted(last)?, loss),
        "r" => register(ops, held(key, last)?, now, loss),
        "b" => register(ops, bulk(text)?, now, loss),
        "m" => types::cell(ops, &last[0], now, loss),
        "q" => types::queue(ops, last, loss),
        "x" => types::group(ops, last, loss),
        "h" => types::sketch(ops, loss),
        "e" | "f" => Ok(()),
        _ => private(ops, text, loss),
    }
}

/// What a counter is in the end; in several places, the same in each.
fn counted(last: &[Value]) -> Result<u64, String> {
    let numbers: Vec<u64> = last.iter().map(|value| number(value).unwrap_or(0)).collect();
    match numbers.iter().all(|n| *n == numbers[0]) {
        true => Ok(numbers[0]),
        false => Err(format!("a transaction took effect in a part of its places: {numbers:?}")),
    }
}

/// What an answer says that a register holds. One that is kept in several places holds the same in each.
fn held(key: &str, replies: &[Value]) -> Result<Option<u64>, String> {
    let one = |reply: &Value| match place(key) {
        'x' => entries(reply).first().map(|entry| entry.0),
        'b' => number(reply).filter(|value| *value > 0),
        _ => number(reply),
    };
    let values: Vec<Option<u64>> = match (place(key), replies) {
        ('t', [Value::Array(parts)]) => parts.iter().map(number).collect(),
        _ => replies.iter().map(one).collect(),
    };
    match values.iter().all(|value| *value == values[0]) {
        true => Ok(values[0]),
        false => Err(format!("a transaction took effect in a part of its places: {values:?}")),
    }
}

fn unique(op: &Op, last: Option<&str>, loss: Option<Loss>) -> Result<(), String> {
    match last {
        None if op.is_acknowledged() && !loss.is_some_and(|loss| loss.may_take(op)) => {
            Err("an acknowledged write is lost (no-lost-ack)".to_owned())
        }
        Some(_) if op.is_not_applied() => Err("it was said to be NOT applied, and it was (R14)".to_owned()),
        Some(value) if value != op.key => Err("another value than was written".to_owned()),
        _ => Ok(()),
    }
}

fn counter(ops: &[&Op], last: u64, loss: Option<Loss>) -> Result<(), String> {
    let increments = || ops.iter().filter(|op| op.kind == Kind::Increment);
    let acknowledged = || increments().filter(|op| op.is_acknowledged());
    let most = (acknowledged().count() + increments().filter(|op| op.is_unknown()).count()) as u64;
    let lost = acknowledged().filter(|op| loss.is_some_and(|loss| loss.may_take(op))).count();
    let least = (acknowledged().count() - lost) as u64;
    if !(least..=most).contains(&last) {
        return Err(format!(
            "{last} increments were applied; {least} were acknowledged for good, at most {most} may have been"
        ));
    }
    let only_grows = |ops: Vec<&Op>| {
        let counts = ops.into_iter().filter(|op| op.is_acknowledged()).map(|op| Count {
            begin: op.begin,
            end: op.end.expect("answered"),
            increments: op.kind == Kind::Increment,
            value: op.reply.as_ref().and_then(number).unwrap_or(0),
        });
        history::check_counter(&counts.collect::<Vec<_>>())
    };
    match loss.map(|loss| loss.split(ops)) {
        None => only_grows(ops.to_vec()),
        Some((before, after)) => only_grows(before).and_then(|()| only_grows(after)),
    }
}

/// The number in a large value, which must be whole.
fn bulk(last: Option<&str>) -> Result<Option<u64>, String> {
    let Some(last) = last else { return Ok(None) };
    let (value, rest) = last.split_once(':').ok_or("no value of this test")?;
    let mut letters = rest.bytes();
    let first = letters.next();
    if letters.any(|b| Some(b) != first) {
        return Err("the value is not whole".to_owned());
    }
    value.parse().map(Some).map_err(|_| "no value of this test".to_owned())
}

fn register(ops: &[&Op], last: Option<u64>, now: Duration, loss: Option<Loss>) -> Result<(), String> {
    let read = |value| history::Op { begin: now, end: Some(now), action: Action::Read(value) };
    let last = read(last);
    let Some(loss) = loss else {
        let mut history = seen(ops)?;
        history.push(last);
        let acknowledged = ops.iter().filter(|op| op.is_acknowledged()).count();
        assert!(acknowledged < 10 || history::has_order(&history), "such a history proves nothing");
        return history::check_register(&history);
    };
    let (before, after) = loss.split(ops);
    history::check_register(&seen(&before)?)?;
    let (began, mut after) = (loss.0 - MS, seen(&after)?);
    after.push(last);
    any_of(loss.remains(&before), |value| {
        let held = value.map(|v| history::Op { begin: began, end: Some(began), action: Action::Write(v) });
        let history: Vec<_> = held.into_iter().chain(after.iter().cloned()).collect();
        history::check_register(&history)
    })
}

/// What clients saw of a register. What was not applied is none of it.
fn seen(ops: &[&Op]) -> Result<Vec<history::Op>, String> {
    let of = |op: &&Op| {
        let end = op.end.filter(|_| op.is_acknowledged());
        let action = match op.kind {
            Kind::Write(value) | Kind::Bulk(value) => Action::Write(value),
            _ if end.is_none() => Action::Read(None),
            _ => Action::Read(held(&op.key, op.reply.as_slice())?),
        };
        Ok(history::Op { begin: op.begin, end, action })
    };
    ops.iter().filter(|op| !op.is_not_applied()).map(of).collect()
}

/// Whether one of these values explains what is checked; otherwise what is wrong with the last one.
pub(super) fn any_of(
    values: Vec<Option<u64>>,
    check: impl Fn(Option<u64>) -> Result<(), String>,
) -> Result<(), String> {
    let mut verdict = Err("nothing may have been there after the power loss".to_owned());
    for value in &values {
        verdict = check(*value);
        if verdict.is_ok() {
            return verdict;
        }
    }
    verdict.map_err(|why| {
        format!("after the power loss it may have been any of {values:?}; with the last one: {why}")
    })
}

/// Reads see the writes before them in their pipeline (R1).
fn private(ops: &[&Op], last: Option<&str>, loss: Option<Loss>) -> Result<(), String> {
    let last = Some(last.map(|l| l.parse().expect("a number")));
    let Some(loss) = loss else { return in_order(ops, None, last) };
    let (before, after) = loss.split(ops);
    in_order(&before, None, None)?;
    any_of(loss.remains(&before), |value| in_order(&after, value, last))
}

/// The same, where it was `present` in the beginning and is `last` in the end, if that is known.
fn in_order(ops: &[&Op], mut present: Option<u64>, last: Option<Option<u64>>) -> Result<(), String> {
    let mut floating = BTreeSet::new();
    let see = |present: &mut Option<u64>, floating: &mut BTreeSet<u64>, value: Option<u64>| {
        if value == *present {
            return Ok(());
        }
        match value.filter(|v| floating.remove(v)) {
            Some(value) => *present = Some(value),
            None => {
                return Err(format!(
                    "read {value:?} where {present:?} was written last, and unknown are {floating:?} (R1)"
                ));
            }
        }
        Ok(())
    };
    for op in ops {
        match op.kind {
            Kind::PrivateWrite(value) if op.is_acknowledged() => present = Some(value),
            Kind::PrivateWrite(value) if op.is_unknown() => _ = floating.insert(value),
            Kind::PrivateRead if op.is_acknowledged() => {
                see(&mut present, &mut floating, op.reply.as_ref().and_then(number))?
            }
            _ => {}
        }
    }
    last.map_or(Ok(()), |last| see(&mut present, &mut floating, last))
}
