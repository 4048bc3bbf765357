//! BITFIELD: integers of any width at any bit of a string.

use super::{BIT_OFFSET, Outcome, STRING_BYTES_MAX, bytes_of, change};
use crate::{
    context::{ReadCtx, WriteCtx},
    error::CommandError,
    news::Events,
    number::parse_i64,
    reply::Reply,
};

/// An integer's kind and its place.
#[derive(Clone, Copy, Debug)]
struct Field {
    signed: bool,
    /// 1 to 64, or to 63 if unsigned.
    bits: u32,
    /// Of its first bit.
    offset: u64,
}

/// What becomes of a number that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Overflow {
    Wrap,
    Saturate,
    Fail,
}

#[derive(Clone, Copy, Debug)]
enum Action {
    Get,
    Set(i64, Overflow),
    Increment(i64, Overflow),
}

impl Field {
    fn parse(kind: &[u8], offset: &[u8]) -> Result<Self, CommandError> {
        const KIND: CommandError = CommandError::fixed(
            "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
        );
        let (signed, bits_max, digits) = match kind {
            [b'i', digits @ ..] => (true, 64, digits),
            [b'u', digits @ ..] => (false, 63, digits),
            _ => return Err(KIND),
        };
        // Redis reads the digits as C does: up to the first NUL.
        let digits = digits.split(|byte| *byte == 0).next().unwrap_or_default();
        let bits = parse_i64(digits).filter(|bits| (1..=bits_max).contains(bits)).ok_or(KIND)?;
        let (scale, digits) = match offset {
            [b'#', digits @ ..] => (bits, digits),
            digits => (1, digits),
        };
        // As in Redis, a product that overflows may be another offset.
        let offset = parse_i64(digits).map(|offset| offset.wrapping_mul(scale));
        let offset = offset.and_then(|offset| u64::try_from(offset).ok());
        let offset = offset.filter(|offset| offset / 8 < STRING_BYTES_MAX).ok_or(BIT_OFFSET)?;
        Ok(Self { signed, bits: bits as u32, offset })
    }

    /// Bytes of a string that holds all of it.
    fn string_len(self) -> usize {
        ((self.offset + u64::from(self.bits) - 1) / 8 + 1) as usize
    }

