//! From registers to an estimate.
//!
//! Nothing but additions, multiplications, divisions and square roots, all of which round in one defined way on every
//! machine (R12), in the order in which Redis carries them out.

use super::{REGISTERS, RUN_BITS};

/// How many registers have each value. Neighbours count in turn in four places, so that equal ones do not wait for each
/// other.
pub(super) struct Histogram([[u32; 64]; 4]);

impl Default for Histogram {
    fn default() -> Self {
        Self([[0; 64]; 4])
    }
}

impl Histogram {
    /// Takes in register `i`.
    pub(super) fn take(&mut self, i: usize, value: u8) {
        self.0[i % 4][usize::from(value % 64)] += 1;
    }

    /// Takes in several equal ones.
    pub(super) fn take_run(&mut self, value: u8, len: usize) {
        self.0[0][usize::from(value % 64)] += len as u32;
    }

    /// The number of different elements. See Ertl, "New cardinality estimation algorithms for HyperLogLog sketches",
    /// section 4.
    pub(super) fn estimate(&self) -> u64 {
        /// 1 / (2 ln 2).
        const ALPHA: f64 = 0.721_347_520_444_481_7;
        const M: f64 = REGISTERS as f64;
        let of =
            |value: u32| -> f64 { self.0.iter().map(|counts| counts[value as usize]).sum::<u32>().into() };
        let mut z = M * tau((M - of(RUN_BITS + 1)) / M);
        for value in (1..=RUN_BITS).rev() {
            z = (z + of(value)) * 0.5;
        }
        z += M * sigma(of(0) / M);
        round(ALPHA * M * M / z)
    }
}

/// To the nearest integer, halves up.
fn round(x: f64) -> u64 {
    let whole = x as u64;
    whole.saturating_add(u64::from(x - whole as f64 >= 0.5))
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}
