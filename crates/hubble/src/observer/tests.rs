use api::hubble::{
    flow as pb,
    observer::{get_flows_response::ResponseTypes, observer_server::Observer as _},
};
use futures::{FutureExt, StreamExt};
use tonic::Code;

use super::*;
use crate::{
    intake::LossSource,
    ring::Capacity,
    sample::{Shop, opened},
};

fn fixture(capacity: u64) -> (Intake, Observer, CancellationToken) {
    let ring = Arc::new(Ring::new(Capacity::new(capacity).unwrap()));
    let intake = Intake::new(ring, Arc::new(Shop));
    let shutdown = CancellationToken::new();
    let config = Config {
        node: "n1".into(),
        ..Config::default()
    };
    let observer = Observer::new(&intake, config, shutdown.clone());
    (intake, observer, shutdown)
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_nanos(seconds * 1_000_000_000)
}

/// A flow at a second, with that as its id.
fn push(intake: &Intake, seconds: u64) {
    intake.message(pb::Flow {
        time: Some(at(seconds)),
        uuid: seconds.to_string(),
        node_name: "default/n1".into(),
        verdict: if seconds.is_multiple_of(2) { 1 } else { 2 },
        ..pb::Flow::default()
    });
}

fn id(response: &GetFlowsResponse) -> String {
    match &response.response_types {
        Some(ResponseTypes::Flow(flow)) => flow.uuid.clone(),
        Some(ResponseTypes::LostEvents(lost)) => {
            format!("{} lost", lost.num_events_lost)
        }
        other => panic!("unexpected: {other:?}"),
    }
}

async fn get(observer: &Observer, request: GetFlowsRequest) -> Replies<GetFlowsResponse> {
    observer
        .get_flows(Request::new(request))
        .await
        .unwrap()
        .into_inner()
}

/// The ids of a request that ends.
async fn ids(observer: &Observer, request: GetFlowsRequest) -> Vec<String> {
    get(observer, request)
        .await
        .map(|response| id(&response.unwrap()))
        .collect()
        .await
}

fn even() -> Vec<pb::FlowFilter> {
    vec![pb::FlowFilter {
        verdict: vec![1],
        ..pb::FlowFilter::default()
    }]
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "a table of cases")]
async fn the_span_is_that_of_number_first_since_and_until() {
    let (intake, observer, _) = fixture(15);
    for seconds in 1..=8 {
        push(&intake, seconds);
    }
    let request = GetFlowsRequest::default;
    let all = ["1", "2", "3", "4", "5", "6", "7", "8"];
    let cases: [(GetFlowsRequest, &[&str]); 10] = [
        (request(), &all),
        (
            GetFlowsRequest {
                number: 3,
                ..request()
            },
            &all[5..],
        ),
        (
            GetFlowsRequest {
                number: 3,
                first: true,
                ..request()
            },
            &all[..3],
        ),
        (
            GetFlowsRequest {
                number: u64::MAX,
                ..request()
            },
            &all,
        ),
        (
            GetFlowsRequest {
                since: Some(at(6)),
                ..request()
            },
            &all[5..],
        ),
        (
            GetFlowsRequest {
                until: Some(at(2)),
                ..request()
            },
            &all[..2],
        ),
        (
            GetFlowsRequest {
                since: Some(at(3)),
                until: Some(at(4)),
                ..request()
            },
            &all[2..4],
        ),
        (
            GetFlowsRequest {
                since: Some(at(3)),
                number: 2,
                first: true,
                ..request()
            },
            &all[2..4],
        ),
        (
            GetFlowsRequest {
                number: 2,
                whitelist: even(),
                ..request()
            },
            &["6", "8"],
        ),
        (
            GetFlowsRequest {
                number: 2,
                blacklist: even(),
                first: true,
                ..request()
            },
            &["1", "3"],
        ),
    ];
    for (request, expected) in cases {
        assert_eq!(
            ids(&observer, request.clone()).await,
            expected,
            "{request:?}"
        );
    }
}

