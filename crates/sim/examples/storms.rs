//! Many storms, on all cores: `make sim SEEDS=1000`, or
//! `cargo run -p quorate-sim --example storms -- SEEDS [FIRST]`.
//!
//! Each core has a process of its own, which takes every so-many-th seed. A storm that breaks a promise tells its story on
//! standard error; the summary names the command that replays it. Ends with code 1 if there was any. With QUORATE_SIM_HISTORY it
//! tells of every storm what its clients saw.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is what it is for")]
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "processes and time of this runner, not of a node"
)]
#![allow(unreachable_pub, dead_code, reason = "shared with the tests")]

#[path = "../tests/storm/mod.rs"]
mod storm;

use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use storm::Plan;

/// How often progress is told.
const PROGRESS: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: u64| match args.get(at) {
        Some(text) => text.parse().unwrap_or_else(|_| panic!("{text} is no number")),
        None => default,
    };
    if args.first().is_some_and(|word| word == "child") {
        run_seeds(number(1, 0), number(2, 0), number(3, 1));
        return ExitCode::SUCCESS;
    }
    let (seeds, first) = (number(0, 200), number(1, 0));
    run_all(first, first + seeds)
}

/// Runs every `step`-th seed from `first` to before `end`, and says a line for each.
fn run_seeds(first: u64, end: u64, step: u64) {
    for seed in (first..end).step_by(usize::try_from(step).expect("few cores")) {
        let line = match catch_unwind(AssertUnwindSafe(|| storm::run(Plan::drawn(seed)))) {
            Ok(r) => {
                if std::env::var_os("QUORATE_SIM_HISTORY").is_some() {
                    eprint!("{}", r.history);
                }
                format!(
                    "ok {seed} {} {} {} {} {} {}",
                    r.simulated.as_millis(),
                    r.commands,
                    r.acknowledged,
                    r.not_applied,
                    r.unknown,
                    r.recovery.as_millis()
                )
            }
            Err(_) => format!("failed {seed}"),
        };
        println!("{line}");
    }
}

/// What all storms were like together.
#[derive(Default)]
struct Sum {
    runs: u64,
    simulated_ms: u64,
    commands: u64,
    acknowledged: u64,
    not_applied: u64,
    unknown: u64,
    slowest_ms: u64,
    failed: Vec<u64>,
}

impl Sum {
    fn add(&mut self, line: &str) {
        let mut words = line.split(' ');
        let fine = words.next() == Some("ok");
        let numbers: Vec<u64> = words.map(|word| word.parse().expect("a number")).collect();
        self.runs += 1;
        if !fine {
            self.failed.push(numbers[0]);
            return;
        }
        self.simulated_ms += numbers[1];
        self.commands += numbers[2];
        self.acknowledged += numbers[3];
        self.not_applied += numbers[4];
        self.unknown += numbers[5];
        self.slowest_ms = self.slowest_ms.max(numbers[6]);
    }

    fn tell(&self, seeds: u64, since: Instant) {
        println!(
            "{} of {seeds} seeds in {:.0} s: {:.2} simulated hours, {} commands ({} acknowledged, {} not applied, {} \
             unknown), slowest recovery {} ms, {} broken",
            self.runs,
            since.elapsed().as_secs_f64(),
            self.simulated_ms as f64 / 3_600_000.0,
            self.commands,
            self.acknowledged,
            self.not_applied,
            self.unknown,
            self.slowest_ms,
            self.failed.len()
        );
    }
}

fn run_all(first: u64, end: u64) -> ExitCode {
    let me = std::env::current_exe().expect("this program");
    let cores = thread::available_parallelism().map_or(1, usize::from) as u64;
    let (tx, rx) = mpsc::channel();
    let (mut children, since) = (Vec::new(), Instant::now());
    for core in 0..cores.min(end - first) {
        let range = [first + core, end, cores].map(|n| n.to_string());
        let child = Command::new(&me).arg("child").args(range).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("a process for each core");
        let lines = BufReader::new(child.stdout.take().expect("piped"));
        children.push(child);
        let tx = tx.clone();
        thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let _nobody_listens = tx.send(line);
            }
        });
    }
    drop(tx);
    let (mut sum, mut told) = (Sum::default(), Instant::now());
    while let Ok(line) = rx.recv() {
        sum.add(&line);
        if told.elapsed() > PROGRESS || !line.starts_with("ok") {
            told = Instant::now();
            sum.tell(end - first, since);
            if std::io::stdout().is_terminal() {
                let _unwritten = std::io::stdout().flush();
            }
        }
    }
    for child in &mut children {
        let _code = child.wait();
    }
    sum.tell(end - first, since);
    for seed in &sum.failed {
        println!(
            "broken: seed {seed}; replay it: make sim SEEDS=1 FIRST={seed}, with QUORATE_SIM_LOG=info for what the nodes say"
        );
    }
    let lost = end - first - sum.runs;
    if lost > 0 {
        println!("{lost} seeds have no result: a process has died");
    }
    if sum.failed.is_empty() && lost == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
