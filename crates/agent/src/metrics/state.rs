//! What is so at the moment of the scrape: endpoints, policies, identities, addresses, tables.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Error};
use std::sync::Arc;

use daemon::metrics::labels;
use model::endpoint::State as Life;
use model::identity::Reserved;
use model::policy::{DefaultVerdict, Direction, SubjectId};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use tokio::sync::watch;

use super::show::Page;
use super::{Metrics, features, kernel};
use crate::addresses::Addresses;
use crate::config::Config;
use crate::drift::Changed;
use crate::health::Health;
use crate::inputs::Inputs;
use crate::node::Addressing;
use crate::view::{View, ViewReader};

/// What is read.
#[derive(Clone)]
pub struct State {
    /// Configuration.
    pub config: Arc<Config>,
    /// Addresses of this node.
    pub addressing: Addressing,
    /// What is in force.
    pub view: ViewReader,
    /// Addresses of pods.
    pub addresses: Addresses,
    /// Tables of the store.
    pub inputs: Inputs,
    /// Tables of the kernel.
    pub maps: ::kernel::Maps,
    /// Their sizes.
    pub sizes: ::kernel::Config,
    /// What is known of other nodes' health.
    pub health: Health,
    /// Settings that the cluster has changed since this agent started.
    pub drift: watch::Receiver<Changed>,
    /// What is counted elsewhere.
    pub metrics: Metrics,
}

/// The state, less what is not wanted.
pub(super) struct Shown {
    state: State,
    off: Arc<BTreeSet<String>>,
}

impl State {
    pub(super) fn without(self, off: Arc<BTreeSet<String>>) -> Shown {
        Shown { state: self, off }
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the agent's state")
    }
}

/// States in which an endpoint can be seen, in upstream's words.
const STATES: [Life; 7] = [
    Life::WaitingForIdentity,
    Life::NotReady,
    Life::WaitingToRegenerate,
    Life::Regenerating,
    Life::Restoring,
    Life::Ready,
    Life::Disconnecting,
];

impl Collector for Shown {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut page = Page {
            encoder,
            off: &self.off,
        };
        let page = &mut page;
        let of = &self.state;
        let view = of.view.get();
        version(page)?;
        endpoints(page, &view)?;
        policies(page, &view, &of.config)?;
        let failing = usize::from(view.error.is_some());
        page.gauge(
            ("controllers_failing", "Loops whose last round failed"),
            failing,
        )?;
        let identities = [
            (
                labels([("type", "cluster_local")]),
                of.inputs.identities.snapshot().len(),
            ),
            (labels([("type", "reserved")]), Reserved::ALL.len()),
        ];
        page.gauges(("identity", "Identities that this node knows"), identities)?;
        page.gauge(("nodes_all_num", "Nodes of the cluster"), view.nodes.len())?;
        health(page, of)?;
        addresses(page, of)?;
        kernel::packets(page, &of.maps)?;
        let connections = of.metrics.connections();
        kernel::tables(page, &of.maps, &of.sizes, &view.plan, connections)?;
        kernel::held(page)?;
        proxy(page)?;
        drift(page, of)?;
        features::write(page, &of.config)
    }
}

/// Without probes all is unknown.
fn health(page: &mut Page<'_, '_>, of: &State) -> Result<(), Error> {
    let numbers = of.health.numbers();
    let kinds = [("node", numbers.nodes), ("endpoint", numbers.endpoints)];
    let series = kinds.iter().flat_map(|(kind, count)| {
        let counts = [
            ("reachable", count.reachable),
            ("unreachable", count.unreachable),
            ("unknown", count.unknown),
        ];
        counts.map(|(status, count)| (labels([("type", *kind), ("status", status)]), count))
    });
    page.gauges(
        (
            "node_health_connectivity_status",
            "Nodes, and their health endpoints, by what this node's probes say of them",
        ),
        series,
    )?;
    let help = "Nodes that this node does not reach";
    page.gauge(("unreachable_nodes", help), numbers.nodes.unreachable)?;
    let help = "Health endpoints that this node does not reach";
    let count = numbers.endpoints.unreachable;
    page.gauge(("unreachable_health_endpoints", help), count)
}

/// Shown as soon as it is known.
fn drift(page: &mut Page<'_, '_>, of: &State) -> Result<(), Error> {
    let help = "Settings to which a restart would give another value";
    let changed = of.drift.borrow().clone();
    changed.map_or(Ok(()), |changed| {
        page.gauge(("drift_checker_config_delta", help), changed.len())
    })
}

