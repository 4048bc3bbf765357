//! `quorate torture`: real processes, real kills, pauses and partitions, and a verdict for every promise.
//!
//! [`torture/clients.rs`](clients) drives a mixed workload and writes down what it was told; [`faults`] breaks things
//! meanwhile, the [`network`] through [`proxy`] or [`netns`] and the disks through [`disks`]; [`watcher`] asks the nodes who leads and what they hold; [`verdict`] checks the
//! history, [`report`] tells it. [`target`] is what is attacked: Quorate, or Redis with Sentinel ([`sentinel`]).
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a tool at the entry of server: its files, processes and waits are real"
)]

mod clients;
mod disks;
mod faults;
mod history;
mod keys;
mod netns;
mod network;
mod proxy;
mod remains;
mod report;
mod selection;
mod sentinel;
mod target;
mod verdict;
mod watcher;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::ValueEnum;
use quorate_checkers::{Promise, Violation};
use quorate_env::{Instant, wall_ms};

use crate::admin;
use crate::cli;
use crate::client::Client;
use crate::local_cluster::{LocalCluster, Plan, free_ports};
use crate::shutdown::{Interrupted, StopFlag, stop_flag};
use clients::{Control, Diary, Worker};
use disks::Disks;
pub(crate) use disks::{boot_id_file, data_folder};
pub(crate) use faults::FaultKind;
use faults::{Record, Storm};
pub(crate) use network::NetworkKind;
use network::{Links, Note, Wires};
pub(crate) use proxy::NUMBERS;
use report::{Memory, Report};
use selection::Selection;
use sentinel::Redis;
use target::{Machines, Route};
use verdict::{Findings, Remains};
use watcher::{Sight, Watcher};

/// Parameters of the nodes, unless `--set` says otherwise. Queues so small that a leak shows; a log so small that a run of a
/// minute sees many snapshots, purges and new files.
const SETS: [&str; 4] =
    ["queue-memory-limit=64mb", "segment-size=1mb", "snapshot-log-size=2mb", "log-keep-size=1mb"];
const TICK: Duration = Duration::from_millis(20);
/// How often progress is shown.
const PROGRESS: Duration = Duration::from_secs(5);
const START_TIME: Duration = Duration::from_secs(60);
/// How long a node has to answer whether it works again.
const ANSWER_TIME: Duration = Duration::from_secs(2);
/// How long after a violation of `heals` it is still tried to read what remains.
const READ_TIME: Duration = Duration::from_secs(60);
/// How long the clients go on after everything works again.
const AFTERMATH: Duration = Duration::from_secs(1);
/// How long nodes have to come to the same entry when nobody writes any more.
const LEVEL_TIME: Duration = Duration::from_secs(20);

/// What is attacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    /// A cluster of this program
    Quorate,
    /// Redis: a primary, replicas and as many sentinels, for comparison; needs redis-server
    RedisSentinel,
}

