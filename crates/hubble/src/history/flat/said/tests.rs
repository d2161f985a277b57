use std::path::Path;
use std::sync::Arc;

use api::hubble::flow as pb;
use proptest::prelude::*;

use super::*;
use crate::enrich::{Enriched, enrich};
use crate::flow::Node;
use crate::history::file::write;
use crate::history::tests::read;
use crate::history::{Kept, Row};
use crate::sample::{Shop, opened};

/// The boot, seconds since the Unix epoch.
const BOOT: u64 = 1_000;

fn node() -> Node {
    Node {
        name: "default/n1".into(),
        labels: vec!["zone=a".into()],
    }
}

fn seen<T: std::fmt::Debug>(of: impl Strategy<Value = T>) -> impl Strategy<Value = Seen<T>> {
    (0..4, of).prop_map(|(which, of)| match which {
        0 => Seen::Absent,
        1 => Seen::Unknown,
        _ => Seen::Known(of),
    })
}

fn text() -> impl Strategy<Value = Seen<String>> {
    seen(prop_oneof![".{0,6}", "[a-z]{1,9}"])
}

fn moment() -> impl Strategy<Value = u64> {
    prop_oneof![0..3_000_000_000_u64, 0..1_u64 << 63, Just(u64::MAX)]
}

fn ending() -> impl Strategy<Value = Ending> {
    prop_oneof![
        Just(Ending::Whole),
        Just(Ending::Closed),
        Just(Ending::Reset(Direction::ToClient, 8)),
        Just(Ending::Refused),
        Just(Ending::Overdue),
        Just(Ending::Unknown),
    ]
}

fn path() -> impl Strategy<Value = (Seen<String>, Seen<String>)> {
    let of_template = "(/[a-z]{1,5}|/[0-9]{1,6}|/x-[0-9]{4}){0,4}".prop_map(|path| {
        let template = l7::template::template(&path);
        (Seen::Known(path), Seen::Known(template))
    });
    prop_oneof![of_template, (text(), text())]
}

prop_compose! {
    fn http()(
        version in prop_oneof![Just(HttpVersion::Http10), Just(HttpVersion::Http11), Just(HttpVersion::Http2)],
        (path, template) in path(),
        texts in [text(), text()],
        status in seen(any::<u16>()),
        octets in [seen(any::<u64>()), seen(any::<u64>())],
        (start_ns, answer_ns) in (proptest::option::of(moment()), proptest::option::of(moment())),
        traceparent in prop_oneof![text(), seen("00-[0-9a-f]{32}-[0-9a-f]{16}-01"), seen("00--x-01")],
        ending in ending(),
    ) -> Said {
        let [method, host] = texts;
        let [request_octets, response_octets] = octets;
        Said::Http(Box::new(Http {
            version, method, path, template, host, status, request_octets, response_octets, start_ns, answer_ns,
            traceparent, ending, ..Http::default()
        }))
    }
}

fn data() -> impl Strategy<Value = DnsData> {
    prop_oneof![
        any::<std::net::IpAddr>().prop_map(DnsData::Address),
        ".{0,9}".prop_map(DnsData::Alias),
        (".{0,9}", any::<u16>()).prop_map(|(name, port)| DnsData::Service(name, port)),
        any::<u16>().prop_map(DnsData::Other),
    ]
}

prop_compose! {
    fn dns()(
        qname in prop_oneof![".{0,9}", Just(".".to_owned())],
        qtype in any::<u16>(),
        outcome in prop_oneof![
            any::<u16>().prop_map(DnsOutcome::Code),
            Just(DnsOutcome::Timeout),
            Just(DnsOutcome::Closed),
            Just(DnsOutcome::Unknown),
        ],
        attempts in 0_u32..3,
        start_ns in 0..=1_u64 << 63,
        latency_ns in proptest::option::of(0..=1_u64 << 62),
        answers in proptest::collection::vec((".{0,4}", any::<u32>(), data()), 0..4),
    ) -> Said {
        let answers = answers.into_iter().map(|(name, ttl_s, data)| DnsAnswer { name, ttl_s, data });
        let answers = answers.collect();
        Said::Dns(Box::new(Dns {
            qname, qtype, outcome, attempts, start_ns, latency_ns, answers, all_answers: true, truncated: false,
        }))
    }
}

