use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use api::kubernetes::{Namespace, ObjectMeta, Resource};
use reconcile::Table;
use serde::{Deserialize, Deserializer, Serialize};
use tokio_util::sync::CancellationToken;

use super::script::{
    Answer, Asked, End, Followed, Log, bookmark, list, options, refuse, rows, scripted, seconds,
};
use crate::{Scope, reflect};

#[tokio::test(start_paused = true)]
async fn a_page_that_has_expired_costs_a_whole_list_and_no_row() {
    let log = Log::default();
    let table: Arc<Mutex<Option<Table<String, String>>>> = Arc::default();
    let held = Arc::new(Mutex::new(Vec::new()));
    let client = scripted(1, options(), {
        let (log, table, held) = (log.clone(), Arc::clone(&table), Arc::clone(&held));
        move |asked| {
            if let Some(table) = &*table.lock().unwrap() {
                held.lock().unwrap().push(rows(table));
            }
            if asked.is_watch() {
                return match log.keep(&asked, Asked::is_watch) {
                    1 => Answer::Lines(vec![(seconds(30), bookmark(20))], End::Closed),
                    2 => refuse(410, "too old"),
                    _ => Answer::Lines(vec![], End::Never),
                };
            }
            match log.keep(&asked, Asked::is_list) {
                1 => list(10, "", &[("a", "1"), ("b", "1"), ("c", "1")]),
                2 => list(80, "next", &[("a", "2"), ("b", "2")]),
                3 => refuse(410, "the provided continue parameter is too old"),
                _ => list(90, "", &[("a", "3"), ("d", "3")]),
            }
        }
    })
    .await;
    let followed = Followed::start(&client);
    *table.lock().unwrap() = Some(followed.table.clone());
    followed.until("a=3 d=3", seconds(60)).await;
    let lists = log.all(Asked::is_list);
    let asked: Vec<(&str, &str)> = lists
        .iter()
        .map(|of| (of.of("limit"), of.of("continue")))
        .collect();
    assert_eq!(asked, [("500", ""), ("500", ""), ("500", "next"), ("", "")]);
    let held = held.lock().unwrap();
    let old = "a=1 b=1 c=1";
    // At two watches and three pages nothing has changed yet.
    assert_eq!(*held, ["?", old, old, old, old, old, "a=3 d=3"]);
}

#[tokio::test(start_paused = true)]
async fn a_page_that_fails_is_asked_for_again_and_not_those_before_it() {
    let log = Log::default();
    let client = scripted(1, options(), {
        let log = log.clone();
        move |asked| match log.keep(&asked, Asked::is_list) {
            _ if asked.is_watch() => Answer::Lines(vec![], End::Never),
            1 => list(10, "second", &[("a", "1")]),
            2 | 3 => refuse(500, "no"),
            4 => list(10, "third", &[("b", "1")]),
            _ => list(10, "", &[("c", "1")]),
        }
    })
    .await;
    let followed = Followed::start(&client);
    followed.until("a=1 b=1 c=1", seconds(5)).await;
    let lists = log.all(Asked::is_list);
    let tokens: Vec<&str> = lists.iter().map(|of| of.of("continue")).collect();
    assert_eq!(tokens, ["", "second", "second", "second", "third"]);
}

#[tokio::test(start_paused = true)]
async fn what_reads_like_an_empty_list_and_has_no_version_empties_nothing() {
    let log = Log::default();
    let client = scripted(1, options(), {
        let log = log.clone();
        move |asked| {
            if asked.is_watch() {
                return match log.keep(&asked, Asked::is_watch) {
                    1 => Answer::Lines(vec![(seconds(30), bookmark(20))], End::Closed),
                    2 => refuse(410, "too old"),
                    _ => Answer::Lines(vec![], End::Never),
                };
            }
            match log.keep(&asked, Asked::is_list) {
                1 => list(10, "", &[("a", "1")]),
                // As a proxy says that has lost its server.
                2..20 => Answer::Say(200, serde_json::json!({})),
                _ => list(90, "", &[("b", "2")]),
            }
        }
    })
    .await;
    let followed = Followed::start(&client);
    followed.until("a=1", seconds(1)).await;
    tokio::time::sleep(seconds(60)).await;
    assert_eq!(followed.rows(), "a=1");
    let lists = log.count(Asked::is_list);
    assert!((3..15).contains(&lists), "{lists} lists in a minute");
    followed.until("b=2", seconds(600)).await;
}

