//! Keys and values of the maps as text, from their binary layout.

use std::net::{IpAddr, SocketAddr};

use datapath::abi::address::{Address, Mac, PrefixKey};
use datapath::abi::connection::{Alias, Connection, ConnectionKey, FragmentKey, FragmentPorts};
use datapath::abi::endpoint::{Endpoint, Hop, Traffic, hop_kind};
use datapath::abi::event::{Count, DropKey, direction, hook, outcome};
use datapath::abi::ipcache::{AddressKey, AddressRow};
use datapath::abi::node::Node;
use datapath::abi::policy::{PeerKey, PolicyHead, PortKey, PortVerdict};
use datapath::abi::service::{
    Affinity, AffinityKey, Backend, Frontend, FrontendKey, SlotKey, SocketKey, SocketPeer,
};

use super::policy::{ports, verdict};

/// A value of a map that can be shown in one line.
pub(in crate::dbg) trait Shown {
    /// The line.
    fn shown(&self) -> String;
}

/// An address with a port in network order.
pub(in crate::dbg) fn socket(address: Address, port: u16) -> SocketAddr {
    SocketAddr::new(address.into(), u16::from_be(port))
}

/// Name of an IP protocol, its number where it has none.
pub(in crate::dbg) fn protocol(number: u8) -> String {
    match number {
        0 => "ANY".into(),
        1 => "ICMP".into(),
        6 => "TCP".into(),
        17 => "UDP".into(),
        58 => "ICMPv6".into(),
        132 => "SCTP".into(),
        other => other.to_string(),
    }
}

/// A prefix as people write it: the trie counts 96 bits before an IPv4 address.
pub(in crate::dbg) fn prefix(key: &PrefixKey) -> String {
    let address = IpAddr::from(key.address);
    // The zero prefix of IPv6 is the unspecified address, that of IPv4 is mapped.
    let length = if key.address.is_v4() {
        key.prefix_len.saturating_sub(96)
    } else {
        key.prefix_len
    };
    format!("{address}/{length}")
}

pub(in crate::dbg) fn mac(of: Mac) -> String {
    of.0.map(|octet| format!("{octet:02x}")).join(":")
}

/// Names of the bits that are set.
pub(super) fn bits<T: Copy + Into<u32>>(value: T, names: &[(T, &str)]) -> String {
    let set = names
        .iter()
        .filter(|(bit, _)| value.into() & (*bit).into() != 0)
        .map(|(_, name)| *name);
    set.collect::<Vec<_>>().join(" ")
}

pub(super) fn hop(id: u32) -> String {
    format!("{}.{}", id & 0xffff, (id >> 16) & 0xff)
}

macro_rules! shown {
    ($($of:ident: $ty:ty => $text:expr;)+) => { $(
        impl Shown for $ty {
            fn shown(&self) -> String {
                let $of = self;
                $text
            }
        }
    )+ };
}

