//! Who is asked about: names and addresses of the command line, looked up in what the agent knows.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use anyhow::{bail, ensure};
use local_api::service::{BackendState, ServiceSpec};
use serde::Serialize;

use super::facts::{self, Facts};
use crate::dbg::service::socket;

/// Transport protocols that policies know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Protocol {
    #[default]
    Tcp,
    Udp,
    Sctp,
    Icmp,
    Icmpv6,
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "tcp" => Self::Tcp,
            "udp" => Self::Udp,
            "sctp" => Self::Sctp,
            "icmp" => Self::Icmp,
            "icmpv6" => Self::Icmpv6,
            _ => return Err(format!("{text:?} is none of tcp, udp, sctp, icmp, icmpv6")),
        })
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
            Self::Icmp => "ICMP",
            Self::Icmpv6 => "ICMPv6",
        })
    }
}

/// A port of a protocol, `80` or `53/udp`; for ICMP the type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Port {
    pub(crate) number: u16,
    pub(crate) protocol: Protocol,
}

impl FromStr for Port {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let number = number
            .parse()
            .map_err(|_| format!("{number:?} is not a port from 0 to 65535"))?;
        Ok(Self {
            number,
            protocol: protocol.parse()?,
        })
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.protocol)
    }
}

/// Where a party is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum Place {
    /// A pod of this node.
    Here { endpoint: i64, interface: String },
    /// An address of this node itself.
    ThisNode,
    /// Another node of the cluster, or a pod of it.
    There { node: String, address: String },
    /// Outside the cluster.
    World,
}

/// One end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Party {
    /// `namespace/name` where it is known, else the address.
    pub(crate) name: String,
    pub(crate) address: IpAddr,
    pub(crate) identity: u32,
    pub(crate) labels: String,
    pub(crate) place: Place,
}

/// A service that is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Called {
    /// `namespace/name`.
    pub(crate) name: String,
    /// `address:port`.
    pub(crate) frontend: String,
    /// `ClusterIP`, …
    pub(crate) kind: String,
    /// `address:port` of those that take connections.
    pub(crate) backends: Vec<String>,
    /// The same of those that take no new ones.
    pub(crate) terminating: Vec<String>,
}

/// What is asked: who calls whom, through which service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) from: Party,
    /// As it was typed, for the first sentence.
    pub(crate) to_name: String,
    pub(crate) service: Option<Called>,
    /// Who may answer, with the port there.
    pub(crate) targets: Vec<(Party, Port)>,
}

/// `ADDRESS`, `ADDRESS:PORT`, `[ADDRESS]:PORT`, `NAMESPACE/NAME` or `NAMESPACE/NAME:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Typed {
    Address(IpAddr, Option<u16>),
    Name(String, Option<u16>),
}

pub(super) fn typed(text: &str) -> anyhow::Result<Typed> {
    if let Ok(address) = text.trim_start_matches('[').trim_end_matches(']').parse() {
        return Ok(Typed::Address(address, None));
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(Typed::Address(address.ip(), Some(address.port())));
    }
    let (name, port) = match text.split_once(':') {
        None => (text, None),
        Some((name, port)) => match port.parse() {
            Ok(port) => (name, Some(port)),
            Err(_) => bail!("{text}: {port:?} is not a port"),
        },
    };
    ensure!(!name.is_empty(), "{text:?} names nobody");
    // A name alone is one of the default namespace.
    let name = if name.contains('/') {
        name.to_owned()
    } else {
        format!("default/{name}")
    };
    Ok(Typed::Name(name, port))
}

impl Party {
    /// What is known of an address.
    pub(super) fn of(facts: &Facts, address: IpAddr) -> Self {
        let endpoint = facts.endpoint_of_address(address);
        let identity = facts.identity_of(address);
        let row = facts.row(address);
        let named = row
            .and_then(|row| row.metadata.as_ref())
            .filter(|metadata| !metadata.name.is_empty());
        let name = endpoint
            .and_then(facts::pod_name)
            .map(str::to_owned)
            .or_else(|| named.map(|metadata| format!("{}/{}", metadata.namespace, metadata.name)))
            .or_else(|| facts.remote_pod(address).map(str::to_owned))
            .unwrap_or_else(|| address.to_string());
        let node = facts.node(&address.to_string());
        let host = row
            .map(|row| row.host_ip.as_str())
            .filter(|host| !host.is_empty());
        let place = if let Some(endpoint) = endpoint {
            let networking = endpoint
                .status
                .as_ref()
                .and_then(|status| status.networking.clone());
            Place::Here {
                endpoint: endpoint.id,
                interface: networking.map(|of| of.interface_name).unwrap_or_default(),
            }
        } else if let Some(node) = node {
            let own = node.name == facts.this_node || node.source == "local";
            if own {
                Place::ThisNode
            } else {
                Place::There {
                    node: node.name.clone(),
                    address: address.to_string(),
                }
            }
        } else if let Some(host) = host {
            let node = facts
                .node(host)
                .map_or_else(|| "a node".to_owned(), |node| node.name.clone());
            Place::There {
                node,
                address: host.to_owned(),
            }
        } else if identity == 1 {
            Place::ThisNode
        } else {
            Place::World
        };
        Self {
            name,
            address,
            identity,
            labels: facts.labels(identity),
            place,
        }
    }
}

