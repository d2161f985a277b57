//! Which features are on: `feature_…`, from the configuration.

use std::fmt::Error;

use daemon::metrics::labels;
use store::etcd::Mode;

use super::show::Page;
use crate::config::{Config, Ipam, Routing};
use crate::inputs::Announcements;

const CONNECT: &str = "feature_adv_connect_and_lb_";

/// What upstream has and this version has not: always off.
const ABSENT: &[(&str, &[&str])] = &[
    (
        CONNECT,
        &[
            "bandwidth_manager_enabled",
            "bgp_enabled",
            "cilium_envoy_config_enabled",
            "cilium_node_config_enabled",
            "egress_gateway_enabled",
            "l2_lb_enabled",
            "l2_pod_announcement_enabled",
            "sctp_enabled",
            "vtep_enabled",
        ],
    ),
    ("feature_datapath_", &["endpoint_routes_enabled"]),
    (
        "feature_network_policies_",
        &[
            "host_firewall_enabled",
            "local_redirect_policy_enabled",
            "mutual_auth_enabled",
        ],
    ),
];

const HELP: &str = "Whether the feature is on";

/// Writes them all.
#[allow(clippy::too_many_lines, reason = "a table: one entry for each feature")]
pub(super) fn write(page: &mut Page<'_, '_>, config: &Config) -> Result<(), Error> {
    for (prefix, names) in ABSENT {
        for name in *names {
            page.gauge((&format!("{prefix}{name}"), HELP), 0_i64)?;
        }
    }
    let services = i64::from(config.services.enabled);
    page.gauge(
        (&format!("{CONNECT}kube_proxy_replacement_enabled"), HELP),
        services,
    )?;
    page.gauge(
        ("feature_controlplane_cilium_endpoint_slices_enabled", HELP),
        i64::from(config.store.announcements == Announcements::Slices),
    )?;
    let node_port = labels([
        ("mode", "snat"),
        ("algorithm", "random"),
        ("acceleration", "disabled"),
    ]);
    let name = format!("{CONNECT}node_port_configuration");
    page.gauges((&name, HELP), [(node_port, services)])?;
    let network = match config.datapath.routing {
        Routing::Tunnel => "overlay-vxlan",
        Routing::Native { .. } => "direct-routing",
    };
    let families = match (config.datapath.families.ipv4, config.datapath.families.ipv6) {
        (true, true) => "ipv4-ipv6-dual-stack",
        (false, true) => "ipv6-only",
        _ => "ipv4-only",
    };
    let identities = match config.kvstore.as_ref().map(|settings| settings.mode) {
        None => "crd",
        Some(Mode::Kvstore) => "kvstore",
        Some(Mode::ReadKvstore) => "doublewrite-readkvstore",
        Some(Mode::ReadCrd) => "doublewrite-readcrd",
    };
    let ipam = match config.ipam {
        Ipam::Kubernetes => "kubernetes",
        Ipam::ClusterPool => "cluster-pool",
        Ipam::MultiPool => "multi-pool",
    };
    for (name, key, all, on) in [
        (
            "controlplane_identity_allocation",
            "mode",
            &[
                "crd",
                "kvstore",
                "doublewrite-readkvstore",
                "doublewrite-readcrd",
            ][..],
            identities,
        ),
        (
            "controlplane_ipam",
            "mode",
            &["kubernetes", "cluster-pool", "multi-pool"],
            ipam,
        ),
        ("datapath_chaining_enabled", "mode", &["none"], "none"),
        ("datapath_config", "mode", &["veth", "netkit"], "veth"),
        (
            "datapath_internet_protocol",
            "address_family",
            &["ipv4-only", "ipv6-only", "ipv4-ipv6-dual-stack"],
            families,
        ),
        (
            "datapath_network",
            "mode",
            &["overlay-vxlan", "overlay-geneve", "direct-routing"],
            network,
        ),
    ] {
        let series = all
            .iter()
            .map(|mode| (labels([(key, *mode)]), i64::from(*mode == on)));
        page.gauges((&format!("feature_{name}"), HELP), series)?;
    }
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = labels([("version", kernel.trim().to_owned())]);
    page.gauges(("feature_datapath_kernel_version", HELP), [(kernel, 1_i64)])
}
