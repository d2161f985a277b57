//! The fifteen questions that people ask of a network, each asked about traffic and faults that the test makes on two nodes: soon
//! after, the command names cause, owner and count, the page is told the same number, and the metric agrees.

#[path = "questions/failures.rs"]
mod failures;
#[path = "questions/fifteen.rs"]
mod fifteen;
#[path = "questions/grpc.rs"]
mod grpc;
#[path = "questions/kafka.rs"]
mod kafka;
#[path = "questions/relay.rs"]
mod relay;
#[path = "questions/tiles.rs"]
mod tiles;
#[path = "questions/tls.rs"]
mod tls;
#[path = "questions/traffic.rs"]
mod traffic;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use testkit::cluster::Cluster;
use testkit::kubelet::{Pod, RunningPod};

use crate::answers::{Server, asked, at, ends};
use crate::cases::within;
use crate::services::cluster_ips;

/// Within this time after the last packet each command must tell all of it.
const FRESH: Duration = Duration::from_secs(5);
/// A metric is told when its span of ten seconds is over on all nodes, and a question is unanswered only after five.
const METRIC: Duration = Duration::from_secs(40);
/// Shorter than the time after which a SYN is sent again.
const PATIENCE: Duration = Duration::from_millis(600);

/// Where nobody listens.
const CLOSED: u16 = 9;
/// Where what is sent comes back.
const ECHO: u16 = 7070;

const PODS: &[(&str, usize)] = &[
    ("web", 0),
    ("maker", 0),
    ("taker", 0),
    ("shut", 0),
    ("api", 1),
    ("slow", 1),
    ("broker", 1),
    ("vault", 1),
    ("resolver", 1),
    ("barred", 1),
    ("deaf", 1),
];

/// The pods of namespace `shop`, by name.
struct Shop<'a> {
    cluster: &'a Cluster,
    pods: BTreeMap<&'static str, RunningPod>,
    /// Port of the service `front` on every node.
    node_port: u16,
    _echo: Server,
}

impl Shop<'_> {
    fn pod(&self, name: &str) -> &RunningPod {
        &self.pods[name]
    }
}

/// Makes everything happen, and asks.
pub(crate) fn fifteen(cluster: &Cluster) {
    let _relay = cluster.start_relay().expect("the relay starts");
    let shop = open(cluster);
    let facts = traffic::happen(&shop);
    let told = Instant::now();
    let mut figures = Vec::new();
    for (question, check) in fifteen::QUESTIONS {
        let left = FRESH.saturating_sub(told.elapsed());
        let mut found = Vec::new();
        let right = within(left, || {
            found = check(&shop, &facts)?;
            Ok(())
        });
        if let Err(error) = right {
            panic!("{question}: {error:#}");
        }
        println!("ok    {question}: after {} ms", told.elapsed().as_millis());
        figures.extend(found);
    }
    tiles::agree(cluster);
    for figure in &figures {
        let agrees = within(METRIC.saturating_sub(told.elapsed()), || {
            relay::agrees(cluster, figure)
        });
        if let Err(error) = agrees {
            panic!("{error:#}");
        }
    }
    println!("ok    {} figures are those of metrics", figures.len());
    tiles::agree_with_metrics(cluster);
}

