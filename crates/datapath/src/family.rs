//! IPv4 and IPv6 where they differ: header, extension chain, ICMP numbers, rewriting. All else is one body.

use crate::{
    Environment, Packet,
    abi::{Address, Drop},
    context::{Cx, Fragment, Seams},
    packet::Checksum,
    wire::{
        eth,
        icmp::{v4, v6},
        ip::{self, ExtensionHeader, V4Header, V6Header},
    },
};

/// What kind of ICMP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Icmp {
    /// Echo request.
    Request,
    /// Echo reply.
    Reply,
    /// Quotes the packet that caused it.
    Error,
    /// Neighbour and router discovery.
    Discovery,
    /// Nothing that we forward.
    Other,
}

/// One of the two families.
pub trait Family {
    /// ICMP's protocol number.
    const ICMP: u8;

    /// Reads the IP header: addresses, protocol, start of the transport header, fragment.
    fn header<S: Seams>(cx: &mut Cx<'_, S>) -> Result<(), Drop>;

    /// What an ICMP type is.
    fn icmp(kind: u8) -> Icmp;

    /// Why an unknown ICMP type is dropped.
    const UNKNOWN_ICMP: Drop;

    /// Writes an address of the header whose address fields start at `field` and adjusts the header's own checksum,
    /// where it has one (at `checksum`).
    fn write_address<P: Packet>(
        packet: &mut P,
        header: u32,
        end: End,
        from: &Address,
        to: &Address,
    ) -> Result<(), Drop>;

    /// Adjusts the checksum of ICMP for its pseudo header, where it has one.
    fn adjust_icmp<P: Packet>(
        packet: &mut P,
        checksum: Checksum,
        from: &Address,
        to: &Address,
    ) -> Result<(), Drop>;

    /// Takes one off the TTL or hop limit of the packet.
    fn decrement<P: Packet>(packet: &mut P) -> Result<(), Drop>;
}

/// Which address of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Source.
    Source,
    /// Destination.
    Destination,
}

/// IPv4.
#[derive(Clone, Copy, Debug)]
pub struct V4;

/// IPv6.
#[derive(Clone, Copy, Debug)]
pub struct V6;

impl Family for V4 {
    const ICMP: u8 = ip::ICMP;
    const UNKNOWN_ICMP: Drop = Drop::UnknownIcmpv4Type;

    #[inline(always)]
    fn header<S: Seams>(cx: &mut Cx<'_, S>) -> Result<(), Drop> {
        let header: V4Header = cx
            .packet
            .load(eth::LENGTH)
            .ok_or(Drop::InvalidPacketDropped)?;
        let words = header.version_length & 0xf;
        let total = u32::from(u16::from_be(header.total_length));
        if header.version_length >> 4 != 4 || words < 5 || total > cx.length {
            return Err(Drop::InvalidPacketDropped);
        }
        let fragment = u16::from_be(header.fragment);
        cx.l4 = eth::LENGTH + u32::from(words) * 4;
        cx.payload = if total == 0 { cx.length } else { total };
        cx.ttl = header.ttl;
        cx.tos = header.tos;
        cx.tuple.protocol = header.protocol;
        cx.tuple.source = Address::v4(header.source);
        cx.tuple.destination = Address::v4(header.destination);
        cx.fragmentable = fragment & ip::fragment::DONT == 0;
        cx.fragment = part(
            fragment & ip::fragment::OFFSET != 0,
            fragment & ip::fragment::MORE != 0,
        );
        if cx.fragment != Fragment::Whole {
            cx.sequence = u32::from(header.id);
        }
        Ok(())
    }

    #[inline(always)]
    fn icmp(kind: u8) -> Icmp {
        match kind {
            v4::ECHO_REQUEST => Icmp::Request,
            v4::ECHO_REPLY => Icmp::Reply,
            v4::UNREACHABLE | v4::TIME_EXCEEDED | v4::PARAMETER_PROBLEM => Icmp::Error,
            _ => Icmp::Other,
        }
    }

    #[inline(always)]
    fn write_address<P: Packet>(
        packet: &mut P,
        header: u32,
        end: End,
        from: &Address,
        to: &Address,
    ) -> Result<(), Drop> {
        let offset = match end {
            End::Source => ip::V4_SOURCE,
            End::Destination => ip::V4_DESTINATION,
        };
        let [_, _, _, old] = from.0;
        let [_, _, _, new] = to.0;
        packet.store(header + offset, &new)?;
        packet.adjust_ipv4_checksum(header + ip::V4_CHECKSUM, old, new)
    }

    #[inline(always)]
    fn adjust_icmp<P: Packet>(
        _: &mut P,
        _: Checksum,
        _: &Address,
        _: &Address,
    ) -> Result<(), Drop> {
        Ok(())
    }

