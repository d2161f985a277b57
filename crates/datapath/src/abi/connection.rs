//! Connections: cached decisions, with counters and times, one entry per connection. See docs/decisions/0002.

use super::{Address, plain};

mod entry;

pub use entry::{Entry, Way};

/// Bits of [`ConnectionKey::kind`].
pub mod kind {
    /// The addresses are IPv6.
    pub const V6: u8 = 1;
    /// The tuple is that of the reply after a rewrite; it leads to the primary.
    pub const ALIAS: u8 = 2;
}

/// Both directions of a connection have one key: the lower (address, port) comes first.
///
/// ICMP echo: the requester's port is the identifier, the responder's is 0.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ConnectionKey {
    /// The lower address, as four words compared in order.
    pub low: Address,
    /// The higher address.
    pub high: Address,
    /// Port of `low`, network order.
    pub low_port: u16,
    /// Port of `high`, network order.
    pub high_port: u16,
    /// IP protocol number; ICMP is 1, ICMPv6 is 58.
    pub protocol: u8,
    /// Family and role, see [`kind`].
    pub kind: u8,
    /// Which network the addresses belong to: 0 until several exist (mesh, multi-homing).
    pub net: u16,
}

impl ConnectionKey {
    /// The key of a packet's tuple, and whether its source is the lower end. Ports in network order.
    #[inline(always)]
    pub fn of(
        source: (&Address, u16),
        destination: (&Address, u16),
        protocol: u8,
        kind: u8,
    ) -> (Self, bool) {
        let source_is_low = (source.0.0, source.1) <= (destination.0.0, destination.1);
        let (low, high) = if source_is_low {
            (source, destination)
        } else {
            (destination, source)
        };
        let key = Self {
            low: *low.0,
            high: *high.0,
            low_port: low.1,
            high_port: high.1,
            protocol,
            kind,
            net: 0,
        };
        (key, source_is_low)
    }
}

/// What to do with the packets of one direction: a single aligned word, written and read whole.
///
/// Bits 0–7 action, 8–31 hop id (16 bits of index, 8 of incarnation), 32–63 sum of generations it was judged under.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decision(pub u64);

/// Actions of a [`Decision`].
pub mod action {
    /// Nothing decided: judge.
    pub const NONE: u8 = 0;
    /// Send to the hop.
    pub const FORWARD: u8 = 1;
    /// Send to the proxy behind the hop.
    pub const PROXY: u8 = 2;
}

impl Decision {
    /// A decision out of its three parts; `hop` keeps its low 24 bits.
    #[inline(always)]
    pub const fn new(action: u8, hop: u32, generation: u32) -> Self {
        Self(action as u64 | ((hop as u64 & 0xff_ffff) << 8) | ((generation as u64) << 32))
    }
    /// See [`action`].
    #[inline(always)]
    pub const fn action(self) -> u8 {
        self.0 as u8
    }
    /// Index (bits 0–15) and incarnation (bits 16–23) of the hop.
    #[inline(always)]
    pub const fn hop(self) -> u32 {
        (self.0 >> 8) as u32 & 0xff_ffff
    }
    /// The sum of generations under which this was decided.
    #[inline(always)]
    pub const fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// Bits of [`Connection::flags`]; immutable after insert.
pub mod flags {
    /// The initiator is the lower (address, port) of the key.
    pub const INITIATOR_LOW: u16 = 1;
    /// The destination is rewritten to `to`.
    pub const DESTINATION_NAT: u16 = 2;
    /// The source is rewritten to `from`.
    pub const SOURCE_NAT: u16 = 4;
    /// Admitted only because audit mode is on.
    pub const AUDITED: u16 = 8;
    /// The source rewrite is the loop-back source of a hairpin.
    pub const HAIRPIN: u16 = 16;
    /// The connection enters or leaves through the overlay.
    pub const OVERLAY: u16 = 32;
    /// Made by an agent before any policy applied to either side (nothing was enforced).
    pub const UNENFORCED: u16 = 64;
}

/// Counters and times of one direction; as long as a cache line.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Direction {
    /// Packets, added atomically.
    pub packets: u64,
    /// Bytes of the packets at the IP layer, added atomically.
    pub bytes: u64,
    /// When a packet was last seen, in jiffies; stored only when it moved by a second.
    pub last_seen: u64,
    /// When the first packet was seen, in monotonic nanoseconds.
    pub first_ns: u64,
    /// When the first packet with a payload-less ACK or any later packet was seen, in monotonic nanoseconds: for the
    /// initiator the end of the handshake, for the responder its SYN-ACK.
    pub answered_ns: u64,
    /// TCP flags seen, or-ed.
    pub tcp_flags: u32,
    /// SYN segments seen beyond the first.
    pub syn_retransmits: u32,
    /// Highest end of sequence space seen (TCP), for judging later segments.
    pub seq_end: u32,
    /// Highest acknowledgement seen (TCP).
    pub ack: u32,
    /// Largest window offered, already scaled (TCP).
    pub window: u32,
    /// Window scale announced in the SYN, plus one; 0 when none was.
    pub window_scale: u8,
    /// How the payload of this direction is sampled, see [`super::sample::mode`].
    pub sampling: u8,
    /// Segments with payload while nobody had said how to sample them, then as a counter that wraps.
    pub segments: u8,
    /// 1 while the last segment offered no window: nothing more is taken for now (TCP).
    pub full: u8,
}

