//! A node that loses its power: pins, links, devices and state are gone, its pods come back as a kubelet brings them back.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use netlink::{Handle, NamedNamespace, Namespace, link};
use serde_json::Value;
use testkit::cluster::Cluster;
use testkit::kubelet::Pod;

use crate::cases::{only_from, run, within};

const PORT: u16 = 7777;
/// How long a kubelet may have to try to bring all back.
const LIMIT: Duration = Duration::from_mins(1);

/// A pod that listens before it has an interface, so that it misses nothing that is delivered.
struct Listening {
    pod: Pod,
    sandbox: NamedNamespace,
    socket: UdpSocket,
    address: Option<IpAddr>,
}

/// What was delivered to a pod, by sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Delivered {
    allowed: usize,
    denied: usize,
}

impl Listening {
    /// The pod with a fresh sandbox, as after a reboot.
    fn new(cluster: &Cluster, pod: Pod) -> Self {
        let name = format!("{}-n1-{}", cluster.topology.name(), pod.name);
        let sandbox = NamedNamespace::create(&name).expect("sandbox");
        let handle = Handle::open_in(&sandbox).expect("netlink");
        handle.run(&link::set_up("lo")).expect("loopback");
        let socket = bind(&sandbox, PORT);
        Self {
            pod,
            sandbox,
            socket,
            address: None,
        }
    }

    /// As a kubelet does: again and again, until the agent is there.
    fn add(&mut self, cluster: &Cluster, container: &str) -> anyhow::Result<()> {
        let node = &cluster.nodes[0];
        let ask = || {
            let sandbox = Some(&self.sandbox);
            node.kubelet
                .plugin(&node.machine, "ADD", container, sandbox, &self.pod)
        };
        let begun = Instant::now();
        let answer = loop {
            match ask() {
                Err(error) if begun.elapsed() > LIMIT => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
                Ok(answer) => break answer,
            }
        };
        let ips = answer["ips"].as_array().into_iter().flatten();
        let nets = ips.filter_map(|ip| ip["address"].as_str()?.parse::<ipnet::IpNet>().ok());
        self.address = nets.map(|net| net.addr()).find(IpAddr::is_ipv4);
        self.address.context("no IPv4 address").map(|_| ())
    }

    fn delivered(&self) -> Delivered {
        let (mut found, mut buffer) = (Delivered::default(), [0; 16]);
        while let Ok(length) = self.socket.recv(&mut buffer) {
            match &buffer[..length] {
                b"allowed" => found.allowed += 1,
                _ => found.denied += 1,
            }
        }
        found
    }
}

fn bind(namespace: &Namespace, port: u16) -> UdpSocket {
    let socket = namespace
        .run(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)))
        .expect("namespace")
        .expect("bind");
    socket.set_nonblocking(true).expect("nonblocking");
    socket
}

/// Sends to every address that a pod of the first node can have, until told to stop.
struct Flood {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Flood {
    fn start(from: &Namespace) -> Self {
        let socket = bind(from, 0);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut sent = 0;
            while !stopped.load(Ordering::Relaxed) {
                for host in 2..255 {
                    let to = SocketAddr::from(([10, 244, 1, host], PORT));
                    sent += u64::from(socket.send_to(b"denied", to).is_ok());
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            sent
        });
        Self { stop, thread }
    }

