//! What the flow servers tell of connections whose whole life the test knows: for each new connection and observation point one
//! verdict and one trace, one trace for its close, one drop with its verdict for a denial; nothing twice, nothing else.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use api::hubble::flow::{Flow, layer4::Protocol};
use netlink::Namespace;
use rustix::net::{AddressFamily, SocketType, ipproto, socket};
use serde_json::{Value, json};
use testkit::cluster::Cluster;
use testkit::kubelet::RunningPod;

use crate::cases::{only_from, run, within};

/// Shorter than the first retransmission of a SYN, so that a connection that nobody answers is one packet.
const PATIENCE: Duration = Duration::from_millis(600);
/// Life times of the cluster's connections, and a sweep or two.
const ENDED: Duration = Duration::from_secs(20);

/// A connection, and what each node must tell of it.
struct Case {
    name: String,
    protocol: &'static str,
    client: SocketAddr,
    expected: [Vec<String>; 2],
}

impl Case {
    fn new(name: &str, protocol: &'static str, client: SocketAddr, expected: [&[&str]; 2]) -> Self {
        let sorted = |lines: &[&str]| {
            let mut lines: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
            lines.sort();
            lines
        };
        Self {
            name: format!("{name}, {protocol}, from {client}"),
            protocol,
            client,
            expected: expected.map(sorted),
        }
    }
}

const NOTHING: &[&str] = &[];
/// Both ends on one node.
const WITHIN: &[&str] = &[
    "verdict FORWARDED EGRESS",
    "verdict FORWARDED INGRESS",
    "trace TO_ENDPOINT NEW INGRESS",
    "trace TO_ENDPOINT ESTABLISHED INGRESS",
];
/// The sender's node, and the receiver's.
const ACROSS: [&[&str]; 2] = [
    &[
        "verdict FORWARDED EGRESS",
        "trace TO_OVERLAY NEW EGRESS",
        "trace TO_OVERLAY ESTABLISHED EGRESS",
    ],
    &[
        "verdict FORWARDED INGRESS",
        "trace TO_ENDPOINT NEW INGRESS",
        "trace TO_ENDPOINT ESTABLISHED INGRESS",
    ],
];
const DENIED: &[&str] = &["verdict DROPPED INGRESS", "drop POLICY_DENIED INGRESS"];

/// Opens connections of every kind, and compares what was told of each.
pub(crate) fn told(cluster: &Cluster) {
    let pods: BTreeMap<&str, RunningPod> = [
        ("a", 0),
        ("b", 0),
        ("shut", 0),
        ("mute", 0),
        ("deaf", 0),
        ("c", 1),
    ]
    .into_iter()
    .map(|(name, node)| (name, run(cluster, node, name)))
    .collect();
    for policy in [only_from("shut", "nobody"), never_to("mute", "b")] {
        cluster.create(&policy).expect("the policy is created");
    }
    let servers = Servers::start(&pods);
    let front = service(cluster, servers.behind_the_service.port());
    settle(&pods, &servers, front);
    let mut cases = Vec::new();
    for v6 in [false, true] {
        open_tcp(&pods, &servers, v6, &mut cases);
        open_others(&pods, &servers, v6, &mut cases);
    }
    cases.push(through_the_service(&pods, front));
    let mut report = Vec::new();
    let all = within(ENDED, || {
        report = compare(cluster, &cases)?;
        anyhow::ensure!(report.is_empty(), "not yet");
        Ok(())
    });
    assert!(all.is_ok(), "{all:?}:\n{}", report.join("\n"));
    // Nothing comes after it either.
    std::thread::sleep(Duration::from_secs(3));
    let late = compare(cluster, &cases).expect("the flow servers answer");
    assert!(late.is_empty(), "told later:\n{}", late.join("\n"));
    println!(
        "ok    {} connections were told by exactly their flows",
        cases.len()
    );
}

/// Cases whose flows are others than expected, with both.
fn compare(cluster: &Cluster, cases: &[Case]) -> anyhow::Result<Vec<String>> {
    let mut report = Vec::new();
    for (index, node) in cluster.nodes.iter().enumerate() {
        let socket = node.machine.directory().join("hubble.sock");
        let flows = testkit::flows::get(&socket, 0)?;
        for case in cases {
            let mut seen: Vec<String> = flows
                .iter()
                .filter(|flow| is_of(flow, case))
                .map(line)
                .collect();
            seen.sort();
            if seen != case.expected[index] {
                report.push(format!(
                    "{} on node {}: {seen:?}, not {:?}",
                    case.name,
                    index + 1,
                    case.expected[index]
                ));
            }
        }
    }
    Ok(report)
}

