//! MIGRATE: keys go to another server, and are deleted here.
//!
//! A key is read together with the version of the state, sent as RESTORE, and deleted once the target has said OK: by a
//! transaction that watches it from that version on (R16). Whatever fails on the way and whoever writes the key meanwhile,
//! it is here, or there, or in both places, never in none, and what is deleted here is what the target has got. The log
//! holds that deletion and nothing else.

mod request;
mod round;
mod target;

use std::collections::VecDeque;
use std::rc::Rc;

use quorate_env::{Instant, timeout_at};
use quorate_keyspace::CommandError;
use quorate_planted::{Bug, is_planted};
use quorate_replica::{Token, Transaction, Watched};

use self::request::Request;
use self::round::{Item, Round};
use self::target::{IOERR_CONNECT, Target};
use crate::call::Call;
use crate::connection::Connection;
use crate::node::Node;

/// How many commands may be connected to a target at once; others wait for one of them to end.
pub(crate) const UNDER_WAY_MAX: usize = 64;
/// A round of keys ends with the one that makes it longer than this.
const ROUND_BYTES: usize = 4 << 20;
/// So many keys are in a round at the most.
const ROUND_KEYS: usize = 256;
/// How often a key is sent in all, if it changes meanwhile and may replace what the target has.
const TRIES: usize = 3;
/// The versions of the serialization that Redis 7.2 and 7.0 read.
const RDB_VERSION: u16 = 11;
const RDB_VERSION_BEFORE: u16 = 10;
/// What a target says that reads an older one only.
const TOO_NEW: &str = "DUMP payload version or checksum are wrong";

type Done = Result<(), CommandError>;

/// What there was to do.
enum Outcome {
    Moved,
    NoKey,
}

/// A key on its way.
struct Key {
    name: Vec<u8>,
    /// How often it was sent.
    sent: usize,
    /// Its deadline when it was sent, in Unix time; 0: none.
    expire_at_ms: u64,
}

pub(super) async fn migrate(node: Rc<Node>, connection: Rc<Connection>, args: Vec<Vec<u8>>) {
    let outcome = carry_out(&node, &connection, &args).await;
    connection.reply(&mut |reply| match &outcome {
        Ok(Outcome::Moved) => reply.ok(),
        Ok(Outcome::NoKey) => reply.simple("NOKEY"),
        Err(error) => reply.error(error),
    });
}

async fn carry_out(
    node: &Rc<Node>,
    connection: &Rc<Connection>,
    args: &[Vec<u8>],
) -> Result<Outcome, CommandError> {
    let request = Request::parse(args)?;
    if !any_exists(node, connection.db.get(), &request).await? {
        return Ok(Outcome::NoKey);
    }
    let deadline = Instant::now() + request.timeout;
    let permit = timeout_at(deadline, node.migrations.acquire()).await.map_err(|_| IOERR_CONNECT)?;
    let target = Target::connect(node, &request).await?;
    let names = request.keys.iter().cloned();
    let keys = names.map(|name| Key { name, sent: 0, expire_at_ms: 0 }).collect();
    let migration = Migration {
        node,
        connection,
        request: &request,
        target,
        keys,
        rdb_version: RDB_VERSION,
        first_error: None,
    };
    let done = migration.run().await;
    drop(permit);
    done.map(|()| Outcome::Moved)
}

async fn any_exists(node: &Node, db: usize, request: &Request) -> Result<bool, CommandError> {
    let mut line: Vec<&[u8]> = vec![b"EXISTS"];
    line.extend(request.keys.iter().map(Vec::as_slice));
    if line.len() == 1 {
        return Ok(false);
    }
    Ok(Call::read(&node.replica, db, &line).answer().await?.bytes != b":0\r\n")
}

struct Migration<'a> {
    node: &'a Rc<Node>,
    connection: &'a Connection,
    request: &'a Request,
    target: Target,
    /// Still to be sent.
    keys: VecDeque<Key>,
    /// What the target reads, as far as is known.
    rdb_version: u16,
    /// The first key that could not be moved says why.
    first_error: Option<CommandError>,
}

