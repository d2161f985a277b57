//! This node's addresses and its pods' ranges: the ranges stand in its Node, or the operator gives them in its CiliumNode.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use api::cilium::{CiliumNode, RequestedPool};
use api::kubernetes::Node;
use ipnet::IpNet;
use model::ipam::{Ranges, router_of};
use model::node::AddressKind;
use reconcile::Backoff;
use store::Client;
use tokio_util::sync::CancellationToken;

use crate::addresses::pools::{fault_of, first_wish, ranges_of};
use crate::announce;
use crate::config::{Config, Families, Ipam};
use crate::node::Addressing;

/// Pauses between looks.
const RETRY: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));

/// What stands in the objects of this node.
#[derive(Clone, Debug)]
pub struct Own {
    /// Its addresses, and the range of each family in which its router is.
    pub addressing: Addressing,
    /// uid of its Node.
    pub uid: String,
    /// Its ranges of pools, where there are pools to choose from.
    pub ranges: Ranges,
}

/// The node's own objects; waits until it has an address and a range of each family.
pub async fn own_addressing(
    client: &Client,
    config: &Config,
    stop: &CancellationToken,
) -> anyhow::Result<Own> {
    let mut tries = 0;
    loop {
        match look(client, config).await {
            Ok(own) if is_whole(&own.addressing, config.datapath.families) => return Ok(own),
            Ok(_) => {
                let node = &config.node;
                tracing::info!(node, ipam = %config.ipam, "waiting for the node's address and pod CIDRs");
                tries = 1;
            }
            Err(error) => {
                tracing::warn!(%error, "this node's object cannot be read, trying again");
                tries += 1;
            }
        }
        let pause = RETRY.after(tries, &mut rand::rng());
        tokio::select! {
            () = stop.cancelled() => bail!("stopped before the node's object could be read"),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn look(client: &Client, config: &Config) -> Result<Own, store::Error> {
    let node: Node = client.get(None, &config.node).await?;
    let mut of_pools = Ranges::new();
    let ranges = match config.ipam {
        Ipam::Kubernetes => {
            let spec = &node.spec;
            ranges(spec.pod_cidrs.iter().chain([&spec.pod_cidr]))
        }
        Ipam::ClusterPool => given_ranges(client, config, &node).await?,
        Ipam::MultiPool => {
            let announced = asked(client, config, &node).await?;
            of_pools = ranges_of(&announced.spec.ipam.pools.clone().unwrap_or_default());
            with_routers(&announced, &of_pools, &config.pools.default)
        }
    };
    Ok(Own {
        addressing: addressing(&node, &ranges, config.datapath.families),
        uid: node.metadata.uid,
        ranges: of_pools,
    })
}

/// This node's CiliumNode, which asks for addresses of the default pool.
async fn asked(client: &Client, config: &Config, node: &Node) -> Result<CiliumNode, store::Error> {
    let bare = addressing(node, &[], config.datapath.families);
    let mut object = announce::node_object(config, &bare, &node.metadata.uid);
    let wish = first_wish(&config.wants(), &config.pools.default);
    object.spec.ipam.pools = Some(wish.clone());
    // Who asks already had pods before.
    let ask = |there: &mut CiliumNode| {
        let pools = there.spec.ipam.pools.get_or_insert_default();
        let asks = |pool: &RequestedPool| *pool.pool == *config.pools.default;
        if !pools.requested.iter().any(asks) {
            pools.requested.clone_from(&wish.requested);
        }
    };
    let announced = client.ensure(&object, ask).await?;
    say_fault(&announced);
    Ok(announced)
}

/// Ranges in the order in which the router is looked for: first those in which it was, so that pods keep their gateway, then
/// those of the default pool.
fn with_routers(announced: &CiliumNode, ranges: &Ranges, default: &Arc<str>) -> Vec<IpNet> {
    let entries = announced.spec.addresses.iter();
    let routers: Vec<IpAddr> = entries
        .filter(|entry| entry.address_type == AddressKind::Router.as_str())
        .filter_map(|entry| entry.ip.parse().ok())
        .collect();
    let all = ranges.values().flatten().copied();
    let had = all.filter(|net| routers.contains(&router_of(*net)));
    had.chain(ranges.get(default).into_iter().flatten().copied())
        .collect()
}

fn say_fault(announced: &CiliumNode) {
    let error = fault_of(announced);
    if !error.is_empty() {
        tracing::warn!(error, "the operator gives no pod CIDR to this node");
    }
}

/// What the operator has given to this node. It gives to nodes that have announced themselves, so that is done first.
async fn given_ranges(
    client: &Client,
    config: &Config,
    node: &Node,
) -> Result<Vec<IpNet>, store::Error> {
    let announced = match client.get::<CiliumNode>(None, &config.node).await {
        Err(error) if error.is_not_found() => {
            let bare = addressing(node, &[], config.datapath.families);
            let object = announce::node_object(config, &bare, &node.metadata.uid);
            match client.create(&object).await {
                Err(error) if error.is_conflict() => client.get(None, &config.node).await?,
                created => created?,
            }
        }
        found => found?,
    };
    say_fault(&announced);
    Ok(ranges(&announced.spec.ipam.pod_cidrs))
}

fn ranges<'a>(texts: impl IntoIterator<Item = &'a String>) -> Vec<IpNet> {
    texts
        .into_iter()
        .filter_map(|text| text.parse().ok())
        .collect()
}

/// The node's internal addresses, and the first range of each family that is on.
fn addressing(node: &Node, ranges: &[IpNet], families: Families) -> Addressing {
    let internal = node
        .status
        .addresses
        .iter()
        .filter(|address| address.address_type == "InternalIP")
        .filter_map(|address| address.address.parse().ok());
    let mut found = Addressing {
        node_ipv4: None,
        node_ipv6: None,
        pods_ipv4: None,
        pods_ipv6: None,
    };
    for address in internal {
        match address {
            IpAddr::V4(v4) => found.node_ipv4 = found.node_ipv4.or(Some(v4)),
            IpAddr::V6(v6) => found.node_ipv6 = found.node_ipv6.or(Some(v6)),
        }
    }
    for range in ranges {
        match range {
            IpNet::V4(v4) if families.ipv4 => found.pods_ipv4 = found.pods_ipv4.or(Some(*v4)),
            IpNet::V6(v6) if families.ipv6 => found.pods_ipv6 = found.pods_ipv6.or(Some(*v6)),
            _ => {}
        }
    }
    found
}

fn is_whole(addressing: &Addressing, families: Families) -> bool {
    let has_address = addressing.node_ipv4.is_some() || addressing.node_ipv6.is_some();
    has_address
        && (!families.ipv4 || addressing.pods_ipv4.is_some())
        && (!families.ipv6 || addressing.pods_ipv6.is_some())
}

#[cfg(test)]
mod tests;
