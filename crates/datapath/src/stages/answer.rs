//! Answers that a pod gets from its hook: ARP and neighbour discovery. The pod's only neighbour is its node.

use crate::{
    Environment, Packet, Verdict,
    abi::{Address, Drop, Mac, ipcache::identity, node::mark},
    apart::{Apart, call},
    context::{Cx, Seams, Step},
    family::Icmp,
    stages::{parse, source},
    wire::{
        arp::{self, ArpPacket},
        csum::Sum,
        eth,
        icmp::v6,
        ip::{self, V6Header},
        nd::{self, NeighbourMessage},
    },
};

/// Answers a pod's ARP request for any address but its own with the host side's hardware address; lets the pod's own
/// replies pass to the node.
#[inline(always)]
pub fn arp<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    call(cx, Apart::Arp)
}

#[inline(always)]
pub(crate) fn answer_arp<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    cx.env.stage("arp");
    source::hardware_address(cx)?;
    let mut message: ArpPacket = cx
        .packet
        .load(eth::LENGTH)
        .ok_or(Drop::InvalidPacketDropped)?;
    let Some(endpoint) = cx.sender() else {
        return Err(Drop::UnknownSender);
    };
    let sender = Address::v4(message.sender);
    let probe = message.sender == [0; 4];
    if message.sender_mac != endpoint.mac || !(probe || sender == endpoint.ipv4) {
        return Err(Drop::InvalidSourceIp);
    }
    if u16::from_be(message.operation) == arp::REPLY {
        return cx.done(Verdict::Pass);
    }
    if u16::from_be(message.operation) != arp::REQUEST {
        return Err(Drop::InvalidPacketDropped);
    }
    if Address::v4(message.target) == endpoint.ipv4 {
        return Err(Drop::MulticastHandled);
    }
    message.operation = arp::REPLY.to_be();
    message.target_mac = endpoint.mac;
    message.sender_mac = endpoint.gateway_mac;
    core::mem::swap(&mut message.sender, &mut message.target);
    cx.packet.store(eth::LENGTH, &message)?;
    back(cx, endpoint.mac, endpoint.gateway_mac)
}

/// Answers a pod's neighbour solicitation, and drops what only routers may send.
#[inline(always)]
pub fn neighbour<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    if parse::icmp_kind(cx) != Some(Icmp::Discovery) {
        return Ok(Step::Next);
    }
    call(cx, Apart::Neighbour)
}

#[inline(always)]
pub(crate) fn discovery<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    cx.env.stage("neighbour");
    let Some(endpoint) = cx.sender() else {
        return Err(Drop::UnknownSender);
    };
    match cx.tcp_flags {
        v6::ROUTER_ADVERTISEMENT | v6::REDIRECT => return Err(Drop::ForbiddenIcmpv6Message),
        v6::ROUTER_SOLICITATION => return Err(Drop::MulticastHandled),
        _ => {}
    }
    let target: Address = cx
        .packet
        .load(cx.l4 + nd::TARGET)
        .ok_or(Drop::InvalidPacketDropped)?;
    if cx.ttl != nd::HOP_LIMIT || cx.l4 != eth::LENGTH + ip::V6_LENGTH {
        return Err(Drop::InvalidPacketDropped);
    }
    let from = cx.tuple.source;
    if !(from.is_none() || from == endpoint.ipv6 || is_link_local(&from)) {
        return Err(Drop::InvalidSourceIp);
    }
    if cx.tcp_flags == v6::NEIGHBOUR_ADVERTISEMENT {
        if target != endpoint.ipv6 && !is_link_local(&target) {
            return Err(Drop::InvalidSourceIp);
        }
        return cx.done(Verdict::Pass);
    }
    if from.is_none() || target == endpoint.ipv6 {
        return Err(Drop::MulticastHandled);
    }
    advertise(cx, target, endpoint.mac, endpoint.gateway_mac)
}

/// Turns the solicitation into the advertisement of `target` at `gateway`.
#[inline(always)]
fn advertise<S: Seams>(
    cx: &mut Cx<'_, S>,
    target: Address,
    pod: Mac,
    gateway: Mac,
) -> Result<Step, Drop> {
    let length = size_of::<NeighbourMessage>() as u16;
    let to = cx.tuple.source;
    let header = V6Header {
        version_class_flow: [0x60, 0, 0, 0],
        payload_length: length.to_be(),
        next: ip::ICMPV6,
        hop_limit: nd::HOP_LIMIT,
        source: target.0,
        destination: to.0,
    };
    let l4 = eth::LENGTH + ip::V6_LENGTH;
    cx.packet.resize(l4 + u32::from(length))?;
    cx.packet.store(eth::LENGTH, &header)?;
    let mut message = NeighbourMessage {
        kind: v6::NEIGHBOUR_ADVERTISEMENT,
        flags: nd::ROUTER_SOLICITED_OVERRIDE.to_be(),
        target: target.0,
        option: nd::TARGET_MAC,
        option_length: 1,
        mac: gateway,
        ..NeighbourMessage::default()
    };
    message.checksum = Sum::default()
        .pseudo(&target, &to, length, ip::ICMPV6)
        .with(&message)
        .fold();
    cx.packet.store(l4, &message)?;
    back(cx, pod, gateway)
}

/// Sends the frame, which is an answer now, back to the pod; the mark tells its own hook that this is our word.
#[inline(always)]
pub fn back<S: Seams>(cx: &mut Cx<'_, S>, to: Mac, from: Mac) -> Result<Step, Drop> {
    cx.packet.set_macs(to, from)?;
    cx.packet.set_mark(mark::with_identity(identity::HOST));
    let ifindex = cx.packet.ifindex();
    cx.done(Verdict::Answer { ifindex })
}

/// Whether an IPv6 address is link-local (fe80::/10).
#[inline(always)]
pub fn is_link_local(address: &Address) -> bool {
    let [first, ..] = address.0;
    let [a, b, ..] = first.to_ne_bytes();
    a == 0xfe && b & 0xc0 == 0x80
}
