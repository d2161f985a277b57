use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Mark, Renderer, Rendering, RowObject, age, columns, path};
use crate::kinds::Registry;
use crate::store::Change;

fn row(group: &str, version: &str, plural: &str, object: &Value) -> Vec<(String, Value)> {
    let kind = Registry::new([]).find(group, version, plural).unwrap();
    let now: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
    let headings = columns::headings(&kind, version)
        .into_iter()
        .map(|(name, _, _)| name);
    headings
        .zip(columns::cells(&kind, version, object, now))
        .collect()
}

#[test]
fn ages_read_as_kubectl_prints_them() {
    for (seconds, text) in [
        (-5, "0s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (3599, "59m"),
        (7200, "120m"),
        (10_800, "3h"),
        (12_000, "3h20m"),
        (90_000, "25h"),
        (172_800, "2d"),
        (180_000, "2d2h"),
        (864_000, "10d"),
        (70_000_000, "2y80d"),
    ] {
        assert_eq!(age::human(seconds), text);
    }
}

#[test]
fn paths_reach_what_printer_columns_name() {
    let object = json!({"a": {"b.c": [{"type": "X", "v": 1}, {"type": "Y", "v": 2}]}, "l": {"io.k8s/x": "n"}});
    let numbers = |path: &str| {
        path::values(&object, path)
            .iter()
            .filter_map(|value| value.as_u64())
            .collect::<Vec<_>>()
    };
    assert_eq!(numbers(".a.b\\.c[1].v"), [2]);
    assert_eq!(numbers(".a['b.c'][*].v"), [1, 2]);
    assert_eq!(numbers(".a.b\\.c[?(@.type=='Y')].v"), [2]);
    assert_eq!(path::values(&object, ".l['io.k8s/x']"), [&json!("n")]);
    for nothing in [".a.x.y", ".a.b\\.c[9]", ".a[", ".a[?(x)]", "..a"] {
        assert!(path::values(&object, nothing).is_empty(), "{nothing}");
    }
}

#[test]
fn a_service_row_shows_type_address_and_ports() {
    let object = json!({"metadata": {"name": "web", "creationTimestamp": "2026-01-01T23:59:00Z"}, "spec": {"type": "NodePort",
        "clusterIP": "10.96.0.7", "ports": [{"port": 80, "nodePort": 30080}, {"port": 53, "protocol": "UDP"}]}});
    let row = row("", "v1", "services", &object);
    let cell = |name: &str| {
        row.iter()
            .find(|(heading, _)| heading == name)
            .unwrap()
            .1
            .clone()
    };
    assert_eq!(cell("Name"), "web");
    assert_eq!(cell("Type"), "NodePort");
    assert_eq!(cell("Cluster-IP"), "10.96.0.7");
    assert_eq!(cell("External-IP"), "<none>");
    assert_eq!(cell("Port(s)"), "80:30080/TCP,53/UDP");
    assert_eq!(cell("Age"), "60s");
}

#[test]
fn a_policy_row_shows_whether_it_is_valid() {
    let object = json!({"metadata": {"name": "p", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "status": {"conditions": [{"type": "Other", "status": "False"}, {"type": "Valid", "status": "True"}]}});
    let row = row("cilium.io", "v2", "ciliumnetworkpolicies", &object);
    assert_eq!(row[2], ("Valid".to_owned(), json!("True")));
    assert_eq!(row[1], ("Age".to_owned(), json!("24h")));
}

#[test]
fn the_type_of_the_asked_version_is_put_in_front() {
    let kind = Registry::new([])
        .find("cilium.io", "v2alpha1", "ciliumcidrgroups")
        .unwrap();
    let renderer = Renderer::new(kind, "v2alpha1".to_owned(), Rendering::Object);
    let object: Value =
        serde_json::from_slice(&renderer.object(br#"{"metadata":{"name":"g"}}"#)).unwrap();
    assert_eq!(
        object,
        json!({"apiVersion": "cilium.io/v2alpha1", "kind": "CiliumCIDRGroup", "metadata": {"name": "g"}})
    );
    let mut list = renderer.list(7);
    list.push(br#"{"metadata":{"name":"g"}}"#);
    list.push(br#"{"metadata":{"name":"h"}}"#);
    let list: Value = serde_json::from_slice(&list.finish()).unwrap();
    assert_eq!(list["metadata"]["resourceVersion"], "7");
    assert_eq!(list["items"][1]["kind"], "CiliumCIDRGroup");
}

#[test]
fn a_watch_sends_the_columns_of_a_table_once() {
    let kind = Registry::new([]).find("", "v1", "configmaps").unwrap();
    let mut renderer = Renderer::new(kind, "v1".to_owned(), Rendering::Table(RowObject::Metadata));
    let stored = br#"{"metadata":{"name":"c"},"data":{"a":"b"}}"#;
    let first: Value = serde_json::from_slice(&renderer.event(Change::Added, stored)).unwrap();
    let second: Value = serde_json::from_slice(&renderer.event(Change::Modified, stored)).unwrap();
    assert_eq!(first["object"]["columnDefinitions"][1]["name"], "Data");
    assert_eq!(first["object"]["rows"][0]["cells"][1], "1");
    assert_eq!(
        first["object"]["rows"][0]["object"]["kind"],
        "PartialObjectMetadata"
    );
    assert!(second["object"]["columnDefinitions"].is_null());
    assert_eq!(second["type"], "MODIFIED");
    let mark: Value =
        serde_json::from_slice(&renderer.bookmark(9, Mark::InitialEventsEnd)).unwrap();
    assert_eq!(
        mark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"],
        "true"
    );
}