impl Migration<'_> {
    async fn run(mut self) -> Done {
        self.target.greet(self.request).await?;
        while !self.keys.is_empty() {
            let mut round = self.read().await?;
            for item in &round.items {
                self.target.restore(item, round.payload(item), self.request.replace).await?;
            }
            self.target.flush().await?;
            let (taken, broken) = self.outcomes(&mut round).await;
            if !self.request.copy {
                self.delete(taken, round.version).await?;
            }
            broken?;
        }
        self.first_error.map_or(Ok(()), Err)
    }

    /// Reads the next keys.
    async fn read(&mut self) -> Result<Round, CommandError> {
        let (rdb_version, bytes) = (self.rdb_version.to_string(), ROUND_BYTES.to_string());
        let mut line: Vec<&[u8]> = vec![b"\0extract", rdb_version.as_bytes(), bytes.as_bytes()];
        line.extend(self.keys.iter().take(ROUND_KEYS).map(|key| key.name.as_slice()));
        let answer = Call::read(&self.node.replica, self.connection.db.get(), &line).answer().await?;
        let now_ms = self.node.now_ms();
        let (round, missing) = Round::new(answer, self.rdb_version, &mut self.keys, now_ms);
        for key in missing {
            // What was never sent is none of this command's keys.
            if key.sent > 0 && !key.is_over(now_ms) {
                self.note(format!(
                    "ERR {} was deleted here while it was sent: the target has it",
                    key.quoted()
                ));
            }
        }
        Ok(round)
    }

    /// What the target says: the keys that it has taken, and whether it went on to the end.
    async fn outcomes(&mut self, round: &mut Round) -> (Vec<Item>, Done) {
        let mut taken = Vec::new();
        for item in std::mem::take(&mut round.items) {
            match self.target.reply().await {
                Ok(Ok(())) => taken.push(item),
                Ok(Err(text)) if text.contains(TOO_NEW) && round.rdb_version > RDB_VERSION_BEFORE => {
                    self.rdb_version = RDB_VERSION_BEFORE;
                    self.keys.push_back(item.key);
                }
                Ok(Err(text)) => self.note(format!("ERR Target instance replied with error: {text}")),
                Err(error) => {
                    let error = self.first_error.clone().unwrap_or(error);
                    return (taken, Err(error));
                }
            }
        }
        (taken, Ok(()))
    }

    /// Deletes what the target has taken, each key if it is as it was sent.
    async fn delete(&mut self, taken: Vec<Item>, version: u64) -> Done {
        let (replica, db) = (&self.node.replica, self.connection.db.get());
        let calls: Vec<_> = taken
            .into_iter()
            .map(|item| {
                let mut transaction = Transaction::default();
                if !is_planted(Bug::MigratedUnwatched) {
                    let token = Token { version, existed: true };
                    let name = item.key.name.clone();
                    let bytes = name.len();
                    transaction.watch(Watched::from([((db, name), token)]), bytes);
                }
                transaction.command(db, &[b"DEL", &item.key.name]);
                (item.key, Call::transaction(replica, transaction))
            })
            .collect();
        let mut failed = Ok(());
        for (key, call) in calls {
            match call.answer().await {
                Ok(answer) if answer.bytes.starts_with(b"*1\r\n") => {
                    self.connection.written.set(answer.index);
                    self.connection.seen.set(answer.index);
                }
                Ok(_) => self.changed(key),
                Err(error) => failed = failed.and(Err(left_behind(&key, &error))),
            }
        }
        failed
    }

    /// A key was written, or has gone, since it was read.
    fn changed(&mut self, key: Key) {
        if key.is_over(self.node.now_ms()) {
            return;
        }
        if self.request.replace && key.sent < TRIES {
            return self.keys.push_back(key);
        }
        let text = format!(
            "ERR {} changed while it was sent, so it was not deleted here: the target has what it was before. Send it \
             again, with REPLACE",
            key.quoted()
        );
        self.note(text);
    }

    fn note(&mut self, text: String) {
        self.first_error.get_or_insert_with(|| CommandError::new(text));
    }
}

/// The target has a key, and whether it is deleted here is not known, or it is not.
fn left_behind(key: &Key, error: &CommandError) -> CommandError {
    let text = error.text();
    CommandError::new(format!("{text} (deleting {}, which the target has got)", key.quoted()))
}

impl Key {
    /// Whether its time has passed, so that it is nowhere.
    fn is_over(&self, now_ms: u64) -> bool {
        self.expire_at_ms != 0 && self.expire_at_ms <= now_ms
    }

    /// For errors.
    fn quoted(&self) -> String {
        const SHOWN_MAX: usize = 100;
        let shown = &self.name[..self.name.len().min(SHOWN_MAX)];
        format!("the key '{}'", shown.escape_ascii())
    }
}
