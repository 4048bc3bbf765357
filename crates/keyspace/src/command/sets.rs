//! Commands on sets.

use super::{
    picks::{Count, Picks},
    scan::{self, Cursor, ScanOptions},
};
use crate::{
    context::{ReadCtx, WriteCtx},
    error::CommandError,
    keyspace::Expiry,
    news::Events,
    number::parse_i64,
    random::Random,
    reply::Reply,
    rules::Rules,
    types::{
        hashed::Entry,
        sample::sample,
        set::{Member, Set, difference, intersection, union},
    },
};

type Outcome = Result<(), CommandError>;

/// `SADD key member [member ...]`
pub(super) fn sadd(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (key, rules) = (ctx.arg(1), ctx.rules());
    let members = ctx.args.get(2..).unwrap_or_default();
    let add_to = |set: &mut Set| members.iter().filter(|member| set.add(&rules, member)).count();
    let added = match ctx.get_set(key)? {
        None => {
            let mut set = Set::for_members(&rules, ctx.arg(2), members.len());
            let added = add_to(&mut set);
            ctx.set(key, set, Expiry::Clear);
            added
        }
        Some(set) if members.iter().all(|member| set.contains(&rules, member)) => 0,
        Some(_) => ctx.modify_set(key)?.map_or(0, |set| {
            set.prepare_for(&rules, members.len());
            add_to(set)
        }),
    };
    if added > 0 {
        ctx.notify(Events::SET, "sadd", key);
    }
    reply.count(added);
    Ok(())
}

/// `SREM key member [member ...]`
pub(super) fn srem(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (key, rules) = (ctx.arg(1), ctx.rules());
    let members = ctx.args.get(2..).unwrap_or_default();
    let mut removed = 0;
    let set = ctx.get_set(key)?;
    if set.is_some_and(|set| members.iter().any(|member| set.contains(&rules, member)))
        && let Some(set) = ctx.modify_set(key)?
    {
        removed = members.iter().filter(|member| set.remove(&rules, member)).count();
        ctx.notify(Events::SET, "srem", key);
        ctx.delete_if_empty(key);
    }
    reply.count(removed);
    Ok(())
}

/// `SMOVE source destination member`
pub(super) fn smove(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (source, destination, member, rules) = (ctx.arg(1), ctx.arg(2), ctx.arg(3), ctx.rules());
    let found = ctx.get_set(source)?.map(|set| set.contains(&rules, member));
    // Without a source, the type of the destination does not matter.
    if found.is_some() {
        ctx.get_set(destination)?;
    }
    let found = found.unwrap_or(false);
    if found && source != destination {
        move_member(ctx, &rules)?;
    }
    reply.int(i64::from(found));
    Ok(())
}

/// Moves a member that is in the source; both are sets.
fn move_member(ctx: &mut WriteCtx<'_>, rules: &Rules) -> Outcome {
    let (source, destination, member) = (ctx.arg(1), ctx.arg(2), ctx.arg(3));
    if let Some(set) = ctx.modify_set(source)? {
        set.remove(rules, member);
        ctx.notify(Events::SET, "srem", source);
        ctx.delete_if_empty(source);
    }
    match ctx.get_set(destination)? {
        None => {
            let mut set = Set::for_members(rules, member, 1);
            set.add(rules, member);
            ctx.set(destination, set, Expiry::Clear);
        }
        Some(set) if set.contains(rules, member) => return Ok(()),
        Some(_) => {
            ctx.modify_set(destination)?.map(|set| set.add(rules, member));
        }
    }
    ctx.notify(Events::SET, "sadd", destination);
    Ok(())
}

/// `SCARD key`
pub(super) fn scard(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    reply.count(ctx.get_set(ctx.arg(1))?.map_or(0, Set::len));
    Ok(())
}

/// `SISMEMBER key member`
pub(super) fn sismember(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let set = ctx.get_set(ctx.arg(1))?;
    reply.int(i64::from(set.is_some_and(|set| set.contains(&ctx.rules(), ctx.arg(2)))));
    Ok(())
}

/// `SMISMEMBER key member [member ...]`
pub(super) fn smismember(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (set, rules) = (ctx.get_set(ctx.arg(1))?, ctx.rules());
    let members = ctx.args.get(2..).unwrap_or_default();
    reply.array(members.len());
    for member in members {
        reply.int(i64::from(set.is_some_and(|set| set.contains(&rules, member))));
    }
    Ok(())
}

/// `SMEMBERS key`
pub(super) fn smembers(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    match ctx.get_set(ctx.arg(1))? {
        Some(set) => reply_set(set, reply),
        None => reply.set(0),
    }
    Ok(())
}

