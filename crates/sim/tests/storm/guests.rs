//! Clients of a storm that keep copies of values and hear messages (R18).

use std::collections::BTreeSet;
use std::time::Duration;

use quorate_checkers::{
    Message, Violation, check_complete, check_held, check_notices, check_order, check_unbroken,
};
use quorate_sim::{
    CHANGES, Caching, Habits, Listener, OF_EVENTS, OF_KEYS, Published, Record, Redirected, RedirectedHabits,
    SimCluster, Subscription, Wipe, key_changes,
};

use super::faults::Faults;
use super::{MS, SECOND};

/// How many there are.
const GUESTS: usize = 4;
/// How long one pauses between what it does, at most.
const PAUSE_MS: u32 = 80;
/// How long one waits until it is connected, and for an answer on a whole cluster.
const PATIENCE: Duration = Duration::from_secs(1);
/// When one sees that the process it is connected to has died.
const BROKEN_AFTER: Duration = Duration::from_millis(200);
/// Keys that all of them read and write.
const KEYS: u8 = 8;
/// Where they publish: two channels, and one of a shard.
const CHANNELS: [&str; 2] = ["t:c0", "t:c1"];
const SHARD: &str = "t:shard";
/// Within this time the ways of messages between nodes are whole again: connections on which something got lost are given up by then.
const HEALING: Duration = Duration::from_secs(12);
/// How many messages each node sends to each in the end.
const LAST_MESSAGES: usize = 10;

struct Guest {
    listener: Listener,
    since: Duration,
    next: Duration,
    /// How often its node had seen the leader change, and installed a snapshot, when the guest was ready.
    seen: Option<(u64, u64)>,
}

/// One who is told on a connection beside.
struct Pair {
    client: Redirected,
    since: Duration,
    next: Duration,
    /// How often its node had seen the leader change when it was ready.
    leaders: Option<u64>,
}

/// What is different from storm to storm.
#[derive(Clone, Copy, Default)]
pub(crate) struct Ways {
    /// Keyspace notifications are on.
    pub(crate) notifies: bool,
    /// Now and then all keys go at once.
    pub(crate) wipes: bool,
}

/// All of them, and what those before them have lived through.
#[derive(Default)]
pub(crate) struct Guests {
    ways: Ways,
    guests: Vec<Option<Guest>>,
    pair: Option<Pair>,
    ids: u64,
    records: Vec<Record>,
    /// What was published through a node and had to reach those who stayed with it, each with what it heard.
    lost_second: Option<Duration>,
    answered: u64,
}

impl Guests {
    pub(crate) fn new(ways: Ways) -> Self {
        Self { ways, guests: (0..GUESTS).map(|_| None).collect(), ..Self::default() }
    }

    /// How many commands of theirs were answered.
    pub(crate) fn answered(&self) -> u64 {
        self.answered
    }

    /// Takes what has arrived, and asks for more.
    pub(crate) fn step(&mut self, cluster: &mut SimCluster, faults: &Faults, more: bool) {
        if faults.lost_second() != self.lost_second {
            // What was not synced may never have been: the numbers of changes are given once more.
            self.lost_second = faults.lost_second();
            self.leave();
            self.judge_records();
        }
        self.step_pair(cluster, faults, more);
        for i in 0..self.guests.len() {
            let Some(guest) = &mut self.guests[i] else {
                if more {
                    self.guests[i] = Some(self.arrive(cluster));
                }
                continue;
            };
            let now = cluster.now();
            let died = faults.died(guest.listener.node());
            let is_dead = died.is_some_and(|died| died >= guest.since && now > died + BROKEN_AFTER);
            follow(guest, cluster);
            let late = guest.listener.ready().is_none() && now > guest.since + PATIENCE;
            if guest.listener.is_over() || is_dead || late && more {
                let gone = self.guests[i].take().expect("it is there");
                self.note(gone.listener.finish());
            } else if more && guest.listener.is_idle() && now >= guest.next {
                guest.next = now + cluster.world().rng().u32(..=PAUSE_MS) * MS;
                if act(&mut guest.listener, cluster, self.ways.wipes) {
                    let gone = self.guests[i].take().expect("it is there");
                    self.note(gone.listener.finish());
                }
            }
        }
    }

