//! Keeping a table equal to what the API server lists: list in pages, then watch, for ever.
//!
//! The table keeps its last state while the server is away. A new list replaces it in one step, and only a complete one;
//! those who follow the table are told of what differs. A watch that ends goes on from its version. A list is made again
//! only when the server has forgotten that version, never had it, or has been silent for too long.

mod event;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use api::kubernetes::{List, Resource};
use futures::{AsyncBufReadExt, StreamExt};
use rand::Rng;
use reconcile::Backoff;
use reconcile::table::{Key, TableWriter, Value};
use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::client::{Client, Endpoint, Error, Scope};
use crate::metrics::Told;
use event::{Event, Head, ObjectName};

const PAGE: u32 = 500;
const PAGE_TRIES: u32 = 3;
/// Pauses after failures. Half a minute at most: a node whose server is back has at most that old a view, and a thousand
/// nodes that wait so long each come back spread over as much.
const RETRY: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
/// A server that starts anew has forgotten the versions of all its clients at once: their lists are spread over so much.
const SPREAD: Duration = Duration::from_secs(5);
/// A watch that lived so long was no failure, whatever ended it.
const SETTLED: Duration = Duration::from_secs(10);
/// A server sends a bookmark each minute. A watch without a line for so long is not believed any more.
const QUIET: Duration = Duration::from_secs(130);
/// So many quiet watches in a row, and the list tells what is true.
const QUIETS: u32 = 2;
/// What the server itself ends watches after, in seconds; spread, so that what began together does not end together.
const LIMIT: std::ops::Range<u64> = 240..300;

/// Turns an object into rows; an object may have none. Rows of an object must not depend on other objects.
pub trait Rows<R, K, V>: Fn(R) -> Vec<(K, V)> + Send + Sync {}
impl<R, K, V, F: Fn(R) -> Vec<(K, V)> + Send + Sync> Rows<R, K, V> for F {}

/// What a step of the reflector came to.
enum Done {
    /// A complete list is in the table.
    Listed,
    /// The watch ended after it had lived for a while, or because there are new connections.
    Followed,
    /// The watch ended as soon as it had begun.
    CutShort,
    /// The version held was of no use, and is forgotten.
    Expired,
}

struct Reflector<'a, R, K, V, F> {
    client: &'a Client,
    scope: &'a Scope,
    rows: F,
    writer: TableWriter<K, V>,
    source: &'static str,
    /// Keys of each object, by namespace and name, so that a deletion takes exactly what the object gave.
    keys: HashMap<ObjectName, Box<[K]>>,
    version: String,
    turned: watch::Receiver<Endpoint>,
    failures: u32,
    /// When the last list was complete.
    listed: Instant,
    /// Watches in a row that ended by silence.
    quiets: u32,
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
    client.metrics().follows(R::KIND);
    let mut reflector = Reflector::<R, K, V, _> {
        client: &client,
        scope: &scope,
        rows,
        writer,
        source,
        keys: HashMap::new(),
        version: String::new(),
        turned: client.endpoint(),
        failures: 0,
        listed: Instant::now(),
        quiets: 0,
        kind: std::marker::PhantomData,
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = reflector.run() => {}
    }
}

