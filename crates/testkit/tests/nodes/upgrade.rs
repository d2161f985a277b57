//! Another release of agent and plugin, and back, under connections that live longer than either; and a release that cannot
//! take over.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::ensure;
use datapath::abi::Drop as Reason;
use netlink::Namespace;
use serde_json::json;
use testkit::cluster::{Cluster, Node};
use testkit::kubelet::RunningPod;
use testkit::streams::Stream;
use testkit::topology::Process;

use crate::cases::{eventually, only_from, run};
use crate::services::clients::{Client, Task, Until};
use crate::services::servers::{PORT, Server};
use crate::services::{FRONT, cluster_ips, results, service, start};
use crate::sockets;

const EVERY: Duration = Duration::from_millis(20);
const CAPACITY: &str = "bpf-ct-global-tcp-max";

/// A connection that asks again and again, until told to stop.
struct LongLived {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<Life>>,
}

/// What became of it.
#[derive(Clone, Copy, Debug, Default)]
struct Life {
    answers: u64,
    longest: Duration,
}

impl LongLived {
    fn start(from: &Namespace, to: SocketAddr) -> Self {
        let mut stream = sockets::connect(from, to, sockets::PATIENCE).expect("connect");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut life = Life::default();
            while !stopped.load(Ordering::Relaxed) {
                let asked = Instant::now();
                stream.write_all(b"?")?;
                stream.read_exact(&mut [0])?;
                life.answers += 1;
                life.longest = life.longest.max(asked.elapsed());
                std::thread::sleep(EVERY);
            }
            Ok(life)
        });
        Self { stop, thread }
    }

    fn finish(self) -> anyhow::Result<Life> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the connection's thread")
    }
}

/// What runs all the while.
struct Scene {
    allowed: RunningPod,
    denied: RunningPod,
    server: RunningPod,
    near: RunningPod,
    web: RunningPod,
    fronts: Vec<SocketAddr>,
    _backend: Server,
}

impl Scene {
    fn set(cluster: &Cluster) -> Self {
        let web = run(cluster, 1, "web");
        let backend = Server::start(&web.sandbox, 1);
        let front = service(cluster, "web", "web", &json!({}));
        let fronts = cluster_ips(&front).into_iter();
        let scene = Self {
            allowed: run(cluster, 0, "allowed"),
            denied: run(cluster, 0, "denied"),
            server: run(cluster, 1, "server"),
            near: run(cluster, 1, "near"),
            fronts: fronts.map(|ip| (ip, FRONT).into()).collect(),
            web,
            _backend: backend,
        };
        let policy = only_from("server", "allowed");
        cluster.create(&policy).expect("policy");
        eventually(|| scene.judged()).expect("the policy comes into force");
        for front in &scene.fronts {
            eventually(|| {
                sockets::connect(&scene.allowed.sandbox, *front, sockets::WAIT).map(drop)
            })
            .expect("the service is reached");
        }
        scene
    }

    /// New connections are judged as they should be.
    fn judged(&self) -> anyhow::Result<()> {
        let address = self.server.ipv4()?;
        sockets::tcp(&self.allowed.sandbox, &self.server.sandbox, address)?;
        for pod in [&self.denied, &self.near] {
            let denied = sockets::udp(&pod.sandbox, &self.server.sandbox, address);
            ensure!(denied.is_err(), "{} gets through", pod.pod.name);
        }
        Ok(())
    }

    /// To the pod and to the service, whose addresses are translated packet by packet: this process is in no node's cgroup.
    fn connections(&self) -> Vec<LongLived> {
        let direct = self.web.addresses.iter().map(|ip| (*ip, PORT).into());
        let all = self.fronts.iter().copied().chain(direct);
        all.map(|to| LongLived::start(&self.allowed.sandbox, to))
            .collect()
    }

