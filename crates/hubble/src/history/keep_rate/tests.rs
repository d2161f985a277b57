use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use l7::record::{Dns, DnsOutcome, Grpc};
use proptest::prelude::*;

use super::*;
use crate::enrich::enrich;
use crate::records::decode::Clock;
use crate::records::{Point, Way};
use crate::sample::{Shop, denied, opened};
use crate::spoken::{Ends, Spoken};

const SECOND: u64 = 1_000_000_000;

fn row(position: u64, record: Record) -> Row {
    Row::new(position, Kept::Record(Arc::new(enrich(record, &Shop))))
}

/// The beginning and the end of a connection from this port; a client's reset of it, or the server's answer to its end.
fn both(port: u16, is_failure: bool) -> [Row; 2] {
    let mut record = opened();
    record.source.port = port;
    let mut end = record;
    if !is_failure {
        std::mem::swap(&mut end.source, &mut end.destination);
    }
    end.what = What::Closed {
        point: Point::ToEndpoint,
        way: Way::Unknown,
    };
    let at = u64::from(port) * 2;
    let end = Row {
        is_failure,
        ..row(at + 1, end)
    };
    [row(at, record), end]
}

fn port(row: &Row) -> Option<u16> {
    match &row.kept {
        Kept::Record(of) => Some(of.record.source.port.max(of.record.destination.port)),
        _ => None,
    }
}

/// Rows of so many connections, of which every seventh failed.
fn connections(count: u16) -> Vec<Row> {
    let ports = 20_000..20_000 + count;
    ports.flat_map(|port| both(port, port % 7 == 0)).collect()
}

fn said(position: u64, record: Said) -> Row {
    let spoken = Spoken {
        ends: Ends::from(&opened()),
        record,
        made_ns: SECOND,
        clock: Clock::new(0, UNIX_EPOCH),
    };
    let enriched = enrich(spoken.packet(), &Shop);
    let kept = Kept::Said(Arc::new(enriched), Arc::new(spoken));
    Row::new(position, kept)
}

fn http(latency_ns: u64) -> Http {
    Http {
        status: Seen::Known(200),
        start_ns: Some(SECOND),
        answer_ns: Some(SECOND + latency_ns),
        ending: Ending::Whole,
        ..Http::default()
    }
}

fn dns() -> Dns {
    Dns {
        qname: "api.shop.svc".to_owned(),
        qtype: 1,
        outcome: DnsOutcome::Code(0),
        attempts: 1,
        start_ns: SECOND,
        latency_ns: Some(1_000),
        answers: Vec::new(),
        all_answers: true,
        truncated: false,
    }
}

fn positions(rows: &[Row]) -> BTreeSet<u64> {
    rows.iter().map(|row| row.position).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn all_that_failed_is_written_and_each_other_connection_as_a_whole_or_counted(
        count in 2_000_u16..6_000,
        room in 1_500_usize..12_000,
    ) {
        let rows = connections(count);
        let Some(chosen) = choose(&rows, room) else {
            prop_assert!(rows.len() <= room);
            return Ok(());
        };
        let left_out: usize = chosen.iter().map(|row| row.left_out as usize).sum();
        prop_assert_eq!(chosen.len() + left_out, rows.len());
        let mut after = rows.iter();
        for row in &chosen {
            prop_assert_eq!(after.next().map(|row| row.position), Some(row.position), "in order, and none is counted twice");
            for _ in 0..row.left_out {
                after.next();
            }
        }
        let ports: Vec<u16> = chosen.iter().filter_map(port).collect();
        for failed in (20_000..20_000 + count).filter(|port| port % 7 == 0) {
            prop_assert_eq!(ports.iter().filter(|of| **of == failed).count(), 2);
        }
        let halves = ports.iter().filter(|of| ports.iter().filter(|other| other == of).count() == 1);
        prop_assert!(halves.count() <= 1, "the first row is always written");
        let failures = rows.iter().filter(|row| row.is_failure).count() * 2;
        let healthy = chosen.len() - failures;
        let wanted = room.saturating_sub(failures).max(room / 8);
        prop_assert!(healthy.abs_diff(wanted) < wanted / 5, "{} of {}", healthy, wanted);
    }
}

