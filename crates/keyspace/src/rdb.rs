//! Values in Redis's serialization: what `DUMP` answers and `RESTORE` takes.
//!
//! A payload is a byte that says what follows, the value, the version of the format (2 bytes) and a CRC-64 over all of
//! that, little-endian. Values are written in the encodings of Redis 7.2 that are closest to how they are kept here. All
//! encodings since Redis 2.6 are read, apart from zipmaps (which no Redis since 2.6 writes) and modules.
//!
//! Payloads come from clients: nothing in one is trusted, and nothing is allocated that its length does not justify.

mod functions;
mod load;
mod lzf;
mod reader;
mod save;
mod stream;
mod ziplist;

use crc::{CRC_64_REDIS, Crc, Table};

pub(crate) use self::functions::{dump_functions, restore_functions};
use crate::{rules::Rules, value::Value};

/// A version of the format that values are written in. Every later one reads it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    /// Redis 7.0's: no packed sets, and no times at which consumers of streams were active.
    V10,
    /// Redis 7.2's.
    #[default]
    V11,
}

impl Version {
    /// The version of this number.
    pub(crate) fn from_number(number: i64) -> Option<Self> {
        [Self::V10, Self::V11].into_iter().find(|version| i64::from(version.number()) == number)
    }

    fn number(self) -> u16 {
        match self {
            Self::V10 => 10,
            Self::V11 => 11,
        }
    }
}

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
pub(crate) fn dump(value: &Value, version: Version) -> Vec<u8> {
    let mut out = Vec::new();
    save::put_value(&mut out, value, version);
    put_footer(&mut out, version);
    out
}

fn put_footer(out: &mut Vec<u8>, version: Version) {
    out.extend_from_slice(&version.number().to_le_bytes());
    let crc = CRC.checksum(out);
    out.extend_from_slice(&crc.to_le_bytes());
}

/// The value of a payload, kept as the rules say.
pub(crate) fn restore(payload: &[u8], rules: &Rules) -> Result<Value, Refused> {
    let value = check_footer(payload, rules.skips_checksums).ok_or(Refused::Footer)?;
    load::take_value(value, rules).ok_or(Refused::Format)
}

/// Bytes of a value in a payload, without what stands around it.
pub(crate) fn serialized_len(value: &Value) -> usize {
    let mut out = Vec::new();
    save::put_value(&mut out, value, Version::default());
    out.len() - 1
}

/// What stands before a footer that fits it.
fn check_footer(payload: &[u8], skips_checksum: bool) -> Option<&[u8]> {
    let begin = payload.len().checked_sub(FOOTER_LEN)?;
    let (body, crc) = payload.split_last_chunk()?;
    let version = u16::from_le_bytes([payload[begin], payload[begin + 1]]);
    let is_sound = || skips_checksum || CRC.checksum(body) == u64::from_le_bytes(*crc);
    (version <= Version::default().number() && is_sound()).then(|| &payload[..begin])
}

#[cfg(test)]
mod tests;
