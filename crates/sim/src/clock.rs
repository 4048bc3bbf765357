//! The clocks of one simulated machine.

use quorate_env::clock::Simulated;

const MILLION: u64 = 1_000_000;

/// One oscillator, with its drift, feeds the monotonic and the wall clock of a machine, as in a real one.
#[derive(Debug)]
pub(crate) struct MachineClock {
    /// From here on, the oscillator runs at the present rate.
    since: u64,
    /// What it showed then.
    shown: u64,
    /// Parts per million that it runs faster than the world's time.
    drift_ppm: i64,
    /// What the oscillator showed when CLOCK_BOOTTIME was zero; negative for boots before the world began.
    booted: i64,
    /// Unix milliseconds when the oscillator showed zero.
    wall_ms: i64,
}

impl MachineClock {
    /// A machine that was booted `uptime` nanoseconds before the world began.
    pub(crate) fn new(uptime: u64, wall_ms: u64) -> Self {
        Self { since: 0, shown: 0, drift_ppm: 0, booted: -signed(uptime), wall_ms: signed(wall_ms) }
    }

    /// The oscillator at world time `time`, in its own nanoseconds since the world began.
    pub(crate) fn at(&self, time: u64) -> u64 {
        let passed = time - self.since;
        self.shown + if self.drift_ppm == 0 { passed } else { scaled(passed, self.rate(), MILLION) }
    }

    /// The first world time at which the oscillator shows at least `shown`.
    pub(crate) fn time_of(&self, shown: u64) -> u64 {
        let missing = shown.saturating_sub(self.shown);
        self.since + if self.drift_ppm == 0 { missing } else { scaled_up(missing, MILLION, self.rate()) }
    }

    pub(crate) fn reading(&self, time: u64) -> Simulated {
        let shown = signed(self.at(time));
        Simulated {
            boot_ns: u64::try_from(shown - self.booted).expect("booted in the past"),
            wall_ms: u64::try_from(self.wall_ms + shown / 1_000_000).unwrap_or(0),
        }
    }

    /// What the oscillator advances in a million nanoseconds.
    fn rate(&self) -> u64 {
        MILLION.checked_add_signed(self.drift_ppm).expect("no clock runs backwards")
    }

    pub(crate) fn set_drift(&mut self, time: u64, drift_ppm: i64) {
        assert!(drift_ppm > -1_000_000, "no clock runs backwards");
        (self.shown, self.since) = (self.at(time), time);
        self.drift_ppm = drift_ppm;
    }

    pub(crate) fn step_wall(&mut self, ms: i64) {
        self.wall_ms += ms;
    }

    /// The machine was booted `uptime` nanoseconds ago.
    pub(crate) fn boot(&mut self, time: u64, uptime: u64) {
        self.booted = signed(self.at(time)) - signed(uptime);
    }
}

fn scaled(value: u64, by: u64, of: u64) -> u64 {
    u64::try_from(u128::from(value) * u128::from(by) / u128::from(of)).expect("within 584 years")
}

fn scaled_up(value: u64, by: u64, of: u64) -> u64 {
    u64::try_from((u128::from(value) * u128::from(by)).div_ceil(u128::from(of))).expect("within 584 years")
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).expect("within 292 years")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn drift_changes_the_rate_from_then_on() {
        let mut clock = MachineClock::new(5 * SECOND, 1_000);
        assert_eq!(clock.reading(SECOND), Simulated { boot_ns: 6 * SECOND, wall_ms: 2_000 });
        clock.set_drift(SECOND, 500_000);
        assert_eq!(clock.at(3 * SECOND), 4 * SECOND);
        clock.set_drift(3 * SECOND, -500_000);
        assert_eq!(clock.reading(5 * SECOND), Simulated { boot_ns: 10 * SECOND, wall_ms: 6_000 });
    }

    #[test]
    fn time_of_is_the_inverse() {
        for drift in [-999_999, -333_333, -7, 0, 13, 999_999] {
            let mut clock = MachineClock::new(0, 0);
            clock.set_drift(12_345, drift);
            for shown in [0, 12_345, 12_346, 999_983, 10 * SECOND + 1] {
                let time = clock.time_of(shown);
                assert!(clock.at(time) >= shown, "{drift} {shown}");
                assert!(time == 12_345 || clock.at(time - 1) < shown, "{drift} {shown}");
            }
        }
    }

    #[test]
    fn a_boot_restarts_only_the_monotonic_clock() {
        let mut clock = MachineClock::new(50 * SECOND, 0);
        clock.boot(10 * SECOND, SECOND);
        clock.step_wall(-3_000);
        assert_eq!(clock.reading(12 * SECOND), Simulated { boot_ns: 3 * SECOND, wall_ms: 9_000 });
    }
}
