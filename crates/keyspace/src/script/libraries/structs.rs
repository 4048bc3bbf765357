//! `struct`: numbers and strings as bytes, by formats as in the library of that name.

use std::sync::Arc;

use mlua::{Lua, MultiValue, Table, Value};

use super::{number_arg, string_arg};
use crate::script::{args::function, budget::Shared, errors::error_here};

/// Largest size of an integer.
const INT_BYTES_MAX: usize = 32;

/// The alignment of `!`.
const NATIVE_ALIGN: usize = 8;

/// Longest result of `pack`.
const PACKED_BYTES_MAX: usize = 512 << 20;

/// Most values that one call returns.
const VALUES_MAX: usize = 4000;

/// The table `struct`.
pub(super) fn table(lua: &Lua, shared: &Arc<Shared>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    let state = shared.clone();
    table.set("pack", function(lua, move |lua, args: MultiValue| pack(lua, &args, &state))?)?;
    let state = shared.clone();
    table.set("unpack", function(lua, move |lua, args: MultiValue| unpack(lua, args, &state))?)?;
    table.set("size", function(lua, |lua, args: MultiValue| size(lua, &args))?)?;
    Ok(table)
}

/// One thing that a format asks for.
enum Item {
    Int {
        bytes: usize,
        signed: bool,
    },
    Float,
    Double,
    /// Up to a zero byte.
    Zero,
    /// So many bytes; 0: as many as the number before says, or the whole string.
    Chars(usize),
    Padding,
}

/// Reads a format, item by item.
struct Format<'a> {
    lua: &'a Lua,
    rest: &'a [u8],
    little: bool,
    align_max: usize,
    /// Whom an error names.
    function: &'static str,
}

impl<'a> Format<'a> {
    fn new(lua: &'a Lua, text: &'a [u8], function: &'static str) -> Self {
        Self { lua, rest: text, little: true, align_max: 1, function }
    }

    fn number(&mut self, default: usize) -> mlua::Result<usize> {
        let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (text, rest) = self.rest.split_at(digits);
        self.rest = rest;
        if digits == 0 {
            return Ok(default);
        }
        let number = std::str::from_utf8(text).ok().and_then(|text| text.parse::<i32>().ok());
        let number = number.and_then(|n| usize::try_from(n).ok());
        number.ok_or_else(|| error_here(self.lua, "integral size overflow"))
    }

    /// The next item, and how many bytes of padding stand before it at `at`.
    fn next(&mut self, at: usize) -> mlua::Result<Option<(Item, usize)>> {
        while let Some((&code, rest)) = self.rest.split_first() {
            self.rest = rest;
            let (item, size) = match code {
                b'b' | b'B' => (Item::Int { bytes: 1, signed: code == b'b' }, 1),
                b'h' | b'H' => (Item::Int { bytes: 2, signed: code == b'h' }, 2),
                b'l' | b'L' => (Item::Int { bytes: 8, signed: code == b'l' }, 8),
                b'T' => (Item::Int { bytes: 8, signed: false }, 8),
                b'i' | b'I' => {
                    let bytes = self.number(4)?;
                    if bytes == 0 || bytes > INT_BYTES_MAX {
                        let text = format!("integral size {bytes} is larger than limit of {INT_BYTES_MAX}");
                        return Err(error_here(self.lua, &text));
                    }
                    (Item::Int { bytes, signed: code == b'i' }, bytes)
                }
                b'f' => (Item::Float, 4),
                b'd' | b'n' => (Item::Double, 8),
                b's' => (Item::Zero, 1),
                b'c' => (Item::Chars(self.number(1)?), 1),
                b'x' => (Item::Padding, 1),
                b' ' => continue,
                b'<' | b'=' => {
                    self.little = true;
                    continue;
                }
                b'>' => {
                    self.little = false;
                    continue;
                }
                b'!' => {
                    let align = self.number(NATIVE_ALIGN)?;
                    if !align.is_power_of_two() {
                        return Err(error_here(self.lua, "alignment is not a power of 2"));
                    }
                    self.align_max = align;
                    continue;
                }
                code => {
                    let text = format!(
                        "bad argument #1 to '{}' (invalid format option '{}')",
                        self.function,
                        char::from(code)
                    );
                    return Err(error_here(self.lua, &text));
                }
            };
            let align = size.min(self.align_max);
            let padding = if align > 1 { (align - (at & (align - 1))) & (align - 1) } else { 0 };
            return Ok(Some((item, padding)));
        }
        Ok(None)
    }
}

fn pack(lua: &Lua, args: &MultiValue, shared: &Shared) -> mlua::Result<mlua::String> {
    let text = string_arg(lua, args.front(), 1, "pack")?;
    let text = text.as_bytes();
    let mut format = Format::new(lua, &text, "pack");
    let mut out = Vec::new();
    let mut n = 1;
    while let Some((item, padding)) = format.next(out.len())? {
        out.resize(out.len() + padding, 0);
        let value = args.get(n).or(Some(&Value::Nil).filter(|_| n == args.len()));
        n += usize::from(!matches!(item, Item::Padding));
        match item {
            Item::Int { bytes, .. } => {
                let x = number_arg(lua, value, n, "pack")?;
                put_int(&mut out, int_of(x), bytes, format.little);
            }
            Item::Float => {
                let x = number_arg(lua, value, n, "pack")? as f32;
                out.extend(if format.little { x.to_le_bytes() } else { x.to_be_bytes() });
            }
            Item::Double => {
                let x = number_arg(lua, value, n, "pack")?;
                out.extend(if format.little { x.to_le_bytes() } else { x.to_be_bytes() });
            }
            Item::Zero => {
                out.extend_from_slice(&string_arg(lua, value, n, "pack")?.as_bytes());
                out.push(0);
            }
            Item::Chars(len) => {
                let string = string_arg(lua, value, n, "pack")?;
                let string = string.as_bytes();
                let len = if len == 0 { string.len() } else { len };
                let part = string.get(..len).ok_or_else(|| {
                    error_here(lua, &format!("bad argument #{} to 'pack' (string too short)", n + 1))
                })?;
                out.extend_from_slice(part);
            }
            Item::Padding => out.push(0),
        }
        if out.len() > PACKED_BYTES_MAX {
            return Err(error_here(lua, "the result is too large"));
        }
    }
    shared.charge(out.len() as u64 / 8)?;
    lua.create_string(&out)
}

