//! Between replies and values of Lua.

use mlua::{Error, Lua, Table, Value};
use quorate_resp::{Value as Resp, ValueDecoder, ValueLimits};

use crate::{error::CommandError, number::parse_i64, reply::Reply};

/// Deepest nesting of a result.
const DEPTH_MAX: usize = 500;

/// A table with an error, as pcall and redis.error_reply give it.
pub(super) fn error_table(lua: &Lua, text: &str) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("err", text)?;
    Ok(table)
}

/// An encoded reply as a script sees it; inner error: the text of an error.
pub(super) fn to_lua(lua: &Lua, reply: &[u8], resp3: bool) -> mlua::Result<Result<Value, String>> {
    if let Some(value) = short_to_lua(lua, reply)? {
        return Ok(Ok(value));
    }
    if matches!(reply, b"$-1\r\n" | b"*-1\r\n" | b"_\r\n") {
        return Ok(Ok(null(resp3)));
    }
    let mut decoder = ValueDecoder::new(ValueLimits::default());
    decoder.feed(reply);
    match decoder.next() {
        Ok(Some(Resp::Error(text))) => Ok(Err(text)),
        Ok(Some(reply)) => value_to_lua(lua, &reply, resp3).map(Ok),
        Ok(None) | Err(_) => Ok(Err("ERR the reply is too large for a script".to_owned())),
    }
}

/// A reply that is a number.
pub(super) fn number(reply: &[u8]) -> Option<Value> {
    let line = reply.strip_prefix(b":")?.strip_suffix(b"\r\n").filter(|line| line.len() < 15)?;
    parse_i64(line).map(|n| Value::Number(n as f64))
}

/// What most other replies are: a string, a status.
fn short_to_lua(lua: &Lua, reply: &[u8]) -> mlua::Result<Option<Value>> {
    let Some((kind, rest)) = reply.split_first() else { return Ok(None) };
    let Some(end) = memchr::memchr(b'\r', rest) else { return Ok(None) };
    let (line, rest) = rest.split_at(end);
    let body = rest.get(2..).unwrap_or_default();
    Ok(match kind {
        b'$' if !body.is_empty() => Some(Value::String(lua.create_string(&body[..body.len() - 2])?)),
        b'+' => match str::from_utf8(line) {
            Ok(text) => Some(Value::Table(lua.create_table_from([("ok", text)])?)),
            Err(_) => Some(wrapped(lua, "ok", Value::String(lua.create_string(line)?))?),
        },
        _ => None,
    })
}

fn wrapped(lua: &Lua, name: &str, value: Value) -> mlua::Result<Value> {
    let table = lua.create_table_with_capacity(0, 1)?;
    table.raw_set(name, value)?;
    Ok(Value::Table(table))
}

/// What a script sees where nothing is.
fn null(resp3: bool) -> Value {
    if resp3 { Value::Nil } else { Value::Boolean(false) }
}

/// A reply as a script sees it. In RESP2 there are no other values than those of its first lines.
fn value_to_lua(lua: &Lua, reply: &Resp, resp3: bool) -> mlua::Result<Value> {
    let to_lua = value_to_lua;
    let wrapped = |name: &str, value: Value| wrapped(lua, name, value);
    Ok(match reply {
        Resp::Int(n) => Value::Number(*n as f64),
        Resp::Bulk(bytes) => Value::String(lua.create_string(bytes)?),
        Resp::Null | Resp::NullArray => null(resp3),
        Resp::Simple(text) => wrapped("ok", Value::String(lua.create_string(text)?))?,
        Resp::Error(text) => wrapped("err", Value::String(lua.create_string(text)?))?,
        Resp::Array(items) | Resp::Push(items) => Value::Table(sequence(lua, items, resp3)?),
        Resp::Map(pairs) => {
            let map = lua.create_table()?;
            for (name, value) in pairs {
                map.raw_set(to_lua(lua, name, resp3)?, to_lua(lua, value, resp3)?)?;
            }
            wrapped("map", Value::Table(map))?
        }
        Resp::Set(items) => {
            let set = lua.create_table()?;
            for item in items {
                set.raw_set(to_lua(lua, item, resp3)?, true)?;
            }
            wrapped("set", Value::Table(set))?
        }
        Resp::Double(x) => wrapped("double", Value::Number(*x))?,
        Resp::Boolean(yes) => Value::Boolean(*yes),
        Resp::BigNumber(text) => wrapped("big_number", Value::String(lua.create_string(text)?))?,
        Resp::Verbatim { format, text } => {
            let table = lua.create_table()?;
            table.raw_set("format", lua.create_string(format)?)?;
            table.raw_set("string", lua.create_string(text)?)?;
            wrapped("verbatim_string", Value::Table(table))?
        }
        Resp::Attributed { value, .. } => to_lua(lua, value, resp3)?,
    })
}

fn sequence(lua: &Lua, items: &[Resp], resp3: bool) -> mlua::Result<Table> {
    let table = lua.create_table_with_capacity(items.len(), 0)?;
    for (i, item) in items.iter().enumerate() {
        table.raw_set(i + 1, value_to_lua(lua, item, resp3)?)?;
    }
    Ok(table)
}

