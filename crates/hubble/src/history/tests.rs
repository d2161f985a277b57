mod size;

use api::hubble::observer::{
    GetFlowsRequest, get_flows_response::ResponseTypes, observer_server::Observer as _,
};
use futures::StreamExt;
use l7::record::{Http, Seen};
use proptest::prelude::*;
use tonic::Request;

use std::collections::HashSet;
use std::time::UNIX_EPOCH;

use super::*;
use crate::connections::{Change, Outcome};
use crate::enrich::enrich;
use crate::intake::Intake;
use crate::observer::{Config, Observer};
use crate::records::decode::Clock;
use crate::records::{Judgement, Mode, Point, Record, Side, Way, What};
use crate::ring::{Capacity, Ring};
use crate::sample::{Shop, denied, opened};
use crate::spoken::Ends;

fn kept(records: impl IntoIterator<Item = Record>) -> Vec<Row> {
    let rows = records.into_iter().zip(0..).map(|(record, position)| {
        Row::new(position, Kept::Record(Arc::new(enrich(record, &Shop))))
    });
    rows.collect()
}

pub(crate) fn read(path: &Path) -> Vec<Row> {
    let mut segment = file::Segment::open(path).unwrap();
    let blocks = std::iter::from_fn(|| segment.read().unwrap());
    blocks.flatten().collect()
}

fn text(rows: &[Row]) -> String {
    format!("{rows:#?}")
}

fn judgement() -> impl Strategy<Value = Judgement> {
    (any::<u32>(), 0_u8..7, any::<bool>(), any::<u16>()).prop_map(
        |(rule, match_type, audited, proxy_port)| Judgement {
            rule,
            match_type,
            mode: if audited {
                Mode::Audited
            } else {
                Mode::Enforced
            },
            proxy_port,
        },
    )
}

fn what() -> impl Strategy<Value = What> {
    let side = || prop_oneof![Just(Side::Ingress), Just(Side::Egress)];
    let point = || {
        prop_oneof![
            Just(Point::ToEndpoint),
            Just(Point::ToNetwork),
            Just(Point::FromHost)
        ]
    };
    let way = prop_oneof![Just(Way::Forward), Just(Way::Reply), Just(Way::Unknown)];
    let judged = || proptest::option::of(judgement());
    prop_oneof![
        (point(), judged(), judged()).prop_map(|(point, egress, ingress)| What::New {
            point,
            egress,
            ingress
        }),
        (point(), way).prop_map(|(point, way)| What::Closed { point, way }),
        (side(), judgement(), any::<u8>()).prop_map(|(side, judgement, reason)| What::Denied {
            side,
            judgement,
            reason
        }),
        (proptest::option::of(side()), any::<u8>())
            .prop_map(|(side, reason)| What::Dropped { side, reason }),
    ]
}

