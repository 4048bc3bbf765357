//! Accounts between which transactions transfer (`linearizable`: strict serializability of MULTI/EXEC with WATCH).
//!
//! Each transfer reads two balances under WATCH, and writes both in one MULTI/EXEC that also appends its number to a
//! journal. The journal is the order in which the transfers took effect, as the database tells it: playing it again
//! must give every balance that anybody saw.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::{Count, Fate, Promise, Violation, check_counter, check_unique};

/// A transfer whose EXEC was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// Unlike that of any other.
    pub number: u64,
    /// When the first of its commands was sent.
    pub begin: Duration,
    /// When EXEC was answered; of no meaning if its outcome is unknown.
    pub end: Duration,
    /// The account that pays.
    pub from: usize,
    /// The account that gets.
    pub to: usize,
    /// How much.
    pub amount: i64,
    /// Both balances as they were read under WATCH.
    pub seen: (i64, i64),
    /// What EXEC told; one that WATCH prevented is refused.
    pub fate: Fate,
    /// The length of the journal that an acknowledgement named.
    pub place: u64,
}

/// A transaction that reads all balances and the length of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// When it was called.
    pub begin: Duration,
    /// When it was answered.
    pub end: Duration,
    /// The balances.
    pub balances: Vec<i64>,
    /// The length of the journal.
    pub place: u64,
}

/// Checks transfers between accounts that began with the balances `initial`, from the journal as it ended.
#[must_use]
pub fn check_bank(
    initial: &[i64],
    journal: &[u64],
    transfers: &[Transfer],
    audits: &[Audit],
) -> Vec<Violation> {
    let by_number: BTreeMap<u64, &Transfer> = transfers.iter().map(|t| (t.number, t)).collect();
    let mut places = BTreeMap::new();
    let mut violations = Vec::new();
    for (index, number) in journal.iter().enumerate() {
        if places.insert(*number, index as u64 + 1).is_some() {
            let what = format!("transfer {number} took effect twice");
            violations.push(Violation::new(Promise::Linearizable, what));
        }
    }
    for transfer in transfers {
        let there = places.contains_key(&transfer.number);
        violations.extend(check_unique(format!("{transfer:?}"), transfer.fate, there));
    }
    replay(initial, journal, &by_number, audits, &mut violations);
    violations.extend(order(transfers, audits));
    violations
}

/// Plays the journal, and compares every balance that was seen on the way.
fn replay(
    initial: &[i64],
    journal: &[u64],
    transfers: &BTreeMap<u64, &Transfer>,
    audits: &[Audit],
    violations: &mut Vec<Violation>,
) {
    let mut broken = |what: String| violations.push(Violation::new(Promise::Linearizable, what));
    let mut audits: Vec<&Audit> = audits.iter().collect();
    audits.sort_by_key(|audit| audit.place);
    let mut audits = audits.into_iter().peekable();
    let mut balances = initial.to_vec();
    for place in 0..=journal.len() {
        while let Some(audit) = audits.next_if(|audit| audit.place == place as u64) {
            if audit.balances != balances {
                broken(format!("{audit:?} saw other balances than {balances:?}, those of its place"));
            }
        }
        let Some(number) = journal.get(place) else { break };
        let Some(transfer) = transfers.get(number) else {
            broken(format!("the journal has transfer {number}, which nobody made"));
            continue;
        };
        let present = (balances[transfer.from], balances[transfer.to]);
        if transfer.seen != present {
            broken(format!("{transfer:?} took effect although its balances had changed to {present:?}"));
        }
        balances[transfer.from] = transfer.seen.0 - transfer.amount;
        balances[transfer.to] = transfer.seen.1 + transfer.amount;
    }
    for audit in audits {
        broken(format!("{audit:?} saw more transfers than the journal has in the end, {}", journal.len()));
    }
}

/// The order in time.
fn order(transfers: &[Transfer], audits: &[Audit]) -> Option<Violation> {
    let acknowledged = transfers.iter().filter(|t| t.fate == Fate::Acknowledged);
    let transfers =
        acknowledged.map(|t| Count { begin: t.begin, end: t.end, increments: true, value: t.place });
    let audits =
        audits.iter().map(|a| Count { begin: a.begin, end: a.end, increments: false, value: a.place });
    let steps: Vec<Count> = transfers.chain(audits).collect();
    check_counter(&steps).err().map(|why| Violation::new(Promise::Linearizable, format!("transfers: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transfer(number: u64, seen: (i64, i64), fate: Fate, place: u64) -> Transfer {
        let begin = Duration::from_millis(number * 10);
        let end = begin + Duration::from_millis(5);
        Transfer { number, begin, end, from: 0, to: 1, amount: 1, seen, fate, place }
    }

    fn audit(at: u64, balances: &[i64], place: u64) -> Audit {
        let begin = Duration::from_millis(at);
        Audit { begin, end: begin + Duration::from_millis(1), balances: balances.to_vec(), place }
    }

    fn promises(journal: &[u64], transfers: &[Transfer], audits: &[Audit]) -> Vec<Promise> {
        check_bank(&[10, 10], journal, transfers, audits).into_iter().map(|v| v.promise).collect()
    }

    #[test]
    fn a_sound_bank() {
        let transfers = [
            transfer(1, (10, 10), Fate::Acknowledged, 1),
            transfer(2, (10, 10), Fate::Refused, 0),
            transfer(3, (9, 11), Fate::Unknown, 0),
            transfer(4, (8, 12), Fate::Acknowledged, 3),
        ];
        let audits = [audit(0, &[10, 10], 0), audit(17, &[9, 11], 1), audit(60, &[7, 13], 3)];
        assert_eq!(promises(&[1, 3, 4], &transfers, &audits), []);
    }

    #[test]
    fn every_way_to_break_it_is_found() {
        use Promise::{HonestErrors, Linearizable, NoLostAck};
        let first = transfer(1, (10, 10), Fate::Acknowledged, 1);
        assert_eq!(promises(&[], std::slice::from_ref(&first), &[]), [NoLostAck]);
        assert_eq!(promises(&[2], &[transfer(2, (10, 10), Fate::Refused, 0)], &[]), [HonestErrors]);
        // WATCH overlooked the first transfer.
        let blind = [first.clone(), transfer(2, (10, 10), Fate::Acknowledged, 2)];
        assert_eq!(promises(&[1, 2], &blind, &[]), [Linearizable]);
        // Half a transaction, one that is missing in a later read, and one that came back.
        let one = std::slice::from_ref(&first);
        assert_eq!(promises(&[1], one, &[audit(30, &[9, 10], 1)]), [Linearizable]);
        assert_eq!(promises(&[1], one, &[audit(30, &[10, 10], 0)]), [Linearizable]);
        assert_eq!(promises(&[1, 1], one, &[]), [Linearizable, Linearizable]);
        assert_eq!(promises(&[1], one, &[audit(30, &[8, 12], 2)]), [Linearizable]);
        assert_eq!(promises(&[1, 7], one, &[]), [Linearizable]);
    }
}
