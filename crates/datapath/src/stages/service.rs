//! Services, where sockets did not translate them: a backend is chosen once per connection.

use crate::{
    Environment, Maps,
    abi::{
        Address, Drop,
        connection::{Entry, Way, flags as connection_flags},
        event::hook,
        ipcache::flags::LOCAL_NODE,
        service::{
            Affinity, AffinityKey, Backend, Frontend, FrontendKey, SlotKey, backend_state, flags,
        },
    },
    apart::{Apart, call},
    context::{Cx, Fragment, Seams, Step, Wanted},
    environment::{Constant, Feature},
    stages::{nat, reject, uplink},
    wire::ip,
};

/// For whom a frontend is looked up.
pub(crate) mod scope {
    /// Everybody.
    pub(crate) const ALL: u8 = 0;
    /// Clients inside the cluster.
    pub(crate) const INSIDE: u8 = 1;
}

/// Source of a connection from a pod to itself through a service, IPv4.
pub const LOOPBACK_V4: Address = Address::v4([169, 254, 42, 1]);
/// The same for IPv6: a unique local address that ends in the octets of the IPv4 one.
pub const LOOPBACK_V6: Address = Address::v6([
    0xfd, 0x61, 0x78, 0x6f, 0, 0, 0, 0, 0, 0, 0, 0, 0xa9, 0xfe, 0x2a, 0x01,
]);

/// Stage of a new connection of a pod: a service's address becomes a backend's.
#[inline(always)]
pub fn translate<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    if !applies(cx) {
        return Ok(Step::Next);
    }
    call(cx, Apart::Service)
}

/// Stage of a new connection from outside: NodePorts and addresses that lead here.
#[inline(always)]
pub fn translate_outside<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    if !applies(cx) {
        return Ok(Step::Next);
    }
    call(cx, Apart::Service)
}

#[inline(always)]
fn applies<S: Seams>(cx: &Cx<'_, S>) -> bool {
    cx.env.on(Feature::Services)
        && matches!(cx.tuple.protocol, ip::TCP | ip::UDP)
        && cx.fragment != Fragment::Orphan
}

/// The backend of a new connection; [`Step::Done`] when it is refused.
#[inline(always)]
pub(crate) fn select<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    cx.env.stage("service");
    let scope = if cx.hook == hook::FROM_NETDEV {
        scope::ALL
    } else {
        scope::INSIDE
    };
    let Some(frontend) = frontend(cx, scope) else {
        return Ok(Step::Next);
    };
    if frontend.slots == 0 {
        if !cx.env.on(Feature::RejectNoBackend) {
            return Err(Drop::ServiceBackendNotFound);
        }
        return reject::refuse(cx);
    }
    let id = choose(cx, frontend)?;
    let Some(backend) = cx.maps.backend(id) else {
        return Err(Drop::ServiceBackendNotFound);
    };
    cx.rewrite.flags |= connection_flags::DESTINATION_NAT;
    cx.rewrite.to = backend.address;
    cx.rewrite.to_port = backend.port;
    cx.rewrite.service = frontend.service;
    cx.rewrite.backend = id;
    hairpin(cx, backend);
    Ok(Step::Next)
}

/// The frontend of the packet: that of its address, or that of every address of the node in the range of NodePorts.
#[inline(always)]
fn frontend<'a, S: Seams>(cx: &Cx<'a, S>, scope: u8) -> Option<&'a Frontend> {
    let mut key = FrontendKey {
        address: cx.tuple.destination,
        port: cx.tuple.destination_port,
        protocol: cx.tuple.protocol,
        scope,
    };
    if let Some(found) = scoped(cx, &mut key, scope) {
        return Some(found);
    }
    let port = u32::from(u16::from_be(key.port));
    if port < cx.env.constant(Constant::NodeportMin)
        || port > cx.env.constant(Constant::NodeportMax)
        || !uplink::is_local_node(cx, &cx.tuple.destination)
    {
        return None;
    }
    key.address = if cx.is_v4() {
        Address::v4([0; 4])
    } else {
        Address::NONE
    };
    scoped(cx, &mut key, scope)
}

#[inline(always)]
fn scoped<'a, S: Seams>(cx: &Cx<'a, S>, key: &mut FrontendKey, scope: u8) -> Option<&'a Frontend> {
    key.scope = scope;
    if let Some(found) = cx.maps.frontend(key) {
        return Some(found);
    }
    if scope == scope::ALL {
        return None;
    }
    key.scope = scope::ALL;
    cx.maps.frontend(key)
}

