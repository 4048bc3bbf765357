//! The Lua interpreter: before each run as if it were new.
//!
//! What a script may see of others, of memory, of addresses and of the clock is taken away in `prelude.lua`. What it may
//! spend is counted here: instructions by a hook, and the work of library functions by `charge`, so that a script ends at
//! the same instruction on every node (R13).
//!
//! Memory is harder, because what an interpreter holds depends on all that ran in it before. So there are two kinds. One is
//! *shared* by all runs, and small: a run that outgrows it counts for nothing. It is done again in one that is made for it
//! *alone*, where memory is the same on every node at each step, and only there a run can hit the limit of the cluster.
//!
//! A value of Lua that Rust holds takes one of some thousands of places; whoever takes more of them panics. So whatever may be
//! many is taken one by one, and the prelude bounds the arguments of all functions of Rust.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use mlua::{
    ChunkMode, Error, Function, HookTriggers, IntoLuaMulti, Lua, LuaOptions, MultiValue, StdLib, Table,
    Value, VmState,
};
use smallvec::SmallVec;

use super::{
    args,
    budget::Shared,
    calls::{Call, Replies, running},
    errors::{CallError, Failed, NO_MEMORY, Returned, error_value, outcome, place},
    libraries, redis,
};

/// Instructions between two looks at the budget.
const STEP: u64 = 1_000;

/// Steps between two collections of garbage. They are the same on every node: tables with weak keys show them.
const COLLECT_STEPS: u64 = 2_000_000;

/// Most keys and arguments that are handed over as texts.
const TEXTS_MAX: usize = 4;

/// Most keys and arguments that are handed over one by one.
const WORDS_MAX: usize = 30;

/// What loading a library may spend, in instructions.
pub(super) const LOAD_STEPS_MAX: u64 = 50_000_000;

/// What a shared interpreter may hold, in bytes. One that a run has alone begins to collect garbage all the time when it holds more.
const SHARED_BYTES_MAX: usize = 64 << 20;

/// Garbage that runs may leave behind before it is collected, in bytes, or half of what is no garbage: little enough to stay in the
/// processor's cache, much enough that collecting takes little of the time.
const GARBAGE_BYTES_MIN: usize = 256 << 10;

/// What a run gets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// Its random numbers follow from it.
    pub(crate) seed: u64,
    /// What it may spend, in instructions.
    pub(crate) steps: u64,
    /// What it may allocate, in bytes.
    pub(crate) memory: usize,
}

/// What is to be run.
#[derive(Clone, Copy, Debug)]
pub(super) enum Work<'a> {
    /// A script, with KEYS and ARGV.
    Script { keys: &'a [&'a [u8]], args: &'a [&'a [u8]] },
    /// A function of a library, which is loaded anew, so that it remembers nothing.
    Function { name: &'a str, keys: &'a [&'a [u8]], args: &'a [&'a [u8]] },
    /// A library, to see what it registers.
    Library,
}

/// Takes what came of a run: a value, and whether it is meant for RESP3. If it cannot take a value it gets the error.
pub(crate) type Finish<'a> = dyn FnMut(Result<(&Value, bool), Failed>) -> mlua::Result<()> + 'a;

/// Why a source is refused.
#[derive(Debug)]
pub(super) enum NotCompiled {
    /// The compiler's message.
    Message(String),
    /// There is no room for it here.
    NoMemory,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Vm {
    lua: Lua,
    run: Carrier,
    call: Carrier,
    load: Function,
    shared: Arc<Shared>,
    limit: Limit,
    watch: Arc<Watch>,
    /// Memory in use when there was no garbage.
    clean_bytes: usize,
}

/// What an interpreter may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    bytes: usize,
    /// A run that outgrows it is done again in another interpreter.
    is_shared: bool,
}

impl Limit {
    /// From here on it holds.
    fn set(self, lua: &Lua) -> mlua::Result<()> {
        lua.set_memory_limit(self.bytes).map(drop)
    }

    /// Lifts the limit of an interpreter that is shared, for what Rust does there: with a limit `mlua` guards every step against it, which
    /// takes much of the time of a short run. What goes beyond it is noticed as soon as Lua goes on.
    fn lift(self, lua: &Lua) -> mlua::Result<()> {
        if self.is_shared {
            lua.set_memory_limit(0)?;
        }
        Ok(())
    }

    /// Lets Lua run within the limit.
    fn held<T>(self, lua: &Lua, run: impl FnOnce() -> mlua::Result<T>) -> mlua::Result<T> {
        self.set(lua)?;
        let result = run();
        self.lift(lua)?;
        result
    }

    /// Lets Rust do something while Lua runs.
    pub(super) fn lifted<T>(self, lua: &Lua, run: impl FnOnce() -> mlua::Result<T>) -> mlua::Result<T> {
        self.lift(lua)?;
        let result = run();
        self.set(lua)?;
        result
    }
}

/// The two functions of the prelude that carry something out.
#[derive(Debug)]
struct Carrier {
    /// With a table of keys and one of arguments.
    tables: Function,
    /// With the number of keys, the keys, and the arguments.
    words: Function,
}

impl Carrier {
    /// Hands over what is carried out with its keys and arguments. When they are in Lua, the limit holds.
    fn call(&self, lua: &Lua, limit: Limit, code: &Function, words: &Words<'_>) -> mlua::Result<Returned> {
        let (function, count) = (&self.words, words.keys.len());
        let held = Held { limit, values: MultiValue::new() };
        // Text is handed over without a place being taken for each word.
        let returned = match words.texts().as_deref() {
            Some([]) => function.call((code, count, held)),
            Some(&[a]) => function.call((code, count, a, held)),
            Some(&[a, b]) => function.call((code, count, a, b, held)),
            Some(&[a, b, c]) => function.call((code, count, a, b, c, held)),
            Some(&[a, b, c, d]) => function.call((code, count, a, b, c, d, held)),
            _ if words.len() <= WORDS_MAX => {
                function.call((code, count, Held { limit, values: words.strings(lua)? }))
            }
            _ => {
                let (keys, args) = (table_of(lua, words.keys)?, table_of(lua, words.args)?);
                self.tables.call((code, keys, args, held))
            }
        };
        limit.lift(lua)?;
        returned
    }
}

/// Keys and arguments.
struct Words<'a> {
    keys: &'a [&'a [u8]],
    args: &'a [&'a [u8]],
}

