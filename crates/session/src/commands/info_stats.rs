//! INFO commandstats, errorstats and latencystats.

use std::fmt::Write;

use super::Cx;

// Writing to a String cannot fail.

pub(super) fn commands(cx: &Cx<'_>, out: &mut String) {
    for stats in cx.node.stats.commands.iter() {
        let (calls, rejected, failed) = (stats.calls.get(), stats.rejected.get(), stats.failed.get());
        if calls + rejected + failed == 0 {
            continue;
        }
        let micros = stats.nanos.get() / 1000;
        let per_call = if calls == 0 { 0.0 } else { stats.nanos.get() as f64 / 1000.0 / calls as f64 };
        let _ = write!(
            out,
            "cmdstat_{}:calls={calls},usec={micros},usec_per_call={per_call:.2},rejected_calls={rejected},\
             failed_calls={failed}\r\n",
            stats.name
        );
    }
}

pub(super) fn errors(cx: &Cx<'_>, out: &mut String) {
    for (kind, count) in cx.node.stats.errors.borrow().iter() {
        let _ = write!(out, "errorstat_{}:count={count}\r\n", as_name(kind));
    }
}

/// What could be mistaken for another part of the line goes.
fn as_name(kind: &str) -> String {
    kind.replace(['#', ':', '\n', '\r'], "_")
}

pub(super) fn latencies(cx: &Cx<'_>, out: &mut String) {
    let percentiles = cx.node.config.latency_tracking_info_percentiles();
    for stats in cx.node.stats.commands.iter() {
        let times = stats.times.borrow();
        let Some(times) = times.as_ref() else { continue };
        let shown = |percent: &str| {
            let ns = times.percentile(percent.parse().unwrap_or(0.0));
            format!("p{percent}={}.{:03}", ns / 1000, ns % 1000)
        };
        let shown: Vec<String> = percentiles.split_ascii_whitespace().map(shown).collect();
        let _ = write!(out, "latency_percentiles_usec_{}:{}\r\n", stats.name, shown.join(","));
    }
}
