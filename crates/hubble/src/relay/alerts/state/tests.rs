use super::super::rules;
use super::*;

fn rule(more: &str) -> Rule {
    let text = format!("groups: [{{name: g, rules: [{{alert: A, expr: up, {more}}}]}}]");
    rules::read(&text).unwrap().remove(0).rules.remove(0)
}

fn series(name: &str) -> (Labels, f64) {
    ([(NAME, "up"), ("source", name)].into_iter().collect(), 2.0)
}

/// The states after each evaluation, a minute apart, and of those that changed.
fn states(rule: &Rule, evaluations: &[&[(Labels, f64)]]) -> Vec<(String, String)> {
    let mut alerts = Alerts::new();
    let listed = |alerts: &mut dyn Iterator<Item = &Alert>| {
        alerts
            .map(|alert| alert.state.name())
            .collect::<Vec<_>>()
            .join(" ")
    };
    let each = (0..).zip(evaluations).map(|(minute, found)| {
        let changed = advance(rule, &mut alerts, found, minute * 60_000).unwrap();
        (listed(&mut alerts.values()), listed(&mut changed.iter()))
    });
    each.collect()
}

fn pair(now: &str, changed: &str) -> (String, String) {
    (now.into(), changed.into())
}

#[test]
fn an_alert_is_pending_until_it_was_so_for_long_enough_then_fires_then_is_over() {
    let (here, gone): (&[_], &[_]) = (&[series("web")], &[]);
    let seen = states(&rule("for: 2m"), &[here, here, here, here, gone, gone]);
    let expected = [
        ("pending", ""),
        ("pending", ""),
        ("firing", "firing"),
        ("firing", ""),
        ("inactive", "inactive"),
        ("inactive", ""),
    ];
    assert_eq!(seen, expected.map(|(now, changed)| pair(now, changed)));
}

#[test]
fn a_pending_alert_that_is_gone_begins_anew() {
    let (here, gone): (&[_], &[_]) = (&[series("web")], &[]);
    let seen = states(&rule("for: 2m"), &[here, here, gone, here, here]);
    assert_eq!(
        seen,
        [
            pair("pending", ""),
            pair("pending", ""),
            pair("", ""),
            pair("pending", ""),
            pair("pending", "")
        ]
    );
}

#[test]
fn an_alert_that_is_kept_fires_on_and_one_that_returns_fires_again() {
    let (here, gone): (&[_], &[_]) = (&[series("web")], &[]);
    let seen = states(
        &rule("keep_firing_for: 2m"),
        &[here, gone, gone, gone, here],
    );
    let expected = [
        ("firing", "firing"),
        ("firing", ""),
        ("firing", ""),
        ("inactive", "inactive"),
        ("firing", "firing"),
    ];
    assert_eq!(seen, expected.map(|(now, changed)| pair(now, changed)));
}

#[test]
fn what_is_over_is_forgotten_after_a_quarter_of_an_hour() {
    let (here, gone): (&[_], &[_]) = (&[series("web")], &[]);
    let mut evaluations = vec![here];
    evaluations.extend([gone; 18]);
    let seen = states(&rule("labels: {}"), &evaluations);
    assert_eq!(seen[16].0, "inactive");
    assert_eq!(seen[17].0, "");
}

#[test]
fn each_series_is_an_alert_with_the_labels_and_words_of_the_rule() {
    let rule = rule(
        "labels: {severity: low, who: '{{ $labels.source }}'}, annotations: {summary: '{{ $value }} of {{ $labels.source }}'}",
    );
    let mut alerts = Alerts::new();
    advance(&rule, &mut alerts, &[series("web"), series("db")], 0).unwrap();
    let (labels, alert) = alerts.first_key_value().unwrap();
    let expected: Labels = [
        ("alertname", "A"),
        ("severity", "low"),
        ("source", "db"),
        ("who", "db"),
    ]
    .into_iter()
    .collect();
    assert_eq!((alerts.len(), labels), (2, &expected));
    assert_eq!(alert.annotations["summary"], "2 of db");
}

#[test]
fn two_series_that_are_the_same_alert_are_an_error_and_change_nothing() {
    let rule = rule("labels: {source: same}");
    let mut alerts = Alerts::new();
    assert!(advance(&rule, &mut alerts, &[series("web"), series("db")], 0).is_err());
    assert!(alerts.is_empty());
}
