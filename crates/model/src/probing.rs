//! Which other nodes a node probes in a round, and how long a round is: enough to find what is broken, and so few that a
//! large cluster does not notice. See docs/decisions/0012.
//!
//! Nodes lie on a ring by a hash of their names. Each probes the ones that follow it in every round, so that each node is
//! probed by as many; and as many of the others in turn, so that every pair is looked at once in a while.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// A round in a cluster of e − 1 nodes.
const BASE: Duration = Duration::from_secs(10);

/// Fewest neighbours, so that one that is down itself does not decide what is known of a node.
const FEWEST: usize = 3;

/// How many of the following nodes are probed in each round, and how many of the others: log₂ of the number of nodes.
pub fn fan_out(nodes: usize) -> usize {
    let logarithm = nodes.saturating_sub(1).checked_ilog2();
    logarithm.map_or(FEWEST, |floor| (floor as usize + 1).max(FEWEST))
}

/// Length of a round: it grows with the logarithm of the number of nodes, as what is sent in a round does, so that each node
/// sends as much per second in any cluster.
pub fn interval(nodes: usize) -> Duration {
    let nodes = u32::try_from(nodes).unwrap_or(u32::MAX);
    BASE.mul_f64(f64::from(nodes).ln_1p().max(1.0))
}

/// What is known of another node from earlier rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Seen {
    /// It was never probed.
    Never,
    /// It answered in that round.
    Reached(u64),
    /// It did not.
    Missed(u64),
}

/// The nodes of the cluster, in an order that is the same on all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ring(Vec<(u64, Arc<str>)>);

impl Ring {
    /// The ring of these nodes.
    pub fn new(names: impl IntoIterator<Item = Arc<str>>) -> Self {
        let mut places: Vec<_> = names.into_iter().map(|name| (place(&name), name)).collect();
        places.sort_unstable();
        places.dedup();
        Self(places)
    }

    /// Number of nodes.
    pub fn nodes(&self) -> usize {
        self.0.len()
    }

    /// All other nodes, beginning with the one that follows. A node that is not on the ring has a place all the same.
    pub fn after<'a>(&'a self, own: &'a str) -> impl Iterator<Item = &'a Arc<str>> {
        let own_place = place(own);
        let begin = self
            .0
            .partition_point(|(at, name)| (*at, &**name) <= (own_place, own));
        let (before, behind) = self.0.split_at(begin);
        let all = behind.iter().chain(before);
        all.map(|(_, name)| name)
            .filter(move |name| ***name != *own)
    }

    /// Whom `own` probes in a round: those that follow; of the others those that did not answer last time, at most as many;
    /// and as many again that were not probed for longest.
    pub fn round(&self, own: &str, seen: impl Fn(&str) -> Seen) -> Vec<Arc<str>> {
        let number = fan_out(self.nodes());
        let order: Vec<&Arc<str>> = self.after(own).collect();
        let (following, others) = order.split_at(number.min(order.len()));
        let missed = |name: &&&Arc<str>| matches!(seen(name), Seen::Missed(_));
        let mut chosen: BTreeSet<&Arc<str>> =
            others.iter().filter(missed).take(number).copied().collect();
        let mut waiting: Vec<(u64, usize)> = others
            .iter()
            .enumerate()
            .filter(|(_, name)| !chosen.contains(*name))
            .map(|(distance, name)| match seen(name) {
                Seen::Never => (0, distance),
                Seen::Reached(round) | Seen::Missed(round) => (round.saturating_add(1), distance),
            })
            .collect();
        waiting.sort_unstable();
        let longest = waiting.iter().take(number);
        chosen.extend(longest.filter_map(|(_, distance)| others.get(*distance)));
        following.iter().copied().chain(chosen).cloned().collect()
    }
}

/// FNV-1a with the last mixing step of splitmix64: names that differ in one digit lie apart, since neighbours by name are
/// often neighbours in a rack.
fn place(name: &str) -> u64 {
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    for byte in name.bytes() {
        state = (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

#[cfg(test)]
mod tests;
