//! What the loop knows: the desired rows, the shadow of the real ones, and the keys that need a step. No waiting here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::plan::{self, Actual, Plan, Prune, Step};
use crate::status::{State, Status};
use crate::table::{Changes, Key, Revision, Snapshot, Value};

/// Tries of a key that failed.
#[derive(Debug, Clone, Copy)]
struct Retry {
    failures: u32,
    /// `None` = it is queued or under way again.
    due: Option<Instant>,
}

/// A full fetch under way.
#[derive(Debug)]
struct Pass<K> {
    seen: BTreeSet<K>,
    /// Keys changed by a step during the pass: what a slice says about them may be old.
    touched: BTreeSet<K>,
}

pub(super) struct Work<K, V> {
    desired: Snapshot<K, V>,
    seen: Revision,
    shadow: BTreeMap<K, Arc<V>>,
    doubtful: BTreeSet<K>,
    puts: BTreeSet<K>,
    deletes: BTreeSet<K>,
    under_way: BTreeSet<K>,
    retries: BTreeMap<K, Retry>,
    due: BTreeSet<(Instant, K)>,
    pass: Option<Pass<K>>,
    fetch_failures: u32,
    backoff: Backoff,
    rng: SmallRng,
    status: Status<K>,
}

impl<K: Key, V: Value> Work<K, V> {
    pub(super) fn new(name: &'static str, desired: Snapshot<K, V>, backoff: Backoff) -> Self {
        Self {
            desired,
            seen: 0,
            shadow: BTreeMap::new(),
            doubtful: BTreeSet::new(),
            puts: BTreeSet::new(),
            deletes: BTreeSet::new(),
            under_way: BTreeSet::new(),
            retries: BTreeMap::new(),
            due: BTreeSet::new(),
            pass: None,
            fetch_failures: 0,
            backoff,
            rng: SmallRng::from_os_rng(),
            status: Status::new(name),
        }
    }

    pub(super) fn status(&self) -> &Status<K> {
        &self.status
    }

