//! The timing on which members must agree.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::consensus::Timing;

/// What members tell each other of their [`Timing`]: with different values leases and elections do not fit together (R3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Pace {
    /// Milliseconds.
    pub heartbeat: u32,
    /// Milliseconds.
    pub election_min: u32,
    /// Milliseconds.
    pub election_max: u32,
    /// Parts per million.
    pub drift: u32,
}

impl Timing {
    /// The part of it that all members must share.
    #[must_use]
    pub fn pace(&self) -> Pace {
        let ms = |time: std::time::Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        Pace {
            heartbeat: ms(self.heartbeat),
            election_min: ms(self.election.0),
            election_max: ms(self.election.1),
            drift: (self.drift * 1e6).round() as u32,
        }
    }
}

impl Pace {
    /// Names each value that `other` has differently, by its parameter, with both; empty if there is none.
    #[must_use]
    pub fn differences(&self, other: &Self) -> String {
        let pairs = self.values().into_iter().zip(other.values());
        let different = pairs.filter(|((_, own), (_, others))| own != others);
        let texts: Vec<_> =
            different.map(|((name, own), (_, others))| format!("{name} {others} instead of {own}")).collect();
        texts.join(", ")
    }

    fn values(&self) -> [(&'static str, String); 4] {
        [
            ("heartbeat-interval", self.heartbeat.to_string()),
            ("election-timeout-min", self.election_min.to_string()),
            ("election-timeout-max", self.election_max.to_string()),
            ("clock-drift", (f64::from(self.drift) / 1e6).to_string()),
        ]
    }
}

impl fmt::Display for Pace {
    /// As a command line would give it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, value)) in self.values().iter().enumerate() {
            write!(f, "{}--set {name}={value}", if i == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_name_both_values() {
        let ours = Timing::default().pace();
        assert_eq!(ours.differences(&ours), "");
        let theirs = Pace { election_max: 400, drift: 100_000, ..ours };
        let text = ours.differences(&theirs);
        assert_eq!(text, "election-timeout-max 400 instead of 180, clock-drift 0.1 instead of 0.05");
        assert!(theirs.to_string().ends_with("--set election-timeout-max=400 --set clock-drift=0.1"));
    }
}
