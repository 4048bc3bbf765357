//! Clients that write through all nodes while the leader dies, and remember what they were told.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use quorate_env::Instant;
use quorate_resp::Value;

use crate::client::Client;

/// A write is answered before this: the node gives up after its write-timeout (5 s).
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// How long a client waits before it tries the next node.
const RECONNECT_PAUSE: Duration = Duration::from_millis(20);
/// What one client writes at most: the demo stays small on fast machines.
const WRITES_MAX: u64 = 100_000;

/// What the writers share with whoever watches them.
#[derive(Debug)]
pub(super) struct Control {
    stop: AtomicBool,
    acknowledged: AtomicU64,
    start: Instant,
    /// Nanoseconds since `start`.
    last_acknowledged: AtomicU64,
}

/// What one client did and was told.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// Its number, part of its keys.
    pub(super) client: usize,
    /// Sequence numbers whose write was acknowledged.
    pub(super) acknowledged: Vec<u64>,
    /// When, in nanoseconds since the start.
    pub(super) times: Vec<u64>,
    /// Sequence numbers whose fate the client was not told: the connection broke, or the node said UNKNOWN.
    pub(super) unknown: Vec<u64>,
    /// Writes that a node refused: they are not applied.
    pub(super) refused: u64,
    /// The longest that it waited for an acknowledgement.
    pub(super) longest_wait: Duration,
}

/// The key of a write: no other write has it.
pub(super) fn key(client: usize, sequence: u64) -> String {
    format!("demo:{client}:{sequence}")
}

/// The value of a write: it follows from the key, so that nothing but sequence numbers needs to be kept.
pub(super) fn value(client: usize, sequence: u64) -> String {
    format!("written by client {client} as its number {sequence}, and acknowledged")
}

impl Control {
    pub(super) fn new() -> Self {
        Self {
            stop: AtomicBool::new(false),
            acknowledged: AtomicU64::new(0),
            start: Instant::now(),
            last_acknowledged: AtomicU64::new(0),
        }
    }

    /// Ends the writers after the write that each has under way.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Writes acknowledged so far.
    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Nanoseconds since the start.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// When a write was last acknowledged, in nanoseconds since the start.
    pub(super) fn last_acknowledged(&self) -> u64 {
        self.last_acknowledged.load(Ordering::Relaxed)
    }

    fn acknowledge(&self, now: u64) {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        self.last_acknowledged.fetch_max(now, Ordering::Relaxed);
    }
}

/// One client: writes one key after the other, never one twice. It starts at the `client`-th of `addrs`, and goes to the
/// next one whenever its connection breaks.
pub(super) fn write(client: usize, addrs: &[String], control: &Control) -> Record {
    let mut record = Record { client, ..Record::default() };
    let mut at = client;
    let mut connection = None;
    let mut sequence = 0;
    while !control.stop.load(Ordering::Relaxed) && sequence < WRITES_MAX {
        let Some(node) = &mut connection else {
            connection = Client::connect(&addrs[at % addrs.len()], None, ANSWER_TIME).ok();
            if connection.is_none() {
                at += 1;
                pause();
            }
            continue;
        };
        let sent = control.now();
        let answer = node.call(&["SET".to_owned(), key(client, sequence), value(client, sequence)]);
        if answer.is_err() {
            connection = None;
            at += 1;
        }
        if !note(&mut record, control, sequence, sent, answer) {
            pause();
        }
        sequence += 1;
    }
    record
}

/// Keeps what was answered; false if the node refused.
fn note(record: &mut Record, control: &Control, sequence: u64, sent: u64, answer: io::Result<Value>) -> bool {
    match answer {
        Ok(Value::Simple(_)) => {
            let now = control.now();
            control.acknowledge(now);
            record.acknowledged.push(sequence);
            record.times.push(now);
            record.longest_wait = record.longest_wait.max(Duration::from_nanos(now.saturating_sub(sent)));
            true
        }
        Ok(Value::Error(text)) if !text.starts_with("UNKNOWN") => {
            record.refused += 1;
            false
        }
        // The connection broke after the command was sent, or the node does not know itself.
        Ok(_) | Err(_) => {
            record.unknown.push(sequence);
            true
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "a real client that waits")]
fn pause() {
    thread::sleep(RECONNECT_PAUSE);
}

/// The longest time without any acknowledged write that ended after `from` (nanoseconds since the start).
pub(super) fn longest_pause(records: &[Record], from: u64) -> Duration {
    let mut times: Vec<u64> = records.iter().flat_map(|record| &record.times).copied().collect();
    times.sort_unstable();
    let longest = times.windows(2).filter(|pair| pair[1] >= from).map(|pair| pair[1] - pair[0]).max();
    Duration::from_nanos(longest.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        let control = Control::new();
        let mut record = Record::default();
        let answers = [
            Ok(Value::Simple("OK".into())),
            Ok(Value::Error("NOQUORUM nobody there".into())),
            Ok(Value::Error("UNKNOWN may be applied".into())),
            Err(io::Error::other("reset")),
        ];
        for (sequence, answer) in (0..).zip(answers) {
            note(&mut record, &control, sequence, 0, answer);
        }
        assert_eq!((record.acknowledged, record.unknown, record.refused), (vec![0], vec![2, 3], 1));
        assert_eq!(control.acknowledged(), 1);
    }

    #[test]
    fn the_pause_is_measured_over_all_clients() {
        let record = |times: &[u64]| Record { times: times.to_vec(), ..Record::default() };
        // The first gap ended before the leader was killed.
        let records = [record(&[10, 500, 520]), record(&[15, 510, 900])];
        assert_eq!(longest_pause(&records, 505), Duration::from_nanos(380));
        assert_eq!(longest_pause(&records, 0), Duration::from_nanos(485));
        assert_eq!(longest_pause(&[], 0), Duration::ZERO);
    }

    #[test]
    fn a_client_goes_to_the_next_node_when_one_refuses_connections() {
        #[allow(clippy::disallowed_types, reason = "a port where nobody listens")]
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let control = Control::new();
        let record = thread::scope(|scope| {
            let writer = scope.spawn(|| write(0, &[port.to_string()], &control));
            pause();
            control.stop();
            writer.join().unwrap()
        });
        // It never sent anything, so there is nothing that it does not know.
        assert_eq!((record.acknowledged.len(), record.unknown.len()), (0, 0));
    }
}
