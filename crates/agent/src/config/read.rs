//! From texts to typed values: one function for each part of the configuration.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use kernel::collector::Lifetimes;

use crate::cni_conf::Cni;

use super::{
    Datapath, Enforcement, Error, Families, Given, Hubble, Ipam, Policy, Routing, Services,
    UNSUPPORTED,
};

/// Reads one key after the other with its type; collects nothing, stops at the first error.
pub(super) struct Reader<'a>(pub(super) &'a Given);

impl Reader<'_> {
    pub(super) fn text(&self, key: &str) -> String {
        self.0.value(key)
    }

    pub(super) fn optional<T: std::str::FromStr>(
        &self,
        key: &str,
        expected: &str,
    ) -> Result<Option<T>, Error> {
        let value = self.text(key);
        if value.is_empty() {
            return Ok(None);
        }
        self.parse(key, expected).map(Some)
    }

    pub(super) fn parse<T: std::str::FromStr>(
        &self,
        key: &str,
        expected: &str,
    ) -> Result<T, Error> {
        let value = self.text(key);
        value.parse().map_err(|_| invalid(key, &value, expected))
    }

    pub(super) fn flag(&self, key: &str) -> Result<bool, Error> {
        match self.text(key).to_ascii_lowercase().as_str() {
            "true" | "1" | "t" => Ok(true),
            "false" | "0" | "f" | "" => Ok(false),
            other => Err(invalid(key, other, "true or false")),
        }
    }

    pub(super) fn path(&self, key: &str) -> Option<PathBuf> {
        Some(self.text(key))
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    }

    pub(super) fn list(&self, key: &str) -> Vec<String> {
        self.text(key)
            .split([',', ' '])
            .map(str::trim)
            .filter(|v| !v.is_empty())
            .map(str::to_owned)
            .collect()
    }

    pub(super) fn duration(&self, key: &str) -> Result<Duration, Error> {
        let value = self.text(key);
        let span: jiff::SignedDuration = value
            .parse()
            .map_err(|_| invalid(key, &value, "a duration like 5m or 30s"))?;
        Duration::try_from(span)
            .map_err(|_| invalid(key, &value, "a duration that is not negative"))
    }

    pub(super) fn port_range(&self, key: &str) -> Result<(u16, u16), Error> {
        let value = self.text(key);
        let bad = || invalid(key, &value, "two ports, FIRST,LAST");
        let (first, last) = value.split_once([',', '-']).ok_or_else(bad)?;
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
}

pub(super) fn invalid(key: &str, value: &str, expected: &str) -> Error {
    Error::Invalid {
        key: key.to_owned(),
        value: value.to_owned(),
        expected: expected.to_owned(),
    }
}

pub(super) fn refuse_unsupported(given: &Given) -> Result<(), Error> {
    for (key, off) in UNSUPPORTED {
        let Some(value) = given.explicit(key) else {
            continue;
        };
        if !value.is_empty()
            && !off
                .split('|')
                .any(|accepted| accepted.eq_ignore_ascii_case(value))
        {
            return Err(Error::Unsupported {
                key: (*key).to_owned(),
                value: value.to_owned(),
                off: off.split('|').next().unwrap_or_default().to_owned(),
            });
        }
    }
    Ok(())
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
        return Err(invalid(
            "cluster-name",
            &name,
            "at most 32 lower-case letters, digits and inner dashes",
        ));
    }
    Ok(name)
}

pub(super) fn cluster_id(read: &Reader<'_>) -> Result<u16, Error> {
    let id: u16 = read.parse("cluster-id", "a number from 0 to 255")?;
    if id > 255 {
        Err(invalid(
            "cluster-id",
            &id.to_string(),
            "a number from 0 to 255",
        ))
    } else {
        Ok(id)
    }
}

