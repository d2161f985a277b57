//! From models to the tables of the kernel: what changed, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Instant;

use datapath::abi;
use datapath::abi::address::{Address, PrefixKey};
use datapath::abi::endpoint::{
    Endpoint, HOP_ROUTE, HOP_STACK, Hop, flags as endpoint_flags, hop_kind,
};
use datapath::abi::ipcache::{AddressKey, AddressRow, flags};
use datapath::abi::node::Node;
use ipnet::IpNet;
use model::endpoint::{EndpointId, EndpointRow};
use model::identity::Reserved;
use model::ipcache::Location;
use model::policy::{self, Direction, Origin, Peer, PolicyKey, SubjectId};

use super::Engine;
use crate::config::{Config, Enforcement, Routing};
use crate::forwarding::{Effect, Failure, HopTarget};
use crate::view::Known;

/// What may be another than what the tables were told, key by key. A commit looks at nothing else.
#[derive(Debug, Default)]
pub(super) struct Stale {
    /// Addresses and prefixes of which somebody says something else.
    pub(super) nets: BTreeSet<IpNet>,
    /// Addresses and prefixes whose row changed.
    pub(super) addresses: BTreeSet<IpNet>,
    /// Places of endpoints.
    pub(super) places: BTreeSet<u32>,
    /// Ways.
    pub(super) hops: BTreeSet<HopTarget>,
    /// Peers that policies came to know, or forgot.
    pub(super) peers: BTreeSet<Peer>,
    /// Policies that no endpoint uses any more.
    pub(super) policies: BTreeSet<PolicyKey>,
    /// Whether prefixes of pods came or went.
    pub(super) spare: bool,
}

impl Engine {
    /// Brings the rows of changed policies into the kernel, and notes whose decisions are stale by that. One that is refused
    /// stops no other.
    pub(super) fn write_policies(&mut self, now: Instant) -> Vec<Failure> {
        let mut failures = Vec::new();
        self.refused.clear();
        for key in std::mem::take(&mut self.dirty) {
            let Some(rows) = self.rows.get(&key) else {
                continue;
            };
            let before = self.forwarding.policies.index(&key);
            let outcome = self.forwarding.policies.set(rows, now);
            let moved = self.forwarding.policies.index(&key) != before;
            self.note_policy(&key, outcome.effect, moved);
            if let Some(error) = outcome.refused {
                let failure = Failure {
                    table: error.map,
                    key: self.name_of(&key),
                    error: error.to_string(),
                };
                self.note_refused(&key, &failure);
                failures.push(failure);
                self.dirty.insert(key);
            }
        }
        failures
    }

    /// Notes whose policy it was that was refused.
    fn note_refused(&mut self, key: &PolicyKey, failure: &Failure) {
        for id in self.endpoints.keys() {
            if self.policy.policy_of(SubjectId(id.0.into()), key.direction) == Some(key) {
                let reason = format!("{}: {}", failure.key, failure.error);
                self.refused.entry(*id).or_insert(reason);
            }
        }
    }

    /// The objects that a policy is made of, for people.
    fn name_of(&self, key: &PolicyKey) -> String {
        let ids = self.policy.rule_ids();
        let origins = key.rules.iter().filter_map(|rule| ids.get(*rule));
        let objects: BTreeSet<String> = origins
            .map(|origin| match &**origin {
                Origin::Rule { object, .. } => object.to_string(),
                other => other.to_string(),
            })
            .collect();
        let objects: Vec<String> = objects.into_iter().collect();
        format!("{} by {}", key.direction, objects.join(", "))
    }

    /// What a change of a policy in the tables means for the endpoints that it is of.
    fn note_policy(&mut self, key: &PolicyKey, effect: Effect, moved: bool) {
        if effect != Effect::Verdicts && !moved {
            return;
        }
        for row in self.endpoints.values() {
            let subject = SubjectId(row.id.0.into());
            if self.policy.policy_of(subject, key.direction) != Some(key) {
                continue;
            }
            if moved {
                self.stale.places.insert(place_of(row));
            }
            if effect == Effect::Verdicts {
                for address in row.ips.iter() {
                    self.forwarding.raise(&address.into());
                }
            }
        }
    }

