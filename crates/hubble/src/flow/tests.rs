use super::*;
use crate::{
    enrich::{enrich, flows},
    sample::{Shop, denied, opened},
};

#[test]
fn all_names_of_the_moment_are_in_the_message() {
    let node = Node {
        name: "default/n1".into(),
        labels: vec!["zone=a".into()],
    };
    let flow = flows(Arc::new(enrich(opened(), &Shop))).next().unwrap();
    let mut flow = flow.message(&node);
    assert_eq!(Uuid::parse_str(&flow.uuid).unwrap().get_version_num(), 4);
    flow.uuid = String::new();
    insta::assert_json_snapshot!(flow);
}

#[test]
fn summaries_name_flags_and_icmp_types() {
    let text = |protocol, kind, code| {
        summary::summary(&Record {
            protocol,
            tcp_flags_or_icmp_type: kind,
            icmp_code: code,
            ..opened()
        })
    };
    assert_eq!(text(6, 0x12, 0), "TCP Flags: SYN, ACK");
    assert_eq!(
        text(6, 0xff, 0),
        "TCP Flags: SYN, ACK, RST, FIN, PSH, URG, ECE, CWR"
    );
    assert_eq!(text(17, 0, 0), "UDP");
    assert_eq!(text(132, 0, 0), "SCTP");
    assert_eq!(text(1, 8, 0), "ICMPv4 EchoRequest");
    assert_eq!(text(1, 3, 3), "ICMPv4 DestinationUnreachable(Port)");
    assert_eq!(text(58, 128, 0), "ICMPv6 EchoRequest");
    assert_eq!(text(58, 1, 4), "ICMPv6 DestinationUnreachable(Port)");
    assert_eq!(text(1, 200, 9), "ICMPv4 200(9)");
}

/// The agent's memory target leaves a few MiB for the ring, so a stored flow must stay small.
#[test]
fn a_stored_flow_is_small() {
    assert!(size_of::<Observed>() <= 40, "{}", size_of::<Observed>());
    assert!(size_of::<Enriched>() <= 416, "{}", size_of::<Enriched>());
}

#[test]
fn told_again_for_another_view_it_is_as_if_made_anew() {
    let node = Node::default();
    let closed = Record {
        what: What::Closed {
            point: Point::ToEndpoint,
            way: Way::Reply,
        },
        ..opened()
    };
    let lost = Record {
        what: What::Dropped {
            side: None,
            reason: 151,
        },
        ..opened()
    };
    for record in [opened(), denied(), closed, lost] {
        let enriched = Arc::new(enrich(record, &Shop));
        let flows: Vec<_> = flows(enriched).collect();
        for (first, then) in flows.iter().flat_map(|a| flows.iter().map(move |b| (a, b))) {
            let mut message = first.message(&node);
            then.retell(&mut message);
            assert_eq!(message, then.message(&node));
        }
    }
}
