//! Egress of the uplink: what the node's own stack sends, and pods' traffic that went through it.

use super::{run, step};
use crate::{
    Environment, Maps, Packet, Verdict,
    abi::{Drop, event::hook},
    context::{Cx, Seams, State, Step},
    stages::{connection, fragment, icmp, identity, nat, uplink},
};

/// Judges the node's egress when host policy is on. Keeps the node's own connections in the one table of ports, and translates what left a pod by way of the stack.
#[inline(always)]
pub fn to_netdev<P: Packet, M: Maps, E: Environment>(
    packet: &mut P,
    maps: &M,
    env: &E,
    state: &mut State,
) -> Verdict {
    run(hook::TO_NETDEV, packet, maps, env, state, stages)
}

#[inline(always)]
fn stages<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    step!(uplink::done_before(cx));
    step!(uplink::parse(cx));
    step!(uplink::untracked(cx));
    fragment::fragment(cx)?;
    step!(icmp::related(cx));
    step!(connection::established(cx));
    step!(uplink::own(cx));
    identity::destination(cx)?;
    connection::admit(cx)?;
    nat::keep(cx)?;
    uplink::record(cx)
}