/// Whether a flow is of the case's connection, whichever way its packet went.
fn is_of(flow: &Flow, case: &Case) -> bool {
    let Some((protocol, source, destination)) = ends(flow) else {
        return false;
    };
    protocol == case.protocol && [source, destination].contains(&Some(case.client))
}

type Ends = (&'static str, Option<SocketAddr>, Option<SocketAddr>);

fn ends(flow: &Flow) -> Option<Ends> {
    let (protocol, source, destination) = match flow.l4.as_ref()?.protocol.as_ref()? {
        Protocol::Tcp(tcp) => ("TCP", tcp.source_port, tcp.destination_port),
        Protocol::Udp(udp) => ("UDP", udp.source_port, udp.destination_port),
        Protocol::IcmPv4(icmp) if icmp.r#type == 8 => ("echo", 0, 0),
        Protocol::IcmPv6(icmp) if icmp.r#type == 128 => ("echo", 0, 0),
        Protocol::IcmPv4(_) => ("other ICMP", 0, 0),
        _ => return None,
    };
    let ip = flow.ip.as_ref()?;
    let end = |address: &str, port: u32| {
        Some(SocketAddr::new(
            address.parse().ok()?,
            u16::try_from(port).ok()?,
        ))
    };
    Some((
        protocol,
        end(&ip.source, source),
        end(&ip.destination, destination),
    ))
}

fn line(flow: &Flow) -> String {
    let direction = flow.traffic_direction().as_str_name();
    let event = flow.event_type.as_ref().map_or(0, |event| event.r#type);
    let mut line = match event {
        1 => format!("drop {} {direction}", flow.drop_reason_desc().as_str_name()),
        4 => format!(
            "trace {} {} {direction}",
            flow.trace_observation_point().as_str_name(),
            flow.trace_reason().as_str_name(),
        ),
        5 => format!("verdict {} {direction}", flow.verdict().as_str_name()),
        other => format!("event {other} {direction}"),
    };
    if let Some(service) = &flow.destination_service {
        line = format!("{line} of {}/{}", service.namespace, service.name);
    }
    line
}

fn open_tcp(pods: &BTreeMap<&str, RunningPod>, servers: &Servers, v6: bool, cases: &mut Vec<Case>) {
    let mut case = |name: &str, from: &str, to: SocketAddr, expected| {
        let client = tcp(&pods[from].sandbox, to);
        cases.push(Case::new(name, "TCP", client, expected));
    };
    let of = |name| servers.address(name, v6);
    case("within a node", "a", of("b"), [WITHIN, NOTHING]);
    case("to another node", "a", of("c"), ACROSS);
    case("from another node", "c", of("b"), [ACROSS[1], ACROSS[0]]);
    case(
        "to a closed port",
        "a",
        SocketAddr::new(of("b").ip(), 1),
        [WITHIN, NOTHING],
    );
    case("denied", "a", of("shut"), [DENIED, NOTHING]);
    case(
        "denied on the other node",
        "c",
        of("shut"),
        [DENIED, ACROSS[0]],
    );
    case(
        "denied to its sender",
        "mute",
        of("b"),
        [
            &["verdict DROPPED EGRESS", "drop POLICY_DENY EGRESS"],
            NOTHING,
        ],
    );
    case("never answered", "a", of("deaf"), [WITHIN, NOTHING]);
}

fn open_others(
    pods: &BTreeMap<&str, RunningPod>,
    servers: &Servers,
    v6: bool,
    cases: &mut Vec<Case>,
) {
    let of = |name| servers.address(name, v6);
    for (name, to, expected) in [
        ("answered within a node", "b", [WITHIN, NOTHING]),
        ("answered by another node", "c", ACROSS),
        ("never answered", "deaf", [WITHIN, NOTHING]),
        ("denied", "shut", [DENIED, NOTHING]),
    ] {
        let client = udp(&pods["a"].sandbox, of(to));
        cases.push(Case::new(name, "UDP", client, expected));
    }
    // Told apart by their addresses alone: each client asks once.
    for (name, from, to, expected) in [
        ("within a node", "a", "b", [WITHIN, NOTHING]),
        ("to another node", "mute", "c", ACROSS),
    ] {
        echo(&pods[from].sandbox, of(to).ip());
        let client = SocketAddr::new(ip(&pods[from], v6), 0);
        cases.push(Case::new(name, "echo", client, expected));
    }
}

fn through_the_service(pods: &BTreeMap<&str, RunningPod>, front: SocketAddr) -> Case {
    let client = tcp(&pods["a"].sandbox, front);
    let named: Vec<String> = WITHIN
        .iter()
        .map(|line| format!("{line} of default/truth"))
        .collect();
    let named: Vec<&str> = named.iter().map(String::as_str).collect();
    Case::new("through a service", "TCP", client, [&named, NOTHING])
}

/// A connection that says something, hears it back where somebody answers, and is closed; the client's end of it.
fn tcp(client: &Namespace, to: SocketAddr) -> SocketAddr {
    // Bound before it connects, so that its port is known also when nobody answers.
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let port = client
        .run(|| TcpListener::bind(any))
        .expect("the namespace is entered")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port();
    let fd = client
        .run(|| {
            let family = if to.is_ipv4() {
                AddressFamily::INET
            } else {
                AddressFamily::INET6
            };
            socket(family, SocketType::STREAM, None)
        })
        .expect("the namespace is entered")
        .expect("a socket");
    let own: SocketAddr =
        SocketAddr::new(any.parse::<SocketAddr>().expect("an address").ip(), port);
    rustix::net::bind(&fd, &own).expect("the port is free");
    rustix::io::ioctl_fionbio(&fd, true).expect("not blocking");
    let _ = rustix::net::connect(&fd, &to);
    let mut stream = TcpStream::from(fd);
    // Asked now: a socket that gave up has no address any more.
    let source = stream.local_addr().expect("its own address").ip();
    let end = Instant::now() + PATIENCE;
    let mut said = false;
    let mut byte = [0];
    while Instant::now() < end {
        if !said {
            said = stream.write(b"x").is_ok();
        }
        match stream.read(&mut byte) {
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::NotConnected
                ) => {}
            Ok(_) | Err(_) => break,
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = stream.shutdown(Shutdown::Write);
    SocketAddr::new(source, port)
}

fn udp(client: &Namespace, to: SocketAddr) -> SocketAddr {
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = client
        .run(|| UdpSocket::bind(any))
        .expect("the namespace is entered")
        .expect("a socket");
    socket.connect(to).expect("a route");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket.send(b"x").expect("sent");
    let _ = socket.recv(&mut [0; 8]);
    socket.local_addr().expect("its own address")
}

/// One echo request.
fn echo(client: &Namespace, to: IpAddr) {
    let (family, protocol, kind) = match to {
        IpAddr::V4(_) => (AddressFamily::INET, ipproto::ICMP, 8),
        IpAddr::V6(_) => (AddressFamily::INET6, ipproto::ICMPV6, 128),
    };
    let fd = client
        .run(|| socket(family, SocketType::RAW, Some(protocol)))
        .expect("the namespace is entered")
        .expect("a raw socket");
    // Identifier 0x0101, sequence 1; the kernel writes the checksum of ICMPv6 itself.
    let sum = !(u16::from(kind) << 8).wrapping_add(0x0101).wrapping_add(1);
    let [high, low] = sum.to_be_bytes();
    let request = [kind, 0, high, low, 1, 1, 0, 1];
    let raw = UdpSocket::from(fd);
    raw.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    raw.send_to(&request, (to, 0)).expect("sent");
    let _ = raw.recv(&mut [0; 64]);
}

fn ip(pod: &RunningPod, v6: bool) -> IpAddr {
    if v6 { pod.ipv6() } else { pod.ipv4() }.expect("an address of each family")
}

/// A policy: pods `app` never send to pods `to`, and to anybody else.
fn never_to(app: &str, to: &str) -> Value {
    json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
        "metadata": { "namespace": "default", "name": format!("{app}-never-to-{to}") },
        "spec": {
            "endpointSelector": { "matchLabels": { "app": app } },
            "egress": [{ "toEntities": ["all"] }],
            "egressDeny": [{ "toEndpoints": [{ "matchLabels": { "app": to } }] }],
        },
    })
}

fn service(cluster: &Cluster, port: u16) -> SocketAddr {
    let object = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "namespace": "default", "name": "truth" },
        "spec": { "selector": { "app": "b" }, "ports": [{ "port": 80, "targetPort": port, "protocol": "TCP" }] },
    });
    cluster.create(&object).expect("the service is created");
    let path = "/api/v1/namespaces/default/services/truth";
    let service: Value = cluster.api.get(path).expect("the service is there");
    let address = service["spec"]["clusterIP"].as_str().expect("an address");
    SocketAddr::new(address.parse().expect("an address"), 80)
}