impl<R: Resource, K: Key, V: Value, F: Rows<R, K, V>> Reflector<'_, R, K, V, F> {
    async fn run(&mut self) {
        loop {
            let step = if self.version.is_empty() {
                self.list().await
            } else {
                self.follow().await
            };
            match step {
                Ok(Done::Listed | Done::Followed) => {}
                // One list soon, also when the server was away between; but not one after the other when none of them
                // can be followed.
                Ok(Done::Expired) if self.listed.elapsed() >= SETTLED => {
                    let pause = rand::rng().random_range(Duration::ZERO..SPREAD);
                    tokio::time::sleep(pause).await;
                }
                Ok(Done::Expired | Done::CutShort) => {
                    self.failures = self.failures.saturating_add(1);
                    let pause = RETRY.after(self.failures, &mut rand::rng());
                    self.pause(pause).await;
                }
                Err(error) => {
                    if self.failures == 0 {
                        tracing::warn!(kind = R::KIND, %error, "the API server cannot be followed, trying again");
                    }
                    self.failures = self.failures.saturating_add(1);
                    self.pause(delay(self.failures, &error)).await;
                }
            }
        }
    }

    /// New connections are worth a try before the pause is over, but not one at the same moment as everybody's.
    async fn pause(&mut self, pause: Duration) {
        let end = Instant::now() + pause;
        tokio::select! {
            () = tokio::time::sleep_until(end) => {}
            _ = self.turned.changed() => {
                let soon = rand::rng().random_range(Duration::ZERO..=pause / 2);
                tokio::time::sleep_until(end.min(Instant::now() + soon)).await;
            }
        }
    }

    /// Lists all pages; when a page's token has expired, everything in one.
    async fn list(&mut self) -> Result<Done, Error> {
        match self.list_pages(PAGE).await {
            Err(error) if error.is_gone() => self.list_pages(0).await,
            result => result,
        }
    }

    /// The table changes only when the last page has come. Objects become rows page by page, so that a large list is never
    /// in memory as objects.
    async fn list_pages(&mut self, limit: u32) -> Result<Done, Error> {
        let mut listed = Vec::new();
        let mut keys: HashMap<ObjectName, Box<[K]>> = HashMap::new();
        let mut token = String::new();
        let version = loop {
            let page = self.page(limit, &token).await?;
            for text in page.items {
                match serde_json::from_str::<R>(text.get()) {
                    Ok(object) => {
                        let name = event::name_of(&object);
                        let rows = (self.rows)(object);
                        self.count("create", true, false);
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
        // What has no version is no list, even if it reads like an empty one.
        if version.is_empty() {
            return Err(unreadable::<R>("list", "a list without a version"));
        }
        let stay: BTreeSet<&K> = keys.values().flat_map(|of| of.iter()).collect();
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
        self.listed = Instant::now();
        Ok(Done::Listed)
    }

    /// An object that cannot be read keeps its last rows, and stops no other.
    fn keep(
        &self,
        text: &RawValue,
        error: &serde_json::Error,
        keys: &mut HashMap<ObjectName, Box<[K]>>,
    ) {
        self.count("create", false, false);
        let name = Head::of(text).name();
        tracing::error!(kind = R::KIND, object = ?name, %error, "an object cannot be read, its last state stays");
        if let Some(known) = self.keys.get(&name) {
            keys.insert(name, known.clone());
        }
    }

    /// One page; a failure costs a new try of the page, not of the whole list, unless the list itself is too old.
    async fn page(&self, limit: u32, token: &str) -> Result<List<Box<RawValue>>, Error> {
        let mut tries = 0;
        loop {
            match self.client.list_page::<R>(self.scope, limit, token).await {
                Err(error) if tries < PAGE_TRIES && !error.is_gone() => {
                    tries += 1;
                    tokio::time::sleep(delay(tries, &error)).await;
                }
                result => return result,
            }
        }
    }

    async fn follow(&mut self) -> Result<Done, Error> {
        let done = match self.watch().await {
            Err(error) if error.is_gone() || error.is_ahead() => Done::Expired,
            result => result?,
        };
        if matches!(done, Done::Expired) {
            self.version.clear();
        }
        Ok(done)
    }

    async fn watch(&mut self) -> Result<Done, Error> {
        let limit = Duration::from_secs(rand::rng().random_range(LIMIT));
        let at = *self.turned.borrow_and_update();
        let stream = self
            .client
            .watch::<R>(self.scope, &self.version, limit)
            .await?;
        let mut lines = stream.lines();
        let begun = Instant::now();
        let end = begun + limit + SETTLED;
        let mut heard = begun;
        loop {
            let line = tokio::select! {
                line = lines.next() => line,
                () = tokio::time::sleep_until(end.min(heard + QUIET)) => {
                    return Ok(self.went_quiet(heard == begun));
                }
                _ = self.turned.changed() => None,
            };
            let lived = begun.elapsed() >= SETTLED;
            if lived {
                self.settle();
            }
            match line {
                Some(Ok(line)) if line.trim().is_empty() => {}
                Some(Ok(line)) => {
                    heard = Instant::now();
                    self.quiets = 0;
                    self.event(&line)?;
                }
                Some(Err(error)) => return Err(unreadable::<R>("watch", &error.to_string())),
                // New connections are tried at once; a server that ends what it began is not.
                None if lived || *self.turned.borrow() != at => return Ok(Done::Followed),
                None => return Ok(Done::CutShort),
            }
        }
    }

    /// The server can be followed.
    fn settle(&mut self) {
        self.failures = 0;
    }

    /// A watch that brought nothing at all may be one from a version that the server will not reach for long, after it was
    /// restored from a backup: it would pass over all changes up to there in silence.
    fn went_quiet(&mut self, brought_nothing: bool) -> Done {
        self.settle();
        self.quiets = if brought_nothing { self.quiets + 1 } else { 0 };
        if self.quiets < QUIETS {
            return Done::Followed;
        }
        self.quiets = 0;
        Done::Expired
    }

    fn event(&mut self, line: &str) -> Result<(), Error> {
        let event =
            Event::read(line).map_err(|error| unreadable::<R>("watch", &error.to_string()))?;
        let head = match event.kind {
            "ERROR" => return Err(event.refusal(R::PLURAL)),
            _ => Head::of(event.object),
        };
        let action = match event.kind {
            "DELETED" => "delete",
            "MODIFIED" => "update",
            _ => "create",
        };
        match event.kind {
            "BOOKMARK" => {}
            // Its name is enough: what could not be read while it was there must still go.
            "DELETED" => {
                let equal = self.set(head.name(), Vec::new());
                self.count(action, true, equal);
            }
            _ => match serde_json::from_str::<R>(event.object.get()) {
                Ok(object) => {
                    let equal = self.set(event::name_of(&object), (self.rows)(object));
                    self.count(action, true, equal);
                }
                // One object that cannot be read must not stop the others: it keeps its last row.
                Err(error) => {
                    tracing::error!(kind = R::KIND, object = ?head.name(), %error, "an object cannot be read, its last state stays");
                    self.count(action, false, false);
                }
            },
        }
        if let Some(version) = head.version() {
            self.version = version;
            self.settle();
        }
        Ok(())
    }

    fn count(&self, action: &'static str, valid: bool, equal: bool) {
        self.client.metrics().told(Told {
            kind: R::KIND,
            action,
            valid,
            equal,
        });
    }

    /// Makes `rows` the rows of an object; says whether they were.
    fn set(&mut self, name: ObjectName, rows: Vec<(K, V)>) -> bool {
        let keys: Box<[K]> = rows.iter().map(|(key, _)| key.clone()).collect();
        let old = self.keys.remove(&name).unwrap_or_default();
        let before = self.writer.snapshot();
        let equal = old == keys
            && rows
                .iter()
                .all(|(key, value)| before.get(key) == Some(value));
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
        equal
    }
}

/// How long to wait after an error; at least for what the server wishes. It names the same time to all whom it sends away.
fn delay(failures: u32, error: &Error) -> Duration {
    let mut rng = rand::rng();
    let wish = error.retry_after().unwrap_or_default();
    let wish = wish.mul_f64(rng.random_range(1.0..2.0));
    RETRY.after(failures, &mut rng).max(wish)
}

fn unreadable<R: Resource>(verb: &'static str, message: &str) -> Error {
    Error::Unanswered {
        verb,
        path: R::PLURAL.to_owned(),
        message: message.to_owned(),
    }
}
