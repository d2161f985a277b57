//! Packets from text: layers from the outside in, separated by `|`; lengths and checksums are worked out.
//!
//! `eth m6>m1 | ipv4 10.0.1.5>10.0.1.6 ttl=64 df | tcp 1000>80 SA seq=1 ack=2 win=100 ws=7 | data 4`
//!
//! Layers: `eth`, `arp`, `ipv4`, `ipv6`, `ext`, `frag`, `tcp`, `udp`, `echo`, `reply`, `icmp` (what follows is quoted),
//! `nd`, `data`, `hex`. `m6` is the hardware address 02:00:00:00:00:06.

use std::net::IpAddr;

use crate::{
    abi::{Address, Mac, Plain},
    wire::{
        arp::ArpPacket,
        csum::Sum,
        eth::EthHeader,
        icmp::IcmpHeader,
        ip::{self, ExtensionHeader, V4Header, V6Header},
        tcp::TcpHeader,
        udp::UdpHeader,
    },
};

/// Words and `name=value` pairs of a line.
pub(crate) struct Fields<'a>(pub(crate) Vec<&'a str>);

impl<'a> Fields<'a> {
    /// Splits a line.
    pub(crate) fn of(line: &'a str) -> Self {
        Self(line.split_whitespace().collect())
    }

    /// The value of `name`.
    pub(crate) fn text(&self, name: &str) -> Option<&'a str> {
        self.0
            .iter()
            .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    }

    /// The number of `name`, decimal or 0x, else `default`.
    pub(crate) fn number(&self, name: &str, default: u64) -> u64 {
        self.text(name).map_or(default, number)
    }

    /// Whether a word stands alone.
    pub(crate) fn has(&self, word: &str) -> bool {
        self.0.contains(&word)
    }

    /// The word at a place.
    pub(crate) fn word(&self, at: usize) -> &'a str {
        self.0.get(at).copied().unwrap_or_default()
    }
}

/// A number, decimal or 0x.
pub(crate) fn number(text: &str) -> u64 {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.unwrap_or_else(|_| malformed("number", text))
}

/// An address.
pub(crate) fn address(text: &str) -> Address {
    match text.parse::<IpAddr>() {
        Ok(address) => address.into(),
        Err(_) => malformed("address", text),
    }
}

/// A hardware address: `m6`, or six octets.
pub(crate) fn mac(text: &str) -> Mac {
    if let Some(last) = text.strip_prefix('m') {
        return Mac([2, 0, 0, 0, 0, number(last) as u8]);
    }
    let mut octets = [0; 6];
    for (octet, part) in octets.iter_mut().zip(text.split(':')) {
        *octet = u8::from_str_radix(part, 16).unwrap_or_else(|_| malformed("mac", text));
    }
    Mac(octets)
}

#[allow(clippy::panic, reason = "a case that cannot be read is a failed test")]
pub(crate) fn malformed<T>(what: &str, text: &str) -> T {
    panic!("not a {what}: {text:?}")
}

/// `a>b`
fn pair(text: &str) -> (&str, &str) {
    text.split_once('>')
        .unwrap_or_else(|| malformed("pair", text))
}

/// The frame that a text describes.
pub(crate) fn frame(text: &str) -> Vec<u8> {
    let layers: Vec<Fields<'_>> = text.split('|').map(Fields::of).collect();
    layer(&layers).0
}

/// Octets of the layers and the protocol number by which they are announced.
fn layer(layers: &[Fields<'_>]) -> (Vec<u8>, u8) {
    let Some((first, rest)) = layers.split_first() else {
        return (Vec::new(), ip::NONE);
    };
    match first.word(0) {
        "eth" => (ethernet(first, rest), 0),
        "arp" => (arp(first), 0),
        "ipv4" => (v4(first, rest), 4),
        "ipv6" => (v6(first, rest), 41),
        "ext" | "frag" => extension(first, rest),
        "tcp" => (tcp(first, rest), ip::TCP),
        "udp" => (udp(first, rest), ip::UDP),
        "sctp" => (udp(first, rest), ip::SCTP),
        "echo" | "reply" | "icmp" | "nd" => icmp(first, rest),
        "data" => {
            let length = number(first.word(1)) as usize;
            (
                (0..length).map(|i| i as u8).collect(),
                first.number("proto", ip::NONE.into()) as u8,
            )
        }
        "hex" => (hex(first.word(1)), first.number("proto", 0) as u8),
        other => malformed("layer", other),
    }
}

/// Octets of hexadecimal digits.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2)
        .filter_map(|i| u8::from_str_radix(text.get(i * 2..i * 2 + 2)?, 16).ok())
        .collect()
}

