//! The configuration as its users meet it: the file, the command line, CONFIG GET and CONFIG SET.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quorate_cluster::config::{
    Appendfsync, Change, Changes, Config, LogLevel, PARAMETERS, Scope, find, nearest,
};
use quorate_keyspace::Rules;

#[test]
fn every_row_is_complete_and_its_default_is_valid() {
    let config = Config::default();
    let mut names = BTreeSet::new();
    for parameter in PARAMETERS {
        assert!(names.insert(parameter.name), "{} stands twice", parameter.name);
        assert!(
            parameter.name.bytes().all(|byte| byte.is_ascii_lowercase() || b"-_".contains(&byte)),
            "{}",
            parameter.name
        );
        assert!(parameter.doc.ends_with('.') && !parameter.doc.contains('|'), "{}", parameter.name);
        // What CONFIG GET shows can be read again and is the same.
        let shown = config.get(parameter.name).unwrap();
        config.set_at_start(parameter.name, &shown).unwrap();
        assert_eq!(config.get(parameter.name).unwrap(), shown);
    }
    config.check().unwrap();
}

/// Those that the configuration shows hold for a state in which nobody has set any.
#[test]
fn how_values_are_kept_has_one_set_of_defaults() {
    let config = Config::default();
    for (name, default) in Rules::DEFAULTS {
        assert_eq!(find(name).unwrap().scope, Scope::Cluster, "{name}");
        assert_eq!(config.get(name).unwrap(), default.to_string(), "{name}");
    }
    // As the documentation of Redis 7.2 has them.
    let documented = [512, 64, 512, 128, 64, 128, 64, -2, 4096, 100, 3000];
    let ours = Rules::DEFAULTS.map(|(_, default)| default);
    assert_eq!(ours[..documented.len()], documented);
}

#[test]
fn defaults_by_type() {
    let config = Config::default();
    assert_eq!(config.port(), 6379);
    assert_eq!(config.bind().to_string(), "127.0.0.1");
    assert_eq!(config.databases(), 16);
    assert_eq!(config.maxclients(), 10_000);
    assert_eq!(config.timeout(), Duration::ZERO);
    assert_eq!(config.tcp_keepalive(), Duration::from_secs(300));
    assert!(config.protected_mode());
    assert_eq!(&*config.requirepass(), "");
    assert_eq!(config.appendfsync(), Appendfsync::Always);
    assert_eq!(config.write_timeout(), Duration::from_secs(5));
    assert_eq!(config.client_query_buffer_limit(), 1 << 30);
    assert_eq!(config.client_output_buffer_limit().pubsub.hard_bytes, 32 << 20);
    assert_eq!(config.proto_max_bulk_len(), 512 << 20);
    assert_eq!(config.loglevel(), LogLevel::Notice);
    assert_eq!(config.heartbeat_interval(), Duration::from_millis(30));
    assert_eq!(config.election_timeout_min(), Duration::from_millis(120));
    assert_eq!(config.election_timeout_max(), Duration::from_millis(180));
    assert!((config.clock_drift() - 0.05).abs() < f64::EPSILON);
    assert_eq!(config.clock_step_max(), Duration::from_secs(1));
    assert_eq!(config.snapshot_log_size(), 256 << 20);
    assert_eq!(config.log_keep_size(), 64 << 20);
    assert_eq!(config.pending_writes_max(), 1 << 30);
    assert_eq!(config.segment_size(), 64 << 20);
    assert_eq!(config.replication_factor(), 3);
}

#[test]
fn every_word_has_its_value() {
    let config = Config::default();
    let levels = [
        ("debug", LogLevel::Debug),
        ("verbose", LogLevel::Verbose),
        ("notice", LogLevel::Notice),
        ("warning", LogLevel::Warning),
    ];
    for (word, level) in levels {
        config.set("loglevel", word).unwrap();
        assert_eq!((config.loglevel(), config.get("loglevel").as_deref()), (level, Some(word)));
    }
    for (word, mode) in [("everysec", Appendfsync::Everysec), ("always", Appendfsync::Always)] {
        config.apply_cluster("appendfsync", Some(word)).unwrap();
        assert_eq!((config.appendfsync(), config.get("appendfsync").as_deref()), (mode, Some(word)));
    }
}

