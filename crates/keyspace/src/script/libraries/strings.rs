//! `string.find`, `match`, `gmatch` and `gsub`.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use mlua::{Lua, MultiValue, Table, Value};

use super::{
    number_arg,
    pattern::{Capture, Failure, Matcher},
    string_arg, type_name,
};
use crate::script::{args::function, budget::Shared, errors::error_here};

/// Longest result of `gsub`.
const RESULT_BYTES_MAX: usize = 512 << 20;

/// The functions by their names.
pub(super) fn table(lua: &Lua, shared: &Arc<Shared>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let state = shared.clone();
    table.set("find", function(lua, move |lua, args: MultiValue| find(lua, &args, true, &state))?)?;
    let state = shared.clone();
    table.set("match", function(lua, move |lua, args: MultiValue| find(lua, &args, false, &state))?)?;
    let state = shared.clone();
    let gmatch = function(lua, move |lua, args: MultiValue| gmatch(lua, &args, &state))?;
    table.set("gfind", gmatch.clone())?;
    table.set("gmatch", gmatch)?;
    let state = shared.clone();
    table.set("gsub", function(lua, move |lua, args: MultiValue| gsub(lua, args, &state))?)?;
    Ok(table)
}

/// Lets a pattern spend what is left of the budget.
fn matching<'a, R>(
    lua: &Lua,
    shared: &Shared,
    subject: &'a [u8],
    pattern: &'a [u8],
    run: impl FnOnce(&mut Matcher<'a>) -> Result<R, Failure>,
) -> mlua::Result<R> {
    let steps = shared.left();
    let mut matcher = Matcher::new(subject, pattern, steps);
    let result = run(&mut matcher);
    shared.charge(steps - matcher.steps_left())?;
    match result {
        Ok(result) => Ok(result),
        Err(Failure::Malformed(text)) => Err(error_here(lua, text)),
        Err(Failure::TooLong) => Err(shared.charge(u64::MAX / 2).expect_err("nothing is left")),
    }
}

fn value_of(lua: &Lua, subject: &[u8], capture: &Capture) -> mlua::Result<Value> {
    Ok(match capture {
        Capture::Bytes(range) => Value::String(lua.create_string(&subject[range.clone()])?),
        Capture::Position(at) => Value::Number((at + 1) as f64),
    })
}

/// A position as Lua counts, from 1 or from the end.
fn start_of(position: f64, len: usize) -> usize {
    let start = if position < 0.0 { position + len as f64 } else { position - 1.0 };
    start.max(0.0).min(len as f64) as usize
}

fn find(lua: &Lua, args: &MultiValue, positions: bool, shared: &Shared) -> mlua::Result<MultiValue> {
    let name = if positions { "find" } else { "match" };
    let subject = string_arg(lua, args.front(), 1, name)?;
    let pattern = string_arg(lua, args.get(1), 2, name)?;
    let (subject, pattern) = (subject.as_bytes(), pattern.as_bytes());
    let start = match args.get(2) {
        None | Some(Value::Nil) => 0,
        value => start_of(number_arg(lua, value, 3, name)?, subject.len()),
    };
    let plain = args.get(3).is_some_and(|value| !matches!(value, Value::Nil | Value::Boolean(false)));
    if positions && (plain || !pattern.iter().any(|byte| b"^$*+?.([%-".contains(byte))) {
        shared.charge((subject.len() - start) as u64 / 4)?;
        let found = find_plain(&subject[start..], &pattern).map(|at| start + at);
        return Ok(match found {
            Some(at) => MultiValue::from_iter([
                Value::Number((at + 1) as f64),
                Value::Number((at + pattern.len()) as f64),
            ]),
            None => MultiValue::from_iter([Value::Nil]),
        });
    }
    let (anchored, pattern) = unanchored(&pattern);
    let found = matching(lua, shared, &subject, pattern, |matcher| {
        for s in start..=subject.len() {
            if let Some(end) = matcher.match_at(s)? {
                let whole = if positions && !matcher.has_captures() {
                    Vec::new()
                } else {
                    matcher.captures(s..end)?
                };
                return Ok(Some((s, end, whole)));
            }
            if anchored {
                break;
            }
        }
        Ok(None)
    })?;
    let Some((s, end, captures)) = found else { return Ok(MultiValue::from_iter([Value::Nil])) };
    let mut values = Vec::new();
    if positions {
        values.extend([Value::Number((s + 1) as f64), Value::Number(end as f64)]);
    }
    for capture in &captures {
        values.push(value_of(lua, &subject, capture)?);
    }
    Ok(MultiValue::from_vec(values))
}

fn find_plain(text: &[u8], wanted: &[u8]) -> Option<usize> {
    if wanted.is_empty() {
        return Some(0);
    }
    memchr::memmem::find(text, wanted)
}

fn unanchored(pattern: &[u8]) -> (bool, &[u8]) {
    match pattern.strip_prefix(b"^") {
        Some(rest) => (true, rest),
        None => (false, pattern),
    }
}

