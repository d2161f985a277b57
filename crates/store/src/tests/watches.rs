use super::script::{
    Answer, Asked, End, Followed, Log, bookmark, event, list, options, refuse, scripted, seconds,
};

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_goes_on_from_the_version_of_the_last_event_or_bookmark() {
    let log = Log::default();
    let client = scripted(1, options(), {
        let log = log.clone();
        move |asked| match (asked.is_watch(), log.keep(&asked, Asked::is_watch)) {
            (false, _) => list(10, "", &[("a", "1")]),
            (_, 1) => Answer::Lines(
                vec![
                    (seconds(1), event("ADDED", "b", "2", 11)),
                    (seconds(30), bookmark(50)),
                ],
                End::Closed,
            ),
            (_, 2) => Answer::Lines(
                vec![(seconds(20), event("DELETED", "a", "1", 60))],
                End::Closed,
            ),
            _ => Answer::Lines(vec![(seconds(20), bookmark(70))], End::Never),
        }
    })
    .await;
    let followed = Followed::start(&client);
    followed.until("a=1 b=2", seconds(5)).await;
    followed.until("b=2", seconds(60)).await;
    tokio::time::sleep(seconds(10)).await;
    let versions: Vec<String> = log
        .all(Asked::is_watch)
        .iter()
        .map(|asked| asked.of("resourceVersion").to_owned())
        .collect();
    assert_eq!(versions, ["10", "50", "60"]);
    assert!(
        log.all(Asked::is_watch)
            .iter()
            .all(|asked| asked.of("allowWatchBookmarks") == "true"),
    );
    assert_eq!(log.count(Asked::is_list), 1, "no second list");
}

/// A server whose first watch lives for a while and ends by `expired`, whose second list has another content.
async fn expiring(
    log: &Log,
    expired: impl Fn(usize) -> Answer + Send + Sync + 'static,
) -> Followed {
    let client = scripted(1, options(), {
        let log = log.clone();
        move |asked| {
            if asked.is_watch() {
                return expired(log.keep(&asked, Asked::is_watch));
            }
            match log.keep(&asked, Asked::is_list) {
                1 => list(10, "", &[("a", "1"), ("b", "1")]),
                _ => list(90, "", &[("b", "2"), ("c", "2")]),
            }
        }
    })
    .await;
    Followed::start(&client)
}

#[tokio::test(start_paused = true)]
async fn a_version_too_old_at_the_start_of_a_watch_costs_one_list_and_no_row() {
    let log = Log::default();
    let followed = expiring(&log, |watch| match watch {
        1 => Answer::Lines(vec![(seconds(30), bookmark(20))], End::Closed),
        2 => refuse(410, "too old resource version: 20 (80)"),
        _ => Answer::Lines(vec![], End::Never),
    })
    .await;
    followed.until("a=1 b=1", seconds(1)).await;
    followed.until("b=2 c=2", seconds(40)).await;
    assert_eq!(log.count(Asked::is_list), 2);
    assert_eq!(log.all(Asked::is_watch)[2].of("resourceVersion"), "90");
}