#[tokio::test]
async fn entries_that_come_late_hide_none_of_those_beside_them() {
    let (intake, observer, _) = fixture(15);
    // Requests are told of with their answers: 2 and 5 were asked long before.
    for seconds in [3, 6, 7, 2, 8, 9, 5, 10] {
        push(&intake, seconds);
    }
    let since = GetFlowsRequest {
        since: Some(at(5)),
        ..GetFlowsRequest::default()
    };
    let expected = ["6", "7", "8", "9", "5", "10"];
    assert_eq!(ids(&observer, since.clone()).await, expected);
    let until = GetFlowsRequest {
        until: Some(at(8)),
        ..since
    };
    assert_eq!(ids(&observer, until).await, ["6", "7", "8", "5"]);
}

#[test]
fn what_was_overwritten_is_wanted_unless_all_before_the_oldest_was_earlier() {
    let (intake, ..) = fixture(3);
    for seconds in [4, 6, 2, 7, 8] {
        push(&intake, seconds);
    }
    let ring = intake.ring();
    // The oldest that is left is 2, but 6 was before it.
    for (seconds, wanted) in [(5, true), (6, true), (7, false)] {
        let span = Span::new(0, false, false, Some(at(seconds)), None).unwrap();
        assert_eq!(span.before(ring).is_some(), wanted, "{seconds}");
    }
}

#[tokio::test]
async fn an_entry_older_than_since_does_not_hold_up_the_end() {
    let (intake, _, shutdown) = fixture(15);
    for seconds in [5, 6, 2] {
        push(&intake, seconds);
    }
    // The last one was written between the search for the start and the walk.
    let span = Span::new(0, false, false, Some(at(4)), None).unwrap();
    let mut reader = Reader::new(intake.ring().clone(), span, 0, shutdown);
    let mut steps = Vec::new();
    for _ in 0..3 {
        steps.push(match reader.step().await {
            reader::Step::Entry(entry) => entry.time().seconds.to_string(),
            reader::Step::End => "end".to_owned(),
            reader::Step::Idle => "idle".to_owned(),
            reader::Step::Lost(count) => format!("{count} lost"),
        });
    }
    assert_eq!(steps, ["5", "6", "end"]);
}

#[tokio::test]
async fn following_goes_on_after_what_was_asked_for() {
    let (intake, observer, shutdown) = fixture(15);
    push(&intake, 1);
    push(&intake, 2);
    let follow = GetFlowsRequest {
        follow: true,
        ..GetFlowsRequest::default()
    };
    let mut new = get(&observer, follow.clone()).await;
    let mut last = get(
        &observer,
        GetFlowsRequest {
            number: 1,
            ..follow.clone()
        },
    )
    .await;
    let mut since = get(
        &observer,
        GetFlowsRequest {
            since: Some(at(1)),
            ..follow.clone()
        },
    )
    .await;
    assert_eq!(id(&last.next().await.unwrap().unwrap()), "2");
    assert!(new.next().now_or_never().is_none(), "nothing new yet");
    for seconds in 3..=5 {
        push(&intake, seconds);
        // A number does not limit what comes after the start.
        assert_eq!(id(&new.next().await.unwrap().unwrap()), seconds.to_string());
        assert_eq!(
            id(&last.next().await.unwrap().unwrap()),
            seconds.to_string()
        );
    }
    for seconds in 1..=5 {
        assert_eq!(
            id(&since.next().await.unwrap().unwrap()),
            seconds.to_string()
        );
    }
    shutdown.cancel();
    assert!(new.next().await.is_none());
}

#[tokio::test]
async fn following_ends_at_until() {
    let (intake, observer, _) = fixture(15);
    let request = GetFlowsRequest {
        follow: true,
        until: Some(at(2)),
        ..GetFlowsRequest::default()
    };
    let stream = get(&observer, request).await;
    for seconds in 1..=3 {
        push(&intake, seconds);
    }
    let ids: Vec<_> = stream
        .map(|response| id(&response.unwrap()))
        .collect()
        .await;
    assert_eq!(ids, ["1", "2"]);
}

