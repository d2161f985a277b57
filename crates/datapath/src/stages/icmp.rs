//! ICMP errors: they belong to the connection that they quote, and make none.

use crate::{
    Environment, Packet, Verdict,
    abi::{Address, Drop, connection::Way, event::hook},
    apart::{Apart, call},
    context::{Cx, Fragment, Seams, Side, Step, Tuple},
    family::{End, Family, Icmp, V4, V6},
    packet::{Checksum, Zero},
    stages::{
        connection, deliver, identity,
        nat::{self, Ends},
        parse,
    },
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
    let quoted = call(cx, Apart::Quote);
    if quoted == Ok(Step::Done) {
        connection::find(cx)?;
        if cx.entry.is_some() {
            let step = call(cx, Apart::Error);
            cx.entry = None;
            return step;
        }
    }
    match cx.hook {
        // What the node itself hears or says about its own affairs, and about others' that it routes, is its stack's.
        hook::FROM_NETDEV | hook::TO_NETDEV | hook::FROM_HOST => cx.done(Verdict::Pass),
        _ => Err(quoted.err().unwrap_or(Drop::CtCannotCreateEntryFromPacket)),
    }
}

/// Reads what the error quotes; [`Step::Done`] when a connection can be looked up by it.
#[inline(always)]
pub(crate) fn quote<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    cx.env.stage("icmp");
    if cx.fragment != Fragment::Whole {
        return Err(Drop::IpFragmentationNotSupported);
    }
    if cx.is_v4() {
        quoted_v4(cx)?;
    } else {
        quoted_v6(cx)?;
    }
    if !is_plausible(cx) {
        return Ok(Step::Next);
    }
    connection::set_key(cx);
    Ok(Step::Done)
}

/// An error is for the sender of what it quotes. A pod is no router: what it quotes must have been for it, or anybody could
/// disturb the connections of others past all policy.
#[inline(always)]
fn is_plausible<S: Seams>(cx: &Cx<'_, S>) -> bool {
    cx.tuple.destination == cx.quoted.source
        && (cx.hook != hook::FROM_CONTAINER || cx.tuple.source == cx.quoted.destination)
}

/// Rewrites the error as the packets of its connection are, and sends it to whoever sent the quoted packet.
#[inline(always)]
pub(crate) fn send<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    let Some(entry) = cx.entry else {
        return Ok(Step::Next);
    };
    connection::orient(cx, entry)?;
    let flags = entry.flags();
    let ends = Ends::of(&cx.key, flags);
    let back = match cx.way() {
        Way::Forward => Way::Reply,
        Way::Reply => Way::Forward,
    };
    // The initiator knows the connection by its primary, the responder by the rewrite; the quoted packet is what the
    // other one knows just when it was found by the other key.
    let differs = flags & nat::ANY != 0 && cx.aliased == (cx.way() == Way::Forward);
    cx.seen = match cx.way() {
        Way::Forward => ends,
        Way::Reply => ends.rewritten(entry),
    };
    entry.count(back, 1, u64::from(cx.length));
    if differs {
        if cx.is_v4() {
            rewrite::<S, V4>(cx)?;
        } else {
            rewrite::<S, V6>(cx)?;
        }
    }
    let hop = hand_over(cx);
    deliver::deliver(cx, hop)
}

/// Finds the end that the error is for; gives the hop that leads there.
#[inline(never)]
fn hand_over<S: Seams>(cx: &mut Cx<'_, S>) -> u32 {
    let to = match cx.way() {
        Way::Forward => cx.seen.initiator.0,
        Way::Reply => cx.seen.responder.0,
    };
    let mut side = Side::default();
    identity::resolve(cx, &to, &mut side);
    if cx.hook != hook::TO_CONTAINER {
        cx.destination = side;
    }
    // The route asks for what the error itself is for.
    cx.entry = None;
    cx.tuple.destination = to;
    side.hop
}

/// Rewrites the quoted packet and the error's own addresses.
#[inline(never)]
fn rewrite<S: Seams, F: Family>(cx: &mut Cx<'_, S>) -> Result<(), Drop> {
    let (source, destination) = match cx.way() {
        Way::Forward => (cx.seen.initiator, cx.seen.responder),
        Way::Reply => (cx.seen.responder, cx.seen.initiator),
    };
    let at = (cx.quoted.source_port, cx.quoted.destination_port);
    inside::<S, F>(cx, End::Source, &source.0)?;
    inside::<S, F>(cx, End::Destination, &destination.0)?;
    port::<S, F>(cx, End::Source, (at.0, source.1))?;
    port::<S, F>(cx, End::Destination, (at.1, destination.1))?;
    // The error is for the sender of what it quotes; if the other end speaks, it speaks under the name the receiver knows.
    let other_end_speaks = cx.tuple.source == cx.quoted.destination;
    outside::<S, F>(cx, End::Destination, &source.0)?;
    if other_end_speaks {
        outside::<S, F>(cx, End::Source, &destination.0)?;
    }
    Ok(())
}

