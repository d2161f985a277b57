//! Keeping a table equal to what the API server lists: list in pages, then watch, for ever.
//!
//! The table keeps its last state while the server is away. A new list replaces it in one step, and only a complete one.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use api::kubernetes::{List, Resource};
use futures::AsyncBufReadExt;
use rand::Rng;
use reconcile::Backoff;
use reconcile::table::{Key, TableWriter, Value};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use crate::client::{Client, Error, Scope};

const PAGE: u32 = 500;
const PAGE_TRIES: u32 = 3;

/// Turns an object into rows; an object may have none. Rows of an object must not depend on other objects.
pub trait Rows<R, K, V>: Fn(R) -> Vec<(K, V)> + Send + Sync {}
impl<R, K, V, F: Fn(R) -> Vec<(K, V)> + Send + Sync> Rows<R, K, V> for F {}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    object: serde_json::Value,
}

/// Namespace and name.
type ObjectName = (String, String);

/// As much of an object as can be read of any.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    metadata: NamedMeta,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NamedMeta {
    namespace: String,
    name: String,
}

/// What ended a watch.
enum End {
    /// The server closed it, or it was silent: continue from the same version.
    Continue,
    /// The version is too old: list again.
    Relist,
}

struct Reflector<'a, R, K, V, F> {
    client: &'a Client,
    scope: &'a Scope,
    rows: F,
    writer: TableWriter<K, V>,
    source: &'static str,
    /// Keys of each object, by namespace and name, so that a deletion takes exactly what the object gave.
    keys: HashMap<ObjectName, Vec<K>>,
    version: String,
    kind: std::marker::PhantomData<fn() -> R>,
}

/// Keeps the table equal to the objects of `scope` until `stop`; marks `source` initialized after the first complete list.
pub async fn reflect<R: Resource, K: Key, V: Value>(
    client: Client,
    scope: Scope,
    source: &'static str,
    writer: TableWriter<K, V>,
    rows: impl Rows<R, K, V>,
    stop: CancellationToken,
) {
    let mut reflector = Reflector::<R, K, V, _> {
        client: &client,
        scope: &scope,
        rows,
        writer,
        source,
        keys: HashMap::new(),
        version: String::new(),
        kind: std::marker::PhantomData,
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = reflector.run() => {}
    }
}

