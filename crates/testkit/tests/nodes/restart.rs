//! Agents and stores that die under traffic.

use std::path::Path;
use std::time::{Duration, Instant};

use netlink::NamedNamespace;
use testkit::cluster::Cluster;
use testkit::kubelet::Pod;
use testkit::streams::Stream;

use crate::cases::{eventually, only_from, run, within};
use crate::sockets;

/// One allowed and one denied stream across nodes while both agents are killed again and again.
#[allow(clippy::too_many_lines, reason = "one story from its begin to its end")]
pub(crate) fn kills(cluster: &mut Cluster, number: usize) {
    let pods = [
        run(cluster, 0, "allowed"),
        run(cluster, 0, "denied"),
        run(cluster, 1, "server"),
        run(cluster, 1, "near"),
    ];
    let [allowed, denied, server, near] = &pods;
    cluster
        .create(&only_from("server", "allowed"))
        .expect("policy");
    let address = server.ipv4().expect("address");
    eventually(|| sockets::tcp(&allowed.sandbox, &server.sandbox, address))
        .expect("the allowed pod gets through");
    for pod in [denied, near] {
        eventually(
            || match sockets::udp(&pod.sandbox, &server.sandbox, address) {
                Err(_) => Ok(()),
                Ok(()) => Err(anyhow::anyhow!("the policy is not in force")),
            },
        )
        .expect("the policy comes into force");
    }
    let probers = [
        Stream::start(&allowed.sandbox, server).expect("a stream"),
        Stream::start(&denied.sandbox, server).expect("a stream"),
        Stream::start(&near.sandbox, server).expect("a stream"),
    ];
    let mut slowest = Duration::ZERO;
    for round in 0..number {
        let node = &mut cluster.nodes[round % 2];
        // Kills hit another moment of the start each time, the middle of it among them.
        node.kill_agent().expect("kill");
        node.start_agent().expect("start");
        if round % 3 == 2 {
            std::thread::sleep(Duration::from_millis((round as u64 * 37) % 400));
        } else {
            let begun = Instant::now();
            node.wait_ready(Duration::from_secs(30))
                .expect("ready again");
            slowest = slowest.max(begun.elapsed());
        }
    }
    for node in &mut cluster.nodes {
        node.wait_ready(Duration::from_secs(30))
            .expect("ready at the end");
    }
    let [allowed, denied, near] = probers.map(|stream| stream.finish().expect("a stream"));
    println!(
        "figure: {number} kills, {} of {} allowed arrived, {} of {} denied arrived, slowest start {slowest:.1?}",
        allowed.arrived.len(),
        allowed.sent,
        denied.arrived.len() + near.arrived.len(),
        denied.sent + near.sent,
    );
    assert!(
        denied.sent > 500 && near.sent > 500,
        "the denied senders hardly sent"
    );
    assert_eq!(
        (denied.arrived, near.arrived),
        (vec![], vec![]),
        "denied datagrams were delivered"
    );
    assert_eq!(
        allowed.missing(),
        Vec::<u64>::new(),
        "allowed datagrams were lost"
    );
}

/// A pod whose object is in the store and whose sandbox is there, not yet added.
struct Bound {
    pod: Pod,
    sandbox: NamedNamespace,
}

impl Bound {
    fn new(cluster: &Cluster, name: &str, app: &str) -> Self {
        let pod = Pod::new("default", name, app);
        cluster.create(&pod.object("n1")).expect("pod");
        let sandbox = NamedNamespace::create(&format!("{}-n1-{name}", cluster.topology.name()));
        let sandbox = sandbox.expect("sandbox");
        Self { pod, sandbox }
    }

    fn plugin(&self, cluster: &Cluster, verb: &str) -> anyhow::Result<serde_json::Value> {
        let node = &cluster.nodes[0];
        let (name, sandbox) = (&self.pod.name, Some(&self.sandbox));
        node.kubelet
            .plugin(&node.machine, verb, name, sandbox, &self.pod)
    }
}