    /// The same from processes in the node's cgroup, whose sockets are translated: a pod's and the node's own.
    fn processes(&self, cluster: &Cluster, done: &Path) -> [Process; 2] {
        let task = Task::Hold {
            each: 2,
            service: self.fronts.clone(),
            direct: self
                .web
                .addresses
                .iter()
                .map(|ip| (*ip, PORT).into())
                .collect(),
            until: Until::File(done.to_owned()),
        };
        let machine = &cluster.nodes[0].machine;
        let pod: &Namespace = &self.allowed.sandbox;
        [("held", pod), ("own", machine.namespace())]
            .map(|(name, namespace)| start(machine, namespace, name, &task))
    }
}

/// One side of the change.
struct Side<'a> {
    programs: Option<&'a Path>,
    capacity: &'static str,
}

/// One node after the other: the agent ends, the other release's begins.
fn change(cluster: &mut Cluster, side: &Side<'_>) -> Duration {
    let mut slowest = Duration::ZERO;
    for node in &mut cluster.nodes {
        node.stop_agent().expect("the agent ends");
        node.use_programs(side.programs).expect("programs");
        node.set(CAPACITY, side.capacity);
        let begun = Instant::now();
        node.start_agent().expect("start");
        node.wait_ready(Duration::from_mins(1)).expect("ready");
        slowest = slowest.max(begun.elapsed());
    }
    slowest
}

/// Drops of both nodes by reason.
fn drops(cluster: &Cluster) -> BTreeMap<u8, u64> {
    let mut found = BTreeMap::new();
    for node in &cluster.nodes {
        let pins = kernel::PinDirectory::new(&node.machine.directory().join("bpf"));
        let drops = kernel::Maps::open_drops(&pins).expect("pinned drops");
        for (key, counts) in drops.dump().expect("drops") {
            let packets: u64 = counts.iter().map(|count| count.packets).sum();
            *found.entry(key.reason).or_default() += packets;
        }
    }
    found
}

