//! Ingress of a pod's host interface: everything that the pod sends.

use super::{run, step};
use crate::{
    Environment, Maps, Packet, Verdict,
    abi::{Drop, event::hook},
    context::{Cx, Seams, State, Step},
    stages::{
        answer, connection, fragment, icmp, identity, nat,
        parse::{self, Payload},
        service, source,
    },
};

/// Judges the pod's egress, and the receiver's ingress when it is a pod of this node.
#[inline(always)]
pub fn from_container<P: Packet, M: Maps, E: Environment>(
    packet: &mut P,
    maps: &M,
    env: &E,
    state: &mut State,
) -> Verdict {
    run(hook::FROM_CONTAINER, packet, maps, env, state, stages)
}

#[inline(always)]
fn stages<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    source::sender(cx)?;
    match parse::parse(cx)? {
        Payload::Ip => {}
        Payload::Arp => return answer::arp(cx),
        Payload::Other => return Err(Drop::UnsupportedL2Protocol),
    }
    source::verify(cx)?;
    step!(answer::neighbour(cx));
    fragment::fragment(cx)?;
    step!(icmp::related(cx));
    step!(connection::established(cx));
    source::unicast(cx)?;
    step!(service::translate(cx));
    identity::local_source(cx)?;
    identity::destination(cx)?;
    source::no_overlay(cx)?;
    connection::admit(cx)?;
    nat::masquerade(cx)?;
    connection::open(cx)
}
