//! Protocols, ports and ICMP types.

use super::ExtendedProtocols;
use crate::policy::field::{Field, Invalid};
use crate::policy::rule::{PortTerm, Protocol};

/// How many ports, or ICMP types, one list may have.
const MAX_ITEMS: usize = 40;

/// Names of ICMP types.
const ICMP_TYPES: &[(&str, u8)] = &[
    ("EchoReply", 0),
    ("DestinationUnreachable", 3),
    ("Redirect", 5),
    ("Echo", 8),
    ("EchoRequest", 8),
    ("RouterAdvertisement", 9),
    ("RouterSelection", 10),
    ("TimeExceeded", 11),
    ("ParameterProblem", 12),
    ("Timestamp", 13),
    ("TimestampReply", 14),
    ("Photuris", 40),
    ("ExtendedEchoRequest", 42),
    ("ExtendedEcho Request", 42),
    ("ExtendedEchoReply", 43),
    ("ExtendedEcho Reply", 43),
];

/// Names of ICMPv6 types.
const ICMPV6_TYPES: &[(&str, u8)] = &[
    ("DestinationUnreachable", 1),
    ("PacketTooBig", 2),
    ("TimeExceeded", 3),
    ("ParameterProblem", 4),
    ("EchoRequest", 128),
    ("EchoReply", 129),
    ("MulticastListenerQuery", 130),
    ("MulticastListenerReport", 131),
    ("MulticastListenerDone", 132),
    ("RouterSolicitation", 133),
    ("RouterAdvertisement", 134),
    ("NeighborSolicitation", 135),
    ("NeighborAdvertisement", 136),
    ("RedirectMessage", 137),
    ("RouterRenumbering", 138),
    ("ICMPNodeInformationQuery", 139),
    ("ICMPNodeInformationResponse", 140),
    ("InverseNeighborDiscoverySolicitation", 141),
    ("InverseNeighborDiscoveryAdvertisement", 142),
    ("HomeAgentAddressDiscoveryRequest", 144),
    ("HomeAgentAddressDiscoveryReply", 145),
    ("MobilePrefixSolicitation", 146),
    ("MobilePrefixAdvertisement", 147),
    ("DuplicateAddressRequestCodeSuffix", 157),
    ("DuplicateAddressConfirmationCodeSuffix", 158),
    ("ExtendedEchoRequest", 160),
    ("ExtendedEcho Request", 160),
    ("ExtendedEchoReply", 161),
    ("ExtendedEcho Reply", 161),
];

/// Whether a text is a port name: 1 to 15 letters, digits and single hyphens inside, with a letter (RFC 6335).
pub(super) fn is_port_name(text: &str) -> bool {
    (1..=15).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && text.chars().any(|c| c.is_ascii_alphabetic())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && !text.contains("--")
}

/// Terms for a range of ports of several protocols.
pub(super) fn ranges(protocols: &[Protocol], first: u16, last: u16) -> Vec<PortTerm> {
    protocols
        .iter()
        .map(|protocol| PortTerm::Range {
            protocol: *protocol,
            first,
            last,
        })
        .collect()
}

/// Terms for a named port of several protocols.
pub(super) fn named(protocols: &[Protocol], name: &str) -> Vec<PortTerm> {
    protocols
        .iter()
        .map(|protocol| PortTerm::Named {
            protocol: *protocol,
            name: name.into(),
        })
        .collect()
}

fn parse_protocols(
    field: Option<&Field<'_>>,
    extended: ExtendedProtocols,
) -> Result<Vec<Protocol>, Invalid> {
    let Some(field) = field else {
        return Ok(vec![Protocol::TCP, Protocol::UDP, Protocol::SCTP]);
    };
    Ok(match field.text()?.to_ascii_uppercase().as_str() {
        "" | "ANY" => vec![Protocol::TCP, Protocol::UDP, Protocol::SCTP],
        "TCP" => vec![Protocol::TCP],
        "UDP" => vec![Protocol::UDP],
        "SCTP" => vec![Protocol::SCTP],
        name @ ("VRRP" | "IGMP") if extended == ExtendedProtocols::Off => {
            return Err(field.error(format!("{name} needs enable-extended-ip-protocols")));
        }
        "VRRP" => vec![Protocol::VRRP],
        "IGMP" => vec![Protocol::IGMP],
        other => {
            return Err(field.error(format!(
                "{other:?} must be TCP, UDP, SCTP, VRRP, IGMP or ANY"
            )));
        }
    })
}

