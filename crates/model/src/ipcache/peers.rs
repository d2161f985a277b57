//! The numbers by which policies know addresses on this node.
//!
//! An address is known by its identity, unless CIDR selectors cut through the identity. Then those of its addresses that are covered as
//! the first was that anybody saw keep the identity's own number, the *whole*, and each further set of addresses that are covered alike
//! is a *part*, which gets a number of this node's own. Where prefixes of policies contain all pods, as they mostly do, nobody is cut.
//! An identity of which no address is known is taken to be covered as most are.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::Row;
use crate::identity::{Identity, IdentityScope, Reserved};
use crate::numbers::{Exhausted, Numbers, Release};
use crate::policy::cidr::{Cover, Owner};

/// Identities that are given to pods, and do not mean the same everywhere.
const PODS: Range<u32> = 256..1 << 24;

/// A part of an identity: those of its addresses that the same CIDR selectors cover.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartKey {
    /// The identity that is cut.
    pub identity: Identity,
    /// What covers the part.
    pub cover: Cover,
}

/// What an identity's own number stands for.
#[derive(Debug, Clone)]
struct Whole {
    cover: Cover,
    /// Addresses that are known by it.
    uses: usize,
}

/// Who is known by which number.
#[derive(Debug, Clone)]
pub struct PeerNumbers {
    wholes: BTreeMap<Identity, Whole>,
    /// How many wholes that have addresses are covered by what.
    covers: BTreeMap<Cover, usize>,
    /// Wholes that lost their last address since [`Self::settle`]: the tables may still name them.
    left: BTreeSet<Identity>,
    nodes: Numbers<PartKey>,
    pods: Numbers<PartKey>,
}

impl Default for PeerNumbers {
    fn default() -> Self {
        // Half of the scope's numbers are for parts, the other half for nodes that have identities of their own.
        Self {
            wholes: BTreeMap::new(),
            covers: BTreeMap::new(),
            left: BTreeSet::new(),
            nodes: Numbers::new(0x0280_0000..=0x02ff_ffff),
            pods: Numbers::new(0x0300_0001..=0x03ff_ffff),
        }
    }
}

/// Whether an identity is a node's. Those are known by their identity only where nothing covers them.
fn is_node(identity: Identity) -> bool {
    [
        Reserved::Host,
        Reserved::RemoteNode,
        Reserved::KubeApiserver,
    ]
    .iter()
    .any(|reserved| reserved.id() == identity)
        || IdentityScope::of(identity) == IdentityScope::LocalNode
}

fn uncount(covers: &mut BTreeMap<Cover, usize>, cover: &Cover) {
    if let Some(wholes) = covers.get_mut(cover) {
        *wholes -= 1;
        if *wholes == 0 {
            covers.remove(cover);
        }
    }
}

impl PeerNumbers {
    fn of(&mut self, key: &PartKey) -> &mut Numbers<PartKey> {
        if is_node(key.identity) {
            &mut self.nodes
        } else {
            &mut self.pods
        }
    }

    /// Numbers that a former run gave rest: new ones begin after the highest of them.
    pub fn begin_after(&mut self, numbers: impl IntoIterator<Item = u32>) {
        for number in numbers {
            self.nodes.begin_after(number);
            self.pods.begin_after(number);
        }
    }

    /// Takes a use of the number of a row's peer. `held` is the part that the tables have at its address from a former run: it stays
    /// that, unless the number means another part already.
    pub fn acquire(&mut self, row: &Row, held: Option<u32>) -> Result<u32, Exhausted> {
        // The identity of a prefix of the world is its own already, so only pods and nodes are cut.
        let whole = row.location.owner() == Owner::World
            || if is_node(row.identity) {
                row.cover.is_empty()
            } else {
                self.is_whole(row, held)
            };
        if whole {
            return Ok(row.identity.0);
        }
        let key = PartKey {
            identity: row.identity,
            cover: row.cover.clone(),
        };
        let numbers = self.of(&key);
        if let Some(held) = held {
            numbers.restore([(held, key.clone())]);
        }
        numbers.acquire(&key)
    }

