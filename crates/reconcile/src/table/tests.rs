use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Changes, Effect, Snapshot, Table, Wake};

fn since(snapshot: &Snapshot<u32, u32>, revision: u64) -> Vec<(u32, Option<u32>)> {
    let Changes::Since(changes) = snapshot.changes_since(revision) else {
        panic!("told to look at everything")
    };
    changes
        .into_iter()
        .map(|change| (change.key, change.value.map(|value| *value)))
        .collect()
}

#[test]
fn each_change_takes_the_next_revision_and_an_equal_write_takes_none() {
    let (mut writer, table) = Table::<u32, u32>::new("t", &[]);
    assert_eq!(writer.set(1, 10), Effect::Changed);
    assert_eq!(writer.set(1, 10), Effect::Unchanged);
    assert_eq!(writer.remove(&2), Effect::Unchanged);
    assert_eq!(table.snapshot().revision(), 1);
    assert_eq!(writer.set(1, 11), Effect::Changed);
    assert_eq!(writer.remove(&1), Effect::Changed);
    assert_eq!(table.snapshot().revision(), 3);
}

#[test]
fn a_snapshot_never_changes() {
    let (mut writer, table) = Table::<u32, u32>::new("t", &["s"]);
    writer.set(1, 10);
    let before = table.snapshot();
    writer.replace([(2, 20)]);
    writer.mark_initialized("s");
    assert_eq!(before.get(&1), Some(&10));
    assert_eq!(
        (before.len(), before.revision(), before.is_initialized()),
        (1, 1, false)
    );
    let after = table.snapshot();
    assert_eq!(
        (after.get(&1), after.get(&2), after.is_initialized()),
        (None, Some(&20), true)
    );
}

#[test]
fn changes_name_each_key_once_with_its_newest_value() {
    let (mut writer, table) = Table::<u32, u32>::new("t", &[]);
    writer.set(1, 10);
    writer.set(2, 20);
    writer.set(1, 11);
    writer.set(3, 30);
    writer.remove(&2);
    assert_eq!(
        since(&table.snapshot(), 0),
        [(1, Some(11)), (3, Some(30)), (2, None)]
    );
    assert_eq!(since(&table.snapshot(), 3), [(3, Some(30)), (2, None)]);
    assert_eq!(since(&table.snapshot(), 5), []);
}

#[test]
fn a_reader_that_slept_through_forgotten_deletions_is_told_to_look_at_everything() {
    let (mut writer, table) = Table::<u32, u32>::new("t", &[]);
    for key in 0..10_000 {
        writer.set(key, 0);
        writer.remove(&key);
    }
    assert_eq!(table.snapshot().changes_since(1), Changes::Everything);
    assert!(since(&table.snapshot(), 19_000).len() >= 500);
    assert_eq!(
        table.snapshot().changes_since(30_000),
        Changes::Everything,
        "a revision of another life"
    );
}

#[test]
fn a_table_is_initialized_when_its_last_source_is() {
    let (mut writer, table) = Table::<u32, u32>::new("t", &["a", "b"]);
    assert!(!table.snapshot().is_initialized());
    writer.mark_initialized("b");
    assert_eq!(table.snapshot().waiting_for().collect::<Vec<_>>(), ["a"]);
    writer.mark_initialized("a");
    assert!(table.snapshot().is_initialized());
    assert!(
        Table::<u32, u32>::new("t", &[])
            .1
            .snapshot()
            .is_initialized()
    );
}

#[tokio::test]
async fn a_batch_is_seen_as_one_and_wakes_once() {
    let (mut writer, table) = Table::<u32, u32>::new("t", &[]);
    let mut subscription = table.subscribe();
    assert_eq!(
        subscription.changed().await,
        Wake::Changed,
        "the first look is free"
    );
    let reader = table.clone();
    writer.write(|batch| {
        batch.set(1, 1);
        assert_eq!(reader.snapshot().len(), 0);
        batch.set(2, 2);
    });
    assert_eq!(table.snapshot().len(), 2);
    assert_eq!(subscription.changed().await, Wake::Changed);
    drop(writer);
    assert_eq!(subscription.changed().await, Wake::WriterGone);
}

#[tokio::test]
async fn waiting_for_initialized_ends_with_the_mark() {
    let (mut writer, table) = Table::<u32, u32>::new("t", &["a"]);
    let waiting = tokio::spawn(async move { table.until_initialized().await.is_initialized() });
    tokio::task::yield_now().await;
    writer.mark_initialized("a");
    assert!(waiting.await.unwrap());
}

proptest! {
    #[test]
    fn a_reader_that_follows_changes_knows_the_table(
        ops in prop::collection::vec((0_u32..20, prop::option::of(0_u32..3), any::<bool>()), 0..200)
    ) {
        let (mut writer, table) = Table::<u32, u32>::new("t", &[]);
        let mut mirror = BTreeMap::new();
        let mut seen = 0;
        let mut look = |mirror: &mut BTreeMap<u32, u32>| {
            let snapshot = table.snapshot();
            for (key, value) in since(&snapshot, seen) {
                match value {
                    Some(value) => mirror.insert(key, value),
                    None => mirror.remove(&key),
                };
            }
            seen = snapshot.revision();
        };
        for (key, value, look_now) in ops {
            match value {
                Some(value) => writer.set(key, value),
                None => writer.remove(&key),
            };
            if look_now {
                look(&mut mirror);
            }
        }
        look(&mut mirror);
        let truth: BTreeMap<u32, u32> = writer.snapshot().iter().map(|(&k, &v)| (k, v)).collect();
        prop_assert_eq!(mirror, truth);
    }
}
