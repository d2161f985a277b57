use bytes::{Bytes, BytesMut};
use kafka_protocol::{
    messages::{self as kp, ApiKey, RequestHeader, RequestKind, ResponseHeader, ResponseKind},
    protocol::{Encodable, HeaderVersion, Message as _, StrBytes},
};
use uuid::Uuid;

use super::*;
use crate::{
    classify::Protocol,
    record::Record,
    stream::Sample,
    tests::corpus::{Script, play_all, timeless},
    track::{Origin, Tracker},
};

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.into())
}

fn name(name: &str) -> kp::TopicName {
    kp::TopicName(text(name))
}

fn framed(octets: &BytesMut) -> Vec<u8> {
    [&(octets.len() as u32).to_be_bytes()[..], octets].concat()
}

/// A request as a client writes it.
fn request(kind: &RequestKind, key: ApiKey, version: i16, correlation: i32) -> Vec<u8> {
    let mut octets = BytesMut::new();
    let header = RequestHeader::default()
        .with_request_api_key(key as i16)
        .with_request_api_version(version)
        .with_correlation_id(correlation)
        .with_client_id(Some(text("checkout")));
    header
        .encode(&mut octets, key.request_header_version(version))
        .unwrap();
    kind.encode(&mut octets, version).unwrap();
    framed(&octets)
}

/// An answer as a broker writes it.
fn answer(kind: &ResponseKind, key: ApiKey, version: i16, correlation: i32) -> Vec<u8> {
    let mut octets = BytesMut::new();
    let header = ResponseHeader::default().with_correlation_id(correlation);
    header
        .encode(&mut octets, key.response_header_version(version))
        .unwrap();
    kind.encode(&mut octets, version).unwrap();
    framed(&octets)
}

const ORDERS: Uuid = Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
const MAILS: Uuid = Uuid::from_u128(7);

fn id_of(topic: &str) -> Uuid {
    if topic == "orders" { ORDERS } else { MAILS }
}

fn produce(version: i16, acks: i16, topics: &[(&str, &[usize])]) -> RequestKind {
    let topic = |(topic, records): &(&str, &[usize])| {
        let partitions = records.iter().enumerate().map(|(index, count)| {
            kp::produce_request::PartitionProduceData::default()
                .with_index(index as i32)
                .with_records(Some(Bytes::from(vec![7; *count])))
        });
        let data = kp::produce_request::TopicProduceData::default()
            .with_partition_data(partitions.collect());
        if version >= 13 {
            data.with_topic_id(id_of(topic))
        } else {
            data.with_name(name(topic))
        }
    };
    let topics = topics.iter().map(topic).collect();
    RequestKind::Produce(
        kp::ProduceRequest::default()
            .with_acks(acks)
            .with_timeout_ms(30_000)
            .with_topic_data(topics),
    )
}

fn produced(version: i16, topics: &[(&str, i16)]) -> ResponseKind {
    let topic = |(topic, code): &(&str, i16)| {
        let partition = |index, code| {
            let mut partition = kp::produce_response::PartitionProduceResponse::default()
                .with_index(index)
                .with_error_code(code);
            if version >= 8 {
                partition = partition
                    .with_error_message(Some(text("why")))
                    .with_record_errors(vec![
                        kp::produce_response::BatchIndexAndErrorMessage::default()
                            .with_batch_index(1),
                    ]);
            }
            partition
        };
        let response = kp::produce_response::TopicProduceResponse::default()
            .with_partition_responses(vec![partition(0, 0), partition(1, *code)]);
        if version >= 13 {
            response.with_topic_id(id_of(topic))
        } else {
            response.with_name(name(topic))
        }
    };
    ResponseKind::Produce(
        kp::ProduceResponse::default().with_responses(topics.iter().map(topic).collect()),
    )
}

