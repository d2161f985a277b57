//! Nodes that die, hang, return, change, or are not whom they should be.

use std::{fs, time::Duration};

use api::hubble::{
    observer::{GetFlowsRequest, Node as NodeRow, ServerStatusRequest},
    relay::NodeState,
};

use super::fleet::{
    Fleet, Plan, Tls, all_connected, ids, read_until, rows_of, status, statuses, within,
};
use crate::server::tests::authority::Authority;

const FOLLOW: GetFlowsRequest = GetFlowsRequest {
    number: 0,
    follow: true,
    blacklist: Vec::new(),
    whitelist: Vec::new(),
    since: None,
    until: None,
    first: false,
    field_mask: None,
    experimental: None,
    extensions: None,
};

fn state_of<'a>(nodes: &'a [NodeRow], name: &str) -> Option<&'a NodeRow> {
    nodes.iter().find(|node| node.name == name)
}

fn is(nodes: &[NodeRow], name: &str, state: NodeState) -> bool {
    state_of(nodes, name).is_some_and(|node| node.state() == state)
}

#[tokio::test]
async fn a_node_that_is_away_is_named_and_the_others_answer() {
    let fleet = Fleet::connected(3).await;
    for (node, id) in fleet.nodes.iter().zip([1, 2, 3]) {
        node.saw(id.into(), id);
    }
    fleet.nodes[1].wire.cut();
    fleet
        .until(|nodes| is(nodes, "n2", NodeState::NodeUnavailable))
        .await;
    let all = fleet.all(GetFlowsRequest::default()).await.unwrap();
    assert_eq!(
        statuses(&all),
        ["NODE_CONNECTED n1 n3", "NODE_UNAVAILABLE n2"]
    );
    assert_eq!(ids(&all), [1, 3]);
    let mut client = fleet.client().await;
    let answer = client.server_status(ServerStatusRequest {}).await.unwrap();
    let answer = answer.into_inner();
    assert_eq!(answer.num_connected_nodes.unwrap().value, 2);
    assert_eq!(answer.num_unavailable_nodes.unwrap().value, 1);
    assert_eq!(answer.unavailable_nodes, ["n2"]);
    fleet.end().await;
}

