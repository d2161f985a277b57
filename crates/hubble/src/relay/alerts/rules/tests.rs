use api::hubble::answers::{
    Cause, CauseKind, CodeCount, Counters, DnsCounters, Edge, HttpCounters, KafkaCounters, Part,
    Party, PartyKind, Row, Sketch, Span, Tally,
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
    assert!(rules.len() >= 18);
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
            retransmits_sent: 20,
            packets_sent: 200,
            ..Counters::default()
        }),
        connect: Some(lasted(690, 15)),
        failures: vec![
            failure(CauseKind::DeniedByRule),
            failure(CauseKind::Dropped),
        ],
        http: vec![HttpCounters {
            method: "GET".into(),
            path: "/".into(),
            requests: 40,
            status: vec![codes(404, 20), codes(500, 20)],
            latency: Some(lasted(690, 40)),
            ..HttpCounters::default()
        }],
        dns: vec![DnsCounters {
            questions: 20,
            codes: vec![codes(0, 5), codes(2, 10)],
            timeouts: 5,
            latency: Some(lasted(690, 15)),
            ..DnsCounters::default()
        }],
        kafka: vec![KafkaCounters {
            topic: "orders".into(),
            produces: 5,
            errors: vec![codes(6, 5)],
            ..KafkaCounters::default()
        }],
        ..Row::default()
    }
}

const fn codes(code: i32, count: u64) -> CodeCount {
    CodeCount { code, count }
}

/// So many of about a second (bucket 690) or of a millisecond (345).
fn lasted(bucket: u32, count: u64) -> Sketch {
    Sketch {
        bucket: vec![bucket],
        count: vec![count],
    }
}

