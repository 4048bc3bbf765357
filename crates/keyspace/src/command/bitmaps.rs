//! Commands on the bits of strings. Bit 0 is the highest of the first byte.

mod field;
mod range;

pub(super) use self::field::{bitfield, bitfield_ro};
use self::range::{BitRange, Unit};
use crate::{
    context::{ReadCtx, WriteCtx},
    error::CommandError,
    keyspace::Expiry,
    news::Events,
    number::{I64_TEXT_BYTES_MAX, parse_i64},
    reply::Reply,
    types::string::Str,
};

const BIT_OFFSET: CommandError = CommandError::fixed("ERR bit offset is not an integer or out of range");

/// Longest string, in bytes: Redis's default for `proto-max-bulk-len`.
const STRING_BYTES_MAX: u64 = 512 << 20;

type Outcome = Result<(), CommandError>;

/// The bytes of a string; of none if there is no string.
fn bytes_of<'a>(string: Option<&'a Str>, scratch: &'a mut [u8; I64_TEXT_BYTES_MAX]) -> &'a [u8] {
    string.map_or(b"", |string| string.bytes(scratch))
}

fn parse_offset(text: &[u8]) -> Result<u64, CommandError> {
    let offset = parse_i64(text).and_then(|offset| u64::try_from(offset).ok());
    offset.filter(|offset| offset / 8 < STRING_BYTES_MAX).ok_or(BIT_OFFSET)
}

fn bit_at(bytes: &[u8], offset: u64) -> bool {
    bytes.get((offset / 8) as usize).is_some_and(|byte| byte >> (7 - offset % 8) & 1 == 1)
}

/// `SETBIT key offset value`
pub(super) fn setbit(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    const BIT: CommandError = CommandError::fixed("ERR bit is not an integer or out of range");
    let (key, offset) = (ctx.arg(1), parse_offset(ctx.arg(2))?);
    let bit = match parse_i64(ctx.arg(3)) {
        Some(bit @ (0 | 1)) => bit == 1,
        _ => return Err(BIT),
    };
    let len = (offset / 8) as usize + 1;
    let string = ctx.get_string(key)?;
    let old_bit = bit_at(bytes_of(string, &mut [0; _]), offset);
    if old_bit != bit || string.is_none_or(|string| string.len() < len) {
        let put = |bytes: &mut [u8]| {
            let mask = 0x80 >> (offset % 8);
            bytes[len - 1] = bytes[len - 1] & !mask | if bit { mask } else { 0 };
        };
        change(ctx, key, len, put)?;
        ctx.notify(Events::STRING, "setbit", key);
    }
    reply.int(i64::from(old_bit));
    Ok(())
}

/// Changes the bytes of a string after filling it up with zeros to at least `len`; makes one if there is none.
fn change(ctx: &mut WriteCtx<'_>, key: &[u8], len: usize, change: impl FnOnce(&mut [u8])) -> Outcome {
    if let Some(string) = ctx.modify_string(key)? {
        change(string.bytes_mut(len));
    } else {
        let mut bytes = vec![0; len];
        change(&mut bytes);
        ctx.set(key, Str::raw(bytes), Expiry::Clear);
    }
    Ok(())
}

/// `GETBIT key offset`
pub(super) fn getbit(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let offset = parse_offset(ctx.arg(2))?;
    let string = ctx.get_string(ctx.arg(1))?;
    reply.int(i64::from(bit_at(bytes_of(string, &mut [0; _]), offset)));
    Ok(())
}

/// `BITCOUNT key [start end [BYTE | BIT]]`
pub(super) fn bitcount(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let range = match ctx.args.get(2..).unwrap_or_default() {
        [] => BitRange::ALL,
        [start, end, rest @ ..] if rest.len() <= 1 => {
            let (start, end) = (parse_index(start)?, parse_index(end)?);
            BitRange { start, end: Some(end), unit: Unit::parse(rest.first().copied())? }
        }
        _ => return Err(CommandError::SYNTAX),
    };
    let mut scratch = [0; _];
    let bytes = bytes_of(ctx.get_string(ctx.arg(1))?, &mut scratch);
    let bits = if range.is_backwards() { None } else { range.resolve(bytes.len()) };
    reply.count(bits.map_or(0, |bits| range::count_ones(bytes, bits)));
    Ok(())
}

