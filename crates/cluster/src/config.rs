//! Configuration: one table of [parameters](PARAMETERS), and the values that a node runs with.
//!
//! A value comes from, in rising order: the table's default, the configuration file ([`Config::from_toml`]), the
//! command line ([`Config::set_at_start`]), CONFIG SET ([`Config::set`]); for a parameter of the cluster, the
//! replicated directory ([`Config::apply_cluster`]) above all.
//!
//! [`Config`] is a handle: clones share their values, and may be used from any thread. Typed getters cost an
//! atomic load (numbers) or a short lock (texts).

mod file;
mod getters;
mod kind;
mod markdown;
mod output_limits;
mod parameters;

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use quorate_keyspace::glob::{Glob, TooHard};

use kind::Setting;

pub use getters::{Appendfsync, BytesOrPercent, DebugAccess, LogLevel};
pub use kind::{Kind, Unit};
pub use markdown::markdown;
pub use output_limits::{OutputLimit, OutputLimits};
pub use parameters::{Changes, PARAMETERS, Parameter, Scope, find, nearest};

/// CONFIG HELP, line by line.
pub const HELP: &[&str] = &[
    "CONFIG <subcommand> [<arg> ...]. Subcommands are:",
    "GET <pattern> [<pattern> ...]",
    "    The parameters whose names match a glob-style pattern, with their values.",
    "SET <parameter> <value> [<parameter> <value> ...]",
    "    Change parameters: all of them, or after an error none.",
    "RESETSTAT",
    "    Set the statistics of INFO back to zero.",
    "HELP",
    "    This help.",
];

/// The configuration of a node. See the [module](self).
#[derive(Clone)]
pub struct Config {
    shared: Arc<Shared>,
}

struct Shared {
    slots: Box<[Slot]>,
    /// One CONFIG SET at a time, so that its values appear in one order; also guards `given`.
    writer: Mutex<Writer>,
    listeners: RwLock<Vec<Listener>>,
}

type Listener = Box<dyn Fn(&Change) + Send + Sync>;

/// The present value of one parameter; which half counts depends on its kind.
struct Slot {
    number: AtomicI64,
    text: RwLock<Arc<str>>,
}

struct Writer {
    /// Per parameter, the value that this node was started with, in the form that is shown.
    own: Vec<String>,
    /// Per parameter, whether the file or the command line gave that.
    given: Vec<bool>,
}

/// A value that CONFIG SET asks for, valid and in the form that CONFIG GET shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The parameter.
    pub name: &'static str,
    /// [`Scope::Node`]: it is in force. [`Scope::Cluster`]: it is only checked; the caller proposes it to the
    /// directory, and it is in force when the directory's [`Config::apply_cluster`] comes back.
    pub scope: Scope,
    /// The value.
    pub value: String,
}

impl Change {
    fn of(at: usize, setting: &Setting) -> Self {
        let parameter = &PARAMETERS[at];
        Self { name: parameter.name, scope: parameter.scope, value: parameter.kind.show(setting) }
    }
}

/// Why a node cannot start with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not TOML.
    #[error("{0}")]
    Syntax(Box<toml::de::Error>),
    /// Nothing has this name.
    #[error("unknown parameter '{name}'{}", hint(.nearest))]
    Unknown {
        /// The name.
        name: String,
        /// What was probably meant.
        nearest: Option<&'static str>,
    },
    /// The value does not fit.
    #[error("{name} = {value:?}: {reason}")]
    Value {
        /// The parameter.
        name: &'static str,
        /// The value as it was given; `***` for a secret.
        value: String,
        /// What would fit.
        reason: String,
    },
    /// A value in the file is a table or a date.
    #[error("{name}: the value must be a string, a number, a boolean or a list of them")]
    Type {
        /// The parameter.
        name: String,
    },
    /// Two values do not go together.
    #[error("{0}")]
    Conflict(&'static str),
}

fn hint(nearest: &Option<&'static str>) -> String {
    nearest.map(|name| format!(": did you mean '{name}'?")).unwrap_or_default()
}