prop_compose! {
    fn record()(
        what in what(),
        time_ns in 0..=i64::MAX as u64,
        addresses in any::<[std::net::IpAddr; 3]>(),
        is_of_the_shop in any::<bool>(),
        ports in any::<[u16; 3]>(),
        identities in any::<[u32; 2]>(),
        endpoints in any::<[u16; 2]>(),
        is_asked in any::<bool>(),
        is_translated in any::<bool>(),
        octets in any::<[u8; 3]>(),
        interface in any::<u32>(),
        macs in proptest::option::of(any::<[[u8; 6]; 2]>()),
    ) -> Record {
        let mut record = opened();
        if !is_of_the_shop {
            record.source.address = addresses[0];
            record.destination.address = addresses[1];
        }
        record.source.port = ports[0];
        record.destination.port = ports[1];
        record.source.identity = identities[0];
        record.destination.identity = identities[1];
        record.source.endpoint = endpoints[0];
        record.destination.endpoint = endpoints[1];
        record.asked = is_asked.then(|| (addresses[2], ports[2]).into());
        record.translated_source = is_translated.then_some(addresses[2]);
        [record.protocol, record.tcp_flags_or_icmp_type, record.icmp_code] = octets;
        Record { time_ns, interface, macs, what, ..record }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read_again(records in proptest::collection::vec(record(), 1..20)) {
        let directory = tempfile::tempdir().unwrap();
        let rows = kept(records);
        let (path, _) = write(directory.path(), "records-1-2", &rows).unwrap();
        prop_assert_eq!(text(&read(&path)), text(&rows));
    }
}

fn message() -> [Row; 1] {
    let flow = pb::Flow {
        time: Some(Timestamp::from_unix_nanos(5)),
        uuid: "u".into(),
        l7: Some(pb::Layer7::default()),
        ..pb::Flow::default()
    };
    [Row::new(9, Kept::Message(Arc::new(flow)))]
}

#[test]
fn a_message_is_kept_as_it_came() {
    let directory = tempfile::tempdir().unwrap();
    let (path, _) = write(directory.path(), "records-1-2", &message()).unwrap();
    assert_eq!(text(&read(&path)), text(&message()));
}

/// Segments that a release wrote which knew no columns for what is said.
fn of_the_first_version(name: &str) -> PathBuf {
    Path::new("src/history/tests/version-1").join(name)
}

#[tokio::test]
async fn segments_of_the_first_version_are_read() {
    let of_a_message = of_the_first_version("records-1-2-9c92fac4.parquet");
    assert_eq!(text(&read(&of_a_message)), text(&message()));
    let name = "records-00000000001000000000-00000000010000000000-20018bdc.parquet";
    let directory = tempfile::tempdir().unwrap();
    std::fs::copy(of_the_first_version(name), directory.path().join(name)).unwrap();
    let agent = Agent::start(directory.path());
    let all: Vec<i64> = (1..=10).collect();
    assert_eq!(agent.seconds(since(0)).await, all);
}

#[test]
fn a_segment_of_many_blocks_is_read_block_by_block_in_the_order_in_which_it_came() {
    let directory = tempfile::tempdir().unwrap();
    let many = file::BLOCK as u64 * 2 + 7;
    let rows = kept((0..many).map(|number| {
        let record = if number % 3 == 0 { denied() } else { opened() };
        Record {
            time_ns: number,
            ..record
        }
    }));
    let (path, _) = write(directory.path(), "records-1-2", &rows).unwrap();
    let mut segment = file::Segment::open(&path).unwrap();
    let blocks = std::iter::from_fn(|| segment.read().unwrap());
    let blocks: Vec<Vec<Row>> = blocks.collect();
    let sizes: Vec<usize> = blocks.iter().map(Vec::len).collect();
    assert_eq!(sizes, [file::BLOCK, file::BLOCK, 7]);
    let told = |row: &Row| (row.position, row.span());
    let again: Vec<_> = blocks.iter().flatten().map(told).collect();
    assert_eq!(again, rows.iter().map(told).collect::<Vec<_>>());
}

/// An agent's flow server that keeps what its ring of three forgets.
struct Agent {
    history: Arc<History>,
    intake: Intake,
    observer: Observer,
}

impl Agent {
    fn start(directory: &Path) -> Self {
        let place = Place {
            directory: directory.to_owned(),
            bytes: 1 << 20,
        };
        let history = Arc::new(History::open(place).unwrap());
        let ring = Arc::new(Ring::new(Capacity::new(3).unwrap()));
        let intake = Intake::new(ring, Arc::new(Shop)).kept_by(Arc::clone(&history));
        let observer = Observer::new(&intake, Config::default(), CancellationToken::new());
        Self {
            history,
            intake,
            observer,
        }
    }

    /// A drop at this second: one flow.
    fn tell(&self, second: u64) {
        self.intake.record(Record {
            time_ns: second * 1_000_000_000,
            what: What::Dropped {
                side: None,
                reason: 130,
            },
            ..opened()
        });
    }

    async fn flows(
        &self,
        request: GetFlowsRequest,
    ) -> impl futures::Stream<Item = pb::Flow> + use<> {
        let replies = self.observer.get_flows(Request::new(request)).await;
        replies
            .unwrap()
            .into_inner()
            .map(|reply| match reply.unwrap().response_types {
                Some(ResponseTypes::Flow(flow)) => flow,
                other => panic!("{other:?}"),
            })
    }

    async fn ask(&self, request: GetFlowsRequest) -> impl futures::Stream<Item = i64> + use<> {
        let flows = self.flows(request).await;
        flows.map(|flow| flow.time.unwrap().seconds)
    }

    async fn seconds(&self, request: GetFlowsRequest) -> Vec<i64> {
        self.ask(request).await.collect().await
    }
}

fn since(second: u64) -> GetFlowsRequest {
    GetFlowsRequest {
        since: Some(Timestamp::from_unix_nanos(second * 1_000_000_000)),
        ..GetFlowsRequest::default()
    }
}

#[tokio::test]
async fn what_the_ring_forgot_is_told_and_what_it_holds_once() {
    let directory = tempfile::tempdir().unwrap();
    let agent = Agent::start(directory.path());
    for second in 1..=10 {
        agent.tell(second);
    }
    let all: Vec<i64> = (1..=10).collect();
    assert_eq!(agent.seconds(since(0)).await, all, "all in memory");
    agent.history.seal().unwrap();
    assert_eq!(agent.seconds(since(0)).await, all, "all in a segment");
    for second in 11..=15 {
        agent.tell(second);
    }
    let all: Vec<i64> = (1..=15).collect();
    assert_eq!(agent.seconds(since(0)).await, all, "both");
    assert_eq!(agent.seconds(since(9)).await, (9..=15).collect::<Vec<_>>());
    assert_eq!(agent.seconds(since(14)).await, [14, 15], "the ring alone");
    let some = GetFlowsRequest {
        until: Some(Timestamp::from_unix_nanos(4_000_000_000)),
        ..since(2)
    };
    assert_eq!(agent.seconds(some).await, [2, 3, 4]);
    let few = GetFlowsRequest {
        number: 4,
        first: true,
        ..since(2)
    };
    assert_eq!(agent.seconds(few).await, [2, 3, 4, 5]);
    assert_eq!(
        agent.seconds(GetFlowsRequest::default()).await,
        [13, 14, 15],
        "who does not ask for a time gets the ring"
    );
}

#[tokio::test]
async fn what_was_left_out_of_what_is_healthy_is_told_as_a_number() {
    let directory = tempfile::tempdir().unwrap();
    let agent = Agent::start(directory.path());
    let connections = 4_000;
    for number in 0..connections {
        let mut record = opened();
        record.source.port = 20_000 + number;
        record.time_ns = 1_000_000_000 + u64::from(number) * 1_000;
        agent.intake.record(record);
    }
    agent.history.seal().unwrap();
    let left_out = agent.history.left_out();
    assert!(left_out > 2_000, "{left_out}");
    assert_eq!(agent.history.lost(), 0);
    let request = since(0);
    let replies = agent.observer.get_flows(Request::new(request)).await;
    let mut replies = replies.unwrap().into_inner();
    let (mut ports, mut lost) = (HashSet::new(), 0);
    while let Some(reply) = replies.next().await {
        match reply.unwrap().response_types {
            Some(ResponseTypes::Flow(flow)) => {
                let l4 = flow.l4.unwrap().protocol;
                let Some(pb::layer4::Protocol::Tcp(tcp)) = l4 else {
                    panic!("{l4:?}");
                };
                ports.insert(tcp.source_port);
            }
            Some(ResponseTypes::LostEvents(event)) => {
                assert_eq!(event.source(), pb::LostEventSource::HubbleRingBuffer);
                assert!(event.first.is_some() && event.first < event.last);
                lost += event.num_events_lost;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(lost, left_out);
    // The ring holds the last one in any case.
    let told = ports.len() as u64 + lost;
    let all = u64::from(connections);
    assert!(told == all || told == all + 1, "{told}");
}

#[tokio::test]
async fn connections_that_failed_are_never_left_out() {
    let directory = tempfile::tempdir().unwrap();
    let agent = Agent::start(directory.path());
    // Of one that was told as unanswered before, the outcome is not told again with its end.
    let outcomes = [Some(Outcome::CutByServer), None];
    let failed = |port: u16| port.is_multiple_of(100);
    for port in 20_000..24_000 {
        let mut record = opened();
        record.source.port = port;
        record.time_ns = 1_000_000_000 + u64::from(port);
        agent.intake.record(record);
        record.what = What::Closed {
            point: Point::ToEndpoint,
            way: Way::Forward,
        };
        let change = Change {
            outcome: if failed(port) {
                outcomes[usize::from(port / 100 % 2)]
            } else {
                Some(Outcome::Closed)
            },
            ended: true,
            ..Change::default()
        };
        agent.intake.changed(record, change);
    }
    agent.history.seal().unwrap();
    assert!(agent.history.left_out() > 4_000);
    let mut files = std::fs::read_dir(directory.path()).unwrap();
    let rows = read(&files.next().unwrap().unwrap().path());
    let ports = rows.iter().filter_map(|row| match &row.kept {
        Kept::Record(of) => Some(of.record.source.port),
        _ => None,
    });
    let ports = ports.filter(|port| failed(*port));
    assert_eq!(ports.count(), 40 * 2, "beginnings and ends");
}

/// A request over HTTP at a second, and its answer half a second later.
fn request(second: u64, method: &str) -> Spoken {
    let start_ns = second * 1_000_000_000;
    let http = Http {
        method: Seen::Known(method.to_owned()),
        path: Seen::Known("/carts/17".to_owned()),
        template: Seen::Known("/carts/{id}".to_owned()),
        status: Seen::Known(200),
        start_ns: Some(start_ns),
        answer_ns: Some(start_ns + 500_000_000),
        ..Http::default()
    };
    Spoken {
        ends: Ends::from(&opened()),
        record: l7::record::Record::Http(Box::new(http)),
        made_ns: start_ns + 600_000_000,
        clock: Clock::new(0, UNIX_EPOCH),
    }
}

#[tokio::test]
async fn what_was_said_is_told_of_the_past_as_it_was_told_when_it_came() {
    let directory = tempfile::tempdir().unwrap();
    let agent = Agent::start(directory.path());
    let without_id = |flow: pb::Flow| pb::Flow {
        uuid: String::new(),
        ..flow
    };
    let mut came = Vec::new();
    // The columns have no place for an empty method.
    for (second, method) in [(1, "GET"), (2, ""), (3, "PUT"), (4, "GET")] {
        agent.intake.spoken(request(second, method));
        let newest: Vec<pb::Flow> = agent
            .flows(GetFlowsRequest::default())
            .await
            .collect()
            .await;
        came.extend(newest.into_iter().rev().take(2).rev().map(without_id));
        if second == 3 {
            agent.history.seal().unwrap();
        }
    }
    assert_eq!(came.len(), 8);
    let told: Vec<pb::Flow> = agent.flows(since(0)).await.map(without_id).collect().await;
    assert_eq!(told, came);
    agent.history.seal().unwrap();
    drop(agent);
    let agent = Agent::start(directory.path());
    let again: Vec<pb::Flow> = agent.flows(since(0)).await.map(without_id).collect().await;
    assert_eq!(again, came, "out of the files alone");
    let ids: Vec<pb::Flow> = agent.flows(since(0)).await.collect().await;
    assert_eq!(ids, agent.flows(since(0)).await.collect::<Vec<_>>().await);
}

#[tokio::test]
async fn a_killed_agent_has_what_was_written_and_an_ended_one_has_all() {
    let directory = tempfile::tempdir().unwrap();
    let agent = Agent::start(directory.path());
    (1..=5).for_each(|second| agent.tell(second));
    agent.history.seal().unwrap();
    agent.tell(6);
    // Killed over a write.
    std::fs::write(directory.path().join("records-7-8.part"), "half").unwrap();
    drop(agent);
    let agent = Agent::start(directory.path());
    assert!(!directory.path().join("records-7-8.part").exists());
    agent.tell(9);
    assert_eq!(agent.seconds(since(0)).await, [1, 2, 3, 4, 5, 9]);
    assert_eq!(agent.history.since_ns(), Some(1_000_000_000));
    let stop = CancellationToken::new();
    stop.cancel();
    Arc::clone(&agent.history).run(stop).await;
    drop(agent);
    let agent = Agent::start(directory.path());
    assert_eq!(agent.seconds(since(0)).await, [1, 2, 3, 4, 5, 9]);
}

#[tokio::test]
async fn a_slow_reader_of_the_past_misses_nothing_that_came_meanwhile() {
    let directory = tempfile::tempdir().unwrap();
    let agent = Agent::start(directory.path());
    (1..=8).for_each(|second| agent.tell(second));
    let follow = GetFlowsRequest {
        follow: true,
        ..since(0)
    };
    let mut flows = Box::pin(agent.ask(follow).await);
    assert_eq!(flows.next().await, Some(1));
    for second in 9..=40 {
        agent.tell(second);
        if second == 20 {
            agent.history.seal().unwrap();
        }
    }
    let rest: Vec<i64> = flows.take(39).collect().await;
    assert_eq!(rest, (2..=40).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_segment_that_was_changed_is_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    let agent = Agent::start(directory.path());
    for second in 1..=9 {
        agent.tell(second);
        if second % 3 == 0 {
            agent.history.seal().unwrap();
        }
    }
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut octets = std::fs::read(&files[1]).unwrap();
    let middle = octets.len() / 2;
    octets[middle] ^= 1;
    std::fs::write(&files[1], octets).unwrap();
    let agent = Agent::start(directory.path());
    assert_eq!(agent.seconds(since(0)).await, [1, 2, 3, 7, 8, 9]);
}

#[test]
fn the_oldest_segments_go_when_there_are_too_many_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = 64 << 10;
    let place = Place {
        directory: directory.path().to_owned(),
        bytes,
    };
    let history = History::open(place).unwrap();
    for second in 1..=40 {
        for row in kept((0..50_u64).map(|number| Record {
            time_ns: second * 1_000_000_000 + number,
            ..denied()
        })) {
            history.push(row);
        }
        history.seal().unwrap();
    }
    assert!(history.bytes() <= bytes, "{}", history.bytes());
    let on_disk: u64 = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert_eq!(on_disk, history.bytes());
    let since = history.since_ns().unwrap();
    assert!(since > 2_000_000_000, "{since}");
    assert_eq!(history.lost(), 0);
}

#[test]
fn the_oldest_segments_go_when_there_are_too_many_files() {
    let directory = tempfile::tempdir().unwrap();
    for second in 0..SEGMENTS + 3 {
        let name = format!("records-{second:020}-{second:020}-00000000.parquet");
        std::fs::write(directory.path().join(name), "").unwrap();
    }
    let place = Place {
        directory: directory.path().to_owned(),
        bytes: 1 << 20,
    };
    let history = History::open(place).unwrap();
    history.push(kept([opened()]).remove(0));
    history.seal().unwrap();
    let files = std::fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(files, SEGMENTS);
    assert_eq!(history.since_ns(), Some(4));
}

#[test]
fn what_cannot_be_written_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    let place = Place {
        directory: directory.path().join("records"),
        bytes: 1 << 20,
    };
    let history = History::open(place).unwrap();
    std::fs::remove_dir(directory.path().join("records")).unwrap();
    for row in kept([opened(), denied()]) {
        history.push(row);
    }
    let error = history.seal().unwrap_err().to_string();
    assert!(error.contains("No such file"), "{error}");
    assert_eq!(history.lost(), 2);
    let waiting = kept([opened()]).remove(0);
    for _ in 0..WAITING + 5 {
        history.push(waiting.clone());
    }
    assert_eq!(history.lost(), 2 + 5);
}
