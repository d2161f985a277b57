//! Routes.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::error::Result;
use crate::handle::{Handle, Request};
use crate::wire::{self, Message};
use crate::{Family, PROTOCOL};

/// The main table.
pub const TABLE_MAIN: u32 = 254;
/// The table of the node's own addresses.
pub const TABLE_LOCAL: u32 = 255;

const HEADER: usize = 12;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_PREFSRC: u16 = 7;
const RTA_METRICS: u16 = 8;
const RTA_TABLE: u16 = 15;
const RTAX_MTU: u16 = 2;
const RTNH_F_ONLINK: u32 = 4;

/// How far the destination is (`RT_SCOPE_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Scope {
    /// Behind a gateway.
    #[default]
    Universe = 0,
    /// On the link. IPv6 ignores it.
    Link = 253,
    /// This node.
    Host = 254,
}

/// What happens to a packet that the route matches (`RTN_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// Sent on.
    #[default]
    Unicast = 1,
    /// Delivered here.
    Local = 2,
    /// Dropped silently.
    Blackhole = 6,
    /// Refused with host unreachable.
    Unreachable = 7,
}

/// Whether the gateway counts as reachable on the device without a route to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Onlink {
    /// The gateway needs a route.
    #[default]
    No,
    /// `RTNH_F_ONLINK`.
    Yes,
}

/// A route. `Route::to(prefix)` and struct update make one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Route {
    /// Destination; `0.0.0.0/0` or `::/0` is the default route.
    pub destination: IpNet,
    /// Routing table.
    pub table: u32,
    /// Device, by index.
    pub device: Option<u32>,
    /// Next hop.
    pub gateway: Option<IpAddr>,
    /// Preferred source address.
    pub source: Option<IpAddr>,
    /// Metric; IPv6 reads 0 as 1024.
    pub metric: Option<u32>,
    /// MTU metric in bytes.
    pub mtu: Option<u32>,
    /// Scope.
    pub scope: Scope,
    /// What it does.
    pub kind: Kind,
    /// Gateway reachable by declaration.
    pub onlink: Onlink,
    /// `RTPROT_*`; ours is [`PROTOCOL`].
    pub protocol: u8,
}

impl Route {
    /// A unicast route of ours in the main table, without device or gateway.
    pub fn to(destination: IpNet) -> Self {
        Self {
            destination,
            table: TABLE_MAIN,
            device: None,
            gateway: None,
            source: None,
            metric: None,
            mtu: None,
            scope: Scope::default(),
            kind: Kind::default(),
            onlink: Onlink::default(),
            protocol: PROTOCOL,
        }
    }

    /// Through this device.
    pub fn dev(mut self, index: u32) -> Self {
        self.device = Some(index);
        self
    }

    /// Through this next hop.
    pub fn via(mut self, gateway: IpAddr) -> Self {
        self.gateway = Some(gateway);
        self
    }

    /// In this table.
    pub fn in_table(mut self, table: u32) -> Self {
        self.table = table;
        self
    }

    /// With an MTU metric in bytes.
    pub fn mtu(mut self, bytes: u32) -> Self {
        self.mtu = Some(bytes);
        self
    }

    /// With this scope.
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// With this preferred source address.
    pub fn src(mut self, source: IpAddr) -> Self {
        self.source = Some(source);
        self
    }

    /// Of this kind.
    pub fn kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// Gateway taken as reachable on the device.
    pub fn onlink(mut self) -> Self {
        self.onlink = Onlink::Yes;
        self
    }

    fn message(&self, kind: u16, flags: u16) -> Message {
        let table = u8::try_from(self.table).unwrap_or(0);
        let mut header = [0; HEADER];
        header[0] = Family::of(self.destination.addr()).raw();
        header[1] = self.destination.prefix_len();
        header[4..8].copy_from_slice(&[table, self.protocol, self.scope as u8, self.kind as u8]);
        let route_flags = if self.onlink == Onlink::Yes {
            RTNH_F_ONLINK
        } else {
            0
        };
        header[8..12].copy_from_slice(&route_flags.to_ne_bytes());
        let mut message = Message::new(kind, flags).fixed(&header);
        if self.destination.prefix_len() > 0 {
            message.attr_ip(RTA_DST, self.destination.network());
        }
        message.attr_u32(RTA_TABLE, self.table);
        if let Some(device) = self.device {
            message.attr_u32(RTA_OIF, device);
        }
        if let Some(gateway) = self.gateway {
            message.attr_ip(RTA_GATEWAY, gateway);
        }
        if let Some(source) = self.source {
            message.attr_ip(RTA_PREFSRC, source);
        }
        if let Some(metric) = self.metric {
            message.attr_u32(RTA_PRIORITY, metric);
        }
        if let Some(mtu) = self.mtu {
            message.nested(RTA_METRICS, |metrics| metrics.attr_u32(RTAX_MTU, mtu));
        }
        message
    }

