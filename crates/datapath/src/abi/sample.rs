//! Samples of payload: what of it goes to user space, and what user space says about it. See docs/decisions/0017.

use super::{Address, connection::ConnectionKey, plain};

/// Octets of payload in one record, at the most.
pub const OCTETS: usize = 512;

/// Octets of a segment in whose midst nothing is likely to begin: frames that begin with it say how long they are.
pub const FRAME_OCTETS: u32 = 64;

/// Segments of each direction at the beginning of a connection that are sampled whatever they are.
pub const BEGINNING: u8 = 4;

/// Segments of a direction after which a connection of which nobody has said what it is counts as one of [`mode::HEADS`].
pub const UNDECIDED: u8 = 200;

/// Samples that the connections of one pod may send to user space in one [`window`]: 122,000 a second. If all are as long as they can
/// be, they fill a third of the ring.
pub const BUDGET: u32 = 2048;

/// Number of the 16.8 ms in which a monotonic time in nanoseconds lies.
pub const fn window(now_ns: u64) -> u32 {
    (now_ns >> 24) as u32
}

/// How a connection is sampled: value of the table `followed`, and [`super::connection::Direction::sampling`].
pub mod mode {
    /// Nobody has said yet.
    pub const UNDECIDED: u8 = 0;
    /// Not any more.
    pub const OPAQUE: u8 = 1;
    /// Segments that begin after the other direction spoke (HTTP/1, DNS).
    pub const HEADS: u8 = 2;
    /// Every segment; a large one in a row of them with [`super::FRAME_OCTETS`] octets (HTTP/2, Kafka).
    pub const FRAMES: u8 = 3;
}

/// Bits of [`Sample::marks`].
pub mod marks {
    /// The sequence number that was expected is known.
    pub const EXPECTED: u8 = 1;
    /// No packet, but the end of the connection: [`super::Sample::ends`] counts.
    pub const CLOSED: u8 = 2;
}

/// What a record of the ring `samples` begins with; [`Sample::captured`] octets follow.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Monotonic nanoseconds.
    pub time_ns: u64,
    /// The connection.
    pub key: ConnectionKey,
    /// Destination after service translation, [`Address::NONE`] without one.
    pub to: Address,
    /// TCP: sequence number of the segment, host order.
    pub sequence: u32,
    /// TCP: the sequence number that would have followed what was seen of this direction, host order; see [`marks::EXPECTED`].
    pub expected: u32,
    /// Octets of payload in the packet.
    pub payload: u32,
    /// TCP: sequence numbers behind the last octet of each direction, without FIN: initiator's, responder's. See
    /// [`marks::CLOSED`].
    pub ends: [u32; 2],
    /// Identity of the initiator.
    pub source_identity: u32,
    /// Identity of the responder.
    pub destination_identity: u32,
    /// Service that was asked for, 0 for none.
    pub service: u32,
    /// Endpoint id of the initiator when it is local, else 0.
    pub source_endpoint: u16,
    /// Endpoint id of the responder when it is local, else 0.
    pub destination_endpoint: u16,
    /// Destination port after service translation, network order.
    pub to_port: u16,
    /// See [`super::connection::flags`].
    pub flags: u16,
    /// Octets of payload behind this.
    pub captured: u16,
    /// 0: the initiator speaks, 1: the responder.
    pub way: u8,
    /// TCP flags of the packet.
    pub tcp_flags: u8,
    /// See [`marks`].
    pub marks: u8,
    /// See [`mode`]: by which this one was taken.
    pub mode: u8,
    /// Always zero.
    pub pad: u16,
}

/// A record of the ring `samples` as long as it can be; what goes into the ring ends behind the octets captured.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// Whose payload it is.
    pub sample: Sample,
    /// The beginning of the payload.
    pub octets: [u8; OCTETS],
}

plain!(Sample = 112, Record = 624);
