//! `/v1/healthz`, `/v1/config` and `/v1/debuginfo`: how the agent is, and how it is set up.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Json;
use local_api::config::{
    DaemonConfiguration, DaemonConfigurationSpec, DaemonConfigurationStatus, PolicyEnforcement,
};
use local_api::health::{
    AttachMode, ClusterStatus, DatapathMode, Enabled, HubbleObserver, HubbleStatus, IdentityRange,
    IpamStatus, K8sStatus, KprFeatures, KprMode, KprNodePort, KubeProxyReplacement, Masquerading,
    Protocols, State as Health, Status, StatusResponse,
};
use local_api::node::{NodeAddressing, NodeAddressingElement};
use model::ipam::Family;

use super::{Api, answers};
use crate::config::{Enforcement, Routing};

/// `GET /v1/healthz`: the answer says how the agent is; with the header `brief: true` it says nothing else.
pub(super) async fn health(State(api): State<Api>, headers: HeaderMap) -> Json<StatusResponse> {
    let mut response = answer(&api);
    if headers.get("brief").is_some_and(|value| value == "true") {
        response = StatusResponse {
            cilium: response.cilium,
            ..StatusResponse::default()
        };
    }
    Json(response)
}

/// The state of the agent and of what it depends on.
#[allow(clippy::too_many_lines, reason = "one answer, field by field")]
pub(crate) fn answer(api: &Api) -> StatusResponse {
    let view = api.view.get();
    let own = match (&view.error, view.waiting_for.as_slice()) {
        (Some(error), _) => Status {
            state: Some(Health::Failure),
            msg: error.clone(),
        },
        (None, []) => Status {
            state: Some(Health::Ok),
            msg: remarks(api),
        },
        // No pod can be added: what the plugin's STATUS says by its code 50.
        (None, waiting) => Status {
            state: Some(Health::Failure),
            msg: format!("waiting for {}", waiting.join(", ")),
        },
    };
    let kubernetes = K8sStatus {
        state: Some(if view.waiting_for.is_empty() {
            Health::Ok
        } else {
            Health::Warning
        }),
        msg: String::new(),
        k8s_api_versions: vec![
            "core/v1".into(),
            "cilium.io/v2".into(),
            "networking.k8s.io/v1".into(),
            "discovery.k8s.io/v1".into(),
        ],
    };
    StatusResponse {
        cilium: Some(own),
        kvstore: Some(kvstore(api)),
        kubernetes: Some(kubernetes),
        datapath_mode: Some(DatapathMode::Veth),
        ipam: Some(ipam(api)),
        hubble: Some(hubble(api)),
        masquerading: Some(masquerading(api)),
        kube_proxy_replacement: Some(services(api)),
        routing: Some(routing(api)),
        attach_mode: Some(AttachMode::Tcx),
        identity_range: Some(identity_range(api)),
        cluster: Some(ClusterStatus {
            this_node: api.config.node.clone(),
            nodes: answers::node_elements(&view),
            cilium_health: Some(api.health.summary()),
        }),
        ..StatusResponse::default()
    }
}

/// Addresses in use. Those of another pool than the default have its name before them.
fn ipam(api: &Api) -> IpamStatus {
    let in_use = api.addresses.in_use();
    let default = &*api.config.pools.default;
    let named = |address: IpAddr| match api.addresses.pool_of(address) {
        Some(pool) if *pool != *default => format!("{pool}/{address}"),
        _ => address.to_string(),
    };
    let family = |v4: bool| {
        let of = in_use.keys().filter(|address| address.is_ipv4() == v4);
        of.map(ToString::to_string).collect()
    };
    let mut status = format!("{} addresses in use", in_use.len());
    if api.addresses.has_pools() {
        for (pool, of) in api.addresses.pools() {
            let _ = write!(status, "; pool {pool}:");
            for family in [Family::Ipv4, Family::Ipv6] {
                let (used, size) = (of.used.of(family), of.size.of(family));
                if size > 0 {
                    let _ = write!(status, " {used}/{size} {family}");
                }
            }
        }
    }
    IpamStatus {
        status,
        ipv4: family(true),
        ipv6: family(false),
        allocations: in_use
            .into_iter()
            .map(|(address, owner)| (named(address), owner))
            .collect(),
    }
}

