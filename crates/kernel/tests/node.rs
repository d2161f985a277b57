//! A node in namespaces of its own: real sockets over the loaded object.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says why it is left out, and what it measured"
)]

#[path = "node/bell.rs"]
mod bell;
#[path = "node/pods.rs"]
mod pods;
#[path = "node/resize.rs"]
mod resize;
#[path = "node/round_trips.rs"]
mod round_trips;
#[path = "node/samples.rs"]
mod samples;
#[path = "node/stage.rs"]
mod stage;

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

use bell::Bell;
use datapath::abi::policy::{PortKey, PortVerdict, verdict};
use datapath::abi::{Drop as Reason, event};
use pods::{Family, Node, Offloads, Policy};
use stage::Stage;

#[test]
fn the_object_loads_onto_new_maps_and_onto_pinned_ones() {
    let Some(stage) = Stage::new("load") else {
        return;
    };
    let start = std::time::Instant::now();
    let kernel = stage.load();
    println!("first load: {:?}", start.elapsed());
    kernel.maps.generations.set(&7, &42).expect("write");
    drop(kernel);
    let start = std::time::Instant::now();
    let kernel = stage.load();
    println!("load onto pins: {:?}", start.elapsed());
    assert_eq!(kernel.maps.generations.get(&7).expect("read"), Some(42));
    for program in kernel.programs.statistics().expect("statistics") {
        println!("{program:?}");
    }
}

