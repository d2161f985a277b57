//! Services: from Service and EndpointSlice objects to frontends, each with the backends that may answer it.
//!
//! A service port becomes up to four rows, one per family and [`Reach`]: frontends that any backend may answer, and
//! frontends that only backends of this node may answer. A row is what the data plane calls a service: it has one id,
//! its frontends share its slots.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::ipam::Family;
use imbl::OrdMap;

pub mod backends;
pub mod ids;
pub mod maglev;
pub mod protocol;
pub mod select;

pub use backends::{Backend, BackendAddress, BackendState};
pub use ids::ServiceIds;
pub use protocol::{Protocol, UnknownProtocol};

/// Namespace and name of a service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceName {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Which backends a kind of client may be sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum TrafficPolicy {
    /// Any.
    #[default]
    Cluster,
    /// Those of the node the client arrived at.
    Local,
}

/// A service with a virtual address. Headless services and those of type ExternalName have no frontend: they need not be
/// given to the model, and have no rows if they are (`cluster_ips` is empty).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Service {
    /// Virtual addresses, at most one per family. Their families are those of the node ports too.
    pub cluster_ips: Vec<IpAddr>,
    /// Addresses that others route to the nodes.
    pub external_ips: Vec<IpAddr>,
    /// Addresses of the load balancer.
    pub load_balancer_ips: Vec<IpAddr>,
    /// Ports.
    pub ports: Vec<ServicePort>,
    /// Seconds for which a client keeps its backend.
    pub affinity_seconds: Option<u32>,
    /// For clients outside.
    pub external_policy: TrafficPolicy,
    /// For clients inside.
    pub internal_policy: TrafficPolicy,
    /// How a backend is chosen.
    pub algorithm: Algorithm,
}

/// How a backend is chosen for a new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Algorithm {
    /// Any, at random.
    #[default]
    Random,
    /// By a table that every node computes alike.
    Maglev,
}

/// A port of a service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServicePort {
    /// Name; empty if it is the only port.
    pub name: Arc<str>,
    /// Protocol.
    pub protocol: Protocol,
    /// Port of the virtual addresses.
    pub port: u16,
    /// Port of every node.
    pub node_port: Option<u16>,
}

/// A slice of a service's endpoints. Named target ports are resolved in it already.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Slice {
    /// Name and protocol of the service's ports, with the number at these endpoints.
    pub ports: Vec<SlicePort>,
    /// The endpoints.
    pub endpoints: Vec<SliceEndpoint>,
}

/// A port of a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlicePort {
    /// Name of the service's port.
    pub name: Arc<str>,
    /// Protocol.
    pub protocol: Protocol,
    /// Number at the endpoints.
    pub port: u16,
}

/// An endpoint of a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SliceEndpoint {
    /// The first of its addresses; the API says that clients use no other.
    pub address: IpAddr,
    /// The node it runs on.
    pub node: Option<Arc<str>>,
    /// What can be expected of it.
    pub condition: Condition,
}

/// What can be expected of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It takes new connections.
    Ready,
    /// It is on its way out, and still answers.
    TerminatingServing,
    /// It does not answer.
    NotServing,
}

impl Condition {
    /// From the three conditions of the API with their defaults: `ready` and `serving` true, `terminating` false.
    pub fn from_api(ready: Option<bool>, serving: Option<bool>, terminating: Option<bool>) -> Self {
        let ready = ready.unwrap_or(true);
        match terminating.unwrap_or(false) {
            // Ready although terminating: the service publishes addresses that are not ready.
            _ if ready => Self::Ready,
            true if serving.unwrap_or(true) => Self::TerminatingServing,
            _ => Self::NotServing,
        }
    }
}

/// Which backends may answer the frontends of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// Any.
    All,
    /// Those of this node.
    ThisNode,
}

/// Key of a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey {
    /// The service.
    pub service: ServiceName,
    /// Name of its port.
    pub port: Arc<str>,
    /// Protocol; two ports may differ in it alone.
    pub protocol: Protocol,
    /// Family of frontends and backends.
    pub family: Family,
    /// Which backends.
    pub reach: Reach,
}

