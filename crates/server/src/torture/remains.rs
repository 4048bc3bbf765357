//! Reads what is there when everything has ended.

use std::collections::BTreeSet;

use anyhow::{Context, bail};
use quorate_resp::Value;

use super::clients::Control;
use super::history::{Call, Event};
use super::keys;
use super::verdict::Remains;
use crate::client::Client;

/// Commands on their way at a time.
const TOGETHER: usize = 500;

/// Reads every key that the history names.
pub(super) fn read<'a>(
    client: &mut Client,
    events: impl Iterator<Item = &'a Event>,
    control: &Control,
) -> anyhow::Result<Remains> {
    let (mut notes, mut registers, mut counters, mut lists, mut queues) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for event in events {
        match event.call {
            Call::Note(number) => notes.insert(number),
            Call::Write { register, .. } | Call::Read { register } => registers.insert(register),
            Call::Increment { counter, .. } | Call::Count { counter, .. } => counters.insert(counter),
            Call::Append { list, .. } | Call::List { list } => lists.insert(list),
            Call::Push { queue, .. } | Call::Pop { queue } => queues.insert(queue),
            _ => false,
        };
    }
    let mut remains = Remains { at: control.time(), ..Remains::default() };
    let exists = |number: &u64| vec!["EXISTS".to_owned(), keys::note(*number)];
    for (number, reply) in ask(client, &notes, exists)? {
        if reply.as_int() == Some(1) {
            remains.notes.insert(number);
        }
    }
    let get = |number: &u64| vec!["GET".to_owned(), keys::register(*number)];
    for (register, reply) in ask(client, &registers, get)? {
        remains.registers.insert(register, number(&reply)?);
    }
    let get = |number: &u64| vec!["GET".to_owned(), keys::counter(*number)];
    for (counter, reply) in ask(client, &counters, get)? {
        remains.counters.insert(counter, number(&reply)?.unwrap_or(0));
    }
    for list in lists {
        remains.lists.insert(list, range(client, &keys::list(list))?);
    }
    for queue in queues {
        remains.queues.insert(queue, range(client, &keys::queue(queue))?);
    }
    remains.journal = range(client, keys::JOURNAL)?;
    Ok(remains)
}

/// One command for each of the numbers.
fn ask(
    client: &mut Client,
    numbers: &BTreeSet<u64>,
    command: impl Fn(&u64) -> Vec<String>,
) -> anyhow::Result<Vec<(u64, Value)>> {
    let numbers: Vec<u64> = numbers.iter().copied().collect();
    let mut answers = Vec::with_capacity(numbers.len());
    for batch in numbers.chunks(TOGETHER) {
        for (number, reply) in batch.iter().zip(client.pipeline(batch.iter().map(&command))?) {
            if let Value::Error(text) = reply {
                bail!("reading back: {text}");
            }
            answers.push((*number, reply));
        }
    }
    Ok(answers)
}

/// A whole list, in pieces.
fn range(client: &mut Client, key: &str) -> anyhow::Result<Vec<u64>> {
    let mut values = Vec::new();
    loop {
        let (from, to) = (values.len().to_string(), (values.len() + TOGETHER - 1).to_string());
        let reply = client.expect(&["LRANGE", key, &from, &to])?;
        let piece = reply.as_array().context("LRANGE did not answer a list")?;
        for value in piece {
            values.push(number(value)?.context("a list holds what is no number")?);
        }
        if piece.len() < TOGETHER {
            return Ok(values);
        }
    }
}

fn number(value: &Value) -> anyhow::Result<Option<u64>> {
    if value.is_null() {
        return Ok(None);
    }
    let text = value.as_str().with_context(|| format!("{value:?} is no number"))?;
    Ok(Some(text.parse().with_context(|| format!("{text} is no number"))?))
}
