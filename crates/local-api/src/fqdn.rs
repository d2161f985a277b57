//! `/v1/fqdn`: names seen in DNS.

#![allow(
    missing_docs,
    reason = "a field is named as on the wire; only what its name does not say is written down"
)]

use serde::{Deserialize, Serialize};

/// A cached answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct DnsLookup {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub ips: Vec<String>,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub fqdn: String,
    /// Seconds.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub ttl: i64,
    /// RFC 3339.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub lookup_time: String,
    /// RFC 3339.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub expiration_time: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub endpoint_id: i64,
    /// `lookup` or `connection`.
    #[serde(skip_serializing_if = "crate::is_default")]
    pub source: String,
}

/// Names that policies select.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct NameManager {
    #[serde(rename = "DNSPollNames", skip_serializing_if = "crate::is_default")]
    pub dns_poll_names: Vec<String>,
    #[serde(
        rename = "FQDNPolicySelectors",
        skip_serializing_if = "crate::is_default"
    )]
    pub fqdn_policy_selectors: Vec<SelectorEntry>,
}

/// A selector of names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct SelectorEntry {
    #[serde(rename = "selectorString", skip_serializing_if = "crate::is_default")]
    pub selector_string: String,
    #[serde(rename = "regexString", skip_serializing_if = "crate::is_default")]
    pub regex_string: String,
}
