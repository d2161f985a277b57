//! This node: who it is, its routes to other nodes' pods, and its CNI configuration.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use api::kubernetes::Node;
use ipnet::IpNet;
use netlink::{Family, Handle};
use reconcile::Backoff;
use store::Client;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Routing};
use crate::node::{self, Addressing, Devices, RemoteNode};
use crate::view::ViewReader;

/// Pauses between looks for this node's object.
const RETRY: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));

/// This node's addresses and pod ranges, from its object; waits for both.
pub(super) async fn own_addressing(
    client: &Client,
    config: &Config,
    stop: &CancellationToken,
) -> anyhow::Result<(Addressing, String)> {
    let mut tries = 0;
    loop {
        match client.get::<Node>(None, &config.node).await {
            Ok(node) => {
                if let Some(addressing) = addressing_of(&node, config) {
                    return Ok((addressing, node.metadata.uid));
                }
                tracing::info!(
                    node = config.node,
                    "waiting for the node's address and pod CIDRs"
                );
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

pub(super) fn addressing_of(node: &Node, config: &Config) -> Option<Addressing> {
    let ranges: Vec<IpNet> = node
        .spec
        .pod_cidrs
        .iter()
        .chain([&node.spec.pod_cidr])
        .filter_map(|text| text.parse().ok())
        .collect();
    let internal = node
        .status
        .addresses
        .iter()
        .filter(|address| address.address_type == "InternalIP");
    let addresses: Vec<IpAddr> = internal
        .filter_map(|address| address.address.parse().ok())
        .collect();
    let families = config.datapath.families;
    let addressing = Addressing {
        node_ipv4: addresses.iter().find_map(|a| {
            if let IpAddr::V4(v4) = a {
                Some(*v4)
            } else {
                None
            }
        }),
        node_ipv6: addresses.iter().find_map(|a| {
            if let IpAddr::V6(v6) = a {
                Some(*v6)
            } else {
                None
            }
        }),
        pods_ipv4: ranges
            .iter()
            .find_map(|n| {
                if let IpNet::V4(net) = n {
                    Some(*net)
                } else {
                    None
                }
            })
            .filter(|_| families.ipv4),
        pods_ipv6: ranges
            .iter()
            .find_map(|n| {
                if let IpNet::V6(net) = n {
                    Some(*net)
                } else {
                    None
                }
            })
            .filter(|_| families.ipv6),
    };
    let whole = (!families.ipv4 || addressing.pods_ipv4.is_some())
        && (!families.ipv6 || addressing.pods_ipv6.is_some());
    (whole && !addresses.is_empty()).then_some(addressing)
}

/// Keeps the node's own routes to pods at what the nodes announce.
pub(super) async fn keep_routes(
    mut view: ViewReader,
    routing: Routing,
    addressing: Addressing,
    devices: Devices,
    stop: CancellationToken,
) {
    loop {
        let nodes: Vec<RemoteNode> = view
            .get()
            .nodes
            .values()
            .filter(|row| row.locality == model::node::Locality::Remote)
            .map(|row| RemoteNode {
                addresses: row.ip.iter().collect(),
                pod_cidrs: row.pod_cidrs().collect(),
            })
            .collect();
        let complete = view.get().is_ready();
        let work = {
            let (addressing, devices) = (addressing.clone(), devices.clone());
            move || set_routes(routing, &addressing, &devices, &nodes, complete)
        };
        if let Ok(Err(error)) = tokio::task::spawn_blocking(work).await {
            tracing::warn!(%error, "routes to pods are not as they should be, trying again");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            changed = view.changed() => if !changed { return },
            () = tokio::time::sleep(Duration::from_secs(30)) => {}
        }
    }
}

pub(super) fn set_routes(
    routing: Routing,
    addressing: &Addressing,
    devices: &Devices,
    nodes: &[RemoteNode],
    complete: bool,
) -> netlink::Result<()> {
    let handle = Handle::open()?;
    let mut actual = handle.routes(Family::V4, Some(netlink::route::TABLE_MAIN))?;
    actual.extend(handle.routes(Family::V6, Some(netlink::route::TABLE_MAIN))?);
    let plan = node::plan_routes(
        &node::desired_routes(routing, addressing, devices, nodes),
        &actual,
        devices,
    );
    let set = plan.set.iter().map(netlink::route::replace);
    let remove = plan
        .remove
        .iter()
        .filter(|_| complete)
        .map(netlink::route::delete);
    set.chain(remove)
        .try_for_each(|request| handle.run(&request))
}

/// Writes the CNI configuration once the agent is ready, so that no pod is asked for before.
pub(super) async fn write_cni_conf(
    config: Arc<Config>,
    mut view: ViewReader,
    stop: CancellationToken,
) {
    let Some(path) = &config.cni_conf else {
        return stop.cancelled().await;
    };
    while !view.get().is_ready() {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = view.changed() => if !changed { return },
        }
    }
    let conf = serde_json::json!({
        "cniVersion": "1.1.0", "name": "cilium",
        "plugins": [{ "type": "cilium-cni", "agent-socket": config.socket, "state-dir": config.state_dir }],
    });
    let temporary = path.with_extension("new");
    let written = std::fs::write(&temporary, conf.to_string())
        .and_then(|()| std::fs::rename(&temporary, path));
    match written {
        Ok(()) => tracing::info!(path = %path.display(), "ready, the CNI configuration is written"),
        Err(error) => tracing::error!(path = %path.display(), %error, "write-cni-conf-when-ready"),
    }
    stop.cancelled().await;
}