/// What a frontend is, which decides who can use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FrontendKind {
    /// A virtual address.
    ClusterIp,
    /// A port of every address of the node; the address is the unspecified one.
    NodePort,
    /// An address that others route to the nodes.
    ExternalIp,
    /// An address of a load balancer.
    LoadBalancer,
}

/// Which clients a frontend is for, where that makes a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClientScope {
    /// Everybody, or where there is a second one only those outside.
    Everybody,
    /// Pods and nodes of the cluster.
    Inside,
}

/// An address, port and protocol that clients use; unique over all services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrontendAddress {
    /// Address; the unspecified one of the family stands for all of the node.
    pub address: IpAddr,
    /// Port.
    pub port: u16,
    /// Protocol.
    pub protocol: Protocol,
    /// For which clients.
    pub scope: ClientScope,
}

/// A frontend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Frontend {
    /// What clients use.
    pub address: FrontendAddress,
    /// What it is.
    pub kind: FrontendKind,
}

/// A row: frontends that share backends. A row without backends is a row: its clients are told that nobody is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The frontends, sorted.
    pub frontends: Vec<Frontend>,
    /// The backends, sorted, active ones first.
    pub backends: Vec<Backend>,
    /// Seconds for which a client keeps its backend.
    pub affinity_seconds: Option<u32>,
    /// How a backend is chosen.
    pub algorithm: Algorithm,
}

impl Row {
    /// The backends that take new connections: the active ones, or while there is none the terminating ones (KEP-1669).
    pub fn usable(&self) -> &[Backend] {
        let active = self
            .backends
            .partition_point(|backend| backend.state == BackendState::Active);
        if active > 0 {
            &self.backends[..active]
        } else {
            &self.backends
        }
    }
}

/// A change of the inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A service is there, or (`None`) gone.
    Service(ServiceName, Option<Arc<Service>>),
    /// A slice of a service is there, or gone. A slice that changed its service is gone from the old one first.
    Slice(ServiceName, Arc<str>, Option<Arc<Slice>>),
}

/// All inputs. Clones share their content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    node: Arc<str>,
    services: OrdMap<ServiceName, Arc<Service>>,
    slices: OrdMap<(ServiceName, Arc<str>), Arc<Slice>>,
}

fn unspecified(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => Ipv4Addr::UNSPECIFIED.into(),
        Family::Ipv6 => Ipv6Addr::UNSPECIFIED.into(),
    }
}

impl Service {
    /// All frontends with the reach of their backends.
    fn frontends(&self, port: &ServicePort) -> BTreeSet<(Reach, Frontend)> {
        let mut all = BTreeSet::new();
        let mut add = |reach, address, number, scope, kind| {
            let address = FrontendAddress {
                address,
                port: number,
                protocol: port.protocol,
                scope,
            };
            all.insert((reach, Frontend { address, kind }));
        };
        let reach = |policy| {
            if policy == TrafficPolicy::Local {
                Reach::ThisNode
            } else {
                Reach::All
            }
        };
        for &address in &self.cluster_ips {
            add(
                reach(self.internal_policy),
                address,
                port.port,
                ClientScope::Everybody,
                FrontendKind::ClusterIp,
            );
        }
        if self.cluster_ips.is_empty() {
            return all;
        }
        let node = port.node_port.into_iter().flat_map(|number| {
            let families: BTreeSet<Family> =
                self.cluster_ips.iter().map(|&ip| Family::of(ip)).collect();
            families
                .into_iter()
                .map(move |family| (unspecified(family), number, FrontendKind::NodePort))
        });
        let external = self
            .external_ips
            .iter()
            .map(|&ip| (ip, port.port, FrontendKind::ExternalIp));
        let balanced = self
            .load_balancer_ips
            .iter()
            .map(|&ip| (ip, port.port, FrontendKind::LoadBalancer));
        for (address, number, kind) in node.chain(external).chain(balanced) {
            add(
                reach(self.external_policy),
                address,
                number,
                ClientScope::Everybody,
                kind,
            );
            // Clients inside need no detour over the node's own backends: they keep their address anyway.
            if self.external_policy == TrafficPolicy::Local {
                add(Reach::All, address, number, ClientScope::Inside, kind);
            }
        }
        all
    }

