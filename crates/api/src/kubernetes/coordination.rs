//! Leases: who leads, and until when.

use serde::{Deserialize, Serialize};

use super::{ApiVersion, KindName, ObjectMeta, null_is_default, resource};

/// A lease.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Lease {
    /// Type.
    pub api_version: ApiVersion<Lease>,
    /// Type.
    pub kind: KindName<Lease>,
    /// Metadata.
    pub metadata: ObjectMeta,
    /// Holder and times.
    #[serde(deserialize_with = "null_is_default")]
    pub spec: LeaseSpec,
}
resource!(Lease, "coordination.k8s.io", "v1", "leases", namespaced);

/// Holder and times of a lease. Times are RFC 3339 with exactly six digits of a second, as other clients require.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeaseSpec {
    /// Who holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holder_identity: Option<String>,
    /// Seconds after `renew_time` at which others may take it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_duration_seconds: Option<i32>,
    /// When it was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acquire_time: Option<String>,
    /// When it was last renewed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renew_time: Option<String>,
    /// How often it changed hands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_transitions: Option<i32>,
}
