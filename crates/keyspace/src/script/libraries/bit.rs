//! `bit`: arithmetic on 32 bits, with the functions and the range of Lua BitOp.

use mlua::{Lua, MultiValue, Table};

use super::{bad_arg, number_arg};
use crate::script::args::function;

/// The table `bit`.
pub(super) fn table(lua: &Lua) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.set("tobit", function(lua, |lua, x: MultiValue| arg(lua, &x, 0, "tobit").map(signed))?)?;
    table.set("bnot", function(lua, |lua, x: MultiValue| arg(lua, &x, 0, "bnot").map(|x| signed(!x)))?)?;
    table.set(
        "bswap",
        function(lua, |lua, x: MultiValue| arg(lua, &x, 0, "bswap").map(|x| signed(x.swap_bytes())))?,
    )?;
    fold(lua, &table, "band", |a, b| a & b)?;
    fold(lua, &table, "bor", |a, b| a | b)?;
    fold(lua, &table, "bxor", |a, b| a ^ b)?;
    shift(lua, &table, "lshift", |x, n| x << n)?;
    shift(lua, &table, "rshift", |x, n| x >> n)?;
    shift(lua, &table, "arshift", |x, n| ((x as i32) >> n) as u32)?;
    shift(lua, &table, "rol", u32::rotate_left)?;
    shift(lua, &table, "ror", u32::rotate_right)?;
    table.set("tohex", lua.create_function(to_hex)?)?;
    Ok(table)
}

fn fold(lua: &Lua, table: &Table, name: &'static str, f: fn(u32, u32) -> u32) -> mlua::Result<()> {
    table.set(
        name,
        function(lua, move |lua, args: MultiValue| {
            let mut result = arg(lua, &args, 0, name)?;
            for i in 1..args.len() {
                result = f(result, arg(lua, &args, i, name)?);
            }
            Ok(signed(result))
        })?,
    )
}

fn shift(lua: &Lua, table: &Table, name: &'static str, f: fn(u32, u32) -> u32) -> mlua::Result<()> {
    table.set(
        name,
        function(lua, move |lua, args: MultiValue| {
            Ok(signed(f(arg(lua, &args, 0, name)?, arg(lua, &args, 1, name)? & 31)))
        })?,
    )
}

fn to_hex(lua: &Lua, args: MultiValue) -> mlua::Result<String> {
    let x = arg(lua, &args, 0, "tohex")?;
    let digits = if args.len() > 1 { arg(lua, &args, 1, "tohex")? as i32 } else { 8 };
    let width = digits.unsigned_abs().min(8) as usize;
    let text = format!("{x:08x}");
    let text = &text[8 - width..];
    Ok(if digits < 0 { text.to_uppercase() } else { text.to_owned() })
}

/// Argument `i` modulo 2^32, rounded to the nearest integer.
fn arg(lua: &Lua, args: &MultiValue, i: usize, name: &str) -> mlua::Result<u32> {
    const RANGE: f64 = 4_294_967_296.0;
    let x = number_arg(lua, args.get(i), i + 1, name)?;
    if !x.is_finite() {
        return Err(bad_arg(lua, args.get(i), i + 1, name, "finite number"));
    }
    Ok(x.round_ties_even().rem_euclid(RANGE) as u32)
}

fn signed(x: u32) -> f64 {
    f64::from(x as i32)
}