const IDENTITIES: &str = "/apis/cilium.io/v2/ciliumidentities";

/// How long a node may take to follow a store again: the longest pause between two tries is 30 s, so that all nodes do not come
/// back at once.
const AFTER_OUTAGE: Duration = Duration::from_secs(40);

fn wait_for_identity(cluster: &Cluster, app: &str) {
    within(AFTER_OUTAGE, || {
        let identities: serde_json::Value = cluster.api.get(IDENTITIES)?;
        let is_there = identities.to_string().contains(app);
        anyhow::ensure!(is_there, "no identity of it yet");
        Ok(())
    })
    .expect("the identity of a pod that came");
}

/// The API server goes away for some seconds: traffic goes on, policy holds, a pod whose labels are known is added, and one with
/// new labels as well, whose identity was made when its object came; when the server is back changes arrive.
pub(crate) fn store_away(cluster: &mut Cluster) {
    let known = Bound::new(cluster, "known", "client");
    let fresh = Bound::new(cluster, "fresh", "never-seen");
    wait_for_identity(cluster, "never-seen");
    let (client, server) = (run(cluster, 0, "client"), run(cluster, 1, "shop"));
    let address = server.ipv4().expect("address");
    eventually(|| sockets::tcp(&client.sandbox, &server.sandbox, address)).expect("before");
    let before = pinned(cluster);
    let prober = Stream::start(&client.sandbox, &server).expect("a stream");
    std::thread::sleep(Duration::from_millis(500));
    cluster.kill_apiserver().expect("kill");
    std::thread::sleep(Duration::from_secs(3));
    known
        .plugin(cluster, "ADD")
        .expect("a pod with labels that are known");
    // Other nodes hear of it when the store is back, but they know where pods of its node are.
    let near = client.ipv4().expect("address");
    sockets::tcp(&known.sandbox, &client.sandbox, near).expect("from the new pod, on its node");
    sockets::tcp(&known.sandbox, &server.sandbox, address)
        .expect("from the new pod, to a node that has not heard of it");
    fresh.plugin(cluster, "ADD").expect("a pod with new labels");
    sockets::tcp(&fresh.sandbox, &client.sandbox, near).expect("from it, on its node");
    sockets::tcp(&client.sandbox, &server.sandbox, address)
        .expect("a new connection while the store is away");
    cluster.start_apiserver().expect("start");
    cluster
        .create(&only_from("shop", "nobody"))
        .expect("policy");
    within(AFTER_OUTAGE, || {
        match sockets::udp(&client.sandbox, &server.sandbox, address) {
            Err(_) => Ok(()),
            Ok(()) => Err(anyhow::anyhow!("the policy is not in force")),
        }
    })
    .expect("a policy made afterwards comes into force");
    cluster
        .delete(&only_from("shop", "nobody"))
        .expect("delete");
    within(AFTER_OUTAGE, || {
        sockets::tcp(&client.sandbox, &server.sandbox, address)
    })
    .expect("after");
    for bound in [&known, &fresh] {
        within(AFTER_OUTAGE, || {
            sockets::tcp(&bound.sandbox, &server.sandbox, address)
        })
        .expect("after");
        bound.plugin(cluster, "DEL").expect("delete");
        bound.plugin(cluster, "DEL").expect("delete again");
    }
    let arrived = prober.finish().expect("a stream").arrived;
    assert!(
        arrived.len() > 2500,
        "only {} datagrams arrived while the store was away",
        arrived.len()
    );
    assert_eq!(before, pinned(cluster), "pins changed");
}

fn pinned(cluster: &Cluster) -> Vec<String> {
    let mut names = Vec::new();
    for node in &cluster.nodes {
        list(&node.machine.directory().join("bpf"), &mut names);
    }
    names.sort();
    names
}

pub(crate) fn list(directory: &Path, names: &mut Vec<String>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        names.push(entry.path().display().to_string());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            list(&entry.path(), names);
        }
    }
}
