//! What is told and counted: every packet once, where it ended.

use crate::{
    Environment, Maps, Packet, Verdict,
    abi::{
        Address, Drop, Mac,
        connection::{Way, flags},
        endpoint::hop_kind,
        event::{DropKey, Event, kind, outcome},
    },
    apart::{Apart, call},
    context::{Cx, Seams, Step},
    environment::Feature,
    wire::eth::{self, EthHeader},
};

/// Ends a path: books the packet where it belongs and gives the hook its verdict.
#[inline(always)]
pub fn finish<S: Seams>(cx: &mut Cx<'_, S>, result: Result<Step, Drop>) -> Verdict {
    if let Err(reason) = result {
        cx.verdict = Verdict::Drop(reason);
        // Cannot fail: it has nothing to say.
        let _ = call(cx, Apart::Dropped);
    }
    let outcome = match cx.verdict {
        Verdict::Drop(_) => outcome::DROPPED,
        Verdict::Answer { .. } => outcome::ANSWERED,
        _ => outcome::FORWARDED,
    };
    let counter = outcome::counter(cx.hook, outcome);
    cx.maps.count_hook(counter, u64::from(cx.length));
    cx.verdict
}

/// Drops and books a packet on a node whose row is missing: nothing passes before the agent has said who we are.
#[inline(always)]
pub fn without_node<P: Packet, M: Maps>(hook: u8, packet: &P, maps: &M) -> Verdict {
    let reason = Drop::HostNotReady;
    let bytes = u64::from(packet.len().saturating_sub(eth::LENGTH));
    let key = DropKey {
        reason: reason.number(),
        ..DropKey::default()
    };
    maps.count_drop(&key, bytes);
    maps.count_hook(outcome::counter(hook, outcome::DROPPED), bytes);
    Verdict::Drop(reason)
}

/// Books a drop at the endpoint judged; before any judgement, at the sender or receiver that the hook stands for.
#[inline(always)]
pub(crate) fn dropped<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    let Verdict::Drop(reason) = cx.verdict else {
        return Ok(Step::Next);
    };
    if cx.judged.endpoint == 0 {
        cx.judged.endpoint = match cx.source.id {
            0 => cx.destination.id,
            id => id,
        };
    }
    let denied = matches!(
        reason,
        Drop::PolicyDenied | Drop::PolicyDeny | Drop::InvalidIdentity | Drop::PolicyLockdown
    );
    let key = DropKey {
        endpoint: cx.judged.endpoint,
        reason: reason.number(),
        direction: cx.judged.direction,
        rule: if denied { cx.judged.rule } else { 0 },
    };
    cx.maps.count_drop(&key, u64::from(cx.length));
    let kind = if denied { kind::DENIED } else { kind::DROPPED };
    tell(cx, kind)?;
    Ok(Step::Next)
}

/// Tells of a connection: `kind` is one of [`crate::abi::event::kind`].
#[inline(always)]
pub fn tell<S: Seams>(cx: &mut Cx<'_, S>, kind: u8) -> Result<(), Drop> {
    if !cx.env.on(Feature::Events) {
        return Ok(());
    }
    cx.telling = kind;
    call(cx, Apart::Emit).map(|_| ())
}

#[inline(always)]
pub(crate) fn emit<S: Seams>(cx: &mut Cx<'_, S>) -> Step {
    let kind = cx.telling;
    let reason = match (kind, cx.verdict) {
        (kind::DENIED | kind::DROPPED, Verdict::Drop(reason)) => reason.number(),
        _ => 0,
    };
    let time_ns = cx.env.now_ns();
    let macs: EthHeader = cx.packet.load(0).unwrap_or_default();
    let hop_kind = cx
        .maps
        .hop(cx.destination.hop & 0xffff)
        .map_or(hop_kind::NONE, |hop| hop.kind);
    cx.maps.emit(|event| {
        event.time_ns = time_ns;
        event.kind = kind;
        event.reason = reason;
        event.hop_kind = hop_kind;
        event.macs = both(macs.destination, macs.source);
        fill(cx, event);
    });
    Step::Next
}

#[inline(always)]
const fn both(Mac(to): Mac, Mac(from): Mac) -> [u8; 12] {
    [
        to[0], to[1], to[2], to[3], to[4], to[5], from[0], from[1], from[2], from[3], from[4],
        from[5],
    ]
}

/// Writes what is the same for every kind of event.
#[inline(always)]
fn fill<S: Seams>(cx: &Cx<'_, S>, event: &mut Event) {
    let translated = cx.rewrite.flags & flags::DESTINATION_NAT != 0;
    event.hook = cx.hook;
    event.direction = cx.judged.direction;
    event.protocol = cx.tuple.protocol;
    event.tcp_flags = cx.tcp_flags;
    event.icmp_code = cx.icmp_code;
    event.match_type = cx.judged.match_type;
    event.source = cx.tuple.source;
    event.destination = cx.tuple.destination;
    event.translated = if translated {
        cx.rewrite.to
    } else {
        Address::NONE
    };
    event.source_port = cx.tuple.source_port;
    event.destination_port = cx.tuple.destination_port;
    event.translated_port = if translated { cx.rewrite.to_port } else { 0 };
    event.length = cx.length.min(0xffff) as u16;
    who(cx, event);
    event.ifindex = cx.packet.ifindex();
    event.policy = cx.judged.policy;
    event.audited = u8::from(cx.rewrite.flags & flags::AUDITED != 0);
    event.pad = 0;
    event.pad2 = [0; 3];
}

/// Who speaks to whom: as judged just now, or as the connection knows.
#[inline(always)]
fn who<S: Seams>(cx: &Cx<'_, S>, event: &mut Event) {
    event.source_identity = cx.source.identity;
    event.destination_identity = cx.destination.identity;
    event.egress_rule = cx.source.rule;
    event.ingress_rule = cx.destination.rule;
    event.source_endpoint = cx.source.id;
    event.destination_endpoint = cx.destination.id;
    let Some(entry) = cx.entry.filter(|_| event.reason == 0) else {
        return;
    };
    event.egress_rule = entry.egress_rule();
    event.ingress_rule = entry.ingress_rule();
    let identities = (entry.source_identity(), entry.destination_identity());
    let endpoints = (entry.source_endpoint(), entry.destination_endpoint());
    (event.source_identity, event.destination_identity) = match cx.way() {
        Way::Forward => identities,
        Way::Reply => (identities.1, identities.0),
    };
    (event.source_endpoint, event.destination_endpoint) = match cx.way() {
        Way::Forward => endpoints,
        Way::Reply => (endpoints.1, endpoints.0),
    };
}
