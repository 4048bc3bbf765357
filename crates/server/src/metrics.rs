//! `/metrics`: the figures of INFO that monitoring wants, in the text format of OpenMetrics, which Prometheus reads.

use std::fmt;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use quorate_env::clock;
use quorate_session::{Node, Tally};

use crate::http::NodeStatus;

/// How often the serving thread tells its figures: so old they are at most.
const EVERY: Duration = Duration::from_secs(1);

/// What the serving thread knows. Zeros until it serves.
#[derive(Debug, Clone, Copy, Default)]
struct Figures {
    tally: Tally,
    clients: usize,
    pending_bytes: usize,
    queue_bytes: usize,
    queue_limit: usize,
    memory_bytes: u64,
}

/// Where the serving thread leaves them for others.
#[derive(Clone, Default)]
pub(crate) struct Board(Arc<Mutex<Figures>>);

impl Board {
    /// Tells a node's figures for as long as it serves. On its thread.
    pub(crate) async fn follow(self, node: Rc<Node>, memory: fn() -> u64) {
        loop {
            let queues = node.replica().memory();
            let figures = Figures {
                tally: node.tally(),
                clients: node.connected(),
                pending_bytes: node.replica().pending_bytes(),
                queue_bytes: queues.used(),
                queue_limit: queues.limit(),
                memory_bytes: memory(),
            };
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = figures;
            clock::sleep(EVERY).await;
        }
    }

    /// The body of `/metrics`. `strangers`: callers that the bus sent away, by the reason.
    pub(crate) fn page(&self, status: NodeStatus, strangers: Vec<(&'static str, u64)>) -> String {
        let figures = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut registry = Registry::with_prefix("quorate");
        registry.register_collector(Box::new(Page { status, figures, strangers }));
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = text::encode(&mut out, &registry);
        out
    }
}

#[derive(Debug)]
struct Page {
    status: NodeStatus,
    figures: Figures,
    strangers: Vec<(&'static str, u64)>,
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Self { status, figures, strangers } = self;
        let members = |role: &str| status.members.iter().filter(|m| m.role == role).count();
        let gauges = [
            ("ready", "1 if clients are served", usize::from(status.not_ready.is_none()) as f64),
            ("leader", "1 if this node leads", f64::from(u8::from(status.role == "leader"))),
            ("has_leader", "1 if this node knows who leads", f64::from(u8::from(status.leader.is_some()))),
            ("term", "The present term", status.term as f64),
            ("last_index", "The last entry of the log here", status.last as f64),
            ("committed_index", "The last entry known here to be committed", status.committed as f64),
            ("applied_index", "The last entry applied here", status.applied as f64),
            ("members", "Members of the cluster", status.members.len() as f64),
            ("voters", "Members that vote", (members("leader") + members("follower")) as f64),
            ("uptime_seconds", "Since the process started", status.uptime_ms as f64 / 1000.0),
            ("connected_clients", "Clients that are connected", figures.clients as f64),
            ("memory_bytes", "Memory of the process", figures.memory_bytes as f64),
            ("pending_writes_bytes", "Writes that are not yet applied", figures.pending_bytes as f64),
            ("queue_bytes", "Everything that waits", figures.queue_bytes as f64),
            ("queue_limit_bytes", "What may wait", figures.queue_limit as f64),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        let Tally { usage, stats, .. } = figures.tally;
        let counters = [
            ("connections_received", "Clients that have connected", figures.tally.accepted),
            ("connections_rejected", "Clients refused because of maxclients", figures.tally.rejected),
            ("commands_processed", "Commands carried out", figures.tally.commands),
            ("error_replies", "Replies that were errors", figures.tally.errors),
            ("net_input_bytes", "Bytes from clients", figures.tally.bytes_in),
            ("net_output_bytes", "Bytes to clients", figures.tally.bytes_out),
            ("keyspace_hits", "Keys that reads found", usage.hits),
            ("keyspace_misses", "Keys that reads did not find", usage.misses),
            ("expired_keys", "Keys whose deadline came", usage.expired),
            ("entries_applied", "Entries of the log applied", stats.entries),
            ("writes", "Writes of clients of this node", stats.writes),
            ("reads", "Reads of clients of this node", stats.reads),
            ("snapshots_written", "Snapshots written", stats.snapshots),
            ("snapshots_installed", "Snapshots taken over from a leader", stats.installs),
            ("leader_changes", "How often another leader was seen", stats.leader_changes),
            ("replies_not_applied", "Commands answered NOQUORUM", stats.not_applied),
            ("replies_unknown", "Commands answered UNKNOWN", stats.unknown),
            (
                "replies_overloaded",
                "Commands answered OVERLOADED",
                stats.overloaded + figures.tally.overloaded,
            ),
        ];
        for (name, help, value) in counters {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        let help =
            "Callers of the bus that were sent away before they had proven to be a node of the cluster";
        let mut family = encoder.encode_descriptor("bus_callers_refused", help, None, MetricType::Counter)?;
        for (reason, count) in strangers {
            ConstCounter::new(*count).encode(family.encode_family(&[("reason", *reason)])?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::MemberStatus;

    #[test]
    fn the_page_holds_the_figures() {
        let member = |role: &str| MemberStatus { role: role.into(), ..MemberStatus::default() };
        let status = NodeStatus {
            term: 7,
            role: "leader".into(),
            members: vec![member("leader"), member("follower"), member("reader")],
            ..NodeStatus::default()
        };
        let board = Board::default();
        board.0.lock().unwrap().tally.commands = 42;
        let page = board.page(status, vec![("secret", 3), ("slow", 0)]);
        for line in [
            "quorate_term 7.0",
            "quorate_leader 1.0",
            "quorate_voters 2.0",
            "quorate_commands_processed_total 42",
            "quorate_bus_callers_refused_total{reason=\"secret\"} 3",
            "quorate_bus_callers_refused_total{reason=\"slow\"} 0",
        ] {
            assert!(page.lines().any(|l| l == line), "{line} in {page}");
        }
        assert!(page.contains("# TYPE quorate_commands_processed counter\n") && page.ends_with("# EOF\n"));
    }
}
