//! Lists that are only appended to, each value once (`linearizable`, `no-lost-ack`, `honest-errors`).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::{Count, Fate, Promise, Violation, check_counter, check_unique};

/// An append of a value that nobody else appends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// When it was called.
    pub begin: Duration,
    /// When it was answered; of no meaning if its outcome is unknown.
    pub end: Duration,
    /// What was appended.
    pub value: u64,
    /// What its client was told.
    pub fate: Fate,
    /// The length that an acknowledgement named.
    pub length: u64,
}

/// A read of the whole list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// When it was called.
    pub begin: Duration,
    /// When it was answered.
    pub end: Duration,
    /// What it answered.
    pub values: Vec<u64>,
}

/// Checks a list that ended as `last`: every acknowledged append stands where its answer said, none that was refused
/// is there, every read is a beginning of `last`, and all of it agrees with the order in time.
#[must_use]
pub fn check_list(last: &[u64], appends: &[Append], reads: &[Listing]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut places = BTreeMap::new();
    for (index, value) in last.iter().enumerate() {
        if places.insert(*value, index as u64 + 1).is_some() {
            violations.push(Violation::new(Promise::Linearizable, format!("{value} was appended twice")));
        }
    }
    let mut steps = Vec::new();
    for append in appends {
        let place = places.get(&append.value);
        let what = format!("the append of {}", append.value);
        violations.extend(check_unique(&what, append.fate, place.is_some()));
        if append.fate != Fate::Acknowledged {
            continue;
        }
        if place.is_some_and(|place| *place != append.length) {
            violations.push(Violation::new(
                Promise::Linearizable,
                format!("{what} answered the length {}, and its place is {place:?}", append.length),
            ));
        }
        steps.push(Count { begin: append.begin, end: append.end, increments: true, value: append.length });
    }
    for read in reads {
        if !last.starts_with(&read.values) {
            violations.push(Violation::new(
                Promise::Linearizable,
                format!(
                    "a read at {:?} is no beginning of the list as it ended: {:?}",
                    read.begin, read.values
                ),
            ));
        }
        let value = read.values.len() as u64;
        steps.push(Count { begin: read.begin, end: read.end, increments: false, value });
    }
    violations.extend(check_counter(&steps).err().map(|why| Violation::new(Promise::Linearizable, why)));
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(at: u64, value: u64, fate: Fate, length: u64) -> Append {
        let (begin, end) = (Duration::from_millis(at), Duration::from_millis(at + 1));
        Append { begin, end, value, fate, length }
    }

    fn read(at: u64, values: &[u64]) -> Listing {
        let (begin, end) = (Duration::from_millis(at), Duration::from_millis(at + 1));
        Listing { begin, end, values: values.to_vec() }
    }

    fn promises(last: &[u64], appends: &[Append], reads: &[Listing]) -> Vec<Promise> {
        check_list(last, appends, reads).into_iter().map(|violation| violation.promise).collect()
    }

    #[test]
    fn a_list_that_keeps_its_promises() {
        let appends = [
            append(0, 10, Fate::Acknowledged, 1),
            append(2, 20, Fate::Unknown, 0),
            append(4, 30, Fate::Refused, 0),
            append(6, 40, Fate::Acknowledged, 3),
        ];
        assert_eq!(promises(&[10, 20, 40], &appends, &[read(1, &[10]), read(8, &[10, 20, 40])]), []);
    }

    #[test]
    fn every_way_to_break_one_is_found() {
        use Promise::{HonestErrors, Linearizable, NoLostAck};
        let acknowledged = append(0, 10, Fate::Acknowledged, 1);
        assert_eq!(promises(&[], std::slice::from_ref(&acknowledged), &[]), [NoLostAck]);
        assert_eq!(promises(&[30], &[append(0, 30, Fate::Refused, 0)], &[]), [HonestErrors]);
        assert_eq!(
            promises(&[10, 10], std::slice::from_ref(&acknowledged), &[]),
            [Linearizable, Linearizable]
        );
        assert_eq!(promises(&[20, 10], std::slice::from_ref(&acknowledged), &[]), [Linearizable]);
        // A read that saw a history which did not last, and one that began after the append and misses it.
        assert_eq!(promises(&[10], std::slice::from_ref(&acknowledged), &[read(0, &[77])]), [Linearizable]);
        assert_eq!(promises(&[10], std::slice::from_ref(&acknowledged), &[read(5, &[])]), [Linearizable]);
        // Two primaries that both acknowledged a first element.
        let both = [acknowledged, append(3, 20, Fate::Acknowledged, 1)];
        assert_eq!(promises(&[20], &both, &[]), [NoLostAck, Linearizable]);
    }
}
