//! Asks every node, all the time, who leads and what it holds (`one-leader`, equal digests).
#![allow(clippy::disallowed_methods, reason = "a tool that waits")]

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use quorate_checkers::{Leaders, Promise, Violation};

use super::proxy::id_of;
use crate::admin;
use crate::client::Client;

const PAUSE: Duration = Duration::from_millis(50);
const ANSWER_TIME: Duration = Duration::from_secs(1);
/// How many digests are kept to be compared: more than entries that nodes can be apart while both answer.
const DIGESTS_MAX: usize = 20_000;

/// Looks between two questions about a node's memory.
const MEMORY_EVERY: u32 = 10;

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Watcher {
    seen: Mutex<Seen>,
    stop: AtomicBool,
}

#[derive(Debug, Default)]
struct Seen {
    leaders: Leaders,
    /// The newest claim: term and node.
    newest: Option<(u64, u64)>,
    /// By index: the digest, and who had it.
    digests: BTreeMap<u64, (String, u64)>,
    compared: u64,
    memory: MemorySight,
    violations: Vec<Violation>,
}

/// The memory of nodes, in bytes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct MemorySight {
    /// The most that a node held, and which one.
    pub(super) peak: u64,
    pub(super) node: u64,
    /// What its queues may take, as it says itself.
    pub(super) queue_limit: u64,
    pub(super) samples: u64,
}

/// What all of it came to.
#[derive(Debug)]
pub(super) struct Sight {
    pub(super) terms: usize,
    /// Digests of two nodes at one index that were compared.
    pub(super) compared: u64,
    pub(super) memory: MemorySight,
    pub(super) violations: Vec<Violation>,
}

impl Watcher {
    /// Watches one node until told to stop.
    pub(super) fn watch(&self, id: u64, addr: &str) {
        let mut client = None;
        let mut looks = 0;
        while !self.stop.load(Ordering::Relaxed) {
            client = client
                .or_else(|| Client::connect(addr, None, ANSWER_TIME).ok())
                .and_then(|client| self.look(id, client))
                .and_then(
                    |client| if looks % MEMORY_EVERY == 0 { self.weigh(id, client) } else { Some(client) },
                );
            looks += 1;
            thread::sleep(PAUSE);
        }
    }

    /// Asks once; keeps the connection if that went well.
    fn look(&self, id: u64, mut client: Client) -> Option<Client> {
        let view = admin::node_view(&mut client).ok()?;
        let digest = admin::digest(&mut client).ok()?;
        // It may have begun anew under another number.
        if view.leader.map(id_of) == Some(id) {
            self.claim(view.term, id);
        }
        self.compare(digest.index, digest.hex, id);
        Some(client)
    }

    /// Asks for its memory.
    fn weigh(&self, id: u64, mut client: Client) -> Option<Client> {
        let reply = client.expect(&["INFO", "memory"]).ok()?;
        let (resident, queue_limit) = memory(reply.as_str()?)?;
        let mut seen = self.seen.lock().expect("not poisoned");
        let memory = &mut seen.memory;
        memory.samples += 1;
        if resident > memory.peak {
            (memory.peak, memory.node, memory.queue_limit) = (resident, id, queue_limit);
        }
        Some(client)
    }

    fn claim(&self, term: u64, id: u64) {
        let mut seen = self.seen.lock().expect("not poisoned");
        seen.newest = seen.newest.max(Some((term, id)));
        if let Err(violation) = seen.leaders.claim(term, id) {
            seen.violations.push(violation);
        }
    }

    fn compare(&self, index: u64, digest: String, id: u64) {
        let mut seen = self.seen.lock().expect("not poisoned");
        match seen.digests.get(&index).cloned() {
            Some((other, node)) if other != digest => seen.violations.push(Violation::new(
                Promise::EqualDigests,
                format!("at entry {index} node {node} has the digest {other}, and node {id} {digest}"),
            )),
            Some((_, node)) => seen.compared += u64::from(node != id),
            None => {
                seen.digests.insert(index, (digest, id));
                if seen.digests.len() > DIGESTS_MAX {
                    seen.digests.pop_first();
                }
            }
        }
    }

    /// Who led last.
    pub(super) fn leader(&self) -> Option<u64> {
        self.seen.lock().expect("not poisoned").newest.map(|(_, id)| id)
    }

    /// Ends the watching.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// What was seen so far; violations are told once.
    pub(super) fn sight(&self) -> Sight {
        let mut seen = self.seen.lock().expect("not poisoned");
        Sight {
            terms: seen.leaders.terms(),
            compared: seen.compared,
            memory: seen.memory,
            violations: std::mem::take(&mut seen.violations),
        }
    }
}

/// Resident bytes and the limit of all queues, from the answer of INFO.
fn memory(info: &str) -> Option<(u64, u64)> {
    let field = |name: &str| {
        info.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':')?.parse().ok())
    };
    Some((field("used_memory_rss")?, field("quorate_queue_limit")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_info() {
        let info = "# Memory\r\nused_memory:1\r\nused_memory_rss:42\r\nquorate_queue_limit:7\r\n";
        assert_eq!(memory(info), Some((42, 7)));
        assert_eq!(memory("used_memory_rss:42\r\n"), None);
    }

    #[test]
    fn two_leaders_and_two_states_are_noticed() {
        let watcher = Watcher::default();
        for (term, id) in [(1, 1), (3, 2), (2, 1), (3, 2)] {
            watcher.claim(term, id);
        }
        assert_eq!(watcher.leader(), Some(2));
        for (index, digest, id) in [(5, "aa", 1), (5, "aa", 2), (6, "bb", 1)] {
            watcher.compare(index, digest.into(), id);
        }
        let sight = watcher.sight();
        assert_eq!((sight.terms, sight.compared, sight.violations.len()), (3, 1, 0));
        watcher.claim(3, 1);
        watcher.compare(6, "cc".into(), 3);
        let promises: Vec<Promise> = watcher.sight().violations.iter().map(|v| v.promise).collect();
        assert_eq!(promises, [Promise::OneLeader, Promise::EqualDigests]);
    }
}
