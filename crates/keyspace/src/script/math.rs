//! `math`: the functions that differ from machine to machine, in software (R12), and `math.random`: numbers that follow from the seed of the command, the same on every replica, unless the script brings a seed of its
//! own.

use std::sync::Arc;

use mlua::{Lua, Table, Value};

use super::{budget::Shared, errors::CallError};

/// The generator of POSIX's `drand48` family, which Redis has: 48 bits, linear congruential.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drand48(u64);

const MASK: u64 = (1 << 48) - 1;
/// The largest result of `lrand48`, plus one.
const RANGE: f64 = 2_147_483_647.0;

impl Default for Drand48 {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Drand48 {
    /// Numbers of a seed of 64 bits.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed & MASK)
    }

    /// As `srand48` does it.
    fn seeded(seed: u32) -> Self {
        Self(u64::from(seed) << 16 | 0x330e)
    }

    /// As `lrand48`: 31 bits.
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(0x5_deec_e66d).wrapping_add(0xb) & MASK;
        (self.0 >> 17) as u32
    }

    /// At least 0, below 1.
    fn next_unit(&mut self) -> f64 {
        f64::from(self.next() % 2_147_483_647) / RANGE
    }
}

/// Functions that take the places of Lua's own.
pub(super) fn functions(lua: &Lua, shared: &Arc<Shared>) -> mlua::Result<Table> {
    type One = fn(f64) -> f64;
    let table = lua.create_table()?;
    let ones: [(&str, One); 13] = [
        ("acos", libm::acos),
        ("asin", libm::asin),
        ("atan", libm::atan),
        ("cos", libm::cos),
        ("cosh", libm::cosh),
        ("exp", libm::exp),
        ("log", libm::log),
        ("log10", libm::log10),
        ("sin", libm::sin),
        ("sinh", libm::sinh),
        ("sqrt", libm::sqrt),
        ("tan", libm::tan),
        ("tanh", libm::tanh),
    ];
    for (name, function) in ones {
        table.set(name, lua.create_function(move |_, x: f64| Ok(function(x)))?)?;
    }
    table.set("atan2", lua.create_function(|_, (y, x): (f64, f64)| Ok(libm::atan2(y, x)))?)?;
    table.set("pow", lua.create_function(|_, (x, y): (f64, f64)| Ok(super::power::pow(x, y)))?)?;
    let state = shared.clone();
    table.set(
        "random",
        lua.create_function(move |_, (low, high, more): (Option<f64>, Option<f64>, Value)| {
            let unit = state.random.lock().expect("no script panics").next_unit();
            let (low, high) = match (low, high) {
                (None, _) => return Ok(unit),
                (Some(high), None) => (1.0, high),
                (Some(low), Some(high)) => (low, high),
            };
            if !more.is_nil() {
                return Err(CallError::raise("ERR wrong number of arguments".to_owned()));
            }
            let (low, high) = (low.trunc(), high.trunc());
            if low > high || !(high - low).is_finite() {
                return Err(CallError::raise("ERR bad argument to 'random' (interval is empty)".to_owned()));
            }
            Ok((unit * (high - low + 1.0)).floor() + low)
        })?,
    )?;
    let state = shared.clone();
    table.set(
        "randomseed",
        lua.create_function(move |_, seed: f64| {
            *state.random.lock().expect("no script panics") = Drand48::seeded(seed as i64 as u32);
            Ok(())
        })?,
    )?;
    Ok(table)
}