fn fetch(
    version: i16,
    session: (i32, i32),
    topics: &[(&str, &[i32])],
    forgotten: &[(&str, &[i32])],
) -> RequestKind {
    let topic = |(topic, partitions): &(&str, &[i32])| {
        let partitions = partitions.iter().map(|index| {
            kp::fetch_request::FetchPartition::default()
                .with_partition(*index)
                .with_fetch_offset(9)
                .with_partition_max_bytes(1 << 20)
        });
        let fetched =
            kp::fetch_request::FetchTopic::default().with_partitions(partitions.collect());
        if version >= 13 {
            fetched.with_topic_id(id_of(topic))
        } else {
            fetched.with_topic(name(topic))
        }
    };
    let forget = |(topic, partitions): &(&str, &[i32])| {
        let forgotten =
            kp::fetch_request::ForgottenTopic::default().with_partitions(partitions.to_vec());
        if version >= 13 {
            forgotten.with_topic_id(id_of(topic))
        } else {
            forgotten.with_topic(name(topic))
        }
    };
    let mut request = kp::FetchRequest::default()
        .with_max_wait_ms(500)
        .with_topics(topics.iter().map(topic).collect());
    if version >= 7 {
        request = request
            .with_session_id(session.0)
            .with_session_epoch(session.1)
            .with_forgotten_topics_data(forgotten.iter().map(forget).collect());
    }
    if version >= 11 {
        request = request.with_rack_id(text("zone-1"));
    }
    RequestKind::Fetch(request)
}

fn fetched(version: i16, session: i32, topics: &[(&str, usize, i16)]) -> ResponseKind {
    let topic = |(topic, octets, code): &(&str, usize, i16)| {
        let partition = kp::fetch_response::PartitionData::default()
            .with_partition_index(3)
            .with_error_code(*code)
            .with_aborted_transactions(Some(
                vec![kp::fetch_response::AbortedTransaction::default()],
            ))
            .with_records(Some(Bytes::from(vec![8; *octets])));
        let response =
            kp::fetch_response::FetchableTopicResponse::default().with_partitions(vec![partition]);
        if version >= 13 {
            response.with_topic_id(id_of(topic))
        } else {
            response.with_topic(name(topic))
        }
    };
    let mut response =
        kp::FetchResponse::default().with_responses(topics.iter().map(topic).collect());
    if version >= 7 {
        response = response.with_session_id(session);
    }
    ResponseKind::Fetch(response)
}

fn metadata(version: i16) -> ResponseKind {
    let topic = |topic: &str| {
        let partition = kp::metadata_response::MetadataResponsePartition::default()
            .with_replica_nodes(vec![kp::BrokerId(1), kp::BrokerId(2)])
            .with_isr_nodes(vec![kp::BrokerId(1)]);
        let mut response = kp::metadata_response::MetadataResponseTopic::default()
            .with_name(Some(name(topic)))
            .with_partitions(vec![partition.clone(), partition]);
        if version >= 10 {
            response = response.with_topic_id(id_of(topic));
        }
        response
    };
    let broker = kp::metadata_response::MetadataResponseBroker::default()
        .with_host(text("broker-1"))
        .with_port(9092);
    ResponseKind::Metadata(
        kp::MetadataResponse::default()
            .with_brokers(vec![broker])
            .with_topics(vec![topic("orders"), topic("mails")]),
    )
}

/// A topic as it is expected, of a version that says names or numbers.
fn topic(topic: &str, by_id: bool, octets: Seen<u64>, error: i16) -> KafkaTopic {
    KafkaTopic {
        name: Seen::Known(topic.into()),
        id: by_id.then(|| id_of(topic).into_bytes()),
        octets,
        error: Seen::Known(error),
    }
}

fn record(
    key: ApiKey,
    version: i16,
    octets: (usize, usize),
    topics: Vec<KafkaTopic>,
    error: i16,
) -> Record {
    Record::Kafka(Box::new(Kafka {
        api: key as i16,
        version,
        client: Seen::Known("checkout".into()),
        group: Seen::Absent,
        topics,
        all_topics: true,
        error: Seen::Known(error),
        request_octets: octets.0 as u64,
        response_octets: Seen::Known(octets.1 as u64),
        start_ns: 0,
        end_ns: None,
        ending: Ending::Whole,
    }))
}

