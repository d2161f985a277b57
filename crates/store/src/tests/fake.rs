//! A small API server of namespaces over real sockets, whose every answer may fail.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::kubernetes::{Namespace, Resource};
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use rand::Rng;
use reconcile::Table;
use serde_json::{Value, json};
use tokio::sync::{broadcast, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use crate::{Client, Options, Scope, reflect};

/// The server.
pub(super) struct Fake {
    pub(super) state: Mutex<Content>,
    changed: broadcast::Sender<()>,
    /// Of 100 answers, so many fail.
    faults: u32,
}

#[derive(Default)]
pub(super) struct Content {
    revision: u64,
    objects: BTreeMap<String, (u64, String)>,
    history: Vec<(u64, &'static str, String, String)>,
    /// Watches from before this revision are gone.
    compacted: u64,
    pub(super) lists: u32,
}

fn object(name: &str, label: &str, revision: u64) -> Value {
    // No reader of namespaces understands labels that are a number.
    let labels = if label == "broken" {
        json!(7)
    } else {
        json!({ "x": label })
    };
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": {
        "name": name, "resourceVersion": revision.to_string(), "labels": labels } })
}

impl Fake {
    pub(super) fn new(faults: u32) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            changed: broadcast::channel(1024).0,
            faults,
        })
    }

    pub(super) fn set(&self, name: &str, label: &str) {
        let mut state = self.state.lock().unwrap();
        state.revision += 1;
        let revision = state.revision;
        let old = state
            .objects
            .insert(name.to_owned(), (revision, label.to_owned()));
        state.history.push((
            revision,
            if old.is_some() { "MODIFIED" } else { "ADDED" },
            name.to_owned(),
            label.to_owned(),
        ));
        drop(state);
        let _ = self.changed.send(());
    }

    pub(super) fn remove(&self, name: &str) {
        let mut state = self.state.lock().unwrap();
        state.revision += 1;
        let revision = state.revision;
        let (_, label) = state.objects.remove(name).unwrap();
        state
            .history
            .push((revision, "DELETED", name.to_owned(), label));
        drop(state);
        let _ = self.changed.send(());
    }

    pub(super) fn compact(&self) {
        let mut state = self.state.lock().unwrap();
        state.compacted = state.revision;
        state.history.clear();
    }

    /// Writes an object and forgets all history, so that watches have to list again.
    pub(super) fn set_and_compact(&self, name: &str, label: &str) {
        let mut state = self.state.lock().unwrap();
        state.revision += 1;
        let revision = state.revision;
        state
            .objects
            .insert(name.to_owned(), (revision, label.to_owned()));
        state.compacted = revision;
        state.history.clear();
        drop(state);
        let _ = self.changed.send(());
    }

    pub(super) fn rows(&self) -> BTreeMap<String, String> {
        self.state
            .lock()
            .unwrap()
            .objects
            .iter()
            .map(|(name, (_, label))| (name.clone(), label.clone()))
            .collect()
    }

    fn fails(&self) -> bool {
        rand::rng().random_range(0..100) < self.faults
    }
}

type Arguments = Query<BTreeMap<String, String>>;

async fn namespaces(State(fake): State<Arc<Fake>>, Query(query): Arguments) -> Response {
    if fake.fails() {
        return (
            StatusCode::INTERNAL_SERVER_ERROR,
            json!({ "kind": "Status", "status": "Failure", "code": 500 }).to_string(),
        )
            .into_response();
    }
    if query.contains_key("watch") {
        watch(fake, &query)
    } else {
        list(&fake, &query)
    }
}

