//! The crate `redis`: see `tests/clients/conftest.py`.
//!
//! Connections with one address, of a node that survives: no command may fail, and none may take effect twice. And a cluster
//! client, told of all nodes, which repeats commands by itself: what was acknowledged is there.

mod play;

use std::thread;
use std::time::Duration;

use redis::cluster::{ClusterClient, ClusterConnection};
use redis::streams::{StreamReadOptions, StreamReadReply};
use redis::{Client, Commands, Connection, ControlFlow, PubSubCommands, RedisResult, Script};

use crate::play::Play;

const APPEND: &str = "return {redis.call('RPUSH', KEYS[1], ARGV[1]), redis.call('INCR', KEYS[2])}";

fn connect(port: u16) -> Connection {
    // The environment of a test has no variable parameters: an address is enough.
    let url = format!("redis://127.0.0.1:{port}/?protocol=resp3");
    Client::open(url).and_then(|client| client.get_connection()).expect("a node that survives")
}

/// Transactions and plain pipelines. Returns the number of rounds.
fn pipelines(play: &Play, mut c: Connection, who: u32) -> usize {
    play.rounds(25, |n| {
        let log = format!("log:{who}");
        let (length, total): (usize, usize) =
            redis::pipe().atomic().rpush(&log, n).incr(format!("total:{who}"), 1).query(&mut c).unwrap();
        assert_eq!((length, total), (n + 1, n + 1));
        let mut plain = redis::pipe();
        for key in 0..20 {
            let key = format!("plain:{who}:{key}");
            plain.set(&key, n).ignore().get(&key);
        }
        assert_eq!(plain.query::<Vec<usize>>(&mut c).unwrap(), vec![n; 20]);
    })
}

/// A script, by EVALSHA.
fn scripts(play: &Play, mut c: Connection) -> usize {
    let append = Script::new(APPEND);
    play.rounds(25, |n| {
        let counts: (usize, usize) =
            append.key("scripted").key("scripted:count").arg(n).invoke(&mut c).unwrap();
        assert_eq!(counts, (n + 1, n + 1));
    })
}

/// WATCH, MULTI, EXEC, again until nobody was in between.
fn optimistic(play: &Play, mut c: Connection) -> usize {
    play.rounds(10, |_| {
        redis::transaction(&mut c, &["watched"], |c, pipe| {
            let value: Option<usize> = c.get("watched")?;
            pipe.set("watched", value.unwrap_or(0) + 1).query::<Option<()>>(c)
        })
        .unwrap();
    })
}

/// Entries of a stream, and elements of a list for one who waits at it. The last ones say END.
fn produce(play: &Play, mut c: Connection) -> usize {
    let count = play.rounds(25, |n| {
        let _: String = c.xadd("stream", "*", &[("n", n)]).unwrap();
        let _: usize = c.rpush("queue", n).unwrap();
    });
    let _: String = c.xadd("stream", "*", &[("n", "END")]).unwrap();
    let _: usize = c.rpush("queue", "END").unwrap();
    count
}

fn consume(mut c: Connection) -> Vec<usize> {
    let options = StreamReadOptions::default().group("group", "worker").count(5).block(100);
    let mut seen = Vec::new();
    loop {
        let reply: Option<StreamReadReply> = c.xread_options(&["stream"], &[">"], &options).unwrap();
        for entry in reply.into_iter().flat_map(|reply| reply.keys).flat_map(|key| key.ids) {
            assert_eq!(c.xack::<_, _, _, usize>("stream", "group", &[&entry.id]).unwrap(), 1);
            match entry.get::<String>("n").unwrap().parse() {
                Ok(n) => seen.push(n),
                Err(_) => return seen,
            }
        }
    }
}

fn take(mut c: Connection) -> Vec<usize> {
    let mut taken = Vec::new();
    loop {
        let (_, element): (String, String) = c.blpop("queue", 30.0).unwrap();
        match element.parse() {
            Ok(n) => taken.push(n),
            Err(_) => return taken,
        }
    }
}

/// Returns the number of messages, and which of them was the first after the kill.
fn publish(play: &Play, mut c: Connection) -> (usize, usize) {
    let mut first = None;
    let count = play.rounds(25, |n| {
        if play.is_killed() {
            first.get_or_insert(n);
        }
        let _: usize = c.publish("news", n).unwrap();
    });
    let _: usize = c.publish("news", "END").unwrap();
    (count, first.expect("rounds go on behind the kill"))
}

fn listen(port: u16, ready: &std::sync::Barrier) -> Vec<usize> {
    // In RESP2, as most programs do it: a connection of its own.
    let mut c = Client::open(format!("redis://127.0.0.1:{port}/")).unwrap().get_connection().unwrap();
    let mut heard = Vec::new();
    let mut waiting = Some(ready);
    c.subscribe(&["news", "ready"], |message: redis::Msg| {
        let text: String = message.get_payload().unwrap();
        match (message.get_channel_name(), text.parse()) {
            ("ready", _) => {
                if let Some(ready) = waiting.take() {
                    ready.wait();
                }
                ControlFlow::Continue
            }
            (_, Ok(n)) => {
                heard.push(n);
                ControlFlow::Continue
            }
            (_, Err(_)) => ControlFlow::Break(()),
        }
    })
    .unwrap();
    heard
}

/// What one caller knows of its keys and its counter.
#[derive(Default)]
struct Account {
    who: u32,
    sets: usize,
    acknowledged: usize,
    unknown: usize,
    again: usize,
}

