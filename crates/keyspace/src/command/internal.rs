//! Commands that only Quorate itself writes into the log.

use crate::{
    acl::{PASSWORD_SETTING, is_hash},
    context::WriteCtx,
    error::CommandError,
    number::parse_i64,
    reply::Reply,
    waiters::{Release, WaiterId},
};

const NOT_SIXTEEN_BYTES: CommandError =
    CommandError::fixed("ERR the hash secret and the cluster id have 16 bytes");
const BOOTSTRAPPED: CommandError = CommandError::fixed("ERR the cluster is bootstrapped already");
const NOT_A_HASH: CommandError = CommandError::fixed("ERR a password comes as its SHA-256, behind a #");
const NOT_TEXT: CommandError = CommandError::fixed("ERR the name of a setting is text");

/// `\0bootstrap hash-secret cluster-id [name value ...]`: 16 bytes each, and the settings that the cluster begins with. All
/// of it or, in a cluster that has begun already, nothing.
pub(super) fn bootstrap(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let hash_key = ctx.arg(1).try_into().map_err(|_| NOT_SIXTEEN_BYTES)?;
    let cluster_id = ctx.arg(2).try_into().map_err(|_| NOT_SIXTEEN_BYTES)?;
    let (settings, rest) = ctx.args[3..].as_chunks::<2>();
    if !rest.is_empty() {
        return Err(CommandError::SYNTAX);
    }
    names(settings.iter().map(|[name, _]| *name))?;
    settings.iter().try_for_each(password)?;
    if !ctx.keyspace.bootstrap(hash_key, cluster_id) {
        return Err(BOOTSTRAPPED);
    }
    for [name, value] in settings {
        ctx.keyspace.set_directory(&String::from_utf8_lossy(name), Some(value));
    }
    reply.ok();
    Ok(())
}

/// `\0directory.set name value [name value ...]`
pub(super) fn directory_set(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let (pairs, rest) = ctx.args[1..].as_chunks::<2>();
    if !rest.is_empty() {
        return Err(CommandError::SYNTAX);
    }
    names(pairs.iter().map(|[name, _]| *name))?;
    pairs.iter().try_for_each(password)?;
    for [name, value] in pairs {
        ctx.keyspace.set_directory(&String::from_utf8_lossy(name), Some(value));
    }
    reply.ok();
    Ok(())
}

/// `\0directory.remove name [name ...]`: answers how many there were.
pub(super) fn directory_remove(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    names(ctx.args[1..].iter().copied())?;
    let mut removed = 0;
    for name in &ctx.args[1..] {
        removed += usize::from(ctx.keyspace.set_directory(&String::from_utf8_lossy(name), None));
    }
    reply.count(removed);
    Ok(())
}

/// `\0unblock waiter reason`: a command stops to wait. If it was served meanwhile, that stands.
pub(super) fn unblock(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let id = WaiterId::from_bytes(ctx.arg(1)).ok_or(CommandError::SYNTAX)?;
    let release = Release::from_word(ctx.arg(2)).ok_or(CommandError::SYNTAX)?;
    reply.int(ctx.keyspace.release(id, release).into());
    Ok(())
}

/// `\0drop-waiters node start term`: nobody waits any more for what clients of this and earlier starts of a node asked for.
/// So says the leader of that term; what another one takes over from it is void, because it knows better.
pub(super) fn drop_waiters(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let number = |arg| parse_i64(arg).and_then(|n| u64::try_from(n).ok()).ok_or(CommandError::NOT_AN_INTEGER);
    let (node, start, term) = (number(ctx.arg(1))?, number(ctx.arg(2))?, number(ctx.arg(3))?);
    let is_valid = ctx.keyspace.term() == term;
    reply.count(if is_valid { ctx.keyspace.release_all(node, start) } else { 0 });
    Ok(())
}

/// `\0evict key [key ...]`: what the leader has chosen goes, because memory is short there. It answers how many there were.
pub(super) fn evict(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let db = ctx.db();
    reply.count(ctx.args[1..].iter().filter(|key| ctx.keyspace.evict(db, key)).count());
    Ok(())
}

/// `\0reclaim`: somebody has looked for a key past its deadline, while such keys are not freed before (DEBUG
/// SET-ACTIVE-EXPIRE 0).
pub(super) fn reclaim(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    ctx.keyspace.reclaim();
    reply.ok();
    Ok(())
}

/// Judges what is set as the password of the default user: a hash, or nothing.
fn password([name, value]: &[&[u8]; 2]) -> Result<(), CommandError> {
    let is_hash = || value.strip_prefix(b"#").is_some_and(is_hash);
    if *name != PASSWORD_SETTING.as_bytes() || value.is_empty() || is_hash() {
        return Ok(());
    }
    Err(NOT_A_HASH)
}

/// Judges all names before the first one takes effect.
fn names<'a>(mut names: impl Iterator<Item = &'a [u8]>) -> Result<(), CommandError> {
    if names.all(|name| std::str::from_utf8(name).is_ok()) { Ok(()) } else { Err(NOT_TEXT) }
}
