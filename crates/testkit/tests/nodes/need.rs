//! Identities by need: traffic while a policy begins to look at a further label.

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use testkit::cluster::Cluster;
use testkit::kubelet::{Pod, RunningPod};
use testkit::streams::Stream;

use crate::cases::eventually;
use crate::sockets;

/// A pod with two labels.
fn run(cluster: &Cluster, node: usize, name: &str, app: &str, tier: &str) -> RunningPod {
    let node = &cluster.nodes[node];
    let mut pod = Pod::new("default", name, app);
    pod.labels.push(("tier".to_owned(), tier.to_owned()));
    node.kubelet
        .run(&node.machine, cluster.topology.name(), pod)
        .expect("the pod is added")
}

/// Pods with these labels, and no others, may reach pods `server`.
fn policy(labels: &Value) -> Value {
    json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
        "metadata": { "namespace": "default", "name": "server" },
        "spec": {
            "endpointSelector": { "matchLabels": { "app": "server" } },
            "ingress": [{ "fromEndpoints": [{ "matchLabels": labels }] }],
        },
    })
}

fn identity(cluster: &Cluster, pod: &str) -> anyhow::Result<i64> {
    let path = format!("/apis/cilium.io/v2/namespaces/default/ciliumendpoints/{pod}");
    let object: Value = cluster.api.get(&path)?;
    let id = object
        .pointer("/status/identity/id")
        .and_then(Value::as_i64);
    id.with_context(|| format!("{pod} has no identity"))
}

fn reached(from: &RunningPod, server: &RunningPod) -> anyhow::Result<()> {
    sockets::udp(&from.sandbox, &server.sandbox, server.ipv4()?)
}

fn refused(from: &RunningPod, server: &RunningPod) -> anyhow::Result<()> {
    match reached(from, server) {
        Ok(()) => bail!("{} reaches {}", from.pod.name, server.pod.name),
        Err(_) => Ok(()),
    }
}

/// A policy begins to look at a label that no policy looked at, and ends to do so, under traffic that is allowed, or denied,
/// before and after.
pub(crate) fn a_further_label(cluster: &Cluster) {
    let server = run(cluster, 1, "server", "server", "any");
    let front = run(cluster, 0, "front", "client", "front");
    let back = run(cluster, 0, "back", "client", "back");
    let strangers = [
        run(cluster, 0, "far", "other", "front"),
        run(cluster, 1, "near", "other", "front"),
    ];
    cluster
        .apply(&policy(&json!({ "app": "client" })))
        .expect("a policy");
    for stranger in &strangers {
        eventually(|| refused(stranger, &server)).expect("the policy comes into force");
    }
    eventually(|| reached(&front, &server)).expect("the allowed pod gets through");
    let same = || {
        let (front, back) = (identity(cluster, "front")?, identity(cluster, "back")?);
        ensure!(front == back, "{front} and {back}");
        Ok(front)
    };
    let before = same().expect("no policy tells the two apart");
    let allowed = Stream::start(&front.sandbox, &server).expect("a stream");
    let denied = strangers
        .each_ref()
        .map(|pod| Stream::start(&pod.sandbox, &server).expect("a stream"));
    cluster
        .apply(&policy(&json!({ "app": "client", "tier": "front" })))
        .expect("a policy");
    eventually(|| refused(&back, &server)).expect("the further label counts");
    let ids = ["front", "back"].map(|pod| identity(cluster, pod).expect("an identity"));
    assert!(
        ids[0] != ids[1] && !ids.contains(&before),
        "{before}, then {ids:?}"
    );
    reached(&front, &server).expect("a new connection");
    cluster
        .apply(&policy(&json!({ "app": "client" })))
        .expect("a policy");
    eventually(|| reached(&back, &server)).expect("the label does not count any more");
    let ids = ["front", "back"].map(|pod| identity(cluster, pod).expect("an identity"));
    assert_ne!(ids[0], ids[1], "identities go back later");
    let told = allowed.finish().expect("a stream");
    let denied = denied.map(|stream| stream.finish().expect("a stream"));
    println!(
        "figure: a label more and less, {} of {} allowed arrived, {} of {} denied arrived",
        told.arrived.len(),
        told.sent,
        denied.iter().map(|of| of.arrived.len()).sum::<usize>(),
        denied.iter().map(|of| of.sent).sum::<u64>(),
    );
    assert!(denied.iter().all(|of| of.sent > 2000), "they hardly sent");
    assert!(
        denied.iter().all(|of| of.arrived.is_empty()),
        "denied datagrams were delivered"
    );
    assert_eq!(
        told.missing(),
        Vec::<u64>::new(),
        "allowed datagrams were lost"
    );
}
