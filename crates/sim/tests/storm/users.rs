//! Users of a storm that come, lose their rights and go, and their clients: see [`check_journal`].

use std::collections::VecDeque;
use std::time::Duration;

use quorate_checkers::{JournalLine, check_journal, check_shown};
use quorate_resp::Value;
use quorate_sim::{SimClient, SimCluster};

use super::faults::Faults;
use super::{MS, SECOND};

/// How many names there are; users who bear them come and go.
const NAMES: usize = 2;
/// How many clients these have together.
const CLIENTS: usize = 3;
/// How long one pauses between what it does, at most.
const PAUSE_MS: u32 = 40;
/// The same for whoever gives and takes rights.
const ADMIN_PAUSE_MS: u32 = 150;
/// How long one waits for an answer before it goes elsewhere.
const PATIENCE: Duration = Duration::from_secs(7);
/// When one sees that the process it is connected to has died.
const BROKEN_AFTER: Duration = Duration::from_millis(200);
/// Notes in journals.
const GRANTED: &str = "granted";
const REVOKED: &str = "revoked";
const DELETED: &str = "deleted";
/// What users append.
const MARK: &str = "x";
/// Elements that users have moved into their journals.
const FEED: &str = "j:feed";
const APPEND: &str = "return redis.call('RPUSH', KEYS[1], ARGV[1])";

/// A connection that is made.
struct Line {
    node: usize,
    since: Duration,
    client: SimClient,
    /// What is not answered: whether the answer shows a journal.
    waiting: VecDeque<bool>,
}

impl Line {
    fn new(cluster: &mut SimCluster) -> Self {
        let nodes = cluster.numbers().count();
        let node = cluster.world().rng().usize(1..=nodes);
        Self { node, since: cluster.now(), client: cluster.connect(node), waiting: VecDeque::new() }
    }

    fn send(&mut self, words: &[&str], shows: bool) {
        self.client.send(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>());
        self.waiting.push_back(shows);
    }

    fn send_all(&mut self, lines: &[&[&str]]) {
        lines.iter().for_each(|line| self.send(line, false));
    }

    /// Whether nothing will come of it any more.
    fn is_over(&mut self, cluster: &SimCluster, faults: &Faults) -> bool {
        let died = faults
            .died(self.node)
            .is_some_and(|died| died >= self.since && cluster.now() > died + BROKEN_AFTER);
        let is_stuck = !self.waiting.is_empty() && cluster.now() > self.since + PATIENCE;
        died || is_stuck || self.client.ended().is_some()
    }
}

/// A client of a user.
struct Member {
    line: Line,
    journal: String,
    /// It has been let in.
    is_in: bool,
}

/// A name, and which of the users that bear it is the present one.
#[derive(Default)]
struct Name {
    text: String,
    generation: u64,
    exists: bool,
}

/// What is to be changed, and is not known to be.
struct Change {
    which: usize,
    /// Whether the user exists afterwards.
    exists: bool,
    /// What is sent when MULTI was answered: outside of a transaction it would mean something else.
    steps: Vec<Vec<String>>,
}

/// All of them.
pub(crate) struct Users {
    admin: Option<Line>,
    admin_next: Duration,
    change: Option<Change>,
    /// How many names there were.
    named: u64,
    lost_second: Option<Duration>,
    names: Vec<Name>,
    members: Vec<Option<(Member, Duration)>>,
    journals: Vec<String>,
    answered: u64,
}

impl Users {
    pub(crate) fn new() -> Self {
        Self {
            admin: None,
            admin_next: Duration::ZERO,
            change: None,
            named: 0,
            lost_second: None,
            names: (0..NAMES).map(|_| Name::default()).collect(),
            members: (0..CLIENTS).map(|_| None).collect(),
            journals: Vec::new(),
            answered: 0,
        }
    }

    /// How many commands of users were answered without an error.
    pub(crate) fn answered(&self) -> u64 {
        self.answered
    }

