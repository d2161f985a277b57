//! What nodes learn of each other by probes, and what is left of an agent's health endpoint when it ends.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use local_api::Client;
use local_api::probes::{Addresses, HealthStatusResponse, socket_beside};
use netlink::{Handle, link};
use serde_json::{Value, json};
use testkit::cluster::{Cluster, Node};

use crate::cases::{eventually, within};
use crate::churn::settled;

/// A round that was under way, with how long its probes wait; a round of three nodes with its jitter; its probes; and that the
/// machine may be busy.
const IN_TIME: Duration = Duration::from_secs(5 + 16 + 5 + 4);

/// Ways that work, in this order: the node by ICMP, by HTTP, its endpoint by ICMP, by HTTP.
type Ways = [bool; 4];

const ALL: Ways = [true; 4];
const NONE: Ways = [false; 4];

fn client(node: &Node) -> Client {
    Client::new(socket_beside(&node.kubelet.agent_socket))
}

/// What the node knows: as of now, or after it has probed all.
fn known(node: &Node, ask: Ask) -> anyhow::Result<BTreeMap<String, Ways>> {
    let client = client(node);
    let status: HealthStatusResponse = match ask {
        Ask::Known => client.get("/v1beta/status")?,
        Ask::Probed => client.put("/v1beta/status/probe", &Value::Null)?,
    };
    let mut all = BTreeMap::new();
    for of in &status.nodes {
        let ([a, b], [c, d]) = (
            ways(of.host.as_ref()).context("no host")?,
            ways(of.health_endpoint.as_ref())
                .with_context(|| format!("{} has no health endpoint", of.name))?,
        );
        all.insert(of.name.clone(), [a, b, c, d]);
    }
    Ok(all)
}

#[derive(Clone, Copy)]
enum Ask {
    Known,
    Probed,
}

fn ways(part: Option<&Addresses>) -> Option<[bool; 2]> {
    let part = part?;
    let of = |icmp: bool| {
        part.iter().all(|path| {
            let way = if icmp { &path.icmp } else { &path.http };
            way.as_ref()
                .is_some_and(|of| of.status.is_empty() && of.latency > 0)
        })
    };
    Some([of(true), of(false)])
}

fn expect(node: &Node, ask: Ask, expected: [Ways; 3]) -> anyhow::Result<()> {
    let names = ["n1", "n2", "n3"].map(str::to_owned);
    let expected: BTreeMap<_, _> = names.into_iter().zip(expected).collect();
    let found = known(node, ask)?;
    ensure!(
        found == expected,
        "{} knows {found:?}, expected {expected:?}",
        node.machine.name()
    );
    Ok(())
}

/// All nodes reach all others by all ways, in both families, whatever policies say.
pub(crate) fn whole(cluster: &Cluster) {
    let begun = Instant::now();
    for node in &cluster.nodes {
        // Each has an endpoint in the end, and by then has told the others of it.
        eventually(|| expect(node, Ask::Probed, [ALL; 3])).expect("all are reached");
    }
    println!("all nodes reach all after {:?}", begun.elapsed());
    for node in &cluster.nodes {
        within(IN_TIME, || expect(node, Ask::Known, [ALL; 3])).expect("found by a round as well");
    }
    let status: HealthStatusResponse = client(&cluster.nodes[0])
        .get("/v1beta/status")
        .expect("status");
    for of in &status.nodes {
        for part in [&of.host, &of.health_endpoint] {
            let addresses = part.as_ref().expect("both parts").iter().count();
            assert_eq!(addresses, 2, "IPv4 and IPv6 of {}", of.name);
        }
    }
    assert_eq!(status.local.map(|of| of.name).as_deref(), Some("n1"));
    let deny = json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumClusterwideNetworkPolicy",
        "metadata": { "name": "nobody" },
        "spec": { "endpointSelector": {}, "ingress": [{}], "egress": [{}] },
    });
    cluster.create(&deny).expect("policy");
    let revision = |node: &Node| {
        let policy: Value = node.client().get("/v1/policy").expect("policy");
        policy.to_string().contains("nobody")
    };
    eventually(|| {
        ensure!(cluster.nodes.iter().all(revision), "not in force");
        Ok(())
    })
    .expect("the policy comes into force");
    for node in &cluster.nodes {
        expect(node, Ask::Probed, [ALL; 3]).expect("policies do not hinder probes");
    }
    cluster.delete(&deny).expect("delete");
    let status: Value = cluster.nodes[0]
        .client()
        .get("/v1/healthz")
        .expect("status");
    assert_eq!(
        status.pointer("/cluster/ciliumHealth"),
        Some(&json!({ "state": "Ok", "msg": "3/3 reachable" }))
    );
}

