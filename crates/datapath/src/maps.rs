//! The seam towards the tables of the ABI.

use crate::abi::{
    PrefixKey,
    connection::{Connection, ConnectionKey, Entry, FragmentKey, FragmentPorts},
    endpoint::{Endpoint, Hop},
    event::{DropKey, Event},
    ipcache::{AddressKey, AddressRow},
    node::Node,
    policy::{PeerKey, PolicyHead, PortKey, PortVerdict},
    sample::Record,
    service::{
        Affinity, AffinityKey, Backend, Frontend, FrontendKey, SlotKey, SocketKey, SocketPeer,
    },
};

/// Which of the two tables of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// `connections`
    Answered,
    /// `openings`
    Unanswered,
}

/// What an insertion with `BPF_NOEXIST` came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Insertion {
    /// It is in the table now.
    Done,
    /// The key was there already; nothing changed.
    Exists,
    /// The table is full, or the kernel refused for another reason.
    Failed,
}

/// Which counter of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Packets that the endpoint sent.
    Egress,
    /// Packets delivered to the endpoint.
    Ingress,
}

/// All tables that the paths read and write, named as in the ABI. Rows given by reference are memory of the table: user
/// space may change them at any moment, so a path reads a field once.
pub trait Maps {
    /// Row 0 of `node`.
    fn node(&self) -> Option<&Node>;
    /// Row `ifindex & 0xffff` of `endpoints`; the caller compares the whole index.
    fn endpoint(&self, ifindex: u32) -> Option<&Endpoint>;
    /// Row of `addresses`.
    fn address(&self, key: &AddressKey) -> Option<&AddressRow>;
    /// Longest match in `cidrs`; `prefix_len` is 128.
    fn cidr(&self, key: &PrefixKey) -> Option<&AddressRow>;
    /// Whether a prefix of `masquerade_spare` covers the address; `prefix_len` is 128.
    fn masquerade_spares(&self, key: &PrefixKey) -> bool;
    /// Row `index & 0xffff` of `hops`.
    fn hop(&self, index: u32) -> Option<&Hop>;
    /// Row of `generations`; 0 beyond its end.
    fn generation(&self, slot: u32) -> u32;

    /// Row of `policies`, read as one word; the zero word beyond its end.
    fn policy(&self, index: u32) -> PolicyHead;
    /// Row of `policy_peers`: the class.
    fn policy_class(&self, key: &PeerKey) -> Option<u32>;
    /// Longest match in `policy_ports`; `prefix_len` is [`PortKey::FIXED_BITS`] + 16.
    fn policy_port(&self, key: &PortKey) -> Option<PortVerdict>;
    /// Whether `known_identities` holds the identity.
    fn identity_known(&self, identity: u32) -> bool;

    /// Entry of a table of connections; a lookup counts as use for its LRU.
    fn connection(&self, table: Table, key: &ConnectionKey) -> Option<Entry<'_>>;
    /// Inserts with NOEXIST. `fill` gets a zeroed value, outside the stack (256 octets), and is called exactly once.
    /// Where there is no such buffer: [`Insertion::Failed`] without calling it.
    fn insert_connection(
        &self,
        table: Table,
        key: &ConnectionKey,
        fill: impl FnOnce(&mut Connection),
    ) -> Insertion;
    /// Deletes an entry; absent is fine.
    fn remove_connection(&self, table: Table, key: &ConnectionKey);
    /// Moves an entry from `openings` to `connections`: inserts the value with NOEXIST, then deletes the old one, then looks up
    /// the new one. `None` when neither holds it now; the old one stays when the insertion failed for lack of room, and is given.
    fn promote(&self, key: &ConnectionKey) -> Option<Entry<'_>>;

    /// Row of `aliases`: key of the primary.
    fn alias(&self, key: &ConnectionKey) -> Option<ConnectionKey>;
    /// Inserts into `aliases` with NOEXIST.
    fn insert_alias(&self, key: &ConnectionKey, primary: &ConnectionKey) -> Insertion;
    /// Deletes from `aliases`; absent is fine.
    fn remove_alias(&self, key: &ConnectionKey);

    /// Row of `fragments`.
    fn fragment(&self, key: &FragmentKey) -> Option<FragmentPorts>;
    /// Writes a row of `fragments`, new or not.
    fn record_fragment(&self, key: &FragmentKey, ports: &FragmentPorts) -> Insertion;

    /// Row of `frontends`.
    fn frontend(&self, key: &FrontendKey) -> Option<&Frontend>;
    /// Row of `service_slots`: id of the backend.
    fn service_slot(&self, key: &SlotKey) -> Option<u32>;
    /// Row of `backends`.
    fn backend(&self, id: u32) -> Option<&Backend>;
    /// Row of `affinity`.
    fn affinity(&self, key: &AffinityKey) -> Option<Affinity>;
    /// Writes a row of `affinity`, new or not; failure costs affinity only.
    fn record_affinity(&self, key: &AffinityKey, value: &Affinity);
    /// Row of `socket_peers`.
    fn socket_peer(&self, key: &SocketKey) -> Option<SocketPeer>;
    /// Writes a row of `socket_peers`, new or not.
    fn record_socket_peer(&self, key: &SocketKey, value: &SocketPeer) -> Insertion;

    /// Adds one packet of `bytes` to the row of `drops`, making it where absent (BPF_NOEXIST, then again add).
    fn count_drop(&self, key: &DropKey, bytes: u64);
    /// Adds `packets` of `bytes` to row `slot` of `traffic`.
    fn count_traffic(&self, slot: u16, flow: Flow, packets: u64, bytes: u64);
    /// Adds one packet of `bytes` to row `index` of `hooks`, see [`crate::abi::event::outcome`].
    fn count_hook(&self, index: u32, bytes: u64);
    /// Reserves a record of the ring, lets `fill` write it (the memory is not zeroed: every field must be written), and
    /// submits it. Where there is no room, counts in `lost_events` without calling it.
    fn emit(&self, fill: impl FnOnce(&mut Event));

    /// Row of `followed`: how user space wants this connection to be sampled, see [`crate::abi::sample::mode`].
    fn followed(&self, key: &ConnectionKey) -> Option<u8>;
    /// Takes a sample out of the budget that a pod has for a window ([`crate::abi::sample::BUDGET`]); where nothing is left of it, counts
    /// in `lost_samples`. `pod` is the number of an endpoint, 0 for all that is of none.
    fn may_sample(&self, pod: u16, window: u32) -> bool;
    /// Lets `fill` write a record of the ring `samples` (the memory is not zeroed: every field of its head must be written)
    /// and say how many octets of payload there are; appends as much to the ring. Where there is no room, counts in `lost_samples`.
    fn sample(&self, fill: impl FnOnce(&mut Record) -> u32);
}
