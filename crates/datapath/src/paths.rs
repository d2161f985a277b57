//! One path per hook, each a list of stages. Read these first.

mod from_container;
mod from_host;
mod from_netdev;
mod from_overlay;
pub mod round_trip;
pub mod sock;
mod to_container;
mod to_netdev;

pub use from_container::from_container;
pub use from_host::from_host;
pub use from_netdev::from_netdev;
pub use from_overlay::from_overlay;
pub use to_container::to_container;
pub use to_netdev::to_netdev;

use crate::{
    Environment, Maps, Packet, Verdict,
    abi::Drop,
    context::{Cx, State, Step},
    stages::{record, reject},
};

/// Ends the path if a stage says so.
macro_rules! step {
    ($module:ident :: $stage:ident ($cx:ident)) => {
        if $module::$stage($cx)? == $crate::context::Step::Done {
            return Ok($crate::context::Step::Done);
        }
    };
}
use step;

/// Runs the stages of a hook on a packet and books it. The verdict lies in the state too.
#[inline(always)]
fn run<P: Packet, M: Maps, E: Environment>(
    hook: u8,
    packet: &mut P,
    maps: &M,
    env: &E,
    state: &mut State,
    stages: impl FnOnce(&mut Cx<'_, (P, M, E)>) -> Result<Step, Drop>,
) -> Verdict {
    // The row is there from the start, zero until the agent says who the node is.
    let Some(node) = maps.node().filter(|node| node.mtu != 0) else {
        state.verdict = record::without_node(hook, packet, maps);
        return state.verdict;
    };
    let mut cx = Cx::new(packet, (maps, env), node, hook, state);
    let result = stages(&mut cx).and_then(|_| reject::answer_pending(&mut cx));
    record::finish(&mut cx, result)
}
