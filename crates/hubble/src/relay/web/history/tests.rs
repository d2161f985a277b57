use api::hubble::answers::{Edge, Party, PartyKind, Row};

use super::*;

#[test]
fn spans_are_multiples_of_what_nodes_count_in() {
    for (total, seconds) in [
        (1, 10),
        (300, 10),
        (900, 30),
        (3600, 120),
        (3661, 180),
        (21_600, 720),
        (604_800, 20_160),
    ] {
        assert_eq!(step(total), seconds, "{total}");
        assert!(step(total) * SPANS >= total, "{total}");
    }
}

#[test]
fn what_came_late_did_not_fail_and_what_came_from_outside_is_told_apart() {
    let row = |name: &str, opened, unanswered, late| Row {
        edge: Some(Edge {
            source: Some(Party {
                name: name.into(),
                kind: PartyKind::Entity.into(),
                ..Party::default()
            }),
            ..Edge::default()
        }),
        counters: Some(Counters {
            opened,
            unanswered,
            late,
            denied: 1,
            ..Counters::default()
        }),
        ..Row::default()
    };
    let answer = MapAnswer {
        edges: vec![row("world", 7, 3, 2), row("host", 5, 0, 0)],
        ..MapAnswer::default()
    };
    let expected = Sums {
        since: 60,
        opened: 12,
        failed: 3,
        unanswered: 3,
        denied: 2,
        outside: 7,
        ..Sums::default()
    };
    assert_eq!(sum(60, &answer), expected);
}
