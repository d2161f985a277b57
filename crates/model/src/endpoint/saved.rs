//! The file in which an endpoint survives a restart: JSON with a version, readable by the versions before and after.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{EndpointId, EndpointRow, LifeCycle, Mac, NamedPort, PodName, SkipMasquerade};
use crate::identity::Identity;
use crate::labels::{LabelError, LabelSet};
use crate::node::IpPair;
use crate::service::{Protocol, UnknownProtocol};

/// Version that is written. A reader accepts this one; fields it does not know are ignored, so that only a change of
/// meaning needs a new number.
pub const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct File {
    version: u32,
    endpoint: Saved,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Saved {
    id: EndpointId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pod: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pod_uid: Option<String>,
    #[serde(default)]
    container_id: String,
    #[serde(default)]
    container_interface: String,
    #[serde(default)]
    netns: String,
    #[serde(default)]
    netns_cookie: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ipv4: Option<Ipv4Addr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ipv6: Option<Ipv6Addr>,
    mac: Mac,
    host_mac: Mac,
    ifname: String,
    ifindex: u32,
    #[serde(default)]
    labels: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    identity: Option<Identity>,
    #[serde(default)]
    named_ports: Vec<SavedPort>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    service_account: Option<String>,
    #[serde(default, skip_serializing_if = "SkipMasquerade::is_none")]
    skip_masquerade: SkipMasquerade,
    #[serde(default)]
    policy_revision: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedPort {
    name: String,
    port: u16,
    protocol: String,
}

/// Why a file cannot be taken over.
#[derive(Debug, thiserror::Error)]
pub enum SavedError {
    /// Not JSON, or a field is missing or of another type.
    #[error("saved endpoint: {0}")]
    Json(#[from] serde_json::Error),
    /// Written by a version that means something else by it.
    #[error("saved endpoint: version {found}, this program reads {VERSION}")]
    Version {
        /// What the file says.
        found: u32,
    },
    /// A label cannot be read.
    #[error("saved endpoint: endpoint.labels: {0}")]
    Label(#[from] LabelError),
    /// A protocol cannot be read.
    #[error("saved endpoint: endpoint.named-ports: {0}")]
    Protocol(#[from] UnknownProtocol),
}

/// The content of the file of an endpoint.
pub fn encode(row: &EndpointRow) -> Result<String, SavedError> {
    let text = |value: &Option<Arc<str>>| value.as_ref().map(ToString::to_string);
    let port = |port: &NamedPort| SavedPort {
        name: port.name.to_string(),
        port: port.port,
        protocol: port.protocol.as_str().to_owned(),
    };
    let endpoint = Saved {
        id: row.id,
        namespace: row.pod.as_ref().map(|pod| pod.namespace.to_string()),
        pod: row.pod.as_ref().map(|pod| pod.name.to_string()),
        pod_uid: text(&row.pod_uid),
        container_id: row.container_id.to_string(),
        container_interface: row.container_interface.to_string(),
        netns: row.netns.to_string(),
        netns_cookie: row.netns_cookie,
        ipv4: row.ips.v4,
        ipv6: row.ips.v6,
        mac: row.mac,
        host_mac: row.host_mac,
        ifname: row.ifname.to_string(),
        ifindex: row.ifindex,
        labels: row.labels.to_texts(),
        identity: row.identity,
        named_ports: row.named_ports.iter().map(port).collect(),
        service_account: text(&row.service_account),
        skip_masquerade: row.skip_masquerade,
        policy_revision: row.policy_revision,
    };
    Ok(serde_json::to_string_pretty(&File {
        version: VERSION,
        endpoint,
    })?)
}

/// Reads the file of an endpoint. Its life begins anew as restored.
pub fn decode(text: &str) -> Result<EndpointRow, SavedError> {
    // The version is read first: with another one the rest may mean anything.
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let Version { version } = serde_json::from_str(text)?;
    if version != VERSION {
        return Err(SavedError::Version { found: version });
    }
    let File { endpoint, .. } = serde_json::from_str(text)?;
    let pod = endpoint.namespace.zip(endpoint.pod);
    let port = |port: SavedPort| {
        Ok(NamedPort {
            name: port.name.into(),
            port: port.port,
            protocol: port.protocol.parse::<Protocol>()?,
        })
    };
    Ok(EndpointRow {
        id: endpoint.id,
        pod: pod.map(|(namespace, name)| PodName {
            namespace: namespace.into(),
            name: name.into(),
        }),
        pod_uid: endpoint.pod_uid.map(Into::into),
        container_id: endpoint.container_id.into(),
        container_interface: endpoint.container_interface.into(),
        netns: endpoint.netns.into(),
        netns_cookie: endpoint.netns_cookie,
        ips: IpPair {
            v4: endpoint.ipv4,
            v6: endpoint.ipv6,
        },
        mac: endpoint.mac,
        host_mac: endpoint.host_mac,
        ifname: endpoint.ifname.into(),
        ifindex: endpoint.ifindex,
        labels: LabelSet::parse(endpoint.labels.iter().map(String::as_str))?,
        identity: endpoint.identity,
        named_ports: endpoint
            .named_ports
            .into_iter()
            .map(port)
            .collect::<Result<_, UnknownProtocol>>()?,
        service_account: endpoint.service_account.map(Into::into),
        skip_masquerade: endpoint.skip_masquerade,
        policy_revision: endpoint.policy_revision,
        life: LifeCycle::restored(),
    })
}