fn version(page: &mut Page<'_, '_>) -> Result<(), Error> {
    // As Go names them, which is what dashboards know.
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let of = labels([
        ("version", env!("CARGO_PKG_VERSION")),
        ("revision", ""),
        ("arch", arch),
    ]);
    page.gauges(("version", "This program"), [(of, 1_i64)])
}

fn endpoints(page: &mut Page<'_, '_>, view: &View) -> Result<(), Error> {
    page.gauge(("endpoint", "Endpoints of this node"), view.endpoints.len())?;
    let states = STATES.map(|state| {
        let count = view
            .endpoints
            .iter()
            .filter(|row| row.state() == state)
            .count();
        (labels([("endpoint_state", state.as_str())]), count)
    });
    page.gauges(("endpoint_state", "Endpoints by state"), states)
}

fn policies(page: &mut Page<'_, '_>, view: &View, config: &Config) -> Result<(), Error> {
    page.gauge(
        ("policy", "Policies in force"),
        view.policy.objects().count(),
    )?;
    page.gauge(
        ("policy_max_revision", "Revision of the policies"),
        view.revision,
    )?;
    let selectors = [(labels([("type", "peer")]), view.policy.selectors().len())];
    let help = "Different selectors of peers";
    page.gauges(("policy_selector_cache_selectors", help), selectors)?;
    let mut enforced: BTreeMap<&str, usize> = ["none", "ingress", "egress", "both"]
        .map(|word| (word, 0))
        .into();
    let audit = ["none", "audit-ingress", "audit-egress", "audit-both"];
    if config.policy.audit {
        enforced = audit.map(|word| (word, 0)).into();
    }
    for row in &view.endpoints {
        let is = |direction| {
            let key = view.policy.policy_of(SubjectId(row.id.0.into()), direction);
            key.is_some_and(|key| key.default != DefaultVerdict::Allow)
        };
        let word = match (
            is(Direction::Ingress),
            is(Direction::Egress),
            config.policy.audit,
        ) {
            (false, false, _) => "none",
            (true, false, false) => "ingress",
            (false, true, false) => "egress",
            (true, true, false) => "both",
            (true, false, true) => "audit-ingress",
            (false, true, true) => "audit-egress",
            (true, true, true) => "audit-both",
        };
        *enforced.entry(word).or_default() += 1;
    }
    let enforced = enforced
        .into_iter()
        .map(|(word, count)| (labels([("enforcement", word)]), count));
    let help = "Endpoints by the directions in which policy is enforced";
    page.gauges(("policy_endpoint_enforcement_status", help), enforced)
}

fn addresses(page: &mut Page<'_, '_>, of: &State) -> Result<(), Error> {
    let in_use = of.addresses.in_use();
    let v4 = in_use.keys().filter(|address| address.is_ipv4()).count();
    let nets = of.addresses.ranges();
    let size = |ipv4: bool| {
        let nets = nets.iter().filter(|net| net.addr().is_ipv4() == ipv4);
        nets.map(|net| 2_f64.powi(i32::from(net.max_prefix_len() - net.prefix_len())))
            .sum::<f64>()
    };
    let ranges = [
        ("ipv4", v4, size(true)),
        ("ipv6", in_use.len() - v4, size(false)),
    ];
    let ranges: Vec<_> = ranges
        .into_iter()
        .filter(|(.., size)| *size > 0.0)
        .collect();
    let family = |family: &'static str| labels([("family", family)]);
    let used = ranges.iter().map(|(of, used, _)| (family(of), *used));
    page.gauges(("ip_addresses", "Addresses in use"), used)?;
    let capacity = ranges.iter().map(|(of, _, size)| (family(of), *size));
    page.gauges(
        ("ipam_capacity", "Addresses in this node's ranges"),
        capacity,
    )
}

/// There is no proxy for requests yet, so nothing was ever redirected to one.
fn proxy(page: &mut Page<'_, '_>) -> Result<(), Error> {
    let kinds = ["dns", "http"].map(|kind| (labels([("protocol_l7", kind)]), 0_i64));
    page.gauges(("proxy_redirects", "Redirects to a proxy"), kinds)?;
    let requests = ["received", "forwarded", "denied", "parse_errors"].into_iter();
    let requests = requests.flat_map(|rule| {
        ["envoy", "fqdn"].map(|proxy| (labels([("rule", rule), ("proxy_type", proxy)]), 0_u64))
    });
    page.counters(("policy_l7", "Requests that a proxy judged"), requests)
}
