//! What was seen when: which nodes are silent, and which statements have waited for long enough to be written.
//!
//! No two clocks are compared: a node is silent when its lease has stayed as it is for too long by the clock of this operator.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::policy::ObjectKey;
use reconcile::Snapshot;
use tokio::time::Instant;

use super::LeaseRow;
use super::fold::{NodeState, Statement, Status};

/// A node that has just come is not counted before it could tell anything.
const NEW: Duration = Duration::from_mins(5);
/// All nodes had the time to tell of a change: at least so long.
const SETTLE: Duration = Duration::from_secs(5);
/// Who is named in a statement may be another only so often.
const RENAME: Duration = Duration::from_secs(30);

/// When each lease changed last, and when nodes without one came.
#[derive(Default)]
pub(super) struct Seen {
    leases: BTreeMap<Arc<str>, (Arc<str>, Instant)>,
    without: BTreeMap<Arc<str>, Instant>,
}

impl Seen {
    /// The state of all nodes that count.
    pub(super) fn states<'a>(
        &mut self,
        nodes: impl Iterator<Item = &'a Arc<str>>,
        leases: &Snapshot<Arc<str>, LeaseRow>,
        now: Instant,
    ) -> BTreeMap<Arc<str>, NodeState> {
        let (mut seen, mut without) = (BTreeMap::new(), BTreeMap::new());
        let mut states = BTreeMap::new();
        for name in nodes {
            let Some(lease) = leases.get(name) else {
                let since = self.without.get(name).copied().unwrap_or(now);
                without.insert(Arc::clone(name), since);
                if now.duration_since(since) >= NEW {
                    states.insert(Arc::clone(name), NodeState::Silent);
                }
                continue;
            };
            let before = self.leases.remove(name);
            let same = before.filter(|(renewed, _)| *renewed == lease.renewed);
            let (renewed, at) = same.unwrap_or_else(|| (Arc::clone(&lease.renewed), now));
            let state = if now.duration_since(at) >= lease.silence {
                NodeState::Silent
            } else {
                NodeState::Told {
                    digest: Arc::clone(&lease.digest),
                    reason: Arc::clone(&lease.reason),
                }
            };
            seen.insert(Arc::clone(name), (renewed, at));
            states.insert(Arc::clone(name), state);
        }
        (self.leases, self.without) = (seen, without);
        states
    }
}

/// Statements that are not written yet.
#[derive(Default)]
pub(super) struct Waiting {
    /// Since when a policy is not in force everywhere, by the generation that is not.
    since: BTreeMap<ObjectKey, Instant>,
    written: BTreeMap<ObjectKey, Instant>,
}

impl Waiting {
    /// Whether nothing is left to be written.
    pub(super) fn is_empty(&self) -> bool {
        self.since.is_empty()
    }

    /// It was written.
    pub(super) fn written(&mut self, key: &ObjectKey, now: Instant) {
        self.written.insert(key.clone(), now);
    }

    /// What is to be written now, the good news first.
    pub(super) fn due(
        &mut self,
        statements: &BTreeMap<ObjectKey, Statement>,
        stated: impl Fn(&ObjectKey) -> Option<Statement>,
        settle: Duration,
        now: Instant,
    ) -> Vec<ObjectKey> {
        self.since.retain(|key, _| statements.contains_key(key));
        self.written.retain(|key, _| statements.contains_key(key));
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for (key, statement) in statements {
            let stated = stated(key);
            if stated.as_ref() == Some(statement) {
                self.since.remove(key);
                continue;
            }
            if statement.status == Status::True {
                self.since.remove(key);
                good.push(key.clone());
                continue;
            }
            let since = *self.since.entry(key.clone()).or_insert(now);
            let waited = now.duration_since(since) >= settle.max(SETTLE);
            let renamed = stated.is_some_and(|of| of.status == statement.status);
            let written = self.written.get(key);
            let early = renamed && written.is_some_and(|at| now.duration_since(*at) < RENAME);
            if waited && !early {
                bad.push(key.clone());
            }
        }
        good.append(&mut bad);
        good
    }
}