fn parse_index(text: &[u8]) -> Result<i64, CommandError> {
    parse_i64(text).ok_or(CommandError::NOT_AN_INTEGER)
}

/// `BITPOS key bit [start [end [BYTE | BIT]]]`
pub(super) fn bitpos(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    const BIT: CommandError = CommandError::fixed("ERR The bit argument must be 1 or 0.");
    let bit = match parse_index(ctx.arg(2))? {
        bit @ (0 | 1) => bit == 1,
        _ => return Err(BIT),
    };
    let range = match ctx.args.get(3..).unwrap_or_default() {
        [] => BitRange::ALL,
        [start] => BitRange { start: parse_index(start)?, ..BitRange::ALL },
        [start, end, rest @ ..] if rest.len() <= 1 => {
            let start = parse_index(start)?;
            let unit = Unit::parse(rest.first().copied())?;
            BitRange { start, end: Some(parse_index(end)?), unit }
        }
        _ => return Err(CommandError::SYNTAX),
    };
    let Some(string) = ctx.get_string(ctx.arg(1))? else {
        // As if it were zeros without end.
        reply.int(if bit { -1 } else { 0 });
        return Ok(());
    };
    let mut scratch = [0; _];
    let bytes = string.bytes(&mut scratch);
    let found = range.resolve(bytes.len()).and_then(|bits| {
        let behind = (!bit && range.end.is_none()).then_some(bits.end);
        range::find(bytes, bits, bit).or(behind)
    });
    reply.int(found.map_or(-1, |position| position as i64));
    Ok(())
}

/// What BITOP does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    And,
    Or,
    Xor,
    Not,
}

impl Operation {
    fn parse(text: &[u8]) -> Result<Self, CommandError> {
        match text.to_ascii_lowercase().as_slice() {
            b"and" => Ok(Self::And),
            b"or" => Ok(Self::Or),
            b"xor" => Ok(Self::Xor),
            b"not" => Ok(Self::Not),
            _ => Err(CommandError::SYNTAX),
        }
    }

    /// Takes one more source into the result, which is as long as the longest of them.
    fn take(self, result: &mut [u8], source: &[u8]) {
        let (head, tail) = result.split_at_mut(source.len());
        let pairs = head.iter_mut().zip(source);
        match self {
            Self::And => {
                pairs.for_each(|(a, b)| *a &= b);
                tail.fill(0);
            }
            Self::Or => pairs.for_each(|(a, b)| *a |= b),
            Self::Xor => pairs.for_each(|(a, b)| *a ^= b),
            Self::Not => pairs.for_each(|(a, b)| *a = !b),
        }
    }
}

/// `BITOP AND | OR | XOR | NOT destkey key [key ...]`
pub(super) fn bitop(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    const ONE_SOURCE: CommandError =
        CommandError::fixed("ERR BITOP NOT must be called with a single source key.");
    let (operation, destination) = (Operation::parse(ctx.arg(1))?, ctx.arg(2));
    let keys = ctx.args.get(3..).unwrap_or_default();
    if operation == Operation::Not && keys.len() != 1 {
        return Err(ONE_SOURCE);
    }
    let sources = keys.iter().map(|key| ctx.get_string(key)).collect::<Result<Vec<_>, _>>()?;
    let len = sources.iter().flatten().map(|string| string.len()).max().unwrap_or(0);
    let mut result = vec![0; len];
    for (i, source) in sources.into_iter().enumerate() {
        let mut scratch = [0; _];
        let bytes = bytes_of(source, &mut scratch);
        if i == 0 && operation != Operation::Not {
            result[..bytes.len()].copy_from_slice(bytes);
        } else {
            operation.take(&mut result, bytes);
        }
    }
    keys.iter().for_each(|key| ctx.count_as_read(key));
    if len == 0 {
        ctx.delete(destination);
    } else {
        ctx.set(destination, Str::raw(result), Expiry::Clear);
        ctx.notify(Events::STRING, "set", destination);
    }
    reply.count(len);
    Ok(())
}
