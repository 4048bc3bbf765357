//! LATENCY: what has taken long, and how long commands take. It covers this node (R18).

use quorate_keyspace::Reply;
use quorate_keyspace::command::lookup;

use super::{Answer, Cx, text};
use crate::stats::CommandStats;

pub(super) fn latest(cx: &Cx<'_>, reply: &mut Reply<'_>) -> Answer {
    let latency = cx.node.stats.latency.borrow();
    reply.array(latency.iter().len());
    for (name, event) in latency.iter() {
        let latest = event.latest();
        reply.array(4);
        reply.bulk(name.as_bytes());
        reply.int(latest.at.cast_signed());
        reply.int(latest.ms.cast_signed());
        reply.int(event.longest_ms.cast_signed());
    }
    Ok(())
}

pub(super) fn history(cx: &Cx<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Answer {
    let latency = cx.node.stats.latency.borrow();
    let Some(event) = latency.get(&text(args[2])) else {
        reply.array(0);
        return Ok(());
    };
    reply.array(event.samples().len());
    for sample in event.samples() {
        reply.array(2);
        reply.int(sample.at.cast_signed());
        reply.int(sample.ms.cast_signed());
    }
    Ok(())
}

pub(super) fn reset(cx: &Cx<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Answer {
    let mut latency = cx.node.stats.latency.borrow_mut();
    let count = match &args[2..] {
        [] => latency.reset_all(),
        events => events.iter().filter(|event| latency.reset(&text(event))).count(),
    };
    reply.count(count);
    Ok(())
}

/// `LATENCY HISTOGRAM [command ...]`: a container stands for its subcommands; names of nothing are left out.
pub(super) fn histogram(cx: &Cx<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Answer {
    let wanted: Vec<String> = args[2..].iter().map(|name| text(name).to_ascii_lowercase()).collect();
    let commands = &cx.node.stats.commands;
    let found: Vec<&CommandStats> = if wanted.is_empty() {
        commands.iter().filter(|stats| is_counted(stats)).collect()
    } else {
        let of = |name: &String| -> Vec<&CommandStats> {
            commands.iter().filter(|stats| is_counted(stats) && is_meant(name, stats.name)).collect()
        };
        wanted.iter().flat_map(of).collect()
    };
    reply.map(found.len());
    for stats in found {
        reply.bulk(stats.name.as_bytes());
        describe(stats, reply);
    }
    Ok(())
}

fn is_counted(stats: &CommandStats) -> bool {
    stats.times.borrow().is_some()
}

/// Whether the name of a command, or of the container of one, means this one.
fn is_meant(wanted: &str, name: &str) -> bool {
    let container = name.split_once('|').map(|(container, _)| container);
    name == wanted || container == Some(wanted) && lookup(wanted.as_bytes()).is_some()
}

fn describe(stats: &CommandStats, reply: &mut Reply<'_>) {
    let times = stats.times.borrow();
    let Some(times) = times.as_ref() else { return reply.map(0) };
    reply.map(2);
    reply.bulk(b"calls");
    reply.int(times.total().cast_signed());
    reply.bulk(b"histogram_usec");
    let doublings = times.doublings();
    reply.map(doublings.len());
    for (micros, count) in doublings {
        reply.int(micros.cast_signed());
        reply.int(count.cast_signed());
    }
}
