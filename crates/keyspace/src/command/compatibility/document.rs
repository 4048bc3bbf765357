//! docs/COMPATIBILITY.md.

use std::fmt::Write;

use super::{Entry, REDIS_7_2, State, entries};
use crate::command::{Group, table};

/// What stands in front of the tables.
const INTRODUCTION: &str = include_str!("introduction.md");

/// docs/COMPATIBILITY.md as it should be.
#[must_use]
pub fn markdown() -> String {
    let mut out = INTRODUCTION.to_owned();
    overview(&mut out);
    for (group, entries) in REDIS_7_2 {
        family(&mut out, *group, entries);
    }
    own(&mut out);
    out
}

fn overview(out: &mut String) {
    out.push_str("\n## Commands\n\nAll commands and subcommands of Redis 7.2, by family:\n\n");
    out.push_str("| family | complete | partial | absent |\n|---|---|---|---|\n");
    for (group, entries) in REDIS_7_2 {
        row(out, &format!("[{}](#{})", title(*group), anchor(*group)), entries.iter());
    }
    row(out, "all", entries());
}

fn row<'a>(out: &mut String, name: &str, entries: impl Iterator<Item = &'a Entry>) {
    let (mut complete, mut partial, mut absent) = (0, 0, 0);
    for entry in entries {
        match entry.state {
            State::Complete => complete += 1,
            State::Partial => partial += 1,
            State::Absent => absent += 1,
        }
    }
    // Writing to a String cannot fail.
    let _ = writeln!(out, "| {name} | {complete} | {partial} | {absent} |");
}

fn family(out: &mut String, group: Group, entries: &[Entry]) {
    let _ = write!(out, "\n### {}\n\n| command | | |\n|---|---|---|\n", title(group));
    for entry in entries {
        let state = match entry.state {
            State::Complete => "complete",
            State::Partial => "partial",
            State::Absent => "absent",
        };
        let _ = writeln!(out, "| `{}` | {state} | {} |", shown(entry.name), sentence(entry.note));
    }
}

/// What Redis does not have, or has without telling of it.
fn own(out: &mut String) {
    for (title, container) in [("What may follow DEBUG", "debug"), ("Quorate's own", "quorate")] {
        let _ = write!(out, "\n### {title}\n\n| command | |\n|---|---|\n");
        let containers = table::all().filter(|command| command.name == container);
        for sub in containers.flat_map(|command| command.subcommands) {
            let _ = writeln!(out, "| `{}` | {} |", shown(sub.name), sub.summary);
        }
    }
}

fn shown(name: &str) -> String {
    name.to_ascii_uppercase().replace('|', " ")
}

/// Notes of what is absent are parts of errors, and do not begin as a sentence.
fn sentence(note: &str) -> String {
    let Some(first) = note.chars().next() else { return String::new() };
    let end = if note.ends_with('.') { "" } else { "." };
    format!("{}{}{end}", first.to_ascii_uppercase(), &note[first.len_utf8()..])
}

fn title(group: Group) -> &'static str {
    match group {
        Group::Bitmap => "Bitmaps",
        Group::Cluster => "Cluster",
        Group::Connection => "Connections",
        Group::Generic => "Keys",
        Group::Geo => "Places",
        Group::Hash => "Hashes",
        Group::Hyperloglog => "HyperLogLog",
        Group::List => "Lists",
        Group::Pubsub => "Publish and subscribe",
        Group::Scripting => "Scripts and functions",
        Group::Sentinel => "Sentinel",
        Group::Server => "Server",
        Group::Set => "Sets",
        Group::SortedSet => "Sorted sets",
        Group::Stream => "Streams",
        Group::String => "Strings",
        Group::Transactions => "Transactions",
    }
}

fn anchor(group: Group) -> String {
    title(group).to_ascii_lowercase().replace(' ', "-")
}
