//! A record with its names as a row of numbers and texts, and back: every list is JSON, so that any reader of the files
//! understands them, and nothing is lost on the way.

mod flatten;
mod raise;

use std::sync::Arc;

use parquet::data_type::ByteArray;
use serde::{Deserialize, Serialize};

pub(super) use flatten::Flattener;
pub(super) use raise::Raiser;

macro_rules! columns {
    ($(#[$doc:meta])* $name:ident: $($variant:ident $text:literal)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum $name { $($variant),* }
        impl $name {
            /// Names of the columns, in their order.
            pub(super) const NAMES: &'static [&'static str] = &[$($text),*];
            const ALL: &'static [Self] = &[$(Self::$variant),*];
        }
    };
}

columns! {
    /// Columns of 64-bit numbers.
    Number:
    Time "time_ns"
    Position "position"
    Way "way"
    Point "point"
    Side "side"
    Reason "drop_reason"
    EgressMatch "egress_match"
    EgressRule "egress_rule"
    EgressAudited "egress_audited"
    EgressProxy "egress_proxy_port"
    IngressMatch "ingress_match"
    IngressRule "ingress_rule"
    IngressAudited "ingress_audited"
    IngressProxy "ingress_proxy_port"
    SourcePort "source_port"
    SourceIdentity "source_identity"
    SourceEndpoint "source_endpoint"
    DestinationPort "destination_port"
    DestinationIdentity "destination_identity"
    DestinationEndpoint "destination_endpoint"
    Protocol "protocol"
    Flags "tcp_flags_or_icmp_type"
    Code "icmp_code"
    Interface "interface"
}

columns! {
    /// Columns of texts; empty where there is nothing.
    Text:
    What "what"
    SourceAddress "source_address"
    DestinationAddress "destination_address"
    Asked "asked"
    TranslatedSource "translated_source"
    SourceMac "source_mac"
    DestinationMac "destination_mac"
    InterfaceName "interface_name"
    SourceNamespace "source_namespace"
    SourcePod "source_pod"
    SourceLabels "source_labels"
    SourceWorkloads "source_workloads"
    SourceCluster "source_cluster"
    DestinationNamespace "destination_namespace"
    DestinationPod "destination_pod"
    DestinationLabels "destination_labels"
    DestinationWorkloads "destination_workloads"
    DestinationCluster "destination_cluster"
    SourceService "source_service"
    DestinationService "destination_service"
    SourceNames "source_names"
    DestinationNames "destination_names"
    EgressPolicies "egress_policies"
    IngressPolicies "ingress_policies"
    Message "message"
}

/// No number.
const NONE: i64 = -1;

/// Columns of one end's names.
const SOURCE: [Text; 5] = [
    Text::SourceNamespace,
    Text::SourcePod,
    Text::SourceLabels,
    Text::SourceWorkloads,
    Text::SourceCluster,
];
const DESTINATION: [Text; 5] = [
    Text::DestinationNamespace,
    Text::DestinationPod,
    Text::DestinationLabels,
    Text::DestinationWorkloads,
    Text::DestinationCluster,
];
/// Columns of a verdict.
const EGRESS: [Number; 4] = [
    Number::EgressMatch,
    Number::EgressRule,
    Number::EgressAudited,
    Number::EgressProxy,
];
const INGRESS: [Number; 4] = [
    Number::IngressMatch,
    Number::IngressRule,
    Number::IngressAudited,
    Number::IngressProxy,
];

/// One row, column by column.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Flat {
    pub(super) numbers: [i64; Number::ALL.len()],
    pub(super) texts: [ByteArray; Text::ALL.len()],
}

impl Default for Flat {
    fn default() -> Self {
        let empty = ByteArray::from("");
        Self {
            numbers: [0; Number::ALL.len()],
            texts: std::array::from_fn(|_| empty.clone()),
        }
    }
}

impl Flat {
    fn number(&self, of: Number) -> i64 {
        self.numbers[of as usize]
    }

    fn text(&self, of: Text) -> Option<&str> {
        self.texts[of as usize].as_utf8().ok()
    }

    fn set(&mut self, of: Number, to: impl Into<i64>) {
        self.numbers[of as usize] = to.into();
    }

    fn tell(&mut self, of: Text, text: ByteArray) {
        self.texts[of as usize] = text;
    }
}

/// Columns of one end's numbers: port, identity, endpoint.
const SOURCE_NUMBERS: [Number; 3] = [
    Number::SourcePort,
    Number::SourceIdentity,
    Number::SourceEndpoint,
];
const DESTINATION_NUMBERS: [Number; 3] = [
    Number::DestinationPort,
    Number::DestinationIdentity,
    Number::DestinationEndpoint,
];

/// A policy as it is written.
#[derive(Serialize, Deserialize)]
struct Policy {
    kind: Arc<str>,
    namespace: Arc<str>,
    name: Arc<str>,
    labels: Vec<Arc<str>>,
    revision: u64,
    log: Arc<str>,
}
