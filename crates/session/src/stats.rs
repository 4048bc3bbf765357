//! What a node notes of the commands of its clients: INFO commandstats, latencystats and errorstats, SLOWLOG, LATENCY, MONITOR.
//! All of it covers this node (R18), and nothing of it survives a restart.
//!
//! **What a command's time is.** From the end of what the node's thread did before it to the end of its own execution, by one
//! reading of the clock per command. For a write that is its place in apply at the node that its client is connected
//! to; waiting for the log is not in it, nor is waiting for a key. A command that is carried out while others go on (CONFIG SET
//! of a parameter of the cluster, MIGRATE, SAVE) counts from its beginning to its answer. A simulator's clock stands
//! still, so there every time is zero.

mod commands;
mod errors;
mod histogram;
mod latency;
mod monitors;
mod redact;
mod slow_log;

use std::cell::{Cell, RefCell};
use std::time::Duration;

use quorate_cluster::config::Config;
use quorate_env::{Instant, clock};
use quorate_keyspace::command::{Command, Flags};
use quorate_keyspace::{Metered, Place};
use quorate_replica::Lap;

use crate::connection::Connection;
pub(crate) use commands::CommandStats;
use commands::Commands;
use errors::Errors;
pub(crate) use latency::{Event, Latency, Sample};
pub(crate) use monitors::Monitors;
pub(crate) use redact::shown;
use slow_log::Slow;
pub(crate) use slow_log::SlowLog;

const NS_PER_MS: u64 = 1_000_000;

/// See the module. Shared by a node and its connections.
pub(crate) struct Stats {
    config: Config,
    /// The last reading of the clock, in nanoseconds: when the command at hand began.
    last: Cell<u64>,
    /// When the entry at hand began.
    entry: Cell<u64>,
    pub(crate) commands: Commands,
    pub(crate) errors: RefCell<Errors>,
    /// The text of an error that a command of a script was answered with. The script may pass it on: then it is the same
    /// error, and counts once.
    script_error: RefCell<Option<Vec<u8>>>,
    pub(crate) slow: RefCell<SlowLog>,
    pub(crate) latency: RefCell<Latency>,
    pub(crate) monitors: Monitors,
}

impl Stats {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            last: Cell::new(0),
            entry: Cell::new(0),
            commands: Commands::new(),
            errors: RefCell::default(),
            script_error: RefCell::default(),
            slow: RefCell::default(),
            latency: RefCell::default(),
            monitors: Monitors::default(),
        }
    }

    /// CONFIG RESETSTAT.
    pub(crate) fn reset(&self) {
        self.commands.reset();
        *self.errors.borrow_mut() = Errors::default();
    }

    /// Reads the clock: what comes next begins now.
    pub(crate) fn restart(&self) -> u64 {
        let now = Instant::now().as_nanos();
        self.last.set(now);
        now
    }

    /// When the command at hand began.
    pub(crate) fn begun(&self) -> u64 {
        self.last.get()
    }

    /// The replica has come to another part of its work.
    pub(crate) fn lap(&self, lap: Lap) {
        let before = self.last.get();
        let now = self.restart();
        match lap {
            Lap::Begin => self.entry.set(now),
            Lap::Reclaimed => self.delay("expire-cycle", now.saturating_sub(before)),
            Lap::Applied => self.delay("apply", now.saturating_sub(self.entry.get())),
            Lap::DiskDone(time) => self.delay("fsync", time.as_nanos().try_into().unwrap_or(u64::MAX)),
        }
    }

    /// Notes a delay that may be worth it.
    pub(crate) fn delay(&self, event: &'static str, ns: u64) {
        let threshold = self.config.latency_monitor_threshold();
        if threshold > Duration::ZERO && u128::from(ns) >= threshold.as_nanos() {
            let sample = Sample { at: clock::wall_ms() / 1000, ms: ns / NS_PER_MS };
            self.latency.borrow_mut().add(event, sample);
        }
    }

    /// A command has ended.
    pub(crate) fn ended(&self, connection: &Connection, metered: &Metered<'_>) {
        let now = self.restart();
        let ns = now.saturating_sub(metered.begun) + metered.sleep_ms * NS_PER_MS;
        let Some(stats) = self.commands.of(metered.command) else { return };
        stats.called(ns, metered.error.is_some(), self.config.latency_tracking());
        match metered.error {
            Some(error) if metered.place != Place::Client => {
                self.inner_error(connection, metered.place, error)
            }
            None if metered.place == Place::Client && self.script_error.borrow().is_some() => {
                self.script_error.take();
            }
            _ => {}
        }
        let slow_us = self.config.slowlog_log_slower_than();
        if u64::try_from(slow_us).is_ok_and(|us| ns >= us.saturating_mul(1000)) {
            self.note_slow(connection, metered, ns);
        }
        let fast = metered.command.flags.contains(Flags::FAST);
        self.delay(if fast { "fast-command" } else { "command" }, ns);
    }

    /// Counts the error of a command within another: no connection sees it begin an answer.
    pub(crate) fn inner_error(&self, connection: &Connection, place: Place, error: &[u8]) {
        if self.counts_as_new(error) {
            self.errors.borrow_mut().count(error);
            connection.errors.set(connection.errors.get() + 1);
        }
        if place == Place::Script {
            *self.script_error.borrow_mut() = Some(error.to_vec());
        }
    }

    /// Counts an error that a connection answers with. False: it is counted already.
    pub(crate) fn answered_error(&self, text: &[u8]) -> bool {
        let is_new = self.counts_as_new(text);
        if is_new {
            self.errors.borrow_mut().count(text);
        }
        is_new
    }

    /// Whether this is another error than the one that a script has just met.
    fn counts_as_new(&self, text: &[u8]) -> bool {
        let met = self.script_error.take();
        !met.is_some_and(|met| text.starts_with(&met))
    }

    /// A command was refused before it was carried out.
    pub(crate) fn rejected(&self, command: &'static Command) {
        if let Some(stats) = self.commands.of(command) {
            stats.rejected.set(stats.rejected.get() + 1);
        }
    }

    fn note_slow(&self, connection: &Connection, metered: &Metered<'_>, ns: u64) {
        if metered.command.flags.contains(Flags::SKIP_SLOWLOG) {
            return;
        }
        let slow = Slow {
            id: 0,
            at: clock::wall_ms() / 1000,
            micros: ns / 1000,
            args: slow_log::cut(&shown(metered.command, metered.args)),
            addr: connection.addr.clone(),
            name: connection.name.borrow().clone(),
        };
        self.slow.borrow_mut().add(slow, self.config.slowlog_max_len());
    }
}
