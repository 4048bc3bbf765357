//! Distances on the globe, and the cells that a search has to look into.
//!
//! Everything is computed in the order in which Redis computes it, with `libm` written in Rust instead of the platform's
//! (R12): distances agree to the last digit that is shown, and what is found comes in the same order.

use smallvec::SmallVec;

use super::geohash::{Cell, Point, STEP_MAX};

/// Redis's idea of the earth, in meters.
const EARTH_RADIUS: f64 = 6_372_797.560_856;

/// Half the length of the equator on Mercator's map, in meters.
const MERCATOR_MAX: f64 = 20_037_726.37;

const RADIANS: f64 = std::f64::consts::PI / 180.0;

/// What is looked for around a place. Lengths are in meters.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    Circle { radius: f64 },
    Rectangle { width: f64, height: f64 },
}

/// The distance of two places in meters, by the haversine formula.
pub(super) fn distance(a: Point, b: Point) -> f64 {
    let v = libm::sin((b.longitude * RADIANS - a.longitude * RADIANS) / 2.0);
    if v == 0.0 {
        return latitude_distance(a.latitude, b.latitude);
    }
    let (a_latitude, b_latitude) = (a.latitude * RADIANS, b.latitude * RADIANS);
    let u = libm::sin((b_latitude - a_latitude) / 2.0);
    let square = u * u + libm::cos(a_latitude) * libm::cos(b_latitude) * v * v;
    2.0 * EARTH_RADIUS * libm::asin(libm::sqrt(square))
}

/// The same for places of the same longitude.
fn latitude_distance(a: f64, b: f64) -> f64 {
    EARTH_RADIUS * (b * RADIANS - a * RADIANS).abs()
}

impl Shape {
    /// The distance of a place from the center, if it lies within.
    pub(super) fn distance_within(&self, center: Point, place: Point) -> Option<f64> {
        match *self {
            Self::Circle { radius } => {
                let distance = distance(center, place);
                // In this order, as a distance that is not a number counts as within.
                if distance > radius { None } else { Some(distance) }
            }
            Self::Rectangle { width, height } => {
                let is_far = latitude_distance(place.latitude, center.latitude) > height / 2.0;
                let on_its_latitude = Point { longitude: center.longitude, ..place };
                if is_far || distance(place, on_its_latitude) > width / 2.0 {
                    return None;
                }
                Some(distance(center, place))
            }
        }
    }

    /// The farthest that something within can be from the center.
    fn reach(&self) -> f64 {
        match *self {
            Self::Circle { radius } => radius,
            Self::Rectangle { width, height } => {
                libm::sqrt((width / 2.0) * (width / 2.0) + (height / 2.0) * (height / 2.0))
            }
        }
    }

    /// How far it goes, in degrees.
    fn bounds(&self, center: Point) -> Bounds {
        let (width, height) = match *self {
            Self::Circle { radius } => (radius, radius),
            Self::Rectangle { width, height } => (width / 2.0, height / 2.0),
        };
        let latitude_delta = height / EARTH_RADIUS / RADIANS;
        let longitude_delta = |latitude: f64| width / EARTH_RADIUS / libm::cos(latitude * RADIANS) / RADIANS;
        // Of the two edges, that nearer to the pole spans more degrees.
        let longitude_delta = if center.latitude < 0.0 {
            longitude_delta(center.latitude - latitude_delta)
        } else {
            longitude_delta(center.latitude + latitude_delta)
        };
        Bounds {
            west: center.longitude - longitude_delta,
            east: center.longitude + longitude_delta,
            south: center.latitude - latitude_delta,
            north: center.latitude + latitude_delta,
        }
    }