/// Two breaks of one node's connection while it sees a flow every few milliseconds, several at the same time: the follower gets
/// each of them once.
#[tokio::test]
async fn a_node_that_breaks_off_and_returns_loses_and_repeats_nothing() {
    let fleet = Fleet::connected(2).await;
    let mut stream = fleet.flows(FOLLOW).await;
    read_until(&mut stream, |all| !all.is_empty()).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut id = 0;
    let mut see = async |count: u16| {
        for _ in 0..count {
            let now = std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap();
            for _ in 0..3 {
                fleet.nodes[0].saw_at(now.as_nanos() as u64, id);
                id += 1;
            }
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    };
    see(20).await;
    // Some of them have arrived when it breaks, and some have not.
    let mut all = read_until(&mut stream, |all| ids(all).len() >= 5).await;
    for _ in 0..2 {
        fleet.nodes[0].wire.cut();
        see(30).await;
        fleet.nodes[0].wire.mend();
        let rest = read_until(&mut stream, |all| {
            statuses(all)
                .iter()
                .any(|status| status == "NODE_CONNECTED n1")
        });
        all.extend(rest.await);
        see(20).await;
    }
    let sent = 3 * (20 + 2 * 50);
    let have = ids(&all).len();
    all.extend(read_until(&mut stream, |rest| have + ids(rest).len() >= sent).await);
    fleet.nodes[0].sees(9999);
    all.extend(read_until(&mut stream, |rest| ids(rest).contains(&9999)).await);
    let mut seen = ids(&all);
    assert_eq!(seen.pop(), Some(9999), "nothing comes after the last one");
    seen.sort_unstable();
    assert_eq!(seen, (0..sent as u32).collect::<Vec<_>>());
    fleet.end().await;
}

#[tokio::test]
async fn a_node_that_breaks_off_is_told_of_with_its_reason() {
    let fleet = Fleet::connected(2).await;
    let mut stream = fleet.flows(FOLLOW).await;
    read_until(&mut stream, |all| !all.is_empty()).await;
    fleet.nodes[0].wire.cut();
    let told = read_until(&mut stream, |all| !all.is_empty()).await;
    let told = statuses(&told).remove(0);
    assert!(
        told.starts_with("NODE_ERROR n1: ") && told.contains("connection"),
        "{told}"
    );
    fleet.nodes[1].sees(5);
    let all = read_until(&mut stream, |all| ids(all) == [5]).await;
    assert!(statuses(&all).is_empty(), "told once");
    fleet.end().await;
}

#[tokio::test]
async fn a_node_that_hangs_fails_alone_and_is_given_up() {
    let fleet = Fleet::connected(3).await;
    for (node, id) in fleet.nodes.iter().zip([1, 2, 3]) {
        node.saw(id.into(), id);
    }
    fleet.nodes[1].wire.freeze();
    let began = std::time::Instant::now();
    let all = fleet.all(GetFlowsRequest::default()).await.unwrap();
    assert_eq!(ids(&all), [1, 3], "{:?}", statuses(&all));
    assert!(began.elapsed() < Duration::from_secs(15));
    let told = statuses(&all);
    let wrong = told
        .iter()
        .filter(|told| told.contains("n2") && !told.contains("CONNECTED n1"));
    assert_eq!(
        wrong.count(),
        1,
        "an error, or unavailable already: {told:?}"
    );
    fleet
        .until(|nodes| is(nodes, "n2", NodeState::NodeUnavailable))
        .await;
    fleet.nodes[1].wire.mend();
    fleet.until(all_connected).await;
    let again = fleet.all(GetFlowsRequest::default()).await.unwrap();
    assert_eq!(ids(&again), [1, 2, 3]);
    fleet.end().await;
}

#[tokio::test]
async fn a_follower_hears_of_a_node_that_hangs() {
    let fleet = Fleet::connected(2).await;
    let mut stream = fleet.flows(FOLLOW).await;
    read_until(&mut stream, |all| !all.is_empty()).await;
    fleet.nodes[0].wire.freeze();
    let told = read_until(&mut stream, |all| !all.is_empty()).await;
    assert!(
        statuses(&told)[0].starts_with("NODE_ERROR n1: "),
        "{told:?}"
    );
    fleet.end().await;
}

#[tokio::test]
async fn peers_come_change_and_go() {
    let mut fleet = Fleet::connected(2).await;
    let mut stream = fleet.flows(FOLLOW).await;
    let first = read_until(&mut stream, |all| !all.is_empty()).await;
    assert_eq!(statuses(&first), ["NODE_CONNECTED n1 n2"]);
    fleet.add().await;
    fleet.announce(|name| name != "n2");
    let told = read_until(&mut stream, |all| statuses(all).len() == 2).await;
    let mut told = statuses(&told);
    told.sort();
    assert_eq!(told, ["NODE_CONNECTED n3", "NODE_GONE n2"]);
    fleet.nodes[2].sees(7);
    let flows = read_until(&mut stream, |all| !ids(all).is_empty()).await;
    assert_eq!((ids(&flows), statuses(&flows)), (vec![7], vec![]));
    // n1 moves to where n2 was.
    let moved = fleet.nodes[1].wire.address;
    let mut peers = fleet.peers.borrow().to_vec();
    peers[0].addresses = vec![moved.ip()];
    fleet.peers.send_replace(peers.into());
    let rows = fleet
        .until(|nodes| {
            all_connected(nodes)
                && state_of(nodes, "n1").is_some_and(|node| node.address == moved.to_string())
        })
        .await;
    assert_eq!(rows.len(), 2);
    read_until(&mut stream, |all| {
        all.iter()
            .filter_map(status)
            .any(|told| told == "NODE_CONNECTED n1")
    })
    .await;
    fleet.nodes[1].sees(8);
    let flows = read_until(&mut stream, |all| !ids(all).is_empty()).await;
    assert_eq!(ids(&flows), [8]);
    fleet.end().await;
}

#[tokio::test]
async fn nodes_without_the_right_certificate_are_not_believed() {
    let tls = Tls {
        stranger: Some(("n2".into(), Authority::new())),
        misnamed: Some("n3".into()),
        ..Tls::new()
    };
    let plan = Plan {
        tls: Some(tls),
        ..Plan::default()
    };
    let fleet = Fleet::start(3, plan).await;
    for (node, id) in fleet.nodes.iter().zip([1, 2, 3]) {
        node.saw(id.into(), id);
    }
    let rows = fleet
        .until(|nodes| is(nodes, "n1", NodeState::NodeConnected) && nodes.len() == 3)
        .await;
    let tls = rows[0].tls.as_ref().unwrap();
    assert!(tls.enabled);
    assert_eq!(tls.server_name, "n1.default.hubble-grpc.cilium.io");
    // Long enough for many tries.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let all = fleet.all(GetFlowsRequest::default()).await.unwrap();
    assert_eq!(
        statuses(&all),
        ["NODE_CONNECTED n1", "NODE_UNAVAILABLE n2 n3"]
    );
    assert_eq!(ids(&all), [1]);
    fleet.end().await;
}

#[tokio::test]
async fn changed_certificates_are_used_for_the_next_connection() {
    let plan = Plan {
        tls: Some(Tls::new()),
        ..Plan::default()
    };
    let fleet = Fleet::start(1, plan).await;
    fleet
        .until(|nodes| nodes.len() == 1 && all_connected(nodes))
        .await;
    let next = Authority::new();
    let write =
        |name: &str, text: String| fs::write(fleet.directory.path().join(name), text).unwrap();
    let (certificate, key) = next.issue("n1.default.hubble-grpc.cilium.io");
    write("n1.crt", certificate);
    write("n1.key", key);
    write("n1.ca", next.pem());
    let away = |nodes: &[NodeRow]| is(nodes, "n1", NodeState::NodeUnavailable);
    fleet.nodes[0].wire.cut();
    fleet.until(away).await;
    fleet.nodes[0].wire.mend();
    // Long enough for many tries with what is not valid any more.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(away(&fleet.rows().await));
    let (certificate, key) = next.issue("relay");
    write("relay.crt", certificate);
    write("relay.key", key);
    write("ca.crt", next.pem());
    fleet.until(all_connected).await;
    within(fleet.end()).await;
}

#[tokio::test]
async fn over_tls_the_peer_service_must_have_its_own_name() {
    let plan = Plan {
        tls: Some(Tls::new()),
        ..Plan::default()
    };
    let fleet = Fleet::start(2, plan).await;
    fleet
        .until(|nodes| nodes.len() == 2 && all_connected(nodes))
        .await;
    let stop = tokio_util::sync::CancellationToken::new();
    let relay = fleet.another(&stop).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(
        rows_of(relay).await.is_empty(),
        "n2 is not the peer service"
    );
    fleet.rename_second("*.default.hubble-grpc.cilium.io");
    within(async {
        loop {
            let rows = rows_of(relay).await;
            if rows.len() == 2 && all_connected(&rows) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    stop.cancel();
    fleet.end().await;
}
