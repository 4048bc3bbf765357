//! What is counted of each command: INFO commandstats and latencystats, LATENCY HISTOGRAM.

use std::cell::{Cell, RefCell};

use quorate_keyspace::command::{Command, table};

use super::histogram::Histogram;

/// What is counted of one command.
#[derive(Debug)]
pub(crate) struct CommandStats {
    /// As INFO shows it: `config|get`.
    pub(crate) name: &'static str,
    pub(crate) calls: Cell<u64>,
    pub(crate) nanos: Cell<u64>,
    /// Refused before they were carried out.
    pub(crate) rejected: Cell<u64>,
    /// Carried out, with an error.
    pub(crate) failed: Cell<u64>,
    /// There once something was counted.
    pub(crate) times: RefCell<Option<Box<Histogram>>>,
}

impl CommandStats {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            calls: Cell::new(0),
            nanos: Cell::new(0),
            rejected: Cell::new(0),
            failed: Cell::new(0),
            times: RefCell::default(),
        }
    }

    pub(crate) fn called(&self, ns: u64, failed: bool, tracked: bool) {
        self.calls.set(self.calls.get() + 1);
        self.nanos.set(self.nanos.get() + ns);
        self.failed.set(self.failed.get() + u64::from(failed));
        if tracked {
            self.times.borrow_mut().get_or_insert_default().count(ns);
        }
    }

    fn reset(&self) {
        for counter in [&self.calls, &self.nanos, &self.rejected, &self.failed] {
            counter.set(0);
        }
        *self.times.borrow_mut() = None;
    }
}

/// Places in [`Commands::places`]; at most half of them are taken.
const PLACES: usize = 2048;

/// Where no command is.
const NOBODY: (usize, u16) = (0, u16::MAX);

/// See the module.
#[derive(Debug)]
pub(crate) struct Commands {
    stats: Vec<CommandStats>,
    /// From the address of a command's record to its number: this is on the way of every command.
    places: Vec<(usize, u16)>,
}

fn address(command: &'static Command) -> usize {
    std::ptr::from_ref(command).addr()
}

/// Where to look for an address, best place first.
fn probe(address: usize) -> impl Iterator<Item = usize> {
    let mixed = (address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    (0..PLACES).map(move |i| (mixed as usize + i) % PLACES)
}

impl Commands {
    pub(crate) fn new() -> Self {
        let mut all = Self { stats: Vec::new(), places: vec![NOBODY; PLACES] };
        for command in table::all() {
            let container = all.add(command);
            for sub in command.subcommands {
                // Those of DEBUG are arguments, for Redis.
                if command.name == "debug" {
                    all.put(sub, container);
                } else {
                    all.add(sub);
                }
            }
        }
        all
    }

    fn add(&mut self, command: &'static Command) -> u16 {
        let number = u16::try_from(self.stats.len()).expect("there are few commands");
        self.stats.push(CommandStats::new(command.name));
        self.put(command, number);
        number
    }

    fn put(&mut self, command: &'static Command, number: u16) {
        let address = address(command);
        let free = probe(address).find(|place| self.places[*place] == NOBODY);
        self.places[free.expect("half of the places are free")] = (address, number);
    }

    /// What is counted of a command; of those that only Quorate writes, nothing.
    pub(crate) fn of(&self, command: &'static Command) -> Option<&CommandStats> {
        let address = address(command);
        let mut taken = probe(address).map(|place| self.places[place]).take_while(|taken| *taken != NOBODY);
        let (_, number) = taken.find(|(other, _)| *other == address)?;
        self.stats.get(usize::from(number))
    }

    /// All of them, in the order of the table.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &CommandStats> {
        self.stats.iter()
    }

    pub(crate) fn reset(&self) {
        self.stats.iter().for_each(CommandStats::reset);
    }
}

#[cfg(test)]
mod tests {
    use quorate_keyspace::command::{lookup, lookup_internal};

    use super::*;

    #[test]
    fn every_command_has_counters_of_its_own() {
        let commands = Commands::new();
        for command in table::all().flat_map(|c| std::iter::once(c).chain(c.told_subcommands())) {
            assert_eq!(commands.of(command).map(|stats| stats.name), Some(command.name));
        }
        assert!(commands.places.iter().filter(|place| **place != NOBODY).count() <= PLACES / 2);
    }

    #[test]
    fn words_behind_debug_count_as_debug_and_internal_commands_not_at_all() {
        let commands = Commands::new();
        let debug = lookup(b"debug").expect("it is in the table");
        for sub in debug.subcommands {
            assert_eq!(commands.of(sub).map(|stats| stats.name), Some("debug"));
        }
        let internal = lookup_internal(b"\0unblock").expect("it is in the table");
        assert!(commands.of(internal).is_none());
    }

    #[test]
    fn what_was_counted_can_be_forgotten() {
        let commands = Commands::new();
        let get = commands.of(lookup(b"get").expect("it is in the table")).expect("it counts");
        get.called(1500, true, true);
        get.called(500, false, false);
        assert_eq!((get.calls.get(), get.nanos.get(), get.failed.get()), (2, 2000, 1));
        assert_eq!(get.times.borrow().as_ref().map(|times| times.total()), Some(1));
        commands.reset();
        assert_eq!((get.calls.get(), get.nanos.get(), get.failed.get()), (0, 0, 0));
        assert!(get.times.borrow().is_none());
    }
}
