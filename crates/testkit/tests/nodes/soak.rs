//! Minutes of a busy life: pods, policies, backends, an agent and the store come and go under probers. Afterwards nothing was lost,
//! nothing is left over, and the agent that was never killed has not grown.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::cluster::{Cluster, Node};
use testkit::kubelet::RunningPod;
use testkit::streams::Stream;

use crate::{cases, churn, services, sockets};

/// After the store was away, a node may wait for its longest back-off before it hears of a pod.
const HEARD_OF: Duration = Duration::from_secs(45);

/// What an agent holds.
#[derive(Clone, Copy, Debug)]
struct Held {
    kibibytes: u64,
    files: usize,
}

impl Held {
    fn by(node: &mut Node) -> Self {
        let process = node.agent().expect("it runs").pid();
        let status = fs::read_to_string(format!("/proc/{process}/status")).expect("status");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = resident.and_then(|text| text.split_whitespace().next());
        let files = fs::read_dir(format!("/proc/{process}/fd")).expect("files");
        Self {
            kibibytes: number.and_then(|text| text.parse().ok()).expect("VmRSS"),
            files: files.count(),
        }
    }
}

/// How often what happened.
#[derive(Debug, Default)]
struct Counts {
    rounds: usize,
    agents_killed: usize,
    stores_killed: usize,
}

/// The pods that stay.
struct Residents {
    allowed: RunningPod,
    denied: RunningPod,
    server: RunningPod,
    open: RunningPod,
}

impl Residents {
    fn settle(cluster: &Cluster) -> Self {
        let residents = Self {
            allowed: cases::run(cluster, 0, "allowed"),
            denied: cases::run(cluster, 0, "denied"),
            server: cases::run(cluster, 1, "server"),
            open: cases::run(cluster, 1, "open"),
        };
        let policy = cases::only_from("server", "allowed");
        cluster.create(&policy).expect("policy");
        services::service(cluster, "swing", "open", &json!({}));
        let (server, address) = (&residents.server, residents.server.ipv4().expect("address"));
        cases::eventually(|| sockets::udp(&residents.allowed.sandbox, &server.sandbox, address))
            .expect("the allowed pod gets through");
        cases::eventually(|| {
            let denied = sockets::udp(&residents.denied.sandbox, &server.sandbox, address);
            anyhow::ensure!(denied.is_err(), "the policy is not in force");
            Ok(())
        })
        .expect("the policy comes into force");
        residents
    }
}

/// A policy of another text in each round; every fifth is faulty, and the last good one stays in force.
fn shifting(round: usize) -> Value {
    let port = if round % 5 == 4 { "99999" } else { "1024" };
    json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
        "metadata": { "namespace": "default", "name": "shifting" },
        "spec": {
            "endpointSelector": { "matchLabels": { "app": "open" } },
            "ingress": [
                { "fromEndpoints": [{ "matchLabels": { "app": "guest" } }] },
                { "fromEndpoints": [{ "matchLabels": { "app": format!("tenant{}", round % 7) } }],
                  "toPorts": [{ "ports": [{ "port": port, "protocol": "TCP" }] }] },
            ],
        },
    })
}

/// One guest comes, speaks, and goes; around it everything else changes.
fn round(cluster: &mut Cluster, residents: &Residents, counts: &mut Counts) {
    let number = counts.rounds;
    counts.rounds += 1;
    cluster.apply(&shifting(number)).expect("policy");
    let ready = if number.is_multiple_of(2) {
        "True"
    } else {
        "False"
    };
    services::set_ready(cluster, "open", ready);
    let guest = cases::run_as(cluster, number % 2, &format!("guest{number}"), "guest");
    let (open, address) = (&residents.open, residents.open.ipv4().expect("address"));
    cases::within(HEARD_OF, || {
        sockets::tcp(&guest.sandbox, &open.sandbox, address)
    })
    .expect("a guest gets through");
    if number % 10 == 9 {
        counts.agents_killed += 1;
        let first = &mut cluster.nodes[0];
        first.kill_agent().expect("kill");
        first.start_agent().expect("start");
        first.wait_ready(Duration::from_secs(30)).expect("ready");
    }
    let node = &cluster.nodes[number % 2];
    node.kubelet.delete(&node.machine, guest).expect("delete");
    if number % 25 == 24 {
        counts.stores_killed += 1;
        cluster.kill_apiserver().expect("kill");
        cluster.start_apiserver().expect("start");
    }
}

/// Lives for so long.
pub(crate) fn live(cluster: &mut Cluster, length: Duration) {
    let residents = Residents::settle(cluster);
    let before: Vec<_> = cluster.nodes.iter().map(churn::settled).collect();
    let probers = [&residents.allowed, &residents.denied]
        .map(|from| Stream::start(&from.sandbox, &residents.server).expect("a stream"));
    let (begun, mut counts, mut early) = (Instant::now(), Counts::default(), None);
    while begun.elapsed() < length {
        round(cluster, &residents, &mut counts);
        if early.is_none() && begun.elapsed() > length / 3 {
            early = Some(Held::by(&mut cluster.nodes[1]));
        }
    }
    let [allowed, denied] = probers.map(|stream| stream.finish().expect("a stream"));
    services::set_ready(cluster, "open", "True");
    cluster.delete(&shifting(0)).expect("policy");
    for (node, before) in cluster.nodes.iter_mut().zip(&before) {
        churn::assert_settles(node, before);
    }
    let (early, late) = (
        early.expect("a third has passed"),
        Held::by(&mut cluster.nodes[1]),
    );
    println!(
        "figure: {} pods and policies, {} kills of an agent, {} of the store, {} of {} allowed arrived, {} of {} denied, \
         the other agent {} MiB and {} files after a third, {} MiB and {} files at the end",
        counts.rounds,
        counts.agents_killed,
        counts.stores_killed,
        allowed.arrived.len(),
        allowed.sent,
        denied.arrived.len(),
        denied.sent,
        early.kibibytes / 1024,
        early.files,
        late.kibibytes / 1024,
        late.files,
    );
    assert_eq!(allowed.missing(), Vec::<u64>::new(), "lost");
    assert_eq!(
        denied.arrived,
        Vec::<u64>::new(),
        "delivered in spite of the policy"
    );
    // What the allocator keeps varies; what leaks grows with each of hundreds of rounds.
    let most = early.kibibytes + early.kibibytes / 8 + (8 << 10);
    assert!(late.kibibytes <= most, "memory grew: {early:?}, {late:?}");
    assert!(
        late.files <= early.files + 8,
        "files grew: {early:?}, {late:?}"
    );
}
