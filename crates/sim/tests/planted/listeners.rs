//! Scenarios around what clients hear unasked (R18), users, and eviction (R12).

use std::time::Duration;

use quorate_checkers::{JournalLine, check_held, check_journal, check_let_in, check_notices, check_order};
use quorate_planted::Bug;
use quorate_resp::Value;
use quorate_sim::checkers::{Promise, Violation};
use quorate_sim::{
    CHANGES, Caching, Habits, Listener, OF_KEYS, Redirected, RedirectedHabits, Settings, SimClient,
    Subscription, Wipe, key_changes,
};

use super::lab::{Lab, MS, SECOND};

const KEY: &str = "t:k";
const CHANNEL: &str = "t:c";
const MEMORY_MAX: u64 = 1 << 20;

/// Listeners of a cluster, and what was wrong with them so far.
struct Room {
    lab: Lab,
    listeners: Vec<Listener>,
    violations: Vec<Violation>,
}

fn of(found: quorate_checkers::Violation) -> Violation {
    let promise = match found.promise {
        quorate_checkers::Promise::FreshCaches => Promise::FreshCaches,
        quorate_checkers::Promise::Messages => Promise::Messages,
        quorate_checkers::Promise::Users => Promise::Users,
        other => unreachable!("{other} is not looked at here"),
    };
    Violation { promise, what: found.what }
}

/// One for each promise is enough.
fn note(violations: &mut Vec<Violation>, verdict: Result<(), quorate_checkers::Violation>) {
    let found = verdict.err().map(of);
    let is_new = |found: &Violation| violations.iter().all(|known| known.promise != found.promise);
    if let Some(found) = found.filter(is_new) {
        violations.push(found);
    }
}

impl Room {
    fn new(seed: u64, settings: Settings) -> Self {
        Self { lab: Lab::new(seed, 3, settings), listeners: Vec::new(), violations: Vec::new() }
    }

    /// The leader, and both others.
    fn roles(&mut self) -> [usize; 3] {
        self.lab.roles()[..].try_into().expect("three nodes")
    }

    /// A listener that is ready.
    fn enter(&mut self, node: usize, caching: Caching) -> usize {
        self.enter_to_hear(node, caching, vec![Subscription::Channel(CHANNEL)])
    }

    /// The same with what it listens to.
    fn enter_to_hear(&mut self, node: usize, caching: Caching, subscriptions: Vec<Subscription>) -> usize {
        let habits = Habits { readonly: true, caching, noloop: false, subscriptions };
        let at = self.listeners.len();
        self.listeners.push(Listener::new(self.lab.c.connect(node), at as u64 + 1, node, habits));
        self.run(100 * MS);
        assert!(self.listeners[at].is_idle(), "a whole cluster answers");
        at
    }

    fn run(&mut self, time: Duration) {
        let end = self.lab.c.now() + time;
        while self.lab.c.now() < end {
            self.lab.run_for(MS);
            for listener in &mut self.listeners {
                note(&mut self.violations, listener.take(self.lab.c.now()));
            }
        }
    }

    /// Has a listener write the key, and waits a while.
    fn write(&mut self, at: usize, ms: Option<u32>) {
        self.listeners[at].write(KEY, ms);
        self.run(30 * MS);
    }

    fn get(&mut self, at: usize) {
        if self.listeners[at].is_idle() {
            self.listeners[at].get(KEY);
        }
    }

    fn judge(mut self) -> Vec<Violation> {
        self.run(200 * MS);
        let records: Vec<_> = self.listeners.drain(..).map(Listener::finish).collect();
        let changes = key_changes(&records);
        for record in &records {
            note(&mut self.violations, check_held(&record.held, &changes));
            note(&mut self.violations, check_order(&record.heard));
            note(&mut self.violations, check_notices(&record.notices));
        }
        self.violations.extend(self.lab.judge(&[1, 2, 3]));
        self.violations
    }
}

/// A key that a client has a copy of expires.
fn a_copy_expires(seed: u64) -> Vec<Violation> {
    let mut room = Room::new(seed, Settings::default());
    let [_, follower, _] = room.roles();
    let client = room.enter(follower, Caching::Default);
    room.write(client, Some(200));
    room.get(client);
    room.run(600 * MS);
    room.get(client);
    room.judge()
}

