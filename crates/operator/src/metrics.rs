//! Numbers for Prometheus: names and labels are upstream's, one method for each event that changes them.

mod process;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::ipam::Plan;

/// A family: name without prefix, type, and a sentence.
struct Family(&'static str, &'static str, &'static str);

const PREFIX: &str = "cilium_operator_";

#[rustfmt::skip]
const FAMILIES: &[Family] = &[
    Family("leader_election_master_status", "gauge", "Whether this operator leads"),
    Family("ipam_nodes", "gauge", "Nodes by category: all, lacking a range, lacking one that there is not"),
    Family("ipam_ips", "gauge", "Addresses in ranges of nodes, in none, and in ranges that nodes lack"),
    Family("ipam_resync_total", "counter", "Plans of ranges that were made"),
    Family("identity_gc_entries", "gauge", "Identities of the last collection by what became of them"),
    Family("identity_gc_runs", "gauge", "Collections of identities by outcome"),
    Family("identity_gc_latency", "gauge", "Seconds that the last collection of identities took"),
    Family("endpoint_gc_objects", "counter", "CiliumEndpoints that were collected, by outcome"),
    Family("unmanaged_pods", "gauge", "Pods that no agent knows"),
    Family("feature_controlplane_kubernetes_version", "gauge", "Version of the API server"),
    Family("feature_adv_connect_and_lb_gateway_api_enabled", "gauge", "Gateway API is on"),
    Family("feature_adv_connect_and_lb_ingress_controller_enabled", "gauge", "The ingress controller is on"),
    Family("feature_adv_connect_and_lb_l7_aware_traffic_management_enabled", "gauge", "Load balancing by requests is on"),
    Family("feature_adv_connect_and_lb_lb_ipam_enabled", "gauge", "Addresses are given to services of type LoadBalancer"),
    Family("feature_adv_connect_and_lb_node_ipam_enabled", "gauge", "Addresses of nodes are given to services"),
];

/// Family, and labels as they are written.
type Series = (&'static str, String);

/// All numbers.
#[derive(Default)]
pub struct Metrics {
    // A table would not do: several tasks count in the same families.
    values: Mutex<BTreeMap<Series, f64>>,
}

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

impl Metrics {
    /// Series that are there before anything happens, so that no panel is empty.
    pub fn new() -> Self {
        let metrics = Self::default();
        metrics.leads(false);
        for outcome in [Outcome::Success, Outcome::Fail] {
            metrics.add("endpoint_gc_objects", &[("outcome", outcome.word())], 0.0);
            let labels = [("identity_type", "crd"), ("outcome", outcome.word())];
            metrics.add("identity_gc_runs", &labels, 0.0);
        }
        for feature in FAMILIES
            .iter()
            .filter(|Family(name, ..)| name.starts_with("feature_adv_"))
        {
            metrics.set(feature.0, &[], 0.0);
        }
        metrics.unmanaged_pods(0);
        metrics
    }

    fn set(&self, name: &'static str, labels: &[(&str, &str)], value: f64) {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        values.insert((name, written(labels)), value);
    }

    fn add(&self, name: &'static str, labels: &[(&str, &str)], more: f64) {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        *values.entry((name, written(labels))).or_default() += more;
    }

    /// This operator leads, or does not.
    pub fn leads(&self, leads: bool) {
        let labels = [("name", crate::lease::NAME)];
        self.set(
            "leader_election_master_status",
            &labels,
            f64::from(u8::from(leads)),
        );
    }

    /// A plan of ranges was made.
    pub fn ipam(&self, nodes: usize, plan: &Plan) {
        self.add("ipam_resync_total", &[], 1.0);
        let without = plan.errors.len();
        for (category, value) in [
            ("total", nodes),
            ("in-deficit", plan.lacking),
            ("at-capacity", without),
        ] {
            self.set("ipam_nodes", &[("category", category)], count(value));
        }
        for (kind, value) in [
            ("used", plan.used),
            ("available", plan.free),
            ("needed", plan.needed),
        ] {
            self.set("ipam_ips", &[("type", kind)], large(value));
        }
    }

    /// A collection of identities ended. One that could not see all identities and all uses has counted none, and the
    /// figures of the one before stay.
    pub fn identities(&self, outcome: Outcome, took: Duration, collected: Option<Collected>) {
        let labels = [("identity_type", "crd"), ("outcome", outcome.word())];
        self.add("identity_gc_runs", &labels, 1.0);
        self.set("identity_gc_latency", &labels, took.as_secs_f64());
        let Some(collected) = collected else {
            return;
        };
        for (status, value) in [("alive", collected.alive), ("deleted", collected.deleted)] {
            let labels = [("identity_type", "crd"), ("status", status)];
            self.set("identity_gc_entries", &labels, count(value));
        }
    }

    /// A CiliumEndpoint was to be collected.
    pub fn endpoint(&self, outcome: Outcome) {
        self.add("endpoint_gc_objects", &[("outcome", outcome.word())], 1.0);
    }

    /// So many pods are known to no agent.
    pub fn unmanaged_pods(&self, number: usize) {
        self.set("unmanaged_pods", &[], count(number));
    }

    /// The API server is of this version.
    pub fn kubernetes(&self, version: &str) {
        self.set(
            "feature_controlplane_kubernetes_version",
            &[("version", version)],
            1.0,
        );
    }

    /// In the text format of Prometheus, version 0.0.4.
    pub fn to_text(&self) -> String {
        let values = self
            .values
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let mut text = String::new();
        for Family(name, kind, help) in FAMILIES {
            let from = (*name, String::new());
            let mut series = values
                .range(from..)
                .take_while(|((of, _), _)| of == name)
                .peekable();
            if series.peek().is_some() {
                let _ = writeln!(
                    text,
                    "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}"
                );
            }
            for ((_, labels), value) in series {
                let _ = writeln!(text, "{PREFIX}{name}{labels} {value}");
            }
        }
        process::write(&mut text);
        text
    }
}

fn written(labels: &[(&str, &str)]) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let escaped = |value: &str| {
        value
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n")
    };
    let labels = labels
        .iter()
        .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)));
    format!("{{{}}}", labels.collect::<Vec<_>>().join(","))
}

#[allow(
    clippy::cast_precision_loss,
    reason = "a sample is a float in any case"
)]
fn count(value: usize) -> f64 {
    value as f64
}

#[allow(
    clippy::cast_precision_loss,
    reason = "a sample is a float in any case"
)]
fn large(value: u128) -> f64 {
    value as f64
}
