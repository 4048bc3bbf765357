//! Keys that are written once, with a time to live (`linearizable`; the time of expiry is known as an interval).

use std::time::Duration;

use crate::Fate;

/// The one write of a key that expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mortal {
    /// When it was called.
    pub begin: Duration,
    /// When it was answered; of no meaning if its outcome is unknown.
    pub end: Duration,
    /// How long it lives.
    pub ttl: Duration,
    /// What the client was told.
    pub fate: Fate,
}

/// A read of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// When it was called.
    pub begin: Duration,
    /// When it was answered.
    pub end: Duration,
    /// Whether the key was there.
    pub found: bool,
}

/// Checks that the key was there while it lived, was gone after it, and never came back. `drift` is by how much clocks
/// may differ over its life.
pub fn check_expiry(write: Mortal, reads: &[Sighting], drift: Duration) -> Result<(), String> {
    if write.fate == Fate::Refused {
        let seen = reads.iter().find(|read| read.found);
        return seen.map_or(Ok(()), |read| Err(format!("{read:?} found a key whose write was refused")));
    }
    let acknowledged = write.fate == Fate::Acknowledged;
    for read in reads {
        let lives = acknowledged && read.begin > write.end && read.end + drift < write.begin + write.ttl;
        if lives && !read.found {
            return Err(format!("{read:?} misses a key that lives: {write:?}"));
        }
        let dead = acknowledged && read.begin > write.end + write.ttl + drift;
        if dead && read.found {
            return Err(format!("{read:?} found a key that has expired: {write:?}"));
        }
    }
    // Gone is what was there before, or what must have been.
    let first_found = reads.iter().filter(|read| read.found).map(|read| read.end).min();
    let written = if acknowledged { Some(write.end) } else { None };
    let Some(there) = first_found.into_iter().chain(written).min() else { return Ok(()) };
    let gone = reads.iter().filter(|read| !read.found && read.begin > there).min_by_key(|read| read.end);
    let back = gone.and_then(|gone| reads.iter().find(|read| read.found && read.begin > gone.end));
    match (gone, back) {
        (Some(gone), Some(back)) => Err(format!("{back:?} found a key that {gone:?} had seen expired")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRIFT: Duration = Duration::from_millis(10);

    fn write(fate: Fate) -> Mortal {
        let ms = Duration::from_millis;
        Mortal { begin: ms(100), end: ms(110), ttl: ms(500), fate }
    }

    fn read(at: u64, found: bool) -> Sighting {
        Sighting { begin: Duration::from_millis(at), end: Duration::from_millis(at + 2), found }
    }

    #[test]
    fn a_key_lives_once() {
        let reads = [read(90, false), read(120, true), read(570, true), read(605, false), read(700, false)];
        check_expiry(write(Fate::Acknowledged), &reads, DRIFT).unwrap();
        check_expiry(write(Fate::Unknown), &[read(150, false), read(2000, true)], DRIFT).unwrap();
        check_expiry(write(Fate::Refused), &[read(150, false)], DRIFT).unwrap();
    }

    #[test]
    fn what_expiry_must_not_do_is_found() {
        let acknowledged = write(Fate::Acknowledged);
        assert!(check_expiry(acknowledged, &[read(300, false)], DRIFT).is_err(), "too early");
        assert!(check_expiry(acknowledged, &[read(650, true)], DRIFT).is_err(), "too late");
        let back = [read(601, false), read(605, true)];
        assert!(check_expiry(acknowledged, &back, DRIFT).is_err(), "unseen again");
        let unknown = [read(200, true), read(300, false), read(400, true)];
        assert!(check_expiry(write(Fate::Unknown), &unknown, DRIFT).is_err(), "unseen again");
        assert!(check_expiry(write(Fate::Refused), &[read(200, true)], DRIFT).is_err(), "refused");
    }
}
