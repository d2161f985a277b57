//! `axoneme map --cluster` against the relays of two clusters in this process, which have no nodes.

#![allow(clippy::unwrap_used, reason = "a failed step of a test ends the test")]

use std::net::SocketAddr;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use hubble::relay::config::{Config, Given};
use hubble::relay::wiring::Relay;
use tokio_util::sync::CancellationToken;

/// The relay of a cluster, until the token.
async fn relay(cluster: &str, clusters: &str, stop: &CancellationToken) -> SocketAddr {
    let given = Given::from_pairs([
        ("cluster-name", cluster),
        ("clusters", clusters),
        ("disable-clusters-tls", "true"),
        ("disable-client-tls", "true"),
        ("disable-server-tls", "true"),
        ("peer-service", "unix:///nowhere.sock"),
        ("listen-address", "127.0.0.1:0"),
        ("health-listen-address", ""),
    ]);
    let relay = Relay::bind(Config::new(&given).unwrap()).await.unwrap();
    let address = relay.address().unwrap();
    tokio::spawn(relay.run(stop.clone()));
    address
}

async fn map(relay: SocketAddr, cluster: &str) -> Output {
    let cluster = cluster.to_owned();
    let run = move || {
        Command::new(env!("CARGO_BIN_EXE_axoneme"))
            .args(["map", "--since", "5m", "--server", &relay.to_string()])
            .args(["--cluster", &cluster])
            .output()
            .unwrap()
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn clusters_are_asked_through_the_relay_of_one() {
    let (stop, away) = (CancellationToken::new(), CancellationToken::new());
    let west = relay("west", "", &away).await;
    let east = relay("east", &format!("west={west}"), &stop).await;
    let until = async |wanted: &str| {
        let began = Instant::now();
        loop {
            let answer = map(east, "all").await;
            let text = String::from_utf8(answer.stdout).unwrap();
            if text.contains(wanted) {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "{text}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    until("0 nodes, complete").await;
    away.cancel();
    until("no answer of the clusters west").await;
    let refused = map(east, "north").await;
    assert!(!refused.status.success());
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(
        said.contains("no relay of \"north\" is known here, only of east, west"),
        "{said}"
    );
    stop.cancel();
}
