//! docs/COMPATIBILITY.md is what the lists say, and the lists agree with the table of commands.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a test that reads a document")]

use std::collections::BTreeMap;
use std::path::Path;

use quorate_keyspace::command::{
    Command, Group,
    compatibility::{REDIS_7_2, State, entries, markdown},
    resolve, table,
};

#[test]
fn the_document_follows_the_lists() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/COMPATIBILITY.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, markdown()).unwrap();
    }
    let document = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        document == markdown(),
        "docs/COMPATIBILITY.md is out of date: UPDATE_DOCS=1 cargo test -p quorate-keyspace --test compatibility_doc"
    );
}

/// The commands of the table, without what Redis does not have: QUORATE, and the words behind DEBUG, which are no commands
/// of their own there.
fn in_table() -> BTreeMap<&'static str, &'static Command> {
    let all = table::all().flat_map(|command| std::iter::once(command).chain(command.subcommands));
    let of_redis =
        all.filter(|command| !["quorate", "debug|"].iter().any(|own| command.name.starts_with(own)));
    of_redis.map(|command| (command.name, command)).collect()
}

#[test]
fn every_command_is_named_and_what_is_named_is_there() {
    let table = in_table();
    for (group, entries) in REDIS_7_2 {
        for entry in *entries {
            let name = entry.name;
            let is_there = matches!(entry.state, State::Complete | State::Partial);
            assert_eq!(
                table.contains_key(name),
                is_there,
                "{name} is {:?}: is it in the table?",
                entry.state
            );
            assert!(entry.state == State::Complete || !entry.note.is_empty(), "{name}: why?");
            assert!(!entry.note.contains(['|', '\n']), "{name}: its note breaks the document's table");
            if let Some(command) = table.get(name) {
                assert_eq!(command.group, *group, "{name}: the document has it in another family");
            }
        }
    }
    let named: BTreeMap<_, _> = entries().map(|entry| (entry.name, entry.state)).collect();
    assert_eq!(named.len(), entries().count(), "a command is named twice");
    for name in table.keys() {
        assert!(named.contains_key(name), "{name} is in the table: name it in command/compatibility");
    }
}

#[test]
fn the_list_is_whole() {
    let count = |group: Group| {
        let (_, entries) = REDIS_7_2.iter().find(|(other, _)| *other == group).unwrap();
        (entries.iter().filter(|entry| !entry.name.contains('|')).count(), entries.len())
    };
    // Commands, and with their subcommands, of Redis 7.2.
    assert_eq!(count(Group::String), (22, 22));
    assert_eq!(count(Group::Hash), (16, 16));
    assert_eq!(count(Group::SortedSet), (35, 35));
    assert_eq!(count(Group::Stream), (15, 25));
    assert_eq!(entries().filter(|entry| !entry.name.contains('|')).count(), 242);
    for (_, entries) in REDIS_7_2 {
        assert!(entries.is_sorted_by_key(|entry| entry.name), "{}", entries[0].name);
    }
}

#[test]
fn what_is_not_there_says_so() {
    let text = |line: &str| {
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        resolve(&args).unwrap_err().text().to_owned()
    };
    let table = in_table();
    for entry in entries() {
        if entry.state != State::Absent {
            continue;
        }
        // A container that is not there speaks for what may follow it.
        let is_heard = entry.name.split_once('|').is_none_or(|(container, _)| table.contains_key(container));
        let said = text(&entry.name.replace('|', " "));
        let expected = format!(" is not implemented in Quorate: {}", entry.note);
        assert!(said.starts_with("ERR "), "{said}");
        assert!(!is_heard || said.ends_with(&expected), "{said}");
    }
    assert_eq!(
        text("sEntinel masters"),
        "ERR SENTINEL is not implemented in Quorate: failover is built in: no other software watches the nodes"
    );
    assert!(text("CLUSTER RESET").starts_with("ERR CLUSTER RESET is not implemented in Quorate: "));
    assert!(text("JSON.GET a").starts_with("ERR unknown command 'JSON.GET'"));
    assert!(text("CLUSTER NOPE").starts_with("ERR unknown subcommand 'NOPE'"));
}