/// etcd. While it is away or unhealthy what is in force stays, so the agent itself is well.
fn kvstore(api: &Api) -> Status {
    let Some(etcd) = &api.etcd else {
        return Status {
            state: Some(Health::Disabled),
            msg: String::new(),
        };
    };
    let health = etcd.borrow().clone();
    let state = match (&health.fault, health.known) {
        (Some(_), _) => Health::Failure,
        (None, true) => Health::Ok,
        (None, false) => Health::Warning,
    };
    Status {
        state: Some(state),
        msg: health.to_text(),
    }
}

fn routing(api: &Api) -> local_api::health::Routing {
    let (mode, tunnel) = match api.config.datapath.routing {
        Routing::Tunnel => ("Tunnel", "vxlan"),
        Routing::Native { .. } => ("Native", ""),
    };
    local_api::health::Routing {
        inter_host_routing_mode: mode.to_owned(),
        intra_host_routing_mode: "BPF".to_owned(),
        tunnel_protocol: tunnel.to_owned(),
    }
}

fn services(api: &Api) -> KubeProxyReplacement {
    let of = &api.config.services;
    let on = |enabled: bool| Some(Enabled { enabled });
    let mode = if of.enabled {
        KprMode::True
    } else {
        KprMode::False
    };
    let node_port = KprNodePort {
        enabled: of.enabled,
        mode: "SNAT".to_owned(),
        algorithm: "Random".to_owned(),
        acceleration: "None".to_owned(),
        port_min: of.nodeport.0.into(),
        port_max: of.nodeport.1.into(),
        ..KprNodePort::default()
    };
    let devices = api.devices.uplinks.iter().map(|link| link.name.clone());
    KubeProxyReplacement {
        mode: Some(mode),
        devices: devices.collect(),
        features: Some(KprFeatures {
            node_port: Some(node_port),
            socket_lb: on(of.sockets),
            session_affinity: on(of.enabled),
            graceful_termination: on(of.enabled),
            ..KprFeatures::default()
        }),
        ..KubeProxyReplacement::default()
    }
}

fn identity_range(api: &Api) -> IdentityRange {
    let range = api.identities.numbers().range();
    IdentityRange {
        min_identity: (*range.start()).into(),
        max_identity: (*range.end()).into(),
    }
}

/// The version, and what a person should look at although all is in force.
fn remarks(api: &Api) -> String {
    let mut words = vec![version()];
    words.extend(api.spare.borrow().problem.clone());
    if !api.config.unknown.is_empty() {
        words.push(format!("unknown keys: {}", api.config.unknown.join(", ")));
    }
    let changed = drifted(api);
    if !changed.is_empty() {
        let (count, keys) = (changed.len(), changed.join(", "));
        words.push(format!(
            "settings that a restart would change: {count} ({keys})"
        ));
    }
    words.join("; ")
}

/// Settings that the cluster has changed since this agent started.
fn drifted(api: &Api) -> Arc<[String]> {
    api.drift.borrow().clone().unwrap_or_default()
}

fn masquerading(api: &Api) -> Masquerading {
    let of = &api.config.datapath;
    let text = |net: Option<String>| net.unwrap_or_default();
    Masquerading {
        enabled: of.masquerade.ipv4 || of.masquerade.ipv6,
        enabled_protocols: Some(Protocols {
            ipv4: of.masquerade.ipv4,
            ipv6: of.masquerade.ipv6,
        }),
        mode: "BPF".to_owned(),
        ip_masq_agent: of.masquerade_list.is_some(),
        snat_exclusion_cidr_v4: text(of.native_ipv4.map(|net| net.to_string())),
        snat_exclusion_cidr_v6: text(of.native_ipv6.map(|net| net.to_string())),
        ..Masquerading::default()
    }
}