    /// Whether the real state was read once; before that no step is started.
    pub(super) fn knows_reality(&self) -> bool {
        self.status.fetches > 0
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// The steps that wait, in the order in which they will be started.
    pub(super) fn plan(&self) -> Plan<K, V> {
        let keys = self.puts.iter().chain(&self.deletes);
        Plan {
            steps: keys.filter_map(|key| self.step(key)).collect(),
        }
    }

    fn prune(&self) -> Prune {
        if self.desired.is_initialized() {
            Prune::Yes
        } else {
            Prune::NotYet
        }
    }

    fn step(&self, key: &K) -> Option<Step<K, V>> {
        let actual = if self.doubtful.contains(key) {
            Actual::Doubtful
        } else {
            self.shadow.get(key).map_or(Actual::Absent, Actual::Present)
        };
        plan::step(
            key,
            self.desired.get_shared(key).as_ref(),
            actual,
            self.prune(),
        )
    }

    /// Takes in what changed in the desired table.
    pub(super) fn absorb(&mut self, snapshot: Snapshot<K, V>, now: Instant) {
        let became_initialized = snapshot.is_initialized() && !self.status.initialized;
        if snapshot.revision() == self.seen && !became_initialized {
            return;
        }
        let changes = snapshot.changes_since(self.seen);
        self.seen = snapshot.revision();
        self.status.seen = self.seen;
        self.status.initialized = snapshot.is_initialized();
        self.desired = snapshot;
        match changes {
            Changes::Since(changes) => {
                for change in changes {
                    self.forget_wait(&change.key);
                    self.consider(&change.key, now);
                }
            }
            Changes::Everything => {
                let keys: Vec<K> = self.desired.keys().cloned().collect();
                self.consider_all(keys, now);
                self.consider_known(now);
            }
        }
        if became_initialized {
            self.consider_known(now);
        }
    }

    fn consider_known(&mut self, now: Instant) {
        let keys: BTreeSet<K> = self.shadow.keys().chain(&self.doubtful).cloned().collect();
        self.consider_all(keys, now);
    }

    fn consider_all(&mut self, keys: impl IntoIterator<Item = K>, now: Instant) {
        for key in keys {
            self.consider(&key, now);
        }
    }

    /// Queues the step that a key needs now, or settles it.
    fn consider(&mut self, key: &K, now: Instant) {
        self.puts.remove(key);
        self.deletes.remove(key);
        if self.under_way.contains(key)
            || self
                .retries
                .get(key)
                .is_some_and(|retry| retry.due.is_some())
        {
            return;
        }
        let queue = match self.step(key) {
            None => return self.settle(key, now),
            Some(Step::Delete { .. }) => &mut self.deletes,
            Some(_) => &mut self.puts,
        };
        queue.insert(key.clone());
        let retries = self.retries.get(key).map_or(0, |retry| retry.failures);
        // A failed key stays failed, with its message, until a step succeeds.
        if retries == 0 {
            self.status.set(key, State::Pending, 0, now);
        }
    }

    fn settle(&mut self, key: &K, now: Instant) {
        self.retries.remove(key);
        if self.desired.get(key).is_some() {
            self.status.set(key, State::Done, 0, now);
        } else {
            self.status.clear(key);
        }
    }

    /// A new input is tried at once, whatever the old one is waiting for.
    fn forget_wait(&mut self, key: &K) {
        if let Some(retry) = self.retries.get_mut(key)
            && let Some(due) = retry.due.take()
        {
            self.due.remove(&(due, key.clone()));
        }
    }

    /// Queues the keys whose wait is over.
    pub(super) fn release_due(&mut self, now: Instant) {
        while let Some((due, key)) = self.due.pop_first() {
            if due > now {
                self.due.insert((due, key));
                return;
            }
            if let Some(retry) = self.retries.get_mut(&key) {
                retry.due = None;
            }
            self.consider(&key, now);
        }
    }

    /// The next step to start.
    pub(super) fn next_step(&mut self, now: Instant) -> Option<Step<K, V>> {
        if !self.knows_reality() {
            return None;
        }
        loop {
            let key = self.puts.pop_first().or_else(|| self.deletes.pop_first())?;
            let Some(step) = self.step(&key) else {
                self.settle(&key, now);
                continue;
            };
            self.under_way.insert(key);
            return Some(step);
        }
    }

    /// Takes in the result of a step.
    pub(super) fn finish(&mut self, step: &Step<K, V>, result: Result<(), String>, now: Instant) {
        let key = step.key();
        self.under_way.remove(key);
        if let Some(pass) = &mut self.pass {
            pass.touched.insert(key.clone());
        }
        match result {
            Ok(()) => {
                self.doubtful.remove(key);
                match step.to() {
                    Some(to) => self.shadow.insert(key.clone(), Arc::clone(to)),
                    None => self.shadow.remove(key),
                };
                self.retries.remove(key);
                self.consider(key, now);
            }
            Err(message) => {
                self.doubtful.insert(key.clone());
                let failures = self.retries.get(key).map_or(0, |retry| retry.failures) + 1;
                let due = now + self.backoff.after(failures, &mut self.rng);
                self.retries.insert(
                    key.clone(),
                    Retry {
                        failures,
                        due: Some(due),
                    },
                );
                self.due.insert((due, key.clone()));
                self.status.set(
                    key,
                    State::Failed {
                        message: message.into(),
                    },
                    failures,
                    now,
                );
            }
        }
    }

    /// Begins a full fetch; one that was under way is forgotten.
    pub(super) fn begin_pass(&mut self) {
        self.pass = Some(Pass {
            seen: BTreeSet::new(),
            touched: self.under_way.clone(),
        });
    }

    /// Believes what a slice says, except about keys that were changed meanwhile.
    pub(super) fn adopt(&mut self, entries: Vec<(K, V)>, now: Instant) {
        let first = !self.knows_reality();
        for (key, value) in entries {
            let under_way = self.under_way.contains(&key);
            let Some(pass) = &mut self.pass else { return };
            pass.seen.insert(key.clone());
            if under_way || pass.touched.contains(&key) {
                continue;
            }
            // Sharing the desired value keeps one copy in memory instead of two.
            let value = match self.desired.get_shared(&key) {
                Some(desired) if *desired == value => desired,
                _ => Arc::new(value),
            };
            let known = self.shadow.get(&key).is_some_and(|known| *known == value);
            self.status.drifted += u64::from(!known && !first);
            self.doubtful.remove(&key);
            self.shadow.insert(key.clone(), value);
            self.consider(&key, now);
        }
    }

    /// Ends a full fetch: what was not seen is not there.
    pub(super) fn end_pass(&mut self, now: Instant) {
        let Some(pass) = self.pass.take() else { return };
        let gone = |key: &&K| {
            !pass.seen.contains(*key)
                && !pass.touched.contains(*key)
                && !self.under_way.contains(*key)
        };
        let missing: BTreeSet<K> = self
            .shadow
            .keys()
            .chain(&self.doubtful)
            .filter(gone)
            .cloned()
            .collect();
        self.status.fetches += 1;
        self.status.fetch_error = None;
        self.fetch_failures = 0;
        for key in missing {
            self.status.drifted += u64::from(self.shadow.remove(&key).is_some());
            self.doubtful.remove(&key);
            self.consider(&key, now);
        }
    }

    /// Notes why a fetch failed, and forgets what it had read; says how long to wait.
    pub(super) fn fetch_failed(&mut self, message: &str) -> Duration {
        self.pass = None;
        self.fetch_failures += 1;
        self.status.fetch_error = Some(message.into());
        self.backoff.after(self.fetch_failures, &mut self.rng)
    }
}
