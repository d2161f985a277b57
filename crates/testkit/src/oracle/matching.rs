//! Addresses, ports and ICMP types, read from JSON at every question.

use std::net::IpAddr;

use serde_json::Value;

/// Address and length of `10.0.0.0/8`, or of a bare address.
fn parse(cidr: &str) -> Option<(IpAddr, u32)> {
    if let Some((address, length)) = cidr.split_once('/') {
        return Some((address.parse().ok()?, length.parse().ok()?));
    }
    let address: IpAddr = cidr.parse().ok()?;
    Some((address, if address.is_ipv4() { 32 } else { 128 }))
}

/// Whether the first bits of an address are those of a prefix.
pub(super) fn inside(cidr: &str, address: IpAddr) -> bool {
    match (parse(cidr), address) {
        (Some((IpAddr::V4(net), length)), IpAddr::V4(address)) => {
            (0..length).all(|bit| (net.to_bits() ^ address.to_bits()) >> (31 - bit) & 1 == 0)
        }
        (Some((IpAddr::V6(net), length)), IpAddr::V6(address)) => {
            (0..length).all(|bit| (net.to_bits() ^ address.to_bits()) >> (127 - bit) & 1 == 0)
        }
        _ => false,
    }
}

/// Whether an address is in a prefix and in none of the exceptions listed beside it.
pub(super) fn inside_but(cidr: &str, except: &Value, address: IpAddr) -> bool {
    let excepted = except
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    inside(cidr, address) && !excepted.into_iter().any(|e| inside(e, address))
}

/// A named port: (name, protocol, number).
pub(super) type NamedPort = (String, String, u16);

fn number(protocol: &str) -> u8 {
    match protocol {
        "TCP" => 6,
        "UDP" => 17,
        "SCTP" => 132,
        _ => 0,
    }
}

/// Whether a destination is a port that an item of a port list means. `ports` are the destination's named ports.
pub(super) fn port_means(
    port: &Value,
    end: &Value,
    protocols: &[&str],
    ports: &[NamedPort],
    destination: (u8, u16),
) -> bool {
    let protocols: Vec<&&str> = protocols
        .iter()
        .filter(|name| number(name) == destination.0)
        .collect();
    if protocols.is_empty() {
        return false;
    }
    let written = match port {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if written.is_empty() || written == "0" {
        return true;
    }
    match written.parse::<u64>() {
        Ok(first) => {
            let last = end.as_u64().filter(|end| *end != 0).unwrap_or(first);
            first <= u64::from(destination.1) && u64::from(destination.1) <= last
        }
        Err(_) => ports.iter().any(|(name, protocol, number)| {
            *name == written.to_lowercase()
                && protocols.contains(&&protocol.as_str())
                && *number == destination.1
        }),
    }
}

/// Whether an item of `icmps[].fields` means a type of ICMP (protocol 1) or ICMPv6 (58).
pub(super) fn icmp_means(field: &Value, destination: (u8, u16)) -> bool {
    let v6 = field["family"] == "IPv6";
    if destination.0 != if v6 { 58 } else { 1 } {
        return false;
    }
    let wanted = match (&field["type"], v6) {
        (Value::Number(number), _) => number.as_u64(),
        (Value::String(name), false) => match name.as_str() {
            "EchoReply" => Some(0),
            "DestinationUnreachable" => Some(3),
            "Echo" | "EchoRequest" => Some(8),
            "TimeExceeded" => Some(11),
            digits => digits.parse().ok(),
        },
        (Value::String(name), true) => match name.as_str() {
            "PacketTooBig" => Some(2),
            "EchoRequest" => Some(128),
            "EchoReply" => Some(129),
            "NeighborSolicitation" => Some(135),
            digits => digits.parse().ok(),
        },
        _ => None,
    };
    wanted == Some(u64::from(destination.1))
}
