//! `quorate recover`: what the data folder of a stopped node holds, and how to go on when a majority is gone for good.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, bail};
use quorate_env::real;
use quorate_replica::recover::{self, NewCluster, Survey};
use serde_json::{Value, json};

use crate::cli;

/// Looks, or makes a new cluster. The exit code is 0 if what was asked for was done.
pub(crate) fn run(command: &cli::Recover) -> anyhow::Result<ExitCode> {
    let env = real::env().context("cannot start the disk threads")?;
    recover::lock(&env, &command.data_dir).with_context(|| match command.data_dir.is_dir() {
        true => "stop the node first, and give the folder that was its --data-dir",
        false => "there is no such folder",
    })?;
    let found = recover::survey(&env, &command.data_dir)?;
    if !command.accept_loss {
        let text = match command.json {
            true => serde_json::to_string_pretty(&as_json(&found, None))?,
            false => report(&found, command),
        };
        writeln!(io::stdout(), "{text}")?;
        return Ok(ExitCode::SUCCESS);
    }
    match command.node_id {
        Some(id) if id != found.node_id => {
            bail!("this is the folder of node {}, not of node {id}: nothing was changed", found.node_id)
        }
        None if !command.yes => {
            let id = found.node_id;
            bail!("nothing was changed: confirm with --node-id {id}, or with --yes\n\n{}", losses(&found))
        }
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let new = runtime
        .block_on(recover::accept_loss(&env, &command.data_dir))
        .context("not finished: do it again, which is safe")?;
    let text = match command.json {
        true => serde_json::to_string_pretty(&as_json(&found, Some(&new)))?,
        false => done(&found, &new, command),
    };
    writeln!(io::stdout(), "{text}")?;
    Ok(ExitCode::SUCCESS)
}

/// Why the log may lack acknowledged writes, in words.
fn doubts(found: &Survey) -> Vec<String> {
    let d = &found.doubts;
    let all = [
        (
            d.unsynced,
            "the machine crashed under appendfsync everysec: up to about one second of writes before that may be gone",
        ),
        (d.torn, "the machine crashed during a write: the last group of entries is incomplete"),
        (d.vote, "the last vote cannot be read"),
        (d.discarded, "damaged entries were given up earlier"),
    ];
    let mut reasons: Vec<String> =
        all.iter().filter(|(holds, _)| *holds).map(|(_, why)| (*why).to_owned()).collect();
    if let Some(damage) = &found.damage {
        let file = damage.file.display();
        reasons.push(format!(
            "damaged below what was on disk: {file} at byte {}: {}",
            damage.offset, damage.reason
        ));
    }
    reasons
}

fn as_json(found: &Survey, new: Option<&NewCluster>) -> Value {
    let members: Vec<Value> = found
        .members
        .iter()
        .map(|(id, member)| {
            json!({"id": id, "addr": member.addr, "bus": member.bus, "votes": found.voters.iter().any(|v| v.contains(id))})
        })
        .collect();
    let damage = found.damage.as_ref().map(|damage| {
        json!({"file": damage.file.display().to_string(), "offset": damage.offset, "reason": damage.reason})
    });
    let new = new.map(|new| {
        json!({
            "cluster": format!("{:016x}", new.cluster),
            "last": {"term": new.last.0, "index": new.last.1},
            "cut": new.cut.is_some(),
        })
    });
    json!({
        "node": found.node_id,
        "cluster": format!("{:016x}", found.cluster),
        "incarnation": format!("{:016x}", found.incarnation),
        "starts": found.starts,
        "vote": found.vote.map(|(term, node)| json!({"term": term, "for": node})),
        "last": {"term": found.last.0, "index": found.last.1},
        "durable": found.durable,
        "snapshot": found.snapshot,
        "appendfsync": if found.everysec { "everysec" } else { "always" },
        "clean": found.clean,
        "torn_tail_bytes": found.torn_tail_bytes,
        "sure": found.is_sure(),
        "doubts": doubts(found),
        "damage": damage,
        "voters": found.voters,
        "members": members,
        "new_cluster": new,
    })
}

fn report(found: &Survey, command: &cli::Recover) -> String {
    let mut text = facts(found);
    let _ = write!(text, "\n{}\n\n{}", losses(found), advice(found, command));
    text
}

fn facts(found: &Survey) -> String {
    let number = |n: Option<u64>| n.map_or("none".to_owned(), |n| n.to_string());
    let vote = found.vote.map_or("none".to_owned(), |(term, node)| format!("term {term}, for node {node}"));
    let sets: Vec<String> = found.voters.iter().map(|set| format!("{set:?}")).collect();
    let rows = [
        ("node", found.node_id.to_string()),
        ("cluster", format!("{:016x}", found.cluster)),
        ("incarnation", format!("{:016x}, started {} times", found.incarnation, found.starts)),
        ("last vote", vote),
        ("last entry", format!("term {}, index {}", found.last.0, found.last.1)),
        ("certainly on disk", format!("up to index {}", number(found.durable))),
        ("snapshot", found.snapshot.map_or("none".to_owned(), |index| format!("up to index {index}"))),
        ("appendfsync", if found.everysec { "everysec" } else { "always" }.to_owned()),
        ("stopped cleanly", if found.clean { "yes" } else { "no" }.to_owned()),
        ("log", if found.is_sure() { "sure" } else { "UNSURE" }.to_owned()),
        ("voters", sets.join(" and ")),
    ];
    let mut text = String::new();
    for (name, value) in rows {
        let _ = writeln!(text, "{name:<18} {value}");
    }
    for why in doubts(found) {
        let _ = writeln!(text, "{:<18} {why}", "why unsure");
    }
    for (id, member) in &found.members {
        let _ = writeln!(text, "{:<18} {id}: {}, bus {}", "member", member.addr, member.bus);
    }
    text
}

fn losses(found: &Survey) -> String {
    let mut text = format!(
        "What may be missing here: every write that the other voters acknowledged behind index {} (term {}). This folder \
         cannot know of them.",
        found.last.1, found.last.0
    );
    if found.doubts.unsynced {
        text += " With appendfsync everysec, also writes that this node itself acknowledged within about a second before \
                 its machine crashed.";
    }
    if found.damage.is_some() {
        text += " The log is damaged: what it holds behind the damage cannot be used.";
    }
    text
}

fn advice(found: &Survey, command: &cli::Recover) -> String {
    let dir = command.data_dir.display();
    let voters = found.voters.iter().map(std::collections::BTreeSet::len).max().unwrap_or(0);
    let mut text = String::from("What to do:\n");
    if found.damage.is_some() {
        text += &format!(
            "- While a majority of the other voters lives, do not use this folder: run QUORATE NODE REMOVE {} on one of \
             them, empty {dir}, and start this node with --join.\n",
            found.node_id
        );
    }
    text += &format!(
        "- Bring the other voters back first, with their data folders. {} of {voters} are enough, and nothing is lost; all \
         of them, if a majority is unsure of its log.\n\
         - Only if that is impossible: run `quorate recover` on every folder that survived, and take the one with the \
         greatest last entry: the greater term wins, then the greater index.\n\
         - On that one alone run `quorate recover --data-dir {dir} --accept-loss --node-id {}`. It becomes the only \
         voter of a new cluster with these data. All other folders must be emptied before their nodes --join it.",
        voters / 2 + 1,
        found.node_id
    );
    text
}

fn done(found: &Survey, new: &NewCluster, command: &cli::Recover) -> String {
    let mut text = String::new();
    if let Some(cut) = &new.cut {
        let _ =
            writeln!(text, "The log was cut at {}, byte {}: {}.", cut.file.display(), cut.offset, cut.reason);
    }
    let _ = write!(
        text,
        "Node {} is the only voter of the new cluster {:016x} (it was {:016x}), with everything up to index {}.\n\
         Start it with `quorate server --data-dir {}` and its own --listen. Other nodes --join it with empty folders; old \
         folders are refused. Never start nodes of the old cluster that clients can reach: they do not know of this one.",
        new.node_id,
        new.cluster,
        found.cluster,
        new.last.1,
        command.data_dir.display()
    );
    text
}