/// Round trips as the socket of one end measures them (TCP); zero where it has told nothing.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoundTrip {
    /// Smoothed (RFC 6298), microseconds. An acknowledgement that waits for an answer to go with is part of it.
    pub smoothed_us: u32,
    /// The shortest of the last five minutes (`net.ipv4.tcp_min_rtt_wlen`), microseconds.
    pub least_us: u32,
}

/// The value of the tables `connections` (answered) and `openings` (not yet answered).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// Initiator to responder.
    pub forward: Decision,
    /// Responder to initiator.
    pub reverse: Decision,
    /// When the entry was made, monotonic nanoseconds.
    pub created_ns: u64,
    /// Identity of the initiator as of its first packet.
    pub source_identity: u32,
    /// Identity of the responder as of the first packet.
    pub destination_identity: u32,
    /// The rule that admitted it at the initiator's endpoint, 0 for none.
    pub egress_rule: u32,
    /// The rule that admitted it at the responder's endpoint, 0 for none.
    pub ingress_rule: u32,
    /// Endpoint id of the initiator when it is local, else 0.
    pub source_endpoint: u16,
    /// Endpoint id of the responder when it is local, else 0.
    pub destination_endpoint: u16,
    /// See [`flags`].
    pub flags: u16,
    /// Destination port after the rewrite, network order.
    pub to_port: u16,
    /// Destination after the rewrite.
    pub to: Address,
    /// Initiator to responder. The kernel lays entries out without regard to cache lines: with a line between the two
    /// directions, and before the first, processors that carry one direction each do not take lines from one another.
    pub sent: Direction,
    /// Source after the rewrite.
    pub from: Address,
    /// Source port after the rewrite, network order.
    pub from_port: u16,
    /// The hook that made the entry, see [`super::event::hook`].
    pub hook: u8,
    /// IP protocol number, again, for readers that have only the value.
    pub protocol: u8,
    /// Service that was asked for, 0 for none.
    pub service: u32,
    /// The backend that answers for it, 0 for none.
    pub backend: u32,
    /// Interface on which the first packet arrived.
    pub ifindex: u32,
    /// TCP: who sent payload last: 0 nobody, 1 the initiator, 2 the responder. Kept where that decides what is sampled.
    pub speaker: u8,
    /// Always zero.
    pub pad: [u8; 3],
    /// TCP: segments with payload from the initiator, all of which was seen before or lies before what was seen: sent again, or
    /// overtaken by later ones.
    pub retransmits_sent: u32,
    /// The same from the responder.
    pub retransmits_received: u32,
    /// What the initiator's socket measures, where it is one of this node.
    pub round_trip_sent: RoundTrip,
    /// The same of the responder's.
    pub round_trip_received: RoundTrip,
    /// Room to grow; fills what is mostly read to a cache line.
    pub reserved: [u8; 4],
    /// Responder to initiator.
    pub received: Direction,
}

/// The value of the table `aliases`: the tuple of a rewritten reply leads to its primary.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alias {
    /// Key of the primary.
    pub primary: ConnectionKey,
}

/// Key of the table `fragments`: all fragments of one datagram.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FragmentKey {
    /// Source of the datagram.
    pub source: Address,
    /// Destination of the datagram.
    pub destination: Address,
    /// Identification, 16 bits (IPv4) or 32 bits (IPv6).
    pub id: u32,
    /// IP protocol number of the payload.
    pub protocol: u8,
    /// Always zero.
    pub pad: [u8; 3],
}

/// Value of the table `fragments`: what only the first fragment carries.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FragmentPorts {
    /// Source port, network order.
    pub source: u16,
    /// Destination port, network order.
    pub destination: u16,
}

plain!(
    ConnectionKey = 40,
    Direction = 64,
    RoundTrip = 8,
    Connection = 256,
    Alias = 40,
    FragmentKey = 40,
    FragmentPorts = 4,
);
