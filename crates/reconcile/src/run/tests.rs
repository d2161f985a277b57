use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{Options, Reconciler, Trigger};
use crate::plan::Step;
use crate::status::{State, StatusReader};
use crate::table::{Table, TableWriter};
use crate::target::{Fetched, Target};

#[derive(Debug, Clone, Copy, Default)]
struct Faults {
    /// Share of calls that fail; half of those have had their effect.
    percent: u32,
    /// This key always fails.
    bad: Option<u32>,
    /// This key never answers.
    stuck: Option<u32>,
}

struct World {
    rows: Mutex<BTreeMap<u32, u32>>,
    rng: Mutex<SmallRng>,
    faults: Mutex<Faults>,
    applied: Mutex<Vec<String>>,
    fetches: AtomicU64,
}

#[derive(Clone)]
struct FakeTarget(Arc<World>);

impl FakeTarget {
    fn new(rows: &[(u32, u32)], faults: Faults, seed: u64) -> Self {
        Self(Arc::new(World {
            rows: Mutex::new(rows.iter().copied().collect()),
            rng: Mutex::new(SmallRng::seed_from_u64(seed)),
            faults: Mutex::new(faults),
            applied: Mutex::new(Vec::new()),
            fetches: AtomicU64::new(0),
        }))
    }

    fn rows(&self) -> Vec<(u32, u32)> {
        self.0
            .rows
            .lock()
            .unwrap()
            .iter()
            .map(|(&k, &v)| (k, v))
            .collect()
    }

    fn faults(&self) -> Faults {
        *self.0.faults.lock().unwrap()
    }

    /// Whether a fault happens now, and if so whether before or after the effect.
    fn fault(&self) -> Option<bool> {
        let mut rng = self.0.rng.lock().unwrap();
        (rng.random_range(0..100) < self.faults().percent).then(|| rng.random())
    }

    fn change(&self, step: &Step<u32, u32>) {
        let mut rows = self.0.rows.lock().unwrap();
        match step.to() {
            Some(to) => rows.insert(*step.key(), **to),
            None => rows.remove(step.key()),
        };
    }
}

impl Target for FakeTarget {
    type Key = u32;
    type Value = u32;
    type Cursor = u32;
    type Error = &'static str;

    async fn fetch(&self, from: Option<u32>) -> Result<Fetched<u32, u32, u32>, &'static str> {
        if self.fault().is_some() {
            return Err("injected fetch fault");
        }
        self.0.fetches.fetch_add(1, Ordering::Relaxed);
        let rows = self.0.rows.lock().unwrap();
        let start = from.unwrap_or(0);
        let entries: Vec<_> = rows.range(start..).take(7).map(|(&k, &v)| (k, v)).collect();
        let next = entries
            .last()
            .map(|(k, _)| k + 1)
            .filter(|&k| rows.range(k..).next().is_some());
        Ok(Fetched { entries, next })
    }

    async fn apply(&self, step: &Step<u32, u32>) -> Result<(), &'static str> {
        let faults = self.faults();
        if faults.stuck == Some(*step.key()) {
            std::future::pending::<()>().await;
        }
        if faults.bad == Some(*step.key()) {
            return Err("this key is bad");
        }
        let fault = self.fault();
        if fault != Some(false) {
            self.change(step);
            self.0.applied.lock().unwrap().push(step.to_string());
        }
        if fault.is_some() {
            Err("injected fault")
        } else {
            Ok(())
        }
    }
}

