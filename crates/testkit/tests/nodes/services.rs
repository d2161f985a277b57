//! Services with real sockets: who reaches which backend from where, and what becomes of sockets when backends go.

#[path = "services/clients.rs"]
pub(crate) mod clients;
#[path = "services/servers.rs"]
pub(crate) mod servers;

use std::net::IpAddr;
use std::time::Duration;

use local_api::{Method, Request};
use netlink::Namespace;
use serde_json::{Value, json};
use testkit::cluster::{Cluster, underlay_v4, underlay_v6};
use testkit::kubelet::RunningPod;
use testkit::topology::{Machine, Process};

use crate::cases::{eventually, run};
use clients::{Client, Kind, Outcome, Probe};
use servers::{PORT, Server};

/// Port of every service here.
pub(crate) const FRONT: u16 = 80;

/// Creates a service of the pods `app` for TCP and UDP, and says what the API server made of it.
pub(crate) fn service(cluster: &Cluster, name: &str, app: &str, spec: &Value) -> Value {
    let mut object = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "namespace": "default", "name": name },
        "spec": {
            "selector": { "app": app }, "ipFamilyPolicy": "PreferDualStack",
            "ports": [
                { "name": "t", "port": FRONT, "targetPort": PORT, "protocol": "TCP" },
                { "name": "u", "port": FRONT, "targetPort": PORT, "protocol": "UDP" },
            ],
        },
    });
    for (key, value) in spec.as_object().expect("an object") {
        object["spec"][key] = value.clone();
    }
    cluster.create(&object).expect("the service is created");
    let path = format!("/api/v1/namespaces/default/services/{name}");
    cluster.api.get(&path).expect("the service is there")
}

pub(crate) fn cluster_ips(service: &Value) -> Vec<IpAddr> {
    let ips = service["spec"]["clusterIPs"].as_array().expect("addresses");
    ips.iter()
        .map(|ip| ip.as_str().expect("text").parse().expect("an address"))
        .collect()
}

pub(crate) fn node_port(service: &Value, kind: Kind) -> u16 {
    let port = &service["spec"]["ports"][usize::from(kind != Kind::Tcp)]["nodePort"];
    u16::try_from(port.as_u64().expect("a node port")).expect("16 bits")
}

/// This test binary again, as a process of the machine's cgroup: only there sockets are translated.
pub(crate) fn start<T: serde::Serialize>(
    machine: &Machine,
    namespace: &Namespace,
    name: &str,
    task: &T,
) -> Process {
    let group = format!("clients/{name}");
    let own = std::env::current_exe().expect("the test binary");
    let args = [
        format!(
            "{}={}",
            clients::TASK,
            serde_json::to_string(task).expect("JSON")
        ),
        own.display().to_string(),
        "--exact".to_owned(),
        "a_client_of_services".to_owned(),
        "--nocapture".to_owned(),
    ];
    machine
        .start_in(
            namespace,
            name,
            Some(&group),
            "/usr/bin/env".as_ref(),
            &args,
        )
        .expect("the client starts")
}

pub(crate) fn results<T: serde::de::DeserializeOwned>(process: &mut Process, limit: Duration) -> T {
    process.wait(limit).expect("the client ends");
    let output = process.output();
    let line = output
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix(clients::RESULT));
    serde_json::from_str(line.unwrap_or_else(|| panic!("no result: {output}"))).expect("JSON")
}

/// Marks a pod as ready or not, as its kubelet would.
pub(crate) fn set_ready(cluster: &Cluster, name: &str, ready: &str) {
    let path = format!("/api/v1/namespaces/default/pods/{name}");
    let mut pod: Value = cluster.api.get(&path).expect("the pod");
    pod["status"]["conditions"] = json!([{ "type": "Ready", "status": ready }]);
    let request = Request::new(Method::Put, format!("{path}/status"))
        .json(&pod)
        .expect("JSON");
    let _: Value = cluster.api.call(&request).expect("the status is written");
}

