use std::time::Duration;

use api::hubble::answers::CauseKind;
use proptest::prelude::*;

use super::*;
use crate::connections::{Outcome, Traffic};

/// A full hour.
const START: u64 = 1_700_000_400 - 1_700_000_400 % 3600;
const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 7));

fn edge_of(name: &str) -> Edge {
    let party = |name: &str| Party {
        namespace: "shop".into(),
        name: name.into(),
        ..Party::default()
    };
    Edge {
        source: Some(party("web")),
        destination: Some(party(name)),
        port: 80,
        protocol: 6,
        ..Edge::default()
    }
}

fn begun(led_on: bool) -> Counted {
    Counted::Opened { from: PEER, led_on }
}

fn opened(rollup: &Rollup, name: &str, at: u64) {
    let counted = begun(false);
    rollup.count(&edge_of(name), counted, at * 1_000_000_000);
}

fn opened_of(part: &Part, name: &str) -> u64 {
    let edge = edge_of(name);
    let mut rows = part.rows.iter();
    let row = rows.find(|row| row.edge.as_ref() == Some(&edge));
    row.and_then(|row| row.counters).map_or(0, |of| of.opened)
}

fn node() -> Rollup {
    Rollup::open(None, START).unwrap()
}

fn change(outcome: Outcome) -> Change {
    Change {
        outcome: Some(outcome),
        answered: Some(Duration::from_millis(3)),
        sent: Traffic {
            packets: 2,
            bytes: 100,
            retransmits: 1,
        },
        ..Change::default()
    }
}

#[test]
fn what_is_counted_is_known_at_once_and_in_all_spans_that_it_lies_in() {
    let rollup = node();
    for second in 0..7300 {
        opened(&rollup, "api", START + second);
        rollup.tick(START + second + 1).unwrap();
        if second == 0 {
            let part = rollup.rows(START, START + 1).unwrap();
            assert_eq!(opened_of(&part, "api"), 1);
        }
    }
    let count =
        |since, until| opened_of(&rollup.rows(START + since, START + until).unwrap(), "api");
    assert_eq!(count(0, 7300), 7300);
    assert_eq!(count(0, 3600), 3600, "an hour");
    assert_eq!(count(3600, 7200), 3600, "the next one");
    assert_eq!(count(7190, 7300), 110, "the last minutes, by ten seconds");
    assert_eq!(
        count(600, 660),
        60,
        "a minute of which memory has no tens any more"
    );
    assert_eq!(
        count(7295, u64::MAX - START),
        10,
        "a span that lies in it in part is in it"
    );
    assert_eq!(count(8000, 9000), 0);
}

#[test]
fn after_a_restart_all_but_the_open_span_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let open = |at| Rollup::open(Some(directory.path()), at).unwrap();
    let rollup = open(START);
    for second in 0..3700 {
        opened(
            &rollup,
            if second < 1800 { "api" } else { "db" },
            START + second,
        );
        rollup.tick(START + second + 1).unwrap();
    }
    drop(rollup);
    let rollup = open(START + 3700);
    let part = rollup.rows(0, u64::MAX).unwrap();
    assert_eq!(opened_of(&part, "api"), 1800);
    // The minute that was open was in memory alone.
    assert_eq!(opened_of(&part, "db"), 1860);
    assert_eq!(part.known_since_ns, START * 1_000_000_000);
    opened(&rollup, "new", START + 3701);
    let part = rollup.rows(START + 3700, u64::MAX).unwrap();
    assert_eq!((opened_of(&part, "new"), part.rows.len()), (1, 1));
}