    /// Tells the tables what became of everything that may have changed; all else is as it was told.
    pub(super) fn compose(&mut self) {
        let node = self.node();
        self.forwarding.want_node(node);
        self.compose_fixed_hops();
        self.compose_endpoints();
        self.compose_addresses();
        self.compose_hops();
        for peer in std::mem::take(&mut self.stale.peers) {
            let known = self.policy.peer(peer).map(|_| 1);
            self.forwarding.known.want(peer.0, known);
        }
        self.compose_services();
        self.compose_spare();
    }

    fn compose_services(&mut self) {
        let entries = self.services.take_changed();
        for (key, value) in entries.frontends {
            self.forwarding.frontends.want(key, value);
        }
        for (key, value) in entries.slots {
            self.forwarding.slots.want(key, value);
        }
        for (key, value) in entries.backends {
            self.forwarding.backends.want(key, value);
        }
    }

    fn node(&self) -> Node {
        let v4 =
            |address: Option<Ipv4Addr>| address.map_or(Address::NONE, |a| IpAddr::V4(a).into());
        let v6 =
            |address: Option<Ipv6Addr>| address.map_or(Address::NONE, |a| IpAddr::V6(a).into());
        let world = |net: &str| {
            net.parse().map_or(Reserved::World, |net: IpNet| {
                model::identity::world_of(&net, self.stack())
            })
        };
        Node {
            ipv4: v4(self.addressing.node_ipv4),
            ipv6: v6(self.addressing.node_ipv6),
            router_ipv4: v4(self.addressing.router_ipv4()),
            router_ipv6: v6(self.addressing.router_ipv6()),
            uplink: self.devices.uplinks.first().map_or(0, |link| link.index),
            overlay: self.devices.overlay.as_ref().map_or(0, |link| link.index),
            host: self.devices.host.index,
            mtu: self.devices.route_mtu,
            tunnel_port: self.config.datapath.tunnel_port,
            host_mac: self
                .devices
                .host
                .mac
                .map_or(abi::Mac::default(), |mac| abi::Mac(mac.0)),
            pad: 0,
            world_ipv4: world("0.0.0.0/0").id().0,
            world_ipv6: world("::/0").id().0,
        }
    }

    fn compose_fixed_hops(&mut self) {
        let stack = Hop {
            kind: hop_kind::STACK,
            ifindex: self.devices.host.index,
            ..Hop::default()
        };
        let uplink = self.devices.uplinks.first().map_or(0, |link| link.index);
        let route = Hop {
            kind: hop_kind::ROUTE,
            ifindex: uplink,
            mtu: self.devices.device_mtu,
            ..Hop::default()
        };
        self.forwarding.hop_rows.want(HOP_STACK, Some(stack));
        self.forwarding.hop_rows.want(HOP_ROUTE, Some(route));
    }

    /// Rows of endpoints, by place. One that finds no hop free is tried again each time.
    fn compose_endpoints(&mut self) {
        let places = std::mem::take(&mut self.stale.places);
        if places.is_empty() {
            return;
        }
        let rows = self.endpoints.values();
        let owners: BTreeMap<u32, EndpointId> = rows
            .map(|row| (place_of(row), row.id))
            .filter(|(place, _)| places.contains(place))
            .collect();
        for place in places {
            let row = owners.get(&place).and_then(|id| self.endpoints.get(id));
            let target = row.map(|row| HopTarget::Local(row.ifindex));
            let held = self.hold_way(place, target);
            let endpoint = held.then(|| self.endpoint(*owners.get(&place)?)).flatten();
            self.forwarding.endpoints.want(place, endpoint);
        }
    }

    /// Makes `target` what the endpoint at a place holds; says whether it does.
    fn hold_way(&mut self, place: u32, target: Option<HopTarget>) -> bool {
        let before = self.ways.get(&place).copied();
        self.stale.hops.extend(before.into_iter().chain(target));
        if before == target {
            return true;
        }
        let hop = target.map(|target| self.forwarding.hops.hold(target));
        let now = target.filter(|_| hop != Some(None));
        match now {
            Some(target) => self.ways.insert(place, target),
            None => self.ways.remove(&place),
        };
        if let Some(before) = before {
            self.forwarding.hops.release(before);
        }
        if now != target {
            self.stale.places.insert(place);
        }
        now == target
    }