    /// The smallest and the largest number.
    fn limits(self) -> (i128, i128) {
        if self.signed {
            (-(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1)
        } else {
            (0, (1 << self.bits) - 1)
        }
    }

    /// What of the sum is stored; `None` if nothing is.
    fn fit(self, value: i128, by: i64, overflow: Overflow) -> Option<i128> {
        let ((min, max), sum) = (self.limits(), value + i128::from(by));
        match overflow {
            _ if (min..=max).contains(&sum) => Some(sum),
            Overflow::Fail => None,
            Overflow::Saturate if sum > max || self.is_too_high(value, by) => Some(max),
            Overflow::Saturate => Some(min),
            Overflow::Wrap => Some(self.number((sum as u64) & (u64::MAX >> (64 - self.bits)))),
        }
    }

    /// Whether Redis takes a sum below the limits for one above them: it computes with 64 bits how much there is to the
    /// upper limit, which for the lowest numbers is too much.
    fn is_too_high(self, value: i128, by: i64) -> bool {
        let room = (self.limits().1 - value) as i64;
        self.signed && self.bits < 64 && by > room
    }

    /// The number that these bits are.
    fn number(self, bits: u64) -> i128 {
        if self.signed {
            let unused = 64 - self.bits;
            i128::from((bits << unused) as i64 >> unused)
        } else {
            i128::from(bits)
        }
    }

    /// The number in a string; what is behind its end is zero.
    fn read(self, bytes: &[u8]) -> i128 {
        let first = (self.offset / 8) as usize;
        let mut window = [0; 16];
        let rest = bytes.get(first..).unwrap_or_default();
        let len = rest.len().min(window.len());
        window[..len].copy_from_slice(&rest[..len]);
        let unused = 128 - self.bits;
        self.number((u128::from_be_bytes(window) << (self.offset % 8) >> unused) as u64)
    }

    /// Puts a number that fits into a string that is long enough.
    fn write(self, bytes: &mut [u8], number: i128) {
        let first = (self.offset / 8) as usize;
        let rest = &mut bytes[first..];
        let len = rest.len().min(16);
        let mut window = [0; 16];
        window[..len].copy_from_slice(&rest[..len]);
        let shift = 128 - self.bits - (self.offset % 8) as u32;
        let mask = u128::from(u64::MAX >> (64 - self.bits)) << shift;
        let window = u128::from_be_bytes(window) & !mask | (number as u128) << shift & mask;
        rest[..len].copy_from_slice(&window.to_be_bytes()[..len]);
    }
}

/// The parts of `[GET encoding offset | [OVERFLOW how] SET encoding offset value | INCRBY encoding offset increment ...]`.
fn parse(mut args: &[&[u8]]) -> Result<Vec<(Field, Action)>, CommandError> {
    const OVERFLOW: CommandError = CommandError::fixed("ERR Invalid OVERFLOW type specified");
    let mut steps = Vec::new();
    let mut overflow = Overflow::Wrap;
    loop {
        let (name, rest) = match args {
            [] => return Ok(steps),
            [name, rest @ ..] => (name.to_ascii_lowercase(), rest),
        };
        args = match (name.as_slice(), rest) {
            (b"get", [kind, offset, rest @ ..]) => {
                steps.push((Field::parse(kind, offset)?, Action::Get));
                rest
            }
            (b"set", [kind, offset, value, rest @ ..]) => {
                let field = Field::parse(kind, offset)?;
                let value = parse_i64(value).ok_or(CommandError::NOT_AN_INTEGER)?;
                steps.push((field, Action::Set(value, overflow)));
                rest
            }
            (b"incrby", [kind, offset, by, rest @ ..]) => {
                let field = Field::parse(kind, offset)?;
                let by = parse_i64(by).ok_or(CommandError::NOT_AN_INTEGER)?;
                steps.push((field, Action::Increment(by, overflow)));
                rest
            }
            (b"overflow", [how, rest @ ..]) => {
                overflow = match how.to_ascii_lowercase().as_slice() {
                    b"wrap" => Overflow::Wrap,
                    b"sat" => Overflow::Saturate,
                    b"fail" => Overflow::Fail,
                    _ => return Err(OVERFLOW),
                };
                rest
            }
            _ => return Err(CommandError::SYNTAX),
        };
    }
}

/// What a step leaves in its field, if it changes it, and what it answers.
fn evaluate(field: Field, action: Action, bytes: &[u8]) -> (Option<i128>, Option<i128>) {
    let old = field.read(bytes);
    match action {
        Action::Get => (None, Some(old)),
        Action::Set(value, overflow) => {
            let value = if field.signed { i128::from(value) } else { i128::from(value as u64) };
            let new = field.fit(value, 0, overflow);
            (new, new.map(|_| old))
        }
        Action::Increment(by, overflow) => {
            let new = field.fit(old, by, overflow);
            (new, new)
        }
    }
}

fn reply_number(number: Option<i128>, reply: &mut Reply<'_>) {
    match number {
        Some(number) => reply.int(number as i64),
        None => reply.null(),
    }
}

/// `BITFIELD key [GET ... | [OVERFLOW ...] SET ... | INCRBY ... ...]`
pub(in super::super) fn bitfield(ctx: &mut WriteCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    let key = ctx.arg(1);
    let steps = parse(ctx.args.get(2..).unwrap_or_default())?;
    let writes = steps.iter().filter(|(_, action)| !matches!(action, Action::Get));
    let len = writes.map(|(field, _)| field.string_len()).max().unwrap_or(0);
    if len == 0 {
        ctx.count_as_read(key);
    }
    reply.array(steps.len());
    // Steps see what those before them have changed, so from the first change on they work on the string itself.
    let mut done = 0;
    let string = ctx.get_string(key)?;
    if string.map_or(0, |string| string.len()) >= len {
        let mut scratch = [0; _];
        let bytes = bytes_of(string, &mut scratch);
        for (field, action) in &steps {
            let (new, answer) = evaluate(*field, *action, bytes);
            if new.is_some_and(|new| new != field.read(bytes)) {
                break;
            }
            reply_number(answer, reply);
            done += 1;
        }
    }
    if done == steps.len() {
        return Ok(());
    }
    let mut has_written = false;
    change(ctx, key, len, |bytes| {
        for (field, action) in &steps[done..] {
            let (new, answer) = evaluate(*field, *action, bytes);
            if let Some(new) = new {
                field.write(bytes, new);
                has_written = true;
            }
            reply_number(answer, reply);
        }
    })?;
    // A string that has only become longer, because all overflows failed, is not told.
    if has_written {
        ctx.notify(Events::STRING, "setbit", key);
    }
    Ok(())
}

/// `BITFIELD_RO key [GET encoding offset ...]`
pub(in super::super) fn bitfield_ro(ctx: &ReadCtx<'_>, reply: &mut Reply<'_>) -> Outcome {
    const ONLY_GET: CommandError = CommandError::fixed("ERR BITFIELD_RO only supports the GET subcommand");
    let steps = parse(ctx.args.get(2..).unwrap_or_default())?;
    if steps.iter().any(|(_, action)| !matches!(action, Action::Get)) {
        return Err(ONLY_GET);
    }
    let mut scratch = [0; _];
    let bytes = bytes_of(ctx.get_string(ctx.arg(1))?, &mut scratch);
    reply.array(steps.len());
    for (field, _) in steps {
        reply_number(Some(field.read(bytes)), reply);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn field() -> impl Strategy<Value = Field> {
        (any::<bool>(), 1_u32..=64, 0_u64..80).prop_map(|(signed, bits, offset)| {
            let bits = if signed { bits } else { bits.min(63) };
            Field { signed, bits, offset }
        })
    }

    proptest! {
        /// Against the definition, bit by bit.
        #[test]
        fn fields_are_read_and_written(field in field(), number in any::<i64>(), bytes in prop::collection::vec(any::<u8>(), 0..24)) {
            let bit = |bytes: &[u8], i: u64| bytes.get((i / 8) as usize).map_or(0, |byte| byte >> (7 - i % 8) & 1);
            let range = field.offset..field.offset + u64::from(field.bits);
            let bits = range.clone().fold(0_u64, |bits, i| bits << 1 | u64::from(bit(&bytes, i)));
            prop_assert_eq!(field.read(&bytes), field.number(bits));

            let fits = field.fit(0, number, Overflow::Wrap).unwrap();
            let (min, max) = field.limits();
            prop_assert!((min..=max).contains(&fits));
            prop_assert_eq!((fits - i128::from(number)) % (1 << field.bits), 0);
            let mut padded = bytes.clone();
            padded.resize(bytes.len().max(field.string_len()), 0);
            let before = padded.clone();
            field.write(&mut padded, fits);
            prop_assert_eq!(field.read(&padded), fits);
            for i in (0..padded.len() as u64 * 8).filter(|i| !range.contains(i)) {
                prop_assert_eq!(bit(&padded, i), bit(&before, i));
            }
        }
    }

    #[test]
    fn what_does_not_fit() {
        let i8 = Field { signed: true, bits: 8, offset: 0 };
        let u8 = Field { signed: false, bits: 8, offset: 0 };
        let all = |field: Field, n| {
            [Overflow::Wrap, Overflow::Saturate, Overflow::Fail].map(|overflow| field.fit(n, 0, overflow))
        };
        assert_eq!(all(i8, 127), [Some(127); 3]);
        assert_eq!(all(i8, 128), [Some(-128), Some(127), None]);
        assert_eq!(all(i8, -129), [Some(127), Some(-128), None]);
        assert_eq!(all(u8, 256), [Some(0), Some(255), None]);
        assert_eq!(all(u8, -1), [Some(255), Some(0), None]);
        let i64 = Field { signed: true, bits: 64, offset: 0 };
        assert_eq!(all(i8, i128::from(i64::MIN)), [Some(0), Some(127), None]);
        assert_eq!(all(i64, i128::from(i64::MAX) + 1), [Some(i64::MIN.into()), Some(i64::MAX.into()), None]);
    }
}
