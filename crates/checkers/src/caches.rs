//! Clients that keep copies of values and are told when those change (`fresh-caches`).
//!
//! Each change of a key that is looked at takes the next number of one counter, in the same step of the log, and a value is the number
//! of the change that wrote it. So a value says of which state it is: whoever was shown the number 70, of whatever key, looks at a state
//! that holds all changes up to the 70th.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::{Promise, Violation};

/// What a client held to be the value of a key, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Which client.
    pub client: u64,
    /// Which key.
    pub key: String,
    /// The value; `None`: there is none.
    pub value: Option<u64>,
    /// The state that it was read from holds all changes up to this one.
    pub since: u64,
    /// The newest state that the connection has told of while the client held it: of every change up to this one, the client
    /// had been told what concerns it.
    pub upto: u64,
    /// When that was.
    pub at: Duration,
}

/// The changes of each key that certainly took place, and the value that each has left; `None` if it has removed the key.
pub type Changes = BTreeMap<String, BTreeMap<u64, Option<u64>>>;

/// No client held a value that a change had replaced of which its connection had told it, or of whose time it knew something else.
///
/// # Errors
/// The first value that was too old.
pub fn check_held(held: &[Held], changes: &Changes) -> Result<(), Violation> {
    for one in held.iter().filter(|one| one.since < one.upto) {
        let behind = changes.get(&one.key).map(|changes| changes.range(one.since + 1..=one.upto));
        // To remove what is not there changes nothing.
        let newer = behind.and_then(|mut behind| behind.find(|(_, left)| **left != one.value));
        if let Some((newer, _)) = newer {
            let what = format!(
                "change {newer} of the key had replaced this, and the client knew of later ones: {one:?}"
            );
            return Err(Violation::new(Promise::FreshCaches, what));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(value: Option<u64>, since: u64, upto: u64) -> Held {
        Held { client: 1, key: "k".to_owned(), value, since, upto, at: Duration::ZERO }
    }

    #[test]
    fn a_value_is_too_old_once_the_client_knows_of_a_later_state() {
        let of_k = BTreeMap::from([(3, Some(3)), (7, Some(7)), (9, None), (12, None)]);
        let of_j = BTreeMap::from([(5, Some(5))]);
        let changes = Changes::from([("k".to_owned(), of_k), ("j".to_owned(), of_j)]);
        let fine = [
            held(Some(3), 3, 6),
            held(Some(7), 7, 8),
            held(None, 9, 20),
            held(None, 0, 2),
            held(Some(3), 3, 3),
        ];
        check_held(&fine, &changes).unwrap();
        for wrong in [held(Some(3), 3, 7), held(Some(3), 3, 50), held(Some(7), 7, 9), held(None, 5, 8)] {
            let violation = check_held(std::slice::from_ref(&wrong), &changes).unwrap_err();
            assert_eq!(violation.promise, Promise::FreshCaches, "{wrong:?}");
        }
    }
}
