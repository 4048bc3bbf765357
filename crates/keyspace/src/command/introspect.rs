//! What `COMMAND` answers, all of it drawn from the table.

use super::{
    Argument, ArgumentFlags, Begin, Command, Find, Flags, KeyFlags, KeyPositions, KeySpec,
    lookup::{lookup, subcommand},
    table,
};
use crate::{context::ReadCtx, error::CommandError, glob::Glob, reply::Reply};

type Done = Result<(), CommandError>;

const INVALID_COMMAND: CommandError = CommandError::fixed("ERR Invalid command specified");

/// `COMMAND`
pub(super) fn command(_: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Done {
    reply.array(table::all().count());
    for command in table::all() {
        info(Some(command), reply);
    }
    Ok(())
}

/// `COMMAND COUNT`
pub(super) fn command_count(_: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Done {
    reply.count(table::all().count());
    Ok(())
}

/// `COMMAND INFO [name ...]`
pub(super) fn command_info(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Done {
    if ctx.args.len() == 2 {
        return command(ctx, reply);
    }
    reply.array(ctx.args.len() - 2);
    for name in &ctx.args[2..] {
        info(by_full_name(name), reply);
    }
    Ok(())
}

/// `COMMAND DOCS [name ...]`
pub(super) fn command_docs(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Done {
    let commands: Vec<&Command> = match &ctx.args[2..] {
        [] => table::all().collect(),
        names => names.iter().filter_map(|name| by_full_name(name)).collect(),
    };
    reply.map(commands.len());
    for command in commands {
        docs(command, reply);
    }
    Ok(())
}

/// `COMMAND LIST [FILTERBY MODULE name | ACLCAT category | PATTERN pattern]`
pub(super) fn command_list(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Done {
    let mut pattern = None;
    let wanted: &dyn Fn(&Command) -> bool = match ctx.args {
        [_, _] => &|_| true,
        [_, _, by, what, value] if by.eq_ignore_ascii_case(b"filterby") => {
            match what.to_ascii_lowercase().as_slice() {
                b"module" => &|_| false,
                b"aclcat" => &|command| {
                    let mut names = command.all_categories().iter_names();
                    names.any(|(name, _)| value.eq_ignore_ascii_case(name.as_bytes()))
                },
                b"pattern" => {
                    pattern = Some(Glob::ignoring_case(value));
                    &|_| true
                }
                _ => return Err(CommandError::SYNTAX),
            }
        }
        _ => return Err(CommandError::SYNTAX),
    };
    let every = table::all().flat_map(|command| std::iter::once(command).chain(command.told_subcommands()));
    let mut names = Vec::new();
    for name in every.filter(|command| wanted(command)).map(|command| command.name) {
        if pattern.as_ref().map_or(Ok(true), |pattern| pattern.matches(name.as_bytes()))? {
            names.push(name);
        }
    }
    reply.array(names.len());
    for name in names {
        reply.bulk(name.as_bytes());
    }
    Ok(())
}

/// `COMMAND GETKEYS command [arg ...]`
pub(super) fn command_getkeys(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Done {
    let args = &ctx.args[2..];
    let found = described_keys(described_command(args)?, args)?;
    reply.array(found.len());
    for (key, _) in found {
        reply.bulk(key);
    }
    Ok(())
}

/// `COMMAND GETKEYSANDFLAGS command [arg ...]`
pub(super) fn command_getkeysandflags(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Done {
    let args = &ctx.args[2..];
    let command = described_command(args)?;
    let found = described_keys(command, args)?;
    reply.array(found.len());
    for (key, flags) in found {
        reply.array(2);
        reply.bulk(key);
        key_flags(flags_by_arguments(command, args).unwrap_or(flags), reply);
    }
    Ok(())
}

/// The keys in a command line, and what becomes of them. One that can do without keys has none if they cannot be found.
fn described_keys<'a>(
    command: &Command,
    args: &[&'a [u8]],
) -> Result<Vec<(&'a [u8], KeyFlags)>, CommandError> {
    let mut found = Vec::new();
    for spec in command.keys {
        let mut positions = KeyPositions::new();
        match spec.positions(args, &mut positions) {
            Err(_) if command.flags.contains(Flags::NO_MANDATORY_KEYS) => return Ok(Vec::new()),
            result => result?,
        }
        found.extend(positions.into_iter().map(|i| (args[i], spec.flags)));
    }
    Ok(found)
}

/// What becomes of the key, for commands where the arguments decide.
pub(crate) fn flags_by_arguments(command: &Command, args: &[&[u8]]) -> Option<KeyFlags> {
    let is = |arg: &[u8], word: &str| arg.eq_ignore_ascii_case(word.as_bytes());
    let reads_and_writes = KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE);
    match command.name {
        "set" if args[3..].iter().any(|option| is(option, "get")) => Some(reads_and_writes),
        "set" => Some(KeyFlags::OW.union(KeyFlags::UPDATE)),
        "bitfield" if args[2..].iter().any(|word| is(word, "set") || is(word, "incrby")) => {
            Some(reads_and_writes)
        }
        "bitfield" => Some(KeyFlags::RO.union(KeyFlags::ACCESS)),
        _ => None,
    }
}

/// `COMMAND HELP`
pub(super) fn command_help(_: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Done {
    help("command", reply);
    Ok(())
}

/// What `HELP` answers for a container, drawn from the table. Nothing is written if there is no such container.
pub fn help(container: &str, reply: &mut Reply<'_>) {
    let Some(container) = lookup(container.as_bytes()) else { return };
    reply.array(1 + 2 * container.subcommands.len());
    let name = container.name.to_ascii_uppercase();
    reply.simple(&format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    for sub in container.subcommands {
        reply.simple(&usage(sub));
        reply.simple(&format!("    {}", sub.summary));
    }
}

/// How a command is written: `GETEX key [EX seconds | ...]`, a subcommand without its container.
#[must_use]
pub fn usage(command: &Command) -> String {
    let mut text = command.short_name().to_ascii_uppercase();
    for argument in command.arguments {
        text.push(' ');
        text.push_str(&argument_usage(argument));
    }
    text
}

fn argument_usage(argument: &Argument) -> String {
    let inner: Vec<String> = argument.arguments.iter().map(argument_usage).collect();
    let mut text = match argument.kind {
        "pure-token" => argument.token.to_owned(),
        "oneof" => inner.join(" | "),
        "block" => inner.join(" "),
        _ => argument.name.to_owned(),
    };
    if !argument.token.is_empty() && argument.kind != "pure-token" {
        text = format!("{} {text}", argument.token);
    }
    let optional = argument.flags.contains(ArgumentFlags::OPTIONAL);
    if argument.kind == "oneof" && !optional {
        text = format!("<{text}>");
    }
    if argument.flags.contains(ArgumentFlags::MULTIPLE) {
        text = format!("{text} [{text} ...]");
    }
    if optional { format!("[{text}]") } else { text }
}

/// The command whose keys are asked for.
fn described_command(args: &[&[u8]]) -> Result<&'static Command, CommandError> {
    const WRONG_ARITY: CommandError =
        CommandError::fixed("ERR Invalid number of arguments specified for command");
    const NO_KEYS: CommandError = CommandError::fixed("ERR The command has no key arguments");
    let mut command = args.first().and_then(|name| lookup(name)).ok_or(INVALID_COMMAND)?;
    if let (false, Some(word)) = (command.subcommands.is_empty(), args.get(1)) {
        command = subcommand(command, word).ok_or(INVALID_COMMAND)?;
    }
    if command.keys.is_empty() {
        return Err(NO_KEYS);
    }
    if command.takes(args.len()) { Ok(command) } else { Err(WRONG_ARITY) }
}

/// `get`, or `config|get`.
fn by_full_name(name: &[u8]) -> Option<&'static Command> {
    match name.iter().position(|&b| b == b'|') {
        None => lookup(name),
        Some(bar) => subcommand(lookup(&name[..bar])?, &name[bar + 1..]),
    }
}

fn info(command: Option<&Command>, reply: &mut Reply<'_>) {
    let Some(command) = command else {
        reply.null();
        return;
    };
    reply.array(10);
    reply.bulk(command.name.as_bytes());
    reply.int(command.arity.into());
    // Redis knows this one and does not tell.
    let flags = command.flags.difference(Flags::MAY_REPLICATE);
    names(flags.iter_names().map(|(name, _)| name.to_ascii_lowercase()), reply);
    let (first, last, step) = legacy_range(command.keys);
    reply.int(first);
    reply.int(last);
    reply.int(step);
    names(
        command.all_categories().iter_names().map(|(name, _)| format!("@{}", name.to_ascii_lowercase())),
        reply,
    );
    reply.array(command.tips.len());
    for tip in command.tips {
        reply.bulk(tip.as_bytes());
    }
    reply.array(command.keys.len());
    for spec in command.keys {
        key_spec(spec, reply);
    }
    reply.array(command.told_subcommands().len());
    for sub in command.told_subcommands() {
        info(Some(sub), reply);
    }
}

/// A set of simple strings.
fn names(names: impl Iterator<Item = String>, reply: &mut Reply<'_>) {
    let names: Vec<String> = names.collect();
    reply.set(names.len());
    for name in names {
        reply.simple(&name);
    }
}

fn key_flags(flags: KeyFlags, reply: &mut Reply<'_>) {
    // What happens to the key as a whole is in capital letters, what happens to its contents in small ones.
    let letters = |name: &str| if name.len() == 2 { name.to_owned() } else { name.to_ascii_lowercase() };
    names(flags.iter_names().map(|(name, _)| letters(name)), reply);
}

fn key_spec(spec: &KeySpec, reply: &mut Reply<'_>) {
    let text = |reply: &mut Reply<'_>, name: &str| reply.bulk(name.as_bytes());
    let number = |reply: &mut Reply<'_>, name: &str, n: i64| {
        reply.bulk(name.as_bytes());
        reply.int(n);
    };
    reply.map(3);
    text(reply, "flags");
    key_flags(spec.flags, reply);
    text(reply, "begin_search");
    reply.map(2);
    text(reply, "type");
    match spec.begin {
        Begin::Index(i) | Begin::FoundAt(i, _) => {
            text(reply, "index");
            text(reply, "spec");
            reply.map(1);
            number(reply, "index", i as i64);
        }
        Begin::Keyword(word, from) => keyword(word, from as i64, reply),
        Begin::FoundBehind(word, from, _) => keyword(word, from, reply),
        Begin::Found(_) => unknown(reply),
    }
    text(reply, "find_keys");
    reply.map(2);
    text(reply, "type");
    match spec.find {
        _ if matches!(spec.begin, Begin::Found(_)) => unknown(reply),
        Find::Range { last, step } => {
            text(reply, "range");
            text(reply, "spec");
            reply.map(3);
            number(reply, "lastkey", last.into());
            number(reply, "keystep", step as i64);
            number(reply, "limit", 0);
        }
        Find::Part { parts, step } => {
            text(reply, "range");
            text(reply, "spec");
            reply.map(3);
            number(reply, "lastkey", -1);
            number(reply, "keystep", step as i64);
            number(reply, "limit", parts as i64);
        }
        Find::KeyNum { number: at, first, step } => {
            text(reply, "keynum");
            text(reply, "spec");
            reply.map(3);
            number(reply, "keynumidx", at as i64);
            number(reply, "firstkey", first as i64);
            number(reply, "keystep", step as i64);
        }
    }
}

/// A search for a word.
fn keyword(word: &str, from: i64, reply: &mut Reply<'_>) {
    reply.bulk(b"keyword");
    reply.bulk(b"spec");
    reply.map(2);
    reply.bulk(b"keyword");
    reply.bulk(word.as_bytes());
    reply.bulk(b"startfrom");
    reply.int(from);
}

/// A search that clients cannot do.
fn unknown(reply: &mut Reply<'_>) {
    reply.bulk(b"unknown");
    reply.bulk(b"spec");
    reply.map(0);
}

/// First key, last key and step, for clients that know nothing of key specifications; zeros if that cannot say it.
fn legacy_range(specs: &[KeySpec]) -> (i64, i64, i64) {
    let mut whole = (0, 0, 0);
    for spec in specs {
        let (Begin::Index(first) | Begin::FoundAt(first, _), Find::Range { last, step }) =
            (spec.begin, spec.find)
        else {
            continue;
        };
        let (first, step) = (first as i64, step as i64);
        let last = if last < 0 { last.into() } else { first + i64::from(last) };
        whole = match whole {
            (0, ..) => (first, last, step),
            (begin, end, 1) if end == first - 1 && step == 1 => (begin, last, 1),
            unconnected => unconnected,
        };
    }
    whole
}

fn docs(command: &Command, reply: &mut Reply<'_>) {
    reply.bulk(command.name.as_bytes());
    let more = [!command.arguments.is_empty(), !command.told_subcommands().is_empty()];
    reply.map(4 + more.into_iter().filter(|&there| there).count());
    let group = command.group.name();
    let fields = [
        ("summary", command.summary),
        ("since", command.since),
        ("group", group),
        ("complexity", command.complexity),
    ];
    for (name, text) in fields {
        reply.bulk(name.as_bytes());
        reply.bulk(text.as_bytes());
    }
    if !command.arguments.is_empty() {
        reply.bulk(b"arguments");
        arguments(command.arguments, reply);
    }
    if !command.told_subcommands().is_empty() {
        reply.bulk(b"subcommands");
        reply.map(command.told_subcommands().len());
        for sub in command.told_subcommands() {
            docs(sub, reply);
        }
    }
}

fn arguments(list: &[Argument], reply: &mut Reply<'_>) {
    reply.array(list.len());
    for argument in list {
        let is_group = !argument.arguments.is_empty();
        let has_flags = !argument.flags.is_empty();
        let fields = [
            true,
            true,
            !is_group,
            argument.key_spec.is_some(),
            !argument.token.is_empty(),
            has_flags,
            is_group,
        ];
        reply.map(fields.into_iter().filter(|&there| there).count());
        let text = |reply: &mut Reply<'_>, name: &str, value: &str| {
            reply.bulk(name.as_bytes());
            reply.bulk(value.as_bytes());
        };
        text(reply, "name", argument.name);
        text(reply, "type", argument.kind);
        if !is_group {
            text(reply, "display_text", argument.name);
        }
        if let Some(i) = argument.key_spec {
            reply.bulk(b"key_spec_index");
            reply.int(i.into());
        }
        if !argument.token.is_empty() {
            text(reply, "token", argument.token);
        }
        if has_flags {
            reply.bulk(b"flags");
            names(argument.flags.iter_names().map(|(name, _)| name.to_ascii_lowercase()), reply);
        }
        if is_group {
            reply.bulk(b"arguments");
            arguments(argument.arguments, reply);
        }
    }
}
