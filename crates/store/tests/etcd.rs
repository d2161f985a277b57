//! The store over a real etcd: tables, keys of a node, identities, and what etcd's misfortunes do to them.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

/// The value, or the end of the test where there is no etcd.
macro_rules! need {
    ($value:expr) => {
        match $value {
            Some(value) => value,
            None => return,
        }
    };
}

#[path = "etcd/allocation.rs"]
mod allocation;
#[path = "etcd/login.rs"]
mod login;
#[path = "etcd/misfortunes.rs"]
mod misfortunes;
#[path = "etcd/world.rs"]
mod world;

use std::time::Duration;

use store::etcd::{Error, Own, server::Server};
use world::World;

#[tokio::test]
async fn a_table_is_what_is_under_its_prefix_and_follows_it() {
    let world = need!(World::start());
    let etcd = world.etcd();
    for number in 0..2500 {
        etcd.put(&format!("numbers/{number:04}"), "old")
            .await
            .unwrap();
    }
    etcd.put("number", "not below the prefix").await.unwrap();
    let table = world.mirror("numbers/");
    let listed = table.until_initialized().await;
    assert_eq!(listed.len(), 2500, "more than two pages");
    etcd.put("numbers/0007", "new").await.unwrap();
    etcd.put("numbers/more", "new").await.unwrap();
    etcd.delete("numbers/0008").await.unwrap();
    world
        .until(&table, |rows| {
            rows.len() == 2500
                && rows.get("numbers/0007").map(String::as_str) == Some("new")
                && rows.contains_key("numbers/more")
                && !rows.contains_key("numbers/0008")
        })
        .await;
}

#[tokio::test]
async fn keys_of_a_node_are_written_changed_and_deleted_and_end_with_its_lease() {
    let world = need!(World::start());
    let watched = world.mirror("own/");
    let node = world.node("a", Duration::from_secs(2));
    node.want([
        ("own/1", Own::Leased("one".into())),
        ("own/2", Own::Leased("two".into())),
    ]);
    world
        .until(&watched, |rows| rows.len() == 2 && rows["own/2"] == "two")
        .await;
    node.want([("own/1", Own::Leased("other".into()))]);
    world
        .until(&watched, |rows| rows.len() == 1 && rows["own/1"] == "other")
        .await;
    // It is prolonged: after twice its time the key is still there.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(world.etcd().get("own/1").await.unwrap().is_some());
    node.die().await;
    world
        .until(&watched, std::collections::BTreeMap::is_empty)
        .await;
}

#[tokio::test]
async fn a_node_that_starts_anew_keeps_what_it_wants_and_drops_what_it_wants_no_more() {
    let world = need!(World::start());
    let watched = world.mirror("own/");
    let ttl = Duration::from_mins(15);
    let node = world.node("a", ttl);
    node.want([
        ("own/1", Own::Leased("one".into())),
        ("own/2", Own::Leased("two".into())),
    ]);
    world.until(&watched, |rows| rows.len() == 2).await;
    node.die().await;
    let node = world.node("a", ttl);
    node.want([("own/1", Own::Leased("one".into()))]);
    world
        .until(&watched, |rows| {
            rows.len() == 1 && rows.contains_key("own/1")
        })
        .await;
    assert_eq!(world.losses_of("own/1"), 0, "it was never away");
}

#[tokio::test]
async fn what_somebody_else_has_taken_over_is_not_deleted() {
    let world = need!(World::start());
    let node = world.node("a", Duration::from_mins(15));
    node.want([
        ("own/1", Own::Leased("ours".into())),
        ("own/2", Own::Leased("x".into())),
    ]);
    world
        .until_key("own/1", |value| value == Some("ours"))
        .await;
    world.etcd().put("own/1", "theirs").await.unwrap();
    node.want([]);
    world.until_key("own/2", |value| value.is_none()).await;
    world
        .until_key("own/1", |value| value == Some("theirs"))
        .await;
}

