//! Rows of packets: pods of one node, with flows exported too, and pods of two nodes.

use std::cell::RefCell;
use std::time::Duration;

use anyhow::Context;
use netlink::{Family, Handle};

use super::lane::{Lane, Place};
use super::load::Kind;
use super::machine;
use super::pair::{Baseline, Contender, compare};
use super::plain::{self, Between};
use super::statistics::Target;
use super::{Bench, Group};
use crate::cluster::{Cluster, Options};
use crate::kubelet::{Pod, RunningPod};
use crate::programs::program;
use crate::topology::Process;

/// Room for what a run of new connections leaves behind while it closes.
pub(super) const CONNECTIONS: &str = "524288";

const KINDS: [(Kind, &str, &str); 3] = [
    (Kind::Throughput, "throughput per CPU-second", "Gbit/CPU-s"),
    (Kind::RequestResponse, "request-response", "1/s"),
    (Kind::ConnectRequestClose, "connect-request-close", "1/s"),
];

const ONE_NODE: [f64; 3] = [0.97, 0.95, 0.90];
const EXPORTED: f64 = 0.85;
const NATIVE: [f64; 3] = [0.98, 1.05, 1.0];
const VXLAN: [f64; 3] = [0.98, 1.15, 1.0];

/// Pods of one node.
pub(super) const ONE: Group = Group {
    name: "one node",
    rows: &[
        "one node, throughput per CPU-second",
        "one node, request-response",
        "one node, connect-request-close",
    ],
    run: one_node,
};
/// The same while somebody follows the flows.
pub(super) const FLOWS: Group = Group {
    name: "flow export",
    rows: &["one node, flow export on, connect-request-close"],
    run: exported,
};
/// Two nodes, native routing.
pub(super) const TWO_NATIVE: Group = Group {
    name: "two nodes native",
    rows: &[
        "two nodes native, throughput per CPU-second",
        "two nodes native, request-response",
        "two nodes native, connect-request-close",
    ],
    run: native,
};
/// Two nodes, overlay.
pub(super) const TWO_VXLAN: Group = Group {
    name: "two nodes VXLAN",
    rows: &[
        "two nodes VXLAN, throughput per CPU-second",
        "two nodes VXLAN, request-response",
        "two nodes VXLAN, connect-request-close",
    ],
    run: vxlan,
};

/// The value of one measurement.
pub(super) fn value(lane: &Lane, kind: Kind, window: Duration) -> anyhow::Result<f64> {
    let done = lane.make(kind, window)?;
    Ok(match kind {
        Kind::Throughput => done.units as f64 * 8e-9 / done.cpu_seconds,
        _ => done.units as f64 / done.seconds,
    })
}

/// A cluster for traffic.
pub(super) fn cluster(nodes: u8) -> Options {
    Options {
        nodes,
        ipv6: false,
        ..Options::named(&Bench::topology('t'))
    }
    .with("bpf-ct-global-tcp-max", CONNECTIONS)
}

/// Starts a pod on a node.
pub(super) fn pod(cluster: &Cluster, node: usize, name: &str) -> anyhow::Result<RunningPod> {
    let node = cluster.nodes.get(node).context("no such node")?;
    let pod = Pod::new("default", name, name);
    node.kubelet
        .run(&node.machine, cluster.topology.name(), pod)
}

/// The lane between two pods, given with their nodes.
pub(super) fn between(
    cluster: &Cluster,
    client: (usize, &RunningPod),
    server: (usize, &RunningPod),
) -> anyhow::Result<Lane> {
    let node = |index: usize| cluster.nodes.get(index).context("no such node");
    Lane::open(
        "pods",
        Place::pod(node(client.0)?, client.1)?,
        Place::pod(node(server.0)?, server.1)?,
        server.1.ipv4()?,
    )
}

/// Octets that a pod's packets may have: the least of its device's MTU and its routes'.
fn mtu_of(pod: &RunningPod) -> anyhow::Result<u32> {
    let handle = Handle::open_in(&pod.sandbox)?;
    let device = handle.link("eth0")?.mtu;
    let routes = handle.routes(Family::V4, None)?;
    let least = routes.iter().filter_map(|route| route.mtu).min();
    Ok(least.map_or(device, |mtu| mtu.min(device)))
}