#[test]
fn this_kernel_has_every_feature_and_an_unknown_helper_would_be_named() {
    let Some(_stage) = Stage::new("probe") else {
        return;
    };
    let features = kernel::probe::probe();
    let missing: Vec<_> = features
        .iter()
        .filter(|feature| feature.missing.is_some())
        .collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn the_clock_counts_as_the_kernel_does() {
    let Some(_stage) = Stage::new("clock") else {
        return;
    };
    let clock = kernel::clock::Clock::start().expect("clock");
    println!("hz {}", clock.hz());
    let (before, start) = (clock.now().expect("now"), std::time::Instant::now());
    std::thread::sleep(std::time::Duration::from_millis(400));
    let ticks = clock.now().expect("now") - before;
    let expected = clock.ticks(start.elapsed());
    assert!(
        ticks.abs_diff(expected) <= 2 + expected / 20,
        "{ticks} ticks, {expected} expected"
    );
}

/// TCP and UDP from pod 1 to pod 2, both families; the pods' stacks check every checksum.
fn two_pods_talk(offloads: Offloads) {
    let Some(stage) = Stage::new("talk") else {
        return;
    };
    let node = Node::new(&stage, "t");
    let (first, second) = (
        node.pod(1, Policy::None, offloads),
        node.pod(2, Policy::None, offloads),
    );
    for family in pods::FAMILIES {
        let answer = pods::tcp(&first, &second, family, 1 << 20).expect("TCP");
        assert_eq!(answer, 1 << 20, "{family:?}: octets echoed");
        pods::udp(&first, &second, family).expect("UDP");
    }
    let maps = &node.kernel.maps;
    let entries = maps.connections.dump().expect("dump");
    assert_eq!(entries.len(), 4, "one entry per connection: {entries:#?}");
    for (key, entry) in &entries {
        assert_eq!(entry.source_endpoint, 1, "{key:?}");
        assert_eq!(entry.destination_endpoint, 2, "{key:?}");
        assert!(
            entry.sent.packets > 0 && entry.received.packets > 0,
            "{key:?}"
        );
    }
    assert_eq!(maps.openings.count().expect("count"), 0);
    node.assert_balanced();
    assert_eq!(node.drops(), []);
    // Redirected to the peer, data never passes the receiver's hook: that sees our answers to ARP and discovery only.
    let sent = node.came(event::hook::FROM_CONTAINER);
    let answered = node.outcome(event::hook::FROM_CONTAINER, event::outcome::ANSWERED);
    let received = node.came(event::hook::TO_CONTAINER);
    assert!(sent > 100, "{sent} packets for megabytes");
    assert!(
        received <= answered + 20,
        "{received} at the receiver's hook, {answered} answers"
    );
}

#[test]
fn pods_of_one_node_talk_with_offloads() {
    two_pods_talk(Offloads::On);
}

#[test]
fn pods_of_one_node_talk_without_offloads() {
    two_pods_talk(Offloads::Off);
}

/// The reader has a timer, and to wake it is an interrupt on the way of a packet.
#[test]
fn a_ring_that_fills_up_wakes_nobody() {
    const DATAGRAMS: usize = 4000;
    let Some(stage) = Stage::new("ring") else {
        return;
    };
    let node = Node::new(&stage, "r");
    let first = node.pod(1, Policy::None, Offloads::On);
    let second = node.pod(2, Policy::Enforced { index: 7 }, Offloads::On);
    let mut events = kernel::events::Events::open(&node.kernel.maps).expect("events");
    let mut seen = Vec::new();
    while events.read(1000, &mut seen) > 0 {}
    seen.clear();
    let bell = Bell::of(&node.kernel.maps.events).expect("a bell");
    let server = SocketAddr::new(second.address(Family::V4), 7);
    let client = first.namespace.run(|| UdpSocket::bind("0.0.0.0:0"));
    let client = client.expect("enter").expect("bind");
    for _ in 0..DATAGRAMS {
        client.send_to(b"denied", server).expect("send");
    }
    assert!(!bell.rang().expect("an answer"));
    while events.read(1000, &mut seen) > 0 {}
    assert!(seen.len() >= DATAGRAMS, "{} events", seen.len());
}

/// The ring is mapped once, so the reader puts such a record together.
#[test]
fn records_that_cross_the_end_of_the_ring_are_whole() {
    const RING: u32 = 4096;
    const DATAGRAMS: usize = 500;
    let Some(stage) = Stage::new("wrap") else {
        return;
    };
    let config = kernel::Config {
        sample_bytes: RING,
        ..Stage::config()
    };
    let node = Node::sized(&stage, "w", 0, (&config, Stage::features()));
    let first = node.pod(1, Policy::None, Offloads::On);
    let second = node.pod(2, Policy::None, Offloads::On);
    let mut samples = kernel::samples::Samples::open(&node.kernel.maps).expect("samples");
    let backlog = kernel::samples::Samples::backlog(&node.kernel.maps).expect("backlog");
    let server = SocketAddr::new(second.address(Family::V4), 53);
    let client = first.namespace.run(|| UdpSocket::bind("0.0.0.0:0"));
    let client = client.expect("enter").expect("bind");
    let mut octets_read = 0;
    for number in 0..DATAGRAMS {
        let length = 12 + number * 37 % 480;
        let sent: Vec<u8> = (0..length).map(|at| (at * 7 + number) as u8).collect();
        assert_eq!(backlog.written(), samples.position(), "datagram {number}");
        client.send_to(&sent, server).expect("send");
        let waiting = backlog.written().wrapping_sub(samples.position());
        assert!(waiting > length, "{waiting} octets, datagram {number}");
        let seen = samples.next(|_, octets| octets.to_vec());
        assert_eq!(seen, Some(sent), "datagram {number}");
        octets_read += length;
    }
    assert!(octets_read > 20 * RING as usize);
    assert_eq!((samples.lost().expect("lost"), samples.malformed()), (0, 0));
}

#[test]
fn a_denied_syn_is_dropped_and_booked_on_its_endpoint_and_rule() {
    let Some(stage) = Stage::new("deny") else {
        return;
    };
    let node = Node::new(&stage, "d");
    let first = node.pod(1, Policy::None, Offloads::On);
    let second = node.pod(2, Policy::Enforced { index: 7 }, Offloads::On);
    let mut events = kernel::events::Events::open(&node.kernel.maps).expect("events");
    for family in pods::FAMILIES {
        let error = pods::tcp_within(&first, &second, family, 1, pods::DENIED).expect_err("denied");
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{family:?}: {error}");
    }
    let mut seen = Vec::new();
    events.read(1000, &mut seen);
    let denied: Vec<_> = seen
        .iter()
        .filter(|event| event.kind == event::kind::DENIED)
        .collect();
    assert!(denied.len() >= 2, "{seen:#?}");
    for event in denied {
        assert_eq!(event.reason, Reason::PolicyDenied.number());
        assert_eq!((event.source_endpoint, event.destination_endpoint), (1, 2));
        assert_eq!(
            (event.direction, event.policy),
            (event::direction::INGRESS, 7)
        );
    }
    for (key, count) in node.drops() {
        assert_eq!(
            (key.endpoint, key.reason),
            (2, Reason::PolicyDenied.number()),
            "{key:?} {count:?}"
        );
    }
    assert_eq!(node.kernel.maps.connections.count().expect("count"), 0);
    node.assert_balanced();
    allow_the_port(&node);
    for family in pods::FAMILIES {
        assert_eq!(
            pods::tcp(&first, &second, family, 5000).expect("allowed"),
            5000
        );
    }
    let entries = node.kernel.maps.connections.dump().expect("dump");
    assert!(
        entries.iter().all(|(_, entry)| entry.ingress_rule == 99),
        "{entries:#?}"
    );
}

/// A rule for the port lets the next connection through.
pub(crate) fn allow_the_port(node: &Node) {
    let key = PortKey {
        prefix_len: PortKey::FIXED_BITS + 16,
        version: 1,
        policy: 7,
        class: 0,
        protocol: 6,
        pad: 0,
        port: pods::PORT.to_be(),
    };
    let value = PortVerdict {
        verdict: verdict::ALLOW,
        match_type: 3,
        proxy_port: 0,
        rule: 99,
    };
    node.kernel
        .maps
        .policy_ports
        .set(&key, &value)
        .expect("rule");
}

/// TCP and UDP through the overlay, both families, there and back.
fn pods_of_two_nodes_talk(offloads: Offloads) {
    let (Some(here), Some(there)) = (Stage::new("here"), Stage::new("there")) else {
        return;
    };
    let features = datapath::abi::node::Features {
        tunnel: 1,
        ..Stage::features()
    };
    let nodes = [
        Node::numbered(&here, "h", 0, features),
        Node::numbered(&there, "o", 1, features),
    ];
    let [first, second] = &nodes;
    pods::join([first, second]);
    let client = first.pod(1, Policy::None, offloads);
    let server = second.pod(2, Policy::None, offloads);
    first.learn(second, &server);
    second.learn(first, &client);
    for family in pods::FAMILIES {
        let answer = pods::tcp(&client, &server, family, 100_000);
        let drops = || (first.drops(), second.drops());
        assert_eq!(
            answer.unwrap_or_else(|error| panic!("{error}: {:?}", drops())),
            100_000
        );
        pods::udp(&client, &server, family).expect("UDP");
    }
    for (_, entry) in second.kernel.maps.connections.dump().expect("dump") {
        if entry.destination_endpoint == 2 {
            assert_eq!(
                entry.source_identity, client.identity,
                "the VNI carries the sender"
            );
        }
    }
    assert!(second.outcome(event::hook::FROM_OVERLAY, event::outcome::FORWARDED) > 10);
    nodes.iter().for_each(Node::assert_balanced);
}

#[test]
fn pods_of_two_nodes_talk_through_the_overlay_with_offloads() {
    pods_of_two_nodes_talk(Offloads::On);
}

#[test]
fn pods_of_two_nodes_talk_through_the_overlay_without_offloads() {
    pods_of_two_nodes_talk(Offloads::Off);
}

/// What the child process of the next test does: it runs in the node's cgroup.
#[test]
fn child_in_the_cgroup() {
    let Ok(service) = std::env::var("AX_SERVICE") else {
        return;
    };
    let mut stream = TcpStream::connect(&service).expect("connect to the service");
    assert_eq!(
        stream.peer_addr().expect("peer").to_string(),
        service,
        "getpeername"
    );
    stream.write_all(b"ping").expect("write");
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).expect("read");
    let socket = UdpSocket::bind("0.0.0.0:0").expect("bind");
    socket
        .set_read_timeout(Some(std::time::Duration::from_secs(2)))
        .expect("time-out");
    socket.send_to(b"ping", &service).expect("send");
    let (_, from) = socket.recv_from(&mut answer).expect("answer");
    assert_eq!(from.to_string(), service, "recvmsg");
    let empty = std::env::var("AX_EMPTY").expect("AX_EMPTY");
    let error = TcpStream::connect(empty).expect_err("no backends");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_socket_reaches_a_service_by_its_backend_and_sees_the_service() {
    let Some(stage) = Stage::new("sock") else {
        return;
    };
    let kernel = stage.load();
    let cgroup = stage.cgroup();
    kernel::attach::attach_cgroup(&kernel, cgroup.path()).expect("attach");
    kernel::attach::attach_cgroup(&kernel, cgroup.path()).expect("update");
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
    let backend = listener.local_addr().expect("address");
    let datagrams = UdpSocket::bind(backend).expect("bind");
    Stage::service(&kernel, [10, 96, 0, 1], backend);
    Stage::service_without_backends(&kernel, [10, 96, 0, 2]);
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("accept");
        let mut word = [0; 4];
        stream.read_exact(&mut word).expect("read");
        stream.write_all(&word).expect("write");
        let (_, from) = datagrams.recv_from(&mut word).expect("datagram");
        datagrams.send_to(&word, from).expect("answer");
    });
    let output = cgroup.run_test(
        "child_in_the_cgroup",
        &[("AX_SERVICE", "10.96.0.1:80"), ("AX_EMPTY", "10.96.0.2:80")],
    );
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    answering.join().expect("server");
    assert!(kernel.maps.socket_peers.count().expect("count") >= 2);
}