prop_compose! {
    fn kafka()(
        (api, version) in (any::<i16>(), any::<i16>()),
        texts in [text(), text()],
        topics in proptest::collection::vec(
            (text(), proptest::option::of(any::<[u8; 16]>()), seen(-2_i16..3)), 0..10),
        error in seen(-2_i16..3),
        request_octets in any::<u64>(),
        (start_ns, end_ns) in (moment(), proptest::option::of(moment())),
        ending in ending(),
    ) -> Said {
        let [client, group] = texts;
        let topics = topics.into_iter().map(|(name, id, error)| KafkaTopic {
            name, id, error, octets: Seen::Known(7),
        });
        Said::Kafka(Box::new(Kafka {
            api, version, client, group, topics: topics.collect(), error, request_octets, start_ns, end_ns, ending,
            ..Kafka::default()
        }))
    }
}

fn spoken(record: Said, by_service: bool, made_ns: u64) -> Arc<Spoken> {
    let mut ends = Ends::from(&opened());
    if !by_service {
        ends.asked = None;
        ends.client.endpoint = 0;
    }
    Arc::new(Spoken {
        ends,
        record,
        made_ns,
        clock: Clock::new(0, UNIX_EPOCH + std::time::Duration::from_secs(BOOT)),
    })
}

/// Its flows as clients read them, without the ids that are made anew.
fn told(enriched: &Enriched, spoken: &Arc<Spoken>) -> Vec<pb::Flow> {
    let flows = said::flows(enriched, spoken);
    let messages = flows.iter().map(|flow| pb::Flow {
        uuid: String::new(),
        ..flow.message(&node())
    });
    messages.collect()
}

/// Writes it and reads it again.
fn again(directory: &Path, enriched: &Enriched, spoken: &Arc<Spoken>) -> Vec<pb::Flow> {
    let kept = Kept::Said(Arc::new(enriched.clone()), Arc::clone(spoken));
    let row = Row::new(5, kept);
    let (path, _) = write(directory, "records-1-2", &[row]).unwrap();
    let rows = read(&path);
    let [row] = rows.as_slice() else {
        panic!("{rows:?}");
    };
    assert_eq!(row.position, 5);
    match &row.kept {
        Kept::Said(enriched, spoken) => told(enriched, spoken),
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_the_columns_hold_has_the_same_flows_when_it_is_read(
        record in prop_oneof![http(), dns(), kafka()],
        by_service in any::<bool>(),
        made_ns in moment(),
    ) {
        let spoken = spoken(record, by_service, made_ns);
        let enriched = enrich(spoken.packet(), &Shop);
        if holds(&spoken) {
            let directory = tempfile::tempdir().unwrap();
            prop_assert_eq!(again(directory.path(), &enriched, &spoken), told(&enriched, &spoken));
        }
    }
}

fn get() -> Http {
    let text = |of: &str| Seen::Known(of.to_owned());
    Http {
        method: text("GET"),
        path: text("/carts/17"),
        template: text("/carts/{id}"),
        host: text("shop.example"),
        status: Seen::Known(503),
        start_ns: Some(4),
        answer_ns: Some(9),
        ..Http::default()
    }
}

#[test]
fn what_is_common_is_held_and_what_has_no_place_is_not() {
    let holds = |record: Said| holds(&spoken(record, true, 10));
    let http = |of: Http| Said::Http(Box::new(of));
    assert!(holds(http(get())));
    let unanswered = Http {
        status: Seen::Absent,
        answer_ns: None,
        ..get()
    };
    assert!(holds(http(unanswered)));
    let without_request = Http {
        method: Seen::Unknown,
        start_ns: None,
        ..get()
    };
    assert!(holds(http(without_request)));
    for none in [
        Http {
            method: Seen::Known(String::new()),
            ..get()
        },
        Http {
            path: Seen::Known(String::new()),
            ..get()
        },
        Http {
            start_ns: None,
            ..get()
        },
        Http {
            start_ns: Some(10),
            ..get()
        },
        Http {
            answer_ns: Some(u64::MAX),
            ..get()
        },
    ] {
        assert!(!holds(http(none.clone())), "{none:?}");
    }
    assert!(!holds(Said::Tls(Box::default())), "it has no flow");
}
