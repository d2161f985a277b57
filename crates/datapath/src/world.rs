//! A node of hash maps and bytes: the same paths as in the kernel, for tests.

mod build;
pub mod case;
mod frame;
pub mod random;
mod render;
mod rows;
mod tables;
mod tables_text;

use std::{
    cell::{Cell, RefCell, UnsafeCell},
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
};

pub use case::{
    Backend, Case, Input, Outcome, Row, actual, check, check_on, frames_of, is_sound, run_case,
};
pub use frame::Frame;
pub use render::hex;

use crate::{
    Environment, Verdict,
    abi::{
        Address, PrefixKey,
        connection::{Connection, ConnectionKey, FragmentKey, FragmentPorts},
        endpoint::{Endpoint, Hop, Traffic},
        event::{Count, DropKey, Event, hook},
        ipcache::{AddressKey, AddressRow},
        node::{Features, Node},
        policy::{PeerKey, PolicyHead, PortKey, PortVerdict},
        sample::Sample,
        service::{
            Affinity, AffinityKey, Backend as ServiceBackend, Frontend, FrontendKey, SlotKey,
            SocketKey, SocketPeer,
        },
    },
    context::State,
    environment::{Constant, Feature, Route, RouteQuery, SocketQuery},
    paths,
};

/// Room for connections in each of the two tables together.
const ROOM: usize = 4096;

/// All tables, and everything else that decides.
pub struct World {
    /// Constants of the load.
    pub features: Features,
    /// Row 0 of `node`: an array's, so zero until it is written. `None`: a fault to inject.
    pub node: Option<Node>,
    pub(crate) endpoints: HashMap<u32, Endpoint>,
    pub(crate) no_endpoint: Endpoint,
    pub(crate) no_hop: Hop,
    pub(crate) addresses: HashMap<AddressKey, AddressRow>,
    pub(crate) cidrs: HashMap<PrefixKey, AddressRow>,
    pub(crate) spare: HashSet<PrefixKey>,
    pub(crate) hops: HashMap<u32, Hop>,
    pub(crate) generations: HashMap<u32, u32>,
    pub(crate) policies: HashMap<u32, PolicyHead>,
    pub(crate) peers: HashMap<PeerKey, u32>,
    pub(crate) ports: HashMap<PortKey, PortVerdict>,
    pub(crate) known: HashMap<u32, u32>,
    pub(crate) frontends: HashMap<FrontendKey, Frontend>,
    pub(crate) slots: HashMap<SlotKey, u32>,
    pub(crate) backends: HashMap<u32, ServiceBackend>,
    pub(crate) arena: Box<[UnsafeCell<Connection>]>,
    pub(crate) free: RefCell<Vec<usize>>,
    pub(crate) connections: RefCell<HashMap<ConnectionKey, usize>>,
    pub(crate) openings: RefCell<HashMap<ConnectionKey, usize>>,
    pub(crate) aliases: RefCell<HashMap<ConnectionKey, ConnectionKey>>,
    pub(crate) fragments: RefCell<HashMap<FragmentKey, FragmentPorts>>,
    pub(crate) affinity: RefCell<HashMap<AffinityKey, Affinity>>,
    pub(crate) socket_peers: RefCell<HashMap<SocketKey, SocketPeer>>,
    pub(crate) drops: RefCell<HashMap<DropKey, Count>>,
    pub(crate) traffic: RefCell<BTreeMap<u16, Traffic>>,
    pub(crate) hooks: RefCell<BTreeMap<u32, Count>>,
    /// What the ring holds.
    pub events: RefCell<Vec<Event>>,
    pub(crate) followed: HashMap<ConnectionKey, u32>,
    pub(crate) sampled: RefCell<HashMap<u16, (u32, u32)>>,
    /// What the ring of samples holds: heads and octets.
    pub samples: RefCell<Vec<(Sample, Vec<u8>)>>,
    /// Answers of the routing table by destination.
    pub routes: HashMap<Address, Route>,
    /// The node's sockets: address, port in network order, protocol.
    pub sockets: HashSet<(Address, u16, u8)>,
    /// Numbers that chance will give, then it counts up.
    pub chance: RefCell<VecDeque<u32>>,
    pub(crate) counter: Cell<u32>,
    /// Monotonic nanoseconds.
    pub now_ns: u64,
    /// Jiffies.
    pub jiffies: u64,
    /// Stages that the last packet went through.
    pub stages: RefCell<Vec<&'static str>>,
}