/// Writes the result of a script as a reply. `resp3`: after redis.setresp(3) a boolean is one, else 1 or null.
///
/// # Errors
/// If there is no memory for it. A part of the reply may be written.
pub(crate) fn to_reply(value: &Value, resp3: bool, reply: &mut Reply<'_>) -> mlua::Result<()> {
    Writer { resp3, reply }.put(value, 0)
}

struct Writer<'a, 'b> {
    resp3: bool,
    reply: &'a mut Reply<'b>,
}

impl Writer<'_, '_> {
    fn put(&mut self, value: &Value, depth: usize) -> mlua::Result<()> {
        if depth > DEPTH_MAX {
            self.reply.error(&CommandError::fixed("ERR reached lua stack limit"));
            return Ok(());
        }
        match value {
            Value::String(string) => self.reply.bulk(&string.as_bytes()),
            Value::Boolean(yes) if self.resp3 => self.reply.boolean(*yes),
            Value::Boolean(true) => self.reply.int(1),
            Value::Integer(n) => self.reply.int(*n),
            Value::Number(n) => self.reply.int(truncated(*n)),
            Value::Table(table) => return self.put_table(table, depth),
            _ => self.reply.null(),
        }
        Ok(())
    }

    fn put_table(&mut self, table: &Table, depth: usize) -> mlua::Result<()> {
        if self.put_marked(table, depth)? {
            return Ok(());
        }
        // Counted first: what is held at a time must be little (see `vm`).
        let mut len = 0;
        while !table.raw_get::<Value>(len + 1)?.is_nil() {
            len += 1;
        }
        self.reply.array(len);
        (1..=len).try_for_each(|i| self.put(&table.raw_get::<Value>(i)?, depth + 1))
    }

    /// Writes a table that says by the name of a field what it is. False: it does not.
    fn put_marked(&mut self, table: &Table, depth: usize) -> mlua::Result<bool> {
        if let Value::String(text) = table.raw_get::<Value>("err")? {
            self.reply.error(&CommandError::new(text.to_string_lossy()));
            return Ok(true);
        }
        if let Value::String(text) = table.raw_get::<Value>("ok")? {
            self.reply.simple(&text.to_string_lossy().replace(['\r', '\n'], " "));
            return Ok(true);
        }
        if let Some(x) = table.raw_get::<Value>("double")?.as_f64() {
            self.reply.double(x);
            return Ok(true);
        }
        if let Value::Table(map) = table.raw_get::<Value>("map")? {
            self.put_pairs(&map, true, depth)?;
            return Ok(true);
        }
        if let Value::Table(set) = table.raw_get::<Value>("set")? {
            self.put_pairs(&set, false, depth)?;
            return Ok(true);
        }
        if let Value::String(number) = table.raw_get::<Value>("big_number")? {
            self.reply.big_number(&number.to_string_lossy().replace(['\r', '\n'], " "));
            return Ok(true);
        }
        match table.raw_get::<Value>("verbatim_string")? {
            Value::Table(verbatim) => self.put_verbatim(&verbatim),
            _ => Ok(false),
        }
    }

    /// Writes a map, or its keys as a set.
    fn put_pairs(&mut self, table: &Table, is_map: bool, depth: usize) -> mlua::Result<()> {
        let len = ordered_len(table)?;
        if is_map {
            self.reply.map(len);
        } else {
            self.reply.set(len);
        }
        for pair in table.pairs::<Value, Value>() {
            let (name, value) = pair?;
            self.put(&name, depth + 1)?;
            if is_map {
                self.put(&value, depth + 1)?;
            }
        }
        Ok(())
    }

    fn put_verbatim(&mut self, verbatim: &Table) -> mlua::Result<bool> {
        let (format, text) = (verbatim.raw_get::<Value>("format")?, verbatim.raw_get::<Value>("string")?);
        let (Value::String(format), Value::String(text)) = (format, text) else { return Ok(false) };
        let Ok(format) = <[u8; 3]>::try_from(&format.as_bytes()[..]) else { return Ok(false) };
        self.reply.verbatim(format, &text.as_bytes());
        Ok(true)
    }
}

/// How many keys a table has, if all nodes find them in the same order.
///
/// # Errors
/// A key whose place follows from its address.
pub(super) fn ordered_len(table: &Table) -> mlua::Result<usize> {
    let mut len = 0;
    for pair in table.pairs::<Value, Value>() {
        if matches!(pair?.0, Value::Table(_) | Value::Function(_) | Value::Thread(_) | Value::UserData(_)) {
            let text = "the order of a table with tables or functions as keys is not the same on every node";
            return Err(Error::RuntimeError(text.to_owned()));
        }
        len += 1;
    }
    Ok(len)
}

/// As a cast of C on the machines that Redis runs on.
fn truncated(n: f64) -> i64 {
    if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&n) { n as i64 } else { i64::MIN }
}