/// The backend for a new connection: the client's last one where it has affinity, else by Maglev's table or by chance.
#[inline(always)]
fn choose<S: Seams>(cx: &Cx<'_, S>, frontend: &Frontend) -> Result<u32, Drop> {
    let sticky = frontend.flags & flags::AFFINITY != 0;
    let now = cx.env.jiffies();
    let key = AffinityKey {
        client: cx.tuple.source,
        service: frontend.service,
        cookie: 0,
    };
    let mut chosen = None;
    if sticky && let Some(last) = cx.maps.affinity(&key) {
        let age = now.wrapping_sub(last.last_used);
        let limit = u64::from(frontend.affinity_seconds) * u64::from(cx.env.constant(Constant::Hz));
        if age <= limit && takes_new(cx, last.backend) {
            chosen = Some(last.backend);
        }
    }
    let backend = match chosen {
        Some(backend) => backend,
        None => by_slot(cx, frontend).ok_or(Drop::ServiceBackendNotFound)?,
    };
    if sticky {
        cx.maps.record_affinity(
            &key,
            &Affinity {
                last_used: now,
                backend,
                pad: 0,
            },
        );
    }
    Ok(backend)
}

#[inline(always)]
fn takes_new<S: Seams>(cx: &Cx<'_, S>, id: u32) -> bool {
    cx.maps
        .backend(id)
        .is_some_and(|backend| backend.state == backend_state::ACTIVE)
}

/// The state of the backend that a translated connection has; `None` if it is none of the service's any more.
#[inline(always)]
pub fn state_of_backend<S: Seams>(cx: &Cx<'_, S>, entry: Entry<'_>) -> Option<u8> {
    cx.maps
        .backend(entry.backend())
        .filter(|backend| backend.address == entry.to() && backend.port == entry.to_port())
        .map(|backend| backend.state)
}

/// Whether a datagram needs another backend than its connection has: nothing else would tell its sender. Asked where the decision is
/// stale, because the removal of a backend makes it so.
#[inline(always)]
pub fn lost_backend<S: Seams>(cx: &Cx<'_, S>, entry: Entry<'_>) -> bool {
    cx.tuple.protocol == ip::UDP
        && cx.way() == Way::Forward
        && entry.flags() & connection_flags::DESTINATION_NAT != 0
        && state_of_backend(cx, entry).is_none()
}

#[inline(always)]
fn by_slot<S: Seams>(cx: &Cx<'_, S>, frontend: &Frontend) -> Option<u32> {
    let number = if frontend.flags & flags::MAGLEV != 0 {
        hash(cx)
    } else {
        cx.env.random()
    };
    cx.maps.service_slot(&SlotKey {
        service: frontend.service,
        slot: number % frontend.slots.max(1),
    })
}

/// A hash of the tuple, the same on every node.
#[inline(always)]
fn hash<S: Seams>(cx: &Cx<'_, S>) -> u32 {
    let ports = (u32::from(cx.tuple.source_port) << 16) | u32::from(cx.tuple.destination_port);
    let hash = ports ^ (u32::from(cx.tuple.protocol) << 8);
    mix_address(mix_address(hash, &cx.tuple.source), &cx.tuple.destination)
}

/// Written out: the verifier has no loop to walk.
#[inline(always)]
const fn mix_address(hash: u32, address: &Address) -> u32 {
    let [a, b, c, d] = address.0;
    mix(mix(mix(mix(hash, a), b), c), d)
}

#[inline(always)]
const fn mix(hash: u32, word: u32) -> u32 {
    let mixed = (hash ^ word).wrapping_mul(0x9e37_79b1);
    mixed ^ (mixed >> 15)
}

/// A pod that reaches itself through a service gets a loop-back source, so that its answer comes by us.
#[inline(always)]
fn hairpin<S: Seams>(cx: &mut Cx<'_, S>, backend: &Backend) {
    if backend.address != cx.tuple.source {
        return;
    }
    cx.rewrite.flags |= connection_flags::SOURCE_NAT | connection_flags::HAIRPIN;
    cx.rewrite.from = if cx.is_v4() { LOOPBACK_V4 } else { LOOPBACK_V6 };
    cx.rewrite.from_port = cx.tuple.source_port;
}

/// Stage of a new connection from outside: a backend on another node must answer through this one, so it sees the node's
/// address; one that is here, a pod or the node itself, keeps the client's.
#[inline(always)]
pub fn keep_the_way_back<S: Seams>(cx: &mut Cx<'_, S>) -> Result<(), Drop> {
    let translated = cx.rewrite.flags & connection_flags::DESTINATION_NAT != 0;
    let here = cx.destination.is_local() || cx.destination.flags & LOCAL_NODE != 0;
    if !translated || here {
        return nat::keep(cx);
    }
    cx.rewrite.flags |= connection_flags::SOURCE_NAT;
    cx.rewrite.from = uplink::node_address(cx);
    if cx.rewrite.from.is_none() {
        return Err(Drop::NoMappingForNatMasquerade);
    }
    cx.wanted = Wanted::Port;
    nat::settle(cx)
}
