//! The uplink's own rules: most of what passes there is none of ours.

use crate::{
    Environment, Maps, Packet, Verdict,
    abi::{
        Address, Drop,
        event::hook,
        ipcache::{flags, identity as number},
        node::mark,
    },
    apart::{Apart, call},
    context::{Cx, Fragment, Seams, Side, Step},
    environment::Feature,
    family::Icmp,
    stages::{
        connection, identity,
        identity::Trust,
        parse::{self as frame, Payload},
        source,
    },
    wire::{
        ip,
        tcp::flags::{ACK, SYN},
    },
};

/// Lets pass what another hook of this node finished.
#[inline(always)]
pub fn done_before<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    match cx.packet.mark() & mark::MASK {
        mark::SNAT_DONE | mark::IDENTITY => cx.done(Verdict::Pass),
        _ => Ok(Step::Next),
    }
}

/// Reads the packet. What we cannot read is dropped only when it is for a pod of this node.
#[inline(always)]
pub fn parse<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    match frame::parse(cx) {
        Ok(Payload::Ip) => Ok(Step::Next),
        Ok(Payload::Arp | Payload::Other) => cx.done(Verdict::Pass),
        Err(Drop::MappedAddress) => Err(Drop::MappedAddress),
        Err(reason) => {
            if call(cx, Apart::Unreadable)? == Step::Done {
                return cx.done(Verdict::Pass);
            }
            Err(reason)
        }
    }
}

/// Whether what cannot be read is none of ours.
#[inline(always)]
pub(crate) fn unreadable<S: Seams>(cx: &mut Cx<'_, S>) -> Step {
    let mut side = Side::default();
    identity::resolve(cx, &cx.tuple.destination, &mut side);
    if cx.hook != hook::FROM_NETDEV || !side.is_local() {
        return Step::Done;
    }
    cx.destination = side;
    Step::Next
}

/// Lets pass what is not tracked: outer packets of the overlay, multicast, link-local, discovery.
#[inline(always)]
pub fn untracked<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    let node = node_address(cx);
    let end = if cx.hook == hook::FROM_NETDEV {
        cx.tuple.destination
    } else {
        cx.tuple.source
    };
    let outer = cx.tuple.protocol == ip::UDP
        && end == node
        && cx.tuple.destination_port == cx.node.tunnel_port.to_be()
        && cx.node.tunnel_port != 0;
    if outer
        || source::is_special(&cx.tuple.destination)
        || source::is_special(&cx.tuple.source)
        || frame::icmp_kind(cx) == Some(Icmp::Discovery)
    {
        return cx.done(Verdict::Pass);
    }
    Ok(Step::Next)
}

/// The node's address in the family of the packet.
#[inline(always)]
pub fn node_address<S: Seams>(cx: &Cx<'_, S>) -> Address {
    if cx.is_v4() {
        cx.node.ipv4
    } else {
        cx.node.ipv6
    }
}

/// Which sources the underlay can vouch for.
#[inline(always)]
pub fn trust<S: Seams>(cx: &Cx<'_, S>) -> Trust {
    if cx.env.on(Feature::Tunnel) {
        Trust::Outside
    } else {
        Trust::Routed
    }
}

/// Whether a packet begins a connection that is worth an entry when nobody judges it.
#[inline(always)]
fn begins<S: Seams>(cx: &Cx<'_, S>) -> bool {
    match cx.tuple.protocol {
        ip::TCP => cx.fragment == Fragment::Whole && cx.tcp_flags & (SYN | ACK) == SYN,
        ip::UDP => matches!(cx.fragment, Fragment::Whole | Fragment::First),
        ip::ICMP | ip::ICMPV6 => frame::icmp_kind(cx) == Some(Icmp::Request),
        _ => false,
    }
}

/// At the uplink's ingress: what is for the node itself is recorded and goes to the stack; what is for nobody here goes to the stack as it is.
#[inline(always)]
pub fn not_ours<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    if cx.destination.is_local()
        || cx.rewrite.flags & crate::abi::connection::flags::DESTINATION_NAT != 0
    {
        return Ok(Step::Next);
    }
    if cx.destination.flags & flags::LOCAL_ENDPOINT != 0 {
        return Err(Drop::NoMatchingLocalContainerFound);
    }
    if cx.destination.flags & flags::LOCAL_NODE != 0 && begins(cx) {
        // A full table must not cut the node off: nobody judges this, so it passes without an entry.
        let _ = connection::open(cx);
    }
    cx.done(Verdict::Pass)
}

/// At the uplink's egress: only connections that the node's own stack begins from its address go on to get an entry.
#[inline(always)]
pub fn own<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    if cx.packet.ingress_ifindex() != 0
        || cx.tuple.source != node_address(cx)
        || !(begins(cx) || identity::host(cx).is_some())
    {
        return cx.done(Verdict::Pass);
    }
    let mut side = Side {
        identity: number::HOST,
        peer: number::HOST,
        hop: crate::abi::endpoint::HOP_STACK,
        flags: flags::LOCAL_NODE,
        ..Side::default()
    };
    side.set_endpoint(identity::host(cx));
    cx.source = side;
    Ok(Step::Next)
}

/// Records a connection of the node's own; a full table must not cut the node off.
#[inline(always)]
pub fn record<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    match connection::open(cx) {
        Err(Drop::CtMapInsertionFailed) if !connection::is_translated(cx) => cx.done(Verdict::Pass),
        result => result,
    }
}

/// Whether an address is one of this node's own, by its row.
#[inline(always)]
pub fn is_local_node<S: Seams>(cx: &Cx<'_, S>, address: &Address) -> bool {
    *address == node_address(cx)
        || cx
            .maps
            .address(&crate::abi::ipcache::AddressKey {
                address: *address,
                ..Default::default()
            })
            .is_some_and(|row| row.flags & flags::LOCAL_NODE != 0)
}
