//! Ingress of the overlay's interface: what pods and nodes elsewhere send through the tunnel.

use super::{run, step};
use crate::{
    Environment, Maps, Packet, Verdict,
    abi::{Drop, event::hook},
    context::{Cx, Seams, State, Step},
    stages::{
        connection, fragment, icmp, identity, nat, overlay,
        parse::{self, Payload},
    },
};

/// Judges the ingress of the local pod; the sender is who its node says.
#[inline(always)]
pub fn from_overlay<P: Packet, M: Maps, E: Environment>(
    packet: &mut P,
    maps: &M,
    env: &E,
    state: &mut State,
) -> Verdict {
    run(hook::FROM_OVERLAY, packet, maps, env, state, stages)
}

#[inline(always)]
fn stages<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    match parse::parse(cx)? {
        Payload::Ip => {}
        Payload::Arp | Payload::Other => return Err(Drop::UnsupportedL2Protocol),
    }
    overlay::sender(cx)?;
    fragment::fragment(cx)?;
    step!(icmp::related(cx));
    step!(connection::established(cx));
    identity::destination(cx)?;
    overlay::is_here(cx)?;
    connection::admit(cx)?;
    nat::keep(cx)?;
    connection::open(cx)
}