/// Waits until the nodes know pods, policies and service. Its own connections are none of the cases.
fn settle(pods: &BTreeMap<&str, RunningPod>, servers: &Servers, front: SocketAddr) {
    let reaches = |from: &str, to: SocketAddr| {
        let stream = pods[from]
            .sandbox
            .run(|| TcpStream::connect_timeout(&to, PATIENCE));
        stream.is_ok_and(|stream| stream.is_ok())
    };
    for v6 in [false, true] {
        let of = |name| servers.address(name, v6);
        within(Duration::from_secs(10), || {
            anyhow::ensure!(
                reaches("a", of("b")) && reaches("a", of("c")) && reaches("c", of("b"))
            );
            anyhow::ensure!(reaches("mute", of("c")) && !reaches("mute", of("b")));
            anyhow::ensure!(!reaches("a", of("shut")) && !reaches("c", of("shut")));
            Ok(())
        })
        .expect("pods and policies are in force");
    }
    within(Duration::from_secs(10), || {
        anyhow::ensure!(reaches("a", front));
        Ok(())
    })
    .expect("the service is in force");
}

/// What listens in the pods, until it is dropped.
struct Servers {
    addresses: BTreeMap<(&'static str, bool), SocketAddr>,
    behind_the_service: SocketAddr,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Servers {
    fn start(pods: &BTreeMap<&str, RunningPod>) -> Self {
        let mut servers = Self {
            addresses: BTreeMap::new(),
            behind_the_service: SocketAddr::new(ip(&pods["b"], false), 0),
            stop: Arc::default(),
            threads: Vec::new(),
        };
        for name in ["b", "c", "shut", "deaf"] {
            for v6 in [false, true] {
                let at = SocketAddr::new(ip(&pods[name], v6), 0);
                let at = servers.listen(&pods[name].sandbox, at);
                servers.addresses.insert((name, v6), at);
            }
        }
        servers.behind_the_service = servers.listen(&pods["b"].sandbox, servers.behind_the_service);
        deafen(&pods["deaf"]);
        servers
    }

    fn address(&self, name: &'static str, v6: bool) -> SocketAddr {
        self.addresses[&(name, v6)]
    }

    /// Echoes TCP and UDP on one port.
    fn listen(&mut self, namespace: &Namespace, at: SocketAddr) -> SocketAddr {
        let (tcp, udp) = namespace
            .run(|| {
                let tcp = TcpListener::bind(at)?;
                let udp = UdpSocket::bind(tcp.local_addr()?)?;
                std::io::Result::Ok((tcp, udp))
            })
            .expect("the namespace is entered")
            .expect("the pod listens");
        let at = tcp.local_addr().expect("its address");
        tcp.set_nonblocking(true).expect("not blocking");
        udp.set_nonblocking(true).expect("not blocking");
        let stop = Arc::clone(&self.stop);
        self.threads.push(std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                if let Ok((mut stream, _)) = tcp.accept() {
                    answer(&mut stream);
                }
                let mut buffer = [0; 64];
                if let Ok((length, from)) = udp.recv_from(&mut buffer) {
                    let _ = udp.send_to(&buffer[..length], from);
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        }));
        at
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Echoes until the client has closed.
fn answer(stream: &mut TcpStream) {
    let _ = stream.set_nonblocking(false);
    let _ = stream.set_read_timeout(Some(PATIENCE));
    let mut buffer = [0; 64];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
}

/// Takes a pod's addresses away inside it, so that its packets are delivered and nobody answers.
pub(crate) fn deafen(pod: &RunningPod) {
    pod.deafen().expect("its addresses are taken away");
}
