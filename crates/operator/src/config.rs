//! Configuration: what was given (flags, environment, a directory of files) becomes one validated value.
//!
//! Key names are upstream's. The directory is shared with the agents, so keys that are not the operator's are listed and
//! have no effect; a key that asks for something we lack stops the start by name, and its off value is accepted.

mod keys;
mod kvstore;
mod read;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use api::cilium::CiliumPodIPPool;
use clap::{ArgMatches, Command};
use daemon::settings::{self, Reader};
pub use daemon::settings::{Error, Given};
use keys::ALL;

use crate::ipam::Pool;
use crate::lease::Times;
use crate::slices::Slicing;

/// How to reach the API server.
#[derive(Clone, Debug)]
pub struct Store {
    /// URLs of the API server; the first that answers is used.
    pub urls: Vec<String>,
    /// Kubeconfig file.
    pub kubeconfig: Option<PathBuf>,
    /// Requests a second, on average.
    pub requests_per_second: f64,
    /// Requests at once.
    pub burst: f64,
}

/// Where nodes' ranges come from.
#[derive(Clone, Debug)]
pub enum Ipam {
    /// From Kubernetes; the operator does nothing.
    Kubernetes,
    /// From these pools, one for each family.
    ClusterPool(Vec<Pool>),
    /// From CiliumPodIPPools, of which these are created when they are not there.
    MultiPool(Vec<CiliumPodIPPool>),
}

/// How what nobody uses is collected.
#[derive(Clone, Debug)]
pub struct Collection {
    /// Pause between two collections of identities.
    pub identities: Option<Duration>,
    /// An identity is collected after so long without use.
    pub identity_timeout: Duration,
    /// Identities collected in a second, at most, on average.
    pub identities_per_second: f64,
    /// Pause between two collections of endpoints.
    pub endpoints: Option<Duration>,
    /// Endpoints are collected at the start.
    pub endpoints_once: bool,
    /// Pause between two collections of CiliumNodes.
    pub nodes: Option<Duration>,
}

/// What is said of nodes by the state of their agents.
#[derive(Clone, Debug)]
pub struct NodeDuties {
    /// Namespace of the agents.
    pub namespace: String,
    /// Labels of the agents, in selector syntax.
    pub labels: String,
    /// Key of the taint.
    pub taint: String,
    /// Remove it where the agent is ready.
    pub remove_taint: bool,
    /// Set it where the agent is not.
    pub set_taint: bool,
    /// State that the network is there where the agent is ready.
    pub set_condition: bool,
}

/// Restart of pods that started before their node's agent.
#[derive(Clone, Debug)]
pub struct Unmanaged {
    /// Pause between two looks.
    pub every: Duration,
    /// Which pods, in selector syntax.
    pub selector: String,
}

/// The operator's whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Namespace of the operator and of its lease.
    pub namespace: String,
    /// Name of this node, part of the holder's name; may be empty.
    pub node: String,
    /// Objects.
    pub store: Store,
    /// etcd, if it is used.
    pub kvstore: Option<store::etcd::Settings>,
    /// Times of the lease.
    pub lease: Times,
    /// Where the state of the operator is served.
    pub health: SocketAddr,
    /// Where metrics are served.
    pub metrics: Option<SocketAddr>,
    /// CRDs are registered.
    pub register: bool,
    /// Ranges of nodes.
    pub ipam: Ipam,
    /// Collection of what nobody uses.
    pub collection: Collection,
    /// Endpoints in slices, if agents read those.
    pub slices: Option<Slicing>,
    /// Taints and conditions of nodes.
    pub nodes: NodeDuties,
    /// Restart of unmanaged pods.
    pub unmanaged: Option<Unmanaged>,
    /// Namespace into which secrets of policies are copied, if they are.
    pub secrets: Option<String>,
    /// Structured logs as JSON.
    pub log_json: bool,
    /// Log more.
    pub debug: bool,
    /// Keys that are not the operator's.
    pub unknown: Vec<String>,
}

/// The command line of a program of this name.
pub fn command(name: &'static str) -> Command {
    let about = "The operator: CRDs, address ranges of nodes, collection of what nobody uses";
    settings::command(name, about, ALL)
}

/// What was given by the directory, the environment and flags.
pub fn gather(
    matches: &ArgMatches,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Given, Error> {
    settings::gather(ALL, matches, environment)
}

impl Config {
    /// Validates what was given. The first problem is returned, with its key.
    pub fn new(given: &Given) -> Result<Self, Error> {
        let read = Reader::new(ALL, given)?;
        let namespace = read.text("k8s-namespace").to_owned();
        let metrics = read.address("operator-prometheus-serve-addr");
        Ok(Self {
            node: read.text("k8s-node-name").to_owned(),
            store: Store {
                urls: read.list("k8s-api-server-urls"),
                kubeconfig: read.path("k8s-kubeconfig-path"),
                requests_per_second: read.parse("operator-k8s-client-qps", "a number")?,
                burst: read.parse("operator-k8s-client-burst", "a number")?,
            },
            kvstore: kvstore::kvstore(&read)?,
            lease: read::lease(&read)?,
            health: read.address("operator-api-serve-addr")?,
            metrics: read
                .flag("enable-metrics")?
                .then_some(metrics)
                .transpose()?,
            register: !read.flag("skip-crd-creation")?,
            ipam: read::ipam(&read)?,
            collection: read::collection(&read)?,
            slices: read::slices(&read)?,
            nodes: read::node_duties(&read, &namespace)?,
            unmanaged: read::unmanaged(&read)?,
            secrets: read::secrets(&read)?,
            log_json: read.text("log-format") == "json",
            debug: read.flag("debug")?,
            unknown: read.unknown(),
            namespace,
        })
    }
}
