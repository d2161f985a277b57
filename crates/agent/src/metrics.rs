//! Numbers of the agent for Prometheus: names and labels are upstream's, docs/metrics.md lists them.
//!
//! What happens is counted where it happens, by one method for each event; what is so is read when it is asked for ([`State`]).
//! A scrape walks no table that grows with the cluster.

mod features;
mod kernel;
mod show;
mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ::kernel::calls::{self, Call};
use ::kernel::collector::{Kinds, Swept};
use daemon::metrics::{FloatGauge, Labels, Process, labels};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::{Metric, Registry};

pub use state::State;

const PREFIX: &str = "cilium";

/// Upper ends of buckets, in seconds, as Prometheus' clients have them by default.
const DEFAULT: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// The same of probes, as upstream has them.
const PROBES: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0,
];

/// What switches on the only family that is off by default, as upstream's.
const CALLS: &str = "+cilium_bpf_syscall_duration_seconds";

type Counters<const N: usize> = Family<Labels<N>, Counter>;
type Gauges<const N: usize> = Family<Labels<N>, Gauge>;
type Histograms<const N: usize> = Family<Labels<N>, Histogram>;

/// What parts of the agent count. Clones count in the same place.
#[derive(Clone)]
pub struct Metrics {
    api: Histograms<3>,
    bootstrap: Family<Labels<2>, FloatGauge>,
    runs: Counters<1>,
    run_times: Histograms<1>,
    regenerations: Counters<1>,
    regeneration_times: Histograms<2>,
    policy_changes: Counters<1>,
    policy_delay: Histograms<1>,
    policy_updates: Histograms<1>,
    nodes: Counters<2>,
    services: Counters<1>,
    sweeps: Counters<3>,
    sweep_times: Histograms<3>,
    swept: Gauges<3>,
    sweep_every: Family<Labels<1>, FloatGauge>,
    addresses: Counters<2>,
    probes: Histograms<3>,
    /// Only if they are switched on: a table is many calls.
    calls: Histograms<2>,
    /// Entries of the tables of connections, as the last walk found them.
    connections: Arc<[AtomicUsize; 2]>,
}

/// How something ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Success,
    /// Not so.
    Failure,
}

impl Outcome {
    /// Whether it is well.
    pub fn of(well: bool) -> Self {
        if well { Self::Success } else { Self::Failure }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
        }
    }

    /// The word of families that say `fail`.
    const fn short(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "fail",
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let default = || Histogram::new(DEFAULT);
        let fine = || Histogram::new(exponential_buckets(1e-5, 10.0, 8));
        let metrics = Self {
            api: Family::new_with_constructor(default),
            bootstrap: Family::default(),
            runs: Family::default(),
            run_times: Family::new_with_constructor(default),
            regenerations: Family::default(),
            regeneration_times: Family::new_with_constructor(fine),
            policy_changes: Family::default(),
            policy_delay: Family::new_with_constructor(fine),
            policy_updates: Family::new_with_constructor(fine),
            nodes: Family::default(),
            services: Family::default(),
            sweeps: Family::default(),
            sweep_times: Family::new_with_constructor(default),
            swept: Family::default(),
            sweep_every: Family::default(),
            addresses: Family::default(),
            probes: Family::new_with_constructor(|| Histogram::new(PROBES)),
            calls: Family::new_with_constructor(fine),
            connections: Arc::default(),
        };
        metrics.seed();
        metrics
    }
}

impl Metrics {
    /// Series that are there before anything happens, so that a rate has a beginning and no panel is empty.
    fn seed(&self) {
        for outcome in [Outcome::Success, Outcome::Failure] {
            let (long, short) = (outcome.as_str(), outcome.short());
            self.policy_changes
                .get_or_create(&labels([("outcome", short)]))
                .inc_by(0);
            self.runs
                .get_or_create(&labels([("status", long)]))
                .inc_by(0);
            self.regenerations
                .get_or_create(&labels([("outcome", short)]))
                .inc_by(0);
        }
        for part in ["node", "endpoint"] {
            for protocol in ["icmp", "http"] {
                drop(
                    self.probes
                        .get_or_create(&probe([part, protocol, "primary"])),
                );
            }
        }
        for action in ["add", "update", "delete"] {
            self.services
                .get_or_create(&labels([("action", action)]))
                .inc_by(0);
        }
    }

    /// A request to the REST API was answered; `path` is its pattern.
    pub(crate) fn answered(&self, path: &str, method: &str, code: u16, took: Duration) {
        let of = labels([
            ("path", path.to_owned()),
            ("method", method.to_owned()),
            ("return_code", code.to_string()),
        ]);
        self.api.get_or_create(&of).observe(took.as_secs_f64());
    }