/// The previous release, ours, and the previous one again; without one ours, with another size of the connection table, and back.
#[allow(clippy::too_many_lines, reason = "one story from its begin to its end")]
pub(crate) fn there_and_back(cluster: &mut Cluster, previous: Option<&Path>) {
    let scene = Scene::set(cluster);
    let rounds = previous.map_or(1, |_| 3);
    let done = cluster.topology.directory().join("done");
    let before = drops(cluster);
    let probers = [&scene.allowed, &scene.denied, &scene.near]
        .map(|from| Stream::start(&from.sandbox, &scene.server).expect("a stream"));
    let connections = scene.connections();
    let mut processes = scene.processes(cluster, &done);
    // Sockets are open before the first change.
    std::thread::sleep(Duration::from_secs(1));
    let larger = if previous.is_some() {
        "65536"
    } else {
        "131072"
    };
    let ours = Side {
        programs: None,
        capacity: larger,
    };
    let theirs = Side {
        programs: previous,
        capacity: "65536",
    };
    let mut slowest = Duration::ZERO;
    let mut guest: Option<RunningPod> = None;
    for (round, side) in (0..rounds).flat_map(|_| [&ours, &theirs]).enumerate() {
        slowest = slowest.max(change(cluster, side));
        // A pod of the one release is taken down by the other.
        if let Some(guest) = guest.take() {
            let node = &cluster.nodes[0];
            node.kubelet.delete(&node.machine, guest).expect("delete");
        }
        let new = run(cluster, 0, &format!("guest{round}"));
        for front in &scene.fronts {
            eventually(|| sockets::connect(&new.sandbox, *front, sockets::WAIT).map(drop))
                .expect("a new pod reaches the service");
        }
        scene.judged().expect("new connections are judged");
        guest = Some(new);
    }
    fs::write(&done, "").expect("the processes are told");
    let lives: Vec<Life> = connections
        .into_iter()
        .map(|connection| connection.finish().expect("a connection was cut"))
        .collect();
    let held: Vec<Client> = processes
        .iter_mut()
        .flat_map(|process| results::<Vec<Client>>(process, Duration::from_secs(30)))
        .collect();
    let [allowed, denied, near] = probers.map(|stream| stream.finish().expect("a stream"));
    let answers: u64 = lives.iter().map(|life| life.answers).sum();
    let worst = held.iter().map(|client| client.worst_ms).max().unwrap_or(0);
    let longest = lives.iter().map(|life| life.longest).max();
    println!(
        "figure: {} changes of both agents{}, {} connections of this process with {answers} answers and {} of processes of the \
         nodes, none cut, longest wait {} ms; {} of {} allowed arrived, {} of {} denied arrived, slowest start {slowest:.1?}",
        2 * rounds,
        previous.map_or(", same release and another table size", |_| " of release"),
        lives.len(),
        held.len(),
        longest.map_or(0, |longest| longest.as_millis()).max(worst),
        allowed.arrived.len(),
        allowed.sent,
        denied.arrived.len() + near.arrived.len(),
        denied.sent + near.sent,
    );
    assert!(lives.iter().all(|life| life.answers > 100), "{lives:#?}");
    let cut: Vec<_> = held
        .iter()
        .filter(|of| of.renewed > 0 || of.aborted || !of.errors.is_empty() || of.backends != [1])
        .collect();
    assert!(
        cut.is_empty() && held.len() > 20,
        "{}: {cut:#?}",
        held.len()
    );
    // What is slow here is the machine; a connection that waits for a time-out is not.
    assert!(worst < 5000, "an answer came after {worst} ms");
    assert_eq!(allowed.missing(), Vec::<u64>::new(), "lost");
    assert_eq!(
        (denied.arrived, near.arrived),
        (vec![], vec![]),
        "delivered"
    );
    // New pods' stacks ask for routers and report multicast groups, which nobody here answers.
    let expected = [
        Reason::PolicyDenied,
        Reason::UnknownIcmpv6Type,
        Reason::MulticastHandled,
    ]
    .map(Reason::number);
    for (reason, packets) in drops(cluster) {
        let more = packets - before.get(&reason).copied().unwrap_or(0);
        let expected = expected.contains(&reason);
        let text = Reason::from_number(reason).map(Reason::text);
        assert!(more == 0 || expected, "{more} dropped: {reason} {text:?}");
    }
    for node in &mut cluster.nodes {
        let log = node.agent().expect("agent").output();
        assert!(!log.contains(" ERROR "), "{log}");
    }
}

/// Everything of a node that an agent could change: pins with their objects, state files, devices, programs of pods.
fn found(node: &Node) -> Vec<String> {
    let mut found = Vec::new();
    for part in ["bpf", "state"] {
        inspect(&node.machine.directory().join(part), &mut found);
    }
    let handle = netlink::Handle::open_in(node.machine.namespace()).expect("netlink");
    for link in handle.links().expect("links") {
        found.push(format!("{} {} {:?}", link.index, link.name, link.state()));
        for direction in [
            netlink::filter::Direction::Ingress,
            netlink::filter::Direction::Egress,
        ] {
            let filters = handle.filters(link.index, direction).expect("filters");
            found.extend(
                filters
                    .iter()
                    .map(|of| format!("{} {}", link.name, of.program_id)),
            );
        }
    }
    found.sort();
    found
}

fn inspect(directory: &Path, found: &mut Vec<String>) {
    use std::os::unix::fs::MetadataExt;
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let metadata = fs::symlink_metadata(&path).expect("metadata");
        found.push(format!(
            "{} {} {}",
            path.display(),
            metadata.ino(),
            metadata.mtime_nsec()
        ));
        if metadata.is_dir() {
            inspect(&path, found);
        }
    }
}

/// Whoever adds a kind of file to the state directory gives its layout a number.
pub(crate) fn every_file_has_a_number(cluster: &Cluster) {
    for node in &cluster.nodes {
        let state = &node.kubelet.state_dir;
        let numbers = fs::read_to_string(state.join("layouts.json")).expect("layouts.json");
        let numbers: BTreeMap<String, u32> = serde_json::from_str(&numbers).expect("numbers");
        for entry in fs::read_dir(state).expect("the state directory") {
            let name = entry.expect("an entry").file_name();
            let name = name.to_string_lossy().into_owned();
            // Files of endpoints and that of counts say their version themselves.
            let known = ["endpoints", "layouts.json", "counts.redb"].contains(&name.as_str());
            assert!(known || numbers.contains_key(&name), "{name} has no number");
        }
    }
}

