//! Users of a storm that come, lose their rights and go, and their clients: see [`check_journal`].

use std::collections::VecDeque;
use std::time::Duration;

use quorate_checkers::{
    JournalLine, Violation, check_heard, check_journal, check_let_in, check_shown, mutes,
};
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
const ON: &str = "on";
const OFF: &str = "off";
const MUTED: &str = "muted";
const UNMUTED: &str = "unmuted";
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
    /// What is not answered.
    waiting: VecDeque<Asked>,
    /// A change of rights was answered on it.
    has_changed: bool,
}

/// What an answer is to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// Anything else.
    Plain,
    /// The journal.
    Journal,
    /// The journal, before it asks to be let in.
    Before,
    /// To be let in.
    Auth,
    /// The journal, behind the answer to that.
    After,
    /// To hear messages.
    Subscribe,
    /// The journal, behind the answer to that.
    Subscribed,
}

impl Line {
    fn new(cluster: &mut SimCluster) -> Self {
        let nodes = cluster.numbers().count();
        let node = cluster.world().rng().usize(1..=nodes);
        Self {
            node,
            since: cluster.now(),
            client: cluster.connect(node),
            waiting: VecDeque::new(),
            has_changed: false,
        }
    }

    fn send(&mut self, words: &[&str], asked: Asked) {
        // Messages come between: what waits for an answer is counted here.
        self.client.send_for_pushes(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>());
        self.waiting.push_back(asked);
    }

