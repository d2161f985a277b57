//! Connections: cached decisions, found by one lookup, made by the first packet. See docs/decisions/0002.

use crate::{
    Environment, Maps,
    abi::{
        Drop,
        connection::{Connection, ConnectionKey, Decision, Entry, Way, action, flags, kind},
        event,
    },
    context::{Cx, Fragment, Seams, Side, Step},
    environment::Constant,
    maps::{Insertion, Table},
    packet::Packet,
    stages::{
        deliver,
        identity::{self, Known},
        nat::{self, Ends},
        policy, record, tcp,
    },
    wire::{icmp, ip},
};

/// Stage: a packet of a connection that we know goes where its entry says, and the path is over.
#[inline(always)]
pub fn established<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    cx.env.stage("connection");
    if cx.fragment == Fragment::Orphan {
        return Ok(Step::Next);
    }
    find(cx);
    let Some(entry) = cx.entry else {
        return Ok(Step::Next);
    };
    if tcp::begins_anew(cx, entry) {
        forget(cx, entry);
        return Ok(Step::Next);
    }
    follow(cx, entry)
}

/// Looks the packet's tuple up, as a primary, then as an alias.
#[inline(always)]
pub fn find<S: Seams>(cx: &mut Cx<'_, S>) {
    let kind = if cx.is_v4() { 0 } else { kind::V6 };
    let (key, source_is_low) = ConnectionKey::of(
        (&cx.tuple.source, cx.tuple.source_port),
        (&cx.tuple.destination, cx.tuple.destination_port),
        cx.tuple.protocol,
        kind,
    );
    cx.key = key;
    cx.aliased = false;
    cx.entry = entry(cx, &key);
    if let Some(entry) = cx.entry {
        cx.way = way(source_is_low, entry.flags());
    } else {
        find_alias(cx);
    }
}

#[inline(always)]
fn way(source_is_low: bool, flags: u16) -> Way {
    if source_is_low == (flags & flags::INITIATOR_LOW != 0) {
        Way::Forward
    } else {
        Way::Reply
    }
}

#[inline(always)]
fn entry<'a, S: Seams>(cx: &Cx<'a, S>, key: &ConnectionKey) -> Option<Entry<'a>> {
    match cx.maps.connection(Table::Answered, key) {
        Some(entry) => Some(entry),
        None => cx.maps.connection(Table::Unanswered, key),
    }
}

/// Looks the tuple up among aliases; an alias whose primary is gone counts for nothing.
#[inline(never)]
fn find_alias<S: Seams>(cx: &mut Cx<'_, S>) {
    let mut alias = cx.key;
    alias.kind |= kind::ALIAS;
    let Some(primary) = cx.maps.alias(&alias) else {
        return;
    };
    let Some(entry) = entry(cx, &primary) else {
        cx.maps.remove_alias(&alias);
        return;
    };
    let responder = Ends::of(&primary, entry.flags()).rewritten(entry).responder;
    cx.way = if responder == (cx.tuple.source, cx.tuple.source_port) {
        Way::Reply
    } else {
        Way::Forward
    };
    let is_quoted = cx.quoted_l4 != 0;
    if cx.way == Way::Forward && cx.hook != event::hook::TO_CONTAINER && !is_quoted {
        // What we translated is not looked up again on its way: this is somebody else with the tuple of a translated one.
        cx.lent = true;
        return;
    }
    cx.key = primary;
    cx.entry = Some(entry);
    cx.aliased = true;
}

/// Removes an entry and its alias, so that the packet makes a new one in which every field is its own.
#[inline(never)]
fn forget<S: Seams>(cx: &mut Cx<'_, S>, entry: Entry<'_>) {
    if entry.flags() & nat::ANY != 0 {
        cx.maps.remove_alias(&nat::alias_of_entry(&cx.key, entry));
    }
    cx.maps.remove_connection(Table::Answered, &cx.key);
    cx.maps.remove_connection(Table::Unanswered, &cx.key);
    cx.entry = None;
    if cx.aliased {
        // The packet's own tuple is the key of what begins now.
        let kind = cx.key.kind;
        cx.key = ConnectionKey::of(
            (&cx.tuple.source, cx.tuple.source_port),
            (&cx.tuple.destination, cx.tuple.destination_port),
            cx.tuple.protocol,
            kind,
        )
        .0;
        cx.aliased = false;
    }
    cx.way = Way::Forward;
}

