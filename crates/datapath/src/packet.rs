//! The seam towards a packet: read, rewrite with its checksums, resize; nothing gives out a slice of it.

use crate::abi::{Address, Drop, Mac, Plain, sample::OCTETS};

/// A frame in flight, Ethernet header first. Offsets count from the first octet of that header.
///
/// In the kernel this is the `__sk_buff`; in tests a buffer of bytes.
pub trait Packet {
    /// Length of the whole frame in octets, Ethernet header included (`skb->len`; a segment of many counts as one).
    fn len(&self) -> u32;

    /// Whether the frame has no octets.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Payload octets per segment when the frame stands for many (`skb->gso_size`), else 0.
    fn gso_size(&self) -> u32;

    /// Number of segments the frame stands for (`skb->gso_segs`), at least 1.
    fn segments(&self) -> u32;

    /// The interface whose hook runs (`skb->ifindex`).
    fn ifindex(&self) -> u32;

    /// The interface through which the packet came into this namespace (`skb->ingress_ifindex`); 0 when the node's own
    /// stack made it.
    fn ingress_ifindex(&self) -> u32;

    /// The packet mark, see [`crate::abi::node::mark`].
    fn mark(&self) -> u32;

    /// Replaces the packet mark.
    fn set_mark(&mut self, mark: u32);

    /// A value at `offset`, as it lies there (network order stays network order), making the octets readable first
    /// where they are not; `None` if the frame ends before it does.
    fn load<T: Plain>(&self, offset: u32) -> Option<T>;

    /// Copies `count` octets from `offset` on, at most as many as there is room for; `None` if the frame ends before they do.
    fn copy(&self, offset: u32, count: u32, to: &mut [u8; OCTETS]) -> Option<()>;

    /// Overwrites octets without touching any checksum: for answers that we build, and for fields that no checksum
    /// covers. [`Drop::ErrorWritingToPacket`] where the frame is too short or cannot be written.
    fn store<T: Plain>(&mut self, offset: u32, value: &T) -> Result<(), Drop>;

    /// Writes both hardware addresses; cheaper than [`Packet::store`] where direct writing is possible.
    fn set_macs(&mut self, destination: Mac, source: Mac) -> Result<(), Drop>;

    /// Adjusts the IPv4 header checksum at `offset` for a 32-bit word that changed (`bpf_l3_csum_replace`); the words
    /// as they lie in the packet. [`Drop::ErrorWhileCorrectingL3Checksum`] on failure.
    fn adjust_ipv4_checksum(&mut self, offset: u32, from: u32, to: u32) -> Result<(), Drop>;

    /// Adjusts the transport checksum for an address of the pseudo header that changed (`bpf_l4_csum_replace` with
    /// `BPF_F_PSEUDO_HDR`, so that it is right for partial and complete checksums). Both addresses are of one family.
    /// [`Drop::ErrorWhileCorrectingL4Checksum`] on failure.
    fn adjust_checksum_for_address(
        &mut self,
        checksum: Checksum,
        from: &Address,
        to: &Address,
    ) -> Result<(), Drop>;

    /// Adjusts the transport checksum for a 16-bit field of the transport header that changed; both values as they lie
    /// in the packet. [`Drop::ErrorWhileCorrectingL4Checksum`] on failure.
    fn adjust_checksum_for_field(
        &mut self,
        checksum: Checksum,
        from: u16,
        to: u16,
    ) -> Result<(), Drop>;

    /// Cuts or grows the frame at its end to `len` octets, the new ones zero; a frame of many segments becomes one
    /// (`bpf_skb_change_tail`). [`Drop::InvalidTcBuffer`] on failure.
    fn resize(&mut self, len: u32) -> Result<(), Drop>;

    /// Makes the packet one for this node, whatever its hardware address says (`bpf_skb_change_type`, `PACKET_HOST`), so that
    /// the stack takes what came through the overlay. [`Drop::ErrorWritingToPacket`] on failure.
    fn accept(&mut self) -> Result<(), Drop>;

    /// What the overlay's interface said about the outer packet (`bpf_skb_get_tunnel_key`).
    /// [`Drop::ErrorRetrievingTunnelKey`] on failure.
    fn tunnel(&self) -> Result<Tunnel, Drop>;

    /// What the overlay's interface shall put around the packet (`bpf_skb_set_tunnel_key`, TTL 64, IPv4 without outer
    /// checksum). [`Drop::ErrorWritingToPacket`] on failure.
    fn set_tunnel(&mut self, tunnel: &Tunnel) -> Result<(), Drop>;
}

/// Where a transport checksum lies, and what zero means there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksum {
    /// Offset of the 16-bit checksum.
    pub offset: u32,
    /// Meaning of zero.
    pub zero: Zero,
}

/// What a transport checksum of zero means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zero {
    /// A sum like any other (TCP, ICMP).
    Sum,
    /// None was computed; it stays zero, and a result of zero is written as all ones (UDP, `BPF_F_MARK_MANGLED_0`).
    Absent,
}

/// The outer packet of the overlay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tunnel {
    /// The VNI: identity of the sender.
    pub identity: u32,
    /// The other end: source of what came in, destination of what goes out.
    pub remote: Address,
}
