//! Running scripts: in the interpreter that all share, and if one outgrows that, in one of its own.

use std::collections::{BTreeMap, btree_map::Entry};

use mlua::Function;

use super::{
    Failed,
    budget::Shared,
    calls::{Call, Replies},
    log::Lines,
    redis::Registered,
    sha::Sha,
    vm::{Finish, LOAD_STEPS_MAX, NotCompiled, Run, Vm, Work},
};

/// Compiled sources kept by a node.
const COMPILED_MAX: usize = 300;

/// An interpreter that holds more than this when nothing runs makes place for a new one.
const CLEAN_BYTES_MAX: usize = 24 << 20;

/// What is compiled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Code<'a> {
    /// Of the whole source.
    pub(crate) sha: Sha,
    /// Without what stands in the first line.
    pub(crate) text: &'a [u8],
    /// A library of functions, not a script.
    pub(crate) is_library: bool,
}

impl Code<'_> {
    /// Where errors say they come from.
    fn name(&self) -> &'static str {
        if self.is_library { "user_function" } else { "user_script" }
    }
}

/// A call of a script or a function.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job<'a> {
    /// The function of the library; else the code is a script.
    pub(crate) function: Option<&'a str>,
    pub(crate) keys: &'a [&'a [u8]],
    pub(crate) args: &'a [&'a [u8]],
}

impl<'a> Job<'a> {
    fn work(&self) -> Work<'a> {
        let (keys, args) = (self.keys, self.args);
        match self.function {
            Some(name) => Work::Function { name, keys, args },
            None => Work::Script { keys, args },
        }
    }
}

/// Whether it is a library, and what it was compiled from.
type Compiled = BTreeMap<(bool, Sha), Function>;

/// The interpreter and what it has compiled.
#[derive(Debug)]
pub(crate) struct Interpreter {
    vm: Vm,
    compiled: Compiled,
    replies: Replies,
}

impl Interpreter {
    /// One that nothing has run in.
    pub(super) fn new() -> Self {
        Self { vm: Vm::shared(), compiled: BTreeMap::new(), replies: Replies::default() }
    }

    /// Whether a new one should take its place.
    pub(super) fn is_full(&self) -> bool {
        self.compiled.len() > COMPILED_MAX || self.vm.clean_bytes() > CLEAN_BYTES_MAX
    }

    /// Compiles what will be run.
    ///
    /// # Errors
    /// The compiler's message.
    pub(crate) fn compile(&mut self, code: &Code<'_>, memory: usize) -> Result<(), String> {
        match compiled(&self.vm, &mut self.compiled, code) {
            Ok(_) => Ok(()),
            Err(NotCompiled::Message(message)) => Err(message),
            Err(NotCompiled::NoMemory) => compile_alone(&Vm::alone(memory), code).map(|_| ()),
        }
    }

    /// Runs a script or a function, and hands its result to `finish`. `lines` gets what it says to the log.
    ///
    /// # Errors
    /// The compiler's message.
    pub(crate) fn run(
        &mut self,
        code: &Code<'_>,
        job: &Job<'_>,
        run: Run,
        call: &mut Call<'_>,
        lines: Option<&mut Lines>,
        finish: &mut Finish<'_>,
    ) -> Result<(), String> {
        let vm = self.carry_out(code, job.work(), run, call, finish)?;
        if let Some(lines) = lines {
            let vm = vm.as_ref().unwrap_or(&self.vm);
            lines.append(&mut vm.lines().lock().expect("no script panics"));
        }
        Ok(())
    }

    /// Runs a library to see what it registers.
    ///
    /// # Errors
    /// The compiler's message, or the library's.
    pub(crate) fn functions_of(
        &mut self,
        code: &Code<'_>,
        memory: usize,
    ) -> Result<Result<Vec<Registered>, Failed>, String> {
        let mut failed = None;
        let mut no_call = |_: &[&[u8]], _: &Shared, _: &mut Vec<u8>| {};
        let run = Run { seed: 0, steps: LOAD_STEPS_MAX, memory };
        let vm = self.carry_out(code, Work::Library, run, &mut no_call, &mut |result| {
            failed = result.err();
            Ok(())
        })?;
        let registered = vm.as_ref().unwrap_or(&self.vm).registered();
        Ok(failed.map_or(Ok(registered), Err))
    }

    /// Returns the interpreter that it was done in, if it had to be one of its own.
    fn carry_out(
        &mut self,
        code: &Code<'_>,
        work: Work<'_>,
        run: Run,
        call: &mut Call<'_>,
        finish: &mut Finish<'_>,
    ) -> Result<Option<Vm>, String> {
        self.replies.begin();
        match compiled(&self.vm, &mut self.compiled, code) {
            Ok(function) => {
                if self.vm.run(function, work, run, &mut self.replies, call, finish) {
                    return Ok(None);
                }
            }
            Err(NotCompiled::Message(message)) => return Err(message),
            Err(NotCompiled::NoMemory) => {}
        }
        self.replies.begin_again();
        let mut alone = Vm::alone(run.memory);
        let function = compile_alone(&alone, code)?;
        let done = alone.run(&function, work, run, &mut self.replies, call, finish);
        assert!(done, "nothing outgrows an interpreter of its own");
        Ok(Some(alone))
    }
}

fn compiled<'a>(vm: &Vm, compiled: &'a mut Compiled, code: &Code<'_>) -> Result<&'a Function, NotCompiled> {
    match compiled.entry((code.is_library, code.sha)) {
        Entry::Occupied(known) => Ok(known.into_mut()),
        Entry::Vacant(free) => Ok(free.insert(vm.compile(code.text, code.name())?)),
    }
}

fn compile_alone(vm: &Vm, code: &Code<'_>) -> Result<Function, String> {
    vm.compile(code.text, code.name()).map_err(|error| match error {
        NotCompiled::Message(message) => message,
        NotCompiled::NoMemory => super::errors::NO_MEMORY.to_owned(),
    })
}
