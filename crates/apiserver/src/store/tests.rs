use std::sync::Arc;

use serde_json::json;

use super::{Change, Compacted, Durable, Key, Store};
use crate::config::HistoryLimit;
use crate::error::ApiError;

fn key(name: &str) -> Key {
    Key::new(Arc::from("pods"), "default", name)
}

fn limit(events: usize) -> HistoryLimit {
    HistoryLimit {
        events,
        bytes: 1 << 20,
    }
}

async fn put(store: &Store, name: &'static str) -> u64 {
    let write = store.write(Durable::Yes, move |transaction| {
        transaction.put(key(name), json!({"metadata": {"name": name}}), None)
    });
    let bytes = write.await.unwrap();
    let object: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    object["metadata"]["resourceVersion"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap()
}

#[tokio::test]
async fn what_was_written_is_there_after_reopening_and_the_revision_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), limit(10)).await.unwrap();
    let first = put(&store, "a").await;
    drop(store);
    let store = Store::open(directory.path(), limit(10)).await.unwrap();
    let found = store
        .read(|view| Ok((view.get(&key("a"))?, view.revision()?)))
        .await
        .unwrap();
    assert!(found.0.is_some());
    assert_eq!(found.1, first);
    assert_eq!(
        store.events_after(first - 1, 10).unwrap_err(),
        Compacted { oldest: first }
    );
    assert_eq!(put(&store, "b").await, first + 1);
}

#[tokio::test]
async fn a_failed_or_dry_write_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), limit(10)).await.unwrap();
    let before = *store.revisions().borrow();
    let failed: Result<(), ApiError> = store
        .write(Durable::Yes, |transaction| {
            transaction.put(key("a"), json!({"metadata": {}}), None)?;
            transaction.claim("ip/10.0.0.1", "default/a");
            Err(ApiError::bad_request("no"))
        })
        .await;
    assert_eq!(failed.unwrap_err().code(), 400);
    let dry = store.write(Durable::DryRun, |transaction| {
        transaction.put(key("b"), json!({"metadata": {}}), None)
    });
    dry.await.unwrap();
    let rest = store.write(Durable::Yes, |transaction| {
        let objects = transaction.scan(&Arc::from("pods"), None)?;
        Ok((objects.len(), transaction.claimed_by("ip/10.0.0.1")?))
    });
    assert_eq!(rest.await.unwrap(), (0, None));
    assert_eq!(*store.revisions().borrow(), before);
}

#[tokio::test]
async fn history_is_bounded_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), limit(2)).await.unwrap();
    let first = put(&store, "a").await;
    put(&store, "b").await;
    put(&store, "c").await;
    assert_eq!(
        store.events_after(first - 1, 10).unwrap_err(),
        Compacted { oldest: first }
    );
    let events = store.events_after(first, 10).unwrap();
    assert_eq!(
        events
            .iter()
            .map(|event| event.key.name.as_str())
            .collect::<Vec<_>>(),
        ["b", "c"]
    );
    assert!(events.iter().all(|event| event.change == Change::Added));
    assert_eq!(store.events_after(first, 1).unwrap().len(), 1);
}

#[tokio::test]
async fn a_scan_in_a_write_sees_its_own_changes() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), limit(10)).await.unwrap();
    put(&store, "a").await;
    put(&store, "b").await;
    let names = store.write(Durable::DryRun, |transaction| {
        let old = transaction.get(&key("a"))?.unwrap_or_default();
        transaction.remove(key("a"), old)?;
        transaction.put(key("c"), json!({"metadata": {}}), None)?;
        Ok(transaction
            .scan(&Arc::from("pods"), Some("default"))?
            .into_iter()
            .map(|(key, _)| key.name)
            .collect::<Vec<_>>())
    });
    assert_eq!(names.await.unwrap(), ["b", "c"]);
}
