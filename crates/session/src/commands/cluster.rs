//! CLUSTER: what clients that know Redis Cluster need to find the leader.

use std::fmt::Write;

use quorate_keyspace::{CommandError, Reply, SLOTS, slot};
use quorate_replica::{Member, NodeId, View};

use super::{Answer, Cx, count};

/// The 40 characters that name a node in Redis Cluster.
fn name(id: NodeId, member: &Member) -> String {
    format!("{:016x}{:016x}{:08x}", member.incarnation, id, 0)
}

fn host_port(addr: &str) -> (&str, u16) {
    let (host, port) = addr.rsplit_once(':').unwrap_or((addr, "0"));
    (host.trim_start_matches('[').trim_end_matches(']'), port.parse().unwrap_or(0))
}

fn bus_port(member: &Member) -> u16 {
    host_port(&member.bus).1
}

/// The leader first, then the others; without a leader, this node's word is that nobody serves the slots.
fn ordered(view: &View) -> Vec<(NodeId, &Member)> {
    let mut nodes: Vec<_> = view.members.iter().map(|(id, m)| (*id, m)).collect();
    nodes.sort_by_key(|(id, _)| (Some(*id) != view.leader, *id));
    nodes
}

pub(super) fn info(cx: &Cx<'_>, reply: &mut Reply<'_>) -> Answer {
    let view = cx.node.cluster.view();
    let up = view.leader.is_some();
    let assigned = if up { usize::from(SLOTS) } else { 0 };
    let text = format!(
        "cluster_enabled:1\r\ncluster_state:{}\r\ncluster_slots_assigned:{SLOTS}\r\ncluster_slots_ok:{assigned}\r\n\
         cluster_slots_pfail:0\r\ncluster_slots_fail:{}\r\ncluster_known_nodes:{}\r\ncluster_size:1\r\n\
         cluster_current_epoch:{}\r\ncluster_my_epoch:{}\r\ncluster_stats_messages_sent:0\r\n\
         cluster_stats_messages_received:0\r\ntotal_cluster_links_buffer_limit_exceeded:0\r\n",
        if up { "ok" } else { "fail" },
        usize::from(SLOTS) - assigned,
        view.members.len(),
        view.term,
        view.term,
    );
    reply.verbatim(*b"txt", text.as_bytes());
    Ok(())
}

pub(super) fn myid(cx: &Cx<'_>, reply: &mut Reply<'_>) -> Answer {
    let (view, id) = (cx.node.cluster.view(), cx.node.cluster.node_id());
    let member = view.members.get(&id).cloned().unwrap_or_default();
    reply.bulk(name(id, &member).as_bytes());
    Ok(())
}

/// The shard is the cluster.
pub(super) fn myshardid(cx: &Cx<'_>, reply: &mut Reply<'_>) -> Answer {
    let cluster = cx.node.replica.consensus().identity().cluster();
    reply.bulk(format!("{cluster:040x}").as_bytes());
    Ok(())
}

/// A node as CLUSTER NODES describes it.
fn describe(view: &View, me: NodeId, id: NodeId, m: &Member) -> String {
    let leader = view.leader.and_then(|id| view.members.get(&id).map(|m| name(id, m)));
    let (host, port) = host_port(&m.addr);
    let leads = view.leader == Some(id);
    let flags = match (id == me, leads) {
        (true, true) => "myself,master",
        (true, false) => "myself,slave",
        (false, true) => "master",
        (false, false) => "slave",
    };
    let of = if leads { "-" } else { leader.as_deref().unwrap_or("-") };
    let slots = if leads { format!(" 0-{}", SLOTS - 1) } else { String::new() };
    let bus = bus_port(m);
    format!("{} {host}:{port}@{bus},{host} {flags} {of} 0 0 {} connected{slots}", name(id, m), view.term)
}

pub(super) fn nodes(cx: &Cx<'_>, reply: &mut Reply<'_>) -> Answer {
    let (view, me) = (cx.node.cluster.view(), cx.node.cluster.node_id());
    let mut text = String::new();
    for (id, m) in ordered(&view) {
        let _ = writeln!(text, "{}", describe(&view, me, id, m));
    }
    reply.verbatim(*b"txt", text.as_bytes());
    Ok(())
}

