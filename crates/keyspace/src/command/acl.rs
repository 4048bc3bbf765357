//! `ACL`: what concerns the users of the cluster. What concerns a connection or a node, the session answers.

use super::Command;
use crate::{
    acl::{DEFAULT_NAME, RuleError, categories, category_of},
    command::{Categories, lookup, resolve},
    context::{ReadCtx, WriteCtx},
    error::CommandError,
    reply::Reply,
};

type Outcome = Result<(), CommandError>;

const NOT_THE_DEFAULT: CommandError = CommandError::fixed("ERR The 'default' user cannot be removed");

/// `ACL SETUSER username [rule ...]`: all rules take effect or, after an error, none.
pub(super) fn setuser(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (name, rules) = (ctx.arg(2), &ctx.args[3..]);
    let all_channels = ctx.keyspace.all_channels();
    let changed = ctx.keyspace.change_users(|users| users.set(name, rules, all_channels));
    changed.map_err(|error: RuleError| error.error().clone())?;
    reply.ok();
    Ok(())
}

/// `ACL DELUSER username [username ...]`: answers how many there were.
pub(super) fn deluser(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let names = &ctx.args[2..];
    if names.contains(&DEFAULT_NAME) {
        return Err(NOT_THE_DEFAULT);
    }
    let mut removed = 0;
    ctx.keyspace.change_users(|users| {
        removed = names.iter().filter(|name| users.remove(name)).count();
        Ok::<_, CommandError>(removed > 0)
    })?;
    reply.count(removed);
    Ok(())
}

/// `ACL GETUSER username`
pub(super) fn getuser(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let Some(user) = ctx.keyspace.users().get(ctx.arg(2)) else {
        reply.null();
        return Ok(());
    };
    reply.map(6);
    reply.bulk(b"flags");
    reply.set(user.flags().count());
    user.flags().for_each(|flag| reply.bulk(flag.as_bytes()));
    reply.bulk(b"passwords");
    reply.array(user.hashes().count());
    user.hashes().for_each(|hash| reply.bulk(hash.as_bytes()));
    let mut rights = user.rights();
    if let Some(own) = rights.next() {
        put_rights(&own, reply);
    }
    reply.bulk(b"selectors");
    reply.array(rights.len());
    for other in rights {
        reply.map(3);
        put_rights(&other, reply);
    }
    Ok(())
}

fn put_rights(rights: &[Vec<u8>; 3], reply: &mut Reply<'_>) {
    for (name, text) in ["commands", "keys", "channels"].into_iter().zip(rights) {
        reply.bulk(name.as_bytes());
        reply.bulk(text);
    }
}

/// `ACL LIST`
pub(super) fn list(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let users = ctx.keyspace.users();
    reply.array(users.len());
    users.iter().for_each(|user| reply.bulk(&user.line()));
    Ok(())
}

/// `ACL USERS`
pub(super) fn users(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let users = ctx.keyspace.users();
    reply.array(users.len());
    users.iter().for_each(|user| reply.bulk(user.name()));
    Ok(())
}

/// `ACL CAT [category]`
pub(super) fn cat(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    match ctx.args {
        [_, _] => {
            reply.array(Categories::all().iter_names().count());
            Categories::all()
                .iter_names()
                .for_each(|(name, _)| reply.bulk(name.to_ascii_lowercase().as_bytes()));
            Ok(())
        }
        [_, _, name] => {
            let category = category_of(name).ok_or_else(|| {
                CommandError::new(format!("ERR Unknown category '{}'", String::from_utf8_lossy(name)))
            })?;
            let names: Vec<_> = categories(category).map(|command| command.name).collect();
            reply.array(names.len());
            names.iter().for_each(|name| reply.bulk(name.as_bytes()));
            Ok(())
        }
        _ => Err(CommandError::fixed(
            "ERR unknown subcommand or wrong number of arguments for 'CAT'. Try ACL HELP.",
        )),
    }
}

/// `ACL DRYRUN username command [arg ...]`
pub(super) fn dryrun(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (name, line) = (ctx.arg(2), &ctx.args[3..]);
    let user = ctx.keyspace.users().get(name).ok_or_else(|| {
        CommandError::new(format!("ERR User '{}' not found", String::from_utf8_lossy(name)))
    })?;
    let command = asked_for(line)?;
    match user.judge(command, line) {
        Ok(()) => reply.ok(),
        Err(denied) => reply.bulk(&denied.in_full(command, line)),
    }
    Ok(())
}

fn asked_for(line: &[&[u8]]) -> Result<&'static Command, CommandError> {
    // What follows DEBUG are arguments, for Redis: any will do.
    let debug =
        lookup(b"debug").filter(|debug| line[0].eq_ignore_ascii_case(b"debug") && debug.takes(line.len()));
    debug.map_or_else(|| resolve(line), Ok).map_err(|error| {
        match error.text().starts_with("ERR wrong number of arguments") {
            true => error,
            false => {
                let name = String::from_utf8_lossy(line[0]);
                CommandError::new(format!("ERR Command '{name}' not found"))
            }
        }
    })
}