/// Runs the attack; the exit code is 1 if a promise was broken.
pub(crate) fn run(command: &cli::Torture) -> anyhow::Result<ExitCode> {
    let stop = stop_flag()?;
    let folder = Folder::new(command.keep.as_deref())?;
    // A short one, so that it is easily typed again.
    let seed = command.seed.unwrap_or_else(|| wall_ms() % 1_000_000);
    let attack = Attack { command, seed, stop, dir: folder.path().to_owned() };
    let outcome = match command.target {
        Target::Quorate => attack.quorate(),
        Target::RedisSentinel => attack.redis(),
    };
    match outcome {
        Ok((report, _)) if report.violations == 0 && command.keep.is_none() => {
            tell(command, &report)?;
            Ok(ExitCode::SUCCESS)
        }
        Ok((mut report, evidence)) => {
            let path = folder.keep();
            report.folder = Some(path.display().to_string());
            evidence.write(&path, &report, command)?;
            tell(command, &report)?;
            Ok(if report.violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Err(error) if error.is::<Interrupted>() => Err(error),
        Err(error) => {
            let path = folder.keep();
            Err(error.context(format!("the run could not be finished; logs stay in {}", path.display())))
        }
    }
}

/// JSON goes to the output, for programs; the text, if that is what was asked for.
fn tell(command: &cli::Torture, report: &Report) -> anyhow::Result<()> {
    let text = if command.json { serde_json::to_string_pretty(report)? + "\n" } else { report.text() };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Where the nodes live: a temporary folder, or the one that was named.
enum Folder {
    Temporary(tempfile::TempDir),
    Named(PathBuf),
}

impl Folder {
    fn new(named: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = named else {
            let folder = tempfile::Builder::new().prefix("quorate-torture-").tempdir();
            return Ok(Self::Temporary(folder.context("a temporary folder")?));
        };
        fs::create_dir_all(path).with_context(|| format!("the folder {}", path.display()))?;
        let path = path.canonicalize()?;
        let is_empty = fs::read_dir(&path)?.next().is_none();
        ensure!(is_empty, "--keep {}: the folder is not empty; name a new one", path.display());
        Ok(Self::Named(path))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Temporary(folder) => folder.path(),
            Self::Named(path) => path,
        }
    }

    fn keep(self) -> PathBuf {
        match self {
            Self::Temporary(folder) => folder.keep(),
            Self::Named(path) => path,
        }
    }
}

/// One run.
struct Attack<'a> {
    command: &'a cli::Torture,
    seed: u64,
    stop: StopFlag,
    dir: PathBuf,
}

/// What is attacked, and how.
struct Field<'a> {
    machines: &'a mut dyn Machines,
    network: &'a dyn Links,
    disks: Option<&'a Disks>,
    kinds: &'a [FaultKind],
}

/// What the clients saw, what was done to the nodes, and what was found at once.
struct Course {
    diaries: Vec<Diary>,
    faults: Vec<Record>,
    violations: Vec<Violation>,
    /// When the clients ended.
    end: Duration,
    healed: Option<Duration>,
}

/// What stays behind for whoever looks for the reason.
struct Evidence {
    diaries: Vec<Diary>,
    faults: Vec<Record>,
    violations: Vec<Violation>,
}

