//! What `COMMAND` answers, and that the table agrees with itself.

mod transcript;

use std::collections::BTreeSet;

use quorate_keyspace::command::{self, Flags, Handler, ScriptPolicy, introspect, resolve, table};
use transcript::check;

#[test]
fn every_record_is_consistent() {
    let subcommands = table::all().flat_map(|command| command.subcommands);
    let mut names = BTreeSet::new();
    for command in table::all().chain(subcommands) {
        let name = command.name;
        assert!(names.insert(name), "{name} is there twice");
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b"|-_".contains(&b)), "{name}");
        assert!(command.arity != 0 && command.summary.ends_with('.'), "{name}");
        let writes = matches!(command.handler, Handler::Write(_));
        let is_debug = name.starts_with("debug|");
        // What a script writes, the commands say that it calls.
        let eval = ["eval", "evalsha", "eval_ro", "evalsha_ro", "fcall", "fcall_ro"].contains(&name);
        let is_script = eval || name.starts_with("script|");
        let whole = is_debug
            || ["flushall", "flushdb", "swapdb"].contains(&name)
            || ["script|", "function|", "acl|"].iter().any(|container| name.starts_with(container));
        // MIGRATE's writes are commands of their own.
        // Users are no data.
        let is_write = name == "migrate" || writes && !is_debug && !is_script && !name.starts_with("acl|");
        assert_eq!(command.flags.contains(Flags::WRITE), is_write, "{name}");
        assert!(!(writes && command.keys.is_empty()) || whole, "{name} writes which keys?");
        assert!(!(command.flags.contains(Flags::READONLY) && writes) || eval, "{name}");
        // Redis lets scripts ask who listens on its node. Here each replica would see its own.
        let is_of_node = name.starts_with("pubsub|");
        let is_refused = command.script == ScriptPolicy::Refused;
        assert_eq!(command.flags.contains(Flags::NOSCRIPT), is_refused && !is_of_node, "{name}");
        if matches!(command.handler, Handler::Container) {
            assert!(!command.subcommands.is_empty(), "{name}");
        }
        for sub in command.subcommands {
            assert!(sub.name.starts_with(&format!("{name}|")), "{}", sub.name);
        }
    }
}

#[test]
fn keys_are_found() {
    let keys = |line: &str| -> Vec<String> {
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let positions = resolve(&args).unwrap().key_positions(&args).unwrap();
        positions.iter().map(|&i| String::from_utf8(args[i].to_vec()).unwrap()).collect()
    };
    assert_eq!(keys("GET a"), ["a"]);
    assert_eq!(keys("DEL a b c"), ["a", "b", "c"]);
    assert_eq!(keys("MSET a 1 b 2"), ["a", "b"]);
    assert_eq!(keys("RENAME a b"), ["a", "b"]);
    assert_eq!(keys("COPY a b DB 3"), ["a", "b"]);
    assert_eq!(keys("LCS a b LEN"), ["a", "b"]);
    assert_eq!(keys("OBJECT ENCODING a"), ["a"]);
    assert_eq!(keys("WATCH a b"), ["a", "b"]);
    assert_eq!(keys("RPUSH l x y"), ["l"]);
    assert_eq!(keys("MIGRATE host 1 a 0 10 COPY"), ["a"]);
    assert_eq!(keys("MIGRATE host 1  0 10 AUTH keys KEYS a keys b"), ["a", "keys", "b"]);
    assert!(keys("PING").is_empty());
    assert!(keys("CONFIG GET a").is_empty());
    let get = command::lookup(b"get").unwrap();
    assert_eq!(get.slot(&[b"GET", b"foo"]), Some(12_182));
    assert_eq!(command::lookup(b"ping").unwrap().slot(&[b"PING"]), None);
}

#[test]
fn command_info_is_as_clients_expect() {
    check(
        r#"
        COMMAND INFO get => [["get", 2, [+readonly, +fast], 1, 1, 1, [+@read, +@string, +@fast], [], [["flags", [+RO, +access], "begin_search", ["type", "index", "spec", ["index", 1]], "find_keys", ["type", "range", "spec", ["lastkey", 0, "keystep", 1, "limit", 0]]]], []]]
        COMMAND INFO none => [nil]
        COMMAND INFO object|freq none => [["object|freq", 3, [+readonly], 2, 2, 1, [+@keyspace, +@read, +@slow], ["nondeterministic_output"], [["flags", [+RO], "begin_search", ["type", "index", "spec", ["index", 2]], "find_keys", ["type", "range", "spec", ["lastkey", 0, "keystep", 1, "limit", 0]]]], []], nil]
        COMMAND GETKEYS MSET a 1 b 2 => ["a", "b"]
        COMMAND GETKEYS PING => -ERR The command has no key arguments
        COMMAND GETKEYS NOPE a => -ERR Invalid command specified
        COMMAND GETKEYS GET => -ERR Invalid number of arguments specified for command
        COMMAND GETKEYSANDFLAGS SET k v => [["k", [+OW, +update]]]
        COMMAND GETKEYSANDFLAGS SET k v GET => [["k", [+RW, +access, +update]]]
        COMMAND LIST FILTERBY PATTERN ?ETRANGE => ["getrange", "setrange"]
        COMMAND LIST FILTERBY MODULE json => []
        COMMAND LIST FILTERBY NOPE x => -ERR syntax error
        COMMAND NOPE => -ERR unknown subcommand 'NOPE'. Try COMMAND HELP.
        COMMAND DOCS llen => ["llen", ["summary", "Tells the length of a list.", "since", "1.0.0", "group", "list", "complexity", "O(1)", "arguments", [["name", "key", "type", "key", "display_text", "key", "key_spec_index", 0]]]]
        COMMAND DOCS none => []
        "#,
    );
}

#[test]
fn usage_is_drawn_from_the_arguments() {
    let usage = |name: &str| introspect::usage(command::lookup(name.as_bytes()).unwrap());
    assert_eq!(usage("get"), "GET key");
    assert_eq!(usage("del"), "DEL key [key ...]");
    assert_eq!(usage("copy"), "COPY source destination [DB destination-db] [REPLACE]");
    assert_eq!(usage("expire"), "EXPIRE key seconds [NX | XX | GT | LT]");
}
