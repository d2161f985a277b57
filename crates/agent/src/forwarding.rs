//! What the kernel's tables should say, and the order in which they are brought to say it.
//!
//! What an entry should be is told when it changes; [`Forwarding::commit`] writes what differs from what is known of the kernel,
//! and looks at nothing else. What is left to do is a value ([`Forwarding::plan`]). The order is make before break: policies, known identities, hops, endpoints, services, addresses, and their generations; removals after
//! that, in reverse, and theirs. A commit that stops in the middle denies at worst.

mod hops;
mod policy;
mod rows;
mod shadow;

use std::collections::BTreeSet;
use std::time::Instant;

use datapath::abi::address::{Address, PrefixKey};
use datapath::abi::endpoint::{Endpoint, Hop, flags};
use datapath::abi::generation;
use datapath::abi::ipcache::{AddressKey, AddressRow};
use datapath::abi::node::Node;
use datapath::abi::service::{Backend, Frontend, FrontendKey, SlotKey};
use kernel::{Map, MapError, Maps};

pub use hops::{HopTarget, Hops};
pub use policy::{Effect, Outcome, PolicyTables};
pub use shadow::{Failure, Shadow, TablePlan};

/// What one commit did.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// Entries that may have changed, or were refused before; no other was looked at.
    pub examined: usize,
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
    /// Endpoints, by the low 16 bits of their interface's index.
    pub endpoints: Shadow<u32, Endpoint>,
    /// Hops, by index.
    pub hop_rows: Shadow<u32, Hop>,
    /// Addresses of pods and nodes.
    pub addresses: Shadow<AddressKey, AddressRow>,
    /// Prefixes.
    pub cidrs: Shadow<PrefixKey, AddressRow>,
    /// Peers that every policy knows.
    pub known: Shadow<u32, u32>,
    /// Service addresses.
    pub frontends: Shadow<FrontendKey, Frontend>,
    /// Slots of services.
    pub slots: Shadow<SlotKey, u32>,
    /// Backends.
    pub backends: Shadow<u32, Backend>,
    /// Destinations that are not masqueraded.
    pub spare: Shadow<PrefixKey, u32>,
    /// Facts about the node, as they should be.
    wanted_node: Node,
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
            wanted_node: Node::default(),
            written_node: None,
            // The last run may have ended between a table and its generations.
            to_raise: BTreeSet::from([generation::NODE_SLOT]),
            gone: Gone::default(),
        })
    }

    /// Whether a run before this one has completed the tables: who the node is was written with all else.
    pub fn knows_node(&self) -> Result<bool, MapError> {
        Ok(self.node.get(&0)?.is_some_and(|row| row.mtu != 0))
    }

    /// Raises the generation of an address at the next commit: decisions about it are judged again.
    pub fn raise(&mut self, address: &Address) {
        self.to_raise.insert(generation::slot_of(address));
    }

    /// Makes a peer unknown at once.
    pub fn forget_peer(&mut self, peer: u32) -> Result<(), MapError> {
        self.known.forget(peer)
    }

    /// What the commits since the last call removed, or tried to.
    pub fn take_gone(&mut self) -> Gone {
        std::mem::take(&mut self.gone)
    }

    /// Writes one endpoint at once, ahead of the next commit: the row of a new pod, which nothing may pass yet.
    pub fn place_endpoint(&mut self, slot: u32, endpoint: Endpoint) -> Result<(), MapError> {
        self.endpoints.set(slot, endpoint)
    }

    /// Says what the facts about the node should be.
    pub fn want_node(&mut self, node: Node) {
        self.wanted_node = node;
    }

    /// Entries that a commit would write, and those that it would remove, per table.
    pub fn plan(&self) -> Vec<TablePlan> {
        vec![
            self.policies.summary(),
            self.known.summary(),
            self.hop_rows.summary(),
            self.endpoints.summary(),
            self.backends.summary(),
            self.slots.summary(),
            self.frontends.summary(),
            self.spare.summary(),
            self.addresses.summary(),
            self.cidrs.summary(),
        ]
    }

    /// Whether an endpoint may send and receive, and its row, its hop and its addresses are in the kernel as they should be.
    pub fn has_endpoint(&self, slot: u32) -> bool {
        let ready = |of: &&Endpoint| of.flags & flags::NOT_READY == 0;
        let Some(endpoint) = self.endpoints.wanted(&slot).filter(ready) else {
            return false;
        };
        let addresses = [endpoint.ipv4, endpoint.ipv6].map(|address| AddressKey {
            address,
            ..AddressKey::default()
        });
        let hop = endpoint.hop & 0xffff;
        self.endpoints.is_settled(&slot)
            && self.hop_rows.is_settled(&hop)
            && addresses.iter().all(|key| self.addresses.is_settled(key))
    }

    /// Brings the tables to what they should be, which must be known completely: what nobody wants goes. What is refused is in
    /// the report, and done by the next call; a mixture of old and new denies at worst.
    pub fn commit(&mut self, now: Instant) -> Report {
        let mut report = Report::default();
        let failures = &mut report.failures;
        report.examined = self.take_told();
        self.note_changed();
        self.write_node(failures);
        let mut written = self.known.add(failures);
        written += self.hop_rows.add(failures);
        written += self.endpoints.add(failures);
        written += self.backends.add(failures);
        written += self.slots.add(failures);
        written += self.frontends.add(failures);
        written += self.spare.add(failures);
        written += self.addresses.add(failures);
        written += self.cidrs.add(failures);
        let mut raised = self.raise_generations(failures);
        self.note_gone();
        let mut removed = self.addresses.prune(failures);
        removed += self.cidrs.prune(failures);
        removed += self.frontends.prune(failures);
        removed += self.slots.prune(failures);
        removed += self.backends.prune(failures);
        removed += self.spare.prune(failures);
        removed += self.endpoints.prune(failures);
        removed += self.hop_rows.prune(failures);
        removed += self.known.prune(failures);
        raised += self.raise_generations(failures);
        self.policies.sweep(now, failures);
        (report.written, report.removed, report.raised) = (written, removed, raised);
        report
    }

    fn take_told(&mut self) -> usize {
        self.known.take_told()
            + self.hop_rows.take_told()
            + self.endpoints.take_told()
            + self.backends.take_told()
            + self.slots.take_told()
            + self.frontends.take_told()
            + self.spare.take_told()
            + self.addresses.take_told()
            + self.cidrs.take_told()
    }

    fn write_node(&mut self, failures: &mut Vec<Failure>) {
        let node = self.wanted_node;
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
    fn note_changed(&mut self) {
        let changed = self.addresses.missing();
        self.to_raise
            .extend(changed.map(|(key, _)| generation::slot_of(&key.address)));
        // The addresses of a prefix cannot be counted.
        if self.cidrs.missing().next().is_some() {
            self.to_raise.insert(generation::NODE_SLOT);
        }
    }

    /// Notes the addresses and backends whose row will go. Connections that were translated to a backend look at their decision
    /// again: without a backend they choose another.
    fn note_gone(&mut self) {
        let rows = self.addresses.rows();
        let stale = self.addresses.stale();
        let addresses = stale
            .filter(|key| rows.contains_key(key))
            .map(|key| key.address);
        self.gone.addresses.extend(addresses);
        let rows = self.backends.rows();
        let backends = self.backends.stale();
        let backends: Vec<Address> = backends
            .filter_map(|id| rows.get(&id))
            .map(|backend| backend.address)
            .collect();
        self.gone.backends += backends.len();
        let stale = self.gone.addresses.iter().chain(&backends);
        self.to_raise.extend(stale.map(generation::slot_of));
        let rows = self.cidrs.rows();
        if self.cidrs.stale().any(|key| rows.contains_key(&key)) {
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
