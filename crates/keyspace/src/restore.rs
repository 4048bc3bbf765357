//! A keyspace from the bytes of a snapshot, which may arrive in any pieces and may be hostile.

use std::{collections::BTreeMap, sync::Arc};

use quorate_planted::{Bug, is_planted};
use xxhash_rust::xxh3::Xxh3;

use crate::{
    acl,
    batch::{BatchError, SEMANTICS, take_array, take_varint},
    collection::{self, Builder, kind},
    key::Key,
    keyspace::{Keyspace, Meta, Origin},
    rules::Rules,
    script::{FunctionInfo, Library, Sha},
    snapshot::{SNAPSHOT_FORMAT, frame},
    table::{Record, VERSION_MAX},
    types::string::Str,
    value::Value,
    waiters::{Waiter, WaiterId},
};

/// Longest body of a frame; far longer than any that is written, apart from huge settings.
const FRAME_LEN_MAX: usize = 64 << 20;

/// Kind and length.
const FRAME_HEAD_LEN: usize = 5;

/// Bytes that are no snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// They are no snapshot, or a damaged one.
    #[error("the snapshot is damaged")]
    Damaged,
    /// There should be more of them.
    #[error("the snapshot is incomplete")]
    Incomplete,
    /// They come from newer software.
    #[error("the snapshot has format {format} and semantics {semantics}, which this version does not know")]
    Unsupported {
        /// Its format.
        format: u8,
        /// Its semantics.
        semantics: u16,
    },
}

impl From<BatchError> for RestoreError {
    fn from(_: BatchError) -> Self {
        Self::Damaged
    }
}

type Result<T> = std::result::Result<T, RestoreError>;

/// A keyspace being restored. After an error it is of no use any more.
pub struct Restore {
    /// Bytes that are no whole frame yet.
    pending: Vec<u8>,
    /// From the first frame on.
    keyspace: Option<Keyspace>,
    /// The record whose value is arriving.
    large: Option<Large>,
    checksum: Xxh3,
    records: u64,
    ended: bool,
}

/// A record before its value: see `contents`.
struct Head {
    db: usize,
    key: Key,
    expire_at_ms: u64,
    version: u64,
    kind: u8,
    layout: u8,
    /// In bytes or elements.
    len: u64,
}

struct Large {
    head: Head,
    /// Of a string: all bytes so far. Of another value: the beginning of a part.
    bytes: Vec<u8>,
    /// Of another value: what has arrived of it, and how many parts.
    builder: Option<Box<dyn Builder>>,
    fields: u64,
}

impl Default for Restore {
    fn default() -> Self {
        Self::new()
    }
}