/// Setting again does no harm, so that is done until it has worked. Counting is not repeated by the application. A connection
/// to a cluster tries the node that it knows as leader for ever: after an error, the application asks for a new one.
fn cluster_caller(play: &Play, cluster: &ClusterClient, who: u32) -> Account {
    let mut c = cluster.get_connection().expect("a cluster");
    let mut account = Account { who, ..Account::default() };
    account.sets = play.rounds(25, |n| {
        let key = format!("key:{who}:{n}");
        while set_and_get(&mut c, &key, n).is_err() {
            account.again += 1;
            thread::sleep(Duration::from_millis(50));
            renew(&mut c, cluster);
        }
        match c.incr::<_, _, usize>(format!("count:{who}"), 1) {
            Ok(_) => account.acknowledged += 1,
            Err(_) => {
                account.unknown += 1;
                renew(&mut c, cluster);
            }
        }
    });
    account
}

fn renew(c: &mut ClusterConnection, cluster: &ClusterClient) {
    if let Ok(new) = cluster.get_connection() {
        *c = new;
    }
}

fn set_and_get(c: &mut ClusterConnection, key: &str, n: usize) -> RedisResult<()> {
    c.set::<_, _, ()>(key, n)?;
    assert_eq!(c.get::<_, usize>(key)?, n);
    Ok(())
}

/// The client repeats what was under way when its connection broke: for each caller one command may have taken effect twice.
fn check(account: &Account, c: &mut ClusterConnection) {
    for n in 0..account.sets {
        let value: Option<usize> = c.get(format!("key:{}:{n}", account.who)).unwrap();
        assert_eq!(value, Some(n), "an acknowledged SET was lost");
    }
    let count: usize = c.get(format!("count:{}", account.who)).unwrap();
    assert!(account.acknowledged <= count && count <= account.acknowledged + account.unknown + 1);
}

fn main() {
    let play = Play::listen(13);
    let [one, two] = play.survivors;
    let mut c = connect(one);
    let _: () = c.xgroup_create_mkstream("stream", "group", "$").unwrap();
    let nodes: Vec<String> = play.nodes.iter().map(|port| format!("redis://127.0.0.1:{port}/")).collect();
    let cluster = ClusterClient::builder(nodes).response_timeout(Duration::from_secs(10)).build().unwrap();
    let ready = std::sync::Barrier::new(2);

    thread::scope(|scope| {
        let play = &play;
        let heard = scope.spawn(|| listen(two, &ready));
        let mut subscribers: usize = 0;
        while subscribers == 0 {
            subscribers = redis::cmd("PUBLISH").arg("ready").arg("?").query(&mut connect(two)).unwrap();
        }
        ready.wait();
        let seen = scope.spawn(move || consume(connect(two)));
        let taken = scope.spawn(move || take(connect(one)));

        let rows = [(one, 1), (two, 2), (two, 3)]
            .map(|(port, who)| scope.spawn(move || pipelines(play, connect(port), who)));
        let scripted = scope.spawn(move || scripts(play, connect(two)));
        let watched = [one, two, two].map(|port| scope.spawn(move || optimistic(play, connect(port))));
        let entries = scope.spawn(move || produce(play, connect(one)));
        let messages = scope.spawn(move || publish(play, connect(one)));
        let callers = [0, 1, 2, 3].map(|who| {
            let cluster = &cluster;
            scope.spawn(move || cluster_caller(play, cluster, who))
        });

        let rows = rows.map(|thread| thread.join().unwrap());
        let scripted = scripted.join().unwrap();
        let watched: usize = watched.map(|thread| thread.join().unwrap()).iter().sum();
        let entries = entries.join().unwrap();
        let (messages, first) = messages.join().unwrap();
        let accounts = callers.map(|thread| thread.join().unwrap());
        let (seen, taken, heard) = (seen.join().unwrap(), taken.join().unwrap(), heard.join().unwrap());

        for (who, rows) in (1..).zip(rows) {
            let log: Vec<usize> = c.lrange(format!("log:{who}"), 0, -1).unwrap();
            assert!(log.into_iter().eq(0..rows), "a transaction was lost, doubled or reordered");
        }
        assert!(c.lrange::<_, Vec<usize>>("scripted", 0, -1).unwrap().into_iter().eq(0..scripted));
        assert_eq!(
            c.get::<_, usize>("watched").unwrap(),
            watched,
            "an update between WATCH and EXEC was lost"
        );
        assert!(seen.into_iter().eq(0..entries) && taken.into_iter().eq(0..entries));
        // At most once, in order; and neither of the two nodes died: nothing excuses a message of the time after.
        assert!(
            heard.is_sorted_by(|a, b| a < b) && (first..messages).all(|n| heard.contains(&n)),
            "{heard:?}"
        );
        let mut c = cluster.get_connection().unwrap();
        accounts.iter().for_each(|account| check(account, &mut c));

        let sum = |of: fn(&Account) -> usize| accounts.iter().map(of).sum::<usize>();
        println!(
            r#"{{"transactions": {}, "scripts": {scripted}, "watched": {watched}, "entries": {entries}, "messages": {messages}, "missed": {}, "acknowledged": {}, "unknown": {}, "again": {}}}"#,
            rows.iter().sum::<usize>(),
            messages - heard.len(),
            sum(|a| a.acknowledged + a.sets),
            sum(|a| a.unknown),
            sum(|a| a.again),
        );
    });
}
