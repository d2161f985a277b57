//! Endpoints of all nodes, as their agents announce them: each in an object of its own, or many together in slices.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::cilium::{
    CiliumEndpoint, CiliumEndpointSlice, EndpointNetworking, EndpointStatus,
    NamedPort as AnnouncedPort,
};
use model::endpoint::PodName;
use model::identity::Identity;
use reconcile::table::Wake;
use reconcile::tasks::TaskGroup;
use reconcile::{Changes, Table, TableWriter};
use store::{Client, Scope, reflect};

use super::{RemoteEndpoint, name_of, named_port};

/// Where agents learn of endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announcements {
    /// CiliumEndpoints.
    Single,
    /// CiliumEndpointSlices, which the operator makes of CiliumEndpoints.
    Slices,
}

/// Endpoint and slice: on its way from one slice to another an endpoint is in both.
type Place = (PodName, Arc<str>);

/// An endpoint as one slice has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sliced {
    /// Version of the slice (KEP-5504: they are numbers that grow). What was written last knows better.
    version: u64,
    endpoint: RemoteEndpoint,
}

/// The table of all endpoints.
pub(super) fn follow(
    client: &Client,
    tasks: &TaskGroup,
    from: Announcements,
) -> Table<PodName, RemoteEndpoint> {
    const SINGLE: &str = "ciliumendpoints";
    const SLICES: &str = "ciliumendpointslices";
    let client = client.clone();
    match from {
        Announcements::Single => {
            let (writer, table) = Table::new(SINGLE, &[SINGLE]);
            let rows = |of: CiliumEndpoint| endpoint_rows(&of);
            tasks.spawn(SINGLE, move |stop| {
                reflect::<CiliumEndpoint, _, _>(client, Scope::all(), SINGLE, writer, rows, stop)
            });
            table
        }
        Announcements::Slices => {
            let (writer, places) = Table::new(SLICES, &[SLICES]);
            let rows = |of: CiliumEndpointSlice| slice_rows(&of);
            tasks.spawn(SLICES, move |stop| {
                reflect::<CiliumEndpointSlice, _, _>(
                    client,
                    Scope::all(),
                    SLICES,
                    writer,
                    rows,
                    stop,
                )
            });
            let (writer, table) = Table::new(SINGLE, &[SLICES]);
            tasks.spawn("endpoints of slices", move |stop| async move {
                let work = merge(places, writer, SLICES);
                let _: Option<()> = stop.run_until_cancelled(work).await;
            });
            table
        }
    }
}

/// Keeps one row for each endpoint, however many slices have it. It goes when none has it any more.
pub(super) async fn merge(
    places: Table<Place, Sliced>,
    mut writer: TableWriter<PodName, RemoteEndpoint>,
    source: &'static str,
) {
    let mut changed = places.subscribe();
    let mut seen = 0;
    loop {
        if changed.changed().await == Wake::WriterGone {
            return;
        }
        let now = places.snapshot();
        let touched: BTreeSet<PodName> = match now.changes_since(seen) {
            Changes::Since(changes) => changes.into_iter().map(|of| of.key.0).collect(),
            Changes::Everything => {
                let there = now.keys().map(|(name, _)| name.clone());
                there.chain(writer.snapshot().keys().cloned()).collect()
            }
        };
        seen = now.revision();
        writer.write(|batch| {
            for name in touched {
                let first = (name.clone(), Arc::from(""));
                let all = now.iter_from(&first).take_while(|((of, _), _)| *of == name);
                match all.max_by_key(|(_, of)| of.version) {
                    Some((_, last)) => batch.set(name, last.endpoint.clone()),
                    None => batch.remove(&name),
                };
            }
            if now.is_initialized() {
                batch.mark_initialized(source);
            }
        });
    }
}

fn endpoint_rows(of: &CiliumEndpoint) -> Vec<(PodName, RemoteEndpoint)> {
    let row = heard_of(&of.status);
    row.map(|row| (name_of(of), row)).into_iter().collect()
}

/// What others hear of an endpoint.
pub(crate) fn heard_of(of: &EndpointStatus) -> Option<RemoteEndpoint> {
    let (identity, networking) = (of.identity.as_ref()?, of.networking.as_ref()?);
    remote(identity.id, networking, &of.named_ports)
}

fn slice_rows(of: &CiliumEndpointSlice) -> Vec<(Place, Sliced)> {
    let slice: Arc<str> = of.metadata.name.as_str().into();
    let namespace: Arc<str> = of.namespace.as_str().into();
    let version = of.metadata.resource_version.parse().unwrap_or_default();
    let row = |endpoint: &api::cilium::SlicedEndpoint| {
        let name = PodName {
            namespace: Arc::clone(&namespace),
            name: endpoint.name.as_str().into(),
        };
        let endpoint = remote(endpoint.id?, &endpoint.networking, &endpoint.named_ports)?;
        Some(((name, Arc::clone(&slice)), Sliced { version, endpoint }))
    };
    of.endpoints.iter().filter_map(row).collect()
}

fn remote(
    identity: i64,
    networking: &EndpointNetworking,
    ports: &[AnnouncedPort],
) -> Option<RemoteEndpoint> {
    let pairs = networking.addressing.iter();
    let texts = pairs.flat_map(|pair| [&pair.ipv4, &pair.ipv6]);
    let ports = ports.iter();
    Some(RemoteEndpoint {
        identity: Identity(u32::try_from(identity).ok()?),
        node: networking.node.parse().ok(),
        addresses: texts.filter_map(|text| text.parse().ok()).collect(),
        named_ports: ports
            .filter_map(|p| named_port(&p.name, p.port, &p.protocol))
            .collect(),
    })
}

#[cfg(test)]
mod tests;
