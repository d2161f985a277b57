//! What a pod may say about itself, and what reaches it past the other hooks.

use crate::{
    Environment, Packet, Verdict,
    abi::{Address, Drop, endpoint, ipcache, node::mark},
    context::{Cx, Seams, Side, Step},
    environment::Feature,
    family::Icmp,
    maps::Flow,
    stages::{answer, deliver, identity, identity::Trust, parse},
    wire::{
        eth::EthHeader,
        icmp::v6,
        ip,
        udp::{DHCP_SERVER, DHCPV6_SERVER},
    },
};

/// The pod whose hook this is, as the sender. Without a row there is no policy either: nothing passes.
#[inline(always)]
pub fn sender<S: Seams>(cx: &mut Cx<'_, S>) -> Result<(), Drop> {
    cx.source = own(cx)?;
    Ok(())
}

/// The pod whose hook this is, as the receiver.
#[inline(always)]
pub fn receiver<S: Seams>(cx: &mut Cx<'_, S>) -> Result<(), Drop> {
    cx.destination = own(cx)?;
    Ok(())
}

#[inline(always)]
fn own<S: Seams>(cx: &Cx<'_, S>) -> Result<Side, Drop> {
    let row = identity::endpoint(cx, cx.packet.ifindex()).ok_or(Drop::EpNotReady)?;
    Ok(Side {
        identity: row.identity,
        peer: row.identity,
        hop: row.hop,
        flags: ipcache::flags::LOCAL_ENDPOINT,
        rule: 0,
        id: row.id,
        ifindex: row.ifindex,
    })
}

/// Drops what a pod may not send.
#[inline(always)]
pub fn verify<S: Seams>(cx: &mut Cx<'_, S>) -> Result<(), Drop> {
    cx.env.stage("source");
    hardware_address(cx)?;
    let Some(endpoint) = cx.sender() else {
        return Err(Drop::UnknownSender);
    };
    if !is_discovery(cx) && endpoint.flags & endpoint::flags::NO_SOURCE_CHECK == 0 {
        let own = if cx.is_v4() {
            endpoint.ipv4
        } else {
            endpoint.ipv6
        };
        if cx.tuple.source.is_none() || cx.tuple.source != own {
            return Err(Drop::InvalidSourceIp);
        }
    }
    if cx.tuple.protocol == ip::UDP
        && matches!(
            u16::from_be(cx.tuple.source_port),
            DHCP_SERVER | DHCPV6_SERVER
        )
    {
        return Err(Drop::RogueDhcp);
    }
    Ok(())
}

/// Drops a frame whose hardware source is not that of the endpoint.
#[inline(always)]
pub fn hardware_address<S: Seams>(cx: &Cx<'_, S>) -> Result<(), Drop> {
    let header: EthHeader = cx.packet.load(0).ok_or(Drop::UnsupportedL2Protocol)?;
    match cx.sender() {
        Some(endpoint) if endpoint.mac == header.source => Ok(()),
        _ => Err(Drop::InvalidSourceMac),
    }
}

/// Whether the packet is router or neighbour discovery, whose source may be link-local or unspecified.
#[inline(always)]
fn is_discovery<S: Seams>(cx: &Cx<'_, S>) -> bool {
    cx.tuple.protocol == ip::ICMPV6
        && !cx.is_v4()
        && matches!(cx.tcp_flags, v6::ROUTER_SOLICITATION..=v6::REDIRECT)
}

/// Drops what a pod sends to many, or to a neighbour it cannot have.
#[inline(always)]
pub fn unicast<S: Seams>(cx: &Cx<'_, S>) -> Result<(), Drop> {
    if is_many(&cx.tuple.destination) {
        return Err(Drop::MulticastHandled);
    }
    if !cx.is_v4() && answer::is_link_local(&cx.tuple.destination) {
        return Err(Drop::StaleOrUnroutableIp);
    }
    Ok(())
}