#[test]
fn an_hour_that_ended_while_no_agent_ran_is_kept_as_long_as_others() {
    let directory = tempfile::tempdir().unwrap();
    let open = |at| Rollup::open(Some(directory.path()), at).unwrap();
    let rollup = open(START);
    opened(&rollup, "api", START);
    rollup.tick(START + 60).unwrap();
    drop(rollup);
    let rollup = open(START + 7200);
    opened(&rollup, "db", START + 7200);
    let week = 7 * 24 * 3600;
    for after in [3 * 3600, week + 3 * 3600] {
        rollup.tick(START + after).unwrap();
        let part = rollup.rows(0, u64::MAX).unwrap();
        assert_eq!(opened_of(&part, "api"), 1, "{after} s later");
        assert_eq!(opened_of(&part, "db"), 1, "{after} s later");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_put_aside_and_counting_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("counts.redb"), "no database").unwrap();
    let rollup = Rollup::open(Some(directory.path()), START).unwrap();
    opened(&rollup, "api", START);
    assert_eq!(opened_of(&rollup.rows(START, START + 9).unwrap(), "api"), 1);
    let aside = directory.path().join("counts.unreadable");
    assert_eq!(std::fs::read_to_string(aside).unwrap(), "no database");
}

#[test]
fn a_file_of_another_release_is_put_aside_and_counting_begins_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("counts.redb");
    let rollup = Rollup::open(Some(directory.path()), START).unwrap();
    opened(&rollup, "api", START);
    rollup.tick(START + 60).unwrap();
    drop(rollup);
    let versions = redb::TableDefinition::<&str, u32>::new("versions");
    let database = redb::Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    let mut table = transaction.open_table(versions).unwrap();
    table.insert("version", 3).unwrap();
    drop(table);
    transaction.commit().unwrap();
    drop(database);
    let rollup = Rollup::open(Some(directory.path()), START + 60).unwrap();
    let part = rollup.rows(0, u64::MAX).unwrap();
    assert_eq!(opened_of(&part, "api"), 0);
    assert!(directory.path().join("counts.unreadable").exists());
}

#[test]
fn a_file_of_the_first_version_is_read_and_goes_on_as_one_of_this() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("counts.redb");
    let open = |at| Rollup::open(Some(directory.path()), at).unwrap();
    let rollup = open(START);
    opened(&rollup, "api", START);
    rollup.tick(START + 60).unwrap();
    let window = rollup.disk.read(Level::Minute, START).unwrap().unwrap();
    drop(rollup);
    let versions = redb::TableDefinition::<&str, u32>::new("versions");
    let spans = redb::TableDefinition::<(u64, u64), &[u8]>::new("spans");
    let database = redb::Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    let mut table = transaction.open_table(versions).unwrap();
    table.insert("version", 1).unwrap();
    drop(table);
    let mut table = transaction.open_table(spans).unwrap();
    let plain = window.encode_to_vec();
    table.insert((60, START), plain.as_slice()).unwrap();
    drop(table);
    transaction.commit().unwrap();
    drop(database);
    let rollup = open(START + 60);
    opened(&rollup, "api", START + 60);
    rollup.tick(START + 120).unwrap();
    drop(rollup);
    let rollup = open(START + 120);
    let part = rollup.rows(0, u64::MAX).unwrap();
    assert_eq!(opened_of(&part, "api"), 2);
    assert!(!directory.path().join("counts.unreadable").exists());
}

#[test]
fn a_file_that_somebody_has_open_stays_where_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let open = || Rollup::open(Some(directory.path()), START);
    let first = open().unwrap();
    assert!(open().is_err());
    assert!(!directory.path().join("counts.unreadable").exists());
    drop(first);
    open().unwrap();
}

