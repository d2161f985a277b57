//! The names that numbers and addresses have at this moment: the seam to the agent's tables.

use std::{net::IpAddr, sync::Arc};

/// What is known of one end of a connection. Shared: one value per endpoint or address, not one per flow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointNames {
    /// Namespace of the pod, empty for what is no pod.
    pub namespace: Arc<str>,
    /// Name of the pod, empty for what is no pod.
    pub pod_name: Arc<str>,
    /// Sorted labels as `source:key=value`.
    pub labels: Vec<Arc<str>>,
    /// Owning workloads as (name, kind); only known for pods of this node.
    pub workloads: Vec<(Arc<str>, Arc<str>)>,
    /// Cluster of the endpoint.
    pub cluster_name: Arc<str>,
}

/// A service by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceName {
    /// Name of the service.
    pub name: Arc<str>,
    /// Namespace of the service.
    pub namespace: Arc<str>,
}

/// Where a rule comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyOrigin {
    /// Name of the policy object.
    pub name: Arc<str>,
    /// Namespace of the policy object, empty when it is cluster-wide.
    pub namespace: Arc<str>,
    /// Kind of the policy object, e.g. `CiliumNetworkPolicy`.
    pub kind: Arc<str>,
    /// Labels of the rule.
    pub labels: Vec<Arc<str>>,
    /// Revision of the policy in which the rule was in force.
    pub revision: u64,
    /// What the policy wants to be told with its verdicts, empty for nothing.
    pub log: Arc<str>,
}

/// Answers with what is true now; called once per record, so that later renames do not change old flows.
pub trait Names {
    /// The same for several names of one moment, where it costs less to be asked all at once; nothing else may be asked meanwhile.
    fn held(&self) -> Option<Box<dyn Names + '_>> {
        None
    }
    /// Names of an address whose identity the data plane gave.
    fn endpoint(&self, address: IpAddr, identity: u32) -> Option<Arc<EndpointNames>>;
    /// Whether a node of the cluster has this address.
    fn is_node(&self, address: IpAddr) -> bool {
        let _ = address;
        false
    }
    /// The service that has this address and port as a frontend.
    fn service(&self, address: IpAddr, port: u16) -> Option<Arc<ServiceName>>;
    /// The one service that leads to this address and port of an IP protocol; none where several do.
    fn service_behind(&self, address: IpAddr, port: u16, protocol: u8) -> Option<Arc<ServiceName>>;
    /// DNS names by which the local endpoint `asker` knows `address`.
    fn fqdns(&self, asker: u16, address: IpAddr) -> Vec<Arc<str>>;
    /// The policies behind a rule id.
    fn rule(&self, rule: u32) -> Vec<Arc<PolicyOrigin>>;
    /// Name of an interface.
    fn interface(&self, index: u32) -> Option<Arc<str>>;
}

/// Knows no names; for a node that is just starting, and for tests.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoNames;

impl Names for NoNames {
    fn endpoint(&self, _: IpAddr, _: u32) -> Option<Arc<EndpointNames>> {
        None
    }
    fn service(&self, _: IpAddr, _: u16) -> Option<Arc<ServiceName>> {
        None
    }
    fn service_behind(&self, _: IpAddr, _: u16, _: u8) -> Option<Arc<ServiceName>> {
        None
    }
    fn fqdns(&self, _: u16, _: IpAddr) -> Vec<Arc<str>> {
        Vec::new()
    }
    fn rule(&self, _: u32) -> Vec<Arc<PolicyOrigin>> {
        Vec::new()
    }
    fn interface(&self, _: u32) -> Option<Arc<str>> {
        None
    }
}
