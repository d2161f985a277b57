//! A relay over nodes in this process, asked as a client asks it.

mod access;
mod answers;
mod clusters;
mod faults;
mod fleet;
mod newer;
mod promql;
mod web;

use api::hubble::{
    Timestamp,
    flow::{FlowFilter, Verdict},
    observer::{
        GetAgentEventsRequest, GetFlowsRequest, GetNamespacesRequest, ServerStatusRequest,
        get_flows_response::ResponseTypes,
    },
};
use pbjson_types::FieldMask;
use tonic::{Code, transport::Endpoint};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use fleet::{Fleet, all_connected, ids, read_until, statuses, within};

/// Three nodes; flow `i` of 90 is `i` milliseconds old and of node `i % 3`.
async fn ninety() -> Fleet {
    let fleet = Fleet::connected(3).await;
    for number in 0..90_u16 {
        let node = &fleet.nodes[usize::from(number % 3)];
        node.saw(number.into(), number);
    }
    fleet
}

fn time(milliseconds: i64) -> Timestamp {
    Timestamp {
        seconds: 1_700_000_000,
        nanos: (milliseconds * 1_000_000) as i32,
    }
}

#[tokio::test]
async fn flows_of_all_nodes_come_in_the_order_of_their_times() {
    let fleet = ninety().await;
    let all = fleet.all(GetFlowsRequest::default()).await.unwrap();
    assert_eq!(statuses(&all), ["NODE_CONNECTED n1 n2 n3"]);
    assert_eq!(ids(&all), (0..90).collect::<Vec<_>>());
    assert_eq!(all[1].node_name, "default/n1");
    assert_eq!(all[2].node_name, "default/n2");
    assert!(statuses(&all[..1]).len() == 1, "the status comes first");
    fleet.end().await;
}

#[tokio::test]
async fn the_number_counts_over_all_nodes() {
    let fleet = ninety().await;
    let number = GetFlowsRequest {
        number: 10,
        ..GetFlowsRequest::default()
    };
    let last = fleet.all(number.clone()).await.unwrap();
    assert_eq!(ids(&last), (80..90).collect::<Vec<_>>());
    let first = GetFlowsRequest {
        first: true,
        ..number.clone()
    };
    let first = fleet.all(first).await.unwrap();
    assert_eq!(ids(&first), (0..10).collect::<Vec<_>>());
    let since = GetFlowsRequest {
        since: Some(time(40)),
        ..number
    };
    let since = fleet.all(since).await.unwrap();
    assert_eq!(ids(&since), (40..50).collect::<Vec<_>>());
    let span = GetFlowsRequest {
        since: Some(time(20)),
        until: Some(time(29)),
        ..GetFlowsRequest::default()
    };
    assert_eq!(
        ids(&fleet.all(span).await.unwrap()),
        (20..30).collect::<Vec<_>>()
    );
    let everything = GetFlowsRequest {
        number: u64::MAX,
        ..GetFlowsRequest::default()
    };
    assert_eq!(ids(&fleet.all(everything).await.unwrap()).len(), 90);
    fleet.end().await;
}

#[tokio::test]
async fn filters_and_masks_hold_at_the_nodes_and_time_and_node_stay() {
    let fleet = ninety().await;
    let request = GetFlowsRequest {
        whitelist: vec![FlowFilter {
            source_port: vec!["7".into(), "8".into()],
            ..FlowFilter::default()
        }],
        field_mask: Some(FieldMask {
            paths: vec!["l4".into(), "verdict".into()],
        }),
        ..GetFlowsRequest::default()
    };
    let all = fleet.all(request).await.unwrap();
    assert_eq!(ids(&all), [7, 8]);
    let Some(ResponseTypes::Flow(flow)) = &all[1].response_types else {
        panic!("no flow: {:?}", all[1]);
    };
    assert_eq!(flow.verdict(), Verdict::Forwarded);
    assert_eq!(
        (flow.time, flow.node_name.as_str()),
        (Some(time(7)), "default/n2")
    );
    assert_eq!(
        (all[1].time, all[1].node_name.as_str()),
        (Some(time(7)), "default/n2")
    );
    assert!(flow.source.is_none() && flow.uuid.is_empty());
    fleet.end().await;
}

