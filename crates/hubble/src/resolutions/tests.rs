use std::net::Ipv4Addr;

use l7::record::DnsAnswer;

use super::*;
use crate::enrich::enrich;
use crate::names::NoNames;
use crate::sample::{Shop, opened};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9));

fn outside(last: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0xcb00_0000 + last))
}

fn answer(qname: &str, address: IpAddr) -> Dns {
    Dns {
        qname: qname.into(),
        qtype: 1,
        outcome: DnsOutcome::Code(0),
        attempts: 1,
        start_ns: 0,
        latency_ns: None,
        answers: vec![DnsAnswer {
            name: "alias.example.net".into(),
            ttl_s: 1,
            data: DnsData::Address(address),
        }],
        all_answers: true,
        truncated: false,
    }
}

#[test]
fn an_address_is_called_as_its_client_asked_for_it_last() {
    let mut resolutions = Resolutions::default();
    resolutions.learn(CLIENT, &answer("a.example.com", outside(1)));
    resolutions.learn(CLIENT, &answer("b.example.com", outside(1)));
    let mut refused = answer("c.example.com", outside(1));
    refused.outcome = DnsOutcome::Code(2);
    resolutions.learn(CLIENT, &refused);
    let name = resolutions.name(CLIENT, outside(1));
    assert_eq!(name.as_deref(), Some("b.example.com"));
    assert_eq!(resolutions.name(OTHER, outside(1)), None);
    assert_eq!(resolutions.name(CLIENT, outside(2)), None);
}

#[test]
fn what_is_looked_for_stays_and_what_is_remembered_is_bounded() {
    let mut resolutions = Resolutions::default();
    resolutions.learn(CLIENT, &answer("kept.example.com", outside(0)));
    for number in 1..3 * PAIRS as u32 {
        resolutions.learn(CLIENT, &answer("many.example.com", outside(number)));
        assert!(resolutions.name(CLIENT, outside(0)).is_some(), "{number}");
    }
    let [newer, older] = &resolutions.halves;
    assert!(newer.len() + older.len() <= PAIRS);
}

#[test]
fn only_who_is_outside_has_such_a_name() {
    let mut record = opened();
    assert!(!is_nameless(&enrich(record, &Shop)), "a pod");
    for (identity, is_outside) in [(1, false), (6, false), (7, false), (2, true), (9, true)] {
        record.destination.identity = identity;
        assert_eq!(
            is_nameless(&enrich(record, &NoNames)),
            is_outside,
            "{identity}"
        );
    }
    record.destination.identity = 5000;
    assert!(
        !is_nameless(&enrich(record, &NoNames)),
        "a pod that nobody knows yet"
    );
}
