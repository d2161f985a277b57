//! A full node whose agent restarts: how long it takes, and that no packet notices.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use testkit::cluster::{Cluster, Node};
use testkit::kubelet::{Pod, RunningPod};
use testkit::programs::program;
use testkit::streams::Stream;

use crate::cases::{eventually, only_from, run};
use crate::sockets;

/// How many pods are made at the same time.
const AT_ONCE: usize = 8;

/// Restarts the agent of a node with `pods` pods, killed and stopped in turn, while an allowed and a denied stream go to one
/// of them from its own node and from another.
pub(crate) fn restarts(cluster: &mut Cluster, pods: usize, number: usize) {
    let crowd = fill(cluster, pods - 3);
    let [server, near, near_denied] =
        ["server", "allowed", "denied"].map(|name| run(cluster, 0, name));
    let [far, far_denied] = [("far", "allowed"), ("stranger", "denied")]
        .map(|(name, app)| run_as(cluster, 1, name, app));
    cluster
        .create(&only_from("server", "allowed"))
        .expect("policy");
    let address = server.ipv4().expect("address");
    for pod in [&near, &far] {
        eventually(|| sockets::udp(&pod.sandbox, &server.sandbox, address)).expect("allowed");
    }
    for pod in [&near_denied, &far_denied] {
        eventually(|| {
            let reached = sockets::udp(&pod.sandbox, &server.sandbox, address).is_ok();
            ensure!(!reached, "the policy is not in force");
            Ok(())
        })
        .expect("denied");
    }
    let allowed = [&near, &far].map(|pod| Stream::start(&pod.sandbox, &server).expect("a stream"));
    let denied = [&near_denied, &far_denied]
        .map(|pod| Stream::start(&pod.sandbox, &server).expect("a stream"));
    let took: Vec<Duration> = (0..number)
        .map(|round| restart(&mut cluster.nodes[0], round, pods))
        .collect();
    report(pods, &took);
    for told in denied.map(|stream| stream.finish().expect("a stream")) {
        assert!(told.sent > 500, "the denied sender hardly sent");
        assert_eq!(
            told.arrived,
            Vec::<u64>::new(),
            "denied datagrams were delivered"
        );
    }
    for told in allowed.map(|stream| stream.finish().expect("a stream")) {
        println!(
            "allowed: {} sent, {} arrived",
            told.sent,
            told.arrived.len()
        );
        assert_eq!(
            told.missing(),
            Vec::<u64>::new(),
            "allowed datagrams were lost"
        );
    }
    assert_eq!(crowd.len(), pods - 3);
}

/// One restart: back within the limit, with all endpoints, and nothing left to change.
fn restart(node: &mut Node, round: usize, pods: usize) -> Duration {
    if round.is_multiple_of(2) {
        node.kill_agent().expect("kill");
    } else {
        let agent = node.agent().expect("the agent runs");
        let status = agent.stop(Duration::from_secs(10)).expect("stop");
        assert!(
            status.success(),
            "a stop by signal is an orderly end: {status}"
        );
    }
    let begun = Instant::now();
    node.start_agent().expect("start");
    node.wait_ready(Duration::from_mins(1)).expect("ready");
    let took = begun.elapsed();
    eventually(|| settled(node)).expect("what was adopted is what is desired");
    let all: serde_json::Value = node.client().get("/v1/endpoint").expect("endpoints");
    let ready = all.as_array().into_iter().flatten();
    let ready = ready.filter(|of| of.pointer("/status/state") == Some(&"ready".into()));
    assert_eq!(
        ready.count(),
        pods,
        "endpoints that are ready after a restart"
    );
    took
}

/// `axoneme dbg reconcile` says by its status that nothing is left to do.
fn settled(node: &Node) -> anyhow::Result<()> {
    let output = Command::new(program("axoneme")?)
        .args(["dbg", "--host"])
        .arg(&node.kubelet.agent_socket)
        .arg("reconcile")
        .output()
        .context("start axoneme dbg reconcile")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}{error}");
    Ok(())
}

fn report(pods: usize, took: &[Duration]) {
    let mut sorted = took.to_vec();
    sorted.sort_unstable();
    println!(
        "start to enforcing with {pods} pods: fastest {:?}, median {:?}, slowest {:?} of {} (target 1 s)",
        sorted.first(),
        sorted.get(sorted.len() / 2),
        sorted.last(),
        sorted.len()
    );
}

fn fill(cluster: &Cluster, number: usize) -> Vec<RunningPod> {
    let names: Vec<String> = (0..number).map(|index| format!("crowd{index}")).collect();
    let mut all = Vec::new();
    for names in names.chunks(AT_ONCE) {
        std::thread::scope(|scope| {
            let adds: Vec<_> = names
                .iter()
                .map(|name| scope.spawn(move || run_as(cluster, 0, name, "crowd")))
                .collect();
            all.extend(adds.into_iter().map(|add| add.join().expect("add")));
        });
    }
    all
}

fn run_as(cluster: &Cluster, node: usize, name: &str, app: &str) -> RunningPod {
    let node = &cluster.nodes[node];
    let pod = Pod::new("default", name, app);
    node.kubelet
        .run(&node.machine, cluster.topology.name(), pod)
        .expect("the pod is added")
}