shown! {
    of: u32 => of.to_string();
    of: u64 => of.to_string();
    of: ConnectionKey => {
        let alias = if of.kind & datapath::abi::connection::kind::ALIAS == 0 { "" } else { " alias" };
        format!("{} {} <-> {}{alias}", protocol(of.protocol), socket(of.low, of.low_port), socket(of.high, of.high_port))
    };
    of: Connection => super::ct::facts(of);
    of: Alias => of.primary.shown();
    of: FragmentKey => {
        format!("{} {} -> {} id={}", protocol(of.protocol), IpAddr::from(of.source), IpAddr::from(of.destination), of.id)
    };
    of: FragmentPorts => format!("{} -> {}", u16::from_be(of.source), u16::from_be(of.destination));
    of: Endpoint => super::endpoint::info(of);
    of: Hop => hop_text(of);
    of: Traffic => {
        format!("egress={}/{}B ingress={}/{}B", of.egress_packets, of.egress_bytes, of.ingress_packets, of.ingress_bytes)
    };
    of: AddressKey => IpAddr::from(of.address).to_string();
    of: PrefixKey => prefix(of);
    of: AddressRow => {
        format!("identity={} peer={} hop={} ifindex={} flags={:#x}", of.identity, of.peer, hop(of.hop), of.ifindex, of.flags)
    };
    of: PolicyHead => {
        format!("flags={:#x} peers_version={} ports_version={}", of.flags(), of.peers_version(), of.ports_version())
    };
    of: PeerKey => format!("policy={} version={} peer={}", of.policy, of.version, of.peer);
    of: PortKey => format!("policy={} version={} class={} {}", of.policy, of.version, of.class, ports(of));
    of: PortVerdict => format!("{} rule={} match={}", verdict(of.verdict), of.rule, of.match_type);
    of: FrontendKey => super::lb::frontend(of);
    of: Frontend => {
        format!("service={} slots={} affinity={}s flags={:#x}", of.service, of.slots, of.affinity_seconds, of.flags)
    };
    of: SlotKey => format!("service={} slot={}", of.service, of.slot);
    of: Backend => super::lb::backend(of);
    of: AffinityKey => {
        let client = if of.cookie == 1 { format!("cookie {:?}", of.client.octets()) } else { IpAddr::from(of.client).to_string() };
        format!("{client} service={}", of.service)
    };
    of: Affinity => format!("backend={} last_used={}", of.backend, of.last_used);
    of: SocketKey => format!("cookie={} {}", of.cookie, socket(of.address, of.port));
    of: SocketPeer => format!("{} service={}", socket(of.address, of.port), of.service);
    of: Node => node_text(of);
    of: DropKey => {
        let side = match of.direction { direction::INGRESS => "ingress", direction::EGRESS => "egress", _ => "none" };
        format!("endpoint={} {} {side} rule={}", of.endpoint, super::metrics::reason(of.reason), of.rule)
    };
    of: Count => format!("packets={} bytes={}", of.packets, of.bytes);
}

fn hop_text(of: &Hop) -> String {
    match of.kind {
        hop_kind::NONE => "none".into(),
        hop_kind::LOCAL => {
            format!(
                "local ifindex={} endpoint={} mac={} gateway={}",
                of.ifindex,
                of.endpoint,
                mac(of.destination_mac),
                mac(of.source_mac)
            )
        }
        hop_kind::TUNNEL => format!(
            "tunnel to {} ifindex={} mtu={}",
            IpAddr::from(of.tunnel),
            of.ifindex,
            of.mtu
        ),
        hop_kind::STACK => "stack".into(),
        hop_kind::ROUTE => "route".into(),
        hop_kind::PROXY => "proxy".into(),
        other => format!("kind {other}"),
    }
}

fn node_text(of: &Node) -> String {
    let address = |address: Address| {
        if address.is_none() {
            "-".to_owned()
        } else {
            IpAddr::from(address).to_string()
        }
    };
    format!(
        "ipv4={} ipv6={} router_ipv4={} router_ipv6={} uplink={} overlay={} host={} mtu={} tunnel_port={} host_mac={} world_ipv4={} world_ipv6={}",
        address(of.ipv4),
        address(of.ipv6),
        address(of.router_ipv4),
        address(of.router_ipv6),
        of.uplink,
        of.overlay,
        of.host,
        of.mtu,
        of.tunnel_port,
        mac(of.host_mac),
        of.world_ipv4,
        of.world_ipv6
    )
}

/// Names of the counters in `hooks`.
pub(in crate::dbg) fn hook_counter(index: u32) -> String {
    let (hook, outcome) = outcome::of(index);
    let name = match hook {
        hook::FROM_CONTAINER => "from_container",
        hook::TO_CONTAINER => "to_container",
        hook::FROM_NETDEV => "from_netdev",
        hook::TO_NETDEV => "to_netdev",
        hook::FROM_OVERLAY => "from_overlay",
        hook::FROM_HOST => "from_host",
        _ => "-",
    };
    let outcome = match outcome {
        outcome::FORWARDED => "forwarded",
        outcome::DROPPED => "dropped",
        _ => "answered",
    };
    format!("{name} {outcome}")
}