#[test]
fn failures_have_their_cause_their_count_and_the_newest_samples() {
    let rollup = node();
    for number in 0..5_u64 {
        let sample = Sample {
            time_ns: number,
            ..Sample::default()
        };
        let counted = Counted::Changed(change(Outcome::Refused), Some(sample));
        rollup.count(&edge_of("api"), counted, START * 1_000_000_000 + number);
        rollup.tick(START + 10 * (number + 1)).unwrap();
    }
    let part = rollup.rows(START, u64::MAX).unwrap();
    let row = &part.rows[0];
    let counters = row.counters.unwrap();
    assert_eq!((counters.refused, counters.answered), (5, 5));
    assert_eq!((counters.packets_sent, counters.bytes_sent), (10, 500));
    let [tally] = row.failures.as_slice() else {
        panic!("{:?}", row.failures);
    };
    assert_eq!(tally.cause.as_ref().unwrap().kind(), CauseKind::Refused);
    assert_eq!(
        (tally.count, tally.first_ns % 10, tally.last_ns % 10),
        (5, 0, 4)
    );
    let times: Vec<u64> = tally.samples.iter().map(|of| of.time_ns).collect();
    assert_eq!(times, [4, 3, 2]);
    let connect = crate::sketch::Sketch::from(row.connect.as_ref().unwrap());
    assert_eq!(connect.count(), 5);
}

fn said(path: &str) -> Counted {
    let http = api::hubble::answers::HttpCounters {
        method: "GET".into(),
        path: path.into(),
        requests: 1,
        ..Default::default()
    };
    Counted::Said(Box::new(Row {
        http: vec![http],
        ..Row::default()
    }))
}

#[test]
fn what_was_said_is_there_after_a_restart_and_in_all_spans() {
    let directory = tempfile::tempdir().unwrap();
    let open = |at| Rollup::open(Some(directory.path()), at).unwrap();
    let rollup = open(START);
    for second in 0..7300 {
        let path = if second % 2 == 0 { "/a" } else { "/b" };
        rollup.count(
            &edge_of("api"),
            said(path),
            (START + second) * 1_000_000_000,
        );
        rollup.tick(START + second + 1).unwrap();
    }
    let requests = |part: &Part| {
        let mut all: Vec<(String, u64)> = Vec::new();
        for of in part.rows.iter().flat_map(|row| &row.http) {
            all.push((of.path.clone(), of.requests));
        }
        all.sort();
        all
    };
    let of = |count: u64| vec![("/a".to_owned(), count), ("/b".to_owned(), count)];
    assert_eq!(requests(&rollup.rows(0, u64::MAX).unwrap()), of(3650));
    assert_eq!(
        requests(&rollup.rows(START, START + 3600).unwrap()),
        of(1800)
    );
    drop(rollup);
    // The minute that was open was in memory alone.
    let part = open(START + 7300).rows(0, u64::MAX).unwrap();
    assert_eq!(requests(&part), of(3630));
}

#[test]
fn what_fails_of_what_is_said_leaves_room_for_what_fails_of_connections() {
    let rollup = node();
    let count = |counted| rollup.count(&edge_of("api"), counted, START * 1_000_000_000);
    for number in 0..1000 {
        let cause = Cause {
            kind: CauseKind::DnsNoSuchName.into(),
            name: format!("n{number}"),
            code: 3,
            ..Cause::default()
        };
        let tally = api::hubble::answers::Tally {
            cause: Some(cause),
            count: 1,
            ..Default::default()
        };
        count(Counted::Said(Box::new(Row {
            failures: vec![tally],
            ..Row::default()
        })));
    }
    count(Counted::Changed(
        change(Outcome::Refused),
        Some(Sample::default()),
    ));
    let part = rollup.rows(0, u64::MAX).unwrap();
    let failures = &part.rows[0].failures;
    let of = |kind: CauseKind| {
        let alike = failures
            .iter()
            .filter(move |of| of.cause.as_ref().map(Cause::kind) == Some(kind));
        alike.map(|of| of.count).sum::<u64>()
    };
    assert_eq!(
        (of(CauseKind::DnsNoSuchName), of(CauseKind::Refused)),
        (1000, 1)
    );
    assert!(failures.len() < 80, "{}", failures.len());
}

#[test]
fn edges_beyond_the_bound_are_counted_as_one_and_none_is_lost() {
    let rollup = node();
    for number in 0..EDGES + 100 {
        opened(&rollup, &format!("pod-{number}"), START);
    }
    let part = rollup.rows(START, START + 1).unwrap();
    assert_eq!(part.rows.len(), EDGES + 1);
    let all = part.rows.iter().filter_map(|row| row.counters);
    assert_eq!(all.map(|of| of.opened).sum::<u64>() as usize, EDGES + 100);
}

