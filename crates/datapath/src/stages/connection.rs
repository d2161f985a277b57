//! Connections: cached decisions, found by one lookup, made by the first packet. See docs/decisions/0002.

use crate::{
    Environment, Maps,
    abi::{
        Drop,
        connection::{Connection, ConnectionKey, Decision, Entry, Way, action, flags, kind},
        event,
        ipcache::{Scope, scope_of},
    },
    apart::{Apart, call},
    context::{Cx, Fragment, Seams, Side, State, Step, Tuple},
    environment::Constant,
    maps::{Insertion, Table},
    packet::Packet,
    stages::{
        deliver,
        identity::{self, Known},
        nat::{self, Ends},
        policy, record, sample, service, tcp,
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
    find(cx)?;
    if cx.entry.is_none() {
        return Ok(Step::Next);
    }
    let step = call(cx, Apart::Follow);
    // Where the path goes on, the packet begins another connection.
    cx.entry = None;
    step
}

/// Looks [`Cx::key`] up, as a primary, then as an alias.
#[inline(always)]
pub fn find<S: Seams>(cx: &mut Cx<'_, S>) -> Result<(), Drop> {
    cx.entry = entry(cx);
    if cx.entry.is_none() && call(cx, Apart::FindAlias)? == Step::Done {
        cx.entry = entry(cx);
        if cx.entry.is_none() {
            call(cx, Apart::DropAlias)?;
        }
    }
    Ok(())
}

/// What connections are found by: the packet itself, or what it quotes.
#[inline(always)]
fn subject(state: &State) -> &Tuple {
    if state.quoted_l4 == 0 {
        &state.tuple
    } else {
        &state.quoted
    }
}

/// Makes the key of the packet, or of what it quotes.
#[inline(always)]
pub fn set_key<S: Seams>(cx: &mut Cx<'_, S>) {
    let tuple = subject(cx);
    let kind = if tuple.source.is_v4() { 0 } else { kind::V6 };
    let (key, source_is_low) = ConnectionKey::of(
        (&tuple.source, tuple.source_port),
        (&tuple.destination, tuple.destination_port),
        tuple.protocol,
        kind,
    );
    cx.key = key;
    cx.source_is_low = u8::from(source_is_low);
    cx.aliased = false;
}

/// Finds which way the packet, or what it quotes, goes in its connection.
#[inline(always)]
pub fn orient<S: Seams>(cx: &mut Cx<'_, S>, entry: Entry<'_>) -> Result<(), Drop> {
    if cx.aliased {
        return call(cx, Apart::Orient).map(|_| ());
    }
    let way = way(cx.source_is_low != 0, entry.flags());
    cx.set_way(way);
    Ok(())
}

/// The same by an alias: who answers is whom the initiator's packets are rewritten to.
#[inline(always)]
pub(crate) fn orient_by_alias<S: Seams>(cx: &mut Cx<'_, S>) -> Step {
    let Some(entry) = cx.entry else {
        return Step::Next;
    };
    let responder = Ends::of(&cx.key, entry.flags()).rewritten(entry).responder;
    let tuple = subject(cx);
    let way = if responder == (tuple.source, tuple.source_port) {
        Way::Reply
    } else {
        Way::Forward
    };
    cx.set_way(way);
    Step::Next
}

/// Which way who is the lower end, or the higher one, sends.
#[inline(always)]
pub(crate) fn way(source_is_low: bool, flags: u16) -> Way {
    if source_is_low == (flags & flags::INITIATOR_LOW != 0) {
        Way::Forward
    } else {
        Way::Reply
    }
}

#[inline(always)]
fn entry<'a, S: Seams>(cx: &Cx<'a, S>) -> Option<Entry<'a>> {
    match cx.maps.connection(Table::Answered, &cx.key) {
        Some(entry) => Some(entry),
        None => cx.maps.connection(Table::Unanswered, &cx.key),
    }
}

