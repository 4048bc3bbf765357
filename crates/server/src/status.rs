//! `quorate status`: the nodes of a cluster, as a table or as JSON.

use std::io::{self, Write};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use serde::Serialize;

use crate::admin::{self, Member, NodeView};
use crate::cli;
use crate::client::Client;

/// How long a node may take to answer.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// A cluster, seen through one of its nodes.
#[derive(Debug, Serialize)]
struct Report {
    /// Who leads, by the latest term that any node knows.
    leader: Option<u64>,
    nodes: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    member: Member,
    /// `up` or `unreachable`.
    state: &'static str,
    term: Option<u64>,
    applied: Option<u64>,
    /// By how many entries it is behind the leader's log.
    lag: Option<u64>,
    uptime_ms: Option<u64>,
    version: Option<String>,
    /// Why it is unreachable.
    error: Option<String>,
}

/// Asks, prints; the exit code is 1 if there is no leader.
pub(crate) fn run(command: &cli::Status) -> anyhow::Result<ExitCode> {
    let password = command.password.as_deref();
    let ask = || -> anyhow::Result<Vec<Member>> {
        admin::members(&mut Client::connect(&command.addr, password, ANSWER_TIME)?)
    };
    let members = ask().map_err(|error| {
        let what = match format!("{error:#}") {
            text if text.contains("NOAUTH") => "wants a password: set QUORATE_PASSWORD, or give --password",
            _ => "does not answer",
        };
        error.context(format!("the node {} {what}", command.addr))
    })?;
    let views = ask_all(&members, password);
    let report = report(members, views);
    let text = match command.json {
        true => serde_json::to_string_pretty(&report)?,
        false => table(&report),
    };
    writeln!(io::stdout(), "{text}")?;
    Ok(if report.leader.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What each member says of itself, all asked at the same time.
fn ask_all(members: &[Member], password: Option<&str>) -> Vec<io::Result<NodeView>> {
    let ask = |member: &Member| admin::node_view(&mut Client::connect(&member.addr, password, ANSWER_TIME)?);
    thread::scope(|scope| {
        let questions: Vec<_> = members.iter().map(|member| scope.spawn(|| ask(member))).collect();
        questions
            .into_iter()
            .map(|question| question.join().unwrap_or_else(|_| Err(io::Error::other("asking failed"))))
            .collect()
    })
}

fn report(members: Vec<Member>, views: Vec<io::Result<NodeView>>) -> Report {
    let latest = views.iter().flatten().filter(|view| view.leader.is_some()).max_by_key(|view| view.term);
    let leader = latest.and_then(|view| view.leader);
    let is_up = |id| members.iter().zip(&views).any(|(member, view)| member.id == id && view.is_ok());
    // A leader that does not answer leads nobody: its followers have just not noticed yet.
    let leader = leader.filter(|id| is_up(*id));
    let end = members
        .iter()
        .zip(&views)
        .find(|(member, _)| Some(member.id) == leader)
        .and_then(|(_, view)| view.as_ref().ok())
        .map(|view| view.last);
    let nodes = members.into_iter().zip(views).map(|(member, view)| row(member, view, leader, end)).collect();
    Report { leader, nodes }
}

fn row(mut member: Member, view: io::Result<NodeView>, leader: Option<u64>, end: Option<u64>) -> Row {
    // The node that was asked may not know of the latest leader yet.
    if Some(member.id) == leader {
        member.role = "leader".into();
    } else if member.role == "leader" {
        member.role = "follower".into();
    }
    match view {
        Ok(view) => Row {
            member,
            state: "up",
            term: Some(view.term),
            applied: Some(view.applied),
            lag: end.map(|end| end.saturating_sub(view.applied)),
            uptime_ms: u64::try_from(view.uptime.as_millis()).ok(),
            version: Some(view.version),
            error: None,
        },
        Err(error) => Row {
            member,
            state: "unreachable",
            term: None,
            applied: None,
            lag: None,
            uptime_ms: None,
            version: None,
            error: Some(error.to_string()),
        },
    }
}

fn table(report: &Report) -> String {
    let mut rows =
        vec![["node", "address", "role", "state", "applied", "lag", "term", "up for"].map(str::to_owned)];
    rows.extend(report.nodes.iter().map(cells));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 8] = std::array::from_fn(width);
    let mut lines: Vec<String> = rows.iter().map(|row| line(row, &widths)).collect();
    for row in &report.nodes {
        if let Some(error) = &row.error {
            lines.push(format!("node {}: {error}", row.member.id));
        }
    }
    if report.leader.is_none() {
        lines.push("no leader: writes wait until a majority of the voters can reach each other".into());
    }
    lines.join("\n")
}

fn line(row: &[String; 8], widths: &[usize; 8]) -> String {
    let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
    cells.join("  ").trim_end().to_owned()
}

fn cells(row: &Row) -> [String; 8] {
    let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    [
        row.member.id.to_string(),
        row.member.addr.clone(),
        row.member.role.clone(),
        row.state.to_owned(),
        number(row.applied),
        number(row.lag),
        number(row.term),
        row.uptime_ms.map_or_else(|| "-".to_owned(), show_uptime),
    ]
}

fn show_uptime(ms: u64) -> String {
    let seconds = ms / 1000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}m {}s", seconds % 60),
        (0, hours, minutes) => format!("{hours}h {minutes}m"),
        (days, hours, _) => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u64, role: &str) -> Member {
        Member { id, addr: format!("127.0.0.1:700{id}"), role: role.into(), ..Member::default() }
    }

    fn view(term: u64, leader: Option<u64>, applied: u64) -> io::Result<NodeView> {
        Ok(NodeView { term, leader, applied, last: applied + 1, ..NodeView::default() })
    }

    fn down() -> io::Result<NodeView> {
        Err(io::Error::other("refused"))
    }

    #[test]
    fn the_latest_term_names_the_leader() {
        // Node 1, which was asked, still believes that it leads.
        let members = vec![member(1, "leader"), member(2, "follower"), member(3, "follower")];
        let views = vec![view(1, Some(1), 10), view(2, Some(3), 15), view(2, Some(3), 20)];
        let report = report(members, views);
        assert_eq!(report.leader, Some(3));
        let rows: Vec<_> = report.nodes.iter().map(|row| (row.member.role.as_str(), row.lag)).collect();
        assert_eq!(rows, [("follower", Some(11)), ("follower", Some(6)), ("leader", Some(1))]);
    }

    #[test]
    fn a_dead_leader_is_none() {
        let members = vec![member(1, "leader"), member(2, "follower")];
        let report = report(members, vec![down(), view(1, Some(1), 5)]);
        assert_eq!(report.leader, None);
        let text = table(&report);
        assert!(text.contains("unreachable") && text.contains("no leader"), "{text}");
        assert!(text.contains("node 1: refused"), "{text}");
    }

    #[test]
    fn the_table_lines_up() {
        let text = table(&report(vec![member(1, "leader")], vec![view(3, Some(1), 7)]));
        assert_eq!(
            text,
            "node  address         role    state  applied  lag  term  up for\n\
             1     127.0.0.1:7001  leader  up     7        1    3     0s"
        );
    }

    #[test]
    fn uptime_is_short() {
        let shown = [900, 61_000, 3_700_000, 100_000_000].map(show_uptime);
        assert_eq!(shown, ["0s", "1m 1s", "1h 1m", "1d 3h"]);
    }
}
