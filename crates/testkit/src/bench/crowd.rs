//! Objects in large numbers: services with backends, and the pods, identities and nodes of a cluster that is not here.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::cluster::Cluster;

/// Port of every service.
pub(super) const SERVICE_PORT: u16 = 80;
/// Port of every backend, where the load's server accepts and answers.
pub(super) const BACKEND_PORT: u16 = 7003;
/// Writers at a time: what waits together shares one commit of the API server.
const WRITERS: usize = 32;
/// Above the numbers that agents give.
const FIRST_IDENTITY: usize = 100_000;
/// Pods of one absent node.
const PODS_PER_NODE: usize = 100;
/// Port of the first policy; the next ones follow.
pub(super) const FIRST_PORT: u16 = 8000;
/// Values of the label by which policies select peers.
const TEAMS: usize = 100;

/// Creates all objects.
pub(crate) fn create(cluster: &Cluster, objects: &[Value]) -> anyhow::Result<()> {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let write = || {
            while let Some(object) = objects.get(next.fetch_add(1, Ordering::Relaxed)) {
                cluster.create(object)?;
            }
            Ok(())
        };
        let threads: Vec<_> = (0..WRITERS).map(|_| scope.spawn(write)).collect();
        threads.into_iter().try_for_each(|thread| {
            thread
                .join()
                .map_err(|_| anyhow::anyhow!("a writer panicked"))?
        })
    })
}

/// The address at a place in `10.first.0.0/16` and what follows it.
fn address(first: u8, place: usize) -> Ipv4Addr {
    let start = u32::from(Ipv4Addr::new(10, first, 0, 0));
    Ipv4Addr::from(start + place as u32)
}

/// Cluster address of a service; the first few hundred of the range are left to others.
pub(super) fn cluster_ip(service: usize) -> Ipv4Addr {
    address(96, 512 + service)
}

/// A service without a selector: its backends are told by slices.
pub(super) fn service(number: usize) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "namespace": "default", "name": format!("s{number}") },
        "spec": {
            "clusterIP": cluster_ip(number),
            "ports": [{ "name": "http", "protocol": "TCP", "port": SERVICE_PORT, "targetPort": BACKEND_PORT }],
        },
    })
}

/// A slice of a service.
pub(super) fn slice(service: usize, part: usize, backends: &[Ipv4Addr]) -> Value {
    let ready = json!({ "ready": true, "serving": true, "terminating": false });
    let endpoints: Vec<Value> = backends
        .iter()
        .map(|address| json!({ "addresses": [address], "conditions": ready }))
        .collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {
            "namespace": "default", "name": format!("s{service}-{part}"),
            "labels": { "kubernetes.io/service-name": format!("s{service}") },
        },
        "ports": [{ "name": "http", "protocol": "TCP", "port": BACKEND_PORT }],
        "endpoints": endpoints,
    })
}

/// Addresses of backends that no other service has; nobody is there.
pub(super) fn backends(service: usize, part: usize, number: usize) -> Vec<Ipv4Addr> {
    let first = (service * 4 + part) * number;
    (0..number)
        .map(|index| address(128, first + index))
        .collect()
}

/// Pods of nodes that are not here, each with an identity of its own, and those nodes.
pub(super) fn absent(identities: usize) -> Vec<Value> {
    let nodes = (0..identities.div_ceil(PODS_PER_NODE)).map(absent_node);
    nodes
        .chain((0..identities).flat_map(|number| [identity(number), endpoint(number)]))
        .collect()
}

fn node_address(node: usize) -> Ipv4Addr {
    Ipv4Addr::new(172, 30, 1, 1 + node as u8)
}

fn absent_node(number: usize) -> Value {
    json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumNode",
        "metadata": { "name": format!("absent{number}") },
        "spec": {
            "addresses": [{ "type": "InternalIP", "ip": node_address(number) }],
            "ipam": { "podCIDRs": [format!("{}/24", address(200, number * 256))] },
        },
    })
}

fn labels(number: usize) -> Value {
    json!({
        "k8s:app": format!("r{number}"), "k8s:team": format!("t{}", number % TEAMS),
        "k8s:io.kubernetes.pod.namespace": "default", "k8s:io.cilium.k8s.policy.cluster": "default",
        "k8s:io.cilium.k8s.policy.serviceaccount": "default",
    })
}

fn identity(number: usize) -> Value {
    json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumIdentity",
        "metadata": { "name": (FIRST_IDENTITY + number).to_string() },
        "security-labels": labels(number),
    })
}

fn endpoint(number: usize) -> Value {
    let (node, place) = (number / PODS_PER_NODE, number % PODS_PER_NODE);
    json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumEndpoint",
        "metadata": { "namespace": "default", "name": format!("r{number}") },
        "status": {
            "identity": { "id": FIRST_IDENTITY + number },
            "networking": {
                "node": node_address(node),
                "addressing": [{ "ipv4": address(200, node * 256 + place + 2) }],
            },
        },
    })
}

/// Policies: each lets the pods of one team come in to one of `apps`, on a port of its own.
pub(super) fn policies(number: usize, apps: &[String]) -> Vec<Value> {
    let team = |index: usize| format!("t{}", index % TEAMS);
    let of = |(index, app): (usize, &String)| {
        json!({
            "apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
            "metadata": { "namespace": "default", "name": format!("p{index}") },
            "spec": {
                "endpointSelector": { "matchLabels": { "app": app } },
                "ingress": [{
                    "fromEndpoints": [{ "matchLabels": { "team": team(index) } }],
                    "toPorts": [{ "ports": [{ "port": (usize::from(FIRST_PORT) + index).to_string(), "protocol": "TCP" }] }],
                }],
            },
        })
    };
    (0..number).zip(apps.iter().cycle()).map(of).collect()
}
