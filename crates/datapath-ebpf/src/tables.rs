//! The maps of the ABI, by their names there, and their face towards the data path.
//!
//! Sizes are the largest that a node may ask for where the kernel allocates on use, and defaults elsewhere; the loader
//! overrides them (`kernel::Config`).

use aya_ebpf::{
    bindings::{BPF_NOEXIST, BPF_RB_NO_WAKEUP},
    btf_maps::{
        Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, PerCpuHashMap, RingBuf, lpm_trie::Key,
    },
    macros::btf_map,
};
use datapath::{
    abi::{
        Address, PrefixKey,
        connection::{Alias, Connection, ConnectionKey, Entry, FragmentKey, FragmentPorts},
        endpoint::{Endpoint, Hop, Traffic},
        event::{Count, DropKey, Event, hook, outcome},
        ipcache::{AddressKey, AddressRow},
        node::Node,
        policy::{PeerKey, PolicyHead, PortKey, PortVerdict},
        sample::{BUDGET, Record, Sample},
        service::{
            Affinity, AffinityKey, Backend, Frontend, FrontendKey, SlotKey, SocketKey, SocketPeer,
        },
    },
    context::State,
    maps::{Flow, Insertion, Maps, Table},
};

use crate::kernel::bounded;

/// `BPF_F_NO_PREALLOC`: memory is taken per entry.
const ON_USE: usize = 1;

/// The part of a [`datapath::abi::policy::PortKey`] behind its prefix length, as the trie compares it.
pub type PortBits = [u8; 12];

#[btf_map(name = "connections")]
pub static CONNECTIONS: LruHashMap<ConnectionKey, Connection, 65536> = LruHashMap::new();
#[btf_map(name = "openings")]
pub static OPENINGS: LruHashMap<ConnectionKey, Connection, 16384> = LruHashMap::new();
#[btf_map(name = "aliases")]
pub static ALIASES: HashMap<ConnectionKey, Alias, 65536, ON_USE> = HashMap::new();
#[btf_map(name = "fragments")]
pub static FRAGMENTS: LruHashMap<FragmentKey, FragmentPorts, 8192> = LruHashMap::new();

#[btf_map(name = "endpoints")]
pub static ENDPOINTS: Array<Endpoint, 65536> = Array::new();
#[btf_map(name = "hops")]
pub static HOPS: Array<Hop, 65536> = Array::new();
#[btf_map(name = "traffic")]
pub static TRAFFIC: PerCpuArray<Traffic, 4096> = PerCpuArray::new();

#[btf_map(name = "addresses")]
pub static ADDRESSES: HashMap<AddressKey, AddressRow, 131072, ON_USE> = HashMap::new();
#[btf_map(name = "cidrs")]
pub static CIDRS: LpmTrie<Address, AddressRow, 65536> = LpmTrie::new();

#[btf_map(name = "policies")]
pub static POLICIES: Array<PolicyHead, 65536> = Array::new();
#[btf_map(name = "policy_peers")]
pub static POLICY_PEERS: HashMap<PeerKey, u32, 524288, ON_USE> = HashMap::new();
#[btf_map(name = "policy_ports")]
pub static POLICY_PORTS: LpmTrie<PortBits, PortVerdict, 524288> = LpmTrie::new();
#[btf_map(name = "known_identities")]
pub static KNOWN_IDENTITIES: HashMap<u32, u32, 131072, ON_USE> = HashMap::new();

#[btf_map(name = "frontends")]
pub static FRONTENDS: HashMap<FrontendKey, Frontend, 65536, ON_USE> = HashMap::new();
#[btf_map(name = "service_slots")]
pub static SERVICE_SLOTS: HashMap<SlotKey, u32, 1048576, ON_USE> = HashMap::new();
#[btf_map(name = "backends")]
pub static BACKENDS: HashMap<u32, Backend, 131072, ON_USE> = HashMap::new();
#[btf_map(name = "affinity")]
pub static AFFINITY: LruHashMap<AffinityKey, Affinity, 65536> = LruHashMap::new();
#[btf_map(name = "socket_peers")]
pub static SOCKET_PEERS: LruHashMap<SocketKey, SocketPeer, 65536> = LruHashMap::new();