fn reply_set(set: &Set, reply: &mut Reply<'_>) {
    reply.set(set.len());
    set.iter().for_each(|member| reply_member(member, reply));
}

fn reply_member(member: Member<'_>, reply: &mut Reply<'_>) {
    reply.bulk(member.bytes(&mut [0; _]));
}

/// `SPOP key [count]`
pub(super) fn spop(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let key = ctx.arg(1);
    let count = match ctx.args.get(2..).unwrap_or_default() {
        [] => None,
        [count] => {
            let count = parse_i64(count).and_then(|count| usize::try_from(count).ok());
            Some(count.ok_or(CommandError::OUT_OF_RANGE)?)
        }
        _ => return Err(CommandError::SYNTAX),
    };
    let Some(set) = ctx.get_set(key)? else {
        match count {
            Some(_) => reply.set(0),
            None => reply.null(),
        }
        return Ok(());
    };
    if count.is_some_and(|count| count >= set.len()) {
        reply_set(set, reply);
        ctx.notify(Events::SET, "spop", key);
        ctx.delete(key);
        return Ok(());
    }
    let positions = sample(&mut ctx.random(), set.len(), count.unwrap_or(1));
    if count.is_some() {
        reply.set(positions.len());
    }
    set.at(&positions).for_each(|member| reply_member(member, reply));
    if !positions.is_empty() {
        ctx.notify(Events::SET, "spop", key);
    }
    remove_at(ctx, key, &positions)
}

/// Removes the members at these positions, and the key with the last one.
fn remove_at(ctx: &mut WriteCtx<'_>, key: &[u8], positions: &[usize]) -> Outcome {
    let rules = ctx.rules();
    if ctx.get_set(key)?.is_some_and(|set| set.len() == positions.len()) {
        ctx.delete(key);
    } else if !positions.is_empty()
        && let Some(set) = ctx.modify_set(key)?
    {
        set.remove_at(&rules, positions);
    }
    Ok(())
}

/// `SRANDMEMBER key [count]`
pub(super) fn srandmember(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let key = ctx.arg(1);
    let count = match ctx.args.get(2..).unwrap_or_default() {
        [] => None,
        [count] => Some(Count::parse(count)?),
        _ => return Err(CommandError::SYNTAX),
    };
    match (ctx.get_set(key)?, count) {
        (None, None) => reply.null(),
        (None, Some(_)) => reply.array(0),
        (Some(set), None) => {
            let position = ctx.random().below(set.len() as u64) as usize;
            set.at(&[position]).for_each(|member| reply_member(member, reply));
        }
        (Some(set), Some(count)) => reply_picks(set, count.picks()?, &mut ctx.random(), reply),
    }
    Ok(())
}

fn reply_picks(set: &Set, picks: Picks, random: &mut Random, reply: &mut Reply<'_>) {
    match picks {
        Picks::Different(count) => {
            let positions = sample(random, set.len(), count);
            reply.array(positions.len());
            set.at(&positions).for_each(|member| reply_member(member, reply));
        }
        Picks::Repeated(count) => {
            reply.array(count);
            // Finding a place in a small set takes time in proportion to it.
            let small: Option<Vec<_>> = set.as_hashed().is_none().then(|| set.iter().collect());
            for _ in 0..count {
                let position = random.below(set.len() as u64) as usize;
                match &small {
                    Some(members) => reply_member(members[position], reply),
                    None => set.at(&[position]).for_each(|member| reply_member(member, reply)),
                }
            }
        }
    }
}

/// The sets that keys hold; `None` is a key that does not exist.
macro_rules! sets_of {
    ($ctx:expr, $keys:expr) => {
        $keys.iter().map(|key| $ctx.get_set(key)).collect::<Result<Vec<Option<&Set>>, _>>()
    };
}

/// All of them, if every one exists.
fn all_exist<'a>(sets: &[Option<&'a Set>]) -> Option<Vec<&'a Set>> {
    sets.iter().copied().collect()
}

fn existing<'a>(sets: &[Option<&'a Set>]) -> Vec<&'a Set> {
    sets.iter().copied().flatten().collect()
}

/// `SINTER key [key ...]`
pub(super) fn sinter(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let sets = sets_of!(ctx, ctx.args[1..])?;
    let mut found = Vec::new();
    if let Some(mut sets) = all_exist(&sets) {
        intersection(&ctx.rules(), &mut sets, |member| {
            found.push(member);
            true
        });
    }
    reply.set(found.len());
    found.into_iter().for_each(|member| reply_member(member, reply));
    Ok(())
}