impl Restore {
    /// Nothing has arrived yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            pending: Vec::new(),
            keyspace: None,
            large: None,
            checksum: Xxh3::new(),
            records: 0,
            ended: false,
        }
    }

    /// Takes in the next bytes: any number of them.
    ///
    /// # Errors
    /// If they cannot belong to a snapshot.
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        if self.pending.is_empty() {
            let rest = self.take_frames(bytes)?;
            self.pending.extend_from_slice(rest);
            return Ok(());
        }
        self.pending.extend_from_slice(bytes);
        if !self.has_whole_frame()? {
            return Ok(());
        }
        let pending = std::mem::take(&mut self.pending);
        let rest_len = self.take_frames(&pending)?.len();
        self.pending = pending;
        self.pending.drain(..self.pending.len() - rest_len);
        Ok(())
    }

    /// The keyspace, once everything has arrived.
    ///
    /// # Errors
    /// If something is missing.
    pub fn finish(self) -> Result<Keyspace> {
        match self.keyspace {
            Some(keyspace) if self.ended && self.pending.is_empty() => Ok(keyspace),
            _ => Err(RestoreError::Incomplete),
        }
    }

    fn has_whole_frame(&self) -> Result<bool> {
        Ok(frame_at(&self.pending)?.is_some())
    }

    /// Takes in all whole frames; returns the rest.
    fn take_frames<'a>(&mut self, mut bytes: &'a [u8]) -> Result<&'a [u8]> {
        while let Some((kind, body, rest)) = frame_at(bytes)? {
            if self.ended {
                return Err(RestoreError::Damaged);
            }
            if kind != frame::END {
                self.checksum.update(&bytes[..bytes.len() - rest.len()]);
            }
            self.take_frame(kind, body)?;
            bytes = rest;
        }
        if self.ended && !bytes.is_empty() {
            return Err(RestoreError::Damaged);
        }
        Ok(bytes)
    }

    fn take_frame(&mut self, kind: u8, mut body: &[u8]) -> Result<()> {
        if kind == frame::BEGIN && self.keyspace.is_none() {
            self.keyspace = Some(take_begin(&mut body)?);
            return Ok(());
        }
        let keyspace = self.keyspace.as_mut().ok_or(RestoreError::Damaged)?;
        match (kind, &mut self.large) {
            (frame::PIECE, Some(large)) => large.take_piece(body)?,
            (frame::LARGE_END, large @ Some(_)) => {
                let large = large.take().ok_or(RestoreError::Damaged)?;
                large.end(keyspace)?;
            }
            (_, Some(_)) => return Err(RestoreError::Damaged),
            (frame::SETTING, None) => {
                take_setting(&mut keyspace.meta, body)?;
                keyspace.follow_settings();
            }
            (frame::ORIGINS, None) if is_planted(Bug::ApplyTwiceAfterSnapshot) => {}
            (frame::ORIGINS, None) => take_origins(&mut keyspace.meta, body)?,
            (frame::USERS, None) => acl::take_users(Arc::make_mut(&mut keyspace.meta.users), body)?,
            (frame::TRACES, None) => take_traces(keyspace, body)?,
            (frame::SCRIPT, None) => take_script(keyspace, body)?,
            (frame::LIBRARY, None) => take_library(keyspace, body)?,
            (frame::WAITERS, None) => take_waiters(keyspace, body)?,
            (frame::RECORDS, None) => {
                while !body.is_empty() {
                    take_record(keyspace, &mut body)?;
                    self.records += 1;
                }
            }
            (frame::LARGE, None) => {
                let head = take_head(&mut body)?;
                self.large = Some(Large::new(head, &keyspace.rules)?);
                self.records += 1;
            }
            (frame::END, None) => {
                let records = take_varint(&mut body)?;
                let checksum = u64::from_le_bytes(take_array(&mut body)?);
                if records != self.records || checksum != self.checksum.digest() || !body.is_empty() {
                    return Err(RestoreError::Damaged);
                }
                self.ended = true;
            }
            (_, None) => return Err(RestoreError::Damaged),
        }
        Ok(())
    }
}

/// Kind and body of a frame, and what follows it.
type Frame<'a> = (u8, &'a [u8], &'a [u8]);

/// The frame at the beginning, if it is there as a whole.
fn frame_at(bytes: &[u8]) -> Result<Option<Frame<'_>>> {
    let Some((head, rest)) = bytes.split_first_chunk::<FRAME_HEAD_LEN>() else { return Ok(None) };
    let [kind, len @ ..] = *head;
    let len = u32::from_le_bytes(len) as usize;
    if !(frame::BEGIN..=frame::LAST).contains(&kind) || len > FRAME_LEN_MAX {
        return Err(RestoreError::Damaged);
    }
    Ok(rest.split_at_checked(len).map(|(body, rest)| (kind, body, rest)))
}

fn take_begin(body: &mut &[u8]) -> Result<Keyspace> {
    let [format] = take_array(body)?;
    let semantics = u16::from_le_bytes(take_array(body)?);
    if format != SNAPSHOT_FORMAT || semantics != SEMANTICS {
        return Err(RestoreError::Unsupported { format, semantics });
    }
    let (version, index, term) = (take_varint(body)?, take_varint(body)?, take_varint(body)?);
    let time_ms = take_varint(body)?;
    let digest = u64::from_le_bytes(take_array(body)?);
    let (hash_key, cluster_id) = (take_array(body)?, take_array(body)?);
    let databases = usize::try_from(take_varint(body)?).map_err(|_| RestoreError::Damaged)?;
    // Each database has at least a byte here.
    if databases == 0 || databases > usize::from(u16::MAX) || databases > body.len() || version > VERSION_MAX
    {
        return Err(RestoreError::Damaged);
    }
    let mut keyspace = Keyspace::new(databases);
    for database in &mut keyspace.databases {
        database.swapped_version = take_varint(body)?;
    }
    let meta = &mut keyspace.meta;
    (meta.version, meta.index, meta.term, meta.time_ms, meta.digest) =
        (version, index, term, time_ms, digest);
    (meta.hash_key, meta.cluster_id) = (hash_key, cluster_id);
    keyspace.follow_settings();
    if body.is_empty() { Ok(keyspace) } else { Err(RestoreError::Damaged) }
}

