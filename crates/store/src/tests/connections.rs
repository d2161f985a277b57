use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::script::{
    Answer, Asked, End, Followed, Log, bookmark, event, list, options, refuse, scripted, seconds,
};
use crate::{Client, Options};

/// What URLs say instead of what they should.
type Wrong = Arc<Mutex<BTreeMap<usize, fn() -> Answer>>>;

/// Three URLs that answer unless they are `away`; a table at version 10, bookmarks each minute.
struct Three {
    client: Client,
    away: Wrong,
    log: Log,
}

async fn three() -> Three {
    let away = Wrong::default();
    let log = Log::default();
    let client = scripted(3, options(), {
        let (away, log) = (Arc::clone(&away), log.clone());
        move |asked| {
            log.keep(&asked, Asked::is_watch);
            if let Some(answer) = away.lock().unwrap().get(&asked.url) {
                return answer();
            }
            if asked.is_probe() {
                return Answer::Say(200, serde_json::json!({}));
            }
            if asked.is_watch() {
                let marks = (11..100).map(|version| (seconds(60), bookmark(version)));
                return Answer::Lines(marks.collect(), End::Never);
            }
            list(10, "", &[("a", "1")])
        }
    })
    .await;
    Three { client, away, log }
}

impl Three {
    fn index(&self) -> usize {
        self.client.endpoint().borrow().index
    }

    fn set(&self, url: usize, answer: fn() -> Answer) {
        self.away.lock().unwrap().insert(url, answer);
    }

    fn back(&self, url: usize) {
        self.away.lock().unwrap().remove(&url);
    }

    async fn until(&self, index: usize, limit: Duration) -> Duration {
        let start = Instant::now();
        while self.index() != index {
            assert!(start.elapsed() < limit, "URL {} is in use", self.index());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        start.elapsed()
    }
}

#[tokio::test(start_paused = true)]
async fn watches_go_on_at_the_next_url_within_half_a_minute_whatever_is_wrong_with_the_first() {
    let wrong: [fn() -> Answer; 5] = [
        || Answer::Silence,
        || Answer::Refuse,
        || refuse(401, "Unauthorized"),
        || refuse(503, "shutting down"),
        // As somebody says who stands before the server and does not know its forms.
        || Answer::Say(502, serde_json::json!({})),
    ];
    for answer in wrong {
        let three = three().await;
        let followed = Followed::guarded(&three.client);
        followed.until("a=1", seconds(1)).await;
        tokio::time::sleep(seconds(63)).await;
        let lost = Instant::now();
        three.set(0, answer);
        three.set(1, answer);
        three.until(2, seconds(30)).await;
        tokio::time::sleep(seconds(1)).await;
        let watches = three.log.all(|of| of.is_watch() && of.url == 2);
        let first = watches.first().expect("the watch goes on there");
        assert_eq!(first.of("resourceVersion"), "11", "from where it was");
        assert!(first.at - lost < seconds(30), "{:?}", first.at - lost);
        assert_eq!(three.log.count(Asked::is_list), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_url_is_returned_to_once_it_keeps_answering() {
    let three = three().await;
    let _followed = Followed::guarded(&three.client);
    tokio::time::sleep(seconds(5)).await;
    three.set(0, || Answer::Refuse);
    three.until(1, seconds(30)).await;
    // Now here, now gone: no place to go to.
    for _ in 0..20 {
        three.back(0);
        tokio::time::sleep(seconds(50)).await;
        three.set(0, || Answer::Refuse);
        tokio::time::sleep(seconds(70)).await;
        assert_eq!(three.index(), 1);
    }
    three.back(0);
    let took = three.until(0, seconds(200)).await;
    assert!(took > seconds(60), "{took:?}");
    assert_eq!(three.log.count(Asked::is_list), 1, "no list for all of it");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_starts_while_its_first_url_is_dead_is_at_the_next_one_at_once() {
    let three = three().await;
    three.set(0, || Answer::Refuse);
    let followed = Followed::guarded(&three.client);
    followed.until("a=1", seconds(5)).await;
    assert_eq!(three.index(), 1);
}

#[tokio::test(start_paused = true)]
async fn while_no_url_answers_looks_become_rare_and_nothing_is_turned() {
    let three = three().await;
    for url in 0..3 {
        three.set(url, || Answer::Refuse);
    }
    let stop = CancellationToken::new();
    tokio::spawn({
        let (client, stop) = (three.client.clone(), stop.clone());
        async move { client.guard(stop).await }
    });
    let start = Instant::now();
    tokio::time::sleep(seconds(3600)).await;
    let looks = three.log.count(|asked| asked.at > start + seconds(60));
    assert!((300..720).contains(&looks), "{looks} looks at three URLs");
    assert_eq!(three.client.endpoint().borrow().attempt, 0);
    three.back(2);
    three.until(2, seconds(31)).await;
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn connections_that_died_in_silence_are_left_for_new_ones_to_the_same_server() {
    let log = Log::default();
    let dead = Arc::new(Mutex::new(false));
    let client = scripted(1, options(), {
        let (log, dead) = (log.clone(), Arc::clone(&dead));
        move |asked| {
            log.keep(&asked, Asked::is_watch);
            if asked.connection == 0 && *dead.lock().unwrap() {
                return Answer::Silence;
            }
            match (asked.connection, asked.is_watch()) {
                _ if asked.is_probe() => Answer::Say(200, serde_json::json!({})),
                (_, false) => list(10, "", &[("a", "1")]),
                (0, true) => Answer::Lines(vec![], End::Never),
                (_, true) => Answer::Lines(
                    vec![(seconds(0), event("MODIFIED", "a", "2", 20))],
                    End::Never,
                ),
            }
        }
    })
    .await;
    let followed = Followed::guarded(&client);
    followed.until("a=1", seconds(1)).await;
    *dead.lock().unwrap() = true;
    followed.until("a=2", seconds(25)).await;
    assert_eq!(log.count(Asked::is_list), 1);
}

#[test]
fn the_nodes_of_a_cluster_share_its_servers_and_those_of_one_that_fails_share_the_others() {
    let mut orders: BTreeMap<Vec<String>, usize> = BTreeMap::new();
    for node in 0..1200 {
        let mut options = Options::named("test");
        options.urls = (0..3).map(|n| format!("https://10.0.0.{n}:6443")).collect();
        let mut again = options.clone();
        again.urls.reverse();
        options.order_for(&format!("node-{node}"));
        again.order_for(&format!("node-{node}"));
        assert_eq!(options.urls, again.urls, "the node's own order");
        *orders.entry(options.urls).or_default() += 1;
    }
    assert_eq!(orders.len(), 6, "all orders");
    for (order, nodes) in orders {
        assert!((150..250).contains(&nodes), "{nodes} nodes have {order:?}");
    }
}