#[test]
fn the_file_takes_every_form_of_a_value() {
    let config = Config::from_toml(
        "port = 7000\nprotected-mode = false\nwrite-timeout = \"2s\"\nclock-drift = 0.1\n\
         snapshot-log-size = '1gb'\nclient-output-buffer-limit = [\"pubsub 1mb 1kb 5\", \"normal 9 8 7\"]\n",
    )
    .unwrap();
    assert_eq!(config.port(), 7000);
    assert!(!config.protected_mode());
    assert_eq!(config.write_timeout(), Duration::from_secs(2));
    assert!((config.clock_drift() - 0.1).abs() < f64::EPSILON);
    assert_eq!(config.snapshot_log_size(), 1 << 30);
    assert_eq!(
        config.get("client-output-buffer-limit").unwrap(),
        "normal 9 8 7 slave 268435456 67108864 60 pubsub 1048576 1024 5"
    );
}

#[test]
fn errors_of_the_file_name_what_is_wrong() {
    let error = |text: &str| Config::from_toml(text).unwrap_err().to_string();
    assert!(error("port = ").contains("line 1"), "{}", error("port = "));
    assert_eq!(error("write-timeot = 1"), "unknown parameter 'write-timeot': did you mean 'write-timeout'?");
    assert_eq!(
        error("write_timeout = 1"),
        "unknown parameter 'write_timeout': did you mean 'write-timeout'?"
    );
    assert_eq!(error("rename-command = 'x y'"), "unknown parameter 'rename-command'");
    assert_eq!(error("port = 70000"), "port = \"70000\": argument must be between 1 and 55535 inclusive");
    assert_eq!(
        error("[port]\nx = 1"),
        "port: the value must be a string, a number, a boolean or a list of them"
    );
    assert!(error("maxmemory-policy = 'oldest'").contains("allkeys-lru"));
}

#[test]
fn the_command_line_wins_and_needs_a_value() {
    let config = Config::from_toml("port = 7000").unwrap();
    config.set_pair("port=7001").unwrap();
    assert_eq!(config.port(), 7001);
    config.set_pair("requirepass=a=b").unwrap();
    assert_eq!(&*config.requirepass(), "a=b");
    assert_eq!(config.set_pair("port").unwrap_err().to_string(), "--set takes NAME=VALUE");
    assert!(config.set_pair("prot=1").unwrap_err().to_string().contains("'port'"));
}

#[test]
fn values_that_contradict_each_other_are_refused() {
    for text in [
        "election-timeout-min = 200",
        "heartbeat-interval = 100",
        "election-timeout-min = 3000\nelection-timeout-max = 3000",
    ] {
        assert!(Config::from_toml(text).unwrap().check().is_err(), "{text}");
    }
}

#[test]
fn suggestions_are_near() {
    assert_eq!(nearest("maxclient"), Some("maxclients"));
    assert_eq!(nearest("apendfsync"), Some("appendfsync"));
    assert_eq!(nearest("REQUIREPASS"), Some("requirepass"));
    assert_eq!(nearest("zzzzzzzz"), None);
    assert_eq!(find("MaxClients").unwrap().name, "maxclients");
}