fn list(fake: &Fake, query: &BTreeMap<String, String>) -> Response {
    let mut state = fake.state.lock().unwrap();
    state.lists += 1;
    // Pages of eight, whatever number was asked for. A list is of one revision: its token is gone when that has passed.
    let page = if query.contains_key("limit") {
        8
    } else {
        usize::MAX
    };
    let token = query.get("continue").map_or("", String::as_str);
    let (of, after) = token.split_once('/').unwrap_or(("", ""));
    if !token.is_empty() && of != state.revision.to_string() {
        let status = json!({ "kind": "Status", "status": "Failure", "code": 410 });
        return (StatusCode::GONE, status.to_string()).into_response();
    }
    let rest: Vec<_> = state
        .objects
        .iter()
        .filter(|(name, _)| name.as_str() > after)
        .collect();
    let items: Vec<Value> = rest
        .iter()
        .take(page)
        .map(|(name, (revision, label))| object(name, label, *revision))
        .collect();
    let token = if rest.len() > page {
        format!("{}/{}", state.revision, rest[page - 1].0)
    } else {
        String::new()
    };
    let mut text = json!({ "kind": "NamespaceList", "apiVersion": "v1", "items": items,
        "metadata": { "resourceVersion": state.revision.to_string(), "continue": token } })
    .to_string();
    if fake.fails() {
        text.truncate(text.len() / 2);
    }
    text.into_response()
}

fn watch(fake: Arc<Fake>, query: &BTreeMap<String, String>) -> Response {
    let mut seen: u64 = query["resourceVersion"].parse().unwrap();
    let (sender, receiver) = mpsc::channel::<Result<Bytes, Infallible>>(16);
    let mut changed = fake.changed.subscribe();
    tokio::spawn(async move {
        loop {
            let gone = seen < fake.state.lock().unwrap().compacted;
            if gone {
                let status = json!({ "type": "ERROR", "object": { "kind": "Status", "code": 410, "message": "too old" } });
                let _ = sender.send(Ok(format!("{status}\n").into())).await;
                return;
            }
            let events: Vec<_> = fake
                .state
                .lock()
                .unwrap()
                .history
                .iter()
                .filter(|event| event.0 > seen)
                .cloned()
                .collect();
            for (revision, kind, name, label) in events {
                if fake.fails() {
                    let _ = sender.send(Ok("{\"type\":\"ADD".into())).await;
                    return;
                }
                let event = json!({ "type": kind, "object": object(&name, &label, revision) });
                seen = revision;
                if sender.send(Ok(format!("{event}\n").into())).await.is_err() {
                    return;
                }
            }
            if changed.recv().await.is_err() {
                return;
            }
        }
    });
    Body::from_stream(ReceiverStream::new(receiver)).into_response()
}

pub(super) async fn serve(fake: &Arc<Fake>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = axum::Router::new()
        .route("/api/v1/namespaces", get(namespaces))
        .route("/version", get(|| async { "{}" }))
        .with_state(Arc::clone(fake));
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

pub(super) async fn client(urls: &[String]) -> Client {
    let mut options = Options::named("test");
    options.urls = urls.to_vec();
    options.probe_every = Duration::from_millis(200);
    options.requests_per_second = 10_000.0;
    options.request_timeout = Duration::from_secs(2);
    Client::new(options).await.unwrap()
}

pub(super) fn follow(client: &Client, stop: &CancellationToken) -> Table<String, String> {
    let (writer, table) = Table::new("namespaces", &["namespaces"]);
    let rows = |namespace: Namespace| {
        let label = namespace
            .meta()
            .labels
            .get("x")
            .cloned()
            .unwrap_or_default();
        vec![(namespace.metadata.name, label)]
    };
    tokio::spawn(reflect::<Namespace, _, _>(
        client.clone(),
        Scope::all(),
        "namespaces",
        writer,
        rows,
        stop.clone(),
    ));
    table
}

pub(super) async fn until_equal(table: &Table<String, String>, fake: &Fake) {
    for _ in 0..600 {
        let rows: BTreeMap<_, _> = table
            .snapshot()
            .iter()
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        if rows == fake.rows() && table.snapshot().is_initialized() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("table {:?}\nserver {:?}", table.snapshot(), fake.rows());
}

pub(super) async fn until_rows(table: &Table<String, String>, expected: &[(&str, &str)]) {
    let rows = || -> Vec<(String, String)> {
        let snapshot = table.snapshot();
        snapshot
            .iter()
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect()
    };
    let expected: Vec<_> = expected
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect();
    for _ in 0..400 {
        if rows() == expected && table.snapshot().is_initialized() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("table {:?}, expected {expected:?}", rows());
}
