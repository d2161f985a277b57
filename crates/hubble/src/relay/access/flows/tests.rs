use api::hubble::flow::{Dns, Http, Policy, TraceContext, Workload};

use super::*;

fn end(namespace: &str, pod: &str) -> Endpoint {
    Endpoint {
        id: 7,
        identity: 4711,
        namespace: namespace.into(),
        labels: vec!["k8s:secret=label".into()],
        pod_name: pod.into(),
        workloads: vec![Workload {
            name: "owner".into(),
            kind: "Deployment".into(),
        }],
        cluster_name: "default".into(),
    }
}

fn flow(record: Record) -> Flow {
    let policy = |name: &str| {
        vec![Policy {
            name: name.into(),
            ..Policy::default()
        }]
    };
    Flow {
        ip: Some(Ip {
            source: "10.0.0.1".into(),
            destination: "10.0.1.1".into(),
            source_xlated: "10.9.9.9".into(),
            ..Ip::default()
        }),
        source: Some(end("shop", "web-1")),
        destination: Some(end("bank", "vault-0")),
        source_names: vec!["web.example".into()],
        destination_names: vec!["vault.example".into()],
        l7: Some(Layer7 {
            record: Some(record),
            ..Layer7::default()
        }),
        trace_context: Some(TraceContext::default()),
        node_labels: vec!["zone=1".into()],
        policy_log: vec!["said by a policy".into()],
        egress_allowed_by: policy("policy-of-shop"),
        ingress_denied_by: policy("policy-of-bank"),
        ..Flow::default()
    }
}

fn http() -> Record {
    Record::Http(Http {
        url: "http://vault/secret".into(),
        ..Http::default()
    })
}

#[test]
fn of_the_other_end_the_namespace_and_the_workload_are_left() {
    let told = narrowed(flow(http()), true);
    assert_eq!(told.source, Some(end("shop", "web-1")));
    let other = told.destination.clone().unwrap();
    let expected = Endpoint {
        id: 0,
        identity: 0,
        labels: Vec::new(),
        pod_name: String::new(),
        ..end("bank", "")
    };
    assert_eq!(other, expected);
    let ip = told.ip.clone().unwrap();
    assert_eq!(
        (ip.source.as_str(), ip.destination.as_str()),
        ("10.0.0.1", "")
    );
    let text = format!("{told:?}");
    for hidden in [
        "http://",
        "policy-of-bank",
        "example",
        "zone=1",
        "10.9.9.9",
        "said by a policy",
    ] {
        assert!(!text.contains(hidden), "{hidden} in {text}");
    }
    assert!(text.contains("policy-of-shop"), "{text}");
    let told = narrowed(flow(http()), false);
    assert_eq!(told.destination, Some(end("bank", "vault-0")));
    assert_eq!(told.source.unwrap().pod_name, "");
    assert_eq!(told.ingress_denied_by.len(), 1);
    assert!(told.egress_allowed_by.is_empty());
}

#[test]
fn questions_to_dns_are_told_to_the_side_that_asked() {
    let dns = || {
        Record::Dns(Dns {
            query: "a.example.".into(),
            ..Dns::default()
        })
    };
    assert!(narrowed(flow(dns()), true).l7.is_some());
    assert!(narrowed(flow(dns()), false).l7.is_none());
    // The answer comes from the server.
    let answer = Flow {
        is_reply: Some(pbjson_types::BoolValue { value: true }),
        ..flow(dns())
    };
    assert!(narrowed(answer.clone(), true).l7.is_none());
    assert!(narrowed(answer, false).l7.is_some());
}