#[tokio::test]
async fn a_protected_key_comes_back_and_another_value_of_it_is_left_alone() {
    let world = need!(World::start());
    let watched = world.mirror("own/");
    let node = world.node("a", Duration::from_mins(15));
    node.want([("own/1", Own::Protected("ours".into()))]);
    world.until(&watched, |rows| rows.len() == 1).await;
    world.etcd().delete("own/1").await.unwrap();
    world
        .until_key("own/1", |value| value == Some("ours"))
        .await;
    assert_eq!(watched.snapshot().len(), 1, "a reader never missed it");
    world.etcd().put("own/1", "theirs").await.unwrap();
    world.etcd().delete("own/2").await.unwrap();
    node.want([
        ("own/1", Own::Protected("ours".into())),
        ("own/3", Own::Leased("x".into())),
    ]);
    world.until_key("own/3", |value| value.is_some()).await;
    world
        .until_key("own/1", |value| value == Some("theirs"))
        .await;
}

#[tokio::test]
async fn a_silent_endpoint_is_left_for_one_that_answers() {
    need!(world::etcd());
    let (mut one, two) = (Server::start().unwrap(), Server::start().unwrap());
    // Two clusters of one member each: which of them answers can be seen.
    world::client(&one).put("who", "one").await.unwrap();
    world::client(&two).put("who", "two").await.unwrap();
    let options = world::quick(store::etcd::Options::at([one.url(), two.url()]));
    let etcd = store::etcd::Etcd::new(options).unwrap();
    let guarded = world::guard(&etcd);
    let first = etcd.get("who").await.unwrap().unwrap();
    let other = if first.text() == Some("one") {
        "two"
    } else {
        "one"
    };
    if other == "two" {
        one.pause(true).unwrap();
    } else {
        two.pause(true).unwrap();
    }
    let end = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        match etcd.get("who").await {
            Ok(Some(pair)) if pair.text() == Some(other) => break,
            _ => assert!(
                tokio::time::Instant::now() < end,
                "never turned to the other"
            ),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let health = etcd.health().borrow().clone();
    assert_eq!((health.connected, health.fault), (1, None));
    guarded.cancel();
    if other == "two" {
        one.kill().unwrap();
    }
}

#[tokio::test]
async fn only_a_client_with_a_certificate_is_served_and_only_a_known_server_is_believed() {
    need!(world::etcd());
    let folder = tempfile::tempdir().unwrap();
    let (server, client, stranger) = world::certificates(folder.path());
    let etcd = Server::with_tls(server).unwrap();
    let known = world::quick(store::etcd::Options {
        trusted_ca_file: Some(folder.path().join("ca.crt")),
        client: Some(client),
        ..store::etcd::Options::at([etcd.url()])
    });
    let ours = store::etcd::Etcd::new(known.clone()).unwrap();
    ours.put("a", "b").await.unwrap();
    assert_eq!(ours.get("a").await.unwrap().unwrap().text(), Some("b"));
    for options in [
        store::etcd::Options {
            client: None,
            ..known.clone()
        },
        store::etcd::Options {
            client: Some(stranger),
            ..known.clone()
        },
        store::etcd::Options {
            trusted_ca_file: Some(folder.path().join("stranger.crt")),
            ..known
        },
    ] {
        let refused = store::etcd::Etcd::new(options).unwrap().get("a").await;
        assert!(
            matches!(refused, Err(Error::Unanswered { .. })),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn etcd_is_unhealthy_when_the_heartbeat_stays_away_for_twice_its_period() {
    let world = need!(World::start());
    let beat = || {
        world.etcd().put(
            store::etcd::layout::HEARTBEAT,
            "Mon, 02 Jan 2006 15:04:05 UTC",
        )
    };
    let mut health = world.etcd().health();
    let healthy = |of: &store::etcd::Health| of.known && of.fault.is_none();
    // There is no operator yet: nothing is missed.
    tokio::time::sleep(world::HEARTBEAT * 3).await;
    assert!(healthy(&health.borrow()), "{:?}", health.borrow());
    for _ in 0..8 {
        beat().await.unwrap();
        tokio::time::sleep(world::HEARTBEAT / 2).await;
        assert!(healthy(&health.borrow()), "{:?}", health.borrow());
    }
    let begun = tokio::time::Instant::now();
    let unhealthy = health
        .wait_for(|of| of.fault.is_some())
        .await
        .unwrap()
        .clone();
    assert!(
        begun.elapsed() > world::HEARTBEAT,
        "too soon: {:?}",
        begun.elapsed()
    );
    let text = unhealthy.to_text();
    assert!(text.contains("since last heartbeat update"), "{text}");
    beat().await.unwrap();
    let again = health.wait_for(healthy).await.unwrap().to_text();
    assert!(
        again.contains("1/1 connected, has-quorum=true: http://127.0.0.1"),
        "{again}"
    );
}
