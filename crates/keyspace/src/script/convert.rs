//! Between replies and values of Lua.

use mlua::{Lua, Table, Value};
use quorate_resp::Value as Resp;

use crate::{error::CommandError, reply::Reply};

/// Deepest nesting of a result.
const DEPTH_MAX: usize = 1000;

/// A table with an error, as pcall and redis.error_reply give it.
pub(super) fn error_table(lua: &Lua, text: &str) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("err", text)?;
    Ok(table)
}

/// A reply as a script sees it. In RESP2 there are no other values than those of its first lines.
pub(super) fn to_lua(lua: &Lua, reply: &Resp, resp3: bool) -> mlua::Result<Value> {
    let wrapped = |name: &str, value: Value| -> mlua::Result<Value> {
        let table = lua.create_table()?;
        table.raw_set(name, value)?;
        Ok(Value::Table(table))
    };
    Ok(match reply {
        Resp::Int(n) => Value::Number(*n as f64),
        Resp::Bulk(bytes) => Value::String(lua.create_string(bytes)?),
        Resp::Null | Resp::NullArray if resp3 => Value::Nil,
        Resp::Null | Resp::NullArray => Value::Boolean(false),
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
        table.raw_set(i + 1, to_lua(lua, item, resp3)?)?;
    }
    Ok(table)
}

/// Writes the result of a script as a reply. `resp3`: after redis.setresp(3) a boolean is one, else 1 or null.
pub(crate) fn to_reply(value: &Value, resp3: bool, reply: &mut Reply<'_>) {
    Writer { resp3, reply }.put(value, 0);
}

struct Writer<'a, 'b> {
    resp3: bool,
    reply: &'a mut Reply<'b>,
}

impl Writer<'_, '_> {

fn put(&mut self, value: &Value, depth: usize) {
    if depth > DEPTH_MAX {
        return self.reply.error(&CommandError::fixed("ERR reached lua stack limit"));
    }
    match value {
        Value::String(string) => self.reply.bulk(&string.as_bytes()),
        Value::Boolean(yes) if self.resp3 => self.reply.boolean(*yes),
        Value::Boolean(true) => self.reply.int(1),
        Value::Integer(n) => self.reply.int(*n),
        Value::Number(n) => self.reply.int(truncated(*n)),
        Value::Table(table) => self.put_table(table, depth),
        _ => self.reply.null(),
    }
}

fn put_table(&mut self, table: &Table, depth: usize) {
    let get = |name: &str| table.raw_get::<Value>(name).unwrap_or(Value::Nil);
    if let Value::String(text) = get("err") {
        return self.reply.error(&CommandError::new(text.to_string_lossy()));
    }
    if let Value::String(text) = get("ok") {
        return self.reply.simple(&text.to_string_lossy().replace(['\r', '\n'], " "));
    }
    match get("double") {
        Value::Number(x) => return self.reply.double(x),
        Value::Integer(n) => return self.reply.double(n as f64),
        _ => {}
    }
    if let Value::Table(map) = get("map") {
        let pairs: Vec<(Value, Value)> = map.pairs().filter_map(Result::ok).collect();
        self.reply.map(pairs.len());
        for (name, value) in &pairs {
            self.put(name, depth + 1);
            self.put(value, depth + 1);
        }
        return;
    }
    if let Value::Table(set) = get("set") {
        let members: Vec<Value> =
            set.pairs::<Value, Value>().filter_map(Result::ok).map(|(member, _)| member).collect();
        self.reply.set(members.len());
        members.iter().for_each(|member| self.put(member, depth + 1));
        return;
    }
    if let Value::String(number) = get("big_number") {
        return self.reply.big_number(&number.to_string_lossy().replace(['\r', '\n'], " "));
    }
    if let Value::Table(verbatim) = get("verbatim_string") {
        let format = verbatim.raw_get::<mlua::String>("format");
        let text = verbatim.raw_get::<mlua::String>("string");
        if let (Ok(format), Ok(text)) = (format, text)
            && let Ok(format) = <[u8; 3]>::try_from(&format.as_bytes()[..])
        {
            return self.reply.verbatim(format, &text.as_bytes());
        }
    }
    let items: Vec<Value> = (1..)
        .map(|i| table.raw_get::<Value>(i).unwrap_or(Value::Nil))
        .take_while(|item| !item.is_nil())
        .collect();
    self.reply.array(items.len());
    items.iter().for_each(|item| self.put(item, depth + 1));
}
}

/// As a cast of C on the machines that Redis runs on.
fn truncated(n: f64) -> i64 {
    if n.is_nan() || n >= 9_223_372_036_854_775_808.0 || n < -9_223_372_036_854_775_808.0 {
        return i64::MIN;
    }
    n as i64
}

