//! Tables from text: one row per line, `table key name=value …`. See `tests/cases/README.md`.

use super::{
    build::{Fields, address, mac, malformed, number},
    case::{Backend, Input, Row},
};
use crate::{
    abi::{
        Address, Mac, Plain, PrefixKey,
        connection::{ConnectionKey, kind},
        endpoint,
        endpoint::{Endpoint, Hop, hop_kind},
        generation,
        ipcache::{self, AddressKey, AddressRow},
        node::{Features, Node},
        policy::{self, PeerKey, PolicyHead, PortKey, PortVerdict},
        sample::mode,
        service::{self, Backend as ServiceBackend, Frontend, FrontendKey, SlotKey},
    },
    environment::Route,
    wire::ip,
};

/// The node that cases take place on, so that each says only what is special: `topology`.
const TOPOLOGY: &str = include_str!("../../tests/cases/topology.txt");

/// What lines have set so far.
pub(crate) struct Setup {
    features: Features,
    node: Node,
    ns: u64,
    jiffies: u64,
}

impl Default for Setup {
    fn default() -> Self {
        let world = super::World::default();
        Self {
            features: world.features,
            node: Node::default(),
            ns: world.now_ns,
            jiffies: world.jiffies,
        }
    }
}

fn row(table: &str, key: &impl Plain, value: &impl Plain) -> Row {
    Row {
        table: table.into(),
        key: key.as_bytes().to_vec(),
        value: value.as_bytes().to_vec(),
    }
}

/// The bits of comma-separated names.
fn bits(fields: &Fields<'_>, names: &[(&str, u16)]) -> u16 {
    fields.text("flags").map_or(0, |text| {
        text.split(',').fold(0, |all, name| {
            let bit = names.iter().find(|(known, _)| *known == name);
            all | bit.map_or_else(|| malformed("flag", name), |(_, bit)| *bit)
        })
    })
}

fn protocol(name: &str) -> u8 {
    match name {
        "tcp" => ip::TCP,
        "udp" => ip::UDP,
        "icmp" => ip::ICMP,
        "icmpv6" => ip::ICMPV6,
        other => number(other) as u8,
    }
}

fn field_address(fields: &Fields<'_>, name: &str) -> Address {
    fields.text(name).map_or(Address::NONE, address)
}

fn field_mac(fields: &Fields<'_>, name: &str) -> Mac {
    fields.text(name).map_or(Mac::default(), mac)
}

fn port(text: &str) -> u16 {
    (number(text) as u16).to_be()
}

/// `10.0.0.0/8` as the key of a trie.
fn prefix(text: &str) -> PrefixKey {
    let (host, bits) = text
        .split_once('/')
        .unwrap_or_else(|| malformed("prefix", text));
    let host = address(host);
    let bits = number(bits) as u32;
    PrefixKey {
        prefix_len: if host.is_v4() { bits + 96 } else { bits },
        address: host,
    }
}

impl Setup {
    /// Takes one line.
    pub(crate) fn line(&mut self, line: &str, backend: &mut dyn Backend) {
        let fields = Fields::of(line);
        match fields.word(0) {
            "topology" => {
                for line in TOPOLOGY
                    .lines()
                    .filter(|line| !line.is_empty() && !line.starts_with('#'))
                {
                    self.line(line, backend);
                }
            }
            "set" => self.set(&fields, backend),
            "node" => self.node(&fields, backend),
            "time" => {
                self.ns += fields.number("ns", 0);
                self.jiffies += fields.number("jiffies", 0);
                backend.input(&Input::Time {
                    ns: self.ns,
                    jiffies: self.jiffies,
                });
            }
            "route" => backend.input(&Input::Route(address(fields.word(1)), route(&fields))),
            "socket" => backend.input(&Input::Socket(
                address(fields.word(1)),
                port(fields.word(2)),
                protocol(fields.word(3)),
            )),
            "chance" => backend.input(&Input::Chance(
                fields
                    .0
                    .iter()
                    .skip(1)
                    .map(|word| number(word) as u32)
                    .collect(),
            )),
            "full" => backend.input(&Input::Full),
            _ => backend.load(&table_row(&fields)),
        }
    }

    fn set(&mut self, fields: &Fields<'_>, backend: &mut dyn Backend) {
        let now = &mut self.features;
        let switches: [(&str, &mut u8); 11] = [
            ("ipv4", &mut now.ipv4),
            ("ipv6", &mut now.ipv6),
            ("tunnel", &mut now.tunnel),
            ("masquerade_ipv4", &mut now.masquerade_ipv4),
            ("masquerade_ipv6", &mut now.masquerade_ipv6),
            ("allow_localhost", &mut now.allow_localhost),
            ("services", &mut now.services),
            ("reject_no_backend", &mut now.reject_no_backend),
            ("events", &mut now.events),
            ("host_policy", &mut now.host_policy),
            ("capture", &mut now.capture),
        ];
        for (name, value) in switches {
            *value = fields.number(name, u64::from(*value)) as u8;
        }
        now.snat_min = fields.number("snat_min", now.snat_min.into()) as u16;
        now.snat_max = fields.number("snat_max", now.snat_max.into()) as u16;
        backend.input(&Input::Features(self.features));
    }

