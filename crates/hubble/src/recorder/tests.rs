use api::hubble::answers::Row;

use super::*;
use crate::enrich::enrich;
use crate::sample::{Shop, denied, opened};

fn recorder() -> Recorder {
    Recorder::new(Rollup::open(None, 1_700_000_000).unwrap(), 0)
}

fn only_row(recorder: &Recorder) -> Row {
    let mut part = recorder.rollup().rows(0, u64::MAX).unwrap();
    assert_eq!(part.rows.len(), 1, "{part:?}");
    part.rows.remove(0)
}

#[test]
fn a_connection_that_begins_is_counted_for_its_edge() {
    let recorder = recorder();
    recorder.record(&enrich(opened(), &Shop));
    let row = only_row(&recorder);
    assert_eq!(row.counters.unwrap().opened, 1);
    assert_eq!(row.edge.unwrap().service, "shop/api");
}

#[test]
fn an_attempt_that_is_denied_again_and_again_is_one() {
    let recorder = recorder();
    for second in 0..3_u64 {
        let mut again = denied();
        again.time_ns += second * 1_000_000_000;
        recorder.record(&enrich(again, &Shop));
    }
    let mut other = denied();
    other.source.port += 1;
    recorder.record(&enrich(other, &Shop));
    let row = only_row(&recorder);
    assert_eq!(row.counters.unwrap().denied, 2);
    let [tally] = row.failures.as_slice() else {
        panic!("{:?}", row.failures);
    };
    assert_eq!((tally.count, tally.packets), (2, 4));
    let cause = tally.cause.as_ref().unwrap();
    assert_eq!(cause.kind(), CauseKind::DeniedByDefault);
    assert_eq!(cause.direction(), Direction::Ingress);
    assert_eq!(cause.policies[0].name, "p12");
    assert_eq!(tally.samples[0].source_pod, "shop/web-1");
    assert_eq!(tally.samples[0].destination, "10.0.0.2:8080");
}

#[test]
fn a_deny_rule_is_told_from_the_lack_of_an_allowing_one() {
    let recorder = recorder();
    let mut record = denied();
    if let What::Denied { reason, .. } = &mut record.what {
        *reason = DENY_RULE;
    }
    recorder.record(&enrich(record, &Shop));
    let row = only_row(&recorder);
    let cause = row.failures[0].cause.clone().unwrap();
    assert_eq!(cause.kind(), CauseKind::DeniedByRule);
}

#[test]
fn drops_are_counted_with_their_reason() {
    let recorder = recorder();
    let record = Record {
        what: What::Dropped {
            side: None,
            reason: 158,
        },
        ..opened()
    };
    recorder.record(&enrich(record, &Shop));
    let row = only_row(&recorder);
    assert_eq!(row.counters.unwrap().dropped, 1);
    assert_eq!(row.failures[0].cause.as_ref().unwrap().drop_reason, 158);
}

#[test]
fn what_a_stack_tells_its_link_or_has_no_addresses_is_nobodys_talk() {
    let recorder = recorder();
    for (from, to) in [
        ("fe80::1", "ff02::2"),
        ("fd00::1", "ff02::16"),
        ("10.0.0.1", "224.0.0.22"),
        ("169.254.7.7", "10.0.0.2"),
        ("::", "::"),
        ("0.0.0.0", "255.255.255.255"),
    ] {
        let mut record = denied();
        record.source.address = from.parse().unwrap();
        record.destination.address = to.parse().unwrap();
        recorder.record(&enrich(record, &Shop));
    }
    let part = recorder.rollup().rows(0, u64::MAX).unwrap();
    assert_eq!(part.rows, []);
}

#[test]
fn attempts_that_are_remembered_are_bounded() {
    let mut attempts = Attempts::default();
    let mut record = denied();
    for number in 0..u64::try_from(ATTEMPTS).unwrap() * 3 {
        record.source.port = (number % 60_000) as u16;
        record.destination.port = (number / 60_000) as u16;
        attempts.is_new(&record);
    }
    let [newer, older] = &attempts.halves;
    assert!(newer.len() + older.len() <= ATTEMPTS);
}

fn question(qname: &str, code: u16) -> l7::record::Record {
    l7::record::Record::Dns(Box::new(Dns {
        qname: qname.into(),
        qtype: 1,
        outcome: DnsOutcome::Code(code),
        attempts: 1,
        start_ns: 0,
        latency_ns: Some(1_000_000),
        answers: Vec::new(),
        all_answers: true,
        truncated: false,
    }))
}

#[test]
fn what_was_said_is_counted_on_the_edge_of_its_connection() {
    let recorder = recorder();
    recorder.record(&enrich(opened(), &Shop));
    recorder.said(&enrich(opened(), &Shop), &question("db.shop", 2));
    let row = only_row(&recorder);
    assert_eq!(row.counters.unwrap().opened, 1);
    assert_eq!((row.dns.len(), row.dns[0].questions), (1, 1));
    let [tally] = row.failures.as_slice() else {
        panic!("{:?}", row.failures);
    };
    assert_eq!(tally.cause.as_ref().unwrap().name, "db.shop");
    assert_eq!(tally.samples[0].source_pod, "shop/web-1");
}

#[test]
fn a_name_of_a_search_that_found_another_is_no_failure() {
    let recorder = recorder();
    let packet = enrich(opened(), &Shop);
    recorder.said(&packet, &question("db.shop.svc.cluster.local", 3));
    recorder.said(&packet, &question("gone.shop", 3));
    recorder.said(&packet, &question("db.shop", 0));
    let row = only_row(&recorder);
    let left: Vec<(&str, u64)> = row
        .failures
        .iter()
        .map(|of| {
            (
                of.cause.as_ref().unwrap().name.as_str(),
                of.count - of.excused,
            )
        })
        .collect();
    assert_eq!(left, [("db.shop.svc.cluster.local", 0), ("gone.shop", 1)]);
    let searched = row.dns.iter().find(|of| of.name.starts_with("db.shop.svc"));
    assert_eq!(searched.unwrap().searched, 1);
}
