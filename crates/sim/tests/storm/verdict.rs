//! Whether what clients saw, and what is there in the end, keep the promises.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use quorate_resp::Value;
use quorate_sim::history::{self, Action, Count};

use super::workers::{Kind, Op};

/// What was read from each key in the end.
pub(crate) type Values = BTreeMap<String, Option<String>>;

/// Panics if a promise was broken.
pub(crate) fn judge(ops: &[Op], values: &Values, now: Duration) {
    let mut keys: BTreeMap<&str, Vec<&Op>> = BTreeMap::new();
    for op in ops {
        keys.entry(&op.key).or_default().push(op);
    }
    for (key, ops) in keys {
        let last = values[key].as_deref();
        let verdict = match &key[..1] {
            "u" => unique(ops[0], last),
            "c" => counter(&ops, last),
            "r" => register(&ops, last, now),
            "b" => bulk(last).and_then(|last| register(&ops, last, now)),
            _ => private(&ops, last),
        };
        if let Err(why) = verdict {
            let ops: Vec<String> = ops.iter().rev().take(60).rev().map(|op| format!("\n  {op}")).collect();
            let last = last.map(|l| &l[..l.len().min(60)]);
            panic!("{key}: {why}\nin the end it is {last:?}; its last commands:{}", ops.concat());
        }
    }
}

fn unique(op: &Op, last: Option<&str>) -> Result<(), String> {
    match last {
        None if op.is_acknowledged() => Err("an acknowledged write is lost (no-lost-ack)".to_owned()),
        Some(_) if op.is_not_applied() => Err("it was said to be NOT applied, and it was (R14)".to_owned()),
        Some(value) if value != op.key => Err("another value than was written".to_owned()),
        _ => Ok(()),
    }
}

fn counter(ops: &[&Op], last: Option<&str>) -> Result<(), String> {
    let increments = || ops.iter().filter(|op| op.kind == Kind::Increment);
    let least = increments().filter(|op| op.is_acknowledged()).count() as u64;
    let most = least + increments().filter(|op| op.is_unknown()).count() as u64;
    let last: u64 = last.map_or(0, |l| l.parse().expect("a number"));
    if !(least..=most).contains(&last) {
        return Err(format!(
            "{last} increments were applied; {least} were acknowledged, at most {most} may have been"
        ));
    }
    let counts = ops.iter().filter(|op| op.is_acknowledged()).map(|op| Count {
        begin: op.begin,
        end: op.end.expect("answered"),
        increments: op.kind == Kind::Increment,
        value: number(op.reply.as_ref()).unwrap_or(0),
    });
    history::check_counter(&counts.collect::<Vec<_>>())
}

/// The number in a large value, which must be whole.
fn bulk(last: Option<&str>) -> Result<Option<&str>, String> {
    let Some(last) = last else { return Ok(None) };
    let (value, rest) = last.split_once(':').ok_or("no value of this test")?;
    let mut letters = rest.bytes();
    let first = letters.next();
    if letters.any(|b| Some(b) != first) {
        return Err("the value is not whole".to_owned());
    }
    Ok(Some(value))
}

fn number(reply: Option<&Value>) -> Option<u64> {
    match reply? {
        Value::Int(n) => u64::try_from(*n).ok(),
        other => other.as_str()?.parse().ok(),
    }
}

fn register(ops: &[&Op], last: Option<&str>, now: Duration) -> Result<(), String> {
    let of = |op: &&Op| {
        let end = op.end.filter(|_| op.is_acknowledged());
        let action = match op.kind {
            Kind::Write(value) | Kind::Bulk(value) => Action::Write(value),
            _ => Action::Read(number(op.reply.as_ref())),
        };
        history::Op { begin: op.begin, end, action }
    };
    let mut history: Vec<_> = ops.iter().filter(|op| !op.is_not_applied()).map(of).collect();
    let last = last.map(|l| l.parse().expect("a number"));
    history.push(history::Op { begin: now, end: Some(now), action: Action::Read(last) });
    let acknowledged = ops.iter().filter(|op| op.is_acknowledged()).count();
    assert!(acknowledged < 10 || history::has_order(&history), "such a history proves nothing");
    history::check_register(&history)
}

/// Reads see the writes before them in their pipeline (R1).
fn private(ops: &[&Op], last: Option<&str>) -> Result<(), String> {
    let mut present = None;
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
                see(&mut present, &mut floating, number(op.reply.as_ref()))?
            }
            _ => {}
        }
    }
    see(&mut present, &mut floating, last.map(|l| l.parse().expect("a number")))
}