#[inline(always)]
fn checksum<S: Seams>(cx: &Cx<'_, S>) -> Checksum {
    Checksum {
        offset: cx.l4 + icmp::CHECKSUM,
        zero: Zero::Sum,
    }
}

/// An address of the quoted header. In IPv4 its header checksum keeps the sum as it was; in IPv6 the error's changes.
#[inline(never)]
fn inside<S: Seams, F: Family>(cx: &mut Cx<'_, S>, end: End, to: &Address) -> Result<(), Drop> {
    let from = match end {
        End::Source => cx.quoted.source,
        End::Destination => cx.quoted.destination,
    };
    if from == *to {
        return Ok(());
    }
    let inner = cx.l4 + icmp::LENGTH;
    F::write_address(cx.packet, inner, end, &from, to)?;
    if cx.is_v4() {
        return Ok(());
    }
    let checksum = checksum(cx);
    for (old, new) in from.0.iter().zip(to.0.iter()) {
        let (old, new) = (halves(*old), halves(*new));
        cx.packet
            .adjust_checksum_for_field(checksum, old.0, new.0)?;
        cx.packet
            .adjust_checksum_for_field(checksum, old.1, new.1)?;
    }
    Ok(())
}

/// The two 16-bit fields of a word, as they lie in memory.
#[inline(always)]
const fn halves(word: u32) -> (u16, u16) {
    let [a, b, c, d] = word.to_ne_bytes();
    (u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d]))
}

/// A port (or echo identifier) of the quoted packet.
#[inline(always)]
fn port<S: Seams, F: Family>(
    cx: &mut Cx<'_, S>,
    end: End,
    (from, to): (u16, u16),
) -> Result<(), Drop> {
    if from == to {
        return Ok(());
    }
    let field = if cx.quoted.protocol == F::ICMP {
        4
    } else if end == End::Source {
        0
    } else {
        2
    };
    let at = cx.quoted_l4 + field;
    cx.packet.store(at, &to)?;
    let checksum = checksum(cx);
    cx.packet.adjust_checksum_for_field(checksum, from, to)
}

/// An address of the error's own header.
#[inline(never)]
fn outside<S: Seams, F: Family>(cx: &mut Cx<'_, S>, end: End, to: &Address) -> Result<(), Drop> {
    let from = match end {
        End::Source => cx.tuple.source,
        End::Destination => cx.tuple.destination,
    };
    if from == *to {
        return Ok(());
    }
    let checksum = checksum(cx);
    F::write_address(cx.packet, eth::LENGTH, end, &from, to)?;
    F::adjust_icmp(cx.packet, checksum, &from, to)
}

#[inline(always)]
fn quoted_v4<S: Seams>(cx: &mut Cx<'_, S>) -> Result<(), Drop> {
    let at = cx.l4 + icmp::LENGTH;
    let header: V4Header = cx.packet.load(at).ok_or(Drop::CtTruncatedOrInvalidHeader)?;
    let fragment = u16::from_be(header.fragment) & ip::fragment::OFFSET;
    let words = u32::from(header.version_length & 0xf);
    if header.version_length >> 4 != 4 || words < 5 || fragment != 0 {
        return Err(Drop::CtTruncatedOrInvalidHeader);
    }
    cx.quoted = Tuple {
        source: Address::v4(header.source),
        destination: Address::v4(header.destination),
        protocol: header.protocol,
        ..Tuple::default()
    };
    quoted_ports::<S, V4>(cx, at + words * 4)
}

#[inline(always)]
fn quoted_v6<S: Seams>(cx: &mut Cx<'_, S>) -> Result<(), Drop> {
    let at = cx.l4 + icmp::LENGTH;
    let header: V6Header = cx.packet.load(at).ok_or(Drop::CtTruncatedOrInvalidHeader)?;
    let [first, ..] = header.version_class_flow;
    if first >> 4 != 6 {
        return Err(Drop::CtTruncatedOrInvalidHeader);
    }
    cx.quoted = Tuple {
        source: Address(header.source),
        destination: Address(header.destination),
        protocol: header.next,
        ..Tuple::default()
    };
    quoted_ports::<S, V6>(cx, at + ip::V6_LENGTH)
}

#[inline(always)]
fn quoted_ports<S: Seams, F: Family>(cx: &mut Cx<'_, S>, l4: u32) -> Result<(), Drop> {
    let first: IcmpHeader = cx.packet.load(l4).ok_or(Drop::CtTruncatedOrInvalidHeader)?;
    cx.quoted_l4 = l4;
    match cx.quoted.protocol {
        ip::TCP | ip::UDP | ip::SCTP => {
            cx.quoted.source_port = u16::from_ne_bytes([first.kind, first.code]);
            cx.quoted.destination_port = first.checksum;
        }
        protocol if protocol == F::ICMP => match F::icmp(first.kind) {
            Icmp::Request => cx.quoted.source_port = first.id,
            Icmp::Reply => cx.quoted.destination_port = first.id,
            _ => return Err(Drop::CtCannotCreateEntryFromPacket),
        },
        _ => return Err(Drop::CtUnknownL4Protocol),
    }
    Ok(())
}
