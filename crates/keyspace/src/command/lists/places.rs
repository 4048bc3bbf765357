//! Commands on lists that concern elements by their index or contents.

use super::{Outcome, index_range};
use crate::{
    context::{ReadCtx, WriteCtx},
    error::CommandError,
    news::Events,
    number::parse_i64,
    reply::Reply,
    types::list::List,
};

/// `LINDEX key index`
pub(in crate::command) fn lindex(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let Some(list) = ctx.get_list(ctx.arg(1))? else {
        reply.null();
        return Ok(());
    };
    let index = parse_i64(ctx.arg(2)).ok_or(CommandError::NOT_AN_INTEGER)?;
    match absolute(index, list.len()).and_then(|index| list.get(index)) {
        Some(element) => reply.bulk(element),
        None => reply.null(),
    }
    Ok(())
}

/// The index from the front, of one that counts from the end if it is negative.
fn absolute(index: i64, len: usize) -> Option<usize> {
    let index = if index < 0 { index.saturating_add(len as i64) } else { index };
    usize::try_from(index).ok().filter(|index| *index < len)
}

/// `LSET key index element`
pub(in crate::command) fn lset(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (key, element, limit) = (ctx.arg(1), ctx.arg(3), ctx.rules().list_limit);
    let len = ctx.get_list(key)?.ok_or(CommandError::NO_SUCH_KEY)?.len();
    let index = parse_i64(ctx.arg(2)).ok_or(CommandError::NOT_AN_INTEGER)?;
    let index = absolute(index, len).ok_or(CommandError::INDEX_OUT_OF_RANGE)?;
    if let Some(list) = ctx.modify_list(key)? {
        list.encode_for_growth(limit, &[element]);
        list.set(index, element);
        list.encode_after_shrinking(limit);
    }
    ctx.notify(Events::LIST, "lset", key);
    reply.ok();
    Ok(())
}

/// `LINSERT key BEFORE | AFTER pivot element`
pub(in crate::command) fn linsert(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (key, pivot, element, limit) = (ctx.arg(1), ctx.arg(3), ctx.arg(4), ctx.rules().list_limit);
    let offset = match ctx.arg(2).to_ascii_lowercase().as_slice() {
        b"before" => 0,
        b"after" => 1,
        _ => return Err(CommandError::SYNTAX),
    };
    let Some(list) = ctx.get_list(key)? else {
        reply.int(0);
        return Ok(());
    };
    let Some(index) = list.iter_from(0).position(|other| other == pivot) else {
        reply.int(-1);
        return Ok(());
    };
    if let Some(list) = ctx.modify_list(key)? {
        list.encode_for_growth(limit, &[element]);
        list.insert(index + offset, element);
        reply.count(list.len());
    }
    ctx.notify(Events::LIST, "linsert", key);
    Ok(())
}

/// `LREM key count element`
pub(in crate::command) fn lrem(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let (key, element, limit) = (ctx.arg(1), ctx.arg(3), ctx.rules().list_limit);
    let count = long(ctx.arg(2))?;
    let Some(list) = ctx.get_list(key)? else {
        reply.int(0);
        return Ok(());
    };
    let most =
        if count == 0 { list.len() } else { usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX) };
    let mut found = Matches::new(list, element, count < 0).take(most).collect::<Vec<_>>();
    if count < 0 {
        found.reverse();
    }
    reply.count(found.len());
    let leaves_none = found.len() == list.len();
    if !found.is_empty() {
        ctx.notify(Events::LIST, "lrem", key);
    }
    if leaves_none {
        ctx.delete(key);
    } else if !found.is_empty()
        && let Some(list) = ctx.modify_list(key)?
    {
        list.remove_equal(element, &found);
        list.encode_after_shrinking(limit);
    }
    Ok(())
}

/// A number that has an opposite.
fn long(text: &[u8]) -> Result<i64, CommandError> {
    const NO_OPPOSITE: CommandError = CommandError::fixed(
        "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
    );
    let n = parse_i64(text).ok_or(CommandError::NOT_AN_INTEGER)?;
    if n == i64::MIN { Err(NO_OPPOSITE) } else { Ok(n) }
}

