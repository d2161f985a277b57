//! The bytes that each call answers with, as a client without our definitions takes them off the wire: a field that gets another
//! number, type or value fails here.

mod walker;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use api::hubble::{
    flow as pb,
    peer::{NotifyRequest, peer_server::Peer as _},
};
use futures::StreamExt;
use prost::Message;
use tokio_util::sync::CancellationToken;
use tonic::{
    Status,
    client::Grpc,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::http::uri::PathAndQuery,
    transport::Channel,
};

use super::{Running, start, unix, unix_channel};
use crate::{
    intake::LossSource,
    peer::{PeerConfig, PeerNode, PeerService, PeerTls, Prefer},
    records::{Judgement, Mode, Point, Record, Side, Way, What, protocol},
    sample::{denied, judgement, opened},
};

/// Messages as the bytes that they are.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        prost::bytes::BufMut::put_slice(out, &item);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        use prost::bytes::Buf;
        let mut message = vec![0; bytes.remaining()];
        bytes.copy_to_slice(&mut message);
        Ok(Some(message))
    }
}

/// The first `count` answers of a call, streaming or not: a unary one is a stream of one.
async fn call(channel: &Channel, path: &'static str, request: &[u8], count: usize) -> Vec<Vec<u8>> {
    let mut client = Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let request = tonic::Request::new(request.to_vec());
    let path = PathAndQuery::from_static(path);
    let mut stream = client
        .server_streaming(request, path, Raw)
        .await
        .unwrap()
        .into_inner();
    let mut answers = Vec::new();
    while answers.len() < count
        && let Some(answer) = stream.message().await.unwrap()
    {
        answers.push(answer);
    }
    answers
}

/// The answers as text, those of one call apart by a line; what differs from run to run is replaced.
fn told(message: &str, answers: &[Vec<u8>]) -> String {
    let texts = answers
        .iter()
        .map(|answer| walker::text(message, answer).unwrap());
    texts
        .map(|text| steady(&text))
        .collect::<Vec<_>>()
        .join("---\n")
}

/// Replaces ids, and times of now; the times of records are fixed and stay.
fn steady(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let (name, value) = line.split_once(" = ").unwrap_or((line, ""));
        let changes = match name.trim_start() {
            "34 uuid" => {
                let id = uuid::Uuid::parse_str(value.trim_matches('"')).unwrap();
                assert_eq!(id.get_version_num(), 4);
                true
            }
            "1 seconds" => value != "1700000000",
            "2 nanos" | "4 uptime_ns" => true,
            _ => false,
        };
        out.push_str(name);
        if !value.is_empty() {
            out.push_str(" = ");
            let value = value.replace(crate::VERSION, "VERSION");
            out.push_str(if changes { "…" } else { &value });
        }
        out.push('\n');
    }
    out
}

struct Wire {
    server: Running,
    channel: Channel,
    _directory: tempfile::TempDir,
}

async fn wire() -> Wire {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hubble.sock");
    let server = start(4095, unix(&path)).await;
    server
        .observer
        .set_node_labels(["zone=a".to_owned(), "kubernetes.io/os=linux".to_owned()]);
    Wire {
        channel: unix_channel(&path).await,
        server,
        _directory: directory,
    }
}

const GET_FLOWS: &str = "/observer.Observer/GetFlows";

/// What GetFlows answers of one record.
async fn flows_of(record: Record) -> String {
    let wire = wire().await;
    wire.server.intake.record(record);
    told(
        "GetFlowsResponse",
        &call(&wire.channel, GET_FLOWS, &[], usize::MAX).await,
    )
}

fn v6(last: u8) -> IpAddr {
    IpAddr::from([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last])
}

/// Without a service: what was asked for is what answers.
fn direct() -> Record {
    let mut record = Record {
        asked: None,
        ..opened()
    };
    record.destination.port = 9090;
    record
}

/// The same between two addresses of IPv6, of which no names are known.
fn over_v6(mut record: Record) -> Record {
    record.source.address = v6(1);
    record.destination.address = v6(2);
    record.asked = None;
    record
}

