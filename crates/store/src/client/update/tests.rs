use std::sync::{Arc, Mutex};

use api::kubernetes::{Namespace, Resource as _};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};

use super::{difference, merge};
use crate::{Client, Options};

/// A server of one namespace, on which somebody else writes just before us, so many times.
#[derive(Default)]
struct Fake {
    object: Option<Value>,
    version: u64,
    rivals: u32,
    writes: u32,
    /// URI, type and body of the last patch.
    asked: String,
    /// Verbs that we may not use.
    forbidden: &'static [&'static str],
}

type Shared = Arc<Mutex<Fake>>;

fn refuse(code: StatusCode) -> Response {
    let status =
        json!({ "kind": "Status", "status": "Failure", "code": code.as_u16(), "message": "no" });
    (code, status.to_string()).into_response()
}

impl Fake {
    fn store(&mut self, mut object: Value) -> Response {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.object = Some(object.clone());
        object.to_string().into_response()
    }

    /// Somebody else raises the count, if he still wants to.
    fn rival(&mut self) {
        if self.rivals > 0 {
            self.rivals -= 1;
            let mut object = self
                .object
                .clone()
                .unwrap_or_else(|| json!({ "metadata": { "name": "a", "labels": {} } }));
            let count = count_of(&object) + 1;
            object["metadata"]["labels"]["count"] = json!(count.to_string());
            self.store(object);
        }
    }
}

fn count_of(object: &Value) -> u32 {
    let text = object
        .pointer("/metadata/labels/count")
        .and_then(Value::as_str);
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}

async fn read(State(fake): State<Shared>) -> Response {
    match &fake.lock().unwrap().object {
        Some(object) => object.to_string().into_response(),
        None => refuse(StatusCode::NOT_FOUND),
    }
}

async fn patch(State(fake): State<Shared>, uri: Uri, headers: HeaderMap, body: String) -> Response {
    let mut fake = fake.lock().unwrap();
    if fake.forbidden.contains(&"patch") {
        return refuse(StatusCode::FORBIDDEN);
    }
    fake.rival();
    let kind = headers["content-type"].to_str().unwrap();
    fake.asked = format!("{uri} {kind} {body}");
    let patch: Value = serde_json::from_str(&body).unwrap();
    if patch["metadata"]["resourceVersion"] != json!(fake.version.to_string()) {
        return refuse(StatusCode::CONFLICT);
    }
    fake.writes += 1;
    let mut object = fake.object.clone().unwrap();
    merge(&mut object, &patch);
    fake.store(object)
}

async fn replace(State(fake): State<Shared>, uri: Uri, body: String) -> Response {
    let mut fake = fake.lock().unwrap();
    if fake.forbidden.contains(&"update") {
        return refuse(StatusCode::FORBIDDEN);
    }
    fake.rival();
    fake.asked = uri.to_string();
    let object: Value = serde_json::from_str(&body).unwrap();
    if object["metadata"]["resourceVersion"] != json!(fake.version.to_string()) {
        return refuse(StatusCode::CONFLICT);
    }
    fake.writes += 1;
    fake.store(object)
}

async fn create(State(fake): State<Shared>, body: String) -> Response {
    let mut fake = fake.lock().unwrap();
    fake.rival();
    if fake.object.is_some() {
        return refuse(StatusCode::CONFLICT);
    }
    fake.writes += 1;
    fake.store(serde_json::from_str(&body).unwrap())
}

