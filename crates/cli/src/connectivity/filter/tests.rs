use super::*;

fn filter(expressions: &[&str]) -> Filter {
    let all: Vec<String> = expressions.iter().map(ToString::to_string).collect();
    Filter::new(&all).unwrap()
}

#[test]
fn without_expressions_all_is_meant() {
    assert!(filter(&[]).takes("no-policies", "pod-to-pod"));
}

#[test]
fn an_expression_is_looked_for_in_test_and_scenario() {
    let only = filter(&["^echo-ingress$", "/dns"]);
    assert!(only.takes("echo-ingress", "pod-to-pod"));
    assert!(!only.takes("echo-ingress-knp", "pod-to-pod"));
    assert!(only.takes("no-policies", "dns"));
    assert!(!only.takes("no-policies", "pod-to-pod"));
}

#[test]
fn an_exclamation_mark_excludes() {
    let but = filter(&["ingress", "!knp", "!/pod-to-world"]);
    assert!(but.takes("echo-ingress", "pod-to-pod"));
    assert!(!but.takes("echo-ingress-knp", "pod-to-pod"));
    assert!(!but.takes("all-ingress-deny", "pod-to-world"));
    assert!(filter(&["!dns"]).takes("no-policies", "pod-to-pod"));
}

#[test]
fn a_broken_expression_is_refused_by_name() {
    let error = Filter::new(&["(".to_owned()]).unwrap_err().to_string();
    assert!(error.contains("--test ("), "{error}");
}
