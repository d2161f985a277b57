//! This node's routes to other nodes' pods.

use std::time::Duration;

use ipnet::IpNet;
use netlink::{Family, Handle};
use tokio_util::sync::CancellationToken;

use crate::addresses::Addresses;
use crate::config::Routing;
use crate::node::{self, Addressing, Devices, RemoteNode};
use crate::view::ViewReader;

/// Keeps the node's own routes to pods at what the nodes announce.
pub(super) async fn keep_routes(
    mut view: ViewReader,
    routing: Routing,
    (addressing, addresses): (Addressing, Addresses),
    devices: Devices,
    stop: CancellationToken,
) {
    let mut changes = addresses.changes();
    loop {
        let own = addresses.ranges();
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
        let last = own.clone();
        let work = {
            let (addressing, devices) = (addressing.clone(), devices.clone());
            move || set_routes(routing, (&own, &addressing), &devices, &nodes, complete)
        };
        if let Ok(Err(error)) = tokio::task::spawn_blocking(work).await {
            tracing::warn!(%error, "routes to pods are not as they should be, trying again");
        }
        // Most changes are of addresses, and not of ranges.
        let ranges_change =
            async { while last == addresses.ranges() && changes.changed().await.is_ok() {} };
        tokio::select! {
            () = stop.cancelled() => return,
            changed = view.changed() => if !changed { return },
            () = ranges_change => {}
            () = tokio::time::sleep(Duration::from_secs(30)) => {}
        }
    }
}

pub(super) fn set_routes(
    routing: Routing,
    (own, addressing): (&[IpNet], &Addressing),
    devices: &Devices,
    nodes: &[RemoteNode],
    complete: bool,
) -> netlink::Result<()> {
    let handle = Handle::open()?;
    let mut actual = handle.routes(Family::V4, Some(netlink::route::TABLE_MAIN))?;
    actual.extend(handle.routes(Family::V6, Some(netlink::route::TABLE_MAIN))?);
    let plan = node::plan_routes(
        &node::desired_routes(routing, own, addressing, devices, nodes),
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