    /// A part of the start took so long.
    pub(crate) fn started(&self, scope: &'static str, took: Duration) {
        let of = labels([("scope", scope), ("outcome", "success")]);
        self.bootstrap.get_or_create(&of).set(took.as_secs_f64());
    }

    /// A loop that brings the kernel to what it should be went round once.
    pub(crate) fn ran(&self, outcome: Outcome, took: Duration) {
        let of = labels([("status", outcome.as_str())]);
        self.runs.get_or_create(&of).inc();
        self.run_times
            .get_or_create(&of)
            .observe(took.as_secs_f64());
    }

    /// An endpoint was brought to what it should be. Times are of the whole round, which endpoints share.
    pub(crate) fn regenerated(&self, outcome: Outcome, calculated: Duration, written: Duration) {
        let short = labels([("outcome", outcome.short())]);
        self.regenerations.get_or_create(&short).inc();
        for (scope, took) in [
            ("policyCalculation", calculated),
            ("endpointPolicyCalculation", calculated),
            ("mapSync", written),
            ("total", calculated + written),
        ] {
            let of = labels([("scope", scope), ("status", outcome.as_str())]);
            let times = self.regeneration_times.get_or_create(&of);
            times.observe(took.as_secs_f64());
        }
    }

    /// A policy was taken in, or refused.
    pub(crate) fn policy(&self, outcome: Outcome) {
        let of = labels([("outcome", outcome.short())]);
        self.policy_changes.get_or_create(&of).inc();
    }

    /// Policies of `source` are in force, so long after they were read.
    pub(crate) fn policy_in_force(&self, source: &'static str, took: Duration) {
        let of = labels([("source", source)]);
        self.policy_delay
            .get_or_create(&of)
            .observe(took.as_secs_f64());
    }

    /// Identities that came or went are in the policies that they concern.
    pub(crate) fn identities_in_force(&self, took: Duration) {
        let of = labels([("scope", "global")]);
        self.policy_updates
            .get_or_create(&of)
            .observe(took.as_secs_f64());
    }

    /// A node of the cluster came, changed or went.
    pub(crate) fn node(&self, event: &'static str, source: &'static str) {
        let of = labels([("event_type", event), ("source", source)]);
        self.nodes.get_or_create(&of).inc();
    }

    /// A service came, changed or went.
    pub(crate) fn service(&self, action: &'static str) {
        self.services
            .get_or_create(&labels([("action", action)]))
            .inc();
    }

    /// An address of a pod was given, or given back.
    pub(crate) fn address(&self, action: &'static str, address: std::net::IpAddr) {
        let family = if address.is_ipv4() { "ipv4" } else { "ipv6" };
        let of = labels([("action", action), ("family", family)]);
        self.addresses.get_or_create(&of).inc();
    }

