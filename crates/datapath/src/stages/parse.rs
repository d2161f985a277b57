//! From bytes to a tuple: Ethernet, IP with its extension headers, transport.

use crate::{
    Environment, Packet,
    abi::Drop,
    apart::{Apart, call},
    context::{Cx, Fragment, Seams, Step},
    environment::Feature,
    family::{Family, Icmp, V4, V6},
    stages::connection,
    wire::{
        eth::{self, EthHeader},
        icmp::IcmpHeader,
        ip,
        tcp::TcpHeader,
    },
};

/// What follows the Ethernet header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Payload {
    /// IPv4 or IPv6; the tuple is filled in.
    Ip,
    /// ARP.
    Arp,
    /// Nothing that the data path knows.
    #[default]
    Other,
}

/// Reads the frame up to its transport header.
#[inline(always)]
pub fn parse<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Payload, Drop> {
    call(cx, Apart::Parse)?;
    Ok(cx.frame)
}

#[inline(always)]
pub(crate) fn read<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    cx.env.stage("parse");
    cx.frame = Payload::Ip;
    let header: EthHeader = cx.packet.load(0).ok_or(Drop::UnsupportedL2Protocol)?;
    match u16::from_be(header.ethertype) {
        eth::IPV4 if cx.env.on(Feature::Ipv4) => {
            V4::header(cx)?;
            transport::<S, V4>(cx)
        }
        eth::IPV6 if cx.env.on(Feature::Ipv6) => {
            V6::header(cx)?;
            transport::<S, V6>(cx)
        }
        eth::IPV4 | eth::IPV6 => Err(Drop::UnsupportedL3Protocol),
        eth::ARP => {
            cx.frame = Payload::Arp;
            Ok(())
        }
        _ => {
            cx.frame = Payload::Other;
            Ok(())
        }
    }?;
    connection::set_key(cx);
    Ok(Step::Next)
}

#[inline(always)]
fn transport<S: Seams, F: Family>(cx: &mut Cx<'_, S>) -> Result<(), Drop> {
    if cx.fragment == Fragment::Orphan {
        return Ok(());
    }
    match cx.tuple.protocol {
        ip::TCP => tcp(cx),
        ip::UDP | ip::SCTP => {
            let [source, destination] = ports(cx)?;
            cx.tuple.source_port = source;
            cx.tuple.destination_port = destination;
            Ok(())
        }
        protocol if protocol == F::ICMP => icmp::<S, F>(cx),
        _ => Err(Drop::CtUnknownL4Protocol),
    }
}

#[inline(always)]
fn ports<S: Seams>(cx: &Cx<'_, S>) -> Result<[u16; 2], Drop> {
    let both: u32 = cx
        .packet
        .load(cx.l4)
        .ok_or(Drop::CtTruncatedOrInvalidHeader)?;
    let [a, b, c, d] = both.to_ne_bytes();
    Ok([u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d])])
}

#[inline(always)]
fn tcp<S: Seams>(cx: &mut Cx<'_, S>) -> Result<(), Drop> {
    if cx.fragment != Fragment::Whole {
        let [source, destination] = ports(cx)?;
        cx.tuple.source_port = source;
        cx.tuple.destination_port = destination;
        return Ok(());
    }
    let header: TcpHeader = cx
        .packet
        .load(cx.l4)
        .ok_or(Drop::CtTruncatedOrInvalidHeader)?;
    let offset = u32::from(header.data_offset >> 4) * 4;
    if offset < size_of::<TcpHeader>() as u32 {
        return Err(Drop::CtTruncatedOrInvalidHeader);
    }
    cx.tuple.source_port = header.source;
    cx.tuple.destination_port = header.destination;
    cx.tcp_flags = header.flags & 0x3f;
    cx.sequence = u32::from_be(header.sequence);
    cx.acknowledgement = u32::from_be(header.acknowledgement);
    cx.window = u16::from_be(header.window);
    cx.payload = (cx.payload + eth::LENGTH).saturating_sub(cx.l4 + offset);
    Ok(())
}

#[inline(always)]
fn icmp<S: Seams, F: Family>(cx: &mut Cx<'_, S>) -> Result<(), Drop> {
    let header: IcmpHeader = cx
        .packet
        .load(cx.l4)
        .ok_or(Drop::CtTruncatedOrInvalidHeader)?;
    cx.tcp_flags = header.kind;
    cx.icmp_code = header.code;
    match F::icmp(header.kind) {
        Icmp::Request => cx.tuple.source_port = header.id,
        Icmp::Reply => cx.tuple.destination_port = header.id,
        Icmp::Error | Icmp::Discovery => {}
        Icmp::Other => return Err(F::UNKNOWN_ICMP),
    }
    Ok(())
}

/// What kind of ICMP message the packet is; `None` for other protocols.
#[inline(always)]
pub fn icmp_kind<S: Seams>(cx: &Cx<'_, S>) -> Option<Icmp> {
    if cx.fragment == Fragment::Orphan || cx.fragment == Fragment::Later {
        return None;
    }
    match (cx.tuple.protocol, cx.is_v4()) {
        (ip::ICMP, true) => Some(V4::icmp(cx.tcp_flags)),
        (ip::ICMPV6, false) => Some(V6::icmp(cx.tcp_flags)),
        _ => None,
    }
}
