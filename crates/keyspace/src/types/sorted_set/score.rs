//! A score as bytes.
//!
//! Most scores are integers of moderate size: those take as many bytes as they need, little-endian with a sign, and 0
//! takes none. Any other is the eight bytes of the double.

/// Integers up to here either way are kept as such; a double holds each of them.
const INTEGER_MAX: f64 = (1_u64 << 52) as f64;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct ScoreBytes {
    bytes: [u8; 8],
    len: u8,
}

impl ScoreBytes {
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// The bytes of a score.
pub(super) fn encode(score: f64) -> ScoreBytes {
    let is_negative_zero = score == 0.0 && score.is_sign_negative();
    if score.abs() <= INTEGER_MAX && (score as i64) as f64 == score && !is_negative_zero {
        let integer = score as i64;
        let len =
            (1..=7).find(|len| sign_extend(integer, *len) == integer).expect("53 bits and a sign fit into 7");
        let len = if integer == 0 { 0 } else { len };
        return ScoreBytes { bytes: integer.to_le_bytes(), len };
    }
    ScoreBytes { bytes: score.to_bits().to_le_bytes(), len: 8 }
}

/// The score that these bytes are, which may be hostile: not NaN, and written in no other way than [`encode`] would.
pub(super) fn decode_strictly(bytes: &[u8]) -> Option<f64> {
    if bytes.len() > 8 {
        return None;
    }
    let score = decode(bytes);
    (!score.is_nan() && encode(score).as_bytes() == bytes).then_some(score)
}

/// The score that these bytes, at most eight, are.
pub(super) fn decode(bytes: &[u8]) -> f64 {
    let mut whole = [0; 8];
    whole[..bytes.len()].copy_from_slice(bytes);
    match bytes.len() {
        0 => 0.0,
        8 => f64::from_bits(u64::from_le_bytes(whole)),
        len => sign_extend(i64::from_le_bytes(whole), len as u8) as f64,
    }
}

/// What the lowest `len` bytes (1 to 7) of an integer say.
fn sign_extend(integer: i64, len: u8) -> i64 {
    let shift = 64 - 8 * u32::from(len);
    (integer << shift) >> shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_take_what_they_need() {
        let lens = [
            (0.0, 0),
            (1.0, 1),
            (-128.0, 1),
            (128.0, 2),
            (-32769.0, 3),
            (1.7e12, 6),
            (-4503599627370496.0, 7),
            (4503599627370498.0, 8),
            (-0.0, 8),
            (0.5, 8),
            (f64::INFINITY, 8),
            (f64::NEG_INFINITY, 8),
            (f64::MAX, 8),
        ];
        for (score, len) in lens {
            let bytes = encode(score);
            assert_eq!(bytes.as_bytes().len(), len, "{score}");
            assert_eq!(decode(bytes.as_bytes()).to_bits(), score.to_bits());
            assert_eq!(decode_strictly(bytes.as_bytes()).map(f64::to_bits), Some(score.to_bits()));
        }
    }

    #[test]
    fn there_is_one_way_to_write_a_score() {
        for bytes in [
            &[0_u8][..],
            &[1, 0],
            &[0xff, 0xff],
            &[0; 8],
            &[0; 9],
            &f64::NAN.to_le_bytes(),
            &2_f64.to_le_bytes(),
        ] {
            assert_eq!(decode_strictly(bytes), None, "{bytes:?}");
        }
    }
}