impl Default for World {
    fn default() -> Self {
        Self {
            features: Features {
                hz: 100,
                ipv4: 1,
                ipv6: 1,
                allow_localhost: 1,
                events: 1,
                reject_no_backend: 1,
                nodeport_min: 30000,
                nodeport_max: 32767,
                snat_min: 32768,
                snat_max: 65535,
                ..Features::default()
            },
            node: Some(Node::default()),
            endpoints: HashMap::new(),
            no_endpoint: Endpoint::default(),
            no_hop: Hop::default(),
            addresses: HashMap::new(),
            cidrs: HashMap::new(),
            spare: HashSet::new(),
            hops: HashMap::new(),
            generations: HashMap::new(),
            policies: HashMap::new(),
            peers: HashMap::new(),
            ports: HashMap::new(),
            known: HashMap::new(),
            frontends: HashMap::new(),
            slots: HashMap::new(),
            backends: HashMap::new(),
            arena: (0..ROOM).map(|_| UnsafeCell::default()).collect(),
            free: RefCell::new((0..ROOM).rev().collect()),
            connections: RefCell::default(),
            openings: RefCell::default(),
            aliases: RefCell::default(),
            fragments: RefCell::default(),
            affinity: RefCell::default(),
            socket_peers: RefCell::default(),
            drops: RefCell::default(),
            traffic: RefCell::default(),
            hooks: RefCell::default(),
            events: RefCell::default(),
            followed: HashMap::new(),
            sampled: RefCell::default(),
            samples: RefCell::default(),
            routes: HashMap::new(),
            sockets: HashSet::new(),
            chance: RefCell::default(),
            counter: Cell::new(0),
            now_ns: 1_000_000_000,
            jiffies: 1000,
            stages: RefCell::default(),
        }
    }
}

impl World {
    /// Forgets all that packets left: connections, fragments, counts, events. What was loaded stays.
    pub fn forget(&mut self) {
        *self.free.get_mut() = (0..ROOM).rev().collect();
        self.connections.get_mut().clear();
        self.openings.get_mut().clear();
        self.aliases.get_mut().clear();
        self.fragments.get_mut().clear();
        self.affinity.get_mut().clear();
        self.socket_peers.get_mut().clear();
        self.drops.get_mut().clear();
        self.traffic.get_mut().clear();
        self.hooks.get_mut().clear();
        self.events.get_mut().clear();
        self.sampled.get_mut().clear();
        self.samples.get_mut().clear();
        self.counter.set(0);
    }

    /// Runs the path of a hook ([`hook`]) on a frame.
    pub fn run(&self, hook: u8, frame: &mut Frame) -> Verdict {
        self.stages.borrow_mut().clear();
        let mut state = State::default();
        let state = &mut state;
        match hook {
            hook::FROM_CONTAINER => paths::from_container(frame, self, self, state),
            hook::TO_CONTAINER => paths::to_container(frame, self, self, state),
            hook::FROM_NETDEV => paths::from_netdev(frame, self, self, state),
            hook::TO_NETDEV => paths::to_netdev(frame, self, self, state),
            hook::FROM_OVERLAY => paths::from_overlay(frame, self, self, state),
            _ => paths::from_host(frame, self, self, state),
        }
    }
}

impl Environment for World {
    fn now_ns(&self) -> u64 {
        self.now_ns
    }

    fn jiffies(&self) -> u64 {
        self.jiffies
    }

    fn random(&self) -> u32 {
        if let Some(number) = self.chance.borrow_mut().pop_front() {
            return number;
        }
        self.counter.set(self.counter.get().wrapping_add(1));
        self.counter.get()
    }

    fn route(&self, query: &RouteQuery) -> Route {
        self.routes
            .get(&query.destination)
            .copied()
            .unwrap_or(Route::Unreachable)
    }

    fn socket_in_use(&self, query: &SocketQuery) -> bool {
        self.sockets
            .contains(&(query.local, query.local_port, query.protocol))
    }

    fn on(&self, feature: Feature) -> bool {
        let features = &self.features;
        let value = match feature {
            Feature::Ipv4 => features.ipv4,
            Feature::Ipv6 => features.ipv6,
            Feature::Tunnel => features.tunnel,
            Feature::MasqueradeIpv4 => features.masquerade_ipv4,
            Feature::MasqueradeIpv6 => features.masquerade_ipv6,
            Feature::AllowLocalhost => features.allow_localhost,
            Feature::Services => features.services,
            Feature::RejectNoBackend => features.reject_no_backend,
            Feature::Events => features.events,
            Feature::HostPolicy => features.host_policy,
            Feature::Capture => features.capture,
        };
        value != 0
    }

    fn constant(&self, constant: Constant) -> u32 {
        match constant {
            Constant::Hz => self.features.hz,
            Constant::NodeportMin => self.features.nodeport_min.into(),
            Constant::NodeportMax => self.features.nodeport_max.into(),
            Constant::SnatMin => self.features.snat_min.into(),
            Constant::SnatMax => self.features.snat_max.into(),
        }
    }

    fn stage(&self, name: &'static str) {
        self.stages.borrow_mut().push(name);
    }
}