impl Attack<'_> {
    fn quorate(&self) -> anyhow::Result<(Report, Evidence)> {
        let mut selection = Selection::new(self.command, &self.dir, self.seed)?;
        let disks = selection.disks.take();
        let outcome = self.attack_nodes(&selection, disks.as_ref());
        let passed = matches!(&outcome, Ok((report, _)) if report.violations == 0);
        if let Some(disks) = disks
            && (!passed || self.command.keep.is_some())
        {
            disks.export()?;
        }
        outcome
    }

    fn attack_nodes(
        &self,
        selection: &Selection,
        disks: Option<&Disks>,
    ) -> anyhow::Result<(Report, Evidence)> {
        let nodes = self.command.nodes;
        let first = free_ports(nodes * 2)?;
        let mut sets: Vec<String> = SETS.iter().map(|pair| (*pair).to_owned()).collect();
        sets.push(format!("replication-factor={nodes}"));
        sets.extend(self.command.set.iter().cloned());
        let mut plan = Plan {
            dir: self.dir.clone(),
            nodes,
            port: first,
            sets,
            announced: None,
            places: Vec::new(),
            own_disks: disks.is_some(),
        };
        let (wires, note) = Wires::new(self.command, first, first + nodes)?;
        wires.fit(&mut plan);
        let mut cluster = LocalCluster::new(&plan)?;
        cluster.start(START_TIME, &self.stop).map_err(|error| match error.is::<Interrupted>() {
            true => error,
            false => error.context(wires.hint()),
        })?;
        self.say(&format!(
            "{nodes} nodes run in {}, the first one on {}; network: {}; {} clients, {} s, seed {}",
            self.dir.display(),
            cluster.nodes()[0].addr,
            note.name,
            self.command.clients,
            self.command.seconds,
            self.seed
        ))?;
        let addrs: Vec<(u64, String)> =
            cluster.nodes().iter().map(|node| (node.id, node.addr.clone())).collect();
        let route = Route::nodes(addrs.clone());
        open_accounts(&route)?;
        if let Some(disks) = disks.filter(|_| self.command.ignore_fsync) {
            disks.ignore_fsync();
        }
        let watcher = Watcher::default();
        let control = Control::new();
        let (mut course, remains) = thread::scope(|scope| {
            for (id, addr) in &addrs {
                let watcher = &watcher;
                scope.spawn(move || watcher.watch(*id, addr));
            }
            let leader = || watcher.leader();
            let works = || addrs.iter().find_map(|(id, addr)| why_not_working(*id, addr));
            let field =
                Field { machines: &mut cluster, network: wires.links(), disks, kinds: &selection.kinds };
            let outcome = self.drive(field, &route, &control, &leader, &works);
            let outcome =
                outcome.and_then(|course| Ok((self.read_remains(&route, &control, &course)?, course)));
            watcher.stop();
            outcome.map(|(remains, course)| (course, remains))
        })?;
        if let Some(violation) = self.level(&addrs)? {
            course.violations.push(violation);
        }
        let stubborn = cluster.stop();
        if stubborn > 0 {
            course
                .violations
                .push(Violation::new(Promise::Heals, format!("{stubborn} nodes did not end after SIGTERM")));
        }
        for diary in &course.diaries {
            let strange =
                diary.strange.iter().map(|what| Violation::new(Promise::HonestErrors, what.as_str()));
            course.violations.extend(strange);
        }
        Ok(self.conclude(course, note, &selection.left_out, &remains, Some(watcher.sight())))
    }

    fn redis(&self) -> anyhow::Result<(Report, Evidence)> {
        ensure!(self.command.network != NetworkKind::Namespaces, "--network namespaces is only for Quorate");
        let selection = Selection::new(self.command, &self.dir, self.seed)?;
        let (mut redis, network) = Redis::start(&self.dir, self.command.nodes, &self.stop)?;
        self.say(&format!(
            "{} and {} sentinels run in {}; {} clients, {} s, seed {}",
            redis.describe(),
            self.command.nodes,
            self.dir.display(),
            self.command.clients,
            self.command.seconds,
            self.seed
        ))?;
        let route = redis.route();
        open_accounts(&route)?;
        let control = Control::new();
        let lookup = redis.lookup();
        let leader = || lookup.primary();
        let works = || lookup.why_not_working();
        let field = Field { machines: &mut redis, network: &network, disks: None, kinds: &selection.kinds };
        let course = self.drive(field, &route, &control, &leader, &works)?;
        let remains = self.read_remains(&route, &control, &course)?;
        Ok(self.conclude(course, Note::proxy(), &selection.left_out, &remains, None))
    }

    /// Lets the clients work while faults come and go, then waits until everything works again.
    fn drive(
        &self,
        field: Field<'_>,
        route: &Route,
        control: &Control,
        leader: &dyn Fn() -> Option<u64>,
        works: &dyn Fn() -> Option<String>,
    ) -> anyhow::Result<Course> {
        thread::scope(|scope| {
            let clients: Vec<_> = (0..self.command.clients)
                .map(|number| scope.spawn(move || Worker::new(number, self.seed, route, control).run()))
                .collect();
            let mut storm = Storm::new(field, self.seed);
            let mut violations = Vec::new();
            let outcome = self
                .storm(&mut storm, control, leader)
                .and_then(|()| self.heal(&mut storm, control, works, &mut violations));
            control.stop();
            let diaries = clients.into_iter().map(|client| client.join().unwrap_or_default()).collect();
            let healed = outcome?;
            let (faults, problems) = storm.finish();
            violations.extend(problems.into_iter().map(|what| Violation::new(Promise::Heals, what)));
            Ok(Course { diaries, faults, violations, end: control.time(), healed })
        })
    }

    fn storm(
        &self,
        storm: &mut Storm<'_>,
        control: &Control,
        leader: &dyn Fn() -> Option<u64>,
    ) -> anyhow::Result<()> {
        let time = Duration::from_secs(self.command.seconds);
        let mut shown = Duration::ZERO;
        let (mut operations, mut pause) = (0, Duration::ZERO);
        while control.time() < time {
            ensure!(!self.stop.is_set(), Interrupted);
            let now = control.time();
            storm.turn(now, leader)?;
            pause = pause.max(now.saturating_sub(control.last_acknowledged()));
            if now >= shown + PROGRESS {
                let total = control.operations();
                let rate = (total - operations) as f64 / (now - shown).as_secs_f64();
                self.say(&format!(
                    "{:>5} s  {total:>8} operations ({rate:.0}/s)  {:>3} faults  longest pause of writes {:.2} s  {}",
                    now.as_secs(),
                    storm.count(),
                    pause.as_secs_f64(),
                    storm.present()
                ))?;
                (shown, operations) = (now, total);
            }
            thread::sleep(TICK);
        }
        Ok(())
    }

    /// Ends the faults and waits until everything works again; how long that took, if it did in time.
    fn heal(
        &self,
        storm: &mut Storm<'_>,
        control: &Control,
        works: &dyn Fn() -> Option<String>,
        violations: &mut Vec<Violation>,
    ) -> anyhow::Result<Option<Duration>> {
        while !storm.is_calm() {
            storm.look_after(control.time());
            storm.calm(control.time())?;
            thread::sleep(TICK);
        }
        let (begin, limit) = (Instant::now(), Duration::from_secs(self.command.heal_within));
        self.say("the faults have ended")?;
        let mut late = false;
        let healed = loop {
            ensure!(!self.stop.is_set(), Interrupted);
            storm.look_after(control.time());
            let Some(problem) = works() else { break begin.elapsed() };
            if begin.elapsed() > limit && !late {
                late = true;
                let what = format!("{limit:?} after the faults ended, {problem}");
                violations.push(Violation::new(Promise::Heals, what));
            }
            ensure!(begin.elapsed() < limit + READ_TIME, "the cluster does not come back: {problem}");
            thread::sleep(TICK);
        };
        self.say(&format!("everything works again after {:.1} s", healed.as_secs_f64()))?;
        thread::sleep(AFTERMATH);
        Ok((!late).then_some(healed))
    }

    fn read_remains(&self, route: &Route, control: &Control, course: &Course) -> anyhow::Result<Remains> {
        self.say("reading back what is there")?;
        let mut rng = fastrand::Rng::with_seed(self.seed);
        let deadline = Instant::now() + READ_TIME;
        loop {
            ensure!(!self.stop.is_set(), Interrupted);
            let events = course.diaries.iter().flat_map(|diary| &diary.events);
            let (_, mut client) = loop {
                match route.connect(&mut rng, READ_TIME) {
                    Some(found) => break found,
                    None => ensure!(Instant::now() < deadline, "nobody answers"),
                }
                thread::sleep(TICK);
            };
            match remains::read(&mut client, events, control) {
                Ok(remains) => return Ok(remains),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => thread::sleep(TICK),
            }
        }
    }

    /// Waits until all nodes are at the same entry, and compares what they hold.
    fn level(&self, addrs: &[(u64, String)]) -> anyhow::Result<Option<Violation>> {
        let deadline = Instant::now() + LEVEL_TIME;
        let ask = |addr: &str| admin::full_digest(&mut Client::connect(addr, None, LEVEL_TIME)?);
        loop {
            ensure!(!self.stop.is_set(), Interrupted);
            let digests: anyhow::Result<Vec<admin::Digest>> =
                addrs.iter().map(|(_, addr)| ask(addr)).collect();
            let problem = match digests {
                Ok(digests) if digests.windows(2).all(|pair| pair[0] == pair[1]) => return Ok(None),
                Ok(digests) if digests.windows(2).all(|pair| pair[0].index == pair[1].index) => {
                    let what = format!("when nobody writes any more, the nodes hold {digests:?}");
                    return Ok(Some(Violation::new(Promise::EqualDigests, what)));
                }
                Ok(digests) => format!("the nodes do not come to the same entry: {digests:?}"),
                Err(error) => format!("{error:#}"),
            };
            if Instant::now() > deadline {
                return Ok(Some(Violation::new(Promise::Heals, problem)));
            }
            thread::sleep(TICK);
        }
    }

    /// Checks everything.
    fn conclude(
        &self,
        course: Course,
        network: Note,
        left_out: &BTreeMap<&'static str, String>,
        remains: &Remains,
        sight: Option<Sight>,
    ) -> (Report, Evidence) {
        let Course { diaries, faults, mut violations, end, healed } = course;
        let events: Vec<_> = diaries.iter().flat_map(|diary| diary.events.iter().cloned()).collect();
        let findings = verdict::judge(&events, remains);
        violations.extend(findings.violations.iter().cloned());
        let terms = sight.as_ref().map_or(0, |sight| sight.terms);
        let memory = sight.as_ref().map(|sight| Memory::new(sight, &events));
        violations.extend(memory.as_ref().and_then(Memory::violation));
        let checked = checked(&findings, sight.as_ref(), memory.as_ref(), healed, self.command.heal_within);
        violations.extend(sight.into_iter().flat_map(|sight| sight.violations));
        let mut errors: BTreeMap<String, u64> = BTreeMap::new();
        for (code, count) in diaries.iter().flat_map(|diary| &diary.errors) {
            *errors.entry(code.clone()).or_default() += count;
        }
        let mut kinds: BTreeMap<&'static str, u64> = BTreeMap::new();
        for fault in &faults {
            *kinds.entry(fault.kind.name()).or_default() += 1;
        }
        let report = Report {
            target: self
                .command
                .target
                .to_possible_value()
                .map_or(String::new(), |v| v.get_name().to_owned()),
            seconds: self.command.seconds,
            nodes: self.command.nodes.into(),
            clients: self.command.clients,
            seed: self.seed,
            verdicts: report::verdicts(checked, &violations),
            violations: violations.len() as u64,
            operations: report::operations(&events, errors, &findings),
            network: network.name,
            network_reason: network.reason,
            faults: kinds,
            faults_left_out: left_out.clone(),
            memory,
            pauses: report::pauses(&events, &faults, end),
            terms,
            healed_ms: healed.map(report::millis),
            folder: None,
        };
        (report, Evidence { diaries, faults, violations })
    }

    /// Progress: beside the output if that is for programs.
    fn say(&self, text: &str) -> io::Result<()> {
        if self.command.json {
            return writeln!(io::stderr(), "{text}");
        }
        let mut out = io::stdout().lock();
        writeln!(out, "{text}")?;
        out.flush()
    }
}