/// What another release has left behind, and how it is put back.
type Leave = fn(&Node, Back) -> String;

/// Whether to leave it or to put it back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Back {
    Leave,
    PutBack,
}

fn later_map(node: &Node, back: Back) -> String {
    let pins = kernel::PinDirectory::new(&node.machine.directory().join("bpf"));
    let maps = pins.path().join("maps");
    let (ours, theirs) = (maps.join("hops"), maps.join("hops-2"));
    let (from, to) = if back == Back::Leave {
        (&ours, &theirs)
    } else {
        (&theirs, &ours)
    };
    fs::rename(from, to).expect("rename");
    format!(
        "map 'hops' is pinned in {} with layout 2, this release has layout 1",
        maps.display()
    )
}

fn later_files(node: &Node, back: Back) -> String {
    let path = node.kubelet.state_dir.join("layouts.json");
    let (from, to) = (r#""last-good": 1"#, r#""last-good": 2"#);
    let (from, to) = if back == Back::Leave {
        (from, to)
    } else {
        (to, from)
    };
    let text = fs::read_to_string(&path).expect("layouts.json");
    assert!(text.contains(from), "{text}");
    fs::write(&path, text.replace(from, to)).expect("write");
    let kind = node.kubelet.state_dir.join("last-good");
    format!("{} has layout 2, this release has layout 1", kind.display())
}

fn later_endpoint(node: &Node, back: Back) -> String {
    let (from, to) = (r#""version": 1"#, r#""version": 2"#);
    let (from, to) = if back == Back::Leave {
        (from, to)
    } else {
        (to, from)
    };
    let directory = node.kubelet.state_dir.join("endpoints");
    for entry in fs::read_dir(directory).expect("endpoints") {
        let path = entry.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("an endpoint");
        assert!(text.contains(from), "{text}");
        fs::write(&path, text.replace(from, to)).expect("write");
    }
    "saved endpoint: version 2, this program reads 1".to_owned()
}

/// An agent over what a later release has left ends with a sentence, and packets go on by the programs that are there.
pub(crate) fn refused(cluster: &mut Cluster) {
    every_file_has_a_number(cluster);
    let (client, server) = (run(cluster, 0, "client"), run(cluster, 1, "server"));
    let address = server.ipv4().expect("address");
    eventually(|| sockets::tcp(&client.sandbox, &server.sandbox, address)).expect("before");
    let prober = Stream::start(&client.sandbox, &server).expect("a stream");
    let cases: [(&str, Leave); 3] = [
        ("a map", later_map),
        ("state files", later_files),
        ("endpoints", later_endpoint),
    ];
    for (case, leave) in cases {
        let node = &mut cluster.nodes[0];
        node.stop_agent().expect("stop");
        let sentence = leave(node, Back::Leave);
        let before = found(node);
        node.start_agent().expect("start");
        let agent = node.agent().expect("agent");
        let status = agent.wait(Duration::from_secs(20)).expect("it ends");
        let said = agent.output();
        assert!(
            !status.success() && said.contains(&sentence),
            "{case}: {sentence}\n{said}"
        );
        assert_eq!(found(node), before, "{case}: something was touched");
        sockets::tcp(&client.sandbox, &server.sandbox, address).expect(case);
        leave(node, Back::PutBack);
        node.start_agent().expect("start");
        node.wait_ready(Duration::from_secs(30)).expect(case);
    }
    let told = prober.finish().expect("a stream");
    println!(
        "figure: {} refusals, {} of {} arrived",
        cases.len(),
        told.arrived.len(),
        told.sent
    );
    assert_eq!(told.missing(), Vec::<u64>::new(), "lost");
}