fn take_setting(meta: &mut Meta, mut body: &[u8]) -> Result<()> {
    let name = String::from_utf8(take_bytes(&mut body)?.to_vec()).map_err(|_| RestoreError::Damaged)?;
    let value = take_bytes(&mut body)?.to_vec();
    if !body.is_empty() || meta.directory.insert(name, value).is_some() {
        return Err(RestoreError::Damaged);
    }
    Ok(())
}

fn take_origins(meta: &mut Meta, mut body: &[u8]) -> Result<()> {
    while !body.is_empty() {
        let (node, start) = (take_varint(&mut body)?, take_varint(&mut body)?);
        let epoch = u32::try_from(take_varint(&mut body)?).map_err(|_| RestoreError::Damaged)?;
        let seq = take_varint(&mut body)?;
        if meta.origins.insert(node, Origin { start, epoch, seq }).is_some() {
            return Err(RestoreError::Damaged);
        }
    }
    Ok(())
}

fn take_traces(keyspace: &mut Keyspace, mut body: &[u8]) -> Result<()> {
    let db = usize::try_from(take_varint(&mut body)?).map_err(|_| RestoreError::Damaged)?;
    let database = keyspace.databases.get_mut(db).ok_or(RestoreError::Damaged)?;
    let mut place = take_varint(&mut body)?;
    while !body.is_empty() {
        let version = take_varint(&mut body)?;
        if !database.traces.restore(place, version) {
            return Err(RestoreError::Damaged);
        }
        place = place.saturating_add(1);
    }
    Ok(())
}

fn take_script(keyspace: &mut Keyspace, mut body: &[u8]) -> Result<()> {
    let [loaded] = take_array(&mut body)?;
    let code = take_bytes(&mut body)?;
    if !body.is_empty() || loaded > 1 || !keyspace.scripts.remember(Sha::of(code), code, loaded == 1) {
        return Err(RestoreError::Damaged);
    }
    Ok(())
}

fn take_library(keyspace: &mut Keyspace, mut body: &[u8]) -> Result<()> {
    let name = take_text(&mut body)?;
    let code = take_bytes(&mut body)?.into();
    let mut functions = BTreeMap::new();
    while !body.is_empty() {
        let function = take_text(&mut body)?;
        let [described] = take_array(&mut body)?;
        let description = Some(take_text(&mut body)?).filter(|_| described == 1);
        let mut flags = Vec::new();
        for _ in 0..take_varint(&mut body)? {
            flags.push(take_text(&mut body)?);
        }
        functions.insert(function, FunctionInfo { description, flags });
    }
    if functions.is_empty() || keyspace.scripts.libraries.insert(name, Library { code, functions }).is_some()
    {
        return Err(RestoreError::Damaged);
    }
    Ok(())
}

fn take_text(body: &mut &[u8]) -> Result<String> {
    String::from_utf8(take_bytes(body)?.to_vec()).map_err(|_| RestoreError::Damaged)
}

fn take_waiters(keyspace: &mut Keyspace, mut body: &[u8]) -> Result<()> {
    let next = take_varint(&mut body)?;
    keyspace.waiters.restore_next(next);
    while !body.is_empty() {
        let (number, waiter) = take_waiter(keyspace.databases(), &mut body)?;
        if number >= next || !keyspace.waiters.insert(number, waiter) {
            return Err(RestoreError::Damaged);
        }
    }
    Ok(())
}

fn take_waiter(databases: usize, body: &mut &[u8]) -> Result<(u64, Waiter)> {
    let mut number = || take_varint(body);
    let (place, node, start, epoch, seq) = (number()?, number()?, number()?, number()?, number()?);
    let (in_batch, user, db) = (number()?, number()?, number()?);
    let epoch = u32::try_from(epoch).map_err(|_| RestoreError::Damaged)?;
    let id = WaiterId { node, start, epoch, seq, number: in_batch };
    let [kind] = take_array(body)?;
    let mut size = || usize::try_from(take_varint(body)?).map_err(|_| RestoreError::Damaged);
    let (first, end, args) = (size()?, size()?, size()?);
    // Each argument has at least a byte here.
    if args > body.len() || db >= databases as u64 {
        return Err(RestoreError::Damaged);
    }
    let args = (0..args).map(|_| take_bytes(body).map(Box::from)).collect::<Result<_>>()?;
    let waiter =
        Waiter::restore(id, (user, db as usize), kind, first..end, args).ok_or(RestoreError::Damaged)?;
    Ok((place, waiter))
}