struct Running {
    writer: TableWriter<u32, u32>,
    target: FakeTarget,
    status: StatusReader<u32>,
    trigger: Trigger,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

fn start(target: FakeTarget, options: Options, sources: &[&'static str]) -> Running {
    let (writer, table) = Table::new("numbers", sources);
    let (reconciler, status) = Reconciler::new("numbers", target.clone(), table, options);
    let trigger = reconciler.trigger();
    let stop = CancellationToken::new();
    let task = tokio::spawn(reconciler.run(stop.clone()));
    Running {
        writer,
        target,
        status,
        trigger,
        stop,
        task,
    }
}

impl Running {
    async fn settle(&self) {
        let revision = self.writer.snapshot().revision();
        timeout(Duration::from_hours(1), self.status.until_settled(revision))
            .await
            .unwrap()
            .unwrap();
    }

    fn desired(&self) -> Vec<(u32, u32)> {
        self.writer
            .snapshot()
            .iter()
            .map(|(&k, &v)| (k, v))
            .collect()
    }
}

#[tokio::test(start_paused = true)]
async fn with_one_call_in_ten_failing_the_world_still_becomes_what_the_table_says() {
    for seed in 0..40 {
        let before: Vec<_> = (0..50).map(|k| (k * 3, k)).collect();
        let target = FakeTarget::new(
            &before,
            Faults {
                percent: 10,
                ..Faults::default()
            },
            seed,
        );
        let options = Options {
            concurrency: 1 + seed as usize % 4,
            ..Options::default()
        };
        let mut running = start(target, options, &["source"]);
        let mut rng = SmallRng::seed_from_u64(seed);
        for round in 0..20 {
            for _ in 0..10 {
                let key = rng.random_range(0..150);
                if rng.random_bool(0.3) {
                    running.writer.remove(&key);
                } else {
                    running.writer.set(key, round);
                }
            }
            sleep(Duration::from_millis(rng.random_range(0..100))).await;
            if round == 10 {
                running.writer.mark_initialized("source");
            }
        }
        running.settle().await;
        assert_eq!(running.target.rows(), running.desired(), "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_deleted_before_every_source_is_initialized() {
    let target = FakeTarget::new(&[(1, 1), (2, 2), (3, 3)], Faults::default(), 0);
    let mut running = start(target, Options::default(), &["a", "b"]);
    running.writer.set(2, 20);
    running.writer.mark_initialized("a");
    running.settle().await;
    running.trigger.activate();
    sleep(Duration::from_secs(1000)).await;
    assert_eq!(running.target.rows(), [(1, 1), (2, 20), (3, 3)]);

    running.writer.mark_initialized("b");
    running
        .status
        .until(|status| status.initialized && status.pending == 0)
        .await
        .unwrap();
    assert_eq!(running.target.rows(), [(2, 20)]);
}

#[tokio::test(start_paused = true)]
async fn a_row_removed_from_the_table_before_it_is_initialized_stays_in_the_world() {
    let target = FakeTarget::new(&[], Faults::default(), 0);
    let mut running = start(target, Options::default(), &["a"]);
    running.writer.set(1, 1);
    running.settle().await;
    running.writer.remove(&1);
    running.settle().await;
    assert_eq!(running.target.rows(), [(1, 1)]);
    running.writer.mark_initialized("a");
    running
        .status
        .until(|status| status.initialized && status.pending == 0)
        .await
        .unwrap();
    assert_eq!(running.target.rows(), []);
}

#[tokio::test(start_paused = true)]
async fn one_bad_key_is_reported_with_its_retries_and_stops_no_other() {
    let target = FakeTarget::new(
        &[],
        Faults {
            bad: Some(0),
            ..Faults::default()
        },
        0,
    );
    let mut running = start(target, Options::default(), &[]);
    let begin = Instant::now();
    for key in 0..100 {
        running.writer.set(key, key);
    }
    running
        .status
        .until(|status| status.failed == 1 && status.pending == 0)
        .await
        .unwrap();
    assert!(
        begin.elapsed() < Duration::from_millis(1),
        "others waited {:?}",
        begin.elapsed()
    );
    assert_eq!(running.target.rows().len(), 99);

    sleep(Duration::from_mins(1)).await;
    let status = running.status.status();
    let bad = &status.keys[&0];
    assert_eq!(
        bad.state,
        State::Failed {
            message: "this key is bad".into()
        }
    );
    assert!(
        (8..30).contains(&bad.retries),
        "{} retries in 60 s",
        bad.retries
    );
    assert!(
        bad.since.elapsed() > Duration::from_secs(59),
        "the time of the first failure is kept"
    );
    let shown = status.report(Instant::now());
    assert!(shown.to_string().contains("  0 failed 60 s"), "{shown}");
    assert_eq!(
        serde_json::to_value(&shown).unwrap()["rows"][0]["message"],
        "this key is bad"
    );

    running.target.0.faults.lock().unwrap().bad = None;
    running.settle().await;
    assert_eq!(running.target.rows().len(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_never_answers_does_not_hold_up_the_others() {
    let target = FakeTarget::new(
        &[],
        Faults {
            stuck: Some(0),
            ..Faults::default()
        },
        0,
    );
    let options = Options {
        concurrency: 2,
        ..Options::default()
    };
    let mut running = start(target, options, &[]);
    let begin = Instant::now();
    for key in 0..50 {
        running.writer.set(key, key);
    }
    running
        .status
        .until(|status| status.seen == 50 && status.pending == 1)
        .await
        .unwrap();
    assert!(begin.elapsed() < Duration::from_millis(1));
    running
        .status
        .until(|status| status.failed == 1)
        .await
        .unwrap();
    assert!(begin.elapsed() >= options.step_timeout);
    let State::Failed { message } = running.status.status().keys[&0].state.clone() else {
        panic!()
    };
    assert_eq!(&*message, "no answer within 10s");
}

#[tokio::test(start_paused = true)]
async fn a_new_value_of_a_failed_key_is_tried_at_once() {
    let target = FakeTarget::new(
        &[],
        Faults {
            bad: Some(1),
            ..Faults::default()
        },
        0,
    );
    let mut running = start(target, Options::default(), &[]);
    running.writer.set(1, 1);
    sleep(Duration::from_mins(5)).await;
    running.target.0.faults.lock().unwrap().bad = None;
    let begin = Instant::now();
    let revision = running.writer.snapshot().revision() + 1;
    running.writer.set(1, 2);
    running.status.until_done(&1, revision).await.unwrap();
    assert!(begin.elapsed() < Duration::from_millis(1));
    assert_eq!(running.target.rows(), [(1, 2)]);
}

#[tokio::test(start_paused = true)]
async fn what_others_change_in_the_world_is_put_back_at_the_next_full_fetch() {
    let target = FakeTarget::new(&[], Faults::default(), 0);
    let mut running = start(target, Options::default(), &[]);
    for key in 0..30 {
        running.writer.set(key, key);
    }
    running.settle().await;
    {
        let mut rows = running.target.0.rows.lock().unwrap();
        rows.remove(&5);
        rows.insert(7, 700);
        rows.insert(99, 99);
    }
    sleep(Duration::from_secs(299)).await;
    assert_eq!(
        running.target.rows().len(),
        30,
        "the shadow is trusted in between"
    );
    running.trigger.activate();
    running
        .status
        .until(|status| status.fetches == 2 && status.pending == 0)
        .await
        .unwrap();
    assert_eq!(running.target.rows(), running.desired());
    assert_eq!(running.status.status().drifted, 3);
}

#[tokio::test(start_paused = true)]
async fn a_change_during_a_sliced_fetch_is_not_undone_by_an_old_slice() {
    let rows: Vec<_> = (0..100).map(|k| (k, k)).collect();
    let target = FakeTarget::new(&rows, Faults::default(), 0);
    let mut running = start(target, Options::default(), &["source"]);
    for (key, value) in rows {
        running.writer.set(key, value);
    }
    running.writer.mark_initialized("source");
    running.settle().await;
    running.trigger.activate();
    // 100 rows are 15 slices, 100 ms apart.
    for step in 0..14 {
        sleep(Duration::from_millis(100)).await;
        running.writer.set(step * 7, 1000 + step);
        running.writer.remove(&(99 - step * 7));
    }
    running
        .status
        .until(|status| status.fetches == 2 && status.pending == 0)
        .await
        .unwrap();
    running.settle().await;
    assert_eq!(running.target.rows(), running.desired());
    assert_eq!(running.status.status().drifted, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_right_already_is_not_touched() {
    let target = FakeTarget::new(&[(1, 1), (2, 2)], Faults::default(), 0);
    let (mut writer, table) = Table::new("numbers", &["source"]);
    writer.write(|batch| {
        batch.set(1, 1);
        batch.set(2, 2);
        batch.mark_initialized("source");
    });
    let (reconciler, status) =
        Reconciler::new("numbers", target.clone(), table, Options::default());
    let stop = CancellationToken::new();
    let task = tokio::spawn(reconciler.run(stop.clone()));
    status.until_settled(2).await.unwrap();
    stop.cancel();
    task.await.unwrap();
    assert_eq!(*target.0.applied.lock().unwrap(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn creations_come_before_deletions() {
    let target = FakeTarget::new(&[(1, 1), (2, 2)], Faults::default(), 0);
    let mut running = start(target, Options::default(), &[]);
    running.writer.set(9, 9);
    running.writer.set(2, 3);
    running.settle().await;
    assert_eq!(
        *running.target.0.applied.lock().unwrap(),
        ["~ 2 2 -> 3", "+ 9 9", "- 1"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_prints_the_plan_and_changes_nothing() {
    let target = FakeTarget::new(&[(1, 1), (2, 2)], Faults::default(), 0);
    let (mut writer, table) = Table::new("numbers", &[]);
    writer.set(2, 3);
    let (mut reconciler, _status) =
        Reconciler::new("numbers", target.clone(), table, Options::default());
    reconciler.fetch_all().await.unwrap();
    assert_eq!(reconciler.plan().to_string(), "~ 2 2 -> 3\n- 1\n");
    assert_eq!(target.rows(), [(1, 1), (2, 2)]);
}

#[tokio::test(start_paused = true)]
async fn stopping_undoes_nothing_and_waits_only_for_its_grace() {
    let target = FakeTarget::new(
        &[],
        Faults {
            stuck: Some(7),
            ..Faults::default()
        },
        0,
    );
    let mut running = start(
        target,
        Options {
            concurrency: 2,
            ..Options::default()
        },
        &[],
    );
    running.writer.set(1, 1);
    running.writer.set(7, 7);
    running.status.until_done(&1, 2).await.unwrap();
    let begin = Instant::now();
    running.stop.cancel();
    running.task.await.unwrap();
    assert_eq!(begin.elapsed(), Duration::from_secs(2));
    assert_eq!(running.target.rows(), [(1, 1)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn any_sequence_of_changes_ends_in_the_desired_state(
        before in prop::collection::btree_map(0_u32..40, 0_u32..4, 0..30),
        changes in prop::collection::vec((0_u32..40, prop::option::of(0_u32..4), 0_u64..60), 0..60),
        initialize_at in 0_usize..60,
        seed in any::<u64>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let before: Vec<_> = before.into_iter().collect();
            let target = FakeTarget::new(&before, Faults { percent: 20, ..Faults::default() }, seed);
            let mut running = start(target, Options { concurrency: 3, ..Options::default() }, &["source"]);
            for (n, (key, value, pause_ms)) in changes.into_iter().enumerate() {
                if n == initialize_at {
                    running.writer.mark_initialized("source");
                }
                match value {
                    Some(value) => running.writer.set(key, value),
                    None => running.writer.remove(&key),
                };
                sleep(Duration::from_millis(pause_ms)).await;
            }
            running.writer.mark_initialized("source");
            running.status.until(|status| status.initialized).await.unwrap();
            running.settle().await;
            prop_assert_eq!(running.target.rows(), running.desired());
            Ok(())
        })?;
    }
}