/// What one place sees when it asks `targets` until all answer as they should.
fn expect(
    cluster: &Cluster,
    failures: &mut Vec<String>,
    place: &Place<'_>,
    targets: &[(&str, Probe, Outcome)],
) {
    let probes: Vec<Probe> = targets.iter().map(|(_, probe, _)| probe.clone()).collect();
    let mut last = Vec::new();
    let all = eventually(|| {
        let (machine, namespace) = place.at(cluster);
        let mut process = start(
            machine,
            namespace,
            place.name(),
            &clients::Task::Probe(probes.clone()),
        );
        last = results::<Vec<Outcome>>(&mut process, Duration::from_secs(30));
        anyhow::ensure!(
            last.iter()
                .zip(targets)
                .all(|(got, (_, _, want))| want.allows(got))
        );
        Ok(())
    });
    for (got, (what, probe, want)) in last.iter().zip(targets) {
        let holds = want.allows(got);
        println!(
            "{} {what}, {:?} {}, from {}: {got:?}",
            if holds { "ok   " } else { "FAIL " },
            probe.kind,
            probe.to,
            place.name()
        );
        if !holds {
            failures.push(format!(
                "{what}, {:?} {}, from {}: {got:?}, not {want:?}",
                probe.kind,
                probe.to,
                place.name()
            ));
        }
    }
    assert!(all.is_ok() || !failures.is_empty());
}

/// Where a client stands.
enum Place<'a> {
    Pod(usize, &'a RunningPod),
    Node(usize),
    Outside,
}

impl Place<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Pod(_, pod) => &pod.pod.name,
            Self::Node(0) => "node-1",
            Self::Node(_) => "node-2",
            Self::Outside => "outside",
        }
    }

    fn at<'a>(&'a self, cluster: &'a Cluster) -> (&'a Machine, &'a Namespace) {
        match self {
            Self::Pod(node, pod) => (&cluster.nodes[*node].machine, &pod.sandbox),
            Self::Node(node) => (
                &cluster.nodes[*node].machine,
                cluster.nodes[*node].machine.namespace(),
            ),
            Self::Outside => (&cluster.outside, cluster.outside.namespace()),
        }
    }
}

/// One service of each kind, as the API server made it.
struct Services {
    all: Value,
    local: Value,
    none: Value,
}

