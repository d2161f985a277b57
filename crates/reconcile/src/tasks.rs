//! A group of named tasks that starts together and ends together, within a deadline.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, error};

/// Names of running tasks. A mutex and not a table: entries go in `Drop`, where nothing can be awaited or owned.
type Running = Arc<Mutex<BTreeMap<u64, &'static str>>>;

/// Tasks with one stop signal. When a task ends by itself while nobody asked for it, the whole group is stopped:
/// half an agent is worse than one that is restarted.
#[derive(Debug, Clone, Default)]
pub struct TaskGroup {
    stop: CancellationToken,
    tracker: TaskTracker,
    running: Running,
}

/// What happened at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// Every task returned before the deadline.
    Clean,
    /// These had not returned at the deadline; they were left behind.
    Overdue(Vec<&'static str>),
}

/// Removes its entry also when the task panics or is dropped.
struct Registration {
    running: Running,
    id: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.id);
    }
}

impl TaskGroup {
    /// An empty group.
    pub fn new() -> Self {
        Self::default()
    }

    /// The stop signal, for a part that has loops of its own.
    pub fn token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Runs a task that watches the stop signal itself and returns soon after it.
    /// Its return, or its panic, before the signal stops the group.
    pub fn spawn<F>(&self, name: &'static str, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let registration = self.register(name);
        let stop = self.stop.clone();
        let work = tokio::spawn(task(self.stop.clone()));
        self.tracker.spawn(async move {
            let _registration = registration;
            match work.await {
                Ok(()) if stop.is_cancelled() => debug!(task = name, "ended"),
                Ok(()) => {
                    error!(
                        task = name,
                        "task ended although nobody asked for it; stopping"
                    );
                    stop.cancel();
                }
                Err(failure) => {
                    error!(task = name, %failure, "task failed; stopping");
                    stop.cancel();
                }
            }
        });
    }

    /// Runs a task that may end at any time, and is dropped at its next await when the group stops.
    pub fn spawn_short(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let registration = self.register(name);
        let stop = self.stop.clone();
        self.tracker.spawn(async move {
            let _registration = registration;
            stop.run_until_cancelled(task).await;
        });
    }

    fn register(&self, name: &'static str) -> Registration {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let id = running.last_key_value().map_or(0, |(last, _)| last + 1);
        running.insert(id, name);
        Registration {
            running: Arc::clone(&self.running),
            id,
        }
    }

    /// Names of the tasks that are running.
    pub fn running(&self) -> Vec<&'static str> {
        self.running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .copied()
            .collect()
    }

    /// Waits until something asked the group to stop.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Asks every task to stop and waits for them, at most `deadline`.
    pub async fn shutdown(&self, deadline: Duration) -> Ended {
        self.stop.cancel();
        self.tracker.close();
        match tokio::time::timeout(deadline, self.tracker.wait()).await {
            Ok(()) => Ended::Clean,
            Err(_) => Ended::Overdue(self.running()),
        }
    }
}

#[cfg(test)]
mod tests;
