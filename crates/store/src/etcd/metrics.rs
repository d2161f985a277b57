//! Counts of what is asked of etcd, and of what it tells. Names and labels are upstream's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

type Labels<const N: usize> = [(&'static str, String); N];
type Histograms<const N: usize> = Family<Labels<N>, Histogram>;

/// Upper ends of buckets, in seconds, as Prometheus' clients have them by default.
const DEFAULT: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
const WAITS: [f64; 11] = [
    0.002, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0,
];
/// What upstream says of keys that are not of a kind with a version.
const SHORT: usize = 12;

/// Our verbs, and what upstream calls them: kind and action. Others are not of keys.
const OPERATIONS: &[(&str, &str, &str)] = &[
    ("get", "read", "Get"),
    ("verify", "read", "Get"),
    ("list", "read", "ListPrefix"),
    ("put", "set", "Update"),
    ("write", "set", "Update"),
    ("use", "set", "UpdateIfLocked"),
    ("create", "set", "CreateOnly"),
    ("protect", "set", "CreateOnly"),
    ("make", "set", "CreateOnlyLocked"),
    ("lock", "set", "Lock"),
    ("grant", "set", "AcquireLease"),
    ("delete", "delete", "Delete"),
    ("collect", "delete", "DeleteLocked"),
];

/// Why etcd cannot be relied on, in upstream's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The heartbeat does not come.
    Silence,
    /// No endpoint answers.
    Unanswered,
}

impl Fault {
    const ALL: [Self; 2] = [Self::Silence, Self::Unanswered];

    const fn word(self) -> &'static str {
        match self {
            Self::Silence => "no event received",
            Self::Unanswered => "timeout",
        }
    }
}

/// What a client of etcd counts. Clones count in the same place.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Whose keys they are.
    cluster: Arc<str>,
    operations: Histograms<4>,
    waits: Histograms<2>,
    synced: Family<Labels<3>, Gauge>,
    quorum: Family<Labels<1>, Counter>,
    failures: Family<Labels<2>, Counter>,
    queue: Family<Labels<2>, Gauge>,
}

impl Metrics {
    /// Of a client of the keys of this cluster.
    pub fn of(cluster: &str) -> Self {
        let quorum = Family::<Labels<1>, Counter>::default();
        for fault in Fault::ALL {
            drop(quorum.get_or_create(&[("error", fault.word().to_owned())]));
        }
        Self {
            cluster: cluster.into(),
            operations: Family::new_with_constructor(|| Histogram::new(DEFAULT)),
            waits: Family::new_with_constructor(|| Histogram::new(WAITS)),
            synced: Family::default(),
            quorum,
            failures: Family::default(),
            queue: Family::default(),
        }
    }

    /// Makes all families part of `registry`.
    #[rustfmt::skip]
    pub fn register(&self, registry: &mut Registry) {
        registry.register("kvstore_operations_duration_seconds", "Time that requests to etcd took", self.operations.clone());
        registry.register("kvstore_events_queue_seconds", "Time from what a watch said to a table that has it", self.waits.clone());
        registry.register("kvstore_initial_sync_completed", "Whether keys were read, or written, completely since the start", self.synced.clone());
        registry.register("kvstore_quorum_errors", "Looks that found etcd unreliable", self.quorum.clone());
        registry.register("kvstore_sync_errors", "Tries to write this node's keys that failed", self.failures.clone());
        registry.register("kvstore_sync_queue_size", "Keys of this node that are not written yet", self.queue.clone());
    }

    /// A request about `key` ended.
    pub(super) fn asked(&self, verb: &str, key: &str, well: bool, took: Duration) {
        let Some((_, kind, action)) = OPERATIONS.iter().find(|(of, ..)| *of == verb) else {
            return;
        };
        let labels = [
            ("scope", scope(key)),
            ("kind", (*kind).to_owned()),
            ("action", (*action).to_owned()),
            ("outcome", if well { "success" } else { "fail" }.to_owned()),
        ];
        let times = self.operations.get_or_create(&labels);
        times.observe(took.as_secs_f64());
    }

    /// What a watch said of a key is in the table.
    pub(super) fn told(&self, key: &str, action: &'static str, took: Duration) {
        let labels = [("scope", scope(key)), ("action", action.to_owned())];
        let times = self.waits.get_or_create(&labels);
        times.observe(took.as_secs_f64());
    }

    /// Keys of a kind were, or are not yet, completely read or written (`action`: read, write).
    pub(super) fn synced(&self, key: &str, action: &'static str, complete: bool) {
        let labels = [
            ("scope", scope(key)),
            ("source_cluster", self.cluster.to_string()),
            ("action", action.to_owned()),
        ];
        self.synced.get_or_create(&labels).set(complete.into());
    }

    /// A look found etcd so.
    pub(super) fn faulty(&self, fault: Fault) {
        self.quorum
            .get_or_create(&[("error", fault.word().to_owned())])
            .inc();
    }

    /// Keys, with whether each is written.
    pub(super) fn written<'a>(&self, keys: impl Iterator<Item = (&'a str, bool)>) {
        let mut missing: BTreeMap<String, i64> = BTreeMap::new();
        for (key, written) in keys {
            *missing.entry(scope(key)).or_default() += i64::from(!written);
        }
        for (scope, missing) in missing {
            let action = ("action", "write".to_owned());
            let cluster = ("source_cluster", self.cluster.to_string());
            let labels = [("scope", scope.clone()), cluster.clone()];
            self.queue.get_or_create(&labels).set(missing);
            drop(self.failures.get_or_create(&labels));
            let all = [("scope", scope), cluster, action];
            let synced = self.synced.get_or_create(&all);
            // Once is for ever.
            synced.set(synced.get().max((missing == 0).into()));
        }
    }

    /// A try to write such keys failed.
    pub(super) fn failed(&self, key: &str) {
        let cluster = ("source_cluster", self.cluster.to_string());
        self.failures
            .get_or_create(&[("scope", scope(key)), cluster])
            .inc();
    }
}

/// What kind a key is of, as upstream tells it: the third and the fourth part of its path, or its begin.
fn scope(key: &str) -> String {
    let mut parts = key.split('/').skip(2).filter(|part| !part.is_empty());
    match (parts.next(), parts.next()) {
        (Some(kind), Some(version)) => format!("{kind}/{version}"),
        _ => key.chars().take(SHORT).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_apart_by_kind_and_not_by_name() {
        for (key, expected) in [
            ("cilium/state/identities/v1/id/7", "identities/v1"),
            ("cilium/state/ip/v1/default/10.0.0.1", "ip/v1"),
            ("cilium/state/nodes/v1/", "nodes/v1"),
            ("cilium/.heartbeat", "cilium/.hear"),
            ("lease", "lease"),
        ] {
            assert_eq!(scope(key), expected);
        }
    }
}