/// What is asked, and what is to come of it.
#[derive(Default)]
struct Asked {
    /// By clients of the first node.
    inside: Vec<(&'static str, Probe, Outcome)>,
    /// From outside the cluster.
    outside: Vec<(&'static str, Probe, Outcome)>,
}

fn ask(kind: Kind, of: &Services, asked: &mut Asked) {
    let as_kind = |as_kind: Kind, host: u8, service: &Value| {
        let port = node_port(service, kind);
        [IpAddr::V4(underlay_v4(host)), underlay_v6(host).into()]
            .map(|ip| Probe::new(as_kind, ip, port))
    };
    let by_port = |host: u8, service: &Value| as_kind(kind, host, service);
    // Out there a refusal is an ICMP error, of which an unconnected UDP socket hears nothing.
    let hears = if kind == Kind::Udp {
        Kind::Connected
    } else {
        kind
    };
    for ip in cluster_ips(&of.all) {
        asked.inside.push((
            "ClusterIP",
            Probe::new(kind, ip, FRONT),
            Outcome::Backend(1),
        ));
    }
    for ip in cluster_ips(&of.none) {
        asked.inside.push((
            "ClusterIP without backends",
            Probe::new(kind, ip, FRONT),
            Outcome::Refused,
        ));
    }
    for host in [11, 12] {
        asked
            .outside
            .extend(by_port(host, &of.all).map(|probe| ("NodePort", probe, Outcome::Backend(1))));
        asked.outside.extend(
            as_kind(hears, host, &of.none)
                .map(|probe| ("NodePort without backends", probe, Outcome::Refused)),
        );
    }
    asked.outside.extend(
        by_port(12, &of.local)
            .map(|probe| ("NodePort, Local, its node", probe, Outcome::Backend(2))),
    );
    asked.outside.extend(
        as_kind(hears, 11, &of.local)
            .map(|probe| ("NodePort, Local, another node", probe, Outcome::Refused)),
    );
    let other = by_port(11, &of.local);
    // Clients inside are not bound to the node they ask, where that is their own.
    asked
        .inside
        .extend(other.map(|probe| ("NodePort, Local, own node", probe, Outcome::Backend(2))));
    asked.inside.extend(
        by_port(11, &of.all).map(|probe| ("NodePort, own node", probe, Outcome::Backend(1))),
    );
}

/// Every kind of service from every place, both families, TCP and UDP.
pub(crate) fn matrix(cluster: &Cluster) {
    let pods = [
        run(cluster, 0, "one"),
        run(cluster, 1, "two"),
        run(cluster, 0, "client"),
    ];
    let _servers: Vec<Server> = pods[..2]
        .iter()
        .zip(1..)
        .map(|(pod, id)| Server::start(&pod.sandbox, id))
        .collect();
    let all = service(cluster, "one", "one", &json!({ "type": "NodePort" }));
    let local = service(
        cluster,
        "two",
        "two",
        &json!({ "type": "NodePort", "externalTrafficPolicy": "Local" }),
    );
    let none = service(cluster, "none", "nobody", &json!({ "type": "NodePort" }));
    service(cluster, "headless", "one", &json!({ "clusterIP": "None" }));
    let of = Services { all, local, none };
    let mut failures = Vec::new();
    let mut asked = Asked::default();
    for kind in [Kind::Tcp, Kind::Udp] {
        ask(kind, &of, &mut asked);
    }
    let (targets, outside) = (asked.inside, asked.outside);
    for place in [
        Place::Pod(0, &pods[2]),
        Place::Node(0),
        Place::Pod(0, &pods[0]),
    ] {
        expect(cluster, &mut failures, &place, &targets);
    }
    expect(cluster, &mut failures, &Place::Outside, &outside);
    let other: Vec<_> = outside
        .iter()
        .filter(|(what, ..)| *what == "NodePort")
        .cloned()
        .collect();
    expect(cluster, &mut failures, &Place::Node(1), &other);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// A backend in the first node's own network: asked from everywhere through the NodePort of its node and of the other.
pub(crate) fn host_network(cluster: &Cluster) {
    let clients = [run(cluster, 0, "near"), run(cluster, 1, "far")];
    let _server = Server::start(cluster.nodes[0].machine.namespace(), 1);
    let host = service(
        cluster,
        "host",
        "host",
        &json!({ "type": "NodePort", "selector": null }),
    );
    for (family, ip) in [
        ("IPv4", IpAddr::V4(underlay_v4(11))),
        ("IPv6", underlay_v6(11).into()),
    ] {
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": family,
            "metadata": { "namespace": "default", "name": format!("host-{}", family.to_lowercase()),
                          "labels": { "kubernetes.io/service-name": "host" } },
            "endpoints": [{ "addresses": [ip], "nodeName": "n1", "conditions": { "ready": true } }],
            "ports": [{ "name": "t", "port": PORT, "protocol": "TCP" },
                      { "name": "u", "port": PORT, "protocol": "UDP" }],
        });
        cluster.create(&slice).expect("the slice is created");
    }
    let mut targets = Vec::new();
    for kind in [Kind::Tcp, Kind::Udp] {
        for node in [11, 12] {
            for ip in [IpAddr::V4(underlay_v4(node)), underlay_v6(node).into()] {
                let probe = Probe::new(kind, ip, node_port(&host, kind));
                targets.push(("NodePort, host network", probe, Outcome::Backend(1)));
            }
        }
    }
    // A server of datagrams in the node's network answers its own pods from the address of their gateway.
    let streams: Vec<_> = targets
        .iter()
        .filter(|(_, probe, _)| probe.kind == Kind::Tcp)
        .cloned()
        .collect();
    let mut failures = Vec::new();
    expect(
        cluster,
        &mut failures,
        &Place::Pod(0, &clients[0]),
        &streams,
    );
    for place in [
        Place::Pod(1, &clients[1]),
        Place::Node(0),
        Place::Node(1),
        Place::Outside,
    ] {
        expect(cluster, &mut failures, &place, &targets);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// A thousand sockets and more at a service of three backends: one is deleted, one is not ready any more, one stays.
pub(crate) fn backends_go(cluster: &Cluster) {
    let names = [("stays", 0), ("deleted", 1), ("unready", 1)];
    let mut pods: Vec<RunningPod> = names
        .iter()
        .map(|&(name, node)| run(cluster, node, name))
        .collect();
    let client = run(cluster, 0, "many");
    for pod in &pods {
        label(cluster, &pod.pod.name, "shop");
    }
    let _servers: Vec<Server> = pods
        .iter()
        .zip(1..)
        .map(|(pod, id)| Server::start(&pod.sandbox, id))
        .collect();
    let shop = service(cluster, "shop", "shop", &json!({}));
    let ips = cluster_ips(&shop);
    let direct: Vec<IpAddr> = pods[1..]
        .iter()
        .map(|pod| pod.ipv4().expect("IPv4"))
        .collect();
    let first = Place::Node(0);
    let ready: Vec<_> = ips
        .iter()
        .map(|ip| ("ready", Probe::new(Kind::Tcp, *ip, FRONT), Outcome::Any))
        .collect();
    let mut failures = Vec::new();
    expect(cluster, &mut failures, &first, &ready);
    assert_eq!(failures, Vec::<String>::new());
    let task = |each, direct: &[IpAddr]| clients::Task::Hold {
        each,
        service: ips.iter().map(|ip| (*ip, FRONT).into()).collect(),
        direct: direct.iter().map(|ip| (*ip, PORT).into()).collect(),
        until: clients::Until::Seconds(9),
    };
    // 3 kinds and 2 families: 1,002 from the pod, 60 from the node's own process.
    let mut many = start(
        &cluster.nodes[0].machine,
        &client.sandbox,
        "many",
        &task(167, &direct),
    );
    let machine = &cluster.nodes[0].machine;
    let mut few = start(machine, machine.namespace(), "few", &task(10, &[]));
    std::thread::sleep(Duration::from_millis(2500));
    let gone = pods.remove(1);
    cluster.nodes[1]
        .kubelet
        .delete(&cluster.nodes[1].machine, gone)
        .expect("delete");
    std::thread::sleep(Duration::from_millis(2500));
    set_ready(cluster, "unready", "False");
    let all: Vec<Client> = [&mut many, &mut few]
        .into_iter()
        .flat_map(|process| results::<Vec<Client>>(process, Duration::from_secs(40)))
        .collect();
    judge(&all);
}

fn judge(all: &[Client]) {
    let mut wrong = Vec::new();
    for client in all {
        let (first, last) = (client.backends.first(), client.backends.last());
        let lost = |id: u8| client.backends.contains(&id);
        let held = match (client.kind, client.direct) {
            // Nothing else may be touched: not who asked for the pod itself, not who stayed with a backend that answers.
            (Kind::Tcp, true) => client.renewed == 0 && client.worst_ms < 2000,
            (_, true) => !client.aborted,
            (Kind::Tcp, false) => {
                client.worst_ms < 2000 && client.renewed == usize::from(lost(2)) && last != Some(&2)
            }
            (Kind::Connected, false) => {
                client.worst_ms < 2000
                    && last == Some(&1)
                    && (first != Some(&1) || client.renewed == 0)
            }
            (Kind::Udp, false) => client.worst_ms < 2000 && client.renewed == 0 && last == Some(&1),
        };
        if !held {
            wrong.push(client);
        }
    }
    let worst = |kind| {
        all.iter()
            .filter(|c| c.kind == kind && !c.direct)
            .map(|c| c.worst_ms)
            .max()
    };
    let moved = all.iter().filter(|client| client.renewed > 0).count();
    println!(
        "{} sockets, {moved} opened anew; longest silence in ms: TCP {:?}, connected UDP {:?}, UDP {:?}",
        all.len(),
        worst(Kind::Tcp),
        worst(Kind::Connected),
        worst(Kind::Udp)
    );
    assert!(
        all.len() > 1000 && moved > 100,
        "{} sockets, {moved} moved",
        all.len()
    );
    assert!(
        wrong.is_empty(),
        "{} of {}: {:#?}",
        wrong.len(),
        all.len(),
        &wrong[..wrong.len().min(10)]
    );
}

/// Gives a pod another label `app`.
fn label(cluster: &Cluster, name: &str, app: &str) {
    let path = format!("/api/v1/namespaces/default/pods/{name}");
    let mut pod: Value = cluster.api.get(&path).expect("the pod");
    pod["metadata"]["labels"]["app"] = app.into();
    let _: Value = cluster.api.put(&path, &pod).expect("the pod is labelled");
}
