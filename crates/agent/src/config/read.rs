//! From texts to typed values: one function for each part of the configuration.

use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use daemon::settings::{Error, Reader};
use kernel::collector::Lifetimes;

use crate::cni_conf::Cni;

use super::{Datapath, Enforcement, Families, Ipam, NodeHealth, Policy, Pools, Routing, Services};

/// First and last port, between a comma or a dash.
fn port_range(read: &Reader<'_>, key: &str) -> Result<(u16, u16), Error> {
    let bad = || read.invalid(key, "two ports, FIRST,LAST");
    let (first, last) = read.text(key).split_once([',', '-']).ok_or_else(bad)?;
    let range = (
        first.trim().parse().map_err(|_| bad())?,
        last.trim().parse().map_err(|_| bad())?,
    );
    if range.0 == 0 || range.0 > range.1 {
        Err(bad())
    } else {
        Ok(range)
    }
}

pub(super) fn cluster_name(read: &Reader<'_>) -> Result<String, Error> {
    let name = read.text("cluster-name");
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty()
        || name.len() > 32
        || !name.chars().all(inner)
        || name.starts_with('-')
        || name.ends_with('-')
    {
        return Err(Error::invalid(
            "cluster-name",
            name,
            "at most 32 lower-case letters, digits and inner dashes",
        ));
    }
    Ok(name.to_owned())
}

pub(super) fn cluster_id(read: &Reader<'_>) -> Result<u16, Error> {
    let id: u16 = read.parse("cluster-id", "a number from 0 to 255")?;
    if id > 255 {
        Err(Error::invalid(
            "cluster-id",
            &id.to_string(),
            "a number from 0 to 255",
        ))
    } else {
        Ok(id)
    }
}

pub(super) fn ipam(read: &Reader<'_>) -> Result<Ipam, Error> {
    match read.text("ipam") {
        "kubernetes" => Ok(Ipam::Kubernetes),
        "cluster-pool" => Ok(Ipam::ClusterPool),
        "multi-pool" => Ok(Ipam::MultiPool),
        other => {
            let expected = "kubernetes, cluster-pool or multi-pool";
            Err(Error::invalid("ipam", other, expected))
        }
    }
}

/// Addresses of the default pool that are kept ahead when nothing else is said.
const AHEAD: u32 = 8;

pub(super) fn pools(read: &Reader<'_>) -> Result<Pools, Error> {
    let default: Arc<str> = match read.text("ipam-default-ip-pool") {
        "" => return Err(read.invalid("ipam-default-ip-pool", "the name of a pool")),
        name => name.into(),
    };
    let key = "ipam-multi-pool-pre-allocation";
    let mut ahead = BTreeMap::new();
    for text in read.list(key) {
        let bad = || Error::invalid(key, &text, "NAME=NUMBER");
        let (pool, number) = text.split_once('=').ok_or_else(bad)?;
        let number = number.parse().map_err(|_| bad())?;
        if pool.is_empty() || ahead.insert(pool.into(), number).is_some() {
            return Err(bad());
        }
    }
    if ahead.is_empty() {
        ahead.insert(Arc::clone(&default), AHEAD);
    }
    Ok(Pools { default, ahead })
}

pub(super) fn cni(read: &Reader<'_>) -> Result<Cni, Error> {
    let custom = read.flag("custom-cni-conf")?;
    Ok(Cni {
        path: read.path("write-cni-conf-when-ready").filter(|_| !custom),
        exclusive: read.flag("cni-exclusive")?,
        log_file: read.path("cni-log-file"),
    })
}