/// What was looked at for each promise.
fn checked(
    findings: &Findings,
    sight: Option<&Sight>,
    memory: Option<&Memory>,
    healed: Option<Duration>,
    limit: u64,
) -> Vec<(Promise, String)> {
    let f = findings;
    let healed = healed.map_or_else(
        || format!("not within {limit} s after the faults"),
        |time| {
            format!("everything works again {:.1} s after the faults (limit {limit} s)", time.as_secs_f64())
        },
    );
    let mut checked = vec![
        (
            Promise::NoLostAck,
            format!("{} acknowledged unique writes, and counters, lists, transfers", f.acknowledged),
        ),
        (
            Promise::Linearizable,
            format!("{} keys: registers, counters, lists, expiry, WATCH and MULTI/EXEC, pipelines", f.keys),
        ),
        (
            Promise::HonestErrors,
            format!(
                "{} refused unique writes; of {} with an unknown outcome {} are there",
                f.refused, f.unknown, f.unknown_and_there
            ),
        ),
        (Promise::NoSilentCorruption, format!("{} values that were read", f.values)),
    ];
    checked.extend(memory.map(|memory| (Promise::Bounded, memory.to_string())));
    if let Some(sight) = sight {
        checked.push((Promise::OneLeader, format!("{} terms with a leader", sight.terms)));
        checked.push((Promise::SessionReads, format!("{} READONLY connections", f.sessions)));
        let digests =
            format!("{} digests compared while it ran, the contents of all nodes at the end", sight.compared);
        checked.push((Promise::EqualDigests, digests));
    }
    checked.push((Promise::Heals, healed));
    checked
}