#[tokio::test]
async fn a_slow_follower_learns_exactly_how_much_it_missed() {
    let (intake, observer, shutdown) = fixture(7);
    let request = GetFlowsRequest {
        follow: true,
        ..GetFlowsRequest::default()
    };
    let mut stream = get(&observer, request).await;
    for seconds in 1..=107 {
        push(&intake, seconds);
    }
    let mut seen = Vec::new();
    for _ in 0..8 {
        seen.push(id(&stream.next().await.unwrap().unwrap()));
    }
    assert_eq!(
        seen,
        ["100 lost", "101", "102", "103", "104", "105", "106", "107"]
    );
    // Within the interval further losses are only added up; all of them are told in the end.
    for _ in 0..3 {
        for seconds in 1..=17 {
            push(&intake, seconds);
        }
        for _ in 0..7 {
            assert!(!id(&stream.next().await.unwrap().unwrap()).contains("lost"));
        }
    }
    shutdown.cancel();
    let rest: Vec<_> = stream
        .map(|response| id(&response.unwrap()))
        .collect()
        .await;
    assert_eq!(rest, ["30 lost"]);
}

#[tokio::test]
async fn losses_before_the_ring_are_neither_filtered_nor_counted() {
    let (intake, observer, _) = fixture(15);
    push(&intake, 1);
    push(&intake, 2);
    intake.lost(LossSource::KernelRing, 5);
    push(&intake, 4);
    let request = GetFlowsRequest {
        number: 2,
        whitelist: even(),
        ..GetFlowsRequest::default()
    };
    assert_eq!(ids(&observer, request).await, ["2", "5 lost", "4"]);
}

#[tokio::test]
async fn the_envelope_is_that_of_the_masked_flow() {
    let (intake, observer, _) = fixture(15);
    push(&intake, 2);
    let masked = |paths: &[&str]| GetFlowsRequest {
        field_mask: Some(pbjson_types::FieldMask {
            paths: paths.iter().map(ToString::to_string).collect(),
        }),
        ..GetFlowsRequest::default()
    };
    let request = masked(&["uuid"]);
    let response = get(&observer, request).await.next().await.unwrap().unwrap();
    assert_eq!((response.node_name.as_str(), response.time), ("", None));
    assert_eq!(id(&response), "2");
    let request = masked(&["time", "node_name"]);
    let response = get(&observer, request).await.next().await.unwrap().unwrap();
    assert_eq!(
        (response.node_name.as_str(), response.time),
        ("default/n1", Some(at(2)))
    );
    assert_eq!(id(&response), "");
    let error = observer
        .get_flows(Request::new(masked(&["nope"])))
        .await
        .err()
        .unwrap();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert!(error.message().contains("nope"), "{error}");
}

#[tokio::test]
async fn bad_requests_are_refused_before_any_flow() {
    let (_, observer, _) = fixture(15);
    let bad = pb::FlowFilter {
        source_ip: vec!["x".into()],
        ..pb::FlowFilter::default()
    };
    let cel_expression = vec!["_flow.verdikt == 1".into()];
    let no_field = pb::FlowFilter {
        experimental: Some(pb::flow_filter::Experimental { cel_expression }),
        ..pb::FlowFilter::default()
    };
    for (request, field) in [
        (
            GetFlowsRequest {
                whitelist: vec![no_field],
                ..Default::default()
            },
            "whitelist[0].experimental.cel_expression: \"_flow.verdikt == 1\": flow.Flow has no field \"verdikt\"",
        ),
        (
            GetFlowsRequest {
                first: true,
                follow: true,
                ..Default::default()
            },
            "follow",
        ),
        (
            GetFlowsRequest {
                whitelist: vec![bad.clone()],
                ..Default::default()
            },
            "whitelist[0]",
        ),
        (
            GetFlowsRequest {
                blacklist: vec![bad],
                ..Default::default()
            },
            "blacklist[0].source_ip",
        ),
    ] {
        let error = observer
            .get_flows(Request::new(request))
            .await
            .err()
            .unwrap();
        assert_eq!(error.code(), Code::InvalidArgument);
        assert!(error.message().contains(field), "{error}");
    }
}

