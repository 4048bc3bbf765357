//! INFO and ROLE.

use std::cell::Cell;
use std::fmt::Write;
use std::rc::Rc;

use quorate_env::Part;
use quorate_keyspace::{Keyspace, Reply};

use super::auth::REDIS_VERSION;
use super::memory::{Usage, percent};
use super::{Answer, Cx, info_stats, text};
use crate::channels::Kind;
use crate::connection::Connection;

/// When a section is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// Unless others are asked for.
    ByDefault,
    /// When all are asked for.
    OfAll,
}
use Shown::{ByDefault, OfAll};

/// The sections, in order.
const SECTIONS: [(&str, Shown, Section); 13] = [
    ("server", ByDefault, server),
    ("clients", ByDefault, clients),
    ("memory", ByDefault, memory),
    ("persistence", ByDefault, persistence),
    ("stats", ByDefault, stats),
    ("replication", ByDefault, replication),
    ("cpu", ByDefault, cpu),
    ("modules", ByDefault, |_, _| ()),
    ("commandstats", OfAll, info_stats::commands),
    ("errorstats", ByDefault, info_stats::errors),
    ("latencystats", OfAll, info_stats::latencies),
    ("cluster", ByDefault, cluster),
    ("keyspace", ByDefault, keyspace),
];

