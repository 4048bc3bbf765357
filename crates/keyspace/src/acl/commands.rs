//! Which commands a selector allows.

use std::{collections::BTreeMap, sync::LazyLock};

use super::rules::Why;
use crate::command::{Categories, Command, compatibility, lookup, subcommand, table};

/// Rules about commands. They are kept as text, in their order: software that knows more commands reads them alike. What
/// follows from them is worked out again wherever they are read.
#[derive(Clone, Debug)]
pub(super) struct Commands {
    /// Before the rules everything is allowed, or nothing.
    all: bool,
    rules: Vec<Box<str>>,
    allowed: Allowed,
}

impl PartialEq for Commands {
    fn eq(&self, other: &Self) -> bool {
        (self.all, &self.rules) == (other.all, &other.rules)
    }
}

impl Eq for Commands {}

/// What follows from rules.
#[derive(Clone, Debug, Default)]
struct Allowed {
    /// A bit for each command, by its number.
    bits: Vec<u64>,
    /// Commands of which only lines with one of these words behind the name are allowed.
    first_words: BTreeMap<usize, Vec<Box<str>>>,
}

impl Commands {
    pub(super) fn none() -> Self {
        Self::base(false)
    }

    pub(super) fn all() -> Self {
        Self::base(true)
    }

    fn base(all: bool) -> Self {
        Self { all, rules: Vec::new(), allowed: Allowed::new(all) }
    }

    /// Whether nothing was ever excluded.
    pub(super) fn is_all(&self) -> bool {
        self.all && self.rules.iter().all(|rule| rule.starts_with('+'))
    }

    /// The rules, one after the other, with the one for everything in front.
    pub(super) fn words(&self) -> impl Iterator<Item = &str> {
        let base = if self.all { "+@all" } else { "-@all" };
        std::iter::once(base).chain(self.rules.iter().map(|rule| &**rule))
    }

    /// Whether a command line is allowed, whatever its keys.
    pub(super) fn allow(&self, command: &'static Command, args: &[&[u8]]) -> bool {
        let Some(number) = number_of(command) else { return false };
        if self.allowed.has(number) {
            return true;
        }
        let words = self.allowed.first_words.get(&number);
        let second = args.get(1).copied().unwrap_or_default();
        words.is_some_and(|words| words.iter().any(|word| word.as_bytes().eq_ignore_ascii_case(second)))
    }

    /// Takes in a rule: a sign, and a command, a subcommand, a command with its first word, or a category.
    pub(super) fn change(&mut self, rule: &[u8]) -> Result<(), Why> {
        let rule = std::str::from_utf8(rule).map_err(|_| Why::Unknown)?.to_ascii_lowercase();
        let (sign, what) = rule.split_at(1);
        match what {
            "@all" => *self = Self::base(sign == "+"),
            what => {
                judge(sign == "+", what)?;
                self.forget(what);
                self.allowed.change(sign == "+", what);
                self.rules.push(rule.into());
            }
        }
        Ok(())
    }

    /// Forgets rules that mean nothing behind a new one: about the same, or about a part of it.
    fn forget(&mut self, what: &str) {
        self.rules.retain(|rule| {
            let rest = rule[1..].strip_prefix(what);
            !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('|'))
        });
    }
}

/// Whether there is anything of this name.
fn judge(allows: bool, what: &str) -> Result<(), Why> {
    if let Some(category) = what.strip_prefix('@') {
        return category_of(category.as_bytes()).map(|_| ()).ok_or(Why::Unknown);
    }
    if is_known(what) {
        return Ok(());
    }
    // Perhaps it is a command with its first word.
    let (container, word) = what.rsplit_once('|').filter(|_| allows).ok_or(Why::Unknown)?;
    match () {
        () if !is_known(container) => Err(Why::Unknown),
        () if container.contains('|') => Err(Why::FirstWordOfSubcommand),
        () if word.is_empty() => Err(Why::Syntax),
        () if has_subcommands(container) => Err(Why::Unknown),
        () => Ok(()),
    }
}

