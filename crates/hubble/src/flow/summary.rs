//! The one-line text of a packet that clients print at the end of a line.

use api::hubble::flow::TcpFlags;

use crate::records::{Record, protocol};

/// The flags of a TCP header's byte 13; the ninth flag, NS, is not recorded.
pub(super) fn tcp_flags(bits: u8) -> TcpFlags {
    let bit = |number: u8| bits >> number & 1 == 1;
    TcpFlags {
        fin: bit(0),
        syn: bit(1),
        rst: bit(2),
        psh: bit(3),
        ack: bit(4),
        urg: bit(5),
        ece: bit(6),
        cwr: bit(7),
        ns: false,
    }
}

/// The text of a record's packet.
pub(super) fn summary(record: &Record) -> String {
    let (kind, code) = (record.tcp_flags_or_icmp_type, record.icmp_code);
    match record.protocol {
        protocol::TCP => format!("TCP Flags: {}", flag_names(kind).join(", ")),
        protocol::UDP => "UDP".into(),
        protocol::SCTP => "SCTP".into(),
        protocol::ICMP => format!("ICMPv4 {}", icmpv4(kind, code)),
        protocol::ICMPV6 => format!("ICMPv6 {}", icmpv6(kind, code)),
        protocol::VRRP => "VRRP".into(),
        protocol::IGMP => "IGMP".into(),
        _ if record.source.address.is_ipv4() => "IPv4".into(),
        _ => "IPv6".into(),
    }
}

fn flag_names(bits: u8) -> Vec<&'static str> {
    [
        (1, "SYN"),
        (4, "ACK"),
        (2, "RST"),
        (0, "FIN"),
        (3, "PSH"),
        (5, "URG"),
        (6, "ECE"),
        (7, "CWR"),
    ]
    .into_iter()
    .filter(|(bit, _)| bits >> bit & 1 == 1)
    .map(|(_, name)| name)
    .collect()
}

/// Name of a type and, where its codes are named, of the code.
type Named = (Option<&'static str>, Option<&'static str>);

fn typed((name, code_name): Named, kind: u8, code: u8) -> String {
    match (name, code_name) {
        (Some(name), Some(code)) => format!("{name}({code})"),
        (Some(name), None) if code == 0 => name.to_owned(),
        (Some(name), None) => format!("{name}(Code: {code})"),
        (None, _) => format!("{kind}({code})"),
    }
}

/// Text of a type and code of ICMP.
pub(crate) fn icmpv4(kind: u8, code: u8) -> String {
    typed(icmpv4_names(kind, code), kind, code)
}

/// Text of a type and code of `ICMPv6`.
pub(crate) fn icmpv6(kind: u8, code: u8) -> String {
    typed(icmpv6_names(kind, code), kind, code)
}

/// Names of RFC 792, RFC 1812 and RFC 1256.
fn icmpv4_names(kind: u8, code: u8) -> Named {
    let name = match kind {
        0 => "EchoReply",
        3 => "DestinationUnreachable",
        4 => "SourceQuench",
        5 => "Redirect",
        8 => "EchoRequest",
        9 => "RouterAdvertisement",
        10 => "RouterSolicitation",
        11 => "TimeExceeded",
        12 => "ParameterProblem",
        13 => "TimestampRequest",
        14 => "TimestampReply",
        15 => "InfoRequest",
        16 => "InfoReply",
        17 => "AddressMaskRequest",
        18 => "AddressMaskReply",
        _ => return (None, None),
    };
    let code = match (kind, code) {
        (3 | 5, 0) => "Net",
        (3 | 5, 1) => "Host",
        (3, 2) => "Protocol",
        (3, 3) => "Port",
        (3, 4) => "FragmentationNeeded",
        (3, 5) => "SourceRoutingFailed",
        (3, 6) => "NetUnknown",
        (3, 7) => "HostUnknown",
        (3, 8) => "SourceIsolated",
        (3, 9) => "NetAdminProhibited",
        (3, 10) => "HostAdminProhibited",
        (3, 11) => "NetTOS",
        (3, 12) => "HostTOS",
        (3, 13) => "CommAdminProhibited",
        (3, 14) => "HostPrecedence",
        (3, 15) => "PrecedenceCutoff",
        (5, 2) => "TOS+Net",
        (5, 3) => "TOS+Host",
        (11, 0) => "TTLExceeded",
        (11, 1) => "FragmentReassemblyTimeExceeded",
        (12, 0) => "PointerIndicatesError",
        (12, 1) => "MissingOption",
        (12, 2) => "BadLength",
        _ => return (Some(name), None),
    };
    (Some(name), Some(code))
}

/// Names of RFC 4443, RFC 4861 and RFC 3810.
fn icmpv6_names(kind: u8, code: u8) -> Named {
    let name = match kind {
        1 => "DestinationUnreachable",
        2 => "PacketTooBig",
        3 => "TimeExceeded",
        4 => "ParameterProblem",
        128 => "EchoRequest",
        129 => "EchoReply",
        130 => "MulticastListenerQuery",
        131 => "MulticastListenerReport",
        132 => "MulticastListenerDone",
        133 => "RouterSolicitation",
        134 => "RouterAdvertisement",
        135 => "NeighborSolicitation",
        136 => "NeighborAdvertisement",
        137 => "Redirect",
        143 => "MLDv2MulticastListenerReport",
        _ => return (None, None),
    };
    let code = match (kind, code) {
        (1, 0) => "NoRouteToDst",
        (1, 1) => "AdminProhibited",
        (1, 2) => "BeyondScopeOfSrc",
        (1, 3) => "Address",
        (1, 4) => "Port",
        (1, 5) => "SrcAddressFailedPolicy",
        (1, 6) => "RejectRouteToDst",
        (3, 0) => "HopLimitExceeded",
        (3, 1) => "FragmentReassemblyTimeExceeded",
        (4, 0) => "ErroneousHeader",
        (4, 1) => "UnrecognizedNextHeader",
        (4, 2) => "UnrecognizedIPv6Option",
        _ => return (Some(name), None),
    };
    (Some(name), Some(code))
}
