//! Rules, what follows from them, and that they survive being described.

use proptest::prelude::*;

use super::*;
use crate::command::{resolve, table};

fn acl(name: &str, rules: &[&str]) -> Acl {
    let mut acl = Acl::default();
    set(&mut acl, name, rules).unwrap();
    acl
}

fn set(acl: &mut Acl, name: &str, rules: &[&str]) -> Result<bool, String> {
    let rules: Vec<&[u8]> = rules.iter().map(|rule| rule.as_bytes()).collect();
    acl.set(name.as_bytes(), &rules, false).map_err(|error| error.error().text().to_owned())
}

fn line(acl: &Acl, name: &str) -> String {
    String::from_utf8(acl.get(name.as_bytes()).unwrap().line()).unwrap()
}

/// What user `u` with these rules is told of a command line: nothing if it may do that.
fn told(rules: &[&str], command: &str) -> Option<String> {
    let acl = acl("u", rules);
    let args: Vec<&[u8]> = command.split(' ').map(str::as_bytes).collect();
    let command = resolve(&args).unwrap();
    let denied = acl.get(b"u").unwrap().judge(command, &args).err()?;
    Some(String::from_utf8(denied.in_full(command, &args)).unwrap())
}

fn may(rules: &[&str], command: &str) -> bool {
    told(rules, command).is_none()
}

#[test]
fn there_is_a_default_user_who_may_do_everything() {
    let acl = Acl::default();
    assert_eq!(line(&acl, "default"), "user default on nopass sanitize-payload ~* &* +@all");
    assert!(acl.is_open() && acl.lets_anyone_in());
    assert_eq!(acl.by_number(DEFAULT_USER).unwrap().name().as_ref(), DEFAULT_NAME);
}

#[test]
fn a_new_user_may_do_nothing() {
    let acl = acl("bob", &[]);
    assert_eq!(line(&acl, "bob"), "user bob off sanitize-payload resetchannels -@all");
    let mut open = Acl::default();
    open.set(b"bob", &[b"(+get)"], true).unwrap();
    assert_eq!(line(&open, "bob"), "user bob off sanitize-payload &* -@all (&* -@all +get)");
}

#[test]
fn numbers_are_never_used_again() {
    let mut acl = acl("bob", &["on"]);
    let first = acl.get(b"bob").unwrap().number();
    assert!(acl.remove(b"bob") && !acl.remove(b"bob") && !acl.remove(DEFAULT_NAME));
    assert!(acl.by_number(first).is_none());
    set(&mut acl, "bob", &["on"]).unwrap();
    let second = acl.get(b"bob").unwrap().number();
    assert!(second > first && first > NODE_USER);
    set(&mut acl, "bob", &["reset"]).unwrap();
    assert_eq!(acl.get(b"bob").unwrap().number(), second, "it is the same user after all");
}

#[test]
fn rules_are_described_as_redis_does() {
    let described = |rules: &[&str]| line(&acl("u", rules), "u");
    let rest = |rules: &[&str]| described(rules).split_once("sanitize-payload ").unwrap().1.to_owned();
    assert_eq!(described(&["ON", "nopass"]), "user u on nopass sanitize-payload resetchannels -@all");
    assert_eq!(described(&["skip-sanitize-payload"]), "user u off skip-sanitize-payload resetchannels -@all");
    assert_eq!(
        rest(&["~a*", "%R~b*", "%w~c", "%RW~d", "&x", "&x", "+GET", "+@Read", "-strlen"]),
        "~a* %R~b* %W~c ~d resetchannels &x -@all +get +@read -strlen"
    );
    assert_eq!(rest(&["%R~a", "%W~a"]), "~a resetchannels -@all", "both together are all");
    assert_eq!(rest(&["allkeys", "allchannels", "allcommands"]), "~* &* +@all");
    assert_eq!(rest(&["~*", "resetkeys", "~b", "&*", "resetchannels", "&c"]), "~b resetchannels &c -@all");
    assert_eq!(rest(&["%RW~*"]), "~* resetchannels -@all");
    assert_eq!(rest(&["~a", "%R~*", "%W~*"]), "~* resetchannels -@all", "in two halves");
    assert_eq!(
        rest(&["(~a", "+get)", "(", "%R~b", "+set", ")", "()"]),
        "resetchannels -@all (~a resetchannels -@all +get) (%R~b resetchannels -@all +set) (resetchannels -@all)"
    );
    assert_eq!(rest(&["(+get)", "clearselectors"]), "resetchannels -@all");
    assert_eq!(rest(&["+memory|usage", "+memory"]), "resetchannels -@all +memory", "engulfed");
    assert_eq!(rest(&["+@all", "-client", "+client|id"]), "resetchannels +@all -client +client|id");
    assert_eq!(rest(&["+get", "-@all", "+set", "+set"]), "resetchannels -@all +set");
    assert_eq!(rest(&["+select|0", "+debug|object"]), "resetchannels -@all +select|0 +debug|object");
    assert_eq!(
        rest(&["-psync", "+latency|doctor"]),
        "resetchannels -@all -psync +latency|doctor",
        "known to Redis"
    );
}

