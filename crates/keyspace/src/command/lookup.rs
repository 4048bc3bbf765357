//! From a name to its command.

use std::sync::LazyLock;

use super::{Command, compatibility::not_implemented, debug, table};
use crate::error::CommandError;

/// At most half of the places are taken.
const PLACES: usize = 512;

/// Longest part of a command line that an error repeats.
const QUOTED_LEN_MAX: usize = 128;

/// Open addressing over [`PLACES`]: this lies on the path of each command, twice.
struct Index(Vec<Option<(u64, &'static Command)>>);

static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let mut places = vec![None; PLACES];
    for command in table::all() {
        let sum = sum_of(command.name.as_bytes()).expect("every command has a name");
        let free = probe(sum).find(|&i| places[i].is_none()).expect("half of the places are free");
        places[free] = Some((sum, command));
    }
    Index(places)
});

/// The command of this name, in capital or small letters. Not the internal ones.
#[must_use]
pub fn lookup(name: &[u8]) -> Option<&'static Command> {
    let sum = sum_of(name)?;
    probe(sum)
        .map_while(|i| INDEX.0[i])
        .find(|(known, command)| *known == sum && command.name.as_bytes().eq_ignore_ascii_case(name))
        .map(|(_, command)| command)
}

/// The internal command of this name.
#[must_use]
pub fn lookup_internal(name: &[u8]) -> Option<&'static Command> {
    let may_be = name.first() == Some(&0);
    may_be.then(|| table::internal().find(|command| command.name.as_bytes() == name)).flatten()
}

/// The command, or subcommand, that a command line means, once its number of arguments is found right.
///
/// # Errors
/// With Redis's texts if there is no such command or subcommand or the number of arguments is wrong.
pub fn resolve(args: &[&[u8]]) -> Result<&'static Command, CommandError> {
    let Some(command) = args.first().and_then(|name| lookup(name)) else { return Err(unknown_command(args)) };
    check(command, args)
}

/// The same, for what stands in the log: internal commands too.
pub(crate) fn resolve_logged(args: &[&[u8]]) -> Result<&'static Command, CommandError> {
    match args.first().and_then(|name| lookup_internal(name)) {
        Some(command) => check(command, args),
        None => resolve(args),
    }
}

/// The same, for what the node itself may ask: internal commands too. Clients' command lines are resolved before they come
/// here.
pub(crate) fn resolve_asked(args: &[&[u8]]) -> Result<&'static Command, CommandError> {
    resolve(args).or_else(|error| {
        let internal = args.first().and_then(|name| lookup_internal(name)).ok_or(error)?;
        check(internal, args)
    })
}

/// The command, or subcommand, that a command line names, whether or not its number of arguments is right.
#[must_use]
pub fn named(args: &[&[u8]]) -> Option<&'static Command> {
    let command = lookup(args.first()?)?;
    match args.get(1) {
        Some(word) if !command.subcommands.is_empty() => subcommand(command, word),
        _ => Some(command),
    }
}