fn take_head(body: &mut &[u8]) -> Result<Head> {
    let db = usize::try_from(take_varint(body)?).map_err(|_| RestoreError::Damaged)?;
    let key = Key::new(take_bytes(body)?);
    let (expire_at_ms, version) = (take_varint(body)?, take_varint(body)?);
    let [kind, layout] = take_array(body)?;
    Ok(Head { db, key, expire_at_ms, version, kind, layout, len: take_varint(body)? })
}

fn take_record(keyspace: &mut Keyspace, body: &mut &[u8]) -> Result<()> {
    let head = take_head(body)?;
    let value = match head.kind {
        kind::STRING => string(head.layout, take_len(body, head.len)?.to_vec())?,
        kind => {
            let mut builder = collection::builder(kind, &keyspace.rules).ok_or(RestoreError::Damaged)?;
            for _ in 0..head.len {
                push(&mut *builder, take_bytes(body)?)?;
            }
            builder.finish(head.layout).ok_or(RestoreError::Damaged)?
        }
    };
    insert(keyspace, head, value)
}

fn insert(keyspace: &mut Keyspace, head: Head, value: Value) -> Result<()> {
    let hash = keyspace.hash(head.key.as_bytes());
    let version_max = keyspace.version();
    let database = keyspace.databases.get_mut(head.db).ok_or(RestoreError::Damaged)?;
    if head.version > version_max || database.table.find(hash, head.key.as_bytes()).is_some() {
        return Err(RestoreError::Damaged);
    }
    let Head { key, expire_at_ms, version, .. } = head;
    database.insert(hash, Record::new(key, value, expire_at_ms, version));
    Ok(())
}

impl Large {
    fn new(head: Head, rules: &Rules) -> Result<Self> {
        let builder = collection::builder(head.kind, rules);
        if builder.is_none() && head.kind != kind::STRING {
            return Err(RestoreError::Damaged);
        }
        Ok(Self { head, bytes: Vec::new(), builder, fields: 0 })
    }

    fn take_piece(&mut self, body: &[u8]) -> Result<()> {
        self.bytes.extend_from_slice(body);
        if let Some(builder) = &mut self.builder {
            let mut rest = &self.bytes[..];
            while let Some(field) = take_whole_field(&mut rest)? {
                push(&mut **builder, field)?;
                self.fields += 1;
            }
            let rest_len = rest.len();
            self.bytes.drain(..self.bytes.len() - rest_len);
        }
        Ok(())
    }

    fn end(self, keyspace: &mut Keyspace) -> Result<()> {
        let Self { head, bytes, builder, fields } = self;
        let (len, value) = match builder {
            None => (bytes.len() as u64, string(head.layout, bytes)?),
            Some(builder) if bytes.is_empty() => {
                (fields, builder.finish(head.layout).ok_or(RestoreError::Damaged)?)
            }
            Some(_) => return Err(RestoreError::Damaged),
        };
        if len != head.len {
            return Err(RestoreError::Damaged);
        }
        insert(keyspace, head, value)
    }
}

fn push(builder: &mut dyn Builder, field: &[u8]) -> Result<()> {
    if builder.push(field) { Ok(()) } else { Err(RestoreError::Damaged) }
}

/// A part of a value, if all of it is there.
fn take_whole_field<'a>(bytes: &mut &'a [u8]) -> Result<Option<&'a [u8]>> {
    const VARINT_LEN_MAX: usize = 10;
    let mut rest = *bytes;
    let len = match take_varint(&mut rest) {
        Ok(len) => len,
        Err(_) if bytes.len() < VARINT_LEN_MAX => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let Some((field, rest)) = usize::try_from(len).ok().and_then(|len| rest.split_at_checked(len)) else {
        return Ok(None);
    };
    *bytes = rest;
    Ok(Some(field))
}

fn string(layout: u8, bytes: Vec<u8>) -> Result<Value> {
    Str::restore(layout, bytes).map(Value::from).ok_or(RestoreError::Damaged)
}

fn take_bytes<'a>(body: &mut &'a [u8]) -> Result<&'a [u8]> {
    let len = take_varint(body)?;
    take_len(body, len)
}

fn take_len<'a>(body: &mut &'a [u8], len: u64) -> Result<&'a [u8]> {
    let len = usize::try_from(len).map_err(|_| RestoreError::Damaged)?;
    let (bytes, rest) = body.split_at_checked(len).ok_or(RestoreError::Damaged)?;
    *body = rest;
    Ok(bytes)
}
