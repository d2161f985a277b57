//! The node's own side: devices, routes and sysctls that pods need, as a plan that can be looked at.
//!
//! Everything is in the agent's own network namespace. Nothing is removed when the agent stops; what was there before is
//! written down, so that an uninstall can put it back.

mod routes;
mod sysctls;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use model::ipam::router_of;
use netlink::address::PrefixRoute;
use netlink::link::{Learning, Veth, VethEnd, Vxlan, VxlanMode};
use netlink::{AdminState, Handle, Link, Mac, address, link, neighbour};

pub use routes::{RemoteNode, RoutePlan, desired_routes, plan_routes};
pub use sysctls::{Before, apply_sysctls, restore_sysctls};

use crate::config::{Datapath, Routing};

/// The node's device towards pods.
pub const HOST: &str = "cilium_host";
/// Its other end.
pub const HOST_PEER: &str = "cilium_net";
/// The overlay's device.
pub const OVERLAY: &str = "cilium_vxlan";

/// What the overlay adds to a packet over an IPv4 underlay, bytes.
pub const OVERLAY_BYTES: u16 = 50;

/// Next hop of routes to pods: an address of nobody, with a permanent neighbour, so that nothing is ever asked.
pub const NEXT_HOP_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
/// Its IPv6 twin.
pub const NEXT_HOP_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// What the node's set-up needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addressing {
    /// Address on the underlay, IPv4.
    pub node_ipv4: Option<Ipv4Addr>,
    /// Address on the underlay, IPv6.
    pub node_ipv6: Option<Ipv6Addr>,
    /// Pod addresses of this node, IPv4; where it has several ranges, the one with the router.
    pub pods_ipv4: Option<Ipv4Net>,
    /// Pod addresses of this node, IPv6; where it has several ranges, the one with the router.
    pub pods_ipv6: Option<Ipv6Net>,
}

impl Addressing {
    /// The pods' gateway, IPv4: the first address of the pods' prefix.
    pub fn router_ipv4(&self) -> Option<Ipv4Addr> {
        self.pods_ipv4.and_then(|net| net.hosts().next())
    }

    /// The pods' gateway, IPv6: the first address after the prefix itself, unless that is all there is.
    pub fn router_ipv6(&self) -> Option<Ipv6Addr> {
        match router_of(self.pods_ipv6?.into()) {
            IpAddr::V6(router) => Some(router),
            IpAddr::V4(_) => None,
        }
    }

    /// Both gateways.
    pub fn routers(&self) -> impl Iterator<Item = IpAddr> {
        self.router_ipv4()
            .map(IpAddr::V4)
            .into_iter()
            .chain(self.router_ipv6().map(IpAddr::V6))
    }
}

/// The devices that are there after [`prepare`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Devices {
    /// Towards other nodes.
    pub uplinks: Vec<Link>,
    /// The node's own, towards pods.
    pub host: Link,
    /// The overlay.
    pub overlay: Option<Link>,
    /// MTU of the underlay, bytes.
    pub device_mtu: u16,
    /// Largest packet of a pod that fits everywhere, bytes.
    pub route_mtu: u16,
}

/// Why the node cannot be prepared.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A request to the kernel failed.
    #[error(transparent)]
    Netlink(#[from] netlink::Error),
    /// No interface leads to other nodes.
    #[error("devices: {0}")]
    NoUplink(String),
    /// What was before cannot be written down, so nothing is changed.
    #[error("remember the sysctls of before in {path}: {error}")]
    Remember {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        error: std::io::Error,
    },
}

/// Makes devices, addresses and sysctls as they should be; what is right already is left alone.
pub fn prepare(
    handle: &Handle,
    config: &Datapath,
    addressing: &Addressing,
    state: &std::path::Path,
) -> Result<Devices, Error> {
    let uplinks = uplinks(handle, config, addressing)?;
    let device_mtu = match config.mtu {
        0 => uplinks
            .iter()
            .map(|link| link.mtu)
            .min()
            .and_then(|mtu| u16::try_from(mtu).ok())
            .unwrap_or(1500),
        mtu => mtu,
    };
    let route_mtu = match config.routing {
        Routing::Tunnel => device_mtu.saturating_sub(OVERLAY_BYTES),
        Routing::Native { .. } => device_mtu,
    };
    let host = host_device(handle, addressing, device_mtu)?;
    let overlay = match config.routing {
        Routing::Tunnel => Some(overlay_device(handle, config.tunnel_port, device_mtu)?),
        Routing::Native { .. } => None,
    };
    let mut names: Vec<&str> = vec![HOST, HOST_PEER];
    names.extend(overlay.iter().map(|_| OVERLAY));
    names.extend(uplinks.iter().map(|link| link.name.as_str()));
    apply_sysctls(config.families, &names, state)?;
    Ok(Devices {
        uplinks,
        host,
        overlay,
        device_mtu,
        route_mtu,
    })
}

fn uplinks(
    handle: &Handle,
    config: &Datapath,
    addressing: &Addressing,
) -> Result<Vec<Link>, Error> {
    if !config.devices.is_empty() {
        return config
            .devices
            .iter()
            .map(|name| handle.link(name.as_str()).map_err(Error::from))
            .collect();
    }
    let wanted = [
        addressing.node_ipv4.map(IpAddr::V4),
        addressing.node_ipv6.map(IpAddr::V6),
    ];
    let found = handle
        .addresses(None)?
        .into_iter()
        .find(|a| wanted.contains(&Some(a.address.addr())));
    match found {
        Some(address) => Ok(vec![handle.link(address.index)?]),
        None => Err(Error::NoUplink(format!(
            "no interface has the node's address ({wanted:?}); name them"
        ))),
    }
}

/// Makes or finds `cilium_host`, with the gateway's addresses and permanent neighbours.
fn host_device(handle: &Handle, addressing: &Addressing, mtu: u16) -> Result<Link, Error> {
    if handle.find_link(HOST)?.is_none() {
        handle.run(&link::create_veth(&Veth {
            end: VethEnd::named(HOST).mtu(mtu.into()),
            state: AdminState::Up,
            peer: VethEnd::named(HOST_PEER).mtu(mtu.into()),
            peer_namespace: None,
        }))?;
    }
    let (host, peer) = (handle.link(HOST)?, handle.link(HOST_PEER)?);
    let mut requests = vec![
        link::set_mtu(host.index, mtu.into()),
        link::set_mtu(peer.index, mtu.into()),
        link::set_up(peer.index),
        link::set_up(host.index),
    ];
    for router in addressing.routers() {
        requests.push(address::add(host.index, IpNet::from(router), PrefixRoute::Skip).or_exists());
        let next_hop: IpAddr = if router.is_ipv4() {
            NEXT_HOP_V4.into()
        } else {
            NEXT_HOP_V6.into()
        };
        requests.push(neighbour::set_permanent(
            host.index,
            next_hop,
            peer.mac.unwrap_or(Mac([2, 0, 0, 0, 0, 1])),
        ));
    }
    handle.run_all(&requests)?;
    Ok(handle.link(HOST)?)
}

fn overlay_device(handle: &Handle, port: u16, mtu: u16) -> Result<Link, Error> {
    if handle.find_link(OVERLAY)?.is_none() {
        handle.run(&link::create_vxlan(&Vxlan {
            name: OVERLAY,
            mode: VxlanMode::External,
            learning: Learning::Off,
            port,
            local: None,
            underlay: None,
            mac: None,
            mtu: Some(mtu.into()),
        }))?;
    }
    handle.run(&link::set_up(OVERLAY))?;
    Ok(handle.link(OVERLAY)?)
}