pub(super) fn ipam(read: &Reader<'_>) -> Result<Ipam, Error> {
    match read.text("ipam").as_str() {
        "kubernetes" => Ok(Ipam::Kubernetes),
        "cluster-pool" => Ok(Ipam::ClusterPool),
        other => Err(invalid("ipam", other, "kubernetes or cluster-pool")),
    }
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
    let routing = match read.text("routing-mode").as_str() {
        "tunnel" | "" => Routing::Tunnel,
        "native" => Routing::Native {
            direct_node_routes: read.flag("auto-direct-node-routes")?,
        },
        other => return Err(invalid("routing-mode", other, "tunnel or native")),
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
    let reject_no_backend = match read.text("service-no-backend-response").as_str() {
        "reject" => true,
        "drop" => false,
        other => {
            return Err(invalid(
                "service-no-backend-response",
                other,
                "reject or drop",
            ));
        }
    };
    Ok(Services {
        enabled,
        sockets: enabled || read.flag("bpf-lb-sock")?,
        nodeport: read.port_range("node-port-range")?,
        reject_no_backend,
    })
}

pub(super) fn policy(read: &Reader<'_>) -> Result<Policy, Error> {
    let enforcement = match read.text("enable-policy").as_str() {
        "default" => Enforcement::Default,
        "always" => Enforcement::Always,
        "never" => Enforcement::Never,
        other => return Err(invalid("enable-policy", other, "default, always or never")),
    };
    let allow_localhost = match read.text("allow-localhost").as_str() {
        "auto" | "always" => true,
        "policy" => false,
        other => return Err(invalid("allow-localhost", other, "auto, always or policy")),
    };
    let cidr_matches_nodes = match read.text("policy-cidr-match-mode").as_str() {
        "" => false,
        "nodes" => true,
        other => return Err(invalid("policy-cidr-match-mode", other, "empty or nodes")),
    };
    Ok(Policy {
        enforcement,
        audit: read.flag("policy-audit-mode")?,
        kubernetes: read.flag("enable-k8s-networkpolicy")?,
        allow_localhost,
        cidr_matches_nodes,
        labels: read.list("labels"),
    })
}

pub(super) fn hubble(read: &Reader<'_>) -> Result<Hubble, Error> {
    let capacity: usize = read.parse("hubble-event-buffer-capacity", "a number")?;
    if !(1..=65535).contains(&capacity) || !(capacity + 1).is_power_of_two() {
        return Err(invalid(
            "hubble-event-buffer-capacity",
            &capacity.to_string(),
            "one less than a power of two, 1 to 65535",
        ));
    }
    let listen = match read.text("hubble-listen-address").as_str() {
        "" => None,
        text => Some(listen_address(text)?),
    };
    let disable_tls = read.flag("hubble-disable-tls")?;
    let tls = match (
        read.path("hubble-tls-cert-file"),
        read.path("hubble-tls-key-file"),
    ) {
        (Some(cert), Some(key)) => Some((
            cert,
            key,
            read.list("hubble-tls-client-ca-files")
                .into_iter()
                .map(PathBuf::from)
                .collect(),
        )),
        (None, None) => None,
        _ => {
            return Err(Error::Conflict(
                "hubble-tls-cert-file, hubble-tls-key-file: give both or neither".into(),
            ));
        }
    };
    if listen.is_some() && !disable_tls && tls.is_none() {
        return Err(Error::Conflict(
            "hubble-listen-address: needs hubble-tls-cert-file and hubble-tls-key-file, or hubble-disable-tls=true".into(),
        ));
    }
    Ok(Hubble {
        enabled: read.flag("enable-hubble")?,
        socket: PathBuf::from(read.text("hubble-socket-path")),
        listen,
        disable_tls,
        tls,
        capacity,
        prefer_ipv6: read.flag("hubble-prefer-ipv6")?,
    })
}

pub(super) fn listen_address(text: &str) -> Result<SocketAddr, Error> {
    let full = if text.starts_with(':') {
        format!("[::]{text}")
    } else {
        text.to_owned()
    };
    full.parse()
        .map_err(|_| invalid("hubble-listen-address", text, "ADDRESS:PORT or :PORT"))
}
