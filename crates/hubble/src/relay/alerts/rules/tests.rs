use api::hubble::answers::{
    Cause, CauseKind, Counters, Edge, Part, Party, PartyKind, Row, Sketch, Span, Tally,
};
use promql::Limits;

use super::*;
use crate::series::{Counts, Edges, FAMILIES, Times};

fn error(rule: &str) -> String {
    let text = format!("groups: [{{name: g, rules: [{rule}]}}]");
    read(&text).unwrap_err()
}

#[test]
fn rules_are_read_out_of_a_file_and_out_of_a_manifest() {
    let groups = "groups: [{name: g, interval: 1m, rules: [{alert: A, expr: up == 0, for: 5m, labels: {severity: low}}]}]";
    let manifest = format!("kind: PrometheusRule\nspec:\n  {groups}\n");
    for text in [groups, &manifest] {
        let groups = read(text).unwrap();
        let [group] = groups.as_slice() else {
            panic!("{groups:?}")
        };
        assert_eq!(
            (group.name.as_str(), group.interval),
            ("g", Duration::from_mins(1))
        );
        let [rule] = group.rules.as_slice() else {
            panic!("{group:?}")
        };
        assert_eq!(
            (rule.name.as_str(), rule.query.as_str(), rule.hold),
            ("A", "up == 0", Duration::from_mins(5))
        );
    }
}

#[test]
fn an_error_names_the_group_and_the_rule() {
    assert_eq!(
        error("{alert: A, expr: 'sum('}"),
        "group \"g\": rule \"A\": expr: 1:5: parse error: unexpected end of input in expression"
    );
    let errors = [
        (
            "{alert: A, expr: '\"text\"'}",
            "expr: an instant vector or a scalar is needed",
        ),
        (
            "{alert: A, expr: up, for: soon}",
            "for: \"soon\" is no duration",
        ),
        ("{record: a, expr: up}", "rule number 0: record:"),
        ("{alert: A, expr: up, four: 5m}", "unknown field `four`"),
        (
            "{alert: A, expr: up, annotations: {summary: '{{ query }}'}}",
            "annotations: summary:",
        ),
        (
            "{alert: A, expr: up, labels: {alertname: B}}",
            "labels: alertname",
        ),
        ("{alert: '', expr: up}", "a name is needed"),
        ("{expr: up}", "missing field `alert`"),
    ];
    for (rule, expected) in errors {
        let error = error(rule);
        assert!(error.contains(expected), "{rule}: {error}");
        assert!(error.starts_with("group \"g\": rule "), "{error}");
    }
    for (text, expected) in [
        ("groups: 5", "groups: a list"),
        ("groups: [{name: g, interval: 1s}]", "group \"g\": interval"),
        ("groups: [{name: g}, {name: g}]", "two of this name"),
        ("groups: [{rules: []}]", "group number 0"),
    ] {
        assert!(read(text).unwrap_err().contains(expected), "{text}");
    }
}

#[test]
fn the_built_in_rules_can_be_read_and_read_series_that_there_are() {
    let groups = read(super::super::BUILT_IN).unwrap();
    let rules: Vec<&Rule> = groups.iter().flat_map(|group| &group.rules).collect();
    assert!(rules.len() >= 8);
    for rule in rules {
        let expr = promql::parse(&rule.query).unwrap();
        for selector in promql::selectors(&expr) {
            assert!(
                !crate::series::wanted(&[selector]).is_empty(),
                "{}",
                rule.name
            );
        }
        assert!(
            rule.annotations.contains_key("summary")
                && rule.annotations.contains_key("description"),
            "{}",
            rule.name
        );
    }
}

/// A midnight, seconds since the Unix epoch.
const DAY: u64 = 1_700_006_400;
/// The time of an evaluation.
const NOW: u64 = DAY + 7200;

fn party(kind: PartyKind, name: &str) -> Party {
    Party {
        name: name.into(),
        kind: kind.into(),
        ..Party::default()
    }
}

fn failure(kind: CauseKind) -> Tally {
    Tally {
        cause: Some(Cause {
            kind: kind.into(),
            drop_reason: 134,
            ..Cause::default()
        }),
        count: 5,
        packets: 50,
        ..Tally::default()
    }
}

/// What goes wrong in ten seconds: everything.
fn trouble() -> Row {
    Row {
        edge: Some(Edge {
            source: Some(party(PartyKind::Entity, "world")),
            destination: Some(party(PartyKind::Workload, "db")),
            port: 5432,
            protocol: 6,
            ..Edge::default()
        }),
        counters: Some(Counters {
            opened: 20,
            answered: 15,
            refused: 5,
            unanswered: 5,
            reset_by_server: 5,
            closed: 5,
            syn_retransmits: 5,
            ..Counters::default()
        }),
        // About a second.
        connect: Some(Sketch {
            bucket: vec![690],
            count: vec![15],
        }),
        failures: vec![
            failure(CauseKind::DeniedByRule),
            failure(CauseKind::Dropped),
        ],
        ..Row::default()
    }
}

/// What ten good seconds are.
fn health() -> Row {
    let mut row = trouble();
    row.failures.clear();
    row.counters = Some(Counters {
        opened: 20,
        answered: 20,
        closed: 20,
        ..Counters::default()
    });
    // About a millisecond.
    row.connect = Some(Sketch {
        bucket: vec![345],
        count: vec![20],
    });
    if let Some(edge) = &mut row.edge {
        edge.source = Some(party(PartyKind::Workload, "web"));
    }
    row
}

#[test]
fn every_built_in_rule_fires_when_everything_goes_wrong_and_none_when_all_is_well() {
    let times = Times {
        base: DAY,
        since: DAY + 3600,
        until: NOW,
        seconds: 10,
    };
    let counts = |row: Row| {
        let mut counts = Counts::new(times, FAMILIES.iter().collect());
        for start in (NOW - 240..NOW).step_by(10) {
            let part = Part {
                rows: vec![row.clone()],
                ..Part::default()
            };
            let span = Span {
                start,
                end: start + 10,
                part: Some(part),
            };
            counts.add(&mut Edges::default(), span);
        }
        counts
    };
    let (bad, good) = (counts(trouble()), counts(health()));
    let groups = read(super::super::BUILT_IN).unwrap();
    for rule in groups.iter().flat_map(|group| &group.rules) {
        let expr = promql::parse(&rule.query).unwrap();
        let found = |counts: &Counts| {
            let now = NOW as i64 * 1000;
            match promql::instant(&expr, now, counts, &Limits::default()).unwrap() {
                promql::Value::Vector(lines) => lines.len(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((found(&bad), found(&good)), (1, 0), "{}", rule.name);
    }
}
