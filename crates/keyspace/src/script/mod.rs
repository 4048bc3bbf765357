//! Scripts and functions (R13).
//!
//! Their sources are part of the state: of scripts by their SHA-1, of libraries by their names. What they compile to is not: the
//! interpreter ([`vm`]) belongs to a node. Every replica carries a script out, at its place in the log, and gets the same
//! effects and the same reply, because all that a script can see follows from the state and its arguments.

mod convert;
mod libraries;
mod math;
mod redis;
mod vm;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};

use mlua::Function;

pub(crate) use self::{
    convert::to_reply,
    redis::{FLAGS, sha1_text},
    vm::{Failed, Run, Shared, Vm},
};

/// Scripts that EVAL has brought are kept for EVALSHA until this many came after them. What SCRIPT LOAD has brought stays.
const EVALUATED_MAX: usize = 500;

/// Longest source of a script or a library.
pub(crate) const SOURCE_BYTES_MAX: usize = 16 << 20;

/// Compiled scripts kept by a node.
const COMPILED_MAX: usize = 1000;

/// Sources of scripts and libraries, and this node's interpreter.
#[derive(Debug, Default)]
pub(crate) struct Scripts {
    /// By SHA-1 in hexadecimal.
    sources: BTreeMap<String, Source>,
    /// Those that EVAL has brought, oldest first.
    evaluated: VecDeque<String>,
    /// By name.
    pub(crate) libraries: BTreeMap<String, Library>,
    interpreter: Mutex<Option<Box<Interpreter>>>,
}

#[derive(Clone, Debug)]
struct Source {
    code: Arc<[u8]>,
    /// Whether SCRIPT LOAD has brought it.
    loaded: bool,
}

/// A library of functions.
#[derive(Clone, Debug)]
pub(crate) struct Library {
    /// Its source, with the first line.
    pub(crate) code: Arc<[u8]>,
    /// By name.
    pub(crate) functions: BTreeMap<String, FunctionInfo>,
}

/// What is known of a function without running it.
#[derive(Clone, Debug, Default)]
pub(crate) struct FunctionInfo {
    /// In the author's words.
    pub(crate) description: Option<String>,
    /// What it promises.
    pub(crate) flags: Vec<String>,
}

/// The interpreter and what it has compiled.
#[derive(Debug)]
pub(crate) struct Interpreter {
    pub(crate) vm: Vm,
    /// By SHA-1 of the source, with a mark of what it is.
    compiled: BTreeMap<String, Function>,
}

impl Interpreter {
    /// The function that `code` compiles to. `name` is where its errors say they come from, `sha` its SHA-1.
    ///
    /// # Errors
    /// The compiler's message.
    pub(crate) fn compiled(&mut self, sha: &str, code: &[u8], name: &str) -> Result<Function, String> {
        let place = format!("{name} {sha}");
        if let Some(function) = self.compiled.get(&place) {
            return Ok(function.clone());
        }
        let function = self.vm.compile(code, name)?;
        if self.compiled.len() >= COMPILED_MAX {
            self.compiled.clear();
        }
        self.compiled.insert(place, function.clone());
        Ok(function)
    }
}

impl Scripts {
    /// The source of a script.
    pub(crate) fn source(&self, sha: &str) -> Option<Arc<[u8]>> {
        self.sources.get(sha).map(|source| source.code.clone())
    }

    /// Remembers a source. `loaded`: until SCRIPT FLUSH. True if that changes anything.
    pub(crate) fn remember(&mut self, sha: &str, code: &[u8], loaded: bool) -> bool {
        if let Some(source) = self.sources.get_mut(sha) {
            let changes = loaded && !source.loaded;
            if changes {
                source.loaded = true;
                self.evaluated.retain(|other| other != sha);
            }
            return changes;
        }
        self.sources.insert(sha.to_owned(), Source { code: code.into(), loaded });
        if !loaded {
            self.evaluated.push_back(sha.to_owned());
            if self.evaluated.len() > EVALUATED_MAX
                && let Some(oldest) = self.evaluated.pop_front()
            {
                self.sources.remove(&oldest);
            }
        }
        true
    }

    /// Forgets all scripts. True if there were any.
    pub(crate) fn forget_all(&mut self) -> bool {
        let had = !self.sources.is_empty();
        self.sources.clear();
        self.evaluated.clear();
        had
    }

    /// All sources for a snapshot: those that EVAL has brought in the order in which they go.
    pub(crate) fn all_sources(&self) -> impl Iterator<Item = (bool, &[u8])> {
        let loaded = self.sources.values().filter(|source| source.loaded);
        let evaluated = self.evaluated.iter().map(|sha| &self.sources[sha]);
        loaded.chain(evaluated).map(|source| (source.loaded, &source.code[..]))
    }

    /// The interpreter, for the time of a run; give it back.
    pub(crate) fn take_interpreter(&self) -> Box<Interpreter> {
        let taken = self.interpreter.lock().expect("no script panics").take();
        taken.unwrap_or_else(|| Box::new(Interpreter { vm: Vm::new(), compiled: BTreeMap::new() }))
    }

    /// See [`Self::take_interpreter`].
    pub(crate) fn give_back(&self, interpreter: Box<Interpreter>) {
        *self.interpreter.lock().expect("no script panics") = Some(interpreter);
    }

    /// The library that has a function of this name.
    pub(crate) fn library_of(&self, function: &str) -> Option<(&Library, &FunctionInfo)> {
        self.libraries
            .values()
            .find_map(|library| library.functions.get(function).map(|function| (library, function)))
    }
}
