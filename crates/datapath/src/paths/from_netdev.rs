//! Ingress of the uplink: other nodes, and the world.

use super::{run, step};
use crate::{
    Environment, Maps, Packet, Verdict,
    abi::{Drop, event::hook},
    context::{Cx, Seams, State, Step},
    stages::{connection, fragment, icmp, identity, service, uplink},
};

/// Judges the ingress of the local pod, translates services from outside and replies to masqueraded connections. What is
/// for the node itself goes to its stack.
#[inline(always)]
pub fn from_netdev<P: Packet, M: Maps, E: Environment>(
    packet: &mut P,
    maps: &M,
    env: &E,
    state: &mut State,
) -> Verdict {
    run(hook::FROM_NETDEV, packet, maps, env, state, stages)
}

#[inline(always)]
fn stages<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    step!(uplink::parse(cx));
    step!(uplink::untracked(cx));
    fragment::fragment(cx)?;
    step!(icmp::related(cx));
    step!(connection::established(cx));
    step!(service::translate_outside(cx));
    let trust = uplink::trust(cx);
    identity::remote_source(cx, trust)?;
    identity::destination(cx)?;
    step!(uplink::not_ours(cx));
    connection::admit(cx)?;
    service::keep_the_way_back(cx)?;
    connection::open(cx)
}