/// What every account has at first.
fn open_accounts(route: &Route) -> anyhow::Result<()> {
    let (_, mut client) = route
        .connect(&mut fastrand::Rng::with_seed(0), START_TIME)
        .context("a connection for the first writes")?;
    for account in 0..keys::ACCOUNTS {
        client.expect(&["SET", &keys::account(account), &keys::INITIAL.to_string()])?;
    }
    Ok(())
}

/// Why a node does not take writes, if so.
fn why_not_working(id: u64, addr: &str) -> Option<String> {
    let attempt = Client::connect(addr, None, ANSWER_TIME)
        .and_then(|mut client| client.expect(&["SET", "torture:works", &id.to_string()]));
    attempt.err().map(|error| format!("node {id} takes no writes: {error}"))
}

const README: &str = "\
What `quorate torture` left here
================================

report.json     the verdict of each promise, with the first violations, and all figures
violations.txt  all violations
history.jsonl   every operation, one JSON object a line: who, on which connection, to which node, when it was sent and
                answered (nanoseconds since the clients began), what was asked and what was answered
faults.jsonl    what was done to the nodes, and when
node-*/         of each node: quorate.log, what it reported, and the data folder as the node left it; disk/data, where
                disks were broken

How to look for the reason
--------------------------

1. violations.txt names a key, and mostly a client and a time. All operations on that key:
       grep '\"note\":123' history.jsonl          (also: register, counter, list, key)
   in the order of \"begin\".
