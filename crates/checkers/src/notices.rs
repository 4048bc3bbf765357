//! What keyspace notifications tell of changes (`messages`): R18.
//!
//! Each change that is looked at counts one counter up, and says last, by a message of the same entry, which number it has and what it
//! has done. So whoever listens to both hears before each such message what was notified of that change, and nothing else; keys that
//! expire or are evicted come beside it, between any two.

use std::collections::BTreeMap;

use crate::{Promise, Violation};

/// The key that counts changes.
const COUNTER: &str = "t:clock";

/// What a change has done to its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Did {
    /// Written it.
    Set,
    /// Removed it.
    Removed,
    /// There was nothing to be removed.
    Nothing,
    /// All keys have gone, or others have taken their place. No notification says so.
    Wiped,
}

/// What one listener has heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A keyspace notification.
    Event {
        /// What has happened, such as `set`.
        event: String,
        /// To which key.
        key: String,
    },
    /// A change says what it was.
    Change {
        /// Its number.
        n: u64,
        /// Its key.
        key: String,
        /// What it has done.
        did: Did,
    },
    /// Its node has passed entries over. From then on changes may be missing once.
    Gap,
}

fn violation(what: String) -> Violation {
    Violation::new(Promise::Messages, what)
}

/// What follows from the notices so far.
#[derive(Default)]
struct Known<'a> {
    last: Option<u64>,
    /// Behind the last change.
    events: Vec<(&'a str, &'a str)>,
    /// Whether a key is there, as far as it is known.
    there: BTreeMap<&'a str, bool>,
    may_jump: bool,
    had_gap: bool,
}

impl<'a> Known<'a> {
    fn happened(&mut self, event: &'a str, key: &'a str) -> Result<(), Violation> {
        match (event, key) {
            ("expired" | "evicted", _) => return self.gone(event, key),
            // A deadline comes behind `set`; the counters are put back when keys are wiped.
            ("incrby", COUNTER) | ("set" | "del", _) => self.events.push((event, key)),
            _ => {}
        }
        Ok(())
    }

    /// Without a command.
    fn gone(&mut self, event: &str, key: &'a str) -> Result<(), Violation> {
        let was_there = self.there.insert(key, false);
        if was_there == Some(false) && !self.had_gap {
            let last = self.last;
            return Err(violation(format!(
                "{key} was said to be {event} behind {last:?}, and was not there"
            )));
        }
        Ok(())
    }

    fn changed(&mut self, n: u64, key: &'a str, did: Did) -> Result<(), Violation> {
        let is_next = self.last.is_none_or(|last| n == last + 1);
        let jumps = self.may_jump && self.last.is_some_and(|last| n > last);
        if !is_next && !jumps {
            return Err(violation(format!("change {n} was told behind {:?}", self.last)));
        }
        self.may_jump &= is_next;
        self.last = Some(n);
        let mut events = std::mem::take(&mut self.events);
        if did == Did::Wiped {
            events.retain(|(event, _)| *event != "set");
        }
        let expected: &[_] = match did {
            Did::Set => &[("incrby", COUNTER), ("set", key)],
            Did::Removed => &[("incrby", COUNTER), ("del", key)],
            Did::Nothing | Did::Wiped => &[("incrby", COUNTER)],
        };
        if events != expected {
            return Err(violation(format!(
                "change {n} ({did:?} {key}) was notified as {events:?}, not as {expected:?}"
            )));
        }
        let was_there = match did {
            Did::Set => {
                self.there.insert(key, true);
                return Ok(());
            }
            Did::Wiped => {
                self.there.clear();
                return Ok(());
            }
            Did::Removed => true,
            Did::Nothing => false,
        };
        let told = self.there.insert(key, false);
        if told.is_some_and(|told| told != was_there) && !self.had_gap {
            return Err(violation(format!(
                "change {n} has removed {key}: {was_there}; by what was told, it was there: {told:?}"
            )));
        }
        Ok(())
    }
}

/// Checks what one listener has heard, from its first change on: each change once, in order, with the notifications that it makes and no
/// others; a key expires or is evicted once, and not without being there.
///
/// # Errors
/// The first notice that is wrong.
pub fn check_notices(notices: &[Notice]) -> Result<(), Violation> {
    let mut known = Known::default();
    // It may have begun to listen between two notices of one entry.
    let first = notices.iter().position(|notice| matches!(notice, Notice::Change { .. }));
    for notice in notices.iter().skip(first.map_or(notices.len(), |first| first + 1)) {
        match notice {
            Notice::Event { event, key } => known.happened(event, key)?,
            Notice::Change { n, key, did } => known.changed(*n, key, *did)?,
            Notice::Gap => (known.may_jump, known.had_gap) = (true, true),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `-` is a gap, `3 set k` a change, `set:k` an event.
    fn notices(text: &str) -> Vec<Notice> {
        let one = |part: &str| match part.split([' ', ':']).collect::<Vec<_>>()[..] {
            ["-"] => Notice::Gap,
            [event, key] => Notice::Event { event: event.to_owned(), key: key.replace('+', ":") },
            [n, did, key] => {
                let did = match did {
                    "set" => Did::Set,
                    "del" => Did::Removed,
                    "none" => Did::Nothing,
                    _ => Did::Wiped,
                };
                Notice::Change { n: n.parse().unwrap(), key: key.to_owned(), did }
            }
            ref other => panic!("{other:?}"),
        };
        text.split(", ").map(one).collect()
    }

    const BEGIN: &str = "set:k, 1 set k";
    const SET: &str = "incrby:t+clock, set:k, expire:k, 2 set k";

    #[test]
    fn each_change_is_notified_once() {
        for fine in [
            "",
            "incrby:t+clock",
            "incrby:t+clock, del:k, 3 del k, expired:j",
            "incrby:t+clock, 3 wiped , incrby:t+clock, 4 none k",
            "expired:k, incrby:t+clock, 3 none k",
            "incrby:t+clock, set:t+clock, set:t+told, 3 wiped ",
            "-, incrby:t+clock, del:k, 9 del k",
            "-, incrby:t+clock, 9 none k",
        ] {
            let text = [BEGIN, SET, fine].join(", ");
            let text = text.trim_end_matches(", ");
            check_notices(&notices(text)).unwrap_or_else(|found| panic!("{text}: {found}"));
        }
        for wrong in [
            "incrby:t+clock, 3 del k",
            "incrby:t+clock, del:k, del:k, 3 del k",
            "del:k, 3 del k",
            "del:k, incrby:t+clock, 3 del k",
            "incrby:t+clock, del:j, 3 del k",
            "incrby:t+clock, 3 set k",
            "incrby:t+clock, 3 none k",
            "incrby:t+clock, del:k, 4 del k",
            "incrby:t+clock, del:k, 2 del k",
            "expired:k, expired:k",
            "expired:k, incrby:t+clock, del:k, 3 del k",
            "-, incrby:t+clock, del:k, 9 del k, incrby:t+clock, set:k, 11 set k",
        ] {
            let found = check_notices(&notices(&[BEGIN, SET, wrong].join(", "))).unwrap_err();
            assert_eq!(found.promise, Promise::Messages, "{wrong}");
        }
    }
}
