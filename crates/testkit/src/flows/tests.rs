use api::hubble::flow::{DropReason, Endpoint, Ip, Layer4, Policy, Tcp};

use super::*;

fn flow(from: &str, to: &str, source_port: u32, verdict: Verdict) -> Flow {
    let endpoint = |name: &str| {
        Some(Endpoint {
            pod_name: name.into(),
            ..Endpoint::default()
        })
    };
    let tcp = Tcp {
        source_port,
        destination_port: 8080,
        ..Tcp::default()
    };
    Flow {
        verdict: verdict.into(),
        source: endpoint(from),
        destination: endpoint(to),
        ip: Some(Ip {
            source: "10.0.0.1".into(),
            destination: "10.0.0.2".into(),
            ..Ip::default()
        }),
        l4: Some(Layer4 {
            protocol: Some(Protocol::Tcp(tcp)),
        }),
        node_name: "default/n1".into(),
        ..Flow::default()
    }
}

#[test]
fn a_connection_seen_at_several_points_and_nodes_counts_once() {
    let mut elsewhere = flow("web", "api", 1000, Verdict::Forwarded);
    elsewhere.node_name = "default/n2".into();
    let flows = [
        flow("web", "api", 1000, Verdict::Forwarded),
        elsewhere,
        flow("web", "api", 1001, Verdict::Forwarded),
    ];
    let talks = tally(&flows);
    let (_, tally) = talks.first_key_value().expect("one kind of talk");
    assert_eq!(
        (talks.len(), tally.connections.len(), tally.nodes.len()),
        (1, 2, 2)
    );
}

#[test]
fn a_reply_is_not_a_talk_of_its_own() {
    let mut reply = flow("api", "web", 8080, Verdict::Forwarded);
    reply.is_reply = Some(true.into());
    assert_eq!(tally(&[reply]), BTreeMap::new());
}

#[test]
fn a_denial_names_its_reason_and_its_policy_and_the_picture_aligns() {
    let mut denied = flow("batch", "store", 1, Verdict::Dropped);
    denied.set_drop_reason_desc(DropReason::PolicyDenied);
    denied.ingress_denied_by = vec![Policy {
        name: "store".into(),
        namespace: "shop".into(),
        kind: "CiliumNetworkPolicy".into(),
        ..Policy::default()
    }];
    let text = picture(&tally(&[denied, flow("web", "api", 1, Verdict::Forwarded)]));
    let expected = "batch -xx- 1 -xx| store TCP:8080 policy denied, by CiliumNetworkPolicy shop/store\n  web ---- 1 ---> api   TCP:8080\n";
    assert_eq!(text, expected);
}
