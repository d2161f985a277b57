//! What the store says, as tables: one reflector for each kind, and how an object becomes a row.

mod endpoints;
pub(crate) mod services;
mod shared;
mod workload;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use api::cilium::{CiliumCIDRGroup, CiliumClusterwideNetworkPolicy, CiliumNetworkPolicy};
use api::kubernetes::{EndpointSlice, Namespace, NetworkPolicy, Node, Pod, Resource, Service};
use ipnet::IpNet;
use model::endpoint::{NamedPort, PodName};
use model::identity::Identity;
use model::ipam::choice::Wish;
use model::labels::LabelSet;
use model::node::{AddressKind, NodeObject};
use model::policy::{
    CidrGroup, Kind, ObjectKey, ParseOptions, PolicyObject, parse_cidr_group, parse_policy,
};
use model::service::{self, ServiceName};
use model::text;
use reconcile::tasks::TaskGroup;
use reconcile::{Subscription, Table};
use store::{Client, Scope, reflect};

use crate::last_good::{Judged, LastGood};
pub use endpoints::Announcements;
pub(crate) use endpoints::heard_of;
pub use services::SliceRow;
pub(crate) use shared::announced_row;
pub use shared::{Shared, own_node};

use crate::policy_status::Stated;
pub use workload::Workload;

/// A pod of this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodRow {
    /// uid of the object.
    pub uid: Arc<str>,
    /// Labels of the object.
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    /// Service account.
    pub service_account: Option<Arc<str>>,
    /// Named ports, sorted.
    pub named_ports: Vec<NamedPort>,
    /// It uses the node's network.
    pub host_network: bool,
    /// What made it.
    pub workload: Option<Workload>,
    /// The pools that its annotations name.
    pub pools: Wish,
}

/// A namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceRow {
    /// Labels of the object.
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    /// The pools that its annotations name.
    pub pools: Wish,
    /// What its pods say is not looked at: annotation [`CAPTURE`] is `false`.
    pub private: bool,
}

/// Annotation of a namespace about samples of its pods' payload.
const CAPTURE: &str = "axoneme.io/capture";

/// An endpoint as its agent announced it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemoteEndpoint {
    /// Identity.
    pub identity: Identity,
    /// Address of its node.
    pub node: Option<IpAddr>,
    /// Its addresses.
    pub addresses: Box<[IpAddr]>,
    /// Its named ports.
    pub named_ports: Box<[NamedPort]>,
}

/// A policy object, and what its status says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyRow {
    /// The object.
    pub judged: Judged<PolicyObject>,
    /// Its condition `Valid`, if it has one.
    pub stated: Option<Stated>,
}

/// All tables that the store fills.
#[derive(Clone)]
pub struct Inputs {
    /// Pods of this node.
    pub pods: Table<PodName, PodRow>,
    /// Namespaces.
    pub namespaces: Table<Arc<str>, NamespaceRow>,
    /// Nodes, as Kubernetes knows them.
    pub nodes: Table<Arc<str>, NodeObject>,
    /// Nodes, as their agents announce them.
    pub announced_nodes: Table<Arc<str>, NodeObject>,
    /// Identities.
    pub identities: Table<Identity, LabelSet>,
    /// Endpoints of all nodes.
    pub endpoints: Table<PodName, RemoteEndpoint>,
    /// Services with a virtual address.
    pub services: Table<ServiceName, service::Service>,
    /// Endpoint slices of services.
    pub slices: Table<PodName, SliceRow>,
    /// Policies of all kinds.
    pub network_policies: Table<ObjectKey, PolicyRow>,
    /// Policies of a namespace.
    pub cilium_policies: Table<ObjectKey, PolicyRow>,
    /// Policies of the cluster.
    pub clusterwide_policies: Table<ObjectKey, PolicyRow>,
    /// Groups of prefixes.
    pub groups: Table<Arc<str>, Judged<CidrGroup>>,
}

/// Starts a reflector of one kind. Rows come of the object alone, or (`after`) of it and of the table as it was.
macro_rules! reflected {
    ($client:expr, $tasks:expr, $scope:expr, $name:literal, $kind:ty, after $rows:expr) => {{
        let (writer, table) = Table::new($name, &[$name]);
        let client = $client.clone();
        let rows = ($rows)(table.clone());
        $tasks.spawn($name, move |stop| {
            reflect::<$kind, _, _>(client, $scope, $name, writer, rows, stop)
        });
        table
    }};
    ($client:expr, $tasks:expr, $scope:expr, $name:literal, $kind:ty, $rows:expr) => {
        reflected!($client, $tasks, $scope, $name, $kind, after | _ | $rows)
    };
}
pub(crate) use reflected;

