//! What the run came to, for people and for programs.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::Duration;

use quorate_checkers::{Availability, Fate, Promise, Violation};
use serde::Serialize;

use super::faults::Record;
use super::history::Event;
use super::selection::NOT_ASKED_FOR;
use super::verdict::Findings;
use super::watcher::Sight;

/// A gap between two acknowledged writes that counts as a pause.
const GRAIN: Duration = Duration::from_millis(100);
/// How soon after a fault a pause begins that is its doing.
const CAUSE: Duration = Duration::from_millis(500);
/// What a node may hold apart from its data and its queues, bytes: the program, its threads, caches of the log.
const PROGRAM_MEMORY: u64 = 192 << 20;
/// What it may hold for each write of the clients, bytes: the key, the value (all are short), the entry of the log.
const WRITE_MEMORY: u64 = 1 << 10;
/// Violations that are shown of each promise.
const SHOWN: usize = 5;

/// Everything about a run.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) target: String,
    pub(super) seconds: u64,
    pub(super) nodes: u64,
    pub(super) clients: u16,
    pub(super) seed: u64,
    pub(super) verdicts: Vec<Verdict>,
    pub(super) violations: u64,
    pub(super) operations: Operations,
    /// What was between the nodes.
    pub(super) network: &'static str,
    /// Why it was not network namespaces, if those were to be had.
    pub(super) network_reason: Option<String>,
    /// Faults by kind.
    pub(super) faults: BTreeMap<&'static str, u64>,
    /// The other kinds, and why they were left out.
    pub(super) faults_left_out: BTreeMap<&'static str, String>,
    /// The memory of the nodes, if they tell.
    pub(super) memory: Option<Memory>,
    pub(super) pauses: Pauses,
    /// Terms in which somebody led: elections and transfers.
    pub(super) terms: usize,
    /// How long it took after the faults until everything worked again, milliseconds.
    pub(super) healed_ms: Option<u64>,
    /// Where history and logs are, if they stay.
    pub(super) folder: Option<String>,
}

/// Whether a promise was kept.
#[derive(Debug, Serialize)]
pub(super) struct Verdict {
    pub(super) promise: &'static str,
    pub(super) verdict: &'static str,
    /// What was looked at.
    pub(super) checked: String,
    pub(super) violations: usize,
    /// The first ones.
    pub(super) examples: Vec<String>,
}

/// What the clients did.
#[derive(Debug, Default, Serialize)]
pub(super) struct Operations {
    pub(super) total: u64,
    pub(super) acknowledged: u64,
    pub(super) refused: u64,
    pub(super) unknown: u64,
    pub(super) by_kind: BTreeMap<&'static str, u64>,
    /// Errors by their code.
    pub(super) errors: BTreeMap<String, u64>,
    /// Unique writes that were acknowledged, and are gone.
    pub(super) lost: u64,
    /// Of how many.
    pub(super) unique_acknowledged: u64,
}

/// How much memory a node held, and how much it may.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Memory {
    /// The most that any node held.
    pub(super) peak_bytes: u64,
    pub(super) node: u64,
    pub(super) samples: u64,
    /// [`PROGRAM_MEMORY`], what queues may take, and [`WRITE_MEMORY`] for each write that was not refused.
    pub(super) limit_bytes: u64,
    pub(super) queue_limit_bytes: u64,
    pub(super) writes: u64,
}

impl Memory {
    pub(super) fn new(sight: &Sight, events: &[Event]) -> Self {
        let writes =
            events.iter().filter(|event| event.call.writes() && event.answer.fate() != Fate::Refused);
        let (writes, queues) = (writes.count() as u64, sight.memory.queue_limit);
        Self {
            peak_bytes: sight.memory.peak,
            node: sight.memory.node,
            samples: sight.memory.samples,
            limit_bytes: PROGRAM_MEMORY + queues + writes * WRITE_MEMORY,
            queue_limit_bytes: queues,
            writes,
        }
    }

    pub(super) fn violation(&self) -> Option<Violation> {
        (self.peak_bytes > self.limit_bytes).then(|| {
            let what = format!(
                "node {} held {} MB, and {} MB are the limit",
                self.node,
                mb(self.peak_bytes),
                mb(self.limit_bytes)
            );
            Violation::new(Promise::Bounded, what)
        })
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "at most {} MB in a node; the limit is {} MB: {} MB, {} MB of queues (queue-memory-limit), {} KB a write",
            mb(self.peak_bytes),
            mb(self.limit_bytes),
            mb(PROGRAM_MEMORY),
            mb(self.queue_limit_bytes),
            WRITE_MEMORY >> 10
        )
    }
}

