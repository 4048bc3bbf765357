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

use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use mlua::{
    ChunkMode, Error, Function, HookTriggers, Lua, LuaOptions, MultiValue, StdLib, Table, Value, VmState,
};

use super::{
    args::{self, First},
    budget::Shared,
    calls::{Call, Replies},
    errors::{CallError, Failed, NO_MEMORY, error_value, outcome, place},
    libraries, redis,
};

/// Instructions between two looks at the budget.
const STEP: u64 = 1_000;

/// Steps between two collections of garbage. They are the same on every node: tables with weak keys show them.
const COLLECT_STEPS: u64 = 2_000_000;

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
    install: Function,
    run: Function,
    call: Function,
    load: Function,
    shared: Arc<Shared>,
    /// A run that outgrows it is done again in another one.
    is_shared: bool,
    /// What it may hold, in bytes.
    memory: usize,
    /// Garbage is collected all the time.
    collects: Arc<AtomicBool>,
    /// Memory in use when there was no garbage.
    clean_bytes: usize,
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
        let native = native(&lua, &shared)?;
        let prelude = lua.load(include_str!("prelude.lua")).set_name("=prelude").into_function()?;
        let parts: Table = prelude.call(native)?;
        lua.set_globals(parts.get("globals")?)?;
        let mut vm = Self {
            install: parts.get("install")?,
            run: parts.get("run")?,
            call: parts.get("call")?,
            load: parts.get("load")?,
            lua,
            shared,
            is_shared,
            memory,
            collects: Arc::default(),
            clean_bytes: 0,
        };
        drop(parts);
        vm.collect();
        Ok(vm)
    }

    /// Compiles a script; `name` is where errors say they come from.
    pub(super) fn compile(&self, code: &[u8], name: &str) -> Result<Function, NotCompiled> {
        let chunk = self.lua.load(code).set_name(format!("@{name}")).set_mode(ChunkMode::Text);
        self.limited(|| chunk.into_function()).map_err(|error| match error {
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
        let shared = self.shared.clone();
        let calls = RefCell::new((replies, call));
        let vm = &*self;
        let result = vm.lua.scope(|scope| {
            let (state, calls) = (&shared, &calls);
            let called = |protected: bool| {
                scope.create_function(move |lua, (first, rest): (First, MultiValue)| {
                    let (replies, call) = &mut *calls.borrow_mut();
                    let limit = vm.unlimited(lua)?;
                    let args = args::all(first, rest);
                    let result =
                        redis::call(lua, protected, &args, state, |words| replies.next(words, state, *call));
                    lua.set_memory_limit(limit)?;
                    result
                })
            };
            vm.install.call::<()>((called(false)?, called(true)?))?;
            vm.watch()?;
            let value = outcome(vm.carry_out(code, work));
            vm.finish(value, finish);
            Ok(())
        });
        if let Err(error) = result {
            // There was no memory to begin it.
            self.finish(Err(Failed::of(&error)), finish);
        }
        let garbage_max = GARBAGE_BYTES_MIN.max(self.clean_bytes / 2);
        if self.is_shared && self.lua.used_memory() > self.clean_bytes + garbage_max {
            self.collect();
        }
        !self.shared.has_outgrown()
    }

    fn carry_out(&self, code: &Function, work: Work<'_>) -> mlua::Result<MultiValue> {
        let (name, keys, args) = match work {
            Work::Script { keys, args } => {
                let (keys, args) = (self.strings(keys)?, self.strings(args)?);
                return self.limited(|| self.run.call((code, keys, args)));
            }
            Work::Library => return self.load_library(code),
            Work::Function { name, keys, args } => (name, keys, args),
        };
        let loaded = self.load_library(code)?;
        if loaded.front() != Some(&Value::Boolean(true)) {
            return Ok(loaded);
        }
        let function = self.registered().into_iter().find(|function| function.name == name);
        let function = function.ok_or_else(|| CallError::raise("ERR Function not found".to_owned()))?;
        let (keys, args) = (self.strings(keys)?, self.strings(args)?);
        self.limited(|| self.call.call((function.callback, keys, args)))
    }

    /// Lets Lua run within the limit of this interpreter.
    fn limited<T>(&self, run: impl FnOnce() -> mlua::Result<T>) -> mlua::Result<T> {
        self.lua.set_memory_limit(self.memory)?;
        let result = run();
        self.unlimited(&self.lua)?;
        result
    }

    /// Lifts the limit of an interpreter that is shared, for what Rust does there: with a limit `mlua` guards every step against it, which
    /// takes much of the time of a short run. What goes beyond it is noticed as soon as Lua goes on. Returns the limit.
    fn unlimited(&self, lua: &Lua) -> mlua::Result<usize> {
        if self.is_shared {
            lua.set_memory_limit(0)?;
        }
        Ok(self.memory)
    }

    fn load_library(&self, library: &Function) -> mlua::Result<MultiValue> {
        self.shared.loading.store(true, Relaxed);
        let loaded = self.limited(|| self.load.call(library));
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

    fn strings(&self, strings: &[&[u8]]) -> mlua::Result<Table> {
        let table = self.lua.create_table_with_capacity(strings.len(), 0)?;
        for (i, string) in strings.iter().enumerate() {
            table.raw_set(i + 1, self.lua.create_string(string)?)?;
        }
        Ok(table)
    }

    /// Frees all garbage.
    fn collect(&mut self) {
        collect(&self.lua, self.memory).expect("nothing has a finalizer that fails");
        self.clean_bytes = self.lua.used_memory();
        self.unlimited(&self.lua).expect("the allocator is ours");
    }

    /// Bytes that are in use when nothing runs, as of the last collection.
    pub(super) fn clean_bytes(&self) -> usize {
        self.clean_bytes
    }

    /// Counts the instructions of the next run, from 0.
    fn watch(&self) -> mlua::Result<()> {
        let (shared, collects) = (self.shared.clone(), self.collects.clone());
        let (is_shared, memory) = (self.is_shared, self.memory);
        let step = u32::try_from(STEP).expect("a small number");
        let collect_at = AtomicU64::new(COLLECT_STEPS);
        self.lua.set_global_hook(HookTriggers::new().every_nth_instruction(step), move |lua, _| {
            shared.charge(STEP)?;
            if shared.spent() >= collect_at.load(Relaxed) {
                collect_at.store(shared.spent() + COLLECT_STEPS, Relaxed);
                collect(lua, memory)?;
                if collects.load(Relaxed) {
                    lua.gc_restart();
                }
            }
            if !is_shared && !collects.load(Relaxed) && lua.used_memory() > SHARED_BYTES_MAX {
                collects.store(true, Relaxed);
                lua.gc_restart();
            }
            Ok(VmState::Continue)
        })
    }
}

/// Frees all garbage of an interpreter that may hold `memory` bytes.
fn collect(lua: &Lua, memory: usize) -> mlua::Result<()> {
    // It may be full to the last byte, and this takes some.
    lua.set_memory_limit(0)?;
    let collected = lua.gc_collect();
    lua.set_memory_limit(memory)?;
    // A collection starts the automatic ones, which come when memory says so: not at the same step everywhere.
    lua.gc_stop();
    collected
}

/// What the prelude needs of Rust.
fn native(lua: &Lua, shared: &Arc<Shared>) -> mlua::Result<Table> {
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
    native.set("redis", redis::table(lua, shared)?)?;
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
