//! What the local agent knows, read once: endpoints, addresses, identities, services, nodes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use local_api::Client;
use local_api::config::DaemonConfiguration;
use local_api::endpoint::Endpoint;
use local_api::identity::{Identity, IpListEntry};
use local_api::node::{ClusterNodeStatus, NodeElement};
use local_api::service::{Service, ServiceSpec};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::dbg::context::agent_error;
use crate::dbg::service::realized;

/// The agent's answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) addresses: Vec<IpListEntry>,
    pub(crate) identities: Vec<Identity>,
    pub(crate) services: Vec<Service>,
    pub(crate) nodes: Vec<NodeElement>,
    pub(crate) this_node: String,
    pub(crate) tunnel: bool,
    /// Addresses of pods of other nodes that were asked for by name.
    pub(crate) remote_pods: BTreeMap<String, Vec<IpAddr>>,
}

/// Number of the world outside the cluster, where no row holds an address.
const WORLD: u32 = 2;

impl Facts {
    /// Asks the agent for all of it.
    pub(crate) fn read(client: &Client) -> anyhow::Result<Self> {
        fn get<T: DeserializeOwned>(client: &Client, path: &str) -> anyhow::Result<T> {
            client.get(path).map_err(agent_error)
        }
        let nodes: ClusterNodeStatus = get(client, "/v1/cluster/nodes")?;
        let config: DaemonConfiguration = get(client, "/v1/config")?;
        let status = config.status.unwrap_or_default();
        let routing = status
            .daemon_configuration_map
            .get("RoutingMode")
            .and_then(Value::as_str);
        Ok(Self {
            endpoints: get(client, "/v1/endpoint")?,
            addresses: get(client, "/v1/ip")?,
            identities: get(client, "/v1/identity")?,
            services: get(client, "/v1/service")?,
            nodes: nodes.nodes_added,
            this_node: nodes.this_node,
            tunnel: routing != Some("native"),
            remote_pods: BTreeMap::new(),
        })
    }

    /// The endpoint of this node with a pod's name (`namespace/name`).
    pub(crate) fn endpoint_of_pod(&self, name: &str) -> Option<&Endpoint> {
        self.endpoints
            .iter()
            .find(|endpoint| pod_name(endpoint).is_some_and(|own| own == name))
    }

    /// Addresses of a pod (`namespace/name`), as far as they are known; none if it is not.
    pub(crate) fn pod_addresses(&self, name: &str) -> Vec<IpAddr> {
        if let Some(endpoint) = self.endpoint_of_pod(name) {
            return addresses_of(endpoint);
        }
        let is_named = |row: &&IpListEntry| {
            let metadata = row.metadata.as_ref();
            metadata.is_some_and(|of| format!("{}/{}", of.namespace, of.name) == name)
        };
        let rows = self.addresses.iter().filter(is_named);
        let rows = rows.filter_map(|row| row.cidr.parse::<ipnet::IpNet>().ok());
        let remote = self.remote_pods.get(name).into_iter().flatten().copied();
        rows.map(|net| net.addr()).chain(remote).collect()
    }

    /// The name under which an address of another node's pod was asked for.
    pub(crate) fn remote_pod(&self, address: IpAddr) -> Option<&str> {
        let mut pods = self.remote_pods.iter();
        pods.find(|(_, addresses)| addresses.contains(&address))
            .map(|(name, _)| name.as_str())
    }

    /// The endpoint of this node with an address.
    pub(crate) fn endpoint_of_address(&self, address: IpAddr) -> Option<&Endpoint> {
        self.endpoints
            .iter()
            .find(|endpoint| addresses_of(endpoint).contains(&address))
    }

    /// The frontends of a service (`namespace/name`), or those with an address.
    pub(crate) fn frontends(&self, is: impl Fn(&ServiceSpec) -> bool) -> Vec<&ServiceSpec> {
        self.services
            .iter()
            .filter_map(realized)
            .filter(|spec| is(spec))
            .collect()
    }

    /// The row that says what an address is taken for.
    pub(crate) fn row(&self, address: IpAddr) -> Option<&IpListEntry> {
        crate::dbg::ip::longest(&self.addresses, &address.to_string()).ok()
    }

    /// The identity of an address.
    pub(crate) fn identity_of(&self, address: IpAddr) -> u32 {
        let row = self
            .row(address)
            .and_then(|row| u32::try_from(row.identity).ok());
        let own = self.endpoint_of_address(address).and_then(identity_number);
        row.or(own).unwrap_or(WORLD)
    }

    /// Labels of an identity, in one line.
    pub(crate) fn labels(&self, identity: u32) -> String {
        crate::dbg::identity::labels_of(&self.identities, identity.into()).join(",")
    }

    /// The identity that a number, a pod of this node (`namespace/name`) or an address stands for.
    pub(crate) fn identity(&self, text: &str) -> anyhow::Result<u32> {
        if let Ok(number) = text.parse() {
            return Ok(number);
        }
        if let Ok(address) = text.parse() {
            return Ok(self.identity_of(address));
        }
        let endpoint = self.endpoint_of_pod(text).and_then(identity_number);
        endpoint.ok_or_else(|| {
            anyhow::anyhow!("{text} is not a pod of this node; give its address or the number of its identity (`identity list`)")
        })
    }

    /// The node with an address.
    pub(crate) fn node(&self, address: &str) -> Option<&NodeElement> {
        let has = |node: &&NodeElement| {
            let of = node.primary_address.clone().unwrap_or_default();
            [of.ipv4, of.ipv6]
                .into_iter()
                .flatten()
                .any(|element| element.ip == address)
        };
        self.nodes.iter().find(has)
    }
}

/// `namespace/name` of an endpoint that is a pod.
pub(crate) fn pod_name(endpoint: &Endpoint) -> Option<&str> {
    let identifiers = endpoint.status.as_ref()?.external_identifiers.as_ref()?;
    Some(identifiers.pod_name.as_str()).filter(|name| !name.is_empty())
}

/// The identity of an endpoint.
pub(crate) fn identity_number(endpoint: &Endpoint) -> Option<u32> {
    u32::try_from(endpoint.status.as_ref()?.identity.as_ref()?.id).ok()
}

/// The addresses of an endpoint, IPv4 first.
pub(crate) fn addresses_of(endpoint: &Endpoint) -> Vec<IpAddr> {
    let networking = endpoint
        .status
        .as_ref()
        .and_then(|status| status.networking.as_ref());
    let pairs = networking
        .map(|networking| networking.addressing.as_slice())
        .unwrap_or_default();
    pairs
        .iter()
        .flat_map(|pair| [&pair.ipv4, &pair.ipv6])
        .filter_map(|text| text.parse().ok())
        .collect()
}
