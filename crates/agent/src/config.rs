//! Configuration: what was given (flags, environment, a directory of files) becomes one validated value.
//!
//! Key names are upstream's. An unknown key is remembered and shown, a key that asks for something we lack stops the
//! start by name, and its off value is accepted.

mod keys;
mod source;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::{Ipv4Net, Ipv6Net};

pub use keys::{KEYS, Key, UNSUPPORTED};
pub use source::{Given, command, gather};

/// How pods of other nodes are reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routing {
    /// VXLAN between nodes, identity in the VNI.
    Tunnel,
    /// The network routes pod addresses; `direct_node_routes` adds routes to nodes on the same link.
    Native {
        /// Add a route to each node's pod CIDRs by its address.
        direct_node_routes: bool,
    },
}

/// Which endpoints have policy enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enforcement {
    /// Those that a policy selects.
    Default,
    /// All.
    Always,
    /// None.
    Never,
}

/// Everything about one address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Families {
    /// IPv4 is on.
    pub ipv4: bool,
    /// IPv6 is on.
    pub ipv6: bool,
}

/// Packet path settings.
#[derive(Clone, Debug)]
pub struct Datapath {
    /// Families of pods.
    pub families: Families,
    /// How pods of other nodes are reached.
    pub routing: Routing,
    /// UDP port of the overlay.
    pub tunnel_port: u16,
    /// Rewrite sources towards the world, per family.
    pub masquerade: Families,
    /// Destinations that keep the pod's address, IPv4.
    pub native_ipv4: Option<Ipv4Net>,
    /// Destinations that keep the pod's address, IPv6.
    pub native_ipv6: Option<Ipv6Net>,
    /// File or directory with ip-masq-agent configuration.
    pub masq_agent: Option<PathBuf>,
    /// Interfaces towards other nodes; empty: the one with the default route, or with the node's address.
    pub devices: Vec<String>,
    /// MTU of the underlay, 0 to detect.
    pub mtu: u16,
    /// Where the eBPF file system is mounted.
    pub bpf_root: PathBuf,
    /// The node's cgroup (v2), for programs at sockets.
    pub cgroup_root: PathBuf,
    /// Capacity of the tables of connections, answered and unanswered.
    pub connections: u32,
}

/// Service settings.
#[derive(Clone, Debug)]
pub struct Services {
    /// Services are translated at all.
    pub enabled: bool,
    /// Translate at the socket.
    pub sockets: bool,
    /// First and last NodePort.
    pub nodeport: (u16, u16),
    /// Choose backends by Maglev instead of at random.
    pub maglev: bool,
    /// Refuse (or drop) what has no backend.
    pub reject_no_backend: bool,
}

/// Policy settings.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Which endpoints have policy enforced.
    pub enforcement: Enforcement,
    /// Report instead of deny.
    pub audit: bool,
    /// Read `NetworkPolicy` objects.
    pub kubernetes: bool,
    /// The node reaches its own pods whatever the policy.
    pub allow_localhost: bool,
    /// CIDR selectors match nodes too.
    pub cidr_matches_nodes: bool,
    /// Label filter, as upstream's flag `labels`.
    pub labels: Vec<String>,
}

/// Flow settings.
#[derive(Clone, Debug)]
pub struct Hubble {
    /// The server runs.
    pub enabled: bool,
    /// Its unix socket.
    pub socket: PathBuf,
    /// Its TCP address, with mutual TLS unless switched off.
    pub listen: Option<SocketAddr>,
    /// No TLS on TCP.
    pub disable_tls: bool,
    /// Server certificate, key, and authorities of clients.
    pub tls: Option<(PathBuf, PathBuf, Vec<PathBuf>)>,
    /// Events kept, 2ⁿ − 1.
    pub capacity: usize,
}

