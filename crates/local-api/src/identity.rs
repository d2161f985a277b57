//! `/v1/identity` and `/v1/ip`: who is who.

#![allow(
    missing_docs,
    reason = "a field is named as on the wire; only what its name does not say is written down"
)]

use serde::{Deserialize, Serialize};

/// A security identity and the labels it stands for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Identity {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub id: i64,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub labels: Vec<String>,
    #[serde(rename = "labelsSHA256", skip_serializing_if = "crate::is_default")]
    pub labels_sha256: String,
}

/// How many local endpoints have an identity.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct IdentityEndpoints {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    #[serde(rename = "refCount", skip_serializing_if = "crate::is_default")]
    pub ref_count: i64,
}

/// A row of `GET /v1/ip`: what a prefix is taken for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct IpListEntry {
    pub cidr: String,
    pub identity: i64,
    /// Node to tunnel to.
    #[serde(rename = "hostIP", skip_serializing_if = "crate::is_default")]
    pub host_ip: String,
    #[serde(rename = "encryptKey", skip_serializing_if = "crate::is_default")]
    pub encrypt_key: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<IpListEntryMetadata>,
}

/// Where a row was learnt.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct IpListEntryMetadata {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub source: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub namespace: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub name: String,
}

/// A label.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Label {
    #[serde(skip_serializing_if = "crate::is_default")]
    pub key: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub value: String,
    #[serde(skip_serializing_if = "crate::is_default")]
    pub source: String,
}
