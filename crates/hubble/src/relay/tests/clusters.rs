//! Relays of several clusters, one of which asks the others.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use api::hubble::answers::{MapAnswer, Question, answers_client::AnswersClient};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::fleet::{Fleet, Plan, within};
use super::web::get;
use crate::sample::opened;
use crate::server::tests::authority::Authority;

async fn ask(relay: SocketAddr, cluster: &str) -> Result<MapAnswer, Status> {
    let client = AnswersClient::connect(format!("http://{relay}")).await;
    let question = Question {
        cluster: cluster.into(),
        ..Question::default()
    };
    let answer = client.unwrap().map(question).await?;
    Ok(answer.into_inner())
}

/// Asks until the answer is as wanted: connections come and go.
async fn until(relay: SocketAddr, cluster: &str, wanted: impl Fn(&MapAnswer) -> bool) -> MapAnswer {
    within(async {
        loop {
            let answer = ask(relay, cluster).await.unwrap();
            if wanted(&answer) {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

/// Connections that began in each cluster.
fn opened_by_cluster(answer: &MapAnswer) -> BTreeMap<&str, u64> {
    let edges = answer.edges.iter().map(|row| {
        let source = row.edge.as_ref().unwrap().source.as_ref().unwrap();
        (source.cluster.as_str(), row.counters.unwrap().opened)
    });
    edges.collect()
}

fn missing(answer: &MapAnswer) -> (u32, &[String], &[String]) {
    let of = answer.completeness.as_ref().unwrap();
    (of.nodes, &of.missing, &of.missing_clusters)
}

async fn fleet(cluster: &'static str, count: u8, clusters: &str) -> Fleet {
    let keys = vec![
        ("cluster-name", cluster.to_owned()),
        ("clusters", clusters.to_owned()),
        ("disable-clusters-tls", "true".to_owned()),
    ];
    let plan = Plan {
        cluster: Some(cluster),
        keys,
        ..Plan::default()
    };
    let fleet = Fleet::planned(count, plan).await;
    for node in &fleet.nodes {
        node.intake.record(opened());
    }
    fleet
}

#[tokio::test]
async fn rows_of_clusters_are_put_together_and_who_is_away_is_named() {
    let west = fleet("west", 2, "").await;
    let east = fleet("east", 1, &format!("west={}", west.relay)).await;
    let own = ask(east.relay, "").await.unwrap();
    assert_eq!(opened_by_cluster(&own), [("east", 1)].into());
    let all = until(east.relay, "all", |all| missing(all).2.is_empty()).await;
    assert_eq!(opened_by_cluster(&all), [("east", 1), ("west", 2)].into());
    assert_eq!(missing(&all), (3, &[][..], &[][..]));
    let other = ask(east.relay, "west").await.unwrap();
    assert_eq!(opened_by_cluster(&other), [("west", 2)].into());
    let named = ask(east.relay, "east").await.unwrap();
    assert_eq!(opened_by_cluster(&named), [("east", 1)].into());

    west.nodes[1].wire.cut();
    let part = until(east.relay, "all", |all| !missing(all).1.is_empty()).await;
    assert_eq!(opened_by_cluster(&part), [("east", 1), ("west", 1)].into());
    assert_eq!(missing(&part), (2, &["west/n2".to_owned()][..], &[][..]));

    west.end().await;
    let left = until(east.relay, "all", |all| !missing(all).2.is_empty()).await;
    assert_eq!(opened_by_cluster(&left), [("east", 1)].into());
    assert_eq!(missing(&left), (1, &[][..], &["west".to_owned()][..]));
    let nothing = ask(east.relay, "west").await.unwrap();
    assert_eq!(missing(&nothing), (0, &[][..], &["west".to_owned()][..]));
    assert!(nothing.edges.is_empty());
    east.end().await;
}

#[tokio::test]
async fn a_relay_that_is_asked_by_a_relay_asks_nobody_else() {
    let north = fleet("north", 1, "").await;
    let west = fleet("west", 1, &format!("north={}", north.relay)).await;
    let east = fleet("east", 1, &format!("west={}", west.relay)).await;
    let of_west = until(west.relay, "all", |all| missing(all).2.is_empty()).await;
    assert_eq!(
        opened_by_cluster(&of_west),
        [("north", 1), ("west", 1)].into()
    );
    let of_east = until(east.relay, "all", |all| missing(all).2.is_empty()).await;
    assert_eq!(
        opened_by_cluster(&of_east),
        [("east", 1), ("west", 1)].into()
    );
    for fleet in [north, west, east] {
        fleet.end().await;
    }
}

#[tokio::test]
async fn a_cluster_that_nobody_knows_is_refused_with_those_that_are_known() {
    let east = fleet("east", 1, "west=127.0.0.1:9").await;
    let refused = ask(east.relay, "nrth").await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let expected = "cluster: no relay of \"nrth\" is known here, only of east, west";
    assert_eq!(refused.message(), expected);
    let page = get(east.web, "/api/answers/map?cluster=nrth", "").await;
    assert_eq!(page.status, 400);
    let page = get(east.web, "/api/answers/map?cluster=all", "").await;
    assert_eq!(page.json()["completeness"]["missing_clusters"][0], "west");
    let page = get(east.web, "/api/history?since=5m&cluster=nrth", "").await;
    assert_eq!(page.status, 400);
    // Whoever asks a node directly is told that it knows of its own only.
    let node = ask(east.nodes[0].wire.address, "all").await.unwrap_err();
    assert!(node.message().starts_with("cluster: "), "{node}");
    east.end().await;
}

#[tokio::test]
async fn relays_of_clusters_must_have_the_name_of_theirs() {
    let authority = Authority::new();
    let west = fleet("west", 1, "").await;
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name).display().to_string();
    std::fs::write(file("ca"), authority.pem()).unwrap();
    for (name, is_taken) in [
        ("*.hubble-relay.cilium.io", true),
        ("north.hubble-relay.cilium.io", false),
    ] {
        let (certificate, key) = authority.issue(name);
        std::fs::write(file("crt"), certificate).unwrap();
        std::fs::write(file("key"), key).unwrap();
        let stop = CancellationToken::new();
        let encrypted = vec![
            ("disable-server-tls", "false".to_owned()),
            ("tls-relay-server-cert-file", file("crt")),
            ("tls-relay-server-key-file", file("key")),
        ];
        let (relay, _) = west.beside(encrypted, &stop).await;
        let keys = vec![
            ("cluster-name", "east".to_owned()),
            ("clusters", format!("west={relay}")),
            ("tls-clusters-ca-files", file("ca")),
        ];
        let plan = Plan {
            keys,
            ..Plan::default()
        };
        let east = Fleet::planned(1, plan).await;
        if is_taken {
            let all = until(east.relay, "all", |all| missing(all).0 == 2).await;
            assert_eq!(opened_by_cluster(&all), [("west", 1)].into());
        } else {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let all = ask(east.relay, "all").await.unwrap();
            assert_eq!(missing(&all), (1, &[][..], &["west".to_owned()][..]));
        }
        east.end().await;
        stop.cancel();
    }
    west.end().await;
}