    /// The row of an endpoint. Until both its policies are in the kernel nothing may pass.
    fn endpoint(&self, id: EndpointId) -> Option<Endpoint> {
        let row = self.endpoints.get(&id)?;
        let slot = self.slots.get(&id).copied().unwrap_or_default();
        let hop = self.forwarding.hops.id(&HopTarget::Local(row.ifindex))?;
        let subject = SubjectId(id.0.into());
        let index = |direction| {
            let key = self.policy.policy_of(subject, direction)?;
            self.forwarding.policies.index(key)
        };
        let policies = index(Direction::Egress).zip(index(Direction::Ingress));
        let mtu = self.devices.route_mtu;
        Some(endpoint_row(row, slot, hop, policies, mtu))
    }

    fn compose_addresses(&mut self) {
        let routing = self.config.datapath.routing;
        for net in std::mem::take(&mut self.stale.addresses) {
            let value = self
                .addresses
                .get(&net)
                .map(|known| address_row(known, routing));
            if net.prefix_len() == net.max_prefix_len() {
                self.forwarding.addresses.want(address_key(&net), value);
            } else {
                self.forwarding.cidrs.want(prefix_key(&net), value);
            }
        }
    }

    /// Rows of hops that got their first user, lost their last, or lead to an endpoint that changed.
    fn compose_hops(&mut self) {
        for target in std::mem::take(&mut self.stale.hops) {
            let Some(id) = self.forwarding.hops.id(&target) else {
                continue;
            };
            let used = self.forwarding.hops.is_used(&target);
            let row = used.then(|| self.hop(target, (id >> 16) as u8)).flatten();
            self.forwarding.hop_rows.want(id & 0xffff, row);
        }
    }

    fn hop(&self, target: HopTarget, incarnation: u8) -> Option<Hop> {
        match target {
            HopTarget::Node(node) => Some(Hop {
                kind: hop_kind::TUNNEL,
                incarnation,
                mtu: self.devices.route_mtu,
                ifindex: self.devices.overlay.as_ref().map_or(0, |link| link.index),
                tunnel: node.into(),
                ..Hop::default()
            }),
            HopTarget::Local(ifindex) => {
                let row = self.endpoints.values().find(|row| row.ifindex == ifindex)?;
                Some(Hop {
                    kind: hop_kind::LOCAL,
                    incarnation,
                    mtu: self.devices.device_mtu,
                    ifindex,
                    destination_mac: abi::Mac(row.mac.0),
                    source_mac: abi::Mac(row.host_mac.0),
                    slot: self.slots.get(&row.id).copied().unwrap_or_default(),
                    endpoint: row.id.0,
                    ..Hop::default()
                })
            }
        }
    }

    fn compose_spare(&mut self) {
        let listed = Arc::clone(&self.spare.borrow_and_update().nets);
        if !std::mem::take(&mut self.stale.spare) && listed == self.listed {
            return;
        }
        let datapath = &self.config.datapath;
        let native = datapath
            .native_ipv4
            .map(IpNet::V4)
            .into_iter()
            .chain(datapath.native_ipv6.map(IpNet::V6));
        let pods = self
            .nodes
            .values()
            .flat_map(model::node::NodeRow::pod_cidrs);
        let wanted: BTreeSet<IpNet> = native.chain(pods).chain(listed.iter().copied()).collect();
        for net in self.spared.difference(&wanted) {
            self.forwarding.spare.want(prefix_key(net), None);
        }
        for net in &wanted {
            self.forwarding.spare.want(prefix_key(net), Some(1));
        }
        (self.spared, self.listed) = (wanted, listed);
    }
}

/// Where an endpoint's row is: the low 16 bits of its interface's index.
pub(super) fn place_of(row: &EndpointRow) -> u32 {
    row.ifindex & 0xffff
}

