//! Flows that are made up: some twenty a second of each node, of which a fifth are of what was said.

use std::time::{Duration, SystemTime};

use api::hubble::flow::{
    CiliumEventType, Dns, DropReason, Endpoint, Flow, FlowType, Http, Ip, IpVersion, Kafka,
    L7FlowType, Layer4, Layer7, Policy, Service, Tcp, TcpFlags, TraceObservationPoint,
    TrafficDirection, Verdict, Workload, layer4::Protocol, layer7::Record,
};
use hubble::flow::event_type;
use hubble::intake::Intake;

/// Between two flows of a node.
const PAUSE: Duration = Duration::from_millis(45);
/// Source, destination, its port; dropped or not.
const PAIRS: [(&str, &str, u32, bool); 10] = [
    ("shop/web", "shop/api", 8080, false),
    ("shop/api", "shop/cart", 8080, false),
    ("shop/api", "data/postgres", 5432, false),
    ("shop/cart", "data/redis", 6379, false),
    ("shop/web", "shop/assets", 8080, false),
    ("shop/recommend", "data/postgres", 5432, true),
    ("lab/notebook", "data/postgres", 5432, true),
    ("ingress/gateway", "shop/web", 8080, false),
    ("shop/checkout", "data/kafka", 9092, false),
    ("monitoring/prometheus", "shop/api", 9102, false),
];

/// Lets flows of `node` come for ever.
pub(crate) async fn come(intake: Intake, node: String, index: usize) {
    let mut ticks = tokio::time::interval(PAUSE);
    let mut number = index;
    loop {
        ticks.tick().await;
        number += 1;
        intake.message(match number % 5 {
            0 => said(&node, number / 5),
            _ => flow(&node, number),
        });
    }
}

#[allow(deprecated, reason = "clients of today print the summary")]
fn flow(node: &str, number: usize) -> Flow {
    let (from, to, port, dropped) = PAIRS[number % PAIRS.len()];
    let verdict = if dropped {
        Verdict::Dropped
    } else {
        Verdict::Forwarded
    };
    let (source, destination) = (endpoint(from, number), endpoint(to, number));
    let (namespace, name) = to.split_once('/').unwrap_or(("", to));
    Flow {
        time: Some(SystemTime::now().into()),
        verdict: verdict.into(),
        ip: Some(Ip {
            source: format!("10.244.1.{}", number % 200),
            destination: format!("10.244.2.{}", number % 90),
            ip_version: IpVersion::IPv4.into(),
            ..Ip::default()
        }),
        l4: Some(Layer4 {
            protocol: Some(Protocol::Tcp(Tcp {
                source_port: 40_000 + (number % 20_000) as u32,
                destination_port: port,
                flags: Some(TcpFlags {
                    syn: true,
                    ..TcpFlags::default()
                }),
            })),
        }),
        source: Some(source),
        destination: Some(destination),
        r#type: FlowType::L3L4.into(),
        event_type: event(if dropped {
            event_type::DROP
        } else {
            event_type::TRACE
        }),
        node_name: node.into(),
        destination_service: Some(Service {
            name: name.into(),
            namespace: namespace.into(),
        }),
        traffic_direction: TrafficDirection::Ingress.into(),
        trace_observation_point: TraceObservationPoint::ToEndpoint.into(),
        drop_reason_desc: if dropped {
            DropReason::PolicyDenied.into()
        } else {
            0
        },
        is_reply: Some(false.into()),
        ingress_denied_by: if dropped { vec![policy()] } else { Vec::new() },
        uuid: format!("{node}-{number}"),
        summary: "TCP Flags: SYN".into(),
        ..Flow::default()
    }
}

#[allow(clippy::unnecessary_wraps, reason = "as a flow has it")]
fn event(kind: i32) -> Option<CiliumEventType> {
    Some(CiliumEventType {
        r#type: kind,
        sub_type: 0,
    })
}

fn policy() -> Policy {
    Policy {
        name: "postgres-clients".into(),
        namespace: "data".into(),
        kind: "CiliumNetworkPolicy".into(),
        ..Policy::default()
    }
}

/// Who says what to whom: an answer over HTTP, or one of a DNS server, or a request to a Kafka broker.
#[allow(deprecated, reason = "Kafka is")]
fn words(number: usize) -> (&'static str, &'static str, u32, Record) {
    let http = |code, path: &str| {
        Record::Http(Http {
            code,
            method: "GET".into(),
            url: format!("http://cart:8080{path}"),
            protocol: "HTTP/1.1".into(),
            ..Http::default()
        })
    };
    match number % 4 {
        0 => ("shop/cart", "shop/api", 8080, http(200, "/carts/*")),
        1 => ("shop/cart", "shop/api", 8080, http(503, "/checkout")),
        2 => {
            let dns = Dns {
                query: "cart.shop.svc.cluster.local.".into(),
                ips: vec!["10.96.0.31".into()],
                qtypes: vec!["A".into()],
                ..Dns::default()
            };
            ("kube-system/coredns", "shop/web", 53, Record::Dns(dns))
        }
        _ => {
            let kafka = Kafka {
                error_code: 19,
                api_key: "produce".into(),
                topic: "orders".into(),
                ..Kafka::default()
            };
            ("shop/checkout", "data/kafka", 9092, Record::Kafka(kafka))
        }
    }
}

/// Something that was said.
#[allow(deprecated, reason = "clients of today print the summary and Kafka")]
fn said(node: &str, number: usize) -> Flow {
    let (from, to, port, record) = words(number);
    let is_reply = !matches!(record, Record::Kafka(_));
    let mut flow = flow(node, 0);
    let tcp = Tcp {
        source_port: if is_reply { port } else { 40_123 },
        destination_port: if is_reply { 40_123 } else { port },
        flags: None,
    };
    flow.l4 = Some(Layer4 {
        protocol: Some(Protocol::Tcp(tcp)),
    });
    flow.l7 = Some(Layer7 {
        r#type: if is_reply {
            L7FlowType::Response
        } else {
            L7FlowType::Request
        }
        .into(),
        latency_ns: 3_100_000 + 70_000 * (number as u64 % 9),
        record: Some(record),
    });
    flow.source = Some(endpoint(from, number));
    flow.destination = Some(endpoint(to, number));
    flow.destination_service = None;
    flow.r#type = FlowType::L7.into();
    flow.event_type = event(event_type::ACCESS_LOG);
    flow.is_reply = Some(is_reply.into());
    flow.uuid = format!("{node}-said-{number}");
    flow.summary = String::new();
    flow
}

fn endpoint(name: &str, number: usize) -> Endpoint {
    let (namespace, workload) = name.split_once('/').unwrap_or(("", name));
    Endpoint {
        identity: 1000 + (workload.len() * 37) as u32,
        cluster_name: "default".into(),
        namespace: namespace.into(),
        labels: vec![
            format!("k8s:app={workload}"),
            format!("k8s:io.kubernetes.pod.namespace={namespace}"),
        ],
        pod_name: format!(
            "{workload}-6d4b75cb6d-{}",
            ["hx2vq", "2tlpm", "q9zkd"][number % 3]
        ),
        workloads: vec![Workload {
            name: workload.into(),
            kind: "Deployment".into(),
        }],
        ..Endpoint::default()
    }
}
