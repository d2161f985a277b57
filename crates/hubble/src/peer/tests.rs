use futures::StreamExt;

use super::*;

fn node(cluster: &str, name: &str, addresses: &[&str]) -> PeerNode {
    PeerNode {
        cluster: cluster.into(),
        name: name.into(),
        addresses: addresses
            .iter()
            .map(|address| address.parse().unwrap())
            .collect(),
    }
}

fn text(change: &ChangeNotification) -> String {
    let tls = change.tls.as_ref().map_or("-", |tls| &tls.server_name);
    format!(
        "{} {} {} {tls}",
        change.r#type().as_str_name(),
        change.name,
        change.address
    )
}

async fn next(
    stream: &mut (impl Stream<Item = Result<ChangeNotification, Status>> + Unpin),
) -> String {
    text(&stream.next().await.unwrap().unwrap())
}

fn service(
    nodes: Vec<PeerNode>,
    config: PeerConfig,
) -> (watch::Sender<Arc<[PeerNode]>>, PeerService) {
    let (sender, receiver) = watch::channel(nodes.into());
    (
        sender,
        PeerService::new(receiver, config, CancellationToken::new()),
    )
}

const PLAIN: PeerConfig = PeerConfig {
    port: 4244,
    prefer: Prefer::Ipv4,
    tls: PeerTls::Plain,
};

async fn notify(
    service: &PeerService,
) -> impl Stream<Item = Result<ChangeNotification, Status>> + Unpin + use<> {
    use peer_server::Peer as _;
    service
        .notify(Request::new(NotifyRequest {}))
        .await
        .unwrap()
        .into_inner()
}

#[tokio::test]
async fn all_nodes_come_first_and_then_each_change() {
    let a = node("default", "a", &["fd00::1", "10.0.0.1"]);
    let b = node("west", "b.x", &["10.0.0.2"]);
    let (nodes, service) = service(vec![a.clone(), b.clone()], PLAIN);
    let mut stream = notify(&service).await;
    assert_eq!(next(&mut stream).await, "PEER_ADDED a 10.0.0.1:4244 -");
    assert_eq!(
        next(&mut stream).await,
        "PEER_ADDED west/b.x 10.0.0.2:4244 -"
    );
    let moved = node("default", "a", &["10.0.0.9"]);
    nodes.send(vec![moved.clone(), b.clone()].into()).unwrap();
    assert_eq!(next(&mut stream).await, "PEER_UPDATED a 10.0.0.9:4244 -");
    // The same nodes again are no news; a new name is a deletion and an addition.
    nodes.send(vec![moved, b].into()).unwrap();
    nodes
        .send(vec![node("default", "c", &["10.0.0.9"])].into())
        .unwrap();
    assert_eq!(next(&mut stream).await, "PEER_DELETED a 10.0.0.9:4244 -");
    assert_eq!(
        next(&mut stream).await,
        "PEER_DELETED west/b.x 10.0.0.2:4244 -"
    );
    assert_eq!(next(&mut stream).await, "PEER_ADDED c 10.0.0.9:4244 -");
    drop(nodes);
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn names_of_certificates_and_preferred_families_follow_the_rules() {
    let config = PeerConfig {
        prefer: Prefer::Ipv6,
        tls: PeerTls::Named,
        ..PLAIN
    };
    let nodes = vec![
        node("", "n.1", &["10.0.0.1", "fd00::1"]),
        node("we.st", "m", &["10.0.0.2"]),
    ];
    let (_nodes, service) = service(nodes, config);
    let mut stream = notify(&service).await;
    assert_eq!(
        next(&mut stream).await,
        "PEER_ADDED n.1 [fd00::1]:4244 n-1.default.hubble-grpc.cilium.io"
    );
    assert_eq!(
        next(&mut stream).await,
        "PEER_ADDED we.st/m 10.0.0.2:4244 m.we-st.hubble-grpc.cilium.io"
    );
}