/// A connection to somebody that nobody connected to before.
fn unheard_of(destination: Party) -> Row {
    Row {
        edge: Some(Edge {
            source: Some(party(PartyKind::Workload, "jobs")),
            destination: Some(destination),
            port: 443,
            protocol: 6,
            ..Edge::default()
        }),
        counters: Some(Counters {
            opened: 1,
            answered: 1,
            closed: 1,
            ..Counters::default()
        }),
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
    row.connect = Some(lasted(345, 20));
    row.http[0].status = vec![codes(200, 40)];
    row.http[0].latency = Some(lasted(345, 40));
    row.dns = vec![DnsCounters {
        questions: 20,
        codes: vec![codes(0, 20)],
        latency: Some(lasted(345, 20)),
        ..DnsCounters::default()
    }];
    row.kafka[0].errors.clear();
    if let Some(edge) = &mut row.edge {
        edge.source = Some(party(PartyKind::Workload, "web"));
    }
    row
}

/// What was counted in spans of ten seconds: when each begins, its rows, and how much was lost.
fn counted(spans: impl Iterator<Item = (u64, Vec<Row>, u64)>) -> Counts {
    let times = Times {
        base: DAY - 24 * 3600,
        since: NOW - 25 * 3600,
        until: NOW,
        seconds: 10,
    };
    let mut counts = Counts::new(times, FAMILIES.iter().collect());
    for (start, rows, lost) in spans {
        let part = Part {
            rows,
            lost,
            seen: 1000,
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
}

/// How many lines a rule finds now.
fn found(rule: &Rule, counts: &Counts) -> usize {
    let expr = promql::parse(&rule.query).unwrap();
    match promql::instant(&expr, NOW as i64 * 1000, counts, &Limits::default()).unwrap() {
        promql::Value::Vector(lines) => lines.len(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_built_in_rule_fires_when_everything_goes_wrong_and_none_when_all_is_well() {
    // A day ago all was well also with who came from outside, and an hour and a half ago it was.
    let mut from_outside = health();
    from_outside.edge = trouble().edge;
    let long_before = (NOW - 89_400..NOW - 88_800).step_by(10);
    let long_before = long_before.map(|start| (start, vec![from_outside.clone()], 0));
    let before = (NOW - 6000..NOW - 5400).step_by(10);
    let before = long_before.chain(before.map(|start| (start, vec![health()], 0)));
    let counts = |rows: Vec<Row>, lost: u64| {
        let now = (NOW - 240..NOW).step_by(10);
        let now = now.map(|start| (start, rows.clone(), lost));
        counted(before.clone().chain(now))
    };
    let bad = vec![
        trouble(),
        unheard_of(party(PartyKind::Workload, "cache")),
        unheard_of(party(PartyKind::DnsName, "api.example.com")),
    ];
    let (bad, good) = (counts(bad, 2), counts(vec![health()], 0));
    let groups = read(super::super::BUILT_IN).unwrap();
    for rule in groups.iter().flat_map(|group| &group.rules) {
        let lines = (found(rule, &bad), found(rule, &good));
        assert_eq!(lines, (1, 0), "{}", rule.name);
    }
}

#[test]
fn a_way_that_became_longer_is_told_also_of_connections_that_stay_open() {
    let groups = read(super::super::BUILT_IN).unwrap();
    let mut rules = groups.iter().flat_map(|group| &group.rules);
    let rule = rules.find(|rule| rule.name == "EdgeRTTHigh").unwrap();
    let fires = |before: u32, now: u32| {
        let before = (NOW - 89_400..NOW - 88_800).map(|start| (start, before));
        let now = (NOW - 240..NOW).map(|start| (start, now));
        let spans = before.chain(now).step_by(10).map(|(start, bucket)| {
            let row = Row {
                edge: trouble().edge,
                least_round_trip: Some(lasted(bucket, 20)),
                ..Row::default()
            };
            (start, vec![row], 0)
        });
        found(rule, &counted(spans))
    };
    let (millisecond, second) = (345, 690);
    assert_eq!(fires(millisecond, second), 1);
    assert_eq!(fires(second, second), 0, "as ever");
}

/// A file of the repository.
fn file(path: &str) -> String {
    std::fs::read_to_string(std::path::Path::new("../..").join(path)).unwrap()
}

/// Documents of a rendered chart: of this kind and name.
fn rendered(text: &str, kind: &str, name: &str) -> Value {
    let documents = serde_yaml_ng::Deserializer::from_str(text);
    let mut all = documents.map(|of| Value::deserialize(of).unwrap());
    let found = all.find(|of| of["kind"] == kind && of["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}"))
}

#[test]
fn the_chart_installs_the_rules_of_the_relay_but_those_that_are_switched_off() {
    let chart = file("xtask/src/chart/golden/relay.golden.yaml");
    let map = rendered(&chart, "ConfigMap", "hubble-relay-alerts");
    let for_relay = read(map["data"]["alerts.yaml"].as_str().unwrap()).unwrap();
    let manifest = rendered(&chart, "PrometheusRule", "hubble-relay");
    let for_others = read(&serde_yaml_ng::to_string(&manifest).unwrap()).unwrap();
    let off = ["HTTP4xxSurge", "EgressNameNew"];
    let built_in = read(super::super::BUILT_IN).unwrap();
    for installed in [for_relay, for_others] {
        for (group, other) in built_in.iter().zip(&installed) {
            assert_eq!((&group.name, group.interval), (&other.name, other.interval));
            let rules = group.rules.iter();
            let rules: Vec<&Rule> = rules
                .filter(|of| !off.contains(&of.name.as_str()))
                .collect();
            assert_eq!(rules.len(), other.rules.len(), "{}", group.name);
            for (rule, other) in rules.into_iter().zip(&other.rules) {
                assert_eq!((&rule.name, rule.hold), (&other.name, other.hold));
                let [one, two] = [rule, other].map(|of| promql::parse(&of.query).unwrap());
                assert_eq!(format!("{one:?}"), format!("{two:?}"), "{}", rule.name);
                assert_eq!(rule.labels, other.labels);
                let url = other.annotations["runbook_url"].written(&promql::Labels::default(), 0.0);
                let wanted = format!(
                    "https://books.example/runbooks.md#{}",
                    rule.name.to_lowercase()
                );
                assert_eq!(url, wanted);
            }
        }
        assert_eq!(installed.len(), built_in.len());
    }
}

#[test]
fn each_alert_has_a_runbook_that_says_what_to_ask_and_each_runbook_an_alert() {
    let names = |text: &str| -> Vec<String> {
        let file: Value = serde_yaml_ng::from_str(text).unwrap();
        let groups = file["groups"].as_sequence().unwrap().iter();
        let rules = groups.flat_map(|group| group["rules"].as_sequence().unwrap());
        rules
            .map(|rule| rule["alert"].as_str().unwrap().to_owned())
            .collect()
    };
    let mut alerts = names(super::super::BUILT_IN);
    alerts.extend(names(&file("deploy/chart/files/rules.yaml")));
    alerts.sort();
    let book = file("docs/runbooks.md");
    let sections: Vec<(&str, &str)> = book
        .split("\n### ")
        .skip(1)
        .map(|section| section.split_once('\n').unwrap())
        .collect();
    let mut named: Vec<&str> = sections.iter().map(|(name, _)| *name).collect();
    named.sort_unstable();
    assert_eq!(named, alerts);
    for (name, text) in sections {
        for part in ["**Means**", "**Ask**", "**Do**"] {
            assert!(text.contains(part), "{name}: {part}");
        }
        assert!(
            text.contains("`axoneme ") || text.contains("`kubectl "),
            "{name}"
        );
    }
}
