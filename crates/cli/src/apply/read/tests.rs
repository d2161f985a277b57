use super::*;

const TWO: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: allow
  namespace: shop
spec: {podSelector: {}}
---
";

fn names(items: &[Item]) -> Vec<String> {
    items
        .iter()
        .map(|item| format!("{} {} {}", item.api_version, item.kind, item.name))
        .collect()
}

#[test]
fn every_document_of_a_file_is_an_object_and_empty_ones_are_skipped() {
    let items = parse("f.yaml", TWO).unwrap();
    assert_eq!(
        names(&items),
        [
            "v1 Namespace shop",
            "networking.k8s.io/v1 NetworkPolicy allow"
        ]
    );
    assert_eq!(items[1].origin, "f.yaml, document 2");
}

#[test]
fn json_and_lists_are_understood() {
    let text = r#"{"apiVersion":"v1","kind":"List","items":[
        {"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}},
        {"apiVersion":"v1","kind":"Pod","metadata":{"name":"b"}}]}"#;
    assert_eq!(
        names(&parse("f.json", text).unwrap()),
        ["v1 Pod a", "v1 Pod b"]
    );
}

#[test]
fn a_missing_field_is_named_with_its_document() {
    let error = |text: &str| format!("{:#}", parse("f.yaml", text).unwrap_err());
    assert_eq!(
        error("kind: Pod\nmetadata: {name: a}"),
        "f.yaml, document 1: apiVersion is missing"
    );
    assert_eq!(
        error("apiVersion: v1\nkind: Pod"),
        "f.yaml, document 1: metadata.name is missing"
    );
    assert_eq!(
        error("just text"),
        "f.yaml, document 1: it is not an object"
    );
    assert!(error("a: [").contains("document 1"), "{}", error("a: ["));
}

#[test]
fn a_directory_gives_its_files_in_the_order_of_names_and_no_others() {
    let directory = tempfile::tempdir().unwrap();
    for (name, pod) in [
        ("b.yml", "b"),
        ("a.yaml", "a"),
        ("c.json", "c"),
        ("notes.txt", "x"),
    ] {
        let text = format!(
            "{{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{{\"name\":\"{pod}\"}}}}"
        );
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    let items = items(&[directory.path().to_owned()]).unwrap();
    assert_eq!(names(&items), ["v1 Pod a", "v1 Pod b", "v1 Pod c"]);
}
