//! Rewriting: what a connection's entry says about its packets, and how a source port is found for a new one.

use crate::{
    Environment, Maps, Packet,
    abi::{
        Address, Drop, PrefixKey,
        connection::{ConnectionKey, Entry, Way, flags, kind},
        endpoint,
        ipcache::{self, Scope, scope_of},
    },
    apart::{Apart, call},
    context::{Cx, Fragment, Seams, Step, Wanted},
    environment::{Constant, Feature, SocketQuery},
    family::{End, Family, V4, V6},
    maps::{Insertion, Table},
    packet::{Checksum, Zero},
    wire::{eth, icmp, ip, tcp, udp},
};

/// Most source ports tried for one connection.
pub const TRIES: u32 = 32;

/// One end of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// Who began.
    pub initiator: (Address, u16),
    /// Whom the initiator asked.
    pub responder: (Address, u16),
}

impl Ends {
    /// The ends of a primary key.
    #[inline(always)]
    pub fn of(key: &ConnectionKey, entry_flags: u16) -> Self {
        let (low, high) = ((key.low, key.low_port), (key.high, key.high_port));
        if entry_flags & flags::INITIATOR_LOW != 0 {
            Self {
                initiator: low,
                responder: high,
            }
        } else {
            Self {
                initiator: high,
                responder: low,
            }
        }
    }

    /// The same after the connection's rewrite: what the responder sees.
    #[inline(always)]
    pub fn rewritten(&self, entry: Entry<'_>) -> Self {
        let mut ends = *self;
        if entry.flags() & flags::DESTINATION_NAT != 0 {
            ends.responder = (entry.to(), entry.to_port());
        }
        if entry.flags() & flags::SOURCE_NAT != 0 {
            ends.initiator = (entry.from(), entry.from_port());
        }
        ends
    }
}

/// Bits of the flags that say that anything is rewritten.
pub const ANY: u16 = flags::DESTINATION_NAT | flags::SOURCE_NAT;

/// Rewrites an established packet as its entry says, unless an earlier hook has done so: what the initiator sends is found
/// by the primary before and by the alias after, replies the other way round.
#[inline(always)]
pub fn translate<S: Seams>(cx: &mut Cx<'_, S>, entry: Entry<'_>) -> Result<(), Drop> {
    if entry.flags() & ANY == 0 || cx.aliased == (cx.way() == Way::Forward) {
        return Ok(());
    }
    call(cx, Apart::Rewrite).map(|_| ())
}

#[inline(always)]
pub(crate) fn rewrite<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    cx.env.stage("nat");
    let Some(entry) = cx.entry else {
        return Ok(Step::Next);
    };
    let ends = Ends::of(&cx.key, entry.flags());
    let (source, destination) = match cx.way() {
        Way::Forward => {
            let after = ends.rewritten(entry);
            (after.initiator, after.responder)
        }
        Way::Reply => (ends.responder, ends.initiator),
    };
    if cx.is_v4() {
        packet::<S, V4>(cx, &source, &destination)?;
    } else {
        packet::<S, V6>(cx, &source, &destination)?;
    }
    Ok(Step::Next)
}

#[inline(always)]
fn packet<S: Seams, F: Family>(
    cx: &mut Cx<'_, S>,
    source: &(Address, u16),
    destination: &(Address, u16),
) -> Result<(), Drop> {
    let had = cx.tuple;
    end::<S, F>(cx, End::Source, (&had.source, had.source_port), source)?;
    end::<S, F>(
        cx,
        End::Destination,
        (&had.destination, had.destination_port),
        destination,
    )
}

/// Rewrites one end, where it differs.
#[inline(always)]
fn end<S: Seams, F: Family>(
    cx: &mut Cx<'_, S>,
    end: End,
    from: (&Address, u16),
    to: &(Address, u16),
) -> Result<(), Drop> {
    let has_transport = matches!(cx.fragment, Fragment::Whole | Fragment::First);
    let checksum = transport_checksum(cx)?;
    if *from.0 != to.0 {
        F::write_address(cx.packet, eth::LENGTH, end, from.0, &to.0)?;
        if has_transport {
            if cx.tuple.protocol == F::ICMP {
                F::adjust_icmp(cx.packet, checksum, from.0, &to.0)?;
            } else {
                cx.packet
                    .adjust_checksum_for_address(checksum, from.0, &to.0)?;
            }
        }
    }
    if from.1 != to.1 && has_transport {
        let field = if cx.tuple.protocol == F::ICMP {
            cx.l4 + 4
        } else {
            cx.l4 + if end == End::Source { 0 } else { 2 }
        };
        cx.packet.store(field, &to.1)?;
        cx.packet
            .adjust_checksum_for_field(checksum, from.1, to.1)?;
    }
    Ok(())
}