#[tokio::test(start_paused = true)]
async fn a_version_too_old_in_the_stream_costs_one_list_and_no_row() {
    let log = Log::default();
    let followed = expiring(&log, |watch| match watch {
        1 => {
            let gone = serde_json::json!({ "type": "ERROR", "object": { "kind": "Status", "code": 410,
                "message": "too old resource version" } });
            Answer::Lines(vec![(seconds(30), gone)], End::Closed)
        }
        _ => Answer::Lines(vec![], End::Never),
    })
    .await;
    followed.until("a=1 b=1", seconds(1)).await;
    followed.until("b=2 c=2", seconds(40)).await;
    assert_eq!(log.count(Asked::is_list), 2);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_a_restored_server_has_not_reached_costs_a_list() {
    let log = Log::default();
    let followed = expiring(&log, |watch| match watch {
        1 => Answer::Lines(vec![(seconds(30), bookmark(9000))], End::Closed),
        2 => refuse(504, "Too large resource version: 9000, current: 90"),
        _ => Answer::Lines(vec![], End::Never),
    })
    .await;
    followed.until("a=1 b=1", seconds(1)).await;
    followed.until("b=2 c=2", seconds(40)).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_went_soon_after_the_list_and_came_back_without_its_history_is_listed_at_once()
 {
    let start = tokio::time::Instant::now();
    let log = Log::default();
    let client = scripted(1, options(), {
        let log = log.clone();
        move |asked| {
            let lists = log.keep(&asked, Asked::is_list);
            match (start.elapsed() < seconds(40), asked.is_watch()) {
                (_, false) if lists == 1 => list(10, "", &[("a", "1")]),
                (true, _) => Answer::Refuse,
                (false, true) if asked.of("resourceVersion") == "10" => refuse(410, "too old"),
                (false, true) => Answer::Lines(vec![], End::Never),
                (false, false) => list(90, "", &[("b", "1")]),
            }
        }
    })
    .await;
    let followed = Followed::start(&client);
    followed.until("b=1", seconds(120)).await;
    let back = log.all(|asked| asked.is_watch() && asked.at > start + seconds(40))[0].at;
    let listed = log.all(Asked::is_list)[1].at;
    assert!(
        listed - back <= seconds(5),
        "{:?} after it was back",
        listed - back
    );
}

#[tokio::test(start_paused = true)]
async fn versions_that_expire_at_once_are_no_reason_for_a_storm_of_lists() {
    let log = Log::default();
    let client = scripted(1, options(), {
        let log = log.clone();
        move |asked| {
            log.keep(&asked, Asked::is_list);
            if asked.is_watch() {
                return refuse(410, "too old resource version");
            }
            list(10, "", &[("a", "1")])
        }
    })
    .await;
    let followed = Followed::start(&client);
    tokio::time::sleep(seconds(600)).await;
    let lists = log.count(Asked::is_list);
    assert!((20..60).contains(&lists), "{lists} lists in ten minutes");
    assert_eq!(followed.rows(), "a=1");
}

#[tokio::test(start_paused = true)]
async fn watches_that_end_at_once_do_not_spin() {
    let log = Log::default();
    let client = scripted(1, options(), {
        let log = log.clone();
        move |asked| {
            log.keep(&asked, Asked::is_list);
            if asked.is_watch() {
                return Answer::Lines(vec![], End::Closed);
            }
            list(10, "", &[("a", "1")])
        }
    })
    .await;
    let followed = Followed::start(&client);
    tokio::time::sleep(seconds(600)).await;
    let watches = log.count(Asked::is_watch);
    assert!(
        (20..60).contains(&watches),
        "{watches} watches in ten minutes"
    );
    assert_eq!(log.count(Asked::is_list), 1);
    assert_eq!(followed.rows(), "a=1");
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_falls_silent_is_begun_anew_and_after_a_second_silence_the_list() {
    let log = Log::default();
    let client = scripted(1, options(), {
        let log = log.clone();
        move |asked| match (asked.is_watch(), log.keep(&asked, Asked::is_watch)) {
            (true, 1) => Answer::Lines(vec![(seconds(60), bookmark(20))], End::Never),
            (true, _) => Answer::Lines(vec![], End::Never),
            (false, 0) => list(10, "", &[("a", "1")]),
            (false, _) => list(5, "", &[("b", "2")]),
        }
    })
    .await;
    let followed = Followed::start(&client);
    followed.until("a=1", seconds(1)).await;
    followed.until("b=2", seconds(60 + 3 * 130 + 6)).await;
    let watches = log.all(Asked::is_watch);
    let versions: Vec<&str> = watches.iter().map(|of| of.of("resourceVersion")).collect();
    assert_eq!(versions[..3], ["10", "20", "20"]);
    let gaps: Vec<u64> = watches
        .windows(2)
        .map(|pair| (pair[1].at - pair[0].at).as_secs())
        .collect();
    assert_eq!(gaps[..2], [190, 130], "each within 130 s of the last line");
    assert_eq!(log.count(Asked::is_list), 2);
}

#[tokio::test(start_paused = true)]
async fn bookmarks_keep_a_watch_alive_and_the_server_that_forgets_its_end_is_reminded() {
    let log = Log::default();
    let client = scripted(1, options(), {
        let log = log.clone();
        move |asked| {
            log.keep(&asked, Asked::is_watch);
            if asked.is_watch() {
                let marks = (11..1000).map(|version| (seconds(60), bookmark(version)));
                return Answer::Lines(marks.collect(), End::Never);
            }
            list(10, "", &[("a", "1")])
        }
    })
    .await;
    let _followed = Followed::start(&client);
    tokio::time::sleep(seconds(3600)).await;
    let watches = log.all(Asked::is_watch);
    for pair in watches.windows(2) {
        let lived = (pair[1].at - pair[0].at).as_secs();
        assert!((240..=310).contains(&lived), "{lived} s");
    }
    assert!((11..=15).contains(&watches.len()), "{}", watches.len());
    assert_eq!(log.count(Asked::is_list), 1);
}

#[tokio::test(start_paused = true)]
async fn who_is_not_known_any_more_keeps_what_he_has_and_asks_no_more_often_than_others() {
    let log = Log::default();
    let client = scripted(1, options(), {
        let log = log.clone();
        move |asked| match (asked.is_watch(), log.keep(&asked, Asked::is_watch)) {
            (false, _) => list(10, "", &[("a", "1")]),
            (true, 1) => Answer::Lines(vec![(seconds(60), bookmark(20))], End::Closed),
            (true, number) if number < 30 => refuse(401, "Unauthorized"),
            (true, _) => Answer::Lines(
                vec![(seconds(1), event("MODIFIED", "a", "2", 30))],
                End::Never,
            ),
        }
    })
    .await;
    let followed = Followed::start(&client);
    followed.until("a=1", seconds(1)).await;
    let start = tokio::time::Instant::now();
    followed.until("a=2", seconds(1200)).await;
    let took = start.elapsed().as_secs();
    assert!(took > 300, "28 refusals took {took} s");
    assert_eq!(log.count(Asked::is_list), 1, "nothing was listed again");
    assert_eq!(
        log.all(Asked::is_watch)[29].of("resourceVersion"),
        "20",
        "it goes on where it was"
    );
}

#[tokio::test(start_paused = true)]
async fn an_hour_without_a_server_takes_no_row_and_what_went_meanwhile_is_seen_within_half_a_minute()
 {
    let start = tokio::time::Instant::now();
    let log = Log::default();
    let client = scripted(1, options(), {
        let log = log.clone();
        move |asked| {
            log.keep(&asked, Asked::is_watch);
            let now = start.elapsed();
            let away = (seconds(100)..seconds(3700)).contains(&now);
            match (away, asked.is_watch()) {
                (true, _) => Answer::Refuse,
                (_, true) if asked.of("resourceVersion") == "10" && now > seconds(100) => {
                    refuse(410, "too old")
                }
                (_, true) if now < seconds(100) => {
                    Answer::Lines(vec![(seconds(100), bookmark(10))], End::Closed)
                }
                (_, true) => Answer::Lines(vec![], End::Never),
                (_, false) if now < seconds(100) => list(10, "", &[("a", "1"), ("b", "1")]),
                (_, false) => list(90, "", &[("b", "1"), ("c", "2")]),
            }
        }
    })
    .await;
    let followed = Followed::guarded(&client);
    followed.until("a=1 b=1", seconds(1)).await;
    let held = followed.table.snapshot().revision();
    tokio::time::sleep_until(start + seconds(3699)).await;
    assert_eq!(followed.rows(), "a=1 b=1");
    assert_eq!(
        followed.table.snapshot().revision(),
        held,
        "nobody was told of anything"
    );
    let asked = log.count(|asked| asked.at > start + seconds(200));
    assert!(
        asked < 2 * 3500 / 15,
        "{asked} requests while away, of reflector and guard together"
    );
    followed.until("b=1 c=2", seconds(36)).await;
    let reconcile::Changes::Since(changes) = followed.table.snapshot().changes_since(held) else {
        panic!("too far behind");
    };
    let mut changed: Vec<(&str, bool)> = changes
        .iter()
        .map(|change| (change.key.as_str(), change.value.is_some()))
        .collect();
    changed.sort_unstable();
    assert_eq!(changed, [("a", false), ("c", true)], "differences only");
}
