//! Watch: the present state if asked for, then every change, with bookmarks, until a time or the past is gone.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use rand::Rng;
use tokio::sync::watch::Receiver;
use tokio::time::Instant;

use super::{revision, selector};
use crate::error::ApiError;
use crate::http::{Call, Query, Reply, Service, Target};
use crate::selector::Selector;
use crate::store::{Change, Event, Key};
use crate::table::Renderer;

/// Events taken from history at a time.
const BATCH: usize = 256;

/// Whether a client wants bookmarks, and whether the first one ends the present state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bookmarks {
    Never,
    Periodic,
}

struct Watcher {
    service: Arc<Service>,
    target: Target,
    selector: Selector,
    renderer: Renderer,
    /// All up to here has been sent.
    cursor: u64,
    revisions: Receiver<u64>,
    bookmarks: Bookmarks,
    next_bookmark: Instant,
    end: Instant,
    /// What to send before anything else.
    ready: Vec<u8>,
    finished: bool,
}

/// Answers with a stream of events.
pub(crate) async fn watch(call: Call) -> Result<Reply, ApiError> {
    let mut selector_of_path = selector(&call)?;
    if let Some(name) = &call.target.name {
        selector_of_path = selector_of_path.with_name(name);
    }
    let from = revision(&call.query)?;
    let initial = wants_initial(&call.query, from)?;
    let timeout = timeout(&call.query)?;
    let Call {
        service,
        mut target,
        query,
        renderer,
        ..
    } = call;
    target.name = None;
    let bookmarks = if query.is_set("allowWatchBookmarks") {
        Bookmarks::Periodic
    } else {
        Bookmarks::Never
    };
    let now = Instant::now();
    let mut watcher = Watcher {
        revisions: service.store.revisions(),
        next_bookmark: now + service.bookmark_interval,
        end: now + timeout,
        service,
        target,
        selector: selector_of_path,
        renderer,
        cursor: from.unwrap_or(0),
        bookmarks,
        ready: Vec::new(),
        finished: false,
    };
    watcher.begin(from, initial).await?;
    if initial && query.is_set("sendInitialEvents") {
        let bookmark = watcher
            .renderer
            .bookmark(watcher.cursor, crate::table::Mark::InitialEventsEnd);
        watcher.ready.extend(bookmark);
    }
    Ok(Reply::Stream(
        stream::unfold(watcher, |mut watcher| async move {
            Some((watcher.next().await?, watcher))
        })
        .boxed(),
    ))
}

/// Whether the present state comes first: without a revision, or when asked for.
fn wants_initial(query: &Query, from: Option<u64>) -> Result<bool, ApiError> {
    match (
        query.get("sendInitialEvents"),
        query.get("resourceVersionMatch"),
    ) {
        ("", "") => Ok(from.is_none()),
        ("true" | "1", "NotOlderThan") => Ok(true),
        ("false" | "0", "NotOlderThan") => Ok(false),
        _ => Err(ApiError::bad_request(
            "sendInitialEvents and resourceVersionMatch=NotOlderThan are set together in a watch, or neither",
        )),
    }
}

/// How long the watch lasts: as asked, else half an hour to an hour, spread so that clients do not return together.
fn timeout(query: &Query) -> Result<Duration, ApiError> {
    let asked = query
        .number("timeoutSeconds")?
        .filter(|&seconds| seconds != 0);
    Ok(Duration::from_secs(
        asked.unwrap_or_else(|| rand::rng().random_range(1800..3600)),
    ))
}

impl Watcher {
    /// Puts the cursor where events start; with `initial` the present state is sent first.
    async fn begin(&mut self, from: Option<u64>, initial: bool) -> Result<(), ApiError> {
        let (target, selector) = (self.target.clone(), self.selector.clone());
        let look = self.service.store.read(move |view| {
            let mut objects = Vec::new();
            if initial {
                let resource = target.kind.shared_resource();
                view.scan(&resource, target.namespace.as_deref(), |key, bytes| {
                    if selector.is_all() || selector.matches(&key, bytes) {
                        objects.push(Bytes::copy_from_slice(bytes));
                    }
                })?;
            }
            Ok((view.revision()?, objects))
        });
        let (current, objects) = look.await?;
        if let Some(from) = from.filter(|&from| from > current) {
            // Most likely of a store that stood here before. "Not yet" would let the client wait and then continue
            // in another history, so it is told to list anew.
            self.expire(format!(
                "revision {from} is ahead of the store, which is at {current}"
            ));
            return Ok(());
        }
        if initial || from.is_none() {
            self.cursor = current;
        }
        for object in objects {
            self.ready
                .extend(self.renderer.event(Change::Added, &object));
        }
        Ok(())
    }

    /// The next bytes to send; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if !self.ready.is_empty() {
                return Some(Bytes::from(std::mem::take(&mut self.ready)));
            }
            if self.finished {
                return None;
            }
            self.revisions.borrow_and_update();
            let before = self.cursor;
            self.take_events();
            if !self.ready.is_empty() || self.finished || self.cursor > before {
                continue;
            }
            let shutdown = self.service.shutdown.clone();
            tokio::select! {
                changed = self.revisions.changed() => self.finished |= changed.is_err(),
                () = tokio::time::sleep_until(self.next_bookmark), if self.bookmarks == Bookmarks::Periodic => {
                    self.next_bookmark = Instant::now() + self.service.bookmark_interval;
                    self.ready = self.renderer.bookmark(self.cursor, crate::table::Mark::Progress);
                }
                () = tokio::time::sleep_until(self.end) => {
                    self.finished = true;
                    if self.bookmarks == Bookmarks::Periodic {
                        self.ready = self.renderer.bookmark(self.cursor, crate::table::Mark::Progress);
                    }
                }
                () = shutdown.cancelled() => self.finished = true,
            }
        }
    }

    /// Moves the cursor over the events there are and encodes those that matter.
    fn take_events(&mut self) {
        match self.service.store.events_after(self.cursor, BATCH) {
            Err(compacted) => {
                let message = format!(
                    "too old resource version: {} ({})",
                    self.cursor, compacted.oldest
                );
                self.expire(message);
            }
            Ok(events) => {
                for event in events {
                    self.cursor = event.revision;
                    if let Some(change) = self.seen_as(&event) {
                        self.ready
                            .extend(self.renderer.event(change, &event.object));
                    }
                }
            }
        }
    }

    fn expire(&mut self, message: String) {
        self.ready
            .extend(Renderer::error(&ApiError::expired(message)));
        self.finished = true;
    }

    /// What the change is to this client: an object that begins to match comes, one that ceases to match goes.
    fn seen_as(&self, event: &Event) -> Option<Change> {
        let Key {
            resource,
            namespace,
            ..
        } = &event.key;
        let in_namespace = self
            .target
            .namespace
            .as_ref()
            .is_none_or(|wanted| wanted == namespace);
        if **resource != *self.target.kind.resource() || !in_namespace {
            return None;
        }
        if self.selector.is_all() {
            return Some(event.change);
        }
        let before = event
            .previous
            .as_ref()
            .is_some_and(|previous| self.selector.matches(&event.key, previous));
        let after =
            event.change != Change::Deleted && self.selector.matches(&event.key, &event.object);
        match (before, after) {
            (false, false) => None,
            (false, true) => Some(Change::Added),
            (true, true) => Some(Change::Modified),
            (true, false) => Some(Change::Deleted),
        }
    }
}