fn metadata_said(version: i16, correlation: i32) -> (Vec<u8>, Vec<u8>) {
    let asked = RequestKind::Metadata(kp::MetadataRequest::default());
    (
        request(&asked, ApiKey::Metadata, version, correlation),
        answer(&metadata(version), ApiKey::Metadata, version, correlation),
    )
}

#[test]
fn every_version_of_produce_has_its_topics_and_errors() {
    for version in 3..=kp::ProduceRequest::VERSIONS.max {
        let (asked_names, told_names) = metadata_said(12, 1);
        let asked = request(
            &produce(version, -1, &[("orders", &[10, 200]), ("mails", &[3])]),
            ApiKey::Produce,
            version,
            2,
        );
        let told = answer(
            &produced(version, &[("orders", 0), ("mails", 6)]),
            ApiKey::Produce,
            version,
            2,
        );
        let script = Script::default()
            .client(&asked_names)
            .server(&told_names)
            .client(&asked)
            .server(&told);
        let by_id = version >= 13;
        let topics = vec![
            topic("orders", by_id, Seen::Known(210), 0),
            topic("mails", by_id, Seen::Known(3), 6),
        ];
        let expected = [
            record(
                ApiKey::Metadata,
                12,
                (asked_names.len(), told_names.len()),
                vec![],
                0,
            ),
            record(
                ApiKey::Produce,
                version,
                (asked.len(), told.len()),
                topics,
                6,
            ),
        ];
        let played: Vec<_> = script.play().iter().map(timeless).collect();
        assert_eq!(played, expected, "version {version}");
    }
}

#[test]
fn every_version_of_fetch_has_its_topics_octets_and_errors() {
    for version in 4..=kp::FetchRequest::VERSIONS.max {
        let (asked_names, told_names) = metadata_said(12, 1);
        let asked = request(
            &fetch(
                version,
                (0, 0),
                &[("mails", &[0]), ("orders", &[0, 1])],
                &[],
            ),
            ApiKey::Fetch,
            version,
            2,
        );
        let told = answer(
            &fetched(version, 77, &[("orders", 300, 0), ("mails", 0, 3)]),
            ApiKey::Fetch,
            version,
            2,
        );
        let script = Script::default()
            .client(&asked_names)
            .server(&told_names)
            .client(&asked)
            .server(&told);
        let by_id = version >= 13;
        let mut topics = vec![
            topic("mails", by_id, Seen::Known(0), 3),
            topic("orders", by_id, Seen::Known(300), 0),
        ];
        let Record::Kafka(kafka) = timeless(&script.play()[1]) else {
            panic!()
        };
        let mut seen = kafka.topics.clone();
        seen.sort_by_key(|topic| topic.name.known().cloned());
        topics.sort_by_key(|topic| topic.name.known().cloned());
        assert_eq!(
            (seen, kafka.all_topics, kafka.error),
            (topics, true, Seen::Known(3)),
            "version {version}"
        );
    }
}