#[tokio::test]
async fn a_follower_gets_the_past_sorted_and_then_what_happens() {
    let fleet = ninety().await;
    let request = GetFlowsRequest {
        follow: true,
        since: Some(time(0)),
        ..GetFlowsRequest::default()
    };
    let mut stream = fleet.flows(request).await;
    let past = read_until(&mut stream, |all| ids(all).len() == 90).await;
    assert_eq!(ids(&past), (0..90).collect::<Vec<_>>());
    for id in [100, 101, 102] {
        fleet.nodes[usize::from(id - 100_u16)].sees(id);
    }
    let now = read_until(&mut stream, |all| ids(all).len() == 3).await;
    assert_eq!(ids(&now), [100, 101, 102]);
    assert!(statuses(&now).is_empty());
    fleet.end().await;
}

#[tokio::test]
async fn a_follower_without_a_past_gets_only_what_happens() {
    let fleet = ninety().await;
    let request = GetFlowsRequest {
        follow: true,
        ..GetFlowsRequest::default()
    };
    let mut stream = fleet.flows(request).await;
    let status = read_until(&mut stream, |all| !all.is_empty()).await;
    assert_eq!(statuses(&status), ["NODE_CONNECTED n1 n2 n3"]);
    // A node is asked at some time after the status was read.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    fleet.nodes[1].sees(200);
    let now = read_until(&mut stream, |all| !ids(all).is_empty()).await;
    assert_eq!(ids(&now), [200]);
    fleet.end().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_told_what_it_missed_and_holds_up_nobody() {
    const FLOWS: u64 = 20_000;
    let plan = fleet::Plan {
        capacity: Some(255),
        ..fleet::Plan::default()
    };
    let fleet = Fleet::start(2, plan).await;
    fleet
        .until(|nodes| nodes.len() == 2 && all_connected(nodes))
        .await;
    let request = GetFlowsRequest {
        follow: true,
        ..GetFlowsRequest::default()
    };
    let mut lazy = fleet.flows(request).await;
    read_until(&mut lazy, |all| !all.is_empty()).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    for number in 0..FLOWS {
        for node in &fleet.nodes {
            node.sees(number as u16);
        }
        if number % 1000 == 0 {
            tokio::task::yield_now().await;
        }
    }
    // Others are answered over the same connections.
    let last = GetFlowsRequest {
        number: 20,
        ..GetFlowsRequest::default()
    };
    assert_eq!(ids(&fleet.all(last).await.unwrap()).len(), 20);
    let (mut seen, mut lost) = (0, 0);
    while seen + lost < 2 * FLOWS {
        match within(lazy.message())
            .await
            .unwrap()
            .unwrap()
            .response_types
        {
            Some(ResponseTypes::Flow(_)) => seen += 1,
            Some(ResponseTypes::LostEvents(event)) => lost += event.num_events_lost,
            other => panic!("unexpected: {other:?}"),
        }
    }
    assert_eq!(seen + lost, 2 * FLOWS);
    assert!(lost > 0 && seen > 0, "{seen} seen, {lost} lost");
    fleet.end().await;
}

#[tokio::test]
async fn nodes_namespaces_and_status_are_those_of_all() {
    let fleet = ninety().await;
    let rows = fleet.rows().await;
    let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["n1", "n2", "n3"]);
    for (row, node) in rows.iter().zip(&fleet.nodes) {
        assert_eq!(row.address, node.wire.address.to_string());
        assert_eq!(
            (row.num_flows, row.max_flows, row.seen_flows),
            (30, 4095, 30)
        );
        assert!(row.version.starts_with("axoneme v") && row.uptime_ns > 0);
        assert!(!row.tls.as_ref().unwrap().enabled);
    }
    let mut client = fleet.client().await;
    let response = client.server_status(ServerStatusRequest {}).await.unwrap();
    let version = response.metadata().get(super::VERSION_HEADER).unwrap();
    assert_eq!(version, crate::VERSION);
    let status = response.into_inner();
    assert_eq!(
        (status.num_flows, status.max_flows, status.seen_flows),
        (90, 3 * 4095, 90)
    );
    assert_eq!(status.num_connected_nodes.unwrap().value, 3);
    assert_eq!(status.num_unavailable_nodes.unwrap().value, 0);
    assert!(status.unavailable_nodes.is_empty() && status.uptime_ns > 0);
    assert_eq!(status.version, format!("axoneme-relay v{}", crate::VERSION));
    let namespaces = client
        .get_namespaces(GetNamespacesRequest {})
        .await
        .unwrap();
    let namespaces = namespaces.into_inner().namespaces;
    assert_eq!(namespaces.len(), 1, "the same of all nodes: {namespaces:?}");
    assert_eq!(
        (
            namespaces[0].cluster.as_str(),
            namespaces[0].namespace.as_str()
        ),
        ("default", "shop")
    );
    let refused = client
        .get_agent_events(GetAgentEventsRequest::default())
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::Unimplemented);
    fleet.end().await;
}

