use super::*;

fn option(name: &str, values: &[&str]) -> ContextOption {
    ContextOption {
        name: name.into(),
        values: values.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn items_are_read_with_their_options() {
    let text = "dns:query;ignoreAAAA  drop\tflow:sourceContext=pod|ip;labelsContext=source_ip,source_pod\n";
    let wanted = parse(text);
    let names: Vec<_> = wanted.iter().map(|metric| metric.name.as_str()).collect();
    assert_eq!(names, ["dns", "drop", "flow"]);
    assert_eq!(
        wanted[0].context_options,
        [option("query", &[]), option("ignoreAAAA", &[])]
    );
    assert!(wanted[1].context_options.is_empty());
    assert_eq!(
        wanted[2].context_options,
        [
            option("sourceContext", &["pod", "ip"]),
            option("labelsContext", &["source_ip", "source_pod"]),
        ]
    );
    assert!(parse(" ").is_empty());
}

#[test]
fn the_file_says_the_same_and_adds_filters() {
    let wanted = read(
        "metrics:
- name: dns
  contextOptions:
  - name: query
    values: []
  - name: sourceContext
    values: [workload-name, reserved-identity]
  includeFilters:
  - source_pod: [shop/]
  excludeFilters:
  - {verdict: [DROPPED]}
- name: drop
",
    )
    .unwrap();
    assert_eq!(
        wanted[0].context_options,
        [
            option("query", &[]),
            option("sourceContext", &["workload-name", "reserved-identity"]),
        ]
    );
    assert_eq!(wanted[0].include_filters[0].source_pod, ["shop/"]);
    assert_eq!(wanted[0].exclude_filters[0].verdict, [2]);
    assert_eq!(wanted[1].name, "drop");
    assert!(read("").unwrap().is_empty());
    assert!(read("metrics: []").unwrap().is_empty());
}

#[test]
fn a_file_that_cannot_be_used_says_where() {
    let error = |text: &str| read(text).unwrap_err().to_string();
    assert_eq!(
        error("metrics: [{contextOptions: []}]"),
        "metrics[0]: has no name"
    );
    assert_eq!(
        error("metrics: [{name: tcp}, {name: tcp}]"),
        "metrics[1]: a second metric with the name \"tcp\""
    );
    assert!(error("metrics: [{name: tcp, includeFilters: [{colour: [x]}]}]").contains("colour"));
    assert!(error("metrics: 7").starts_with("metrics: "));
}