#[btf_map(name = "generations")]
pub static GENERATIONS: Array<u32, { datapath::abi::generation::SIZE as usize }> = Array::new();
#[btf_map(name = "node")]
pub static NODE: Array<Node, 1> = Array::new();
#[btf_map(name = "masquerade_spare")]
pub static MASQUERADE_SPARE: LpmTrie<Address, u32, 16384> = LpmTrie::new();

#[btf_map(name = "events")]
pub static EVENTS: RingBuf<Event, { 1 << 20 }> = RingBuf::new();
#[btf_map(name = "lost_events")]
pub static LOST_EVENTS: PerCpuArray<u64, 1> = PerCpuArray::new();
/// Of payload, so that it may overflow without a verdict being lost. Records end where their payload does.
#[btf_map(name = "samples")]
pub static SAMPLES: RingBuf<Sample, { 4 << 20 }> = RingBuf::new();
#[btf_map(name = "lost_samples")]
pub static LOST_SAMPLES: PerCpuArray<u64, 1> = PerCpuArray::new();
#[btf_map(name = "followed")]
pub static FOLLOWED: LruHashMap<ConnectionKey, u32, 16384> = LruHashMap::new();
#[btf_map(name = "drops")]
pub static DROPS: PerCpuHashMap<DropKey, Count, 16384, ON_USE> = PerCpuHashMap::new();
#[btf_map(name = "hooks")]
pub static HOOKS: PerCpuArray<Count, { (hook::COUNT * outcome::COUNT) as usize }> =
    PerCpuArray::new();
/// When what sockets measure was last noted, jiffies, by the hash of their connections: those that share a row take turns. Not of
/// the ABI, not pinned.
#[btf_map(name = "noted")]
static NOTED: Array<u32, { NOTED_ROWS as usize }> = Array::new();
const NOTED_ROWS: u32 = 4096;
/// Where a new connection is put together: it is too large for the stack. Not of the ABI, not pinned.
#[btf_map(name = "scratch")]
static SCRATCH: PerCpuArray<Connection, 1> = PerCpuArray::new();

/// Where a sample is put together: the ring takes no record whose length is known only then. Not of the ABI, not pinned.
#[btf_map(name = "record")]
static RECORD: PerCpuArray<Record, 1> = PerCpuArray::new();

/// Samples of a pod in the window whose number is in the upper half. Not of the ABI, not pinned.
#[btf_map(name = "sampled")]
static SAMPLED: LruHashMap<u32, u64, 4096> = LruHashMap::new();

/// What the stages know of the packet in hand: too large for the stack. Not of the ABI, not pinned.
#[btf_map(name = "state")]
static STATE: PerCpuArray<State, 1> = PerCpuArray::new();

/// The state of this CPU's packet, cleared as far as a packet must find it cleared.
#[inline(always)]
pub fn state<'a>() -> Option<&'a mut State> {
    let state = STATE.get_ptr_mut(0)?;
    let words = state.cast::<u64>();
    for word in 0..State::CLEARED {
        // SAFETY: inside the state, whose alignment is that of a word, and of which all zero is a value.
        unsafe { words.add(word).write_volatile(0) };
    }
    // SAFETY: the row belongs to this CPU, and classifiers do not nest on one; each run asks once.
    Some(unsafe { &mut *state })
}

/// Whether nothing was noted for a second of what has this hash; from now on something was.
#[inline(always)]
pub fn is_due(hash: u32, jiffies: u32, hz: u32) -> bool {
    let Some(noted) = NOTED.get_ptr_mut(hash & (NOTED_ROWS - 1)) else {
        return false;
    };
    // SAFETY: a live, aligned word; who reads it at the same time notes once more.
    unsafe {
        if jiffies.wrapping_sub(noted.read_volatile()) < hz {
            return false;
        }
        noted.write_volatile(jiffies);
    }
    true
}

