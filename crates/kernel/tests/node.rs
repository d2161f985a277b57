//! A node in namespaces of its own: real sockets over the loaded object.

#[path = "node/pods.rs"]
mod pods;
#[path = "node/stage.rs"]
mod stage;

use std::io::ErrorKind;

use datapath::abi::policy::{PortKey, PortVerdict, verdict};
use datapath::abi::{Drop as Reason, event};
use pods::{Node, Offloads, Policy};
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
fn a_pin_of_another_capacity_stops_the_start_by_name() {
    let Some(stage) = Stage::new("pins") else {
        return;
    };
    drop(stage.load());
    let config = kernel::Config {
        aliases: 1024,
        ..stage.config()
    };
    let error = kernel::Kernel::load(stage.bpffs(), &config, Stage::features())
        .expect_err("other capacity");
    let text = error.to_string();
    assert!(
        text.contains("maps/aliases has capacity 4096, this release needs 1024"),
        "{text}"
    );
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
    let sent = node.outcome(event::hook::FROM_CONTAINER, event::outcome::RECEIVED);
    let answered = node.outcome(event::hook::FROM_CONTAINER, event::outcome::ANSWERED);
    let received = node.outcome(event::hook::TO_CONTAINER, event::outcome::RECEIVED);
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
        let error = pods::tcp(&first, &second, family, 1).expect_err("denied");
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

    // A rule for the port lets the next one through.
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