fn version() -> String {
    format!("axoneme {}", env!("CARGO_PKG_VERSION"))
}

fn hubble(api: &Api) -> HubbleStatus {
    let Some(intake) = &api.flows else {
        return HubbleStatus {
            state: Some(Health::Disabled),
            ..HubbleStatus::default()
        };
    };
    let ring = intake.ring();
    let observer = HubbleObserver {
        max_flows: ring.capacity() as i64,
        current_flows: ring.len() as i64,
        seen_flows: ring.seen_flows() as i64,
        ..HubbleObserver::default()
    };
    HubbleStatus {
        state: Some(Health::Ok),
        observer: Some(observer),
        ..HubbleStatus::default()
    }
}

/// The node's gateways and ranges, as the plugin needs them.
pub(super) fn addressing(api: &Api) -> NodeAddressing {
    let of = &api.addressing;
    NodeAddressing {
        ipv4: Some(NodeAddressingElement {
            enabled: api.config.datapath.families.ipv4,
            ip: of.router_ipv4().map(|a| a.to_string()).unwrap_or_default(),
            alloc_range: of.pods_ipv4.map(|net| net.to_string()).unwrap_or_default(),
            ..Default::default()
        }),
        ipv6: Some(NodeAddressingElement {
            enabled: api.config.datapath.families.ipv6,
            ip: of.router_ipv6().map(|a| a.to_string()).unwrap_or_default(),
            alloc_range: of.pods_ipv6.map(|net| net.to_string()).unwrap_or_default(),
            ..Default::default()
        }),
    }
}

/// Whose policy is enforced.
pub(super) fn enforcement(api: &Api) -> PolicyEnforcement {
    match api.config.policy.enforcement {
        Enforcement::Default => PolicyEnforcement::Default,
        Enforcement::Always => PolicyEnforcement::Always,
        Enforcement::Never => PolicyEnforcement::Never,
    }
}

/// `GET /v1/config`.
pub(super) async fn config(State(api): State<Api>) -> Json<DaemonConfiguration> {
    let options: BTreeMap<String, String> = api.config.effective.iter().cloned().collect();
    let spec = DaemonConfigurationSpec {
        options: BTreeMap::new(),
        policy_enforcement: Some(enforcement(&api)),
    };
    let status = DaemonConfigurationStatus {
        realized: Some(spec.clone()),
        immutable: options,
        addressing: Some(addressing(&api)),
        device_mtu: api.devices.device_mtu.into(),
        route_mtu: api.devices.route_mtu.into(),
        datapath_mode: Some(DatapathMode::Veth),
        ipam_mode: api.config.ipam.to_string(),
        masquerade: api.config.datapath.masquerade.ipv4 || api.config.datapath.masquerade.ipv6,
        daemon_configuration_map: BTreeMap::from([
            ("Drifted".to_owned(), serde_json::json!(&*drifted(&api))),
            ("Unknown".to_owned(), serde_json::json!(api.config.unknown)),
            (
                "RoutingMode".to_owned(),
                serde_json::json!(if api.config.datapath.routing == Routing::Tunnel {
                    "tunnel"
                } else {
                    "native"
                }),
            ),
        ]),
        ..Default::default()
    };
    Json(DaemonConfiguration {
        spec: Some(spec),
        status: Some(status),
    })
}

/// `GET /v1/debuginfo`.
pub(super) async fn debuginfo(State(api): State<Api>) -> Json<serde_json::Value> {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let status = answer(&api);
    let endpoints = super::endpoint::all(&api);
    let services = answers::services(State(api.clone())).await;
    let policy = answers::policy(State(api)).await;
    Json(serde_json::json!({
        "cilium-version": version(),
        "kernel-version": kernel.trim(),
        "cilium-status": status,
        "endpoint-list": endpoints,
        "service-list": services.0,
        "policy": policy.0,
    }))
}
