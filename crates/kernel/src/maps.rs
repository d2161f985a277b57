//! Handles to all maps, typed as the ABI has them.

use std::fs::{self, File};
use std::io;

use datapath::abi::{
    address::PrefixKey,
    connection::{Alias, Connection, ConnectionKey, FragmentKey, FragmentPorts},
    endpoint::{Endpoint, Hop, Traffic},
    event::{Count, DropKey},
    ipcache::{AddressKey, AddressRow},
    node::Node,
    policy::{PeerKey, PolicyHead, PortKey, PortVerdict},
    service::{
        Affinity, AffinityKey, Backend, Frontend, FrontendKey, SlotKey, SocketKey, SocketPeer,
    },
};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::config::Config;
use crate::fake::{Faults, Memory};
use crate::layout::{self, MapSpec};
use crate::map::{Map, PerCpuMap};
use crate::operations::Operations;
use crate::pin::{PinDirectory, PinError};

macro_rules! maps {
    ($($(#[$doc:meta])* $field:ident: $handle:ident<$key:ty, $value:ty>,)+) => {
        /// A handle to each map.
        #[derive(Clone, Debug)]
        pub struct Maps {
            $($(#[$doc])* pub $field: $handle<$key, $value>,)+
            /// The ring of events, see [`crate::events::Events`].
            pub events: Arc<OwnedFd>,
            /// The ring of samples, see [`crate::samples::Samples`].
            pub samples: Arc<OwnedFd>,
        }

        impl Maps {
            fn from_pins(pins: &PinDirectory, specs: &[MapSpec]) -> Result<Self, PinError> {
                let cpus = possible_cpus();
                Ok(Self {
                    $($field: {
                        let fd = open(pins, specs, stringify!($field))?;
                        maps!(@handle $handle, fd, stringify!($field), cpus)
                    },)+
                    events: Arc::new(open(pins, specs, "events")?),
                    samples: Arc::new(open(pins, specs, "samples")?),
                })
            }
        }

        impl Maps {
            /// Tables in this process that behave like the kernel's, see [`crate::fake`]. Counters of CPUs and the
            /// rings are not among them: using those is an error.
            pub fn in_memory(config: &Config, faults: &Faults) -> io::Result<Self> {
                let nothing = || File::open("/dev/null").map(OwnedFd::from);
                let specs = layout::maps(config);
                Ok(Self {
                    $($field: maps!(@memory $handle, nothing, specs, faults, stringify!($field)),)+
                    events: Arc::new(nothing()?),
                    samples: Arc::new(nothing()?),
                })
            }
        }

        impl Maps {
            /// Names of all tables with one value per key, and how often their entries were read and written.
            pub fn operations(&self) -> Vec<(&'static str, Arc<Operations>)> {
                let all = [$(maps!(@operations $handle, self.$field)),+];
                all.into_iter().flatten().collect()
            }
        }

        #[cfg(test)]
        const SIZES: &[(&str, usize, usize)] =
            &[$((stringify!($field), size_of::<$key>(), size_of::<$value>())),+];

        /// The types of keys and values, by name.
        #[cfg(test)]
        pub(crate) const TYPES: &[(&str, [&str; 2])] =
            &[$((stringify!($field), [stringify!($key), stringify!($value)])),+];
    };
    (@operations Map, $map:expr) => { Some(($map.name(), Arc::clone($map.operations()))) };
    (@operations PerCpuMap, $map:expr) => { None };
    (@handle Map, $fd:expr, $name:expr, $cpus:expr) => { Map::from_fd($fd, $name) };
    (@memory Map, $nothing:expr, $specs:expr, $faults:expr, $name:expr) => {
        Map::in_memory(Memory::new(&$specs, $name, $faults), $name)
    };
    (@memory PerCpuMap, $nothing:expr, $specs:expr, $faults:expr, $name:expr) => {
        PerCpuMap::from_fd($nothing()?, $name, 1)
    };
    (@handle PerCpuMap, $fd:expr, $name:expr, $cpus:expr) => { PerCpuMap::from_fd($fd, $name, $cpus) };
}

maps! {
    /// Answered connections.
    connections: Map<ConnectionKey, Connection>,
    /// Connections without an answer yet.
    openings: Map<ConnectionKey, Connection>,
    /// Tuples of rewritten replies.
    aliases: Map<ConnectionKey, Alias>,
    /// Ports of fragmented datagrams.
    fragments: Map<FragmentKey, FragmentPorts>,
    /// Local endpoints, by the low 16 bits of their interface's index.
    endpoints: Map<u32, Endpoint>,
    /// Next hops, by index.
    hops: Map<u32, Hop>,
    /// Counters of endpoints, by slot.
    traffic: PerCpuMap<u32, Traffic>,
    /// Addresses of pods and nodes.
    addresses: Map<AddressKey, AddressRow>,
    /// Prefixes.
    cidrs: Map<PrefixKey, AddressRow>,
    /// Versions in force, by policy.
    policies: Map<u32, PolicyHead>,
    /// Classes of peers.
    policy_peers: Map<PeerKey, u32>,
    /// Verdicts of classes and ports.
    policy_ports: Map<PortKey, PortVerdict>,
    /// Peers that all policies of this node know.
    known_identities: Map<u32, u32>,
    /// Service addresses and ports.
    frontends: Map<FrontendKey, Frontend>,
    /// Backends of services.
    service_slots: Map<SlotKey, u32>,
    /// Backends.
    backends: Map<u32, Backend>,
    /// Clients with session affinity.
    affinity: Map<AffinityKey, Affinity>,
    /// What translated sockets had asked for.
    socket_peers: Map<SocketKey, SocketPeer>,
    /// Generations of address slots; the last one is the node's.
    generations: Map<u32, u32>,
    /// Facts about the node.
    node: Map<u32, Node>,
    /// Prefixes that are not masqueraded; the value is 1.
    masquerade_spare: Map<PrefixKey, u32>,
    /// Events that did not fit into the ring.
    lost_events: PerCpuMap<u32, u64>,
    /// Samples that did not fit into their ring.
    lost_samples: PerCpuMap<u32, u64>,
    /// How connections are sampled, by what user space said ([`datapath::abi::sample::mode`]).
    followed: Map<ConnectionKey, u32>,
    /// Drops by endpoint, reason, direction and rule.
    drops: PerCpuMap<DropKey, Count>,
    /// Packets by hook and outcome.
    hooks: PerCpuMap<u32, Count>,
}

impl Maps {
    /// Opens the pinned maps; each must be there and have the shape that `config` asks for.
    pub fn open(pins: &PinDirectory, config: &Config) -> Result<Self, PinError> {
        Self::from_pins(pins, &layout::maps(config))
    }

    /// Opens the pinned maps whatever their capacity: for commands that only look.
    pub fn open_any_capacity(pins: &PinDirectory) -> Result<Self, PinError> {
        let mut specs = layout::maps(&Config::default());
        for spec in &mut specs {
            spec.max_entries = pins.capacity(spec)?;
        }
        Self::from_pins(pins, &specs)
    }

    /// Opens the drops alone, also where another release's agent runs, which may lack some of this one's maps.
    pub fn open_drops(pins: &PinDirectory) -> Result<PerCpuMap<DropKey, Count>, PinError> {
        let mut specs = layout::maps(&Config::default());
        specs.retain(|spec| spec.name == "drops");
        for spec in &mut specs {
            spec.max_entries = pins.capacity(spec)?;
        }
        let fd = open(pins, &specs, "drops")?;
        Ok(PerCpuMap::from_fd(fd, "drops", possible_cpus()))
    }
}

fn open(pins: &PinDirectory, specs: &[MapSpec], name: &'static str) -> Result<OwnedFd, PinError> {
    let missing = |path| PinError::Missing { path };
    let spec = specs.iter().find(|spec| spec.name == name);
    let spec = spec.ok_or_else(|| missing(pins.path().join(name)))?;
    let fd = pins.open_map(spec)?;
    fd.ok_or_else(|| missing(pins.map(spec)))
}

/// Number of CPUs that may ever appear, which is how many values a per-CPU entry has.
pub(crate) fn possible_cpus() -> usize {
    let text = fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    parse_cpus(&text).unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// The number of CPUs in a list such as `0-3,8`; the highest counts, because ids below it take room as well.
fn parse_cpus(text: &str) -> Option<usize> {
    let last = text.trim().split(',').next_back()?;
    let highest = last.split('-').next_back()?;
    highest.parse::<usize>().ok().map(|cpu| cpu + 1)
}

#[cfg(test)]
mod tests;