#[test]
fn every_version_of_metadata_and_creation_teaches_names() {
    for version in 0..=kp::MetadataResponse::VERSIONS.max {
        let mut body = api::answer(api::METADATA, version, &[]).is_some();
        let octets = answer(&metadata(version), ApiKey::Metadata, version, 5);
        let mut told = api::answer(api::METADATA, version, &octets[8..]).unwrap();
        let told_all = answers::read(api::METADATA, &mut told);
        body |= told.is_empty();
        assert!(
            body && told_all.whole && told.is_empty(),
            "version {version}"
        );
        let names: Vec<_> = told_all
            .names
            .iter()
            .map(|(id, name)| (Uuid::from_bytes(*id), name.as_slice()))
            .collect();
        let expected: &[(Uuid, &[u8])] = &[(ORDERS, b"orders"), (MAILS, b"mails")];
        assert_eq!(
            names,
            if version >= 10 { expected } else { &[] },
            "version {version}"
        );
    }
    for version in 2..=kp::CreateTopicsResponse::VERSIONS.max {
        let mut created = kp::create_topics_response::CreatableTopicResult::default()
            .with_name(name("orders"))
            .with_error_message(Some(text("x")));
        if version >= 5 {
            created = created.with_configs(Some(vec![
                kp::create_topics_response::CreatableTopicConfigs::default()
                    .with_name(text("retention.ms"))
                    .with_value(Some(text("9"))),
            ]));
        }
        if version >= 7 {
            created = created.with_topic_id(ORDERS);
        }
        let response = ResponseKind::CreateTopics(
            kp::CreateTopicsResponse::default().with_topics(vec![created.with_error_code(36)]),
        );
        let octets = answer(&response, ApiKey::CreateTopics, version, 5);
        let mut body = api::answer(api::CREATE_TOPICS, version, &octets[8..]).unwrap();
        let told = answers::read(api::CREATE_TOPICS, &mut body);
        assert!(
            told.whole && body.is_empty() && told.error == 36,
            "version {version}"
        );
        assert_eq!(told.names.len(), usize::from(version >= 7));
    }
}

/// What was read of the body of a request in this version, and whether nothing is left.
fn asked(kind: &RequestKind, key: ApiKey, version: i16) -> (requests::Asked, bool) {
    let octets = request(kind, key, version, 5);
    let mut rest = Octets::new(&octets[4..]);
    let head = api::head(&mut rest).unwrap();
    assert_eq!(
        (head.key, head.version, head.correlation, head.client),
        (key as i16, version, 5, Some(&b"checkout"[..]))
    );
    let mut body = api::request(head.key, version, rest).unwrap();
    let asked = requests::read(head.key, &mut body);
    (asked, body.is_empty())
}

/// The error of an answer in this version.
fn told(kind: &ResponseKind, key: ApiKey, version: i16) -> i16 {
    let octets = answer(kind, key, version, 5);
    let mut body = api::answer(key as i16, version, &octets[8..]).unwrap();
    let told = answers::read(key as i16, &mut body);
    assert!(told.whole, "{key:?} {version}");
    told.error
}

#[test]
fn every_version_of_the_calls_of_groups_has_its_group_and_error() {
    let group = || kp::GroupId(text("billing"));
    let is_billing = |kind: RequestKind, key: ApiKey, version: i16| {
        let (asked, _) = asked(&kind, key, version);
        assert_eq!(
            asked.group.as_deref(),
            Some(&b"billing"[..]),
            "{key:?} {version}"
        );
    };
    for version in 2..=kp::JoinGroupRequest::VERSIONS.max {
        is_billing(
            RequestKind::JoinGroup(kp::JoinGroupRequest::default().with_group_id(group())),
            ApiKey::JoinGroup,
            version,
        );
        let answer = ResponseKind::JoinGroup(kp::JoinGroupResponse::default().with_error_code(25));
        assert_eq!(told(&answer, ApiKey::JoinGroup, version), 25);
    }
    for version in 0..=kp::HeartbeatRequest::VERSIONS.max {
        is_billing(
            RequestKind::Heartbeat(kp::HeartbeatRequest::default().with_group_id(group())),
            ApiKey::Heartbeat,
            version,
        );
        let answer = ResponseKind::Heartbeat(kp::HeartbeatResponse::default().with_error_code(27));
        assert_eq!(told(&answer, ApiKey::Heartbeat, version), 27);
    }
    for version in 0..=kp::LeaveGroupRequest::VERSIONS.max {
        is_billing(
            RequestKind::LeaveGroup(kp::LeaveGroupRequest::default().with_group_id(group())),
            ApiKey::LeaveGroup,
            version,
        );
        let answer =
            ResponseKind::LeaveGroup(kp::LeaveGroupResponse::default().with_error_code(25));
        assert_eq!(told(&answer, ApiKey::LeaveGroup, version), 25);
    }
    for version in 0..=kp::SyncGroupRequest::VERSIONS.max {
        is_billing(
            RequestKind::SyncGroup(kp::SyncGroupRequest::default().with_group_id(group())),
            ApiKey::SyncGroup,
            version,
        );
        let answer = ResponseKind::SyncGroup(kp::SyncGroupResponse::default().with_error_code(22));
        assert_eq!(told(&answer, ApiKey::SyncGroup, version), 22);
    }
    for version in 0..=1 {
        let beat = kp::ConsumerGroupHeartbeatRequest::default().with_group_id(group());
        is_billing(
            RequestKind::ConsumerGroupHeartbeat(beat),
            ApiKey::ConsumerGroupHeartbeat,
            version,
        );
        let answer = ResponseKind::ConsumerGroupHeartbeat(
            kp::ConsumerGroupHeartbeatResponse::default().with_error_code(110),
        );
        assert_eq!(told(&answer, ApiKey::ConsumerGroupHeartbeat, version), 110);
    }
}