fn mb(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

/// When writes paused. A pause is a gap of more than 100 ms between two acknowledged writes, all clients taken together.
#[derive(Debug, Serialize)]
pub(super) struct Pauses {
    pub(super) longest_ms: u64,
    pub(super) count: usize,
    pub(super) total_ms: u64,
    /// Part of the run that is in no pause, percent.
    pub(super) available_percent: f64,
    pub(super) nines: f64,
    /// The pause after each fault that hit the leader while nothing else was wrong, milliseconds, by kind. That of
    /// `kill-all` includes the time until the nodes were started again.
    pub(super) after: BTreeMap<&'static str, Spread>,
}

/// Some numbers in short.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Spread {
    pub(super) count: usize,
    pub(super) median: u64,
    pub(super) max: u64,
}

/// Counts what the clients did.
pub(super) fn operations(events: &[Event], errors: BTreeMap<String, u64>, findings: &Findings) -> Operations {
    let mut operations = Operations {
        errors,
        lost: findings.lost,
        unique_acknowledged: findings.acknowledged,
        ..Operations::default()
    };
    for event in events {
        operations.total += 1;
        match event.answer.fate() {
            Fate::Acknowledged => operations.acknowledged += 1,
            Fate::Refused => operations.refused += 1,
            Fate::Unknown => operations.unknown += 1,
        }
        *operations.by_kind.entry(event.call.kind()).or_default() += 1;
    }
    operations
}

/// Measures the pauses of a run that ended at `end`.
pub(super) fn pauses(events: &[Event], faults: &[Record], end: Duration) -> Pauses {
    let acknowledged =
        events.iter().filter(|event| event.call.writes() && event.answer.fate() == Fate::Acknowledged);
    let mut times: Vec<Duration> = acknowledged.map(Event::answered).collect();
    times.sort_unstable();
    let all = Availability::measure(&times, Duration::ZERO, end, GRAIN);
    let mut after: BTreeMap<&'static str, Vec<u64>> = BTreeMap::new();
    for fault in faults.iter().filter(|fault| fault.hits_leader && fault.alone) {
        let begin = Duration::from_nanos(fault.begin);
        let pause = pause_after(&times, begin, end);
        let disturbed = faults.iter().any(|other| {
            let other = Duration::from_nanos(other.begin);
            other > begin && other <= begin + pause.max(CAUSE)
        });
        if was_healthy(&times, begin) && !disturbed {
            after.entry(fault.kind.name()).or_default().push(millis(pause));
        }
    }
    Pauses {
        longest_ms: millis(all.longest_pause),
        count: all.pauses,
        total_ms: millis(all.down),
        available_percent: all.available * 100.0,
        nines: all.nines(),
        after: after.into_iter().map(|(kind, pauses)| (kind, spread(pauses))).collect(),
    }
}

/// Whether writes went on when something happened.
fn was_healthy(times: &[Duration], begin: Duration) -> bool {
    let before = times.partition_point(|time| *time <= begin).checked_sub(1);
    before.is_some_and(|at| begin - times[at] <= GRAIN)
}

/// The longest gap that begins soon after `begin`, or was under way then.
fn pause_after(times: &[Duration], begin: Duration, end: Duration) -> Duration {
    let from = times.partition_point(|time| *time <= begin).saturating_sub(1);
    let until = times.partition_point(|time| *time <= begin + CAUSE);
    let next = |at: usize| times.get(at + 1).copied().unwrap_or(end);
    let gaps = (from..until).map(|at| next(at).saturating_sub(times[at]));
    gaps.max().unwrap_or_else(|| end.saturating_sub(begin))
}

