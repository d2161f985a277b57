//! Keeping a table equal to the keys under a prefix: list in pages, then watch, for ever.
//!
//! The table keeps its last state while etcd is away. Nothing is taken out at once: a key that is gone gets a while to come
//! back, because its owner puts back what somebody else deleted. After a break in history (etcd was wiped, or restored from a
//! backup) that while is a lease's time: a key whose owner lives is back by then, and one whose owner is dead would have ended
//! by then anyway. While etcd cannot be followed the whiles do not end.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use reconcile::Backoff;
use reconcile::table::{Key, TableWriter, Value};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::client::{Error, Etcd, Loss, Pair};
use super::operations::after;
use super::proto::{Event, ResponseHeader, WatchResponse, event};

/// Pauses after failures.
const RETRY: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(15));

/// How long a key that is gone is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// After it was deleted.
    pub deleted: Duration,
    /// After a break in history.
    pub broken: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            deleted: Duration::from_secs(10),
            // A lease's time, as upstream's `kvstore-lease-ttl` has it.
            broken: Duration::from_mins(15),
        }
    }
}

/// Where in which history we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    cluster: u64,
    term: u64,
    revision: i64,
}

impl Place {
    fn of(header: ResponseHeader) -> Self {
        Self {
            cluster: header.cluster_id,
            term: header.raft_term,
            revision: header.revision,
        }
    }

    /// What is there now cannot have come of what was there before.
    fn is_broken_by(self, now: Self) -> bool {
        self.cluster != now.cluster || self.revision > now.revision || self.term > now.term
    }
}

/// What a step came to.
enum Done {
    /// The stream ended: go on from where it was.
    Ended,
    /// A list is needed.
    Lost,
}

struct Mirror<'a, K, V, F> {
    etcd: &'a Etcd,
    prefix: String,
    rows: F,
    writer: TableWriter<K, V>,
    source: &'static str,
    patience: Patience,
    place: Option<Place>,
    /// The row that a key gave.
    keys: BTreeMap<String, K>,
    /// Keys that are gone, and until when they are waited for.
    going: BTreeMap<String, Instant>,
    turned: watch::Receiver<u64>,
    /// When the last watch ended.
    left: Instant,
}

/// Keeps the table equal to the keys under `prefix` until `stop`; marks `source` initialized after the first complete list.
/// A key that gives no row is left out.
pub async fn mirror<K: Key, V: Value>(
    etcd: Etcd,
    prefix: String,
    source: &'static str,
    writer: TableWriter<K, V>,
    rows: impl Fn(&Pair) -> Option<(K, V)> + Send,
    patience: Patience,
    stop: CancellationToken,
) {
    let mut mirror = Mirror {
        turned: etcd.shared.changed.subscribe(),
        etcd: &etcd,
        prefix,
        rows,
        writer,
        source,
        patience,
        place: None,
        keys: BTreeMap::new(),
        going: BTreeMap::new(),
        left: Instant::now(),
    };
    stop.run_until_cancelled(mirror.run()).await;
}