const EEXIST: i32 = -17;

/// The maps of the kernel.
#[derive(Clone, Copy)]
pub struct Tables;

/// A trie's key out of one of the ABI, which has the same layout.
#[inline(always)]
fn trie_key<K, T>(key: &K) -> &Key<T> {
    const { assert!(size_of::<K>() == size_of::<Key<T>>()) };
    // SAFETY: both are a prefix length followed by plain octets, of the same size; `Key` is packed, so any address will do.
    unsafe { &*core::ptr::from_ref(key).cast::<Key<T>>() }
}

#[inline(always)]
fn insertion(result: Result<(), i32>) -> Insertion {
    match result {
        Ok(()) => Insertion::Done,
        Err(EEXIST) => Insertion::Exists,
        Err(_) => Insertion::Failed,
    }
}

/// Picks the map of a table; the two have different types.
macro_rules! of_table {
    ($table:expr, $map:ident => $body:expr) => {
        match $table {
            Table::Answered => {
                let $map = &CONNECTIONS;
                $body
            }
            Table::Unanswered => {
                let $map = &OPENINGS;
                $body
            }
        }
    };
}

impl Maps for Tables {
    #[inline(always)]
    fn node(&self) -> Option<&Node> {
        NODE.get(0)
    }

    #[inline(always)]
    fn endpoint(&self, ifindex: u32) -> Option<&Endpoint> {
        ENDPOINTS.get(ifindex & 0xffff)
    }

    #[inline(always)]
    fn address(&self, key: &AddressKey) -> Option<&AddressRow> {
        // SAFETY: rows are replaced, not moved; user space may change one while it is read, which the trait allows.
        unsafe { ADDRESSES.get(key) }
    }

    #[inline(always)]
    fn cidr(&self, key: &PrefixKey) -> Option<&AddressRow> {
        CIDRS.get(trie_key(key))
    }

    #[inline(always)]
    fn masquerade_spares(&self, key: &PrefixKey) -> bool {
        MASQUERADE_SPARE.get(trie_key(key)).is_some()
    }

    #[inline(always)]
    fn hop(&self, index: u32) -> Option<&Hop> {
        HOPS.get(index & 0xffff)
    }

    #[inline(always)]
    fn generation(&self, slot: u32) -> u32 {
        GENERATIONS.get_ptr(slot).map_or(0, |row| {
            // SAFETY: the row is in the array; volatile, because user space raises it.
            unsafe { row.read_volatile() }
        })
    }

    #[inline(always)]
    fn policy(&self, index: u32) -> PolicyHead {
        POLICIES.get_ptr(index).map_or(PolicyHead(0), |row| {
            // SAFETY: the row is in the array; one load of the whole word, because user space switches versions.
            unsafe { row.read_volatile() }
        })
    }

    #[inline(always)]
    fn policy_class(&self, key: &PeerKey) -> Option<u32> {
        // SAFETY: the value is copied at once.
        unsafe { POLICY_PEERS.get(key) }.copied()
    }

    #[inline(always)]
    fn policy_port(&self, key: &PortKey) -> Option<PortVerdict> {
        POLICY_PORTS.get(trie_key(key)).copied()
    }

    #[inline(always)]
    fn identity_known(&self, identity: u32) -> bool {
        KNOWN_IDENTITIES.get_ptr(identity).is_some()
    }

