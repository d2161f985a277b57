//! Requests for flows as clients send them: decoded, their filters compiled and asked, their field masks applied.

use std::sync::LazyLock;

use api::hubble::flow::flow_filter::Experimental;
use api::hubble::flow::{EventTypeFilter, Flow, FlowFilter};
use api::hubble::observer::GetFlowsRequest;
use hubble::filter::Selection;
use hubble::mask::Mask;
use prost::Message;

use super::{Shape, Target, events};

pub(super) const TARGET: Target = Target {
    name: "filters",
    shape: Shape::Bytes,
    seeds,
    run,
};

/// Flows of every kind.
static FLOWS: LazyLock<Vec<Flow>> = LazyLock::new(|| {
    events::seeds()
        .iter()
        .flat_map(|record| events::messages(record))
        .collect()
});

fn run(data: &[u8]) {
    let Ok(request) = GetFlowsRequest::decode(data) else {
        return;
    };
    match Selection::compile(&request.whitelist, &request.blacklist) {
        Ok(selection) => {
            let selected = FLOWS.iter().filter(|flow| selection.matches(flow)).count();
            assert!(!selection.is_everything() || selected == FLOWS.len());
        }
        Err(error) => assert!(!error.reason.is_empty() && !error.field.is_empty()),
    }
    let paths = request
        .field_mask
        .map(|mask| mask.paths)
        .unwrap_or_default();
    if let Ok(Some(mask)) = Mask::new(&paths) {
        for flow in FLOWS.iter() {
            let once = mask.apply(flow);
            assert_eq!(mask.apply(&once), once, "a masked flow is masked already");
        }
    }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// Who talks.
fn by_origin() -> FlowFilter {
    FlowFilter {
        source_ip: texts(&["10.0.1.0/24", "fd00::1"]),
        source_pod: texts(&["shop/web", "shop/"]),
        source_label: texts(&["k8s:app in (web, api)", "!x"]),
        source_service: texts(&["shop/api"]),
        source_workload: vec![api::hubble::flow::Workload {
            name: "web".into(),
            kind: "Deployment".into(),
        }],
        source_identity: vec![1000],
        node_name: texts(&["default/n*", "n1"]),
        node_labels: texts(&["zone=a"]),
        ..FlowFilter::default()
    }
}

/// What is said, and how it ends.
fn by_network() -> FlowFilter {
    FlowFilter {
        destination_port: texts(&["80", "1-100"]),
        protocol: texts(&["tcp", "ICMPv4"]),
        verdict: vec![1, 2],
        event_type: vec![EventTypeFilter {
            r#type: 1,
            match_sub_type: true,
            sub_type: 133,
        }],
        reply: vec![false],
        traffic_direction: vec![1],
        drop_reason_desc: vec![133],
        uuid: texts(&["x"]),
        destination_fqdn: texts(&["*.shop.svc"]),
        dns_query: texts(&["^a.*"]),
        http_status_code: texts(&["5+"]),
        http_path: texts(&["/a(b|c)*"]),
        ..FlowFilter::default()
    }
}

/// Expressions: every operator, function and loop there is.
const EXPRESSIONS: &[&str] = &[
    "_flow.verdict == Verdict.DROPPED && !has(_flow.l7)",
    "_flow.source.labels.exists(l, l.startsWith('k8s:') || l.endsWith(\"x\"))",
    "_flow.l4.TCP.source_port in [80, 0x1bb, 8080u] ? true : -1 < 2",
    "size(_flow.IP.source) > 3 && _flow.IP.source.matches(r'^10\\.')",
    "_flow.destination.labels.map(l, l + '\\u00e9')[0].contains('a')",
    "_flow.time >= timestamp('2026-01-01T00:00:00Z')",
    "int('7') * 2 - 1 / 1 % 3 == int(double(uint(2)) + 1.5e3)",
    "[b'a', bytes('b')].all(b, string(b) != '''c''')",
    "_flow.source.labels.exists_one(l, bool('true')) || size(_flow.node_labels.filter(l, l != null)) > 0",
];

fn seeds() -> Vec<Vec<u8>> {
    let (by_origin, by_network) = (by_origin(), by_network());
    let by_expression = |text: &&str| FlowFilter {
        experimental: Some(Experimental {
            cel_expression: texts(&[text]),
        }),
        ..FlowFilter::default()
    };
    let request = |whitelist, blacklist, paths: &[&str]| {
        GetFlowsRequest {
            number: 20,
            whitelist,
            blacklist,
            field_mask: Some(pbjson_types::FieldMask {
                paths: texts(paths),
            }),
            ..GetFlowsRequest::default()
        }
        .encode_to_vec()
    };
    let mut seeds = vec![
        request(
            vec![by_origin.clone()],
            vec![by_network.clone()],
            &["source.pod_name", "verdict"],
        ),
        request(
            vec![by_network],
            vec![by_origin],
            &["l4.TCP.flags", "source.labels", "time"],
        ),
        request(vec![FlowFilter::default()], vec![], &["uuid"]),
    ];
    // One to a request: an expression that is broken would hide those after it.
    let expressions = EXPRESSIONS.iter().map(by_expression);
    seeds.extend(expressions.map(|filter| request(vec![filter], vec![], &[])));
    seeds
}
