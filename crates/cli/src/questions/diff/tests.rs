use api::hubble::answers::{Counters, Edge, Party, Sketch as Message};
use clap::Parser;

use super::*;

#[derive(Parser)]
struct Diff {
    #[command(flatten)]
    args: DiffArgs,
}

/// Attempts, those refused, and the bucket of all answers.
fn map(edges: &[(&str, u64, u64, u32)]) -> MapAnswer {
    let row = |(name, opened, refused, bucket): &(&str, u64, u64, u32)| Row {
        edge: Some(Edge {
            destination: Some(Party {
                namespace: "shop".into(),
                name: (*name).into(),
                ..Party::default()
            }),
            ..Edge::default()
        }),
        counters: Some(Counters {
            opened: *opened,
            refused: *refused,
            ..Counters::default()
        }),
        connect: Some(Message {
            bucket: vec![*bucket],
            count: vec![*opened - *refused],
        }),
        ..Row::default()
    };
    MapAnswer {
        edges: edges.iter().map(row).collect(),
        ..MapAnswer::default()
    }
}

#[test]
fn what_fails_more_comes_first_and_what_is_alike_not_at_all() {
    let before = map(&[
        ("worse", 100, 0, 300),
        ("better", 100, 10, 300),
        ("slow", 100, 0, 300),
        ("quick", 100, 0, 300),
        ("alike", 100, 1, 300),
        ("chance", 100, 0, 300),
        ("few", 5, 0, 300),
        ("lost", 7, 0, 300),
    ]);
    let after = map(&[
        ("worse", 100, 5, 300),
        ("better", 100, 0, 300),
        ("slow", 100, 0, 330),
        ("quick", 100, 0, 270),
        ("alike", 101, 1, 310),
        ("chance", 100, 2, 300),
        ("few", 5, 0, 400),
        ("come", 9, 0, 300),
    ]);
    let found = differences(&before, &after);
    let short: Vec<_> = found
        .iter()
        .map(|of| (of.what, of.edge[1].trim_start_matches("shop/")))
        .collect();
    assert_eq!(
        short,
        [
            ("fails more", "worse"),
            ("slower", "slow"),
            ("gone", "lost"),
            ("new", "come"),
            ("fails less", "better"),
            ("faster", "quick"),
        ]
    );
    assert_eq!(differences(&before, &before), []);
    let json = found[0].json();
    assert_eq!(
        (&json["before"]["failed"], &json["after"]["failed"]),
        (&json!(0), &json!(5))
    );
    assert_eq!(cells(&found).rows[0].len(), cells(&found).header.len());
}

#[test]
fn the_earlier_span_is_as_long_and_directly_before_unless_it_is_asked_for() {
    let now: Zoned = "2026-01-02T12:00:00[UTC]".parse().unwrap();
    let spans_of = |flags: &[&str]| {
        let args = Diff::parse_from([&["diff"], flags].concat()).args;
        let question = ask::question(&args.ask, Kind::Map, &now).unwrap();
        spans(&args, (question.since, question.until), &now)
    };
    let at = |hour: i8| -> Timestamp {
        let noon = now.timestamp().as_second();
        Timestamp {
            seconds: noon - i64::from(12 - hour) * 3600,
            nanos: 0,
        }
    };
    assert_eq!(spans_of(&[]).unwrap(), (at(10), at(11)));
    assert_eq!(spans_of(&["--before", "6h"]).unwrap(), (at(5), at(6)));
    assert_eq!(
        spans_of(&["--since", "4h", "--until", "2h"]).unwrap(),
        (at(6), at(8))
    );
    for (flags, field) in [
        (["--since", "all"], "--since all: "),
        (["--until", "3h"], "--until: "),
        (["--before", "yore"], "--before"),
    ] {
        let error = format!("{:#}", spans_of(&flags).unwrap_err());
        assert!(error.starts_with(field), "{error}");
    }
}