fn one_node(bench: &mut Bench) -> anyhow::Result<()> {
    let cluster = Cluster::start(cluster(1))?;
    let (a, b) = (pod(&cluster, 0, "a")?, pod(&cluster, 0, "b")?);
    let ours = between(&cluster, (0, &a), (0, &b))?;
    let mtu = mtu_of(&a)?;
    let (veth, bridge) = (plain::veth(&cluster, mtu)?, plain::bridge(&cluster, mtu)?);
    for ((kind, what, unit), target) in KINDS.into_iter().zip(ONE_NODE) {
        let name = format!("one node, {what}");
        if !bench.wants(&name) {
            continue;
        }
        let window = bench.window;
        let measure = |lane| move || value(lane, kind, window);
        let rows = compare(
            bench.limits(),
            &mut Baseline {
                name: "bare veth".into(),
                unit,
                measure: Box::new(measure(&veth.lane)),
            },
            &mut [
                Contender {
                    name,
                    target: Some(Target::AtLeast(target)),
                    measure: Box::new(measure(&ours)),
                },
                Contender {
                    name: format!("Linux bridge, {what}"),
                    target: None,
                    measure: Box::new(measure(&bridge.lane)),
                },
            ],
        )?;
        bench.add(rows);
    }
    Ok(())
}

/// Somebody who follows all flows of a node, and what that one cannot see.
fn observer(cluster: &Cluster) -> anyhow::Result<Process> {
    let node = cluster.nodes.first().context("a cluster without nodes")?;
    let server = format!("unix://{}/hubble.sock", node.machine.directory().display());
    let words = [
        "hubble", "observe", "--follow", "--output", "json", "--server",
    ];
    let mut words: Vec<String> = words.map(str::to_owned).to_vec();
    words.push(server);
    node.machine
        .start("observer", Some("observer"), &program("axoneme")?, &words)
}

fn exported(bench: &mut Bench) -> anyhow::Result<()> {
    let (kind, what, unit) = KINDS[2];
    let name = format!("one node, flow export on, {what}");
    let cluster = Cluster::start(cluster(1))?;
    let (a, b) = (pod(&cluster, 0, "a")?, pod(&cluster, 0, "b")?);
    let ours = between(&cluster, (0, &a), (0, &b))?;
    let veth = plain::veth(&cluster, mtu_of(&a)?)?;
    let observer = RefCell::new(observer(&cluster)?);
    let window = bench.window;
    // What is still being told of our own round must not slow down the baseline's.
    let measure = |lane| {
        let observer = &observer;
        move || -> anyhow::Result<f64> {
            machine::settle(Duration::from_secs(3))?;
            let value = value(lane, kind, window)?;
            let mut observer = observer.borrow_mut();
            anyhow::ensure!(observer.ended()?.is_none(), "the observer ended");
            Ok(value)
        }
    };
    let rows = compare(
        bench.limits(),
        &mut Baseline {
            name: "bare veth".into(),
            unit,
            measure: Box::new(measure(&veth.lane)),
        },
        &mut [Contender {
            name,
            target: Some(Target::AtLeast(EXPORTED)),
            measure: Box::new(measure(&ours)),
        }],
    )?;
    let told = observer.borrow().output();
    anyhow::ensure!(told.contains("\"flow\""), "the observer saw no flow");
    bench.add(rows);
    Ok(())
}

fn native(bench: &mut Bench) -> anyhow::Result<()> {
    let options = cluster(2)
        .with("routing-mode", "native")
        .with("auto-direct-node-routes", "true")
        .with("ipv4-native-routing-cidr", "10.244.0.0/16");
    two_nodes(bench, "native", options, Between::Routes, NATIVE)
}

fn vxlan(bench: &mut Bench) -> anyhow::Result<()> {
    let options = cluster(2);
    two_nodes(bench, "VXLAN", options, Between::Vxlan, VXLAN)
}

fn two_nodes(
    bench: &mut Bench,
    mode: &str,
    options: Options,
    way: Between,
    targets: [f64; 3],
) -> anyhow::Result<()> {
    let cluster = Cluster::start(options)?;
    let (a, b) = (pod(&cluster, 0, "a")?, pod(&cluster, 1, "b")?);
    let ours = between(&cluster, (0, &a), (1, &b))?;
    let plain = plain::nodes(&cluster, way, mtu_of(&a)?)?;
    for ((kind, what, unit), target) in KINDS.into_iter().zip(targets) {
        let name = format!("two nodes {mode}, {what}");
        if !bench.wants(&name) {
            continue;
        }
        let window = bench.window;
        let measure = |lane| move || value(lane, kind, window);
        let rows = compare(
            bench.limits(),
            &mut Baseline {
                name: plain.lane.name().to_owned(),
                unit,
                measure: Box::new(measure(&plain.lane)),
            },
            &mut [Contender {
                name,
                target: Some(Target::AtLeast(target)),
                measure: Box::new(measure(&ours)),
            }],
        )?;
        bench.add(rows);
    }
    Ok(())
}
