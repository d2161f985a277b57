use std::{net::IpAddr, time::Duration};

use datapath::abi::{Address, endpoint::hop_kind, event::Event};

use super::*;

fn event() -> Event {
    Event {
        time_ns: 5,
        kind: kind::OPENED,
        hook: hook::FROM_CONTAINER,
        protocol: 6,
        tcp_flags: 2,
        match_type: 2,
        source: Address::v4([10, 0, 0, 1]),
        destination: Address::v4([10, 96, 0, 10]),
        translated: Address::v4([10, 0, 0, 2]),
        source_port: 40000_u16.to_be(),
        destination_port: 80_u16.to_be(),
        translated_port: 8080_u16.to_be(),
        source_identity: 1000,
        destination_identity: 1001,
        egress_rule: 11,
        source_endpoint: 7,
        destination_endpoint: 8,
        ifindex: 3,
        hop_kind: hop_kind::LOCAL,
        macs: [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1],
        ..Event::default()
    }
}

fn clock() -> Clock {
    Clock::new(2, UNIX_EPOCH + Duration::from_nanos(1002))
}

#[test]
fn a_connection_within_the_node_is_judged_on_both_sides_and_keeps_what_was_asked_for() {
    let record = decode(&event(), clock()).unwrap();
    let expected = Record {
        time_ns: 1005,
        interface: 3,
        what: What::New {
            point: Point::ToEndpoint,
            egress: Some(Judgement {
                rule: 11,
                match_type: 2,
                mode: Mode::Enforced,
                proxy_port: 0,
            }),
            ingress: Some(Judgement {
                rule: 0,
                match_type: 0,
                mode: Mode::Enforced,
                proxy_port: 0,
            }),
        },
        ..crate::sample::opened()
    };
    assert_eq!(record, expected);
}

#[test]
fn a_packet_that_leaves_the_node_is_judged_only_by_its_sender() {
    for (hop, point) in [
        (hop_kind::TUNNEL, Point::ToOverlay),
        (hop_kind::STACK, Point::ToStack),
        (hop_kind::ROUTE, Point::ToNetwork),
        (hop_kind::PROXY, Point::ToProxy),
    ] {
        let event = Event {
            destination_endpoint: 0,
            hop_kind: hop,
            ..event()
        };
        let What::New {
            point: seen,
            egress,
            ingress,
        } = decode(&event, clock()).unwrap().what
        else {
            panic!("not a new connection");
        };
        assert_eq!(
            (seen, egress.is_some(), ingress.is_some()),
            (point, true, false)
        );
    }
    let to_node = Event {
        destination_endpoint: 0,
        destination_identity: 1,
        hop_kind: hop_kind::STACK,
        ..event()
    };
    let record = decode(&to_node, clock()).unwrap();
    assert!(
        matches!(
            record.what,
            What::New {
                point: Point::ToHost,
                ..
            }
        ),
        "{record:?}"
    );
}

#[test]
fn a_denial_names_the_rule_of_the_side_that_denied() {
    let denied = Event {
        kind: kind::DENIED,
        reason: 133,
        direction: direction::INGRESS,
        ingress_rule: 12,
        ..event()
    };
    let What::Denied {
        side,
        judgement,
        reason,
    } = decode(&denied, clock()).unwrap().what
    else {
        panic!("not a denial");
    };
    assert_eq!((side, judgement.rule, reason), (Side::Ingress, 12, 133));
    let egress = Event {
        direction: direction::EGRESS,
        ..denied
    };
    let What::Denied {
        side, judgement, ..
    } = decode(&egress, clock()).unwrap().what
    else {
        panic!("not a denial");
    };
    assert_eq!((side, judgement.rule), (Side::Egress, 11));
}

#[test]
fn an_echo_has_no_ports_but_its_type() {
    let echo = Event {
        protocol: 1,
        tcp_flags: 8,
        translated: Address::NONE,
        ..event()
    };
    let record = decode(&echo, clock()).unwrap();
    assert_eq!((record.source.port, record.destination.port), (0, 0));
    assert_eq!(
        record.destination.address,
        "10.96.0.10".parse::<IpAddr>().unwrap()
    );
    assert_eq!(record.asked, None);
}

#[test]
fn the_answer_to_an_echo_is_one_as_well() {
    let answer = Event {
        kind: kind::ANSWERED,
        protocol: 1,
        tcp_flags: 0,
        translated: Address::NONE,
        ..event()
    };
    let record = decode(&answer, clock()).unwrap();
    assert_eq!(record.tcp_flags_or_icmp_type, 0);
    let What::Closed { way, .. } = record.what else {
        panic!("{record:?}");
    };
    assert_eq!(way, Way::Reply);
}

#[test]
fn events_without_a_meaning_for_flows_are_no_records() {
    for kind in [kind::ANSWERED, kind::CLOSING, 200] {
        assert_eq!(decode(&Event { kind, ..event() }, clock()), None, "{kind}");
    }
}
