//! The tables as hash maps; the kernel's meaning of longest match, NOEXIST and full.

use std::{collections::HashMap, hash::Hash};

use super::World;
use crate::{
    abi::{
        Address, Plain, PrefixKey,
        connection::{Connection, ConnectionKey, Entry, FragmentKey, FragmentPorts},
        endpoint::{Endpoint, Hop},
        event::{Count, DropKey, Event},
        ipcache::{AddressKey, AddressRow},
        node::Node,
        policy::{PeerKey, PolicyHead, PortKey, PortVerdict},
        sample::{BUDGET, Record},
        service::{
            Affinity, AffinityKey, Backend, Frontend, FrontendKey, SlotKey, SocketKey, SocketPeer,
        },
    },
    maps::{Flow, Insertion, Maps, Table},
};

/// The first `bits` of an address, the rest zero.
fn prefix(address: &Address, bits: u32) -> PrefixKey {
    let whole = u128::from_be_bytes(address.octets());
    let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
    PrefixKey {
        prefix_len: bits,
        address: Address::v6((whole & mask).to_be_bytes()),
    }
}

/// Longest match, by trying all lengths.
fn longest<'a, T>(table: &'a HashMap<PrefixKey, T>, address: &Address) -> Option<&'a T> {
    (0..=128u32)
        .rev()
        .find_map(|bits| table.get(&prefix(address, bits)))
}

fn put<K: Hash + Eq + Copy, V>(table: &mut HashMap<K, V>, key: &K, value: V) -> Insertion {
    if table.contains_key(key) {
        return Insertion::Exists;
    }
    table.insert(*key, value);
    Insertion::Done
}

impl World {
    fn table(&self, table: Table) -> &std::cell::RefCell<HashMap<ConnectionKey, usize>> {
        match table {
            Table::Answered => &self.connections,
            Table::Unanswered => &self.openings,
        }
    }

    /// Copies of all entries of a table of connections.
    pub fn entries(&self, table: Table) -> Vec<(ConnectionKey, Connection)> {
        self.table(table)
            .borrow()
            .iter()
            .filter_map(|(key, index)| {
                let cell = self.arena.get(*index)?;
                Some((*key, Entry::new(cell).copy()))
            })
            .collect()
    }

    /// Puts an entry in, or replaces it.
    pub fn set_connection(&mut self, table: Table, key: ConnectionKey, value: Connection) {
        let index = self.table(table).borrow().get(&key).copied();
        let index = index.or_else(|| self.free.borrow_mut().pop());
        if let Some(index) = index
            && let Some(cell) = self.arena.get_mut(index)
        {
            *cell.get_mut() = value;
            self.table(table).borrow_mut().insert(key, index);
        }
    }
}

impl Maps for World {
    fn node(&self) -> Option<&Node> {
        self.node.as_ref()
    }

    fn endpoint(&self, ifindex: u32) -> Option<&Endpoint> {
        // An array: every row is there.
        let row = self.endpoints.get(&(ifindex & 0xffff));
        row.or(Some(&self.no_endpoint))
    }

    fn address(&self, key: &AddressKey) -> Option<&AddressRow> {
        self.addresses.get(key)
    }

    fn cidr(&self, key: &PrefixKey) -> Option<&AddressRow> {
        longest(&self.cidrs, &key.address)
    }

    fn masquerade_spares(&self, key: &PrefixKey) -> bool {
        (0..=128u32).any(|bits| self.spare.contains(&prefix(&key.address, bits)))
    }

    fn hop(&self, index: u32) -> Option<&Hop> {
        let row = self.hops.get(&(index & 0xffff));
        row.or(Some(&self.no_hop))
    }

    fn generation(&self, slot: u32) -> u32 {
        self.generations.get(&slot).copied().unwrap_or(0)
    }

    fn policy(&self, index: u32) -> PolicyHead {
        self.policies.get(&index).copied().unwrap_or_default()
    }

    fn policy_class(&self, key: &PeerKey) -> Option<u32> {
        self.peers.get(key).copied()
    }

    fn policy_port(&self, key: &PortKey) -> Option<PortVerdict> {
        (0..=16u32).rev().find_map(|bits| {
            let mask = (0xffff_0000u32 >> bits) as u16;
            let shorter = PortKey {
                prefix_len: PortKey::FIXED_BITS + bits,
                port: (u16::from_be(key.port) & mask).to_be(),
                ..*key
            };
            self.ports.get(&shorter).copied()
        })
    }

    fn identity_known(&self, identity: u32) -> bool {
        self.known.contains_key(&identity)
    }