#[test]
fn passwords_come_as_hashes() {
    let (one, two) = ("a1".repeat(32), "0f".repeat(32));
    let mut acl = acl("u", &[&format!("#{one}"), &format!("#{two}"), &format!("#{one}")]);
    assert_eq!(line(&acl, "u"), format!("user u off sanitize-payload #{one} #{two} resetchannels -@all"));
    let user = acl.get(b"u").unwrap();
    assert!(user.has_password(&[0xa1; 32]) && user.has_password(&[0x0f; 32]) && !user.has_password(&[1; 32]));
    assert_eq!(set(&mut acl, "u", &[&format!("!{one}")]), Ok(true));
    assert!(!acl.get(b"u").unwrap().has_password(&[0xa1; 32]));
    let gone = set(&mut acl, "u", &[&format!("!{one}")]).unwrap_err();
    assert!(gone.ends_with("The password you are trying to remove from the user does not exist"), "{gone}");
    assert_eq!(set(&mut acl, "u", &["nopass"]), Ok(true));
    assert!(acl.get(b"u").unwrap().takes_any_password() && !acl.get(b"u").unwrap().has_password(&[0x0f; 32]));
    assert_eq!(set(&mut acl, "u", &[&format!("#{two}")]), Ok(true));
    assert!(!acl.get(b"u").unwrap().takes_any_password());
    for bad in
        ["#", "#a1", &format!("#{}", "A1".repeat(32)), &format!("#{one}0"), &format!("!{}", "g".repeat(64))]
    {
        let text = set(&mut acl, "u", &[bad]).unwrap_err();
        assert!(text.contains("must be exactly 64 characters"), "{text}");
    }
    assert!(
        set(&mut acl, "u", &[">secret"]).unwrap_err().ends_with("Syntax error"),
        "hashed before it comes here"
    );
}

#[test]
fn errors_are_those_of_redis_and_change_nothing() {
    let mut acl = acl("u", &["on", "~a"]);
    let before = acl.clone();
    let mut fails = |rules: &[&str], text: &str| {
        let told = set(&mut acl, "u", rules).unwrap_err();
        assert!(told.contains(text), "{rules:?}: {told}");
    };
    let unknown = "Unknown command or category name in ACL";
    fails(&["off", "foo"], "ERR Error in ACL SETUSER modifier 'foo': Syntax error");
    fails(&["+nope"], unknown);
    fails(&["+@nope"], unknown);
    fails(&["-select|0"], unknown);
    fails(&["+config|nope"], unknown);
    fails(&["+get|key|x"], unknown);
    fails(&["+debug|"], "Syntax error");
    fails(&["+config|get|x"], "Allowing first-arg of a subcommand is not supported");
    fails(&["allkeys", "~b"], "Try 'resetkeys' to start with an empty list of patterns");
    fails(&["&*", "&b"], "Try 'resetchannels' to start with an empty list of channels");
    fails(&["(&*", "&b)"], "ERR Error in ACL SETUSER modifier '(&* &b)': Adding a pattern after the");
    fails(&["(+get"], "ERR Unmatched parenthesis in acl selector starting at '(+get'.");
    for bad in
        ["", ")", " () ", "%~x", "%X~x", "%RR~x", "%Rx", "~a b", "&a\0", "(on)", "(nopass)", "((+get))"]
    {
        fails(&[bad], "Syntax error");
    }
    fails(&["+"], unknown);
    assert_eq!(acl, before);
    for name in ["a b", "a\0", "a\n"] {
        assert!(set(&mut acl, name, &[]).unwrap_err().contains("can't contain spaces or null characters"));
    }
    assert_eq!(set(&mut acl, "u", &["on"]), Ok(false), "nothing new");
}

#[test]
fn rules_have_an_end() {
    let mut acl = acl("u", &[]);
    let pattern = format!("~{}", "x".repeat(600 << 10));
    assert_eq!(set(&mut acl, "u", &[&pattern]), Ok(true));
    let other = format!("~{}", "y".repeat(600 << 10));
    assert!(set(&mut acl, "u", &[&other]).unwrap_err().contains("at most 1 MiB"));
}

