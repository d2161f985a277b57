//! Counts of requests to the API server, and of what its watches tell. Names and labels are upstream's.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

type Labels<const N: usize> = [(&'static str, String); N];
type Seconds = Gauge<f64, std::sync::atomic::AtomicU64>;

/// Upper ends of buckets, in seconds, as Prometheus' clients have them by default.
const DEFAULT: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
const WAITS: [f64; 12] = [
    0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0,
];

/// What a client counts. Clones count in the same place.
#[derive(Clone, Debug)]
pub struct Metrics {
    calls: Family<Labels<3>, Counter>,
    latency: Family<Labels<2>, Histogram>,
    waits: Histogram,
    received: Family<Labels<4>, Counter>,
    events: Family<Labels<3>, Counter>,
    last: Family<Labels<3>, Seconds>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            calls: Family::default(),
            latency: Family::new_with_constructor(|| Histogram::new(DEFAULT)),
            waits: Histogram::new(WAITS),
            received: Family::default(),
            events: Family::default(),
            last: Family::default(),
        }
    }
}

/// What a watch said of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) kind: &'static str,
    pub(crate) action: &'static str,
    /// It could be read.
    pub(crate) valid: bool,
    /// It changed nothing that anybody asked for.
    pub(crate) equal: bool,
}

impl Metrics {
    /// Makes all families part of `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "k8s_client_api_calls",
            "Requests to the API server by how they were answered",
            self.calls.clone(),
        );
        registry.register(
            "k8s_client_api_latency_time_seconds",
            "Time until the API server began to answer",
            self.latency.clone(),
        );
        registry.register(
            "k8s_client_rate_limiter_duration_seconds",
            "Time that requests waited for their turn",
            self.waits.clone(),
        );
        registry.register(
            "kubernetes_events_received",
            "Objects of lists and watches, by whether they could be read and changed something",
            self.received.clone(),
        );
        registry.register(
            "kubernetes_events",
            "Objects of lists and watches, by whether they were taken in",
            self.events.clone(),
        );
        registry.register(
            "event_ts",
            "Time of the last such object",
            self.last.clone(),
        );
    }

    pub(crate) fn waited(&self, time: Duration) {
        self.waits.observe(time.as_secs_f64());
    }

    /// `code` is that of the answer, or `<error>` without one, as upstream writes it.
    pub(crate) fn called(&self, host: &str, method: &str, path: &str, code: &str, took: Duration) {
        let calls = [
            ("host", host.to_owned()),
            ("method", method.to_owned()),
            ("return_code", code.to_owned()),
        ];
        self.calls.get_or_create(&calls).inc();
        let latency = [("path", template(path)), ("method", method.to_owned())];
        let latency = self.latency.get_or_create(&latency);
        latency.observe(took.as_secs_f64());
    }

    /// A kind is followed: its series are there before anything happens.
    pub(crate) fn follows(&self, kind: &str) {
        for action in ["create", "update", "delete"] {
            let events = [
                ("scope", scope(kind)),
                ("action", action.to_owned()),
                ("status", "success".to_owned()),
            ];
            self.events.get_or_create(&events).inc_by(0);
            for equal in ["true", "false"] {
                let received = [
                    ("scope", scope(kind)),
                    ("action", action.to_owned()),
                    ("valid", "false".to_owned()),
                    ("equal", equal.to_owned()),
                ];
                self.received.get_or_create(&received).inc_by(0);
            }
        }
    }

    pub(crate) fn told(&self, told: Told) {
        let (scope, action) = (scope(told.kind), told.action.to_owned());
        let word = |is: bool| if is { "true" } else { "false" }.to_owned();
        let received = [
            ("scope", scope.clone()),
            ("action", action.clone()),
            ("valid", word(told.valid)),
            ("equal", word(told.equal)),
        ];
        self.received.get_or_create(&received).inc();
        let status = if told.valid { "success" } else { "failed" };
        let events = [
            ("scope", scope.clone()),
            ("action", action.clone()),
            ("status", status.to_owned()),
        ];
        self.events.get_or_create(&events).inc();
        let last = [
            ("source", "k8s".to_owned()),
            ("scope", scope),
            ("action", action),
        ];
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default().as_secs_f64();
        self.last.get_or_create(&last).set(now);
    }
}

/// Upstream counts slices of endpoints as endpoints.
fn scope(kind: &str) -> String {
    match kind {
        "EndpointSlice" => "Endpoint",
        other => other,
    }
    .to_owned()
}

/// The path without parameters, and with names of objects replaced: there are as many series as there are kinds.
fn template(path: &str) -> String {
    let path = path.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (group, rest) = match parts.as_slice() {
        ["api", _, rest @ ..] => (2, rest),
        ["apis", _, _, rest @ ..] => (3, rest),
        _ => return path.to_owned(),
    };
    let mut said: Vec<&str> = parts.iter().take(group).copied().collect();
    let rest = match rest {
        ["namespaces", _, rest @ ..] if !rest.is_empty() => {
            said.extend(["namespaces", "{namespace}"]);
            rest
        }
        rest => rest,
    };
    for (at, part) in rest.iter().enumerate() {
        said.push(if at == 1 { "{name}" } else { part });
    }
    format!("/{}", said.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_no_names_of_objects_and_no_parameters() {
        for (path, expected) in [
            ("/version", "/version"),
            ("/api/v1/pods?watch=1", "/api/v1/pods"),
            (
                "/api/v1/namespaces/shop/pods/web-1/log",
                "/api/v1/namespaces/{namespace}/pods/{name}/log",
            ),
            ("/api/v1/namespaces/shop", "/api/v1/namespaces/{name}"),
            (
                "/apis/cilium.io/v2/ciliumidentities/7?x=y",
                "/apis/cilium.io/v2/ciliumidentities/{name}",
            ),
            (
                "/apis/cilium.io/v2/namespaces/a/ciliumendpoints",
                "/apis/cilium.io/v2/namespaces/{namespace}/ciliumendpoints",
            ),
        ] {
            assert_eq!(template(path), expected);
        }
    }
}
