//! Numbers of hops: an index and an incarnation for each way out, kept over restarts.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
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
    used: HashSet<u32>,
    /// How many entries of the tables name a target.
    users: HashMap<HopTarget, u32>,
    /// Targets that have an index and no user.
    idle: BTreeSet<HopTarget>,
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
                hops.used.insert(*index);
                hops.idle.insert(target);
            }
        }
        hops
    }

    /// Takes a use of a target, which gets a number if it has none. `None` when all are in use.
    pub fn hold(&mut self, target: HopTarget) -> Option<u32> {
        let index = match self.by_target.get(&target) {
            Some(index) => *index,
            None => self.take(target)?,
        };
        *self.users.entry(target).or_default() += 1;
        self.idle.remove(&target);
        Some(self.id_of(index))
    }

    /// Gives a use back. The target keeps its number until [`Self::forget_idle`].
    pub fn release(&mut self, target: HopTarget) {
        let Some(users) = self.users.get_mut(&target) else {
            return;
        };
        *users -= 1;
        if *users == 0 {
            self.users.remove(&target);
            self.idle.insert(target);
        }
    }

    /// The id of a target, used or not.
    pub fn id(&self, target: &HopTarget) -> Option<u32> {
        self.by_target.get(target).map(|index| self.id_of(*index))
    }

    /// Whether an entry of the tables names a target.
    pub fn is_used(&self, target: &HopTarget) -> bool {
        self.users.contains_key(target)
    }

    fn id_of(&self, index: u32) -> u32 {
        let incarnation = self.incarnations.get(&index).copied().unwrap_or_default();
        index | (u32::from(incarnation) << 16)
    }

    fn take(&mut self, target: HopTarget) -> Option<u32> {
        let start = self.next.clamp(HOP_FIRST, HOPS - 1);
        let index = (start..HOPS)
            .chain(HOP_FIRST..start)
            .find(|index| !self.used.contains(index))?;
        self.next = index + 1;
        let incarnation = self
            .incarnations
            .get(&index)
            .map_or(0, |old| old.wrapping_add(1));
        self.incarnations.insert(index, incarnation);
        self.used.insert(index);
        self.by_target.insert(target, index);
        Some(index)
    }

    /// Forgets targets that nobody uses, once the table holds nothing of them; their numbers are free, under another
    /// incarnation.
    pub fn forget_idle(&mut self) {
        for target in std::mem::take(&mut self.idle) {
            if let Some(index) = self.by_target.remove(&target) {
                self.used.remove(&index);
            }
        }
    }
}