/// A key changes while it is being read, through a slow link, and again when the answer is there.
fn a_key_changes_while_it_is_read(seed: u64) -> Vec<Violation> {
    let mut room = Room::new(seed, Settings::default());
    let [leader, follower, _] = room.roles();
    let (reader, writer) = (room.enter(follower, Caching::Default), room.enter(leader, Caching::No));
    room.lab.delay(leader, follower, 5 * MS);
    room.lab.delay(follower, leader, 5 * MS);
    for round in 0..12 {
        // READONLY reads wait for nobody: as an element of the log it takes its time.
        room.listeners[reader].get_in_log(KEY);
        room.run(round * MS);
        room.write(writer, None);
        room.run(30 * MS);
        room.write(writer, None);
        room.get(reader);
        room.run(30 * MS);
    }
    room.judge()
}

/// A node was away for so long that a snapshot takes the place of entries. Its clients have copies.
fn a_snapshot_takes_the_place_of_changes(seed: u64) -> Vec<Violation> {
    let settings = Settings::default().with("snapshot-log-size", "1mb").with("log-keep-size", "0");
    let mut room = Room::new(seed, settings);
    let [leader, follower, other] = room.roles();
    let (reader, writer) = (room.enter(follower, Caching::Default), room.enter(leader, Caching::No));
    room.write(writer, None);
    room.get(reader);
    room.run(30 * MS);
    room.lab.isolate(follower);
    room.write(writer, None);
    room.lab.padding = 60_000;
    let line = room.lab.connect(leader);
    for _ in 0..90 {
        room.lab.write(line, "large");
        room.get(reader);
    }
    room.run(SECOND);
    // This one has given up what it did not keep for the node that was away.
    room.lab.hand_over(other);
    room.lab.heal();
    // It hears of the new leader, drops its copies and makes new ones, long before the snapshot has arrived.
    room.lab.delay(other, follower, 30 * MS);
    room.lab.delay(follower, other, 30 * MS);
    let end = room.lab.c.now() + 30 * SECOND;
    let has_installed = |room: &Room| room.lab.c.stats(follower).is_some_and(|stats| stats.installs > 0);
    while !has_installed(&room) && room.lab.c.now() < end {
        room.get(reader);
        room.run(5 * MS);
    }
    for _ in 0..20 {
        room.get(reader);
        room.run(5 * MS);
    }
    assert!(has_installed(&room), "no snapshot was installed");
    room.judge()
}

/// The leader dies; clients of another node have copies.
fn the_leader_changes(seed: u64) -> Vec<Violation> {
    let mut room = Room::new(seed, Settings::default());
    let [leader, follower, other] = room.roles();
    let clients = [(follower, Caching::Default), (other, Caching::Broadcast)]
        .map(|(n, caching)| (room.enter(n, caching), n));
    room.write(clients[0].0, None);
    clients.iter().for_each(|(client, _)| room.get(*client));
    room.run(30 * MS);
    room.lab.c.crash(leader);
    room.lab.run_until(|c| c.leader().is_some_and(|n| n != leader), 3 * SECOND);
    room.run(500 * MS);
    for (client, n) in clients {
        if room.listeners[client].record().dropped_all == 0 {
            let what =
                format!("a client of node {n} was not told to drop everything when the leader changed");
            room.violations.push(Violation { promise: Promise::FreshCaches, what });
        }
    }
    room.lab.c.start(leader);
    room.run(2 * SECOND);
    room.judge()
}

/// The connections between two nodes break between two messages.
fn connections_break_between_messages(seed: u64) -> Vec<Violation> {
    let mut room = Room::new(seed, Settings::default());
    let [leader, follower, _] = room.roles();
    let (publisher, _subscriber) = (room.enter(leader, Caching::No), room.enter(follower, Caching::No));
    for _ in 0..4 {
        let now = room.lab.c.now();
        room.listeners[publisher].publish(CHANNEL, false, now);
        room.run(50 * MS);
        let (a, b) = (room.lab.c.machine(leader), room.lab.c.machine(follower));
        room.lab.c.world().network().break_connections(a, b);
        room.run(300 * MS);
    }
    room.judge()
}

/// A message overtakes the entry with what its sender wrote before.
fn a_message_overtakes_a_write(seed: u64) -> Vec<Violation> {
    let mut room = Room::new(seed, Settings::default());
    let [leader, follower, other] = room.roles();
    let (reader, writer) = (room.enter(follower, Caching::No), room.enter(other, Caching::No));
    room.lab.delay(leader, follower, 60 * MS);
    for _ in 0..5 {
        room.write(writer, None);
        let now = room.lab.c.now();
        room.listeners[writer].publish(CHANNEL, false, now);
        for _ in 0..20 {
            room.get(reader);
            room.run(5 * MS);
        }
    }
    room.lab.no_delays();
    room.judge()
}