/// `LTRIM key start stop`
pub(in crate::command) fn ltrim(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let start = parse_i64(ctx.arg(2)).ok_or(CommandError::NOT_AN_INTEGER)?;
    let stop = parse_i64(ctx.arg(3)).ok_or(CommandError::NOT_AN_INTEGER)?;
    let (key, limit) = (ctx.arg(1), ctx.rules().list_limit);
    if let Some(list) = ctx.get_list(key)? {
        let len = list.len();
        let (start, count) = index_range(start, stop, len);
        let changes = count < len || list.shrinks(limit);
        // Even if nothing goes, as in Redis.
        ctx.notify(Events::LIST, "ltrim", key);
        if count == 0 {
            ctx.delete(key);
        } else if changes && let Some(list) = ctx.modify_list(key)? {
            list.keep(start, count);
            list.encode_after_shrinking(limit);
        }
    }
    reply.ok();
    Ok(())
}

/// The options of LPOS.
struct Wanted {
    /// Which match is the first that counts.
    rank: u64,
    from_the_end: bool,
    /// How many are told, if an array is; 0 is all.
    count: Option<u64>,
    /// How many elements are compared; 0 is all.
    len_max: u64,
}

impl Wanted {
    fn parse(options: &[&[u8]]) -> Result<Self, CommandError> {
        const RANK_ZERO: CommandError = CommandError::fixed(
            "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to \
             start from the end of the list",
        );
        let mut wanted = Self { rank: 1, from_the_end: false, count: None, len_max: 0 };
        let (pairs, rest) = options.as_chunks::<2>();
        for [option, value] in pairs {
            match option.to_ascii_lowercase().as_slice() {
                b"rank" => {
                    let rank = long(value)?;
                    if rank == 0 {
                        return Err(RANK_ZERO);
                    }
                    (wanted.rank, wanted.from_the_end) = (rank.unsigned_abs(), rank < 0);
                }
                b"count" => wanted.count = Some(not_negative(value, "ERR COUNT can't be negative")?),
                b"maxlen" => wanted.len_max = not_negative(value, "ERR MAXLEN can't be negative")?,
                _ => return Err(CommandError::SYNTAX),
            }
        }
        if rest.is_empty() { Ok(wanted) } else { Err(CommandError::SYNTAX) }
    }
}

fn not_negative(text: &[u8], error: &'static str) -> Result<u64, CommandError> {
    parse_i64(text).and_then(|n| u64::try_from(n).ok()).ok_or(CommandError::fixed(error))
}

/// `LPOS key element [RANK rank] [COUNT num-matches] [MAXLEN len]`
pub(in crate::command) fn lpos(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let wanted = Wanted::parse(&ctx.args[3..])?;
    let all_if_zero = |n: u64| if n == 0 { usize::MAX } else { usize::try_from(n).unwrap_or(usize::MAX) };
    let mut found = Vec::new();
    if let Some(list) = ctx.get_list(ctx.arg(1))? {
        let matches = Matches::new(list, ctx.arg(2), wanted.from_the_end).within(all_if_zero(wanted.len_max));
        let skipped = usize::try_from(wanted.rank - 1).unwrap_or(usize::MAX);
        found.extend(matches.skip(skipped).take(wanted.count.map_or(1, all_if_zero)));
    }
    match (wanted.count, found.first()) {
        (Some(_), _) => {
            reply.array(found.len());
            found.into_iter().for_each(|index| reply.count(index));
        }
        (None, Some(index)) => reply.count(*index),
        (None, None) => reply.null(),
    }
    Ok(())
}

/// The indices of the elements that equal one, from either end.
struct Matches<'a> {
    elements: crate::types::list::Range<'a>,
    element: &'a [u8],
    from_the_end: bool,
    /// How many were compared, and how many there are.
    done: usize,
    len: usize,
    most: usize,
}

impl<'a> Matches<'a> {
    fn new(list: &'a List, element: &'a [u8], from_the_end: bool) -> Self {
        Self {
            elements: list.iter_from(0),
            element,
            from_the_end,
            done: 0,
            len: list.len(),
            most: usize::MAX,
        }
    }

    /// Compares so many elements at the most.
    fn within(self, most: usize) -> Self {
        Self { most, ..self }
    }
}

impl Iterator for Matches<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        while self.done < self.most {
            let other = if self.from_the_end { self.elements.next_back() } else { self.elements.next() }?;
            self.done += 1;
            if other == self.element {
                return Some(if self.from_the_end { self.len - self.done } else { self.done - 1 });
            }
        }
        None
    }
}
