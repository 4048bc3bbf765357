//! Users in a snapshot: the number of the next one; of each its number, its name and its rules.

use std::sync::Arc;

use super::{Acl, DEFAULT_NAME, DEFAULT_USER, NODE_USER, User};
use crate::batch::{BatchError, put_bytes, put_varint, take_varint};

/// Bytes of users that are put together, about.
const TOGETHER_BYTES: usize = 64 << 10;

/// Gives `emit` the bytes of all users, in pieces.
pub(crate) fn put_users(acl: &Acl, emit: &mut dyn FnMut(&mut Vec<u8>)) {
    let mut body = Vec::new();
    put_varint(&mut body, acl.next);
    for user in acl.iter() {
        put_varint(&mut body, user.number());
        put_bytes(&mut body, user.name());
        put_varint(&mut body, user.words().count() as u64);
        user.words().for_each(|word| put_bytes(&mut body, &word));
        if body.len() >= TOGETHER_BYTES {
            emit(&mut body);
            body.clear();
            put_varint(&mut body, acl.next);
        }
    }
    emit(&mut body);
}

/// Takes in one of those pieces, which may be hostile.
pub(crate) fn take_users(acl: &mut Acl, mut body: &[u8]) -> Result<(), BatchError> {
    acl.next = take_varint(&mut body)?;
    if acl.last_number() >= acl.next {
        return Err(BatchError::Damaged);
    }
    while !body.is_empty() {
        let number = take_varint(&mut body)?;
        let name = take_bytes(&mut body)?;
        let count = usize::try_from(take_varint(&mut body)?).map_err(|_| BatchError::Damaged)?;
        // Each has at least a byte here.
        if count > body.len() {
            return Err(BatchError::Damaged);
        }
        let rules = (0..count).map(|_| take_bytes(&mut body)).collect::<Result<Vec<_>, _>>()?;
        let is_default = name == DEFAULT_NAME;
        let is_taken = !is_default && (acl.by_number(number).is_some() || acl.get(name).is_some());
        if is_taken || number == NODE_USER || is_default != (number == DEFAULT_USER) || number >= acl.next {
            return Err(BatchError::Damaged);
        }
        super::rules::check_name(name).map_err(|_| BatchError::Damaged)?;
        let mut user = User::new(number, Arc::from(name), false);
        user.change(&rules, false).map_err(|_| BatchError::Damaged)?;
        acl.insert(user);
    }
    Ok(())
}

fn take_bytes<'a>(body: &mut &'a [u8]) -> Result<&'a [u8], BatchError> {
    let len = usize::try_from(take_varint(body)?).map_err(|_| BatchError::Damaged)?;
    let (bytes, rest) = body.split_at_checked(len).ok_or(BatchError::Damaged)?;
    *body = rest;
    Ok(bytes)
}
