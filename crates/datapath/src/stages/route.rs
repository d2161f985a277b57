//! Out of the node, by the kernel's routing table; here we stand in for its router.

use crate::{
    Environment, Packet, Verdict,
    abi::{Drop, node::mark},
    apart::{Apart, call},
    context::{Cx, Seams, Step},
    environment::{Route, RouteQuery},
    family::{Family, V4, V6},
    stages::reject,
};

/// Asks the routing table for the packet as it came (before source translation) and sends it out.
#[inline(always)]
pub fn route<S: Seams>(cx: &mut Cx<'_, S>, mtu: u16) -> Result<Step, Drop> {
    cx.mtu = mtu.into();
    call(cx, Apart::Route)
}

#[inline(always)]
pub(crate) fn look_up<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    cx.env.stage("route");
    let mtu = cx.mtu;
    if reject::exceeds(cx, mtu) {
        return too_big(cx, mtu);
    }
    let answer = cx.env.route(&RouteQuery {
        source: cx.tuple.source,
        destination: cx.destination_on_the_wire(),
        ifindex: cx.packet.ifindex(),
        length: reject::segment_length(cx).min(0xffff) as u16,
        tos: cx.tos,
        protocol: cx.tuple.protocol,
    });
    let verdict = match answer {
        Route::Neighbour {
            ifindex,
            destination_mac,
            source_mac,
        } => {
            hop_limit(cx)?;
            cx.packet.set_macs(destination_mac, source_mac)?;
            Verdict::Redirect { ifindex }
        }
        Route::Unresolved { ifindex } => {
            hop_limit(cx)?;
            Verdict::RedirectNeighbour { ifindex }
        }
        Route::Stack => Verdict::Pass,
        Route::TooBig { mtu } => return too_big(cx, mtu),
        Route::Unreachable => return Err(Drop::FibLookupFailed),
    };
    // The uplink's own hook has nothing left to translate or to count. Not the mark of a judged packet: should the stack find
    // a pod here after all, that pod's hook judges.
    cx.packet.set_mark(mark::SNAT_DONE);
    cx.done(verdict)
}

/// The stack may fragment what we may not.
#[inline(always)]
fn too_big<S: Seams>(cx: &mut Cx<'_, S>, mtu: u32) -> Result<Step, Drop> {
    if cx.fragmentable {
        return cx.done(Verdict::Pass);
    }
    reject::too_big(cx, mtu)
}

/// A router takes one off, and lets nothing pass at the end (RFC 1812, 5.3.1).
#[inline(always)]
fn hop_limit<S: Seams>(cx: &mut Cx<'_, S>) -> Result<(), Drop> {
    if cx.ttl <= 1 {
        return Err(Drop::TtlExceeded);
    }
    if cx.is_v4() {
        V4::decrement(cx.packet)
    } else {
        V6::decrement(cx.packet)
    }
}