fn gmatch(lua: &Lua, args: &MultiValue, shared: &Arc<Shared>) -> mlua::Result<Value> {
    let subject = string_arg(lua, args.front(), 1, "gmatch")?;
    let pattern = string_arg(lua, args.get(1), 2, "gmatch")?;
    let (shared, next) = (shared.clone(), AtomicUsize::new(0));
    let step = lua.create_function(move |lua, ()| {
        let (subject, pattern) = (subject.as_bytes(), pattern.as_bytes());
        let start = next.load(Relaxed);
        let found = matching(lua, &shared, &subject, &pattern, |matcher| {
            for s in start..=subject.len() {
                if let Some(end) = matcher.match_at(s)? {
                    return Ok(Some((s, end, matcher.captures(s..end)?)));
                }
            }
            Ok(None)
        })?;
        let Some((s, end, captures)) = found else {
            next.store(subject.len() + 1, Relaxed);
            return Ok(MultiValue::from_iter([Value::Nil]));
        };
        next.store(if end == s { end + 1 } else { end }, Relaxed);
        captures.iter().map(|capture| value_of(lua, &subject, capture)).collect()
    })?;
    Ok(Value::Function(step))
}

fn gsub(lua: &Lua, args: MultiValue, shared: &Shared) -> mlua::Result<(mlua::String, f64)> {
    let subject = string_arg(lua, args.front(), 1, "gsub")?;
    let pattern = string_arg(lua, args.get(1), 2, "gsub")?;
    let (subject, pattern) = (subject.as_bytes(), pattern.as_bytes());
    let replacement = match args.get(2) {
        Some(value @ (Value::Table(_) | Value::Function(_))) => value.clone(),
        Some(value @ (Value::String(_) | Value::Integer(_) | Value::Number(_))) => {
            Value::String(string_arg(lua, Some(value), 3, "gsub")?)
        }
        _ => {
            return Err(error_here(lua, "bad argument #3 to 'gsub' (string/function/table expected)"));
        }
    };
    let max = match args.get(3) {
        None | Some(Value::Nil) => f64::INFINITY,
        value => number_arg(lua, value, 4, "gsub")?,
    };
    drop(args);
    let Some(_level) = shared.nest() else { return Err(error_here(lua, "C stack overflow")) };
    let (anchored, pattern) = unanchored(&pattern);
    let (mut out, mut s, mut count) = (Vec::new(), 0, 0.0);
    while count < max {
        let found = matching(lua, shared, &subject, pattern, |matcher| match matcher.match_at(s)? {
            Some(end) => Ok(Some((end, matcher.captures(s..end)?))),
            None => Ok(None),
        })?;
        match found {
            Some((end, captures)) => {
                count += 1.0;
                replace(lua, &mut out, &subject, s..end, &captures, &replacement)?;
                if end > s {
                    s = end;
                } else {
                    out.extend(subject.get(s));
                    s += 1;
                }
            }
            None => {
                out.extend(subject.get(s));
                s += 1;
            }
        }
        if s > subject.len() || anchored {
            break;
        }
        if out.len() > RESULT_BYTES_MAX {
            return Err(error_here(lua, "resulting string too large"));
        }
    }
    out.extend_from_slice(subject.get(s..).unwrap_or_default());
    shared.charge(out.len() as u64 / 8)?;
    Ok((lua.create_string(&out)?, count))
}

/// Appends what takes the place of a match.
fn replace(
    lua: &Lua,
    out: &mut Vec<u8>,
    subject: &[u8],
    whole: std::ops::Range<usize>,
    captures: &[Capture],
    replacement: &Value,
) -> mlua::Result<()> {
    let value = match replacement {
        Value::String(text) => return expand(lua, out, subject, whole, captures, &text.as_bytes()),
        Value::Table(table) => table.get::<Value>(value_of(lua, subject, &captures[0])?)?,
        Value::Function(function) => {
            let args: MultiValue = captures
                .iter()
                .map(|capture| value_of(lua, subject, capture))
                .collect::<mlua::Result<_>>()?;
            function.call::<Value>(args)?
        }
        _ => unreachable!("judged before"),
    };
    match value {
        Value::Nil | Value::Boolean(false) => out.extend_from_slice(&subject[whole]),
        Value::String(_) | Value::Integer(_) | Value::Number(_) => {
            let text = lua.coerce_string(value)?.expect("a number is a text, too");
            out.extend_from_slice(&text.as_bytes());
        }
        other => {
            return Err(error_here(lua, &format!("invalid replacement value (a {})", type_name(&other))));
        }
    }
    Ok(())
}

/// Appends a text in which `%1` is the first capture and `%0` the whole match.
fn expand(
    lua: &Lua,
    out: &mut Vec<u8>,
    subject: &[u8],
    whole: std::ops::Range<usize>,
    captures: &[Capture],
    text: &[u8],
) -> mlua::Result<()> {
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        match bytes.next() {
            Some(b'0') => out.extend_from_slice(&subject[whole.clone()]),
            Some(digit @ b'1'..=b'9') => {
                let capture = captures.get(usize::from(digit - b'1'));
                let capture = capture.ok_or_else(|| error_here(lua, "invalid capture index"))?;
                match capture {
                    Capture::Bytes(range) => out.extend_from_slice(&subject[range.clone()]),
                    Capture::Position(at) => out.extend_from_slice((at + 1).to_string().as_bytes()),
                }
            }
            Some(other) => out.push(*other),
            // As Lua 5.1, which finds the zero byte behind the text.
            None => out.push(0),
        }
    }
    Ok(())
}
