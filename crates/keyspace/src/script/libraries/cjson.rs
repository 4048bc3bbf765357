//! `cjson`: JSON, with the limits and the errors of the library of that name.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
};

use mlua::{LightUserData, Lua, MultiValue, Table, Value};

use super::{number_arg, string_arg, type_name};
use crate::{
    number::format_g,
    script::{
        args::{function, function_of_any},
        budget::Shared,
        convert::ordered_len,
        errors::error_here,
    },
};

/// Deepest nesting, until a script sets it lower: what is asked for beyond it would not fit the stack (nor does it in Redis).
const DEPTH_MAX: usize = 1000;
const PRECISION_DEFAULT: usize = 14;

/// How sparse a table may be and still be an array: its last key against the number of them, if it is beyond `SAFE`.
const SPARSE_RATIO: usize = 2;
const SPARSE_SAFE: usize = 10;

/// The table `cjson`. Its settings hold for one run: the next one begins with the defaults.
pub(super) fn table(lua: &Lua, shared: &Arc<Shared>) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.set("_NAME", "cjson")?;
    table.set("_VERSION", "2.1.0")?;
    table.set("null", Value::NULL)?;
    let settings = Arc::new(Settings::default());
    let (state, own) = (shared.clone(), settings.clone());
    table.set(
        "encode",
        function_of_any(lua, move |lua, args: MultiValue| encode(lua, &args, own.now(&state), &state))?,
    )?;
    let (state, own) = (shared.clone(), settings.clone());
    table.set(
        "decode",
        function(lua, move |lua, args: MultiValue| decode(lua, &args, own.now(&state), &state))?,
    )?;
    settings_functions(lua, &table, shared, &settings)?;
    Ok(table)
}

/// What scripts may set for themselves.
#[derive(Debug)]
struct Settings {
    /// The run that they belong to.
    run: std::sync::atomic::AtomicU64,
    encode_depth: AtomicUsize,
    decode_depth: AtomicUsize,
    precision: AtomicUsize,
    /// Sparse tables become objects instead of errors.
    convert_sparse: AtomicBool,
    sparse_ratio: AtomicUsize,
    sparse_safe: AtomicUsize,
    encode_invalid: AtomicBool,
    decode_invalid: AtomicBool,
}

impl Default for Settings {
    fn default() -> Self {
        let settings = Self {
            run: 0.into(),
            encode_depth: 0.into(),
            decode_depth: 0.into(),
            precision: 0.into(),
            convert_sparse: false.into(),
            sparse_ratio: 0.into(),
            sparse_safe: 0.into(),
            encode_invalid: false.into(),
            decode_invalid: false.into(),
        };
        settings.reset();
        settings
    }
}

impl Settings {
    fn reset(&self) {
        self.encode_depth.store(DEPTH_MAX, Relaxed);
        self.decode_depth.store(DEPTH_MAX, Relaxed);
        self.precision.store(PRECISION_DEFAULT, Relaxed);
        self.convert_sparse.store(false, Relaxed);
        self.sparse_ratio.store(SPARSE_RATIO, Relaxed);
        self.sparse_safe.store(SPARSE_SAFE, Relaxed);
        self.encode_invalid.store(false, Relaxed);
        self.decode_invalid.store(true, Relaxed);
    }

    /// Those of this run.
    fn now(&self, shared: &Shared) -> &Self {
        if self.run.swap(shared.run(), Relaxed) != shared.run() {
            self.reset();
        }
        self
    }
}