/// Looks the key up among aliases; then the key is that of the primary.
#[inline(always)]
pub(crate) fn find_alias<S: Seams>(cx: &mut Cx<'_, S>) -> Step {
    let mut alias = cx.key;
    alias.kind |= kind::ALIAS;
    let Some(primary) = cx.maps.alias(&alias) else {
        return Step::Next;
    };
    cx.key = primary;
    cx.aliased = true;
    Step::Done
}

/// An alias whose primary is gone counts for nothing.
#[inline(always)]
pub(crate) fn drop_alias<S: Seams>(cx: &mut Cx<'_, S>) -> Step {
    set_key(cx);
    let mut alias = cx.key;
    alias.kind |= kind::ALIAS;
    cx.maps.remove_alias(&alias);
    Step::Next
}

/// Removes an entry and its alias, so that the packet makes a new one in which every field is its own.
#[inline(always)]
pub(crate) fn forget<S: Seams>(cx: &mut Cx<'_, S>) -> Step {
    let Some(entry) = cx.entry else {
        return Step::Next;
    };
    if entry.flags() & nat::ANY != 0 {
        cx.maps.remove_alias(&nat::alias_of_entry(&cx.key, entry));
    }
    cx.maps.remove_connection(Table::Answered, &cx.key);
    cx.maps.remove_connection(Table::Unanswered, &cx.key);
    if cx.aliased {
        // The packet's own tuple is the key of what begins now.
        set_key(cx);
    }
    cx.set_way(Way::Forward);
    Step::Next
}

/// Sends a packet where its entry says, judging anew where the decision is stale.
#[inline(always)]
pub(crate) fn follow<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    let Some(mut entry) = cx.entry else {
        return Ok(Step::Next);
    };
    orient(cx, entry)?;
    if cx.aliased && cx.way() == Way::Forward && cx.hook != event::hook::TO_CONTAINER {
        // What we translated is not looked up again on its way: this is somebody else with the tuple of a translated one.
        cx.lent = true;
        set_key(cx);
        return Ok(Step::Next);
    }
    if tcp::begins_anew(cx, entry) {
        return call(cx, Apart::Forget);
    }
    let mut decision = entry.decision(cx.way());
    if !is_valid(cx, entry, decision) {
        if cx.way() == Way::Reply
            && decision.action() == action::NONE
            && is_valid(cx, entry, entry.decision(Way::Forward))
        {
            find_the_way_back(cx, entry);
        } else if call(cx, Apart::JudgeAgain)? == Step::Done {
            return call(cx, Apart::Forget);
        }
        if cx.way() == Way::Reply && entry.first_ns(Way::Reply) == 0 {
            call(cx, Apart::Answered)?;
            entry = self::entry(cx).unwrap_or(entry);
            cx.entry = Some(entry);
        }
        decision = entry.decision(cx.way());
    }
    let segments = u64::from(cx.packet.segments());
    entry.count(cx.way(), segments, u64::from(cx.length));
    seen(cx, entry);
    sample::sample(cx, entry)?;
    tcp::observe(cx)?;
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
            match cx.way() {
                Way::Forward => entry.source_endpoint(),
                Way::Reply => entry.destination_endpoint(),
            },
        ),
        event::hook::TO_CONTAINER => (
            cx.destination.id,
            match cx.way() {
                Way::Forward => entry.destination_endpoint(),
                Way::Reply => entry.source_endpoint(),
            },
        ),
        _ => return true,
    };
    own == id
}

