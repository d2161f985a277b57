//! Printer columns: what `kubectl get` shows of an object beside its name.

use serde_json::{Value, json};

/// OpenAPI type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Text,
    Integer,
    Boolean,
    Date,
}

/// When a column is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    Always,
    /// With `-o wide`.
    Wide,
}

/// A column: heading, type, when it is shown, JSON path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Column(&'static str, Type, Shown, &'static str);

impl Column {
    pub(crate) fn to_value(self) -> Value {
        let Self(name, kind, shown, path) = self;
        let kind = match kind {
            Type::Text => "string",
            Type::Integer => "integer",
            Type::Boolean => "boolean",
            Type::Date => "date",
        };
        let mut column = json!({"name": name, "type": kind, "jsonPath": path});
        if shown == Shown::Wide {
            column["priority"] = json!(1);
        }
        column
    }
}

use Shown::{Always, Wide};
use Type::{Boolean, Date, Integer, Text};

pub(crate) const AGE: Column = Column("Age", Date, Always, ".metadata.creationTimestamp");

pub(crate) const VALID: Column = Column(
    "Valid",
    Text,
    Always,
    ".status.conditions[?(@.type=='Valid')].status",
);

pub(crate) const IDENTITY: &[Column] = &[
    Column(
        "Namespace",
        Text,
        Always,
        r".metadata.labels.io\.kubernetes\.pod\.namespace",
    ),
    AGE,
];

#[rustfmt::skip]
pub(crate) const ENDPOINT: &[Column] = &[
    Column("Security Identity", Integer, Always, ".status.identity.id"),
    Column("Ingress Enforcement", Text, Wide, ".status.policy.ingress.state"),
    Column("Egress Enforcement", Text, Wide, ".status.policy.egress.state"),
    Column("Endpoint State", Text, Always, ".status.state"),
    Column("IPv4", Text, Always, ".status.networking.addressing[0].ipv4"),
    Column("IPv6", Text, Always, ".status.networking.addressing[0].ipv6"),
];

#[rustfmt::skip]
pub(crate) const NODE: &[Column] = &[
    Column("CiliumInternalIP", Text, Always, ".spec.addresses[?(@.type=='CiliumInternalIP')].ip"),
    Column("InternalIP", Text, Always, ".spec.addresses[?(@.type=='InternalIP')].ip"),
    AGE,
];

#[rustfmt::skip]
pub(crate) const LOAD_BALANCER_POOL: &[Column] = &[
    Column("Disabled", Boolean, Always, ".spec.disabled"),
    Column("Conflicting", Text, Always, ".status.conditions[?(@.type=='cilium.io/PoolConflict')].status"),
    Column("IPs Available", Text, Always, ".status.conditions[?(@.type=='cilium.io/IPsAvailable')].message"),
    AGE,
];

#[rustfmt::skip]
pub(crate) const GATEWAY_CLASS: &[Column] = &[
    Column("Accepted", Text, Always, ".status.conditions[?(@.type=='Accepted')].status"),
    AGE,
    Column("Description", Text, Wide, ".spec.description"),
];
