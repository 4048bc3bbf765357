//! The Lua interpreter: made once for a keyspace, and before each run as if it were new.
//!
//! What a script may see of others, of memory, of addresses and of the clock is taken away in `prelude.lua`. What it may
//! spend is counted here: instructions by a hook, and the work of library functions by `charge`, so that a script ends at
//! the same instruction on every node (R13).

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed},
};

use mlua::{
    ChunkMode, Error, Function, HookTriggers, Lua, LuaOptions, MultiValue, StdLib, Table, Value, VmState,
};

use super::{convert, libraries, math::Drand48, redis};

/// Instructions between two looks at the budget.
const STEP: u64 = 1_000;

/// Instructions between two collections of garbage.
const COLLECT_STEPS: u64 = 2_000_000;

/// What loading a library may spend, in instructions.
const LOAD_STEPS_MAX: u64 = 50_000_000;

/// What the interpreter may allocate, in bytes.
const MEMORY_BYTES_MAX: usize = 1 << 30;

/// Garbage that a run may leave behind before it is collected, in bytes.
const GARBAGE_BYTES_MAX: usize = 4 << 20;

/// Why a run that takes too long is ended.
const TOO_LONG: &str = "ERR the script was ended: it took more steps than a script may take";

/// What a script calls commands with.
pub(crate) type Call<'a> = dyn FnMut(&[&[u8]], &Shared) -> Vec<u8> + 'a;

/// What the functions of Rust and whoever runs a script tell each other.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Goes up with each run.
    run: AtomicU64,
    /// Steps that it may take.
    budget: AtomicU64,
    /// Steps spent in this run.
    spent: AtomicU64,
    /// Steps at which garbage is collected next.
    collect_at: AtomicU64,
    /// The protocol version in which commands answer to the script.
    pub(crate) resp: AtomicU8,
    /// Whether a library is being loaded.
    pub(crate) loading: AtomicBool,
    pub(crate) random: std::sync::Mutex<Drand48>,
    /// What the library that is being loaded has registered.
    pub(crate) registered: std::sync::Mutex<Vec<redis::Registered>>,
}

impl Shared {
    /// Takes the work of a library function from the budget.
    ///
    /// # Errors
    /// If nothing is left of it.
    pub(crate) fn charge(&self, steps: u64) -> mlua::Result<()> {
        let spent = self.spent.fetch_add(steps, Relaxed).saturating_add(steps);
        if spent > self.budget.load(Relaxed) {
            return Err(CallError::raise(TOO_LONG.to_owned()));
        }
        Ok(())
    }

    /// What is left of the budget.
    pub(crate) fn left(&self) -> u64 {
        self.budget.load(Relaxed).saturating_sub(self.spent.load(Relaxed))
    }

    /// Which run this is.
    pub(crate) fn run(&self) -> u64 {
        self.run.load(Relaxed)
    }

    fn begin(&self, seed: u64, budget: u64) {
        self.budget.store(budget, Relaxed);
        self.run.fetch_add(1, Relaxed);
        self.spent.store(0, Relaxed);
        self.collect_at.store(COLLECT_STEPS, Relaxed);
        self.resp.store(2, Relaxed);
        *self.random.lock().expect("no script panics") = Drand48::new(seed);
    }
}

/// An error with a text for the client, as redis.call raises it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct CallError(pub(crate) String);

impl CallError {
    /// As an error of Lua.
    pub(crate) fn raise(text: String) -> Error {
        Error::external(Self(text))
    }
}

/// What came of a run.
type Ran = Result<Value, Failed>;

/// What a run gets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// Its random numbers follow from it.
    pub(crate) seed: u64,
    /// What it may spend, in instructions.
    pub(crate) steps: u64,
}

/// Takes what came of a run: a value, and whether it is meant for RESP3.
pub(crate) type Finish<'a> = dyn FnMut(Result<(&Value, bool), Failed>) + 'a;

