use api::hubble::flow::{CiliumEventType, Ip, Layer4, Tcp, TcpFlags};

use super::*;

fn flow(kind: i32, sub_type: i32) -> Flow {
    let end = |id, identity, pod: &str| {
        Some(Endpoint {
            id,
            identity,
            namespace: "shop".into(),
            pod_name: pod.into(),
            ..Endpoint::default()
        })
    };
    let tcp = Tcp {
        source_port: 40000,
        destination_port: 80,
        flags: Some(TcpFlags {
            syn: true,
            ..TcpFlags::default()
        }),
    };
    Flow {
        event_type: Some(CiliumEventType {
            r#type: kind,
            sub_type,
        }),
        ip: Some(Ip {
            source: "10.0.0.1".into(),
            destination: "10.0.0.2".into(),
            ..Ip::default()
        }),
        l4: Some(Layer4 {
            protocol: Some(layer4::Protocol::Tcp(tcp)),
        }),
        source: end(7, 1001, "batch"),
        destination: end(9, 1002, "api"),
        ..Flow::default()
    }
}

fn line(flow: &Flow, verbose: u8) -> String {
    let mut out = Vec::new();
    write_line(&mut out, flow, verbose).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn each_type_of_event_has_its_line() {
    assert_eq!(
        line(&flow(event_type::DROP, 133), 1),
        "xx drop (Policy denied) to endpoint 9, ifindex 0, identity 1001->1002: 10.0.0.1:40000 -> 10.0.0.2:80 tcp SYN (shop/batch -> shop/api)\n"
    );
    let mut verdict = flow(event_type::POLICY_VERDICT, 0);
    verdict.set_traffic_direction(TrafficDirection::Ingress);
    verdict.set_verdict(Verdict::Dropped);
    assert_eq!(
        line(&verdict, 0),
        "Policy verdict log: local EP ID 9, remote ID 1001, ingress, action deny, 10.0.0.1:40000 -> 10.0.0.2:80 tcp SYN\n"
    );
    assert!(
        line(&flow(event_type::TRACE, 0), 0)
            .starts_with("-> unknown-point endpoint 9, identity 1001->1002 state new")
    );
}

#[test]
fn endpoints_select_by_sender_receiver_or_either() {
    let flow = flow(event_type::DROP, 133);
    let wanted = |from: &[u32], to: &[u32], either: &[u32]| {
        let set = |all: &[u32]| all.iter().copied().collect();
        Wanted {
            from: set(from),
            to: set(to),
            either: set(either),
        }
        .has(&flow)
    };
    assert!(wanted(&[], &[], &[]));
    assert!(wanted(&[7], &[9], &[7]));
    assert!(!wanted(&[9], &[], &[]));
    assert!(!wanted(&[], &[7], &[]));
    assert!(wanted(&[], &[], &[9]) && !wanted(&[], &[], &[8]));
}

#[test]
fn types_are_asked_of_the_server_and_none_asks_for_all() {
    assert!(request(&[]).whitelist.is_empty());
    let asked = request(&[Kind::Drop, Kind::PolicyVerdict]);
    let numbers: Vec<i32> = asked.whitelist[0]
        .event_type
        .iter()
        .map(|filter| filter.r#type)
        .collect();
    assert_eq!((asked.follow, numbers), (true, vec![1, 5]));
}
