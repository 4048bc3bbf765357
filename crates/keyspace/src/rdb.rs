//! Values in Redis's serialization: what `DUMP` answers and `RESTORE` takes.
//!
//! A payload is a byte that says what follows, the value, the version of the format (2 bytes) and a CRC-64 over all of
//! that, little-endian. Values are written in the encodings of Redis 7.2 that are closest to how they are kept here. All
//! encodings since Redis 2.6 are read, apart from zipmaps (which no Redis since 2.6 writes) and modules.
//!
//! Payloads come from clients: nothing in one is trusted, and nothing is allocated that its length does not justify.

mod load;
mod lzf;
mod reader;
mod save;
mod stream;
mod ziplist;

use crc::{CRC_64_REDIS, Crc, Table};

use crate::{rules::Rules, value::Value};

/// The version of the format that Redis 7.2 writes.
const VERSION: u16 = 11;

/// Version and checksum.
const FOOTER_LEN: usize = 10;

static CRC: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_REDIS);

/// What the first byte says.
mod kind {
    pub(super) const STRING: u8 = 0;
    /// Elements one by one.
    pub(super) const LIST: u8 = 1;
    pub(super) const SET: u8 = 2;
    /// Scores as text.
    pub(super) const SORTED_SET: u8 = 3;
    pub(super) const HASH: u8 = 4;
    /// Scores as 8 bytes.
    pub(super) const SORTED_SET_2: u8 = 5;
    pub(super) const LIST_ZIPLIST: u8 = 10;
    pub(super) const SET_INTSET: u8 = 11;
    pub(super) const SORTED_SET_ZIPLIST: u8 = 12;
    pub(super) const HASH_ZIPLIST: u8 = 13;
    /// Ziplists.
    pub(super) const LIST_QUICKLIST: u8 = 14;
    pub(super) const STREAM: u8 = 15;
    pub(super) const HASH_LISTPACK: u8 = 16;
    pub(super) const SORTED_SET_LISTPACK: u8 = 17;
    /// Listpacks and long elements.
    pub(super) const LIST_QUICKLIST_2: u8 = 18;
    /// With what tells how far groups have got.
    pub(super) const STREAM_2: u8 = 19;
    pub(super) const SET_LISTPACK: u8 = 20;
    /// With the times at which consumers were active.
    pub(super) const STREAM_3: u8 = 21;
}

/// Why a payload is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It is damaged, or of a later version.
    Footer,
    /// It holds no value.
    Format,
}

/// A value as a payload.
pub(crate) fn dump(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    save::put_value(&mut out, value);
    out.extend_from_slice(&VERSION.to_le_bytes());
    let crc = CRC.checksum(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

/// The value of a payload, kept as the rules say.
pub(crate) fn restore(payload: &[u8], rules: &Rules) -> Result<Value, Refused> {
    let value = check_footer(payload).ok_or(Refused::Footer)?;
    load::take_value(value, rules).ok_or(Refused::Format)
}

/// What stands before a footer that fits it.
fn check_footer(payload: &[u8]) -> Option<&[u8]> {
    let begin = payload.len().checked_sub(FOOTER_LEN)?;
    let (body, crc) = payload.split_last_chunk()?;
    let version = u16::from_le_bytes([payload[begin], payload[begin + 1]]);
    let is_sound = version <= VERSION && CRC.checksum(body) == u64::from_le_bytes(*crc);
    is_sound.then(|| &payload[..begin])
}

#[cfg(test)]
mod tests;
