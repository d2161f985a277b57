//! Every map of the ABI: name, type and sizes, as the object must have them and as pins are checked.

use datapath::abi::{
    self,
    connection::{Alias, Connection, ConnectionKey, FragmentKey, FragmentPorts},
    endpoint::{ENDPOINT_SLOTS, Endpoint, HOPS, Hop, MAX_SLOTS, Traffic},
    event::{Count, DropKey, hook, outcome},
    generation,
    ipcache::{AddressKey, AddressRow},
    node::Node,
    policy::{POLICIES, PeerKey, PolicyHead, PortKey, PortVerdict},
    service::{
        Affinity, AffinityKey, Backend, Frontend, FrontendKey, SlotKey, SocketKey, SocketPeer,
    },
};

use crate::config::Config;

/// Types of maps (`enum bpf_map_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum MapKind {
    /// `BPF_MAP_TYPE_HASH`.
    Hash = 1,
    /// `BPF_MAP_TYPE_ARRAY`.
    Array = 2,
    /// `BPF_MAP_TYPE_PERCPU_HASH`.
    PerCpuHash = 5,
    /// `BPF_MAP_TYPE_PERCPU_ARRAY`.
    PerCpuArray = 6,
    /// `BPF_MAP_TYPE_LRU_HASH`.
    LruHash = 9,
    /// `BPF_MAP_TYPE_LPM_TRIE`.
    Trie = 11,
    /// `BPF_MAP_TYPE_RINGBUF`.
    Ring = 27,
}

/// One map of the ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapSpec {
    /// Its name, in the object and under `maps/`.
    pub name: &'static str,
    /// Number of its layout: raised by whoever changes the types of its entries or what their fields mean. A map of another
    /// number is never read.
    pub layout: u32,
    /// Its type.
    pub kind: MapKind,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Number of entries (of bytes, for a ring).
    pub max_entries: u32,
}

const fn spec<K, V>(name: &'static str, layout: u32, kind: MapKind, max_entries: u32) -> MapSpec {
    MapSpec {
        name,
        layout,
        kind,
        key_size: size_of::<K>() as u32,
        value_size: size_of::<V>() as u32,
        max_entries,
    }
}

/// A ring of so many bytes, whose layout is that of its records.
const fn ring(name: &'static str, layout: u32, bytes: u32) -> MapSpec {
    MapSpec {
        name,
        layout,
        kind: MapKind::Ring,
        key_size: 0,
        value_size: 0,
        max_entries: bytes,
    }
}

/// Number of counters in `hooks`.
pub(crate) const HOOK_COUNTERS: u32 = hook::COUNT * outcome::COUNT;

/// All maps, with the sizes that `config` asks for.
pub fn maps(config: &Config) -> Vec<MapSpec> {
    use MapKind::{Array, Hash, LruHash, PerCpuArray, PerCpuHash, Trie};
    vec![
        spec::<ConnectionKey, Connection>("connections", 1, LruHash, config.connections),
        spec::<ConnectionKey, Connection>("openings", 1, LruHash, config.openings),
        spec::<ConnectionKey, Alias>("aliases", 1, Hash, config.aliases),
        spec::<FragmentKey, FragmentPorts>("fragments", 1, LruHash, config.fragments),
        spec::<u32, Endpoint>("endpoints", 1, Array, ENDPOINT_SLOTS),
        spec::<u32, Hop>("hops", 1, Array, HOPS),
        spec::<u32, Traffic>("traffic", 1, PerCpuArray, MAX_SLOTS),
        spec::<AddressKey, AddressRow>("addresses", 1, Hash, config.addresses),
        spec::<abi::address::PrefixKey, AddressRow>("cidrs", 1, Trie, config.cidrs),
        spec::<u32, PolicyHead>("policies", 1, Array, POLICIES),
        spec::<PeerKey, u32>("policy_peers", 1, Hash, config.policy_peers),
        spec::<PortKey, PortVerdict>("policy_ports", 1, Trie, config.policy_ports),
        spec::<u32, u32>("known_identities", 1, Hash, config.known_identities),
        spec::<FrontendKey, Frontend>("frontends", 1, Hash, config.frontends),
        spec::<SlotKey, u32>("service_slots", 1, Hash, config.service_slots),
        spec::<u32, Backend>("backends", 1, Hash, config.backends),
        spec::<AffinityKey, Affinity>("affinity", 1, LruHash, config.affinity),
        spec::<SocketKey, SocketPeer>("socket_peers", 1, LruHash, config.socket_peers),
        spec::<u32, u32>("generations", 1, Array, generation::SIZE),
        spec::<u32, Node>("node", 1, Array, 1),
        spec::<abi::address::PrefixKey, u32>("masquerade_spare", 1, Trie, config.cidrs),
        ring("events", 1, config.event_bytes),
        spec::<u32, u64>("lost_events", 1, PerCpuArray, 1),
        ring("samples", 1, config.sample_bytes),
        spec::<u32, u64>("lost_samples", 1, PerCpuArray, 1),
        spec::<ConnectionKey, u32>("followed", 1, LruHash, config.followed),
        spec::<DropKey, Count>("drops", 1, PerCpuHash, config.drops),
        spec::<u32, Count>("hooks", 1, PerCpuArray, HOOK_COUNTERS),
    ]
}

/// Each type of the ABI with a hash of its definition and of those it is made of, taken from the sources at build time:
/// fields, their order and their types count, comments and functions do not.
#[cfg(test)]
const TYPES: &[(&str, u64)] = include!(concat!(env!("OUT_DIR"), "/types.rs"));

#[cfg(test)]
mod tests;
