//! Who comes from outside to a service by one node, and is led on to a pod of another, comes there with the first node's address.
//! Over the overlay his identity goes with him; with native routing the pod's node sees somebody of a node.

use std::collections::HashMap;

use api::hubble::answers::{Edge, Party, PartyKind, Row, Side};

use crate::rollup::is_outside;

/// Who is asked, on which port: what both nodes call alike.
type Asked = (Option<Party>, u32, u32);

/// What was led on to somebody, and what came to him as of a node.
#[derive(Default)]
struct Both {
    led_on: u64,
    came: u64,
    /// The edge that led on the most, and how much.
    most: Option<(u64, Edge)>,
}

/// Calls what came to a pod as of a node by the name that the node knew which led it on, so that it is one edge. Where more came
/// than was led on, programs of nodes asked for the same, and nobody can tell whose is which: that stays.
pub(super) fn join(rows: &mut [Row]) {
    let mut all: HashMap<Asked, Both> = HashMap::new();
    for row in rows.iter() {
        let Some(edge) = &row.edge else { continue };
        let counters = row.counters.unwrap_or_default();
        if is_of_a_node(edge) {
            let both = all.entry(asked(edge)).or_default();
            both.came = both.came.saturating_add(counters.opened);
        } else if counters.led_on > 0 && edge.source.as_ref().is_some_and(is_outside) {
            let both = all.entry(asked(edge)).or_default();
            both.led_on = both.led_on.saturating_add(counters.led_on);
            if both
                .most
                .as_ref()
                .is_none_or(|(most, _)| counters.led_on > *most)
            {
                both.most = Some((counters.led_on, edge.clone()));
            }
        }
    }
    for row in rows {
        let Some(edge) = row.edge.as_mut().filter(|edge| is_of_a_node(edge)) else {
            continue;
        };
        let both = all.get(&asked(edge)).filter(|both| both.is_the_same());
        if let Some((_, first)) = both.and_then(|both| both.most.as_ref()) {
            *edge = Edge {
                side: Side::Server.into(),
                ..first.clone()
            };
        }
    }
}

impl Both {
    /// Whether nothing else came. The spans of two nodes do not begin and end in the same moment.
    const fn is_the_same(&self) -> bool {
        self.came <= self.led_on.saturating_add(self.led_on / 64 + 4)
    }
}

fn asked(edge: &Edge) -> Asked {
    (edge.destination.clone(), edge.port, edge.protocol)
}

/// Whether it is what a pod's node sees as of another node.
pub(super) fn is_of_a_node(edge: &Edge) -> bool {
    let source = edge.source.as_ref();
    edge.side() == Side::Client
        && source.is_some_and(|of| of.kind() == PartyKind::Entity && of.name == "remote-node")
}