#[test]
fn who_comes_from_outside_is_named_and_who_does_not_is_not() {
    let rollup = node();
    let mut outside = edge_of("api");
    outside.source = Some(Party {
        name: "world".into(),
        kind: PartyKind::Entity.into(),
        ..Party::default()
    });
    rollup.count(&outside, begun(false), 1);
    opened(&rollup, "api", START);
    let part = rollup.rows(START, START + 1).unwrap();
    let named: Vec<usize> = part.rows.iter().map(|row| row.outsiders.len()).collect();
    assert_eq!(named, [1, 0]);
    assert_eq!(part.rows[0].outsiders[0].address, "203.0.113.7");
}

#[test]
fn records_that_were_lost_are_told_with_the_span_in_which_they_were() {
    let rollup = node();
    rollup.lost(7);
    rollup.tick(START + 10).unwrap();
    assert_eq!(rollup.rows(START, START + 10).unwrap().lost, 7);
    assert_eq!(rollup.rows(START + 10, START + 20).unwrap().lost, 0);
}

#[test]
fn tens_of_minutes_are_kept_for_two_days_and_are_made_also_of_minutes_of_before() {
    let directory = tempfile::tempdir().unwrap();
    let open = |at| Rollup::open(Some(directory.path()), at).unwrap();
    let rollup = open(START);
    for minute in 0..5 {
        opened(&rollup, "api", START + 60 * minute);
        rollup.tick(START + 60 * (minute + 1)).unwrap();
    }
    let kept = |rollup: &Rollup| {
        let found = rollup.disk.read(Level::TenMinutes, START).unwrap();
        found.map(|of| of.rows[0].counters.unwrap().opened)
    };
    assert_eq!(kept(&rollup), None, "they are not over");
    drop(rollup);
    let rollup = open(START + 700);
    opened(&rollup, "db", START + 700);
    rollup.tick(START + 1200).unwrap();
    assert_eq!(kept(&rollup), Some(5));
    let late = START + 2 * 24 * 3600 + 3600;
    opened(&rollup, "db", late);
    rollup.tick(late + 3600).unwrap();
    assert_eq!(kept(&rollup), None, "they are too old");
    assert_eq!(
        opened_of(&rollup.rows(START, START + 300).unwrap(), "api"),
        5
    );
}

#[test]
fn what_is_too_old_goes() {
    let rollup = node();
    opened(&rollup, "api", START);
    let week = 7 * 24 * 3600;
    for after in [
        60,
        3600,
        week,
        week + 7200,
        91 * 24 * 3600,
        91 * 24 * 3600 + 3600,
    ] {
        rollup.tick(START + after).unwrap();
        opened(&rollup, "db", START + after);
        let part = rollup.rows(0, u64::MAX).unwrap();
        let is_there = u64::from(after < 91 * 24 * 3600);
        assert_eq!(opened_of(&part, "api"), is_there, "{after} s later");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn sums_of_spans_are_the_sums_of_what_was_counted(
        gaps in prop::collection::vec(0_u64..400, 1..80),
        from in 0_u64..2000,
        length in 1_u64..9000,
    ) {
        let rollup = node();
        let (mut at, mut counted) = (START, Vec::new());
        for gap in gaps {
            at += gap;
            rollup.tick(at).unwrap();
            opened(&rollup, "api", at);
            counted.push(at);
        }
        rollup.tick(at + 10).unwrap();
        // Whole minutes, which memory and disk have alike.
        let (since, until) = (START + from - from % 60, START + from + length);
        let until = until - until % 60 + 60;
        let part = rollup.rows(since, until).unwrap();
        let inside = counted.iter().filter(|of| (since..until).contains(*of));
        prop_assert_eq!(opened_of(&part, "api") as usize, inside.count());
    }
}
