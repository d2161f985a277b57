//! Numbers for Prometheus: names and labels are upstream's, one method for each event that changes them.

mod slices;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::Duration;

use daemon::metrics::{FloatGauge, Labels, Process, labels};
use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::{Metric, Registry};

use crate::ipam::Plan;

pub use slices::SliceChange;
use slices::Slices;

type ByOne<M> = Family<Labels<1>, M>;
type ByTwo<M> = Family<Labels<2>, M>;

/// All numbers.
pub struct Metrics {
    registry: Registry,
    leads: ByOne<Gauge>,
    ipam_nodes: ByOne<Gauge>,
    ipam_ips: ByOne<FloatGauge>,
    ipam_resync: Counter,
    identity_gc_entries: ByTwo<Gauge>,
    identity_gc_runs: ByTwo<Gauge>,
    identity_gc_latency: ByTwo<FloatGauge>,
    endpoint_gc_objects: ByOne<Untyped>,
    slices: Slices,
    doubles: [Gauge; 4],
    requests: store::Metrics,
    unmanaged_pods: Gauge,
    kubernetes_version: ByOne<Gauge>,
}

/// A counter whose name, upstream's, does not end as the format wants it of counters.
#[derive(Clone, Debug, Default)]
struct Untyped(Counter);

impl TypedMetric for Untyped {
    const TYPE: MetricType = MetricType::Unknown;
}

impl EncodeMetric for Untyped {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        encoder.encode_gauge(&self.0.get())
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

/// Parts that there are not: always 0.
const ABSENT: &[(&str, &str)] = &[
    ("gateway_api_enabled", "Gateway API is on"),
    ("ingress_controller_enabled", "The ingress controller is on"),
    (
        "l7_aware_traffic_management_enabled",
        "Load balancing by requests is on",
    ),
    (
        "lb_ipam_enabled",
        "Addresses are given to services of type LoadBalancer",
    ),
    (
        "node_ipam_enabled",
        "Addresses of nodes are given to services",
    ),
];

/// Identities while a cluster moves from one store to the other.
const DOUBLES: [(&str, &str); 4] = [
    ("crd", "CiliumIdentities"),
    ("kvstore", "Identities in etcd"),
    ("crd_only", "CiliumIdentities that are not in etcd"),
    (
        "kvstore_only",
        "Identities in etcd of which there is no CiliumIdentity",
    ),
];

/// How something ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Success,
    /// Not so.
    Fail,
}

impl Outcome {
    /// Of a result.
    pub fn of<T, E>(result: &Result<T, E>) -> Self {
        if result.is_ok() {
            Self::Success
        } else {
            Self::Fail
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Fail => "fail",
        }
    }
}

