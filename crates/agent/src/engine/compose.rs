//! From models to the tables of the kernel.

use std::collections::{BTreeSet, HashMap};
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
use model::ipcache::{Location, Row};
use model::policy::{Direction, Origin, PolicyKey, SubjectId};

use super::Engine;
use crate::config::Routing;
use crate::forwarding::{Desired, Effect, Failure, HopTarget};

impl Engine {
    /// Brings the rows of changed policies into the kernel, and notes whose decisions are stale by that. One that is refused
    /// stops no other.
    pub(super) fn write_policies(&mut self, now: Instant) -> Vec<Failure> {
        let mut failures = Vec::new();
        for key in std::mem::take(&mut self.dirty) {
            let Some(rows) = self.rows.get(&key) else {
                continue;
            };
            let outcome = self.forwarding.policies.set(rows, now);
            if outcome.effect == Effect::Verdicts {
                self.judge_again(&key);
            }
            if let Some(error) = outcome.refused {
                failures.push(Failure {
                    table: error.map,
                    key: self.name_of(&key),
                    error: error.to_string(),
                });
                self.dirty.insert(key);
            }
        }
        failures
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

    fn judge_again(&mut self, key: &PolicyKey) {
        for row in self.endpoints.values() {
            let subject = SubjectId(row.id.0.into());
            if self.policy.policy_of(subject, key.direction) == Some(key) {
                for address in row.ips.iter() {
                    self.forwarding.raise(&address.into());
                }
            }
        }
    }

    /// All tables as they should be.
    pub(super) fn compose(&mut self) -> Desired {
        let mut desired = Desired {
            node: self.node(),
            ..Desired::default()
        };
        self.compose_fixed_hops(&mut desired);
        for id in self.endpoints.keys().copied().collect::<Vec<_>>() {
            self.compose_endpoint(id, &mut desired);
        }
        self.compose_addresses(&mut desired);
        desired.known = self.policy.peers().map(|(peer, _)| (peer.0, 1)).collect();
        self.services.compose(&mut desired);
        self.compose_spare(&mut desired);
        desired
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

    fn compose_fixed_hops(&self, desired: &mut Desired) {
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
        desired
            .hops
            .extend([(HOP_STACK, stack), (HOP_ROUTE, route)]);
    }

    /// The row of an endpoint and its hop. Until both its policies are in the kernel nothing may pass.
    fn compose_endpoint(&mut self, id: EndpointId, desired: &mut Desired) {
        let Some(row) = self.endpoints.get(&id) else {
            return;
        };
        let slot = self.slots.get(&id).copied().unwrap_or_default();
        let Some(hop) = self.forwarding.hops.id(HopTarget::Local(row.ifindex)) else {
            return;
        };
        let subject = SubjectId(id.0.into());
        let index = |direction| {
            let key = self.policy.policy_of(subject, direction)?;
            self.forwarding.policies.index(key)
        };
        let policies = index(Direction::Egress).zip(index(Direction::Ingress));
        let endpoint = endpoint_row(row, slot, hop, policies, self.devices.route_mtu);
        desired.endpoints.insert(row.ifindex & 0xffff, endpoint);
        let local = Hop {
            kind: hop_kind::LOCAL,
            incarnation: (hop >> 16) as u8,
            mtu: self.devices.device_mtu,
            ifindex: row.ifindex,
            destination_mac: abi::Mac(row.mac.0),
            source_mac: abi::Mac(row.host_mac.0),
            slot,
            endpoint: id.0,
            ..Hop::default()
        };
        desired.hops.insert(hop & 0xffff, local);
    }

    fn compose_addresses(&mut self, desired: &mut Desired) {
        let mut hops: HashMap<u32, Hop> = HashMap::new();
        for (net, (row, peer)) in &self.addresses {
            let Some((hop, tunnel)) =
                way(&mut self.forwarding.hops, self.config.datapath.routing, row)
            else {
                continue;
            };
            if let Some(node) = tunnel {
                let overlay = self.devices.overlay.as_ref().map_or(0, |link| link.index);
                let tunnel = Hop {
                    kind: hop_kind::TUNNEL,
                    incarnation: (hop >> 16) as u8,
                    mtu: self.devices.route_mtu,
                    ifindex: overlay,
                    tunnel: node.into(),
                    ..Hop::default()
                };
                hops.insert(hop & 0xffff, tunnel);
            }
            let (ifindex, bits) = match row.location {
                Location::LocalEndpoint { ifindex, .. } => (ifindex, flags::LOCAL_ENDPOINT),
                Location::LocalNode => (0, flags::LOCAL_NODE | flags::NO_MASQUERADE),
                Location::RemoteNode => (0, flags::REMOTE_NODE | flags::NO_MASQUERADE),
                Location::RemoteEndpoint { .. } => (0, flags::NO_MASQUERADE),
                Location::World => (0, 0),
            };
            let value = AddressRow {
                identity: row.identity.0,
                peer: *peer,
                hop,
                ifindex,
                flags: bits,
                pad: 0,
            };
            let host = net.prefix_len() == net.max_prefix_len();
            if host {
                desired.addresses.insert(
                    AddressKey {
                        address: net.addr().into(),
                        ..AddressKey::default()
                    },
                    value,
                );
            } else {
                desired.cidrs.insert(prefix_key(net), value);
            }
        }
        desired.hops.extend(hops);
    }

    fn compose_spare(&mut self, desired: &mut Desired) {
        let datapath = &self.config.datapath;
        let native = datapath
            .native_ipv4
            .map(IpNet::V4)
            .into_iter()
            .chain(datapath.native_ipv6.map(IpNet::V6));
        let pods: BTreeSet<IpNet> = self
            .nodes
            .values()
            .flat_map(model::node::NodeRow::pod_cidrs)
            .collect();
        let listed = Arc::clone(&self.spare.borrow_and_update().nets);
        for net in native.chain(pods).chain(listed.iter().copied()) {
            desired.spare.insert(prefix_key(&net), 1);
        }
    }
}

fn endpoint_row(
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
        flags: if ready { 0 } else { endpoint_flags::NOT_READY },
        mtu,
    }
}

/// The hop that leads to an address, and the tunnel's other end if it is one.
fn way(
    hops: &mut crate::forwarding::Hops,
    routing: Routing,
    row: &Row,
) -> Option<(u32, Option<IpAddr>)> {
    match row.location {
        Location::LocalEndpoint { ifindex, .. } => {
            Some((hops.id(HopTarget::Local(ifindex))?, None))
        }
        Location::LocalNode => Some((HOP_STACK, None)),
        Location::RemoteNode | Location::World => Some((HOP_ROUTE, None)),
        Location::RemoteEndpoint { node } => match routing {
            Routing::Tunnel => Some((hops.id(HopTarget::Node(node))?, Some(node))),
            Routing::Native { .. } => Some((HOP_ROUTE, None)),
        },
    }
}

/// A prefix as the key of a trie: IPv4 lies at the end of the sixteen bytes.
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
