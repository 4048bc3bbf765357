//! Bugs that are planted one at a time, and the checkers that catch them: a checker that has caught nothing proves
//! nothing. `docs/PROOF.md` shows the table.
//!
//! Each scenario provokes one bug, with as little else as possible. It is run with the bug until a checker sees it, for
//! a few seeds at most; and the same seeds must pass without the bug.

#[path = "planted/batches.rs"]
mod batches;
#[path = "planted/disks.rs"]
mod disks;
#[path = "planted/lab.rs"]
mod lab;
#[path = "planted/leases.rs"]
mod leases;
#[path = "planted/listeners.rs"]
mod listeners;
#[path = "planted/waiters.rs"]
mod waiters;

use std::panic::{AssertUnwindSafe, catch_unwind};

use quorate_planted::{Bug, plant};
use quorate_sim::checkers::{Promise, Violation};

/// A bug, what provokes it (from a seed to what was violated), and within how many seeds it must be caught.
type Scenario = (Bug, fn(u64) -> Vec<Violation>, u64);

/// QUORATE_SIM_LOG is a filter (`info`, `quorate_replica=debug`) of what the nodes report, on standard error.
fn log_if_asked() {
    let Ok(filter) = std::env::var("QUORATE_SIM_LOG") else { return };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false);
    let _already_there = lines.with_writer(std::io::stderr).try_init();
}

/// A scenario with or without its bug. A panic is a violation, too: the code's own assertions have failed.
fn run(scenario: fn(u64) -> Vec<Violation>, bug: Option<Bug>, seed: u64) -> Vec<Violation> {
    let _planted = plant(bug);
    catch_unwind(AssertUnwindSafe(|| scenario(seed))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        vec![Violation { promise: Promise::Assertions, what: text.unwrap_or_default() }]
    })
}

/// Runs each scenario until its bug is caught; then the same seeds without it. QUORATE_PLANTED chooses bugs by name.
#[allow(clippy::print_stdout, reason = "the table of docs/PROOF.md")]
fn prove(scenarios: &[Scenario], caught_by: impl Fn(Bug) -> Promise) {
    log_if_asked();
    let chosen = std::env::var("QUORATE_PLANTED").unwrap_or_default();
    let mut wrong = Vec::new();
    for (bug, scenario, seeds) in scenarios.iter().filter(|(bug, ..)| format!("{bug:?}").contains(&chosen)) {
        let expected = caught_by(*bug);
        let mut found = Vec::new();
        let mut needed = 0;
        for seed in 0..*seeds {
            needed = seed + 1;
            found = run(*scenario, Some(*bug), seed);
            if found.iter().any(|violation| violation.promise == expected) {
                break;
            }
        }
        let names: Vec<String> = found.iter().map(|violation| violation.promise.to_string()).collect();
        println!("| {bug:?} | {} | {needed} |", names.join(", "));
        if found.iter().all(|violation| violation.promise != expected) {
            wrong.push(format!("{bug:?}: {expected} was not seen in {seeds} seeds, but {found:#?}"));
        }
        for seed in 0..needed {
            let violations = run(*scenario, None, seed);
            if !violations.is_empty() {
                wrong.push(format!("without {bug:?}, seed {seed}: {violations:#?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn bugs_of_leases_and_votes_are_caught() {
    prove(leases::SCENARIOS, |bug| match bug {
        Bug::ForgetVote => Promise::OneLeader,
        _ => Promise::Linearizable,
    });
}

#[test]
fn bugs_of_disks_are_caught() {
    prove(disks::SCENARIOS, |bug| match bug {
        Bug::IgnoreChecksum => Promise::NoSilentCorruption,
        Bug::ReplyBeforeApply => Promise::SessionReads,
        _ => Promise::NoLostAck,
    });
}

#[test]
fn bugs_of_batches_are_caught() {
    prove(batches::SCENARIOS, |bug| match bug {
        Bug::ReadOutOfOrder => Promise::ProgramOrder,
        Bug::ApplyTwiceAfterSnapshot => Promise::ExactlyOnce,
        Bug::RandomPickByLayout | Bug::OrderByHistory => Promise::EqualDigests,
        Bug::ExpiryOutsideTheLog => Promise::ExpiryStays,
        _ => Promise::HonestErrors,
    });
}

#[test]
fn bugs_of_commands_that_wait_are_caught() {
    prove(waiters::SCENARIOS, |_| Promise::NoLostAck);
}

#[test]
fn bugs_of_what_clients_hear_unasked_are_caught() {
    prove(listeners::SCENARIOS, |bug| match bug {
        Bug::MessageSentAgain | Bug::EventToldAtOriginOnly => Promise::Messages,
        _ => Promise::FreshCaches,
    });
}

#[test]
fn bugs_of_users_and_eviction_are_caught() {
    prove(listeners::OTHERS, |bug| match bug {
        Bug::EvictionJudgedHere => Promise::EqualDigests,
        _ => Promise::Users,
    });
}
