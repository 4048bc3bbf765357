//! The network between the nodes of Quorate: what can be done to it, and which of the two kinds it is.

use std::time::Duration;

use clap::ValueEnum;

use super::netns::Namespaces;
use super::proxy::{self, Callers, Door, Way};
use crate::cli;
use crate::local_cluster::{Plan, bus_port};

/// Which network is between the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum NetworkKind {
    /// Namespaces where they can be had, else the proxy
    Auto,
    /// Every connection between two nodes goes through this tool
    Proxy,
    /// Every node has a network namespace of its own, and real packets are dropped; needs root and iproute2
    Namespaces,
}

/// Ways between nodes that can be broken and made whole again.
pub(super) trait Links {
    /// Lets nothing through these ways.
    fn cut(&self, ways: &[Way]) -> anyhow::Result<()>;
    /// Makes whole what was cut, slow or both. With `breaks`, connections that were made before break, if that can be
    /// done.
    fn heal(&self, ways: &[Way], breaks: bool) -> anyhow::Result<()>;
    /// Delays what goes these ways: for a packet of full size that is alone, by about that much.
    fn slow(&self, ways: &[Way], delay: Duration) -> anyhow::Result<()>;
}

impl Links for proxy::Network {
    fn cut(&self, ways: &[Way]) -> anyhow::Result<()> {
        Self::cut(self, ways);
        Ok(())
    }

    fn heal(&self, ways: &[Way], breaks: bool) -> anyhow::Result<()> {
        Self::heal(self, ways, breaks);
        Ok(())
    }

    fn slow(&self, ways: &[Way], delay: Duration) -> anyhow::Result<()> {
        Self::slow(self, ways, delay);
        Ok(())
    }
}

/// What the report says of the network.
#[derive(Debug, Clone, Default)]
pub(super) struct Note {
    /// As on the command line.
    pub(super) name: &'static str,
    /// Why it is not the better one.
    pub(super) reason: Option<String>,
}

impl Note {
    /// The proxy, where there is nothing to choose.
    pub(super) fn proxy() -> Self {
        Self { name: "proxy", reason: None }
    }
}

/// The network of a run. It ends with it.
pub(super) enum Wires {
    Proxy {
        network: proxy::Network,
        /// The client port that the first node announces.
        announced: u16,
    },
    Namespaces(Namespaces),
}

impl Wires {
    /// The network for nodes whose client ports begin with `first`; `announced` are as many more that are free.
    pub(super) fn new(command: &cli::Torture, first: u16, announced: u16) -> anyhow::Result<(Self, Note)> {
        let nodes = command.nodes;
        let reason = match command.network {
            NetworkKind::Proxy => None,
            wanted => match Namespaces::new(nodes) {
                Ok(made) => return Ok((Self::Namespaces(made), Note { name: "namespaces", reason: None })),
                Err(error) if wanted == NetworkKind::Namespaces => {
                    return Err(error.context("--network namespaces"));
                }
                Err(error) => Some(format!("{error:#}")),
            },
        };
        let at = |port: u16| format!("127.0.0.1:{port}");
        let door = |id: u16| Door {
            node: (id + 1).into(),
            listen: at(bus_port(announced + id)),
            upstream: at(bus_port(first + id)),
        };
        let network = proxy::Network::start((0..nodes).map(door).collect(), Callers::Greeting)?;
        Ok((Self::Proxy { network, announced }, Note { reason, ..Note::proxy() }))
    }

    /// Lets the nodes of a plan find each other through this network.
    pub(super) fn fit(&self, plan: &mut Plan) {
        match self {
            Self::Proxy { announced, .. } => plan.announced = Some(*announced),
            Self::Namespaces(namespaces) => {
                plan.places = namespaces.places();
                // The clients come from another address than the node's own, and there is no password.
                plan.sets.push("protected-mode=no".into());
            }
        }
    }

    /// What can be broken.
    pub(super) fn links(&self) -> &dyn Links {
        match self {
            Self::Proxy { network, .. } => network,
            Self::Namespaces(namespaces) => namespaces,
        }
    }

    /// What may be the reason if the nodes do not find each other.
    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::Proxy { .. } => "starting the nodes",
            Self::Namespaces(_) => {
                "starting the nodes in network namespaces; if they do not find each other, perhaps a firewall drops what \
                 a bridge forwards (sysctl net.bridge.bridge-nf-call-iptables): --network proxy does without"
            }
        }
    }
}