    fn finish(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("flood")
    }
}

/// Pods that one sender may reach and another may not, who floods them from another node and from their own all the while.
#[allow(clippy::too_many_lines, reason = "one story from its begin to its end")]
pub(crate) fn under_a_flood(cluster: &mut Cluster, number: usize) {
    let (allowed, denied) = (run(cluster, 1, "allowed"), run(cluster, 1, "denied"));
    cluster
        .create(&only_from("server", "allowed"))
        .expect("policy");
    let mut pods: Vec<Pod> = (0..number)
        .map(|index| Pod::new("default", &format!("server{index}"), "server"))
        .collect();
    // What is not in any policy shows that the flood arrives; the other one floods as well.
    pods.push(Pod::new("default", "open", "open"));
    pods.push(Pod::new("default", "near", "denied"));
    for pod in &pods {
        cluster.create(&pod.object("n1")).expect("pod");
    }
    let first = come_up(cluster, &pods, 1);
    let sender = bind(&allowed.sandbox, 0);
    reach_all(&sender, &first[..number]).expect("all are reached before");

    let far = Flood::start(&denied.sandbox);
    drop(first);
    cluster.nodes[0].lose_power().expect("lose power");
    let mut second: Vec<Listening> = pods
        .iter()
        .map(|pod| Listening::new(cluster, pod.clone()))
        .collect();
    let near = Flood::start(&second[number + 1].sandbox);
    let begun = Instant::now();
    cluster.nodes[0].start_agent().expect("start");
    add_all(cluster, &mut second, 2);
    let added = begun.elapsed();
    let reached = reach_all(&sender, &second[..number]).expect("all are reached");
    let up = begun.elapsed();
    within(LIMIT, || {
        let all: Value = cluster.nodes[0].client().get("/v1/endpoint")?;
        let ready = |of: &&Value| of.pointer("/status/state") == Some(&"ready".into());
        let ready = all.as_array().into_iter().flatten().filter(ready).count();
        ensure!(ready == number + 2, "{ready} endpoints are ready");
        Ok(())
    })
    .expect("all endpoints");
    // Some more of the flood, now that all are up.
    std::thread::sleep(Duration::from_secs(1));
    let sent = [far.finish(), near.finish()];
    let late: Vec<Delivered> = second[..number].iter().map(Listening::delivered).collect();
    let wrong = reached
        .iter()
        .chain(&late)
        .map(|of| of.denied)
        .sum::<usize>();
    let open = second[number].delivered().denied;
    println!(
        "figure: {number} pods after a loss of power: all added after {added:.1?}, all reached after {up:.1?}; \
         of {} denied datagrams {wrong} were delivered, to a pod without a policy at least {open}",
        sent[0] + sent[1]
    );
    assert_eq!(wrong, 0, "denied datagrams were delivered");
    assert!(
        open > 10 && sent.iter().all(|sent| *sent > 1000),
        "{open} {sent:?}"
    );
    let log = cluster.nodes[0].agent().expect("agent").output();
    assert!(!log.contains(" ERROR "), "{log}");
}

fn come_up(cluster: &Cluster, pods: &[Pod], incarnation: u32) -> Vec<Listening> {
    let mut all: Vec<Listening> = pods
        .iter()
        .map(|pod| Listening::new(cluster, pod.clone()))
        .collect();
    add_all(cluster, &mut all, incarnation);
    all
}

/// All at once, in sandboxes that no runtime has had before.
fn add_all(cluster: &Cluster, pods: &mut [Listening], incarnation: u32) {
    std::thread::scope(|scope| {
        let adds: Vec<_> = pods
            .iter_mut()
            .map(|pod| {
                let container = format!("{}-{incarnation}", pod.pod.name);
                scope.spawn(move || pod.add(cluster, &container))
            })
            .collect();
        for add in adds {
            add.join().expect("thread").expect("add");
        }
    });
}

/// Sends to each until it has got it; what was delivered to them meanwhile.
fn reach_all(sender: &UdpSocket, pods: &[Listening]) -> anyhow::Result<Vec<Delivered>> {
    let mut found = vec![Delivered::default(); pods.len()];
    within(LIMIT, || {
        for (pod, found) in pods.iter().zip(&mut found) {
            if found.allowed == 0 {
                let to = SocketAddr::new(pod.address.context("address")?, PORT);
                let _ = sender.send_to(b"allowed", to);
            }
        }
        std::thread::sleep(Duration::from_millis(20));
        for (pod, found) in pods.iter().zip(&mut found) {
            let more = pod.delivered();
            found.allowed += more.allowed;
            found.denied += more.denied;
        }
        let missing = found.iter().filter(|of| of.allowed == 0).count();
        ensure!(missing == 0, "{missing} pods are not reached");
        Ok(())
    })?;
    Ok(found)
}