impl Inputs {
    /// Starts to follow everything that an agent needs: of its node, and of all.
    #[allow(clippy::too_many_lines, reason = "a table: one entry for each kind")]
    pub fn follow(
        client: &Client,
        tasks: &TaskGroup,
        node: &str,
        options: &ParseOptions,
        last_good: &LastGood,
        shared: Shared,
    ) -> Self {
        let own = Scope::fields(format!("spec.nodeName={node}"));
        let reader = Reader {
            options: options.clone(),
            last_good: last_good.clone(),
        };
        let (knp, cnp, ccnp) = (reader.clone(), reader.clone(), reader);
        let last_good = last_good.clone();
        Self {
            pods: reflected!(client, tasks, own, "pods", Pod, |pod| vec![pod_row(&pod)]),
            namespaces: reflected!(
                client,
                tasks,
                Scope::all(),
                "namespaces",
                Namespace,
                |of: Namespace| vec![namespace_row(&of)]
            ),
            nodes: reflected!(client, tasks, Scope::all(), "nodes", Node, |node| vec![
                node_row(&node)
            ]),
            announced_nodes: shared.announced_nodes,
            identities: shared.identities,
            endpoints: shared.endpoints,
            services: reflected!(
                client,
                tasks,
                Scope::all(),
                "services",
                Service,
                |of: Service| services::service_row(&of)
            ),
            slices: reflected!(
                client,
                tasks,
                Scope::all(),
                "endpointslices",
                EndpointSlice,
                |of: EndpointSlice| services::slice_row(&of)
            ),
            network_policies: reflected!(
                client,
                tasks,
                Scope::all(),
                "networkpolicies",
                NetworkPolicy,
                after |table: Table<_, _>| move |of| knp.row(Kind::NetworkPolicy, &of, None, &table)
            ),
            cilium_policies: reflected!(
                client,
                tasks,
                Scope::all(),
                "ciliumnetworkpolicies",
                CiliumNetworkPolicy,
                after |table: Table<_, _>| move |of: CiliumNetworkPolicy| {
                    let stated = Stated::read(&of.status);
                    cnp.row(Kind::CiliumNetworkPolicy, &of, stated, &table)
                }
            ),
            clusterwide_policies: reflected!(
                client,
                tasks,
                Scope::all(),
                "ciliumclusterwidenetworkpolicies",
                CiliumClusterwideNetworkPolicy,
                after |table: Table<_, _>| move |of: CiliumClusterwideNetworkPolicy| {
                    let stated = Stated::read(&of.status);
                    ccnp.row(Kind::CiliumClusterwideNetworkPolicy, &of, stated, &table)
                }
            ),
            groups: reflected!(
                client,
                tasks,
                Scope::all(),
                "ciliumcidrgroups",
                CiliumCIDRGroup,
                after |table: Table<_, _>| move |of| group_row(&of, &table, &last_good)
            ),
        }
    }

    /// Names of the kinds whose first complete list has not come yet.
    pub fn waiting_for(&self) -> Vec<&'static str> {
        let mut waiting: Vec<&'static str> = Vec::new();
        waiting.extend(self.pods.snapshot().waiting_for());
        waiting.extend(self.namespaces.snapshot().waiting_for());
        waiting.extend(self.nodes.snapshot().waiting_for());
        waiting.extend(self.announced_nodes.snapshot().waiting_for());
        waiting.extend(self.identities.snapshot().waiting_for());
        waiting.extend(self.endpoints.snapshot().waiting_for());
        waiting.extend(self.services.snapshot().waiting_for());
        waiting.extend(self.slices.snapshot().waiting_for());
        waiting.extend(self.network_policies.snapshot().waiting_for());
        waiting.extend(self.cilium_policies.snapshot().waiting_for());
        waiting.extend(self.clusterwide_policies.snapshot().waiting_for());
        waiting.extend(self.groups.snapshot().waiting_for());
        waiting
    }

    /// Tables to which nobody ever wrote.
    #[cfg(test)]
    pub fn nothing() -> Self {
        macro_rules! empty {
            ($($field:ident)+) => {
                Self { $($field: Table::new(stringify!($field), &["store"]).1,)+ }
            };
        }
        empty!(pods namespaces nodes announced_nodes identities endpoints services slices network_policies
            cilium_policies clusterwide_policies groups)
    }

    /// One subscription for each table.
    pub fn subscriptions(&self) -> Vec<Subscription> {
        vec![
            self.pods.subscribe(),
            self.namespaces.subscribe(),
            self.nodes.subscribe(),
            self.announced_nodes.subscribe(),
            self.identities.subscribe(),
            self.endpoints.subscribe(),
            self.services.subscribe(),
            self.slices.subscribe(),
            self.network_policies.subscribe(),
            self.cilium_policies.subscribe(),
            self.clusterwide_policies.subscribe(),
            self.groups.subscribe(),
        ]
    }
}