#[test]
fn every_version_of_offset_commit_has_its_group_and_topics() {
    let group = || kp::GroupId(text("billing"));
    for version in 2..=kp::OffsetCommitRequest::VERSIONS.max {
        let commit = |topic: &str| {
            let partition = kp::offset_commit_request::OffsetCommitRequestPartition::default()
                .with_committed_metadata(Some(text("m")));
            kp::offset_commit_request::OffsetCommitRequestTopic::default()
                .with_name(name(topic))
                .with_partitions(vec![partition.clone(), partition])
        };
        let request = kp::OffsetCommitRequest::default()
            .with_group_id(group())
            .with_member_id(text("m-1"))
            .with_topics(vec![commit("orders"), commit("mails")]);
        let (asked, empty) = asked(
            &RequestKind::OffsetCommit(request),
            ApiKey::OffsetCommit,
            version,
        );
        assert!(asked.whole && empty, "version {version}");
        assert_eq!(asked.group.as_deref(), Some(&b"billing"[..]));
        let topics: Vec<_> = asked
            .topics
            .iter()
            .map(|(topic, _)| topic.clone())
            .collect();
        assert_eq!(
            topics,
            [Topic::named(b"orders"), Topic::named(b"mails")],
            "version {version}"
        );
        let partition = kp::offset_commit_response::OffsetCommitResponsePartition::default()
            .with_error_code(22);
        let response = kp::offset_commit_response::OffsetCommitResponseTopic::default()
            .with_name(name("orders"))
            .with_partitions(vec![partition]);
        let answer = ResponseKind::OffsetCommit(
            kp::OffsetCommitResponse::default().with_topics(vec![response]),
        );
        assert_eq!(told(&answer, ApiKey::OffsetCommit, version), 22);
    }
}

/// Offsets of two partitions, of which the second has this error.
fn offsets_fetched(version: i16, code: i16) -> ResponseKind {
    use kp::offset_fetch_response as ofr;
    if version < 8 {
        let partition = ofr::OffsetFetchResponsePartition::default()
            .with_metadata(Some(text("m")))
            .with_committed_offset(7);
        let topic = ofr::OffsetFetchResponseTopic::default()
            .with_name(name("orders"))
            .with_partitions(vec![partition.clone(), partition.with_error_code(code)]);
        return ResponseKind::OffsetFetch(
            kp::OffsetFetchResponse::default().with_topics(vec![topic]),
        );
    }
    let partition = ofr::OffsetFetchResponsePartitions::default()
        .with_metadata(Some(text("m")))
        .with_committed_offset(7);
    let mut topic = ofr::OffsetFetchResponseTopics::default()
        .with_partitions(vec![partition.clone(), partition.with_error_code(code)]);
    topic = if version >= 10 {
        topic.with_topic_id(ORDERS)
    } else {
        topic.with_name(name("orders"))
    };
    let group = ofr::OffsetFetchResponseGroup::default()
        .with_group_id(kp::GroupId(text("billing")))
        .with_topics(vec![topic]);
    ResponseKind::OffsetFetch(kp::OffsetFetchResponse::default().with_groups(vec![group]))
}

