//! Endpoints of all nodes, as their agents announce them: each in an object of its own, or many together in slices.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use api::cilium::{
    CiliumEndpoint, CiliumEndpointSlice, EndpointNetworking, EndpointStatus,
    NamedPort as AnnouncedPort,
};
use model::endpoint::PodName;
use model::identity::Identity;
use reconcile::table::Wake;
use reconcile::tasks::TaskGroup;
use reconcile::{Changes, Snapshot, Table, TableWriter};
use store::{Client, Scope, reflect};
use tokio_util::sync::CancellationToken;

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

/// An endpoint as one slice has it; shared with the table of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sliced {
    /// Version of the slice (KEP-5504: they are numbers that grow). What was written last knows better.
    version: u64,
    endpoint: Arc<RemoteEndpoint>,
}

const SINGLE: &str = "ciliumendpoints";
const SLICES: &str = "ciliumendpointslices";
/// While CiliumEndpoints are followed besides slices, it is looked so often whether slices have them all.
const LOOK: Duration = Duration::from_secs(1);

/// The table of all endpoints.
pub(super) fn follow(
    client: &Client,
    tasks: &TaskGroup,
    from: Announcements,
) -> Table<PodName, RemoteEndpoint> {
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
            let reader = client.clone();
            tasks.spawn(SLICES, move |stop| {
                reflect::<CiliumEndpointSlice, _, _>(
                    reader,
                    Scope::all(),
                    SLICES,
                    writer,
                    rows,
                    stop,
                )
            });
            let (writer, unsliced) = Table::new("endpoints before slices", &[SINGLE]);
            let work = follow_until_sliced(client, places.clone(), writer, tasks.token());
            tasks.spawn_short("endpoints before slices", work);
            let (writer, table) = Table::new(SINGLE, &[SLICES]);
            tasks.spawn("endpoints of slices", move |stop| async move {
                let work = merge(places, unsliced, writer, SLICES);
                let _: Option<()> = stop.run_until_cancelled(work).await;
            });
            table
        }
    }
}

/// Where slices were switched on just now, the operator has not made them yet, and who believed them would forget every pod.
/// So CiliumEndpoints count as well until slices have them all; that is when the writer goes.
async fn follow_until_sliced(
    client: Client,
    places: Table<Place, Sliced>,
    writer: TableWriter<PodName, RemoteEndpoint>,
    stop: CancellationToken,
) {
    let first = places.until_initialized().await;
    let sliced = first.keys().map(|(name, _)| name).collect::<BTreeSet<_>>();
    if have_all(sliced.len(), announced(&client).await) {
        return;
    }
    tracing::info!(
        "not all endpoints are in slices yet, CiliumEndpoints are followed until they are"
    );
    let single = writer.table();
    let rows = |of: CiliumEndpoint| endpoint_rows(&of);
    tokio::select! {
        () = reflect::<CiliumEndpoint, _, _>(client, Scope::all(), SINGLE, writer, rows, stop) => {}
        () = all_sliced(&single, &places) => tracing::info!("all endpoints are in slices"),
    }
}

/// How many CiliumEndpoints there are, without a list of them; none, if the server does not say.
async fn announced(client: &Client) -> Option<usize> {
    let all = Scope::all();
    let page = client.list_page::<CiliumEndpoint>(&all, 1, "").await.ok()?;
    let more = match page.metadata.remaining_item_count {
        None if !page.metadata.continue_token.is_empty() => return None,
        more => usize::try_from(more.unwrap_or_default()).ok()?,
    };
    Some(page.items.len() + more)
}

/// Whether slices are as whole as they ever are: in a large cluster some endpoints are always on their way into one, and a list
/// of all for their sake is what slices are to spare.
fn have_all(sliced: usize, announced: Option<usize>) -> bool {
    announced.is_some_and(|all| sliced + all / 1000 >= all)
}

/// Returns when each endpoint that has an object of its own is in a slice.
async fn all_sliced(single: &Table<PodName, RemoteEndpoint>, places: &Table<Place, Sliced>) {
    single.until_initialized().await;
    loop {
        let (all, now) = (single.snapshot(), places.snapshot());
        if all.keys().all(|name| last_of(&now, name).is_some()) {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// An endpoint as the slice has it that was written last.
fn last_of<'a>(
    now: &'a Snapshot<Place, Sliced>,
    name: &PodName,
) -> Option<&'a Arc<RemoteEndpoint>> {
    let first = (name.clone(), Arc::from(""));
    let all = now.iter_from(&first).take_while(|((of, _), _)| of == name);
    let last = all.max_by_key(|(_, of)| of.version)?;
    Some(&last.1.endpoint)
}

/// Keeps one row for each endpoint, however many slices have it; one that none has is as its own object says, as long as somebody
/// follows these. It goes when none has it any more.
pub(super) async fn merge(
    places: Table<Place, Sliced>,
    single: Table<PodName, RemoteEndpoint>,
    mut writer: TableWriter<PodName, RemoteEndpoint>,
    source: &'static str,
) {
    let (mut sliced, mut announced) = (places.subscribe(), single.subscribe());
    let mut seen = (0, 0);
    let mut followed = true;
    loop {
        let mut ended = false;
        tokio::select! {
            wake = sliced.changed() => if wake == Wake::WriterGone {
                return;
            },
            wake = announced.changed(), if followed => ended = wake == Wake::WriterGone,
        }
        followed &= !ended;
        let (now, own, before) = (places.snapshot(), single.snapshot(), writer.snapshot());
        let touched: BTreeSet<PodName> =
            match (now.changes_since(seen.0), own.changes_since(seen.1)) {
                (Changes::Since(places), Changes::Since(own)) if !ended => {
                    let places = places.into_iter().map(|of| of.key.0);
                    places.chain(own.into_iter().map(|of| of.key)).collect()
                }
                _ => {
                    let there = now.keys().map(|(name, _)| name);
                    let there = there.chain(own.keys()).cloned();
                    there.chain(before.keys().cloned()).collect()
                }
            };
        seen = (now.revision(), own.revision());
        writer.write(|batch| {
            for name in touched {
                let alone = || own.get_shared(&name).filter(|_| followed);
                match last_of(&now, &name).cloned().or_else(alone) {
                    Some(endpoint) => batch.set_shared(name, endpoint),
                    None => batch.remove(&name),
                };
            }
            if now.is_initialized() && (own.is_initialized() || !followed) {
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
        let endpoint = Arc::new(endpoint);
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
