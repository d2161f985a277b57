//! CiliumEndpointSlices: what others must know of endpoints, many in one object, so that one write tells all agents of many.
//!
//! [`Grouping`] decides which endpoint is in which slice, and changes as few slices as it can. [`Target`](target::Target)
//! writes them, at a rate that grows with the cluster. What a former leader left is taken over as it is.

mod grouping;
mod leftover;
mod rates;
mod target;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use api::cilium::{CiliumEndpoint, CiliumEndpointSlice, SlicedEndpoint};
use api::kubernetes::Resource;
use model::endpoint::PodName;
use reconcile::{
    Backoff, Changes, Options, Reconciler, StatusReader, Table, TableWriter, TaskGroup, Trigger,
};
use store::Scope;

pub use grouping::{Content, Grouping};
pub use leftover::Leftover;
pub use rates::{Rate, Rates};
use target::{Known, Slices, version_of};

use crate::inputs::follow;
use crate::ipam::NodeRow;
use crate::leader::Leader;
use crate::metrics::Metrics;

/// What comes together is written together.
const GATHER: Duration = Duration::from_millis(100);
/// While endpoints are in two slices it is looked so often whether they are in the second.
const SETTLE: Duration = Duration::from_millis(200);
/// What we wrote is seen, or answered, after so long; what differs then was somebody else.
const ECHO: Duration = Duration::from_secs(1);
const RETRY: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(15));
/// Writes under way at once; more wait for their rate.
const WRITES: usize = 8;

/// How endpoints are put together.
#[derive(Clone, Debug)]
pub struct Slicing {
    /// Endpoints in a slice, at most.
    pub largest: usize,
    /// Writes a second, by the number of nodes.
    pub rates: Rates,
}

/// Starts to keep slices of all CiliumEndpoints.
pub fn start(
    leader: &Leader,
    slicing: &Slicing,
    nodes: Table<Arc<str>, NodeRow>,
    metrics: &Arc<Metrics>,
    duties: &TaskGroup,
) {
    let client = leader.reader();
    let endpoints = follow(
        client,
        duties,
        ("ciliumendpoints", Scope::all()),
        endpoint_row,
    );
    let there = follow(
        client,
        duties,
        ("ciliumendpointslices", Scope::all()),
        |of: CiliumEndpointSlice| {
            Some((of.metadata.name.as_str().into(), version_of(&of.metadata)))
        },
    );
    let known = Known::default();
    let target = Slices::new(leader, slicing.rates.clone(), nodes, known.clone(), metrics);
    let (writer, desired) = Table::new("slices", &["endpoints"]);
    let options = Options {
        concurrency: WRITES,
        // A step may wait for its turn at the rate.
        step_timeout: Duration::from_mins(1),
        backoff: RETRY,
        ..Options::default()
    };
    let (reconciler, status) = Reconciler::new("slices", target, desired, options);
    let trigger = reconciler.trigger();
    let read = status.clone();
    duties.spawn("strangers among slices", move |stop| async move {
        let work = notice(there, known, trigger, read);
        let _: Option<()> = stop.run_until_cancelled(work).await;
    });
    duties.spawn("slices", move |stop| reconciler.run(stop));
    let (leader, largest) = (leader.clone(), slicing.largest);
    duties.spawn("grouping of endpoints", move |stop| async move {
        let work = group(&leader, largest, endpoints, writer, status);
        let _: Option<()> = stop.run_until_cancelled(work).await;
    });
}

/// What others must know of an endpoint; nothing, as long as it has no identity or no address.
fn endpoint_row(of: CiliumEndpoint) -> Option<(PodName, SlicedEndpoint)> {
    let name = PodName {
        namespace: of.metadata.namespace.into(),
        name: of.metadata.name.as_str().into(),
    };
    let sliced = SlicedEndpoint {
        name: of.metadata.name,
        id: Some(of.status.identity?.id),
        networking: of.status.networking?,
        encryption: of.status.encryption,
        named_ports: of.status.named_ports,
        service_account: of.status.service_account,
    };
    Some((name, sliced))
}

/// Keeps the slices that should be there at the endpoints that there are.
async fn group(
    leader: &Leader,
    largest: usize,
    endpoints: Table<PodName, SlicedEndpoint>,
    mut writer: TableWriter<Arc<str>, Content>,
    status: StatusReader<Arc<str>>,
) {
    let found = list(leader).await;
    let mut grouping = Grouping::adopt(largest, found, &mut rand::rng());
    let mut changed = endpoints.subscribe();
    endpoints.until_initialized().await;
    let mut seen = 0;
    loop {
        let now = endpoints.snapshot();
        match now.changes_since(seen) {
            Changes::Since(changes) if seen > 0 => {
                let changes = changes.into_iter().map(|of| (of.key, of.value));
                grouping.change(changes, &mut rand::rng());
            }
            _ => {
                let all = now
                    .keys()
                    .filter_map(|name| Some((name.clone(), now.get_shared(name)?)));
                grouping.replace(all, &mut rand::rng());
            }
        }
        seen = now.revision();
        publish(&mut grouping, &mut writer);
        let revision = writer.snapshot().revision();
        let status = status.status();
        grouping.settle(|slice| status.is_done(slice, revision));
        publish(&mut grouping, &mut writer);
        writer.mark_initialized("endpoints");
        if grouping.is_settled() {
            changed.changed().await;
            tokio::time::sleep(GATHER).await;
        } else {
            let _ = tokio::time::timeout(SETTLE, changed.changed()).await;
        }
    }
}

fn publish(grouping: &mut Grouping, writer: &mut TableWriter<Arc<str>, Content>) {
    let changes = grouping.take_changes();
    writer.write(|batch| {
        for (name, content) in changes {
            match content {
                Some(content) => batch.set(name, content),
                None => batch.remove(&name),
            };
        }
    });
}

/// What there is, the last written first.
async fn list(leader: &Leader) -> Vec<(Arc<str>, Content)> {
    let row = |of: CiliumEndpointSlice| (version_of(of.meta()), of);
    let mut failures = 0;
    loop {
        match leader.list(row).await {
            Ok(mut found) => {
                found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
                let found = found.into_iter();
                return found
                    .map(|(_, of)| (of.metadata.name.as_str().into(), Content::read(of)))
                    .collect();
            }
            Err(error) => tracing::warn!(%error, "slices cannot be listed, trying again"),
        }
        failures += 1;
        let pause = RETRY.after(failures, &mut rand::rng());
        tokio::time::sleep(pause).await;
    }
}

/// Has all slices read again when somebody else has written one: a former leader, late, or a person.
async fn notice(
    there: Table<Arc<str>, u64>,
    known: Known,
    trigger: Trigger,
    status: StatusReader<Arc<str>>,
) {
    let mut changed = there.subscribe();
    there.until_initialized().await;
    loop {
        changed.changed().await;
        tokio::time::sleep(ECHO).await;
        if known.differs(there.snapshot().iter()) {
            tracing::info!("slices are not as they were written, all are read again");
            let before = status.status().fetches;
            trigger.activate();
            // Not again before it is done.
            let _ = status.until(|status| status.fetches > before).await;
        }
    }
}
