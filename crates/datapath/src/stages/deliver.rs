//! The end of a path: the packet leaves by its hop.

use crate::{
    Environment, Maps, Packet, Verdict,
    abi::{Drop, endpoint::hop_kind, event::hook, ipcache::identity, node::mark},
    context::{Cx, Seams, Step},
    maps::Flow,
    stages::{encap, redirect, route},
};

/// Sends the packet by a hop id (index in the low 16 bits), and counts it at the endpoints it touches.
#[inline(always)]
pub fn deliver<S: Seams>(cx: &mut Cx<'_, S>, hop: u32) -> Result<Step, Drop> {
    cx.env.stage("deliver");
    match cx.hook {
        hook::TO_CONTAINER => return here(cx),
        hook::TO_NETDEV => return cx.done(Verdict::Pass),
        _ => {}
    }
    let row = cx.maps.hop(hop & 0xffff).ok_or(Drop::StaleOrUnroutableIp)?;
    let step = match row.kind {
        hop_kind::LOCAL => redirect::local(cx, row),
        hop_kind::TUNNEL => encap::encap(cx, row),
        hop_kind::STACK => stack(cx),
        hop_kind::ROUTE => route::route(cx, row.mtu),
        _ => Err(Drop::StaleOrUnroutableIp),
    }?;
    if cx.hook == hook::FROM_CONTAINER
        && !matches!(cx.verdict, Verdict::Answer { .. })
        && let Some(endpoint) = cx.sender()
    {
        count(cx, endpoint.slot, Flow::Egress);
    }
    Ok(step)
}

/// At the pod's own device: it is there.
#[inline(always)]
fn here<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    if let Some(endpoint) = cx.receiver() {
        count(cx, endpoint.slot, Flow::Ingress);
    }
    cx.done(Verdict::Pass)
}

/// To the node's own stack. What came through the overlay is not addressed to one of our devices yet.
#[inline(always)]
fn stack<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    if cx.hook == hook::FROM_OVERLAY {
        cx.packet.accept()?;
    }
    cx.done(Verdict::Pass)
}

/// Adds the packet to the counters of an endpoint.
#[inline(always)]
pub fn count<S: Seams>(cx: &Cx<'_, S>, slot: u16, flow: Flow) {
    let packets = u64::from(cx.packet.segments());
    cx.maps
        .count_traffic(slot, flow, packets, u64::from(cx.length));
}

/// The mark of a packet that was judged at the receiver too: `to_container` lets it pass.
#[inline(always)]
pub fn mark_judged<S: Seams>(cx: &mut Cx<'_, S>) {
    let sender = if cx.source.identity == 0 {
        identity::HOST
    } else {
        cx.source.identity
    };
    cx.packet.set_mark(mark::with_identity(sender));
}
