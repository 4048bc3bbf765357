//! Users as a part of the state: every replica judges each command by them when it applies it.

mod replica;

use quorate_keyspace::{
    Keyspace, Meter, Metered, Place, Reply,
    acl::{Denial, NODE_USER},
    batch::BatchBuilder,
};
use quorate_resp::Protocol;
use replica::{Replica, describe, restore};

const GONE: &str = "-NOPERM The user of this connection was deleted";

fn words(line: &str) -> Vec<&[u8]> {
    line.split(' ').map(str::as_bytes).collect()
}

/// The replies to command lines of a user, all in one entry.
fn run_by(r: &mut Replica, user: u64, lines: &[&str]) -> Vec<String> {
    let mut batch = BatchBuilder::new();
    for line in lines {
        batch.command_by(user, 0, &words(line));
    }
    r.apply(batch)
}

fn exec_by(r: &mut Replica, user: u64, lines: &[&str]) -> String {
    let mut batch = BatchBuilder::new();
    batch.open_transaction(user, 0);
    batch.open_steps(lines.len());
    lines.iter().for_each(|line| batch.step_command(0, &words(line)));
    r.apply(batch).pop().expect("one reply")
}

fn read_by(r: &Replica, user: u64, line: &str) -> String {
    let mut out = Vec::new();
    r.keyspace.read_by(user, 0, &words(line), r.time_ms, 1, &mut Reply::new(&mut out, Protocol::Resp2));
    describe(&out)
}

fn number(r: &Replica, name: &str) -> u64 {
    r.keyspace.users().get(name.as_bytes()).expect("there is such a user").number()
}

