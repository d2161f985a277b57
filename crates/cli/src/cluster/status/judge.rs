//! What the facts come to: errors, warnings, and the numbers a person wants to see.

use std::collections::BTreeMap;
use std::fmt;

use local_api::health::{State, StatusResponse};
use serde::Serialize;

use super::gather::{Facts, Found, PARTS, Part, Said};
use crate::cluster::pod::{Pod, number, text};

/// Something that is not well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Problem {
    /// Where: a workload, an agent with its node, or the cluster.
    #[serde(rename = "where")]
    pub(super) place: String,
    /// What.
    pub(super) what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// A workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct PartReport {
    pub(super) role: &'static str,
    pub(super) kind: &'static str,
    pub(super) name: &'static str,
    pub(super) installed: bool,
    pub(super) desired: i64,
    pub(super) ready: i64,
    pub(super) updated: i64,
    /// Image and number of pods with it.
    pub(super) images: BTreeMap<String, usize>,
}

/// An agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct AgentReport {
    pub(super) node: String,
    pub(super) pod: String,
    /// Its own word for it: Ok, Warning, Failure; `unknown` if it says nothing.
    pub(super) state: String,
    pub(super) message: String,
    /// Controllers that fail of all.
    pub(super) failing: usize,
    pub(super) controllers: usize,
    /// Addresses in use on the node, as the agent says.
    pub(super) ipam: String,
    pub(super) restarts: i64,
}

/// Pods of the cluster that are in our network, and those that should be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Network {
    pub(super) managed: usize,
    pub(super) pods: usize,
    /// `namespace/name` of those that are not.
    pub(super) unmanaged: Vec<String>,
}

/// How the cluster is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Report {
    pub(super) parts: Vec<PartReport>,
    pub(super) agents: Vec<AgentReport>,
    pub(super) pods: Network,
    pub(super) errors: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
}

/// Judges the facts.
pub(super) fn report(facts: &Facts) -> Report {
    let mut report = Report::default();
    for (part, found) in PARTS.iter().zip(&facts.parts) {
        report.part(*part, found);
    }
    for (pod, said) in &facts.agents {
        report.agent(pod, said);
    }
    report.managed(facts);
    report
}

impl Report {
    fn error(&mut self, place: &str, what: impl Into<String>) {
        self.errors.push(Problem {
            place: place.to_owned(),
            what: what.into(),
        });
    }

    fn warning(&mut self, place: &str, what: impl Into<String>) {
        self.warnings.push(Problem {
            place: place.to_owned(),
            what: what.into(),
        });
    }

    fn part(&mut self, part: Part, found: &Found) {
        let place = format!("{} {}", part.kind, part.name);
        let counts = found.object.as_ref().map(|object| Counts::of(part, object));
        let Counts {
            desired,
            ready,
            updated,
            seen,
        } = counts.unwrap_or_default();
        let mut images = BTreeMap::new();
        for pod in &found.pods {
            *images
                .entry(pod.image(part.container).to_owned())
                .or_default() += 1;
        }
        match &counts {
            None if part.needed => {
                self.error(&place, "is not there; is another --namespace meant?");
            }
            Some(_) if desired == 0 && part.needed => self.error(&place, "wants no pod at all"),
            Some(_) if ready < desired => {
                self.error(&place, format!("{ready} of {desired} pods are ready"));
            }
            Some(_) if !seen || updated < desired => {
                self.warning(
                    &place,
                    format!("{updated} of {desired} pods are of the newest kind"),
                );
            }
            None | Some(_) => {}
        }
        for pod in found.pods.iter().filter(|pod| !pod.ready && pod.is_alive()) {
            let place = format!("pod {} on {}", pod.name, named(&pod.node));
            self.error(&place, pod.trouble());
        }
        if images.len() > 1 {
            let all: Vec<&str> = images.keys().map(String::as_str).collect();
            self.warning(
                &place,
                format!("pods have different images: {}", all.join(", ")),
            );
        }
        self.parts.push(PartReport {
            role: part.role,
            kind: part.kind,
            name: part.name,
            installed: found.object.is_some(),
            desired,
            ready,
            updated,
            images,
        });
    }

    fn agent(&mut self, pod: &Pod, said: &Said) {
        let place = format!("agent {} on {}", pod.name, named(&pod.node));
        let restarts = pod.containers.iter().map(|of| of.restarts).sum();
        let mut row = AgentReport {
            node: pod.node.clone(),
            pod: pod.name.clone(),
            state: "unknown".to_owned(),
            message: String::new(),
            failing: 0,
            controllers: 0,
            ipam: String::new(),
            restarts,
        };
        match said {
            // Why a pod that is not ready says nothing is told with the pod.
            Err(_) if !pod.ready => {}
            Err(error) => self.error(&place, format!("its status is not known: {error}")),
            Ok(status) => {
                self.words_of(&place, status);
                describe(&mut row, status);
            }
        }
        self.agents.push(row);
    }