    /// A probe of a node or of its health endpoint ended; `way` is what was probed, the protocol, and whether it is the first
    /// address of its kind.
    pub(crate) fn probed(&self, way: [&'static str; 3], took: Duration) {
        let times = self.probes.get_or_create(&probe(way));
        times.observe(took.as_secs_f64());
    }

    /// Their page.
    #[cfg(test)]
    pub(crate) fn probes(&self) -> String {
        let mut registry = Registry::default();
        registry.register("probes", "", self.probes.clone());
        daemon::metrics::text(&registry)
    }

    /// A walk over the tables of connections ended. One walk is over both families and all protocols, so each series shows it.
    pub(crate) fn swept(&self, outcome: Outcome, found: &Walk, took: Duration) {
        let status = match outcome {
            Outcome::Success => "completed",
            Outcome::Failure => "uncompleted",
        };
        let protocol = |tcp: bool| if tcp { "TCP" } else { "non-TCP" };
        for (family, tcp, _) in found.alive.iter() {
            let of = labels([
                ("family", family),
                ("protocol", protocol(tcp)),
                ("status", status),
            ]);
            self.sweeps.get_or_create(&of).inc();
            self.sweep_times
                .get_or_create(&of)
                .observe(took.as_secs_f64());
        }
        if outcome == Outcome::Failure {
            return;
        }
        for (status, kinds) in [("alive", &found.alive), ("deleted", &found.deleted)] {
            for (family, tcp, count) in kinds.iter() {
                let of = labels([
                    ("family", family),
                    ("protocol", protocol(tcp)),
                    ("status", status),
                ]);
                self.swept.get_or_create(&of).set(count as i64);
            }
        }
        let every = labels([("global", "global")]);
        self.sweep_every
            .get_or_create(&every)
            .set(found.every.as_secs_f64());
    }

    /// The tables of connections hold so many entries.
    pub(crate) fn holds(&self, connections: usize, openings: usize) {
        let [answered, unanswered] = &*self.connections;
        answered.store(connections, Ordering::Relaxed);
        unanswered.store(openings, Ordering::Relaxed);
    }

    fn connections(&self) -> [usize; 2] {
        let [answered, unanswered] = &*self.connections;
        [answered, unanswered].map(|count| count.load(Ordering::Relaxed))
    }

    /// The registry: what is counted here and by the clients of the stores, the log, the process, and what `state` reads. `choice` is
    /// the value of the key `metrics`.
    pub fn registry(
        &self,
        (store, etcd): (&store::Metrics, Option<&store::etcd::Metrics>),
        state: State,
        choice: &[String],
    ) -> Registry {
        let mut registry = Registry::with_prefix(PREFIX);
        let off: BTreeSet<String> = choice
            .iter()
            .filter_map(|name| name.strip_prefix('-'))
            .map(str::to_owned)
            .collect();
        let off = Arc::new(off);
        let mut to = Shelf {
            registry: &mut registry,
            off: &off,
        };
        self.register(&mut to);
        if choice.iter().any(|name| name == CALLS) {
            self.watch_calls(&mut to);
        }
        store.register(&mut registry);
        if let Some(etcd) = etcd {
            etcd.register(&mut registry);
        }
        daemon::log::register(&mut registry);
        registry.register_collector(Box::new(Process));
        registry.register_collector(Box::new(state.without(off)));
        registry
    }

    fn watch_calls(&self, to: &mut Shelf<'_>) {
        let help = "Time that system calls on maps and programs took";
        to.add("bpf_syscall_duration_seconds", help, &self.calls);
        let metrics = self.clone();
        calls::watch(move |call| metrics.called(call));
    }

    fn called(&self, call: Call) {
        let outcome = Outcome::of(call.done).short();
        let of = labels([("operation", call.operation), ("outcome", outcome)]);
        let histogram = self.calls.get_or_create(&of);
        histogram.observe(call.took.as_secs_f64());
    }

    #[rustfmt::skip]
    fn register(&self, to: &mut Shelf<'_>) {
        to.add("agent_api_process_time_seconds", "Time that answers of the REST API took", &self.api);
        to.add("agent_bootstrap_seconds", "Time that parts of the start took", &self.bootstrap);
        to.add("controllers_runs", "Rounds of loops that bring the kernel to what it should be", &self.runs);
        to.add("controllers_runs_duration_seconds", "Time that those rounds took", &self.run_times);
        to.add("endpoint_regenerations", "Endpoints brought to what they should be", &self.regenerations);
        to.add("endpoint_regeneration_time_stats_seconds", "Time that this took, by part of the work", &self.regeneration_times);
        to.add("policy_change", "Policies taken in or refused", &self.policy_changes);
        to.add("policy_implementation_delay", "Time from a policy that was read to policy in force", &self.policy_delay);
        to.add("policy_incremental_update_duration", "Time from identities that were read to policies that know them", &self.policy_updates);
        to.add("nodes_all_events_received", "Nodes of the cluster that came, changed or went", &self.nodes);
        to.add("services_events", "Services that came, changed or went", &self.services);
        to.add("datapath_conntrack_gc_runs", "Walks over the tables of connections", &self.sweeps);
        to.add("datapath_conntrack_gc_duration_seconds", "Time that walks took", &self.sweep_times);
        to.add("datapath_conntrack_gc_entries", "Connections that the last walk found alive or deleted", &self.swept);
        to.add("datapath_conntrack_gc_interval_seconds", "Time between two complete walks", &self.sweep_every);
        to.add("node_health_connectivity_latency_seconds", "Time to the answers of other nodes and their health endpoints", &self.probes);
        to.add("ipam_events", "Addresses of pods given or given back", &self.addresses);
    }
}

fn probe([part, protocol, address]: [&'static str; 3]) -> Labels<3> {
    labels([
        ("type", part),
        ("protocol", protocol),
        ("address_type", address),
    ])
}

/// What complete walks over the tables of connections found.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Walk {
    pub(crate) alive: Kinds,
    pub(crate) deleted: Kinds,
    pub(crate) every: Duration,
}

impl Walk {
    pub(crate) fn note(&mut self, swept: &Swept) {
        self.alive.merge(&swept.alive);
        self.deleted.merge(&swept.deleted);
    }
}

/// Where families go that are not switched off.
struct Shelf<'a> {
    registry: &'a mut Registry,
    off: &'a BTreeSet<String>,
}

impl Shelf<'_> {
    /// Of a counter the name lacks `_total`, which the format appends.
    fn add<M: Metric + TypedMetric + Clone>(&mut self, name: &str, help: &str, family: &M) {
        if !self.off.contains(&full(name, M::TYPE)) {
            self.registry.register(name, help, family.clone());
        }
    }
}

/// The name as it is shown.
fn full(name: &str, kind: MetricType) -> String {
    match kind {
        MetricType::Counter => format!("{PREFIX}_{name}_total"),
        _ => format!("{PREFIX}_{name}"),
    }
}