pub(super) fn datapath(read: &Reader<'_>) -> Result<Datapath, Error> {
    let families = Families {
        ipv4: read.flag("enable-ipv4")?,
        ipv6: read.flag("enable-ipv6")?,
    };
    let routing = match read.text("routing-mode") {
        "tunnel" | "" => Routing::Tunnel,
        "native" => Routing::Native {
            direct_node_routes: read.flag("auto-direct-node-routes")?,
        },
        other => return Err(Error::invalid("routing-mode", other, "tunnel or native")),
    };
    let tunnel_port: u16 = read.parse("tunnel-port", "a port")?;
    Ok(Datapath {
        families,
        routing,
        tunnel_port: if tunnel_port == 0 { 8472 } else { tunnel_port },
        masquerade: Families {
            ipv4: families.ipv4 && read.flag("enable-ipv4-masquerade")?,
            ipv6: families.ipv6 && read.flag("enable-ipv6-masquerade")?,
        },
        native_ipv4: read.optional("ipv4-native-routing-cidr", "an IPv4 prefix")?,
        native_ipv6: read.optional("ipv6-native-routing-cidr", "an IPv6 prefix")?,
        masquerade_list: read
            .flag("enable-ip-masq-agent")?
            .then(|| PathBuf::from(read.text("ip-masq-agent-config-path"))),
        devices: read.list("devices"),
        mtu: read.parse("mtu", "a number of bytes")?,
        procfs: PathBuf::from(read.text("procfs")),
        bpf_root: PathBuf::from(read.text("bpf-root")),
        cgroup_root: PathBuf::from(read.text("cgroup-root")),
        connections: read.parse("bpf-ct-global-tcp-max", "a number of entries")?,
        lifetimes: Lifetimes {
            tcp: read.duration("bpf-ct-timeout-regular-tcp")?,
            tcp_opening: read.duration("bpf-ct-timeout-regular-tcp-syn")?,
            tcp_closing: read.duration("bpf-ct-timeout-regular-tcp-fin")?,
            other: read.duration("bpf-ct-timeout-regular-any")?,
        },
    })
}

pub(super) fn services(read: &Reader<'_>) -> Result<Services, Error> {
    let enabled = read.flag("kube-proxy-replacement")?;
    let reject_no_backend = match read.text("service-no-backend-response") {
        "reject" => true,
        "drop" => false,
        other => {
            return Err(Error::invalid(
                "service-no-backend-response",
                other,
                "reject or drop",
            ));
        }
    };
    Ok(Services {
        enabled,
        sockets: enabled || read.flag("bpf-lb-sock")?,
        nodeport: port_range(read, "node-port-range")?,
        reject_no_backend,
    })
}

pub(super) fn policy(read: &Reader<'_>) -> Result<Policy, Error> {
    let enforcement = match read.text("enable-policy") {
        "default" => Enforcement::Default,
        "always" => Enforcement::Always,
        "never" => Enforcement::Never,
        other => {
            return Err(Error::invalid(
                "enable-policy",
                other,
                "default, always or never",
            ));
        }
    };
    let allow_localhost = match read.text("allow-localhost") {
        "auto" | "always" => true,
        "policy" => false,
        other => {
            return Err(Error::invalid(
                "allow-localhost",
                other,
                "auto, always or policy",
            ));
        }
    };
    let cidr_matches_nodes = match read.text("policy-cidr-match-mode") {
        "" => false,
        "nodes" => true,
        other => {
            return Err(Error::invalid(
                "policy-cidr-match-mode",
                other,
                "empty or nodes",
            ));
        }
    };
    Ok(Policy {
        enforcement,
        audit: read.flag("policy-audit-mode")?,
        kubernetes: read.flag("enable-k8s-networkpolicy")?,
        allow_localhost,
        cidr_matches_nodes,
        labels: read.list("labels"),
        by_need: by_need(read)?,
    })
}

fn by_need(read: &Reader<'_>) -> Result<Option<Duration>, Error> {
    const KEY: &str = "identity-change-grace-period";
    let announce = read.duration(KEY)?;
    // Policies would come into force before pods have the identities for them.
    if announce < Duration::from_secs(1) {
        return Err(read.invalid(KEY, "one second or more"));
    }
    Ok(read.flag("enable-identity-by-need")?.then_some(announce))
}

pub(super) fn node_health(read: &Reader<'_>) -> Result<NodeHealth, Error> {
    let enabled = read.flag("enable-health-checking")?;
    let port: NonZeroU16 = read.parse("cluster-health-port", "a port")?;
    let tries: NonZeroU32 = read.parse("health-check-icmp-failure-threshold", "1 or more")?;
    Ok(NodeHealth {
        enabled,
        endpoint: read.flag("enable-endpoint-health-checking")? && enabled,
        port: port.get(),
        icmp_tries: tries.get(),
    })
}

pub(super) fn metrics_choice(read: &Reader<'_>) -> Result<Vec<String>, Error> {
    let choice = read.list("metrics");
    match choice.iter().find(|name| !name.starts_with(['+', '-'])) {
        Some(name) => Err(Error::invalid("metrics", name, "a name after + or -")),
        None => Ok(choice),
    }
}
