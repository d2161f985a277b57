//! Attributes under the names of OpenTelemetry's conventions (1.45), and under `axoneme.` where those have none.

use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, any_value};

/// A value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Value {
    Text(String),
    Number(i64),
    True,
    Nanoseconds(u64),
    List(Vec<String>),
}

/// Attributes in the order in which they were added; no key comes twice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Attributes(Vec<(&'static str, Value)>);

impl Attributes {
    /// Adds a text, unless it is empty.
    pub(super) fn text(&mut self, key: &'static str, text: impl AsRef<str> + Into<String>) {
        if !text.as_ref().is_empty() {
            self.0.push((key, Value::Text(text.into())));
        }
    }

    /// Adds a number.
    pub(super) fn number(&mut self, key: &'static str, number: impl Into<i64>) {
        self.0.push((key, Value::Number(number.into())));
    }

    /// Adds that something is so.
    pub(super) fn truth(&mut self, key: &'static str) {
        self.0.push((key, Value::True));
    }

    /// Adds a number of octets.
    pub(super) fn octets(&mut self, key: &'static str, octets: u64) {
        self.number(key, i64::try_from(octets).unwrap_or(i64::MAX));
    }

    /// Adds a duration, which is told in seconds.
    pub(super) fn duration(&mut self, key: &'static str, nanoseconds: u64) {
        self.0.push((key, Value::Nanoseconds(nanoseconds)));
    }

    /// Adds texts, unless there are none.
    pub(super) fn list(&mut self, key: &'static str, texts: Vec<String>) {
        if !texts.is_empty() {
            self.0.push((key, Value::List(texts)));
        }
    }

    /// As they go on the wire.
    pub(super) fn into_proto(self) -> Vec<KeyValue> {
        let each = self.0.into_iter().map(|(key, value)| KeyValue {
            key: key.to_owned(),
            value: Some(AnyValue {
                value: Some(value.into()),
            }),
            ..KeyValue::default()
        });
        each.collect()
    }
}

impl From<Value> for any_value::Value {
    fn from(value: Value) -> Self {
        match value {
            Value::Text(text) => Self::StringValue(text),
            Value::Number(number) => Self::IntValue(number),
            Value::True => Self::BoolValue(true),
            Value::Nanoseconds(of) => Self::DoubleValue(seconds(of)),
            Value::List(texts) => {
                let values = texts.into_iter().map(|text| AnyValue {
                    value: Some(Self::StringValue(text)),
                });
                Self::ArrayValue(ArrayValue {
                    values: values.collect(),
                })
            }
        }
    }
}

/// Nanoseconds as seconds.
#[allow(clippy::cast_precision_loss, reason = "exact up to 2^53 ns, 104 days")]
pub(super) fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

/// Keys of one end of a connection.
pub(super) struct EndKeys {
    pub(super) address: &'static str,
    pub(super) port: &'static str,
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) cluster: &'static str,
    pub(super) namespace: &'static str,
    pub(super) pod: &'static str,
    /// Of owners, in the order of [`OWNERS`].
    pub(super) owners: [&'static str; OWNERS.len()],
    pub(super) identity: &'static str,
    pub(super) dns: &'static str,
    pub(super) service: &'static str,
    pub(super) service_namespace: &'static str,
}

/// Kinds of owners that have a name of their own in the conventions.
pub(super) const OWNERS: [&str; 6] = [
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "ReplicaSet",
    "Job",
    "CronJob",
];

macro_rules! end_keys {
    ($end:literal) => {
        EndKeys {
            address: concat!($end, ".address"),
            port: concat!($end, ".port"),
            name: concat!("axoneme.", $end, ".name"),
            kind: concat!("axoneme.", $end, ".kind"),
            cluster: concat!("axoneme.", $end, ".k8s.cluster.name"),
            namespace: concat!("axoneme.", $end, ".k8s.namespace.name"),
            pod: concat!("axoneme.", $end, ".k8s.pod.name"),
            owners: [
                concat!("axoneme.", $end, ".k8s.deployment.name"),
                concat!("axoneme.", $end, ".k8s.statefulset.name"),
                concat!("axoneme.", $end, ".k8s.daemonset.name"),
                concat!("axoneme.", $end, ".k8s.replicaset.name"),
                concat!("axoneme.", $end, ".k8s.job.name"),
                concat!("axoneme.", $end, ".k8s.cronjob.name"),
            ],
            identity: concat!("axoneme.", $end, ".identity"),
            dns: concat!("axoneme.", $end, ".dns.names"),
            service: concat!("axoneme.", $end, ".k8s.service.name"),
            service_namespace: concat!("axoneme.", $end, ".k8s.service.namespace"),
        }
    };
}

/// Who began, or who sent the packet.
pub(super) const SOURCE: EndKeys = end_keys!("source");
/// Who was asked, or who got it.
pub(super) const DESTINATION: EndKeys = end_keys!("destination");