    fn words_of(&mut self, place: &str, status: &StatusResponse) {
        let mut parts: Vec<(&str, Option<State>, &str)> = Vec::new();
        for (name, part) in [
            ("agent", &status.cilium),
            ("key-value store", &status.kvstore),
            ("CNI configuration", &status.cni_file),
            ("certificates", &status.auth_certificate_provider),
        ] {
            if let Some(part) = part {
                parts.push((name, part.state, &part.msg));
            }
        }
        let cluster = status.cluster.as_ref();
        if let Some(part) = cluster.and_then(|of| of.cilium_health.as_ref()) {
            parts.push(("node health", part.state, &part.msg));
        }
        if let Some(part) = &status.kubernetes {
            parts.push(("Kubernetes", part.state, &part.msg));
        }
        if let Some(part) = &status.hubble {
            parts.push(("Hubble", part.state, &part.msg));
        }
        for (name, state, message) in parts {
            let what = format!("{name}: {message}");
            match state {
                Some(State::Failure) => self.error(place, what),
                Some(State::Warning) => self.warning(place, what),
                Some(State::Ok | State::Disabled) | None => {}
            }
        }
        for failing in failing(status) {
            self.error(place, failing);
        }
        for (probe, since) in &status.stale {
            self.error(place, format!("{probe} gives no answer since {since}"));
        }
    }

    fn managed(&mut self, facts: &Facts) {
        let Some(endpoints) = &facts.endpoints else {
            self.error(
                "cluster",
                "the kind CiliumEndpoint is not registered; does the operator run?",
            );
            return;
        };
        let ours = |pod: &&Pod| pod.is_alive() && !pod.host_network && !pod.node.is_empty();
        let pods: Vec<&Pod> = facts.pods.iter().filter(ours).collect();
        let managed = |pod: &&&Pod| endpoints.contains(&pod.full_name());
        let unmanaged: Vec<&Pod> = pods.iter().filter(|of| !managed(of)).copied().collect();
        let starting = unmanaged.iter().filter(|pod| pod.addresses.is_empty());
        let (all, starting) = (pods.len(), starting.count());
        if unmanaged.len() > starting {
            let what = format!(
                "{} of {all} pods are not in this network; those from before the installation have to be restarted",
                unmanaged.len() - starting,
            );
            self.warning("cluster", what);
        }
        if starting > 0 {
            let what =
                format!("{starting} of {all} pods have no address yet; their events say why");
            self.warning("cluster", what);
        }
        let unmanaged: Vec<String> = unmanaged.into_iter().map(Pod::full_name).collect();
        self.pods = Network {
            managed: pods.len() - unmanaged.len(),
            pods: pods.len(),
            unmanaged,
        };
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    desired: i64,
    ready: i64,
    updated: i64,
    /// The numbers are about the newest form of the workload.
    seen: bool,
}

impl Counts {
    fn of(part: Part, object: &serde_json::Value) -> Self {
        let seen =
            number(object, "/status/observedGeneration") >= number(object, "/metadata/generation");
        if part.kind == "DaemonSet" {
            return Self {
                desired: number(object, "/status/desiredNumberScheduled"),
                ready: number(object, "/status/numberReady"),
                updated: number(object, "/status/updatedNumberScheduled"),
                seen,
            };
        }
        let replicas = object
            .pointer("/spec/replicas")
            .and_then(serde_json::Value::as_i64);
        Self {
            desired: replicas.unwrap_or(1),
            ready: number(object, "/status/readyReplicas"),
            updated: number(object, "/status/updatedReplicas"),
            seen,
        }
    }
}

fn named(node: &str) -> &str {
    if node.is_empty() { "no node" } else { node }
}

fn describe(row: &mut AgentReport, status: &StatusResponse) {
    let value = serde_json::to_value(status).unwrap_or_default();
    text(&value, "/cilium/state").clone_into(&mut row.state);
    text(&value, "/cilium/msg").clone_into(&mut row.message);
    row.controllers = status.controllers.len();
    row.failing = failing(status).count();
    text(&value, "/ipam/status").clone_into(&mut row.ipam);
}

/// Controllers whose last run failed, with the reason.
fn failing(status: &StatusResponse) -> impl Iterator<Item = String> {
    status.controllers.iter().filter_map(|of| {
        let status = of.status.as_ref()?;
        let times = status.consecutive_failure_count;
        (times > 0).then(|| {
            format!(
                "controller {} failed {times} times in a row: {}",
                of.name, status.last_failure_msg
            )
        })
    })
}
