//! To another node through the overlay: the identity of the sender is the VNI.

use crate::{
    Packet, Verdict,
    abi::{Drop, connection::Way, endpoint::Hop, ipcache::identity, node::Node},
    context::{Cx, Seams, Step},
    packet::Tunnel,
    stages::reject,
};

/// Puts the packet on its way through the overlay.
#[inline(always)]
pub fn encap<S: Seams>(cx: &mut Cx<'_, S>, hop: &Hop) -> Result<Step, Drop> {
    if reject::exceeds(cx, hop.mtu.into()) && !cx.fragmentable {
        return reject::too_big(cx, hop.mtu.into());
    }
    if cx.node.overlay == 0 || hop.tunnel.is_none() {
        return Err(Drop::NoTunnelOrEncapsulationEndpoint);
    }
    let identity = on_the_wire(cx.node, sender(cx));
    cx.packet.set_tunnel(&Tunnel {
        identity,
        remote: hop.tunnel,
    })?;
    let ifindex = cx.node.overlay;
    cx.done(Verdict::Redirect { ifindex })
}

/// Who sends: of a connection that is known, whoever was judged as that end of it.
#[inline(always)]
fn sender<S: Seams>(cx: &Cx<'_, S>) -> u32 {
    match (cx.entry, cx.way()) {
        (None, _) => cx.source.identity,
        (Some(entry), Way::Forward) => entry.source_identity(),
        (Some(entry), Way::Reply) => entry.destination_identity(),
    }
}

/// The identity that other nodes may hear of: numbers of this node's own and both worlds are the world, this node is a
/// remote one.
#[inline(always)]
pub const fn on_the_wire(node: &Node, sender: u32) -> u32 {
    if sender == identity::HOST {
        return identity::REMOTE_NODE;
    }
    if sender >= identity::LOCAL_WORLD
        || sender == identity::UNKNOWN
        || sender == node.world_ipv4
        || sender == node.world_ipv6
    {
        return identity::WORLD;
    }
    sender
}