#[test]
fn users_have_an_end() {
    let mut acl = Acl::default();
    for n in 1..USERS_MAX {
        assert_eq!(set(&mut acl, &format!("user{n}"), &["on"]), Ok(true));
    }
    assert_eq!(set(&mut acl, "more", &["on"]), Err(TOO_MANY.text().to_owned()));
    let error = acl.user_by(b"more", &[], false).unwrap_err();
    assert!(error.depends_on_user(), "it is judged when it is applied");
    assert_eq!(set(&mut acl, "user7", &["off"]), Ok(true), "who is there can be changed");
    assert!(acl.remove(b"user8") && !acl.remove(b"user8"));
    assert_eq!(set(&mut acl, "more", &["on"]), Ok(true));
    assert_eq!((acl.len(), acl.iter().count()), (USERS_MAX, USERS_MAX));
    assert!(acl.iter().is_sorted_by_key(|user| user.name().clone()));
    for user in acl.iter() {
        assert!(Arc::ptr_eq(acl.by_number(user.number()).unwrap(), user));
        assert!(Arc::ptr_eq(acl.get(user.name()).unwrap(), user));
    }
    assert_eq!(acl.get(b"more").unwrap().number(), acl.last_number());
}

#[test]
fn rules_of_all_have_an_end() {
    let mut acl = Acl::default();
    let pattern = |size: usize| format!("~{}", "x".repeat(size));
    let full = (0..).take_while(|n| set(&mut acl, &format!("u{n}"), &[&pattern(1_000_000)]).is_ok()).count();
    assert_eq!(full, BYTES_MAX / 1_000_000);
    assert_eq!(set(&mut acl, "more", &[&pattern(1_000_000)]), Err(TOO_MUCH.text().to_owned()));
    assert_eq!(set(&mut acl, "more", &[&pattern(10_000)]), Ok(true));
    assert_eq!(set(&mut acl, "u0", &["off", "resetkeys"]), Ok(true), "less is always allowed");
    assert_eq!(set(&mut acl, "most", &[&pattern(900_000)]), Ok(true));
    assert!(acl.remove(b"u1"));
    assert_eq!(acl.bytes, acl.iter().map(|user| user.bytes()).sum::<usize>());
}

#[test]
fn a_change_copies_little() {
    let mut acl = Acl::default();
    for n in 0..1000 {
        set(&mut acl, &format!("user{n}"), &["on"]).unwrap();
    }
    let before = acl.clone();
    set(&mut acl, "user500", &["off"]).unwrap();
    let changed = before.iter().zip(acl.iter()).filter(|(old, new)| !Arc::ptr_eq(old, new)).count();
    assert_eq!(changed, 1);
    assert!(before.get(b"user500").unwrap().is_enabled() && before != acl, "the clone is as it was");
    assert!(!acl.by_number(acl.get(b"user500").unwrap().number()).unwrap().is_enabled());
}

#[test]
fn commands_are_allowed_by_name_category_and_first_word() {
    assert!(!may(&["~*"], "GET a") && may(&["~*", "+get"], "GET a"));
    assert!(may(&["~*", "+@read"], "GET a") && !may(&["~*", "+@read"], "SET a b"));
    assert!(
        !may(&["~*", "+@all", "-@string"], "GET a") && may(&["~*", "+@all", "-@string", "+get"], "GET a")
    );
    assert!(may(&["+config|get"], "CONFIG GET a") && !may(&["+config|get"], "CONFIG SET a b"));
    assert!(
        may(&["+config", "-config|set"], "CONFIG GET a")
            && !may(&["+config", "-config|set"], "CONFIG SET a b")
    );
    assert!(may(&["+select|0"], "SELECT 0") && !may(&["+select|0"], "SELECT 1"));
    assert!(may(&["+debug|object"], "DEBUG OBJECT a") && !may(&["+debug|object"], "DEBUG SLEEP 1"));
    assert!(!may(&["+debug|object", "-debug"], "DEBUG OBJECT a"));
    assert!(
        !may(&["+select|0", "+select", "-select"], "SELECT 0"),
        "a rule about all of it covers the first words"
    );
    assert!(
        may(&[], "AUTH a b") && may(&[], "QUIT") && !may(&[], "PING"),
        "who has to log in must be able to"
    );
    assert_eq!(
        told(&[], "CONFIG GET a").unwrap(),
        "User u has no permissions to run the 'config|get' command"
    );
    assert_eq!(told(&[], "DEBUG OBJECT a").unwrap(), "User u has no permissions to run the 'debug' command");
}