#[test]
fn config_get_takes_patterns() {
    let config = Config::default();
    let names = |patterns: &[&str]| -> Vec<&str> {
        config.get_matching(patterns).unwrap().into_iter().map(|(name, _)| name).collect()
    };
    assert_eq!(names(&["port"]), ["port"]);
    assert_eq!(names(&["PORT"]), ["port"]);
    assert_eq!(
        names(&["election-timeout-m[ai]?", "port", "port"]),
        ["port", "election-timeout-min", "election-timeout-max"]
    );
    let all = names(&["*"]);
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "each once");
    let hidden = PARAMETERS.iter().filter(|parameter| !all.contains(&parameter.name));
    let hidden: Vec<&str> = hidden.map(|parameter| parameter.name).collect();
    assert!(hidden.contains(&"key-load-delay") && hidden.len() < 10, "{hidden:?}");
    assert_eq!(names(&["Key-Load-Delay"]), ["key-load-delay"]);
    assert_eq!(names(&["*of"]), ["replicaof", "slaveof"]);
    assert!(names(&["nothing"]).is_empty());
    assert_eq!(config.get_matching(&["appendfsync"]).unwrap(), [("appendfsync", "always".to_owned())]);
}

#[test]
fn config_set_answers_as_redis_does() {
    let config = Config::default();
    let failed = |name: &str, reason: &str| {
        Err(format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}"))
    };
    let cases: &[(&[&str], Result<(), String>)] = &[
        (&["foo", "1"], Err("ERR Unknown option or number of arguments for CONFIG SET - 'foo'".into())),
        (&["maxclients", "abc"], failed("maxclients", "argument couldn't be parsed into an integer")),
        (&["maxclients", "0"], failed("maxclients", "argument must be between 1 and 4294967295 inclusive")),
        (
            &["maxclients", "99999999999999999999"],
            failed("maxclients", "argument couldn't be parsed into an integer"),
        ),
        (&["timeout", "-1"], failed("timeout", "argument must be between 0 and 2147483647 inclusive")),
        (
            &["loglevel", "loud"],
            failed("loglevel", "argument(s) must be one of the following: debug, verbose, notice, warning"),
        ),
        (&["protected-mode", "maybe"], failed("protected-mode", "argument must be 'yes' or 'no'")),
        (&["proto-max-bulk-len", "10zb"], failed("proto-max-bulk-len", "argument must be a memory value")),
        (&["port", "1"], failed("port", "can't set immutable config")),
        (&["databases", "16"], failed("databases", "can't set immutable config")),
        (&["maxclients", "1", "maxclients", "2"], failed("maxclients", "duplicate parameter")),
        (
            &["client-output-buffer-limit", "foo 1 2 3"],
            failed(
                "client-output-buffer-limit",
                "Invalid client class specified in buffer limit configuration.",
            ),
        ),
        (
            &["client-output-buffer-limit", "normal 1 2"],
            failed("client-output-buffer-limit", "Wrong number of arguments in buffer limit configuration."),
        ),
        (&["maxclients"], Err("ERR syntax error".into())),
        (&[], Err("ERR wrong number of arguments for 'config|set' command".into())),
        (&["MAXCLIENTS", "77"], Ok(())),
        (&["loglevel", "WARNING"], Ok(())),
    ];
    for (args, reply) in cases {
        assert_eq!(&config.set_all(args).map(drop), reply, "{args:?}");
    }
    assert_eq!(config.maxclients(), 77);
    assert_eq!(config.loglevel(), LogLevel::Warning);
}

#[test]
fn fixed_parameters_accept_what_they_are() {
    let config = Config::default();
    for parameter in PARAMETERS {
        if let Changes::Never(_) = parameter.changes {
            config.set(parameter.name, parameter.default).unwrap();
        }
    }
    for (name, value) in [
        ("daemonize", "yes"),
        ("appendonly", "no"),
        ("maxmemory-clients", "101%"),
        ("maxmemory-policy", "oldest"),
    ] {
        let error = config.set(name, value).unwrap_err();
        assert!(error.starts_with("ERR CONFIG SET failed (possibly related to argument '"), "{error}");
        assert_eq!(config.get(name), Config::default().get(name));
    }
}

/// Tools read the configuration, and write back what they have read.
#[test]
fn what_is_in_force_can_be_set_again() {
    let config = Config::default();
    for (name, value) in config.get_matching(&["*"]).unwrap() {
        let is_taken = config.set(name, &value).is_ok();
        let is_immutable = ["databases", "enable-debug-command", "logfile", "tcp-backlog"].contains(&name);
        assert_eq!(is_taken, !is_immutable, "{name} {value}");
        assert_eq!(config.get(name), Some(value), "{name}");
    }
    assert!(config.set("port", "6380").unwrap_err().ends_with("can't set immutable config"));
}

