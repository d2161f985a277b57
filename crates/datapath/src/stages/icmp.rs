//! ICMP errors: they belong to the connection that they quote, and make none.

use crate::{
    Environment, Packet, Verdict,
    abi::{
        Address, Drop,
        connection::{Entry, Way},
        event::hook,
    },
    context::{Cx, Fragment, Seams, Step, Tuple},
    family::{End, Family, Icmp, V4, V6},
    packet::{Checksum, Zero},
    stages::{connection, deliver, identity, nat::Ends, parse},
    wire::{
        eth,
        icmp::{self, IcmpHeader},
        ip::{self, V4Header, V6Header},
    },
};

/// Stage: sends an ICMP error the way of the connection that it quotes, translated like it; without one, a pod's error is
/// dropped, and what the node says or hears is its stack's affair.
#[inline(always)]
pub fn related<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    if parse::icmp_kind(cx) != Some(Icmp::Error) {
        return Ok(Step::Next);
    }
    cx.env.stage("icmp");
    error(cx)?;
    Ok(Step::Done)
}

#[inline(never)]
fn error<S: Seams>(cx: &mut Cx<'_, S>) -> Result<(), Drop> {
    if cx.fragment != Fragment::Whole {
        return Err(Drop::IpFragmentationNotSupported);
    }
    let outer = cx.tuple;
    let quoted = if cx.is_v4() {
        quoted_v4(cx)?
    } else {
        quoted_v6(cx)?
    };
    cx.tuple = quoted.tuple;
    connection::find(cx);
    cx.tuple = outer;
    let Some(entry) = cx.entry else {
        return match cx.hook {
            hook::FROM_NETDEV | hook::TO_NETDEV | hook::FROM_HOST => {
                cx.verdict = Verdict::Pass;
                Ok(())
            }
            _ => Err(Drop::CtCannotCreateEntryFromPacket),
        };
    };
    send(cx, entry, &quoted)
}

/// What an error quotes.
#[derive(Clone, Copy)]
struct Quoted {
    tuple: Tuple,
    /// Offset of the quoted transport header.
    l4: u32,
}

/// Rewrites the error as the packets of its connection are, and sends it to whoever sent the quoted packet.
#[inline(always)]
fn send<S: Seams>(cx: &mut Cx<'_, S>, entry: Entry<'_>, quoted: &Quoted) -> Result<(), Drop> {
    let ends = Ends::of(&cx.key, entry.flags());
    let after = ends.rewritten(entry);
    // As the receiver of the error knows the connection: the initiator the primary, the responder the rewrite.
    let (seen, was) = match cx.way {
        Way::Forward => (ends, if cx.aliased { after } else { ends }),
        Way::Reply => (after, if cx.aliased { after } else { ends }),
    };
    if seen != was {
        let way = cx.way;
        if cx.is_v4() {
            rewrite::<S, V4>(cx, quoted, &seen, way)?;
        } else {
            rewrite::<S, V6>(cx, quoted, &seen, way)?;
        }
    }
    let to = match cx.way {
        Way::Forward => seen.initiator.0,
        Way::Reply => seen.responder.0,
    };
    entry.count(
        match cx.way {
            Way::Forward => Way::Reply,
            Way::Reply => Way::Forward,
        },
        1,
        u64::from(cx.length),
    );
    let own = cx.destination;
    let mut side = own;
    identity::resolve(cx, &to, &mut side);
    if cx.hook != hook::TO_CONTAINER {
        cx.destination = side;
    }
    // The route asks for what the error itself is for.
    cx.entry = None;
    cx.tuple.destination = to;
    deliver::deliver(cx, side.hop).map(|_| ())
}

/// Rewrites the quoted packet and the error's own addresses.
#[inline(always)]
fn rewrite<S: Seams, F: Family>(
    cx: &mut Cx<'_, S>,
    quoted: &Quoted,
    seen: &Ends,
    way: Way,
) -> Result<(), Drop> {
    let (source, destination) = match way {
        Way::Forward => (seen.initiator, seen.responder),
        Way::Reply => (seen.responder, seen.initiator),
    };
    let checksum = Checksum {
        offset: cx.l4 + icmp::CHECKSUM,
        zero: Zero::Sum,
    };
    let inner = cx.l4 + icmp::LENGTH;
    let had = quoted.tuple;
    inside::<S, F>(cx, inner, End::Source, (&had.source, &source.0))?;
    inside::<S, F>(
        cx,
        inner,
        End::Destination,
        (&had.destination, &destination.0),
    )?;
    port::<S, F>(cx, quoted, End::Source, (had.source_port, source.1))?;
    port::<S, F>(
        cx,
        quoted,
        End::Destination,
        (had.destination_port, destination.1),
    )?;
    // The error is for the sender of what it quotes; if the other end speaks, it speaks under the name the receiver knows.
    outside::<S, F>(cx, checksum, End::Destination, &source.0)?;
    if cx.tuple.source == had.destination {
        outside::<S, F>(cx, checksum, End::Source, &destination.0)?;
    }
    Ok(())
}

