//! A broker of Kafka, and clients who produce and fetch: frames as the protocol has them, over real connections.

use std::io::{Read, Write};
use std::net::TcpStream;

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::{
    self as messages, ApiKey, RequestHeader, RequestKind, ResponseHeader, ResponseKind,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use testkit::kubelet::RunningPod;

use super::traffic::{connect, listen, serve};
use crate::answers::at;

pub(super) const PORT: u16 = 9092;
/// Topics, how often each is produced to, and the code of the broker's answer.
pub(super) const PRODUCED: &[(&str, u64, i16)] = &[("orders", 7, 0), ("refunds", 3, 19)];
/// Octets of records of each.
pub(super) const RECORDS: usize = 90;
/// What is fetched, how often, and by which group.
pub(super) const FETCHED: (&str, u64, &str) = ("orders", 5, "mailers");

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn named(topic: &str) -> messages::TopicName {
    messages::TopicName(text(topic))
}

/// One client produces, the other joins its group and fetches.
pub(super) fn talk(maker: &RunningPod, taker: &RunningPod, broker: &RunningPod) {
    let serving = serve(listen(broker, PORT), 2, answer_all);
    let mut stream = connect(&maker.sandbox, at(broker, PORT));
    let all = PRODUCED.iter();
    let topics = all.flat_map(|(topic, count, _)| (0..*count).map(move |_| *topic));
    for (number, topic) in (1..).zip(topics) {
        ask(&mut stream, number, ApiKey::Produce, 9, &produce(topic));
    }
    drop(stream);
    let mut stream = connect(&taker.sandbox, at(broker, PORT));
    let (topic, count, group) = FETCHED;
    let join = messages::JoinGroupRequest::default()
        .with_group_id(messages::GroupId(text(group)))
        .with_protocol_type(text("consumer"));
    ask(
        &mut stream,
        1,
        ApiKey::JoinGroup,
        6,
        &RequestKind::JoinGroup(join),
    );
    for number in 0..count {
        let number = i32::try_from(number).expect("few") + 2;
        ask(&mut stream, number, ApiKey::Fetch, 12, &fetch(topic));
    }
    drop(stream);
    serving.join().expect("the broker");
}

fn produce(topic: &str) -> RequestKind {
    let partition = messages::produce_request::PartitionProduceData::default()
        .with_records(Some(Bytes::from(vec![7; RECORDS])));
    let data = messages::produce_request::TopicProduceData::default()
        .with_name(named(topic))
        .with_partition_data(vec![partition]);
    let request = messages::ProduceRequest::default()
        .with_acks(-1)
        .with_timeout_ms(30_000)
        .with_topic_data(vec![data]);
    RequestKind::Produce(request)
}

fn fetch(topic: &str) -> RequestKind {
    let partition =
        messages::fetch_request::FetchPartition::default().with_partition_max_bytes(1 << 20);
    let topic = messages::fetch_request::FetchTopic::default()
        .with_topic(named(topic))
        .with_partitions(vec![partition]);
    let request = messages::FetchRequest::default()
        .with_max_wait_ms(500)
        .with_session_epoch(-1)
        .with_topics(vec![topic]);
    RequestKind::Fetch(request)
}

/// Sends a request, and reads its answer.
fn ask(stream: &mut TcpStream, number: i32, key: ApiKey, version: i16, request: &RequestKind) {
    let mut octets = BytesMut::new();
    let header = RequestHeader::default()
        .with_request_api_key(key as i16)
        .with_request_api_version(version)
        .with_correlation_id(number)
        .with_client_id(Some(text("shop")));
    header
        .encode(&mut octets, key.request_header_version(version))
        .expect("a header");
    request.encode(&mut octets, version).expect("a request");
    send(stream, &octets);
    let mut answer = receive(stream).expect("an answer");
    assert_eq!(answer.get_i32(), number, "the answer to this request");
}

fn send(stream: &mut TcpStream, octets: &[u8]) {
    let length = u32::try_from(octets.len()).expect("few").to_be_bytes();
    let frame = [&length[..], octets].concat();
    stream.write_all(&frame).expect("a frame");
}

/// The next frame; none at the end of the connection.
fn receive(stream: &mut TcpStream) -> Option<Bytes> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut octets = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut octets).expect("a whole frame");
    Some(octets.into())
}

/// The broker, for one connection.
fn answer_all(mut stream: TcpStream) {
    while let Some(mut octets) = receive(&mut stream) {
        let mut head = octets.clone();
        let (key, version) = (head.get_i16(), head.get_i16());
        let key = ApiKey::try_from(key).expect("a call");
        let header = RequestHeader::decode(&mut octets, key.request_header_version(version));
        let header = header.expect("a header");
        let request = RequestKind::decode(key, &mut octets, version).expect("a request");
        let answer = match request {
            RequestKind::Produce(of) => produced(&of),
            RequestKind::Fetch(of) => fetched(&of),
            RequestKind::JoinGroup(_) => ResponseKind::JoinGroup(
                messages::JoinGroupResponse::default().with_protocol_name(Some(text("range"))),
            ),
            other => panic!("{other:?}"),
        };
        let mut told = BytesMut::new();
        ResponseHeader::default()
            .with_correlation_id(header.correlation_id)
            .encode(&mut told, key.response_header_version(version))
            .expect("a header");
        answer.encode(&mut told, version).expect("an answer");
        send(&mut stream, &told);
    }
}

fn produced(request: &messages::ProduceRequest) -> ResponseKind {
    let topics = request.topic_data.iter().map(|of| {
        let known = PRODUCED.iter().find(|known| known.0 == of.name.as_str());
        let (_, _, code) = known.expect("a topic of the table");
        let partition =
            messages::produce_response::PartitionProduceResponse::default().with_error_code(*code);
        messages::produce_response::TopicProduceResponse::default()
            .with_name(of.name.clone())
            .with_partition_responses(vec![partition])
    });
    let answer = messages::ProduceResponse::default().with_responses(topics.collect());
    ResponseKind::Produce(answer)
}

fn fetched(request: &messages::FetchRequest) -> ResponseKind {
    let topics = request.topics.iter().map(|of| {
        let partition = messages::fetch_response::PartitionData::default()
            .with_records(Some(Bytes::from(vec![8; RECORDS])));
        messages::fetch_response::FetchableTopicResponse::default()
            .with_topic(of.topic.clone())
            .with_partitions(vec![partition])
    });
    let answer = messages::FetchResponse::default().with_responses(topics.collect());
    ResponseKind::Fetch(answer)
}