/// What one collection of identities found and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Still there.
    pub alive: usize,
    /// Gone.
    pub deleted: usize,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Series that are there before anything happens, so that no panel is empty.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("cilium_operator");
        let requests = store::Metrics::default();
        requests.register(&mut registry);
        let to = &mut registry;
        let metrics = Self {
            leads: added(
                to,
                "leader_election_master_status",
                "Whether this operator leads",
            ),
            ipam_nodes: added(
                to,
                "ipam_nodes",
                "Nodes by category: all, lacking a range, lacking one that there is not",
            ),
            ipam_ips: added(
                to,
                "ipam_ips",
                "Addresses in ranges of nodes, in none, and in ranges that nodes lack",
            ),
            ipam_resync: added(to, "ipam_resync", "Plans of ranges that were made"),
            identity_gc_entries: added(
                to,
                "identity_gc_entries",
                "Identities of the last collection by what became of them",
            ),
            identity_gc_runs: added(
                to,
                "identity_gc_runs",
                "Collections of identities by outcome",
            ),
            identity_gc_latency: added(
                to,
                "identity_gc_latency",
                "Seconds that the last collection of identities took",
            ),
            endpoint_gc_objects: added(
                to,
                "endpoint_gc_objects",
                "CiliumEndpoints that were collected, by outcome",
            ),
            slices: Slices::new(to),
            doubles: DOUBLES
                .map(|(name, help)| added(to, &format!("doublewrite_{name}_identities"), help)),
            requests,
            unmanaged_pods: added(to, "unmanaged_pods", "Pods that no agent knows"),
            kubernetes_version: added(
                to,
                "feature_controlplane_kubernetes_version",
                "Version of the API server",
            ),
            registry: with_the_rest(registry),
        };
        metrics.seed();
        metrics
    }

    fn seed(&self) {
        self.leads(false);
        for outcome in [Outcome::Success, Outcome::Fail] {
            let outcome = ("outcome", outcome.word());
            self.endpoint_gc_objects
                .get_or_create(&labels([outcome]))
                .0
                .inc_by(0);
            let both = labels([("identity_type", "crd"), outcome]);
            self.identity_gc_runs.get_or_create(&both).set(0);
        }
    }

    /// This operator leads, or does not.
    pub fn leads(&self, leads: bool) {
        let name = labels([("name", crate::lease::NAME)]);
        self.leads.get_or_create(&name).set(i64::from(leads));
    }

    /// A plan of ranges was made.
    pub fn ipam(&self, nodes: usize, plan: &Plan) {
        self.ipam_resync.inc();
        let without = plan.errors.len();
        for (category, value) in [
            ("total", nodes),
            ("in-deficit", plan.lacking),
            ("at-capacity", without),
        ] {
            let category = labels([("category", category)]);
            self.ipam_nodes.get_or_create(&category).set(value as i64);
        }
        for (kind, value) in [
            ("used", plan.used),
            ("available", plan.free),
            ("needed", plan.needed),
        ] {
            let kind = labels([("type", kind)]);
            self.ipam_ips.get_or_create(&kind).set(large(value));
        }
    }

    /// A collection of identities ended. One that could not see all identities and all uses has counted none, and the
    /// figures of the one before stay.
    pub fn identities(&self, outcome: Outcome, took: Duration, collected: Option<Collected>) {
        self.collection("crd", outcome, took, collected);
    }

    /// The same of identities in etcd.
    pub fn numbers(&self, outcome: Outcome, took: Duration, collected: Option<Collected>) {
        self.collection("kvstore", outcome, took, collected);
    }

    fn collection(
        &self,
        kind: &'static str,
        outcome: Outcome,
        took: Duration,
        collected: Option<Collected>,
    ) {
        let both = labels([("identity_type", kind), ("outcome", outcome.word())]);
        self.identity_gc_runs.get_or_create(&both).inc();
        let latency = self.identity_gc_latency.get_or_create(&both);
        latency.set(took.as_secs_f64());
        let Some(collected) = collected else {
            return;
        };
        for (status, value) in [("alive", collected.alive), ("deleted", collected.deleted)] {
            let both = labels([("identity_type", kind), ("status", status)]);
            self.identity_gc_entries
                .get_or_create(&both)
                .set(value as i64);
        }
    }

    /// These identities are in the two stores that a cluster moves between.
    pub fn doubles(&self, objects: &BTreeSet<u32>, etcd: &BTreeSet<u32>) {
        let counts = [
            objects.len(),
            etcd.len(),
            objects.difference(etcd).count(),
            etcd.difference(objects).count(),
        ];
        for (gauge, count) in self.doubles.iter().zip(counts) {
            gauge.set(count as i64);
        }
    }

    /// What the client of the API server counts.
    pub fn requests(&self) -> &store::Metrics {
        &self.requests
    }

    /// A CiliumEndpoint was to be collected.
    pub fn endpoint(&self, outcome: Outcome) {
        let outcome = labels([("outcome", outcome.word())]);
        self.endpoint_gc_objects.get_or_create(&outcome).0.inc();
    }

    /// A CiliumEndpointSlice was written or deleted. Each failure is tried again.
    pub fn slice(&self, outcome: Outcome, change: SliceChange) {
        self.slices.count(outcome, change);
    }

    /// So many pods are known to no agent.
    pub fn unmanaged_pods(&self, number: usize) {
        self.unmanaged_pods.set(number as i64);
    }

    /// The API server is of this version.
    pub fn kubernetes(&self, version: &str) {
        let version = labels([("version", version.to_owned())]);
        self.kubernetes_version.get_or_create(&version).set(1);
    }

    /// What is shown to scrapers.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }
}

/// What nobody counts: parts that there are not, and the process.
fn with_the_rest(mut registry: Registry) -> Registry {
    for (name, help) in ABSENT {
        let name = format!("feature_adv_connect_and_lb_{name}");
        registry.register(name, *help, Gauge::<i64>::default());
    }
    registry.register_collector(Box::new(Process));
    daemon::log::register(&mut registry);
    registry
}

/// A new family, registered. Of a counter the name lacks `_total`, which the format appends.
fn added<M: Metric + Clone + Default>(to: &mut Registry, name: &str, help: &str) -> M {
    let family = M::default();
    to.register(name, help, family.clone());
    family
}

#[allow(
    clippy::cast_precision_loss,
    reason = "a sample is a float in any case"
)]
fn large(value: u128) -> f64 {
    value as f64
}
