//! Answers to what cannot go on: too big, and no backend.

use crate::{
    Environment, Packet, Verdict,
    abi::{Address, Drop, event::hook},
    apart::{Apart, call},
    context::{Cx, Fragment, Pending, Seams, Step},
    stages::{answer, nat},
    wire::{
        csum::Sum,
        eth::{self, EthHeader},
        icmp::{self, IcmpHeader, v4, v6},
        ip::{self, V4Header, V6Header},
        tcp::{self, TcpHeader, flags},
    },
};

/// Largest IP packet that the frame stands for: a segment's, when it stands for many.
#[inline(always)]
pub fn segment_length<S: Seams>(cx: &Cx<'_, S>) -> u32 {
    let gso = cx.packet.gso_size();
    if gso == 0 {
        return cx.length;
    }
    let transport = if cx.tuple.protocol == ip::TCP {
        cx.packet
            .load::<u8>(cx.l4 + tcp::DATA_OFFSET)
            .map_or(0, |offset| u32::from(offset >> 4) * 4)
    } else {
        8
    };
    cx.l4 - eth::LENGTH + transport + gso
}

/// Whether the packet is larger than a way takes; 0 is no limit.
#[inline(always)]
pub fn exceeds<S: Seams>(cx: &Cx<'_, S>, mtu: u32) -> bool {
    mtu != 0 && cx.length > mtu && segment_length(cx) > mtu
}

/// Tells a pod that its packet does not fit (RFC 1191, RFC 4443 section 3.2); at other hooks a drop.
#[inline(always)]
pub fn too_big<S: Seams>(cx: &mut Cx<'_, S>, mtu: u32) -> Result<Step, Drop> {
    cx.env.stage("too_big");
    if !matches!(cx.hook, hook::FROM_CONTAINER | hook::FROM_NETDEV)
        || !matches!(cx.fragment, Fragment::Whole)
    {
        return Err(Drop::CtMissingTcpAckFlag);
    }
    // An echo that was translated is not quoted: its identifier is another by now.
    let has_ports = matches!(cx.tuple.protocol, ip::TCP | ip::UDP);
    if !has_ports && cx.entry.is_some_and(|entry| entry.flags() & nat::ANY != 0) {
        return Err(Drop::CtMissingTcpAckFlag);
    }
    later(cx, Pending::TooBig { mtu })
}

/// Ends the path with an answer that is built by [`answer_pending`].
#[inline(always)]
fn later<S: Seams>(cx: &mut Cx<'_, S>, pending: Pending) -> Result<Step, Drop> {
    cx.pending = pending;
    let ifindex = cx.packet.ifindex();
    cx.done(Verdict::Answer { ifindex })
}

/// Builds the answer that the path ended with, if it did.
#[inline(always)]
pub fn answer_pending<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    if cx.pending == Pending::None {
        return Ok(Step::Done);
    }
    call(cx, Apart::Answer)
}

#[inline(always)]
pub(crate) fn build<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    let (error, code, mtu) = match (cx.pending, cx.is_v4()) {
        (Pending::None, _) => return Ok(Step::Done),
        (Pending::Refuse, _) if cx.tuple.protocol == ip::TCP => {
            reset(cx)?;
            return Ok(Step::Done);
        }
        (Pending::TooBig { mtu }, true) => (v4::UNREACHABLE, v4::FRAGMENTATION_NEEDED, mtu),
        (Pending::TooBig { mtu }, false) => (v6::PACKET_TOO_BIG, 0, mtu),
        (Pending::Refuse, true) => (v4::UNREACHABLE, v4::PORT_UNREACHABLE, 0),
        (Pending::Refuse, false) => (v6::UNREACHABLE, v6::PORT_UNREACHABLE, 0),
    };
    let message = IcmpHeader {
        kind: error,
        code,
        sequence: (mtu.min(0xffff) as u16).to_be(),
        ..IcmpHeader::default()
    };
    quote(cx, message)?;
    Ok(Step::Done)
}

