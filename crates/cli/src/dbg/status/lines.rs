//! The lines of `status`, each from the part of the answer that it shows; parts that the agent leaves out have no line.

use std::io::{self, Write};
use std::net::IpAddr;

use local_api::health::{
    ClusterMeshStatus, ClusterStatus, ControllerStatus, HubbleStatus, IpamStatus, RemoteCluster,
    State, Status, StatusResponse,
};
use local_api::probes::{HealthStatusResponse, NodeStatus};

use crate::dbg::endpoint::word;
use crate::dbg::health::in_a_word;
use crate::output::{Paint, Table};

/// What is listed in full.
#[derive(Clone, Copy, Debug, Default)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "one per flag of the command line"
)]
pub(super) struct Details {
    pub(super) addresses: bool,
    pub(super) clusters: bool,
    pub(super) controllers: bool,
    pub(super) nodes: bool,
    pub(super) redirects: bool,
    pub(super) verbose: bool,
}

type Line = (&'static str, String);

/// Writes all lines.
pub(super) fn write(
    out: &mut dyn Write,
    paint: Paint,
    (status, health): (&StatusResponse, Option<&HealthStatusResponse>),
    details: Details,
) -> io::Result<()> {
    let mut lines = Vec::new();
    dependencies(&mut lines, paint, status);
    own(&mut lines, paint, status, details);
    network(&mut lines, status);
    running(&mut lines, paint, status, details);
    if let Some(health) = health {
        reached(&mut lines, health, details);
    }
    if details.verbose {
        maps(&mut lines, status);
    }
    let mut table = Table::new(&[]);
    for (label, text) in lines {
        let label = if label.is_empty() {
            String::new()
        } else {
            format!("{label}:")
        };
        table.row([label, text]);
    }
    table.write(out)
}

fn state(paint: Paint, state: Option<State>, msg: &str) -> String {
    let word = word(state);
    let word = match state {
        Some(State::Ok) => paint.good(&word),
        Some(State::Failure) => paint.bad(&word),
        Some(State::Warning) => paint.warn(&word),
        Some(State::Disabled) | None => word,
    };
    format!("{word}   {msg}").trim_end().to_owned()
}

fn of(paint: Paint, part: &Status) -> String {
    state(paint, part.state, &part.msg)
}

fn dependencies(lines: &mut Vec<Line>, paint: Paint, status: &StatusResponse) {
    if let Some(part) = &status.kvstore {
        lines.push(("KVStore", of(paint, part)));
    }
    if let Some(part) = &status.kubernetes {
        lines.push(("Kubernetes", state(paint, part.state, &part.msg)));
        if !part.k8s_api_versions.is_empty() {
            lines.push((
                "Kubernetes APIs",
                format!("[{}]", part.k8s_api_versions.join(", ")),
            ));
        }
    }
    if let Some(part) = &status.kube_proxy_replacement {
        let devices: Vec<String> = part
            .device_list
            .iter()
            .map(|device| format!("{} {}", device.name, device.ip.join(" ")))
            .collect();
        lines.push((
            "KubeProxyReplacement",
            format!("{}   [{}]", word(part.mode), devices.join(", ")),
        ));
    }
    if let Some(part) = &status.host_firewall {
        lines.push((
            "Host firewall",
            format!("{}   [{}]", word(part.mode), part.devices.join(", ")),
        ));
    }
    if let Some(part) = &status.srv6 {
        lines.push(("SRv6", switch(part.enabled)));
    }
    if let Some(part) = &status.cni_chaining {
        lines.push(("CNI Chaining", word(part.mode)));
    }
    if let Some(part) = &status.cni_file {
        lines.push(("CNI Config file", of(paint, part)));
    }
}

fn switch(enabled: bool) -> String {
    if enabled { "Enabled" } else { "Disabled" }.to_owned()
}

fn own(lines: &mut Vec<Line>, paint: Paint, status: &StatusResponse, details: Details) {
    if let Some(part) = &status.cilium {
        lines.push(("Cilium", of(paint, part)));
    }
    for (probe, since) in &status.stale {
        lines.push(("Stale status", format!("{probe} since {since}")));
    }
    if let Some(part) = &status.node_monitor {
        lines.push((
            "NodeMonitor",
            format!(
                "Listening for events on {} CPUs, {} lost, {} unknown",
                part.cpus, part.lost, part.unknown
            ),
        ));
    }
    if let Some(part) = status
        .cluster
        .as_ref()
        .and_then(|cluster| cluster.cilium_health.as_ref())
    {
        lines.push(("Cilium health daemon", of(paint, part)));
    }
    if let Some(part) = &status.ipam {
        addresses(lines, part, details);
    }
    if let Some(part) = &status.cluster_mesh {
        clusters(lines, part, details);
    }
}

fn addresses(lines: &mut Vec<Line>, part: &IpamStatus, details: Details) {
    let (v4, v6) = (part.ipv4.len(), part.ipv6.len());
    let text = format!("IPv4: {v4}, IPv6: {v6}   {}", part.status);
    lines.push(("IPAM", text.trim_end().to_owned()));
    if details.addresses {
        lines.push(("Allocated addresses", String::new()));
        let mut all: Vec<_> = part.allocations.iter().collect();
        // An address of another pool than the default has its name before it.
        let parts = |text: &str| {
            let (pool, address) = text.rsplit_once('/').unwrap_or(("", text));
            (pool.to_owned(), address.parse::<IpAddr>().ok())
        };
        all.sort_by_cached_key(|(address, _)| parts(address));
        for (address, owner) in all {
            lines.push(("", format!("{address} ({owner})")));
        }
    }
}

fn clusters(lines: &mut Vec<Line>, part: &ClusterMeshStatus, details: Details) {
    let ready = part.clusters.iter().filter(|cluster| cluster.ready).count();
    let text = format!("{ready}/{} remote clusters ready", part.clusters.len());
    lines.push(("ClusterMesh", text));
    let shown = |cluster: &&RemoteCluster| details.clusters || !cluster.ready;
    for cluster in part.clusters.iter().filter(shown) {
        let word = if cluster.ready { "ready" } else { "not-ready" };
        let (nodes, endpoints) = (cluster.num_nodes, cluster.num_endpoints);
        let text = format!(
            "{}: {word}, {nodes} nodes, {endpoints} endpoints",
            cluster.name
        );
        lines.push(("", text));
    }
}

fn network(lines: &mut Vec<Line>, status: &StatusResponse) {
    for (label, part) in [
        ("IPv4 BIG TCP", &status.ipv4_big_tcp),
        ("IPv6 BIG TCP", &status.ipv6_big_tcp),
    ] {
        if let Some(part) = part {
            lines.push((label, switch(part.enabled)));
        }
    }
    if let Some(part) = &status.bandwidth_manager {
        lines.push(("BandwidthManager", switch(part.enabled)));
    }
    if let Some(part) = &status.routing {
        let tunnel = if part.tunnel_protocol.is_empty() {
            String::new()
        } else {
            format!(" [{}]", part.tunnel_protocol)
        };
        lines.push((
            "Routing",
            format!(
                "Network: {}{tunnel}   Host: {}",
                part.inter_host_routing_mode, part.intra_host_routing_mode
            ),
        ));
    }
    if let Some(mode) = status.attach_mode {
        lines.push(("Attach Mode", word(Some(mode))));
    }
    if let Some(mode) = status.datapath_mode {
        lines.push(("Device Mode", word(Some(mode))));
    }
    if let Some(part) = &status.masquerading {
        let of = part.enabled_protocols.clone().unwrap_or_default();
        lines.push((
            "Masquerading",
            format!(
                "{}   [IPv4: {}, IPv6: {}]",
                part.mode,
                switch(of.ipv4),
                switch(of.ipv6)
            ),
        ));
    }
    if let Some(part) = &status.clock_source {
        lines.push((
            "Clock Source for BPF",
            format!("{}   [{} Hz]", part.mode, part.hertz),
        ));
    }
}

fn running(lines: &mut Vec<Line>, paint: Paint, status: &StatusResponse, details: Details) {
    if !status.controllers.is_empty() {
        controllers(lines, &status.controllers, details);
    }
    if let Some(part) = &status.proxy {
        lines.push((
            "Proxy Status",
            format!(
                "{}, {} redirects active on ports {}",
                part.ip, part.total_redirects, part.port_range
            ),
        ));
        for redirect in part.redirects.iter().filter(|_| details.redirects) {
            lines.push((
                "",
                format!(
                    "{} {} port {}",
                    redirect.proxy, redirect.name, redirect.proxy_port
                ),
            ));
        }
    }
    if let Some(part) = &status.identity_range {
        lines.push((
            "Global Identity Range",
            format!("min {}, max {}", part.min_identity, part.max_identity),
        ));
    }
    if let Some(part) = &status.hubble {
        lines.push(("Hubble", flows(paint, part)));
    }
    if let Some(part) = &status.encryption {
        lines.push((
            "Encryption",
            format!("{}   {}", part.mode, part.msg)
                .trim_end()
                .to_owned(),
        ));
    }
    if let Some(part) = &status.cluster {
        nodes(lines, part, details);
    }
}

fn flows(paint: Paint, part: &HubbleStatus) -> String {
    let filled = part.observer.as_ref().map(|observer| {
        let (current, max) = (observer.current_flows, observer.max_flows);
        let hundredths = current.saturating_mul(10_000) / max.max(1);
        let (whole, rest) = (hundredths / 100, hundredths % 100);
        let seen = observer.seen_flows;
        format!("Current/Max Flows: {current}/{max} ({whole}.{rest:02}%), Seen: {seen}")
    });
    let message = Some(part.msg.clone()).filter(|msg| !msg.is_empty());
    let text: Vec<String> = [message, filled].into_iter().flatten().collect();
    state(paint, part.state, &text.join("   "))
}

fn nodes(lines: &mut Vec<Line>, part: &ClusterStatus, details: Details) {
    let text = format!(
        "{} nodes known, this is {}",
        part.nodes.len(),
        part.this_node
    );
    lines.push(("Cluster", text));
    for node in part.nodes.iter().filter(|_| details.nodes) {
        let addressing = node.primary_address.clone().unwrap_or_default();
        let families = [addressing.ipv4, addressing.ipv6];
        let addresses = families.into_iter().flatten().map(|element| element.ip);
        let known: Vec<String> = addresses.filter(|ip| !ip.is_empty()).collect();
        let text = format!("{} {}", node.name, known.join(" "));
        lines.push(("", text.trim_end().to_owned()));
    }
}

fn controllers(lines: &mut Vec<Line>, controllers: &[ControllerStatus], details: Details) {
    let failing = |controller: &&ControllerStatus| {
        controller
            .status
            .as_ref()
            .is_some_and(|status| status.consecutive_failure_count > 0)
    };
    let healthy = controllers.len() - controllers.iter().filter(failing).count();
    lines.push((
        "Controller Status",
        format!("{healthy}/{} healthy", controllers.len()),
    ));
    for controller in controllers
        .iter()
        .filter(|controller| details.controllers || failing(controller))
    {
        let outcome = controller.status.clone().unwrap_or_default();
        let (good, bad) = (outcome.success_count, outcome.consecutive_failure_count);
        let text = format!(
            "{}: {good} times well, {bad} failures in a row {}",
            controller.name, outcome.last_failure_msg
        );
        lines.push(("", text.trim_end().to_owned()));
    }
}

fn reached(lines: &mut Vec<Line>, health: &HealthStatusResponse, details: Details) {
    let whole = health.nodes.iter().filter(|node| node.is_reached());
    let (whole, all) = (whole.count(), health.nodes.len());
    let text = format!("{whole}/{all} reachable   ({})", health.timestamp);
    lines.push(("Cluster health", text));
    let shown = |node: &&NodeStatus| details.verbose || !node.is_reached();
    for node in health.nodes.iter().filter(shown) {
        lines.push(("", format!("{}: {}", node.name, in_a_word(node))));
    }
}

fn maps(lines: &mut Vec<Line>, status: &StatusResponse) {
    if let Some(part) = status
        .kube_proxy_replacement
        .as_ref()
        .and_then(|part| part.features.as_ref())
    {
        lines.push(("KubeProxyReplacement Details", String::new()));
        let node_port = part.node_port.clone().unwrap_or_default();
        lines.push((
            "",
            format!(
                "NodePort: {} ports {}-{} {}",
                switch(node_port.enabled),
                node_port.port_min,
                node_port.port_max,
                node_port.algorithm
            ),
        ));
        let socket = part.socket_lb.clone().unwrap_or_default();
        lines.push(("", format!("Socket LB: {}", switch(socket.enabled))));
    }
    if let Some(part) = &status.bpf_maps {
        lines.push(("BPF Maps", String::new()));
        for map in &part.maps {
            lines.push(("", format!("{} {}", map.name, map.size)));
        }
    }
}
