use std::net::IpAddr;

use api::hubble::answers::{Edge, Party};

use super::super::Counted;
use super::*;

/// A full hour.
const START: u64 = 1_700_000_400 - 1_700_000_400 % 3600;

fn edge() -> Edge {
    Edge {
        source: Some(Party {
            name: "web".into(),
            ..Party::default()
        }),
        destination: Some(Party {
            name: "api".into(),
            ..Party::default()
        }),
        port: 80,
        protocol: 6,
        ..Edge::default()
    }
}

/// A node that counts one connection a second.
fn node(seconds: u64) -> Rollup {
    let rollup = Rollup::open(None, START).unwrap();
    let peer: IpAddr = [192, 0, 2, 1].into();
    for second in START..START + seconds {
        rollup.count(
            &edge(),
            Counted::Opened {
                from: peer,
                led_on: false,
            },
            second * 1_000_000_000,
        );
        rollup.tick(second + 1).unwrap();
    }
    rollup
}

/// Start and end of each span after `START`, and what was opened in it.
fn told(rollup: &Rollup, times: (u64, u64, u64), level: Level) -> Vec<(u64, u64, u64)> {
    let mut all = Vec::new();
    let (base, since, until) = times;
    let times = (START + base, START + since, START + until);
    let each = |span: Span| {
        let rows = span.part.unwrap().rows;
        let opened = rows
            .iter()
            .filter_map(|row| row.counters)
            .map(|of| of.opened)
            .sum();
        all.push((span.start - START, span.end - START, opened));
        true
    };
    rollup.spans(times, level, each).unwrap();
    all
}

#[test]
fn spans_follow_each_other_without_a_gap_and_sum_up_to_all() {
    let rollup = node(7300);
    for level in [Level::Ten, Level::Minute, Level::Hour] {
        let spans = told(&rollup, (0, 600, 7300), level);
        assert_eq!(spans[0], (0, 600, 600), "all before, as one");
        for pair in spans.windows(2) {
            assert_eq!(pair[0].1, pair[1].0, "{level:?}");
        }
        for (start, end, opened) in &spans {
            assert_eq!(*opened, end - start, "{level:?}");
        }
        assert_eq!(spans.last().unwrap().1, 7300, "{level:?}");
    }
}

#[test]
fn spans_are_as_long_as_asked_for_and_the_last_ones_shorter() {
    let rollup = node(7300);
    let hours = told(&rollup, (3600, 3600, 7300), Level::Hour);
    let lengths: Vec<u64> = hours.iter().map(|(start, end, _)| end - start).collect();
    assert_eq!(lengths, [3600, 60, 10, 10, 10, 10]);
    let tens = told(&rollup, (7200, 7200, 7230), Level::Ten);
    assert_eq!(tens, [(7200, 7210, 10), (7210, 7220, 10), (7220, 7230, 10)]);
}

#[test]
fn a_span_that_is_not_over_is_not_told() {
    let rollup = node(25);
    assert_eq!(
        told(&rollup, (0, 0, 100), Level::Ten),
        [(0, 10, 10), (10, 20, 10)]
    );
}

#[test]
fn an_edge_is_named_once_and_whoever_has_enough_gets_no_more() {
    let rollup = node(60);
    let mut edges = Vec::new();
    let each = |span: Span| {
        edges.extend(span.part.unwrap().rows.into_iter().map(|row| row.edge));
        edges.len() < 3
    };
    rollup
        .spans((START, START, START + 60), Level::Ten, each)
        .unwrap();
    assert_eq!(edges, [Some(edge()), None, None]);
}