fn spread(mut numbers: Vec<u64>) -> Spread {
    numbers.sort_unstable();
    let at = numbers.len() / 2;
    Spread {
        count: numbers.len(),
        median: numbers.get(at).copied().unwrap_or(0),
        max: numbers.last().copied().unwrap_or(0),
    }
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// One verdict for each of the promises; `checked` says what was looked at.
pub(super) fn verdicts(checked: Vec<(Promise, String)>, violations: &[Violation]) -> Vec<Verdict> {
    let verdict = |(promise, checked): (Promise, String)| {
        let broken: Vec<&Violation> = violations.iter().filter(|v| v.promise == promise).collect();
        Verdict {
            promise: promise.name(),
            verdict: if broken.is_empty() { "kept" } else { "BROKEN" },
            checked,
            violations: broken.len(),
            examples: broken.iter().take(SHOWN).map(|v| v.what.clone()).collect(),
        }
    };
    checked.into_iter().map(verdict).collect()
}

impl Report {
    /// For people.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        self.write(&mut out).expect("writing to memory does not fail");
        out
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        let o = &self.operations;
        writeln!(out)?;
        for verdict in &self.verdicts {
            writeln!(out, "{:<20} {:<7} {}", verdict.promise, verdict.verdict, verdict.checked)?;
            for example in &verdict.examples {
                writeln!(out, "    {example}")?;
            }
            if verdict.violations > verdict.examples.len() {
                writeln!(out, "    ... and {} more", verdict.violations - verdict.examples.len())?;
            }
        }
        let p = &self.pauses;
        writeln!(
            out,
            "{:<20} {:<7} longest pause of writes {}, {} pauses over {} ms, {:.2} % available ({:.1} nines)",
            "fast-failover",
            "figures",
            seconds(p.longest_ms),
            p.count,
            GRAIN.as_millis(),
            p.available_percent,
            p.nines
        )?;
        for (kind, spread) in &p.after {
            writeln!(
                out,
                "    {kind} of a healthy cluster's leader: median {}, longest {} ({} times)",
                seconds(spread.median),
                seconds(spread.max),
                spread.count
            )?;
        }
        writeln!(out)?;
        let faults: Vec<String> = self.faults.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        let count: u64 = self.faults.values().sum();
        writeln!(out, "{count} faults: {}", faults.join(", "))?;
        let reason = self.network_reason.as_ref().map_or(String::new(), |why| format!(" ({why})"));
        writeln!(out, "network between the nodes: {}{reason}", self.network)?;
        for (kind, reason) in self.faults_left_out.iter().filter(|(_, reason)| *reason != NOT_ASKED_FOR) {
            writeln!(out, "    left out: {kind} ({reason})")?;
        }
        writeln!(
            out,
            "{} operations: {} acknowledged, {} refused (not applied), {} unknown",
            o.total, o.acknowledged, o.refused, o.unknown
        )?;
        if self.terms > 0 {
            writeln!(out, "{} terms with a leader", self.terms)?;
        }
        let lost = format!("{} of {} acknowledged unique writes are lost", o.lost, o.unique_acknowledged);
        writeln!(out, "{lost}")?;
        match self.violations {
            0 => writeln!(out, "No violation.")?,
            1 => writeln!(out, "1 VIOLATION.")?,
            count => writeln!(out, "{count} VIOLATIONS.")?,
        }
        if let Some(folder) = &self.folder {
            writeln!(out, "History, faults and logs: {folder} (begin with README.txt)")?;
        }
        Ok(())
    }
}

fn seconds(ms: u64) -> String {
    format!("{:.2} s", Duration::from_millis(ms).as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::super::faults::FaultKind;
    use super::super::history::{Answer, Call};
    use super::*;

    fn write(at: u64) -> Event {
        let begin = at * 1_000_000;
        let (call, answer) = (Call::Note(at), Answer::Done);
        Event { client: 0, connection: 0, node: 1, begin, end: begin, call, answer }
    }

    #[test]
    fn pauses_are_put_down_to_their_faults() {
        let events: Vec<Event> = (0..100).filter(|n| !(20..70).contains(n)).map(|n| write(n * 10)).collect();
        let fault = |begin: u64, hits_leader| Record {
            kind: FaultKind::Kill,
            what: String::new(),
            hits_leader,
            alone: true,
            begin: begin * 1_000_000,
            end: begin * 1_000_000,
        };
        let end = Duration::from_secs(1);
        let one = pauses(&events, &[fault(0, false), fault(195, true)], end);
        assert_eq!((one.longest_ms, one.count, one.total_ms), (510, 1, 510));
        assert_eq!(one.after["kill"], Spread { count: 1, median: 510, max: 510 });
        // Neither what was disturbed by another fault nor what came when writes paused already says anything.
        let disturbed = pauses(&events, &[fault(195, true), fault(500, true)], end);
        assert!(disturbed.after.is_empty(), "{disturbed:?}");
    }

    #[test]
    fn a_broken_promise_is_shown() {
        let violations: Vec<Violation> =
            (0..7).map(|n| Violation::new(Promise::NoLostAck, format!("write {n}"))).collect();
        let checked = vec![(Promise::NoLostAck, "x".to_owned()), (Promise::OneLeader, "y".to_owned())];
        let verdicts = verdicts(checked, &violations);
        let words: Vec<&str> = verdicts.iter().map(|verdict| verdict.verdict).collect();
        assert_eq!(words, ["BROKEN", "kept"]);
        assert_eq!((verdicts[0].violations, verdicts[0].examples.len()), (7, SHOWN));
    }
}