/// An error, and where in the script it was raised.
#[derive(Debug)]
pub(crate) struct Failed {
    /// Its text, with a code word.
    pub(crate) text: String,
    /// Source and line.
    pub(crate) place: Option<(String, i64)>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Vm {
    lua: Lua,
    install: Function,
    run: Function,
    call: Function,
    load: Function,
    shared: Arc<Shared>,
    /// Memory in use when there was no garbage.
    clean_bytes: usize,
}

impl Vm {
    /// A new interpreter.
    pub(crate) fn new() -> Self {
        Self::try_new().expect("the prelude runs everywhere alike")
    }

    fn try_new() -> mlua::Result<Self> {
        let libraries = StdLib::STRING | StdLib::TABLE | StdLib::MATH;
        let lua = Lua::new_with(libraries, LuaOptions::default())?;
        lua.gc_stop();
        let shared = Arc::new(Shared::default());
        shared.begin(0, LOAD_STEPS_MAX);
        let native = native(&lua, &shared)?;
        let prelude = lua.load(include_str!("prelude.lua")).set_name("=prelude").into_function()?;
        let parts: Table = prelude.call(native)?;
        lua.set_globals(parts.get("globals")?)?;
        watch(&lua, &shared)?;
        lua.set_memory_limit(MEMORY_BYTES_MAX)?;
        let mut vm = Self {
            install: parts.get("install")?,
            run: parts.get("run")?,
            call: parts.get("call")?,
            load: parts.get("load")?,
            lua,
            shared,
            clean_bytes: 0,
        };
        vm.collect();
        Ok(vm)
    }

    /// Compiles a script; `name` is where errors say they come from.
    ///
    /// # Errors
    /// The compiler's message.
    pub(crate) fn compile(&self, code: &[u8], name: &str) -> Result<Function, String> {
        let chunk = self.lua.load(code).set_name(format!("@{name}")).set_mode(ChunkMode::Text);
        chunk.into_function().map_err(|error| match error {
            Error::SyntaxError { message, .. } => message,
            error => error.to_string(),
        })
    }

    /// Runs a script with KEYS and ARGV, and hands its result to `finish`.
    pub(crate) fn run_script(
        &mut self,
        script: &Function,
        keys: &[&[u8]],
        args: &[&[u8]],
        run: Run,
        call: &mut Call<'_>,
        finish: &mut Finish<'_>,
    ) {
        self.enter(run, call, finish, |vm| {
            vm.run.call((script, vm.strings(keys)?, vm.strings(args)?))
        });
    }

    /// Loads a library anew, so that it remembers nothing, and runs one of its functions.
    pub(crate) fn run_function(
        &mut self,
        library: &Function,
        name: &str,
        keys: &[&[u8]],
        args: &[&[u8]],
        run: Run,
        call: &mut Call<'_>,
        finish: &mut Finish<'_>,
    ) {
        self.enter(run, call, finish, |vm| {
            let loaded: MultiValue = vm.load_library(library)?;
            if loaded.front() != Some(&Value::Boolean(true)) {
                return Ok(loaded);
            }
            let registered = std::mem::take(&mut *vm.shared.registered.lock().expect("no script panics"));
            let function = registered.into_iter().find(|function| function.name == name);
            let function = function.ok_or_else(|| CallError::raise("ERR Function not found".to_owned()))?;
            vm.call.call((function.callback, vm.strings(keys)?, vm.strings(args)?))
        });
    }

    /// Loads a library to see what it registers.
    ///
    /// # Errors
    /// If it fails.
    pub(crate) fn functions_of(&mut self, library: &Function) -> Result<Vec<redis::Registered>, Failed> {
        let mut failed = None;
        let mut no_call = |_: &[&[u8]], _: &Shared| Vec::new();
        self.enter(Run { seed: 0, steps: LOAD_STEPS_MAX }, &mut no_call, &mut |result| failed = result.err(), |vm| vm.load_library(library));
        let registered = std::mem::take(&mut *self.shared.registered.lock().expect("no script panics"));
        match failed {
            Some(failed) => Err(failed),
            None => Ok(registered),
        }
    }

