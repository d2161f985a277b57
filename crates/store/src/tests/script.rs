//! API servers without sockets, whose every answer a test decides, so that hours pass at once under a paused clock.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::kubernetes::{Namespace, Resource as _};
use axum::body::Body;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt as _};
use http::{Method, Request, Response};
use reconcile::Table;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::BoxError;

use crate::{Client, Error, Options, Scope, reflect};

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) at: Instant,
    /// Index of the URL.
    pub(super) url: usize,
    /// Number of the client that was made for it, counted over all URLs.
    pub(super) connection: usize,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: BTreeMap<String, String>,
}

impl Asked {
    pub(super) fn is_watch(&self) -> bool {
        self.query.contains_key("watch")
    }

    pub(super) fn is_probe(&self) -> bool {
        self.path == "/version"
    }

    pub(super) fn is_list(&self) -> bool {
        !self.is_watch() && !self.is_probe() && self.method == Method::GET
    }

    /// A parameter, or nothing.
    pub(super) fn of(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }
}

pub(super) enum Answer {
    Say(u16, Value),
    /// A watch: each line after its pause, then its end.
    Lines(Vec<(Duration, Value)>, End),
    /// Too many requests; come again after so many seconds.
    Later(u64),
    /// The connection stays, and nothing comes.
    Silence,
    /// Nobody listens.
    Refuse,
}

/// How a watch ends.
#[derive(Clone)]
pub(super) enum End {
    Closed,
    Never,
    /// Broken off once the token is cancelled.
    When(CancellationToken),
}

pub(super) fn refuse(code: u16, message: &str) -> Answer {
    let status = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "code": code, "message": message, "reason": "x" });
    Answer::Say(code, status)
}

/// Namespaces with a label, at a version.
pub(super) fn list(version: u64, token: &str, objects: &[(&str, &str)]) -> Answer {
    let items: Vec<Value> = objects
        .iter()
        .map(|(name, label)| object(name, label, version))
        .collect();
    Answer::Say(
        200,
        json!({ "kind": "NamespaceList", "apiVersion": "v1", "items": items,
            "metadata": { "resourceVersion": version.to_string(), "continue": token } }),
    )
}

pub(super) fn object(name: &str, label: &str, version: u64) -> Value {
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": {
        "name": name, "resourceVersion": version.to_string(), "labels": { "x": label } } })
}

pub(super) fn event(kind: &str, name: &str, label: &str, version: u64) -> Value {
    json!({ "type": kind, "object": object(name, label, version) })
}

pub(super) fn bookmark(version: u64) -> Value {
    json!({ "type": "BOOKMARK", "object": { "kind": "Namespace", "apiVersion": "v1",
        "metadata": { "resourceVersion": version.to_string() } } })
}

/// A client of a server at each of `urls` URLs that answers as `answer` says.
pub(super) async fn scripted(
    urls: usize,
    options: Options,
    answer: impl Fn(Asked) -> Answer + Send + Sync + 'static,
) -> Client {
    let (answer, made) = (Arc::new(answer), AtomicUsize::new(0));
    let connect = move |url: usize| -> BoxFuture<'static, Result<kube::Client, Error>> {
        let answer = Arc::clone(&answer);
        let connection = made.fetch_add(1, Ordering::Relaxed);
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let answer = answer(asked(&request, url, connection));
            respond(answer)
        });
        Box::pin(async { Ok(kube::Client::new(service, "default")) })
    };
    Client::over(urls, Box::new(connect), options)
        .await
        .unwrap()
}

fn asked(request: &Request<kube::client::Body>, url: usize, connection: usize) -> Asked {
    let query = request.uri().query().unwrap_or_default().split('&');
    Asked {
        at: Instant::now(),
        url,
        connection,
        method: request.method().clone(),
        path: request.uri().path().to_owned(),
        query: query
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    }
}

async fn respond(answer: Answer) -> Result<Response<Body>, BoxError> {
    match answer {
        Answer::Say(status, value) => Ok(Response::builder()
            .status(status)
            .body(Body::from(value.to_string()))?),
        Answer::Later(seconds) => Ok(Response::builder()
            .status(429)
            .header("retry-after", seconds)
            .body(Body::from("Too many requests, please try again later."))?),
        Answer::Silence => std::future::pending().await,
        Answer::Refuse => Err("connection refused".into()),
        Answer::Lines(lines, end) => {
            let lines = stream::iter(lines).then(|(pause, line)| async move {
                tokio::time::sleep(pause).await;
                Ok::<_, BoxError>(Bytes::from(format!("{line}\n")))
            });
            let body = match end {
                End::Closed => lines.boxed(),
                End::Never => lines.chain(stream::pending()).boxed(),
                End::When(cut) => {
                    let broken = stream::once(async { Err("connection reset".into()) });
                    let lines = lines.chain(stream::pending());
                    let cut = cut.cancelled_owned();
                    lines.take_until(cut).chain(broken).boxed()
                }
            };
            Ok(Response::new(Body::from_stream(body)))
        }
    }
}

/// All that was asked, in order.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<Asked>>>);

impl Log {
    /// Keeps a request; its number among those that `like` it, from 1 on.
    pub(super) fn keep(&self, asked: &Asked, like: impl Fn(&Asked) -> bool) -> usize {
        let mut all = self.0.lock().unwrap();
        all.push(asked.clone());
        all.iter().filter(|asked| like(asked)).count()
    }

    pub(super) fn all(&self, like: impl Fn(&Asked) -> bool) -> Vec<Asked> {
        let all = self.0.lock().unwrap();
        all.iter().filter(|asked| like(asked)).cloned().collect()
    }

    pub(super) fn count(&self, like: impl Fn(&Asked) -> bool) -> usize {
        self.all(like).len()
    }
}

/// Options with a name, otherwise those of an agent.
pub(super) fn options() -> Options {
    Options::named("test")
}

/// A table of namespaces that follows the server, with what stops it when dropped.
pub(super) struct Followed {
    pub(super) table: Table<String, String>,
    stop: CancellationToken,
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Followed {
    pub(super) fn start(client: &Client) -> Self {
        let (writer, table) = Table::new("namespaces", &["namespaces"]);
        let stop = CancellationToken::new();
        tokio::spawn(reflect::<Namespace, _, _>(
            client.clone(),
            Scope::all(),
            "namespaces",
            writer,
            |of: Namespace| {
                let label = of.meta().labels.get("x").cloned().unwrap_or_default();
                vec![(of.metadata.name, label)]
            },
            stop.clone(),
        ));
        Self { table, stop }
    }

    /// The guard beside it.
    pub(super) fn guarded(client: &Client) -> Self {
        let followed = Self::start(client);
        let (client, stop) = (client.clone(), followed.stop.clone());
        tokio::spawn(async move { client.guard(stop).await });
        followed
    }

    pub(super) fn rows(&self) -> String {
        rows(&self.table)
    }

    /// Panics unless the table becomes so in time.
    pub(super) async fn until(&self, expected: &str, limit: Duration) {
        let end = Instant::now() + limit;
        while self.rows() != expected {
            assert!(Instant::now() < end, "{} and not {expected}", self.rows());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Rows as `name=label`, with `?` while the first list has not come.
pub(super) fn rows(table: &Table<String, String>) -> String {
    let snapshot = table.snapshot();
    let rows: Vec<String> = snapshot
        .iter()
        .map(|(name, label)| format!("{name}={label}"))
        .collect();
    let unknown = if snapshot.is_initialized() { "" } else { "?" };
    format!("{unknown}{}", rows.join(" "))
}

pub(super) const fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}
