//! Nodes with flow servers in this process, each behind a wire that can be cut and frozen, and a relay over them.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use api::hubble::{
    flow::layer4::Protocol,
    observer::{
        GetFlowsRequest, GetFlowsResponse, GetNodesRequest, Node as NodeRow,
        get_flows_response::ResponseTypes, observer_client::ObserverClient,
    },
    relay::NodeState,
};
use reconcile::Backoff;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming, transport::Channel};

use crate::{
    intake::Intake,
    names::{EndpointNames, Names, PolicyOrigin, ServiceName},
    observer::{Config as ObserverConfig, Observer},
    peer::{PeerConfig, PeerNode, PeerService, PeerTls, Prefer},
    recorder::Recorder,
    records::{Point, Record, Way, What},
    relay::{
        config::{Config, Given},
        pool::Times,
        wiring::{Relay, RelayError},
    },
    ring::{Capacity, Ring},
    rollup::Rollup,
    sample::{Shop, opened},
    server::{Listen, Security, Server, TlsFiles, tests::authority::Authority},
};

/// Longer than anything takes, also on a machine with much else to do.
pub(super) const LIMIT: Duration = Duration::from_secs(20);

const TIMES: Times = Times {
    backoff: Backoff::new(Duration::from_millis(20), Duration::from_millis(200)),
    probe_interval: Duration::from_millis(300),
    probe_limit: Duration::from_secs(2),
    silence: Duration::from_secs(3),
    settled: Duration::from_secs(3),
};

