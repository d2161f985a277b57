//! Flows that are made up: some twenty a second of each node.

use std::time::{Duration, SystemTime};

use api::hubble::flow::{
    DropReason, Endpoint, Flow, FlowType, Ip, IpVersion, Layer4, Policy, Service, Tcp, TcpFlags,
    TraceObservationPoint, TrafficDirection, Verdict, Workload, layer4::Protocol,
};
use hubble::intake::Intake;

/// Between two flows of a node.
const PAUSE: Duration = Duration::from_millis(45);
/// Source, destination, its port; dropped or not.
const PAIRS: [(&str, &str, u32, bool); 9] = [
    ("shop/web", "shop/api", 8080, false),
    ("shop/api", "shop/cart", 8080, false),
    ("shop/api", "data/postgres", 5432, false),
    ("shop/cart", "data/redis", 6379, false),
    ("shop/web", "shop/assets", 8080, false),
    ("shop/recommend", "data/postgres", 5432, true),
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
        intake.message(flow(&node, number));
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
    let policy = Policy {
        name: "postgres-clients".into(),
        namespace: "data".into(),
        kind: "CiliumNetworkPolicy".into(),
        ..Policy::default()
    };
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
        ingress_denied_by: if dropped { vec![policy] } else { Vec::new() },
        uuid: format!("{node}-{number}"),
        summary: "TCP Flags: SYN".into(),
        ..Flow::default()
    }
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