impl<'a> Words<'a> {
    fn len(&self) -> usize {
        self.keys.len() + self.args.len()
    }

    fn all(&self) -> impl Iterator<Item = &'a [u8]> {
        self.keys.iter().chain(self.args).copied()
    }

    /// If there are few of them, and all are texts.
    fn texts(&self) -> Option<SmallVec<[&'a str; TEXTS_MAX]>> {
        if self.len() > TEXTS_MAX {
            return None;
        }
        self.all().map(|word| str::from_utf8(word).ok()).collect()
    }

    fn strings(&self, lua: &Lua) -> mlua::Result<MultiValue> {
        self.all().map(|word| lua.create_string(word).map(Value::String)).collect()
    }
}

/// The last of the arguments of a function. From here on the limit holds.
struct Held {
    limit: Limit,
    values: MultiValue,
}

impl IntoLuaMulti for Held {
    fn into_lua_multi(self, lua: &Lua) -> mlua::Result<MultiValue> {
        self.limit.set(lua)?;
        Ok(self.values)
    }
}

fn table_of(lua: &Lua, strings: &[&[u8]]) -> mlua::Result<Table> {
    let table = lua.create_table_with_capacity(strings.len(), 0)?;
    for (i, string) in strings.iter().enumerate() {
        table.raw_set(i + 1, lua.create_string(string)?)?;
    }
    Ok(table)
}

impl Vm {
    /// An interpreter for all runs.
    pub(super) fn shared() -> Self {
        Self::new(true, SHARED_BYTES_MAX)
    }

    /// An interpreter for one run that may hold so many bytes.
    pub(super) fn alone(memory: usize) -> Self {
        Self::new(false, memory)
    }

    fn new(is_shared: bool, memory: usize) -> Self {
        Self::try_new(is_shared, memory).expect("the prelude runs everywhere alike")
    }

    fn try_new(is_shared: bool, memory: usize) -> mlua::Result<Self> {
        let libraries = StdLib::STRING | StdLib::TABLE | StdLib::MATH;
        let lua = Lua::new_with(libraries, LuaOptions::default())?;
        let shared = Arc::new(Shared::new(is_shared));
        shared.begin(0, LOAD_STEPS_MAX);
        args::prepare(&lua)?;
        let limit = Limit { bytes: memory, is_shared };
        let native = native(&lua, &shared, limit)?;
        let prelude = lua.load(include_str!("prelude.lua")).set_name("=prelude").into_function()?;
        let parts: Table = prelude.call(native)?;
        lua.set_globals(parts.get("globals")?)?;
        let mut vm = Self {
            run: Carrier { tables: parts.get("run")?, words: parts.get("run_words")? },
            call: Carrier { tables: parts.get("call")?, words: parts.get("call_words")? },
            load: parts.get("load")?,
            watch: Arc::new(Watch::new(shared.clone(), limit)),
            lua,
            shared,
            limit,
            clean_bytes: 0,
        };
        drop(parts);
        vm.collect();
        Ok(vm)
    }

