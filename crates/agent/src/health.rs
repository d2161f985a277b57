//! What this node knows of the others' health: it probes them by ICMP and HTTP, at their own addresses and at their health
//! endpoints, and answers their probes. Whom, and when: `model::probing`.

pub mod api;
mod echo;
pub mod endpoint;
pub mod hello;
mod known;
mod path;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::stream::{self, StreamExt};
use jiff::Timestamp;
use local_api::health::{State, Status};
use local_api::probes::{Addresses, HealthStatusResponse, NodeStatus, SelfStatus};
use model::node::{IpPair, NodeRow};
use model::probing::{Ring, interval};
use tokio_util::sync::CancellationToken;

use crate::config::{Families, NodeHealth};
use crate::metrics::Metrics;
use crate::view::ViewReader;
pub use known::{Count, Numbers};
use known::{Known, Part};
use path::{Path, Prober};

/// Nodes that are probed at the same time: in a round, and when somebody asks for all.
const AT_ONCE: usize = 16;
/// See [`AT_ONCE`].
const AT_ONCE_ALL: usize = 128;

/// Nodes' health; clones are of the same.
#[derive(Clone)]
pub struct Health(Arc<Inner>);

struct Inner {
    settings: NodeHealth,
    families: Families,
    cluster: String,
    node: String,
    view: ViewReader,
    prober: Prober,
    metrics: Metrics,
    /// A mutex and not a table: rounds and requests write, and readers want all of it as of one moment.
    known: Mutex<Known>,
    /// Who asks for all nodes waits for who asked before.
    all: tokio::sync::Mutex<()>,
}

impl Health {
    /// Nothing is known yet.
    pub fn new(config: &crate::config::Config, view: ViewReader, metrics: Metrics) -> Self {
        Self(Arc::new(Inner {
            settings: config.node_health,
            families: config.datapath.families,
            cluster: config.cluster.clone(),
            node: config.node.clone(),
            view,
            prober: Prober::new(config.node_health),
            metrics,
            known: Mutex::default(),
            all: tokio::sync::Mutex::default(),
        }))
    }

    /// What is known of nodes that are there.
    fn known<T>(&self, work: impl FnOnce(&mut Known) -> T) -> T {
        let view = self.0.view.get();
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.keep_only(|name| view.nodes.contains_key(name));
        work(&mut known)
    }

    /// Probes in rounds, until `stop`.
    pub async fn rounds(self, stop: CancellationToken) {
        let work = async {
            let mut view = self.0.view.clone();
            while !view.get().waiting_for.is_empty() && view.changed().await {}
            loop {
                let nodes = self.round().await;
                // Nodes that started together do not probe together for ever.
                tokio::time::sleep(interval(nodes).mul_f64(rand::random_range(0.9..1.1))).await;
            }
        };
        stop.run_until_cancelled(work).await;
    }

    /// One round; says how many nodes there are.
    async fn round(&self) -> usize {
        let view = self.0.view.get();
        let ring = Ring::new(view.nodes.keys().cloned());
        let own = self.0.node.as_str();
        let names = self.known(|known| {
            known.round += 1;
            ring.round(own, |name| known.seen(name))
        });
        let rows = names.iter().filter_map(|name| view.nodes.get(name));
        self.probe(rows.chain(view.nodes.get(own)).cloned().collect(), AT_ONCE)
            .await;
        ring.nodes()
    }

    /// Probes every node now.
    pub async fn probe_all(&self) {
        let _turn = self.0.all.lock().await;
        let rows = self.0.view.get().nodes.values().cloned().collect();
        self.probe(rows, AT_ONCE_ALL).await;
    }

    async fn probe(&self, rows: Vec<NodeRow>, at_once: usize) {
        stream::iter(rows)
            .for_each_concurrent(at_once, async |row| {
                let (host, endpoint) =
                    tokio::join!(self.addresses(row.ip), self.addresses(row.health));
                self.known(|known| known.note(&row.name, [host, endpoint], &self.0.metrics));
            })
            .await;
        self.known(|known| known.ended = Some(Timestamp::now()));
    }

    /// Tries the addresses of the families that pods have, or what there is if it is of another.
    async fn addresses(&self, pair: IpPair) -> Vec<Path> {
        let families = self.0.families;
        let wanted = IpPair {
            v4: pair.v4.filter(|_| families.ipv4),
            v6: pair.v6.filter(|_| families.ipv6),
        };
        let chosen = if wanted.is_empty() { pair } else { wanted };
        let tries = chosen.iter().map(|address| self.0.prober.path(address));
        futures::future::join_all(tries).await
    }

    /// All that is known.
    pub fn status(&self) -> HealthStatusResponse {
        let nodes = self.0.view.get().nodes.len();
        // As upstream names nodes: those of the cluster without a name of its own by theirs alone.
        let name = |of: &str| match self.0.cluster.as_str() {
            "default" => of.to_owned(),
            cluster => format!("{cluster}/{of}"),
        };
        self.known(|known| HealthStatusResponse {
            timestamp: known.ended.map(|at| at.to_string()).unwrap_or_default(),
            probe_interval: span(interval(nodes)),
            local: Some(SelfStatus {
                name: name(&self.0.node),
            }),
            nodes: known
                .nodes()
                .map(|(of, parts)| NodeStatus {
                    name: name(of),
                    host: shown(&parts[Part::Node as usize]),
                    health_endpoint: shown(&parts[Part::Endpoint as usize]),
                })
                .collect(),
        })
    }

    /// The prober's own state, and how many nodes are reached.
    pub fn summary(&self) -> Status {
        if !self.0.settings.enabled {
            return Status {
                state: Some(State::Disabled),
                ..Status::default()
            };
        }
        let numbers = self.numbers();
        let (reached, all) = (numbers.nodes_reached_wholly, numbers.nodes.all());
        Status {
            state: Some(State::Ok),
            msg: format!("{reached}/{all} reachable"),
        }
    }

    /// What metrics tell.
    pub fn numbers(&self) -> Numbers {
        let view = self.0.view.get();
        let endpoints = view.nodes.values().filter(|row| !row.health.is_empty());
        let there = [view.nodes.len(), endpoints.count()];
        self.known(|known| known.numbers(there))
    }
}

fn shown(paths: &[Path]) -> Option<Addresses> {
    let mut all = paths.iter().map(Path::shown);
    all.next().map(|primary| Addresses {
        primary_address: Some(primary),
        secondary_addresses: all.collect(),
    })
}

/// A duration as upstream's clients print it: `1m9.1s`.
fn span(of: Duration) -> String {
    let (minutes, tenths) = (of.as_secs() / 60, of.as_millis() / 100 % 600);
    let seconds = format!("{}.{}s", tenths / 10, tenths % 10);
    match (minutes / 60, minutes % 60) {
        (0, 0) => seconds,
        (0, minutes) => format!("{minutes}m{seconds}"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
    }
}

#[cfg(test)]
mod tests;
