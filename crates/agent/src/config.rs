//! Configuration: what was given (flags, environment, a directory of files) becomes one validated value.
//!
//! Key names are upstream's. An unknown key is remembered and shown, a key that asks for something we lack stops the
//! start by name, and its off value is accepted.

mod drift;
mod flows;
mod keys;
mod kvstore;
mod read;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::{Ipv4Net, Ipv6Net};
use kernel::collector::Lifetimes;
use model::ipam::Family;
use model::ipam::pools::Wants;

use crate::cni_conf::Cni;
use clap::{ArgMatches, Command};
use daemon::settings::{self, Reader};
pub use daemon::settings::{Error, Given};
pub use drift::Drift;
use flows::hubble;
pub use flows::{Exports, FlowMetrics, Hubble, WhichMetrics};
use keys::ALL;

use crate::inputs::Announcements;
use read::{
    cluster_id, cluster_name, cni, datapath, ipam, metrics_choice, node_health, policy, pools,
    services,
};

/// How pods of other nodes are reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routing {
    /// VXLAN between nodes, identity in the VNI.
    Tunnel,
    /// The network routes pod addresses; `direct_node_routes` adds routes to nodes on the same link.
    Native {
        /// Add a route to each node's pod CIDRs by its address.
        direct_node_routes: bool,
    },
}

/// Where the ranges of a node's pods come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ipam {
    /// From the node's object: the controller manager gives them.
    Kubernetes,
    /// From the operator, which has ranges for all nodes.
    ClusterPool,
    /// From the operator, as many as this node asks for, of many pools.
    MultiPool,
}

impl std::fmt::Display for Ipam {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Kubernetes => "kubernetes",
            Self::ClusterPool => "cluster-pool",
            Self::MultiPool => "multi-pool",
        })
    }
}

/// Settings of many pools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pools {
    /// The pool for who names no other.
    pub default: Arc<str>,
    /// Pool → addresses that are to be there before anybody asks for them.
    pub ahead: BTreeMap<Arc<str>, u32>,
}

/// Which endpoints have policy enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enforcement {
    /// Those that a policy selects.
    Default,
    /// All.
    Always,
    /// None.
    Never,
}

/// Everything about one address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Families {
    /// IPv4 is on.
    pub ipv4: bool,
    /// IPv6 is on.
    pub ipv6: bool,
}

/// Packet path settings.
#[derive(Clone, Debug)]
pub struct Datapath {
    /// Families of pods.
    pub families: Families,
    /// How pods of other nodes are reached.
    pub routing: Routing,
    /// UDP port of the overlay.
    pub tunnel_port: u16,
    /// Rewrite sources towards the world, per family.
    pub masquerade: Families,
    /// Destinations that keep the pod's address, IPv4.
    pub native_ipv4: Option<Ipv4Net>,
    /// Destinations that keep the pod's address, IPv6.
    pub native_ipv6: Option<Ipv6Net>,
    /// File of further destinations that keep the pod's address, read anew as often as it says.
    pub masquerade_list: Option<PathBuf>,
    /// Interfaces towards other nodes; empty: the one with the default route, or with the node's address.
    pub devices: Vec<String>,
    /// MTU of the underlay, 0 to detect.
    pub mtu: u16,
    /// Where the node's proc file system is mounted.
    pub procfs: PathBuf,
    /// Where the eBPF file system is mounted.
    pub bpf_root: PathBuf,
    /// The node's cgroup (v2), for programs at sockets.
    pub cgroup_root: PathBuf,
    /// Capacity of the tables of connections, answered and unanswered.
    pub connections: u32,
    /// How long connections live after their last packet.
    pub lifetimes: Lifetimes,
}

/// Service settings.
#[derive(Clone, Debug)]
pub struct Services {
    /// Services are translated at all.
    pub enabled: bool,
    /// Translate at the socket.
    pub sockets: bool,
    /// First and last NodePort.
    pub nodeport: (u16, u16),
    /// Refuse (or drop) what has no backend.
    pub reject_no_backend: bool,
}

/// Policy settings.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Which endpoints have policy enforced.
    pub enforcement: Enforcement,
    /// Report instead of deny.
    pub audit: bool,
    /// Read `NetworkPolicy` objects.
    pub kubernetes: bool,
    /// The node reaches its own pods whatever the policy.
    pub allow_localhost: bool,
    /// CIDR selectors match nodes too.
    pub cidr_matches_nodes: bool,
    /// Label filter, as upstream's flag `labels`.
    pub labels: Vec<String>,
    /// Only labels that policies look at make an identity; the time after which all nodes know what one announced.
    pub by_need: Option<Duration>,
}

/// How nodes probe each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeHealth {
    /// This node probes others, and answers them.
    pub enabled: bool,
    /// It has a health endpoint, which others probe as well.
    pub endpoint: bool,
    /// TCP port of the answers, on the node and in its health endpoint.
    pub port: u16,
    /// ICMP requests without an answer after which a path is said to be broken.
    pub icmp_tries: u32,
}

/// Where objects come from.
#[derive(Clone, Debug)]
pub struct Store {
    /// URLs of the API server; the first that answers is used.
    pub urls: Vec<String>,
    /// Kubeconfig file.
    pub kubeconfig: Option<PathBuf>,
    /// How long to wait for resource definitions at start.
    pub crd_wait: Duration,
    /// In which kind of objects endpoints of all nodes are.
    pub announcements: Announcements,
}

