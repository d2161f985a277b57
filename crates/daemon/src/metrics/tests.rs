use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::*;

#[test]
fn a_page_has_each_family_once_with_its_type_and_escapes_what_labels_say() {
    let mut registry = Registry::with_prefix("cilium");
    let drops: Family<Labels<2>, Counter> = Family::default();
    registry.register("drop_count", "Packets dropped", drops.clone());
    registry.register("nodes", "Nodes", Gauge::<i64>::default());
    let of = labels([("direction", "EGRESS"), ("reason", "a \"b\" \\ c\n")]);
    drops.get_or_create(&of).inc_by(7);
    assert_eq!(
        text(&registry),
        "# HELP cilium_drop_count_total Packets dropped.\n\
         # TYPE cilium_drop_count_total counter\n\
         cilium_drop_count_total{direction=\"EGRESS\",reason=\"a \\\"b\\\" \\\\ c\\n\"} 7\n\
         # HELP cilium_nodes Nodes.\n\
         # TYPE cilium_nodes gauge\n\
         cilium_nodes 0\n"
    );
}

#[test]
fn numbers_of_the_process_are_those_of_this_process() {
    let mut registry = Registry::with_prefix("cilium_operator");
    registry.register_collector(Box::new(Process));
    let text = text(&registry);
    let number = |name: &str| -> f64 {
        let start = format!("cilium_operator_process_{name} ");
        let mut lines = text.lines().filter(|line| line.starts_with(&start));
        let value = lines.next().and_then(|line| line.rsplit_once(' '));
        value
            .unwrap_or_else(|| panic!("no {start} in\n{text}"))
            .1
            .parse()
            .unwrap()
    };
    assert!(number("resident_memory_bytes") > 1e6);
    assert!(number("virtual_memory_bytes") >= number("resident_memory_bytes"));
    assert!(number("open_fds") >= 3.0 && number("open_fds") <= number("max_fds"));
    let started = number("start_time_seconds") as i64;
    assert!((jiff::Timestamp::now().as_second() - started).abs() < 3600);
    assert!(number("cpu_seconds_total") < 3600.0);
}