/// Where objects come from.
#[derive(Clone, Debug)]
pub struct Store {
    /// URLs of the API server; the first that answers is used.
    pub urls: Vec<String>,
    /// Kubeconfig file.
    pub kubeconfig: Option<PathBuf>,
    /// How long to wait for resource definitions at start.
    pub crd_wait: Duration,
}

/// The agent's whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of this node.
    pub node: String,
    /// Name of the cluster.
    pub cluster: String,
    /// Number of the cluster.
    pub cluster_id: u16,
    /// Packet path.
    pub datapath: Datapath,
    /// Services.
    pub services: Services,
    /// Policy.
    pub policy: Policy,
    /// Flows.
    pub hubble: Hubble,
    /// Objects.
    pub store: Store,
    /// Unix socket of the REST API.
    pub socket: PathBuf,
    /// Group that may use the sockets besides root.
    pub socket_group: Option<String>,
    /// Directory of state that survives the agent.
    pub state_dir: PathBuf,
    /// Port of `/healthz` on loopback, 0 for none.
    pub health_port: u16,
    /// Where to write the CNI configuration when ready.
    pub cni_conf: Option<PathBuf>,
    /// Structured logs as JSON.
    pub log_json: bool,
    /// Log more.
    pub debug: bool,
    /// All keys with the value in force, for status and `config`.
    pub effective: Vec<(String, String)>,
    /// Keys that nobody knows.
    pub unknown: Vec<String>,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The value of a key does not parse.
    #[error("{key}: {value:?} is not {expected}")]
    Invalid {
        /// Key as upstream names it.
        key: String,
        /// What was given.
        value: String,
        /// What would be right.
        expected: String,
    },
    /// The key asks for something that is not there.
    #[error("{key}={value}: not available in this version; set it to {off} or remove it")]
    Unsupported {
        /// Key as upstream names it.
        key: String,
        /// What was given.
        value: String,
        /// The value that is accepted.
        off: String,
    },
    /// Two keys do not go together, or one is missing.
    #[error("{0}")]
    Conflict(String),
    /// The configuration directory cannot be read.
    #[error("config-dir {path}: {error}")]
    Directory {
        /// The directory or file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
}

/// Reads one key after the other with its type; collects nothing, stops at the first error.
struct Reader<'a>(&'a Given);

