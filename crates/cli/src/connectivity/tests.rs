use super::*;

fn listed(expressions: &[&str]) -> String {
    let all: Vec<String> = expressions.iter().map(ToString::to_string).collect();
    let filter = Filter::new(&all).unwrap();
    let cases: Vec<&Case> = CASES
        .iter()
        .filter(|case| is_meant(case, &filter))
        .collect();
    let mut out = Vec::new();
    list(&cases, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn the_list_names_what_is_meant_and_what_is_absent_with_its_reason() {
    let text = listed(&["^echo-ingress", "!knp"]);
    let (there, absent) = text.split_once("NOT THERE").unwrap();
    let names: Vec<&str> = there
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(
        names,
        ["echo-ingress", "echo-ingress-from-other-client-deny"]
    );
    assert!(absent.lines().any(|line| line.starts_with("to-fqdns ")
        && line.ends_with("there is no DNS proxy in this version")));
}

#[test]
fn a_scenario_that_is_meant_brings_its_tests() {
    let text = listed(&["/dns$"]);
    assert!(
        text.starts_with("TEST         WHAT IS TRIED\nno-policies "),
        "{text}"
    );
    assert!(!text.contains("check-log-errors"), "{text}");
}