/// Where the packet's transport checksum lies.
#[inline(always)]
fn transport_checksum<S: Seams>(cx: &Cx<'_, S>) -> Result<Checksum, Drop> {
    let (offset, zero) = match cx.tuple.protocol {
        ip::TCP => (tcp::CHECKSUM, Zero::Sum),
        ip::UDP => (udp::CHECKSUM, Zero::Absent),
        ip::ICMP | ip::ICMPV6 => (icmp::CHECKSUM, Zero::Sum),
        _ => return Err(Drop::UnsupportedProtocolForNatMasquerade),
    };
    Ok(Checksum {
        offset: cx.l4 + offset,
        zero,
    })
}

/// Decides whether a new connection of a pod leaves the cluster under the node's address, and finds it a port.
#[inline(always)]
pub fn masquerade<S: Seams>(cx: &mut Cx<'_, S>) -> Result<(), Drop> {
    call(cx, Apart::Masquerade)?;
    settle(cx)
}

/// Does what [`Wanted`] says.
#[inline(always)]
pub fn settle<S: Seams>(cx: &mut Cx<'_, S>) -> Result<(), Drop> {
    if cx.wanted == Wanted::Alias {
        call(cx, Apart::Alias)?;
    }
    if cx.wanted == Wanted::Port {
        call(cx, Apart::Port)?;
    }
    Ok(())
}

#[inline(always)]
pub(crate) fn decide<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    cx.env.stage("masquerade");
    let (on, node, skip) = if cx.is_v4() {
        let skip = endpoint::flags::SKIP_MASQUERADE_IPV4;
        (cx.env.on(Feature::MasqueradeIpv4), cx.node.ipv4, skip)
    } else {
        let skip = endpoint::flags::SKIP_MASQUERADE_IPV6;
        (cx.env.on(Feature::MasqueradeIpv6), cx.node.ipv6, skip)
    };
    let kept =
        ipcache::flags::NO_MASQUERADE | ipcache::flags::LOCAL_NODE | ipcache::flags::LOCAL_ENDPOINT;
    let outside = scope_of(cx.destination.peer) == Scope::World
        || cx.destination.flags & ipcache::flags::REMOTE_NODE != 0;
    if !on
        || !cx.source.is_local()
        || !outside
        || cx.destination.flags & kept != 0
        || cx.sender().is_some_and(|row| row.flags & skip != 0)
        || cx.maps.masquerade_spares(&PrefixKey {
            prefix_len: 128,
            address: super::identity::effective_destination(cx),
        })
    {
        cx.wanted = Wanted::Alias;
        return Ok(Step::Next);
    }
    if node.is_none() {
        return Err(Drop::NoMappingForNatMasquerade);
    }
    if cx.fragment == Fragment::Orphan {
        return Err(Drop::FirstLogicalDatagramFragmentNotFound);
    }
    if !matches!(cx.tuple.protocol, ip::TCP | ip::UDP | ip::ICMP | ip::ICMPV6) {
        return Err(Drop::UnsupportedProtocolForNatMasquerade);
    }
    cx.rewrite.flags |= flags::SOURCE_NAT;
    cx.rewrite.from = node;
    cx.wanted = Wanted::Port;
    Ok(Step::Next)
}

/// Takes the alias of a connection whose destination alone is rewritten, if that. Where somebody has the tuple, the source gets another port. A hairpin
/// has its loop-back source by now.
#[inline(always)]
pub fn keep<S: Seams>(cx: &mut Cx<'_, S>) -> Result<(), Drop> {
    cx.wanted = Wanted::Alias;
    settle(cx)
}