impl Question {
    /// Looks both ends up; an error says what to type instead.
    pub(crate) fn read(
        facts: &Facts,
        from: &str,
        to: &str,
        protocol: Protocol,
    ) -> anyhow::Result<Self> {
        let callers = match typed(from)? {
            Typed::Address(address, _) => vec![address],
            Typed::Name(name, _) => facts.pod_addresses(&name),
        };
        let Some(first) = callers.first().copied() else {
            bail!(
                "{from} is not a pod of this node; ask on its node, give its address, or name the API server with --kubeconfig"
            );
        };
        // Both ends are of one family.
        let caller = |to: IpAddr| {
            let same = callers.iter().find(|of| of.is_ipv4() == to.is_ipv4());
            Party::of(facts, same.copied().unwrap_or(first))
        };
        let (port, spec, called) = match typed(to)? {
            Typed::Address(address, port) => {
                let frontend = |spec: &ServiceSpec| frontend_is(spec, address, port, protocol);
                let found = facts.frontends(frontend).first().copied();
                (port, found, vec![address])
            }
            Typed::Name(name, port) => {
                let pods = facts.pod_addresses(&name);
                match service(facts, &name, port, protocol) {
                    // A service and a pod may have one name: the port tells which is meant.
                    Ok(spec) if port.is_some() || pods.is_empty() => (port, Some(spec), Vec::new()),
                    Err(error) if pods.is_empty() => return Err(error),
                    _ => (port, None, pods),
                }
            }
        };
        if let Some(spec) = spec {
            let frontend = spec
                .frontend_address
                .as_ref()
                .and_then(|of| of.ip.parse().ok());
            let from = caller(frontend.unwrap_or(first));
            return Ok(Self::through(facts, from, to.to_owned(), spec, protocol));
        }
        let fits = |to: &&IpAddr| callers.iter().any(|of| of.is_ipv4() == to.is_ipv4());
        let Some(address) = called.iter().find(fits).or(called.first()).copied() else {
            bail!("{to} is neither a pod of this node nor a service; give its address");
        };
        let number = port.unwrap_or_default();
        Ok(Self {
            from: caller(address),
            to_name: to.to_owned(),
            service: None,
            targets: vec![(Party::of(facts, address), Port { number, protocol })],
        })
    }

    fn through(
        facts: &Facts,
        from: Party,
        to_name: String,
        spec: &ServiceSpec,
        protocol: Protocol,
    ) -> Self {
        let flags = spec.flags.clone().unwrap_or_default();
        let frontend = spec.frontend_address.clone().unwrap_or_default();
        let active =
            |state: Option<BackendState>| matches!(state, None | Some(BackendState::Active));
        let (taking, leaving): (Vec<_>, Vec<_>) = spec
            .backend_addresses
            .iter()
            .partition(|backend| active(backend.state));
        let sockets = |all: &[&local_api::service::BackendAddress]| {
            all.iter().map(|of| socket(&of.ip, of.port)).collect()
        };
        let targets = taking.iter().filter_map(|backend| {
            let address = backend.ip.parse().ok()?;
            Some((
                Party::of(facts, address),
                Port {
                    number: backend.port,
                    protocol,
                },
            ))
        });
        Self {
            from,
            to_name,
            targets: targets.collect(),
            service: Some(Called {
                name: format!("{}/{}", flags.namespace, flags.name),
                frontend: socket(&frontend.ip, frontend.port),
                kind: flags.kind,
                backends: sockets(&taking),
                terminating: sockets(&leaving),
            }),
        }
    }
}

fn frontend_is(spec: &ServiceSpec, address: IpAddr, port: Option<u16>, protocol: Protocol) -> bool {
    spec.frontend_address.as_ref().is_some_and(|of| {
        of.ip.parse() == Ok(address)
            && port.is_none_or(|port| port == of.port)
            && of.protocol.parse() == Ok(protocol)
    })
}

/// The frontend of a service by its name; with several ports one has to be named.
pub(super) fn service<'a>(
    facts: &'a Facts,
    name: &str,
    port: Option<u16>,
    protocol: Protocol,
) -> anyhow::Result<&'a ServiceSpec> {
    let named = |spec: &ServiceSpec| {
        let flags = spec.flags.as_ref();
        flags.is_some_and(|flags| {
            format!("{}/{}", flags.namespace, flags.name) == name && flags.kind == "ClusterIP"
        })
    };
    let all = facts.frontends(named);
    ensure!(
        !all.is_empty(),
        "{name} is neither a pod of this node nor a service with a cluster address; give its address"
    );
    let of = |spec: &&ServiceSpec| spec.frontend_address.clone().unwrap_or_default();
    let fits = |spec: &&&ServiceSpec| {
        of(spec).protocol.parse() == Ok(protocol) && port.is_none_or(|port| port == of(spec).port)
    };
    let fitting: Vec<_> = all.iter().filter(fits).collect();
    let mut ports: Vec<String> = all
        .iter()
        .map(|spec| format!("{}/{}", of(spec).port, of(spec).protocol))
        .collect();
    ports.sort();
    ports.dedup();
    let several = port.is_none()
        && fitting
            .iter()
            .any(|spec| Some(of(spec).port) != fitting.first().map(|first| of(first).port));
    match fitting.first() {
        Some(spec) if !several => Ok(spec),
        Some(_) => bail!(
            "{name} has several ports, name one as {name}:PORT: {}",
            ports.join(", ")
        ),
        None => bail!("{name} has no such port; it has {}", ports.join(", ")),
    }
}
