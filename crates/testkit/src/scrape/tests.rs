use super::*;

const PAGE: &str = "# HELP cilium_endpoint_state Endpoints.\n\
    # TYPE cilium_endpoint_state gauge\n\
    cilium_endpoint_state{endpoint_state=\"ready\"} 3\n\
    # TYPE cilium_drop_count_total counter\n\
    cilium_drop_count_total{reason=\"a, {b}=c\",direction=\"EGRESS\"} 0\n\
    # TYPE cilium_delay histogram\n\
    cilium_delay_sum{source=\"k8s\"} 1\n\
    cilium_delay_bucket{le=\"+Inf\",source=\"k8s\"} 1\n\
    # TYPE cilium_policy gauge\n\
    cilium_policy 3\n";

fn faults(expression: &str) -> Vec<String> {
    Page::read(PAGE).faults(expression).unwrap()
}

#[test]
fn what_is_on_the_page_may_be_asked_for() {
    for expression in [
        "cilium_policy",
        "sum by (endpoint_state, pod) (cilium_endpoint_state{k8s_app=\"cilium\", endpoint_state!=\"ready\"}) > 0",
        "histogram_quantile(0.99, sum by (le, source) (rate(cilium_delay_bucket{pod=~\"$pod\"}[$__rate_interval])))",
        "rate(cilium_drop_count_total{reason=\"Policy denied\"}[5m])",
    ] {
        assert_eq!(faults(expression), Vec::<String>::new(), "{expression}");
    }
}

#[test]
fn families_and_labels_that_are_not_there_are_named() {
    for (expression, fault) in [
        ("cilium_policies", "no family cilium_policies"),
        (
            "cilium_endpoint_state{state=\"ready\"}",
            "cilium_endpoint_state has no label state",
        ),
        (
            "sum by (reasons) (cilium_drop_count_total)",
            "nothing to sum by reasons",
        ),
        (
            "cilium_policy{source=\"k8s\"}",
            "cilium_policy has no label source",
        ),
    ] {
        assert_eq!(faults(expression), [fault]);
    }
}

#[test]
fn queries_are_found_in_panels_and_in_rows() {
    let dashboard = r#"{"panels": [
        {"title": "a", "targets": [{"expr": "x"}, {"expr": "y"}]},
        {"title": "row", "panels": [{"title": "b", "targets": [{"expr": "z"}]}]}
    ]}"#;
    let pair = |title: &str, expression: &str| (title.to_owned(), expression.to_owned());
    assert_eq!(
        queries(dashboard).unwrap(),
        [pair("a", "x"), pair("a", "y"), pair("b", "z")]
    );
}
