//! Which faults a run has, and why it has not the others.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use clap::ValueEnum;

use super::Target;
use super::disks::Disks;
use super::faults::FaultKind;
use crate::cli;

/// The reason to leave out what `--faults` does not name.
pub(super) const NOT_ASKED_FOR: &str = "not asked for";

/// The faults of a run, and what they need.
#[derive(Debug, Default)]
pub(super) struct Selection {
    pub(super) kinds: Vec<FaultKind>,
    /// By name: why a kind is left out.
    pub(super) left_out: BTreeMap<&'static str, String>,
    /// If they are to be broken.
    pub(super) disks: Option<Disks>,
}

impl Selection {
    /// What was asked for, or all that this machine allows. Mounts the disks of nodes that will have their folders in
    /// `dir`. An error says why something that was asked for by name cannot be had.
    pub(super) fn new(command: &cli::Torture, dir: &Path, seed: u64) -> anyhow::Result<Self> {
        let mut selection = Self::default();
        let mut disks = None;
        for kind in FaultKind::value_variants() {
            let named = command.faults.contains(kind);
            let mut reason = reason_against(*kind, command);
            if reason.is_none() && kind.needs_disks() {
                let attempt = disks.get_or_insert_with(|| mount(command, dir, seed));
                reason = attempt.as_ref().err().cloned();
            }
            match reason {
                Some(reason) if named => bail!("--faults {}: {reason}", kind.name()),
                Some(reason) => drop(selection.left_out.insert(kind.name(), reason)),
                None => selection.kinds.push(*kind),
            }
        }
        selection.disks = disks.and_then(Result::ok);
        if command.ignore_fsync && !selection.kinds.contains(&FaultKind::PowerLoss) {
            let reason =
                selection.left_out.get(FaultKind::PowerLoss.name()).context("it is there or left out")?;
            bail!("--ignore-fsync shows nothing without power-loss: {reason}");
        }
        Ok(selection)
    }
}

fn mount(command: &cli::Torture, dir: &Path, seed: u64) -> Result<Disks, String> {
    let folders: Vec<_> = (1..=command.nodes).map(|id| dir.join(format!("node-{id}"))).collect();
    Disks::mount(&folders, seed).map_err(|error| format!("{error:#}"))
}

/// What speaks against a kind of fault, other than this machine.
fn reason_against(kind: FaultKind, command: &cli::Torture) -> Option<String> {
    let named = command.faults.contains(&kind);
    let everysec = command.set.iter().any(|pair| pair == "appendfsync=everysec");
    if !command.faults.is_empty() && !named {
        Some(NOT_ASKED_FOR.into())
    } else if command.nodes == 1 && kind.needs_others() {
        Some("there is only one node".into())
    } else if command.nodes < 3 && kind == FaultKind::Damage {
        Some("a node that refuses its damaged data is replaced by the others, of which a majority must be left".into())
    } else if command.target != Target::Quorate && kind.needs_disks() {
        Some("only for Quorate".into())
    } else if kind == FaultKind::PowerLoss && everysec && !named {
        Some("appendfsync=everysec may lose the last second when the power of several nodes goes".into())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn select(args: &str) -> Result<Selection, String> {
        let words = ["quorate", "torture"].into_iter().chain(args.split_ascii_whitespace());
        let cli::Command::Torture(command) = cli::Cli::parse_from(words).command else { panic!("{args}") };
        let dir = tempfile::tempdir().unwrap();
        Selection::new(&command, dir.path(), 1).map_err(|error| error.to_string())
    }

    #[test]
    fn every_kind_is_there_or_left_out_with_a_reason() {
        let count = FaultKind::value_variants().len();
        for args in ["", "--nodes 1", "--faults kill,slow", "--set appendfsync=everysec"] {
            let selection = select(args).unwrap();
            assert_eq!(selection.kinds.len() + selection.left_out.len(), count, "{args}: {selection:?}");
            assert!(selection.kinds.contains(&FaultKind::Kill));
            assert_eq!(selection.disks.is_some(), selection.kinds.iter().any(|kind| kind.needs_disks()));
        }
        assert!(select("--nodes 1").unwrap().left_out["partition"].contains("one node"));
        assert!(select("--set appendfsync=everysec").unwrap().left_out["power-loss"].contains("everysec"));
        let some = select("--faults kill,slow").unwrap();
        assert_eq!((some.kinds, some.disks.is_none()), (vec![FaultKind::Kill, FaultKind::Slow], true));
    }

    #[test]
    fn what_was_asked_for_and_cannot_be_had_is_an_error() {
        assert!(select("--nodes 1 --faults partition").unwrap_err().contains("only one node"));
        assert!(select("--faults kill --ignore-fsync").unwrap_err().contains("not asked for"));
        let redis = select("--faults power-loss --target redis-sentinel").unwrap_err();
        assert!(redis.contains("only for Quorate"), "{redis}");
    }
}
