use super::*;

fn failure() -> Failure {
    Failure {
        name: "pod-to-pod/client -> echo (10.0.0.2)".to_owned(),
        source: "t/client-x on n1 (10.0.0.1)".to_owned(),
        destination: "10.0.0.2, port 8080".to_owned(),
        expected: "an answer".to_owned(),
        got: "silence".to_owned(),
        flows: vec!["n1 EGRESS 10.0.0.1:1 -> 10.0.0.2:8080 DROPPED POLICY_DENIED".to_owned()],
        fault: Some("a packet of it was dropped: POLICY_DENIED".to_owned()),
    }
}

fn all() -> Vec<Tested> {
    let tested = |name, outcome| Tested {
        name,
        namespace: "t".to_owned(),
        took: Duration::from_millis(1250),
        outcome,
    };
    let attempted = |failures, warnings| Outcome::Attempted {
        attempts: 3,
        failures,
        warnings,
    };
    vec![
        tested("no-policies", attempted(vec![], vec![])),
        tested("echo-ingress", attempted(vec![failure()], vec![])),
        tested("client-egress", attempted(vec![], vec![failure()])),
        tested(
            "to-cidr-external",
            Outcome::Skipped("no --external-ip is given".to_owned()),
        ),
        tested(
            "check-log-errors",
            Outcome::Looked(vec!["a <panic> & \"more\"\u{1b}[31m".to_owned()]),
        ),
        tested("health", Outcome::Broken("no answer".to_owned())),
    ]
}

#[test]
fn each_test_is_a_line_and_the_summary_says_who_wanted_what_of_whom() {
    let mut out = Vec::new();
    for tested in &all() {
        write_line(tested, Paint::Plain, &mut out).unwrap();
    }
    write_summary(&all(), Paint::Plain, &mut out).unwrap();
    insta::assert_snapshot!(String::from_utf8(out).unwrap());
}

#[test]
fn junit_counts_and_escapes() {
    insta::assert_snapshot!(junit(&all()));
}