async fn serve(rivals: u32, object: Option<Value>) -> (Client, Shared) {
    let fake: Shared = Arc::new(Mutex::new(Fake {
        rivals,
        ..Fake::default()
    }));
    if let Some(object) = object {
        let _ = fake.lock().unwrap().store(object);
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut options = Options::named("test");
    options.urls = vec![format!("http://{}", listener.local_addr().unwrap())];
    let app = axum::Router::new()
        .route("/api/v1/namespaces", post(create))
        .route("/api/v1/namespaces/a", get(read).patch(patch).put(replace))
        .route(
            "/api/v1/namespaces/a/status",
            axum::routing::patch(patch).put(replace),
        )
        .with_state(Arc::clone(&fake));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (Client::new(options).await.unwrap(), fake)
}

/// Raises the count by ten, on top of whatever is there.
fn add_ten(namespace: &mut Namespace) {
    let labels = &mut namespace.meta_mut().labels;
    let count: u32 = labels
        .get("count")
        .and_then(|text| text.parse().ok())
        .unwrap_or_default();
    labels.insert("count".to_owned(), (count + 10).to_string());
}

fn namespace() -> Namespace {
    let mut namespace = Namespace::default();
    namespace.metadata.name = "a".to_owned();
    namespace
        .metadata
        .labels
        .insert("count".to_owned(), "10".to_owned());
    namespace
}

#[tokio::test]
async fn an_update_that_was_overtaken_is_made_again_on_what_is_there_now() {
    let (client, fake) = serve(3, Some(json!({ "metadata": { "name": "a" } }))).await;
    let done = client
        .update::<Namespace>(None, "a", None, add_ten)
        .await
        .unwrap();
    assert_eq!(
        done.metadata.labels["count"], "13",
        "three of the others, ten of ours: nothing is lost"
    );
    assert_eq!(fake.lock().unwrap().writes, 1);
}

#[tokio::test]
async fn an_update_gives_up_on_endless_conflict_and_writes_nothing_when_all_is_well() {
    let (client, fake) = serve(100, Some(json!({ "metadata": { "name": "a" } }))).await;
    let error = client
        .update::<Namespace>(None, "a", None, add_ten)
        .await
        .unwrap_err();
    assert!(error.is_conflict(), "{error}");
    client
        .update::<Namespace>(None, "a", None, |_| ())
        .await
        .unwrap();
    assert_eq!(fake.lock().unwrap().writes, 0);
}

#[tokio::test]
async fn what_is_missing_is_created_and_what_somebody_created_meanwhile_is_changed() {
    let (client, fake) = serve(0, None).await;
    let done = client.ensure(&namespace(), add_ten).await.unwrap();
    assert_eq!(done.metadata.labels["count"], "10");
    assert_eq!(fake.lock().unwrap().writes, 1);

    let (client, _fake) = serve(1, None).await;
    let done = client.ensure(&namespace(), add_ten).await.unwrap();
    assert_eq!(
        done.metadata.labels["count"], "11",
        "the other's one and our ten"
    );
}

#[tokio::test]
async fn only_what_differs_is_sent_under_our_name_and_what_we_do_not_model_stays() {
    let there = json!({ "metadata": { "name": "a", "labels": { "count": "1", "old": "x", "kept": "y" },
        "managedFields": [{ "manager": "somebody" }] }, "spec": { "finalizers": ["kubernetes"] } });
    let (client, fake) = serve(0, Some(there)).await;
    let change = |namespace: &mut Namespace| {
        add_ten(namespace);
        namespace.metadata.labels.remove("old");
    };
    client
        .update::<Namespace>(None, "a", None, change)
        .await
        .unwrap();
    let fake = fake.lock().unwrap();
    assert_eq!(
        fake.asked,
        "/api/v1/namespaces/a?fieldManager=test application/merge-patch+json \
         {\"metadata\":{\"labels\":{\"count\":\"11\",\"old\":null},\"resourceVersion\":\"1\"}}"
    );
    assert_eq!(
        fake.object.clone().unwrap(),
        json!({ "metadata": { "name": "a", "labels": { "count": "11", "kept": "y" }, "resourceVersion": "2",
            "managedFields": [{ "manager": "somebody" }] }, "spec": { "finalizers": ["kubernetes"] } })
    );
}

#[tokio::test]
async fn who_may_replace_and_not_patch_replaces_and_nothing_else_is_lost() {
    let there = json!({ "metadata": { "name": "a", "labels": { "count": "1", "old": "x" } },
        "spec": { "finalizers": ["kubernetes"] } });
    let (client, fake) = serve(2, Some(there)).await;
    fake.lock().unwrap().forbidden = &["patch"];
    let change = |namespace: &mut Namespace| {
        add_ten(namespace);
        namespace.metadata.labels.remove("old");
    };
    let update = || client.update::<Namespace>(None, "a", None, change);
    update().await.unwrap();
    assert_eq!(
        fake.lock().unwrap().object.clone().unwrap(),
        json!({ "metadata": { "name": "a", "labels": { "count": "13" }, "resourceVersion": "4" },
            "spec": { "finalizers": ["kubernetes"] } })
    );
    let asked = fake.lock().unwrap().asked.clone();
    assert_eq!(asked, "/api/v1/namespaces/a?fieldManager=test");
    fake.lock().unwrap().forbidden = &["patch", "update"];
    let error = update().await.unwrap_err();
    assert!(
        error.is_forbidden() && error.to_string().starts_with("patch "),
        "{error}"
    );
}

#[tokio::test]
async fn a_status_is_written_as_a_status() {
    let (client, fake) = serve(0, Some(json!({ "metadata": { "name": "a" } }))).await;
    let change = |namespace: &mut Namespace| namespace.status.phase = "Active".to_owned();
    client
        .update::<Namespace>(None, "a", Some("status"), change)
        .await
        .unwrap();
    let asked = fake.lock().unwrap().asked.clone();
    assert!(
        asked.starts_with("/api/v1/namespaces/a/status?fieldManager=test "),
        "{asked}"
    );
    assert!(asked.contains(r#""status":{"phase":"Active"}"#), "{asked}");
}

#[test]
fn a_difference_makes_the_second_of_the_first_and_is_none_between_equals() {
    let values = [
        json!({}),
        json!({ "a": 1 }),
        json!({ "a": { "b": [1, 2], "c": "x" } }),
        json!({ "a": { "b": [1], "c": "x" }, "d": true }),
        json!({ "a": { "c": { "e": 1 } }, "d": false }),
    ];
    for from in &values {
        for to in &values {
            let patch = difference(from, to);
            assert_eq!(patch.is_none(), from == to, "{from} {to}");
            let mut made = from.clone();
            merge(&mut made, &patch.unwrap_or_else(|| json!({})));
            assert_eq!(&made, to, "from {from}");
        }
    }
}
