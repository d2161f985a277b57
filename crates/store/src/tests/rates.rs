use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::kubernetes::Namespace;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::script::{
    Answer, Asked, End, Followed, Log, bookmark, list, options, refuse, scripted, seconds,
};
use crate::{Client, Pace, Scope};

#[tokio::test(start_paused = true)]
async fn requests_after_a_burst_come_at_the_rate() {
    let pace = Pace::new(10.0, 5.0);
    let start = tokio::time::Instant::now();
    for _ in 0..25 {
        pace.wait().await;
    }
    let took = start.elapsed();
    assert!(
        took >= Duration::from_millis(1900) && took <= Duration::from_millis(2200),
        "{took:?}"
    );
}

async fn ask(client: &Client) {
    let page = client.list_page::<Namespace>(&Scope::all(), 10, "").await;
    page.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_has_a_pace_of_his_own_does_not_queue_behind_others_and_keeps_to_it() {
    let mut slow = options();
    (slow.requests_per_second, slow.burst) = (0.1, 1.0);
    let client = scripted(1, slow, |_| list(1, "", &[])).await;
    let start = Instant::now();
    ask(&client).await;
    let queued = tokio::spawn({
        let client = client.clone();
        async move {
            for _ in 0..10 {
                ask(&client).await;
            }
        }
    });
    tokio::time::sleep(seconds(1)).await;
    // A node's pods come at once: three hundred wait for nobody, those after them for their turn.
    let quick = client.at_pace(100.0, 300.0);
    let begun = Instant::now();
    for _ in 0..300 {
        ask(&quick).await;
    }
    assert!(
        begun.elapsed() < Duration::from_millis(50),
        "{:?}",
        begun.elapsed()
    );
    for _ in 0..200 {
        ask(&quick).await;
    }
    let took = begun.elapsed().as_millis();
    assert!((1900..2200).contains(&took), "{took} ms");
    assert!(!queued.is_finished());
    queued.await.unwrap();
    let took = start.elapsed().as_secs();
    assert!(
        (99..=101).contains(&took),
        "the others got no slower: {took} s"
    );
}

#[tokio::test(start_paused = true)]
async fn starts_of_watches_are_requests_like_others() {
    let log = Log::default();
    let mut slow = options();
    (slow.requests_per_second, slow.burst) = (0.5, 1.0);
    let client = scripted(1, slow, {
        let log = log.clone();
        move |asked| {
            log.keep(&asked, Asked::is_watch);
            if asked.is_watch() {
                return Answer::Lines(vec![(seconds(0), bookmark(2))], End::Closed);
            }
            list(1, "", &[])
        }
    })
    .await;
    let _followed: Vec<Followed> = (0..20).map(|_| Followed::start(&client)).collect();
    tokio::time::sleep(seconds(200)).await;
    let asked = log.count(|_| true);
    assert!((98..=102).contains(&asked), "{asked} requests in 200 s");
}

#[tokio::test(start_paused = true)]
async fn who_is_told_to_come_later_comes_later_and_not_at_the_moment_of_all_others() {
    let log = Log::default();
    let answer = {
        let log = log.clone();
        move |asked: Asked| match (asked.is_watch(), log.keep(&asked, Asked::is_list)) {
            (true, _) => Answer::Lines(vec![], End::Never),
            (false, 1..=100) => Answer::Later(20),
            (false, _) => list(1, "", &[("a", "1")]),
        }
    };
    let answer = Arc::new(answer);
    let mut nodes = Vec::new();
    for _ in 0..100 {
        let answer = Arc::clone(&answer);
        let client = scripted(1, options(), move |asked| answer(asked)).await;
        nodes.push(Followed::start(&client));
    }
    let start = Instant::now();
    tokio::time::sleep(seconds(41)).await;
    assert!(nodes.iter().all(|node| node.rows() == "a=1"));
    let again = &log.all(Asked::is_list)[100..];
    assert_eq!(again.len(), 100);
    let mut seconds_of = [0; 41];
    for asked in again {
        seconds_of[(asked.at - start).as_secs() as usize] += 1;
    }
    assert_eq!(seconds_of[..20].iter().sum::<u32>(), 0, "{seconds_of:?}");
    assert!(seconds_of.iter().all(|count| *count < 20), "{seconds_of:?}");
}

/// Requests of each second.
#[derive(Clone)]
struct Seconds {
    start: Instant,
    counts: Arc<Mutex<Vec<u32>>>,
}

impl Seconds {
    fn begin() -> Self {
        let counts = Arc::new(Mutex::new(vec![0; 5000]));
        let start = Instant::now();
        Self { start, counts }
    }

    fn count(&self) {
        self.counts.lock().unwrap()[self.start.elapsed().as_secs() as usize] += 1;
    }

    /// Most in a second.
    fn peak(&self, from: u64, to: u64) -> u32 {
        let counts = self.counts.lock().unwrap();
        let counts = counts[from as usize..to as usize].iter();
        counts.copied().max().unwrap_or_default()
    }

    fn sum(&self, from: u64, to: u64) -> u32 {
        let counts = self.counts.lock().unwrap();
        counts[from as usize..to as usize].iter().sum()
    }

    /// A second, on average.
    fn rate(&self, from: u64, to: u64) -> u32 {
        self.sum(from, to) / (to - from) as u32
    }
}

const NODES: u32 = 1000;
/// The second from which on the server is not there.
const AWAY: u64 = 600;

/// A server that is away for a while and afterwards knows no version of before.
#[derive(Clone)]
struct Outage {
    /// The second in which it is there again.
    back: u64,
    all: Seconds,
    lists: Seconds,
    /// Breaks the watches off.
    cut: CancellationToken,
}

impl Outage {
    fn lasting(lasts: u64) -> Self {
        Self {
            back: AWAY + lasts,
            all: Seconds::begin(),
            lists: Seconds::begin(),
            cut: CancellationToken::new(),
        }
    }

    fn answer(&self, asked: &Asked) -> Answer {
        self.all.count();
        let now = self.all.start.elapsed();
        let (version, before) = if now < seconds(AWAY) {
            (10, true)
        } else {
            (90, false)
        };
        match () {
            () if !before && now < seconds(self.back) => Answer::Refuse,
            () if asked.is_probe() => Answer::Say(200, serde_json::json!({})),
            () if asked.is_list() => {
                self.lists.count();
                list(version, "", &[("a", &version.to_string())])
            }
            () if asked.of("resourceVersion") != version.to_string() => refuse(410, "too old"),
            () => {
                let marks = (0..100).map(|_| (seconds(60), bookmark(version)));
                let end = if before {
                    End::When(self.cut.clone())
                } else {
                    End::Never
                };
                Answer::Lines(marks.collect(), end)
            }
        }
    }

    async fn nodes(&self) -> Vec<Followed> {
        let mut nodes = Vec::new();
        for _ in 0..NODES {
            let outage = self.clone();
            let client = scripted(1, options(), move |asked| outage.answer(&asked)).await;
            nodes.push(Followed::guarded(&client));
        }
        nodes
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_nodes_whose_server_was_away_for_an_hour_come_back_spread_over_half_a_minute() {
    let outage = Outage::lasting(3600);
    let (all, lists, back) = (&outage.all, &outage.lists, outage.back);
    let start = outage.all.start;
    let nodes = outage.nodes().await;
    let all_have = |rows: &str| nodes.iter().all(|node| node.rows() == rows);
    tokio::time::sleep_until(start + seconds(AWAY)).await;
    assert!(all_have("a=10"));
    outage.cut.cancel();
    tokio::time::sleep_until(start + seconds(back)).await;
    assert!(all_have("a=10"), "nothing is lost");
    tokio::time::sleep_until(start + seconds(back + 36)).await;
    assert!(all_have("a=90"), "all are back");
    tokio::time::sleep_until(start + seconds(back + 60)).await;

    let steady = all.rate(AWAY - 300, AWAY);
    let (lost, away) = (all.peak(AWAY, AWAY + 60), all.rate(back - 1800, back));
    let (after, peak) = (all.rate(back, back + 60), all.peak(back, back + 60));
    let peak_of_lists = lists.peak(back, back + 60);
    println!(
        "requests a second: steady {steady}, loss at most {lost}, away {away}, return {after}, at most {peak} of which \
         {peak_of_lists} lists"
    );
    assert_eq!(lists.sum(back, back + 60), NODES, "one list each");
    assert!(peak_of_lists < NODES / 10);
    assert!(peak < 3 * steady);
    assert!(after < 2 * steady);
    assert!(away < steady);
    assert!(lost < 2 * NODES);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_only_started_anew_gets_the_lists_of_a_thousand_nodes_spread_over_seconds()
 {
    let outage = Outage::lasting(2);
    let (lists, back) = (&outage.lists, outage.back);
    let nodes = outage.nodes().await;
    tokio::time::sleep_until(lists.start + seconds(AWAY)).await;
    outage.cut.cancel();
    tokio::time::sleep_until(lists.start + seconds(back + 10)).await;
    assert!(nodes.iter().all(|node| node.rows() == "a=90"));
    let peak = lists.peak(back, back + 10);
    println!("{peak} lists in the worst second");
    assert_eq!(lists.sum(back, back + 10), NODES, "one list each");
    assert!(peak < NODES / 3);
}

/// Nodes of a cluster with three servers, of which one may be away.
struct Fleet {
    nodes: Vec<(Client, Vec<usize>, Followed)>,
    away: Arc<Mutex<Option<usize>>>,
    /// Starts of watches in each second, by server.
    watches: [Seconds; 3],
}

impl Fleet {
    async fn start(size: usize) -> Self {
        let away: Arc<Mutex<Option<usize>>> = Arc::default();
        let watches = [Seconds::begin(), Seconds::begin(), Seconds::begin()];
        let mut nodes = Vec::new();
        for node in 0..size {
            let mut options = options();
            options.urls = (0..3).map(|server| server.to_string()).collect();
            options.order_for(&format!("node-{node}"));
            let order = options.urls.iter().map(|url| url.parse().unwrap());
            let order: Vec<usize> = order.collect();
            let client = scripted(3, options, {
                let (away, watches, order) = (Arc::clone(&away), watches.clone(), order.clone());
                move |asked| {
                    let server = order[asked.url];
                    if *away.lock().unwrap() == Some(server) {
                        return Answer::Silence;
                    }
                    if asked.is_watch() {
                        watches[server].count();
                        let marks = (0..100).map(|_| (seconds(60), bookmark(10)));
                        return Answer::Lines(marks.collect(), End::Never);
                    }
                    list(10, "", &[])
                }
            })
            .await;
            let followed = Followed::guarded(&client);
            nodes.push((client, order, followed));
        }
        Self {
            nodes,
            away,
            watches,
        }
    }

    /// How many nodes are at each server.
    fn shares(&self) -> [usize; 3] {
        let mut shares = [0; 3];
        for (client, order, _) in &self.nodes {
            shares[order[client.endpoint().borrow().index]] += 1;
        }
        shares
    }
}

#[tokio::test(start_paused = true)]
async fn the_nodes_of_a_server_that_is_away_share_the_others_and_return_one_by_one() {
    let fleet = Fleet::start(900).await;
    let start = fleet.watches[0].start;
    tokio::time::sleep_until(start + seconds(200)).await;
    let even = |shares: &[usize], of: usize| shares.iter().all(|n| n.abs_diff(of) < of / 5);
    let before = fleet.shares();
    assert!(even(&before, 300), "{before:?}");
    *fleet.away.lock().unwrap() = Some(0);
    tokio::time::sleep_until(start + seconds(230)).await;
    let during = fleet.shares();
    assert_eq!(during[0], 0, "all have left");
    assert!(even(&during[1..], 450), "{during:?}");
    for server in 1..3 {
        let peak = fleet.watches[server].peak(200, 230);
        assert!(peak < 50, "{peak} watches in a second");
    }
    *fleet.away.lock().unwrap() = None;
    tokio::time::sleep_until(start + seconds(230 + 210)).await;
    assert_eq!(fleet.shares(), before, "all are home");
    let peak = fleet.watches[0].peak(231, 440);
    assert!(peak < 30, "{peak} watches in a second");
}