/// The reply's text when CONFIG SET cannot set a parameter.
fn set_failed(at: usize, reason: &str) -> String {
    let name = PARAMETERS[at].name;
    format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}")
}

impl Default for Config {
    fn default() -> Self {
        let slots: Box<[Slot]> =
            PARAMETERS.iter().map(|parameter| Slot::new(&default_setting(parameter))).collect();
        let own = PARAMETERS.iter().zip(&slots).map(|(parameter, slot)| slot.show(parameter)).collect();
        let writer = Mutex::new(Writer { own, given: vec![false; PARAMETERS.len()] });
        Self { shared: Arc::new(Shared { slots, writer, listeners: RwLock::default() }) }
    }
}

fn default_setting(parameter: &Parameter) -> Setting {
    parameter
        .kind
        .parse(parameter.default, &Setting::Text("".into()))
        .unwrap_or_else(|error| panic!("the default of {} is not valid: {error}", parameter.name))
}

impl Config {
    /// Sets a parameter before the node runs: every one may be set now, but those that never change.
    pub fn set_at_start(&self, name: &str, value: &str) -> Result<(), ConfigError> {
        let at = parameters::position_of(name)
            .ok_or_else(|| ConfigError::Unknown { name: name.to_owned(), nearest: nearest(name) })?;
        let parameter = &PARAMETERS[at];
        let mut writer = self.lock();
        let setting = self.parse(at, value).map_err(|reason| ConfigError::Value {
            name: parameter.name,
            value: if parameter.kind == Kind::Secret { "***".into() } else { value.to_owned() },
            reason,
        })?;
        writer.own[at] = parameter.kind.show(&setting);
        writer.given[at] = true;
        self.shared.slots[at].store(setting);
        Ok(())
    }

    /// Sets a parameter from `NAME=VALUE`, as `--set` has it; see [`Self::set_at_start`].
    pub fn set_pair(&self, pair: &str) -> Result<(), ConfigError> {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if !pair.contains('=') && find(name).is_some() {
            return Err(ConfigError::Conflict("--set takes NAME=VALUE"));
        }
        self.set_at_start(name.trim(), value.trim())
    }