fn ethernet(fields: &Fields<'_>, rest: &[Fields<'_>]) -> Vec<u8> {
    let (source, destination) = pair(fields.word(1));
    let ethertype = match rest.first().map(|next| next.word(0)) {
        Some("ipv4") => 0x0800,
        Some("ipv6") => 0x86dd,
        Some("arp") => 0x0806,
        _ => 0x88b5,
    };
    let header = EthHeader {
        destination: mac(destination),
        source: mac(source),
        ethertype: (fields.number("type", ethertype) as u16).to_be(),
    };
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend(layer(rest).0);
    bytes
}

fn arp(fields: &Fields<'_>) -> Vec<u8> {
    let (sender, target) = pair(fields.word(2));
    ArpPacket {
        hardware: 1u16.to_be(),
        protocol: 0x0800u16.to_be(),
        hardware_length: 6,
        protocol_length: 4,
        operation: (match fields.word(1) {
            "request" => 1u16,
            "reply" => 2,
            other => number(other) as u16,
        })
        .to_be(),
        sender_mac: mac(fields.text("mac").unwrap_or("m0")),
        sender: address(sender).v4_octets(),
        target_mac: Mac::default(),
        target: address(target).v4_octets(),
    }
    .as_bytes()
    .to_vec()
}

fn v4(fields: &Fields<'_>, rest: &[Fields<'_>]) -> Vec<u8> {
    let (source, destination) = pair(fields.word(1));
    let (source, destination) = (address(source), address(destination));
    let (mut payload, protocol) = layer(rest);
    let offset = fields.number("offset", 0) as u16;
    seal(&mut payload, protocol, &source, &destination, offset == 0);
    let options = vec![1u8; fields.number("options", 0) as usize * 4];
    let length = 20 + options.len() + payload.len();
    let fragment = offset
        | if fields.has("df") {
            ip::fragment::DONT
        } else {
            0
        }
        | if fields.has("mf") {
            ip::fragment::MORE
        } else {
            0
        };
    let mut header = V4Header {
        version_length: fields.number("version", 4) as u8 * 16 + 5 + (options.len() / 4) as u8,
        total_length: (fields.number("length", length as u64) as u16).to_be(),
        id: (fields.number("id", 0) as u16).to_be(),
        fragment: fragment.to_be(),
        ttl: fields.number("ttl", 64) as u8,
        protocol: fields.number("proto", protocol.into()) as u8,
        source: source.v4_octets(),
        destination: destination.v4_octets(),
        ..V4Header::default()
    };
    let mut sum = Sum::default().with(&header);
    for _ in 0..options.len() / 2 {
        sum = sum.word(u16::from_ne_bytes([1, 1]));
    }
    header.checksum = sum.fold();
    [header.as_bytes().to_vec(), options, payload].concat()
}

fn v6(fields: &Fields<'_>, rest: &[Fields<'_>]) -> Vec<u8> {
    let (source, destination) = pair(fields.word(1));
    let (source, destination) = (v6_address(source), v6_address(destination));
    let (mut payload, protocol) = layer(rest);
    let first = !rest
        .iter()
        .any(|layer| layer.word(0) == "frag" && layer.number("offset", 0) != 0);
    let chain = rest
        .iter()
        .take_while(|layer| matches!(layer.word(0), "ext" | "frag"))
        .map(|layer| 8 + 8 * layer.number("more", 0) as usize)
        .sum::<usize>();
    let next = rest
        .get(chain_length(rest))
        .map_or(protocol, |last| announced(last));
    if let Some(transport) = payload.get_mut(chain..) {
        let mut body = transport.to_vec();
        seal(&mut body, next, &source, &destination, first);
        transport.copy_from_slice(&body);
    }
    let header = V6Header {
        version_class_flow: [(fields.number("version", 6) as u8) << 4, 0, 0, 0],
        payload_length: (fields.number("length", payload.len() as u64) as u16).to_be(),
        next: fields.number("proto", protocol.into()) as u8,
        hop_limit: fields.number("ttl", 64) as u8,
        source: source.0,
        destination: destination.0,
    };
    [header.as_bytes().to_vec(), payload].concat()
}