/// A connection that can be cut and frozen.
pub(super) struct Wire {
    pub(super) address: SocketAddr,
    state: watch::Sender<WireState>,
    accepting: JoinHandle<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WireState {
    Whole,
    Frozen,
    Cut,
}

impl Wire {
    pub(super) async fn new(address: SocketAddr, target: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (state, seen) = watch::channel(WireState::Whole);
        let accepting = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                if *seen.borrow() == WireState::Cut {
                    continue;
                }
                let seen = seen.clone();
                tokio::spawn(async move {
                    let Ok(far) = TcpStream::connect(target).await else {
                        return;
                    };
                    let mut cut = seen.clone();
                    let (near_in, near_out) = near.into_split();
                    let (far_in, far_out) = far.into_split();
                    tokio::select! {
                        () = carry(near_in, far_out, seen.clone()) => {}
                        () = carry(far_in, near_out, seen) => {}
                        () = until_cut(&mut cut) => {}
                    }
                });
            }
        });
        Self {
            address,
            state,
            accepting,
        }
    }

    pub(super) fn cut(&self) {
        self.state.send_replace(WireState::Cut);
    }

    pub(super) fn freeze(&self) {
        self.state.send_replace(WireState::Frozen);
    }

    pub(super) fn mend(&self) {
        self.state.send_replace(WireState::Whole);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn until_cut(state: &mut watch::Receiver<WireState>) {
    let _ = state.wait_for(|state| *state == WireState::Cut).await;
}

async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut state: watch::Receiver<WireState>,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let whole = state
            .wait_for(|state| *state != WireState::Frozen)
            .await
            .is_ok();
        if !whole || to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

/// A node: its flows, its server, and the wire to it.
pub(super) struct Node {
    pub(super) name: String,
    pub(super) wire: Wire,
    pub(super) intake: Intake,
    shutdown: CancellationToken,
}

/// What a test says about nodes before they start.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) capacity: Option<u64>,
    /// Certificates by the names of the nodes; without any, it is plain text.
    pub(super) tls: Option<Tls>,
    /// Of which cluster their pods are, if not of `default`.
    pub(super) cluster: Option<&'static str>,
    /// Further keys of the relay.
    pub(super) keys: Vec<(&'static str, String)>,
}

pub(super) struct Tls {
    pub(super) authority: Authority,
    /// Another authority, and the node that has its certificate from there.
    pub(super) stranger: Option<(String, Authority)>,
    /// A node whose certificate has another name.
    pub(super) misnamed: Option<String>,
}

impl Tls {
    pub(super) fn new() -> Self {
        Self {
            authority: Authority::new(),
            stranger: None,
            misnamed: None,
        }
    }
}

/// Nodes, the service that tells of them, and a relay.
pub(super) struct Fleet {
    pub(super) nodes: Vec<Node>,
    pub(super) peers: watch::Sender<Arc<[PeerNode]>>,
    pub(super) relay: SocketAddr,
    pub(super) health: SocketAddr,
    pub(super) metrics: SocketAddr,
    pub(super) web: SocketAddr,
    pub(super) directory: tempfile::TempDir,
    plan: Plan,
    port: u16,
    stop: CancellationToken,
    served: JoinHandle<Result<(), RelayError>>,
}

impl Fleet {
    /// That many nodes, called n1, n2, and so on, all announced.
    pub(super) async fn start(count: u8, plan: Plan) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (peers, told) = watch::channel(Arc::from([]));
        let stop = CancellationToken::new();
        // Peers have one port: that of the first wire, at another address each.
        let mut nodes = Vec::new();
        let mut port = 0;
        for number in 1..=count {
            let node = Node::start(number, port, &plan, directory.path().to_owned(), &told).await;
            port = node.wire.address.port();
            nodes.push(node);
        }
        let config = PeerConfig {
            port,
            prefer: Prefer::Ipv4,
            tls: if plan.tls.is_some() {
                PeerTls::Named
            } else {
                PeerTls::Plain
            },
        };
        let socket = directory.path().join("peers.sock");
        let listen = Listen {
            socket: Some(socket.clone()),
            tcp: None,
        };
        let telling = PeerService::new(told, config, stop.clone());
        let server = Server::bind(
            observer(&intake(7, "default"), "teller", &stop),
            telling,
            listen,
        );
        tokio::spawn(server.await.unwrap().run(stop.clone()));
        let socket = format!("unix://{}", socket.display());
        let config = relay_config(&socket, &plan, directory.path());
        let relay = Relay::bind(config).await.unwrap().with_times(TIMES);
        let mut fleet = Self {
            nodes,
            peers,
            relay: local(relay.address()),
            health: local(relay.health_address()),
            metrics: local(relay.metrics_address()),
            web: local(relay.web_address()),
            directory,
            plan,
            port,
            served: tokio::spawn(relay.run(stop.clone())),
            stop,
        };
        fleet.announce(|_| true);
        fleet
    }

    /// As many nodes, in plain text, all connected.
    pub(super) async fn connected(count: u8) -> Self {
        Self::planned(count, Plan::default()).await
    }

    /// As many nodes as planned, all connected.
    pub(super) async fn planned(count: u8, plan: Plan) -> Self {
        let fleet = Self::start(count, plan).await;
        fleet
            .until(|nodes| nodes.len() == usize::from(count) && all_connected(nodes))
            .await;
        fleet
    }

    /// Announces those of the nodes.
    pub(super) fn announce(&mut self, which: impl Fn(&str) -> bool) {
        let nodes = self.nodes.iter().filter(|node| which(&node.name));
        let peers: Arc<[PeerNode]> = nodes
            .map(|node| peer(&node.name, node.wire.address))
            .collect();
        self.peers.send_replace(peers);
    }

    /// Adds a node, which is not announced yet.
    pub(super) async fn add(&mut self) {
        let number = self.nodes.len() as u8 + 1;
        let directory = self.directory.path().to_owned();
        let told = self.peers.subscribe();
        let node = Node::start(number, self.port, &self.plan, directory, &told).await;
        self.nodes.push(node);
    }

    pub(super) async fn client(&self) -> ObserverClient<Channel> {
        ObserverClient::connect(format!("http://{}", self.relay))
            .await
            .unwrap()
    }

    pub(super) async fn flows(&self, request: GetFlowsRequest) -> Streaming<GetFlowsResponse> {
        self.client()
            .await
            .get_flows(request)
            .await
            .unwrap()
            .into_inner()
    }

    /// All of a finite answer.
    pub(super) async fn all(
        &self,
        request: GetFlowsRequest,
    ) -> Result<Vec<GetFlowsResponse>, Status> {
        let mut stream = self.client().await.get_flows(request).await?.into_inner();
        let mut all = Vec::new();
        while let Some(reply) = within(stream.message()).await? {
            all.push(reply);
        }
        Ok(all)
    }

    /// Another relay, which asks the second node for peers over TCP (the first one started before the port was known), until the token; where it is.
    pub(super) async fn another(&self, stop: &CancellationToken) -> SocketAddr {
        let service = self.nodes[1].wire.address.to_string();
        let config = relay_config(&service, &self.plan, self.directory.path());
        let relay = Relay::bind(config).await.unwrap().with_times(TIMES);
        let address = local(relay.address());
        tokio::spawn(relay.run(stop.clone()));
        address
    }

    /// Another relay over these nodes, with other keys, until the token; where it is, and its pages.
    pub(super) async fn beside(
        &self,
        keys: Vec<(&'static str, String)>,
        stop: &CancellationToken,
    ) -> (SocketAddr, SocketAddr) {
        let socket = self.directory.path().join("peers.sock");
        let plan = Plan {
            keys,
            ..Plan::default()
        };
        let service = format!("unix://{}", socket.display());
        let config = relay_config(&service, &plan, self.directory.path());
        let relay = Relay::bind(config).await.unwrap().with_times(TIMES);
        let addresses = (local(relay.address()), local(relay.web_address()));
        tokio::spawn(relay.run(stop.clone()));
        addresses
    }

    /// Gives the second node a certificate of this name.
    pub(super) fn rename_second(&self, name: &str) {
        let (certificate, key) = self.plan.tls.as_ref().unwrap().authority.issue(name);
        std::fs::write(self.directory.path().join("n2.crt"), certificate).unwrap();
        std::fs::write(self.directory.path().join("n2.key"), key).unwrap();
    }

    pub(super) async fn rows(&self) -> Vec<NodeRow> {
        rows_of(self.relay).await
    }

    /// Waits until the relay's nodes are as wanted.
    pub(super) async fn until(&self, wanted: impl Fn(&[NodeRow]) -> bool) -> Vec<NodeRow> {
        within(async {
            loop {
                let nodes = self.rows().await;
                if wanted(&nodes) {
                    return nodes;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
    }

    pub(super) async fn end(self) {
        self.stop.cancel();
        within(self.served).await.unwrap().unwrap();
        for node in &self.nodes {
            node.shutdown.cancel();
        }
    }
}

pub(super) async fn rows_of(relay: SocketAddr) -> Vec<NodeRow> {
    let client = ObserverClient::connect(format!("http://{relay}")).await;
    let nodes = client.unwrap().get_nodes(GetNodesRequest {}).await;
    nodes.unwrap().into_inner().nodes
}

pub(super) fn all_connected(nodes: &[NodeRow]) -> bool {
    nodes
        .iter()
        .all(|node| node.state() == NodeState::NodeConnected)
}

pub(super) async fn within<T>(wanted: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, wanted).await.unwrap()
}

fn peer(name: &str, address: SocketAddr) -> PeerNode {
    PeerNode {
        cluster: "default".into(),
        name: name.into(),
        addresses: vec![address.ip()],
    }
}

fn local(address: Option<SocketAddr>) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, address.unwrap().port()).into()
}

/// The pods of the shop, and of a bank, in a cluster.
struct Town(&'static str);

/// A pod of the namespace `bank`.
pub(super) const VAULT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 1, 1));
/// Another one.
pub(super) const DESK: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 1, 2));