fn icmp(mut record: Record, number: u8, kind: u8, code: u8) -> Record {
    (record.source.port, record.destination.port) = (0, 0);
    Record {
        protocol: number,
        tcp_flags_or_icmp_type: kind,
        icmp_code: code,
        asked: None,
        ..record
    }
}

fn of(what: What, record: Record) -> Record {
    Record { what, ..record }
}

macro_rules! golden {
    ($($name:ident: $record:expr;)+) => { $(
        #[tokio::test]
        async fn $name() {
            insta::assert_snapshot!(flows_of($record).await);
        }
    )+ };
}

golden! {
    tcp_through_a_service_is_two_verdicts_and_a_trace: opened();
    tcp_without_a_service: direct();
    tcp_to_another_node: of(
        What::New { point: Point::ToOverlay, egress: Some(judgement(11)), ingress: None },
        Record { destination: crate::records::Party { endpoint: 0, ..opened().destination }, ..direct() },
    );
    tcp_from_another_node_over_ipv6: of(
        What::New { point: Point::ToEndpoint, egress: None, ingress: Some(Judgement { rule: 0, match_type: 0, ..judgement(0) }) },
        over_v6(Record { source: crate::records::Party { endpoint: 0, ..opened().source }, ..opened() }),
    );
    udp_to_the_world_with_a_translated_source: of(
        What::Closed { point: Point::ToNetwork, way: Way::Forward },
        Record {
            protocol: protocol::UDP,
            tcp_flags_or_icmp_type: 0,
            translated_source: Some(IpAddr::from([192, 0, 2, 1])),
            asked: Some(SocketAddr::from(([198, 51, 100, 7], 53))),
            destination: crate::records::Party {
                address: IpAddr::from([198, 51, 100, 7]), port: 53, identity: 2, endpoint: 0,
            },
            macs: None,
            ..opened()
        },
    );
    udp_denied_at_the_receiver: Record { protocol: protocol::UDP, tcp_flags_or_icmp_type: 0, ..denied() };
    tcp_denied_at_the_sender_by_a_deny_rule_over_ipv6: of(
        What::Denied { side: Side::Egress, judgement: judgement(11), reason: 181 },
        over_v6(opened()),
    );
    icmp_echo: icmp(opened(), protocol::ICMP, 8, 0);
    icmpv6_echo_closed: of(
        What::Closed { point: Point::ToEndpoint, way: Way::Forward },
        icmp(over_v6(opened()), protocol::ICMPV6, 128, 0),
    );
    icmp_dropped_with_its_code: of(
        What::Dropped { side: None, reason: 132 },
        icmp(opened(), protocol::ICMP, 3, 3),
    );
    tcp_closed_with_all_its_flags: of(
        What::Closed { point: Point::ToEndpoint, way: Way::Forward },
        Record { tcp_flags_or_icmp_type: 0x1b, ..opened() },
    );
    a_reply_that_closed: of(
        What::Closed { point: Point::ToEndpoint, way: Way::Reply },
        Record { tcp_flags_or_icmp_type: 0x14, ..direct() },
    );
    audited_and_redirected: of(
        What::New {
            point: Point::ToProxy,
            egress: Some(Judgement { proxy_port: 15001, ..judgement(11) }),
            ingress: Some(Judgement { mode: Mode::Audited, ..judgement(12) }),
        },
        direct(),
    );
}

/// A mask of `paths`, in a request.
fn masked(paths: &[&str]) -> Vec<u8> {
    let mask: Vec<u8> = paths
        .iter()
        .flat_map(|path| [&[0x0a, path.len() as u8], path.as_bytes()].concat())
        .collect();
    [&[0x52, mask.len() as u8], mask.as_slice()].concat()
}

#[tokio::test]
async fn a_masked_flow_has_nothing_but_the_wanted_fields() {
    let wire = wire().await;
    wire.server.intake.record(denied());
    let mask = masked(&["source.pod_name", "IP.source", "node_name", "l4", "Summary"]);
    let answers = call(&wire.channel, GET_FLOWS, &mask, 1).await;
    insta::assert_snapshot!(told("GetFlowsResponse", &answers));
}

