//! The arguments of functions of Rust.
//!
//! `mlua` takes a place of its own for each of them, of which there are fewer than Lua lets a script pass arguments: without places it
//! panics. So they are counted before they are taken.

use mlua::{Error, FromLua, Function, IntoLua, IntoLuaMulti, Lua, MultiValue, Value, Variadic};

/// Lua gives a function a stack of 8,000 values. A function of Rust is to leave so many of them, so that it has 7,100 arguments at most.
const ROOM: usize = 900;

/// A function that does nothing.
#[derive(Debug)]
struct Probe(Function);

/// Prepares an interpreter for [`function`].
pub(super) fn prepare(lua: &Lua) -> mlua::Result<()> {
    let probe = lua.create_function(|_, ()| Ok(()))?;
    lua.set_app_data(Probe(probe));
    Ok(())
}

/// The first argument. It is taken before the others, when there is still time to count them.
pub(super) struct First(pub(super) Value);

impl FromLua for First {
    fn from_lua(value: Value, lua: &Lua) -> mlua::Result<Self> {
        let probe = lua.app_data_ref::<Probe>().expect("every interpreter is prepared");
        match probe.0.call::<()>(Variadic::from(vec![Refused; ROOM])) {
            Err(Error::StackError) => Err(Error::RuntimeError("too many arguments".to_owned())),
            _ => Ok(Self(value)),
        }
    }
}

/// A value that asks for room on the stack, and then does not come.
#[derive(Clone, Copy)]
struct Refused;

impl IntoLua for Refused {
    fn into_lua(self, _: &Lua) -> mlua::Result<Value> {
        Err(Error::CoroutineUnresumable)
    }
}

/// All arguments. Nil alone is taken for none: nobody can tell.
pub(super) fn all(First(first): First, rest: MultiValue) -> MultiValue {
    if first.is_nil() && rest.is_empty() { rest } else { all_with_nil(First(first), rest) }
}

fn all_with_nil(First(first): First, mut rest: MultiValue) -> MultiValue {
    rest.push_front(first);
    rest
}

/// A function of as many arguments as there may be.
pub(super) fn function<F, R>(lua: &Lua, f: F) -> mlua::Result<Function>
where
    F: Fn(&Lua, MultiValue) -> mlua::Result<R> + Send + 'static,
    R: IntoLuaMulti,
{
    lua.create_function(move |lua, (first, rest): (First, MultiValue)| f(lua, all(first, rest)))
}

/// The same for one to which nil is a value as any other; it has at least one argument.
pub(super) fn function_of_any<F, R>(lua: &Lua, f: F) -> mlua::Result<Function>
where
    F: Fn(&Lua, MultiValue) -> mlua::Result<R> + Send + 'static,
    R: IntoLuaMulti,
{
    lua.create_function(move |lua, (first, rest): (First, MultiValue)| f(lua, all_with_nil(first, rest)))
}