/// Whether Redis has a command or subcommand of this name, here or not.
fn is_known(name: &str) -> bool {
    find(name).is_some() || compatibility::entries().any(|entry| entry.name == name)
}

fn has_subcommands(name: &str) -> bool {
    let here = lookup(name.as_bytes()).is_some_and(|command| !command.told_subcommands().is_empty());
    let is_part = |entry: &str| entry.strip_prefix(name).is_some_and(|rest| rest.starts_with('|'));
    here || compatibility::entries().any(|entry| is_part(entry.name))
}

/// The command, or the subcommand that is told of, of this name.
fn find(name: &str) -> Option<&'static Command> {
    let Some((container, word)) = name.split_once('|') else { return lookup(name.as_bytes()) };
    let container = lookup(container.as_bytes())?;
    (!container.told_subcommands().is_empty()).then(|| subcommand(container, word.as_bytes())).flatten()
}

impl Allowed {
    fn new(all: bool) -> Self {
        let word = if all { u64::MAX } else { 0 };
        Self { bits: vec![word; NUMBERS.commands.len().div_ceil(64)], first_words: BTreeMap::new() }
    }

    fn has(&self, number: usize) -> bool {
        self.bits[number / 64] >> (number % 64) & 1 == 1
    }

    /// Takes in a rule that was judged. About a command that does not exist here there is nothing to take in.
    fn change(&mut self, allows: bool, what: &str) {
        if let Some(category) = what.strip_prefix('@').and_then(|name| category_of(name.as_bytes())) {
            for command in &NUMBERS.commands {
                if command.all_categories().contains(category) {
                    self.set(command, allows);
                }
            }
        } else if let Some(command) = find(what) {
            self.set(command, allows);
        } else if let Some((name, word)) = what.split_once('|')
            && let Some(number) = lookup(name.as_bytes()).and_then(number_of)
        {
            let words = self.first_words.entry(number).or_default();
            if !words.iter().any(|known| **known == *word) {
                words.push(word.into());
            }
        }
    }

    /// A command with all its subcommands.
    fn set(&mut self, command: &'static Command, allows: bool) {
        let with_parts = std::iter::once(command).chain(command.told_subcommands());
        for number in with_parts.filter_map(number_of) {
            let bit = 1 << (number % 64);
            let word = &mut self.bits[number / 64];
            *word = if allows { *word | bit } else { *word & !bit };
            self.first_words.remove(&number);
        }
    }
}

/// The category of this name, in any letters.
pub(crate) fn category_of(name: &[u8]) -> Option<Categories> {
    let mut known = Categories::all().iter_names();
    known.find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name)).map(|(_, category)| category)
}

/// The commands and subcommands of a category.
pub(crate) fn categories(category: Categories) -> impl Iterator<Item = &'static Command> {
    NUMBERS.commands.iter().copied().filter(move |command| command.all_categories().contains(category))
}

/// All commands and subcommands that are told of, numbered. The numbers are this software's own.
struct Numbers {
    commands: Vec<&'static Command>,
    /// Where records stand in memory, with their numbers: the quickest way from one to the other. Those of the arguments
    /// of DEBUG have the number of DEBUG.
    by_place: Vec<(usize, usize)>,
}

static NUMBERS: LazyLock<Numbers> = LazyLock::new(|| {
    let (mut commands, mut by_place) = (Vec::new(), Vec::new());
    for command in table::all() {
        let untold = if command.told_subcommands().is_empty() { command.subcommands } else { &[] };
        by_place.extend(untold.iter().map(|part| (place_of(part), commands.len())));
        for one in std::iter::once(command).chain(command.told_subcommands()) {
            by_place.push((place_of(one), commands.len()));
            commands.push(one);
        }
    }
    by_place.sort_unstable();
    Numbers { commands, by_place }
});

fn place_of(command: &'static Command) -> usize {
    std::ptr::from_ref(command).addr()
}

fn number_of(command: &'static Command) -> Option<usize> {
    let place = place_of(command);
    let found = NUMBERS.by_place.binary_search_by_key(&place, |(place, _)| *place);
    found.ok().map(|at| NUMBERS.by_place[at].1)
}