    fn connection(&self, table: Table, key: &ConnectionKey) -> Option<Entry<'_>> {
        let index = *self.table(table).borrow().get(key)?;
        self.arena.get(index).map(Entry::new)
    }

    fn insert_connection(
        &self,
        table: Table,
        key: &ConnectionKey,
        fill: impl FnOnce(&mut Connection),
    ) -> Insertion {
        let mut value = Connection::default();
        fill(&mut value);
        if self.table(table).borrow().contains_key(key) {
            return Insertion::Exists;
        }
        let Some(index) = self.free.borrow_mut().pop() else {
            return Insertion::Failed;
        };
        if let Some(cell) = self.arena.get(index) {
            Entry::new(cell).replace(&value);
        }
        self.table(table).borrow_mut().insert(*key, index);
        Insertion::Done
    }

    fn remove_connection(&self, table: Table, key: &ConnectionKey) {
        if let Some(index) = self.table(table).borrow_mut().remove(key) {
            self.free.borrow_mut().push(index);
        }
    }

    fn promote(&self, key: &ConnectionKey) -> Option<Entry<'_>> {
        if let Some(index) = self.openings.borrow_mut().remove(key) {
            self.connections.borrow_mut().insert(*key, index);
        }
        self.connection(Table::Answered, key)
    }

    fn alias(&self, key: &ConnectionKey) -> Option<ConnectionKey> {
        self.aliases.borrow().get(key).copied()
    }

    fn insert_alias(&self, key: &ConnectionKey, primary: &ConnectionKey) -> Insertion {
        put(&mut self.aliases.borrow_mut(), key, *primary)
    }

    fn remove_alias(&self, key: &ConnectionKey) {
        self.aliases.borrow_mut().remove(key);
    }

    fn fragment(&self, key: &FragmentKey) -> Option<FragmentPorts> {
        self.fragments.borrow().get(key).copied()
    }

    fn record_fragment(&self, key: &FragmentKey, ports: &FragmentPorts) -> Insertion {
        self.fragments.borrow_mut().insert(*key, *ports);
        Insertion::Done
    }

    fn frontend(&self, key: &FrontendKey) -> Option<&Frontend> {
        self.frontends.get(key)
    }

    fn service_slot(&self, key: &SlotKey) -> Option<u32> {
        self.slots.get(key).copied()
    }

    fn backend(&self, id: u32) -> Option<&Backend> {
        self.backends.get(&id)
    }

    fn affinity(&self, key: &AffinityKey) -> Option<Affinity> {
        self.affinity.borrow().get(key).copied()
    }

    fn record_affinity(&self, key: &AffinityKey, value: &Affinity) {
        self.affinity.borrow_mut().insert(*key, *value);
    }

    fn socket_peer(&self, key: &SocketKey) -> Option<SocketPeer> {
        self.socket_peers.borrow().get(key).copied()
    }

    fn record_socket_peer(&self, key: &SocketKey, value: &SocketPeer) -> Insertion {
        self.socket_peers.borrow_mut().insert(*key, *value);
        Insertion::Done
    }

    fn count_drop(&self, key: &DropKey, bytes: u64) {
        let mut drops = self.drops.borrow_mut();
        add(drops.entry(*key).or_default(), bytes);
    }

    fn count_traffic(&self, slot: u16, flow: Flow, packets: u64, bytes: u64) {
        let mut traffic = self.traffic.borrow_mut();
        let row = traffic.entry(slot).or_default();
        match flow {
            Flow::Egress => {
                row.egress_packets += packets;
                row.egress_bytes += bytes;
            }
            Flow::Ingress => {
                row.ingress_packets += packets;
                row.ingress_bytes += bytes;
            }
        }
    }

    fn count_hook(&self, index: u32, bytes: u64) {
        add(self.hooks.borrow_mut().entry(index).or_default(), bytes);
    }

    fn emit(&self, fill: impl FnOnce(&mut Event)) {
        // Not zeroed in the kernel: a field that is forgotten shows.
        let mut event = Event::from_bytes(&[0xa5; size_of::<Event>()]).unwrap_or_default();
        fill(&mut event);
        self.events.borrow_mut().push(event);
    }

    fn followed(&self, key: &ConnectionKey) -> Option<u8> {
        self.followed.get(key).map(|mode| *mode as u8)
    }

    fn may_sample(&self, pod: u16, window: u32) -> bool {
        let mut sampled = self.sampled.borrow_mut();
        let row = sampled.entry(pod).or_insert((window, 0));
        if row.0 != window {
            *row = (window, 0);
        }
        row.1 += 1;
        row.1 <= BUDGET
    }

    fn sample(&self, fill: impl FnOnce(&mut Record) -> u32) {
        // Not zeroed in the kernel, as above.
        let Some(mut record) = Record::from_bytes(&[0xa5; size_of::<Record>()]) else {
            return;
        };
        let captured = fill(&mut record) as usize;
        let octets = record.octets.get(..captured).unwrap_or_default().to_vec();
        self.samples.borrow_mut().push((record.sample, octets));
    }
}

fn add(count: &mut Count, bytes: u64) {
    count.packets += 1;
    count.bytes += bytes;
}
