//! The definitions of our kinds on a server: created, listed, and an object of each written, read and shown. Runs against our
//! own server or the one that `AXONEME_CONTRACT_URL` names, where it removes only what was not there before.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "support/driver.rs"]
mod driver;

use std::collections::BTreeMap;

use driver::Bench;
use http_body_util::BodyExt;
use serde_json::{Value, json};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// One object of each kind by plural, with the cells of its table.
fn examples() -> BTreeMap<String, (Value, Vec<Value>)> {
    let text = include_str!("../../crds/tests/examples.yaml");
    let list: Vec<Value> = serde_yaml_ng::from_str(text).unwrap();
    let mut examples = BTreeMap::new();
    for definition in crds::definitions() {
        let names = &definition.spec["names"];
        let mut of = list
            .iter()
            .filter(|one| one["object"]["kind"] == names["kind"]);
        let one = of
            .next()
            .unwrap_or_else(|| panic!("no example of {}", names["kind"]));
        let cells = one["cells"].as_array().unwrap().clone();
        let plural = names["plural"].as_str().unwrap().to_owned();
        examples.insert(plural, (one["object"].clone(), cells));
    }
    assert_eq!(examples.len(), list.len(), "an example is of no kind");
    examples
}

/// Creates the definitions; the paths of those that were not there.
async fn create_definitions(bench: &Bench) -> Vec<String> {
    let mut created = Vec::new();
    for definition in crds::definitions() {
        let path = format!("{DEFINITIONS}/{}", definition.metadata.name);
        let body = serde_json::to_value(&definition).unwrap();
        match bench.api.post(DEFINITIONS, &body).await {
            (201, _) => created.push(path),
            (409, _) => {}
            (code, answer) => panic!("{path}: {code}: {answer}"),
        }
    }
    created
}

async fn table(bench: &Bench, path: &str) -> Value {
    let accept = [(
        "accept",
        "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
    )];
    let response = bench.api.send("GET", path, &accept, Vec::new()).await;
    let body = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

/// Name, type and priority of the columns after the name.
fn columns(table: &Value) -> Vec<(String, String, i64)> {
    let columns = table["columnDefinitions"].as_array().unwrap()[1..].iter();
    columns
        .map(|column| {
            let text = |key: &str| column[key].as_str().unwrap().to_owned();
            (
                text("name"),
                text("type"),
                column["priority"].as_i64().unwrap(),
            )
        })
        .collect()
}

/// Whether `found` has all that `sent` has; a server adds defaults and metadata.
fn holds(found: &Value, sent: &Value) -> bool {
    match (found, sent) {
        (Value::Object(found), Value::Object(sent)) => sent
            .iter()
            .all(|(name, sent)| found.get(name).is_some_and(|found| holds(found, sent))),
        (Value::Array(found), Value::Array(sent)) => {
            found.len() == sent.len()
                && found
                    .iter()
                    .zip(sent)
                    .all(|(found, sent)| holds(found, sent))
        }
        (found, sent) => found == sent,
    }
}

/// The table has the columns of the version, or the age, and the cells of the object.
fn assert_shown(table: &Value, version: &Value, object: &Value, cells: &[Value]) {
    let age = json!([{"name": "Age"}]);
    let wanted = version.get("additionalPrinterColumns").unwrap_or(&age);
    let wanted: Vec<(&str, i64)> = wanted
        .as_array()
        .unwrap()
        .iter()
        .map(|column| {
            let priority = column.get("priority").and_then(Value::as_i64);
            (column["name"].as_str().unwrap(), priority.unwrap_or(0))
        })
        .collect();
    let columns = columns(table);
    let shown: Vec<(&str, i64)> = columns
        .iter()
        .map(|(name, _, priority)| (name.as_str(), *priority))
        .collect();
    assert_eq!(shown, wanted, "{object}");
    let row = table["rows"][0]["cells"].as_array().unwrap();
    assert_eq!(row[0], object["metadata"]["name"]);
    let beside_age = shown.iter().zip(&row[1..]);
    let beside_age = beside_age.filter(|((name, _), _)| *name != "Age");
    let beside_age: Vec<&Value> = beside_age.map(|(_, cell)| cell).collect();
    assert_eq!(beside_age, cells.iter().collect::<Vec<_>>(), "{object}");
}

#[tokio::test]
async fn every_kind_is_registered_and_its_objects_are_written_read_and_shown() {
    let bench = Bench::new().await;
    let created = create_definitions(&bench).await;
    let known = bench.api.names(DEFINITIONS).await;
    for definition in crds::definitions() {
        assert!(known.contains(&definition.metadata.name), "{known:?}");
    }
    let examples = examples();
    for definition in crds::definitions() {
        let spec = &definition.spec;
        let plural = spec["names"]["plural"].as_str().unwrap();
        let version = &spec["versions"][0];
        let group = format!("cilium.io/{}", version["name"].as_str().unwrap());
        let path = match spec["scope"].as_str() {
            Some("Namespaced") => bench.in_group(&group, plural),
            _ => format!("/apis/{group}/{plural}"),
        };
        bench
            .api
            .until(&path, |answer| answer["kind"] == spec["names"]["listKind"])
            .await;
        let (object, cells) = &examples[plural];
        let (code, answer) = bench.api.post(&path, object).await;
        assert_eq!(code, 201, "{plural}: {answer}");
        let one = format!("{path}/{}", object["metadata"]["name"].as_str().unwrap());
        let (code, found) = bench.api.get(&one).await;
        assert_eq!(code, 200, "{plural}: {found}");
        assert!(holds(&found, object), "{plural}: {found}");

        assert_shown(&table(&bench, &one).await, version, object, cells);
        let (code, answer) = bench.api.delete(&one, None).await;
        assert!(code < 300, "{plural}: {answer}");
    }
    for path in created {
        let (code, answer) = bench.api.delete(&path, None).await;
        assert!(code < 300, "{path}: {answer}");
    }
    bench.end().await;
}

/// Names, columns and status resources by plural, as far as the server knows them.
async fn known_kinds(bench: &Bench) -> BTreeMap<String, Value> {
    let mut kinds = BTreeMap::new();
    for version in ["v2", "v2alpha1"] {
        let (_, list) = bench.api.get(&format!("/apis/cilium.io/{version}")).await;
        for resource in list["resources"].as_array().into_iter().flatten() {
            let name = resource["name"].as_str().unwrap();
            let columns = if name.contains('/') {
                Vec::new()
            } else {
                columns(&table(bench, &format!("/apis/cilium.io/{version}/{name}")).await)
            };
            kinds.insert(
                format!("{version} {name}"),
                json!({"resource": resource, "columns": columns}),
            );
        }
    }
    kinds
}

#[tokio::test]
async fn the_kinds_that_the_server_brings_are_as_their_definitions_say() {
    let bench = Bench::new().await;
    if bench.own.is_none() {
        return bench.end().await;
    }
    let brought = known_kinds(&bench).await;
    assert!(
        brought.contains_key("v2 ciliumnetworkpolicies"),
        "{brought:?}"
    );
    create_definitions(&bench).await;
    let defined = known_kinds(&bench).await;
    for (name, kind) in brought {
        assert_eq!(Some(&kind), defined.get(&name), "{name}");
    }
    bench.end().await;
}
