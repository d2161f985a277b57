//! What the kernel's tables should say, and the order in which they are brought to say it.
//!
//! [`Desired`] is a value. [`Forwarding::commit`] compares it with what is known of the kernel and writes the difference, make
//! before break: policies, known identities, hops, endpoints, services, addresses, and their generations; removals after
//! that, in reverse, and theirs. A commit that stops in the middle denies at worst.

mod hops;
mod policy;
mod rows;
mod shadow;

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
pub use policy::{Effect, Outcome, PolicyTables};
pub use shadow::{Failure, Shadow, TablePlan};

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

/// What one commit did.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// Entries written.
    pub written: usize,
    /// Entries removed.
    pub removed: usize,
    /// Generations raised.
    pub raised: usize,
    /// Entries that were refused.
    pub failures: Vec<Failure>,
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
    /// What went since somebody asked.
    gone: Gone,
}

/// What sockets may still be connected to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gone {
    /// Backends whose row was removed.
    pub backends: usize,
    /// Addresses of pods and nodes whose row was removed.
    pub addresses: Vec<Address>,
}

impl Forwarding {
    /// Reads what the tables hold.
    pub fn open(maps: &Maps) -> Result<Self, MapError> {
        // A hop that is nobody's keeps its incarnation, so that the next owner of the index gets another one.
        let hop_rows = Shadow::array(maps.hops.clone(), |old| Hop {
            incarnation: old.incarnation,
            ..Hop::default()
        })?;
        Ok(Self {
            policies: PolicyTables::open(maps)?,
            hops: Hops::recover(hop_rows.rows()),
            node: maps.node.clone(),
            generations: maps.generations.clone(),
            endpoints: Shadow::array(maps.endpoints.clone(), |_| Endpoint::default())?,
            hop_rows,
            addresses: Shadow::hash(maps.addresses.clone())?,
            cidrs: Shadow::hash(maps.cidrs.clone())?,
            known: Shadow::hash(maps.known_identities.clone())?,
            frontends: Shadow::hash(maps.frontends.clone())?,
            slots: Shadow::hash(maps.service_slots.clone())?,
            backends: Shadow::hash(maps.backends.clone())?,
            spare: Shadow::hash(maps.masquerade_spare.clone())?,
            written_node: None,
            // The last run may have ended between a table and its generations.
            to_raise: BTreeSet::from([generation::NODE_SLOT]),
            gone: Gone::default(),
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

    /// What the commits since the last call removed, or tried to.
    pub fn take_gone(&mut self) -> Gone {
        std::mem::take(&mut self.gone)
    }

    /// Writes one endpoint at once, ahead of the next commit: the row of a new pod, which nothing may pass yet.
    pub fn place_endpoint(&mut self, slot: u32, endpoint: Endpoint) -> Result<(), MapError> {
        self.endpoints.set(slot, endpoint)
    }

    /// Forgets hops that are not in use; their numbers are free, under another incarnation.
    pub fn forget_hops(&mut self, used: &BTreeSet<u32>) {
        self.hops.retain(used);
    }

    /// Prefixes with their rows, as the kernel has them.
    pub fn cidrs(&self) -> &HashMap<PrefixKey, AddressRow> {
        self.cidrs.rows()
    }

    /// Addresses with their rows, as the kernel has them.
    pub fn addresses(&self) -> &HashMap<AddressKey, AddressRow> {
        self.addresses.rows()
    }

    /// Entries that a commit would write, and those that it would remove, per table.
    pub fn plan(&self, desired: &Desired) -> Vec<TablePlan> {
        vec![
            self.policies.summary(),
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

    /// Whether an endpoint's row, its hop and its addresses are in the kernel as desired.
    pub fn has_endpoint(&self, slot: u32, desired: &Desired) -> bool {
        let Some(endpoint) = desired.endpoints.get(&slot) else {
            return false;
        };
        let hop = endpoint.hop & 0xffff;
        let addresses = [endpoint.ipv4, endpoint.ipv6].map(|address| AddressKey {
            address,
            ..AddressKey::default()
        });
        self.endpoints.holds(&slot, endpoint)
            && desired
                .hops
                .get(&hop)
                .is_some_and(|row| self.hop_rows.holds(&hop, row))
            && addresses.iter().all(|key| {
                desired
                    .addresses
                    .get(key)
                    .is_none_or(|row| self.addresses.holds(key, row))
            })
    }

    /// Brings the tables to `desired`, which must be complete: what is not in it goes. What is refused is in the report, and
    /// done by the next call; a mixture of old and new denies at worst.
    pub fn commit(&mut self, desired: &Desired, now: Instant) -> Report {
        let mut report = Report::default();
        let failures = &mut report.failures;
        self.note_changed(desired);
        self.write_node(desired.node, failures);
        let mut written = self.known.add(&desired.known, failures);
        written += self.hop_rows.add(&desired.hops, failures);
        written += self.endpoints.add(&desired.endpoints, failures);
        written += self.backends.add(&desired.backends, failures);
        written += self.slots.add(&desired.slots, failures);
        written += self.frontends.add(&desired.frontends, failures);
        written += self.spare.add(&desired.spare, failures);
        written += self.addresses.add(&desired.addresses, failures);
        written += self.cidrs.add(&desired.cidrs, failures);
        let mut raised = self.raise_generations(failures);
        self.note_gone(desired);
        let mut removed = self.addresses.prune(&desired.addresses, failures);
        removed += self.cidrs.prune(&desired.cidrs, failures);
        removed += self.frontends.prune(&desired.frontends, failures);
        removed += self.slots.prune(&desired.slots, failures);
        removed += self.backends.prune(&desired.backends, failures);
        removed += self.spare.prune(&desired.spare, failures);
        removed += self.endpoints.prune(&desired.endpoints, failures);
        removed += self.hop_rows.prune(&desired.hops, failures);
        removed += self.known.prune(&desired.known, failures);
        raised += self.raise_generations(failures);
        self.policies.sweep(now, failures);
        (report.written, report.removed, report.raised) = (written, removed, raised);
        report
    }

    fn write_node(&mut self, node: Node, failures: &mut Vec<Failure>) {
        if self.written_node == Some(node) {
            return;
        }
        self.written_node = None;
        match self.node.set(&0, &node) {
            Ok(()) => self.written_node = Some(node),
            Err(error) => failures.push(Failure::of(&0, &error)),
        }
    }

    /// Notes the addresses whose row will change: what was decided about them is to be decided again. A row that is
    /// new changes the verdict of an address that was the world's until now.
    fn note_changed(&mut self, desired: &Desired) {
        let changed = desired
            .addresses
            .iter()
            .filter(|(key, row)| !self.addresses.holds(key, row));
        self.to_raise
            .extend(changed.map(|(key, _)| generation::slot_of(&key.address)));
        // The addresses of a prefix cannot be counted.
        let mut prefixes = desired.cidrs.iter();
        if prefixes.any(|(key, row)| !self.cidrs.holds(key, row)) {
            self.to_raise.insert(generation::NODE_SLOT);
        }
    }

    /// Notes the addresses and backends whose row will go. Connections that were translated to a backend look at their decision
    /// again: without a backend they choose another.
    fn note_gone(&mut self, desired: &Desired) {
        let rows = self.addresses.rows().keys();
        let addresses = rows
            .filter(|key| !desired.addresses.contains_key(key))
            .map(|key| key.address);
        self.gone.addresses.extend(addresses);
        let rows = self.backends.rows().iter();
        let backends: Vec<Address> = rows
            .filter(|(id, _)| !desired.backends.contains_key(id))
            .map(|(_, backend)| backend.address)
            .collect();
        self.gone.backends += backends.len();
        let stale = self.gone.addresses.iter().chain(&backends);
        self.to_raise.extend(stale.map(generation::slot_of));
        let mut prefixes = self.cidrs.rows().keys();
        if prefixes.any(|key| !desired.cidrs.contains_key(key)) {
            self.to_raise.insert(generation::NODE_SLOT);
        }
    }

    fn raise_generations(&mut self, failures: &mut Vec<Failure>) -> usize {
        let before = self.to_raise.len();
        let generations = &self.generations;
        self.to_raise.retain(|slot| {
            let now = generations.get(slot);
            let raised =
                now.and_then(|now| generations.set(slot, &now.unwrap_or_default().wrapping_add(1)));
            raised
                .inspect_err(|error| failures.push(Failure::of(slot, error)))
                .is_err()
        });
        before - self.to_raise.len()
    }
}