    fn step_pair(&mut self, cluster: &mut SimCluster, faults: &Faults, more: bool) {
        let Some(pair) = &mut self.pair else {
            if more {
                self.pair = Some(self.arrive_in_pair(cluster));
            }
            return;
        };
        let (now, node) = (cluster.now(), pair.client.node());
        let died = faults.died(node);
        let is_dead = died.is_some_and(|died| died >= pair.since && now > died + BROKEN_AFTER);
        follow_pair(pair, cluster);
        let late = pair.client.ready().is_none() && now > pair.since + PATIENCE;
        let leaves = more && pair.client.is_idle() && now >= pair.next && {
            let rng = cluster.world().rng();
            pair.next = now + rng.u32(..=PAUSE_MS) * MS;
            match rng.u8(..100) {
                0..60 => pair.client.get(&name(rng.u8(..KEYS))),
                60..70 => (0..KEYS).for_each(|key| pair.client.get(&name(key))),
                _ => pair.client.sync(),
            }
            rng.u8(..100) == 0
        };
        if pair.client.is_over() || is_dead || late && more || leaves {
            let gone = self.pair.take().expect("it is there");
            self.note(gone.client.finish());
        }
    }

    fn arrive_in_pair(&mut self, cluster: &mut SimCluster) -> Pair {
        self.ids += 1;
        let nodes = cluster.numbers().count();
        let rng = cluster.world().rng();
        let node = rng.usize(1..=nodes);
        let kinds = [Caching::Default, Caching::Default, Caching::Broadcast, Caching::OptIn, Caching::OptOut];
        let caching = kinds[rng.usize(..kinds.len())];
        let habits = RedirectedHabits { readonly: rng.bool(), caching, told_in_resp3: rng.u8(..3) == 0 };
        let (reader, beside) = (cluster.connect(node), cluster.connect(node));
        let client = Redirected::new(reader, beside, self.ids, node, habits);
        Pair { client, since: cluster.now(), next: cluster.now(), leaders: None }
    }

    fn arrive(&mut self, cluster: &mut SimCluster) -> Guest {
        self.ids += 1;
        let nodes = cluster.numbers().count();
        let rng = cluster.world().rng();
        let node = rng.usize(1..=nodes);
        let kinds = [
            Caching::Default,
            Caching::Default,
            Caching::Broadcast,
            Caching::OptIn,
            Caching::OptOut,
            Caching::No,
        ];
        let subscriptions = [
            vec![
                Subscription::Channel(CHANNELS[0]),
                Subscription::Channel(CHANNELS[1]),
                Subscription::Shard(SHARD),
            ],
            vec![Subscription::Pattern("t:c*"), Subscription::Channel(CHANNELS[0])],
        ];
        let mut habits = Habits {
            readonly: rng.bool(),
            caching: kinds[rng.usize(..kinds.len())],
            noloop: rng.u8(..3) == 0,
            subscriptions: subscriptions[rng.usize(..2)].clone(),
        };
        if self.ways.notifies && rng.bool() {
            let of = Subscription::Pattern([OF_KEYS, OF_EVENTS][rng.usize(..2)]);
            habits.subscriptions.extend([of, Subscription::Channel(CHANGES)]);
        }
        let pause = rng.u32(..=PAUSE_MS) * MS;
        let listener = Listener::new(cluster.connect(node), self.ids, node, habits);
        Guest { listener, since: cluster.now(), next: cluster.now() + pause, seen: None }
    }

    fn note(&mut self, record: Record) {
        self.answered += record.answered;
        self.records.push(record);
    }

    /// All of them end.
    fn leave(&mut self) {
        for gone in std::mem::take(&mut self.guests).into_iter().flatten() {
            self.note(gone.listener.finish());
        }
        self.guests = (0..GUESTS).map(|_| None).collect();
        if let Some(gone) = self.pair.take() {
            self.note(gone.client.finish());
        }
    }

    /// On a whole cluster: compares all copies that are left, has everybody hear everybody, and judges everything.
    pub(crate) fn judge(&mut self, cluster: &mut SimCluster) {
        self.compare_all(cluster);
        let published: Vec<Published> =
            self.all_records().flat_map(|record| record.published.clone()).collect();
        for guest in self.guests.iter().flatten() {
            let (node, before) = (guest.listener.node(), guest.seen.map(|(leaders, _)| leaders));
            if guest.listener.habits().caching != Caching::No {
                told_of_leaders(node, before, guest.listener.record().dropped_all, cluster);
            }
            must_have_heard(&guest.listener, &published);
        }
        if let Some(pair) = &self.pair {
            told_of_leaders(pair.client.node(), pair.leaders, pair.client.record().dropped_all, cluster);
        }
        self.leave();
        self.judge_records();
        hear_each_other(cluster, &mut self.ids);
    }