/// `CLUSTER REPLICAS node-id`
pub(super) fn replicas(cx: &Cx<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Answer {
    let (view, me) = (cx.node.cluster.view(), cx.node.cluster.node_id());
    let wanted = String::from_utf8_lossy(args[2]);
    let found = view.members.iter().find(|(id, m)| name(**id, m) == wanted);
    let (id, _) = found.ok_or_else(|| CommandError::new(format!("ERR Unknown node {wanted}")))?;
    if view.leader != Some(*id) {
        return Err(CommandError::fixed("ERR The specified node is not a master"));
    }
    let others: Vec<_> = ordered(&view).into_iter().filter(|(other, _)| other != id).collect();
    reply.array(others.len());
    others.iter().for_each(|(id, m)| reply.bulk(describe(&view, me, *id, m).as_bytes()));
    Ok(())
}

pub(super) fn slots(cx: &Cx<'_>, reply: &mut Reply<'_>) -> Answer {
    let view = cx.node.cluster.view();
    if view.leader.is_none() {
        reply.array(0);
        return Ok(());
    }
    let nodes = ordered(&view);
    reply.array(1);
    reply.array(2 + nodes.len());
    reply.int(0);
    reply.int(i64::from(SLOTS) - 1);
    for (id, m) in nodes {
        let (host, port) = host_port(&m.addr);
        reply.array(4);
        reply.bulk(host.as_bytes());
        reply.int(i64::from(port));
        reply.bulk(name(id, m).as_bytes());
        reply.array(0);
    }
    Ok(())
}

pub(super) fn shards(cx: &Cx<'_>, reply: &mut Reply<'_>) -> Answer {
    let view = cx.node.cluster.view();
    reply.array(1);
    reply.map(2);
    reply.bulk(b"slots");
    reply.array(2);
    reply.int(0);
    reply.int(i64::from(SLOTS) - 1);
    reply.bulk(b"nodes");
    let nodes = ordered(&view);
    reply.array(nodes.len());
    for (id, m) in nodes {
        let (host, port) = host_port(&m.addr);
        let text = |reply: &mut Reply<'_>, field: &str, value: &str| {
            reply.bulk(field.as_bytes());
            reply.bulk(value.as_bytes());
        };
        reply.map(7);
        text(reply, "id", &name(id, m));
        reply.bulk(b"port");
        reply.int(i64::from(port));
        text(reply, "ip", host);
        text(reply, "endpoint", host);
        text(reply, "role", if view.leader == Some(id) { "master" } else { "replica" });
        reply.bulk(b"replication-offset");
        let offset =
            if Some(id) == view.leader { view.last } else { view.matched.get(&id).copied().unwrap_or(0) };
        reply.int(offset as i64);
        text(reply, "health", "online");
    }
    Ok(())
}

pub(super) fn keyslot(args: &[&[u8]], reply: &mut Reply<'_>) -> Answer {
    reply.int(i64::from(slot(args[2])));
    Ok(())
}

fn parse_slot(arg: &[u8]) -> Result<u16, CommandError> {
    let bad = CommandError::fixed("ERR Invalid or out of range slot");
    count(arg).ok().and_then(|n| u16::try_from(n).ok()).filter(|n| *n < SLOTS).ok_or(bad)
}

pub(super) fn count_keys_in_slot(cx: &Cx<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Answer {
    let wanted = parse_slot(args[2])?;
    let mut n = 0;
    cx.node.replica.with_keyspace(|k| k.for_each_key(0, &mut |key| n += usize::from(slot(key) == wanted)));
    reply.count(n);
    Ok(())
}

pub(super) fn get_keys_in_slot(cx: &Cx<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Answer {
    let wanted = parse_slot(args[2])?;
    let most = count(args[3]).map_err(|_| CommandError::fixed("ERR Invalid number of keys"))? as usize;
    let mut keys: Vec<Vec<u8>> = Vec::new();
    cx.node.replica.with_keyspace(|k| {
        k.for_each_key(0, &mut |key| {
            if keys.len() < most && slot(key) == wanted {
                keys.push(key.to_vec());
            }
        });
    });
    reply.array(keys.len());
    keys.iter().for_each(|k| reply.bulk(k));
    Ok(())
}
