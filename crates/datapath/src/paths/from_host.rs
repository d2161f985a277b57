//! Egress of the node's own interface towards pods: the node's own traffic to pods here and elsewhere.

use super::{run, step};
use crate::{
    Environment, Maps, Packet, Verdict,
    abi::{Drop, event::hook},
    context::{Cx, Seams, State, Step},
    stages::{
        connection, fragment, icmp, identity, nat,
        parse::{self, Payload},
        source,
    },
};

/// Judges the ingress of the local pod; delivers to it, to the overlay, or by the routing table.
#[inline(always)]
pub fn from_host<P: Packet, M: Maps, E: Environment>(
    packet: &mut P,
    maps: &M,
    env: &E,
    state: &mut State,
) -> Verdict {
    run(hook::FROM_HOST, packet, maps, env, state, stages)
}

#[inline(always)]
fn stages<S: Seams>(cx: &mut Cx<'_, S>) -> Result<Step, Drop> {
    match parse::parse(cx)? {
        Payload::Ip => {}
        Payload::Arp | Payload::Other => return source::node_speaks(cx),
    }
    step!(source::node_multicasts(cx));
    fragment::fragment(cx)?;
    step!(icmp::related(cx));
    step!(connection::established(cx));
    let trust = source::behind_the_stack(cx);
    identity::remote_source(cx, trust)?;
    identity::destination(cx)?;
    connection::admit(cx)?;
    nat::keep(cx)?;
    connection::open(cx)
}