    /// The cells that hold everything within, in the order in which Redis looks into them.
    pub(super) fn cells(&self, center: Point) -> SmallVec<[Cell; 9]> {
        let bounds = self.bounds(center);
        let mut step = estimate_step(self.reach(), center.latitude);
        let mut cell = Cell::around(center, step);
        if step > 1 && bounds.exceed_neighbours_of(cell) {
            step -= 1;
            cell = Cell::around(center, step);
        }
        let area = cell.area();
        let no_finer = step < 2;
        let wants = |east: i64, north: i64| {
            no_finer
                || !((north < 0 && area.latitude_min < bounds.south)
                    || (north > 0 && area.latitude_max > bounds.north)
                    || (east < 0 && area.longitude_min < bounds.west)
                    || (east > 0 && area.longitude_max > bounds.east))
        };
        let mut cells: SmallVec<[Cell; 9]> = SmallVec::new();
        // The place of the last cell taken, counted from 0; Redis compares with none as long as that is 0.
        let mut last = 0;
        for (i, (east, north)) in NEIGHBOURS.into_iter().enumerate() {
            let neighbour = cell.moved(east, north);
            let is_same = last != 0 && cells.last() == Some(&neighbour);
            if wants(east, north) && !is_same {
                cells.push(neighbour);
                last = i;
            }
        }
        cells
    }
}

/// The cell itself and its neighbours: how far to the east and to the north.
const NEIGHBOURS: [(i64, i64); 9] =
    [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)];

struct Bounds {
    west: f64,
    east: f64,
    south: f64,
    north: f64,
}

impl Bounds {
    /// Whether the cell and its neighbours are too small to hold all.
    fn exceed_neighbours_of(&self, cell: Cell) -> bool {
        cell.moved(0, 1).area().latitude_max < self.north
            || cell.moved(0, -1).area().latitude_min > self.south
            || cell.moved(1, 0).area().longitude_max < self.east
            || cell.moved(-1, 0).area().longitude_min > self.west
    }
}

/// How often to halve the world so that a cell and its neighbours hold a circle of this radius, mostly.
fn estimate_step(radius: f64, latitude: f64) -> u32 {
    if radius == 0.0 {
        return STEP_MAX;
    }
    let (mut radius, mut step) = (radius, 1);
    while radius < MERCATOR_MAX {
        radius *= 2.0;
        step += 1;
    }
    step -= 2;
    // Towards the poles a degree of longitude gets shorter.
    step -= i32::from(latitude.abs() > 66.0) + i32::from(latitude.abs() > 80.0);
    step.clamp(1, STEP_MAX as i32) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn point(longitude: f64, latitude: f64) -> Point {
        Point { longitude, latitude }
    }

    #[test]
    fn distances_are_those_of_redis() {
        let (palermo, catania) = (3_479_099_956_230_698.0, 3_479_447_370_796_909.0);
        let meters = distance(Point::of_score(palermo), Point::of_score(catania));
        assert_eq!(format!("{meters:.4}"), "166274.1516");
        assert_eq!(distance(point(1.0, 2.0), point(1.0, 2.0)), 0.0);
    }

    #[test]
    fn odd_lengths_do_no_harm() {
        for length in [0.0, 5e-324, 1e300, f64::INFINITY] {
            let shapes =
                [Shape::Circle { radius: length }, Shape::Rectangle { width: length, height: length }];
            for shape in shapes {
                for center in [point(0.0, 0.0), point(180.0, 85.0), point(-180.0, -85.0)] {
                    assert!(!shape.cells(center).is_empty());
                }
            }
        }
    }

    proptest! {
        /// The method is Redis's, which misses places near the poles and across the 180th meridian.
        #[test]
        fn the_cells_hold_what_is_within(
            longitude in -150.0..150.0,
            latitude in -60.0..60.0,
            east in -1.0..1.0,
            north in -1.0..1.0,
            exponent in 0_i32..6,
        ) {
            let radius = 10_f64.powi(exponent);
            let (center, degrees) = (point(longitude, latitude), radius / 111_000.0);
            let place = point(longitude + east * degrees, latitude + north * degrees);
            for shape in [Shape::Circle { radius }, Shape::Rectangle { width: radius, height: radius / 3.0 }] {
                let score = place.score() as f64;
                if shape.distance_within(center, Point::of_score(score)).is_some() {
                    let cells = shape.cells(center);
                    let mut ranges = cells.iter().map(|cell| cell.scores());
                    prop_assert!(ranges.any(|(first, end)| (first..end).contains(&score)));
                }
            }
        }
    }
}