/// All keys of a database go, or are exchanged, while a client holds copies.
fn all_keys_go(seed: u64) -> Vec<Violation> {
    let mut room = Room::new(seed, Settings::default());
    let [leader, follower, _] = room.roles();
    let (reader, writer) = (room.enter(follower, Caching::Default), room.enter(leader, Caching::No));
    for how in [Wipe::Database, Wipe::Swap, Wipe::All] {
        room.write(writer, None);
        room.get(reader);
        room.run(30 * MS);
        room.listeners[writer].wipe(how, &[KEY.to_owned()]);
        room.run(30 * MS);
        room.get(reader);
        room.run(30 * MS);
    }
    room.judge()
}

/// The same, with what is told going to a connection beside.
fn all_keys_go_and_another_connection_is_told(seed: u64) -> Vec<Violation> {
    let mut room = Room::new(seed, Settings::default());
    let [leader, follower, _] = room.roles();
    let writer = room.enter(leader, Caching::No);
    let mut pairs: Vec<Redirected> = [false, true]
        .into_iter()
        .map(|told_in_resp3| {
            let habits = RedirectedHabits { readonly: true, caching: Caching::Default, told_in_resp3 };
            let connections = [room.lab.c.connect(follower), room.lab.c.connect(follower)];
            let [reader, beside] = connections;
            Redirected::new(reader, beside, 100 + u64::from(told_in_resp3), follower, habits)
        })
        .collect();
    let run = |room: &mut Room, pairs: &mut [Redirected]| {
        for _ in 0..30 {
            room.run(MS);
            let now = room.lab.c.now();
            pairs.iter_mut().for_each(|pair| note(&mut room.violations, pair.take(now)));
        }
        assert!(pairs.iter().all(Redirected::is_idle), "a whole cluster answers");
    };
    run(&mut room, &mut pairs);
    for step in 0..4 {
        room.write(writer, None);
        pairs.iter_mut().for_each(|pair| pair.get(KEY));
        run(&mut room, &mut pairs);
        match step % 2 {
            0 => room.listeners[writer].wipe(Wipe::Database, &[KEY.to_owned()]),
            _ => room.write(writer, None),
        }
        run(&mut room, &mut pairs);
        pairs.iter_mut().for_each(|pair| pair.get(KEY));
        run(&mut room, &mut pairs);
        pairs.iter_mut().for_each(Redirected::sync);
        run(&mut room, &mut pairs);
    }
    let held: Vec<_> = pairs.into_iter().flat_map(|pair| pair.finish().held).collect();
    assert!(!held.is_empty(), "there were copies");
    room.judge()
}

/// A key changes that a script has read.
fn a_key_changes_that_a_script_has_read(seed: u64) -> Vec<Violation> {
    let mut room = Room::new(seed, Settings::default());
    let [leader, follower, _] = room.roles();
    let (reader, writer) = (room.enter(follower, Caching::Default), room.enter(leader, Caching::No));
    for ro in [false, true] {
        room.write(writer, None);
        room.listeners[reader].get_by_script(KEY, ro);
        room.run(30 * MS);
        room.write(writer, None);
        room.get(reader);
        room.run(30 * MS);
    }
    room.judge()
}

/// Who listens to keyspace notifications at each node hears the same.
fn keys_change_and_expire(seed: u64) -> Vec<Violation> {
    let mut room = Room::new(seed, Settings::default().with("notify-keyspace-events", "KEg$x"));
    let roles = room.roles();
    let subscriptions = vec![Subscription::Pattern(OF_KEYS), Subscription::Channel(CHANGES)];
    let all = roles.map(|n| room.enter_to_hear(n, Caching::No, subscriptions.clone()));
    for _ in 0..3 {
        room.write(all[1], None);
        room.listeners[all[0]].remove(KEY);
        room.run(30 * MS);
        room.listeners[all[0]].remove(KEY);
        room.run(30 * MS);
        room.write(all[1], Some(20));
        room.run(500 * MS);
        room.listeners[all[2]].wipe(Wipe::Database, &[KEY.to_owned()]);
        room.run(30 * MS);
    }
    let heard = all.map(|at| room.listeners[at].record().notices.clone());
    assert!(heard.iter().all(|heard| heard.len() > 12), "{heard:#?}");
    room.judge()
}

fn send(client: &mut SimClient, line: &str) {
    client.send(&line.split(' ').map(str::as_bytes).collect::<Vec<_>>());
}

