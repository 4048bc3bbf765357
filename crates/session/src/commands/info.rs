//! INFO and ROLE.

use std::cell::Cell;
use std::fmt::Write;
use std::rc::Rc;

use quorate_env::Part;
use quorate_keyspace::{Keyspace, Reply};

use super::auth::REDIS_VERSION;
use super::{Answer, Cx, text};
use crate::connection::Connection;

/// The sections, in order; those behind `default` appear without being asked for.
const SECTIONS: [(&str, Section); 11] = [
    ("server", server),
    ("clients", clients),
    ("memory", memory),
    ("persistence", persistence),
    ("stats", stats),
    ("replication", replication),
    ("cpu", cpu),
    ("modules", |_, _| ()),
    ("errorstats", |_, _| ()),
    ("cluster", cluster),
    ("keyspace", keyspace),
];

type Section = fn(&Cx<'_>, &mut String);

pub(super) fn info(cx: &Cx<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Answer {
    let wanted: Vec<String> = args[1..].iter().map(|a| text(a).to_ascii_lowercase()).collect();
    let all =
        wanted.is_empty() || wanted.iter().any(|w| matches!(w.as_str(), "all" | "default" | "everything"));
    let mut out = String::new();
    for (name, section) in SECTIONS {
        if all || wanted.iter().any(|w| w == name) {
            if !out.is_empty() {
                out.push_str("\r\n");
            }
            let (first, rest) = name.split_at(1);
            let title = if name == "cpu" { "CPU".to_owned() } else { first.to_ascii_uppercase() + rest };
            let _ = write!(out, "# {title}\r\n");
            section(cx, &mut out);
        }
    }
    reply.verbatim(*b"txt", out.as_bytes());
    Ok(())
}

macro_rules! lines {
    ($out:ident, $($name:literal: $value:expr),+ $(,)?) => {
        // Writing to a String cannot fail.
        $(let _ = write!($out, concat!($name, ":{}\r\n"), $value);)+
    };
}

fn server(cx: &Cx<'_>, out: &mut String) {
    let uptime = cx.node.started.elapsed().as_secs();
    lines!(out,
        "redis_version": REDIS_VERSION,
        "redis_git_sha1": "00000000",
        "redis_git_dirty": 0,
        "redis_build_id": "0",
        "redis_mode": "standalone",
        "os": std::env::consts::OS,
        "arch_bits": usize::BITS,
        "monotonic_clock": "boottime",
        "multiplexing_api": "epoll",
        "process_id": std::process::id(),
        "run_id": cx.node.run_id,
        "tcp_port": cx.node.config.port(),
        "server_time_usec": cx.node.now_ms() * 1000,
        "uptime_in_seconds": uptime,
        "uptime_in_days": uptime / 86_400,
        "hz": 10,
        "configured_hz": 10,
        "lru_clock": (cx.node.now_ms() / 1000) & 0xff_ffff,
        "executable": "quorate",
        "config_file": "",
        "quorate_version": env!("CARGO_PKG_VERSION"),
        "quorate_node_id": cx.node.cluster.node_id(),
    );
}

fn clients(cx: &Cx<'_>, out: &mut String) {
    let clients = cx.node.clients();
    let has_timeout = |c: &&Rc<Connection>| c.blocked.get().is_some_and(|blocked| blocked.has_timeout);
    let in_timeout_table = clients.iter().filter(has_timeout).count();
    // Of the whole cluster: they are a part of the state.
    let (keys, keys_on_nokey) = cx.node.replica.with_keyspace(Keyspace::waited_for);
    lines!(out,
        "connected_clients": clients.len(),
        "cluster_connections": 0,
        "maxclients": cx.node.config.maxclients(),
        "client_recent_max_input_buffer": clients.iter().map(|c| c.buffered.get()).max().unwrap_or(0),
        "client_recent_max_output_buffer": clients.iter().map(|c| c.output_bytes()).max().unwrap_or(0),
        "blocked_clients": clients.iter().filter(|c| c.is_blocked()).count(),
        "tracking_clients": 0,
        "clients_in_timeout_table": in_timeout_table,
        "total_blocking_keys": keys,
        "total_blocking_keys_on_nokey": keys_on_nokey,
    );
}

fn memory(cx: &Cx<'_>, out: &mut String) {
    let used = cx.node.memory.used();
    let peak = cx.node.memory.peak();
    let (scripts, libraries, functions) = cx.node.replica.with_keyspace(|k| k.script_counts());
    lines!(out,
        "used_memory": used,
        "used_memory_human": human(used),
        "used_memory_rss": used,
        "used_memory_rss_human": human(used),
        "used_memory_peak": peak,
        "used_memory_peak_human": human(peak),
        "used_memory_peak_perc": format!("{:.2}%", 100.0 * used as f64 / peak.max(1) as f64),
        "used_memory_lua": 0,
        "number_of_cached_scripts": scripts,
        "number_of_functions": functions,
        "number_of_libraries": libraries,
        "maxmemory": cx.node.config.maxmemory(),
        "maxmemory_human": human(cx.node.config.maxmemory()),
        "maxmemory_policy": "noeviction",
        "mem_fragmentation_ratio": "1.00",
        "mem_allocator": cx.node.memory.allocator,
        "quorate_pending_writes_bytes": cx.node.replica.pending_bytes(),
    );
    let queues = cx.node.replica.memory();
    lines!(out,
        "quorate_queue_limit": queues.limit(),
        "quorate_queue_bytes": queues.used(),
    );
    for part in Part::ALL {
        let _ = write!(out, "quorate_queue_{}_bytes:{}\r\n", part.name(), queues.used_by(part));
    }
}

fn human(bytes: u64) -> String {
    let units = ["B", "K", "M", "G", "T"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes}B") } else { format!("{value:.2}{}", units[unit]) }
}

fn persistence(cx: &Cx<'_>, out: &mut String) {
    let log = cx.node.replica.consensus().log().stats();
    let stats = cx.node.replica.stats();
    lines!(out,
        "loading": u8::from(!cx.node.replica.is_ready()),
        "async_loading": 0,
        "rdb_changes_since_last_save": 0,
        "rdb_bgsave_in_progress": u8::from(cx.node.replica.is_snapshotting()),
        "rdb_last_save_time": cx.node.replica.last_snapshot_ms() / 1000,
        "rdb_last_bgsave_status": "ok",
        "rdb_last_bgsave_time_sec": -1,
        "rdb_saves": stats.snapshots,
        "aof_enabled": 1,
        "aof_rewrite_in_progress": 0,
        "aof_last_rewrite_time_sec": -1,
        "aof_last_bgrewrite_status": "ok",
        "aof_last_write_status": if cx.node.replica.consensus().log().failed().is_some() { "err" } else { "ok" },
        "aof_current_size": log.bytes_on_disk,
        "quorate_log_fsyncs": log.fsyncs,
        "quorate_log_entries_appended": log.appends,
        "quorate_log_bytes_written": log.bytes_written,
        "quorate_log_segments": log.segments,
        "quorate_snapshots_written": stats.snapshots,
        "quorate_snapshots_installed": stats.installs,
    );
}

fn stats(cx: &Cx<'_>, out: &mut String) {
    let c = cx.node.tally();
    let stats = c.stats;
    lines!(out,
        "total_connections_received": c.accepted,
        "total_commands_processed": c.commands,
        "instantaneous_ops_per_sec": cx.node.counters.ops_per_second.get(),
        "total_net_input_bytes": c.bytes_in,
        "total_net_output_bytes": c.bytes_out,
        "instantaneous_input_kbps": kbps(&cx.node.counters.bytes_in_per_second),
        "instantaneous_output_kbps": kbps(&cx.node.counters.bytes_out_per_second),
        "total_error_replies": c.errors,
        "sync_full": 0,
        "sync_partial_ok": 0,
        "sync_partial_err": 0,
        "rejected_connections": c.rejected,
        "expired_keys": c.usage.expired,
        "evicted_keys": 0,
        "keyspace_hits": c.usage.hits,
        "keyspace_misses": c.usage.misses,
        "pubsub_channels": 0,
        "pubsub_patterns": 0,
        "latest_fork_usec": 0,
        "migrate_cached_sockets": 0,
        "quorate_entries_applied": stats.entries,
        "quorate_writes": stats.writes,
        "quorate_reads": stats.reads,
        "quorate_replies_not_applied": stats.not_applied,
        "quorate_replies_unknown": stats.unknown,
        "quorate_replies_overloaded": stats.overloaded + c.overloaded,
        "quorate_leader_changes": stats.leader_changes,
    );
}

fn kbps(bytes_per_second: &Cell<u64>) -> String {
    format!("{:.2}", bytes_per_second.get() as f64 / 1024.0)
}

fn replication(cx: &Cx<'_>, out: &mut String) {
    let view = cx.node.cluster.view();
    let me = cx.node.cluster.node_id();
    let others: Vec<_> = view.members.iter().filter(|(id, _)| **id != me).collect();
    let split = |addr: &str| {
        let (host, port) = addr.rsplit_once(':').unwrap_or((addr, "0"));
        (host.to_owned(), port.to_owned())
    };
    if view.is_leader {
        lines!(out, "role": "master", "connected_slaves": others.len());
        for (n, (id, member)) in others.iter().enumerate() {
            let (host, port) = split(&member.addr);
            let offset = view.matched.get(id).copied().unwrap_or(0);
            let _ = write!(
                out,
                "slave{n}:ip={host},port={port},state=online,offset={offset},lag={}\r\n",
                u8::from(offset < view.last)
            );
        }
    } else {
        let leader = view.leader.and_then(|id| view.members.get(&id));
        let (host, port) = leader.map_or_else(|| ("?".to_owned(), "0".to_owned()), |m| split(&m.addr));
        lines!(out,
            "role": "slave",
            "master_host": host,
            "master_port": port,
            "master_link_status": if leader.is_some() { "up" } else { "down" },
            "master_last_io_seconds_ago": 0,
            "master_sync_in_progress": 0,
            "slave_repl_offset": view.last,
            "slave_priority": 100,
            "slave_read_only": 0,
            "replica_announced": 1,
            "connected_slaves": 0,
        );
    }
    lines!(out,
        "master_failover_state": "no-failover",
        "master_replid": cx.node.run_id,
        "master_replid2": "0000000000000000000000000000000000000000",
        "master_repl_offset": view.last,
        "second_repl_offset": -1,
        "repl_backlog_active": 1,
        "repl_backlog_size": cx.node.config.log_keep_size(),
        "repl_backlog_first_byte_offset": 0,
        "repl_backlog_histlen": view.last,
        "quorate_term": view.term,
        "quorate_leader": view.leader.map_or_else(|| "none".to_owned(), |l| l.to_string()),
        "quorate_voters": view.voters.len(),
        "quorate_committed": view.committed,
        "quorate_applied": cx.node.replica.with_keyspace(quorate_keyspace::Keyspace::index),
    );
}

fn cpu(cx: &Cx<'_>, out: &mut String) {
    let (user, system) = cx.node.memory.cpu_seconds();
    lines!(out,
        "used_cpu_sys": format!("{system:.6}"),
        "used_cpu_user": format!("{user:.6}"),
        "used_cpu_sys_children": "0.000000",
        "used_cpu_user_children": "0.000000",
    );
}

/// `cluster_enabled:0` keeps libraries from switching their mode by themselves; CLUSTER works all the same.
fn cluster(_: &Cx<'_>, out: &mut String) {
    lines!(out, "cluster_enabled": 0);
}

fn keyspace(cx: &Cx<'_>, out: &mut String) {
    cx.node.replica.with_keyspace(|k| {
        for db in 0..k.databases() {
            let stats = k.stats(db);
            if stats.keys > 0 {
                let _ = write!(out, "db{db}:keys={},expires={},avg_ttl=0\r\n", stats.keys, stats.expires);
            }
        }
    });
}

pub(super) fn role(cx: &Cx<'_>, reply: &mut Reply<'_>) -> Answer {
    let view = cx.node.cluster.view();
    let host_port = |addr: &str| {
        let (host, port) = addr.rsplit_once(':').unwrap_or((addr, "0"));
        (host.to_owned(), port.to_owned())
    };
    if view.is_leader {
        let me = cx.node.cluster.node_id();
        let others: Vec<_> = view.members.iter().filter(|(id, _)| **id != me).collect();
        reply.array(3);
        reply.bulk(b"master");
        reply.int(view.last as i64);
        reply.array(others.len());
        for (id, member) in others {
            let (host, port) = host_port(&member.addr);
            reply.array(3);
            reply.bulk(host.as_bytes());
            reply.bulk(port.as_bytes());
            reply.bulk(view.matched.get(id).copied().unwrap_or(0).to_string().as_bytes());
        }
        return Ok(());
    }
    let leader = view.leader.and_then(|id| view.members.get(&id));
    let (host, port) = leader.map_or_else(|| (String::new(), "0".to_owned()), |m| host_port(&m.addr));
    reply.array(5);
    reply.bulk(b"slave");
    reply.bulk(host.as_bytes());
    reply.int(port.parse().unwrap_or(0));
    reply.bulk(if leader.is_some() { b"connected" } else { b"connect" });
    reply.int(view.last as i64);
    Ok(())
}
