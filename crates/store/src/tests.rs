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

use super::*;

/// A small API server of namespaces whose every answer may fail.
struct Fake {
    state: Mutex<Content>,
    changed: broadcast::Sender<()>,
    /// Of 100 answers, so many fail.
    faults: u32,
}

#[derive(Default)]
struct Content {
    revision: u64,
    objects: BTreeMap<String, (u64, String)>,
    history: Vec<(u64, &'static str, String, String)>,
    /// Watches from before this revision are gone.
    compacted: u64,
    lists: u32,
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
    fn new(faults: u32) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            changed: broadcast::channel(1024).0,
            faults,
        })
    }

    fn set(&self, name: &str, label: &str) {
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

    fn remove(&self, name: &str) {
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

    fn compact(&self) {
        let mut state = self.state.lock().unwrap();
        state.compacted = state.revision;
        state.history.clear();
    }

    /// Writes an object and forgets all history, so that watches have to list again.
    fn set_and_compact(&self, name: &str, label: &str) {
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

    fn rows(&self) -> BTreeMap<String, String> {
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
    // Pages of eight, whatever was asked for. A list is of one revision: its token is gone when that has passed.
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
        .take(8)
        .map(|(name, (revision, label))| object(name, label, *revision))
        .collect();
    let token = if rest.len() > 8 {
        format!("{}/{}", state.revision, rest[7].0)
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

async fn serve(fake: &Arc<Fake>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = axum::Router::new()
        .route("/api/v1/namespaces", get(namespaces))
        .route("/version", get(|| async { "{}" }))
        .with_state(Arc::clone(fake));
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

async fn client(urls: &[String]) -> Client {
    let mut options = Options::named("test");
    options.urls = urls.to_vec();
    options.probe_every = Duration::from_millis(200);
    options.requests_per_second = 10_000.0;
    options.request_timeout = Duration::from_secs(2);
    Client::new(options).await.unwrap()
}

fn follow(client: &Client, stop: &CancellationToken) -> Table<String, String> {
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

async fn until_equal(table: &Table<String, String>, fake: &Fake) {
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

#[tokio::test]
async fn a_table_follows_the_server_through_faults_and_compactions() {
    let fake = Fake::new(10);
    for n in 0..20 {
        fake.set(&format!("n{n:02}"), "first");
    }
    let client = client(&[serve(&fake).await]).await;
    let stop = CancellationToken::new();
    let table = follow(&client, &stop);
    until_equal(&table, &fake).await;
    for round in 0..30 {
        fake.set(&format!("n{:02}", round % 20), &round.to_string());
        fake.set(&format!("m{round}"), "new");
        if round % 3 == 0 {
            fake.remove(&format!("m{round}"));
        }
        if round % 10 == 5 {
            fake.compact();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    until_equal(&table, &fake).await;
    stop.cancel();
}

#[tokio::test]
async fn a_watch_costs_no_second_list_while_all_is_well() {
    let fake = Fake::new(0);
    fake.set("a", "1");
    let client = client(&[serve(&fake).await]).await;
    let stop = CancellationToken::new();
    let table = follow(&client, &stop);
    until_equal(&table, &fake).await;
    fake.set("b", "2");
    fake.remove("a");
    until_equal(&table, &fake).await;
    assert_eq!(fake.state.lock().unwrap().lists, 1);
    stop.cancel();
}

#[tokio::test]
async fn a_table_is_not_initialized_and_not_emptied_while_the_server_is_away() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let client = client(&[dead]).await;
    let stop = CancellationToken::new();
    let table = follow(&client, &stop);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!table.snapshot().is_initialized());
    stop.cancel();
}

#[tokio::test]
async fn a_server_that_accepts_and_says_nothing_is_left_for_the_next_url() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_url = format!("http://{}", silent.local_addr().unwrap());
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((stream, _)) = silent.accept().await {
            kept.push(stream);
        }
    });
    let fake = Fake::new(0);
    fake.set("a", "1");
    let client = client(&[silent_url, serve(&fake).await]).await;
    let stop = CancellationToken::new();
    tokio::spawn({
        let (client, stop) = (client.clone(), stop.clone());
        async move { client.guard(stop).await }
    });
    let table = follow(&client, &stop);
    until_equal(&table, &fake).await;
    assert_eq!(client.endpoint().borrow().index, 1);
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn requests_after_a_burst_come_at_the_rate() {
    let pace = Pace::new(10.0, 5.0);
    let start = tokio::time::Instant::now();
    for _ in 0..25 {
        pace.wait().await;
    }
    let took = start.elapsed();
    assert!(
        took >= Duration::from_millis(1900) && took <= Duration::from_millis(2200),
        "{took:?}"
    );
}

#[tokio::test]
async fn who_has_a_pace_of_his_own_does_not_queue_behind_others() {
    let fake = Fake::new(0);
    let mut options = Options::named("test");
    options.urls = vec![serve(&fake).await];
    (options.requests_per_second, options.burst) = (0.01, 1.0);
    let client = Client::new(options).await.unwrap();
    let list = async |client: Client| client.list_page::<Namespace>(&Scope::all(), 10, "").await;
    list(client.clone()).await.unwrap();
    let quick = client.at_pace(100.0, 10.0);
    let limit = Duration::from_secs(2);
    tokio::time::timeout(limit, list(quick))
        .await
        .unwrap()
        .unwrap();
    let queued = tokio::time::timeout(limit, list(client)).await;
    assert!(queued.is_err(), "the others wait");
}

#[tokio::test]
async fn an_error_names_verb_path_and_status() {
    let fake = Fake::new(100);
    let client = client(&[serve(&fake).await]).await;
    let error = client
        .list_page::<Namespace>(&Scope::all(), 10, "")
        .await
        .unwrap_err();
    assert_eq!(error.status(), Some(500), "{error}");
    assert!(
        error
            .to_string()
            .starts_with("list /api/v1/namespaces?limit=10: 500"),
        "{error}"
    );
}

async fn until_rows(table: &Table<String, String>, expected: &[(&str, &str)]) {
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
    for _ in 0..200 {
        if rows() == expected && table.snapshot().is_initialized() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("table {:?}, expected {expected:?}", rows());
}

#[tokio::test]
async fn an_object_that_cannot_be_read_keeps_its_last_row_and_stops_no_other() {
    let fake = Fake::new(0);
    fake.set("a", "broken");
    fake.set("b", "good");
    let client = client(&[serve(&fake).await]).await;
    let stop = CancellationToken::new();
    let table = follow(&client, &stop);
    until_rows(&table, &[("b", "good")]).await;
    fake.set("b", "broken");
    fake.set("c", "good");
    until_rows(&table, &[("b", "good"), ("c", "good")]).await;
    fake.set_and_compact("d", "good");
    until_rows(&table, &[("b", "good"), ("c", "good"), ("d", "good")]).await;
    assert_eq!(fake.state.lock().unwrap().lists, 2, "it was listed again");
    fake.set("b", "mended");
    fake.remove("a");
    until_rows(&table, &[("b", "mended"), ("c", "good"), ("d", "good")]).await;
    fake.set("b", "broken");
    fake.remove("b");
    until_rows(&table, &[("c", "good"), ("d", "good")]).await;
    stop.cancel();
}