impl Names for Town {
    fn endpoint(&self, address: IpAddr, identity: u32) -> Option<Arc<EndpointNames>> {
        let names = match address {
            VAULT => Arc::new(EndpointNames {
                namespace: "bank".into(),
                pod_name: "vault-0".into(),
                labels: vec!["k8s:app=vault".into()],
                ..EndpointNames::default()
            }),
            DESK => Arc::new(EndpointNames {
                namespace: "bank".into(),
                pod_name: "desk-0".into(),
                ..EndpointNames::default()
            }),
            _ => Shop.endpoint(address, identity)?,
        };
        Some(Arc::new(EndpointNames {
            cluster_name: self.0.into(),
            ..names.as_ref().clone()
        }))
    }

    fn service(&self, address: IpAddr, port: u16) -> Option<Arc<ServiceName>> {
        Shop.service(address, port)
    }

    fn service_behind(&self, address: IpAddr, port: u16, number: u8) -> Option<Arc<ServiceName>> {
        Shop.service_behind(address, port, number)
    }

    fn fqdns(&self, asker: u16, address: IpAddr) -> Vec<Arc<str>> {
        Shop.fqdns(asker, address)
    }

    fn rule(&self, rule: u32) -> Vec<Arc<PolicyOrigin>> {
        Shop.rule(rule)
    }