#[test]
fn save_points_come_in_pairs() {
    let config = Config::default();
    for (given, kept) in [("3600 1  300 100", "3600 1 300 100"), ("", ""), ("60 0", "60 0")] {
        config.set("save", given).unwrap();
        assert_eq!(config.get("save").unwrap(), kept);
    }
    for bad in ["3600", "0 1", "60 -1", "a b"] {
        assert!(config.set("save", bad).unwrap_err().ends_with("Invalid save parameters"), "{bad}");
    }
}

#[test]
fn names_are_judged_before_values() {
    let config = Config::default();
    let error = |args: &[&str]| config.set_all(args).unwrap_err();
    assert!(error(&["maxclients", "x", "maxclients", "2"]).ends_with("duplicate parameter"));
    assert!(error(&["maxclients", "x", "foo", "2"]).contains("Unknown option"));
    assert!(error(&["maxclients", "x", "databases", "2"]).ends_with("immutable config"));
}

#[test]
fn config_set_is_all_or_nothing() {
    let config = Config::default();
    assert!(config.set_all(&["maxclients", "5", "timeout", "x"]).is_err());
    assert_eq!(config.maxclients(), 10_000);
    config.set_all(&["maxclients", "5", "timeout", "9"]).unwrap();
    assert_eq!((config.maxclients(), config.timeout()), (5, Duration::from_secs(9)));
}

#[test]
fn the_clusters_values_change_through_the_directory_only() {
    let config = Config::from_toml("requirepass = 'first'").unwrap();
    assert_eq!(config.given_for_cluster(), [("requirepass", "first".to_owned())]);
    let change = config.set("requirepass", "second").unwrap();
    assert_eq!(change, Change { name: "requirepass", scope: Scope::Cluster, value: "second".into() });
    assert_eq!(&*config.requirepass(), "first", "only proposed so far");
    config.apply_cluster("requirepass", Some("second")).unwrap();
    assert_eq!(&*config.requirepass(), "second");
    config.apply_cluster("requirepass", None).unwrap();
    assert_eq!(&*config.requirepass(), "", "a node's own file has no say in a cluster that exists");
    assert_eq!(config.given_for_cluster(), [("requirepass", "first".to_owned())]);
}

#[test]
fn a_directory_of_another_version_changes_nothing() {
    let config = Config::default();
    assert!(config.apply_cluster("from-the-future", Some("1")).is_err());
    assert!(config.apply_cluster("maxclients", Some("1")).is_err(), "not the cluster's");
    assert!(config.apply_cluster("appendfsync", Some("sometimes")).is_err());
    assert_eq!(config.appendfsync(), Appendfsync::Always);
}

#[test]
fn listeners_hear_of_values_in_force() {
    let config = Config::default();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ears = Arc::clone(&heard);
    let handle = config.clone();
    config.on_change(move |change| {
        assert_eq!(handle.get(change.name).as_ref(), Some(&change.value));
        ears.lock().unwrap().push(format!("{}={}", change.name, change.value));
    });
    config.set("loglevel", "debug").unwrap();
    config.set("appendfsync", "everysec").unwrap();
    config.apply_cluster("appendfsync", Some("everysec")).unwrap();
    config.apply_cluster("appendfsync", Some("everysec")).unwrap();
    assert_eq!(*heard.lock().unwrap(), ["loglevel=debug", "appendfsync=everysec"]);
}

#[test]
fn secrets_are_not_printed() {
    let config = Config::default();
    config.set_pair("requirepass=hunter2").unwrap();
    config.set_pair("maxclients=5").unwrap();
    let printed = format!("{config:?}");
    assert!(printed.contains("maxclients") && !printed.contains("hunter2"), "{printed}");
}
