//! `cmsgpack`: MessagePack (the specification at github.com/msgpack).

use std::sync::Arc;

use mlua::{Lua, MultiValue, Table, Value};

use super::{number_arg, string_arg};
use crate::script::{
    args::{function, function_of_any},
    budget::Shared,
    convert::ordered_len,
    errors::error_here,
};

/// Deeper tables are packed as nil.
const PACK_DEPTH_MAX: usize = 16;

/// Deepest nesting of what is read.
const UNPACK_DEPTH_MAX: usize = 1000;

/// Most values that one call returns.
const VALUES_MAX: usize = 4000;

/// The table `cmsgpack`.
pub(super) fn table(lua: &Lua, shared: &Arc<Shared>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.set("_NAME", "cmsgpack")?;
    table.set("_VERSION", "lua-cmsgpack 0.4.0")?;
    let state = shared.clone();
    table.set("pack", function_of_any(lua, move |lua, args: MultiValue| pack(lua, &args, &state))?)?;
    let state = shared.clone();
    table.set(
        "unpack",
        function(lua, move |lua, args: MultiValue| {
            let (data, _) = data_and_offset(lua, &args, None, "unpack")?;
            drop(args);
            unpack(lua, &data.as_bytes(), 0, usize::MAX, &state).map(|(values, _)| values)
        })?,
    )?;
    let state = shared.clone();
    table.set(
        "unpack_one",
        function(lua, move |lua, args: MultiValue| {
            let (data, offset) = data_and_offset(lua, &args, Some(1), "unpack_one")?;
            drop(args);
            unpack_some(lua, &data.as_bytes(), offset, 1, &state)
        })?,
    )?;
    let state = shared.clone();
    table.set(
        "unpack_limit",
        function(lua, move |lua, args: MultiValue| {
            let limit = number_arg(lua, args.get(1), 2, "unpack_limit")?;
            let (data, offset) = data_and_offset(lua, &args, Some(2), "unpack_limit")?;
            drop(args);
            unpack_some(lua, &data.as_bytes(), offset, limit.max(0.0) as usize, &state)
        })?,
    )?;
    Ok(table)
}

fn data_and_offset(
    lua: &Lua,
    args: &MultiValue,
    offset_at: Option<usize>,
    name: &str,
) -> mlua::Result<(mlua::String, usize)> {
    let data = string_arg(lua, args.front(), 1, name)?;
    let offset = match offset_at.and_then(|i| args.get(i)) {
        None | Some(Value::Nil) => 0.0,
        value => number_arg(lua, value, offset_at.unwrap_or(0) + 1, name)?,
    };
    if offset < 0.0 || offset > data.as_bytes().len() as f64 {
        let text = format!("Start offset {offset} greater than input length {}.", data.as_bytes().len());
        return Err(error_here(lua, &text));
    }
    Ok((data, offset as usize))
}

fn pack(lua: &Lua, args: &MultiValue, shared: &Shared) -> mlua::Result<mlua::String> {
    if args.is_empty() {
        return Err(error_here(lua, "bad argument #0 to 'pack' (MessagePack pack needs input.)"));
    }
    let mut out = Vec::new();
    for value in args {
        put(lua, &mut out, value, 0, shared)?;
    }
    shared.charge(out.len() as u64 / 4)?;
    lua.create_string(&out)
}

fn put(lua: &Lua, out: &mut Vec<u8>, value: &Value, depth: usize, shared: &Shared) -> mlua::Result<()> {
    match value {
        Value::Boolean(false) => out.push(0xc2),
        Value::Boolean(true) => out.push(0xc3),
        Value::Integer(n) => put_int(out, *n),
        Value::Number(x) => put_number(out, *x),
        Value::String(string) => put_string(out, &string.as_bytes()),
        Value::Table(table) if depth < PACK_DEPTH_MAX => {
            shared.charge(10)?;
            match sequence_len(table)? {
                Some(len) => put_sequence(lua, out, table, len, depth, shared)?,
                None => put_map(lua, out, table, depth, shared)?,
            }
        }
        _ => out.push(0xc0),
    }
    Ok(())
}