#[tokio::test]
async fn what_every_node_refuses_is_refused() {
    let fleet = Fleet::connected(2).await;
    let request = |follow| GetFlowsRequest {
        follow,
        whitelist: vec![FlowFilter {
            source_ip: vec!["no address".into()],
            ..FlowFilter::default()
        }],
        ..GetFlowsRequest::default()
    };
    for follow in [false, true] {
        let status = fleet.all(request(follow)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(status.message().contains("source_ip"), "{status}");
    }
    fleet.end().await;
}

async fn is_serving(address: std::net::SocketAddr, service: &str) -> bool {
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let mut client = HealthClient::new(channel.connect().await.unwrap());
    let request = HealthCheckRequest {
        service: service.into(),
    };
    let status = client.check(request).await.unwrap().into_inner().status;
    status == 1
}

#[tokio::test]
async fn it_is_healthy_while_one_node_can_be_asked() {
    let fleet = Fleet::connected(2).await;
    let until = async |wanted: bool| {
        for address in [fleet.relay, fleet.health] {
            for service in ["", "hubble.server.Observer"] {
                within(async {
                    while is_serving(address, service).await != wanted {
                        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                    }
                })
                .await;
            }
        }
    };
    until(true).await;
    fleet.nodes[0].wire.cut();
    fleet
        .until(|nodes| {
            nodes
                .iter()
                .filter(|node| all_connected(&[(*node).clone()]))
                .count()
                == 1
        })
        .await;
    until(true).await;
    fleet.nodes[1].wire.cut();
    until(false).await;
    fleet.nodes[1].wire.mend();
    until(true).await;
    fleet.end().await;
}

#[tokio::test]
async fn metrics_count_peers_by_state_and_calls() {
    let fleet = Fleet::connected(3).await;
    fleet.nodes[2].wire.cut();
    fleet
        .until(|nodes| {
            nodes
                .iter()
                .filter(|node| all_connected(&[(*node).clone()]))
                .count()
                == 2
        })
        .await;
    fleet.all(GetFlowsRequest::default()).await.unwrap();
    let text = scrape(fleet.metrics).await;
    let value = |series: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(series));
        line.unwrap_or_else(|| panic!("{series} is not in {text}"))
            .trim()
            .parse()
            .unwrap()
    };
    let status = |name: &str| {
        value(&format!(
            "hubble_relay_pool_peer_connection_status{{status=\"{name}\"}}"
        ))
    };
    assert!((status("READY") - 2.0).abs() < f64::EPSILON);
    let rest = status("CONNECTING") + status("TRANSIENT_FAILURE");
    assert!((rest - 1.0).abs() < f64::EPSILON, "the one that is cut off");
    for none in ["IDLE", "SHUTDOWN", "NIL_CONNECTION"] {
        assert!(status(none).abs() < f64::EPSILON);
    }
    let labels =
        "{grpc_method=\"GetFlows\",grpc_service=\"observer.Observer\",grpc_type=\"server_stream\"";
    assert!(
        (value(&format!(
            "grpc_server_handled_total{labels},grpc_code=\"OK\"}}"
        )) - 1.0)
            .abs()
            < f64::EPSILON
    );
    assert!(value("process_resident_memory_bytes") > 1e6);
    fleet.end().await;
}

async fn scrape(address: std::net::SocketAddr) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    within(stream.read_to_string(&mut text)).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    text
}