    fn send_all(&mut self, lines: &[&[&str]]) {
        lines.iter().for_each(|line| self.send(line, Asked::Plain));
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
    /// What the journal said before it asked to be let in.
    before: Option<Vec<JournalLine>>,
    /// It has been let in, or has not.
    is_let_in: Option<bool>,
    /// It has been let in, and that was right.
    is_in: bool,
    /// It listens to the channel of its user; `Some`: how often that had lost the right to when it had begun to, at most.
    listens: bool,
    mutes: Option<u64>,
    /// Behind which losses of the right what it has heard was published.
    heard: Vec<u64>,
}

/// A name, and which of the users that bear it is the present one.
#[derive(Clone, Default)]
struct Name {
    text: String,
    generation: u64,
    exists: bool,
    /// It may not listen.
    is_muted: bool,
    /// How often it has lost the right to.
    mutes: u64,
}

/// What is to be changed, and is not known to be.
struct Change {
    which: usize,
    /// What is known of the user afterwards.
    then: Name,
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
                    member.judge_heard();
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
        let (which, draw, leaves) = (rng.usize(..NAMES), rng.u8(..16), rng.u8(..16) == 0);
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
        while let Some(reply) = line.client.value() {
            line.waiting.pop_front();
            let parts = reply.as_array().unwrap_or_default();
            let is_fine = reply.as_error().or(parts.iter().find_map(Value::as_error)).is_none();
            match &mut self.change {
                Some(change) if is_fine && !change.steps.is_empty() => {
                    for step in std::mem::take(&mut change.steps) {
                        line.send(&step.iter().map(String::as_str).collect::<Vec<_>>(), Asked::Plain);
                    }
                }
                Some(change) if is_fine && line.waiting.is_empty() => {
                    self.names[change.which] = change.then.clone();
                    line.has_changed = true;
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
        let (journal, channel) = (name.journal(), name.channel());
        let mut then = name.clone();
        if !name.exists {
            then.begin();
            self.journals.push(then.journal());
            let steps = vec![note(&then.journal(), ON), then.creation()];
            return self.ask_for(which, then, steps);
        }
        let rule = |rules: &[&str]| words(&[&["ACL", "SETUSER", &name.text], rules].concat());
        let delete = words(&["ACL", "DELUSER", &name.text]);
        let steps = match draw {
            0..3 => vec![note(&journal, REVOKED), rule(&["-@write"])],
            3..6 => vec![note(&journal, GRANTED), rule(&["+@write"])],
            6..8 => return line.send(&["RPUSH", FEED, MARK], Asked::Plain),
            8 => vec![note(&journal, OFF), rule(&["off"])],
            9 => vec![note(&journal, ON), rule(&["on"])],
            10..12 if name.is_muted => {
                then.is_muted = false;
                vec![note(&journal, UNMUTED), rule(&[&format!("&{channel}")])]
            }
            // Nobody may hear what stands behind the loss of the right.
            10..12 => {
                (then.is_muted, then.mutes) = (true, name.mutes + 1);
                let message = words(&["PUBLISH", &channel, &then.mutes.to_string()]);
                vec![note(&journal, MUTED), rule(&["resetchannels"]), message]
            }
            // On a connection without a write before, it might overtake the loss of the right on its way to another node.
            12..14 if line.has_changed => {
                let mutes = name.mutes.to_string();
                return line.send(&["PUBLISH", &channel, &mutes], Asked::Plain);
            }
            12..15 => {
                then.exists = false;
                vec![note(&journal, DELETED), delete]
            }
            // Another user of the same name, who may do what the first one could.
            _ => {
                then.begin();
                self.journals.push(then.journal());
                vec![note(&journal, DELETED), delete, note(&then.journal(), ON), then.creation()]
            }
        };
        self.ask_for(which, then, steps);
    }

    /// Sends a transaction; its steps when MULTI was answered.
    fn ask_for(&mut self, which: usize, then: Name, mut steps: Vec<Vec<String>>) {
        let Some(line) = &mut self.admin else { return };
        steps.push(words(&["EXEC"]));
        line.send(&["MULTI"], Asked::Plain);
        self.change = Some(Change { which, then, steps });
    }

    fn log_in(&self, cluster: &mut SimCluster) -> Option<(Member, Duration)> {
        let which = cluster.world().rng().usize(..NAMES);
        let name = &self.names[which];
        if !name.exists {
            return None;
        }
        let mut line = Line::new(cluster);
        line.send(&["HELLO", "3"], Asked::Plain);
        if cluster.world().rng().bool() {
            line.send(&["READONLY"], Asked::Plain);
        }
        let journal = name.journal();
        line.send(&["LRANGE", &journal, "0", "-1"], Asked::Before);
        line.send(&["AUTH", &name.text, &format!("p{}", name.generation)], Asked::Auth);
        line.send(&["LRANGE", &journal, "0", "-1"], Asked::After);
        let listens = cluster.world().rng().bool();
        if listens {
            line.send(&["SUBSCRIBE", &name.channel()], Asked::Subscribe);
            line.send(&["LRANGE", &journal, "0", "-1"], Asked::Subscribed);
        }
        Some((Member::new(line, journal), cluster.now()))
    }

    /// On a whole cluster: what the journals say, and who is still connected.
    pub(crate) fn judge(&mut self, cluster: &mut SimCluster) {
        cluster.run_for(SECOND / 10);
        let mut client = cluster.connect(1);
        let (mut deleted, mut muted) = (Vec::new(), Vec::new());
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
            let is_about = |line: &&JournalLine| matches!(line, JournalLine::Muted | JournalLine::Unmuted);
            if lines.iter().rfind(is_about) == Some(&JournalLine::Muted) {
                muted.push(journal.clone());
            }
        }
        for (member, _) in self.members.iter_mut().flatten() {
            self.answered += take(member);
            member.judge_heard();
            assert!(
                !(member.mutes.is_some() && muted.contains(&member.journal))
                    || member.line.client.ended().is_some(),
                "users: a subscriber that lost the right to listen ({}) is still connected to node {}",
                member.journal,
                member.line.node
            );
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
    /// Another user begins to bear it.
    fn begin(&mut self) {
        let generation = self.generation + 1;
        *self = Self { text: std::mem::take(&mut self.text), generation, exists: true, ..Self::default() };
    }

    fn journal(&self) -> String {
        format!("j:{}:{}", self.text, self.generation)
    }

    fn channel(&self) -> String {
        format!("uc:{}:{}", self.text, self.generation)
    }

    /// It may use the journals of those before it: who is one of them has no right to.
    fn creation(&self) -> Vec<String> {
        let (password, keys) = (format!(">p{}", self.generation), format!("~j:{}:*", self.text));
        let (feed, channel) = (format!("~{FEED}"), format!("&{}", self.channel()));
        words(&["ACL", "SETUSER", &self.text, "reset", "on", &password, &keys, &feed, &channel, "+@all"])
    }
}

fn words(line: &[&str]) -> Vec<String> {
    line.iter().map(|word| (*word).to_owned()).collect()
}

fn note(journal: &str, text: &str) -> Vec<String> {
    words(&["RPUSH", journal, text])
}

/// What a journal says; `None`: the answer is no journal.
fn lines(reply: &Value) -> Option<Vec<JournalLine>> {
    let line = |value: &Value| match value.as_str() {
        Some(GRANTED) => JournalLine::Granted,
        Some(REVOKED) => JournalLine::Revoked,
        Some(DELETED) => JournalLine::Deleted,
        Some(ON) => JournalLine::On,
        Some(OFF) => JournalLine::Off,
        Some(MUTED) => JournalLine::Muted,
        Some(UNMUTED) => JournalLine::Unmuted,
        _ => JournalLine::OfUser,
    };
    Some(reply.as_array()?.iter().map(line).collect())
}

/// Panics if a promise was broken.
fn sure(journal: &str, verdict: Result<(), Violation>) {
    if let Err(violation) = verdict {
        panic!("{journal}: {violation}");
    }
}

impl Member {
    fn new(line: Line, journal: String) -> Self {
        let (before, is_let_in) = (None, None);
        Self {
            line,
            journal,
            before,
            is_let_in,
            is_in: false,
            listens: false,
            mutes: None,
            heard: Vec::new(),
        }
    }

    /// Takes one answer.
    fn answered(&mut self, asked: Asked, reply: &Value) {
        let lines = lines(reply);
        let journal = &self.journal;
        match asked {
            Asked::Plain => {}
            Asked::Before => self.before = lines,
            Asked::Auth => {
                let error = reply.as_error();
                let is_refused = error.is_some_and(|error| error.starts_with("WRONGPASS "));
                self.is_let_in = (error.is_none() || is_refused).then_some(!is_refused);
                self.is_in = error.is_none();
            }
            // Who was let in while deleted is shown nothing, and its connection ends.
            Asked::After => {
                if let (Some(before), Some(after), Some(is_let_in)) = (&self.before, &lines, self.is_let_in) {
                    sure(journal, check_let_in(before, after, is_let_in));
                }
                if !self.is_in {
                    // It tries again as somebody else.
                    self.line.since = Duration::ZERO;
                    self.line.waiting.push_back(Asked::Plain);
                }
            }
            Asked::Journal => {
                if let Some(lines) = lines {
                    sure(journal, check_shown(&lines));
                }
            }
            Asked::Subscribe => self.listens = self.is_in && reply.as_error().is_none(),
            Asked::Subscribed => self.mutes = lines.filter(|_| self.listens).map(|lines| mutes(&lines)),
        }
    }

    /// Nothing that it has heard was published behind the loss of its right to hear it.
    fn judge_heard(&mut self) {
        let Some(mutes) = self.mutes else { return };
        for told in std::mem::take(&mut self.heard) {
            sure(&self.journal, check_heard(mutes, told));
        }
    }
}

/// Takes answers; how many were no errors.
fn take(member: &mut Member) -> u64 {
    let mut answered = 0;
    while let Some(value) = member.line.client.value() {
        if let Value::Push(parts) = &value
            && parts.first().and_then(Value::as_str) == Some("message")
        {
            let told = parts.get(2).and_then(Value::as_str).and_then(|text| text.parse().ok());
            member.heard.push(told.expect("a number"));
            continue;
        }
        let asked = member.line.waiting.pop_front().expect("a reply for each command");
        answered += u64::from(member.is_in && value.as_error().is_none());
        member.answered(asked, &value);
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
        5 => line.send(&["BLMOVE", FEED, journal, "LEFT", "RIGHT", &wait], Asked::Plain),
        6 => {
            line.send_all(&[&append]);
            line.send(&["LRANGE", journal, "0", "-1"], Asked::Journal);
        }
        _ => line.send(&["LRANGE", journal, "0", "-1"], Asked::Journal),
    }
}
