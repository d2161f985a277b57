//! What the kernel's tables should say, and the order in which they are brought to say it.
//!
//! [`Desired`] is a value. [`Forwarding::commit`] compares it with what is known of the kernel and writes the difference, make
//! before break: policies, known identities, hops, endpoints, services, addresses, and generations last; removals after
//! that, in reverse, and only when every input is complete. A commit that stops in the middle denies at worst.

mod hops;
mod policy;
mod shadow;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use datapath::abi::address::{Address, PrefixKey};
use datapath::abi::endpoint::{Endpoint, Hop};
use datapath::abi::generation;
use datapath::abi::ipcache::{AddressKey, AddressRow};
use datapath::abi::node::Node;
use datapath::abi::service::{Backend, Frontend, FrontendKey, SlotKey};
use kernel::{Map, MapError, Maps};

pub use hops::{HopTarget, Hops};
pub use policy::{Effect, PolicyTables};
pub use shadow::{Shadow, TablePlan};

/// The tables as they should be. Hops and policies are named by their numbers, which their owners hand out.
#[derive(Clone, Debug, Default)]
pub struct Desired {
    /// Facts about the node.
    pub node: Node,
    /// Endpoints, by the low 16 bits of their interface's index.
    pub endpoints: HashMap<u32, Endpoint>,
    /// Hops in use, by index.
    pub hops: HashMap<u32, Hop>,
    /// Addresses of pods and nodes.
    pub addresses: HashMap<AddressKey, AddressRow>,
    /// Prefixes.
    pub cidrs: HashMap<PrefixKey, AddressRow>,
    /// Peers that every policy knows.
    pub known: HashMap<u32, u32>,
    /// Service addresses.
    pub frontends: HashMap<FrontendKey, Frontend>,
    /// Slots of services.
    pub slots: HashMap<SlotKey, u32>,
    /// Backends.
    pub backends: HashMap<u32, Backend>,
    /// Destinations that are not masqueraded.
    pub spare: HashMap<PrefixKey, u32>,
}

/// Whether what is not desired may be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// Every input has been read once: what is not desired is stale.
    Allowed,
    /// Some input is not complete.
    Forbidden,
}

/// What one commit did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// Entries written.
    pub written: usize,
    /// Entries removed.
    pub removed: usize,
    /// Generations raised.
    pub raised: usize,
}

/// The tables in the kernel, and what is known of their content.
pub struct Forwarding {
    /// Policies and their versions.
    pub policies: PolicyTables,
    /// Numbers of hops.
    pub hops: Hops,
    node: Map<u32, Node>,
    generations: Map<u32, u32>,
    endpoints: Shadow<u32, Endpoint>,
    hop_rows: Shadow<u32, Hop>,
    addresses: Shadow<AddressKey, AddressRow>,
    cidrs: Shadow<PrefixKey, AddressRow>,
    known: Shadow<u32, u32>,
    frontends: Shadow<FrontendKey, Frontend>,
    slots: Shadow<SlotKey, u32>,
    backends: Shadow<u32, Backend>,
    spare: Shadow<PrefixKey, u32>,
    written_node: Option<Node>,
    /// Slots whose generation has to be raised; survives a commit that fails half-way.
    to_raise: BTreeSet<u32>,
}

impl Forwarding {
    /// Reads what the tables hold.
    pub fn open(maps: &Maps) -> Result<Self, MapError> {
        let hop_rows = Shadow::array(maps.hops.clone())?;
        Ok(Self {
            policies: PolicyTables::open(maps)?,
            hops: Hops::recover(hop_rows.rows()),
            node: maps.node.clone(),
            generations: maps.generations.clone(),
            endpoints: Shadow::array(maps.endpoints.clone())?,
            hop_rows,
            addresses: Shadow::hash(maps.addresses.clone())?,
            cidrs: Shadow::hash(maps.cidrs.clone())?,
            known: Shadow::hash(maps.known_identities.clone())?,
            frontends: Shadow::hash(maps.frontends.clone())?,
            slots: Shadow::hash(maps.service_slots.clone())?,
            backends: Shadow::hash(maps.backends.clone())?,
            spare: Shadow::hash(maps.masquerade_spare.clone())?,
            written_node: None,
            to_raise: BTreeSet::new(),
        })
    }

    /// Endpoints that the kernel has, by slot of their interface.
    pub fn endpoints(&self) -> &HashMap<u32, Endpoint> {
        self.endpoints.rows()
    }

    /// Raises the generation of an address at the next commit: decisions about it are judged again.
    pub fn raise(&mut self, address: &Address) {
        self.to_raise.insert(generation::slot_of(address));
    }

    /// Raises the generation that every decision depends on.
    pub fn raise_all(&mut self) {
        self.to_raise.insert(generation::NODE_SLOT);
    }