    /// Whether the values go together; the error says which do not. Call it once all of them are set.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.election_timeout_min() > self.election_timeout_max() {
            return Err(ConfigError::Conflict("election-timeout-min must not exceed election-timeout-max"));
        }
        if self.heartbeat_interval() * 2 > self.election_timeout_min() {
            return Err(ConfigError::Conflict(
                "heartbeat-interval must be at most half of election-timeout-min",
            ));
        }
        if self.write_timeout() < self.election_timeout_max() * 2 {
            return Err(ConfigError::Conflict(
                "write-timeout must be at least twice election-timeout-max, or every failover fails writes",
            ));
        }
        Ok(())
    }

    /// The value of a parameter, as CONFIG GET shows it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        parameters::position_of(name).map(|at| self.shared.slots[at].show(&PARAMETERS[at]))
    }

    /// CONFIG GET: each parameter that matches at least one of the patterns, once, in the table's order.
    ///
    /// # Errors
    /// If that takes too long to find out.
    pub fn get_matching<P: AsRef<[u8]>>(
        &self,
        patterns: &[P],
    ) -> Result<Vec<(&'static str, String)>, TooHard> {
        let patterns = patterns.iter().map(AsRef::as_ref);
        let patterns: Vec<(&[u8], Glob<'_>)> = patterns.map(|p: &[u8]| (p, Glob::ignoring_case(p))).collect();
        let matches = |name: &str| {
            let is_hidden = parameters::HIDDEN.contains(&name);
            for (pattern, glob) in &patterns {
                let is_match = match is_hidden {
                    true => pattern.eq_ignore_ascii_case(name.as_bytes()),
                    false => glob.matches(name.as_bytes())?,
                };
                if is_match {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        let mut found = Vec::new();
        for (parameter, slot) in PARAMETERS.iter().zip(&self.shared.slots) {
            if matches(parameter.name)? {
                found.push((parameter.name, slot.show(parameter)));
            }
        }
        for (alias, name) in parameters::ALIASES {
            if matches(alias)? {
                found.extend(self.get(name).map(|value| (*alias, value)));
            }
        }
        Ok(found)
    }

    /// CONFIG SET of one parameter; the error is the reply's text.
    pub fn set(&self, name: &str, value: &str) -> Result<Change, String> {
        let mut changes = self.set_all(&[name, value])?;
        Ok(changes.remove(0))
    }

    /// CONFIG SET name value [name value …]: all of them or, after an error, none. The error is the reply's text.
    ///
    /// Changes of the [cluster](Scope::Cluster) are checked and handed back, to be proposed; if proposing them
    /// fails, those of the node stay in force.
    pub fn set_all<A: AsRef<[u8]>>(&self, args: &[A]) -> Result<Vec<Change>, String> {
        let guard = self.lock();
        let accepted = self.accept_all(args)?;
        let changes: Vec<Change> = accepted.into_iter().map(|(at, setting)| self.put(at, setting)).collect();
        drop(guard);
        for change in changes.iter().filter(|change| change.scope == Scope::Node) {
            self.announce(change);
        }
        Ok(changes)
    }

    /// What [`Self::set_all`] would change, which is not changed yet.
    ///
    /// # Errors
    /// The reply's text.
    pub fn check_all<A: AsRef<[u8]>>(&self, args: &[A]) -> Result<Vec<Change>, String> {
        let accepted = self.accept_all(args)?;
        Ok(accepted.iter().map(|(at, setting)| Change::of(*at, setting)).collect())
    }

    fn accept_all<A: AsRef<[u8]>>(&self, args: &[A]) -> Result<Vec<(usize, Setting)>, String> {
        if args.is_empty() {
            return Err("ERR wrong number of arguments for 'config|set' command".into());
        }
        if !args.len().is_multiple_of(2) {
            return Err("ERR syntax error".into());
        }
        // All names are judged before the first value, as in Redis.
        let mut found = Vec::with_capacity(args.len() / 2);
        for pair in args.chunks_exact(2) {
            let at = self.find_changeable(pair[0].as_ref(), pair[1].as_ref())?;
            if found.contains(&at) {
                return Err(set_failed(at, "duplicate parameter"));
            }
            found.push(at);
        }
        let values = args.chunks_exact(2).map(|pair| pair[1].as_ref());
        found.into_iter().zip(values).map(|(at, value)| Ok((at, self.accept(at, value)?))).collect()
    }

    /// The parameter that CONFIG SET names, or the reply's text.
    fn find_changeable(&self, name: &[u8], value: &[u8]) -> Result<usize, String> {
        let name = String::from_utf8_lossy(name);
        let at = parameters::position_of(&name)
            .ok_or_else(|| format!("ERR Unknown option or number of arguments for CONFIG SET - '{name}'"))?;
        let parameter = &PARAMETERS[at];
        // What Redis lets change and Quorate does not may still be set to what it is: tools write back what they have read.
        let is_already = || self.accept(at, value) == Ok(self.shared.slots[at].load(parameter));
        if parameter.changes == Changes::AtStart
            && (parameters::IMMUTABLE.contains(&parameter.name) || !is_already())
        {
            return Err(set_failed(at, "can't set immutable config"));
        }
        Ok(at)
    }

    /// A value for CONFIG SET, or the reply's text.
    fn accept(&self, at: usize, value: &[u8]) -> Result<Setting, String> {
        let value = str::from_utf8(value).map_err(|_| set_failed(at, "argument must be UTF-8 text"))?;
        self.parse(at, value).map_err(|reason| set_failed(at, &reason))
    }

    fn put(&self, at: usize, setting: Setting) -> Change {
        let change = Change::of(at, &setting);
        if change.scope == Scope::Node {
            self.shared.slots[at].store(setting);
        }
        change
    }

    /// Takes over what the replicated directory says of a parameter of the cluster; `None` when it says nothing:
    /// then the default is in force, whatever this node was started with, because it is on all other nodes too.
    ///
    /// An error (an unknown name, a value out of range) changes nothing: the directory was written by a node of
    /// another version.
    pub fn apply_cluster(&self, name: &str, value: Option<&str>) -> Result<(), String> {
        let at = parameters::position_of(name)
            .filter(|at| PARAMETERS[*at].scope == Scope::Cluster)
            .ok_or_else(|| format!("'{name}' is not a parameter of the cluster"))?;
        let parameter = &PARAMETERS[at];
        let guard = self.lock();
        let value = value.unwrap_or(parameter.default);
        let setting = self.parse(at, value).map_err(|reason| format!("{name}: {reason}"))?;
        let shown = parameter.kind.show(&setting);
        let changed = self.shared.slots[at].show(parameter) != shown;
        self.shared.slots[at].store(setting);
        drop(guard);
        if changed {
            self.announce(&Change { name: parameter.name, scope: Scope::Cluster, value: shown });
        }
        Ok(())
    }

    /// The parameters of the cluster that the file or the command line gave: what the first node of a new
    /// cluster puts into its directory.
    #[must_use]
    pub fn given_for_cluster(&self) -> Vec<(&'static str, String)> {
        let writer = self.lock();
        PARAMETERS
            .iter()
            .zip(writer.given.iter().zip(&writer.own))
            .filter(|(parameter, (given, _))| **given && parameter.scope == Scope::Cluster)
            .map(|(parameter, (_, value))| (parameter.name, value.clone()))
            .collect()
    }

    /// Calls `listener` after each change that is in force, on the thread that made it.
    pub fn on_change(&self, listener: impl Fn(&Change) + Send + Sync + 'static) {
        let mut listeners = self.shared.listeners.write().unwrap_or_else(PoisonError::into_inner);
        listeners.push(Box::new(listener));
    }

    fn announce(&self, change: &Change) {
        for listener in self.shared.listeners.read().unwrap_or_else(PoisonError::into_inner).iter() {
            listener(change);
        }
    }

    /// A value of the parameter at `at`, which a fixed parameter accepts only if it is the default.
    fn parse(&self, at: usize, value: &str) -> Result<Setting, String> {
        let parameter = &PARAMETERS[at];
        let setting = parameter.kind.parse(value, &self.shared.slots[at].load(parameter));
        match parameter.changes {
            Changes::Never(reason) if setting != Ok(default_setting(parameter)) => Err(reason.to_owned()),
            _ => setting,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Writer> {
        // Nothing panics with the lock held, and every step leaves it whole.
        self.shared.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Config {
    /// The values that differ from their defaults; secrets hidden.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Config");
        for (parameter, slot) in PARAMETERS.iter().zip(&self.shared.slots) {
            if slot.load(parameter) == default_setting(parameter) {
                continue;
            }
            match parameter.kind {
                Kind::Secret => out.field(parameter.name, &"***"),
                _ => out.field(parameter.name, &slot.show(parameter)),
            };
        }
        out.finish_non_exhaustive()
    }
}

impl Slot {
    fn new(setting: &Setting) -> Self {
        let slot = Self { number: AtomicI64::new(0), text: RwLock::new("".into()) };
        slot.store(setting.clone());
        slot
    }

    /// Each value stands alone: no order with other memory is needed.
    fn number(&self) -> i64 {
        self.number.load(Ordering::Relaxed)
    }

    fn text(&self) -> Arc<str> {
        self.text.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn store(&self, setting: Setting) {
        match setting {
            Setting::Number(number) => self.number.store(number, Ordering::Relaxed),
            Setting::Text(text) => *self.text.write().unwrap_or_else(PoisonError::into_inner) = text,
        }
    }

    fn load(&self, parameter: &Parameter) -> Setting {
        match parameter.kind {
            Kind::Text
            | Kind::Secret
            | Kind::Address
            | Kind::SavePoints
            | Kind::Percentiles
            | Kind::KeyspaceEvents
            | Kind::OutputLimits => Setting::Text(self.text()),
            Kind::Bool
            | Kind::Integer { .. }
            | Kind::Decimal { .. }
            | Kind::Enum(_)
            | Kind::BytesOrPercent => Setting::Number(self.number()),
        }
    }

    fn show(&self, parameter: &Parameter) -> String {
        parameter.kind.show(&self.load(parameter))
    }
}