    fn node(&mut self, fields: &Fields<'_>, backend: &mut dyn Backend) {
        let or = |name, old: Address| fields.text(name).map_or(old, address);
        let now = &mut self.node;
        now.ipv4 = or("ipv4", now.ipv4);
        now.ipv6 = or("ipv6", now.ipv6);
        now.router_ipv4 = or("router_ipv4", now.router_ipv4);
        now.router_ipv6 = or("router_ipv6", now.router_ipv6);
        now.uplink = fields.number("uplink", now.uplink.into()) as u32;
        now.overlay = fields.number("overlay", now.overlay.into()) as u32;
        now.host = fields.number("host", now.host.into()) as u32;
        now.mtu = fields.number("mtu", now.mtu.into()) as u16;
        now.tunnel_port = fields.number("tunnel_port", now.tunnel_port.into()) as u16;
        now.world_ipv4 = fields.number("world_ipv4", now.world_ipv4.into()) as u32;
        now.world_ipv6 = fields.number("world_ipv6", now.world_ipv6.into()) as u32;
        backend.load(&row("node", &0u32, &self.node));
    }
}

fn route(fields: &Fields<'_>) -> Route {
    let ifindex = || number(fields.word(3)) as u32;
    match fields.word(2) {
        "neighbour" => Route::Neighbour {
            ifindex: ifindex(),
            destination_mac: mac(fields.word(4)),
            source_mac: mac(fields.word(5)),
        },
        "unresolved" => Route::Unresolved { ifindex: ifindex() },
        "stack" => Route::Stack,
        "toobig" => Route::TooBig { mtu: ifindex() },
        _ => Route::Unreachable,
    }
}

fn table_row(fields: &Fields<'_>) -> Row {
    match fields.word(0) {
        "endpoint" => endpoint_row(fields),
        "address" => {
            let key = AddressKey {
                address: address(fields.word(1)),
                ..AddressKey::default()
            };
            row("addresses", &key, &address_row(fields))
        }
        "cidr" => row("cidrs", &prefix(fields.word(1)), &address_row(fields)),
        "spare" => row("masquerade_spare", &prefix(fields.word(1)), &1u32),
        "hop" => hop_row(fields),
        "generation" => {
            let slot = match fields.word(1) {
                "node" => generation::NODE_SLOT,
                text => generation::slot_of(&address(text)),
            };
            row("generations", &slot, &(number(fields.word(2)) as u32))
        }
        "followed" => followed_row(fields),
        "policy" | "class" | "port" | "known" => policy_row(fields),
        _ => service_row(fields),
    }
}

fn endpoint_row(fields: &Fields<'_>) -> Row {
    let ifindex = number(fields.word(1)) as u32;
    let value = Endpoint {
        ifindex: fields.number("whole", ifindex.into()) as u32,
        identity: fields.number("identity", 0) as u32,
        id: fields.number("id", 0) as u16,
        slot: fields.number("slot", 0) as u16,
        egress_policy: fields.number("egress", 0) as u16,
        ingress_policy: fields.number("ingress", 0) as u16,
        mac: field_mac(fields, "mac"),
        gateway_mac: field_mac(fields, "gateway"),
        ipv4: field_address(fields, "ipv4"),
        ipv6: field_address(fields, "ipv6"),
        hop: fields.number("hop", 0) as u32,
        flags: bits(
            fields,
            &[
                ("not_ready", endpoint::flags::NOT_READY),
                ("host", endpoint::flags::HOST),
                ("no_source_check", endpoint::flags::NO_SOURCE_CHECK),
                (
                    "skip_masquerade_ipv4",
                    endpoint::flags::SKIP_MASQUERADE_IPV4,
                ),
                (
                    "skip_masquerade_ipv6",
                    endpoint::flags::SKIP_MASQUERADE_IPV6,
                ),
            ],
        ),
        mtu: fields.number("mtu", 1500) as u16,
    };
    row("endpoints", &(ifindex & 0xffff), &value)
}

fn address_row(fields: &Fields<'_>) -> AddressRow {
    let identity = fields.number("identity", 0) as u32;
    AddressRow {
        identity,
        peer: fields.number("peer", identity.into()) as u32,
        hop: fields.number("hop", 0) as u32,
        ifindex: fields.number("ifindex", 0) as u32,
        flags: bits(
            fields,
            &[
                ("endpoint", ipcache::flags::LOCAL_ENDPOINT),
                ("node", ipcache::flags::LOCAL_NODE),
                ("remote", ipcache::flags::REMOTE_NODE),
                ("no_masquerade", ipcache::flags::NO_MASQUERADE),
            ],
        ),
        pad: 0,
    }
}