/// The length of a table whose keys are 1, 2, 3 and so on.
fn sequence_len(table: &Table) -> mlua::Result<Option<usize>> {
    let (mut count, mut max) = (0_usize, 0.0_f64);
    for pair in table.pairs::<Value, Value>() {
        let key = match pair?.0 {
            Value::Integer(n) => n as f64,
            Value::Number(x) => x,
            _ => return Ok(None),
        };
        if key < 1.0 || key.fract() != 0.0 {
            return Ok(None);
        }
        count += 1;
        max = max.max(key);
    }
    Ok((max == count as f64).then_some(count))
}

fn put_sequence(
    lua: &Lua,
    out: &mut Vec<u8>,
    table: &Table,
    len: usize,
    depth: usize,
    shared: &Shared,
) -> mlua::Result<()> {
    put_head(out, len, 0x90, 15, [0xdc, 0xdd]);
    for i in 1..=len {
        put(lua, out, &table.raw_get::<Value>(i)?, depth + 1, shared)?;
    }
    Ok(())
}

fn put_map(lua: &Lua, out: &mut Vec<u8>, table: &Table, depth: usize, shared: &Shared) -> mlua::Result<()> {
    let len = ordered_len(table)?;
    shared.charge(len as u64)?;
    put_head(out, len, 0x80, 15, [0xde, 0xdf]);
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair?;
        put(lua, out, &key, depth + 1, shared)?;
        put(lua, out, &value, depth + 1, shared)?;
    }
    Ok(())
}

/// A short length within its first byte, or one of 16 or 32 bits.
fn put_head(out: &mut Vec<u8>, len: usize, short: u8, short_max: usize, long: [u8; 2]) {
    if len <= short_max {
        out.push(short | len as u8);
    } else if let Ok(len) = u16::try_from(len) {
        out.push(long[0]);
        out.extend(len.to_be_bytes());
    } else {
        out.push(long[1]);
        out.extend((len as u32).to_be_bytes());
    }
}

fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    match u8::try_from(bytes.len()) {
        Ok(len @ 32..) => out.extend([0xd9, len]),
        _ => put_head(out, bytes.len(), 0xa0, 31, [0xda, 0xdb]),
    }
    out.extend_from_slice(bytes);
}

fn put_number(out: &mut Vec<u8>, x: f64) {
    if x.trunc() == x && (-9.2e18..9.2e18).contains(&x) {
        return put_int(out, x as i64);
    }
    if f64::from(x as f32) == x {
        out.push(0xca);
        out.extend((x as f32).to_be_bytes());
    } else {
        out.push(0xcb);
        out.extend(x.to_be_bytes());
    }
}

