//! What goes on in the cluster while agents and operator are looked at, each in a thread of its own until told to stop.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::crowd::Crowd;
use super::objects::{self, Kind, Simulated};
use super::requests::Requests;
use crate::bench::prober::Prober;
use crate::cluster::Cluster;
use crate::kubelet::{Pod, RunningPod};

/// Time for one change of an object, so ten a second.
const CHANGE: Duration = Duration::from_millis(100);
/// Time between a node that goes and one that comes; these changes come beside the ten.
const NODES: Duration = Duration::from_secs(15);
/// Kubelets renew their lease in a quarter of its 40 seconds.
const LEASES: Duration = Duration::from_secs(10);
/// Kubelets state unchanged conditions anew.
const CONDITIONS: Duration = Duration::from_mins(5);
/// Time between two pods that come on nodes that are here.
const PODS: Duration = Duration::from_secs(2);
/// Of them so many are there at once.
const AT_ONCE: usize = 4;
/// Labels that only those have.
const FIRST_KIND: usize = 40_000;
/// Rest between two changes of the policy whose effect is waited for.
const REST: Duration = Duration::from_millis(400);

fn pause_until(due: Instant) {
    std::thread::sleep(due.saturating_duration_since(Instant::now()));
}

/// Heartbeats of kubelets, spread evenly over their period; how many.
pub(super) fn heartbeats(
    nodes: &[Simulated],
    requests: &Requests<'_>,
    stop: &AtomicBool,
) -> anyhow::Result<u64> {
    let count = u32::try_from(nodes.len())?;
    let each = usize::try_from(CONDITIONS.as_secs() / LEASES.as_secs())?;
    let (mut due, mut done) = (Instant::now(), 0_u64);
    for (number, node) in nodes.iter().cycle().enumerate() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let lease = node.lease();
        let renewed = json!({ "spec": lease.get("spec") });
        beat(requests, &Requests::path(&lease)?, &renewed)?;
        if number.is_multiple_of(each) {
            let path = format!("/api/v1/nodes/{}/status", node.name());
            // This API server merges no lists: what the operator has stated is told with the kubelet's own.
            let all = objects::conditions_with_network();
            beat(requests, &path, &json!({ "status": { "conditions": all } }))?;
        }
        done += 1;
        due += LEASES / count;
        pause_until(due);
    }
    Ok(done)
}

/// A node that is away has none.
fn beat(requests: &Requests<'_>, path: &str, patch: &Value) -> anyhow::Result<()> {
    match requests.heartbeat(path, patch) {
        Err(error) if is_gone(&error) => Ok(()),
        result => result,
    }
}

fn is_gone(error: &anyhow::Error) -> bool {
    let refused = error.downcast_ref::<local_api::Error>();
    refused.is_some_and(local_api::Error::is_not_found)
}

/// Pods, labels and policies at ten changes a second, and nodes beside them; every node is back at the end.
pub(super) fn changes(
    crowd: &mut Crowd,
    requests: &Requests<'_>,
    stop: &AtomicBool,
) -> anyhow::Result<()> {
    let mut due = Instant::now();
    let (mut away, mut nodes) = (None, Instant::now() + NODES);
    while !stop.load(Ordering::Relaxed) {
        let changed = crowd.turn(requests)?;
        due += CHANGE * u32::try_from(changed)?;
        if nodes < Instant::now() {
            nodes += NODES;
            away = match away.take() {
                None => Some(crowd.node_goes(requests)?),
                Some(node) => {
                    crowd.node_comes(node, requests)?;
                    None
                }
            };
        }
        pause_until(due);
    }
    away.map_or(Ok(()), |node| crowd.node_comes(node, requests))
}

/// Pods that come and go on the nodes that are here, each second one with labels that there never were; how many.
pub(super) fn own_pods(cluster: &Cluster, stop: &AtomicBool) -> anyhow::Result<usize> {
    let (mut running, mut number) = (Vec::new(), 0);
    let mut due = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let kind = Kind(if number % 2 == 0 {
            number
        } else {
            FIRST_KIND + number
        });
        let place = number % cluster.nodes.len();
        running.push((place, run(cluster, place, &format!("guest{number}"), kind)?));
        number += 1;
        if running.len() > AT_ONCE {
            let (place, pod) = running.remove(0);
            delete(cluster, place, pod)?;
        }
        due += PODS;
        pause_until(due);
    }
    for (place, pod) in running {
        delete(cluster, place, pod)?;
    }
    Ok(number)
}

/// A pod of that kind on a node that is here.
pub(super) fn run(
    cluster: &Cluster,
    place: usize,
    name: &str,
    kind: Kind,
) -> anyhow::Result<RunningPod> {
    let pod = Pod {
        namespace: kind.namespace(),
        name: name.to_owned(),
        labels: kind.labels(),
        ports: vec![("http".to_owned(), 8080)],
        ..Pod::default()
    };
    let node = cluster.nodes.get(place).context("no such node")?;
    node.kubelet
        .run(&node.machine, cluster.topology.name(), pod)
}

fn delete(cluster: &Cluster, place: usize, pod: RunningPod) -> anyhow::Result<()> {
    let node = cluster.nodes.get(place).context("no such node")?;
    node.kubelet.delete(&node.machine, pod)
}

/// The policy of the pods that wait for it: they hear `from` alone.
pub(super) fn switch(from: &str) -> Value {
    json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
        "metadata": { "namespace": "probe", "name": "switch" },
        "spec": {
            "endpointSelector": { "matchLabels": { "app": "switched" } },
            "ingress": [{ "fromEndpoints": [{ "matchLabels": { "app": from } }] }],
        },
    })
}

/// Changes that policy again and again; milliseconds from the store's answer until the last datagram that is denied from then
/// on has arrived, or the first that is allowed again, at each of the probers.
pub(super) fn effects(
    probers: &[Prober],
    requests: &Requests<'_>,
    stop: &AtomicBool,
) -> anyhow::Result<Vec<f64>> {
    let mut times = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        for (from, wait) in [
            ("nobody", Prober::ends_after as fn(&Prober, Instant) -> _),
            ("switching", Prober::begins_after),
        ] {
            requests.apply(&switch(from))?;
            let since = Instant::now();
            let waited: Vec<anyhow::Result<Duration>> = std::thread::scope(|scope| {
                let all: Vec<_> = probers
                    .iter()
                    .map(|prober| scope.spawn(move || wait(prober, since)))
                    .collect();
                let joined = all.into_iter().map(|one| {
                    let panicked = |_| anyhow::anyhow!("a wait panicked");
                    one.join().map_err(panicked).flatten()
                });
                joined.collect()
            });
            for time in waited {
                times.push(time?.as_secs_f64() * 1e3);
            }
            std::thread::sleep(REST);
        }
    }
    ensure!(!times.is_empty(), "no policy was changed");
    Ok(times)
}
