//! Fragments: the first one's ports are kept for those behind it.

use crate::{
    Environment, Maps,
    abi::{
        Drop,
        connection::{FragmentKey, FragmentPorts},
    },
    apart::{Apart, call},
    context::{Cx, Fragment, Seams, Step},
    stages::connection,
};

/// Gives a later fragment the ports of its first, where that came by; without it, the packet stays
/// [`Fragment::Orphan`] and later stages decide whether they can do without ports.
#[inline(always)]
pub fn fragment<S: Seams>(cx: &mut Cx<'_, S>) -> Result<(), Drop> {
    if cx.fragment == Fragment::Whole {
        return Ok(());
    }
    call(cx, Apart::Fragment).map(|_| ())
}

#[inline(always)]
pub(crate) fn ports<S: Seams>(cx: &mut Cx<'_, S>) -> Step {
    cx.env.stage("fragment");
    let key = FragmentKey {
        source: cx.tuple.source,
        destination: cx.tuple.destination,
        id: cx.sequence,
        protocol: cx.tuple.protocol,
        pad: [0; 3],
    };
    if cx.fragment == Fragment::First {
        // A full table costs the later fragments, which then are dropped with their own reason.
        cx.maps.record_fragment(
            &key,
            &FragmentPorts {
                source: cx.tuple.source_port,
                destination: cx.tuple.destination_port,
            },
        );
    } else if let Some(ports) = cx.maps.fragment(&key) {
        cx.tuple.source_port = ports.source;
        cx.tuple.destination_port = ports.destination;
        cx.fragment = Fragment::Later;
        connection::set_key(cx);
    }
    Step::Next
}