impl<R: Resource, K: Key, V: Value, F: Rows<R, K, V>> Reflector<'_, R, K, V, F> {
    async fn run(&mut self) {
        let backoff = Backoff::default();
        let mut failures = 0_u32;
        loop {
            let before = self.version.clone();
            let result = if self.version.is_empty() {
                self.list().await
            } else {
                self.follow().await
            };
            // A connection that brought something before it broke is not a server that is down.
            if self.version != before {
                failures = 0;
            }
            match result {
                Ok(()) => failures = 0,
                Err(error) => {
                    if failures == 0 {
                        tracing::warn!(kind = R::KIND, %error, "the API server cannot be followed, trying again");
                    }
                    let mut endpoint = self.client.endpoint();
                    endpoint.mark_unchanged();
                    let pause = backoff.after(failures + 1, &mut rand::rng());
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        // Another URL is tried at once.
                        _ = endpoint.changed() => {}
                    }
                    failures = failures.saturating_add(1);
                }
            }
        }
    }

    /// Lists all pages; the table changes only when the last one has come. Objects become rows page by page, so that a
    /// large list is never in memory as objects.
    async fn list(&mut self) -> Result<(), Error> {
        let mut listed = Vec::new();
        let mut keys: HashMap<ObjectName, Vec<K>> = HashMap::new();
        let mut token = String::new();
        let version = loop {
            let page = self.page(&token).await?;
            for text in page.items {
                match serde_json::from_str::<R>(text.get()) {
                    Ok(object) => {
                        let name = name_of(&object);
                        let rows = (self.rows)(object);
                        keys.insert(name, rows.iter().map(|(key, _)| key.clone()).collect());
                        listed.extend(rows);
                    }
                    Err(error) => self.keep(&text, &error, &mut keys),
                }
            }
            token = page.metadata.continue_token;
            if token.is_empty() {
                break page.metadata.resource_version;
            }
        };
        let stay: BTreeSet<&K> = keys.values().flatten().collect();
        let before = self.writer.snapshot();
        let source = self.source;
        self.writer.write(|batch| {
            for key in before.keys().filter(|key| !stay.contains(key)) {
                batch.remove(key);
            }
            for (key, value) in listed {
                batch.set(key, value);
            }
            batch.mark_initialized(source);
        });
        self.keys = keys;
        self.version = version;
        Ok(())
    }

    /// An object that cannot be read keeps its last rows, and stops no other.
    fn keep(
        &self,
        text: &RawValue,
        error: &serde_json::Error,
        keys: &mut HashMap<ObjectName, Vec<K>>,
    ) {
        let named = serde_json::from_str::<Named>(text.get()).unwrap_or_default();
        let (namespace, name) = (named.metadata.namespace, named.metadata.name);
        tracing::error!(kind = R::KIND, namespace, name, %error, "an object cannot be read, its last state stays");
        let name = (namespace, name);
        if let Some(known) = self.keys.get(&name) {
            keys.insert(name, known.clone());
        }
    }

    /// One page; a failure costs a new try of the page, not of the whole list, unless the list itself is too old.
    async fn page(&self, token: &str) -> Result<List<Box<RawValue>>, Error> {
        let mut tries = 0;
        loop {
            match self.client.list_page::<R>(self.scope, PAGE, token).await {
                Err(error) if tries < PAGE_TRIES && !error.is_gone() => {
                    tries += 1;
                    let pause = Backoff::default().after(tries, &mut rand::rng());
                    tokio::time::sleep(pause).await;
                }
                result => return result,
            }
        }
    }

    async fn follow(&mut self) -> Result<(), Error> {
        match self.watch().await {
            Ok(End::Continue) => Ok(()),
            Ok(End::Relist) => {
                self.version.clear();
                Ok(())
            }
            Err(error) if error.is_gone() => {
                self.version.clear();
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn watch(&mut self) -> Result<End, Error> {
        // Spread, so that agents that started together do not come back together.
        let limit = Duration::from_secs(rand::rng().random_range(240..300));
        let mut endpoint = self.client.endpoint();
        endpoint.mark_unchanged();
        let stream = self
            .client
            .watch::<R>(self.scope, &self.version, limit)
            .await?;
        let mut lines = stream.lines();
        let deadline = tokio::time::sleep(limit + Duration::from_secs(10));
        tokio::pin!(deadline);
        loop {
            let line = tokio::select! {
                line = futures::StreamExt::next(&mut lines) => line,
                () = &mut deadline => return Ok(End::Continue),
                _ = endpoint.changed() => return Ok(End::Continue),
            };
            match line {
                Some(Ok(line)) if line.trim().is_empty() => {}
                Some(Ok(line)) => {
                    if let Some(end) = self.event(&line)? {
                        return Ok(end);
                    }
                }
                Some(Err(error)) => return Err(unreadable::<R>(&error.to_string())),
                None => return Ok(End::Continue),
            }
        }
    }

    fn event(&mut self, line: &str) -> Result<Option<End>, Error> {
        let event: Event =
            serde_json::from_str(line).map_err(|error| unreadable::<R>(&error.to_string()))?;
        if event.kind == "ERROR" {
            let code = event
                .object
                .get("code")
                .and_then(serde_json::Value::as_u64)
                .unwrap_or_default();
            let message = event
                .object
                .get("message")
                .and_then(serde_json::Value::as_str)
                .unwrap_or_default();
            return if code == 410 {
                Ok(Some(End::Relist))
            } else {
                Err(unreadable::<R>(message))
            };
        }
        let version = event
            .object
            .pointer("/metadata/resourceVersion")
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default()
            .to_owned();
        match event.kind.as_str() {
            "BOOKMARK" => {}
            // Its name is enough: what could not be read while it was there must still go.
            "DELETED" => self.set(name_in(&event.object), Vec::new()),
            _ => match serde_json::from_value::<R>(event.object) {
                Ok(object) => self.set(name_of(&object), (self.rows)(object)),
                // One object that cannot be read must not stop the others: it keeps its last row.
                Err(error) => {
                    tracing::error!(kind = R::KIND, version, %error, "an object cannot be read, its last state stays");
                }
            },
        }
        if !version.is_empty() {
            self.version = version;
        }
        Ok(None)
    }

    /// Makes `rows` the rows of an object.
    fn set(&mut self, name: ObjectName, rows: Vec<(K, V)>) {
        let keys: Vec<K> = rows.iter().map(|(key, _)| key.clone()).collect();
        let old = self.keys.remove(&name).unwrap_or_default();
        self.writer.write(|batch| {
            for (key, value) in rows {
                batch.set(key, value);
            }
            for key in old.iter().filter(|key| !keys.contains(key)) {
                batch.remove(key);
            }
        });
        if !keys.is_empty() {
            self.keys.insert(name, keys);
        }
    }
}

fn name_in(object: &serde_json::Value) -> ObjectName {
    let text = |path| object.pointer(path).and_then(serde_json::Value::as_str);
    let text = |path| text(path).unwrap_or_default().to_owned();
    (text("/metadata/namespace"), text("/metadata/name"))
}

fn unreadable<R: Resource>(message: &str) -> Error {
    Error::Unanswered {
        verb: "watch",
        path: R::PLURAL.to_owned(),
        message: message.to_owned(),
    }
}

fn name_of<R: Resource>(object: &R) -> ObjectName {
    (object.meta().namespace.clone(), object.meta().name.clone())
}