2. faults.jsonl tells what happened just before. The logs of the nodes carry the time of day; the history begins
   about when the last node reports that it serves.
3. The same seed draws the same faults, at about the same times; the command is below.

Please report it, with this folder: a broken promise is the worst bug that there can be.
";

impl Evidence {
    fn write(&self, dir: &Path, report: &Report, command: &cli::Torture) -> anyhow::Result<()> {
        let all = FaultKind::value_variants().iter().map(|kind| kind.name());
        let faults: Vec<&str> = all.filter(|kind| !report.faults_left_out.contains_key(kind)).collect();
        let again = format!(
            "quorate torture --seconds {} --nodes {} --clients {} --seed {} --target {} --network {} --faults {}{}",
            report.seconds,
            report.nodes,
            report.clients,
            report.seed,
            report.target,
            report.network,
            faults.join(","),
            if command.ignore_fsync { " --ignore-fsync" } else { "" }
        );
        fs::write(dir.join("README.txt"), format!("{README}\nThe same attack:\n    {again}\n"))?;
        fs::write(dir.join("report.json"), serde_json::to_string_pretty(report)? + "\n")?;
        let violations: Vec<String> =
            self.violations.iter().map(|violation| format!("{violation}\n")).collect();
        fs::write(dir.join("violations.txt"), violations.concat())?;
        write_lines(&dir.join("faults.jsonl"), self.faults.iter())?;
        let mut events: Vec<_> = self.diaries.iter().flat_map(|diary| &diary.events).collect();
        events.sort_by_key(|event| event.begin);
        write_lines(&dir.join("history.jsonl"), events.into_iter())
    }
}

fn write_lines<T: serde::Serialize>(path: &Path, items: impl Iterator<Item = T>) -> anyhow::Result<()> {
    let mut out = BufWriter::new(File::create(path).with_context(|| path.display().to_string())?);
    for item in items {
        serde_json::to_writer(&mut out, &item)?;
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}