#[tokio::test(start_paused = true)]
async fn a_second_list_tells_of_differences_only() {
    let names: Vec<String> = (0..1000).map(|n| format!("n{n:04}")).collect();
    let log = Log::default();
    let client = scripted(1, options(), {
        let log = log.clone();
        move |asked| {
            if asked.is_watch() {
                return match log.keep(&asked, Asked::is_watch) {
                    1 => Answer::Lines(vec![(seconds(30), bookmark(20))], End::Closed),
                    2 => refuse(410, "too old"),
                    _ => Answer::Lines(vec![], End::Never),
                };
            }
            let mut all: Vec<(&str, &str)> = names.iter().map(|name| (&**name, "1")).collect();
            let version = if log.keep(&asked, Asked::is_list) == 1 {
                10
            } else {
                all[7].1 = "2";
                all.remove(500);
                all.push(("z", "1"));
                90
            };
            list(version, "", &all)
        }
    })
    .await;
    let followed = Followed::start(&client);
    tokio::time::sleep(seconds(20)).await;
    let before = followed.table.snapshot();
    assert_eq!(before.len(), 1000);
    tokio::time::sleep(seconds(30)).await;
    let reconcile::Changes::Since(changes) =
        followed.table.snapshot().changes_since(before.revision())
    else {
        panic!("too far behind");
    };
    let mut changed: Vec<String> = changes
        .iter()
        .map(|of| format!("{} {:?}", of.key, of.value))
        .collect();
    changed.sort();
    assert_eq!(
        changed,
        ["n0007 Some(\"2\")", "n0500 None", "z Some(\"1\")"]
    );
}

/// Objects that live, and how many did at once.
static LIVING: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

#[derive(Debug, PartialEq)]
struct Life;

impl Life {
    fn begin() -> Self {
        let now = LIVING.fetch_add(1, Ordering::Relaxed) + 1;
        MOST.fetch_max(now, Ordering::Relaxed);
        Self
    }
}

impl Default for Life {
    fn default() -> Self {
        Self::begin()
    }
}

impl Clone for Life {
    fn clone(&self) -> Self {
        Self::begin()
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        LIVING.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Serialize for Life {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

impl<'de> Deserialize<'de> for Life {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self::begin())
    }
}

/// A namespace that is counted while it lives.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Counted {
    metadata: ObjectMeta,
    #[serde(default)]
    life: Life,
}

impl Resource for Counted {
    const GROUP: &'static str = Namespace::GROUP;
    const VERSION: &'static str = Namespace::VERSION;
    const KIND: &'static str = Namespace::KIND;
    const PLURAL: &'static str = Namespace::PLURAL;
    const NAMESPACED: bool = Namespace::NAMESPACED;

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_list_of_ten_thousand_no_two_objects_are_in_memory_at_once_and_no_page_beside_the_next()
 {
    const PAGES: usize = 20;
    let made_rows = Arc::new(AtomicUsize::new(0));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let client = scripted(1, options(), {
        let (made_rows, seen) = (Arc::clone(&made_rows), Arc::clone(&seen));
        move |asked| {
            if asked.is_watch() {
                return Answer::Lines(vec![], End::Never);
            }
            let page: usize = asked.of("continue").parse().unwrap_or_default();
            let limit: usize = asked.of("limit").parse().unwrap();
            seen.lock()
                .unwrap()
                .push((page * limit, made_rows.load(Ordering::Relaxed)));
            let names: Vec<String> = (0..limit)
                .map(|n| format!("n{:05}", page * limit + n))
                .collect();
            let objects: Vec<(&str, &str)> = names.iter().map(|name| (&**name, "1")).collect();
            let next = page + 1;
            let token = if next < PAGES {
                next.to_string()
            } else {
                String::new()
            };
            list(10, &token, &objects)
        }
    })
    .await;
    let (writer, table) = Table::new("counted", &["counted"]);
    let stop = CancellationToken::new();
    let rows = move |of: Counted| {
        made_rows.fetch_add(1, Ordering::Relaxed);
        vec![(of.metadata.name, ())]
    };
    tokio::spawn(reflect(
        client,
        Scope::all(),
        "counted",
        writer,
        rows,
        stop.clone(),
    ));
    assert_eq!(table.until_initialized().await.len(), 10_000);
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), PAGES);
    for (before, made) in &*seen {
        assert_eq!(
            before, made,
            "every page was rows before the next was asked for"
        );
    }
    assert_eq!(MOST.load(Ordering::Relaxed), 1);
    assert_eq!(LIVING.load(Ordering::Relaxed), 0);
    stop.cancel();
}