impl<K: Key, V: Value, F: Fn(&Pair) -> Option<(K, V)> + Send> Mirror<'_, K, V, F> {
    async fn run(&mut self) {
        self.etcd.metrics().synced(&self.prefix, "read", false);
        let (mut failures, mut listed) = (0_u32, false);
        loop {
            let begun = Instant::now();
            let step = if listed {
                let step = self.follow().await;
                self.left = if step.is_ok() {
                    Instant::now()
                } else {
                    self.left
                };
                step
            } else {
                self.list().await.map(|()| Done::Ended)
            };
            // A watch that lived for a while was no failure, whatever ended it.
            if begun.elapsed() > Duration::from_secs(5) {
                failures = 0;
            }
            match step {
                Ok(Done::Ended) if !listed => {
                    listed = true;
                    continue;
                }
                Ok(Done::Ended) => {}
                Ok(Done::Lost) => listed = false,
                Err(error) => {
                    if failures == 0 {
                        let prefix = &self.prefix;
                        tracing::warn!(prefix, %error, "etcd cannot be followed, trying again");
                    }
                }
            }
            failures += 1;
            let pause = RETRY.after(failures, &mut rand::rng());
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = self.turned.changed() => {}
            }
        }
    }

    /// The table changes only when the last page has come.
    async fn list(&mut self) -> Result<(), Error> {
        let (mut from, mut at) = (self.prefix.clone(), 0);
        let mut pairs = Vec::new();
        let header = loop {
            let mut page = self.etcd.page(&self.prefix, &from, at, false).await?;
            at = if at == 0 { page.header.revision } else { at };
            pairs.append(&mut page.pairs);
            match pairs.last().filter(|_| page.more) {
                Some(last) => from = after(&last.key),
                None => break page.header,
            }
        };
        let mut now = Place::of(header);
        now.revision = at;
        let broken = self.place.is_some_and(|place| place.is_broken_by(now));
        if broken {
            let prefix = &self.prefix;
            tracing::warn!(
                prefix,
                "etcd was wiped or restored, what is missing is waited for"
            );
            self.etcd.lost(Loss::History(self.left));
        }
        self.take_list(pairs, broken);
        self.etcd.metrics().synced(&self.prefix, "read", true);
        self.place = Some(now);
        Ok(())
    }

    fn take_list(&mut self, pairs: Vec<Pair>, broken: bool) {
        let there: HashSet<&str> = pairs.iter().map(|pair| pair.key.as_str()).collect();
        let wait = if broken {
            self.patience.broken
        } else {
            self.patience.deleted
        };
        let until = Instant::now() + wait;
        for key in self.keys.keys().filter(|key| !there.contains(key.as_str())) {
            self.going.entry(key.clone()).or_insert(until);
            self.etcd.lost(Loss::Key(key.as_str().into()));
        }
        let rows: Vec<(String, Option<(K, V)>)> = pairs
            .into_iter()
            .map(|pair| {
                let row = (self.rows)(&pair);
                (pair.key, row)
            })
            .collect();
        let (keys, going, source) = (&mut self.keys, &mut self.going, self.source);
        self.writer.write(|batch| {
            for (key, row) in rows {
                going.remove(&key);
                set(batch, keys, key, row);
            }
            batch.mark_initialized(source);
        });
    }

    async fn follow(&mut self) -> Result<Done, Error> {
        let Some(place) = self.place else {
            return Ok(Done::Lost);
        };
        self.turned.mark_unchanged();
        let mut stream = self.etcd.watch(&self.prefix, place.revision + 1).await?;
        // What was missed comes first, and may bring back what is waited for.
        let soonest = Instant::now() + self.patience.deleted;
        for until in self.going.values_mut() {
            *until = soonest.max(*until);
        }
        loop {
            let due = self.going.values().min().copied();
            let message = tokio::select! {
                message = stream.message() => message,
                () = until(due) => {
                    self.take_out();
                    continue;
                }
                _ = self.turned.changed() => return Ok(Done::Ended),
            };
            match message {
                Ok(Some(response)) => {
                    if let Some(done) = self.take(response) {
                        return Ok(done);
                    }
                }
                Ok(None) | Err(_) => return Ok(Done::Ended),
            }
        }
    }

    /// Takes in what a watch says; a result is its end.
    fn take(&mut self, response: WatchResponse) -> Option<Done> {
        let now = Place::of(response.header.unwrap_or_default());
        let broken = |place: Place| {
            place.is_broken_by(Place {
                revision: i64::MAX,
                ..now
            })
        };
        // The answer to the request tells how far etcd is; later ones may be of before.
        let behind = |place: Place| response.created && place.is_broken_by(now);
        if self
            .place
            .is_some_and(|place| broken(place) || behind(place))
        {
            return Some(Done::Lost);
        }
        if response.canceled || response.compact_revision > 0 {
            tracing::info!(
                prefix = self.prefix,
                reason = response.cancel_reason,
                "a watch of etcd is over, listing again"
            );
            return Some(Done::Lost);
        }
        if response.created {
            return None;
        }
        self.take_events(response.events);
        if let Some(place) = &mut self.place {
            place.revision = place.revision.max(now.revision);
            place.term = place.term.max(now.term);
        }
        None
    }

    fn take_events(&mut self, events: Vec<Event>) {
        let came = Instant::now();
        let (mut rows, mut actions) = (Vec::new(), Vec::new());
        for event in events {
            let deleted = event.r#type == i32::from(event::Kind::Delete);
            let Some(pair) = event.kv else {
                continue;
            };
            actions.push(match (deleted, pair.version) {
                (true, _) => "delete",
                (false, 1) => "create",
                (false, _) => "modify",
            });
            let pair = Pair::of(pair);
            if deleted {
                let until = Instant::now() + self.patience.deleted;
                self.etcd.lost(Loss::Key(pair.key.as_str().into()));
                self.going.insert(pair.key, until);
            } else {
                self.going.remove(&pair.key);
                let row = (self.rows)(&pair);
                rows.push((pair.key, row));
            }
        }
        let keys = &mut self.keys;
        self.writer.write(|batch| {
            for (key, row) in rows {
                set(batch, keys, key, row);
            }
        });
        for action in actions {
            let metrics = self.etcd.metrics();
            metrics.told(&self.prefix, action, came.elapsed());
        }
    }

    /// What was waited for long enough goes.
    fn take_out(&mut self) {
        let now = Instant::now();
        let over: Vec<String> = self
            .going
            .iter()
            .filter(|(_, until)| **until <= now)
            .map(|(key, _)| key.clone())
            .collect();
        let (keys, going) = (&mut self.keys, &mut self.going);
        self.writer.write(|batch| {
            for key in over {
                going.remove(&key);
                if let Some(row) = keys.remove(&key) {
                    batch.remove(&row);
                }
            }
        });
    }
}

/// Makes `row` the row of a key.
fn set<K: Key, V: Value>(
    batch: &mut reconcile::table::Batch<K, V>,
    keys: &mut BTreeMap<String, K>,
    key: String,
    row: Option<(K, V)>,
) {
    let before = keys.remove(&key);
    if let Some(before) = before.filter(|before| row.as_ref().is_none_or(|(of, _)| of != before)) {
        batch.remove(&before);
    }
    if let Some((of, value)) = row {
        keys.insert(key, of.clone());
        batch.set(of, value);
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
