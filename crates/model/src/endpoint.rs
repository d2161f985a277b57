//! Endpoints: what a node knows of each of its pods, their life cycle, and the form in which both survive a restart.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::identity::{Identity, Reserved};
use crate::labels::LabelSet;
use crate::node::IpPair;
use crate::service::Protocol;

pub mod life_cycle;
pub mod saved;

pub use life_cycle::{Event, LifeCycle, State};

/// A hardware address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, octet) in self.0.iter().enumerate() {
            write!(f, "{}{octet:02x}", if at == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

/// The text is not six hexadecimal octets separated by colons.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a hardware address")]
pub struct MacError {
    /// What was read.
    pub text: String,
}

impl FromStr for Mac {
    type Err = MacError;

    fn from_str(text: &str) -> Result<Self, MacError> {
        let octet = |part: &str| {
            if part.len() == 2 {
                u8::from_str_radix(part, 16).ok()
            } else {
                None
            }
        };
        let octets: Option<Vec<u8>> = text.split(':').map(octet).collect();
        let octets = octets.and_then(|octets| <[u8; 6]>::try_from(octets).ok());
        octets.map(Self).ok_or_else(|| MacError {
            text: text.to_owned(),
        })
    }
}

impl Serialize for Mac {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mac {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Number of an endpoint on its node, 1 to 65535.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EndpointId(pub u16);

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The pod behind an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodName {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

impl fmt::Display for PodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A port that a container has given a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamedPort {
    /// Name.
    pub name: Arc<str>,
    /// Number.
    pub port: u16,
    /// Protocol.
    pub protocol: Protocol,
}

/// Families in which an endpoint keeps its address on the way out of the cluster: what the pools of its addresses said when it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SkipMasquerade {
    /// IPv4.
    pub ipv4: bool,
    /// IPv6.
    pub ipv6: bool,
}

impl SkipMasquerade {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// An endpoint of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointRow {
    /// Number.
    pub id: EndpointId,
    /// The pod; `None` for the node itself and the health endpoint.
    pub pod: Option<PodName>,
    /// uid of the pod, once the store has told it: a pod of the same name may be another.
    pub pod_uid: Option<Arc<str>>,
    /// Sandbox container.
    pub container_id: Arc<str>,
    /// Interface inside the pod.
    pub container_interface: Arc<str>,
    /// Path of the pod's network namespace.
    pub netns: Arc<str>,
    /// SO_NETNS_COOKIE of the pod's network namespace.
    pub netns_cookie: u64,
    /// Addresses.
    pub ips: IpPair,
    /// Hardware address inside the pod.
    pub mac: Mac,
    /// Hardware address of the host side, the pod's gateway.
    pub host_mac: Mac,
    /// Interface of the host side.
    pub ifname: Arc<str>,
    /// Its index; changes with a reboot only.
    pub ifindex: u32,
    /// Identity labels.
    pub labels: LabelSet,
    /// Identity, once it is known.
    pub identity: Option<Identity>,
    /// Named ports, sorted.
    pub named_ports: Vec<NamedPort>,
    /// Service account of the pod.
    pub service_account: Option<Arc<str>>,
    /// The families in which what it sends leaves the cluster under its own address, whatever the node does for others.
    pub skip_masquerade: SkipMasquerade,
    /// Revision of the policies that are in force for it; 0 = none yet.
    pub policy_revision: u64,
    /// Where it stands.
    pub life: LifeCycle,
}

impl EndpointRow {
    /// Whether it ends with the agent's process, as the health endpoint does. Nothing of it is kept for the next one.
    pub fn ends_with_agent(&self) -> bool {
        self.identity == Some(Reserved::Health.id())
    }

    /// The state, in the API's words.
    pub fn state(&self) -> State {
        self.life.state()
    }
}

#[cfg(test)]
mod tests;