/// Sends a packet where its entry says, judging anew where the decision is stale.
#[inline(always)]
fn follow<S: Seams>(cx: &mut Cx<'_, S>, found: Entry<'_>) -> Result<Step, Drop> {
    let mut entry = found;
    let mut decision = entry.decision(cx.way);
    if !is_valid(cx, entry, decision) {
        if cx.way == Way::Reply
            && decision.action() == action::NONE
            && is_valid(cx, entry, entry.decision(Way::Forward))
        {
            find_the_way_back(cx, entry);
        } else {
            judge_again(cx, entry)?;
        }
        if cx.way == Way::Reply
            && let Some(moved) = answered(cx, entry)
        {
            entry = moved;
        }
        decision = entry.decision(cx.way);
    }
    let segments = u64::from(cx.packet.segments());
    entry.count(cx.way, segments, u64::from(cx.length));
    seen(cx, entry);
    tcp::observe(cx, entry);
    nat::translate(cx, entry)?;
    deliver::deliver(cx, decision.hop())
}

/// Whether a cached decision still holds: made, under the generations of now, for a hop that still is the one meant, and
/// by a judgement of the endpoint whose hook this is.
#[inline(always)]
fn is_valid<S: Seams>(cx: &Cx<'_, S>, entry: Entry<'_>, decision: Decision) -> bool {
    if decision.action() != action::FORWARD || !covers(cx, entry) {
        return false;
    }
    let sum = if entry.flags() & flags::DESTINATION_NAT == 0 {
        identity::generations(cx, &cx.key.low, &cx.key.high)
    } else {
        let ends = Ends::of(&cx.key, entry.flags());
        identity::generations(cx, &ends.initiator.0, &entry.to())
    };
    sum == decision.generation()
        && cx
            .maps
            .hop(decision.hop() & 0xffff)
            .is_some_and(|hop| u32::from(hop.incarnation) == decision.hop() >> 16)
}

/// Whether the entry was judged for the endpoint whose hook runs.
#[inline(always)]
fn covers<S: Seams>(cx: &Cx<'_, S>, entry: Entry<'_>) -> bool {
    let (own, id) = match cx.hook {
        event::hook::FROM_CONTAINER => (
            cx.source.id,
            match cx.way {
                Way::Forward => entry.source_endpoint(),
                Way::Reply => entry.destination_endpoint(),
            },
        ),
        event::hook::TO_CONTAINER => (
            cx.destination.id,
            match cx.way {
                Way::Forward => entry.destination_endpoint(),
                Way::Reply => entry.source_endpoint(),
            },
        ),
        _ => return true,
    };
    own == id
}