    /// Writes one endpoint at once, ahead of the next commit: the row of a new pod, which nothing may pass yet.
    pub fn place_endpoint(&mut self, slot: u32, endpoint: Endpoint) -> Result<(), MapError> {
        self.endpoints.set(slot, endpoint)
    }

    /// Forgets hops that are not in use; their numbers are free, under another incarnation.
    pub fn forget_hops(&mut self, used: &BTreeSet<u32>) {
        self.hops.retain(used);
    }

    /// Entries that a commit would write, and those that it would remove, per table.
    pub fn plan(&self, desired: &Desired) -> Vec<TablePlan> {
        vec![
            self.known.summary(&desired.known),
            self.hop_rows.summary(&desired.hops),
            self.endpoints.summary(&desired.endpoints),
            self.backends.summary(&desired.backends),
            self.slots.summary(&desired.slots),
            self.frontends.summary(&desired.frontends),
            self.spare.summary(&desired.spare),
            self.addresses.summary(&desired.addresses),
            self.cidrs.summary(&desired.cidrs),
        ]
    }

    /// Brings the tables to `desired`. After an error the rest is done by the next call.
    pub fn commit(&mut self, desired: &Desired, removal: Removal) -> Result<Report, MapError> {
        let mut report = Report::default();
        self.note_stale_decisions(desired, removal);
        if self.written_node != Some(desired.node) {
            self.node.set(&0, &desired.node)?;
            self.written_node = Some(desired.node);
        }
        report.written += self.known.add(&desired.known)?;
        report.written += self.hop_rows.add(&desired.hops)?;
        report.written += self.endpoints.add(&desired.endpoints)?;
        report.written += self.backends.add(&desired.backends)?;
        report.written += self.slots.add(&desired.slots)?;
        report.written += self.frontends.add(&desired.frontends)?;
        report.written += self.spare.add(&desired.spare)?;
        report.written += self.addresses.add(&desired.addresses)?;
        report.written += self.cidrs.add(&desired.cidrs)?;
        report.raised += self.raise_generations()?;
        if removal == Removal::Allowed {
            report.removed += self.remove(desired)?;
            report.raised += self.raise_generations()?;
        }
        self.policies.sweep(Instant::now())?;
        Ok(report)
    }

    fn remove(&mut self, desired: &Desired) -> Result<usize, MapError> {
        let mut removed = self.addresses.prune(&desired.addresses)?;
        removed += self.cidrs.prune(&desired.cidrs)?;
        removed += self.frontends.prune(&desired.frontends)?;
        removed += self.slots.prune(&desired.slots)?;
        removed += self.backends.prune(&desired.backends)?;
        removed += self.spare.prune(&desired.spare)?;
        removed += self
            .endpoints
            .clear(&desired.endpoints, |_| Endpoint::default())?;
        // A hop that is nobody's keeps its incarnation, so that the next owner of the index gets another one.
        removed += self.hop_rows.clear(&desired.hops, |old| Hop {
            incarnation: old.incarnation,
            ..Hop::default()
        })?;
        removed += self.known.prune(&desired.known)?;
        Ok(removed)
    }

    /// Notes the addresses whose row will change, or go: what was decided about them is to be decided again. A row that is
    /// new changes the verdict of an address that was the world's until now.
    fn note_stale_decisions(&mut self, desired: &Desired, removal: Removal) {
        let mut slots = BTreeSet::new();
        for (key, row) in &desired.addresses {
            if self.addresses.rows().get(key) != Some(row) {
                slots.insert(generation::slot_of(&key.address));
            }
        }
        if removal == Removal::Allowed {
            let gone = self
                .addresses
                .rows()
                .keys()
                .filter(|key| !desired.addresses.contains_key(key));
            slots.extend(gone.map(|key| generation::slot_of(&key.address)));
        }
        // The addresses of a prefix cannot be counted.
        let prefixes_change = match removal {
            Removal::Allowed => *self.cidrs.rows() != desired.cidrs,
            Removal::Forbidden => desired
                .cidrs
                .iter()
                .any(|(key, row)| self.cidrs.rows().get(key) != Some(row)),
        };
        if prefixes_change {
            slots.insert(generation::NODE_SLOT);
        }
        self.to_raise.append(&mut slots);
    }

    fn raise_generations(&mut self) -> Result<usize, MapError> {
        let mut raised = 0;
        while let Some(slot) = self.to_raise.first().copied() {
            let now = self.generations.get(&slot)?.unwrap_or_default();
            self.generations.set(&slot, &now.wrapping_add(1))?;
            self.to_raise.remove(&slot);
            raised += 1;
        }
        Ok(raised)
    }
}
