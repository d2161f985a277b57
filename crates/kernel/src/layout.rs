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
    /// Its type.
    pub kind: MapKind,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Number of entries (of bytes, for a ring).
    pub max_entries: u32,
}

const fn spec<K, V>(name: &'static str, kind: MapKind, max_entries: u32) -> MapSpec {
    MapSpec {
        name,
        kind,
        key_size: size_of::<K>() as u32,
        value_size: size_of::<V>() as u32,
        max_entries,
    }
}

/// Number of counters in `hooks`.
pub(crate) const HOOK_COUNTERS: u32 = hook::COUNT * outcome::COUNT;

/// All maps, with the sizes that `config` asks for.
pub fn maps(config: &Config) -> Vec<MapSpec> {
    use MapKind::{Array, Hash, LruHash, PerCpuArray, PerCpuHash, Ring, Trie};
    vec![
        spec::<ConnectionKey, Connection>("connections", LruHash, config.connections),
        spec::<ConnectionKey, Connection>("openings", LruHash, config.openings),
        spec::<ConnectionKey, Alias>("aliases", Hash, config.aliases),
        spec::<FragmentKey, FragmentPorts>("fragments", LruHash, config.fragments),
        spec::<u32, Endpoint>("endpoints", Array, ENDPOINT_SLOTS),
        spec::<u32, Hop>("hops", Array, HOPS),
        spec::<u32, Traffic>("traffic", PerCpuArray, MAX_SLOTS),
        spec::<AddressKey, AddressRow>("addresses", Hash, config.addresses),
        spec::<abi::address::PrefixKey, AddressRow>("cidrs", Trie, config.cidrs),
        spec::<u32, PolicyHead>("policies", Array, POLICIES),
        spec::<PeerKey, u32>("policy_peers", Hash, config.policy_peers),
        spec::<PortKey, PortVerdict>("policy_ports", Trie, config.policy_ports),
        spec::<u32, u32>("known_identities", Hash, config.known_identities),
        spec::<FrontendKey, Frontend>("frontends", Hash, config.frontends),
        spec::<SlotKey, u32>("service_slots", Hash, config.service_slots),
        spec::<u32, Backend>("backends", Hash, config.backends),
        spec::<AffinityKey, Affinity>("affinity", LruHash, config.affinity),
        spec::<SocketKey, SocketPeer>("socket_peers", LruHash, config.socket_peers),
        spec::<u32, u32>("generations", Array, generation::SIZE),
        spec::<u32, Node>("node", Array, 1),
        spec::<abi::address::PrefixKey, u32>("masquerade_spare", Trie, config.cidrs),
        MapSpec {
            name: "events",
            kind: Ring,
            key_size: 0,
            value_size: 0,
            max_entries: config.event_bytes,
        },
        spec::<u32, u64>("lost_events", PerCpuArray, 1),
        spec::<DropKey, Count>("drops", PerCpuHash, config.drops),
        spec::<u32, Count>("hooks", PerCpuArray, HOOK_COUNTERS),
    ]
}

/// A hash of the definitions of all types that maps hold, made from the sources of the ABI at build time: fields, their
/// order and their types count, comments and functions do not.
pub const TYPES_HASH: u64 = include!(concat!(env!("OUT_DIR"), "/types_hash.rs"));

#[cfg(test)]
mod tests;