/// Whether an address is multicast or the limited broadcast.
#[inline(always)]
pub fn is_many(address: &Address) -> bool {
    let [first, _, _, last] = address.0;
    if address.is_v4() {
        let [a, ..] = last.to_ne_bytes();
        return a >= 224;
    }
    let [a, ..] = first.to_ne_bytes();
    a == 0xff
}

/// Whether an address is never tracked: of many, link-local (IPv6), or none.
#[inline(always)]
pub fn is_special(address: &Address) -> bool {
    is_many(address)
        || address.is_none()
        || (!address.is_v4() && answer::is_link_local(address))
        || *address == Address::v4([0; 4])
}

/// Drops a pod's packet to the overlay's port of a node: only nodes speak the overlay.
#[inline(always)]
pub fn no_overlay<S: Seams>(cx: &Cx<'_, S>) -> Result<(), Drop> {
    let node = ipcache::flags::LOCAL_NODE | ipcache::flags::REMOTE_NODE;
    if cx.tuple.protocol == ip::UDP
        && cx.node.tunnel_port != 0
        && identity::effective_port(cx) == cx.node.tunnel_port.to_be()
        && cx.destination.flags & node != 0
    {
        return Err(Drop::EncapsulationTrafficIsProhibited);
    }
    Ok(())
}

/// Lets pass what another hook of this node judged for this pod: crossing the pair scrubs marks, so it is our own word.
#[inline(always)]
pub fn judged_before<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    if cx.packet.mark() & mark::MASK != mark::IDENTITY {
        return Ok(Step::Next);
    }
    if let Some(endpoint) = cx.receiver() {
        deliver::count(cx, endpoint.slot, Flow::Ingress);
    }
    cx.done(Verdict::Pass)
}

/// Lets the node's own ARP pass.
#[inline(always)]
pub fn node_speaks<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    cx.done(Verdict::Pass)
}

/// Lets the node's neighbour discovery pass to its pod, and nothing that only routers say.
#[inline(always)]
pub fn node_discovers<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    if parse::icmp_kind(cx) != Some(Icmp::Discovery) {
        return Ok(Step::Next);
    }
    match cx.tcp_flags {
        v6::NEIGHBOUR_SOLICITATION | v6::NEIGHBOUR_ADVERTISEMENT => cx.done(Verdict::Pass),
        _ => Err(Drop::ForbiddenIcmpv6Message),
    }
}

/// Lets pass what the node says on the link itself.
#[inline(always)]
pub fn node_multicasts<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    if is_special(&cx.tuple.destination) || parse::icmp_kind(cx) == Some(Icmp::Discovery) {
        return cx.done(Verdict::Pass);
    }
    Ok(Step::Next)
}

/// Which sources can be believed of what came through the stack: the node made it, or a device brought it.
#[inline(always)]
pub fn behind_the_stack<S: Seams>(cx: &Cx<'_, S>) -> Trust {
    match cx.packet.ingress_ifindex() {
        0 => Trust::OwnStack,
        ifindex if ifindex == cx.node.uplink && cx.env.on(Feature::Tunnel) => Trust::Outside,
        ifindex if ifindex == cx.node.uplink => Trust::Routed,
        _ => Trust::Checked,
    }
}

/// The receiver is the pod whose device this is, whatever the address tables say; its address must be one of its own.
#[inline(always)]
pub fn is_for_receiver<S: Seams>(cx: &mut Cx<'_, S>) -> Result<(), Drop> {
    let own = own(cx)?;
    if let Some(endpoint) = identity::endpoint(cx, own.ifindex) {
        let address = if cx.is_v4() {
            endpoint.ipv4
        } else {
            endpoint.ipv6
        };
        if address != cx.tuple.destination && endpoint.flags & endpoint::flags::NO_SOURCE_CHECK == 0
        {
            return Err(Drop::NoMatchingLocalContainerFound);
        }
    }
    let rule = cx.destination.rule;
    let peer = if cx.destination.identity == own.identity {
        cx.destination.peer
    } else {
        own.identity
    };
    cx.destination = Side { peer, rule, ..own };
    Ok(())
}