fn hop_row(fields: &Fields<'_>) -> Row {
    let value = Hop {
        kind: match fields.word(2) {
            "local" => hop_kind::LOCAL,
            "tunnel" => hop_kind::TUNNEL,
            "stack" => hop_kind::STACK,
            "route" => hop_kind::ROUTE,
            "proxy" => hop_kind::PROXY,
            _ => hop_kind::NONE,
        },
        incarnation: fields.number("incarnation", 0) as u8,
        mtu: fields.number("mtu", 0) as u16,
        ifindex: fields.number("ifindex", 0) as u32,
        destination_mac: field_mac(fields, "to"),
        source_mac: field_mac(fields, "from"),
        tunnel: field_address(fields, "tunnel"),
        slot: fields.number("slot", 0) as u16,
        endpoint: fields.number("endpoint", 0) as u16,
        reserved: 0,
    };
    row("hops", &(number(fields.word(1)) as u32), &value)
}

/// `followed tcp IP PORT IP PORT opaque|heads|frames`
fn followed_row(fields: &Fields<'_>) -> Row {
    let end = |at| (address(fields.word(at)), port(fields.word(at + 1)));
    let ((source, from), (destination, to)) = (end(2), end(4));
    let kind = if source.is_v4() { 0 } else { kind::V6 };
    let protocol = protocol(fields.word(1));
    let (key, _) = ConnectionKey::of((&source, from), (&destination, to), protocol, kind);
    let mode = match fields.word(6) {
        "opaque" => mode::OPAQUE,
        "heads" => mode::HEADS,
        "frames" => mode::FRAMES,
        other => malformed("mode", other),
    };
    row("followed", &key, &u32::from(mode))
}

fn policy_row(fields: &Fields<'_>) -> Row {
    let first = number(fields.word(1)) as u32;
    match fields.word(0) {
        "policy" => {
            let flags = bits(
                fields,
                &[
                    ("installed", policy::flags::INSTALLED.into()),
                    ("enforced", policy::flags::ENFORCED.into()),
                    ("audit", policy::flags::AUDIT.into()),
                    ("lockdown", policy::flags::LOCKDOWN.into()),
                ],
            );
            let peers = fields.number("peers", 1) as u32;
            let head = PolicyHead::new(flags as u8, peers, fields.number("ports", 1) as u32);
            row("policies", &first, &head.0)
        }
        "class" => {
            let key = PeerKey {
                policy: first,
                version: fields.number("version", 1) as u32,
                peer: number(fields.word(2)) as u32,
            };
            row("policy_peers", &key, &(fields.number("class", 0) as u32))
        }
        "port" => {
            let key = PortKey {
                prefix_len: PortKey::FIXED_BITS + fields.number("bits", 16) as u32,
                version: fields.number("version", 1) as u32,
                policy: first as u16,
                class: fields.number("class", 0) as u16,
                protocol: protocol(fields.text("proto").unwrap_or("0")),
                pad: 0,
                port: (fields.number("port", 0) as u16).to_be(),
            };
            let value = PortVerdict {
                verdict: match fields.word(2) {
                    "allow" => policy::verdict::ALLOW,
                    "deny" => policy::verdict::DENY,
                    "redirect" => policy::verdict::REDIRECT,
                    _ => policy::verdict::DEFAULT_DENY,
                },
                match_type: fields.number("match", 0) as u8,
                proxy_port: 0,
                rule: fields.number("rule", 0) as u32,
            };
            row("policy_ports", &key, &value)
        }
        _ => row("known_identities", &first, &1u32),
    }
}

fn service_row(fields: &Fields<'_>) -> Row {
    match fields.word(0) {
        "frontend" => {
            let host = fields.word(1);
            let key = FrontendKey {
                address: if host == "::" {
                    Address::NONE
                } else {
                    address(host)
                },
                port: port(fields.word(2)),
                protocol: protocol(fields.word(3)),
                scope: fields.number("scope", 0) as u8,
            };
            let value = Frontend {
                service: fields.number("service", 0) as u32,
                slots: fields.number("slots", 0) as u32,
                affinity_seconds: fields.number("affinity", 0) as u32,
                flags: bits(
                    fields,
                    &[
                        ("affinity", service::flags::AFFINITY),
                        ("nodeport", service::flags::NODEPORT),
                        ("maglev", service::flags::MAGLEV),
                    ],
                ),
                pad: 0,
            };
            row("frontends", &key, &value)
        }
        "slot" => {
            let key = SlotKey {
                service: number(fields.word(1)) as u32,
                slot: number(fields.word(2)) as u32,
            };
            row("service_slots", &key, &(number(fields.word(3)) as u32))
        }
        "backend" => {
            let value = ServiceBackend {
                address: address(fields.word(2)),
                port: port(fields.word(3)),
                protocol: protocol(fields.word(4)),
                state: fields.number("state", 0) as u8,
            };
            row("backends", &(number(fields.word(1)) as u32), &value)
        }
        other => malformed("line", other),
    }
}