/// An IPv6 address as on the wire, mapped ones included.
fn v6_address(text: &str) -> Address {
    match text.parse::<std::net::Ipv6Addr>() {
        Ok(address) => Address::v6(address.octets()),
        Err(_) => malformed("IPv6 address", text),
    }
}

fn chain_length(rest: &[Fields<'_>]) -> usize {
    rest.iter()
        .take_while(|layer| matches!(layer.word(0), "ext" | "frag"))
        .count()
}

/// The protocol number of a transport layer.
fn announced(fields: &Fields<'_>) -> u8 {
    match fields.word(0) {
        "tcp" => ip::TCP,
        "udp" => ip::UDP,
        "sctp" => ip::SCTP,
        "echo" | "reply" | "icmp" | "nd" => ip::ICMPV6,
        _ => fields.number("proto", ip::NONE.into()) as u8,
    }
}

/// An extension header: `ext 0 more=1` (type, further eights), `frag id=7 offset=0 mf`.
fn extension(fields: &Fields<'_>, rest: &[Fields<'_>]) -> (Vec<u8>, u8) {
    let (payload, next) = layer(rest);
    let is_fragment = fields.word(0) == "frag";
    let more = fields.number("more", 0) as u8;
    let header = ExtensionHeader {
        next,
        length: more,
        fragment: if is_fragment {
            ((fields.number("offset", 0) as u16) << 3 | u16::from(fields.has("mf"))).to_be()
        } else {
            0
        },
        id: (fields.number("id", 0) as u32).to_be(),
    };
    let kind = if is_fragment {
        ip::FRAGMENT
    } else {
        number(fields.word(1)) as u8
    };
    let room = vec![0; usize::from(more) * 8];
    ([header.as_bytes().to_vec(), room, payload].concat(), kind)
}

fn tcp(fields: &Fields<'_>, rest: &[Fields<'_>]) -> Vec<u8> {
    let (source, destination) = pair(fields.word(1));
    let letters = [('F', 1u8), ('S', 2), ('R', 4), ('P', 8), ('A', 16)];
    let flags = letters
        .iter()
        .filter(|(letter, _)| fields.word(2).contains(*letter))
        .fold(0, |all, (_, bit)| all | bit);
    let options = match fields.text("ws") {
        Some(scale) => vec![1, 3, 3, number(scale) as u8],
        None => Vec::new(),
    };
    let header = TcpHeader {
        source: (number(source) as u16).to_be(),
        destination: (number(destination) as u16).to_be(),
        sequence: (fields.number("seq", 0) as u32).to_be(),
        acknowledgement: (fields.number("ack", 0) as u32).to_be(),
        data_offset: fields.number("doff", 5 + options.len() as u64 / 4) as u8 * 16,
        flags,
        window: (fields.number("win", 1000) as u16).to_be(),
        ..TcpHeader::default()
    };
    [header.as_bytes().to_vec(), options, layer(rest).0].concat()
}

fn udp(fields: &Fields<'_>, rest: &[Fields<'_>]) -> Vec<u8> {
    let (source, destination) = pair(fields.word(1));
    let payload = layer(rest).0;
    let header = UdpHeader {
        source: (number(source) as u16).to_be(),
        destination: (number(destination) as u16).to_be(),
        length: (8 + payload.len() as u16).to_be(),
        // Marks that no checksum is wanted.
        checksum: if fields.has("nosum") { 0xdead } else { 0 },
    };
    [header.as_bytes().to_vec(), payload].concat()
}

