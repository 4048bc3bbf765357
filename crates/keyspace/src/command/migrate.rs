//! What `MIGRATE` needs of the table and of the state; the session carries it out.

use crate::{
    context::ReadCtx,
    error::CommandError,
    number::parse_i64,
    rdb::{self, Version},
    reply::Reply,
};

/// Where the only key stands, unless `KEYS` is to follow.
const KEY: usize = 3;
/// Where options begin.
const OPTIONS: usize = 6;

/// The key in its own place, if it is not left empty for the sake of `KEYS`.
pub(super) fn single_key(args: &[&[u8]]) -> Option<usize> {
    let is_given = args.get(KEY).is_some_and(|key| !key.is_empty());
    (is_given || listed_keys(args).is_none()).then_some(KEY)
}

/// The first of the keys behind `KEYS`, which is no password and no user.
pub(super) fn listed_keys(args: &[&[u8]]) -> Option<usize> {
    let mut i = OPTIONS;
    while let Some(option) = args.get(i) {
        i += 1;
        match option.to_ascii_lowercase().as_slice() {
            b"keys" => return Some(i),
            b"auth" => i += 1,
            b"auth2" => i += 2,
            _ => {}
        }
    }
    None
}

/// `\0extract rdb-version bytes key [key ...]`: answers with the version of the state that a watch begins with (R16), and
/// for each of the first keys its deadline (0: none) and its value in Redis's serialization, or a null. The keys end with
/// the one whose value makes it more than so many bytes.
pub(super) fn extract(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let number = |i| parse_i64(ctx.arg(i)).ok_or(CommandError::NOT_AN_INTEGER);
    let version = Version::from_number(number(1)?).ok_or(CommandError::SYNTAX)?;
    let bytes_max = usize::try_from(number(2)?).map_err(|_| CommandError::SYNTAX)?;
    let (mut found, mut bytes) = (Vec::new(), 0);
    for key in &ctx.args[3..] {
        let payload = ctx.get(key).map(|value| rdb::dump(value, version));
        bytes += payload.as_ref().map_or(0, Vec::len);
        found.push((ctx.expire_at(key).flatten(), payload));
        if bytes > bytes_max {
            break;
        }
    }
    reply.array(2);
    reply.int(ctx.keyspace.version() as i64);
    reply.array(found.len());
    for (expire_at_ms, payload) in found {
        match payload {
            None => reply.null(),
            Some(payload) => {
                reply.array(2);
                reply.int(expire_at_ms.unwrap_or(0) as i64);
                reply.bulk(&payload);
            }
        }
    }
    Ok(())
}
