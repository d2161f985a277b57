//! Pods with addresses of two pools, of which nodes get ranges as they need them.

use std::collections::BTreeSet;
use std::net::{IpAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use ipnet::IpNet;
use netlink::{NamedNamespace, Namespace};
use serde_json::Value;
use testkit::cluster::{Cluster, OUTSIDE, underlay_v4};
use testkit::kubelet::{Pod, RunningPod};
use testkit::streams::Stream;

use crate::cases::{eventually, within};
use crate::sockets;

/// The second has three ranges of two IPv4 addresses, and they are not one beside the other.
pub(crate) const POOLS: &str = "default=ipv4-cidrs:10.50.0.0/24;ipv4-mask-size:28;ipv6-cidrs:fd00:50::/112;ipv6-mask-size:124 \
    blue=ipv4-cidrs:192.168.70.0/30,192.168.80.0/30,192.168.90.0/30;ipv4-mask-size:30;ipv6-cidrs:fd00:70::/112;ipv6-mask-size:124";

/// An idle range goes back after 15 s, and what is idle is looked for every 5 s.
const GOES_BACK: Duration = Duration::from_secs(40);

fn pod(name: &str, pool: Option<&str>) -> Pod {
    let pod = Pod::new("default", name, "app");
    match pool {
        Some(pool) => pod.annotated("ipam.cilium.io/ip-pool", pool),
        None => pod,
    }
}

fn add(cluster: &Cluster, node: usize, pod: Pod) -> anyhow::Result<RunningPod> {
    let node = &cluster.nodes[node];
    let topology = cluster.topology.name();
    node.kubelet.run(&node.machine, topology, pod)
}

fn delete(cluster: &Cluster, node: usize, pod: RunningPod) {
    let node = &cluster.nodes[node];
    node.kubelet.delete(&node.machine, pod).expect("deleted");
}

/// Ranges of a pool that a node has.
fn ranges(cluster: &Cluster, node: usize, pool: &str) -> Vec<IpNet> {
    let path = format!("/apis/cilium.io/v2/ciliumnodes/n{}", node + 1);
    let object: Value = cluster.api.get(&path).expect("a node");
    let pools = object.pointer("/spec/ipam/pools/allocated");
    let pools = pools.and_then(Value::as_array).into_iter().flatten();
    let of_pool = pools.filter(|of| of["pool"] == pool);
    let texts = of_pool.flat_map(|of| of["cidrs"].as_array().into_iter().flatten());
    texts
        .map(|text| text.as_str().expect("a text").parse().expect("a range"))
        .collect()
}

/// Addresses in use on a node, as its agent shows them.
fn in_use(cluster: &Cluster, node: usize) -> BTreeSet<String> {
    let health: Value = cluster.nodes[node]
        .client()
        .get("/v1/healthz")
        .expect("health");
    let all = health
        .pointer("/ipam/allocations")
        .and_then(Value::as_object);
    let all = all.expect("addresses").iter();
    all.map(|(address, owner)| format!("{address} {}", owner.as_str().unwrap_or_default()))
        .collect()
}

fn is_of(pod: &RunningPod, net: &str) -> bool {
    let net: IpNet = net.parse().expect("a range");
    pod.addresses.iter().any(|address| net.contains(address))
}

/// What the outside sees of a pod is its node's address.
fn masqueraded(cluster: &Cluster, from: &Namespace, node: IpAddr) -> anyhow::Result<()> {
    let there = (IpAddr::from(underlay_v4(OUTSIDE)), 0);
    let server = cluster
        .outside
        .namespace()
        .run(|| UdpSocket::bind(there))??;
    server.set_read_timeout(Some(Duration::from_secs(1)))?;
    let client = from.run(|| UdpSocket::bind("0.0.0.0:0"))??;
    client.send_to(b"whoami", server.local_addr()?)?;
    let (_, seen) = server.recv_from(&mut [0; 16])?;
    ensure!(
        seen.ip() == node,
        "{} is seen in place of {node}",
        seen.ip()
    );
    Ok(())
}

pub(crate) fn reach_each_other(cluster: &Cluster) {
    let blue = Some("blue");
    let mut pods = Vec::new();
    for (node, name, pool) in [
        (0, "plain-1", None),
        (0, "blue-1", blue),
        (1, "plain-2", None),
        (1, "blue-2", blue),
    ] {
        let running = add(cluster, node, pod(name, pool)).expect("a pod");
        println!("figure: ADD of {name}: {:?}", running.add_took);
        pods.push((node, running));
    }
    for (_, running) in &pods {
        let of_blue = is_of(running, "192.168.0.0/16") && is_of(running, "fd00:70::/112");
        let of_default = is_of(running, "10.50.0.0/24") && is_of(running, "fd00:50::/112");
        let blue = running.pod.name.starts_with("blue");
        assert_eq!(
            (of_blue, of_default),
            (blue, !blue),
            "{:?}",
            running.addresses
        );
    }
    for (_, from) in &pods {
        for (node, to) in pods.iter().filter(|(_, to)| to.pod.name != from.pod.name) {
            for address in &to.addresses {
                eventually(|| sockets::tcp(&from.sandbox, &to.sandbox, *address))
                    .with_context(|| format!("{} to {}", from.pod.name, to.pod.name))
                    .expect("a connection");
                let nodes = [0, 1].map(|node: usize| cluster.nodes[node].machine.namespace());
                for machine in nodes {
                    eventually(|| sockets::tcp(machine, &to.sandbox, *address))
                        .with_context(|| format!("a node to {} of node {node}", to.pod.name))
                        .expect("a connection of a node");
                }
            }
        }
    }
    for (node, from) in &pods {
        let address = underlay_v4(11 + *node as u8).into();
        eventually(|| masqueraded(cluster, &from.sandbox, address)).expect("the node's address");
    }
    for (node, running) in pods {
        delete(cluster, node, running);
    }
}

pub(crate) fn grow_and_survive_a_kill(cluster: &mut Cluster) {
    let blue = Some("blue");
    let first = add(cluster, 0, pod("stays", blue)).expect("a pod");
    let server = add(cluster, 1, pod("server", blue)).expect("a pod");
    let address = server.ipv4().expect("an address");
    eventually(|| sockets::tcp(&first.sandbox, &server.sandbox, address)).expect("before");
    let before = (in_use(cluster, 0), ranges(cluster, 0, "blue"));
    let prober = Stream::start(&first.sandbox, &server).expect("a stream");
    std::thread::sleep(Duration::from_millis(300));
    cluster.nodes[0].kill_agent().expect("kill");
    std::thread::sleep(Duration::from_millis(300));
    cluster.nodes[0].start_agent().expect("start");
    let ready = cluster.nodes[0].wait_ready(Duration::from_secs(30));
    ready.expect("ready again");
    assert_eq!((in_use(cluster, 0), ranges(cluster, 0, "blue")), before);
    // Two fit into what the node has; for the third it gets a range that lies elsewhere.
    let more = ["second", "third"].map(|name| add(cluster, 0, pod(name, blue)).expect("a pod"));
    let held = ranges(cluster, 0, "blue");
    let held: Vec<&IpNet> = held.iter().filter(|net| net.addr().is_ipv4()).collect();
    assert_eq!(held.len(), 2, "{held:?}");
    let pods = [&first, &more[0], &more[1]];
    let addresses: BTreeSet<IpAddr> = pods.map(|pod| pod.ipv4().expect("an address")).into();
    assert_eq!(addresses.len(), 3, "{addresses:?}");
    for pod in pods {
        eventually(|| sockets::tcp(&pod.sandbox, &server.sandbox, address)).expect("to the server");
        let back = pod.ipv4().expect("an address");
        eventually(|| sockets::tcp(&server.sandbox, &pod.sandbox, back)).expect("and back");
    }
    let told = prober.finish().expect("a stream");
    println!(
        "figure: over a kill {} of {} arrived",
        told.arrived.len(),
        told.sent
    );
    assert_eq!(told.missing(), Vec::<u64>::new(), "datagrams were lost");
    for pod in more.into_iter().chain([first]) {
        delete(cluster, 0, pod);
    }
    delete(cluster, 1, server);
}

pub(crate) fn are_exhausted_and_recover(cluster: &Cluster) {
    let blue = Some("blue");
    let names: Vec<String> = (0..6).map(|number| format!("full-{number}")).collect();
    let begun = Instant::now();
    let full = names.iter().map(|name| add(cluster, 0, pod(name, blue)));
    let mut full: Vec<RunningPod> = full.collect::<Result<_, _>>().expect("six pods");
    println!("figure: six pods over three ranges: {:?}", begun.elapsed());
    let before = [0, 1].map(|node| in_use(cluster, node));
    // Each is tried for as long as the plugin has patience.
    std::thread::scope(|scope| {
        for (node, name, pool, expected) in [
            (0, "too-many", "blue", "no IPv4 range is free in pool blue"),
            (1, "elsewhere", "blue", "no IPv4 range is free in pool blue"),
            (1, "nowhere", "none", "there is no pool none"),
        ] {
            scope.spawn(move || {
                let Err(refused) = add(cluster, node, pod(name, Some(pool))) else {
                    panic!("{name} has an address");
                };
                let refused = format!("{refused:#}");
                let again = refused.contains("\"code\":11") && refused.contains(expected);
                assert!(again, "{refused}");
            });
        }
    });
    assert_eq!([0, 1].map(|node| in_use(cluster, node)), before);
    for (name, node) in [("too-many", "n1"), ("elsewhere", "n2"), ("nowhere", "n2")] {
        let object = pod(name, blue).object(node);
        cluster.delete(&object).expect("deleted");
    }
    // One pod goes: its address is the one's that was refused.
    delete(cluster, 0, full.remove(0));
    full.push(add(cluster, 0, pod("too-many", blue)).expect("an address is free"));
    // All go, and with them the node's ranges: another node has them.
    full.drain(..).for_each(|pod| delete(cluster, 0, pod));
    within(GOES_BACK, || {
        let left = ranges(cluster, 0, "blue");
        ensure!(left.is_empty(), "n1 still has {left:?}");
        Ok(())
    })
    .expect("ranges go back");
    for name in ["elsewhere"]
        .into_iter()
        .chain(names.iter().map(|name| &**name).skip(1))
    {
        let pod = add(cluster, 1, pod(name, blue)).expect("the other node has them");
        full.push(pod);
    }
    let [first, .., last] = full.as_slice() else {
        panic!("no pods");
    };
    let address = last.ipv4().expect("an address");
    let node = cluster.nodes[0].machine.namespace();
    for from in [&*first.sandbox, node] {
        eventually(|| sockets::tcp(from, &last.sandbox, address)).expect("a moved range");
    }
    full.drain(..).for_each(|pod| delete(cluster, 1, pod));
}

/// What the node has it gives, also when nobody can be asked for more.
pub(crate) fn without_a_store(cluster: &mut Cluster) {
    let blue = Some("blue");
    let near = add(cluster, 1, pod("near", blue)).expect("a pod");
    let late = pod("late", blue);
    cluster.create(&late.object("n2")).expect("a pod");
    let name = format!("{}-n2-late", cluster.topology.name());
    let sandbox = NamedNamespace::create(&name).expect("a sandbox");
    // The agent has heard of it by then.
    std::thread::sleep(Duration::from_secs(1));
    cluster.kill_apiserver().expect("kill");
    std::thread::sleep(Duration::from_secs(2));
    let node = &cluster.nodes[1];
    let added = node
        .kubelet
        .plugin(&node.machine, "ADD", &name, Some(&sandbox), &late);
    let added = added.expect("an address is free");
    let address = added.pointer("/ips/0/address").and_then(Value::as_str);
    let address = address.expect("an address");
    assert!(address.starts_with("192.168."), "{address}");
    let to = near.ipv4().expect("an address");
    sockets::tcp(&sandbox, &near.sandbox, to).expect("to a pod of its node");
}
