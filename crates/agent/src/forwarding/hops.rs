//! Numbers of hops: an index and an incarnation for each way out, kept over restarts.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use datapath::abi::endpoint::{HOP_FIRST, HOPS, Hop, hop_kind};

/// What a hop leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HopTarget {
    /// A pod of this node, by its interface.
    Local(u32),
    /// Another node, by its address on the underlay.
    Node(IpAddr),
}

/// Hands out hop ids: the index in the low 16 bits, the incarnation in the next 8.
#[derive(Clone, Debug, Default)]
pub struct Hops {
    by_target: BTreeMap<HopTarget, u32>,
    /// Incarnation of every index that was ever used.
    incarnations: BTreeMap<u32, u8>,
    next: u32,
}

impl Hops {
    /// Takes over what the table holds: ways that still lead somewhere keep their numbers.
    pub fn recover(rows: &HashMap<u32, Hop>) -> Self {
        let mut hops = Self {
            next: HOP_FIRST,
            ..Self::default()
        };
        for (index, hop) in rows.iter().filter(|(index, _)| **index >= HOP_FIRST) {
            hops.incarnations.insert(*index, hop.incarnation);
            let target = match hop.kind {
                hop_kind::LOCAL => Some(HopTarget::Local(hop.ifindex)),
                hop_kind::TUNNEL => Some(HopTarget::Node(hop.tunnel.into())),
                _ => None,
            };
            if let Some(target) = target {
                hops.by_target.insert(target, *index);
            }
        }
        hops
    }

    /// The id of a target, which gets a number if it has none. `None` when all are in use.
    pub fn id(&mut self, target: HopTarget) -> Option<u32> {
        let index = match self.by_target.get(&target) {
            Some(index) => *index,
            None => self.take(target)?,
        };
        Some(index | (u32::from(self.incarnation(index)) << 16))
    }

    /// The incarnation of an index.
    pub fn incarnation(&self, index: u32) -> u8 {
        self.incarnations.get(&index).copied().unwrap_or_default()
    }

    fn take(&mut self, target: HopTarget) -> Option<u32> {
        let used: BTreeSet<u32> = self.by_target.values().copied().collect();
        let start = self.next.clamp(HOP_FIRST, HOPS - 1);
        let index = (start..HOPS)
            .chain(HOP_FIRST..start)
            .find(|index| !used.contains(index))?;
        self.next = index + 1;
        let incarnation = self
            .incarnations
            .get(&index)
            .map_or(0, |old| old.wrapping_add(1));
        self.incarnations.insert(index, incarnation);
        self.by_target.insert(target, index);
        Some(index)
    }

    /// Forgets targets whose index is not in `used`.
    pub fn retain(&mut self, used: &BTreeSet<u32>) {
        self.by_target.retain(|_, index| used.contains(index));
    }
}
