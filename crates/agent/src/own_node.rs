//! This node's addresses and its pods' ranges: the ranges stand in its Node, or the operator gives them in its CiliumNode.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::bail;
use api::cilium::CiliumNode;
use api::kubernetes::Node;
use ipnet::IpNet;
use reconcile::Backoff;
use store::Client;
use tokio_util::sync::CancellationToken;

use crate::announce;
use crate::config::{Config, Families, Ipam};
use crate::node::Addressing;

/// Pauses between looks.
const RETRY: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));

/// The node's addressing and the uid of its Node; waits until it has an address and a range of each family.
pub async fn own_addressing(
    client: &Client,
    config: &Config,
    stop: &CancellationToken,
) -> anyhow::Result<(Addressing, String)> {
    let mut tries = 0;
    loop {
        match look(client, config).await {
            Ok((addressing, uid)) if is_whole(&addressing, config.datapath.families) => {
                return Ok((addressing, uid));
            }
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

async fn look(client: &Client, config: &Config) -> Result<(Addressing, String), store::Error> {
    let node: Node = client.get(None, &config.node).await?;
    let ranges = match config.ipam {
        Ipam::Kubernetes => {
            let spec = &node.spec;
            ranges(spec.pod_cidrs.iter().chain([&spec.pod_cidr]))
        }
        Ipam::ClusterPool => given_ranges(client, config, &node).await?,
    };
    let addressing = addressing(&node, &ranges, config.datapath.families);
    Ok((addressing, node.metadata.uid))
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
    let stated = announced.status.ipam.operator_status.as_ref();
    let error = stated.and_then(|stated| stated["error"].as_str());
    if let Some(error) = error.filter(|error| !error.is_empty()) {
        tracing::warn!(error, "the operator gives no pod CIDR to this node");
    }
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