/// A user at one node, whose journal is `j`; whoever gives it its rights, at the leader.
fn with_user(lab: &mut Lab) -> (usize, SimClient) {
    let [leader, follower, _] = lab.roles()[..] else { unreachable!("three nodes") };
    let admin = lab.connect(leader);
    lab.tell(admin, &[b"ACL", b"SETUSER", b"u", b"on", b">p", b"~j", b"+@all"]);
    lab.run_for(100 * MS);
    let mut user = lab.c.connect(follower);
    send(&mut user, "AUTH u p");
    lab.run_for(20 * MS);
    assert_eq!(user.reply().as_ref().and_then(Value::as_str), Some("OK"));
    lab.delay(follower, leader, 15 * MS);
    (admin, user)
}

fn delete(lab: &mut Lab, admin: usize) {
    for line in [&[&b"MULTI"[..]][..], &[b"RPUSH", b"j", b"deleted"], &[b"ACL", b"DELUSER", b"u"]] {
        lab.tell(admin, line);
    }
    let reply = lab.tell(admin, &[b"EXEC"]);
    assert!(reply.is_some_and(|reply| reply.as_array().is_some()), "the user is deleted");
}

/// A user is deleted while what it has sent is on its way.
fn commands_of_a_deleted_user_are_on_their_way(seed: u64) -> Vec<Violation> {
    let mut lab = Lab::new(seed, 3, Settings::default());
    let (admin, mut user) = with_user(&mut lab);
    for _ in 0..20 {
        send(&mut user, "RPUSH j x");
        lab.run_for(2 * MS);
    }
    delete(&mut lab, admin);
    lab.run_for(300 * MS);
    lab.no_delays();
    judge_journal(lab, admin)
}

fn judge_journal(mut lab: Lab, admin: usize) -> Vec<Violation> {
    let journal = lab.tell(admin, &[b"LRANGE", b"j", b"0", b"-1"]).expect("a whole cluster");
    let line = |value: &Value| match value.as_str() {
        Some("x") => JournalLine::OfUser,
        _ => JournalLine::Deleted,
    };
    let lines: Vec<_> = journal.as_array().unwrap_or_default().iter().map(line).collect();
    assert!(lines.contains(&JournalLine::OfUser) && lines.contains(&JournalLine::Deleted), "{journal:?}");
    let mut violations: Vec<_> = check_journal(&lines).err().map(of).into_iter().collect();
    violations.extend(lab.judge(&[1, 2, 3]));
    violations
}

/// A user is deleted whose client says nothing.
fn a_deleted_user_is_connected(seed: u64) -> Vec<Violation> {
    let mut lab = Lab::new(seed, 3, Settings::default());
    let (admin, mut user) = with_user(&mut lab);
    delete(&mut lab, admin);
    lab.run_for(500 * MS);
    let mut violations = Vec::new();
    if user.ended().is_none() {
        let what = "the user was deleted half a second ago and is still connected".to_owned();
        violations.push(Violation { promise: Promise::Users, what });
    }
    lab.no_delays();
    violations.extend(lab.judge(&[1, 2, 3]));
    violations
}

/// A user loses the right to hear the channel that it listens to, and messages are published behind that.
fn a_channel_is_forbidden(seed: u64) -> Vec<Violation> {
    let mut lab = Lab::new(seed, 3, Settings::default());
    let (admin, mut user) = with_user(&mut lab);
    lab.tell(admin, &[b"ACL", b"SETUSER", b"u", b"&c"]);
    lab.run_for(100 * MS);
    send(&mut user, "HELLO 3");
    send(&mut user, "SUBSCRIBE c");
    lab.run_for(100 * MS);
    lab.tell(admin, &[b"MULTI"]);
    lab.tell(admin, &[b"ACL", b"SETUSER", b"u", b"resetchannels"]);
    lab.tell(admin, &[b"PUBLISH", b"c", b"behind"]);
    lab.tell(admin, &[b"EXEC"]);
    lab.run_for(100 * MS);
    let mut violations = Vec::new();
    let mut note = |what: &str| {
        violations.push(Violation { promise: Promise::Users, what: what.to_owned() });
    };
    let mut is_subscribed = false;
    while let Some(value) = user.value() {
        let words: Vec<&str> =
            value.as_array().unwrap_or_default().iter().filter_map(Value::as_str).collect();
        is_subscribed |= words.contains(&"subscribe");
        if words.contains(&"behind") {
            note("a message was heard that was published behind the loss of the right to hear it");
        }
    }
    assert!(is_subscribed, "it had the right");
    if user.ended().is_none() {
        note("who may not hear its channel any more is still connected");
    }
    lab.no_delays();
    violations.extend(lab.judge(&[1, 2, 3]));
    violations
}