/// Answers the packet with an ICMP error that quotes it, from the address that the packet was for.
#[inline(always)]
fn quote<S: Seams>(cx: &mut Cx<'_, S>, message: IcmpHeader) -> Result<(), Drop> {
    let macs: EthHeader = cx.packet.load(0).ok_or(Drop::InvalidPacketDropped)?;
    if cx.is_v4() {
        quote_v4(cx, message)?;
    } else {
        quote_v6(cx, message)?;
    }
    answer::back(cx, macs.source, macs.destination).map(|_| ())
}

/// The first eight octets behind the IP header, with the ports that the sender had; an extension header is not quoted.
#[inline(always)]
fn quoted_payload<S: Seams>(cx: &Cx<'_, S>, l4: u32) -> Result<[u32; 2], Drop> {
    let has_ports = matches!(cx.tuple.protocol, ip::TCP | ip::UDP);
    if cx.l4 != l4 {
        return Err(Drop::CtMissingTcpAckFlag);
    }
    let mut first: u32 = cx.packet.load(l4).ok_or(Drop::InvalidPacketDropped)?;
    if has_ports {
        let [a, b] = cx.tuple.source_port.to_ne_bytes();
        let [c, d] = cx.tuple.destination_port.to_ne_bytes();
        first = u32::from_ne_bytes([a, b, c, d]);
    }
    let second: u32 = cx.packet.load(l4 + 4).ok_or(Drop::InvalidPacketDropped)?;
    Ok([first, second])
}

/// Who speaks: the pods' gateway to a pod, the node to others.
#[inline(always)]
fn own_address<S: Seams>(cx: &Cx<'_, S>) -> Address {
    match (cx.hook == hook::FROM_CONTAINER, cx.is_v4()) {
        (true, true) => cx.node.router_ipv4,
        (true, false) => cx.node.router_ipv6,
        (false, true) => cx.node.ipv4,
        (false, false) => cx.node.ipv6,
    }
}

/// Header and first eight octets behind it (RFC 792). A header with options is not quoted: dropped.
#[inline(never)]
fn quote_v4<S: Seams>(cx: &mut Cx<'_, S>, mut message: IcmpHeader) -> Result<(), Drop> {
    let mut old: V4Header = cx
        .packet
        .load(eth::LENGTH)
        .ok_or(Drop::InvalidPacketDropped)?;
    if old.version_length != 0x45 {
        return Err(Drop::CtMissingTcpAckFlag);
    }
    let l4 = eth::LENGTH + size_of::<V4Header>() as u32;
    let [first, second] = quoted_payload(cx, l4)?;
    // As the sender had it, before any translation of ours.
    old.source = cx.tuple.source.v4_octets();
    old.destination = cx.tuple.destination.v4_octets();
    old.checksum = 0;
    old.checksum = Sum::default().with(&old).fold();
    let length = (size_of::<V4Header>() * 2) as u32 + icmp::LENGTH + 8;
    let mut header = V4Header {
        version_length: 0x45,
        total_length: (length as u16).to_be(),
        ttl: 64,
        protocol: ip::ICMP,
        source: own_address(cx).v4_octets(),
        destination: old.source,
        ..V4Header::default()
    };
    header.checksum = Sum::default().with(&header).fold();
    message.checksum = Sum::default()
        .with(&message)
        .with(&old)
        .with(&first)
        .with(&second)
        .fold();
    cx.packet.resize(eth::LENGTH + length)?;
    cx.packet.store(eth::LENGTH, &header)?;
    cx.packet.store(l4, &message)?;
    cx.packet.store(l4 + icmp::LENGTH, &old)?;
    let quoted = l4 + icmp::LENGTH + size_of::<V4Header>() as u32;
    cx.packet.store(quoted, &first)?;
    cx.packet.store(quoted + 4, &second)
}

