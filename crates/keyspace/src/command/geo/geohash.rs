//! Places as numbers: 26 bits of latitude and 26 of longitude, interleaved.
//!
//! The top bits say in which cell of a grid a place is, so a cell is a range of numbers. Morton, "A Computer Oriented
//! Geodetic Data Base", 1966; the grid and the order of bits are Redis's, because scores show them.

/// Bits for each of the two coordinates.
pub(super) const STEP_MAX: u32 = 26;

/// Longitudes go from minus this to this.
pub(super) const LONGITUDE_MAX: f64 = 180.0;

/// Latitudes too: where Mercator's map is a square.
pub(super) const LATITUDE_MAX: f64 = 85.05112878;

/// Latitudes of a geohash as the world knows it.
const LATITUDE_MAX_STANDARD: f64 = 90.0;

/// A place, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) longitude: f64,
    pub(super) latitude: f64,
}

/// A cell of the grid that halves the world `step` times in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    bits: u64,
    step: u32,
}

/// What a cell covers, in degrees.
#[derive(Clone, Copy, Debug)]
pub(super) struct Area {
    pub(super) longitude_min: f64,
    pub(super) longitude_max: f64,
    pub(super) latitude_min: f64,
    pub(super) latitude_max: f64,
}

impl Point {
    /// The place that a score stands for: the middle of its cell.
    pub(super) fn of_score(score: f64) -> Self {
        let area = Cell { bits: bits_of_score(score), step: STEP_MAX }.area();
        let longitude = (area.longitude_min + area.longitude_max) / 2.0;
        let latitude = (area.latitude_min + area.latitude_max) / 2.0;
        Self {
            longitude: longitude.clamp(-LONGITUDE_MAX, LONGITUDE_MAX),
            latitude: latitude.clamp(-LATITUDE_MAX, LATITUDE_MAX),
        }
    }

    /// The score that stands for this place.
    pub(super) fn score(self) -> u64 {
        Cell::around(self, STEP_MAX).bits
    }

    /// The eleven letters by which the world knows this place.
    pub(super) fn geohash(self) -> [u8; 11] {
        const LETTERS: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
        let bits = encode(self, LATITUDE_MAX_STANDARD, STEP_MAX);
        // 52 bits are ten letters and a rest that Redis does not show.
        std::array::from_fn(|i| match i {
            10 => LETTERS[0],
            _ => LETTERS[(bits >> (52 - 5 * (i + 1))) as usize & 31],
        })
    }
}

impl Cell {
    /// The cell of a grid in which a place is.
    pub(super) fn around(point: Point, step: u32) -> Self {
        Self { bits: encode(point, LATITUDE_MAX, step), step }
    }

    /// The cell so many cells to the east and to the north; beyond the edge the world begins anew.
    ///
    /// The very edge (180 degrees) is the first place of a cell behind the last one, and stays there until it is moved.
    pub(super) fn moved(self, east: i64, north: i64) -> Self {
        let mask = (1 << self.step) - 1;
        let moved = |coordinate: u32, by: i64| match by {
            0 => coordinate,
            by => (i64::from(coordinate) + by) as u32 & mask,
        };
        let (latitude, longitude) = (squash(self.bits), squash(self.bits >> 1));
        let bits = interleave(moved(latitude, north), moved(longitude, east));
        Self { bits, step: self.step }
    }

    pub(super) fn area(self) -> Area {
        let (latitude, longitude) = (squash(self.bits), squash(self.bits >> 1));
        let cells = (1_u64 << self.step) as f64;
        let edge = |cell: u32, max: f64| -max + (f64::from(cell) / cells) * (2.0 * max);
        Area {
            longitude_min: edge(longitude, LONGITUDE_MAX),
            longitude_max: edge(longitude.wrapping_add(1), LONGITUDE_MAX),
            latitude_min: edge(latitude, LATITUDE_MAX),
            latitude_max: edge(latitude.wrapping_add(1), LATITUDE_MAX),
        }
    }

    /// The scores in this cell: from the first, below the second.
    pub(super) fn scores(self) -> (f64, f64) {
        let shift = 52 - 2 * self.step;
        ((self.bits << shift) as f64, ((self.bits + 1) << shift) as f64)
    }
}