#[test]
fn every_version_of_offset_fetch_and_api_versions_is_read() {
    let group = || kp::GroupId(text("billing"));
    for version in 1..=kp::OffsetFetchRequest::VERSIONS.max {
        let request = if version >= 8 {
            let one =
                kp::offset_fetch_request::OffsetFetchRequestGroup::default().with_group_id(group());
            kp::OffsetFetchRequest::default().with_groups(vec![one])
        } else {
            kp::OffsetFetchRequest::default().with_group_id(group())
        };
        let (asked, _) = asked(
            &RequestKind::OffsetFetch(request),
            ApiKey::OffsetFetch,
            version,
        );
        assert_eq!(
            asked.group.as_deref(),
            Some(&b"billing"[..]),
            "version {version}"
        );
        for code in [0, 16] {
            let answer = offsets_fetched(version, code);
            assert_eq!(told(&answer, ApiKey::OffsetFetch, version), code);
        }
    }
    for version in 0..=kp::ApiVersionsRequest::VERSIONS.max {
        let answer =
            ResponseKind::ApiVersions(kp::ApiVersionsResponse::default().with_error_code(35));
        assert_eq!(
            told(&answer, ApiKey::ApiVersions, version),
            35,
            "version {version}"
        );
    }
    assert_eq!(kp::ApiVersionsRequest::header_version(3), 2);
}

#[test]
fn every_version_of_find_coordinator_has_its_group() {
    for version in 0..=kp::FindCoordinatorRequest::VERSIONS.max {
        for kind in [0, 1] {
            let request = kp::FindCoordinatorRequest::default();
            let request = if version >= 4 {
                request.with_coordinator_keys(vec![text("billing")])
            } else {
                request.with_key(text("billing"))
            };
            let request = if version >= 1 {
                request.with_key_type(kind)
            } else {
                request
            };
            let (asked, empty) = asked(
                &RequestKind::FindCoordinator(request),
                ApiKey::FindCoordinator,
                version,
            );
            let expected = (kind == 0 || version == 0).then_some(&b"billing"[..]);
            assert_eq!(asked.group.as_deref(), expected, "version {version}");
            assert!(empty || version >= 4, "version {version}");
        }
        let response = if version >= 4 {
            kp::FindCoordinatorResponse::default().with_coordinators(vec![
                kp::find_coordinator_response::Coordinator::default()
                    .with_host(text("b"))
                    .with_error_code(15),
            ])
        } else {
            kp::FindCoordinatorResponse::default().with_error_code(15)
        };
        assert_eq!(
            told(
                &ResponseKind::FindCoordinator(response),
                ApiKey::FindCoordinator,
                version
            ),
            15
        );
    }
}

/// What is asked and told.
type Call = (Vec<u8>, Vec<u8>);

fn fetch_call(correlation: i32, asked: &RequestKind, told: &ResponseKind) -> Call {
    (
        request(asked, ApiKey::Fetch, 13, correlation),
        answer(told, ApiKey::Fetch, 13, correlation),
    )
}