impl Reader<'_> {
    fn text(&self, key: &str) -> String {
        self.0.value(key)
    }

    fn optional<T: std::str::FromStr>(
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

    fn parse<T: std::str::FromStr>(&self, key: &str, expected: &str) -> Result<T, Error> {
        let value = self.text(key);
        value.parse().map_err(|_| invalid(key, &value, expected))
    }

    fn flag(&self, key: &str) -> Result<bool, Error> {
        match self.text(key).to_ascii_lowercase().as_str() {
            "true" | "1" | "t" => Ok(true),
            "false" | "0" | "f" | "" => Ok(false),
            other => Err(invalid(key, other, "true or false")),
        }
    }

    fn path(&self, key: &str) -> Option<PathBuf> {
        Some(self.text(key))
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    }

    fn list(&self, key: &str) -> Vec<String> {
        self.text(key)
            .split([',', ' '])
            .map(str::trim)
            .filter(|v| !v.is_empty())
            .map(str::to_owned)
            .collect()
    }

    fn duration(&self, key: &str) -> Result<Duration, Error> {
        let value = self.text(key);
        let span: jiff::SignedDuration = value
            .parse()
            .map_err(|_| invalid(key, &value, "a duration like 5m or 30s"))?;
        Duration::try_from(span)
            .map_err(|_| invalid(key, &value, "a duration that is not negative"))
    }

    fn port_range(&self, key: &str) -> Result<(u16, u16), Error> {
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

fn invalid(key: &str, value: &str, expected: &str) -> Error {
    Error::Invalid {
        key: key.to_owned(),
        value: value.to_owned(),
        expected: expected.to_owned(),
    }
}

impl Config {
    /// Validates what was given. The first problem is returned, with its key.
    pub fn new(given: &Given) -> Result<Self, Error> {
        refuse_unsupported(given)?;
        let read = Reader(given);
        let node = read.text("k8s-node-name");
        if node.is_empty() {
            return Err(Error::Conflict(
                "k8s-node-name: the name of this node is not given, and it has no host name".into(),
            ));
        }
        let config = Self {
            node,
            cluster: cluster_name(&read)?,
            cluster_id: cluster_id(&read)?,
            datapath: datapath(&read)?,
            services: services(&read)?,
            policy: policy(&read)?,
            hubble: hubble(&read)?,
            store: Store {
                urls: read.list("k8s-api-server-urls"),
                kubeconfig: read.path("k8s-kubeconfig-path"),
                crd_wait: read.duration("crd-wait-timeout")?,
            },
            socket: PathBuf::from(read.text("socket-path")),
            socket_group: Some(read.text("socket-group")).filter(|group| !group.is_empty()),
            state_dir: PathBuf::from(read.text("state-dir")),
            health_port: read.parse("agent-health-port", "a port")?,
            cni_conf: read.path("write-cni-conf-when-ready"),
            log_json: read.text("log-format") == "json",
            debug: read.flag("debug")?,
            effective: given.effective(),
            unknown: given.unknown.clone(),
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), Error> {
        let families = self.datapath.families;
        if !families.ipv4 && !families.ipv6 {
            return Err(Error::Conflict(
                "enable-ipv4, enable-ipv6: at least one must be true".into(),
            ));
        }
        if self.cluster_id != 0 && self.cluster == "default" {
            return Err(Error::Conflict(
                "cluster-name: a cluster with an id needs a name of its own".into(),
            ));
        }
        if matches!(self.datapath.routing, Routing::Native { .. })
            && self.datapath.masquerade.ipv4
            && families.ipv4
            && self.datapath.native_ipv4.is_none()
        {
            return Err(Error::Conflict(
                "ipv4-native-routing-cidr: needed when routing-mode is native and enable-ipv4-masquerade is true".into(),
            ));
        }
        Ok(())
    }
}

fn refuse_unsupported(given: &Given) -> Result<(), Error> {
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

fn cluster_name(read: &Reader<'_>) -> Result<String, Error> {
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

fn cluster_id(read: &Reader<'_>) -> Result<u16, Error> {
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

fn datapath(read: &Reader<'_>) -> Result<Datapath, Error> {
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
    let masq_agent = read
        .flag("enable-ip-masq-agent")?
        .then(|| PathBuf::from(read.text("ip-masq-agent-config-path")));
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
        masq_agent,
        devices: read.list("devices"),
        mtu: read.parse("mtu", "a number of bytes")?,
        bpf_root: PathBuf::from(read.text("bpf-root")),
        cgroup_root: PathBuf::from(read.text("cgroup-root")),
        connections: read.parse("bpf-ct-global-tcp-max", "a number of entries")?,
    })
}

fn services(read: &Reader<'_>) -> Result<Services, Error> {
    let enabled = read.flag("kube-proxy-replacement")?;
    let maglev = match read.text("bpf-lb-algorithm").as_str() {
        "random" => false,
        "maglev" => true,
        other => return Err(invalid("bpf-lb-algorithm", other, "random or maglev")),
    };
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
        maglev,
        reject_no_backend,
    })
}

fn policy(read: &Reader<'_>) -> Result<Policy, Error> {
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

fn hubble(read: &Reader<'_>) -> Result<Hubble, Error> {
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
    })
}

fn listen_address(text: &str) -> Result<SocketAddr, Error> {
    let full = if text.starts_with(':') {
        format!("[::]{text}")
    } else {
        text.to_owned()
    };
    full.parse()
        .map_err(|_| invalid("hubble-listen-address", text, "ADDRESS:PORT or :PORT"))
}