#[test]
fn every_command_can_be_given_and_taken() {
    for command in table::all() {
        for part in std::iter::once(command).chain(command.told_subcommands()) {
            let allowed = |rules: &[&str]| {
                let acl = acl("u", rules);
                acl.get(b"u").unwrap().selectors[0].commands.allow(part, &[])
            };
            let (plus, minus) = (format!("+{}", part.name), format!("-{}", part.name));
            assert!(allowed(&[&plus]), "{plus}");
            assert!(!allowed(&["+@all", &minus]), "{minus}");
            let category = part.all_categories().iter_names().next().expect("it has some").0;
            assert!(allowed(&[&format!("+@{category}")]), "{} is in {category}", part.name);
        }
    }
}

#[test]
fn keys_are_judged_by_what_becomes_of_them() {
    let rules = ["+@all", "%R~read*", "%W~write*", "%RW~rw*"];
    let key = |key: &str| Some(format!("User u has no permissions to access the '{key}' key"));
    assert_eq!(told(&rules, "GET read"), None);
    assert_eq!(told(&rules, "GET write"), key("write"));
    assert_eq!(told(&rules, "SET read x"), key("read"));
    assert_eq!(told(&rules, "SET write x"), None);
    assert_eq!(told(&rules, "SET write x GET"), key("write"));
    assert_eq!(told(&rules, "SET rw x GET"), None);
    assert_eq!(told(&rules, "BITFIELD read GET u4 0"), None);
    assert_eq!(told(&rules, "BITFIELD read SET u4 0 1"), key("read"));
    assert_eq!(told(&rules, "BITFIELD write SET u4 0 1"), key("write"));
    assert_eq!(told(&rules, "EXISTS read write"), None, "whether there is one");
    assert_eq!(told(&rules, "EXISTS read write none"), key("none"));
    assert_eq!(told(&rules, "COPY read write"), None);
    assert_eq!(told(&rules, "COPY write read"), key("write"));
    assert_eq!(told(&rules, "SORT read STORE write"), None);
    assert_eq!(told(&rules, "SORT read STORE read"), key("read"));
    assert_eq!(told(&rules, "EVAL x 1 rw"), None);
    assert_eq!(told(&rules, "EVAL x 1 read"), key("read"));
    assert_eq!(told(&rules, "EVAL_RO x 1 read"), None);
    assert_eq!(told(&rules, "EVAL x 0 none"), None);
    assert_eq!(told(&rules, "EVAL x 3 none"), None, "which is an error");
    assert_eq!(told(&rules, "MIGRATE h 1 rw 0 5"), None);
    assert_eq!(told(&rules, "MIGRATE h 1 read 0 5"), key("read"));
    assert_eq!(told(&rules, "MIGRATE h 1  0 5 AUTH KEYS KEYS write"), key("write"));
    assert_eq!(told(&rules, "GEORADIUS read1 0 0 1 M STORE read2"), key("read2"));
}

#[test]
fn selectors_are_alternatives_and_the_furthest_refusal_is_told() {
    let rules = ["+mget", "~key", "(+mget ~key ~other)", "(+set %W~w*)"];
    assert!(may(&rules, "MGET key other") && may(&rules, "SET w x") && !may(&rules, "MGET w"));
    assert!(told(&rules, "GET key").unwrap().contains("'get' command"));
    assert!(told(&rules, "MGET other more").unwrap().contains("the 'more' key"));
    let apart = ["(%R~read* +@all)", "(%W~write* +@all)"];
    assert!(may(&apart, "GET read") && may(&apart, "SET write x") && !may(&apart, "COPY read write"));
}

#[test]
fn sorting_by_other_keys_needs_all_of_them() {
    let line: [&[u8]; 4] = [b"SORT", b"l", b"BY", b"w*"];
    let may = |rules: &[&str]| {
        let acl = acl("u", rules);
        acl.may_read_all_keys(acl.get(b"u").unwrap().number(), resolve(&line).unwrap(), &line)
    };
    assert!(!may(&["(+sort ~l)"]) && !may(&["(+sort ~l ~w*)"]) && !may(&["(+sort ~l %W~*)"]));
    assert!(may(&["(+sort ~l %R~*)"]) && may(&["+sort", "~*"]));
    assert!(!may(&["+get", "~*", "(+sort ~l)"]), "together, not apart");
}