fn texts(map: &BTreeMap<String, String>) -> BTreeMap<Arc<str>, Arc<str>> {
    map.iter()
        .map(|(key, value)| (key.as_str().into(), value.as_str().into()))
        .collect()
}

fn namespace_row(of: &Namespace) -> (Arc<str>, NamespaceRow) {
    let row = NamespaceRow {
        labels: texts(&of.metadata.labels),
        pools: Wish::read(&of.metadata.annotations),
        private: of
            .metadata
            .annotations
            .get(CAPTURE)
            .is_some_and(|value| value == "false"),
    };
    (of.metadata.name.as_str().into(), row)
}

/// Namespace and name of any object, which is how pods are named too.
fn name_of<R: Resource>(object: &R) -> PodName {
    PodName {
        namespace: text::shared(&object.meta().namespace),
        name: object.meta().name.as_str().into(),
    }
}

fn pod_row(pod: &Pod) -> (PodName, PodRow) {
    let containers = pod.spec.containers.iter().chain(&pod.spec.init_containers);
    let mut named_ports: Vec<NamedPort> = containers
        .flat_map(|container| &container.ports)
        .filter(|port| !port.name.is_empty())
        .filter_map(|port| named_port(&port.name, port.container_port, &port.protocol))
        .collect();
    named_ports.sort_unstable();
    named_ports.dedup();
    let account = Some(pod.spec.service_account_name.as_str()).filter(|name| !name.is_empty());
    let row = PodRow {
        uid: pod.metadata.uid.as_str().into(),
        labels: texts(&pod.metadata.labels),
        service_account: account.map(Into::into),
        named_ports,
        host_network: pod.spec.host_network,
        workload: workload::workload(pod),
        pools: Wish::read(&pod.metadata.annotations),
    };
    (name_of(pod), row)
}

pub(crate) fn named_port(name: &str, port: u16, protocol: &str) -> Option<NamedPort> {
    let protocol = if protocol.is_empty() { "TCP" } else { protocol };
    Some(NamedPort {
        name: text::shared(name),
        port,
        protocol: protocol.parse().ok()?,
    })
}

fn node_row(node: &Node) -> (Arc<str>, NodeObject) {
    let addresses = node.status.addresses.iter();
    let mut pod_cidrs: Vec<IpNet> = node
        .spec
        .pod_cidrs
        .iter()
        .filter_map(|text| text.parse().ok())
        .collect();
    if pod_cidrs.is_empty() {
        pod_cidrs.extend(node.spec.pod_cidr.parse::<IpNet>());
    }
    let object = NodeObject {
        addresses: addresses
            .filter_map(|a| address_of(&a.address_type, &a.address))
            .collect(),
        pod_cidrs,
        labels: texts(&node.metadata.labels),
        uid: node.metadata.uid.as_str().into(),
        ..NodeObject::default()
    };
    (node.metadata.name.as_str().into(), object)
}

fn address_of(kind: &str, address: &str) -> Option<(AddressKind, IpAddr)> {
    Some((AddressKind::from_word(kind)?, address.parse().ok()?))
}

/// How policies are read.
#[derive(Clone)]
struct Reader {
    options: ParseOptions,
    last_good: LastGood,
}

impl Reader {
    fn row<R: Resource>(
        &self,
        kind: Kind,
        object: &R,
        stated: Option<Stated>,
        table: &Table<ObjectKey, PolicyRow>,
    ) -> Vec<(ObjectKey, PolicyRow)> {
        let key = ObjectKey {
            kind,
            namespace: object.meta().namespace.as_str().into(),
            name: object.meta().name.as_str().into(),
        };
        let value = match serde_json::to_value(object) {
            Ok(value) => value,
            Err(error) => {
                tracing::error!(policy = %key, %error, "a policy cannot be written as JSON");
                return Vec::new();
            }
        };
        let before = table.get(&key);
        let before = before.as_ref().map(|row| &row.judged);
        let read = |value: &_| parse_policy(value, &self.options);
        let judged = self.last_good.judge(value, before, read);
        vec![(key, PolicyRow { judged, stated })]
    }
}

fn group_row(
    of: &CiliumCIDRGroup,
    table: &Table<Arc<str>, Judged<CidrGroup>>,
    last_good: &LastGood,
) -> Vec<(Arc<str>, Judged<CidrGroup>)> {
    let Ok(value) = serde_json::to_value(of) else {
        return Vec::new();
    };
    let name: Arc<str> = of.metadata.name.as_str().into();
    let before = table.get(&name);
    let judged = last_good.judge(value, before.as_deref(), parse_cidr_group);
    vec![(name, judged)]
}