#[test]
fn two_nodes_write_the_same_connections() {
    let rows = connections(5_000);
    let mut seen_elsewhere = rows.clone();
    for row in &mut seen_elsewhere {
        row.position += 1_000_000;
        row.is_failure = false;
    }
    let busy = choose(&seen_elsewhere, 2_000).unwrap();
    let quiet = choose(&rows, 6_000).unwrap();
    let ports = |rows: &[Row]| {
        rows.iter()
            .skip(1)
            .filter_map(port)
            .collect::<BTreeSet<_>>()
    };
    assert!(ports(&busy).is_subset(&ports(&quiet)));
    assert!(ports(&busy).len() > 900);
}

#[test]
fn requests_that_failed_or_were_slow_and_other_records_are_always_written() {
    let refused = |status| Http {
        status,
        ..http(1_000)
    };
    let grpc = Grpc {
        status: Seen::Known(14),
        ..Grpc::default()
    };
    let always = [
        Said::Http(Box::new(refused(Seen::Known(404)))),
        Said::Http(Box::new(refused(Seen::Absent))),
        Said::Http(Box::new(Http {
            grpc: Seen::Known(grpc),
            ..http(1_000)
        })),
        Said::Http(Box::new(Http {
            ending: Ending::Overdue,
            ..http(1_000)
        })),
        Said::Http(Box::new(http(70 * SECOND))),
        Said::Dns(Box::new(dns())),
        Said::Kafka(Box::default()),
    ];
    let mut rows: Vec<Row> = (0..8_000)
        .map(|position| said(position, Said::Http(Box::new(http(1_000 + position)))))
        .collect();
    let always = always
        .into_iter()
        .zip(9_000..)
        .map(|(record, position)| said(position, record));
    rows.extend(always);
    rows.push(row(10_000, denied()));
    let chosen = choose(&rows, 2_000).unwrap();
    let written = positions(&chosen);
    let mut always = (9_000..9_007).chain([10_000]);
    assert!(always.all(|position| written.contains(&position)));
    let slow = (7_930..8_000).all(|position| written.contains(&position));
    assert!(slow, "the slowest hundredth");
    assert!((1_700..2_300).contains(&chosen.len()), "{}", chosen.len());
}

#[test]
fn what_always_is_written_leaves_an_eighth_for_the_healthy() {
    let mut rows: Vec<Row> = (0..6_000).map(|position| row(position, denied())).collect();
    rows.extend(connections(3_000));
    let chosen = choose(&rows, 4_000).unwrap();
    let failed = rows.iter().filter(|row| row.is_failure).count() * 2;
    let healthy = chosen.len() - 6_000 - failed;
    assert!((400..600).contains(&healthy), "{healthy}");
}

#[test]
fn there_is_room_for_a_day_by_the_time_of_records_and_the_octets_of_rows() {
    let mut room = Room::new(24 * 3600 * 16_000);
    assert_eq!(room.rows(SECOND, SECOND), LEAST);
    assert_eq!(room.rows(SECOND, 61 * SECOND), 60_000);
    room.written(61 * SECOND, 60_000, 60_000 * 8);
    // Since the segment before.
    assert_eq!(room.rows(50 * SECOND, 71 * SECOND), 20_000);
    // A small file says nothing of rows.
    room.written(71 * SECOND, 10, 4_000);
    assert_eq!(room.rows(71 * SECOND, 81 * SECOND), 20_000);
    // A clock that was set back goes on from there.
    assert_eq!(room.rows(20 * SECOND, 30 * SECOND), LEAST);
    room.written(30 * SECOND, 10, 4_000);
    assert_eq!(room.rows(31 * SECOND, 40 * SECOND), 20_000);
}