fn settings_functions(
    lua: &Lua,
    table: &Table,
    shared: &Arc<Shared>,
    settings: &Arc<Settings>,
) -> mlua::Result<()> {
    let number = |name: &'static str, of: fn(&Settings) -> &AtomicUsize, min: usize, max: usize| {
        let (state, own) = (shared.clone(), settings.clone());
        let function = function(lua, move |lua, args: MultiValue| {
            let place = of(own.now(&state));
            if !matches!(args.front(), None | Some(Value::Nil)) {
                let x = number_arg(lua, args.front(), 1, name)?;
                if !(min as f64..=max as f64).contains(&x) {
                    let text =
                        format!("bad argument #1 to '{name}' (expected integer between {min} and {max})");
                    return Err(error_here(lua, &text));
                }
                place.store(x as usize, Relaxed);
            }
            Ok(place.load(Relaxed) as f64)
        })?;
        table.set(name, function)
    };
    number("encode_max_depth", |s| &s.encode_depth, 1, i32::MAX as usize)?;
    number("decode_max_depth", |s| &s.decode_depth, 1, i32::MAX as usize)?;
    number("encode_number_precision", |s| &s.precision, 1, 14)?;
    let flag = |name: &'static str, of: fn(&Settings) -> &AtomicBool| {
        let (state, own) = (shared.clone(), settings.clone());
        let function = function(lua, move |_, args: MultiValue| {
            let place = of(own.now(&state));
            match args.front() {
                None | Some(Value::Nil) => {}
                Some(Value::Boolean(yes)) => place.store(*yes, Relaxed),
                Some(Value::String(word)) => place.store(&*word.as_bytes() == b"on", Relaxed),
                Some(_) => {}
            }
            Ok(place.load(Relaxed))
        })?;
        table.set(name, function)
    };
    flag("encode_invalid_numbers", |s| &s.encode_invalid)?;
    flag("decode_invalid_numbers", |s| &s.decode_invalid)?;
    table.set("encode_keep_buffer", function(lua, |_, _: MultiValue| Ok(true))?)?;
    let (state, own) = (shared.clone(), settings.clone());
    table.set(
        "encode_sparse_array",
        lua.create_function(move |_, (convert, ratio, safe): (Option<bool>, Option<f64>, Option<f64>)| {
            let own = own.now(&state);
            if let Some(convert) = convert {
                own.convert_sparse.store(convert, Relaxed);
            }
            if let Some(ratio) = ratio {
                own.sparse_ratio.store(ratio.max(0.0) as usize, Relaxed);
            }
            if let Some(safe) = safe {
                own.sparse_safe.store(safe.max(0.0) as usize, Relaxed);
            }
            let (ratio, safe) = (own.sparse_ratio.load(Relaxed), own.sparse_safe.load(Relaxed));
            Ok((own.convert_sparse.load(Relaxed), ratio as f64, safe as f64))
        })?,
    )
}

fn encode(lua: &Lua, args: &MultiValue, settings: &Settings, shared: &Shared) -> mlua::Result<mlua::String> {
    let (Some(value), 1) = (args.front(), args.len()) else {
        return Err(error_here(lua, "bad argument #1 to 'encode' (expected 1 argument)"));
    };
    let mut encoder = Encoder { lua, settings, shared, out: Vec::new() };
    encoder.put(value, 0)?;
    shared.charge(encoder.out.len() as u64 / 4)?;
    lua.create_string(&encoder.out)
}

struct Encoder<'a> {
    lua: &'a Lua,
    settings: &'a Settings,
    shared: &'a Shared,
    out: Vec<u8>,
}

impl Encoder<'_> {
    fn fail(&self, what: &Value, why: &str) -> mlua::Error {
        error_here(self.lua, &format!("Cannot serialise {}: {why}", type_name(what)))
    }

    fn put(&mut self, value: &Value, depth: usize) -> mlua::Result<()> {
        match value {
            Value::Nil => self.out.extend_from_slice(b"null"),
            Value::LightUserData(LightUserData(pointer)) if pointer.is_null() => {
                self.out.extend_from_slice(b"null");
            }
            Value::Boolean(yes) => self.out.extend_from_slice(if *yes { b"true" } else { b"false" }),
            Value::Integer(n) => self.number(*n as f64)?,
            Value::Number(x) => self.number(*x)?,
            Value::String(string) => self.string(&string.as_bytes()),
            Value::Table(table) => self.table(table, depth + 1)?,
            other => return Err(self.fail(other, "type not supported")),
        }
        Ok(())
    }

    fn number(&mut self, x: f64) -> mlua::Result<()> {
        if !x.is_finite() && !self.settings.encode_invalid.load(Relaxed) {
            return Err(self.fail(&Value::Number(x), "must not be NaN or Inf"));
        }
        let text = format_g(x, self.settings.precision.load(Relaxed));
        self.out.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn string(&mut self, bytes: &[u8]) {
        self.out.push(b'"');
        for &byte in bytes {
            match byte {
                b'"' | b'\\' | b'/' => self.out.extend([b'\\', byte]),
                8 => self.out.extend_from_slice(b"\\b"),
                9 => self.out.extend_from_slice(b"\\t"),
                10 => self.out.extend_from_slice(b"\\n"),
                12 => self.out.extend_from_slice(b"\\f"),
                13 => self.out.extend_from_slice(b"\\r"),
                0..=31 | 127 => self.out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
                _ => self.out.push(byte),
            }
        }
        self.out.push(b'"');
    }

    fn table(&mut self, table: &Table, depth: usize) -> mlua::Result<()> {
        if depth > self.settings.encode_depth.load(Relaxed).min(DEPTH_MAX) {
            let text = format!("Cannot serialise, excessive nesting ({depth})");
            return Err(error_here(self.lua, &text));
        }
        self.shared.charge(10)?;
        match self.array_len(table)? {
            Some(len) => {
                self.out.push(b'[');
                for i in 1..=len {
                    if i > 1 {
                        self.out.push(b',');
                    }
                    self.put(&table.raw_get::<Value>(i)?, depth)?;
                }
                self.out.push(b']');
                Ok(())
            }
            None => self.object(table, depth),
        }
    }

    /// The last key, if the table is an array; an empty one is an object.
    fn array_len(&self, table: &Table) -> mlua::Result<Option<usize>> {
        let (mut max, mut count) = (0_usize, 0_usize);
        for pair in table.pairs::<Value, Value>() {
            let key = match pair?.0 {
                Value::Integer(n) => n as f64,
                Value::Number(x) => x,
                _ => return Ok(None),
            };
            if key < 1.0 || key.fract() != 0.0 || key > f64::from(i32::MAX) {
                return Ok(None);
            }
            max = max.max(key as usize);
            count += 1;
        }
        let (ratio, safe) =
            (self.settings.sparse_ratio.load(Relaxed), self.settings.sparse_safe.load(Relaxed));
        if ratio > 0 && max > count * ratio && max > safe {
            if !self.settings.convert_sparse.load(Relaxed) {
                let table = Value::Table(table.clone());
                return Err(self.fail(&table, "excessively sparse array"));
            }
            return Ok(None);
        }
        Ok((count > 0).then_some(max))
    }

    fn object(&mut self, table: &Table, depth: usize) -> mlua::Result<()> {
        let len = ordered_len(table)?;
        self.shared.charge(len as u64)?;
        self.out.push(b'{');
        for (i, pair) in table.pairs::<Value, Value>().enumerate() {
            let (key, value) = pair?;
            if i > 0 {
                self.out.push(b',');
            }
            match &key {
                Value::String(name) => self.string(&name.as_bytes()),
                Value::Integer(_) | Value::Number(_) => {
                    self.out.push(b'"');
                    self.put(&key, depth)?;
                    self.out.push(b'"');
                }
                other => return Err(self.fail(other, "table key must be a number or string")),
            }
            self.out.push(b':');
            self.put(&value, depth)?;
        }
        self.out.push(b'}');
        Ok(())
    }
}