/// Judges a known connection anew, from initiator to responder. Identities are those of its first packet, unless the
/// tables now say otherwise.
#[inline(never)]
fn judge_again<S: Seams>(cx: &mut Cx<'_, S>, entry: Entry<'_>) -> Result<(), Drop> {
    let ends = Ends::of(&cx.key, entry.flags());
    let (to, port) = if entry.flags() & flags::DESTINATION_NAT == 0 {
        ends.responder
    } else {
        (entry.to(), entry.to_port())
    };
    let own = [&cx.source, &cx.destination].map(|side| (side.ifindex, side.id));
    cx.generation = identity::generations(cx, &ends.initiator.0, &to);
    let mut source = Side::default();
    if identity::resolve(cx, &ends.initiator.0, &mut source) == Known::Default
        || entry.flags() & flags::OVERLAY != 0
    {
        source.identity = entry.source_identity();
        source.peer = source.identity;
    }
    let mut destination = Side::default();
    if identity::resolve(cx, &to, &mut destination) == Known::Default {
        destination.identity = entry.destination_identity();
        destination.peer = destination.identity;
    }
    (cx.source, cx.destination) = (source, destination);
    let port = if is_icmp(cx) { request_type(cx) } else { port };
    policy::judge(cx, port)?;
    let (source, destination) = (cx.source, cx.destination);
    entry.set_judgement(
        (source.identity, destination.identity),
        (source.rule, destination.rule),
    );
    entry.set_endpoints(source.id, destination.id);
    let forward = Decision::new(action::FORWARD, destination.hop, cx.generation);
    let reverse = Decision::new(action::FORWARD, source.hop, cx.generation);
    entry.set_decision(Way::Forward, forward);
    if cx.way == Way::Reply || entry.decision(Way::Reply).action() != action::NONE {
        entry.set_decision(Way::Reply, reverse);
    }
    // The hook's own endpoint is the packet's sender or receiver, whichever way the connection goes.
    let [source, destination] = own;
    (cx.source.ifindex, cx.source.id) = source;
    (cx.destination.ifindex, cx.destination.id) = destination;
    Ok(())
}

/// Fills in where replies go. They carry no verdict of their own, and that of the initiator's packets holds.
#[inline(never)]
fn find_the_way_back<S: Seams>(cx: &mut Cx<'_, S>, entry: Entry<'_>) {
    let generation = entry.decision(Way::Forward).generation();
    let initiator = Ends::of(&cx.key, entry.flags()).initiator.0;
    let mut side = Side::default();
    identity::resolve(cx, &initiator, &mut side);
    let decision = Decision::new(action::FORWARD, side.hop, generation);
    entry.set_decision(Way::Reply, decision);
}

/// Moves an entry that got its first answer to the table of answered ones.
#[inline(never)]
fn answered<'a, S: Seams>(cx: &mut Cx<'a, S>, entry: Entry<'_>) -> Option<Entry<'a>> {
    if entry.first_ns(Way::Reply) != 0 {
        return None;
    }
    entry.set_first_ns(Way::Reply, cx.env.now_ns());
    let moved = cx.maps.promote(&cx.key);
    record::answered(cx);
    moved
}

/// Stores that a direction was used, once a second.
#[inline(always)]
fn seen<S: Seams>(cx: &Cx<'_, S>, entry: Entry<'_>) {
    let now = cx.env.jiffies();
    let last = entry.last_seen(cx.way);
    if last == 0 || now.wrapping_sub(last) >= u64::from(cx.env.constant(Constant::Hz)) {
        entry.set_last_seen(cx.way, now);
    }
}

/// Port by which policy knows the packet, network order; for ICMP the type in the first octet.
#[inline(always)]
pub fn policy_port<S: Seams>(cx: &Cx<'_, S>) -> u16 {
    if is_icmp(cx) {
        u16::from_ne_bytes([cx.tcp_flags, 0])
    } else {
        identity::effective_port(cx)
    }
}

#[inline(always)]
fn is_icmp<S: Seams>(cx: &Cx<'_, S>) -> bool {
    matches!(cx.tuple.protocol, ip::ICMP | ip::ICMPV6)
}

/// The type that began an ICMP connection: only echo requests do.
#[inline(always)]
fn request_type<S: Seams>(cx: &Cx<'_, S>) -> u16 {
    let kind = if cx.is_v4() {
        icmp::v4::ECHO_REQUEST
    } else {
        icmp::v6::ECHO_REQUEST
    };
    u16::from_ne_bytes([kind, 0])
}

/// Whether a new connection is rewritten.
#[inline(always)]
pub fn is_translated<S: Seams>(cx: &Cx<'_, S>) -> bool {
    cx.rewrite.flags & nat::ANY != 0
}