    fn all_records(&self) -> impl Iterator<Item = &Record> {
        let guests = self.guests.iter().flatten().map(|guest| guest.listener.record());
        let pair = self.pair.iter().map(|pair| pair.client.record());
        self.records.iter().chain(guests).chain(pair)
    }

    fn compare_all(&mut self, cluster: &mut SimCluster) {
        let end = cluster.now() + PATIENCE;
        for guest in self.guests.iter_mut().flatten().filter(|guest| guest.listener.is_idle()) {
            (0..KEYS).for_each(|key| guest.listener.compare(&name(key)));
        }
        let waits = |guest: &Guest| guest.listener.ready().is_some() && !guest.listener.is_idle();
        while cluster.now() < end && self.guests.iter().flatten().any(waits) {
            cluster.run_for(MS);
            self.guests.iter_mut().flatten().for_each(|guest| follow(guest, cluster));
        }
        // Nothing changes any more: what is told beside is told by now.
        let Some(pair) = &mut self.pair else { return };
        let steps: [fn(&mut Redirected); 2] =
            [|client| (0..KEYS).for_each(|key| client.get(&name(key))), Redirected::sync];
        for step in steps {
            let end = cluster.now() + PATIENCE;
            if pair.client.is_idle() {
                step(&mut pair.client);
            }
            while cluster.now() < end && !pair.client.is_idle() && !pair.client.is_over() {
                cluster.run_for(MS);
                follow_pair(pair, cluster);
            }
        }
    }

    fn judge_records(&mut self) {
        let changes = key_changes(&self.records);
        for record in std::mem::take(&mut self.records) {
            sure(check_held(&record.held, &changes));
            sure(check_order(&record.heard));
            sure(check_unbroken(&record.of_log));
            sure(check_notices(&record.notices));
        }
    }
}

/// Panics if a promise was broken: the storm tells its story then.
fn sure(verdict: Result<(), Violation>) {
    if let Err(violation) = verdict {
        panic!("{violation}");
    }
}

fn name(key: u8) -> String {
    format!("t:k{key}")
}

/// Takes what has arrived, and looks at what its node has been through.
fn follow(guest: &mut Guest, cluster: &SimCluster) {
    let stats = cluster.stats(guest.listener.node()).map(|stats| (stats.leader_changes, stats.installs));
    match (stats, guest.seen) {
        (Some((_, installs)), Some((leaders, before))) if installs != before => {
            guest.listener.forget_log();
            guest.seen = Some((leaders, installs));
        }
        (None, _) => guest.listener.stop_following(),
        _ => {}
    }
    sure(guest.listener.take(cluster.now()));
    if guest.seen.is_none() && guest.listener.ready().is_some() {
        guest.seen = stats;
    }
}

/// The same for who is told on a connection beside.
fn follow_pair(pair: &mut Pair, cluster: &SimCluster) {
    let leaders = cluster.stats(pair.client.node()).map(|stats| stats.leader_changes);
    sure(pair.client.take(cluster.now()));
    if pair.leaders.is_none() && pair.client.ready().is_some() {
        pair.leaders = leaders;
    }
}

/// After each change of leader, whoever caches is told to drop everything. `before`: how many its node had seen when it was ready.
fn told_of_leaders(node: usize, before: Option<u64>, told: u64, cluster: &SimCluster) {
    let now = cluster.stats(node).map(|stats| stats.leader_changes);
    let (Some(now), Some(before)) = (now, before) else { return };
    assert!(
        told >= now - before,
        "fresh-caches: the leader has changed {} times, and a client of node {node} was told {told} times to drop everything",
        now - before,
    );
}

/// What was published through its own node reaches whoever stays.
fn must_have_heard(listener: &Listener, published: &[Published]) {
    let Some(since) = listener.ready() else { return };
    let names: Vec<&str> = listener
        .habits()
        .subscriptions
        .iter()
        .filter_map(|subscription| match subscription {
            Subscription::Channel(name) | Subscription::Shard(name) => Some(*name),
            Subscription::Pattern(_) => None,
        })
        .collect();
    let here = |one: &&Published| {
        let is_for_it = names.contains(&&*one.message.channel);
        one.node == listener.node() && one.is_answered && one.at >= since && is_for_it
    };
    let sent: Vec<Message> = published.iter().filter(here).map(|one| one.message.clone()).collect();
    sure(check_complete(&listener.record().heard, &sent));
}

