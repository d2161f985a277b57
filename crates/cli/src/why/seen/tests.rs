use api::hubble::flow::{Flow, Ip, Verdict};
use datapath::abi::Address;
use datapath::abi::connection::{Connection, ConnectionKey, Direction, flags};

use super::*;

fn entry(from: [u8; 4], to: [u8; 4], rewritten: Option<[u8; 4]>, created_ns: u64) -> Entry {
    let (from, to) = (Address::v4(from), Address::v4(to));
    let (key, low) = ConnectionKey::of((&from, 40000u16.to_be()), (&to, 80u16.to_be()), 6, 0);
    let mut value = Connection {
        created_ns,
        sent: Direction {
            packets: 3,
            bytes: 180,
            ..Direction::default()
        },
        ..Connection::default()
    };
    if low {
        value.flags |= flags::INITIATOR_LOW;
    }
    if let Some(rewritten) = rewritten {
        value.flags |= flags::DESTINATION_NAT;
        (value.to, value.to_port) = (Address::v4(rewritten), 8080u16.to_be());
    }
    Entry::new(&key, &value, State::Opening)
}

const BATCH: [u8; 4] = [10, 0, 0, 9];
const API: [u8; 4] = [10, 0, 1, 2];
const SERVICE: [u8; 4] = [10, 96, 0, 20];
const OTHER: [u8; 4] = [10, 0, 0, 10];

fn told(all: &[Entry]) -> Vec<String> {
    matching(all, BATCH.into(), &[API.into()])
}

#[test]
fn connections_of_the_two_are_told_newest_first_and_others_are_not() {
    let all = [
        entry(BATCH, API, None, 1),
        entry(BATCH, SERVICE, Some(API), 3),
        entry(OTHER, API, None, 4),
        entry(BATCH, SERVICE, Some(OTHER), 5),
        entry(API, BATCH, None, 2),
    ];
    assert_eq!(
        told(&all),
        [
            "10.0.0.9:40000 → 10.96.0.20:80, translated to 10.0.1.2:8080: 3 packets (180 bytes) out, no answer yet",
            "10.0.1.2:40000 → 10.0.0.9:80: 3 packets (180 bytes) out, no answer yet",
            "10.0.0.9:40000 → 10.0.1.2:80: 3 packets (180 bytes) out, no answer yet",
        ]
    );
}

#[test]
fn a_flow_is_told_with_verdict_reason_and_ends() {
    let mut flow = Flow {
        ip: Some(Ip {
            source: "10.0.0.9".into(),
            destination: "10.0.1.2".into(),
            ..Ip::default()
        }),
        ..Flow::default()
    };
    flow.set_verdict(Verdict::Dropped);
    flow.set_drop_reason_desc(api::hubble::flow::DropReason::PolicyDenied);
    assert_eq!(line(&flow), "DROPPED POLICY_DENIED 10.0.0.9 → 10.0.1.2");
    flow.time = Some(api::hubble::Timestamp::from_unix_nanos(
        1_700_000_000_123_456_789,
    ));
    let told = line(&flow);
    let (date, rest) = told.split_once(' ').unwrap();
    assert!(date.starts_with("2023-11-1"), "{date}");
    assert!(rest.contains(":20 ") && !rest.contains("123"), "{rest}");
}