#[tokio::test]
async fn losses_are_events_of_their_own() {
    let wire = wire().await;
    wire.server.intake.lost(LossSource::KernelRing, 300);
    wire.server.intake.lost(LossSource::Queue, 1);
    let answers = call(&wire.channel, GET_FLOWS, &[], usize::MAX).await;
    insta::assert_snapshot!(told("GetFlowsResponse", &answers));
}

#[tokio::test]
async fn agent_events_have_their_time_and_node() {
    let wire = wire().await;
    let update = pb::EndpointUpdateNotification {
        id: 7,
        labels: vec!["k8s:app=web".into()],
        pod_name: "web-1".into(),
        namespace: "shop".into(),
        ..Default::default()
    };
    wire.server.intake.agent_event(pb::AgentEvent {
        r#type: pb::AgentEventType::EndpointCreated.into(),
        notification: Some(pb::agent_event::Notification::EndpointUpdate(update)),
    });
    let answers = call(
        &wire.channel,
        "/observer.Observer/GetAgentEvents",
        &[],
        usize::MAX,
    )
    .await;
    insta::assert_snapshot!(told("GetAgentEventsResponse", &answers));
}

#[tokio::test]
async fn the_status_counts_and_names_the_version() {
    let wire = wire().await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    wire.server.intake.record(Record {
        time_ns: now.as_nanos() as u64,
        ..opened()
    });
    wire.server.intake.lost(LossSource::Queue, 1);
    let answers = call(&wire.channel, "/observer.Observer/ServerStatus", &[], 2).await;
    insta::assert_snapshot!(told("ServerStatusResponse", &answers));
}

#[tokio::test]
async fn namespaces_are_those_of_both_ends() {
    let wire = wire().await;
    wire.server.intake.record(opened());
    let answers = call(&wire.channel, "/observer.Observer/GetNamespaces", &[], 2).await;
    insta::assert_snapshot!(told("GetNamespacesResponse", &answers));
}

#[tokio::test]
async fn nodes_are_not_a_nodes_to_list() {
    let wire = wire().await;
    let mut client = Grpc::new(wire.channel);
    client.ready().await.unwrap();
    let path = PathAndQuery::from_static("/observer.Observer/GetNodes");
    let status = client
        .server_streaming(tonic::Request::new(Vec::new()), path, Raw)
        .await
        .unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unimplemented);
}

#[tokio::test]
async fn a_peer_has_name_address_and_kind_of_change() {
    let wire = wire().await;
    let answers = call(&wire.channel, "/peer.Peer/Notify", &[], 1).await;
    insta::assert_snapshot!(told("ChangeNotification", &answers));
}

#[tokio::test]
async fn a_peer_with_tls_names_its_certificate() {
    let node = PeerNode {
        cluster: "east".into(),
        name: "n1.example".into(),
        addresses: vec![v6(1), IpAddr::from([10, 0, 0, 1])],
    };
    let (_sender, nodes) = tokio::sync::watch::channel(Arc::from([node]));
    let config = PeerConfig {
        port: 4244,
        prefer: Prefer::Ipv6,
        tls: PeerTls::Named,
    };
    let peers = PeerService::new(nodes, config, CancellationToken::new());
    let request = tonic::Request::new(NotifyRequest {});
    let mut changes = peers.notify(request).await.unwrap().into_inner();
    let change = changes.next().await.unwrap().unwrap();
    assert_eq!(
        told("ChangeNotification", &[change.encode_to_vec()]),
        "1 name = \"east/n1.example\"\n2 address = \"[fd00::1]:4244\"\n3 type = 1\n4 tls\n  \
         1 server_name = \"n1-example.east.hubble-grpc.cilium.io\"\n"
    );
}

#[tokio::test]
async fn health_is_serving_for_both_names_and_for_those_who_watch() {
    let wire = wire().await;
    let name = b"hubble.server.Observer";
    let named = [&[0x0a, name.len() as u8], name.as_slice()].concat();
    for method in [
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
    ] {
        for request in [&[][..], &named] {
            let answers = call(&wire.channel, method, request, 1).await;
            assert_eq!(told("HealthCheckResponse", &answers), "1 status = 1\n");
        }
    }
}
