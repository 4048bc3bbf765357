//! LATENCY for people: DOCTOR and GRAPH.

use std::fmt::Write;

use quorate_env::clock;
use quorate_keyspace::{CommandError, Reply};

use super::{Answer, Cx, text};
use crate::stats::{Event, Sample};

/// The columns of a graph: the newest delays.
const COLUMNS: usize = 80;
/// Its rows.
const ROWS: u64 = 4;

/// What to do about an event.
const ADVICE: &[(&str, &str)] = &[
    (
        "apply",
        "Entries of the log take long to apply: SLOWLOG GET on the nodes where clients write names the commands.",
    ),
    (
        "command",
        "Commands take long: see SLOWLOG GET. Those that go through many keys or elements (KEYS, SORT, ranges of large \
         collections, scripts) can often be replaced by SCAN and its kin, or given less to do.",
    ),
    ("expire-cycle", "Many keys expire at the same moment: give them deadlines that differ a little."),
    (
        "fsync",
        "The disk of the log hung: it is too slow, shared with others, or failing. No write is acknowledged meanwhile, unless \
         the other nodes are a majority.",
    ),
    (
        "fast-command",
        "Commands of constant time took long: the machine gave the node no processor time, or memory is being swapped.",
    ),
];

pub(super) fn doctor(cx: &Cx<'_>, reply: &mut Reply<'_>) -> Answer {
    let latency = cx.node.stats.latency.borrow();
    let mut out = String::new();
    let threshold = cx.node.config.latency_monitor_threshold();
    if latency.iter().len() == 0 {
        out.push_str(if threshold.is_zero() {
            "Nothing is noted: latency-monitor-threshold is 0. Set it to the milliseconds from which on a delay matters to \
             you: CONFIG SET latency-monitor-threshold 100\n"
        } else {
            "Nothing was noted: no delay has reached latency-monitor-threshold.\n"
        });
    }
    for (name, event) in latency.iter() {
        let (mean, deviation) = mean_and_deviation(event);
        let latest = event.latest();
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "{name}: {} delays, {mean} ms on average (they deviate by {deviation} ms), the longest {} ms, the latest {} ms, \
             {} seconds ago.",
            event.samples().len(),
            event.longest_ms,
            latest.ms,
            (clock::wall_ms() / 1000).saturating_sub(latest.at),
        );
        if let Some((_, advice)) = ADVICE.iter().find(|(about, _)| *about == name) {
            let _ = writeln!(out, "  {advice}");
        }
    }
    reply.verbatim(*b"txt", out.as_bytes());
    Ok(())
}

/// The mean of the delays, and how far they are from it on average.
fn mean_and_deviation(event: &Event) -> (u64, u64) {
    let count = event.samples().len() as u64;
    let mean = event.samples().map(|sample| sample.ms).sum::<u64>() / count;
    (mean, event.samples().map(|sample| sample.ms.abs_diff(mean)).sum::<u64>() / count)
}

pub(super) fn graph(cx: &Cx<'_>, args: &[&[u8]], reply: &mut Reply<'_>) -> Answer {
    let latency = cx.node.stats.latency.borrow();
    let name = text(args[2]);
    let Some(event) = latency.get(&name) else {
        return Err(CommandError::new(format!("ERR No samples available for event '{name}'")));
    };
    let samples: Vec<Sample> = event.samples().skip(event.samples().len().saturating_sub(COLUMNS)).collect();
    let drawn = draw(&name, event.longest_ms, &samples, clock::wall_ms() / 1000);
    reply.verbatim(*b"txt", drawn.as_bytes());
    Ok(())
}

/// A column for each delay, and below it how long ago it was.
fn draw(name: &str, longest_ms: u64, samples: &[Sample], now: u64) -> String {
    let ms = || samples.iter().map(|sample| sample.ms);
    let (low, high) = (ms().min().unwrap_or(0), ms().max().unwrap_or(0));
    let mut out = format!(
        "{name} - high {high} ms, low {low} ms (all time high {longest_ms} ms)\n{}\n",
        "-".repeat(COLUMNS)
    );
    let height = |ms: u64| 1 + (ms - low) * (ROWS - 1) / (high - low).max(1);
    for row in (1..=ROWS).rev() {
        let column = |sample: &Sample| match height(sample.ms).cmp(&row) {
            std::cmp::Ordering::Less => ' ',
            std::cmp::Ordering::Equal => '_',
            std::cmp::Ordering::Greater => '|',
        };
        out.extend(samples.iter().map(column));
        out.push('\n');
    }
    out.push('\n');
    let ages: Vec<String> = samples.iter().map(|sample| age(now.saturating_sub(sample.at))).collect();
    let longest = ages.iter().map(String::len).max().unwrap_or(0);
    for row in 0..longest {
        out.extend(ages.iter().map(|age| age.chars().nth(row).unwrap_or(' ')));
        out.push('\n');
    }
    out
}

/// In the largest unit that fits.
fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graph_has_a_column_for_each_delay() {
        let samples = [(9930, 10), (9990, 40), (9998, 25)].map(|(at, ms)| Sample { at, ms });
        let drawn = draw("command", 50, &samples, 10_000);
        let lines: Vec<&str> = drawn.lines().collect();
        assert_eq!(lines[0], "command - high 40 ms, low 10 ms (all time high 50 ms)");
        assert_eq!(&lines[2..6], [" _ ", " | ", " |_", "_||"]);
        assert_eq!(&lines[7..], ["112", "m0s", " s "]);
    }

    #[test]
    fn equal_delays_are_flat() {
        let samples = [1, 2].map(|at| Sample { at, ms: 5 });
        assert_eq!(draw("apply", 5, &samples, 90_000).lines().nth(5), Some("__"));
        assert_eq!(age(90_000), "1d");
        assert_eq!(age(7200), "2h");
    }
}
