//! A record with its names as a row of numbers and texts, and back: every list is JSON, so that any reader of the files
//! understands them, and nothing of its flows is lost on the way.

mod flatten;
mod raise;
mod said;
mod template;

use std::sync::Arc;

use parquet::data_type::ByteArray;
use serde::{Deserialize, Serialize};

pub(super) use flatten::Flattener;
pub(super) use raise::Raiser;
pub(crate) use said::holds;

macro_rules! columns {
    ($(#[$doc:meta])* $name:ident: $($variant:ident $text:literal)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum $name { $($variant),* }
        impl $name {
            const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Name of the column.
            pub(super) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
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
    Latency "latency_ns"
    Answer "answer_code"
    Version "protocol_version"
    Call "call"
    Grpc "grpc_status"
    RequestOctets "request_octets"
    ResponseOctets "response_octets"
    Attempts "attempts"
    Ttl "ttl_s"
    LeftOut "left_out"
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
    Method "method"
    Template "path_template"
    Path "path"
    PathParts "path_parts"
    Name "name"
    Trace "trace_id"
    List "list"
    Errors "errors"
    Client "client"
    Group "client_group"
    Ending "ending"
}

/// No number.
const NONE: i64 = -1;

impl Number {
    /// What a row has that does not set it, and a file in which no row sets it.
    const fn nothing(self) -> i64 {
        match self {
            Self::Way
            | Self::Point
            | Self::Side
            | Self::EgressMatch
            | Self::IngressMatch
            | Self::Latency
            | Self::Answer
            | Self::Grpc
            | Self::RequestOctets
            | Self::ResponseOctets => NONE,
            _ => 0,
        }
    }
}

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

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Number(Number),
    Text(Text),
}

impl Column {
    /// All, in their order.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let numbers = Number::ALL.iter().copied().map(Self::Number);
        numbers.chain(Text::ALL.iter().copied().map(Self::Text))
    }

    /// The one with this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::all().find(|column| column.name() == name)
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Number(of) => of.name(),
            Self::Text(of) => of.name(),
        }
    }
}

/// A text by its number; 0 is the empty one.
pub(super) type Word = u32;

/// One row, column by column: texts by their numbers, or as they are read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Flat<T = Word> {
    numbers: [i64; Number::ALL.len()],
    texts: [T; Text::ALL.len()],
}

impl<T: Clone> Flat<T> {
    /// A row that says nothing; `empty` is the empty text.
    pub(super) fn new(empty: &T) -> Self {
        Self {
            numbers: std::array::from_fn(|at| Number::ALL[at].nothing()),
            texts: std::array::from_fn(|_| empty.clone()),
        }
    }
}

impl<T> Flat<T> {
    pub(super) fn number(&self, of: Number) -> i64 {
        self.numbers[of as usize]
    }

    pub(super) fn set(&mut self, of: Number, to: impl Into<i64>) {
        self.numbers[of as usize] = to.into();
    }

    pub(super) fn tell(&mut self, of: Text, text: T) {
        self.texts[of as usize] = text;
    }
}

/// In which columns any row has anything.
pub(super) struct Used {
    numbers: [bool; Number::ALL.len()],
    texts: [bool; Text::ALL.len()],
}

impl Default for Used {
    fn default() -> Self {
        Self {
            numbers: [false; Number::ALL.len()],
            texts: [false; Text::ALL.len()],
        }
    }
}

impl Used {
    fn note(&mut self, row: &Flat) {
        let numbers = self.numbers.iter_mut().zip(Number::ALL).zip(row.numbers);
        for ((used, of), number) in numbers {
            *used |= number != of.nothing();
        }
        for (used, text) in self.texts.iter_mut().zip(row.texts) {
            *used |= text != 0;
        }
    }

    pub(super) fn has(&self, column: Column) -> bool {
        match column {
            Column::Number(of) => self.numbers[of as usize],
            Column::Text(of) => self.texts[of as usize],
        }
    }
}

impl Flat {
    /// The number of a column's text.
    pub(super) fn word(&self, of: Text) -> Word {
        self.texts[of as usize]
    }
}

impl Flat<ByteArray> {
    /// Where it was in the ring.
    pub(super) fn position(&self) -> u64 {
        self.number(Number::Position) as u64
    }

    fn octets(&self, of: Text) -> &[u8] {
        self.texts[of as usize].data()
    }

    fn text(&self, of: Text) -> Option<&str> {
        self.texts[of as usize].as_utf8().ok()
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