/// Judges a known connection anew, from initiator to responder. Identities are those of its first packet, unless the
/// tables now say otherwise, or the packet's own VNI: a pod may have got another identity. Which node another is, its address
/// says better than its VNI. Done if there is nothing to judge, because it lost its backend.
#[inline(always)]
pub(crate) fn judge_again<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    let Some(entry) = cx.entry else {
        return Ok(Step::Next);
    };
    if service::lost_backend(cx, entry) {
        return Ok(Step::Done);
    }
    let ends = Ends::of(&cx.key, entry.flags());
    let initiator = ends.initiator.0;
    let (to, port) = if entry.flags() & flags::DESTINATION_NAT == 0 {
        ends.responder
    } else {
        (entry.to(), entry.to_port())
    };
    let own = [&cx.source, &cx.destination].map(|side| (side.ifindex, side.id));
    let told = (cx.source.identity, cx.source.peer);
    cx.generation = identity::generations(cx, &initiator, &to);
    let mut side = Side::default();
    let known = identity::resolve(cx, &initiator, &mut side);
    let tells = cx.hook == event::hook::FROM_OVERLAY && cx.way() == Way::Forward;
    if tells && scope_of(told.0) == Scope::Cluster {
        (side.identity, side.peer) = told;
    } else if known == Known::Default || entry.flags() & flags::OVERLAY != 0 {
        side.identity = entry.source_identity();
        side.peer = side.identity;
    }
    cx.source = side;
    side = Side::default();
    if identity::resolve(cx, &to, &mut side) == Known::Default {
        side.identity = entry.destination_identity();
        side.peer = side.identity;
    }
    cx.destination = side;
    let port = if is_icmp(cx) { request_type(cx) } else { port };
    policy::judge(cx, port)?;
    entry.set_judgement(
        (cx.source.identity, cx.destination.identity),
        (cx.source.rule, cx.destination.rule),
    );
    entry.set_endpoints(cx.source.id, cx.destination.id);
    let forward = Decision::new(action::FORWARD, cx.destination.hop, cx.generation);
    let reverse = Decision::new(action::FORWARD, cx.source.hop, cx.generation);
    entry.set_decision(Way::Forward, forward);
    if cx.way() == Way::Reply || entry.decision(Way::Reply).action() != action::NONE {
        entry.set_decision(Way::Reply, reverse);
    }
    // The hook's own endpoint is the packet's sender or receiver, whichever way the connection goes.
    let [source, destination] = own;
    (cx.source.ifindex, cx.source.id) = source;
    (cx.destination.ifindex, cx.destination.id) = destination;
    Ok(Step::Next)
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
#[inline(always)]
pub(crate) fn answered<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    if let Some(entry) = cx.entry {
        entry.set_first_ns(Way::Reply, cx.env.now_ns());
        cx.maps.promote(&cx.key);
        record::tell(cx, event::kind::ANSWERED)?;
    }
    Ok(Step::Next)
}

/// Stores that a direction was used, once a second.
#[inline(always)]
fn seen<S: Seams>(cx: &Cx<'_, S>, entry: Entry<'_>) {
    let now = cx.env.jiffies();
    let last = entry.last_seen(cx.way());
    if last == 0 || now.wrapping_sub(last) >= u64::from(cx.env.constant(Constant::Hz)) {
        entry.set_last_seen(cx.way(), now);
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
#[inline(always)]
pub fn admit<S: Seams>(cx: &mut Cx<'_, S>) -> Result<(), Drop> {
    call(cx, Apart::Admit).map(|_| ())
}

#[inline(always)]
pub(crate) fn judge<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
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
        return Ok(Step::Next);
    }
    let port = policy_port(cx);
    policy::judge(cx, port)?;
    Ok(Step::Next)
}

/// Stage: makes the entry, tells of it, and sends the first packet on.
#[inline(always)]
pub fn open<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    call(cx, Apart::Open)
}

#[inline(always)]
pub(crate) fn make<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    cx.env.stage("open");
    if cx.fragment != Fragment::Orphan {
        insert(cx)?;
        if let Some(entry) = cx.entry {
            if cx.made {
                record::tell(cx, event::kind::OPENED)?;
            }
            sample::sample(cx, entry)?;
            if cx.made {
                tcp::observe(cx)?;
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
            cx.entry = entry(cx);
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