/// Calls of a producer and of a consumer: sessions, groups, calls of no interest.
fn calls() -> Vec<Call> {
    let versions = RequestKind::ApiVersions(
        kp::ApiVersionsRequest::default()
            .with_client_software_name(text("c"))
            .with_client_software_version(text("1")),
    );
    let versions_told = ResponseKind::ApiVersions(kp::ApiVersionsResponse::default());
    let list = RequestKind::ListOffsets(kp::ListOffsetsRequest::default());
    let listed = ResponseKind::ListOffsets(kp::ListOffsetsResponse::default());
    let billing = kp::GroupId(text("billing"));
    let beat = RequestKind::Heartbeat(kp::HeartbeatRequest::default().with_group_id(billing));
    let beaten = ResponseKind::Heartbeat(kp::HeartbeatResponse::default().with_error_code(27));
    let all: &[(&str, &[i32])] = &[("mails", &[0]), ("orders", &[0, 1])];
    let gone: &[(&str, &[i32])] = &[("mails", &[0]), ("orders", &[1])];
    vec![
        (
            request(&versions, ApiKey::ApiVersions, 3, 0),
            answer(&versions_told, ApiKey::ApiVersions, 3, 0),
        ),
        metadata_said(12, 1),
        fetch_call(
            2,
            &fetch(13, (0, 0), all, &[]),
            &fetched(13, 77, &[("orders", 50, 0)]),
        ),
        fetch_call(
            3,
            &fetch(13, (77, 1), &[], &[]),
            &fetched(13, 77, &[("mails", 20, 0)]),
        ),
        (
            request(&beat, ApiKey::Heartbeat, 4, 4),
            answer(&beaten, ApiKey::Heartbeat, 4, 4),
        ),
        fetch_call(5, &fetch(13, (77, 2), &[], gone), &fetched(13, 77, &[])),
        (
            request(&list, ApiKey::ListOffsets, 7, 6),
            answer(&listed, ApiKey::ListOffsets, 7, 6),
        ),
        (
            request(&produce(9, 1, &[("orders", &[40])]), ApiKey::Produce, 9, 7),
            answer(&produced(9, &[("orders", 29)]), ApiKey::Produce, 9, 7),
        ),
        (
            request(&produce(9, 0, &[("mails", &[9])]), ApiKey::Produce, 9, 8),
            Vec::new(),
        ),
    ]
}

fn changed(record: Record, change: impl Fn(&mut Kafka)) -> Record {
    let Record::Kafka(mut kafka) = record else {
        panic!("{record:?}");
    };
    change(&mut kafka);
    Record::Kafka(kafka)
}

/// The records of these calls.
fn told_of(calls: &[Call]) -> Vec<Record> {
    let of = |call: usize, key, version, topics, error| {
        let octets = (calls[call].0.len(), calls[call].1.len());
        record(key, version, octets, topics, error)
    };
    let by_id = |name, octets| topic(name, true, Seen::Known(octets), 0);
    let both = |mails, orders| vec![by_id("mails", mails), by_id("orders", orders)];
    let orders = topic("orders", false, Seen::Known(40), 29);
    let mails = KafkaTopic {
        error: Seen::Unknown,
        ..topic("mails", false, Seen::Known(9), 0)
    };
    vec![
        of(0, ApiKey::ApiVersions, 3, vec![], 0),
        of(1, ApiKey::Metadata, 12, vec![], 0),
        of(2, ApiKey::Fetch, 13, both(0, 50), 0),
        of(3, ApiKey::Fetch, 13, both(20, 0), 0),
        changed(of(4, ApiKey::Heartbeat, 4, vec![], 27), |kafka| {
            kafka.group = Seen::Known("billing".into());
        }),
        of(5, ApiKey::Fetch, 13, vec![by_id("orders", 0)], 0),
        changed(of(6, ApiKey::ListOffsets, 7, vec![], 0), |kafka| {
            kafka.all_topics = false;
            kafka.error = Seen::Unknown;
            kafka.group = Seen::Unknown;
        }),
        of(7, ApiKey::Produce, 9, vec![orders], 29),
        changed(of(8, ApiKey::Produce, 9, vec![mails], 0), |kafka| {
            kafka.error = Seen::Absent;
            kafka.response_octets = Seen::Absent;
        }),
    ]
}

#[test]
fn a_conversation_is_told_however_it_is_cut() {
    let calls = calls();
    let say = |script: Script, (asked, told): &Call| match told[..] {
        [] => script.client(asked),
        _ => script.client(asked).server(told),
    };
    let script = calls.iter().fold(Script::default(), say);
    let faith = play_all(&script, &told_of(&calls));
    assert!(faith.whole * 4 > faith.records, "{faith:?}");
}

