//! What the API server checks of custom resources, as types that are never made: they describe the parts of objects that the
//! programs keep as written, because a library of its own reads them, or because nobody acts on them yet.
//!
//! Field texts become the descriptions that `kubectl explain` prints. A key `x-default` becomes the schema's default: what
//! serde fills in when it reads is no business of the API server.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::kubernetes::{ApiVersion, KindName, ObjectMeta};

pub mod bgp;
pub mod cloud;
pub mod egress_gateway;
pub mod endpoint;
pub mod envoy;
pub mod gateway_class;
pub mod l2_announcement;
pub mod l7;
pub mod load_balancer;
pub mod local_redirect;
pub mod node;
pub mod peer;
pub mod policy;
pub mod pool;
pub mod port;
pub mod status;

/// A type that is a schema and nothing else.
macro_rules! schema {
    ($($(#[$doc:meta])* $name:ident: $schema:tt;)+) => { $(
        $(#[$doc])*
        pub struct $name;

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )+ };
}

schema! {
    /// Value of a label: at most 63 letters, digits, '-', '_' and '.', alphanumeric at both ends.
    LabelValue: {"type": "string", "maxLength": 63, "pattern": "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$"};
    /// A prefix.
    Cidr: {"type": "string", "format": "cidr"};
    /// A prefix, or an address, which is a prefix of full length.
    CidrOrAddress: {"type": "string", "anyOf": [{"format": "cidr"}, {"format": "ipv4"}, {"format": "ipv6"}]};
    /// An address of either family.
    Address: {"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]};
    /// A time, RFC 3339.
    Time: {"type": "string", "format": "date-time"};
    /// Any object.
    AnyObject: {"type": "object", "x-kubernetes-preserve-unknown-fields": true};
}

impl JsonSchema for ObjectMeta {
    fn schema_name() -> Cow<'static, str> {
        "ObjectMeta".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "object"})
    }
}

macro_rules! text_of_type {
    ($($name:ident),+) => { $(
        impl<T> JsonSchema for $name<T> {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string"})
            }
        }
    )+ };
}
text_of_type!(ApiVersion, KindName);