/// `echo id=7`, `reply id=7`, `icmp 3 4 mtu=1400`, each with `v6` for ICMPv6; `nd 135 target=…` is ICMPv6.
fn icmp(fields: &Fields<'_>, rest: &[Fields<'_>]) -> (Vec<u8>, u8) {
    let six = fields.has("v6") || fields.word(0) == "nd";
    let (kind, code) = match (fields.word(0), six) {
        ("echo", false) => (8, 0),
        ("echo", true) => (128, 0),
        ("reply", false) => (0, 0),
        ("reply", true) => (129, 0),
        ("nd", _) => (number(fields.word(1)) as u8, 0),
        _ => (number(fields.word(1)) as u8, number(fields.word(2)) as u8),
    };
    let header = IcmpHeader {
        kind,
        code,
        checksum: 0,
        id: (fields.number("id", 0) as u16).to_be(),
        sequence: (fields.number("mtu", fields.number("seq", 0)) as u16).to_be(),
    };
    let mut bytes = header.as_bytes().to_vec();
    if let Some(target) = fields.text("target") {
        bytes.extend(v6_address(target).octets());
        if let Some(option) = fields.text("mac") {
            bytes.extend([1, 1]);
            bytes.extend(mac(option).0);
        }
    }
    bytes.extend(layer(rest).0);
    (bytes, if six { ip::ICMPV6 } else { ip::ICMP })
}

/// Writes the transport checksum, where the transport header is in this packet.
fn seal(payload: &mut [u8], protocol: u8, source: &Address, destination: &Address, first: bool) {
    let at = match protocol {
        ip::TCP => 16,
        ip::UDP => 6,
        ip::ICMP | ip::ICMPV6 => 2,
        _ => return,
    };
    let Some(field) = payload.get(at..at + 2) else {
        return;
    };
    if !first {
        return;
    }
    if protocol == ip::UDP && field == 0xdeadu16.to_ne_bytes() {
        payload
            .iter_mut()
            .skip(at)
            .take(2)
            .for_each(|octet| *octet = 0);
        return;
    }
    let mut sum = Sum::default();
    if protocol != ip::ICMP {
        sum = sum.pseudo(source, destination, payload.len() as u16, protocol);
    }
    let sum = words(payload, sum);
    let value = match sum.fold() {
        0 if protocol == ip::UDP => 0xffff,
        value => value,
    };
    for (octet, new) in payload.iter_mut().skip(at).zip(value.to_ne_bytes()) {
        *octet = new;
    }
}

/// Whether the checksums of a packet hold: IPv4 header, and transport where it is whole, has one, and lies behind a header
/// without extensions. What is no IP packet has none to hold.
pub(crate) fn sound(frame: &[u8]) -> bool {
    let Some((header, packet)) = frame.split_at_checked(14) else {
        return true;
    };
    let (start, protocol, ends) = match header {
        [.., 0x08, 0x00] => {
            let Some(ip) = packet.get(..20).and_then(V4Header::from_bytes) else {
                return true;
            };
            let length = usize::from(ip.version_length & 0xf) * 4;
            let fragment = u16::from_be(ip.fragment) & !ip::fragment::DONT;
            let Some(own) = packet.get(..length) else {
                return true;
            };
            if words(own, Sum::default()).fold() != 0 {
                return false;
            }
            if fragment != 0 {
                return true;
            }
            (
                length,
                ip.protocol,
                (Address::v4(ip.source), Address::v4(ip.destination)),
            )
        }
        [.., 0x86, 0xdd] => {
            let Some(ip) = packet.get(..40).and_then(V6Header::from_bytes) else {
                return true;
            };
            (40, ip.next, (Address(ip.source), Address(ip.destination)))
        }
        _ => return true,
    };
    let Some(transport) = packet.get(start..) else {
        return true;
    };
    let length = transport.len() as u16;
    match protocol {
        ip::UDP if transport.get(6..8) == Some(&[0, 0]) => true,
        ip::TCP | ip::UDP | ip::ICMPV6 => {
            let sum = Sum::default().pseudo(&ends.0, &ends.1, length, protocol);
            words(transport, sum).fold() == 0
        }
        ip::ICMP => words(transport, Sum::default()).fold() == 0,
        _ => true,
    }
}

/// Adds octets as 16-bit words, the last one filled with zero.
fn words(octets: &[u8], sum: Sum) -> Sum {
    octets.chunks(2).fold(sum, |sum, pair| {
        let word = [
            pair.first().copied().unwrap_or(0),
            pair.get(1).copied().unwrap_or(0),
        ];
        sum.word(u16::from_ne_bytes(word))
    })
}
