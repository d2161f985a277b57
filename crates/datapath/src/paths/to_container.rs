//! Egress of a pod's host interface: what reaches the pod through the stack.

use super::{run, step};
use crate::{
    Environment, Maps, Packet, Verdict,
    abi::{Drop, event::hook},
    context::{Cx, Seams, State, Step},
    stages::{
        connection, fragment, icmp, identity,
        parse::{self, Payload},
        source,
    },
};

/// Judges the pod's ingress, unless the packet bears the mark of one that was judged.
#[inline(always)]
pub fn to_container<P: Packet, M: Maps, E: Environment>(
    packet: &mut P,
    maps: &M,
    env: &E,
    state: &mut State,
) -> Verdict {
    run(hook::TO_CONTAINER, packet, maps, env, state, stages)
}

#[inline(always)]
fn stages<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    source::receiver(cx)?;
    step!(source::judged_before(cx));
    match parse::parse(cx)? {
        Payload::Ip => {}
        Payload::Arp => return source::node_speaks(cx),
        Payload::Other => return Err(Drop::UnsupportedL2Protocol),
    }
    step!(source::node_discovers(cx));
    fragment::fragment(cx)?;
    step!(icmp::related(cx));
    step!(connection::established(cx));
    let trust = source::behind_the_stack(cx);
    identity::remote_source(cx, trust)?;
    identity::destination(cx)?;
    source::is_for_receiver(cx)?;
    connection::admit(cx)?;
    connection::open(cx)
}