#[test]
fn a_topic_nobody_named_goes_by_its_number_and_names_hold_for_all_connections() {
    let mut tracker = Tracker::default();
    let mut out = Vec::new();
    let mut say = |key: u32, calls: &[(Vec<u8>, Vec<u8>)], out: &mut Vec<(u32, Record)>| {
        for direction in Direction::ALL {
            let sample = Sample {
                sequence: u32::MAX,
                syn: true,
                ..Sample::default()
            };
            tracker.segment(key, Origin::default(), direction, sample, out);
        }
        let mut sent = [0, 0];
        for (asked, told) in calls {
            for (direction, octets) in [(Direction::ToServer, asked), (Direction::ToClient, told)] {
                let sequence = sent[direction as usize];
                sent[direction as usize] += octets.len() as u32;
                tracker.segment(
                    key,
                    Origin::default(),
                    direction,
                    Sample {
                        sequence,
                        syn: false,
                        octets,
                        length: 0,
                        expected: None,
                        time_ns: 5,
                    },
                    out,
                );
            }
        }
        tracker.protocol(key)
    };
    let call = (
        request(&produce(13, 1, &[("orders", &[5])]), ApiKey::Produce, 13, 9),
        answer(&produced(13, &[("orders", 0)]), ApiKey::Produce, 13, 9),
    );
    assert_eq!(
        say(1, std::slice::from_ref(&call), &mut out),
        Some(Protocol::Kafka)
    );
    say(2, &[metadata_said(12, 1)], &mut out);
    say(3, &[call], &mut out);
    let topics = |at: usize| match &out[at].1 {
        Record::Kafka(kafka) => kafka.topics.clone(),
        other => panic!("{other:?}"),
    };
    let known = topic("orders", true, Seen::Known(5), 0);
    assert_eq!(
        topics(0),
        [KafkaTopic {
            name: Seen::Unknown,
            ..known.clone()
        }]
    );
    assert_eq!(topics(2), [known]);
}

#[test]
fn hostile_connections_take_no_more_than_their_share() {
    let mut connection = Connection::new(false);
    let mut names = TopicNames::default();
    let mut most = 0;
    let topics: Vec<(String, Vec<i32>)> = (0..60)
        .map(|number| ("\u{1}".repeat(200) + &number.to_string(), (0..3).collect()))
        .collect();
    let topics: Vec<(&str, &[i32])> = topics
        .iter()
        .map(|(name, partitions)| (name.as_str(), partitions.as_slice()))
        .collect();
    for correlation in 0..500 {
        let octets = request(
            &fetch(12, (0, 0), &topics, &[]),
            ApiKey::Fetch,
            12,
            correlation,
        );
        connection.piece(
            Direction::ToServer,
            Piece::Octets {
                octets: &octets,
                begins: true,
                time_ns: 1,
            },
            &mut names,
            &mut Vec::new(),
        );
        most = most.max(connection.octets());
        let half = [&(90_000_u32).to_be_bytes()[..], &[0; 12_000]].concat();
        connection.piece(
            Direction::ToClient,
            Piece::Octets {
                octets: &half,
                begins: true,
                time_ns: 1,
            },
            &mut names,
            &mut Vec::new(),
        );
        most = most.max(connection.octets());
    }
    assert!(connection.over_budget > 0);
    assert!(most > MEMORY_OCTETS / 4, "{most}");
    assert!(most <= MEMORY_OCTETS, "{most}");
    connection.closed(true, &names, &mut Vec::new());
    assert_eq!(connection.text_octets, 0);
}

#[test]
fn as_many_names_of_topics_are_kept_as_there_is_room_for_those_that_are_used_the_longest() {
    let mut names = TopicNames::default();
    for number in 0..2 * TOPIC_NAMES as u128 {
        names.learn(number.to_be_bytes(), b"passing");
        names.learn([0xff; 16], b"orders");
        assert!(names.iter().count() <= TOPIC_NAMES);
    }
    assert!(names.iter().any(|known| known == ([0xff; 16], "orders")));
    assert!(!names.iter().any(|(id, _)| id == [0; 16]));
    let learnt = names.learnt();
    names.learn([0xff; 16], b"orders");
    assert_eq!(names.learnt(), learnt);
    names.learn([0xfe; 16], b"mails");
    assert_eq!(names.learnt(), learnt + 1);
}