    #[inline(always)]
    fn connection(&self, table: Table, key: &ConnectionKey) -> Option<Entry<'_>> {
        let value = of_table!(table, map => map.get_ptr_mut(key))?;
        // SAFETY: the entry stays mapped for the run; `Entry` reads and writes words of it.
        unsafe { Entry::from_ptr(value) }
    }

    #[inline(always)]
    fn insert_connection(
        &self,
        table: Table,
        key: &ConnectionKey,
        fill: impl FnOnce(&mut Connection),
    ) -> Insertion {
        let Some(value) = SCRATCH.get_ptr_mut(0) else {
            return Insertion::Failed;
        };
        // SAFETY: the row belongs to this CPU, and classifiers do not nest on one.
        let value = unsafe { &mut *value };
        clear(value);
        fill(value);
        insertion(of_table!(table, map => map.insert(key, &*value, BPF_NOEXIST.into())))
    }

    #[inline(always)]
    fn remove_connection(&self, table: Table, key: &ConnectionKey) {
        let _ = of_table!(table, map => map.remove(key));
    }

    #[inline(always)]
    fn promote(&self, key: &ConnectionKey) -> Option<Entry<'_>> {
        if let Some(old) = OPENINGS.get_ptr_mut(key) {
            // SAFETY: the kernel copies the value out of the entry; counters that move meanwhile are at most one packet behind.
            let inserted = CONNECTIONS.insert(key, unsafe { &*old }, BPF_NOEXIST.into());
            if insertion(inserted) == Insertion::Failed {
                // SAFETY: as in `connection`.
                return unsafe { Entry::from_ptr(old) };
            }
            let _ = OPENINGS.remove(key);
        }
        self.connection(Table::Answered, key)
    }

    #[inline(always)]
    fn alias(&self, key: &ConnectionKey) -> Option<ConnectionKey> {
        // SAFETY: the value is copied at once.
        unsafe { ALIASES.get(key) }.map(|alias| alias.primary)
    }

    #[inline(always)]
    fn insert_alias(&self, key: &ConnectionKey, primary: &ConnectionKey) -> Insertion {
        let alias = Alias { primary: *primary };
        insertion(ALIASES.insert(key, &alias, BPF_NOEXIST.into()))
    }

    #[inline(always)]
    fn remove_alias(&self, key: &ConnectionKey) {
        let _ = ALIASES.remove(key);
    }

    #[inline(always)]
    fn fragment(&self, key: &FragmentKey) -> Option<FragmentPorts> {
        // SAFETY: the value is copied at once.
        unsafe { FRAGMENTS.get(key) }.copied()
    }

    #[inline(always)]
    fn record_fragment(&self, key: &FragmentKey, ports: &FragmentPorts) -> Insertion {
        insertion(FRAGMENTS.insert(key, ports, 0))
    }

    #[inline(always)]
    fn frontend(&self, key: &FrontendKey) -> Option<&Frontend> {
        // SAFETY: as for `address`.
        unsafe { FRONTENDS.get(key) }
    }

    #[inline(always)]
    fn service_slot(&self, key: &SlotKey) -> Option<u32> {
        // SAFETY: the value is copied at once.
        unsafe { SERVICE_SLOTS.get(key) }.copied()
    }

    #[inline(always)]
    fn backend(&self, id: u32) -> Option<&Backend> {
        // SAFETY: as for `address`.
        unsafe { BACKENDS.get(id) }
    }

    #[inline(always)]
    fn affinity(&self, key: &AffinityKey) -> Option<Affinity> {
        // SAFETY: the value is copied at once.
        unsafe { AFFINITY.get(key) }.copied()
    }

    #[inline(always)]
    fn record_affinity(&self, key: &AffinityKey, value: &Affinity) {
        let _ = AFFINITY.insert(key, value, 0);
    }

    #[inline(always)]
    fn socket_peer(&self, key: &SocketKey) -> Option<SocketPeer> {
        // SAFETY: the value is copied at once.
        unsafe { SOCKET_PEERS.get(key) }.copied()
    }

    #[inline(always)]
    fn record_socket_peer(&self, key: &SocketKey, value: &SocketPeer) -> Insertion {
        insertion(SOCKET_PEERS.insert(key, value, 0))
    }

    #[inline(always)]
    fn count_drop(&self, key: &DropKey, bytes: u64) {
        let mut row = DROPS.get_ptr_mut(key);
        if row.is_none() {
            let _ = DROPS.insert(key, Count::default(), BPF_NOEXIST.into());
            row = DROPS.get_ptr_mut(key);
        }
        add(row, bytes);
    }

    #[inline(always)]
    fn count_traffic(&self, slot: u16, flow: Flow, packets: u64, bytes: u64) {
        if let Some(row) = TRAFFIC.get_ptr_mut(slot.into()) {
            // SAFETY: the row belongs to this CPU.
            let row = unsafe { &mut *row };
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
    }

    #[inline(always)]
    fn count_hook(&self, index: u32, bytes: u64) {
        add(HOOKS.get_ptr_mut(index), bytes);
    }

    #[inline(always)]
    fn emit(&self, fill: impl FnOnce(&mut Event)) {
        let Some(mut entry) = EVENTS.reserve(0) else {
            if let Some(lost) = LOST_EVENTS.get_ptr_mut(0) {
                // SAFETY: the row belongs to this CPU.
                unsafe { *lost += 1 };
            }
            return;
        };
        // SAFETY: the ring gave memory for one event; its bytes may be anything, and every bit pattern is an event.
        fill(unsafe { entry.assume_init_mut() });
        // The reader has a timer: to wake it is an interrupt, which costs more than all else here.
        entry.submit(BPF_RB_NO_WAKEUP.into());
    }

    #[inline(always)]
    fn followed(&self, key: &ConnectionKey) -> Option<u8> {
        // SAFETY: the value is copied at once.
        unsafe { FOLLOWED.get(key) }.map(|mode| *mode as u8)
    }

    #[inline(always)]
    fn may_sample(&self, pod: u16, window: u32) -> bool {
        let (key, first) = (u32::from(pod), (u64::from(window) << 32) | 1);
        let Some(row) = SAMPLED.get_ptr_mut(&key) else {
            // If there is no room the pod has no budget.
            let _ = SAMPLED.insert(&key, &first, 0);
            return true;
        };
        // Processors may count two samples as one: the budget is none to the unit.
        // SAFETY: an aligned word of a live row, which everybody reads and writes as a whole.
        let seen = unsafe { row.read_volatile() };
        let next = if (seen >> 32) as u32 == window {
            seen + 1
        } else {
            first
        };
        if next as u32 > BUDGET {
            count_lost_sample();
            return false;
        }
        // SAFETY: as above.
        unsafe { row.write_volatile(next) };
        true
    }

    #[inline(always)]
    fn sample(&self, fill: impl FnOnce(&mut Record) -> u32) {
        let Some(record) = RECORD.get_ptr_mut(0) else {
            return;
        };
        // SAFETY: the row belongs to this CPU, and classifiers do not nest on one.
        let captured = fill(unsafe { &mut *record });
        let captured = if captured == 0 { 0 } else { bounded(captured) };
        let length = size_of::<Sample>() + captured;
        // SAFETY: the record is that long.
        let octets = unsafe { core::slice::from_raw_parts(record.cast::<u8>(), length) };
        // One reader has a timer here, too.
        let result = SAMPLES.output_untyped::<[u8]>(octets, BPF_RB_NO_WAKEUP.into());
        if result.is_err() {
            count_lost_sample();
        }
    }
}

#[inline(always)]
fn count_lost_sample() {
    if let Some(lost) = LOST_SAMPLES.get_ptr_mut(0) {
        // SAFETY: the row belongs to this CPU.
        unsafe { *lost += 1 };
    }
}

/// Zeroes word by word: the compiler's own `memset` is a loop over octets on this target.
#[inline(always)]
fn clear(value: &mut Connection) {
    const { assert!(size_of::<Connection>().is_multiple_of(8) && align_of::<Connection>() == 8) };
    let words = core::ptr::from_mut(value).cast::<u64>();
    for word in 0..size_of::<Connection>() / 8 {
        // SAFETY: inside the value, which is a whole number of aligned words.
        unsafe { words.add(word).write_volatile(0) };
    }
}

#[inline(always)]
fn add(row: Option<*mut Count>, bytes: u64) {
    if let Some(row) = row {
        // SAFETY: the row belongs to this CPU, and classifiers do not nest on one.
        let row = unsafe { &mut *row };
        row.packets += 1;
        row.bytes += bytes;
    }
}