/// With an overlay, what a pod says to another node leaves by the node's own network, which does not know the pods: it has
/// the node's address, or the network, the other node's reverse path filter or its answer would lose it.
pub(super) fn address_row(of: &Known, routing: Routing) -> AddressRow {
    let remote_node = match routing {
        Routing::Tunnel => flags::REMOTE_NODE,
        Routing::Native { .. } => flags::REMOTE_NODE | flags::NO_MASQUERADE,
    };
    let (ifindex, flags) = match of.row.location {
        Location::LocalEndpoint { ifindex, .. } => (ifindex, flags::LOCAL_ENDPOINT),
        Location::LocalNode => (0, flags::LOCAL_NODE | flags::NO_MASQUERADE),
        Location::RemoteNode => (0, remote_node),
        Location::RemoteEndpoint { .. } => (0, flags::NO_MASQUERADE),
        Location::World => (0, 0),
    };
    AddressRow {
        identity: of.row.identity.0,
        peer: of.peer,
        hop: of.hop,
        ifindex,
        flags,
        pad: 0,
    }
}

pub(super) fn endpoint_row(
    row: &EndpointRow,
    slot: u16,
    hop: u32,
    policies: Option<(u16, u16)>,
    mtu: u16,
) -> Endpoint {
    let v4 = row.ips.v4.map_or(Address::NONE, |a| IpAddr::V4(a).into());
    let v6 = row.ips.v6.map_or(Address::NONE, |a| IpAddr::V6(a).into());
    let ready = policies.is_some() && row.identity.is_some();
    let (egress_policy, ingress_policy) = policies.unwrap_or_default();
    Endpoint {
        ifindex: row.ifindex,
        identity: row.identity.map_or(Reserved::Init.id().0, |id| id.0),
        id: row.id.0,
        slot,
        egress_policy,
        ingress_policy,
        mac: abi::Mac(row.mac.0),
        gateway_mac: abi::Mac(row.host_mac.0),
        ipv4: v4,
        ipv6: v6,
        hop,
        flags: flags_of(row, ready),
        mtu,
    }
}

fn flags_of(row: &EndpointRow, is_ready: bool) -> u16 {
    let skip = row.skip_masquerade;
    [
        (!is_ready, endpoint_flags::NOT_READY),
        (skip.ipv4, endpoint_flags::SKIP_MASQUERADE_IPV4),
        (skip.ipv6, endpoint_flags::SKIP_MASQUERADE_IPV6),
    ]
    .into_iter()
    .filter_map(|(set, flag)| set.then_some(flag))
    .sum()
}

/// A prefix as the key of a trie: IPv4 lies at the end of the sixteen bytes.
pub(super) fn address_key(net: &IpNet) -> AddressKey {
    AddressKey {
        address: net.addr().into(),
        ..AddressKey::default()
    }
}

pub(super) fn prefix_key(net: &IpNet) -> PrefixKey {
    let bits = u32::from(net.prefix_len()) + if net.addr().is_ipv4() { 96 } else { 0 };
    PrefixKey {
        prefix_len: bits,
        address: net.network().into(),
    }
}

/// The prefix of a trie's key; `None` for a key that no prefix has.
pub(super) fn net_of(key: &PrefixKey) -> Option<IpNet> {
    let address = IpAddr::from(key.address);
    let bits = u8::try_from(key.prefix_len).ok()?;
    let bits = if address.is_ipv4() {
        bits.checked_sub(96)?
    } else {
        bits
    };
    IpNet::new(address, bits).ok()
}

/// What the configuration says of policies.
pub(super) fn settings(config: &Config) -> policy::Settings {
    policy::Settings {
        enforcement: match config.policy.enforcement {
            Enforcement::Default => policy::Enforcement::Default,
            Enforcement::Always => policy::Enforcement::Always,
            Enforcement::Never => policy::Enforcement::Never,
        },
        allow_localhost: if config.policy.allow_localhost {
            policy::AllowLocalhost::Always
        } else {
            policy::AllowLocalhost::Policy
        },
        audit: if config.policy.audit {
            policy::Audit::On
        } else {
            policy::Audit::Off
        },
        cluster: config.cluster.as_str().into(),
        ..policy::Settings::default()
    }
}
