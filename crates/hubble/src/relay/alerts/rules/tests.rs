use super::*;

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