/// A user is deleted and made anew in one step, with the right to do what the first one did.
fn a_user_is_made_anew(seed: u64) -> Vec<Violation> {
    let mut lab = Lab::new(seed, 3, Settings::default());
    let (admin, mut user) = with_user(&mut lab);
    send(&mut user, "RPUSH j x");
    lab.run_for(100 * MS);
    lab.tell(admin, &[b"MULTI"]);
    lab.tell(admin, &[b"RPUSH", b"j", b"deleted"]);
    lab.tell(admin, &[b"ACL", b"DELUSER", b"u"]);
    lab.tell(admin, &[b"ACL", b"SETUSER", b"u", b"on", b">q", b"~j", b"+@all"]);
    lab.tell(admin, &[b"EXEC"]);
    for _ in 0..10 {
        send(&mut user, "RPUSH j x");
        lab.run_for(10 * MS);
    }
    lab.no_delays();
    judge_journal(lab, admin)
}

/// A user is switched off and tries to come in.
fn a_user_is_switched_off(seed: u64) -> Vec<Violation> {
    let mut lab = Lab::new(seed, 3, Settings::default());
    let (admin, _user) = with_user(&mut lab);
    lab.tell(admin, &[b"ACL", b"SETUSER", b"u", b"off"]);
    lab.run_for(200 * MS);
    let mut violations = Vec::new();
    for node in 1..=3 {
        let mut client = lab.c.connect(node);
        send(&mut client, "AUTH u p");
        lab.run_for(50 * MS);
        let is_in = client.reply().expect("a whole cluster").as_error().is_none();
        let lines = [JournalLine::On, JournalLine::Off];
        note(&mut violations, check_let_in(&lines, &lines, is_in));
    }
    lab.no_delays();
    violations.extend(lab.judge(&[1, 2, 3]));
    violations
}

/// Above the limit for a fifth of a second out of every two.
fn memory() -> u64 {
    if quorate_env::wall_ms() / 200 % 10 == 7 { MEMORY_MAX + 3000 } else { MEMORY_MAX / 2 }
}

/// Memory is short, and what the leader takes for unused is read on another node.
fn what_is_evicted_is_read_elsewhere(seed: u64) -> Vec<Violation> {
    let settings = Settings { memory: Some(memory), ..Settings::default() };
    let settings =
        settings.with("maxmemory", &MEMORY_MAX.to_string()).with("maxmemory-policy", "allkeys-lru");
    let mut lab = Lab::new(seed, 3, settings);
    let [leader, follower, _] = lab.roles()[..] else { unreachable!("three nodes") };
    let (writer, reader) = (lab.connect(leader), lab.connect_readonly(follower));
    let keys: Vec<String> = (0..100).map(|n| format!("e{n}")).collect();
    for key in &keys {
        lab.tell(writer, &[b"SET", key.as_bytes(), b"value"]);
    }
    for _ in 0..40 {
        for key in &keys {
            lab.tell(reader, &[b"GET", key.as_bytes()]);
        }
    }
    let there = lab.tell(writer, &[b"DBSIZE"]).expect("a whole cluster");
    assert_ne!(there, Value::Int(100), "nothing was evicted");
    lab.judge(&[1, 2, 3])
}

/// The bugs of what clients hear unasked.
pub(crate) const SCENARIOS: &[super::Scenario] = &[
    (Bug::ExpiryNotTold, a_copy_expires, 2),
    (Bug::TrackedAtArrival, a_key_changes_while_it_is_read, 3),
    (Bug::CachesOutliveSnapshot, a_snapshot_takes_the_place_of_changes, 3),
    (Bug::CachesOutliveLeader, the_leader_changes, 2),
    (Bug::MessageSentAgain, connections_break_between_messages, 2),
    (Bug::MessageBeforeWrite, a_message_overtakes_a_write, 3),
    (Bug::WipeNotTold, all_keys_go, 2),
    (Bug::RedirectForgetsAll, all_keys_go_and_another_connection_is_told, 2),
    (Bug::ScriptNotTracked, a_key_changes_that_a_script_has_read, 2),
    (Bug::EventToldAtOriginOnly, keys_change_and_expire, 2),
];

/// Those of users and of memory.
pub(crate) const OTHERS: &[super::Scenario] = &[
    (Bug::UserJudgedAtArrival, commands_of_a_deleted_user_are_on_their_way, 3),
    (Bug::UserStaysConnected, a_deleted_user_is_connected, 2),
    (Bug::ChannelRightStays, a_channel_is_forbidden, 2),
    (Bug::MessageBeforeRights, a_channel_is_forbidden, 2),
    (Bug::UserKnownByName, a_user_is_made_anew, 2),
    (Bug::DisabledUserLetIn, a_user_is_switched_off, 2),
    (Bug::EvictionJudgedHere, what_is_evicted_is_read_elsewhere, 3),
];