/// An address of the quoted header. In IPv4 its header checksum keeps the sum as it was; in IPv6 the error's changes.
#[inline(always)]
fn inside<S: Seams, F: Family>(
    cx: &mut Cx<'_, S>,
    inner: u32,
    end: End,
    (from, to): (&Address, &Address),
) -> Result<(), Drop> {
    if from == to {
        return Ok(());
    }
    F::write_address(cx.packet, inner, end, from, to)?;
    if cx.is_v4() {
        return Ok(());
    }
    let checksum = Checksum {
        offset: cx.l4 + icmp::CHECKSUM,
        zero: Zero::Sum,
    };
    let pairs = from.0.iter().zip(to.0.iter());
    for (old, new) in pairs {
        let ([a, b, c, d], [e, f, g, h]) = (old.to_ne_bytes(), new.to_ne_bytes());
        let (first, second) = (u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d]));
        cx.packet
            .adjust_checksum_for_field(checksum, first, u16::from_ne_bytes([e, f]))?;
        cx.packet
            .adjust_checksum_for_field(checksum, second, u16::from_ne_bytes([g, h]))?;
    }
    Ok(())
}

/// A port (or echo identifier) of the quoted packet.
#[inline(always)]
fn port<S: Seams, F: Family>(
    cx: &mut Cx<'_, S>,
    quoted: &Quoted,
    end: End,
    (from, to): (u16, u16),
) -> Result<(), Drop> {
    if from == to {
        return Ok(());
    }
    let field = if quoted.tuple.protocol == F::ICMP {
        4
    } else if end == End::Source {
        0
    } else {
        2
    };
    cx.packet.store(quoted.l4 + field, &to)?;
    let checksum = Checksum {
        offset: cx.l4 + icmp::CHECKSUM,
        zero: Zero::Sum,
    };
    cx.packet.adjust_checksum_for_field(checksum, from, to)
}

/// An address of the error's own header.
#[inline(always)]
fn outside<S: Seams, F: Family>(
    cx: &mut Cx<'_, S>,
    checksum: Checksum,
    end: End,
    to: &Address,
) -> Result<(), Drop> {
    let from = match end {
        End::Source => cx.tuple.source,
        End::Destination => cx.tuple.destination,
    };
    if from == *to {
        return Ok(());
    }
    F::write_address(cx.packet, eth::LENGTH, end, &from, to)?;
    F::adjust_icmp(cx.packet, checksum, &from, to)
}

#[inline(always)]
fn quoted_v4<S: Seams>(cx: &Cx<'_, S>) -> Result<Quoted, Drop> {
    let at = cx.l4 + icmp::LENGTH;
    let header: V4Header = cx.packet.load(at).ok_or(Drop::CtTruncatedOrInvalidHeader)?;
    let fragment = u16::from_be(header.fragment) & ip::fragment::OFFSET;
    let words = u32::from(header.version_length & 0xf);
    if header.version_length >> 4 != 4 || words < 5 || fragment != 0 {
        return Err(Drop::CtTruncatedOrInvalidHeader);
    }
    let tuple = Tuple {
        source: Address::v4(header.source),
        destination: Address::v4(header.destination),
        protocol: header.protocol,
        ..Tuple::default()
    };
    quoted_ports::<S, V4>(cx, tuple, at + words * 4)
}

#[inline(always)]
fn quoted_v6<S: Seams>(cx: &Cx<'_, S>) -> Result<Quoted, Drop> {
    let at = cx.l4 + icmp::LENGTH;
    let header: V6Header = cx.packet.load(at).ok_or(Drop::CtTruncatedOrInvalidHeader)?;
    let [first, ..] = header.version_class_flow;
    if first >> 4 != 6 {
        return Err(Drop::CtTruncatedOrInvalidHeader);
    }
    let tuple = Tuple {
        source: Address(header.source),
        destination: Address(header.destination),
        protocol: header.next,
        ..Tuple::default()
    };
    quoted_ports::<S, V6>(cx, tuple, at + ip::V6_LENGTH)
}

#[inline(always)]
fn quoted_ports<S: Seams, F: Family>(
    cx: &Cx<'_, S>,
    mut tuple: Tuple,
    l4: u32,
) -> Result<Quoted, Drop> {
    let first: IcmpHeader = cx.packet.load(l4).ok_or(Drop::CtTruncatedOrInvalidHeader)?;
    match tuple.protocol {
        ip::TCP | ip::UDP | ip::SCTP => {
            tuple.source_port = u16::from_ne_bytes([first.kind, first.code]);
            tuple.destination_port = first.checksum;
        }
        protocol if protocol == F::ICMP => match F::icmp(first.kind) {
            Icmp::Request => tuple.source_port = first.id,
            Icmp::Reply => tuple.destination_port = first.id,
            _ => return Err(Drop::CtCannotCreateEntryFromPacket),
        },
        _ => return Err(Drop::CtUnknownL4Protocol),
    }
    Ok(Quoted { tuple, l4 })
}
