//! Scripts and functions (R13).
//!
//! Their sources are part of the state: of scripts by their SHA-1, of libraries by their names. What they compile to is not: the
//! interpreter ([`vm`]) belongs to a node. Every replica carries a script out, at its place in the log, and gets the same
//! effects and the same reply, because all that a script can see follows from the state and its arguments.

mod args;
mod budget;
mod calls;
mod convert;
mod errors;
mod interpreter;
mod libraries;
mod log;
mod math;
mod power;
mod redis;
mod sha;
mod vm;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};

pub use self::log::{LogLevel, LogLine};
pub(crate) use self::{
    budget::Shared,
    convert::to_reply,
    errors::Failed,
    interpreter::{Code, Interpreter, Job},
    log::Lines,
    redis::FLAGS,
    sha::Sha,
    vm::Run,
};

/// Scripts that EVAL has brought are kept for EVALSHA until this many came after them. What SCRIPT LOAD has brought stays.
const EVALUATED_MAX: usize = 500;

/// Longest source of a script or a library.
pub(crate) const SOURCE_BYTES_MAX: usize = 16 << 20;

/// Sources of scripts and libraries, and this node's interpreter.
#[derive(Debug, Default)]
pub(crate) struct Scripts {
    sources: BTreeMap<Sha, Source>,
    /// Those that EVAL has brought, oldest first.
    evaluated: VecDeque<Sha>,
    /// By name.
    pub(crate) libraries: BTreeMap<String, Library>,
    /// The last one that was named, and its name; not part of the state.
    named: Option<(Sha, Arc<[u8]>)>,
    interpreter: Mutex<Option<Box<Interpreter>>>,
    /// Whether a script or a function runs.
    pub(crate) running: bool,
    /// What scripts have said to the log of this node.
    pub(crate) lines: Lines,
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

impl Library {
    /// The function of this name, in whatever case.
    pub(crate) fn function(&self, name: &str) -> Option<(&String, &FunctionInfo)> {
        self.functions.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))
    }
}

/// What is known of a function without running it.
#[derive(Clone, Debug, Default)]
pub(crate) struct FunctionInfo {
    /// In the author's words.
    pub(crate) description: Option<String>,
    /// What it promises.
    pub(crate) flags: Vec<String>,
}

impl Scripts {
    /// The source of a script.
    pub(crate) fn source(&self, sha: &Sha) -> Option<Arc<[u8]>> {
        self.sources.get(sha).map(|source| source.code.clone())
    }

    /// Whether a source is remembered: it has compiled then.
    pub(crate) fn knows(&self, sha: &Sha) -> bool {
        self.sources.contains_key(sha)
    }

    /// Remembers a source. `loaded`: until SCRIPT FLUSH. True if that changes anything.
    pub(crate) fn remember(&mut self, sha: Sha, code: &[u8], loaded: bool) -> bool {
        if let Some(source) = self.sources.get_mut(&sha) {
            let changes = loaded && !source.loaded;
            if changes {
                source.loaded = true;
                self.evaluated.retain(|other| *other != sha);
            }
            return changes;
        }
        self.sources.insert(sha, Source { code: code.into(), loaded });
        if !loaded {
            self.evaluated.push_back(sha);
            if self.evaluated.len() > EVALUATED_MAX
                && let Some(oldest) = self.evaluated.pop_front()
            {
                self.sources.remove(&oldest);
            }
        }
        true
    }

    /// How many sources are known.
    pub(crate) fn sources_len(&self) -> usize {
        self.sources.len()
    }

    /// Forgets all scripts. True if there were any.
    pub(crate) fn forget_all(&mut self) -> bool {
        let had = !self.sources.is_empty();
        self.sources.clear();
        self.evaluated.clear();
        self.named = None;
        had
    }

    /// All sources for a snapshot: those that EVAL has brought in the order in which they go.
    pub(crate) fn all_sources(&self) -> impl Iterator<Item = (bool, &[u8])> {
        let loaded = self.sources.values().filter(|source| source.loaded);
        let evaluated = self.evaluated.iter().map(|sha| &self.sources[sha]);
        loaded.chain(evaluated).map(|source| (source.loaded, &source.code[..]))
    }

    /// The name of a script. Mostly it is the one that was asked for last: comparing is faster than hashing.
    pub(crate) fn sha_of(&mut self, code: &[u8]) -> Sha {
        match &self.named {
            Some((sha, known)) if **known == *code => *sha,
            _ => {
                let sha = Sha::of(code);
                self.named = self.source(&sha).map(|known| (sha, known));
                sha
            }
        }
    }

    /// The interpreter, for the time of a run; give it back.
    pub(crate) fn take_interpreter(&self) -> Box<Interpreter> {
        self.interpreter
            .lock()
            .expect("no script panics")
            .take()
            .unwrap_or_else(|| Box::new(Interpreter::new()))
    }

    /// See [`Self::take_interpreter`].
    pub(crate) fn give_back(&self, interpreter: Box<Interpreter>) {
        if !interpreter.is_full() {
            *self.interpreter.lock().expect("no script panics") = Some(interpreter);
        }
    }

    /// The library that has a function of this name, in whatever case, and the name as it was registered.
    pub(crate) fn registered(&self, function: &str) -> Option<(&Library, &String, &FunctionInfo)> {
        self.libraries
            .values()
            .find_map(|library| library.function(function).map(|(name, function)| (library, name, function)))
    }
}
