//! LZF, in which Redis packs long strings: runs of literal bytes, and references to what came before.

/// Most bytes that one byte of packed data can stand for.
const RATIO_MAX: usize = 264;

/// The unpacked bytes, of which there must be `len`.
pub(super) fn unpack(packed: &[u8], len: usize) -> Option<Vec<u8>> {
    if len > packed.len().saturating_mul(RATIO_MAX) {
        return None;
    }
    let mut out = Vec::with_capacity(len);
    let mut rest = packed;
    while let Some(control) = take_byte(&mut rest) {
        if control < 32 {
            let (literal, behind) = rest.split_at_checked(usize::from(control) + 1)?;
            out.extend_from_slice(literal);
            rest = behind;
        } else {
            let mut count = usize::from(control >> 5);
            if count == 7 {
                count += usize::from(take_byte(&mut rest)?);
            }
            let back = (usize::from(control & 0x1f) << 8 | usize::from(take_byte(&mut rest)?)) + 1;
            let begin = out.len().checked_sub(back)?;
            // It may reach into what it writes.
            for i in 0..count + 2 {
                out.push(out[begin + i]);
            }
        }
        if out.len() > len {
            return None;
        }
    }
    (out.len() == len).then_some(out)
}

fn take_byte(bytes: &mut &[u8]) -> Option<u8> {
    let (&byte, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_may_overlap_what_they_write() {
        assert_eq!(unpack(b"\x00a\xe0\x00\x00", 10), Some(b"aaaaaaaaaa".to_vec()));
        assert_eq!(unpack(b"\x02abc\x20\x02", 6), Some(b"abcabc".to_vec()));
        assert_eq!(unpack(b"", 0), Some(Vec::new()));
    }

    #[test]
    fn what_leads_outside_is_refused() {
        for (packed, len) in [
            (&b"\x00a\xe0\x00\x00"[..], 9),
            (b"\x00a\xe0\x00\x00", 11),
            (b"\x00a\xe0\x00\x01", 10),
            (b"\x05abc", 6),
            (b"\xe0", 9),
            (b"\x20", 3),
            (b"\x00a", usize::MAX),
        ] {
            assert_eq!(unpack(packed, len), None, "{}", packed.escape_ascii());
        }
    }
}