fn decode(lua: &Lua, args: &MultiValue, settings: &Settings, shared: &Shared) -> mlua::Result<Value> {
    if args.len() != 1 {
        return Err(error_here(lua, "bad argument #1 to 'decode' (expected 1 argument)"));
    }
    let text = string_arg(lua, args.front(), 1, "decode")?;
    let text = text.as_bytes();
    shared.charge(text.len() as u64 / 2)?;
    let mut decoder = Decoder { lua, settings, shared, text: &text, at: 0 };
    let value = decoder.value(0)?;
    decoder.skip_blanks();
    if decoder.at < text.len() {
        return Err(decoder.unexpected("the end"));
    }
    Ok(value)
}

struct Decoder<'a> {
    lua: &'a Lua,
    settings: &'a Settings,
    shared: &'a Shared,
    text: &'a [u8],
    at: usize,
}

impl Decoder<'_> {
    fn skip_blanks(&mut self) {
        while self.text.get(self.at).is_some_and(|byte| b" \t\n\r".contains(byte)) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// The token here is not the one wanted.
    fn unexpected(&self, wanted: &str) -> mlua::Error {
        let rest = &self.text[self.at.min(self.text.len())..];
        let found = match rest.first() {
            None => "T_END",
            Some(b'{') => "T_OBJ_BEGIN",
            Some(b'}') => "T_OBJ_END",
            Some(b'[') => "T_ARR_BEGIN",
            Some(b']') => "T_ARR_END",
            Some(b',') => "T_COMMA",
            Some(b':') => "T_COLON",
            Some(b'"') => "T_STRING",
            Some(b'0'..=b'9' | b'-') => "T_NUMBER",
            Some(_) if rest.starts_with(b"true") || rest.starts_with(b"false") => "T_BOOLEAN",
            Some(_) if rest.starts_with(b"null") => "T_NULL",
            Some(_) => "invalid token",
        };
        error_here(self.lua, &format!("Expected {wanted} but found {found} at character {}", self.at + 1))
    }

    fn value(&mut self, depth: usize) -> mlua::Result<Value> {
        self.skip_blanks();
        let rest = &self.text[self.at..];
        for (word, value) in
            [(&b"true"[..], Value::Boolean(true)), (b"false", Value::Boolean(false)), (b"null", Value::NULL)]
        {
            if rest.starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        match self.peek() {
            Some(b'"') => self.string().and_then(|bytes| self.lua.create_string(&bytes)).map(Value::String),
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            Some(b'0'..=b'9' | b'-' | b'+' | b'i' | b'I' | b'n' | b'N') => self.number(),
            _ => Err(self.unexpected("value")),
        }
    }

    fn enter(&mut self, depth: usize) -> mlua::Result<()> {
        self.at += 1;
        self.shared.charge(10)?;
        if depth > self.settings.decode_depth.load(Relaxed).min(DEPTH_MAX) {
            let text = format!("Found too many nested data structures ({depth}) at character {}", self.at);
            return Err(error_here(self.lua, &text));
        }
        Ok(())
    }

    fn array(&mut self, depth: usize) -> mlua::Result<Value> {
        self.enter(depth)?;
        let table = self.lua.create_table()?;
        self.skip_blanks();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::Table(table));
        }
        for i in 1.. {
            table.raw_set(i, self.value(depth)?)?;
            self.skip_blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return Err(self.unexpected("comma or array end")),
            }
        }
        self.at += 1;
        Ok(Value::Table(table))
    }

    fn object(&mut self, depth: usize) -> mlua::Result<Value> {
        self.enter(depth)?;
        let table = self.lua.create_table()?;
        self.skip_blanks();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Table(table));
        }
        loop {
            self.skip_blanks();
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("object key string"));
            }
            let key = self.string()?;
            self.skip_blanks();
            if self.peek() != Some(b':') {
                return Err(self.unexpected("colon"));
            }
            self.at += 1;
            table.raw_set(self.lua.create_string(&key)?, self.value(depth)?)?;
            self.skip_blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return Err(self.unexpected("comma or object end")),
            }
        }
        self.at += 1;
        Ok(Value::Table(table))
    }

    fn number(&mut self) -> mlua::Result<Value> {
        let rest = &self.text[self.at..];
        let len =
            rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte)).count();
        let word = String::from_utf8_lossy(&rest[..len]).to_ascii_lowercase();
        let hexadecimal = word.trim_start_matches(['-', '+']).strip_prefix("0x");
        let number = match hexadecimal {
            Some(digits) => u64::from_str_radix(digits, 16)
                .ok()
                .map(|n| if word.starts_with('-') { -(n as f64) } else { n as f64 }),
            None => word.parse::<f64>().ok(),
        };
        let is_number = number.is_some() || word.starts_with(|c: char| c == '-' || c.is_ascii_digit());
        match number {
            Some(x) if x.is_finite() || self.settings.decode_invalid.load(Relaxed) => {
                self.at += len;
                Ok(Value::Number(x))
            }
            _ => Err(error_here(
                self.lua,
                &format!(
                    "Expected value but found invalid {} at character {}",
                    if is_number { "number" } else { "token" },
                    self.at + 1
                ),
            )),
        }
    }

    fn string(&mut self) -> mlua::Result<Vec<u8>> {
        self.at += 1;
        let mut out = Vec::new();
        loop {
            let Some(byte) = self.peek() else { return Err(self.bad_string("unexpected end of string")) };
            self.at += 1;
            match byte {
                b'"' => return Ok(out),
                b'\\' => self.escape(&mut out)?,
                byte => out.push(byte),
            }
        }
    }

    fn bad_string(&self, what: &str) -> mlua::Error {
        error_here(self.lua, &format!("Expected value but found {what} at character {}", self.at + 1))
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> mlua::Result<()> {
        let byte = self.peek();
        self.at += 1;
        out.push(match byte {
            Some(b'b') => 8,
            Some(b't') => 9,
            Some(b'n') => 10,
            Some(b'f') => 12,
            Some(b'r') => 13,
            Some(byte @ (b'"' | b'\\' | b'/')) => byte,
            Some(b'u') => {
                let c = self.unicode()?;
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => {
                self.at -= 2;
                return Err(self.bad_string("invalid escape code"));
            }
        });
        Ok(())
    }

    /// Behind `\u`: four digits, or eight of a surrogate pair.
    fn unicode(&mut self) -> mlua::Result<char> {
        let high = self.hex4()?;
        let code = match high {
            0xd800..=0xdbff if self.text[self.at..].starts_with(b"\\u") => {
                self.at += 2;
                let low = self.hex4()?;
                if !(0xdc00..=0xdfff).contains(&low) {
                    return Err(self.bad_string("invalid unicode escape code"));
                }
                0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00)
            }
            code => code,
        };
        char::from_u32(code).ok_or_else(|| {
            self.at -= 6;
            self.bad_string("invalid unicode escape code")
        })
    }

    fn hex4(&mut self) -> mlua::Result<u32> {
        let digits = self.text.get(self.at..self.at + 4).and_then(|digits| std::str::from_utf8(digits).ok());
        let code = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let code = code.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let code = code.ok_or_else(|| self.bad_string("invalid unicode escape code"))?;
        self.at += 4;
        Ok(code)
    }
}