/// Upper bounds of one program, see `crates/datapath-ebpf/budget.toml`.
#[derive(serde::Deserialize)]
struct Budget {
    /// Instructions that the verifier walks.
    instructions: u32,
    /// Deepest frame of any function, octets.
    stack: u32,
}

#[test]
fn every_program_keeps_its_budget() {
    let Some(stage) = Stage::new("budget") else {
        return;
    };
    let text = include_str!("../../datapath-ebpf/budget.toml");
    let budgets: BTreeMap<String, Budget> = toml::from_str(text).expect("budget.toml");
    let features = datapath::abi::node::Features {
        tunnel: 1,
        masquerade_ipv4: 1,
        masquerade_ipv6: 1,
        host_policy: 1,
        ..Stage::features()
    };
    let kernel = kernel::Kernel::load(stage.bpffs(), &Stage::config(), features).expect("load");
    let mut over = Vec::new();
    for program in kernel.programs.statistics().expect("statistics") {
        let (walked, stack) = (program.verified_instructions, program.stack_bytes);
        println!(
            "{}: {walked} instructions, {stack} octets of stack",
            program.name
        );
        let Some(budget) = budgets.get(&program.name) else {
            over.push(format!("{} has no budget", program.name));
            continue;
        };
        if walked > budget.instructions || stack > budget.stack {
            over.push(format!(
                "{}: {walked} instructions, {stack} octets",
                program.name
            ));
        }
        if walked < budget.instructions / 10 * 8 {
            println!("{}: lower its budget to {}", program.name, walked / 20 * 21);
        }
    }
    assert!(over.is_empty(), "over budget: {over:#?}");
}