/// Header and first eight octets behind it (RFC 4443 asks for as much as fits; receivers match by these).
#[inline(never)]
fn quote_v6<S: Seams>(cx: &mut Cx<'_, S>, mut message: IcmpHeader) -> Result<(), Drop> {
    let mut old: V6Header = cx
        .packet
        .load(eth::LENGTH)
        .ok_or(Drop::InvalidPacketDropped)?;
    let l4 = eth::LENGTH + ip::V6_LENGTH;
    let [first, second] = quoted_payload(cx, l4)?;
    old.source = cx.tuple.source.0;
    old.destination = cx.tuple.destination.0;
    let length = icmp::LENGTH + ip::V6_LENGTH + 8;
    let (source, destination) = (own_address(cx), Address(old.source));
    message.checksum = Sum::default()
        .pseudo(&source, &destination, length as u16, ip::ICMPV6)
        .with(&message)
        .with(&old)
        .with(&first)
        .with(&second)
        .fold();
    let header = V6Header {
        version_class_flow: [0x60, 0, 0, 0],
        payload_length: (length as u16).to_be(),
        next: ip::ICMPV6,
        hop_limit: 64,
        source: source.0,
        destination: destination.0,
    };
    cx.packet.resize(l4 + length)?;
    cx.packet.store(eth::LENGTH, &header)?;
    cx.packet.store(l4, &message)?;
    cx.packet.store(l4 + icmp::LENGTH, &old)?;
    let quoted = l4 + icmp::LENGTH + ip::V6_LENGTH;
    cx.packet.store(quoted, &first)?;
    cx.packet.store(quoted + 4, &second)
}

/// Answers a packet that nobody takes: a reset to TCP, port unreachable to UDP.
#[inline(always)]
pub fn refuse<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    cx.env.stage("refuse");
    if cx.fragment != Fragment::Whole {
        return Err(Drop::ServiceBackendNotFound);
    }
    later(cx, Pending::Refuse)
}

/// Answers a segment with a reset from the address that it was for (RFC 9293, 3.5.2).
#[inline(never)]
fn reset<S: Seams>(cx: &mut Cx<'_, S>) -> Result<(), Drop> {
    if cx.tcp_flags & flags::RST != 0 {
        return Err(Drop::ServiceBackendNotFound);
    }
    let macs: EthHeader = cx.packet.load(0).ok_or(Drop::InvalidPacketDropped)?;
    let marks =
        u32::from(cx.tcp_flags & flags::SYN != 0) + u32::from(cx.tcp_flags & flags::FIN != 0);
    let expects = cx.sequence.wrapping_add(cx.payload).wrapping_add(marks);
    let (sequence, acknowledgement, flags) = if cx.tcp_flags & flags::ACK != 0 {
        (cx.acknowledgement, 0, flags::RST)
    } else {
        (0, expects, flags::RST | flags::ACK)
    };
    let mut segment = TcpHeader {
        source: cx.tuple.destination_port,
        destination: cx.tuple.source_port,
        sequence: sequence.to_be(),
        acknowledgement: acknowledgement.to_be(),
        data_offset: 0x50,
        flags,
        ..TcpHeader::default()
    };
    let length = size_of::<TcpHeader>() as u16;
    let (from, to) = (cx.tuple.destination, cx.tuple.source);
    segment.checksum = Sum::default()
        .pseudo(&from, &to, length, ip::TCP)
        .with(&segment)
        .fold();
    bare(cx, &segment, length, (from, to))?;
    answer::back(cx, macs.source, macs.destination).map(|_| ())
}

/// Makes the frame a segment between two addresses and nothing else.
#[inline(always)]
fn bare<S: Seams>(
    cx: &mut Cx<'_, S>,
    segment: &TcpHeader,
    length: u16,
    (from, to): (Address, Address),
) -> Result<(), Drop> {
    if !cx.is_v4() {
        let header = V6Header {
            version_class_flow: [0x60, 0, 0, 0],
            payload_length: length.to_be(),
            next: ip::TCP,
            hop_limit: 64,
            source: from.0,
            destination: to.0,
        };
        let l4 = eth::LENGTH + ip::V6_LENGTH;
        cx.packet.resize(l4 + u32::from(length))?;
        cx.packet.store(eth::LENGTH, &header)?;
        return cx.packet.store(l4, segment);
    }
    let mut header = V4Header {
        version_length: 0x45,
        total_length: (size_of::<V4Header>() as u16 + length).to_be(),
        ttl: 64,
        protocol: ip::TCP,
        source: from.v4_octets(),
        destination: to.v4_octets(),
        ..V4Header::default()
    };
    header.checksum = Sum::default().with(&header).fold();
    let l4 = eth::LENGTH + size_of::<V4Header>() as u32;
    cx.packet.resize(l4 + u32::from(length))?;
    cx.packet.store(eth::LENGTH, &header)?;
    cx.packet.store(l4, segment)
}
