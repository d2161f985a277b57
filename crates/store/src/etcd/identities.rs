//! Numbers for labels, upstream's way: a key for each number holds the labels, a key for each node and labels holds the number.
//!
//! The first kind has no lease; the operator takes it away when no key of the second kind has been there for two rounds. Both
//! happen under the lock of the labels, so that a number is not taken from a node that begins to use it.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::client::{Error, Etcd};
use super::layout;
use super::lock::Lock;
use super::operations::{delete_op, holds, is_absent, is_unchanged, put_op};
use super::owned::SharedLease;

/// So many numbers are tried.
const TRIES: usize = 16;

/// Allocates numbers.
#[derive(Clone)]
pub struct Identities {
    etcd: Etcd,
    /// How this node is named in keys: its address.
    node: String,
    lease: SharedLease,
}

impl Identities {
    /// For a node, whose keys have this lease.
    pub fn new(etcd: Etcd, node: String, lease: SharedLease) -> Self {
        Self { etcd, node, lease }
    }

    /// The number that labels have, or get; from then on this node uses it. `known` is a number that is known to have these
    /// labels; `free` are numbers that seem to be free, best first. `None`: all that was tried is taken.
    pub async fn number(
        &self,
        labels: &str,
        known: Option<u32>,
        free: impl Iterator<Item = u32>,
    ) -> Result<Option<u32>, Error> {
        let lease = self.lease.get().await;
        let lock = self.etcd.lock(&layout::lock(labels)).await?;
        let work = async {
            // Who uses widespread labels should not have to read of all others that do.
            if let Some(number) = known
                && self.begin(number, labels, lease, &lock).await?
            {
                return Ok(Some(number));
            }
            for number in self.used(labels).await? {
                if self.begin(number, labels, lease, &lock).await?
                    || self.make(number, labels, lease, &lock).await?
                {
                    return Ok(Some(number));
                }
            }
            for number in free.take(TRIES) {
                if self.make(number, labels, lease, &lock).await? {
                    return Ok(Some(number));
                }
            }
            Ok(None)
        };
        let result = work.await;
        lock.unlock().await;
        result
    }

    /// This node uses a number from now on, if that has these labels.
    async fn begin(
        &self,
        number: u32,
        labels: &str,
        lease: i64,
        lock: &Lock<'_>,
    ) -> Result<bool, Error> {
        let (master, usage) = (layout::identity(number), layout::usage(labels, &self.node));
        let conditions = vec![lock.is_held(), holds(&master, labels)];
        let begin = vec![put_op(&usage, &number.to_string(), lease)];
        let answer = self.etcd.when("use", &usage, conditions, begin).await?;
        Ok(answer.succeeded)
    }

    /// The same, if the number is free, or was: nodes use it, and somebody deleted its own key.
    async fn make(
        &self,
        number: u32,
        labels: &str,
        lease: i64,
        lock: &Lock<'_>,
    ) -> Result<bool, Error> {
        let (master, usage) = (layout::identity(number), layout::usage(labels, &self.node));
        let conditions = vec![lock.is_held(), is_absent(&master)];
        let make = vec![
            put_op(&master, labels, 0),
            put_op(&usage, &number.to_string(), lease),
        ];
        let answer = self.etcd.when("make", &master, conditions, make).await?;
        Ok(answer.succeeded)
    }

    /// Numbers by which nodes use these labels; one, unless something went wrong.
    async fn used(&self, labels: &str) -> Result<Vec<u32>, Error> {
        let pairs = self.etcd.list(&layout::uses(labels), false).await?;
        // Longer labels begin so too: only what has one more part is a use of these.
        let ours = pairs
            .iter()
            .filter(|pair| layout::labels_of(&pair.key) == Some(labels));
        let mut numbers: Vec<u32> = ours.filter_map(|pair| pair.text()?.parse().ok()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers)
    }
}

/// What one round of collection found and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Numbers that are still there.
    pub alive: usize,
    /// Numbers that are free again.
    pub deleted: usize,
}

/// Numbers that nobody used in the last round, with the revisions of their keys.
#[derive(Debug, Default)]
pub struct Stale {
    keys: BTreeMap<String, i64>,
}

impl Stale {
    /// One round: what was unused in the last one too is taken away, if `may` still says so, with `pause` between two. Numbers
    /// in `kept` are used by somebody who does not say so in etcd: a node whose agent is away has pods all the same.
    pub async fn collect(
        &mut self,
        etcd: &Etcd,
        kept: &HashSet<u32>,
        pause: Duration,
        may: impl Fn() -> bool + Send + Sync,
    ) -> Result<Collected, Error> {
        // Numbers first: who begins to use one of them meanwhile is in the second list.
        let numbers = etcd.list(layout::IDENTITIES, false).await?;
        let uses = etcd.list(layout::USES, true).await?;
        let used: HashSet<&str> = uses
            .iter()
            .filter_map(|pair| layout::labels_of(&pair.key))
            .collect();
        let before = std::mem::take(&mut self.keys);
        let mut collected = Collected {
            alive: numbers.len(),
            deleted: 0,
        };
        for pair in &numbers {
            let Some(labels) = pair.text() else { continue };
            let number = layout::number_of(&pair.key);
            if used.contains(labels) || number.is_none_or(|number| kept.contains(&number)) {
                continue;
            }
            if before.get(&pair.key) != Some(&pair.revision) {
                self.keys.insert(pair.key.clone(), pair.revision);
                continue;
            }
            if !may() {
                return Ok(collected);
            }
            if take_away(etcd, &pair.key, labels, pair.revision).await? {
                collected.deleted += 1;
                collected.alive -= 1;
                let identity = pair.key.as_str();
                tracing::info!(identity, labels, "an unused identity is removed from etcd");
            }
            tokio::time::sleep(pause).await;
        }
        Ok(collected)
    }
}

async fn take_away(etcd: &Etcd, key: &str, labels: &str, revision: i64) -> Result<bool, Error> {
    let lock = etcd.lock(&layout::lock(labels)).await?;
    let work = async {
        let uses = etcd.list(&layout::uses(labels), true).await?;
        let mut uses = uses.iter().map(|pair| layout::labels_of(&pair.key));
        if uses.any(|of| of == Some(labels)) {
            return Ok(false);
        }
        let conditions = vec![lock.is_held(), is_unchanged(key, revision)];
        let gone = vec![delete_op(key)];
        Ok(etcd.when("collect", key, conditions, gone).await?.succeeded)
    };
    let result = work.await;
    lock.unlock().await;
    result
}