fn put_int(out: &mut Vec<u8>, n: i64) {
    match n {
        0..=0x7f => out.push(n as u8),
        -32..=-1 => out.push(n as u8),
        0x80..=0xff => out.extend([0xcc, n as u8]),
        0x100..=0xffff => {
            out.push(0xcd);
            out.extend((n as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(0xce);
            out.extend((n as u32).to_be_bytes());
        }
        0x1_0000_0000.. => {
            out.push(0xcf);
            out.extend(n.to_be_bytes());
        }
        -0x80..=-33 => out.extend([0xd0, n as u8]),
        -0x8000..=-0x81 => {
            out.push(0xd1);
            out.extend((n as i16).to_be_bytes());
        }
        -0x8000_0000..=-0x8001 => {
            out.push(0xd2);
            out.extend((n as i32).to_be_bytes());
        }
        _ => {
            out.push(0xd3);
            out.extend(n.to_be_bytes());
        }
    }
}

/// At most `limit` values, and in front of them where the next one begins; -1 at the end.
fn unpack_some(
    lua: &Lua,
    data: &[u8],
    offset: usize,
    limit: usize,
    shared: &Shared,
) -> mlua::Result<MultiValue> {
    let (mut values, end) = unpack(lua, data, offset, limit, shared)?;
    values.push_front(Value::Number(if end == data.len() { -1.0 } else { end as f64 }));
    Ok(values)
}

fn unpack(
    lua: &Lua,
    data: &[u8],
    offset: usize,
    limit: usize,
    shared: &Shared,
) -> mlua::Result<(MultiValue, usize)> {
    shared.charge((data.len() - offset) as u64 / 4)?;
    let mut reader = Reader { lua, data, at: offset, shared };
    let mut values = Vec::new();
    while values.len() < limit && reader.at < data.len() {
        if values.len() == VALUES_MAX {
            return Err(error_here(lua, "stack overflow (in function mp_unpack_full)"));
        }
        values.push(reader.value(0)?);
    }
    Ok((MultiValue::from_vec(values), reader.at))
}

struct Reader<'a> {
    lua: &'a Lua,
    data: &'a [u8],
    at: usize,
    shared: &'a Shared,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> mlua::Result<&'a [u8]> {
        let bytes = self.at.checked_add(len).and_then(|end| self.data.get(self.at..end));
        let bytes = bytes.ok_or_else(|| error_here(self.lua, "Missing bytes in input."))?;
        self.at += len;
        Ok(bytes)
    }

    /// An unsigned number of so many bytes.
    fn number(&mut self, bytes: usize) -> mlua::Result<u64> {
        Ok(self.take(bytes)?.iter().fold(0, |n, byte| n << 8 | u64::from(*byte)))
    }

    fn value(&mut self, depth: usize) -> mlua::Result<Value> {
        if depth > UNPACK_DEPTH_MAX {
            return Err(error_here(self.lua, "Bad data format in input."));
        }
        self.shared.charge(2)?;
        let code = self.take(1)?[0];
        Ok(match code {
            0x00..=0x7f => Value::Number(f64::from(code)),
            0x80..=0x8f => self.map(usize::from(code & 0xf), depth)?,
            0x90..=0x9f => self.sequence(usize::from(code & 0xf), depth)?,
            0xa0..=0xbf => self.string(usize::from(code & 0x1f))?,
            0xc0 => Value::Nil,
            0xc2 => Value::Boolean(false),
            0xc3 => Value::Boolean(true),
            0xca => Value::Number(f64::from(f32::from_bits(self.number(4)? as u32))),
            0xcb => Value::Number(f64::from_bits(self.number(8)?)),
            0xcc..=0xcf => Value::Number(self.number(1 << (code - 0xcc))? as f64),
            0xd0..=0xd3 => {
                let bytes = 1 << (code - 0xd0);
                let unused = 64 - 8 * bytes;
                Value::Number(((self.number(bytes)? << unused) as i64 >> unused) as f64)
            }
            0xc4 | 0xd9 => self.sized(1, Self::string)?,
            0xc5 | 0xda => self.sized(2, Self::string)?,
            0xc6 | 0xdb => self.sized(4, Self::string)?,
            0xdc => self.sized(2, |reader, len| reader.sequence(len, depth))?,
            0xdd => self.sized(4, |reader, len| reader.sequence(len, depth))?,
            0xde => self.sized(2, |reader, len| reader.map(len, depth))?,
            0xdf => self.sized(4, |reader, len| reader.map(len, depth))?,
            0xe0..=0xff => Value::Number(f64::from(code as i8)),
            _ => return Err(error_here(self.lua, "Bad data format in input.")),
        })
    }

    fn sized(
        &mut self,
        bytes: usize,
        take: impl FnOnce(&mut Self, usize) -> mlua::Result<Value>,
    ) -> mlua::Result<Value> {
        let len = self.number(bytes)? as usize;
        take(self, len)
    }

    fn string(&mut self, len: usize) -> mlua::Result<Value> {
        let bytes = self.take(len)?;
        self.lua.create_string(bytes).map(Value::String)
    }

    fn sequence(&mut self, len: usize, depth: usize) -> mlua::Result<Value> {
        let table = self.lua.create_table()?;
        for i in 1..=len {
            table.raw_set(i, self.value(depth + 1)?)?;
        }
        Ok(Value::Table(table))
    }

    fn map(&mut self, len: usize, depth: usize) -> mlua::Result<Value> {
        let table = self.lua.create_table()?;
        for _ in 0..len {
            let (key, value) = (self.value(depth + 1)?, self.value(depth + 1)?);
            let is_nan = matches!(key, Value::Number(x) if x.is_nan());
            if key.is_nil() || is_nan {
                return Err(error_here(self.lua, "Bad data format in input."));
            }
            table.raw_set(key, value)?;
        }
        Ok(Value::Table(table))
    }
}
