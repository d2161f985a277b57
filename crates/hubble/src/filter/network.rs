//! Fields about addresses, ports and protocols.

use std::net::IpAddr;

use api::hubble::flow::{Flow, FlowFilter, TcpFlags, layer4::Protocol, layer7::Record};
use ipnet::IpNet;

use super::{FieldError, Test, any_of, compile};

pub(super) fn tests(filter: &FlowFilter, tests: &mut Vec<Test>) -> Result<(), FieldError> {
    addresses(tests, "source_ip", &filter.source_ip, |flow| {
        flow.ip.as_ref().map_or("", |ip| &ip.source)
    })?;
    addresses(tests, "destination_ip", &filter.destination_ip, |flow| {
        flow.ip.as_ref().map_or("", |ip| &ip.destination)
    })?;
    addresses(
        tests,
        "source_ip_xlated",
        &filter.source_ip_xlated,
        |flow| flow.ip.as_ref().map_or("", |ip| &ip.source_xlated),
    )?;
    any_of(tests, filter.ip_version.clone(), |wanted, flow| {
        *wanted == flow.ip.as_ref().map_or(0, |ip| ip.ip_version)
    });
    any_of(tests, filter.encrypted.clone(), |wanted, flow| {
        flow.ip.as_ref().is_some_and(|ip| ip.encrypted == *wanted)
    });
    any_of(
        tests,
        compile("source_port", &filter.source_port, port)?,
        |wanted, flow| ports(flow).is_some_and(|(source, _)| source == *wanted),
    );
    any_of(
        tests,
        compile("destination_port", &filter.destination_port, port)?,
        |wanted, flow| ports(flow).is_some_and(|(_, destination)| destination == *wanted),
    );
    any_of(
        tests,
        compile("protocol", &filter.protocol, Name::parse)?,
        |wanted, flow| wanted.matches(flow),
    );
    any_of(tests, filter.tcp_flags.clone(), |wanted, flow| {
        let Some(Protocol::Tcp(tcp)) = protocol(flow) else {
            return false;
        };
        tcp.flags
            .as_ref()
            .is_some_and(|seen| contains(seen, wanted))
    });
    any_of(tests, filter.ip_trace_id.clone(), |wanted, flow| {
        flow.ip_trace_id
            .as_ref()
            .is_some_and(|seen| seen.trace_id == *wanted)
    });
    Ok(())
}

/// An address, or a block of addresses.
enum Addresses {
    One(IpAddr),
    Block(IpNet),
}

impl Addresses {
    fn parse(text: &str) -> Result<Self, String> {
        if text.contains('/') {
            text.parse()
                .map(Self::Block)
                .map_err(|_| format!("{text:?} is no CIDR"))
        } else {
            text.parse()
                .map(Self::One)
                .map_err(|_| format!("{text:?} is no IP address"))
        }
    }

    fn contains(&self, text: &str) -> bool {
        text.parse::<IpAddr>().is_ok_and(|address| match self {
            Self::One(wanted) => *wanted == address,
            Self::Block(wanted) => wanted.contains(&address),
        })
    }
}

fn addresses(
    tests: &mut Vec<Test>,
    field: &'static str,
    values: &[String],
    of: fn(&Flow) -> &str,
) -> Result<(), FieldError> {
    let values = compile(field, values, Addresses::parse)?;
    any_of(tests, values, move |wanted, flow| wanted.contains(of(flow)));
    Ok(())
}

fn port(text: &str) -> Result<u32, String> {
    text.parse::<u16>()
        .map(u32::from)
        .map_err(|_| format!("{text:?} is no port (0 to 65535)"))
}

fn protocol(flow: &Flow) -> Option<&Protocol> {
    flow.l4.as_ref()?.protocol.as_ref()
}

fn ports(flow: &Flow) -> Option<(u32, u32)> {
    match protocol(flow)? {
        Protocol::Tcp(tcp) => Some((tcp.source_port, tcp.destination_port)),
        Protocol::Udp(udp) => Some((udp.source_port, udp.destination_port)),
        Protocol::Sctp(sctp) => Some((sctp.source_port, sctp.destination_port)),
        _ => None,
    }
}

/// A protocol by name.
#[derive(Clone, Copy)]
enum Name {
    Icmp,
    IcmpV4,
    IcmpV6,
    Tcp,
    Udp,
    Sctp,
    Vrrp,
    Igmp,
    Dns,
    Http,
    Kafka,
}

impl Name {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(match text.to_ascii_lowercase().as_str() {
            "icmp" => Self::Icmp,
            "icmpv4" => Self::IcmpV4,
            "icmpv6" => Self::IcmpV6,
            "tcp" => Self::Tcp,
            "udp" => Self::Udp,
            "sctp" => Self::Sctp,
            "vrrp" => Self::Vrrp,
            "igmp" => Self::Igmp,
            "dns" => Self::Dns,
            "http" => Self::Http,
            "kafka" => Self::Kafka,
            _ => {
                return Err(format!(
                    "{text:?} is none of icmp, icmpv4, icmpv6, tcp, udp, sctp, vrrp, igmp, dns, http, kafka"
                ));
            }
        })
    }

    #[allow(deprecated, reason = "readers still ask for the deprecated record")]
    fn matches(self, flow: &Flow) -> bool {
        let l4 = protocol(flow);
        let l7 = flow.l7.as_ref().and_then(|l7| l7.record.as_ref());
        match self {
            Self::Icmp => matches!(l4, Some(Protocol::IcmPv4(_) | Protocol::IcmPv6(_))),
            Self::IcmpV4 => matches!(l4, Some(Protocol::IcmPv4(_))),
            Self::IcmpV6 => matches!(l4, Some(Protocol::IcmPv6(_))),
            Self::Tcp => matches!(l4, Some(Protocol::Tcp(_))),
            Self::Udp => matches!(l4, Some(Protocol::Udp(_))),
            Self::Sctp => matches!(l4, Some(Protocol::Sctp(_))),
            Self::Vrrp => matches!(l4, Some(Protocol::Vrrp(_))),
            Self::Igmp => matches!(l4, Some(Protocol::Igmp(_))),
            Self::Dns => matches!(l7, Some(Record::Dns(_))),
            Self::Http => matches!(l7, Some(Record::Http(_))),
            Self::Kafka => matches!(l7, Some(Record::Kafka(_))),
        }
    }
}

/// Whether all flags of `wanted` are set in `seen`.
fn contains(seen: &TcpFlags, wanted: &TcpFlags) -> bool {
    let bits = |f: &TcpFlags| [f.fin, f.syn, f.rst, f.psh, f.ack, f.urg, f.ece, f.cwr, f.ns];
    bits(wanted)
        .into_iter()
        .zip(bits(seen))
        .all(|(wanted, seen)| seen || !wanted)
}