    fn interface(&self, index: u32) -> Option<Arc<str>> {
        Shop.interface(index)
    }
}

fn intake(capacity: u64, cluster: &'static str) -> Intake {
    let ring = Arc::new(Ring::new(Capacity::new(capacity).unwrap()));
    let rollup = Rollup::open(None, 1_700_000_000).unwrap();
    Intake::new(ring, Arc::new(Town(cluster))).counted_by(Arc::new(Recorder::new(rollup, 0)))
}

fn observer(intake: &Intake, name: &str, shutdown: &CancellationToken) -> Observer {
    let config = ObserverConfig {
        node: name.into(),
        ..ObserverConfig::default()
    };
    Observer::new(intake, config, shutdown.clone())
}

fn relay_config(socket: &str, plan: &Plan, directory: &Path) -> Config {
    let file = |name: &str| directory.join(name).display().to_string();
    let (authority, certificate, key) = (file("ca.crt"), file("relay.crt"), file("relay.key"));
    let mut pairs = vec![
        ("peer-service", socket),
        ("listen-address", "127.0.0.1:0"),
        ("health-listen-address", "127.0.0.1:0"),
        ("metrics-listen-address", "127.0.0.1:0"),
        ("web-listen-address", "127.0.0.1:0"),
        ("sort-buffer-drain-timeout", "500ms"),
        ("disable-server-tls", "true"),
    ];
    if let Some(tls) = &plan.tls {
        std::fs::write(&authority, tls.authority.pem()).unwrap();
        let identity = tls.authority.issue("relay");
        std::fs::write(&certificate, identity.0).unwrap();
        std::fs::write(&key, identity.1).unwrap();
        pairs.extend([
            ("tls-hubble-server-ca-files", authority.as_str()),
            ("tls-hubble-client-cert-file", &certificate),
            ("tls-hubble-client-key-file", &key),
        ]);
    } else {
        pairs.push(("disable-client-tls", "true"));
    }
    // Of a key that comes twice the last one holds.
    pairs.extend(plan.keys.iter().map(|(key, value)| (*key, value.as_str())));
    Config::new(&Given::from_pairs(pairs)).unwrap()
}

