//! Ring events of the data plane as records.

use std::{
    net::{IpAddr, SocketAddr},
    time::{SystemTime, UNIX_EPOCH},
};

use datapath::abi::{
    Address,
    connection::{ConnectionKey, flags},
    endpoint::hop_kind,
    event::{Event, direction, hook, kind},
};

use super::{Judgement, Mode, Party, Point, Record, Side, Way, What, protocol};

/// Identity of the node itself.
const HOST: u32 = 1;

/// Turns the kernel's monotonic time into wall-clock time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    offset_ns: u64,
}

impl Clock {
    /// A clock from two readings taken together: `CLOCK_MONOTONIC` in nanoseconds, and the wall clock.
    pub fn new(monotonic_ns: u64, wall: SystemTime) -> Self {
        let wall_ns = wall
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_nanos() as u64);
        Self {
            offset_ns: wall_ns.saturating_sub(monotonic_ns),
        }
    }

    /// Wall-clock nanoseconds since the Unix epoch of a moment in monotonic nanoseconds.
    pub(crate) fn wall_ns(self, monotonic_ns: u64) -> u64 {
        self.offset_ns.saturating_add(monotonic_ns)
    }
}

/// The record of an event; `None` for events that tell nothing to readers of flows: a first answer (but that to an echo, which
/// ends there), a kind of a newer data plane, and the hint that a connection is closing, whose one record is that of the collector.
pub fn decode(event: &Event, clock: Clock) -> Option<Record> {
    let ports = has_ports(event.protocol);
    let translated = !event.translated.is_none();
    let asked = party(event.destination, event.destination_port, ports);
    let (address, port) = if translated {
        party(event.translated, event.translated_port, ports)
    } else {
        asked
    };
    let destination = Party {
        address,
        port,
        identity: event.destination_identity,
        endpoint: event.destination_endpoint,
    };
    let what = what(event, &destination)?;
    let (source, source_port) = party(event.source, event.source_port, ports);
    Some(Record {
        time_ns: clock.wall_ns(event.time_ns),
        source: Party {
            address: source,
            port: source_port,
            identity: event.source_identity,
            endpoint: event.source_endpoint,
        },
        destination,
        asked: translated.then(|| SocketAddr::new(asked.0, asked.1)),
        translated_source: None,
        protocol: event.protocol,
        tcp_flags_or_icmp_type: event.tcp_flags,
        icmp_code: event.icmp_code,
        interface: event.ifindex,
        macs: macs(event.macs),
        what,
    })
}

/// What an event tells readers of flows, if anything.
fn what(event: &Event, destination: &Party) -> Option<What> {
    Some(match event.kind {
        kind::OPENED => What::New {
            point: point(event.hop_kind, event.hook, destination),
            egress: judged_egress(event).then(|| judgement(event, event.egress_rule)),
            ingress: judged_ingress(event).then(|| judgement(event, event.ingress_rule)),
        },
        kind::DENIED => {
            let side = side(event).unwrap_or(Side::Ingress);
            let rule = match side {
                Side::Egress => event.egress_rule,
                Side::Ingress => event.ingress_rule,
            };
            What::Denied {
                side,
                judgement: judgement(event, rule),
                reason: event.reason,
            }
        }
        kind::DROPPED => What::Dropped {
            side: side(event),
            reason: event.reason,
        },
        kind::ANSWERED if matches!(event.protocol, protocol::ICMP | protocol::ICMPV6) => {
            What::Closed {
                point: point(event.hop_kind, event.hook, destination),
                way: Way::Reply,
            }
        }
        _ => return None,
    })
}

/// Whether an IP protocol has ports; what connections of others have in their place is no port.
pub fn has_ports(number: u8) -> bool {
    matches!(number, protocol::TCP | protocol::UDP | protocol::SCTP)
}

fn party(address: Address, port: u16, ports: bool) -> (IpAddr, u16) {
    (address.into(), if ports { u16::from_be(port) } else { 0 })
}

fn macs(octets: [u8; 12]) -> Option<[[u8; 6]; 2]> {
    let (destination, rest) = octets.split_first_chunk()?;
    let source = rest.first_chunk()?;
    (octets != [0; 12]).then_some([*destination, *source])
}

fn judgement(event: &Event, rule: u32) -> Judgement {
    Judgement {
        rule,
        match_type: if rule == 0 { 0 } else { event.match_type },
        mode: if event.audited == 1 {
            Mode::Audited
        } else {
            Mode::Enforced
        },
        proxy_port: 0,
    }
}

/// The sender's policy is judged where its packets come in.
fn judged_egress(event: &Event) -> bool {
    event.hook == hook::FROM_CONTAINER && event.source_endpoint != 0
}

/// The receiver's policy is judged at whichever hook delivers.
fn judged_ingress(event: &Event) -> bool {
    event.destination_endpoint != 0 && event.hook != hook::TO_NETDEV
}

fn side(event: &Event) -> Option<Side> {
    match event.direction {
        direction::INGRESS => Some(Side::Ingress),
        direction::EGRESS => Some(Side::Egress),
        _ if event.hook == hook::FROM_CONTAINER && event.source_endpoint != 0 => Some(Side::Egress),
        _ if event.destination_endpoint != 0 => Some(Side::Ingress),
        _ => None,
    }
}

/// Where packets to `destination` go: by the kind of their hop ([`hop_kind`]), and at which hook they were taken ([`hook`]).
pub fn point(kind: u8, at: u8, destination: &Party) -> Point {
    match kind {
        hop_kind::LOCAL => Point::ToEndpoint,
        hop_kind::TUNNEL => Point::ToOverlay,
        hop_kind::PROXY => Point::ToProxy,
        hop_kind::STACK if destination.identity == HOST => Point::ToHost,
        hop_kind::ROUTE => Point::ToNetwork,
        _ if destination.endpoint != 0 => Point::ToEndpoint,
        _ if at == hook::TO_NETDEV => Point::ToNetwork,
        _ => Point::ToStack,
    }
}

/// Address and port of who began, and of what was asked for, by the flags of the connection's entry.
pub fn initiator_first(key: &ConnectionKey, of: u16) -> ((IpAddr, u16), (IpAddr, u16)) {
    let low = (IpAddr::from(key.low), u16::from_be(key.low_port));
    let high = (IpAddr::from(key.high), u16::from_be(key.high_port));
    if of & flags::INITIATOR_LOW != 0 {
        (low, high)
    } else {
        (high, low)
    }
}

#[cfg(test)]
mod tests;
