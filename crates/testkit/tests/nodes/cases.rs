//! Who reaches whom, on one cluster that all cases share.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use netlink::Namespace;
use serde_json::{Value, json};
use testkit::cluster::Cluster;
use testkit::kubelet::{Pod, RunningPod};

use crate::sockets;

/// Pods of a cluster and what failed so far.
pub(crate) struct Cases<'a> {
    cluster: &'a Cluster,
    /// Two on the first node, one on the second.
    pods: Vec<RunningPod>,
    failures: Vec<String>,
    held: usize,
}

const PODS: &[(&str, usize)] = &[("a", 0), ("b", 0), ("c", 1)];

impl<'a> Cases<'a> {
    pub(crate) fn new(cluster: &'a Cluster) -> Self {
        let pods = PODS
            .iter()
            .map(|&(name, node)| run(cluster, node, name))
            .collect();
        Self {
            cluster,
            pods,
            failures: Vec::new(),
            held: 0,
        }
    }

    fn state(&mut self, case: &str, result: anyhow::Result<()>) {
        match result {
            Ok(()) => {
                self.held += 1;
                println!("ok    {case}");
            }
            Err(error) => {
                println!("FAIL  {case}: {error:#}");
                self.failures.push(format!("{case}: {error:#}"));
            }
        }
    }

    /// Every pair of places, both families, TCP and UDP.
    pub(crate) fn connectivity(&mut self) {
        let pairs = [
            (0, 1, "to a pod of its node"),
            (0, 2, "to a pod of the other node"),
            (2, 1, "back to the first node"),
        ];
        for (from, to, what) in pairs {
            for family in FAMILIES {
                let (client, server) = (&self.pods[from].sandbox, &self.pods[to].sandbox);
                let ip = address(&self.pods[to], family);
                let (tcp, udp) = (
                    eventually(|| sockets::tcp(client, server, ip)),
                    eventually(|| sockets::udp(client, server, ip)),
                );
                self.state(&format!("pod {what}, TCP, {family:?}"), tcp);
                self.state(&format!("pod {what}, UDP, {family:?}"), udp);
            }
        }
        for family in FAMILIES {
            self.node_and_pod(family);
        }
    }

    fn node_and_pod(&mut self, family: Family) {
        let node = |index: usize| self.cluster.nodes[index].machine.namespace();
        let node_ip: IpAddr = match family {
            Family::V4 => testkit::cluster::underlay_v4(11).into(),
            Family::V6 => testkit::cluster::underlay_v6(11).into(),
        };
        let (first, third): (&Namespace, &Namespace) =
            (&self.pods[0].sandbox, &self.pods[2].sandbox);
        let results = [
            (
                "node to its pod",
                eventually(|| sockets::tcp(node(0), first, address(&self.pods[0], family))),
            ),
            (
                "node to a pod of the other node",
                eventually(|| sockets::tcp(node(0), third, address(&self.pods[2], family))),
            ),
            (
                "pod to its node",
                eventually(|| sockets::tcp(first, node(0), node_ip)),
            ),
            (
                "pod to the other node",
                eventually(|| sockets::tcp(third, node(0), node_ip)),
            ),
        ];
        for (case, result) in results {
            self.state(&format!("{case}, TCP, {family:?}"), result);
        }
    }

    /// A policy that comes cuts a live connection; when it goes the connection may go on.
    pub(crate) fn policy_switch(&mut self) {
        for (from, what) in [(0, "on one node"), (2, "across nodes")] {
            let result = switch(self.cluster, &self.pods[from], &self.pods[1]);
            self.state(
                &format!("a policy switch cuts a live connection {what}"),
                result,
            );
            // Whatever happened, the next case starts without it.
            let _ = self.cluster.delete(&only_from("b", "nobody"));
        }
    }

    /// Fails when a case did.
    pub(crate) fn finish(self) {
        assert!(
            self.failures.is_empty(),
            "{} cases held, these did not:\n{}",
            self.held,
            self.failures.join("\n")
        );
        assert!(self.held > 0, "no case ran");
    }
}

/// The families, as the sockets see them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Family {
    V4,
    V6,
}

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

pub(crate) fn run(cluster: &Cluster, node: usize, name: &str) -> RunningPod {
    run_as(cluster, node, name, name)
}

/// A pod with another label `app` than its name.
pub(crate) fn run_as(cluster: &Cluster, node: usize, name: &str, app: &str) -> RunningPod {
    let node = &cluster.nodes[node];
    let pod = Pod::new("default", name, app);
    node.kubelet
        .run(&node.machine, cluster.topology.name(), pod)
        .expect("the pod is added")
}

fn address(pod: &RunningPod, family: Family) -> IpAddr {
    match family {
        Family::V4 => pod.ipv4(),
        Family::V6 => pod.ipv6(),
    }
    .expect("an address of each family")
}

/// Other nodes learn of a pod a moment after it is there.
pub(crate) fn eventually(work: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<()> {
    within(Duration::from_secs(20), work)
}

pub(crate) fn within(
    limit: Duration,
    mut work: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let end = Instant::now() + limit;
    loop {
        match work() {
            Err(error) if Instant::now() > end => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
            Ok(()) => return Ok(()),
        }
    }
}

/// A policy: only pods `from` may reach pods `app`.
pub(crate) fn only_from(app: &str, from: &str) -> Value {
    json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
        "metadata": { "namespace": "default", "name": format!("only-{from}-to-{app}") },
        "spec": {
            "endpointSelector": { "matchLabels": { "app": app } },
            "ingress": [{ "fromEndpoints": [{ "matchLabels": { "app": from } }] }],
        },
    })
}

fn switch(cluster: &Cluster, client: &RunningPod, server: &RunningPod) -> anyhow::Result<()> {
    let policy = only_from("b", "nobody");
    let echo = sockets::EchoServer::listen(&server.sandbox, server.ipv4()?)?;
    let mut stream = sockets::connect(&client.sandbox, echo.address, sockets::PATIENCE)
        .context("before the policy")?;
    sockets::exchange(&mut stream, 100).context("before the policy")?;
    cluster.create(&policy)?;
    stream.set_read_timeout(Some(Duration::from_millis(500)))?;
    let end = Instant::now() + sockets::PATIENCE;
    while sockets::exchange(&mut stream, 10).is_ok() {
        if Instant::now() > end {
            bail!("long after the policy the connection still lives");
        }
    }
    let refused = sockets::connect(&client.sandbox, echo.address, sockets::WAIT);
    ensure!(refused.is_err(), "a new connection is let in");
    cluster.delete(&policy)?;
    eventually(|| sockets::tcp(&client.sandbox, &server.sandbox, server.ipv4()?))
        .context("after the policy")
}