    fn keys<'a>(&'a self, name: &'a ServiceName) -> impl Iterator<Item = RowKey> {
        self.ports.iter().flat_map(move |port| {
            let of = self
                .frontends(port)
                .into_iter()
                .map(|(reach, frontend)| (Family::of(frontend.address.address), reach));
            let of: BTreeSet<(Family, Reach)> = of.collect();
            of.into_iter().map(move |(family, reach)| RowKey {
                service: name.clone(),
                port: Arc::clone(&port.name),
                protocol: port.protocol,
                family,
                reach,
            })
        })
    }
}

impl Snapshot {
    /// No services; `node` is the name of this node.
    pub fn new(node: impl Into<Arc<str>>) -> Self {
        Self {
            node: node.into(),
            services: OrdMap::new(),
            slices: OrdMap::new(),
        }
    }

    /// Takes in a change; returns the keys whose rows may differ.
    pub fn apply(&mut self, change: Change) -> BTreeSet<RowKey> {
        let touched = self.touched(&change);
        match change {
            Change::Service(name, Some(service)) => {
                self.services.insert(name, service);
            }
            Change::Service(name, None) => drop(self.services.remove(&name)),
            Change::Slice(service, name, Some(slice)) => {
                self.slices.insert((service, name), slice);
            }
            Change::Slice(service, name, None) => drop(self.slices.remove(&(service, name))),
        }
        touched
    }

    /// The keys whose rows may differ after a change that was not yet taken in.
    pub fn touched(&self, change: &Change) -> BTreeSet<RowKey> {
        let (name, new) = match change {
            Change::Service(name, new) => (name, new.as_ref()),
            Change::Slice(name, ..) => (name, None),
        };
        let old = self.services.get(name);
        old.into_iter()
            .chain(new)
            .flat_map(|service| service.keys(name))
            .collect()
    }

    /// The keys of all rows.
    pub fn keys(&self) -> BTreeSet<RowKey> {
        self.services
            .iter()
            .flat_map(|(name, service)| service.keys(name))
            .collect()
    }

    /// A service as it was given.
    pub fn service(&self, name: &ServiceName) -> Option<&Arc<Service>> {
        self.services.get(name)
    }

    /// The row of a key.
    pub fn row(&self, key: &RowKey) -> Option<Row> {
        let service = self.services.get(&key.service)?;
        let port = service
            .ports
            .iter()
            .find(|port| port.name == key.port && port.protocol == key.protocol)?;
        let of = |(reach, frontend): &(Reach, Frontend)| {
            *reach == key.reach && Family::of(frontend.address.address) == key.family
        };
        let frontends: Vec<Frontend> = service
            .frontends(port)
            .into_iter()
            .filter(of)
            .map(|(_, frontend)| frontend)
            .collect();
        if frontends.is_empty() {
            return None;
        }
        let from = (key.service.clone(), Arc::from(""));
        let slices = self
            .slices
            .range(from..)
            .take_while(|((name, _), _)| *name == key.service);
        let backends = backends::collect(slices.map(|(_, slice)| &**slice), key, &self.node);
        Some(Row {
            frontends,
            backends,
            affinity_seconds: service.affinity_seconds,
            algorithm: service.algorithm,
        })
    }

    /// The rows of all keys.
    pub fn rows(&self) -> BTreeMap<RowKey, Row> {
        self.keys()
            .into_iter()
            .filter_map(|key| self.row(&key).map(|row| (key, row)))
            .collect()
    }

    /// Frontends that more than one row claims, with the rows in order. The first has it; the others' status should say so.
    pub fn conflicts(rows: &BTreeMap<RowKey, Row>) -> BTreeMap<FrontendAddress, Vec<RowKey>> {
        let mut users: BTreeMap<FrontendAddress, Vec<RowKey>> = BTreeMap::new();
        for (key, row) in rows {
            for frontend in &row.frontends {
                users.entry(frontend.address).or_default().push(key.clone());
            }
        }
        users.retain(|_, keys| keys.len() > 1);
        users
    }
}

#[cfg(test)]
mod tests;