    pub(crate) fn step(&mut self, cluster: &mut SimCluster, faults: &Faults, more: bool) {
        self.administer(cluster, faults, more);
        for i in 0..self.members.len() {
            match &mut self.members[i] {
                Some((member, next)) => {
                    self.answered += take(member);
                    if member.line.is_over(cluster, faults) {
                        self.members[i] = None;
                    } else if more && member.is_in && member.line.waiting.is_empty() && cluster.now() >= *next
                    {
                        *next = cluster.now() + cluster.world().rng().u32(..=PAUSE_MS) * MS;
                        member.line.since = cluster.now();
                        act(member, cluster);
                    }
                }
                None if more => self.members[i] = self.log_in(cluster),
                None => {}
            }
        }
    }

    /// Gives and takes rights, one after the other.
    fn administer(&mut self, cluster: &mut SimCluster, faults: &Faults, more: bool) {
        if faults.lost_second() != self.lost_second {
            // What was answered may not have been.
            self.lost_second = faults.lost_second();
            (0..NAMES).for_each(|which| self.rename(which));
            self.admin = None;
        }
        self.take_admin_answers();
        if self.admin.as_mut().is_some_and(|line| line.is_over(cluster, faults)) {
            self.admin = None;
        }
        if self.admin.is_none() {
            self.forget_change();
        }
        if !more || cluster.now() < self.admin_next {
            return;
        }
        let line = self.admin.get_or_insert_with(|| Line::new(cluster));
        if !line.client.is_connected() || !line.waiting.is_empty() {
            return;
        }
        line.since = cluster.now();
        self.admin_next = line.since + cluster.world().rng().u32(..=ADMIN_PAUSE_MS) * MS;
        let rng = cluster.world().rng();
        let (which, draw, leaves) = (rng.usize(..NAMES), rng.u8(..10), rng.u8(..16) == 0);
        self.begin_change(which, draw);
        if leaves {
            // With an answer on its way.
            self.admin = None;
        }
    }

    /// What is known of a name is not certain any more: it is not used again.
    fn rename(&mut self, which: usize) {
        self.names[which] = Name::default();
    }

    fn forget_change(&mut self) {
        if let Some(change) = self.change.take() {
            self.rename(change.which);
        }
    }

    fn take_admin_answers(&mut self) {
        let Some(line) = &mut self.admin else { return };
        while let Some(reply) = line.client.reply() {
            line.waiting.pop_front();
            let parts = reply.as_array().unwrap_or_default();
            let is_fine = reply.as_error().or(parts.iter().find_map(Value::as_error)).is_none();
            match &mut self.change {
                Some(change) if is_fine && !change.steps.is_empty() => {
                    for step in std::mem::take(&mut change.steps) {
                        line.send(&step.iter().map(String::as_str).collect::<Vec<_>>(), false);
                    }
                }
                Some(change) if is_fine && line.waiting.is_empty() => {
                    self.names[change.which].exists = change.exists;
                    self.change = None;
                }
                Some(change) if !is_fine => {
                    self.names[change.which] = Name::default();
                    self.change = None;
                }
                _ => {}
            }
        }
    }

    fn begin_change(&mut self, which: usize, draw: u8) {
        let Some(line) = &mut self.admin else { return };
        let name = &mut self.names[which];
        if name.text.is_empty() {
            self.named += 1;
            name.text = format!("u{}", self.named);
        }
        if !name.exists {
            name.generation += 1;
            let journal = name.journal();
            let password = format!(">p{}", name.generation);
            let keys = [format!("~{journal}"), format!("~{FEED}")];
            let rules = ["ACL", "SETUSER", &name.text, "reset", "on", &password, &keys[0], &keys[1], "+@all"];
            line.send(&rules, false);
            self.journals.push(journal);
            self.change = Some(Change { which, exists: true, steps: Vec::new() });
            return;
        }
        let (note, rule) = match draw {
            0..3 => (REVOKED, vec!["ACL", "SETUSER", &name.text, "-@write"]),
            3..6 => (GRANTED, vec!["ACL", "SETUSER", &name.text, "+@write"]),
            6..8 => return line.send(&["RPUSH", FEED, MARK], false),
            _ => (DELETED, vec!["ACL", "DELUSER", &name.text]),
        };
        let journal = name.journal();
        let steps = [vec!["RPUSH", &journal, note], rule, vec!["EXEC"]];
        let steps = steps.iter().map(|step| step.iter().map(|word| (*word).to_owned()).collect()).collect();
        line.send(&["MULTI"], false);
        self.change = Some(Change { which, exists: note != DELETED, steps });
    }