/// Stage: a new connection is judged at those of its ends that are endpoints of this node. Only an echo request begins one in ICMP; a fragment behind the
/// first has no type to judge.
#[inline(never)]
pub fn admit<S: Seams>(cx: &mut Cx<'_, S>) -> Result<(), Drop> {
    if is_icmp(cx) {
        if cx.fragment == Fragment::Later {
            return Err(Drop::FirstLogicalDatagramFragmentNotFound);
        }
        if cx.fragment != Fragment::Orphan && cx.tcp_flags != request_type(cx).to_ne_bytes()[0] {
            return Err(Drop::CtCannotCreateEntryFromPacket);
        }
    }
    if cx.rewrite.flags & flags::HAIRPIN != 0 {
        // A pod may always speak to itself.
        return Ok(());
    }
    let port = policy_port(cx);
    policy::judge(cx, port)
}

/// Stage: makes the entry, tells of it, and sends the first packet on.
#[inline(always)]
pub fn open<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    cx.env.stage("open");
    if cx.fragment != Fragment::Orphan {
        insert(cx)?;
        if let Some(entry) = cx.entry {
            if cx.made {
                record::opened(cx);
                tcp::observe(cx, entry);
            }
            nat::translate(cx, entry)?;
        }
    }
    let hop = cx.destination.hop;
    deliver::deliver(cx, hop)
}

#[inline(never)]
fn insert<S: Seams>(cx: &mut Cx<'_, S>) -> Result<(), Drop> {
    let key = cx.key;
    let mut result = cx
        .maps
        .insert_connection(Table::Unanswered, &key, |value| fill(cx, value));
    if result == Insertion::Done {
        cx.entry = cx.maps.connection(Table::Unanswered, &key);
        cx.made = cx.entry.is_some();
        if !cx.made {
            result = Insertion::Failed;
        }
    }
    match result {
        Insertion::Done => Ok(()),
        // Another processor was quicker with the same packet's sibling: its entry holds for both.
        Insertion::Exists => {
            release(cx);
            cx.entry = entry(cx, &key);
            if let Some(entry) = cx.entry {
                entry.count(
                    Way::Forward,
                    u64::from(cx.packet.segments()),
                    u64::from(cx.length),
                );
            }
            Ok(())
        }
        Insertion::Failed => {
            release(cx);
            Err(Drop::CtMapInsertionFailed)
        }
    }
}

/// Gives back the alias of a connection that did not come about.
#[inline(always)]
fn release<S: Seams>(cx: &Cx<'_, S>) {
    if cx.rewrite.flags & nat::ANY != 0 {
        cx.maps.remove_alias(&nat::alias_of(cx));
    }
}

/// Writes every field of a new entry.
#[inline(always)]
fn fill<S: Seams>(cx: &Cx<'_, S>, value: &mut Connection) {
    let now = cx.env.now_ns();
    let low = cx.tuple.source == cx.key.low && cx.tuple.source_port == cx.key.low_port;
    value.forward = Decision::new(action::FORWARD, cx.destination.hop, cx.generation);
    value.created_ns = now;
    value.source_identity = cx.source.identity;
    value.destination_identity = cx.destination.identity;
    value.egress_rule = cx.source.rule;
    value.ingress_rule = cx.destination.rule;
    value.source_endpoint = cx.source.id;
    value.destination_endpoint = cx.destination.id;
    value.flags = cx.rewrite.flags | if low { flags::INITIATOR_LOW } else { 0 };
    value.to = cx.rewrite.to;
    value.to_port = cx.rewrite.to_port;
    value.from = cx.rewrite.from;
    value.from_port = cx.rewrite.from_port;
    value.hook = cx.hook;
    value.protocol = cx.tuple.protocol;
    value.service = cx.rewrite.service;
    value.backend = cx.rewrite.backend;
    value.ifindex = cx.packet.ifindex();
    value.sent.first_ns = now;
    value.sent.packets = u64::from(cx.packet.segments());
    value.sent.bytes = u64::from(cx.length);
    value.sent.last_seen = cx.env.jiffies();
}