    fn load_library(&self, library: &Function) -> mlua::Result<MultiValue> {
        self.shared.loading.store(true, Relaxed);
        self.shared.registered.lock().expect("no script panics").clear();
        let loaded = self.load.call(library);
        self.shared.loading.store(false, Relaxed);
        loaded
    }

    /// Whatever a run begins and ends with.
    fn enter(
        &mut self,
        run: Run,
        call: &mut Call<'_>,
        finish: &mut Finish<'_>,
        work: impl FnOnce(&Self) -> mlua::Result<MultiValue>,
    ) {
        self.shared.begin(run.seed, run.steps);
        let shared = self.shared.clone();
        let call = std::cell::RefCell::new(call);
        let result = self.lua.scope(|scope| {
            let (raising, returning) = (shared.clone(), shared.clone());
            let call = &call;
            let raise = scope.create_function(move |lua, args: MultiValue| {
                redis::call(lua, args, &raising, &mut **call.borrow_mut()).and_then(|reply| match reply {
                    Ok(value) => Ok(value),
                    Err(text) => Err(CallError::raise(text)),
                })
            })?;
            let catch = scope.create_function(move |lua, args: MultiValue| {
                match redis::call(lua, args, &returning, &mut **call.borrow_mut())? {
                    Ok(value) => Ok(value),
                    Err(text) => convert::error_table(lua, &text).map(Value::Table),
                }
            })?;
            self.install.call::<()>((raise, catch))?;
            let resp3 = || shared.resp.load(Relaxed) == 3;
            match outcome(work(self)) {
                Ok(value) => finish(Ok((&value, resp3()))),
                Err(failed) => finish(Err(failed)),
            }
            Ok(())
        });
        assert!(result.is_ok(), "a run has begun and ended: {result:?}");
        if self.lua.used_memory() > self.clean_bytes + GARBAGE_BYTES_MAX {
            self.collect();
        }
    }

    fn strings(&self, strings: &[&[u8]]) -> mlua::Result<Table> {
        self.lua.create_sequence_from(
            strings.iter().map(|string| self.lua.create_string(string)).collect::<mlua::Result<Vec<_>>>()?,
        )
    }

