use std::path::Path;

use reconcile::Table;
use tokio::sync::watch::Sender;

use super::*;
use crate::{
    intake::Intake,
    observer::{Config, Observer},
    peer::{PeerConfig, PeerNode, PeerService, PeerTls, Prefer},
    ring::{Capacity, Ring},
    sample::Shop,
    server::{Listen, Server},
};

/// A peer service on a socket; it ends with the token.
async fn teller(socket: &Path, names: &[&str]) -> (Sender<Arc<[PeerNode]>>, CancellationToken) {
    let nodes: Arc<[PeerNode]> = names
        .iter()
        .map(|name| PeerNode {
            cluster: "default".into(),
            name: (*name).into(),
            addresses: vec![[10, 0, 0, 1].into()],
        })
        .collect();
    let (sender, told) = watch::channel(nodes);
    let stop = CancellationToken::new();
    let ring = Arc::new(Ring::new(Capacity::new(7).unwrap()));
    let intake = Intake::new(ring, Arc::new(Shop));
    let config = PeerConfig {
        port: 4244,
        prefer: Prefer::Ipv4,
        tls: PeerTls::Plain,
    };
    let listen = Listen {
        socket: Some(socket.to_owned()),
        tcp: None,
    };
    let observer = Observer::new(&intake, Config::default(), stop.clone());
    let peers = PeerService::new(told, config, stop.clone());
    let server = Server::bind(observer, peers, listen).await.unwrap();
    tokio::spawn(server.run(stop.clone()));
    (sender, stop)
}

async fn until(mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting)
        .await
        .unwrap();
}

#[tokio::test]
async fn peers_outlive_the_service_until_a_new_stream_leaves_them_out() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("hubble.sock");
    let (announced, table) = Table::new("announced peers", &[]);
    let (connected, hears) = watch::channel(false);
    let follower = Follower {
        service: socket.display().to_string(),
        server_name: None,
        dialer: Arc::new(Dialer::new(None, Duration::from_secs(5)).unwrap()),
        retry: Duration::from_millis(50),
        settled: Duration::from_secs(1),
        announced,
        connected,
    };
    let stop = CancellationToken::new();
    let following = tokio::spawn(follower.run(stop.clone()));
    let names = || table.snapshot().keys().cloned().collect::<Vec<_>>();

    let (_nodes, ended) = teller(&socket, &["a", "b"]).await;
    until(|| names() == ["a", "b"]).await;
    assert!(*hears.borrow());
    ended.cancel();
    until(|| !*hears.borrow()).await;
    assert_eq!(names(), ["a", "b"], "who tells is away, not they");

    // The former service may still be taking its socket's file away.
    until(|| !socket.exists()).await;
    let (nodes, _running) = teller(&socket, &["b", "c"]).await;
    until(|| names() == ["a", "b", "c"]).await;
    until(|| names() == ["b", "c"]).await;
    nodes.send_replace(Arc::from([]));
    until(|| names().is_empty()).await;
    stop.cancel();
    following.await.unwrap();
}

#[test]
fn the_service_has_a_name_of_its_own_in_certificates() {
    assert_eq!(
        server_name("east.1"),
        "hubble-peer.east-1.hubble-grpc.cilium.io"
    );
}