/// Does something; whether it leaves.
fn act(listener: &mut Listener, cluster: &mut SimCluster, wipes: bool) -> bool {
    let now = cluster.now();
    let rng = cluster.world().rng();
    let key = name(rng.u8(..KEYS));
    match rng.u8(..100) {
        0..34 => listener.get(&key),
        34..44 => listener.compare(&key),
        44..47 => listener.get_in_log(&key),
        47..50 => listener.get_by_script(&key, rng.bool()),
        50..54 => (0..KEYS).for_each(|key| listener.get(&name(key))),
        54..74 => {
            let ms = [None, Some(rng.u32(20..400)), Some(100_000)][rng.usize(..3)];
            listener.write(&key, ms);
        }
        74..78 => listener.remove(&key),
        78..90 => {
            let which = rng.usize(..CHANNELS.len());
            (0..rng.u8(1..4)).for_each(|_| listener.publish(CHANNELS[which], false, now));
        }
        90..93 => listener.publish(SHARD, true, now),
        93..98 => listener.tell(),
        98 if wipes => {
            let keys: Vec<String> = (0..KEYS).map(name).collect();
            listener.wipe([Wipe::Database, Wipe::Swap][rng.usize(..2)], &keys);
        }
        98 => listener.tell(),
        _ => return true,
    }
    false
}

/// Once everything is mended, messages from each node reach clients of each node, and none is missing.
fn hear_each_other(cluster: &mut SimCluster, ids: &mut u64) {
    let nodes: Vec<usize> = cluster.numbers().collect();
    let habits = Habits {
        readonly: false,
        caching: Caching::No,
        noloop: false,
        subscriptions: vec![Subscription::Channel(CHANNELS[0])],
    };
    let mut all: Vec<Listener> = Vec::new();
    for n in &nodes {
        *ids += 1;
        all.push(Listener::new(cluster.connect(*n), *ids, *n, habits.clone()));
    }
    let run = |cluster: &mut SimCluster, all: &mut [Listener], time: Duration| {
        let end = cluster.now() + time;
        while cluster.now() < end {
            cluster.run_for(MS);
            all.iter_mut().for_each(|listener| sure(listener.take(cluster.now())));
        }
    };
    let ready = cluster.now() + PATIENCE;
    while cluster.now() < ready && !all.iter().all(Listener::is_idle) {
        run(cluster, &mut all, MS);
    }
    // The first ones may meet connections of the time before.
    let end = cluster.now() + HEALING;
    let present: BTreeSet<u64> = (0..nodes.len() as u64).map(|n| *ids - n).collect();
    let has_heard = |listener: &Listener| -> BTreeSet<u64> {
        listener.record().heard.iter().map(|message| message.publisher).collect()
    };
    // Messages of guests who have left may arrive, too.
    while !all.iter().all(|listener| has_heard(listener).is_superset(&present)) {
        let of = |listener: &Listener| (listener.node(), listener.is_idle(), has_heard(listener));
        assert!(
            cluster.now() < end,
            "heals: messages do not reach all nodes of a whole cluster: (node, can publish, has heard) {:?}",
            all.iter().map(of).collect::<Vec<_>>()
        );
        publish(&mut all, cluster.now());
        run(cluster, &mut all, SECOND / 20);
    }
    let before: Vec<usize> = all.iter().map(|listener| listener.record().published.len()).collect();
    for _ in 0..LAST_MESSAGES {
        publish(&mut all, cluster.now());
        run(cluster, &mut all, 5 * MS);
    }
    run(cluster, &mut all, SECOND / 10);
    let of = |(listener, before): (&Listener, &usize)| listener.record().published[*before..].to_vec();
    let sent: Vec<Message> = all.iter().zip(&before).flat_map(of).map(|one| one.message).collect();
    for listener in all {
        let record = listener.finish();
        sure(check_order(&record.heard));
        sure(check_complete(&record.heard, &sent));
    }
}

fn publish(all: &mut [Listener], now: Duration) {
    for listener in all.iter_mut().filter(|listener| listener.is_idle()) {
        listener.publish(CHANNELS[0], false, now);
    }
}
