use super::*;

#[test]
fn a_file_of_exporters_is_read_with_all_its_fields() {
    let targets = read(
        "flowLogs:
- name: all
  filePath: /var/run/cilium/hubble/all.log
  fieldMask: [source.namespace, verdict]
  includeFilters:
  - source_pod: [shop/]
  excludeFilters:
  - {verdict: [FORWARDED]}
  fileMaxSizeMb: 1
  fileMaxBackups: 2
  fileCompress: true
  fieldAggregate: [verdict]
  aggregationInterval: 1m30s
  end: 2030-01-31T12:00:00Z
- {name: other, filePath: stdout, aggregationInterval: 5000000000}
",
    )
    .unwrap();
    let [all, other] = &targets[..] else {
        panic!("{targets:?}")
    };
    assert_eq!(all.field_mask, ["source.namespace", "verdict"]);
    assert_eq!(all.include_filters[0].source_pod, ["shop/"]);
    assert_eq!(all.exclude_filters[0].verdict, [1]);
    assert_eq!((all.max_size(), all.backups()), (1024 * 1024, 2));
    assert!(all.file_compress);
    assert_eq!(all.aggregation_interval, Duration::from_secs(90));
    let end = "2030-01-31T12:00:00Z".parse().unwrap();
    assert!(all.is_active(end - Duration::from_secs(1)) && !all.is_active(end));
    assert_eq!((other.max_size(), other.backups()), (10 * 1024 * 1024, 5));
    assert_eq!(other.aggregation_interval, Duration::from_secs(5));
    assert!(other.is_active(end) && other.plan().unwrap().aggregate.is_none());
    assert!(read(" ").unwrap().is_empty());
}

#[test]
fn what_cannot_be_used_is_named_by_its_place() {
    let error = |text: &str| read(text).unwrap_err().to_string();
    assert_eq!(
        error("flowLogs: [{filePath: a}]"),
        "flowLogs[0].name: is missing"
    );
    assert_eq!(
        error("flowLogs: [{name: a}]"),
        "flowLogs[0].filePath: is missing"
    );
    assert_eq!(
        error("flowLogs: [{name: a, filePath: f}, {name: b, filePath: f}]"),
        "flowLogs[1].filePath: \"f\" is taken by another exporter"
    );
    assert_eq!(
        error("flowLogs: [{name: a, filePath: f, fieldMask: [sauce]}]"),
        "flowLogs[0].fieldMask: field_mask: \"sauce\" is no field of flow.Flow"
    );
    let place = "flowLogs[0].excludeFilters[0].source_ip: ";
    let text = "flowLogs: [{name: a, filePath: f, excludeFilters: [{source_ip: [x]}]}]";
    assert!(error(text).starts_with(place), "{}", error(text));
    assert!(error("flowLogs: {}").starts_with("flowLogs: "));
}

#[test]
fn filters_are_objects_one_after_the_other_or_lists() {
    let read = filters(r#"{"source_pod":["a/"]} {"verdict":["DROPPED"]}"#).unwrap();
    assert_eq!((read.len(), read[1].verdict[0]), (2, 2));
    let read = filters(r#"[{"source_pod":["a/"]},{"sourceIp":["10.0.0.1"]}]"#).unwrap();
    assert_eq!(read[1].source_ip, ["10.0.0.1"]);
    assert!(filters("").unwrap().is_empty());
    assert!(
        filters(r#"{"colour":["a/"]}"#)
            .unwrap_err()
            .contains("colour")
    );
    assert!(filters("{").is_err());
}