/// `SINTERCARD numkeys key [key ...] [LIMIT limit]`
pub(super) fn sintercard(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    const TOO_FEW_KEYS: CommandError = CommandError::fixed("ERR numkeys should be greater than 0");
    const TOO_MANY_KEYS: CommandError =
        CommandError::fixed("ERR Number of keys can't be greater than number of args");
    const NEGATIVE_LIMIT: CommandError = CommandError::fixed("ERR LIMIT can't be negative");
    let count = parse_i64(ctx.arg(1)).filter(|count| *count > 0).ok_or(TOO_FEW_KEYS)?;
    let count = usize::try_from(count).map_err(|_| TOO_MANY_KEYS)?;
    let (keys, mut options) = ctx.args[2..].split_at_checked(count).ok_or(TOO_MANY_KEYS)?;
    let mut limit = 0;
    while let Some((option, rest)) = options.split_first() {
        let (number, rest) = rest.split_first().ok_or(CommandError::SYNTAX)?;
        if !option.eq_ignore_ascii_case(b"limit") {
            return Err(CommandError::SYNTAX);
        }
        limit = parse_i64(number).filter(|limit| *limit >= 0).ok_or(NEGATIVE_LIMIT)?;
        options = rest;
    }
    let sets = sets_of!(ctx, keys)?;
    let mut found = 0;
    if let Some(mut sets) = all_exist(&sets) {
        intersection(&ctx.rules(), &mut sets, |_| {
            found += 1;
            found != limit
        });
    }
    reply.int(found);
    Ok(())
}

/// `SINTERSTORE destination key [key ...]`
pub(super) fn sinterstore(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let rules = ctx.rules();
    let sets = sets_of!(ctx, ctx.args[2..])?;
    let result = all_exist(&sets).map_or_else(Set::default, |mut sets| Set::intersection(&rules, &mut sets));
    store(ctx, "sinterstore", result, reply);
    Ok(())
}

/// `SUNION key [key ...]`
pub(super) fn sunion(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let sets = sets_of!(ctx, ctx.args[1..])?;
    reply_set(&union(&ctx.rules(), &existing(&sets)), reply);
    Ok(())
}

/// `SUNIONSTORE destination key [key ...]`
pub(super) fn sunionstore(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let sets = sets_of!(ctx, ctx.args[2..])?;
    let result = union(&ctx.rules(), &existing(&sets));
    store(ctx, "sunionstore", result, reply);
    Ok(())
}

/// `SDIFF key [key ...]`
pub(super) fn sdiff(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let sets = sets_of!(ctx, ctx.args[1..])?;
    reply_set(&difference(&ctx.rules(), &sets), reply);
    Ok(())
}

/// `SDIFFSTORE destination key [key ...]`
pub(super) fn sdiffstore(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let sets = sets_of!(ctx, ctx.args[2..])?;
    let result = difference(&ctx.rules(), &sets);
    store(ctx, "sdiffstore", result, reply);
    Ok(())
}

/// Stores a set under the first argument, and nothing if it is empty. The other arguments were read.
fn store(ctx: &mut WriteCtx<'_>, event: &'static str, set: Set, reply: &mut Reply<'_>) {
    for key in &ctx.args[2..] {
        ctx.count_as_read(key);
    }
    reply.count(set.len());
    if set.is_empty() {
        ctx.delete(ctx.arg(1));
    } else {
        ctx.set(ctx.arg(1), set, Expiry::Clear);
        ctx.notify(Events::SET, event, ctx.arg(1));
    }
}

/// `SSCAN key cursor [MATCH pattern] [COUNT count]`
pub(super) fn sscan(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let cursor = Cursor::parse(ctx.arg(2))?;
    let Some(set) = ctx.get_set(ctx.arg(1))? else {
        scan::reply_nothing(reply);
        return Ok(());
    };
    let options = ScanOptions::of_members(ctx.args.get(3..).unwrap_or_default())?;
    match set.as_hashed() {
        None => {
            let portion = options.whole(set.iter(), |member| options.wants(member.bytes(&mut [0; _])))?;
            portion.reply(reply, 1, |reply, member| reply_member(member, reply));
        }
        Some(hashed) => {
            let wanted = |entry: &&Entry| options.wants(entry.key());
            let portion = options.portion(cursor, |hash| hashed.iter_from_hash(hash), wanted)?;
            portion.reply(reply, 1, |reply, entry| reply.bulk(entry.key()));
        }
    }
    Ok(())
}
