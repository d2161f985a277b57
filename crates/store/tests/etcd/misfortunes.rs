//! What is done to etcd: compacted, paused, wiped, restored from a backup. Every time all converges, and nothing is deleted
//! that its owner still wants.

use std::time::Duration;

use store::etcd::Own;

use super::world::{PATIENCE, World};

/// A node that has a key, and a reader that sees it.
async fn one_node(world: &World) -> (super::world::Node, reconcile::Table<String, String>) {
    let watched = world.mirror("own/");
    let node = world.node("a", Duration::from_mins(15));
    node.want([
        ("own/1", Own::Leased("one".into())),
        ("own/kept", Own::Protected("kept".into())),
    ]);
    world.until(&watched, |rows| rows.len() == 2).await;
    (node, watched)
}

/// Fails as soon as a reader misses a key.
fn never_missing(
    table: &reconcile::Table<String, String>,
    keys: &'static [&str],
) -> tokio::task::JoinHandle<()> {
    let table = table.clone();
    tokio::spawn(async move {
        let mut subscription = table.subscribe();
        loop {
            let now = table.snapshot();
            for key in keys {
                assert!(now.get(&(*key).to_owned()).is_some(), "{key} is missing");
            }
            subscription.changed().await;
        }
    })
}

#[tokio::test]
async fn after_all_keys_were_deleted_they_are_there_again_and_no_reader_missed_one() {
    let world = need!(World::start());
    let (_node, watched) = one_node(&world).await;
    let missed = never_missing(&watched, &["own/1", "own/kept"]);
    for key in ["own/1", "own/kept"] {
        world.etcd().delete(key).await.unwrap();
    }
    world.until_key("own/1", |value| value == Some("one")).await;
    world
        .until_key("own/kept", |value| value == Some("kept"))
        .await;
    tokio::time::sleep(PATIENCE.deleted * 2).await;
    assert!(!missed.is_finished(), "{:?}", missed.await);
}

#[tokio::test]
async fn after_etcd_lost_its_disk_the_keys_are_there_again_and_no_reader_missed_one() {
    let mut world = need!(World::start());
    // So that the new etcd is behind the old one.
    for number in 0..50 {
        world.etcd().put("else", &number.to_string()).await.unwrap();
    }
    let (_node, watched) = one_node(&world).await;
    world
        .etcd()
        .put("own/dead", "its owner is gone")
        .await
        .unwrap();
    world.until(&watched, |rows| rows.len() == 3).await;
    let missed = never_missing(&watched, &["own/1", "own/kept"]);
    world.server.wipe().unwrap();
    world.until_key("own/1", |value| value == Some("one")).await;
    world
        .until_key("own/kept", |value| value == Some("kept"))
        .await;
    assert!(
        watched.get(&"own/dead".to_owned()).is_some(),
        "its owner may come"
    );
    world.until(&watched, |rows| rows.len() == 2).await;
    assert!(!missed.is_finished(), "{:?}", missed.await);
}

#[tokio::test]
async fn after_a_restore_what_was_deleted_since_the_backup_goes_and_what_came_since_stays() {
    let mut world = need!(World::start());
    let (node, watched) = one_node(&world).await;
    world.server.back_up().unwrap();
    // Since the backup one address went, and another came.
    let kept = || ("own/kept", Own::Protected("kept".into()));
    node.want([("own/2", Own::Leased("two".into())), kept()]);
    world
        .until(&watched, |rows| {
            rows.len() == 2 && rows.contains_key("own/2")
        })
        .await;
    for number in 0..50 {
        world.etcd().put("else", &number.to_string()).await.unwrap();
    }
    let missed = never_missing(&watched, &["own/2", "own/kept"]);
    tokio::time::sleep(Duration::from_millis(300)).await;
    world.server.restore().unwrap();
    world.until_key("own/2", |value| value == Some("two")).await;
    // It came back with the backup, under a lease that is prolonged no more.
    world.until_key("own/1", |value| value.is_none()).await;
    world
        .until(&watched, |rows| {
            rows.len() == 2 && rows.contains_key("own/2")
        })
        .await;
    assert!(!missed.is_finished(), "{:?}", missed.await);
}

#[tokio::test]
async fn after_a_pause_and_a_restart_nothing_is_missing() {
    let mut world = need!(World::start());
    let (_node, watched) = one_node(&world).await;
    let missed = never_missing(&watched, &["own/1", "own/kept"]);
    world.server.pause(true).unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    world.server.pause(false).unwrap();
    world.etcd().put("own/new", "after the pause").await.ok();
    world.until_key("own/new", |value| value.is_some()).await;
    world
        .until(&watched, |rows| rows.contains_key("own/new"))
        .await;
    world.server.kill().unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    world.server.run().unwrap();
    world.until_key("own/new", |value| value.is_some()).await;
    world
        .etcd()
        .put("own/newer", "after the restart")
        .await
        .ok();
    world.until_key("own/newer", |value| value.is_some()).await;
    world
        .until(&watched, |rows| rows.contains_key("own/newer"))
        .await;
    assert!(!missed.is_finished(), "{:?}", missed.await);
}

#[tokio::test]
async fn a_reader_whose_revision_was_compacted_lists_again_and_sees_what_it_missed() {
    let mut world = need!(World::start());
    let (_node, watched) = one_node(&world).await;
    world.etcd().put("own/old", "will go").await.unwrap();
    world
        .until(&watched, |rows| rows.contains_key("own/old"))
        .await;
    // The reader's connection is away while etcd goes on and forgets.
    let missed = never_missing(&watched, &["own/1", "own/kept"]);
    world.server.elsewhere(true).unwrap();
    let hidden = super::world::client(&world.server);
    hidden.delete("own/old").await.unwrap();
    hidden.put("own/new", "came").await.unwrap();
    for number in 0..10 {
        hidden.put("else", &number.to_string()).await.unwrap();
    }
    let last = hidden.get("else").await.unwrap().unwrap().revision;
    world.server.compact(last).unwrap();
    world.server.elsewhere(false).unwrap();
    world
        .until(&watched, |rows| {
            rows.contains_key("own/new") && !rows.contains_key("own/old")
        })
        .await;
    assert!(!missed.is_finished(), "{:?}", missed.await);
}

#[tokio::test]
async fn the_lease_that_ended_while_etcd_stood_still_is_replaced() {
    let world = need!(World::start());
    let watched = world.mirror("own/");
    let node = world.node("a", Duration::from_secs(2));
    node.want([("own/1", Own::Leased("one".into()))]);
    world.until(&watched, |rows| rows.len() == 1).await;
    let before = node.lease.get().await;
    let missed = never_missing(&watched, &["own/1"]);
    world.server.pause(true).unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    world.server.pause(false).unwrap();
    world.until_key("own/1", |value| value == Some("one")).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let now = node.lease.get().await;
    assert_ne!(now, before, "the old one is over");
    let found = world.etcd().get("own/1").await.unwrap();
    assert_eq!(found.map(|pair| pair.lease), Some(now));
    assert!(!missed.is_finished(), "{:?}", missed.await);
}
