//! MEMORY, but for USAGE: what the process and its queues hold, on this node (R18).

use quorate_env::Part;
use quorate_keyspace::{Keyspace, Reply};

use super::{Answer, Cx};

/// What a node without data holds, about.
const FRESH_BYTES: u64 = 64 << 20;

/// Bytes, as MEMORY and INFO memory tell them.
pub(super) struct Usage {
    /// Of the process.
    pub(super) used: u64,
    /// Of the machine's memory, what the process holds.
    pub(super) resident: u64,
    /// The most that the process was seen to hold.
    pub(super) peak: u64,
    /// When the node had just been started.
    pub(super) startup: u64,
    /// Answers that clients have not read, and commands that are not whole.
    pub(super) clients: u64,
    /// All queues, with those.
    pub(super) overhead: u64,
    /// What is left for data.
    pub(super) dataset: u64,
}

impl Usage {
    pub(super) fn of(cx: &Cx<'_>) -> Self {
        let (memory, queues) = (&cx.node.memory, cx.node.replica.memory());
        let (used, peak, startup) = (memory.used(), memory.peak(), cx.node.memory_at_start);
        let clients = cx.node.clients().iter().map(|c| c.memory_bytes() as u64).sum();
        let resident = (memory.resident)();
        let overhead = startup + (queues.used() as u64).max(clients);
        Self { used, resident, peak, startup, clients, overhead, dataset: used.saturating_sub(overhead) }
    }

    /// What the allocator and the system hold, for each byte that is in use.
    pub(super) fn fragmentation(&self) -> f64 {
        if self.used == 0 { 1.0 } else { self.resident as f64 / self.used as f64 }
    }

    /// The data's share of what came since the start.
    pub(super) fn dataset_percent(&self) -> f64 {
        percent(self.dataset, self.used.saturating_sub(self.startup))
    }
}

pub(super) fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { (100.0 * part as f64 / whole as f64).min(100.0) }
}

/// `MEMORY STATS`
pub(super) fn stats(cx: &Cx<'_>, reply: &mut Reply<'_>) -> Answer {
    let usage = Usage::of(cx);
    let databases: Vec<(usize, usize)> = cx.node.replica.with_keyspace(|k| {
        (0..k.databases()).map(|db| (db, k.stats(db).keys)).filter(|(_, keys)| *keys > 0).collect()
    });
    let keys: u64 = databases.iter().map(|(_, keys)| *keys as u64).sum();
    let integers: [(&str, u64); 10] = [
        ("peak.allocated", usage.peak),
        ("total.allocated", usage.used),
        ("startup.allocated", usage.startup),
        ("replication.backlog", 0),
        ("clients.slaves", 0),
        ("clients.normal", usage.clients),
        ("cluster.links", cx.node.replica.memory().used_by(Part::Bus) as u64),
        ("aof.buffer", cx.node.replica.consensus().log().stats().bytes_pending),
        ("lua.caches", 0),
        ("functions.caches", 0),
    ];
    let put = |reply: &mut Reply<'_>, name: &str, n: u64| {
        reply.bulk(name.as_bytes());
        reply.int(n.cast_signed());
    };
    let ratio = |reply: &mut Reply<'_>, name: &str, ratio: f64| {
        reply.bulk(name.as_bytes());
        reply.double(ratio);
    };
    reply.map(integers.len() + databases.len() + 17);
    integers.iter().for_each(|(name, n)| put(reply, name, *n));
    for (db, _) in &databases {
        reply.bulk(format!("db.{db}").as_bytes());
        reply.map(3);
        for name in
            ["overhead.hashtable.main", "overhead.hashtable.expires", "overhead.hashtable.slot-to-keys"]
        {
            put(reply, name, 0);
        }
    }
    put(reply, "overhead.total", usage.overhead);
    put(reply, "keys.count", keys);
    put(reply, "keys.bytes-per-key", usage.dataset.checked_div(keys).unwrap_or(0));
    put(reply, "dataset.bytes", usage.dataset);
    ratio(reply, "dataset.percentage", usage.dataset_percent());
    ratio(reply, "peak.percentage", percent(usage.used, usage.peak));
    put(reply, "allocator.allocated", usage.used);
    put(reply, "allocator.active", usage.resident);
    put(reply, "allocator.resident", usage.resident);
    for name in ["allocator-fragmentation", "allocator-rss", "rss-overhead"] {
        ratio(reply, &format!("{name}.ratio"), 1.0);
        put(reply, &format!("{name}.bytes"), 0);
    }
    ratio(reply, "fragmentation", usage.fragmentation());
    put(reply, "fragmentation.bytes", usage.resident.saturating_sub(usage.used));
    Ok(())
}

/// `MEMORY DOCTOR`
pub(super) fn doctor(cx: &Cx<'_>, reply: &mut Reply<'_>) -> Answer {
    let (usage, limit) = (Usage::of(cx), cx.node.config.maxmemory());
    let queues = cx.node.replica.memory();
    let mut found = Vec::new();
    if usage.used < usage.startup.saturating_add(FRESH_BYTES) {
        found.push("The node is nearly empty: there is nothing to tell yet.".to_owned());
    } else if usage.peak > usage.used / 2 * 3 {
        found.push(format!(
            "It has held {} bytes, and holds {} now: the allocator gives memory back to the system bit by bit.",
            usage.peak, usage.used
        ));
    }
    if limit > 0 && usage.used > limit / 10 * 9 {
        found.push(format!(
            "It holds {} of the {limit} bytes of maxmemory: beyond that, keys are evicted or commands refused, as \
             maxmemory-policy says.",
            usage.used
        ));
    }
    if queues.used() > queues.limit() / 2 {
        found.push(format!(
            "Its queues hold {} of {} bytes: clients that read slowly, or more writes than the disks take. INFO memory \
             says which queue it is.",
            queues.used(),
            queues.limit()
        ));
    }
    if found.is_empty() {
        found.push("Nothing is wrong with the memory of this node.".to_owned());
    }
    reply.verbatim(*b"txt", (found.join("\n") + "\n").as_bytes());
    Ok(())
}

/// `MEMORY MALLOC-STATS`
pub(super) fn malloc_stats(cx: &Cx<'_>, reply: &mut Reply<'_>) -> Answer {
    let usage = Usage::of(cx);
    let pending = cx.node.replica.with_keyspace(Keyspace::garbage_len);
    let text = format!(
        "allocator: {}\nbytes held by the process: {}\nthe most seen: {}\nkeys and values that are being freed: {pending}\n",
        cx.node.memory.allocator, usage.used, usage.peak
    );
    reply.verbatim(*b"txt", text.as_bytes());
    Ok(())
}

/// `MEMORY PURGE`: the allocator gives pages back by itself.
pub(super) fn purge(reply: &mut Reply<'_>) -> Answer {
    reply.ok();
    Ok(())
}
