//! Records of flows on disk: more than the ring holds, over a restart of the agent, and over a kill but for the open segment.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::ensure;
use api::hubble::Timestamp;
use api::hubble::flow::{Flow, TraceReason, layer4::Protocol};
use testkit::cluster::{Cluster, Node};
use testkit::flows;
use testkit::kubelet::RunningPod;

use crate::answers::{PORT, Server, at, talk};
use crate::cases::{eventually, run, within};

/// Connections of each round: twice as many flows as the ring has room for.
const ROUND: usize = 30;

/// Three rounds, with an orderly restart after the first and a kill after the second.
pub(crate) fn outlive(cluster: &Cluster) {
    let node = &cluster.nodes[0];
    let (a, b) = (run(cluster, 0, "a"), run(cluster, 0, "b"));
    let _server = Server::start(&b);
    eventually(|| talk(&a.sandbox, at(&b, PORT))).expect("b answers");
    let begin = Timestamp::from(std::time::SystemTime::now());
    round(&a, &b);
    all_are_told(node, begin, ROUND, "more than the ring holds");
    node.stop_agent().expect("the agent stops");
    node.start_agent().expect("the agent starts");
    node.wait_ready(Duration::from_secs(20))
        .expect("it is ready");
    all_are_told(node, begin, ROUND, "after a restart");
    round(&a, &b);
    all_are_told(node, begin, 2 * ROUND, "from disk and from memory");
    node.kill_agent().expect("the agent dies");
    node.start_agent().expect("the agent starts");
    node.wait_ready(Duration::from_secs(20))
        .expect("it is ready");
    // The second round was not a minute old.
    all_are_told(node, begin, ROUND, "after a kill");
    round(&a, &b);
    all_are_told(node, begin, 2 * ROUND, "and what came then");
    println!("ok    {ROUND} connections are told after a restart and after a kill");
}

fn round(a: &RunningPod, b: &RunningPod) {
    for _ in 0..ROUND {
        talk(&a.sandbox, at(b, PORT)).expect("b answers");
    }
}

/// Of each connection its beginning is told once.
fn all_are_told(node: &Node, since: Timestamp, connections: usize, when: &str) {
    let told = within(Duration::from_secs(5), || {
        let socket = node.machine.directory().join("hubble.sock");
        let flows = flows::since(&socket, since)?;
        let mut begun: BTreeMap<(Timestamp, u32), usize> = BTreeMap::new();
        for connection in flows.iter().filter_map(beginning) {
            *begun.entry(connection).or_default() += 1;
        }
        ensure!(begun.values().all(|&times| times == 1), "{begun:?}");
        ensure!(
            begun.len() == connections,
            "{} of {connections}",
            begun.len()
        );
        Ok(())
    });
    told.unwrap_or_else(|error| panic!("{when}: {error:#}"));
}

/// When a connection to the server began, and the port of its client.
fn beginning(flow: &Flow) -> Option<(Timestamp, u32)> {
    if flow.trace_reason() != TraceReason::New || flow.destination.as_ref()?.pod_name != "b" {
        return None;
    }
    match flow.l4.as_ref()?.protocol.as_ref()? {
        Protocol::Tcp(tcp) if tcp.destination_port == u32::from(PORT) => {
            Some((flow.time?, tcp.source_port))
        }
        _ => None,
    }
}
