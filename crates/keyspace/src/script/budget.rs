//! What a run may spend, and what the functions of Rust and whoever runs a script tell each other.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed},
};

use super::{errors::CallError, log::Lines, math::Drand48, redis::Registered};

/// Why a run that takes too long is ended.
const TOO_LONG: &str = "ERR the script was ended: it took more steps than a script may take";

/// The same while a library is loaded.
const LOAD_TOO_LONG: &str = "ERR FUNCTION LOAD timeout";

/// Most functions of Rust within each other.
const NESTED_MAX: u64 = 50;

/// See [`Shared::nest`].
pub(super) struct Level<'a>(&'a Shared);

impl Drop for Level<'_> {
    fn drop(&mut self) {
        self.0.nested.fetch_sub(1, Relaxed);
    }
}

/// What is known of the run that is under way.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Goes up with each run.
    run: AtomicU64,
    /// Steps that it may take.
    budget: AtomicU64,
    /// Steps spent in this run.
    spent: AtomicU64,
    /// Whether a run can outgrow the interpreter: it has not got it alone.
    can_outgrow: bool,
    /// The run has to be done again, with an interpreter of its own: whatever it does from here on counts for nothing.
    outgrown: AtomicBool,
    /// How many functions of Rust are under way that call functions of the script.
    nested: AtomicU64,
    /// The protocol version in which commands answer to the script.
    pub(crate) resp: AtomicU8,
    /// Commands are not to be carried out: the script asks whether its caller may do that.
    pub(crate) asks: AtomicBool,
    /// Whether a library is being loaded.
    pub(crate) loading: AtomicBool,
    pub(crate) random: Mutex<Drand48>,
    /// What the library that is being loaded has registered.
    pub(crate) registered: Mutex<Vec<Registered>>,
    /// What the script wants in the log of the node.
    pub(crate) lines: Mutex<Lines>,
}

impl Shared {
    /// Of an interpreter that a run can outgrow or not.
    pub(super) fn new(can_outgrow: bool) -> Self {
        Self { can_outgrow, ..Self::default() }
    }

    /// Takes the work of a library function from the budget.
    ///
    /// # Errors
    /// If nothing is left of it, or the run is to end.
    pub(crate) fn charge(&self, steps: u64) -> mlua::Result<()> {
        let spent = self.spent.load(Relaxed).saturating_add(steps);
        self.spent.store(spent, Relaxed);
        if spent <= self.budget.load(Relaxed) && !self.has_outgrown() {
            return Ok(());
        }
        let text = if self.loading.load(Relaxed) { LOAD_TOO_LONG } else { TOO_LONG };
        Err(CallError::raise(text.to_owned()))
    }

    /// A function of Rust is about to call functions of the script, for as long as the result lives; unless too many do.
    pub(super) fn nest(&self) -> Option<Level<'_>> {
        let is_free = self.nested.load(Relaxed) < NESTED_MAX;
        is_free.then(|| {
            self.nested.fetch_add(1, Relaxed);
            Level(self)
        })
    }

    /// Steps spent in this run.
    pub(crate) fn spent(&self) -> u64 {
        self.spent.load(Relaxed)
    }

    /// What is left of the budget.
    pub(crate) fn left(&self) -> u64 {
        self.budget.load(Relaxed).saturating_sub(self.spent())
    }

    /// Which run this is.
    pub(crate) fn run(&self) -> u64 {
        self.run.load(Relaxed)
    }

    /// Ends the run as soon as it spends anything, to be done again in an interpreter of its own, if it has not got one.
    pub(crate) fn outgrow(&self) {
        self.outgrown.store(self.can_outgrow, Relaxed);
    }

    /// Whether this run counts for nothing.
    pub(crate) fn has_outgrown(&self) -> bool {
        self.outgrown.load(Relaxed)
    }

    /// A new run begins.
    pub(crate) fn begin(&self, seed: u64, budget: u64) {
        self.budget.store(budget, Relaxed);
        self.run.store(self.run() + 1, Relaxed);
        self.spent.store(0, Relaxed);
        self.outgrown.store(false, Relaxed);
        self.resp.store(2, Relaxed);
        self.loading.store(false, Relaxed);
        *self.random.lock().expect("no script panics") = Drand48::new(seed);
        self.registered.lock().expect("no script panics").clear();
        self.lines.lock().expect("no script panics").clear();
    }
}