    /// Compiles a script; `name` is where errors say they come from.
    pub(super) fn compile(&self, code: &[u8], name: &str) -> Result<Function, NotCompiled> {
        let chunk = self.lua.load(code).set_name(format!("@{name}")).set_mode(ChunkMode::Text);
        self.limit.held(&self.lua, || chunk.into_function()).map_err(|error| match error {
            Error::MemoryError(_) => NotCompiled::NoMemory,
            Error::SyntaxError { message, .. } if message.contains(NO_MEMORY) => NotCompiled::NoMemory,
            Error::SyntaxError { message, .. } => NotCompiled::Message(message),
            error => NotCompiled::Message(error.to_string()),
        })
    }

    /// Carries out what `code` was compiled to. False: it has outgrown this interpreter, and must be done again in one of its own.
    pub(super) fn run(
        &mut self,
        code: &Function,
        work: Work<'_>,
        run: Run,
        replies: &mut Replies,
        call: &mut Call<'_>,
        finish: &mut Finish<'_>,
    ) -> bool {
        self.shared.begin(run.seed, run.steps);
        let returned = running(replies, call, || {
            self.watch()?;
            self.carry_out(code, work)
        });
        self.finish(outcome(returned), finish);
        let garbage_max = GARBAGE_BYTES_MIN.max(self.clean_bytes / 2);
        if self.limit.is_shared && self.lua.used_memory() > self.clean_bytes + garbage_max {
            self.collect();
        }
        !self.shared.has_outgrown()
    }

    fn carry_out(&self, code: &Function, work: Work<'_>) -> mlua::Result<Returned> {
        let (name, keys, args) = match work {
            Work::Script { keys, args } => {
                return self.run.call(&self.lua, self.limit, code, &Words { keys, args });
            }
            Work::Library => return self.load_library(code),
            Work::Function { name, keys, args } => (name, keys, args),
        };
        let loaded = self.load_library(code)?;
        if !loaded.0 {
            return Ok(loaded);
        }
        let function = self.registered().into_iter().find(|function| function.name == name);
        let function = function.ok_or_else(|| CallError::raise("ERR Function not found".to_owned()))?;
        self.call.call(&self.lua, self.limit, &function.callback, &Words { keys, args })
    }

    fn load_library(&self, library: &Function) -> mlua::Result<Returned> {
        self.shared.loading.store(true, Relaxed);
        let loaded = self.limit.held(&self.lua, || self.load.call(library));
        self.shared.loading.store(false, Relaxed);
        loaded
    }

    /// What the last library has registered.
    pub(super) fn registered(&self) -> Vec<redis::Registered> {
        std::mem::take(&mut *self.shared.registered.lock().expect("no script panics"))
    }

    /// What the last run has said to the log.
    pub(super) fn lines(&self) -> &std::sync::Mutex<super::log::Lines> {
        &self.shared.lines
    }

    /// Hands the result out, unless this run counts for nothing.
    fn finish(&self, value: Result<Value, Failed>, finish: &mut Finish<'_>) {
        let failed = match value {
            Ok(_) if self.shared.has_outgrown() => return,
            Ok(value) => {
                let resp3 = self.shared.resp.load(Relaxed) == 3;
                match finish(Ok((&value, resp3))) {
                    Ok(()) => return,
                    Err(error) => Failed::of(&error),
                }
            }
            Err(failed) => failed,
        };
        if failed.is_no_memory() {
            self.shared.outgrow();
        }
        if !self.shared.has_outgrown() {
            finish(Err(failed)).expect("an error is always taken");
        }
    }

    /// Frees all garbage.
    fn collect(&mut self) {
        collect(&self.lua, self.limit).expect("nothing has a finalizer that fails");
        self.clean_bytes = self.lua.used_memory();
        self.limit.lift(&self.lua).expect("the allocator is ours");
    }

    /// Bytes that are in use when nothing runs, as of the last collection.
    pub(super) fn clean_bytes(&self) -> usize {
        self.clean_bytes
    }