    fn parse(payload: &[u8]) -> Option<Self> {
        let &[family, length, _, _, table, protocol, scope, kind] = payload.first_chunk::<8>()?;
        let any: IpAddr = if i32::from(family) == libc::AF_INET {
            std::net::Ipv4Addr::UNSPECIFIED.into()
        } else {
            std::net::Ipv6Addr::UNSPECIFIED.into()
        };
        let mut route = Self::to(IpNet::new(any, 0).ok()?);
        route.table = u32::from(table);
        route.protocol = protocol;
        route.scope = scope_of(scope);
        route.kind = kind_of(kind)?;
        if wire::u32_at(payload, 8)? & RTNH_F_ONLINK != 0 {
            route.onlink = Onlink::Yes;
        }
        for (attribute, value) in wire::attributes(payload.get(HEADER..)?) {
            match attribute {
                RTA_DST => route.destination = IpNet::new(wire::ip(value)?, length).ok()?,
                RTA_TABLE => route.table = wire::u32_at(value, 0)?,
                RTA_OIF => route.device = wire::u32_at(value, 0),
                RTA_GATEWAY => route.gateway = wire::ip(value),
                RTA_PREFSRC => route.source = wire::ip(value),
                RTA_PRIORITY => route.metric = wire::u32_at(value, 0),
                RTA_METRICS => {
                    route.mtu = wire::attributes(value)
                        .find(|(kind, _)| *kind == RTAX_MTU)
                        .and_then(|(_, bytes)| wire::u32_at(bytes, 0));
                }
                _ => (),
            }
        }
        Some(route)
    }
}

impl std::fmt::Display for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.destination)?;
        if let Some(gateway) = self.gateway {
            write!(f, " via {gateway}")?;
        }
        if let Some(device) = self.device {
            write!(f, " dev {device}")?;
        }
        write!(f, " table {}", self.table)
    }
}

fn scope_of(raw: u8) -> Scope {
    match raw {
        253 => Scope::Link,
        254 => Scope::Host,
        _ => Scope::Universe,
    }
}

/// `None` for kinds that nobody here makes or needs (broadcast, multicast, throw, …).
fn kind_of(raw: u8) -> Option<Kind> {
    [
        Kind::Unicast,
        Kind::Local,
        Kind::Blackhole,
        Kind::Unreachable,
    ]
    .into_iter()
    .find(|kind| *kind as u8 == raw)
}

/// Adds a route, fails with `EEXIST` when the table has one for the destination and metric.
pub fn add(route: &Route) -> Request {
    Request::new(
        "add route",
        route.to_string(),
        route.message(libc::RTM_NEWROUTE, wire::CREATE_NEW),
    )
}

/// Adds a route or replaces the one for the same destination and metric.
pub fn replace(route: &Route) -> Request {
    Request::new(
        "replace route",
        route.to_string(),
        route.message(libc::RTM_NEWROUTE, wire::REPLACE),
    )
}

/// Deletes a route; only fields that are set must match.
pub fn delete(route: &Route) -> Request {
    let mut route = route.clone();
    // IPv4 reads 255 (RT_SCOPE_NOWHERE) as any scope.
    let text = route.to_string();
    route.mtu = None;
    let mut message = route.message(libc::RTM_DELROUTE, wire::ACK).finish();
    message[wire::HEADER + 6] = 255;
    Request::new("delete route", text, Message::finished(message))
}

impl Handle {
    /// Lists routes of one family, of one table or of all.
    pub fn routes(&self, family: Family, table: Option<u32>) -> Result<Vec<Route>> {
        let mut header = [0; HEADER];
        header[0] = family.raw();
        let message = Message::new(libc::RTM_GETROUTE, wire::DUMP).fixed(&header);
        let answers = self.query("list", "routes", message, libc::RTM_NEWROUTE)?;
        Ok(answers
            .iter()
            .filter_map(|payload| Route::parse(payload))
            .filter(|route| table.is_none_or(|table| route.table == table))
            .collect())
    }
}
