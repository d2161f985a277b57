//! The loop: wakes on a change and on a timer, and starts the steps that are due.

mod work;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::plan::{Plan, Step};
use crate::status::{self, StatusReader, StatusWriter};
use crate::table::{Subscription, Table, Wake};
use crate::target::{Fetched, Target};
use work::Work;

/// How a reconciler paces itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Steps under way at once. 1 also keeps the order of the plan; more keep a slow key from holding up others.
    pub concurrency: usize,
    /// A step that takes longer has failed.
    pub step_timeout: Duration,
    /// A slice of a full fetch that takes longer has failed.
    pub fetch_timeout: Duration,
    /// Pause between full fetches; between them the shadow is trusted.
    pub full_fetch_every: Duration,
    /// Pause between the slices of a full fetch (not of the first, for which everything waits).
    pub slice_pause: Duration,
    /// Waits between retries, of each key and of the fetch.
    pub backoff: Backoff,
    /// After the stop signal, steps under way may take this long to end.
    pub grace: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            concurrency: 1,
            step_timeout: Duration::from_secs(10),
            fetch_timeout: Duration::from_secs(30),
            full_fetch_every: Duration::from_mins(5),
            slice_pause: Duration::from_millis(100),
            backoff: Backoff::default(),
            grace: Duration::from_secs(2),
        }
    }
}

/// Asks a reconciler to read the real state again now. It carries no input: what is to be done follows from the tables.
#[derive(Debug, Clone)]
pub struct Trigger(Arc<Notify>);

impl Trigger {
    /// Starts a full fetch.
    pub fn activate(&self) {
        self.0.notify_one();
    }
}

/// Keeps one target equal to one table.
pub struct Reconciler<T: Target> {
    target: T,
    desired: Table<T::Key, T::Value>,
    options: Options,
    writer: StatusWriter<T::Key>,
    trigger: Arc<Notify>,
    work: Work<T::Key, T::Value>,
}

type FetchResult<T> =
    Result<Fetched<<T as Target>::Key, <T as Target>::Value, <T as Target>::Cursor>, String>;

impl<T: Target> Reconciler<T> {
    /// A reconciler that has not started, and the view on its status.
    pub fn new(
        name: &'static str,
        target: T,
        desired: Table<T::Key, T::Value>,
        options: Options,
    ) -> (Self, StatusReader<T::Key>) {
        let (writer, reader) = status::channel(name);
        let work = Work::new(name, desired.snapshot(), options.backoff);
        (
            Self {
                target,
                desired,
                options,
                writer,
                trigger: Arc::new(Notify::new()),
                work,
            },
            reader,
        )
    }

    /// A way to ask for a full fetch.
    pub fn trigger(&self) -> Trigger {
        Trigger(Arc::clone(&self.trigger))
    }

    /// What it would do now to the state it knows; for a look before [`Self::run`], after [`Self::fetch_all`].
    pub fn plan(&self) -> Plan<T::Key, T::Value> {
        self.work.plan()
    }

    /// Reads the whole real state once and changes nothing: a dry run, to be followed by [`Self::plan`].
    pub async fn fetch_all(&mut self) -> Result<(), T::Error> {
        self.work.absorb(self.desired.snapshot(), Instant::now());
        self.work.begin_pass();
        let mut from = None;
        loop {
            let slice = self.target.fetch(from.take()).await?;
            self.work.adopt(slice.entries, Instant::now());
            from = slice.next;
            if from.is_none() {
                self.work.end_pass(Instant::now());
                return Ok(());
            }
        }
    }

    /// Runs until the stop signal. Nothing is undone at the end: the world stays as it is.
    pub async fn run(self, stop: CancellationToken) {
        let Self {
            target,
            desired,
            options,
            writer,
            trigger,
            mut work,
        } = self;
        let mut subscription = Some(desired.subscribe());
        let mut steps = FuturesUnordered::new();
        // Holds at most one future, the slice under way; `pass_at` is set when there is none.
        let mut fetches = FuturesUnordered::new();
        let mut pass_at = Some(Instant::now());
        loop {
            let now = Instant::now();
            work.absorb(desired.snapshot(), now);
            work.release_due(now);
            while steps.len() < options.concurrency {
                let Some(step) = work.next_step(now) else {
                    break;
                };
                steps.push(apply(&target, step, options.step_timeout));
            }
            writer.publish(work.status());
            // A target that never waits would otherwise keep the thread for itself.
            tokio::task::coop::consume_budget().await;
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some((step, result)) = steps.next(), if !steps.is_empty() => work.finish(&step, result, Instant::now()),
                Some(result) = fetches.next(), if !fetches.is_empty() => match fetched::<T>(&mut work, &options, result) {
                    Next::Slice { from, at } => fetches.push(slice(&target, &options, Some(from), at)),
                    Next::Pass { at } => pass_at = Some(at),
                },
                () = until(pass_at) => {
                    pass_at = None;
                    work.begin_pass();
                    fetches.push(slice(&target, &options, None, Instant::now()));
                }
                () = trigger.notified() => {
                    fetches.clear();
                    pass_at = Some(Instant::now());
                }
                wake = changed(&mut subscription) => if wake == Wake::WriterGone { subscription = None },
                () = until(work.next_due()) => {}
            }
        }
        let finish = async {
            while let Some((step, result)) = steps.next().await {
                work.finish(&step, result, Instant::now());
            }
        };
        // What is not finished by then is found by the first fetch after the restart.
        let _ = timeout(options.grace, finish).await;
        writer.publish(work.status());
    }
}

/// What follows a slice.
enum Next<C> {
    /// The next slice of the same full fetch.
    Slice { from: C, at: Instant },
    /// Another full fetch, from its beginning.
    Pass { at: Instant },
}

/// Takes in one slice; says what comes next, and when.
fn fetched<T: Target>(
    work: &mut Work<T::Key, T::Value>,
    options: &Options,
    result: FetchResult<T>,
) -> Next<T::Cursor> {
    let now = Instant::now();
    let slice = match result {
        Ok(slice) => slice,
        Err(message) => {
            return Next::Pass {
                at: now + work.fetch_failed(&message),
            };
        }
    };
    work.adopt(slice.entries, now);
    let Some(from) = slice.next else {
        work.end_pass(now);
        return Next::Pass {
            at: now + options.full_fetch_every,
        };
    };
    // Everything waits for the first fetch.
    let pause = if work.knows_reality() {
        options.slice_pause
    } else {
        Duration::ZERO
    };
    Next::Slice {
        from,
        at: now + pause,
    }
}

async fn slice<T: Target>(
    target: &T,
    options: &Options,
    from: Option<T::Cursor>,
    at: Instant,
) -> FetchResult<T> {
    sleep_until(at).await;
    match timeout(options.fetch_timeout, target.fetch(from)).await {
        Ok(result) => result.map_err(|e| e.to_string()),
        Err(_) => Err(format!("no answer within {:?}", options.fetch_timeout)),
    }
}

async fn apply<T: Target>(
    target: &T,
    step: Step<T::Key, T::Value>,
    limit: Duration,
) -> (Step<T::Key, T::Value>, Result<(), String>) {
    let result = match timeout(limit, target.apply(&step)).await {
        Ok(result) => result.map_err(|e| e.to_string()),
        Err(_) => Err(format!("no answer within {limit:?}")),
    };
    (step, result)
}

async fn changed(subscription: &mut Option<Subscription>) -> Wake {
    match subscription {
        Some(subscription) => subscription.changed().await,
        None => std::future::pending().await,
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