impl Node {
    async fn start(
        number: u8,
        port: u16,
        plan: &Plan,
        directory: PathBuf,
        peers: &watch::Receiver<Arc<[PeerNode]>>,
    ) -> Self {
        let name = format!("n{number}");
        let shutdown = CancellationToken::new();
        let intake = intake(
            plan.capacity.unwrap_or(4095),
            plan.cluster.unwrap_or("default"),
        );
        let security = plan.tls.as_ref().map_or(Security::Plain, |tls| {
            let stranger = tls.stranger.as_ref().filter(|(node, _)| *node == name);
            let authority = stranger.map_or(&tls.authority, |(_, authority)| authority);
            let named = if tls.misnamed.as_ref() == Some(&name) {
                "other"
            } else {
                &name
            };
            let named = format!("{named}.default.hubble-grpc.cilium.io");
            let file = |kind: &str| directory.join(format!("{name}.{kind}"));
            let (certificate, key) = authority.issue(&named);
            std::fs::write(file("crt"), certificate).unwrap();
            std::fs::write(file("key"), key).unwrap();
            std::fs::write(file("ca"), tls.authority.pem()).unwrap();
            Security::Tls(TlsFiles {
                certificate: file("crt"),
                key: file("key"),
                client_authorities: vec![file("ca")],
            })
        });
        let listen = Listen {
            socket: None,
            tcp: Some(((Ipv4Addr::LOCALHOST, 0).into(), security)),
        };
        let config = PeerConfig {
            port,
            prefer: Prefer::Ipv4,
            tls: if plan.tls.is_some() {
                PeerTls::Named
            } else {
                PeerTls::Plain
            },
        };
        let telling = PeerService::new(peers.clone(), config, shutdown.clone());
        let server = Server::bind(observer(&intake, &name, &shutdown), telling, listen)
            .await
            .unwrap()
            .answering(Arc::clone(intake.recorder().unwrap()));
        let target = server.tcp_address().unwrap();
        tokio::spawn(server.run(shutdown.clone()));
        let at = (Ipv4Addr::new(127, 0, 0, number), port).into();
        Self {
            name,
            wire: Wire::new(at, target).await,
            intake,
            shutdown,
        }
    }

    /// A flow of this node, `milliseconds` after the time at which all tests begin; `id` is its source port.
    pub(super) fn saw(&self, milliseconds: u64, id: u16) {
        self.saw_at(1_700_000_000_000_000_000 + milliseconds * 1_000_000, id);
    }

    /// A flow of now.
    pub(super) fn sees(&self, id: u16) {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        self.saw_at(now.as_nanos() as u64, id);
    }

    pub(super) fn saw_at(&self, time_ns: u64, id: u16) {
        let mut record = Record {
            time_ns,
            asked: None,
            what: What::Closed {
                point: Point::ToEndpoint,
                way: Way::Forward,
            },
            ..opened()
        };
        record.source.port = id;
        self.intake.record(record);
    }
}

/// Source ports of the flows, in their order.
pub(super) fn ids<'a>(replies: impl IntoIterator<Item = &'a GetFlowsResponse>) -> Vec<u32> {
    replies.into_iter().filter_map(id).collect()
}

pub(super) fn id(reply: &GetFlowsResponse) -> Option<u32> {
    match &reply.response_types {
        Some(ResponseTypes::Flow(flow)) => match flow.l4.as_ref()?.protocol.as_ref()? {
            Protocol::Tcp(tcp) => Some(tcp.source_port),
            _ => None,
        },
        _ => None,
    }
}

/// A status event as `NODE_CONNECTED n1 n2: message`.
pub(super) fn status(reply: &GetFlowsResponse) -> Option<String> {
    match &reply.response_types {
        Some(ResponseTypes::NodeStatus(event)) => Some(
            format!(
                "{} {}: {}",
                event.state_change().as_str_name(),
                event.node_names.join(" "),
                event.message
            )
            .trim_end_matches(": ")
            .to_owned(),
        ),
        _ => None,
    }
}

pub(super) fn statuses(replies: &[GetFlowsResponse]) -> Vec<String> {
    replies.iter().filter_map(status).collect()
}

/// Reads a stream until `enough`.
pub(super) async fn read_until(
    stream: &mut Streaming<GetFlowsResponse>,
    enough: impl Fn(&[GetFlowsResponse]) -> bool,
) -> Vec<GetFlowsResponse> {
    let mut all = Vec::new();
    while !enough(&all) {
        match tokio::time::timeout(LIMIT, stream.message()).await {
            Ok(reply) => all.push(reply.unwrap().expect("the stream goes on")),
            Err(late) => panic!("{late}: {:?} {:?}", ids(&all), statuses(&all)),
        }
    }
    all
}