#[test]
fn channels_are_globs_and_patterns_are_taken_literally() {
    let acl = acl("u", &["&a:*", "(&b)"]);
    let user = acl.get(b"u").unwrap();
    assert!(user.may_use_channel(b"a:1", false) && user.may_use_channel(b"b", false));
    assert!(!user.may_use_channel(b"c", false));
    assert!(user.may_use_channel(b"a:*", true) && !user.may_use_channel(b"a:1", true));
}

/// Rules that may stand in any order.
fn any_rule() -> impl Strategy<Value = String> {
    let names: Vec<String> = table::all()
        .flat_map(|command| std::iter::once(command).chain(command.told_subcommands()))
        .map(|command| command.name.to_owned())
        .chain(crate::command::Categories::all().iter_names().map(|(name, _)| format!("@{name}")))
        .chain(["@all", "select|0", "debug|object", "psync"].map(str::to_owned))
        .collect();
    let command = (prop::sample::select(vec!["+", "-"]), prop::sample::select(names))
        .prop_map(|(sign, name)| format!("{sign}{name}"));
    let word = prop::sample::select(vec![
        "on",
        "off",
        "nopass",
        "resetpass",
        "allkeys",
        "resetkeys",
        "allchannels",
        "resetchannels",
        "reset",
        "clearselectors",
        "skip-sanitize-payload",
        "sanitize-payload",
    ])
    .prop_map(str::to_owned);
    let pattern = (prop::sample::select(vec!["~", "%R~", "%W~", "%RW~", "&"]), "[a-c*?]{0,3}")
        .prop_map(|(mark, pattern)| format!("{mark}{pattern}"));
    let hash = (0_u8..4).prop_map(|n| format!("#{}", format!("{n:02x}").repeat(32)));
    let selector = prop::collection::vec((command.clone(), pattern.clone()), 0..4).prop_map(|words| {
        let words: Vec<_> = words.into_iter().map(|(a, b)| format!("{a} {b}")).collect();
        format!("({})", words.join(" "))
    });
    prop_oneof![4 => command, 1 => word, 3 => pattern, 1 => hash, 1 => selector]
}

proptest! {
    #[test]
    fn a_user_survives_being_described(rules in prop::collection::vec(any_rule(), 0..30)) {
        let mut first = Acl::default();
        for rule in &rules {
            // Some of them do not fit what came before: they change nothing.
            let _ = set(&mut first, "u", &[rule]);
        }
        set(&mut first, "u", &[]).unwrap();
        let described = line(&first, "u");
        let words: Vec<&str> = described.split(' ').skip(2).collect();
        let mut second = Acl::default();
        set(&mut second, "u", &words).unwrap();
        prop_assert_eq!(line(&second, "u"), described);
        let (a, b) = (first.get(b"u").unwrap(), second.get(b"u").unwrap());
        prop_assert_eq!(&a.selectors, &b.selectors);
        for command in table::all().flat_map(|command| std::iter::once(command).chain(command.subcommands)) {
            for args in [&[&b"x"[..], b"0"][..], &[b"x", b"object"], &[b"x"]] {
                for (one, other) in a.selectors.iter().zip(&b.selectors) {
                    let (one, other) = (one.commands.allow(command, args), other.commands.allow(command, args));
                    prop_assert_eq!(one, other, "{}", command.name);
                }
            }
        }
    }

    #[test]
    fn hostile_rules_are_an_error_at_worst(rules in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..12), 0..6), name in prop::collection::vec(any::<u8>(), 0..6)) {
        let mut acl = Acl::default();
        let rules: Vec<&[u8]> = rules.iter().map(Vec::as_slice).collect();
        let _ = acl.set(&name, &rules, true);
        let mut pieces = Vec::new();
        put_users(&acl, &mut |body| pieces.push(body.clone()));
        let mut copy = Acl::default();
        for piece in &pieces {
            take_users(&mut copy, piece).unwrap();
        }
        prop_assert_eq!(copy, acl);
    }

    #[test]
    fn hostile_pieces_are_an_error_at_worst(bytes in prop::collection::vec(any::<u8>(), 0..60), flip in any::<(usize, u8)>()) {
        let _ = take_users(&mut Acl::default(), &bytes);
        let mut piece = Vec::new();
        put_users(&acl("bob", &["on", "~a*", "+@read", "(+set ~b)"]), &mut |body| piece = body.clone());
        let at = flip.0 % piece.len();
        piece[at] ^= flip.1;
        let mut copy = Acl::default();
        if take_users(&mut copy, &piece).is_ok() {
            prop_assert!(copy.by_number(DEFAULT_USER).is_some());
        }
    }
}
