//! Words of labels that several metrics share.

use api::hubble::flow::{
    Flow, Layer7, TrafficDirection, Verdict, layer4::Protocol, layer7::Record,
};

use crate::records::POINTS;

/// The protocol of the highest layer that is known.
pub(super) fn protocol(flow: &Flow) -> &'static str {
    if let Some(l7) = &flow.l7 {
        return parser(l7).unwrap_or("Unknown L7");
    }
    let Some(l4) = &flow.l4 else {
        return "Unknown flow";
    };
    match &l4.protocol {
        Some(Protocol::Tcp(_)) => "TCP",
        Some(Protocol::Udp(_)) => "UDP",
        Some(Protocol::IcmPv4(_)) => "ICMPv4",
        Some(Protocol::IcmPv6(_)) => "ICMPv6",
        Some(Protocol::Sctp(_)) => "SCTP",
        Some(Protocol::Vrrp(_)) => "VRRP",
        Some(Protocol::Igmp(_)) => "IGMP",
        None => "Unknown L4",
    }
}

/// What a request was read as.
#[allow(deprecated, reason = "Kafka is seen by us")]
pub(super) fn parser(l7: &Layer7) -> Option<&'static str> {
    Some(match l7.record.as_ref()? {
        Record::Dns(_) => "DNS",
        Record::Http(_) => "HTTP",
        Record::Kafka(_) => "Kafka",
    })
}

/// Name of the verdict.
pub(super) fn verdict(flow: &Flow) -> &'static str {
    Verdict::try_from(flow.verdict)
        .unwrap_or(Verdict::Unknown)
        .as_str_name()
}

/// Who tells of a request.
pub(super) fn reporter(flow: &Flow) -> &'static str {
    match TrafficDirection::try_from(flow.traffic_direction) {
        Ok(TrafficDirection::Egress) => "client",
        Ok(TrafficDirection::Ingress) => "server",
        _ => "unknown",
    }
}

/// How a policy matched; numbers as in [`crate::records::Judgement`].
pub(super) fn policy_match(number: u32) -> &'static str {
    match number {
        0 => "none",
        1 => "l3-only",
        2 => "l3-l4",
        3 => "l4-only",
        4 => "all",
        5 => "l3-proto",
        6 => "proto-only",
        _ => "unknown",
    }
}

/// Name of an observation point, by the number of the trace event.
pub(super) fn point(number: i32) -> &'static str {
    let index = usize::try_from(number).unwrap_or(usize::MAX);
    POINTS.get(index).copied().unwrap_or("")
}

/// Text of a response code, as IANA lists them.
pub(crate) fn rcode(number: u32) -> &'static str {
    match number {
        0 => "No Error",
        1 => "Format Error",
        2 => "Server Failure",
        3 => "Non-Existent Domain",
        4 => "Not Implemented",
        5 => "Query Refused",
        6 => "Name Exists when it should not",
        7 => "RR Set Exists when it should not",
        8 => "RR Set that should exist does not",
        9 => "Server Not Authoritative for zone",
        10 => "Name not contained in zone",
        11 => "DSO-TYPE Not Implemented",
        16 => "Bad OPT Version",
        17 => "Key not recognized",
        18 => "Signature out of time window",
        19 => "Bad TKEY Mode",
        20 => "Duplicate key name",
        21 => "Algorithm not supported",
        22 => "Bad Truncation",
        23 => "Bad/missing Server Cookie",
        _ => "",
    }
}