/// Makes the pods, their policies and the service, and waits until both nodes know all of them.
fn open(cluster: &Cluster) -> Shop<'_> {
    for name in ["shop", "probes"] {
        let object =
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        cluster.create(&object).expect("the namespace is created");
    }
    let pods: BTreeMap<&str, RunningPod> = PODS
        .iter()
        .map(|(name, node)| (*name, start(cluster, *node, "shop", name)))
        .collect();
    let echo = Server::on(&pods["api"], ECHO);
    let front = cluster.create(&front()).and_then(|()| {
        let path = "/api/v1/namespaces/shop/services/front";
        Ok(cluster.api.get::<Value>(path)?)
    });
    let front = front.expect("the service is there");
    let node_port = front["spec"]["ports"][0]["nodePort"].as_u64();
    // They are the last: whoever knows their names knows all.
    let probes = [("near", 0), ("far", 1)].map(|(name, node)| start(cluster, node, "probes", name));
    within(Duration::from_secs(20), || known(cluster, &pods, &probes)).expect("all are known");
    for policy in policies() {
        cluster.create(&policy).expect("the policy is created");
    }
    let service = SocketAddr::new(cluster_ips(&front)[0], 80);
    within(Duration::from_secs(20), || {
        for probe in &probes {
            crate::answers::talk(&probe.sandbox, service)?;
        }
        for name in ["shut", "barred"] {
            let refused =
                attempt(&probes[0], at(&pods[name], 1)) == Some(ErrorKind::ConnectionRefused);
            ensure!(!refused, "no policy is in force at {name}");
        }
        Ok(())
    })
    .expect("service and policies are in force");
    pods["deaf"].deafen().expect("it hears nothing");
    Shop {
        cluster,
        pods,
        node_port: u16::try_from(node_port.expect("a port")).expect("16 bits"),
        _echo: echo,
    }
}

fn start(cluster: &Cluster, node: usize, namespace: &str, name: &str) -> RunningPod {
    let node = &cluster.nodes[node];
    let pod = Pod::new(namespace, name, name);
    node.kubelet
        .run(&node.machine, cluster.topology.name(), pod)
        .expect("the pod is added")
}

/// How an attempt to connect failed.
fn attempt(from: &RunningPod, to: SocketAddr) -> Option<ErrorKind> {
    let connect = || TcpStream::connect_timeout(&to, PATIENCE);
    let connected = from.sandbox.run(connect).expect("a namespace");
    connected.err().map(|error| error.kind())
}

/// Both nodes reach every pod, and call each by its name.
fn known(
    cluster: &Cluster,
    pods: &BTreeMap<&str, RunningPod>,
    probes: &[RunningPod],
) -> anyhow::Result<()> {
    for probe in probes {
        for (name, pod) in pods {
            let how = attempt(probe, at(pod, 1));
            ensure!(how == Some(ErrorKind::ConnectionRefused), "{name}: {how:?}");
        }
    }
    let map = asked(cluster, &["map", "--from", "probes/"], "all")?;
    ensure!(map["completeness"]["nodes"] == 2, "{map}");
    let edges = map["edges"].as_array().context("edges")?;
    for probe in probes {
        for name in pods.keys() {
            let pair = (probe.pod.name.clone(), (*name).to_owned(), 1);
            ensure!(edges.iter().any(|edge| ends(edge) == pair), "{pair:?}");
        }
    }
    Ok(())
}

/// Who asks a node at a port is led to the pod `api`.
fn front() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "namespace": "shop", "name": "front" },
        "spec": {
            "type": "NodePort", "selector": { "app": "api" },
            "ports": [{ "name": "echo", "port": 80, "targetPort": ECHO, "protocol": "TCP" }],
        },
    })
}

/// Nobody may reach `shut`, for the lack of a rule, nor `barred`, because of one.
fn policies() -> [Value; 2] {
    let policy = |name: &str, app: &str, rules: Value| {
        let mut spec = json!({ "endpointSelector": { "matchLabels": { "app": app } } });
        for (key, value) in rules.as_object().expect("an object") {
            spec[key] = value.clone();
        }
        json!({
            "apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
            "metadata": { "namespace": "shop", "name": name }, "spec": spec,
        })
    };
    let nobody = json!([{ "fromEndpoints": [{ "matchLabels": { "app": "nobody" } }] }]);
    let everybody = json!([{ "fromEntities": ["cluster"] }]);
    [
        policy("nobody-to-shut", "shut", json!({ "ingress": nobody })),
        policy("bars", "barred", json!({ "ingressDeny": everybody })),
    ]
}
