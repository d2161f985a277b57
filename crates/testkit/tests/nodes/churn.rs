//! Pods that come and go: how long it takes, and what is left.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use local_api::{Method, Request};
use netlink::route::Route;
use netlink::{Family, Handle};
use serde_json::Value;
use testkit::cluster::{Cluster, Node};
use testkit::kubelet::Pod;

use crate::restart::list;

/// Prints what CNI ADD takes for pods one at a time and all at once.
pub(crate) fn timing(cluster: &Cluster, number: usize) {
    let (node, topology) = (&cluster.nodes[0], cluster.topology.name());
    let add = |name: String| {
        node.kubelet
            .run(&node.machine, topology, Pod::new("default", &name, "timed"))
            .expect("add")
    };
    let single: Vec<_> = (0..number).map(|index| add(format!("s{index}"))).collect();
    print_times(
        "one at a time",
        single.iter().map(|pod| pod.add_took).collect(),
    );
    for pod in single {
        node.kubelet.delete(&node.machine, pod).expect("delete");
    }
    let begun = Instant::now();
    let all: Vec<_> = std::thread::scope(|scope| {
        let adds: Vec<_> = (0..number)
            .map(|index| scope.spawn(move || add(format!("m{index}"))))
            .collect();
        adds.into_iter()
            .map(|thread| thread.join().expect("add"))
            .collect()
    });
    println!("{number} at once: all there after {:?}", begun.elapsed());
    print_times("at once", all.iter().map(|pod| pod.add_took).collect());
    for pod in all {
        node.kubelet.delete(&node.machine, pod).expect("delete");
    }
}

fn print_times(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!(
        "CNI ADD, {} pods {what}: p50 {:?}, p99 {:?}",
        times.len(),
        at(50),
        at(99)
    );
}

/// Adds and deletes with the agent killed in between; afterwards everything is as before.
pub(crate) fn leaks(cluster: &mut Cluster, number: usize) {
    let before = settled(&cluster.nodes[0]);
    let topology = cluster.topology.name().to_owned();
    for round in 0..number {
        let node = &mut cluster.nodes[0];
        let pod = node
            .kubelet
            .run(
                &node.machine,
                &topology,
                Pod::new("default", &format!("p{round}"), "churn"),
            )
            .expect("add");
        if round % 5 == 4 {
            node.kill_agent().expect("kill");
            // A deletion with the agent down is queued, and done by the next one.
            node.kubelet
                .delete(&node.machine, pod)
                .expect("delete without agent");
            node.start_agent().expect("start");
            node.wait_ready(Duration::from_secs(30))
                .expect("ready again");
        } else {
            node.kubelet.delete(&node.machine, pod).expect("delete");
        }
    }
    assert_settles(&mut cluster.nodes[0], &before);
    println!(
        "figure: {number} pods, {} kills, {} things on the node before and after",
        number / 5,
        before.len()
    );
}

/// Waits until the node is as it was.
pub(crate) fn assert_settles(node: &mut Node, before: &BTreeSet<String>) {
    settles(Duration::from_secs(45), before, || settled(node));
}

/// Waits so long until `now` is as `before`.
pub(crate) fn settles(
    limit: Duration,
    before: &BTreeSet<String>,
    mut now: impl FnMut() -> BTreeSet<String>,
) {
    let end = Instant::now() + limit;
    loop {
        let after = now();
        if after == *before {
            return;
        }
        if Instant::now() > end {
            let left: Vec<_> = after.difference(before).collect();
            let gone: Vec<_> = before.difference(&after).collect();
            panic!("left over {left:#?}, missing {gone:#?}");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// What a pod can leave behind on a node: links, routes, addresses, endpoints, saved state.
pub(crate) fn settled(node: &Node) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let handle = Handle::open_in(node.machine.namespace()).expect("netlink");
    for link in handle.links().expect("links") {
        found.insert(format!("link {}", link.name));
    }
    for family in [Family::V4, Family::V6] {
        let all = handle.routes(family, None).expect("routes");
        for route in all.iter().filter(|route| !is_of_link(route)) {
            found.insert(format!("route {} table {}", route.destination, route.table));
        }
    }
    let client = node.client();
    for path in ["/v1/ip", "/v1/endpoint", "/v1/identity/endpoints"] {
        let answer: Value = client.call(&Request::new(Method::Get, path)).expect(path);
        for entry in answer.as_array().into_iter().flatten() {
            found.insert(format!("{path} {}", shown(entry)));
        }
    }
    let health: Value = client.get("/v1/healthz").expect("health");
    let addresses = health.pointer("/ipam/allocations");
    for (address, owner) in addresses.and_then(Value::as_object).into_iter().flatten() {
        found.insert(format!("address {address} of {owner}"));
    }
    let pins = kernel::PinDirectory::new(&node.machine.directory().join("bpf"));
    let maps = kernel::Maps::open_any_capacity(&pins).expect("pinned maps");
    let endpoints = maps.endpoints.dump().expect("endpoints");
    found.extend(
        endpoints
            .iter()
            .filter(|(_, row)| row.id != 0)
            .map(|(key, row)| format!("map endpoints {key} {}", row.id)),
    );
    for (key, _) in maps.addresses.dump().expect("addresses") {
        found.insert(format!("map addresses {key:?}"));
    }
    let mut files = Vec::new();
    list(&node.kubelet.state_dir, &mut files);
    // The queue's place and its lock stay, once made; what waits in it must not.
    let queue =
        |file: &String| file.ends_with("/deleteQueue") || file.ends_with("/deleteQueue/lockfile");
    found.extend(
        files
            .into_iter()
            .filter(|file| !queue(file))
            .map(|file| format!("file {file}")),
    );
    found
}

/// Whether the kernel made it for a link-local address, which it does two seconds after the link (RFC 4862, 5.4): links are compared.
fn is_of_link(route: &Route) -> bool {
    let is_host = route.destination.prefix_len() == 128;
    is_host && matches!(route.destination.addr(), IpAddr::V6(of) if of.is_unicast_link_local())
}

/// What identifies an entry, without what changes by itself.
fn shown(entry: &Value) -> String {
    let fields = ["/id", "/cidr", "/identity/id", "/refCount"];
    let words: Vec<String> = fields
        .iter()
        .filter_map(|field| entry.pointer(field))
        .map(Value::to_string)
        .collect();
    words.join(" ")
}