fn parse_port(field: &Field<'_>, extended: ExtendedProtocols) -> Result<Vec<PortTerm>, Invalid> {
    field.only(&["port", "endPort", "protocol"])?;
    let protocols = parse_protocols(field.get("protocol")?.as_ref(), extended)?;
    let portless = protocols
        .iter()
        .any(|protocol| matches!(*protocol, Protocol::VRRP | Protocol::IGMP));
    let port = field.get("port")?;
    let text = port.as_ref().map_or(Ok(""), Field::text)?;
    let end = field
        .get("endPort")?
        .map(|end| end.integer().map(|number| (end, number)))
        .transpose()?;
    let end = end.filter(|(_, number)| *number != 0);
    let refuse = |problem: String| Err(port.as_ref().unwrap_or(field).error(problem));
    if is_port_name(text) {
        return match &end {
            Some((end, _)) => Err(end.error("needs a port that is a number")),
            None if portless => {
                refuse("must be empty or 0 for a protocol without ports".to_owned())
            }
            None => Ok(named(&protocols, &text.to_ascii_lowercase())),
        };
    }
    let decimal = text.chars().all(|c| c.is_ascii_digit());
    let Some(first) = (if text.is_empty() {
        Some(0)
    } else {
        text.parse::<u16>().ok().filter(|_| decimal)
    }) else {
        return refuse(format!(
            "{text:?} is neither a port number from 0 to 65535 nor a port name"
        ));
    };
    match end {
        None if first == 0 => Ok(ranges(&protocols, 0, u16::MAX)),
        _ if portless => refuse("must be empty or 0 for a protocol without ports".to_owned()),
        None => Ok(ranges(&protocols, first, first)),
        Some((end, _)) if first == 0 => Err(end.error("needs a port from 1 to 65535")),
        Some((end, number)) => match u16::try_from(number) {
            Ok(last) if last >= first => Ok(ranges(&protocols, first, last)),
            _ => Err(end.error(format!("must be from {first} to 65535, is {number}"))),
        },
    }
}

fn within(field: &Field<'_>, name: &str, count: usize) -> Result<(), Invalid> {
    if count <= MAX_ITEMS {
        Ok(())
    } else {
        Err(field.error(format!(
            "{name} has {count} items, the limit is {MAX_ITEMS}"
        )))
    }
}

/// One entry of `toPorts`. What would restrict the content of connections is refused, never ignored.
pub(super) fn parse_port_rule(
    field: &Field<'_>,
    extended: ExtendedProtocols,
) -> Result<Vec<PortTerm>, Invalid> {
    field.only(&[
        "ports",
        "rules",
        "serverNames",
        "terminatingTLS",
        "originatingTLS",
        "listener",
    ])?;
    field.without(&[
        "serverNames",
        "terminatingTLS",
        "originatingTLS",
        "listener",
    ])?;
    if let Some(rules) = field.get("rules")? {
        rules.without(&["http", "kafka", "dns", "l7proto", "l7"])?;
        rules.only(&[])?;
    }
    let items = field.list("ports")?.unwrap_or_default();
    within(field, "ports", items.len())?;
    let mut terms = Vec::new();
    for item in &items {
        terms.extend(parse_port(item, extended)?);
    }
    Ok(terms)
}

fn parse_icmp_type(field: &Field<'_>, protocol: Protocol) -> Result<u8, Invalid> {
    if field.value().is_number() {
        let number = field.integer()?;
        return u8::try_from(number)
            .map_err(|_| field.error(format!("must be from 0 to 255, is {number}")));
    }
    let text = field.text()?;
    let names = if protocol == Protocol::ICMP {
        ICMP_TYPES
    } else {
        ICMPV6_TYPES
    };
    let by_name = names
        .iter()
        .find(|(name, _)| *name == text)
        .map(|(_, number)| *number);
    let decimal = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    let number = by_name.or_else(|| text.parse().ok().filter(|_| decimal));
    number.ok_or_else(|| field.error(format!("{text:?} is not a type of {protocol}")))
}

/// One entry of `icmps`.
pub(super) fn parse_icmp_rule(field: &Field<'_>) -> Result<Vec<PortTerm>, Invalid> {
    field.only(&["fields"])?;
    let items = field.list("fields")?.unwrap_or_default();
    within(field, "fields", items.len())?;
    let mut terms = Vec::new();
    for item in &items {
        item.only(&["type", "family"])?;
        let family = item.get("family")?;
        let protocol = match family.as_ref().map_or(Ok("IPv4"), Field::text)? {
            "IPv4" | "" => Protocol::ICMP,
            "IPv6" => Protocol::ICMPV6,
            other => {
                return Err(family
                    .as_ref()
                    .unwrap_or(item)
                    .error(format!("{other:?} must be IPv4 or IPv6")));
            }
        };
        let first = Protocol::icmp_port(parse_icmp_type(&item.required("type")?, protocol)?);
        terms.push(PortTerm::Range {
            protocol,
            first,
            last: first | 0xff,
        });
    }
    Ok(terms)
}