    fn log_in(&self, cluster: &mut SimCluster) -> Option<(Member, Duration)> {
        let which = cluster.world().rng().usize(..NAMES);
        let name = &self.names[which];
        if !name.exists {
            return None;
        }
        let mut line = Line::new(cluster);
        line.send(&["AUTH", &name.text, &format!("p{}", name.generation)], false);
        Some((Member { line, journal: name.journal(), is_in: false }, cluster.now()))
    }

    /// On a whole cluster: what the journals say, and who is still connected.
    pub(crate) fn judge(&mut self, cluster: &mut SimCluster) {
        cluster.run_for(SECOND / 10);
        let mut client = cluster.connect(1);
        let mut deleted = Vec::new();
        for journal in &self.journals {
            let reply = cluster.call(&mut client, &[b"LRANGE", journal.as_bytes(), b"0", b"-1"], 5 * SECOND);
            let reply = reply.unwrap_or_else(|error| panic!("{journal} is not there to be read: {error}"));
            let lines =
                lines(&reply).unwrap_or_else(|| panic!("{journal} is not there to be read: {reply:?}"));
            if let Err(violation) = check_journal(&lines) {
                panic!("{journal}: {violation}: {lines:?}");
            }
            if lines.contains(&JournalLine::Deleted) {
                deleted.push(journal.clone());
            }
        }
        for (member, _) in self.members.iter_mut().flatten() {
            self.answered += take(member);
            let is_deleted = member.is_in && deleted.contains(&member.journal);
            assert!(
                !is_deleted || member.line.client.ended().is_some(),
                "users: a client of a deleted user ({}) is still connected to node {}",
                member.journal,
                member.line.node
            );
        }
    }
}

impl Name {
    fn journal(&self) -> String {
        format!("j:{}:{}", self.text, self.generation)
    }
}

/// What a journal says; `None`: the answer is no journal.
fn lines(reply: &Value) -> Option<Vec<JournalLine>> {
    let line = |value: &Value| match value.as_str() {
        Some(GRANTED) => JournalLine::Granted,
        Some(REVOKED) => JournalLine::Revoked,
        Some(DELETED) => JournalLine::Deleted,
        _ => JournalLine::OfUser,
    };
    Some(reply.as_array()?.iter().map(line).collect())
}

/// Takes answers; how many were no errors.
fn take(member: &mut Member) -> u64 {
    let mut answered = 0;
    while let Some(reply) = member.line.client.reply() {
        let shows = member.line.waiting.pop_front().expect("a reply for each command");
        answered += u64::from(member.is_in && reply.as_error().is_none());
        if !member.is_in {
            // Without it, it tries again as somebody else.
            member.is_in = reply.as_error().is_none();
            if !member.is_in {
                member.line.since = Duration::ZERO;
                member.line.waiting.push_back(false);
            }
        } else if shows
            && let Some(lines) = lines(&reply)
            && let Err(violation) = check_shown(&lines)
        {
            panic!("{}: {violation}", member.journal);
        }
    }
    answered
}

/// A user does something: one thing, or several at once.
fn act(member: &mut Member, cluster: &mut SimCluster) {
    let Member { line, journal, .. } = member;
    let (draw, wait) = (cluster.world().rng().u8(..10), cluster.world().rng().u32(1..60));
    let wait = (f64::from(wait) / 100.0).to_string();
    let append = ["RPUSH", journal.as_str(), MARK];
    match draw {
        0..3 => line.send_all(&[&append, &append]),
        3 => line.send_all(&[&["EVAL", APPEND, "1", journal, MARK]]),
        4 => line.send_all(&[&["MULTI"], &append, &append, &["EXEC"]]),
        5 => line.send(&["BLMOVE", FEED, journal, "LEFT", "RIGHT", &wait], false),
        6 => {
            line.send_all(&[&append]);
            line.send(&["LRANGE", journal, "0", "-1"], true);
        }
        _ => line.send(&["LRANGE", journal, "0", "-1"], true),
    }
}