#[inline(always)]
pub(crate) fn keep_alias<S: Seams>(cx: &mut Cx<'_, S>) -> Step {
    cx.wanted = Wanted::Nothing;
    if cx.rewrite.flags & ANY == 0 && (!cx.lent || cx.fragment == Fragment::Orphan) {
        return Step::Next;
    }
    if cx.rewrite.flags & ANY != 0 && take(cx) {
        return Step::Next;
    }
    if cx.rewrite.flags & flags::SOURCE_NAT == 0 {
        cx.rewrite.flags |= flags::SOURCE_NAT;
        cx.rewrite.from = cx.tuple.source;
    }
    cx.wanted = Wanted::Port;
    Step::Next
}

/// Finds a source port for [`crate::context::Rewrite::from`] that no connection of the same far end and no socket of the node uses, and takes it by
/// inserting the alias. The port is kept where it lies in the range and is free.
#[inline(always)]
pub(crate) fn allocate<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    let (first, last) = (
        cx.env.constant(Constant::SnatMin),
        cx.env.constant(Constant::SnatMax),
    );
    let span = last.saturating_sub(first) + 1;
    let own = u32::from(u16::from_be(cx.tuple.source_port));
    let mut port = if own >= first && own <= last {
        own
    } else {
        first + cx.env.random() % span
    };
    for _ in 0..TRIES {
        cx.rewrite.from_port = (port as u16).to_be();
        if call(cx, Apart::Take)? == Step::Done {
            return Ok(Step::Next);
        }
        port = cx.env.opaque(first + cx.env.random() % span);
    }
    Err(Drop::NoMappingForNatMasquerade)
}

/// [`take`], which says [`Step::Done`] when it has.
#[inline(always)]
pub(crate) fn take_port<S: Seams>(cx: &mut Cx<'_, S>) -> Step {
    if take(cx) { Step::Done } else { Step::Next }
}

/// Takes the alias of [`Cx::rewrite`], unless somebody else has that tuple.
#[inline(always)]
pub fn take<S: Seams>(cx: &mut Cx<'_, S>) -> bool {
    let alias = alias_of(cx);
    if cx.maps.insert_alias(&alias, &cx.key) != Insertion::Done {
        return false;
    }
    let mut plain = alias;
    plain.kind &= !kind::ALIAS;
    let (local, remote) = reply_ends(cx);
    let free = cx.maps.connection(Table::Answered, &plain).is_none()
        && cx.maps.connection(Table::Unanswered, &plain).is_none()
        && !(cx.rewrite.flags & flags::SOURCE_NAT != 0
            && cx.rewrite.flags & flags::HAIRPIN == 0
            && matches!(cx.tuple.protocol, ip::TCP | ip::UDP)
            && cx.env.socket_in_use(&SocketQuery {
                local: local.0,
                local_port: local.1,
                remote: remote.0,
                remote_port: remote.1,
                protocol: cx.tuple.protocol,
            }));
    if !free {
        cx.maps.remove_alias(&alias);
    }
    free
}

/// The two ends as the responder sees them.
#[inline(always)]
fn reply_ends<S: Seams>(cx: &Cx<'_, S>) -> ((Address, u16), (Address, u16)) {
    let from = if cx.rewrite.flags & flags::SOURCE_NAT != 0 {
        (cx.rewrite.from, cx.rewrite.from_port)
    } else {
        (cx.tuple.source, cx.tuple.source_port)
    };
    let to = (
        super::identity::effective_destination(cx),
        super::identity::effective_port(cx),
    );
    (from, to)
}

/// Key of the alias of a new connection.
#[inline(always)]
pub fn alias_of<S: Seams>(cx: &Cx<'_, S>) -> ConnectionKey {
    let (from, to) = reply_ends(cx);
    ConnectionKey::of(
        (&from.0, from.1),
        (&to.0, to.1),
        cx.tuple.protocol,
        cx.key.kind | kind::ALIAS,
    )
    .0
}

/// Key of the alias of an entry that is rewritten.
#[inline(always)]
pub fn alias_of_entry(key: &ConnectionKey, entry: Entry<'_>) -> ConnectionKey {
    let after = Ends::of(key, entry.flags()).rewritten(entry);
    ConnectionKey::of(
        (&after.initiator.0, after.initiator.1),
        (&after.responder.0, after.responder.1),
        key.protocol,
        key.kind | kind::ALIAS,
    )
    .0
}