type Section = fn(&Cx<'_>, &mut String);

pub(super) fn info(cx: &Cx<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Answer {
    let wanted: Vec<String> = args[1..].iter().map(|a| text(a).to_ascii_lowercase()).collect();
    let asks_for = |words: &[&str]| wanted.iter().any(|w| words.contains(&w.as_str()));
    let all = asks_for(&["all", "everything"]);
    let by_default = all || wanted.is_empty() || asks_for(&["default"]);
    let mut out = String::new();
    for (name, shown, section) in SECTIONS {
        if all || by_default && shown == ByDefault || asks_for(&[name]) {
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
        "atomicvar_api": "rust",
        "gcc_version": "0.0.0",
        "process_id": std::process::id(),
        "process_supervised": "no",
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
        "io_threads_active": 0,
        "listener0": format!("name=tcp,bind={},port={}", cx.node.config.bind(), cx.node.config.port()),
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
        "tracking_clients": cx.node.tracking.counts().clients,
        "clients_in_timeout_table": in_timeout_table,
        "total_blocking_keys": keys,
        "total_blocking_keys_on_nokey": keys_on_nokey,
    );
}

fn memory(cx: &Cx<'_>, out: &mut String) {
    let usage = Usage::of(cx);
    let (used, peak, limit) = (usage.used, usage.peak, cx.node.config.maxmemory());
    let queues = cx.node.replica.memory();
    let pending = cx.node.replica.with_keyspace(Keyspace::garbage_len);
    let (scripts, libraries, functions) = cx.node.replica.with_keyspace(|k| k.script_counts());
    lines!(out,
        "used_memory": used,
        "used_memory_human": human(used),
        "used_memory_rss": usage.resident,
        "used_memory_rss_human": human(usage.resident),
        "used_memory_peak": peak,
        "used_memory_peak_human": human(peak),
        "used_memory_peak_perc": format!("{:.2}%", percent(used, peak)),
        "used_memory_overhead": usage.overhead,
        "used_memory_startup": usage.startup,
        "used_memory_dataset": usage.dataset,
        "used_memory_dataset_perc": format!("{:.2}%", usage.dataset_percent()),
        "allocator_allocated": used,
        "allocator_active": usage.resident,
        "allocator_resident": usage.resident,
        "total_system_memory": 0,
        "total_system_memory_human": human(0),
        "used_memory_lua": 0,
        "used_memory_vm_eval": 0,
        "used_memory_lua_human": human(0),
        "used_memory_scripts_eval": 0,
        "number_of_cached_scripts": scripts,
        "number_of_functions": functions,
        "number_of_libraries": libraries,
        "used_memory_vm_functions": 0,
        "used_memory_vm_total": 0,
        "used_memory_vm_total_human": human(0),
        "used_memory_functions": 0,
        "used_memory_scripts": 0,
        "used_memory_scripts_human": human(0),
        "maxmemory": limit,
        "maxmemory_human": human(limit),
        "maxmemory_policy": cx.node.config.get("maxmemory-policy").unwrap_or_default(),
        "allocator_frag_ratio": "1.00",
        "allocator_frag_bytes": 0,
        "allocator_rss_ratio": "1.00",
        "allocator_rss_bytes": 0,
        "rss_overhead_ratio": "1.00",
        "rss_overhead_bytes": 0,
        "mem_fragmentation_ratio": format!("{:.2}", usage.fragmentation()),
        "mem_fragmentation_bytes": usage.resident.cast_signed() - used.cast_signed(),
        "mem_not_counted_for_evict": crate::memory::not_counted(queues, cx.node.replica.consensus()),
        "mem_replication_backlog": 0,
        "mem_total_replication_buffers": 0,
        "mem_clients_slaves": 0,
        "mem_clients_normal": usage.clients,
        "mem_cluster_links": queues.used_by(Part::Bus),
        "mem_aof_buffer": cx.node.replica.consensus().log().stats().bytes_pending,
        "mem_allocator": cx.node.memory.allocator,
        "active_defrag_running": 0,
        "lazyfree_pending_objects": pending,
        "lazyfreed_objects": cx.node.tally().usage.freed,
        "quorate_pending_writes_bytes": cx.node.replica.pending_bytes(),
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
        "current_cow_peak": 0,
        "current_cow_size": 0,
        "current_cow_size_age": 0,
        "current_fork_perc": "0.00",
        "current_save_keys_processed": 0,
        "current_save_keys_total": 0,
        "rdb_changes_since_last_save": cx.node.replica.changes_since_snapshot(),
        "rdb_bgsave_in_progress": u8::from(cx.node.replica.is_snapshotting()),
        "rdb_last_save_time": cx.node.replica.last_snapshot_ms() / 1000,
        "rdb_last_bgsave_status": "ok",
        "rdb_last_bgsave_time_sec": -1,
        "rdb_current_bgsave_time_sec": -1,
        "rdb_saves": stats.snapshots,
        "rdb_last_cow_size": 0,
        "rdb_last_load_keys_expired": 0,
        "rdb_last_load_keys_loaded": 0,
        "aof_enabled": 1,
        "aof_rewrite_in_progress": 0,
        "aof_rewrite_scheduled": 0,
        "aof_last_rewrite_time_sec": -1,
        "aof_current_rewrite_time_sec": -1,
        "aof_last_bgrewrite_status": "ok",
        "aof_rewrites": stats.snapshots,
        "aof_rewrites_consecutive_failures": 0,
        "aof_last_write_status": if cx.node.replica.consensus().log().failed().is_some() { "err" } else { "ok" },
        "aof_last_cow_size": 0,
        "module_fork_in_progress": 0,
        "module_fork_last_cow_size": 0,
        "aof_current_size": log.bytes_on_disk,
        "aof_base_size": 0,
        "aof_pending_rewrite": 0,
        "aof_buffer_length": log.bytes_pending,
        "aof_pending_bio_fsync": 0,
        "aof_delayed_fsync": 0,
        "quorate_log_fsyncs": log.fsyncs,
        "quorate_log_entries_appended": log.appends,
        "quorate_log_bytes_written": log.bytes_written,
        "quorate_log_segments": log.segments,
        "quorate_snapshots_written": stats.snapshots,
        "quorate_snapshots_installed": stats.installs,
    );
}

fn stats(cx: &Cx<'_>, out: &mut String) {
    let tracking = cx.node.tracking.counts();
    let c = cx.node.tally();
    let stats = c.stats;
    let [auth, command, key, channel] = cx.node.access.refusals.counts();
    lines!(out,
        "total_connections_received": c.accepted,
        "total_commands_processed": c.commands,
        "instantaneous_ops_per_sec": cx.node.counters.ops_per_second.get(),
        "total_net_input_bytes": c.bytes_in,
        "total_net_output_bytes": c.bytes_out,
        "total_net_repl_input_bytes": 0,
        "total_net_repl_output_bytes": 0,
        "instantaneous_input_kbps": kbps(&cx.node.counters.bytes_in_per_second),
        "instantaneous_output_kbps": kbps(&cx.node.counters.bytes_out_per_second),
        "instantaneous_input_repl_kbps": "0.00",
        "instantaneous_output_repl_kbps": "0.00",
        "rejected_connections": c.rejected,
        "sync_full": 0,
        "sync_partial_ok": 0,
        "sync_partial_err": 0,
        "expired_keys": c.usage.expired,
        "expired_stale_perc": "0.00",
        "expired_time_cap_reached_count": 0,
        "expire_cycle_cpu_milliseconds": 0,
        "evicted_keys": c.usage.evicted,
        "evicted_clients": cx.node.client_memory.evicted.get() + cx.node.channels.registered.evicted(),
        "total_eviction_exceeded_time": 0,
        "current_eviction_exceeded_time": 0,
        "keyspace_hits": c.usage.hits,
        "keyspace_misses": c.usage.misses,
        "pubsub_channels": cx.node.channels.len(Kind::Channel),
        "pubsub_patterns": cx.node.channels.len(Kind::Pattern),
        "pubsubshard_channels": cx.node.channels.len(Kind::Shard),
        "quorate_messages_dropped_to_nodes": cx.node.replica.publications_dropped(),
        "quorate_messages_dropped_of_entries": cx.node.replica.with_keyspace(Keyspace::news_dropped),
        "latest_fork_usec": 0,
        "total_forks": 0,
        "migrate_cached_sockets": 0,
        "slave_expires_tracked_keys": 0,
        "active_defrag_hits": 0,
        "active_defrag_misses": 0,
        "active_defrag_key_hits": 0,
        "active_defrag_key_misses": 0,
        "total_active_defrag_time": 0,
        "current_active_defrag_time": 0,
        "tracking_total_keys": tracking.keys,
        "tracking_total_items": tracking.items,
        "tracking_total_prefixes": tracking.prefixes,
        "unexpected_error_replies": 0,
        "total_error_replies": c.errors,
        "dump_payload_sanitizations": 0,
        "total_reads_processed": 0,
        "total_writes_processed": 0,
        "io_threaded_reads_processed": 0,
        "io_threaded_writes_processed": 0,
        "reply_buffer_shrinks": 0,
        "reply_buffer_expands": 0,
        "eventloop_cycles": 0,
        "eventloop_duration_sum": 0,
        "eventloop_duration_cmd_sum": 0,
        "instantaneous_eventloop_cycles_per_sec": 0,
        "instantaneous_eventloop_duration_usec": 0,
        "acl_access_denied_auth": auth,
        "acl_access_denied_cmd": command,
        "acl_access_denied_key": key,
        "acl_access_denied_channel": channel,
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
            "slave_read_repl_offset": view.last,
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
