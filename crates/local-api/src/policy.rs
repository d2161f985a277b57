//! `/v1/policy`: rules, selectors, and what they come to at an endpoint.

#![allow(
    missing_docs,
    reason = "a field is named as on the wire; only what its name does not say is written down"
)]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::identity::Label;

/// Answer of `GET /v1/policy`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Policy {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub revision: i64,
    /// The rules as a JSON document.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub policy: String,
}

/// A selector in use and the identities it selects: a row of `GET /v1/policy/selectors`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct SelectorIdentityMapping {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub selector: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub labels: Vec<Label>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub identities: Vec<i64>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub users: i64,
}

/// Directions in which policy is enforced at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Enforcement {
    /// Neither.
    #[serde(rename = "none")]
    None,
    /// To it.
    #[serde(rename = "ingress")]
    Ingress,
    /// From it.
    #[serde(rename = "egress")]
    Egress,
    /// Both.
    #[serde(rename = "both")]
    Both,
    /// To it, denials only reported.
    #[serde(rename = "audit-ingress")]
    AuditIngress,
    /// From it, denials only reported.
    #[serde(rename = "audit-egress")]
    AuditEgress,
    /// Both, denials only reported.
    #[serde(rename = "audit-both")]
    AuditBoth,
}

/// Policy of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct EndpointPolicyStatus {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spec: Option<EndpointPolicy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realized: Option<EndpointPolicy>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub proxy_policy_revision: i64,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub proxy_statistics: Vec<ProxyStatistics>,
}

/// Policy of an endpoint as wanted or as in force.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct EndpointPolicy {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub policy_revision: i64,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub id: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_enabled: Option<Enforcement>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub build: i64,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub allowed_ingress_identities: Vec<i64>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub denied_ingress_identities: Vec<i64>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub allowed_egress_identities: Vec<i64>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub denied_egress_identities: Vec<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub l4: Option<L4Policy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cidr_policy: Option<CidrPolicy>,
}

/// Rules on ports.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct L4Policy {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub ingress: Vec<PolicyRule>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub egress: Vec<PolicyRule>,
}

/// Rules on addresses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct CidrPolicy {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub ingress: Vec<PolicyRule>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub egress: Vec<PolicyRule>,
}

/// A resolved rule and the rules it was derived from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct PolicyRule {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub rule: String,
    /// One list of labels per rule.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub derived_from_rules: Vec<Vec<String>>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub rules_by_selector: BTreeMap<String, Vec<Vec<String>>>,
}

/// What a proxy did for an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct ProxyStatistics {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub protocol: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub port: i64,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub allocated_proxy_port: i64,
    /// `ingress` or `egress`.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub location: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statistics: Option<RequestResponseStatistics>,
}

/// Counts per direction of a message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct RequestResponseStatistics {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<MessageForwardingStatistics>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub responses: Option<MessageForwardingStatistics>,
}

/// Counts of messages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct MessageForwardingStatistics {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub received: i64,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub forwarded: i64,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub denied: i64,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub error: i64,
}

/// A named port.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Port {
    /// `TCP`, `UDP`, `SCTP`, `ICMP`, `ICMPV6` or `ANY`.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub protocol: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub port: u16,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub name: String,
}

/// Answer of `GET /v1/prefilter`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Prefilter {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spec: Option<PrefilterSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<PrefilterStatus>,
}

/// Prefixes dropped first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct PrefilterSpec {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub revision: i64,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub deny: Vec<String>,
}

/// Prefixes dropped first, as in force.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct PrefilterStatus {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realized: Option<PrefilterSpec>,
}