#[test]
fn an_established_packet_is_redirected_by_a_program_run() {
    let Some(stage) = Stage::new("run") else {
        return;
    };
    let node = Node::new(&stage, "r");
    let first = node.pod(1, Policy::None, Offloads::On);
    let second = node.pod(2, Policy::None, Offloads::On);
    let ports = pods::udp(&first, &second, pods::Family::V4).expect("UDP");
    let packet = node.datagram(&first, &second, ports);
    node.make_delivery_repeatable(&first, &second);
    let origin = kernel::program_run::Origin {
        ifindex: first.ifindex,
        ingress_ifindex: first.ifindex,
        ..kernel::program_run::Origin::default()
    };
    let before = node.outcome(event::hook::FROM_CONTAINER, event::outcome::FORWARDED);
    let mut best = u32::MAX;
    for _ in 0..10 {
        let ran = node
            .namespace
            .run(|| {
                kernel::program_run::run(
                    &node.kernel.programs,
                    kernel::Hook::FromContainer,
                    &packet,
                    origin,
                    20_000,
                )
            })
            .expect("enter")
            .expect("run");
        assert_eq!(ran.code, 7, "redirected: {:?}", node.drops());
        best = best.min(ran.duration_ns);
    }
    let forwarded = node.outcome(event::hook::FROM_CONTAINER, event::outcome::FORWARDED) - before;
    assert_eq!(forwarded, 200_000);
    println!("established packet: {best} ns per program run, least of ten");
    node.assert_balanced();
}