#[tokio::test]
async fn agent_events_are_apart_from_flows() {
    let (intake, observer, _) = fixture(15);
    push(&intake, 2);
    let event = pb::AgentEvent {
        r#type: 2,
        notification: None,
    };
    intake.agent_event(event.clone());
    push(&intake, 4);
    assert_eq!(ids(&observer, GetFlowsRequest::default()).await, ["2", "4"]);
    let request = Request::new(GetAgentEventsRequest {
        number: 1,
        ..Default::default()
    });
    let stream = observer
        .get_agent_events(request)
        .await
        .unwrap()
        .into_inner();
    let events: Vec<_> = stream.map(Result::unwrap).collect().await;
    let [response] = events.as_slice() else {
        panic!("one event: {events:?}")
    };
    assert_eq!(response.agent_event, Some(event));
    assert_eq!(response.node_name, "default/n1");
    let debug = observer.get_debug_events(Request::new(GetDebugEventsRequest::default()));
    assert_eq!(debug.await.unwrap().into_inner().count().await, 0);
}

#[tokio::test]
async fn status_and_namespaces_tell_what_was_seen() {
    let (intake, observer, _) = fixture(3);
    intake.record(opened());
    intake.record(opened());
    intake.agent_event(pb::AgentEvent::default());
    let status = observer
        .server_status(Request::new(ServerStatusRequest {}))
        .await
        .unwrap();
    let status = status.into_inner();
    assert_eq!(
        (status.num_flows, status.max_flows, status.seen_flows),
        (3, 3, 6)
    );
    assert!(status.uptime_ns > 0 && status.num_connected_nodes.is_none());
    assert!(
        status.version.starts_with("axoneme v"),
        "{}",
        status.version
    );
    let namespaces = observer
        .get_namespaces(Request::new(GetNamespacesRequest {}))
        .await
        .unwrap();
    let expected = Namespace {
        cluster: "default".into(),
        namespace: "shop".into(),
    };
    assert_eq!(namespaces.into_inner().namespaces, [expected]);
    let nodes = observer
        .get_nodes(Request::new(GetNodesRequest {}))
        .await
        .unwrap_err();
    assert_eq!(nodes.code(), Code::Unimplemented);
}

#[tokio::test]
async fn the_rate_is_over_a_minute_or_over_what_the_ring_holds_of_it() {
    let (intake, observer, _) = fixture(7);
    for seconds in [1, 100, 130, 150] {
        push(&intake, seconds);
    }
    assert!(
        (observer.flows_rate(at(165)) - 2.0 / 60.0).abs() < 1e-9,
        "two within the minute"
    );
    for seconds in 151..=158 {
        push(&intake, seconds);
    }
    // Full: seven flows, the oldest eight seconds ago.
    assert!((observer.flows_rate(at(160)) - 7.0 / 8.0).abs() < 1e-9);
}

#[tokio::test]
async fn calls_are_counted_with_how_they_ended() {
    let (intake, observer, _shutdown) = fixture(7);
    push(&intake, 1);
    push(&intake, 2);
    assert_eq!(ids(&observer, GetFlowsRequest::default()).await.len(), 2);
    let answer = observer.get_nodes(Request::new(GetNodesRequest {}));
    assert_eq!(answer.await.unwrap_err().code(), Code::Unimplemented);
    let answer = observer.server_status(Request::new(ServerStatusRequest {}));
    answer.await.unwrap();
    let mut registry = prometheus_client::registry::Registry::default();
    registry.register_collector(observer.calls());
    let text = daemon::metrics::text(&registry);
    let of = |family: &str, method: &str, code: &str, count: u32| {
        let kind = if method == "GetFlows" {
            "server_stream"
        } else {
            "unary"
        };
        let line = format!(
            r#"grpc_server_{family}_total{{grpc_method="{method}",grpc_service="observer.Observer",grpc_type="{kind}"{code}}} {count}"#
        );
        assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
    };
    of("msg_sent", "GetFlows", "", 2);
    of("handled", "GetFlows", r#",grpc_code="OK""#, 1);
    of("handled", "GetNodes", r#",grpc_code="Unimplemented""#, 1);
    of("handled", "ServerStatus", r#",grpc_code="OK""#, 1);
    of("msg_sent", "ServerStatus", "", 1);
    of("msg_sent", "GetNodes", "", 0);
}