/// The agent's whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of this node.
    pub node: String,
    /// Name of the cluster.
    pub cluster: String,
    /// Number of the cluster.
    pub cluster_id: u16,
    /// Where the ranges of this node's pods come from.
    pub ipam: Ipam,
    /// Settings of many pools.
    pub pools: Pools,
    /// Packet path.
    pub datapath: Datapath,
    /// Services.
    pub services: Services,
    /// Policy.
    pub policy: Policy,
    /// Flows.
    pub hubble: Hubble,
    /// How nodes probe each other.
    pub node_health: NodeHealth,
    /// Objects.
    pub store: Store,
    /// etcd, if it is used.
    pub kvstore: Option<store::etcd::Settings>,
    /// Unix socket of the REST API.
    pub socket: PathBuf,
    /// Group that may use the sockets besides root.
    pub socket_group: Option<String>,
    /// Directory of state that survives the agent.
    pub state_dir: PathBuf,
    /// Port of `/healthz` on loopback, 0 for none.
    pub health_port: u16,
    /// Where metrics are served.
    pub metrics: Option<SocketAddr>,
    /// Metrics that are switched on or off, with a sign before each name.
    pub metrics_choice: Vec<String>,
    /// The CNI configuration.
    pub cni: Cni,
    /// Structured logs as JSON.
    pub log_json: bool,
    /// Log more.
    pub debug: bool,
    /// All keys with the value in force, for status and `config`.
    pub effective: Vec<(String, String)>,
    /// With what the settings are compared while the agent runs.
    pub drift: Option<Drift>,
    /// Keys that nobody knows.
    pub unknown: Vec<String>,
}

/// The command line.
pub fn command() -> Command {
    let about = "The node agent: pod networking, services, policy and flows on eBPF";
    settings::command("axoneme-agent", about, ALL)
}

/// What was given by the directory, the environment and flags. A node without another name is called as its host.
pub fn gather(
    matches: &ArgMatches,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Given, Error> {
    let mut given = settings::gather(ALL, matches, environment)?;
    if given.get("k8s-node-name").is_none()
        && let Ok(name) = std::fs::read_to_string("/proc/sys/kernel/hostname")
    {
        given.set("k8s-node-name", &name);
    }
    Ok(given)
}

impl Config {
    /// What this node wants to have of pools.
    pub fn wants(&self) -> Wants {
        let on = self.datapath.families;
        let families = [(on.ipv4, Family::Ipv4), (on.ipv6, Family::Ipv6)];
        Wants {
            families: families
                .into_iter()
                .filter_map(|(on, of)| on.then_some(of))
                .collect(),
            ahead: self.pools.ahead.clone(),
        }
    }

    /// Validates what was given. The first problem is returned, with its key.
    pub fn new(given: &Given) -> Result<Self, Error> {
        let read = Reader::new(ALL, given)?;
        let node = read.text("k8s-node-name").to_owned();
        if node.is_empty() {
            return Err(Error::Conflict(
                "k8s-node-name: the name of this node is not given, and it has no host name".into(),
            ));
        }
        let config = Self {
            node,
            cluster: cluster_name(&read)?,
            cluster_id: cluster_id(&read)?,
            ipam: ipam(&read)?,
            pools: pools(&read)?,
            datapath: datapath(&read)?,
            services: services(&read)?,
            policy: policy(&read)?,
            hubble: hubble(&read)?,
            node_health: node_health(&read)?,
            store: Store {
                urls: read.list("k8s-api-server-urls"),
                kubeconfig: read.path("k8s-kubeconfig-path"),
                crd_wait: read.duration("crd-wait-timeout")?,
                announcements: if read.flag("enable-cilium-endpoint-slice")? {
                    Announcements::Slices
                } else {
                    Announcements::Single
                },
            },
            kvstore: kvstore::kvstore(&read)?,
            socket: PathBuf::from(read.text("socket-path")),
            socket_group: Some(read.text("socket-group").to_owned())
                .filter(|group| !group.is_empty()),
            state_dir: PathBuf::from(read.text("state-dir")),
            health_port: read.parse("agent-health-port", "a port")?,
            metrics: read.optional_address("prometheus-serve-addr")?,
            metrics_choice: metrics_choice(&read)?,
            cni: cni(&read)?,
            log_json: read.text("log-format") == "json",
            debug: read.flag("debug")?,
            effective: read.effective(),
            drift: drift::drift(&read, given)?,
            unknown: read.unknown(),
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), Error> {
        let families = self.datapath.families;
        if !families.ipv4 && !families.ipv6 {
            return Err(Error::Conflict(
                "enable-ipv4, enable-ipv6: at least one must be true".into(),
            ));
        }
        if self.cluster_id != 0 && self.cluster == "default" {
            return Err(Error::Conflict(
                "cluster-name: a cluster with an id needs a name of its own".into(),
            ));
        }
        if matches!(self.datapath.routing, Routing::Native { .. })
            && self.datapath.masquerade.ipv4
            && families.ipv4
            && self.datapath.native_ipv4.is_none()
        {
            return Err(Error::Conflict(
                "ipv4-native-routing-cidr: needed when routing-mode is native and enable-ipv4-masquerade is true".into(),
            ));
        }
        Ok(())
    }
}