    fn collect(&mut self) {
        self.lua.gc_collect().expect("nothing has a finalizer that fails");
        self.clean_bytes = self.lua.used_memory();
    }
}

impl Failed {
    fn of(error: &Error) -> Self {
        Self { text: text_of(error), place: None }
    }
}

/// What `xpcall` in the prelude has returned.
fn outcome(returned: mlua::Result<MultiValue>) -> Ran {
    let mut values = returned.map_err(|error| Failed::of(&error))?.into_iter();
    let ok = values.next() == Some(Value::Boolean(true));
    let value = values.next().unwrap_or(Value::Nil);
    if ok {
        return Ok(value);
    }
    match value {
        Value::Table(table) => {
            let text = table.raw_get::<mlua::String>("err").map(|text| text.to_string_lossy());
            let place = match (table.raw_get::<String>("source"), table.raw_get::<i64>("line")) {
                (Ok(source), Ok(line)) => Some((source, line)),
                _ => None,
            };
            Err(Failed { text: text.unwrap_or_else(|_| "ERR unknown error".to_owned()), place })
        }
        Value::Error(error) => Err(Failed::of(&error)),
        _ => Err(Failed { text: "ERR unknown error".to_owned(), place: None }),
    }
}

/// The text of an error, with a code word.
pub(super) fn text_of(error: &Error) -> String {
    match error {
        Error::CallbackError { cause, .. } => text_of(cause),
        Error::ExternalError(error) => match error.downcast_ref::<CallError>() {
            Some(CallError(text)) => text.clone(),
            None => format!("ERR {error}"),
        },
        Error::MemoryError(_) => "ERR not enough memory".to_owned(),
        Error::RuntimeError(text) => format!("ERR {text}"),
        error => format!("ERR {}", error.to_string().lines().next().unwrap_or_default()),
    }
}

/// An error as a script catches it: a table if redis.call has raised it, else a text.
fn error_value(lua: &Lua, error: &Error) -> mlua::Result<Value> {
    let text = text_of(error);
    if is_call_error(error) {
        return convert::error_table(lua, &text).map(Value::Table);
    }
    lua.create_string(text.strip_prefix("ERR ").unwrap_or(&text)).map(Value::String)
}

fn is_call_error(error: &Error) -> bool {
    match error {
        Error::CallbackError { cause, .. } => is_call_error(cause),
        Error::ExternalError(error) => error.is::<CallError>(),
        _ => false,
    }
}

/// An error of a library function, which begins with the line of the script that has called it.
pub(super) fn error_here(lua: &Lua, text: &str) -> Error {
    let place = lua.inspect_stack(1, |frame| {
        let source = frame.source().source.as_deref().unwrap_or_default().to_owned();
        frame.current_line().map(|line| format!("{}:{line}: ", source.trim_start_matches(['@', '='])))
    });
    Error::RuntimeError(format!("{}{text}", place.flatten().unwrap_or_default()))
}

/// Counts instructions, and collects garbage at the same ones on every node: tables with weak keys show it.
fn watch(lua: &Lua, shared: &Arc<Shared>) -> mlua::Result<()> {
    let shared = shared.clone();
    let step = u32::try_from(STEP).expect("a small number");
    lua.set_global_hook(HookTriggers::new().every_nth_instruction(step), move |lua, _| {
        shared.charge(STEP)?;
        if shared.spent.load(Relaxed) >= shared.collect_at.load(Relaxed) {
            shared.collect_at.fetch_add(COLLECT_STEPS, Relaxed);
            lua.gc_collect()?;
        }
        Ok(VmState::Continue)
    })
}

/// What the prelude needs of Rust.
fn native(lua: &Lua, shared: &Arc<Shared>) -> mlua::Result<Table> {
    let native = lua.create_table()?;
    let charged = shared.clone();
    native.set("charge", lua.create_function(move |_, steps: f64| charged.charge(steps.max(0.0) as u64))?)?;
    let ended = shared.clone();
    native.set("check", lua.create_function(move |_, ()| ended.charge(0))?)?;
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

/// The innermost line of a script that is being carried out.
fn place(lua: &Lua) -> (Option<String>, Option<i64>) {
    for level in 1..200 {
        let found = lua.inspect_stack(level, |frame| {
            let source = frame.source();
            let name = source.source.as_deref().unwrap_or_default().to_owned();
            let is_script = source.what == "Lua" || source.what == "main";
            (is_script && name != "=prelude").then(|| (name, frame.current_line()))
        });
        match found {
            None => break,
            Some(Some((name, line))) => return (Some(name), line.and_then(|line| i64::try_from(line).ok())),
            Some(None) => {}
        }
    }
    (None, None)
}

fn load_string(
    lua: &Lua,
    (code, name, globals): (mlua::String, Option<String>, Table),
) -> mlua::Result<(Option<Function>, Option<String>)> {
    let name = name.unwrap_or_else(|| "=(loadstring)".to_owned());
    let code = code.as_bytes();
    let chunk = lua.load(&code[..]).set_name(name).set_mode(ChunkMode::Text).set_environment(globals);
    Ok(match chunk.into_function() {
        Ok(function) => (Some(function), None),
        Err(Error::SyntaxError { message, .. }) => (None, Some(message)),
        Err(error) => (None, Some(error.to_string())),
    })
}
