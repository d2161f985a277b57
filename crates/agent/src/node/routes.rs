//! Routes of the node itself to pods: its own by the host device, those of other nodes by the overlay or directly.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use netlink::route::Route;

use super::{Addressing, Devices, NEXT_HOP_V4, NEXT_HOP_V6};
use crate::config::Routing;

/// Another node, as routes need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteNode {
    /// Its addresses on the underlay.
    pub addresses: Vec<IpAddr>,
    /// Its pods' prefixes.
    pub pod_cidrs: Vec<IpNet>,
}

/// What has to change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoutePlan {
    /// To be written (replacing one to the same destination).
    pub set: Vec<Route>,
    /// To be removed.
    pub remove: Vec<Route>,
}

impl RoutePlan {
    /// Whether all is as it should be.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.remove.is_empty()
    }
}

/// The routes that should be. `own` are the ranges of this node's pods.
pub fn desired_routes(
    routing: Routing,
    own: &[IpNet],
    addressing: &Addressing,
    devices: &Devices,
    nodes: &[RemoteNode],
) -> Vec<Route> {
    let by_host = |prefix: IpNet| {
        let (next_hop, router): (IpAddr, Option<IpAddr>) = match prefix {
            IpNet::V4(_) => (NEXT_HOP_V4.into(), addressing.router_ipv4().map(IpAddr::V4)),
            IpNet::V6(_) => (NEXT_HOP_V6.into(), addressing.router_ipv6().map(IpAddr::V6)),
        };
        let mut route = Route::to(prefix)
            .dev(devices.host.index)
            .via(next_hop)
            .mtu(devices.route_mtu.into());
        if prefix.addr().is_ipv4() {
            route = route.onlink();
        }
        router.map(|router| route.src(router))
    };
    let mut routes: Vec<Route> = own.iter().copied().filter_map(by_host).collect();
    for node in nodes {
        for prefix in &node.pod_cidrs {
            match routing {
                Routing::Tunnel => routes.extend(by_host(*prefix)),
                Routing::Native {
                    direct_node_routes: true,
                } => routes.extend(direct(node, *prefix, devices)),
                Routing::Native {
                    direct_node_routes: false,
                } => {}
            }
        }
    }
    routes
}

fn direct(node: &RemoteNode, prefix: IpNet, devices: &Devices) -> Option<Route> {
    let gateway = node
        .addresses
        .iter()
        .find(|address| address.is_ipv4() == prefix.addr().is_ipv4())?;
    let uplink = devices.uplinks.first()?;
    Some(Route::to(prefix).dev(uplink.index).via(*gateway))
}

/// The difference between what should be and what is. Of what is, only routes that we could have made are looked at: our
/// protocol number, on the host device or to a pod prefix by the uplink with a gateway.
pub fn plan_routes(desired: &[Route], actual: &[Route], devices: &Devices) -> RoutePlan {
    let key = |route: &Route| {
        (
            route.destination,
            route.device,
            route.gateway,
            route.mtu,
            route.source,
        )
    };
    let wanted: BTreeSet<_> = desired.iter().map(key).collect();
    let there: BTreeSet<_> = actual.iter().map(key).collect();
    let destinations: BTreeSet<IpNet> = desired.iter().map(|route| route.destination).collect();
    let ours = |route: &&Route| {
        let by_host = route.device == Some(devices.host.index);
        let by_uplink = devices
            .uplinks
            .iter()
            .any(|link| route.device == Some(link.index));
        route.protocol == netlink::PROTOCOL && route.gateway.is_some() && (by_host || by_uplink)
    };
    let set = desired
        .iter()
        .filter(|route| !there.contains(&key(route)))
        .cloned()
        .collect();
    let stale = |route: &&Route| {
        !wanted.contains(&key(route)) && !destinations.contains(&route.destination)
    };
    let remove = actual
        .iter()
        .filter(ours)
        .filter(stale)
        .filter(|r| r.destination.prefix_len() > 0)
        .cloned()
        .collect();
    RoutePlan { set, remove }
}
