//! The libraries of scripts: `cjson`, `cmsgpack`, `bit`, `struct`, and the functions of `string` that look for patterns.
//!
//! Each takes from the budget of its script in proportion to its work (R13).

mod bit;
mod cjson;
mod cmsgpack;
mod pattern;
mod strings;
mod structs;

use std::sync::Arc;

use mlua::{Lua, Table, Value};

use super::{budget::Shared, errors::error_here};

/// Each library by its name.
pub(super) fn tables(lua: &Lua, shared: &Arc<Shared>) -> mlua::Result<Table> {
    let tables = lua.create_table()?;
    tables.set("bit", bit::table(lua)?)?;
    tables.set("cjson", cjson::table(lua, shared)?)?;
    tables.set("cmsgpack", cmsgpack::table(lua, shared)?)?;
    tables.set("struct", structs::table(lua, shared)?)?;
    Ok(tables)
}

/// Functions that take the places of Lua's own in `string`.
pub(super) fn string_functions(lua: &Lua, shared: &Arc<Shared>) -> mlua::Result<Table> {
    strings::table(lua, shared)
}

/// Argument `n` as a number: a text may be one, as everywhere in Lua.
fn number_arg(lua: &Lua, value: Option<&Value>, n: usize, function: &str) -> mlua::Result<f64> {
    let number = match value {
        Some(value) => lua.coerce_number(value.clone())?,
        None => None,
    };
    number.ok_or_else(|| bad_arg(lua, value, n, function, "number"))
}

/// Argument `n` as a string: a number is one, too.
fn string_arg(lua: &Lua, value: Option<&Value>, n: usize, function: &str) -> mlua::Result<mlua::String> {
    let string = match value {
        Some(value) => lua.coerce_string(value.clone())?,
        None => None,
    };
    string.ok_or_else(|| bad_arg(lua, value, n, function, "string"))
}

fn bad_arg(lua: &Lua, value: Option<&Value>, n: usize, function: &str, wanted: &str) -> mlua::Error {
    let got = value.map_or("no value", type_name);
    error_here(lua, &format!("bad argument #{n} to '{function}' ({wanted} expected, got {got})"))
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::LightUserData(_) => "userdata",
        Value::Integer(_) => "number",
        value => value.type_name(),
    }
}
