//! What the data plane says of connections and denied packets, in terms of this node.

pub mod decode;

use std::net::{IpAddr, SocketAddr};

/// One end of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Party {
    /// Address; of the destination, after service translation.
    pub address: IpAddr,
    /// Port, host order; 0 where the protocol has none.
    pub port: u16,
    /// Security identity as the data plane saw it, 0 for unknown.
    pub identity: u32,
    /// Endpoint id when the end is local to this node, else 0.
    pub endpoint: u16,
}

/// Whose policy judged, or is to be blamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// That of the receiver.
    Ingress,
    /// That of the sender.
    Egress,
}

/// A verdict of one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Rule that decided, 0 for none.
    pub rule: u32,
    /// How it matched: 0 none, 1 L3, 2 L3 and L4, 3 L4, 4 all, 5 L3 and protocol, 6 protocol.
    pub match_type: u8,
    /// Whether it passed only because of audit mode.
    pub mode: Mode,
    /// Port of the proxy that it is redirected to, host order, 0 for none.
    pub proxy_port: u16,
}

/// Whether verdicts are put into force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// They are.
    #[default]
    Enforced,
    /// They are only reported.
    Audited,
}

/// Where a packet was seen; numbers are the raw ones of upstream's trace events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Point {
    /// Delivered to a pod of this node.
    ToEndpoint = 0,
    /// Handed to the proxy.
    ToProxy = 1,
    /// Handed to the node itself.
    ToHost = 2,
    /// Handed to the node's stack to be routed.
    ToStack = 3,
    /// Sent into the overlay.
    ToOverlay = 4,
    /// Came from a pod of this node.
    FromEndpoint = 5,
    /// Came from the proxy.
    FromProxy = 6,
    /// Came from the node itself.
    FromHost = 7,
    /// Came from the node's stack.
    FromStack = 8,
    /// Came out of the overlay.
    FromOverlay = 9,
    /// Came from the wire.
    FromNetwork = 10,
    /// Sent to the wire.
    ToNetwork = 11,
}

/// Names of the observation points, by their raw numbers.
pub const POINTS: [&str; 14] = [
    "to-endpoint",
    "to-proxy",
    "to-host",
    "to-stack",
    "to-overlay",
    "from-endpoint",
    "from-proxy",
    "from-host",
    "from-stack",
    "from-overlay",
    "from-network",
    "to-network",
    "from-crypto",
    "to-crypto",
];

/// Which way a packet goes within its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From initiator to responder.
    Forward,
    /// From responder to initiator.
    Reply,
    /// Not known.
    Unknown,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A connection was admitted.
    New {
        /// Where its first packet went.
        point: Point,
        /// Verdict of the sender's policy, if this node judged it.
        egress: Option<Judgement>,
        /// Verdict of the receiver's policy, if this node judged it.
        ingress: Option<Judgement>,
    },
    /// A connection ended.
    Closed {
        /// Where its packets went.
        point: Point,
        /// Which way the packet that ended it went.
        way: Way,
    },
    /// A packet was denied by policy.
    Denied {
        /// Whose policy.
        side: Side,
        /// The verdict.
        judgement: Judgement,
        /// Number of the drop reason, 133 or 181.
        reason: u8,
    },
    /// A packet was dropped for another reason.
    Dropped {
        /// Whose packet it was, if it was judged.
        side: Option<Side>,
        /// Number of the drop reason.
        reason: u8,
    },
}

/// One record of the data plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Nanoseconds since the Unix epoch.
    pub time_ns: u64,
    /// Sender of the packet.
    pub source: Party,
    /// Receiver of the packet.
    pub destination: Party,
    /// Address and port that the client asked for, when a service was translated.
    pub asked: Option<SocketAddr>,
    /// Source address after source NAT, when it was translated.
    pub translated_source: Option<IpAddr>,
    /// IP protocol number.
    pub protocol: u8,
    /// TCP flags in the order of the header (bit 0 FIN … bit 7 CWR); for ICMP the type.
    pub tcp_flags_or_icmp_type: u8,
    /// ICMP code.
    pub icmp_code: u8,
    /// Interface on which it was seen, 0 for unknown.
    pub interface: u32,
    /// Hardware addresses (destination, source), when the packet had them.
    pub macs: Option<[[u8; 6]; 2]>,
    /// What happened.
    pub what: What,
}

/// IP protocol numbers (IANA) that flows tell apart.
pub mod protocol {
    /// ICMP for IPv4.
    pub const ICMP: u8 = 1;
    /// IGMP.
    pub const IGMP: u8 = 2;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// ICMP for IPv6.
    pub const ICMPV6: u8 = 58;
    /// VRRP.
    pub const VRRP: u8 = 112;
    /// SCTP.
    pub const SCTP: u8 = 132;
}