fn encode(point: Point, latitude_max: f64, step: u32) -> u64 {
    let cells = (1_u64 << step) as f64;
    let cell = |degrees: f64, max: f64| ((degrees + max) / (2.0 * max) * cells) as u32;
    interleave(cell(point.latitude, latitude_max), cell(point.longitude, LONGITUDE_MAX))
}

/// The bits of a score, which may be any number: what a conversion to 64 bits without a sign yields on the machines that
/// Redis runs on.
fn bits_of_score(score: f64) -> u64 {
    const TWO_TO_63: f64 = (1_u64 << 63) as f64;
    let truncate = |x: f64| if (-TWO_TO_63..TWO_TO_63).contains(&x) { x as i64 } else { i64::MIN };
    if score < TWO_TO_63 { truncate(score) as u64 } else { truncate(score - TWO_TO_63) as u64 ^ 1 << 63 }
}

/// The bits of `even` at even places, those of `odd` between them.
fn interleave(even: u32, odd: u32) -> u64 {
    spread(even) | spread(odd) << 1
}

/// Puts a 0 in front of each bit.
fn spread(bits: u32) -> u64 {
    let mut bits = u64::from(bits);
    for (shift, mask) in [
        (16, 0x0000_ffff_0000_ffff),
        (8, 0x00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f),
        (2, 0x3333_3333_3333_3333),
        (1, 0x5555_5555_5555_5555),
    ] {
        bits = (bits | bits << shift) & mask;
    }
    bits
}

/// The bits at even places.
fn squash(bits: u64) -> u32 {
    let mut bits = bits & 0x5555_5555_5555_5555;
    for (shift, mask) in [
        (1, 0x3333_3333_3333_3333),
        (2, 0x0f0f_0f0f_0f0f_0f0f),
        (4, 0x00ff_00ff_00ff_00ff),
        (8, 0x0000_ffff_0000_ffff),
        (16, 0x0000_0000_ffff_ffff),
    ] {
        bits = (bits | bits >> shift) & mask;
    }
    bits as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_known_place_has_its_known_names() {
        let palermo = Point { longitude: 13.361389, latitude: 38.115556 };
        assert_eq!(palermo.score(), 3_479_099_956_230_698);
        let found = Point::of_score(palermo.score() as f64);
        assert_eq!(&found.geohash(), b"sqc8b49rny0");
        assert_eq!((found.longitude, found.latitude), (13.361389338970184, 38.1155563954963));
    }

    #[test]
    fn any_score_is_some_place() {
        for score in [0.0, -1.0, 1e15, 1e19, 1e300, -1e300, f64::INFINITY, f64::NEG_INFINITY, 0.5, -0.0] {
            let point = Point::of_score(score);
            assert!(
                point.longitude.abs() <= LONGITUDE_MAX && point.latitude.abs() <= LATITUDE_MAX,
                "{score}"
            );
        }
        assert_eq!(bits_of_score(-1.0), u64::MAX);
        assert_eq!(bits_of_score(1e19), 10_000_000_000_000_000_000);
        assert_eq!((bits_of_score(1e300), bits_of_score(-1e300)), (0, 1 << 63));
    }

    #[test]
    fn the_world_is_round() {
        let cell = Cell::around(Point { longitude: 179.9, latitude: 0.0 }, 10);
        assert!(cell.moved(1, 0).area().longitude_min == -180.0);
        assert_eq!(cell.moved(1, 1).moved(-1, -1), cell);
    }

    proptest! {
        #[test]
        fn bits_come_apart_again(even: u32, odd: u32) {
            let bits = interleave(even, odd);
            prop_assert_eq!((squash(bits), squash(bits >> 1)), (even, odd));
        }

        #[test]
        fn a_cell_holds_its_place(longitude in -180.0..180.0, latitude in -85.05..85.05, step in 1_u32..=26) {
            let point = Point { longitude, latitude };
            let cell = Cell::around(point, step);
            let area = cell.area();
            prop_assert!((area.longitude_min..=area.longitude_max).contains(&longitude));
            prop_assert!((area.latitude_min..=area.latitude_max).contains(&latitude));
            let (first, end) = cell.scores();
            prop_assert!((first..end).contains(&(point.score() as f64)));
        }
    }
}