    /// Counts the instructions of the next run, from 0.
    fn watch(&self) -> mlua::Result<()> {
        let step = u32::try_from(STEP).expect("a small number");
        self.watch.collect_at.store(COLLECT_STEPS, Relaxed);
        let watch = self.watch.clone();
        self.lua.set_global_hook(HookTriggers::new().every_nth_instruction(step), move |lua, _| {
            watch.step(lua)?;
            Ok(VmState::Continue)
        })
    }
}

/// What is done every [`STEP`] instructions.
#[derive(Debug)]
struct Watch {
    shared: Arc<Shared>,
    limit: Limit,
    /// Steps at which garbage is to be collected next.
    collect_at: AtomicU64,
    /// Garbage is collected all the time.
    collects: AtomicBool,
}

impl Watch {
    fn new(shared: Arc<Shared>, limit: Limit) -> Self {
        Self { shared, limit, collect_at: AtomicU64::new(COLLECT_STEPS), collects: AtomicBool::new(false) }
    }

    fn step(&self, lua: &Lua) -> mlua::Result<()> {
        self.shared.charge(STEP)?;
        if self.shared.spent() >= self.collect_at.load(Relaxed) {
            self.collect_at.store(self.shared.spent() + COLLECT_STEPS, Relaxed);
            collect(lua, self.limit)?;
            if self.collects.load(Relaxed) {
                lua.gc_restart();
            }
        }
        if !self.limit.is_shared && !self.collects.load(Relaxed) && lua.used_memory() > SHARED_BYTES_MAX {
            self.collects.store(true, Relaxed);
            lua.gc_restart();
        }
        Ok(())
    }
}

/// Frees all garbage of an interpreter with this limit.
fn collect(lua: &Lua, limit: Limit) -> mlua::Result<()> {
    // It may be full to the last byte, and this takes some.
    lua.set_memory_limit(0)?;
    let collected = lua.gc_collect();
    limit.set(lua)?;
    // A collection starts the automatic ones, which come when memory says so: not at the same step everywhere.
    lua.gc_stop();
    collected
}

/// What the prelude needs of Rust.
fn native(lua: &Lua, shared: &Arc<Shared>, limit: Limit) -> mlua::Result<Table> {
    let native = lua.create_table()?;
    let charged = shared.clone();
    native.set("charge", lua.create_function(move |_, steps: f64| charged.charge(steps.max(0.0) as u64))?)?;
    let ended = shared.clone();
    native.set("check", lua.create_function(move |_, ()| ended.charge(0))?)?;
    let full = shared.clone();
    native.set(
        "no_memory",
        lua.create_function(move |_, ()| {
            full.outgrow();
            full.charge(0)
        })?,
    )?;
    native.set("null", Value::NULL)?;
    native.set("place", lua.create_function(|lua, ()| Ok(place(lua)))?)?;
    native.set(
        "error_of",
        lua.create_function(|lua, error: Value| match error {
            Value::Error(error) => error_value(lua, &error),
            other => Ok(other),
        })?,
    )?;
    native.set("loadstring", lua.create_function(load_string)?)?;
    // Processor time differs from node to node: a script sees none pass.
    native.set("clock", lua.create_function(|_, ()| Ok(0.0))?)?;
    native.set("redis", redis::table(lua, shared, limit)?)?;
    native.set("math", super::math::functions(lua, shared)?)?;
    native.set("string", libraries::string_functions(lua, shared)?)?;
    native.set("libraries", libraries::tables(lua, shared)?)?;
    Ok(native)
}

fn load_string(
    lua: &Lua,
    (code, name, globals): (mlua::String, Option<String>, Table),
) -> mlua::Result<(Option<Function>, Option<String>)> {
    let name = name.unwrap_or_else(|| "=(loadstring)".to_owned());
    let code = code.as_bytes();
    let chunk = lua.load(&code[..]).set_name(name).set_mode(ChunkMode::Text).set_environment(globals);
    match chunk.into_function() {
        Ok(function) => Ok((Some(function), None)),
        Err(error @ Error::MemoryError(_)) => Err(error),
        Err(Error::SyntaxError { message, .. }) if message.contains(NO_MEMORY) => {
            Err(Error::MemoryError(message))
        }
        Err(Error::SyntaxError { message, .. }) => Ok((None, Some(message))),
        Err(error) => Ok((None, Some(error.to_string()))),
    }
}
