//! What came through the tunnel: the VNI is believed from nodes that we know.

use crate::{
    Environment, Packet,
    abi::{
        Drop,
        ipcache::{flags, identity as number},
    },
    apart::{Apart, call},
    context::{Cx, Seams, Side, Step},
    stages::identity::{self, Known},
};

/// Who sent the inner packet: the identity in the VNI, if the outer one came from a node of the cluster.
#[inline(always)]
pub fn sender<S: Seams>(cx: &mut Cx<'_, S>) -> Result<(), Drop> {
    call(cx, Apart::OverlaySender).map(|_| ())
}

#[inline(always)]
pub(crate) fn identify<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    cx.env.stage("overlay");
    let tunnel = cx.packet.tunnel()?;
    let mut node = Side::default();
    identity::resolve(cx, &tunnel.remote, &mut node);
    if node.flags & flags::REMOTE_NODE == 0 {
        return Err(Drop::UnknownSender);
    }
    let claimed = match tunnel.identity {
        number::UNKNOWN | number::HOST => return Err(Drop::InvalidIdentity),
        number::WORLD if cx.is_v4() => cx.node.world_ipv4,
        number::WORLD => cx.node.world_ipv6,
        identity if identity >= number::LOCAL_WORLD => return Err(Drop::InvalidIdentity),
        identity => identity,
    };
    let mut side = Side::default();
    let known = identity::resolve(cx, &cx.tuple.source, &mut side);
    if side.flags & (flags::LOCAL_ENDPOINT | flags::LOCAL_NODE) != 0 {
        return Err(Drop::InvalidSourceIp);
    }
    side.set_endpoint(None);
    if known == Known::Default || side.identity != claimed {
        // The row says where to answer; who it is, its own node knows best.
        side.identity = claimed;
        side.peer = claimed;
    }
    cx.source = side;
    cx.rewrite.flags |= crate::abi::connection::flags::OVERLAY;
    Ok(Step::Next)
}

/// The overlay brings only what is for a pod of this node, or for the node itself.
#[inline(always)]
pub fn is_here<S: Seams>(cx: &Cx<'_, S>) -> Result<(), Drop> {
    if cx.destination.is_local() || cx.destination.flags & flags::LOCAL_NODE != 0 {
        Ok(())
    } else {
        Err(Drop::NoMatchingLocalContainerFound)
    }
}