#[test]
fn users_are_made_told_of_and_deleted() {
    let mut r = Replica::new(1);
    assert_eq!(r.run(0, "ACL SETUSER bob on nopass ~a* +@read (~b +set)"), "+OK");
    assert_eq!(
        r.run(0, "ACL GETUSER bob"),
        r#"["flags", ["on", "nopass", "sanitize-payload"], "passwords", [], "commands", "-@all +@read", "keys", "~a*", "channels", "", "selectors", [["commands", "-@all +set", "keys", "~b", "channels", ""]]]"#
    );
    assert_eq!(r.run(0, "ACL GETUSER none"), "nil");
    assert_eq!(r.run(0, "ACL USERS"), r#"["bob", "default"]"#);
    assert_eq!(
        r.run(0, "ACL LIST"),
        r#"["user bob on nopass sanitize-payload ~a* resetchannels -@all +@read (~b resetchannels -@all +set)", "user default on nopass sanitize-payload ~* &* +@all"]"#
    );
    assert_eq!(r.run(0, "ACL DRYRUN bob GET a1"), "+OK");
    assert_eq!(r.run(0, "ACL DRYRUN bob GET c"), r#""User bob has no permissions to access the \'c\' key""#);
    assert_eq!(
        r.run(0, "ACL DRYRUN bob DEL a"),
        r#""User bob has no permissions to run the \'del\' command""#
    );
    assert_eq!(r.run(0, "ACL DRYRUN none GET a"), "-ERR User 'none' not found");
    assert_eq!(r.run(0, "ACL DRYRUN bob NOPE a"), "-ERR Command 'NOPE' not found");
    assert_eq!(r.run(0, "ACL DRYRUN bob GET"), "-ERR wrong number of arguments for 'get' command");
    assert_eq!(r.run(0, "ACL CAT transaction"), r#"["discard", "exec", "multi", "unwatch", "watch"]"#);
    assert!(r.run(0, "ACL CAT").starts_with(r#"["keyspace", "read", "write", "#));
    assert_eq!(r.run(0, "ACL CAT nope"), "-ERR Unknown category 'nope'");
    assert_eq!(r.run(0, "ACL DELUSER bob default"), "-ERR The 'default' user cannot be removed");
    assert_eq!(r.run(0, "ACL DELUSER bob none bob"), "1");
    assert_eq!(r.run(0, "ACL USERS"), r#"["default"]"#);
}

#[test]
fn a_change_of_users_is_a_change_of_the_state_and_an_error_is_none() {
    let mut r = Replica::new(1);
    let (changes, version) = (r.keyspace.users_changes(), r.keyspace.version());
    assert!(r.run(0, "ACL SETUSER bob on +nope").starts_with("-ERR Error in ACL SETUSER modifier '+nope'"));
    assert_eq!(r.run(0, "ACL DELUSER bob"), "0");
    assert_eq!((r.keyspace.users_changes(), r.keyspace.version()), (changes, version));
    let digest = r.keyspace.content_digest();
    r.run(0, "ACL SETUSER bob on");
    assert!(r.keyspace.users_changes() > changes && r.keyspace.version() > version);
    assert_ne!(r.keyspace.content_digest(), digest);
}

#[test]
fn what_was_sent_before_a_user_was_deleted_is_not_applied_after_it() {
    let mut r = Replica::new(1);
    r.run(0, "ACL SETUSER bob on nopass ~* +@all");
    let bob = number(&r, "bob");
    assert_eq!(
        run_by(&mut r, bob, &["SET a 1", "ACL DELUSER bob", "SET a 2", "GET a"]),
        ["+OK", "1", GONE, GONE]
    );
    let gone = "-NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This \
                command is no longer allowed for the following reason: the user was deleted";
    assert_eq!(exec_by(&mut r, bob, &["SET a 3", "INCR n"]), format!("[{gone}, {gone}]"));
    assert_eq!(read_by(&r, bob, "GET a"), GONE);
    r.run(0, "ACL SETUSER bob on nopass ~* +@all");
    assert_eq!(run_by(&mut r, bob, &["SET a 4"]), [GONE], "one of the same name is another one");
    assert_eq!(r.run(0, "GET a"), r#""1""#);
    assert_eq!(run_by(&mut r, u64::MAX, &["SET a 5"]), [GONE]);
    assert_eq!(run_by(&mut r, NODE_USER, &["SET a 6"]), ["+OK"]);
}

#[test]
fn rights_that_were_taken_are_gone_from_that_entry_on() {
    let mut r = Replica::new(1);
    r.run(0, "ACL SETUSER bob on nopass ~a +@all");
    let bob = number(&r, "bob");
    assert_eq!(
        run_by(&mut r, bob, &["SET a 1", "SET b 1"]),
        ["+OK", "-NOPERM No permissions to access a key"]
    );
    assert_eq!(read_by(&r, bob, "GET b"), "-NOPERM No permissions to access a key");
    r.run(0, "ACL SETUSER bob -set");
    let refused = "-NOPERM User bob has no permissions to run the 'set' command";
    assert_eq!(run_by(&mut r, bob, &["SET a 2", "GET a"]), [refused, r#""1""#]);
    let replies = exec_by(&mut r, bob, &["INCR a", "SET a 2", "INCR b"]);
    assert!(replies.starts_with("[2, -NOPERM ACLs rules changed"), "{replies}");
    assert!(replies.contains("no permission to execute the command or subcommand, -NOPERM"), "{replies}");
    assert!(replies.ends_with("no permission to touch the specified keys]"), "{replies}");
    r.run(0, "ACL SETUSER bob off");
    assert_eq!(run_by(&mut r, bob, &["GET a"]), [r#""2""#], "who is in stays in, as in Redis");
}

#[test]
fn the_default_user_is_judged_too_once_it_may_not_do_everything() {
    let mut r = Replica::new(1);
    assert_eq!(r.run(0, "ACL SETUSER default -set"), "+OK");
    assert!(r.run(0, "SET a 1").starts_with("-NOPERM User default has no permissions to run the 'set'"));
    assert_eq!(r.run(0, "GET a"), "nil");
    // What nodes write is theirs.
    assert_eq!(r.run_args(0, &[b"\0directory.set", b"a", b"b"]), "+OK");
    assert_eq!(run_by(&mut r, NODE_USER, &["SET a 1"]), ["+OK"]);
}

#[test]
fn scripts_have_their_callers_rights() {
    let mut r = Replica::new(1);
    r.run(0, "ACL SETUSER bob on nopass ~a* +@scripting +get +sort");
    r.run(0, "SET a 1");
    r.run(0, "SET b 2");
    r.run(0, "RPUSH al 1 2");
    let bob = number(&r, "bob");
    let mut eval = |code: &str| {
        let mut batch = BatchBuilder::new();
        batch.command_by(bob, 0, &[b"EVAL", code.as_bytes(), b"0"]);
        r.apply(batch).pop().unwrap()
    };
    assert_eq!(eval("return redis.call('get', 'a')"), r#""1""#);
    let refused = eval("return redis.call('get', 'b')");
    assert!(
        refused.starts_with("-ERR ACL failure in script: No permissions to access a key script: "),
        "{refused}"
    );
    let refused = eval("return redis.call('set', 'a', 'x')");
    assert!(
        refused
            .starts_with("-ERR ACL failure in script: User bob has no permissions to run the 'set' command")
    );
    assert!(
        eval("return redis.pcall('sort', 'al', 'by', 'w*')").starts_with("-ERR BY option of SORT denied")
    );
    assert!(
        eval("return redis.pcall('sort', 'al', 'get', '#')").starts_with("-ERR GET option of SORT denied")
    );
    assert_eq!(eval("return redis.call('sort', 'al', 'by', 'nosort')"), r#"["1", "2"]"#);
    let asks = |words: &str| format!("return {{redis.acl_check_cmd({words}) and 1 or 0}}");
    assert_eq!(eval(&asks("'get', 'a'")), "[1]");
    assert_eq!(eval(&asks("'get', 'b'")), "[0]");
    assert_eq!(eval(&asks("'set', 'a', 1")), "[0]");
    assert_eq!(eval(&asks("'config', 'get', 'x'")), "[0]");
    assert!(eval(&asks("'nope'")).starts_with("-ERR Invalid command passed to redis.acl_check_cmd()"));
    assert!(eval(&asks("")).starts_with("-ERR Please specify at least one argument"));
    assert_eq!(
        eval("redis.acl_check_cmd('get', 'a') return redis.call('get', 'a')"),
        r#""1""#,
        "it asks once"
    );
    assert_eq!(r.run(0, "GET a"), r#""1""#);
    assert_eq!(r.run(0, "SORT al BY w* GET #"), r#"["1", "2"]"#, "the default user may read all keys");
}

#[test]
fn passwords_of_the_default_user_can_be_set_as_a_setting_and_are_none() {
    let mut r = Replica::new(1);
    let hash = format!("#{}", "ab".repeat(32));
    let set =
        |r: &mut Replica, value: &[u8]| r.run_args(0, &[b"\0directory.set", b"config.requirepass", value]);
    assert_eq!(set(&mut r, hash.as_bytes()), "+OK");
    assert!(!r.keyspace.users().lets_anyone_in());
    assert!(!r.keyspace.directory().contains_key("config.requirepass"));
    assert!(r.run(0, "ACL LIST").contains(&hash));
    assert_eq!(set(&mut r, b"secret"), "-ERR a password comes as its SHA-256, behind a #");
    assert_eq!(set(&mut r, b""), "+OK");
    assert!(r.keyspace.users().lets_anyone_in() && !r.run(0, "ACL LIST").contains(&hash));
}

#[test]
fn a_setting_says_which_channels_a_new_user_has() {
    let mut r = Replica::new(1);
    r.run_args(0, &[b"\0directory.set", b"config.acl-pubsub-default", b"allchannels"]);
    r.run(0, "ACL SETUSER bob");
    assert!(r.run(0, "ACL LIST").contains("user bob off sanitize-payload &* -@all"));
    r.run_args(0, &[b"\0directory.set", b"config.acl-pubsub-default", b"resetchannels"]);
    r.run(0, "ACL SETUSER bob on");
    assert!(r.run(0, "ACL LIST").contains("user bob on sanitize-payload &* -@all"));
    r.run(0, "ACL SETUSER bob reset");
    assert!(r.run(0, "ACL LIST").contains("user bob off sanitize-payload resetchannels -@all"));
}

#[test]
fn users_are_in_snapshots_and_so_is_who_waits() {
    let mut r = Replica::new(1);
    r.run(0, "ACL SETUSER gone");
    r.run(0, "ACL DELUSER gone");
    r.run(0, "ACL SETUSER default -flushall");
    for n in 0..300 {
        let pattern = format!("~{n}{}", "x".repeat(1000));
        r.run(0, &format!("ACL SETUSER user{n} on {pattern} +@read (+set %W~{n})"));
    }
    let user = number(&r, "user7");
    let copy = restore(&r.snapshot());
    assert_eq!(copy.users(), r.keyspace.users());
    assert_eq!(copy.content_digest(), r.keyspace.content_digest());
    let mut r = Replica { keyspace: copy, ..r };
    r.run(0, "ACL SETUSER bob on nopass ~q +blpop");
    let bob = number(&r, "bob");
    assert!(bob > user, "numbers go on");
    let mut batch = BatchBuilder::new();
    batch.command_by(bob, 0, &[b"BLPOP", b"q", b"0"]);
    let payload = batch.finish(&r.header());
    r.apply_payload(&payload, &mut replica::Origin::default());
    let copy = restore(&r.snapshot());
    assert_eq!(copy.content_digest(), r.keyspace.content_digest());
    // In the copy, too, the one who waits is judged when it is served.
    for keyspace in [copy, std::mem::replace(&mut r.keyspace, Keyspace::new(1))] {
        let mut r = Replica { keyspace, time_ms: r.time_ms, seed: r.seed };
        r.run(0, "ACL SETUSER bob -blpop");
        r.run(0, "RPUSH q 1");
        assert_eq!(r.keyspace.waiting(), 0, "it was answered");
        assert_eq!(r.run(0, "LRANGE q 0 -1"), r#"["1"]"#, "and got nothing");
    }
}

#[test]
fn refusals_are_told_to_who_measures() {
    #[derive(Default)]
    struct Seen(std::cell::RefCell<Vec<String>>);
    impl Meter for Seen {
        fn begin(&self) -> u64 {
            0
        }
        fn end(&self, _: &Metered<'_>) {}
        fn denied(&self, denial: &Denial<'_>, place: Place) {
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            let Denial { user, reason, object } = *denial;
            self.0.borrow_mut().push(format!("{} {reason:?} {} {place:?}", text(user), text(object)));
        }
    }
    struct Host(Seen);
    impl quorate_keyspace::Host for Host {
        fn reply(&mut self, _: usize, run: &mut dyn FnMut(&mut Reply<'_>)) {
            run(&mut Reply::new(&mut Vec::new(), Protocol::Resp2).metered(Some(&self.0)));
        }
    }
    let mut r = Replica::new(1);
    r.run(0, "ACL SETUSER bob on nopass ~a +get +eval");
    let bob = number(&r, "bob");
    let mut batch = BatchBuilder::new();
    batch.command_by(bob, 0, &[b"GET", b"b"]);
    batch.command_by(bob, 0, &[b"EVAL", b"redis.pcall('incr', 'a')", b"0"]);
    batch.open_transaction(bob, 0);
    batch.open_steps(1);
    batch.step_command(0, &[b"CONFIG", b"GET", b"x"]);
    let payload = batch.finish(&r.header());
    let mut host = Host(Seen::default());
    r.apply_payload(&payload, &mut host);
    let seen = host.0.0.into_inner();
    assert_eq!(seen, ["bob Key b Client", "bob Command incr Script", "bob Command config|get Transaction"]);
}