fn check(mut command: &'static Command, args: &[&[u8]]) -> Result<&'static Command, CommandError> {
    if let ("debug", Some(word)) = (command.name, args.get(1)) {
        let found = subcommand(command, word).filter(|command| command.takes(args.len()));
        return found.ok_or_else(|| debug::not_understood(word));
    }
    if let (false, Some(word)) = (command.subcommands.is_empty(), args.get(1)) {
        command = subcommand(command, word).ok_or_else(|| unknown_subcommand(command, word))?;
    }
    if command.takes(args.len()) { Ok(command) } else { Err(CommandError::wrong_arity(command.name)) }
}

/// The subcommand of this name.
pub(crate) fn subcommand(container: &'static Command, word: &[u8]) -> Option<&'static Command> {
    container.subcommands.iter().find(|sub| sub.short_name().as_bytes().eq_ignore_ascii_case(word))
}

/// The error for a command line that names no command.
#[must_use]
pub fn unknown_command(args: &[&[u8]]) -> CommandError {
    let name = args.first().copied().unwrap_or_default();
    if let Some(error) = not_implemented(None, name) {
        return error;
    }
    let mut quoted = String::new();
    for arg in args.iter().skip(1) {
        if quoted.len() >= QUOTED_LEN_MAX {
            break;
        }
        quoted.push_str(&format!("'{}' ", beginning(arg, QUOTED_LEN_MAX - quoted.len())));
    }
    let name = beginning(name, QUOTED_LEN_MAX);
    CommandError::new(format!("ERR unknown command '{name}', with args beginning with: {quoted}"))
}

/// The error for a word that names no subcommand of `container`.
#[must_use]
pub fn unknown_subcommand(container: &Command, word: &[u8]) -> CommandError {
    if let Some(error) = not_implemented(Some(container.name), word) {
        return error;
    }
    let word = beginning(word, QUOTED_LEN_MAX);
    let container = container.name.to_ascii_uppercase();
    CommandError::new(format!("ERR unknown subcommand '{word}'. Try {container} HELP."))
}

/// Up to a NUL, where a name ends for Redis.
fn beginning(bytes: &[u8], len_max: usize) -> std::borrow::Cow<'_, str> {
    let shown = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(&shown[..shown.len().min(len_max)])
}

/// The same for capital and small letters; different for the names in the table, mostly. `None`: nothing is named so.
fn sum_of(name: &[u8]) -> Option<u64> {
    let word = |from: usize| name.get(from..from + 8)?.try_into().ok().map(u64::from_le_bytes);
    let half = |from: usize| name.get(from..from + 4)?.try_into().ok().map(u32::from_le_bytes);
    let (first, last) = match name.len() {
        0 => return None,
        len @ 1..4 => (u64::from_le_bytes([name[0], name[len / 2], 0, 0, 0, 0, 0, 0]), name[len - 1].into()),
        len @ 4..8 => (half(0)?.into(), half(len - 4)?.into()),
        len => (word(0)?, word(len - 8)?),
    };
    // The bit in which capital letters differ from small ones.
    const SMALL: u64 = 0x2020_2020_2020_2020;
    let mixed = (first | SMALL).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
        ^ (last | SMALL)
        ^ name.len() as u64;
    Some(mixed.wrapping_mul(0xd6e8_feb8_6659_fd93))
}

/// The places where a name may stand, best first.
fn probe(sum: u64) -> impl Iterator<Item = usize> {
    let first = (sum >> 40) as usize;
    (0..PLACES).map(move |i| (first + i) % PLACES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_found_in_any_letters() {
        let mut count = 0;
        for command in table::all() {
            assert!(std::ptr::eq(lookup(command.name.as_bytes()).unwrap(), command));
            assert!(std::ptr::eq(lookup(command.name.to_uppercase().as_bytes()).unwrap(), command));
            count += 1;
        }
        assert!(count > 80, "{count} commands");
        assert!(count < PLACES / 2);
        let sums: std::collections::BTreeSet<_> = table::all().map(|c| sum_of(c.name.as_bytes())).collect();
        assert_eq!(sums.len(), count);
    }

    #[test]
    fn no_client_can_name_an_internal_command() {
        for command in table::internal() {
            assert!(command.name.starts_with('\0'));
            assert!(lookup(command.name.as_bytes()).is_none());
            assert!(lookup_internal(command.name.as_bytes()).is_some());
        }
        assert!(lookup(b"get\0").is_none());
        assert!(lookup(b"").is_none());
        assert!(lookup(b"bitfield\x7fro").is_none(), "an underscore is no letter");
        assert!(lookup(b"client\x5b").is_none());
        assert!(lookup(&[b'x'; 1000]).is_none());
    }

    #[test]
    fn errors_are_those_of_redis() {
        let text = |args: &[&[u8]]| resolve(args).unwrap_err().text().to_owned();
        assert_eq!(
            text(&[b"foo", b"bar", b"baz"]),
            "ERR unknown command 'foo', with args beginning with: 'bar' 'baz' "
        );
        assert_eq!(text(&[b"foo"]), "ERR unknown command 'foo', with args beginning with: ");
        assert_eq!(text(&[b"a\nb"]), "ERR unknown command 'a b', with args beginning with: ");
        assert_eq!(text(&[b"get"]), "ERR wrong number of arguments for 'get' command");
        assert_eq!(text(&[b"GET", b"a", b"b"]), "ERR wrong number of arguments for 'get' command");
        assert_eq!(text(&[b"config", b"nope"]), "ERR unknown subcommand 'nope'. Try CONFIG HELP.");
        assert_eq!(text(&[b"config", b"get"]), "ERR wrong number of arguments for 'config|get' command");
        assert_eq!(text(&[b"config"]), "ERR wrong number of arguments for 'config' command");
    }

    #[test]
    fn a_long_command_line_is_cut() {
        let long = [b'x'; 1000];
        let text = unknown_command(&[&long, &long, &long]).text().to_owned();
        assert!(text.len() < 350, "{}", text.len());
    }
}
