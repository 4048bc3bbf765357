//! Pauses of acknowledged writes (`fast-failover`).

use std::time::Duration;

/// When writes were acknowledged, measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Availability {
    /// The longest time without an acknowledged write.
    pub longest_pause: Duration,
    /// Pauses that count: longer than the given grain.
    pub pauses: usize,
    /// What they add up to.
    pub down: Duration,
    /// The part of the time in which writes went on, 0 to 1.
    pub available: f64,
}

impl Availability {
    /// Measures the time from `from` to `to`. `times` are those of the acknowledgements, in order. A gap between two of
    /// them counts as a pause if it is longer than `grain`.
    #[must_use]
    pub fn measure(times: &[Duration], from: Duration, to: Duration, grain: Duration) -> Self {
        let inside = times.iter().copied().filter(|time| (from..to).contains(time));
        let (mut last, mut longest, mut pauses, mut down) = (from, Duration::ZERO, 0, Duration::ZERO);
        for time in inside.chain([to]) {
            let gap = time.saturating_sub(last);
            longest = longest.max(gap);
            if gap > grain {
                pauses += 1;
                down += gap;
            }
            last = time;
        }
        let whole = to.saturating_sub(from).as_secs_f64();
        let available = if whole > 0.0 { 1.0 - down.as_secs_f64() / whole } else { 1.0 };
        Self { longest_pause: longest, pauses, down, available }
    }

    /// How many nines that is: 0.99 has two. At most nine.
    #[must_use]
    pub fn nines(&self) -> f64 {
        (-(1.0 - self.available).log10()).clamp(0.0, 9.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_add_up() {
        let ms = Duration::from_millis;
        let times: Vec<Duration> = (0..1000).filter(|n| !(200..300).contains(n)).map(ms).collect();
        let measured = Availability::measure(&times, ms(0), ms(1000), ms(10));
        assert_eq!((measured.longest_pause, measured.pauses, measured.down), (ms(101), 1, ms(101)));
        assert!((measured.available - 0.899).abs() < 1e-9 && (measured.nines() - 0.9957).abs() < 1e-3);
        let nothing = Availability::measure(&[], ms(0), ms(1000), ms(10));
        assert_eq!((nothing.longest_pause, nothing.available, nothing.nines()), (ms(1000), 0.0, 0.0));
        let all = Availability::measure(&times, ms(300), ms(1000), ms(10));
        assert_eq!((all.pauses, all.nines()), (0, 9.0));
    }
}
