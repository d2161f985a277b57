//! What probes have told, node by node, and the numbers that metrics are made of.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use model::probing::Seen;

use super::path::{HTTP_PATIENCE, Path};
use crate::metrics::Metrics;

/// What of a node was probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Node,
    Endpoint,
}

/// The paths to a node, and those to its endpoint; the primary ones first.
type Parts = [Vec<Path>; 2];

/// All that is known.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Number of this round.
    pub(super) round: u64,
    /// When the last probes ended.
    pub(super) ended: Option<Timestamp>,
    nodes: BTreeMap<Arc<str>, (u64, Parts)>,
}

impl Known {
    pub(super) fn keep_only(&mut self, is_there: impl Fn(&str) -> bool) {
        self.nodes.retain(|name, _| is_there(name));
    }

    pub(super) fn seen(&self, name: &str) -> Seen {
        match self.nodes.get(name) {
            None => Seen::Never,
            Some((round, parts)) if parts.iter().flatten().all(Path::is_reached) => {
                Seen::Reached(*round)
            }
            Some((round, _)) => Seen::Missed(*round),
        }
    }

    pub(super) fn note(&mut self, name: &Arc<str>, parts: Parts, metrics: &Metrics) {
        for (part, paths) in [Part::Node, Part::Endpoint].into_iter().zip(&parts) {
            for (rank, path) in paths.iter().enumerate() {
                let address = if rank == 0 { "primary" } else { "secondary" };
                for (protocol, outcome) in [("icmp", &path.icmp), ("http", &path.http)] {
                    // One without an answer counts with what an answer by HTTP is waited for.
                    let took = outcome.as_ref().copied().unwrap_or(HTTP_PATIENCE);
                    metrics.probed([part.word(), protocol, address], took);
                }
            }
        }
        self.nodes.insert(Arc::clone(name), (self.round, parts));
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = (&Arc<str>, &Parts)> {
        self.nodes.iter().map(|(name, (_, parts))| (name, parts))
    }

    /// The numbers, of so many nodes and so many of them with an endpoint.
    pub(super) fn numbers(&self, there: [usize; 2]) -> Numbers {
        let count = |part: Part| {
            let probed: Vec<_> = self
                .nodes()
                .map(|(_, parts)| &parts[part as usize])
                .filter(|paths| !paths.is_empty())
                .collect();
            let reached = probed
                .iter()
                .filter(|paths| paths.iter().all(Path::is_reached))
                .count();
            Count {
                reachable: reached,
                unreachable: probed.len() - reached,
                unknown: there[part as usize].saturating_sub(probed.len()),
            }
        };
        let wholly = self
            .nodes()
            .filter(|(_, parts)| parts.iter().flatten().all(Path::is_reached));
        Numbers {
            nodes: count(Part::Node),
            endpoints: count(Part::Endpoint),
            nodes_reached_wholly: wholly.count(),
        }
    }
}

impl Part {
    /// The word of metrics.
    const fn word(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Endpoint => "endpoint",
        }
    }
}

/// How many of a kind there are, by what is known of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Every probe was answered.
    pub reachable: usize,
    /// One was not.
    pub unreachable: usize,
    /// Not probed yet.
    pub unknown: usize,
}

impl Count {
    /// All of them.
    pub fn all(&self) -> usize {
        self.reachable + self.unreachable + self.unknown
    }
}

/// What metrics tell of nodes' health.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// `node_health_connectivity_status` of nodes; `unreachable_nodes`.
    pub nodes: Count,
    /// The same of endpoints; `unreachable_health_endpoints`.
    pub endpoints: Count,
    /// Nodes that are reached and whose endpoints are.
    pub nodes_reached_wholly: usize,
}