/// As a cast of C makes an integer of a number, for numbers of either sign.
fn int_of(x: f64) -> i64 {
    if x >= 9_223_372_036_854_775_808.0 { x as u64 as i64 } else { x as i64 }
}

fn put_int(out: &mut Vec<u8>, n: i64, bytes: usize, little: bool) {
    let sign = if n < 0 { 0xff } else { 0 };
    let low = n.to_le_bytes();
    let byte = |i: usize| low.get(i).copied().unwrap_or(sign);
    if little {
        out.extend((0..bytes).map(byte));
    } else {
        out.extend((0..bytes).rev().map(byte));
    }
}

fn unpack(lua: &Lua, mut args: MultiValue, shared: &Shared) -> mlua::Result<MultiValue> {
    let text = string_arg(lua, args.front(), 1, "unpack")?;
    let data = string_arg(lua, args.get(1), 2, "unpack")?;
    let (text, data) = (text.as_bytes(), data.as_bytes());
    let start = match args.get(2) {
        None | Some(Value::Nil) => 1.0,
        value => number_arg(lua, value, 3, "unpack")?,
    };
    if start < 1.0 {
        return Err(error_here(lua, "bad argument #3 to 'unpack' (offset must be 1 or greater)"));
    }
    args.truncate(3);
    shared.charge(text.len() as u64 + data.len() as u64 / 8)?;
    let mut format = Format::new(lua, &text, "unpack");
    let mut at = start as usize - 1;
    let mut values: Vec<Value> = Vec::new();
    let short = || error_here(lua, "bad argument #2 to 'unpack' (data string too short)");
    while let Some((item, padding)) = format.next(at)? {
        if values.len() == VALUES_MAX {
            return Err(error_here(lua, "stack overflow (too many results)"));
        }
        at = at.saturating_add(padding);
        let here = at;
        let mut take = |len: usize| -> mlua::Result<&[u8]> {
            let end = at.checked_add(len).ok_or_else(short)?;
            let bytes = data.get(at..end).ok_or_else(short)?;
            at = end;
            Ok(bytes)
        };
        match item {
            Item::Int { bytes, signed } => {
                values.push(Value::Number(take_int(take(bytes)?, signed, format.little)));
            }
            Item::Float => {
                let bytes: [u8; 4] = take(4)?.try_into().expect("four bytes");
                let x = if format.little { f32::from_le_bytes(bytes) } else { f32::from_be_bytes(bytes) };
                values.push(Value::Number(f64::from(x)));
            }
            Item::Double => {
                let bytes: [u8; 8] = take(8)?.try_into().expect("eight bytes");
                let x = if format.little { f64::from_le_bytes(bytes) } else { f64::from_be_bytes(bytes) };
                values.push(Value::Number(x));
            }
            Item::Zero => {
                let rest = data.get(here..).ok_or_else(short)?;
                let len = rest.iter().position(|byte| *byte == 0);
                let len = len.ok_or_else(|| error_here(lua, "unfinished string in data"))?;
                values.push(Value::String(lua.create_string(&take(len + 1)?[..len])?));
            }
            Item::Chars(0) => {
                let len = match values.pop() {
                    Some(Value::Number(x)) if x >= 0.0 => x as usize,
                    _ => return Err(error_here(lua, "format 'c0' needs a previous size")),
                };
                values.push(Value::String(lua.create_string(take(len)?)?));
            }
            Item::Chars(len) => values.push(Value::String(lua.create_string(take(len)?)?)),
            Item::Padding => {
                take(1)?;
            }
        }
    }
    values.push(Value::Number(at as f64 + 1.0));
    Ok(MultiValue::from_vec(values))
}

fn take_int(bytes: &[u8], signed: bool, little: bool) -> f64 {
    let mut low = [0_u8; 8];
    let len = bytes.len().min(8);
    for (i, place) in low[..len].iter_mut().enumerate() {
        *place = if little { bytes[i] } else { bytes[bytes.len() - 1 - i] };
    }
    let n = u64::from_le_bytes(low);
    if !signed {
        return n as f64;
    }
    let unused = 64 - 8 * len;
    ((n << unused) as i64 >> unused) as f64
}

fn size(lua: &Lua, args: &MultiValue) -> mlua::Result<f64> {
    let text = string_arg(lua, args.front(), 1, "size")?;
    let text = text.as_bytes();
    let mut format = Format::new(lua, &text, "size");
    let mut total = 0_usize;
    while let Some((item, padding)) = format.next(total)? {
        let size = match item {
            Item::Int { bytes, .. } => bytes,
            Item::Float => 4,
            Item::Double => 8,
            Item::Zero => {
                return Err(error_here(lua, "bad argument #1 to 'size' (option 's' has no fixed size)"));
            }
            Item::Chars(0) => {
                return Err(error_here(lua, "bad argument #1 to 'size' (option 'c0' has no fixed size)"));
            }
            Item::Chars(len) => len,
            Item::Padding => 1,
        };
        total = total.saturating_add(padding + size);
    }
    Ok(total as f64)
}