    /// Whether an address is known by its identity's number; then it is one more.
    fn is_whole(&mut self, row: &Row, held: Option<u32>) -> bool {
        let identity = row.identity;
        if held.is_some() && !self.wholes.contains_key(&identity) {
            self.left.insert(identity);
            return false;
        }
        let whole = self.wholes.entry(identity).or_insert_with(|| Whole {
            cover: row.cover.clone(),
            uses: 0,
        });
        if whole.cover != row.cover {
            return false;
        }
        whole.uses += 1;
        if whole.uses == 1 {
            *self.covers.entry(row.cover.clone()).or_default() += 1;
        }
        true
    }

    /// Gives a use of a row's number back; returns it if that was its last and it may be [`Self::forget`]ten.
    pub fn release(&mut self, row: &Row, number: u32) -> Option<u32> {
        if number == row.identity.0 {
            if let Some(whole) = self.wholes.get_mut(&row.identity) {
                whole.uses = whole.uses.saturating_sub(1);
                if whole.uses == 0 {
                    uncount(&mut self.covers, &whole.cover);
                    self.left.insert(row.identity);
                }
            }
            return None;
        }
        let key = PartKey {
            identity: row.identity,
            cover: row.cover.clone(),
        };
        (self.of(&key).release(&key) == Release::Unused).then_some(number)
    }

    /// Says that `addresses` of an identity's whole are covered by others now. If those are all of it, its number means that from
    /// now on, and nobody has to be known by another; else it stays what it is.
    pub fn move_whole(&mut self, identity: Identity, addresses: usize, cover: &Cover) -> bool {
        let whole = self.wholes.get_mut(&identity);
        let Some(whole) = whole.filter(|of| of.uses == addresses && of.cover != *cover) else {
            return false;
        };
        uncount(&mut self.covers, &whole.cover);
        *self.covers.entry(cover.clone()).or_default() += 1;
        whole.cover = cover.clone();
        true
    }

    /// What covers the addresses that are known by an identity's own number; where there are none, [`Self::usual_cover`].
    pub fn cover_of(&self, identity: Identity) -> Cover {
        match self.wholes.get(&identity) {
            Some(whole) => whole.cover.clone(),
            None if self.is_bare(identity) => self.usual_cover(),
            None => Cover::default(),
        }
    }

    /// What covers most identities.
    pub fn usual_cover(&self) -> Cover {
        let most = self.covers.iter().max_by_key(|(_, wholes)| **wholes);
        most.map(|(cover, _)| cover.clone()).unwrap_or_default()
    }

    /// Whether an identity is of pods, and no address is known by its own number.
    pub fn is_bare(&self, identity: Identity) -> bool {
        PODS.contains(&identity.0) && !self.wholes.contains_key(&identity)
    }

    /// The tables name nobody any more who is not in use. Returns the identities whose number lost its last address: it may stand for
    /// other addresses from now on.
    pub fn settle(&mut self) -> BTreeSet<Identity> {
        let mut left = std::mem::take(&mut self.left);
        left.retain(|identity| {
            let whole = self.wholes.get(identity);
            whole.is_none_or(|of| of.uses == 0)
        });
        for identity in &left {
            self.wholes.remove(identity);
        }
        left
    }

    /// Frees an unused number, once no table names it any more.
    pub fn forget(&mut self, number: u32) {
        self.nodes.forget(number);
        self.pods.forget(number);
    }

    /// Whether a number stands for a part that some address belongs to.
    pub fn is_used(&self, number: u32) -> bool {
        self.nodes.is_used(number) || self.pods.is_used(number)
    }

    /// The numbers of an identity's parts.
    pub fn parts_of(&self, identity: Identity) -> impl Iterator<Item = (u32, &PartKey)> {
        let first = PartKey {
            identity,
            cover: Cover::default(),
        };
        let same = move |(_, key): &(u32, &PartKey)| key.identity == identity;
        let nodes = self.nodes.from(&first).take_while(same);
        nodes.chain(self.pods.from(&first).take_while(same))
    }
}
