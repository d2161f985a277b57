//! An operator and a real etcd: the heartbeat, what its end means to agents, and the collection of numbers.

use std::time::Duration;

use store::etcd::{self, Etcd, Health, Options, layout, server::Server};
use tokio_util::sync::CancellationToken;

use super::cluster::{Operator, config};
use super::stores::{Store, until};

const PERIOD: Duration = Duration::from_millis(700);

fn operator(store: &Store, etcd: &Server, name: &str) -> Operator {
    let address = format!("etcd.address={}", etcd.url());
    let pairs = [
        ("identity-allocation-mode", "kvstore"),
        ("kvstore", "etcd"),
        ("kvstore-opt", address.as_str()),
        ("identity-gc-interval", "1s"),
    ];
    let mut config = config(&store.url, name, &pairs);
    if let Some(kvstore) = &mut config.kvstore {
        kvstore.options.heartbeat = PERIOD;
    }
    Operator::with(config)
}

/// What an agent has of etcd.
fn agent(server: &Server) -> (Etcd, CancellationToken) {
    let etcd = Etcd::new(Options {
        look: Duration::from_millis(200),
        heartbeat: PERIOD,
        ..Options::at([server.url()])
    });
    let (etcd, stop) = (etcd.unwrap(), CancellationToken::new());
    let (guarded, token) = (etcd.clone(), stop.clone());
    tokio::spawn(async move { guarded.guard(token).await });
    (etcd, stop)
}

async fn beat(etcd: &Etcd) -> Option<(String, i64)> {
    let pair = etcd.get(layout::HEARTBEAT).await.ok()??;
    Some((pair.text()?.to_owned(), pair.revision))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_call_etcd_unhealthy_after_the_operator_stopped_and_healthy_when_another_leads() {
    if !etcd::server::is_there().unwrap() {
        return;
    }
    let (server, store) = (Server::start().unwrap(), Store::start(0, 3).await);
    let (etcd, stop) = agent(&server);
    let mut health = etcd.health();
    let one = operator(&store, &server, "one");
    let (text, first) = until("a heartbeat", || beat(&etcd)).await;
    // RFC 1123, as Go writes it: `Mon, 02 Jan 2006 15:04:05 UTC`.
    assert_eq!((text.len(), text.get(25..)), (29, Some(" UTC")), "{text}");
    let now = jiff::Timestamp::now().strftime("%d %b %Y").to_string();
    let before = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(60);
    let before = before.strftime("%d %b %Y").to_string();
    assert!(text.contains(&now) || text.contains(&before), "{text}");
    until("another heartbeat", || async {
        beat(&etcd).await.filter(|(_, revision)| *revision > first)
    })
    .await;
    let healthy = |of: &Health| of.known && of.fault.is_none();
    let lease = etcd.get(layout::HEARTBEAT).await.unwrap().unwrap().lease;
    assert_eq!(lease, 0, "it stays when the operator goes");
    health.wait_for(healthy).await.unwrap();
    one.stop().await.expect("it was told to stop");
    let stopped = tokio::time::Instant::now();
    let wait = health.wait_for(|of| of.fault.is_some());
    let fault = tokio::time::timeout(Duration::from_secs(20), wait)
        .await
        .unwrap();
    let fault = fault.unwrap().to_text();
    assert!(fault.contains("since last heartbeat update"), "{fault}");
    assert!(stopped.elapsed() > PERIOD, "{:?}", stopped.elapsed());
    let two = operator(&store, &server, "two");
    let wait = health.wait_for(healthy);
    tokio::time::timeout(Duration::from_secs(20), wait)
        .await
        .unwrap()
        .unwrap();
    two.stop().await.expect("it was told to stop");
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_in_etcd_that_nobody_uses_are_collected_by_the_leader() {
    if !etcd::server::is_there().unwrap() {
        return;
    }
    let (server, store) = (Server::start().unwrap(), Store::start(0, 3).await);
    let (etcd, stop) = agent(&server);
    etcd.put(&layout::identity(300), "k8s:app=used;")
        .await
        .unwrap();
    etcd.put(&layout::usage("k8s:app=used;", "10.0.0.1"), "300")
        .await
        .unwrap();
    etcd.put(&layout::identity(301), "k8s:app=unused;")
        .await
        .unwrap();
    let operator = operator(&store, &server, "one");
    until("its end", || async {
        let gone = etcd.get(&layout::identity(301)).await.ok()?.is_none();
        gone.then_some(())
    })
    .await;
    assert!(etcd.get(&layout::identity(300)).await.unwrap().is_some());
    operator.stop().await.expect("it was told to stop");
    stop.cancel();
}