    #[inline(always)]
    fn decrement<P: Packet>(packet: &mut P) -> Result<(), Drop> {
        let at = eth::LENGTH + ip::V4_TTL;
        let [ttl, protocol]: [u8; 2] = packet
            .load::<u16>(at)
            .ok_or(Drop::InvalidPacketDropped)?
            .to_ne_bytes();
        let old = u32::from(u16::from_ne_bytes([ttl, protocol]));
        let new = u32::from(u16::from_ne_bytes([ttl.wrapping_sub(1), protocol]));
        packet.store(at, &ttl.wrapping_sub(1))?;
        packet.adjust_ipv4_checksum(eth::LENGTH + ip::V4_CHECKSUM, old, new)
    }
}

impl Family for V6 {
    const ICMP: u8 = ip::ICMPV6;
    const UNKNOWN_ICMP: Drop = Drop::UnknownIcmpv6Type;

    #[inline(always)]
    fn header<S: Seams>(cx: &mut Cx<'_, S>) -> Result<(), Drop> {
        let header: V6Header = cx
            .packet
            .load(eth::LENGTH)
            .ok_or(Drop::InvalidPacketDropped)?;
        let [first, second, _, _] = header.version_class_flow;
        let payload = u32::from(u16::from_be(header.payload_length));
        if first >> 4 != 6 || payload + ip::V6_LENGTH > cx.length {
            return Err(Drop::InvalidPacketDropped);
        }
        cx.payload = if payload == 0 {
            cx.length
        } else {
            payload + ip::V6_LENGTH
        };
        cx.ttl = header.hop_limit;
        cx.tos = (first << 4) | (second >> 4);
        cx.tuple.source = Address(header.source);
        cx.tuple.destination = Address(header.destination);
        if cx.tuple.source.is_v4() || cx.tuple.destination.is_v4() {
            return Err(Drop::MappedAddress);
        }
        cx.l4 = eth::LENGTH + ip::V6_LENGTH;
        cx.tuple.protocol = header.next;
        extensions(cx)
    }

    #[inline(always)]
    fn icmp(kind: u8) -> Icmp {
        match kind {
            v6::ECHO_REQUEST => Icmp::Request,
            v6::ECHO_REPLY => Icmp::Reply,
            v6::UNREACHABLE..=v6::PARAMETER_PROBLEM => Icmp::Error,
            v6::ROUTER_SOLICITATION..=v6::REDIRECT => Icmp::Discovery,
            _ => Icmp::Other,
        }
    }

    #[inline(always)]
    fn write_address<P: Packet>(
        packet: &mut P,
        header: u32,
        end: End,
        _from: &Address,
        to: &Address,
    ) -> Result<(), Drop> {
        let offset = match end {
            End::Source => ip::V6_SOURCE,
            End::Destination => ip::V6_DESTINATION,
        };
        packet.store(header + offset, to)
    }

    #[inline(always)]
    fn adjust_icmp<P: Packet>(
        packet: &mut P,
        checksum: Checksum,
        from: &Address,
        to: &Address,
    ) -> Result<(), Drop> {
        packet.adjust_checksum_for_address(checksum, from, to)
    }

    #[inline(always)]
    fn decrement<P: Packet>(packet: &mut P) -> Result<(), Drop> {
        let at = eth::LENGTH + ip::V6_HOP_LIMIT;
        let limit: u8 = packet.load(at).ok_or(Drop::InvalidPacketDropped)?;
        packet.store(at, &limit.wrapping_sub(1))
    }
}

#[inline(always)]
fn part(has_offset: bool, more_follow: bool) -> Fragment {
    match (has_offset, more_follow) {
        (true, _) => Fragment::Orphan,
        (false, true) => Fragment::First,
        (false, false) => Fragment::Whole,
    }
}

/// Walks the extension headers: at most [`ip::MAX_EXTENSIONS`].
#[inline(always)]
fn extensions<S: Seams>(cx: &mut Cx<'_, S>) -> Result<(), Drop> {
    for _ in 0..=ip::MAX_EXTENSIONS {
        match cx.tuple.protocol {
            ip::HOP_BY_HOP
            | ip::ROUTING
            | ip::DESTINATION_OPTIONS
            | ip::FRAGMENT
            | ip::AUTHENTICATION => {}
            ip::NONE => return Err(Drop::InvalidIpv6ExtensionHeader),
            _ => return Ok(()),
        }
        if cx.fragment == Fragment::Orphan {
            return Ok(());
        }
        let header: ExtensionHeader = cx
            .packet
            .load(cx.l4)
            .ok_or(Drop::InvalidIpv6ExtensionHeader)?;
        let length = match cx.tuple.protocol {
            ip::FRAGMENT => {
                let fragment = u16::from_be(header.fragment);
                cx.fragment = part(fragment & 0xfff8 != 0, fragment & 1 != 0);
                cx.sequence = header.id;
                8
            }
            ip::AUTHENTICATION => (u32::from(header.length) + 2) * 4,
            _ => (u32::from(header.length) + 1) * 8,
        };
        cx.l4 = cx.env.opaque(cx.l4 + length);
        cx.tuple.protocol = header.next;
    }
    Err(Drop::InvalidIpv6ExtensionHeader)
}
