//! Delivery to a pod of this node.

use crate::{
    Packet, Verdict,
    abi::{Drop, endpoint::Hop, event::hook},
    context::{Cx, Seams, Step},
    maps::Flow,
    stages::deliver,
};

/// Hands the packet to the pod behind a host interface: into its namespace at once where the hook is an ingress, else
/// through its device, marked as judged. The pod hears its gateway speak.
#[inline(always)]
pub fn local<S: Seams>(cx: &mut Cx<'_, S>, hop: &Hop) -> Result<Step, Drop> {
    cx.packet.set_macs(hop.destination_mac, hop.source_mac)?;
    let ifindex = hop.ifindex;
    if cx.hook == hook::FROM_HOST {
        // Its own hook counts it.
        deliver::mark_judged(cx);
        return cx.done(Verdict::Redirect { ifindex });
    }
    deliver::count(cx, hop.slot, Flow::Ingress);
    cx.done(Verdict::RedirectPeer { ifindex })
}