/// One way after the other is broken on the second node, and just that one is told by the first.
pub(crate) fn ways_are_told_apart(cluster: &Cluster) {
    let [first, second, _] = cluster.nodes.as_slice() else {
        panic!("three nodes");
    };
    let set = |name: &str, value: &str| {
        second
            .machine
            .namespace()
            .run(|| netlink::sysctl::write(name, value))
            .expect("enter")
            .expect("sysctl");
    };
    set("net/ipv4/icmp_echo_ignore_all", "1");
    expect(first, Ask::Probed, [ALL, [false, true, true, true], ALL]).expect("ICMP to the node");
    set("net/ipv4/icmp_echo_ignore_all", "0");
    let handle = Handle::open_in(second.machine.namespace()).expect("netlink");
    handle.run(&link::set_down("cilium_vxlan")).expect("down");
    expect(first, Ask::Probed, [ALL, [true, true, false, false], ALL]).expect("the overlay");
    expect(
        second,
        Ask::Probed,
        [[true, true, false, false], ALL, [true, true, false, false]],
    )
    .expect("its own endpoint needs no overlay");
    handle.run(&link::set_up("cilium_vxlan")).expect("up");
    eventually(|| expect(first, Ask::Probed, [ALL; 3])).expect("all is well again");
}

/// Nobody asks: the rounds find it.
pub(crate) fn a_cut_cable_is_told_in_time(cluster: &Cluster) {
    let [first, second, third] = cluster.nodes.as_slice() else {
        panic!("three nodes");
    };
    let told = |expected: [(&Node, [Ways; 3]); 3]| {
        let begun = Instant::now();
        for (node, ways) in expected {
            let left = IN_TIME.saturating_sub(begun.elapsed());
            within(left, || expect(node, Ask::Known, ways)).expect("told in time");
        }
        begun.elapsed()
    };
    cluster.topology.cut(&third.machine).expect("cut");
    let lost = [ALL, ALL, NONE];
    // The node itself reaches nobody but itself.
    let cut = told([(first, lost), (second, lost), (third, [NONE, NONE, ALL])]);
    cluster.topology.plug(&third.machine).expect("plug");
    let back = told([first, second, third].map(|node| (node, [ALL; 3])));
    println!(
        "figure: of 3 nodes, a cut cable told by all after {cut:.1?}, that it is back after {back:.1?}"
    );
}

fn announced(cluster: &Cluster) -> Value {
    let node: Value = cluster
        .api
        .get("/apis/cilium.io/v2/ciliumnodes/n2")
        .expect("CiliumNode");
    node.pointer("/spec/health").cloned().unwrap_or_default()
}

/// The node answers ICMP without its agent, and nothing else; the next agent leaves nothing of the last one's endpoint.
pub(crate) fn a_killed_agent(cluster: &mut Cluster) {
    let before = settled(&cluster.nodes[1]);
    let endpoints = before
        .iter()
        .filter(|line| line.starts_with("/v1/endpoint "));
    assert_eq!(endpoints.count(), 1, "{before:#?}");
    let told = announced(cluster);
    assert!(
        told["ipv4"].is_string() && told["ipv6"].is_string(),
        "{told}"
    );
    cluster.nodes[1].kill_agent().expect("kill");
    within(Duration::from_secs(5), || {
        let handle = Handle::open_in(cluster.nodes[1].machine.namespace())?;
        let left = handle.find_link("lxc_health")?;
        ensure!(left.is_none(), "the interface is still there");
        Ok(())
    })
    .expect("namespace and interface end with the agent");
    expect(
        &cluster.nodes[0],
        Ask::Probed,
        [ALL, [true, false, false, false], ALL],
    )
    .expect("the agent does not answer, the node does");
    for _ in 0..3 {
        let node = &mut cluster.nodes[1];
        node.start_agent().expect("start");
        node.wait_ready(Duration::from_secs(30)).expect("ready");
        // Again, before the kernel has removed the last one's.
        node.kill_agent().expect("kill");
    }
    let node = &mut cluster.nodes[1];
    node.start_agent().expect("start");
    node.wait_ready(Duration::from_secs(30)).expect("ready");
    let log = node.agent().expect("agent").output();
    assert!(!log.contains(" ERROR "), "{log}");
    let first = &cluster.nodes[0];
    eventually(|| expect(first, Ask::Probed, [ALL; 3])).expect("it is back");
    assert_eq!(announced(cluster), told, "the same addresses again");
    let before = without_numbers(&before);
    within(Duration::from_secs(45), || {
        let after = without_numbers(&settled(&cluster.nodes[1]));
        ensure!(before == after, "before {before:#?}, after {after:#?}");
        Ok(())
    })
    .expect("nothing else is left");
    println!(
        "figure: {} things on the node before and after 4 kills of an agent with a health endpoint",
        before.len()
    );
}

/// The endpoint's number, its place and the link-local address of its interface may be others, but not more.
fn without_numbers(found: &BTreeSet<String>) -> Vec<String> {
    let shown = |line: &String| {
        let one_of = ["map endpoints ", "/v1/endpoint ", "route fe80::"];
        let kind = one_of.iter().find(|kind| line.starts_with(**kind));
        kind.map_or_else(|| line.clone(), |kind| (*kind).to_owned())
    };
    let mut all: Vec<String> = found.iter().map(shown).collect();
    all.sort();
    all
}
