//! Who an address is: exact rows first, then prefixes, then the world.

use crate::{
    Environment, Maps,
    abi::{
        Address, Drop, PrefixKey,
        endpoint::{self, Endpoint, HOP_ROUTE, HOP_STACK},
        generation,
        ipcache::{AddressKey, AddressRow, Scope, flags, identity, scope_of},
    },
    apart::{Apart, call},
    context::{Cx, Seams, Side, Step},
    environment::Feature,
};

/// Whether a table knows the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// A row says so.
    Row,
    /// Nothing is known: it is the world by default.
    Default,
}

/// Resolves one address.
#[inline(never)]
pub fn resolve<S: Seams>(cx: &Cx<'_, S>, address: &Address, side: &mut Side) -> Known {
    let row = match cx.maps.address(&AddressKey {
        address: *address,
        net: 0,
        pad: 0,
    }) {
        Some(row) => Some(row),
        None => cx.maps.cidr(&PrefixKey {
            prefix_len: 128,
            address: *address,
        }),
    };
    if let Some(row) = row {
        from_row(cx, row, side);
        Known::Row
    } else {
        world(cx, address, side);
        Known::Default
    }
}

#[inline(always)]
fn from_row<S: Seams>(cx: &Cx<'_, S>, row: &AddressRow, side: &mut Side) {
    side.identity = row.identity;
    side.peer = row.peer;
    side.flags = row.flags;
    side.hop = row.hop;
    if row.hop == 0 {
        side.hop = if row.flags & flags::LOCAL_NODE != 0 {
            HOP_STACK
        } else {
            HOP_ROUTE
        };
    }
    side.set_endpoint(None);
    if row.flags & flags::LOCAL_ENDPOINT != 0 {
        side.set_endpoint(endpoint(cx, row.ifindex));
    } else if row.flags & flags::LOCAL_NODE != 0 {
        side.set_endpoint(host(cx));
    }
}

/// Makes a side the world.
#[inline(always)]
pub fn world<S: Seams>(cx: &Cx<'_, S>, address: &Address, side: &mut Side) {
    let number = if address.is_v4() {
        cx.node.world_ipv4
    } else {
        cx.node.world_ipv6
    };
    side.identity = number;
    side.peer = number;
    side.flags = 0;
    side.hop = HOP_ROUTE;
    side.set_endpoint(None);
}

/// The endpoint behind an interface of this node.
#[inline(always)]
pub fn endpoint<'a, S: Seams>(cx: &Cx<'a, S>, ifindex: u32) -> Option<&'a Endpoint> {
    cx.maps
        .endpoint(ifindex)
        .filter(|endpoint| endpoint.ifindex == ifindex && ifindex != 0)
}

/// The node itself as an endpoint, where policy is enforced on it.
#[inline(always)]
pub fn host<'a, S: Seams>(cx: &Cx<'a, S>) -> Option<&'a Endpoint> {
    if !cx.env.on(Feature::HostPolicy) {
        return None;
    }
    endpoint(cx, cx.node.host).filter(|row| row.flags & endpoint::flags::HOST != 0)
}

/// The sum of generations that a decision between two addresses rests on; read before any table.
#[inline(always)]
pub fn generations<S: Seams>(cx: &Cx<'_, S>, one: &Address, other: &Address) -> u32 {
    cx.maps
        .generation(generation::slot_of(one))
        .wrapping_add(cx.maps.generation(generation::slot_of(other)))
        .wrapping_add(cx.maps.generation(generation::NODE_SLOT))
}

/// Stage of a new connection: who it goes to, after the service was translated. Generations are read first.
#[inline(always)]
pub fn destination<S: Seams>(cx: &mut Cx<'_, S>) -> Result<(), Drop> {
    call(cx, Apart::Destination).map(|_| ())
}

#[inline(always)]
pub(crate) fn resolve_destination<S: Seams>(cx: &mut Cx<'_, S>) -> Step {
    cx.env.stage("identity");
    let to = effective_destination(cx);
    cx.generation = generations(cx, &cx.tuple.source, &to);
    let mut side = Side::default();
    resolve(cx, &to, &mut side);
    cx.destination = side;
    Step::Next
}

/// Stage of a new connection that a pod of this node begins: its own row is its endpoint.
#[inline(always)]
pub fn local_source<S: Seams>(cx: &mut Cx<'_, S>) -> Result<(), Drop> {
    call(cx, Apart::LocalSource).map(|_| ())
}

#[inline(always)]
pub(crate) fn resolve_local_source<S: Seams>(cx: &mut Cx<'_, S>) -> Step {
    if let Some(endpoint) = cx.sender() {
        cx.source.hop = endpoint.hop;
        cx.source.identity = endpoint.identity;
        let mut side = Side::default();
        // The row may hold a peer number of this node's own; the endpoint's identity stands where there is none yet.
        cx.source.peer = match resolve(cx, &cx.tuple.source, &mut side) {
            Known::Row if side.identity == endpoint.identity => side.peer,
            _ => endpoint.identity,
        };
        cx.source.flags = flags::LOCAL_ENDPOINT;
    }
    Step::Next
}

/// Stage of a new connection that comes from elsewhere: its source by its address. `trust` says which identities the
/// way of the packet can vouch for.
#[inline(always)]
pub fn remote_source<S: Seams>(cx: &mut Cx<'_, S>, trust: Trust) -> Result<(), Drop> {
    cx.trust = trust;
    call(cx, Apart::RemoteSource).map(|_| ())
}

#[inline(always)]
pub(crate) fn resolve_remote_source<S: Seams>(cx: &mut Cx<'_, S>) -> Step {
    let mut side = Side::default();
    resolve(cx, &cx.tuple.source, &mut side);
    let ours = flags::LOCAL_ENDPOINT | flags::LOCAL_NODE;
    let local = side.flags & ours != 0 || side.identity == identity::HOST;
    match cx.trust {
        // The stack made it: it is the node, under whatever address.
        Trust::OwnStack => {
            if !side.is_local() {
                side.identity = identity::HOST;
                side.peer = identity::HOST;
            }
        }
        Trust::Routed if local => world(cx, &cx.tuple.source, &mut side),
        Trust::Outside if local || scope_of(side.peer) == Scope::Cluster => {
            world(cx, &cx.tuple.source, &mut side);
        }
        // Whoever is not ours to judge was judged by the node that it is on.
        Trust::Checked | Trust::Routed | Trust::Outside => {}
    }
    cx.source = side;
    Step::Next
}

/// What the way of a packet says about its source address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// The node's own stack made it.
    OwnStack,
    /// It came in by a device of ours that checks sources, and through the stack.
    Checked,
    /// It came over the underlay of a cluster that routes pod addresses natively.
    Routed,
    /// It came over an underlay where pods never speak without the overlay: a pod's address there is a lie.
    #[default]
    Outside,
}

/// Where a new connection goes, after the service was translated.
#[inline(always)]
pub fn effective_destination<S: Seams>(cx: &Cx<'_, S>) -> Address {
    if cx.rewrite.flags & crate::abi::connection::flags::DESTINATION_NAT != 0 {
        cx.rewrite.to
    } else {
        cx.tuple.destination
    }
}

/// Port of the same, network order.
#[inline(always)]
pub fn effective_port<S: Seams>(cx: &Cx<'_, S>) -> u16 {
    if cx.rewrite.flags & crate::abi::connection::flags::DESTINATION_NAT != 0 {
        cx.rewrite.to_port
    } else {
        cx.tuple.destination_port
    }
}
