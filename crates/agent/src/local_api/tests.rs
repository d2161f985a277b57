//! Every path of the API: its status, the names in its answer, and what is said of what it cannot do.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use model::endpoint::{
    EndpointId, EndpointRow, Event, LifeCycle, Mac, NamedPort, PodName, SkipMasquerade,
};
use model::identity::{Identity, Reserved};
use model::ipcache::{Location, Row, Source};
use model::labels::{LabelFilter, LabelSet, PodLabels, pod_labels};
use model::node::{IpPair, Locality, NodeRow};
use model::policy::{self, Change, ParseOptions, Peer, PeerFacts, parse_policy};
use model::service;
use netlink::Link;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tower::ServiceExt;

use super::*;
use crate::config::Given;
use crate::forwarding::TablePlan;
use crate::inputs::Inputs;
use crate::view::{Known, View, ViewWriter, channel};

fn labels() -> LabelSet {
    let facts = PodLabels {
        pod: [("app", "web")],
        namespace: "shop",
        namespace_labels: std::iter::empty(),
        service_account: None,
        cluster: "default",
    };
    pod_labels(facts, &LabelFilter::standard().unwrap())
}

const POD: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 9, 1, 5));

fn endpoint() -> EndpointRow {
    let mut life = LifeCycle::created();
    for event in [
        Event::IdentityKnown,
        Event::BuildStarted,
        Event::BuildSucceeded,
    ] {
        life.apply(event);
    }
    EndpointRow {
        id: EndpointId(5),
        pod: Some(PodName {
            namespace: "shop".into(),
            name: "web".into(),
        }),
        pod_uid: Some("uid".into()),
        container_id: "c1".into(),
        container_interface: "eth0".into(),
        netns: "/run/netns/pod".into(),
        netns_cookie: 77,
        ips: IpPair::first_of([POD]),
        mac: Mac([2, 0, 0, 0, 0, 5]),
        host_mac: Mac([2, 0, 0, 0, 1, 5]),
        ifname: "lxc5".into(),
        ifindex: 15,
        labels: labels(),
        identity: Some(Identity(1001)),
        named_ports: vec![NamedPort {
            name: "http".into(),
            port: 8080,
            protocol: service::Protocol::Tcp,
        }],
        service_account: None,
        skip_masquerade: SkipMasquerade::default(),
        policy_revision: 3,
        life,
    }
}

fn policies() -> policy::Snapshot {
    let mut snapshot = policy::Snapshot::new(policy::Settings::default());
    let object = json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy", "metadata": { "namespace": "shop", "name": "p" },
        "spec": { "endpointSelector": { "matchLabels": { "app": "web" } }, "ingress": [{ "fromEndpoints": [{ "matchLabels": { "app": "web" } }] }] },
    });
    let object = parse_policy(&object, &ParseOptions::default()).unwrap();
    snapshot.apply(Change::Object(Arc::new(object)));
    let facts = PeerFacts {
        labels: labels(),
        ..PeerFacts::default()
    };
    snapshot.apply(Change::Peer(Peer(1001), facts));
    snapshot
}

fn nodes() -> Vec<NodeRow> {
    let node = |name: &str, locality, number: u8| NodeRow {
        name: name.into(),
        locality,
        ip: IpPair::first_of([IpAddr::from([172, 30, 0, 10 + number])]),
        router: IpPair::default(),
        addresses: vec![IpAddr::from([172, 30, 0, 10 + number])],
        pod_cidrs_v4: vec![format!("10.9.{number}.0/24").parse().unwrap()],
        pod_cidrs_v6: Vec::new(),
        health: IpPair::default(),
        ingress: IpPair::default(),
        encryption_key: 0,
        wireguard_key: None,
        labels: std::collections::BTreeMap::new(),
    };
    vec![
        node("n1", Locality::Local, 1),
        node("n2", Locality::Remote, 2),
    ]
}

fn a_service() -> (service::RowKey, (u32, Arc<service::Row>)) {
    let key = service::RowKey {
        service: service::ServiceName {
            namespace: "shop".into(),
            name: "api".into(),
        },
        port: "http".into(),
        protocol: service::Protocol::Tcp,
        family: model::ipam::Family::Ipv4,
        reach: service::Reach::All,
    };
    let frontend = service::Frontend {
        address: service::FrontendAddress {
            address: [10, 96, 0, 7].into(),
            port: 80,
            protocol: service::Protocol::Tcp,
            scope: service::ClientScope::Everybody,
        },
        kind: service::FrontendKind::ClusterIp,
    };
    let backend = service::Backend {
        state: service::BackendState::Active,
        address: service::BackendAddress {
            address: POD,
            port: 8080,
            protocol: service::Protocol::Tcp,
        },
    };
    let row = service::Row {
        frontends: vec![frontend],
        backends: vec![backend],
        affinity_seconds: None,
        algorithm: service::Algorithm::Random,
    };
    (key, (9, Arc::new(row)))
}

fn view() -> View {
    let row = |identity: Identity, location, source| Known {
        row: Row {
            identity,
            cover: model::policy::cidr::Cover::default(),
            location,
            encryption_key: 0,
            source,
        },
        peer: identity.0,
        hop: 0,
    };
    let local = Location::LocalEndpoint {
        id: EndpointId(5),
        ifindex: 15,
    };
    let remote = Location::RemoteEndpoint {
        node: [172, 30, 0, 12].into(),
    };
    let unmanaged = Reserved::Unmanaged.id();
    View {
        revision: 3,
        endpoints: vec![endpoint()],
        addresses: [
            (
                ipnet::IpNet::from(POD),
                row(Identity(1001), local, Source::Local),
            ),
            (
                "10.9.2.0/24".parse().unwrap(),
                row(unmanaged, remote, Source::CustomResource),
            ),
        ]
        .into_iter()
        .collect(),
        nodes: nodes()
            .into_iter()
            .map(|row| (Arc::clone(&row.name), row))
            .collect(),
        services: std::iter::once(a_service()).collect(),
        policy: policies(),
        plan: vec![TablePlan {
            table: "endpoints",
            entries: 1,
            write: 0,
            remove: 0,
        }],
        waiting_for: Vec::new(),
        ..View::default()
    }
}

/// The API of a node with one endpoint, and an engine that agrees to everything.
struct Node {
    router: Router,
    /// Of the health API.
    health: Router,
    view: ViewWriter,
    config: Arc<Config>,
}

fn devices() -> Devices {
    let link = |index: u32, name: &str| Link {
        index,
        name: name.to_owned(),
        ..Link::default()
    };
    Devices {
        uplinks: vec![link(2, "eth0")],
        host: link(3, "cilium_host"),
        overlay: None,
        device_mtu: 1500,
        route_mtu: 1450,
    }
}

async fn node() -> Node {
    let (api, writer) = parts(&[("k8s-node-name", "n1")], Inputs::nothing()).await;
    Node::of(api, writer)
}

async fn parts(keys: &[(&str, &str)], inputs: Inputs) -> (Api, ViewWriter) {
    let keys = keys.iter().copied();
    let config = Arc::new(Config::new(&Given::from_pairs(keys)).unwrap());
    let addressing = Addressing {
        node_ipv4: Some([172, 30, 0, 11].into()),
        node_ipv6: None,
        pods_ipv4: Some("10.9.1.0/24".parse().unwrap()),
        pods_ipv6: None,
    };
    let mut options = store::Options::named("test");
    options.urls = vec!["http://127.0.0.1:1".to_owned()];
    let client = store::Client::new(options).await.unwrap();
    let filter = LabelFilter::standard().unwrap();
    let (writer, reader) = channel();
    writer.publish(view());
    let (engine, orders) = mpsc::channel(4);
    tokio::spawn(agree(orders));
    let faults = kernel::fake::Faults::none();
    let maps = kernel::Maps::in_memory(&kernel::Config::default(), &faults).unwrap();
    let placed = datapath::abi::endpoint::Endpoint {
        id: 5,
        ..Default::default()
    };
    maps.endpoints.set(&15, &placed).unwrap();
    let log = EndpointLog::default();
    log.note(&reader.get());
    let api = Api {
        addresses: Addresses::new(&addressing, &reader.get().endpoints),
        pools: None,
        identities: Identities::new(&client, inputs, &config, filter),
        config: Arc::clone(&config),
        addressing: Arc::new(addressing),
        devices: Arc::new(devices()),
        health: crate::health::Health::new(
            &config,
            reader.clone(),
            crate::metrics::Metrics::default(),
        ),
        view: reader,
        engine,
        metrics: crate::metrics::Metrics::default(),
        flows: None,
        etcd: None,
        spare: tokio::sync::watch::channel(Spared::default()).1,
        drift: tokio::sync::watch::channel(None).1,
        maps,
        log,
        features: Arc::new(Vec::new()),
        tasks: reconcile::tasks::TaskGroup::new(),
    };
    (api, writer)
}

async fn agree(mut orders: mpsc::Receiver<Command>) {
    while let Some(order) = orders.recv().await {
        match order {
            Command::Create(mut row, answer) => {
                row.id = EndpointId(6);
                let _ = answer.send(Ok(*row));
            }
            Command::Delete(_, answer) => {
                let _ = answer.send(Ok(endpoint()));
            }
            Command::Identify(..) => {}
        }
    }
}

impl Node {
    fn of(api: Api, view: ViewWriter) -> Self {
        Self {
            health: crate::health::api::router(api.clone()),
            config: Arc::clone(&api.config),
            router: router(api),
            view,
        }
    }

    async fn ask(&self, what: &str, body: &Value) -> (StatusCode, Value) {
        self.ask_of(&self.router, "/v1", what, body).await
    }

    async fn ask_of(
        &self,
        router: &Router,
        base: &str,
        what: &str,
        body: &Value,
    ) -> (StatusCode, Value) {
        let (method, path) = what.split_once(' ').unwrap();
        let body = match body {
            Value::Null => Body::empty(),
            Value::String(raw) => Body::from(raw.clone()),
            value => Body::from(value.to_string()),
        };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{base}{path}"));
        request = request.header("content-type", "application/json");
        let request = request.body(body).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let octets = axum::body::to_bytes(response.into_body(), 1 << 20)
            .await
            .unwrap();
        if octets.is_empty() {
            return (status, Value::Null);
        }
        let value = serde_json::from_slice(&octets);
        (
            status,
            value.unwrap_or_else(|error| panic!("{what}: {error}: {octets:?}")),
        )
    }
}

/// Path, and for each pointer into the answer what must be there.
type Answered = (&'static str, u16, Vec<(&'static str, Value)>);

#[allow(clippy::too_many_lines, reason = "a table")]
fn answered() -> Vec<Answered> {
    vec![
        (
            "GET /healthz",
            200,
            vec![
                ("/cilium/state", json!("Ok")),
                ("/kubernetes/state", json!("Ok")),
                ("/ipam/ipv4/0", json!("10.9.1.1")),
                ("/ipam/allocations/10.9.1.5", json!("shop/web")),
                ("/hubble/state", json!("Disabled")),
                ("/datapath-mode", json!("veth")),
                ("/masquerading/enabledProtocols/ipv4", json!(true)),
                (
                    "/kube-proxy-replacement/features/nodePort/portMin",
                    json!(30000),
                ),
                ("/routing/inter-host-routing-mode", json!("Tunnel")),
                ("/identity-range/min-identity", json!(256)),
                ("/cluster/self", json!("n1")),
                ("/cluster/nodes/1/name", json!("n2")),
                (
                    "/cluster/ciliumHealth",
                    json!({ "state": "Ok", "msg": "0/2 reachable" }),
                ),
            ],
        ),
        (
            "GET /config",
            200,
            vec![
                ("/spec/policy-enforcement", json!("default")),
                ("/status/immutable/routing-mode", json!("tunnel")),
                ("/status/realized/policy-enforcement", json!("default")),
                ("/status/addressing/ipv4/ip", json!("10.9.1.1")),
                ("/status/addressing/ipv4/alloc-range", json!("10.9.1.0/24")),
                ("/status/deviceMTU", json!(1500)),
                ("/status/routeMTU", json!(1450)),
                ("/status/datapathMode", json!("veth")),
                ("/status/ipam-mode", json!("kubernetes")),
            ],
        ),
        ("GET /endpoint", 200, vec![("/0/id", json!(5))]),
        (
            "GET /endpoint/5",
            200,
            vec![
                ("/spec", json!({})),
                (
                    "/status/external-identifiers/cni-attachment-id",
                    json!("c1:eth0"),
                ),
                ("/status/external-identifiers/k8s-pod-name", json!("web")),
                ("/status/identity/id", json!(1001)),
                ("/status/labels/security-relevant/0", json!("k8s:app=web")),
                ("/status/networking/addressing/0/ipv4", json!("10.9.1.5")),
                ("/status/networking/interface-index", json!(15)),
                ("/status/networking/host-mac", json!("02:00:00:00:01:05")),
                ("/status/policy/realized/policy-revision", json!(3)),
                ("/status/policy/realized/policy-enabled", json!("none")),
                ("/status/state", json!("ready")),
                ("/status/health/overallHealth", json!("OK")),
                ("/status/namedPorts/0/name", json!("http")),
            ],
        ),
        ("GET /endpoint/cilium-local:5", 200, vec![("/id", json!(5))]),
        (
            "GET /endpoint/cni-attachment-id:c1:eth0",
            200,
            vec![("/id", json!(5))],
        ),
        (
            "GET /endpoint/cni-attachment-id:c1",
            200,
            vec![("/id", json!(5))],
        ),
        (
            "GET /endpoint/container-id:c1",
            200,
            vec![("/id", json!(5))],
        ),
        (
            "GET /endpoint/pod-name:shop%2Fweb",
            200,
            vec![("/id", json!(5))],
        ),
        (
            "GET /endpoint/cep-name:shop%2Fweb",
            200,
            vec![("/id", json!(5))],
        ),
        ("GET /endpoint/ipv4:10.9.1.5", 200, vec![("/id", json!(5))]),
        (
            "GET /endpoint/5/config",
            200,
            vec![
                ("/realized", json!({})),
                ("/immutable/PolicyAuditMode", json!("Disabled")),
                ("/immutable/ConntrackAccounting", json!("Enabled")),
            ],
        ),
        (
            "GET /endpoint/5/labels",
            200,
            vec![("/status/security-relevant/0", json!("k8s:app=web"))],
        ),
        (
            "GET /endpoint/5/log",
            200,
            vec![
                ("/0/code", json!("ok")),
                ("/0/state", json!("ready")),
                (
                    "/0/message",
                    json!("seen with identity 1001, policy revision 3"),
                ),
            ],
        ),
        (
            "GET /endpoint/5/healthz",
            200,
            vec![
                ("/overallHealth", json!("OK")),
                ("/bpf", json!("OK")),
                ("/policy", json!("OK")),
                ("/connected", json!(true)),
            ],
        ),
        ("GET /identity", 200, vec![("/0/id", json!(1001))]),
        (
            "GET /identity/1001",
            200,
            vec![("/id", json!(1001)), ("/labels/0", json!("k8s:app=web"))],
        ),
        (
            "GET /identity/endpoints",
            200,
            vec![("/0/identity/id", json!(1001)), ("/0/refCount", json!(1))],
        ),
        (
            "GET /ip",
            200,
            vec![
                ("/0/cidr", json!("10.9.1.5/32")),
                ("/0/identity", json!(1001)),
                ("/0/metadata/source", json!("local")),
                ("/0/metadata/name", json!("web")),
                ("/1/cidr", json!("10.9.2.0/24")),
                ("/1/identity", json!(3)),
                ("/1/hostIP", json!("172.30.0.12")),
            ],
        ),
        (
            "GET /ip?cidr=10.9.2.0%2F24",
            200,
            vec![("/0/cidr", json!("10.9.2.0/24"))],
        ),
        (
            "GET /ip?cidr=10.9.1.5",
            200,
            vec![("/0/cidr", json!("10.9.1.5/32"))],
        ),
        ("GET /policy", 200, vec![("/revision", json!(3))]),
        (
            "GET /policy/selectors",
            200,
            vec![
                ("/0/selector", json!("reserved:host")),
                ("/3/users", json!(1)),
                ("/3/identities/0", json!(1001)),
            ],
        ),
        (
            "GET /policy/subject-selectors",
            200,
            vec![("/0/users", json!(1)), ("/0/identities/0", json!(1001))],
        ),
        (
            "GET /service",
            200,
            vec![
                ("/0/spec/id", json!(9)),
                ("/0/spec/frontend-address/ip", json!("10.96.0.7")),
                ("/0/spec/frontend-address/port", json!(80)),
                ("/0/spec/frontend-address/scope", json!("external")),
                ("/0/spec/backend-addresses/0/ip", json!("10.9.1.5")),
                ("/0/spec/backend-addresses/0/state", json!("active")),
                ("/0/spec/flags/type", json!("ClusterIP")),
                ("/0/spec/flags/trafficPolicy", json!("Cluster")),
                ("/0/spec/flags/intTrafficPolicy", json!("Cluster")),
                ("/0/spec/flags/namespace", json!("shop")),
                ("/0/status/realized/id", json!(9)),
            ],
        ),
        ("GET /map", 200, vec![("/maps/0/path", json!("endpoints"))]),
        (
            "GET /map/endpoints",
            200,
            vec![
                ("/path", json!("endpoints")),
                ("/cache/0/key", json!("15")),
                ("/cache/0/desired-action", json!("ok")),
            ],
        ),
        (
            "GET /map/addresses",
            200,
            vec![("/path", json!("addresses"))],
        ),
        (
            "GET /cluster/nodes",
            200,
            vec![
                ("/self", json!("n1")),
                ("/nodes-added/0/source", json!("local")),
                (
                    "/nodes-added/1/primary-address/ipv4/ip",
                    json!("172.30.0.12"),
                ),
                (
                    "/nodes-added/1/primary-address/ipv4/alloc-range",
                    json!("10.9.2.0/24"),
                ),
            ],
        ),
        ("GET /node/ids", 200, vec![("", json!([]))]),
        (
            "GET /debuginfo",
            200,
            vec![
                ("/cilium-status/cilium/state", json!("Ok")),
                ("/endpoint-list/0/id", json!(5)),
                ("/service-list/0/spec/id", json!(9)),
                ("/policy/revision", json!(3)),
            ],
        ),
        (
            "GET /axoneme/reconcile",
            200,
            vec![("/settled", json!(true))],
        ),
        (
            "POST /ipam?owner=shop%2Fnew",
            201,
            vec![
                ("/address/ipv4", json!("10.9.1.2")),
                ("/ipv4/gateway", json!("10.9.1.1")),
                ("/host-addressing/ipv4/ip", json!("10.9.1.1")),
            ],
        ),
        ("POST /ipam/10.9.1.200?owner=shop%2Fnew", 200, vec![]),
        (
            "POST /ipam/10.9.1.200?owner=shop%2Fnew&pool=default",
            200,
            vec![],
        ),
        ("DELETE /ipam/10.9.1.200?owner=shop%2Fnew", 200, vec![]),
        ("DELETE /ipam/10.9.1.201", 200, vec![]),
    ]
}

#[tokio::test]
async fn every_path_answers_under_upstreams_names() {
    let node = node().await;
    for (what, status, parts) in answered() {
        let (found, answer) = node.ask(what, &Value::Null).await;
        assert_eq!(found, status, "{what}: {answer}");
        for (pointer, value) in parts {
            assert_eq!(
                answer.pointer(pointer),
                Some(&value),
                "{what} {pointer} in {answer}"
            );
        }
    }
}

fn new_endpoint() -> Value {
    json!({
        "container-id": "c2", "container-interface-name": "eth0", "interface-name": "lxc6", "interface-index": 16,
        "mac": "02:00:00:00:00:06", "host-mac": "02:00:00:00:01:06", "addressing": { "ipv4": "10.9.1.6" },
        "state": "waiting-for-identity", "sync-build-endpoint": true,
    })
}

fn but(field: &str, value: Value) -> Value {
    let mut request = new_endpoint();
    request[field] = value;
    request
}

/// Path, body, status, and how the sentence begins.
#[allow(clippy::too_many_lines, reason = "a table")]
fn refused() -> Vec<(&'static str, Value, u16, &'static str)> {
    let none = || Value::Null;
    let put = "PUT /endpoint/cilium-local:0";
    vec![
        (
            "GET /nowhere",
            none(),
            404,
            "/v1/nowhere is not a path of this API",
        ),
        (
            "PUT /policy",
            none(),
            405,
            "/v1/policy cannot be asked for PUT",
        ),
        ("GET /endpoint/6", none(), 404, "no endpoint 6"),
        ("GET /endpoint/6/config", none(), 404, "no endpoint 6"),
        ("GET /endpoint/6/labels", none(), 404, "no endpoint 6"),
        ("GET /endpoint/6/log", none(), 404, "no endpoint 6"),
        ("GET /endpoint/6/healthz", none(), 404, "no endpoint 6"),
        ("PATCH /endpoint/6", json!({}), 404, "no endpoint 6"),
        ("PATCH /endpoint/6/config", json!({}), 404, "no endpoint 6"),
        ("PATCH /endpoint/6/labels", json!({}), 404, "no endpoint 6"),
        ("DELETE /endpoint/6", none(), 404, "no endpoint 6"),
        (
            "GET /endpoint/container-name:x",
            none(),
            404,
            "no endpoint container-name:x",
        ),
        ("GET /endpoint/x", none(), 400, "id: \"x\" "),
        ("GET /endpoint/cilium-local:x", none(), 400, "id: "),
        ("GET /endpoint/ipv4:x", none(), 400, "id: "),
        ("GET /endpoint/pod-name:web", none(), 400, "id: "),
        ("GET /endpoint/house-number:7", none(), 400, "id: "),
        (
            "GET /endpoint",
            json!(["k8s:app=none"]),
            404,
            "no endpoint with the labels k8s:app=none",
        ),
        ("GET /endpoint", json!({}), 400, "body: "),
        ("DELETE /endpoint", json!({}), 400, "container-id: "),
        (
            "DELETE /endpoint",
            json!({ "container-id": "c9" }),
            404,
            "no endpoint of container c9",
        ),
        (
            "DELETE /endpoint",
            json!({ "container-id": 9 }),
            400,
            "container-id: invalid type",
        ),
        (put, json!("{"), 400, "body: not JSON: "),
        (put, none(), 400, "body: not JSON: "),
        (
            put,
            but("interface-index", json!("x")),
            400,
            "interface-index: invalid type",
        ),
        (
            put,
            but("interface-index", json!(0)),
            400,
            "interface-index: ",
        ),
        (
            put,
            but("addressing", json!({ "ipv4": 7 })),
            400,
            "addressing.ipv4: invalid type",
        ),
        (
            put,
            but("addressing", json!({ "ipv4": "x" })),
            400,
            "addressing.ipv4: \"x\"",
        ),
        (
            put,
            but("addressing", json!({ "ipv6": "10.9.1.6" })),
            400,
            "addressing.ipv6: ",
        ),
        (put, but("addressing", json!({})), 400, "addressing: "),
        (
            put,
            but(
                "addressing",
                json!({ "ipv4": "10.9.1.6", "ipv4-expiration-uuid": "x" }),
            ),
            400,
            "addressing.ipv4-expiration-uuid: ",
        ),
        (
            put,
            but(
                "addressing",
                json!({ "ipv4": "10.9.1.6", "ipv4-expiration-uuid": "7" }),
            ),
            409,
            "addressing.ipv4: 10.9.1.6 is not in use",
        ),
        (
            put,
            but("addressing", json!({ "ipv4": "10.9.1.5" })),
            409,
            "addressing.ipv4: 10.9.1.5 belongs to shop/web",
        ),
        (put, but("container-id", json!("")), 400, "container-id: "),
        (
            put,
            but("container-id", json!("c1")),
            409,
            "there is an endpoint of attachment c1:eth0",
        ),
        (put, but("mac", json!("x")), 400, "mac: "),
        (put, but("host-mac", json!("x")), 400, "host-mac: "),
        (put, but("netns-cookie", json!("x")), 400, "netns-cookie: "),
        (put, but("id", json!(70000)), 400, "id: "),
        (
            put,
            but("state", json!("asleep")),
            400,
            "state: unknown variant",
        ),
        (
            "PATCH /endpoint/5",
            json!({ "mac": "02:00:00:00:00:09" }),
            400,
            "mac: cannot be changed",
        ),
        (
            "PATCH /endpoint/5",
            json!({ "labels": ["k8s:app=db"] }),
            400,
            "labels: cannot be changed",
        ),
        (
            "PATCH /endpoint/5",
            json!({ "policy-enabled": true }),
            400,
            "policy-enabled: cannot be changed",
        ),
        (
            "PATCH /endpoint/5/config",
            json!({ "options": { "PolicyAuditMode": "Enabled" } }),
            400,
            "options.PolicyAuditMode: ",
        ),
        (
            "PATCH /endpoint/5/config",
            json!({ "options": { "Turbo": "Enabled" } }),
            400,
            "options.Turbo: there is no such option",
        ),
        (
            "PATCH /endpoint/5/config",
            json!({ "options": 7 }),
            400,
            "options: invalid type",
        ),
        (
            "PATCH /endpoint/5/config",
            json!({ "label-configuration": { "user": ["a"] } }),
            400,
            "label-configuration.user: ",
        ),
        (
            "PATCH /endpoint/5/labels",
            json!({ "user": ["k8s:app=db"] }),
            400,
            "user: ",
        ),
        (
            "PATCH /config",
            json!({ "policy-enforcement": "always" }),
            400,
            "policy-enforcement: cannot be changed while the agent runs; start it with enable-policy=always",
        ),
        (
            "PATCH /config",
            json!({ "policy-enforcement": "perhaps" }),
            400,
            "policy-enforcement: unknown variant",
        ),
        (
            "PATCH /config",
            json!({ "options": { "routing-mode": "native" } }),
            400,
            "options.routing-mode: cannot be changed while the agent runs",
        ),
        (
            "PATCH /config",
            json!({ "options": { "warp": "9" } }),
            400,
            "options.warp: there is no such option",
        ),
        ("GET /identity/9999", none(), 404, "no identity 9999"),
        ("GET /identity/x", none(), 400, "id: \"x\" is not a number"),
        (
            "GET /identity",
            json!(["k8s:app=none"]),
            404,
            "no identity with the labels k8s:app=none",
        ),
        ("GET /ip?cidr=x", none(), 400, "cidr: \"x\""),
        (
            "GET /ip?cidr=192.0.2.1",
            none(),
            404,
            "nothing is known of 192.0.2.1/32",
        ),
        ("POST /ipam", none(), 400, "owner: "),
        ("POST /ipam?owner=a&family=ipx", none(), 400, "family: "),
        ("POST /ipam?owner=a&pool=blue", none(), 400, "pool: "),
        ("POST /ipam?owner=a&family=ipv6", none(), 502, ""),
        ("POST /ipam/x?owner=a", none(), 400, "ip: "),
        ("POST /ipam/10.9.1.7", none(), 400, "owner: "),
        ("POST /ipam/10.9.9.9?owner=a", none(), 400, "ip: "),
        (
            "POST /ipam/10.9.1.5?owner=a",
            none(),
            409,
            "10.9.1.5 belongs to shop/web",
        ),
        ("DELETE /ipam/x", none(), 400, "ip: "),
        (
            "DELETE /ipam/10.9.1.5",
            none(),
            409,
            "10.9.1.5 is in use by endpoint 5",
        ),
        (
            "GET /map/nothing",
            none(),
            404,
            "no map \"nothing\"; the agent keeps policies, ",
        ),
        (
            "GET /map/nothing/events",
            none(),
            404,
            "no map \"nothing\"; the agent keeps policies, ",
        ),
        (
            "GET /map/hops/events?follow=true",
            none(),
            404,
            "no events of map \"hops\": ",
        ),
        ("GET /axoneme/explain?from=x&to=1", none(), 400, ""),
    ]
}

#[tokio::test]
async fn what_is_not_there_or_not_understood_is_refused_with_a_sentence_that_names_it() {
    let node = node().await;
    for (what, body, status, begins) in refused() {
        let (found, answer) = node.ask(what, &body).await;
        assert_eq!(found, status, "{what} {body}: {answer}");
        let sentence = answer
            .as_str()
            .unwrap_or_else(|| panic!("{what}: {answer} is not a sentence"));
        assert!(
            sentence.starts_with(begins) && !sentence.is_empty(),
            "{what} {body}: {sentence}"
        );
    }
}

#[tokio::test]
async fn what_is_so_already_may_be_asked_for() {
    let node = node().await;
    for (what, body) in [
        (
            "PATCH /config",
            json!({ "policy-enforcement": "default", "options": { "routing-mode": "tunnel" } }),
        ),
        ("PATCH /config", json!({})),
        (
            "PATCH /endpoint/5",
            json!({ "mac": "02:00:00:00:00:05", "state": "ready", "addressing": { "ipv4": "10.9.1.5" } }),
        ),
        (
            "PATCH /endpoint/5/config",
            json!({ "options": { "PolicyAuditMode": "Disabled" } }),
        ),
        ("PATCH /endpoint/5/labels", json!({ "user": [] })),
        ("GET /endpoint", json!(["k8s:app=web"])),
        (
            "GET /identity",
            json!([
                "k8s:app=web",
                "k8s:io.kubernetes.pod.namespace=shop",
                "k8s:io.cilium.k8s.policy.cluster=default"
            ]),
        ),
    ] {
        let (status, answer) = node.ask(what, &body).await;
        assert_eq!(status, 200, "{what} {body}: {answer}");
    }
}

#[tokio::test]
async fn an_endpoint_is_made_with_its_address_and_deleted_with_it() {
    let node = node().await;
    let (status, made) = node
        .ask("PUT /endpoint/cilium-local:0", &new_endpoint())
        .await;
    assert_eq!(
        (status, &made["id"]),
        (StatusCode::CREATED, &json!(6)),
        "{made}"
    );
    // It was not asked for before: it is the endpoint's from now on.
    let (status, _) = node
        .ask("POST /ipam/10.9.1.6?owner=shop%2Fother", &Value::Null)
        .await;
    assert_eq!(status, StatusCode::CONFLICT);
    let (status, _) = node.ask("DELETE /endpoint/5", &Value::Null).await;
    assert_eq!(status, StatusCode::OK);
    let (_, health) = node.ask("GET /healthz", &Value::Null).await;
    assert_eq!(
        health.pointer("/ipam/allocations/10.9.1.5"),
        None,
        "{health}"
    );
}

/// Asks for an address of this family that goes back unless it is confirmed; with its token.
async fn given(node: &Node) -> (String, String) {
    let request = Request::post("/v1/ipam?family=ipv4&owner=shop%2Fnew")
        .header("expiration", "true")
        .body(Body::empty());
    let response = node.router.clone().oneshot(request.unwrap()).await.unwrap();
    let octets = axum::body::to_bytes(response.into_body(), 1 << 20).await;
    let answer: Value = serde_json::from_slice(&octets.unwrap()).unwrap();
    let text = |field: &str| answer["address"][field].as_str().unwrap().to_owned();
    (text("ipv4"), text("ipv4-expiration-uuid"))
}

async fn is_free(node: &Node, address: &str) -> bool {
    let (_, health) = node.ask("GET /healthz", &Value::Null).await;
    let held = format!("/ipam/allocations/{address}");
    health.pointer(&held).is_none()
}

#[tokio::test]
async fn addresses_of_an_endpoint_that_does_not_come_about_go_back() {
    let (mut api, view) = parts(&[("k8s-node-name", "n1")], Inputs::nothing()).await;
    let (engine, mut orders) = mpsc::channel(4);
    api.engine = engine;
    tokio::spawn(async move {
        while let Some(order) = orders.recv().await {
            if let Command::Create(_, answer) = order {
                let full = crate::engine::Error::Exhausted("this node is full".to_owned());
                let _ = answer.send(Err(full));
            }
        }
    });
    let node = Node::of(api, view);
    let (address, token) = given(&node).await;
    assert!(!is_free(&node, &address).await);
    let asked = but(
        "addressing",
        json!({ "ipv4": address, "ipv4-expiration-uuid": token }),
    );
    let (status, answer) = node.ask("PUT /endpoint/cilium-local:0", &asked).await;
    assert_eq!(status, 500, "{answer}");
    assert!(is_free(&node, &address).await, "refused by the engine");
}

#[tokio::test]
async fn addresses_go_back_when_nobody_waits_for_the_endpoint_any_more() {
    let node = node().await;
    let (address, token) = given(&node).await;
    let mut asked = but(
        "addressing",
        json!({ "ipv4": address, "ipv4-expiration-uuid": token }),
    );
    // Nobody knows of this pod, so that its labels are waited for.
    asked["k8s-namespace"] = "shop".into();
    asked["k8s-pod-name"] = "new".into();
    let request = Request::put("/v1/endpoint/cilium-local:0")
        .header("content-type", "application/json")
        .body(Body::from(asked.to_string()));
    let waiting = tokio::spawn(node.router.clone().oneshot(request.unwrap()));
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert!(!waiting.is_finished() && !is_free(&node, &address).await);
    waiting.abort();
    waiting.await.unwrap_err();
    assert!(is_free(&node, &address).await);
}

#[tokio::test]
async fn the_health_api_tells_of_the_agent_and_of_nodes_that_were_probed() {
    let node = node().await;
    let ask = async |what: &str| {
        node.ask_of(&node.health, "/v1beta", what, &Value::Null)
            .await
    };
    let (status, own) = ask("GET /healthz").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(own.pointer("/cilium/cilium/state"), Some(&json!("Ok")));
    assert!(own["uptime"].as_str().is_some_and(|of| of.ends_with('s')));
    let load = own.pointer("/system-load/last1min");
    assert!(
        load.and_then(Value::as_str)
            .is_some_and(|of| of.parse::<f64>().is_ok())
    );
    let (status, known) = ask("GET /status").await;
    assert_eq!(status, StatusCode::OK);
    // Nothing was probed yet.
    assert_eq!(
        known,
        json!({ "local": { "name": "n1" }, "probeInterval": "10.9s" })
    );
    let (status, _) = ask("DELETE /status").await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(ask("GET /nothing").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_agent_that_is_not_ready_says_so_in_its_answer() {
    let node = node().await;
    node.view.publish(View {
        waiting_for: vec!["pods"],
        ..view()
    });
    let (status, health) = node.ask("GET /healthz", &Value::Null).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        health["cilium"],
        json!({ "state": "Failure", "msg": "waiting for pods" })
    );
}

#[test]
fn the_log_keeps_what_changed_and_forgets_endpoints_that_are_gone() {
    let log = EndpointLog::default();
    let told = |row: EndpointRow| View {
        endpoints: vec![row],
        ..View::default()
    };
    log.note(&told(endpoint()));
    log.note(&told(endpoint()));
    for revision in 4..300 {
        log.note(&told(EndpointRow {
            policy_revision: revision,
            ..endpoint()
        }));
    }
    let changes = log.of(EndpointId(5));
    assert_eq!(changes.len(), 100);
    assert_eq!(changes[0].message, "policy revision 299 is in force");
    log.note(&View::default());
    assert!(log.of(EndpointId(5)).is_empty());
}

#[test]
fn only_root_may_use_the_socket_unless_a_group_is_named() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _inside = runtime.enter();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run/agent.sock");
    let mode = || {
        let of = std::fs::metadata(&path).unwrap();
        (
            of.permissions().mode() & 0o777,
            std::os::unix::fs::MetadataExt::gid(&of),
        )
    };
    let own = std::os::unix::fs::MetadataExt::gid(&std::fs::metadata(directory.path()).unwrap());
    drop(bind(&path, None).unwrap());
    assert_eq!(mode(), (0o600, own));
    let groups = std::fs::read_to_string("/etc/group").unwrap();
    let name = groups.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?);
        (id.parse() == Ok(own)).then_some(name)
    });
    let name = name
        .collect::<Vec<_>>()
        .pop()
        .expect("the own group has a name");
    // In place of the one that a former run left.
    drop(bind(&path, Some(name)).unwrap());
    assert_eq!(mode(), (0o660, own));
    let error = bind(&path, Some("no-such-group")).unwrap_err().to_string();
    assert_eq!(error, "socket-group: there is no group \"no-such-group\"");
}

/// A router that is copied for each connection copies its state once for each route.
#[tokio::test]
async fn a_connection_does_not_copy_the_state() {
    let node = node().await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("api.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let stop = CancellationToken::new();
    let server = tokio::spawn(serve(listener, node.router, stop.clone()));
    let mut open = vec![connected(&path).await];
    let before = Arc::strong_count(&node.config);
    for _ in 0..10 {
        open.push(connected(&path).await);
    }
    let same = async {
        while Arc::strong_count(&node.config) != before {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let held = tokio::time::timeout(Duration::from_secs(2), same).await;
    assert!(
        held.is_ok(),
        "{before} holders with one connection, {} with {}",
        Arc::strong_count(&node.config),
        open.len()
    );
    drop(open);
    stop.cancel();
    server.await.unwrap();
}

/// A connection that was answered and stays open.
async fn connected(path: &Path) -> UnixStream {
    let mut stream = UnixStream::connect(path).await.unwrap();
    let request = b"GET /v1/nothing HTTP/1.1\r\nHost: agent\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut octet = [0];
    stream.read_exact(&mut octet).await.unwrap();
    stream
}

async fn node_with_pools() -> (Node, Addresses) {
    let (api, view, addresses) = parts_with_pools().await;
    (Node::of(api, view), addresses)
}

/// The same node with pools to choose from, of which it has ranges of three.
async fn parts_with_pools() -> (Api, ViewWriter, Addresses) {
    use model::ipam::choice::{PoolRow, Wish};
    use reconcile::Table;

    use crate::inputs::{NamespaceRow, PodRow};
    let wish = |pool: Option<&str>| Wish {
        both: pool.map(Into::into),
        ..Wish::default()
    };
    let (mut pods, pod_table) = Table::new("pods", &["store"]);
    for (name, pool, app) in [
        ("plain", None, ""),
        ("named", Some("blue"), ""),
        ("chosen", None, "db"),
        ("lost", Some("nowhere"), ""),
    ] {
        let row = PodRow {
            labels: [("app".into(), app.into())].into(),
            pools: wish(pool),
            ..PodRow::default()
        };
        let name = PodName {
            namespace: "shop".into(),
            name: name.into(),
        };
        pods.set(name, row);
    }
    let (mut namespaces, namespace_table) = Table::new("namespaces", &["store"]);
    namespaces.set("shop".into(), NamespaceRow::default());
    let (mut pools, pool_table) = Table::new("pools", &["store"]);
    let db = json!({ "ipv4": {}, "podSelector": { "matchLabels": { "app": "db" } } });
    for (name, spec) in [("default", json!({})), ("blue", json!({})), ("red", db)] {
        let row = PoolRow {
            skip_masquerade: name == "red",
            ..PoolRow::read(&spec).unwrap()
        };
        pools.set(name.into(), row);
    }
    pools.mark_initialized("store");
    let inputs = Inputs {
        pods: pod_table,
        namespaces: namespace_table,
        ..Inputs::nothing()
    };
    let keys = [("k8s-node-name", "n1"), ("ipam", "multi-pool")];
    let (mut api, view) = parts(&keys, inputs).await;
    let nets = |text: &str| vec![text.parse().unwrap()];
    let ranges = [
        ("default".into(), nets("10.9.1.0/24")),
        ("blue".into(), nets("10.1.0.8/31")),
        ("red".into(), nets("10.2.0.8/31")),
    ];
    let endpoints = api.view.get().endpoints.clone();
    let addresses = Addresses::of_pools(&ranges.into(), &api.addressing, &api.config, &endpoints);
    api.pools = Some(Pools::over(pool_table, api.identities.clone()));
    api.addresses = addresses.clone();
    (api, view, addresses)
}

#[tokio::test]
async fn a_pod_has_an_address_of_the_pool_that_is_chosen_for_it() {
    let (node, addresses) = node_with_pools().await;
    let ask = async |owner: &str| {
        let what = format!("POST /ipam?owner={owner}");
        node.ask(&what, &Value::Null).await
    };
    for (owner, address, pool) in [
        ("shop%2Fplain", "10.9.1.2", "default"),
        ("shop%2Fnamed", "10.1.0.8", "blue"),
        ("shop%2Fchosen", "10.2.0.8", "red"),
        ("health", "10.9.1.3", "default"),
        ("shop%2Fplain&pool=blue", "10.1.0.9", "blue"),
    ] {
        let (status, answer) = ask(owner).await;
        assert_eq!(status, StatusCode::CREATED, "{owner}: {answer}");
        let given = (
            &answer["address"]["ipv4"],
            &answer["address"]["ipv4-pool-name"],
        );
        assert_eq!(given, (&json!(address), &json!(pool)), "{owner}");
    }
    // What cannot be given may be given soon: the plugin tries again for a while, and its runtime after that.
    let (status, answer) = ask("shop%2Fnamed").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let full = "no free IPv4 address in 10.1.0.8/31 of pool blue: all 2 are in use; the operator was asked for more";
    assert_eq!(answer, json!(full));
    let (status, answer) = ask("shop%2Flost").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer, json!("there is no pool nowhere"));
    assert!(addresses.is_waiting());
    let released = node.ask(
        "DELETE /ipam/10.1.0.9?owner=shop%2Fplain&pool=blue",
        &Value::Null,
    );
    assert_eq!(released.await.0, StatusCode::OK);
    let (_, health) = node.ask("GET /healthz", &Value::Null).await;
    assert_eq!(
        health["ipam"]["status"],
        "6 addresses in use; pool blue: 1/2 IPv4; pool default: 4/254 IPv4; pool red: 1/2 IPv4"
    );
    let allocations = &health["ipam"]["allocations"];
    assert_eq!(allocations["blue/10.1.0.8"], "shop/named");
    assert_eq!(allocations["10.9.1.5"], "shop/web");
    let (_, endpoint) = node.ask("GET /endpoint/5", &Value::Null).await;
    let pool = endpoint.pointer("/status/networking/addressing/0/ipv4-pool-name");
    assert_eq!(pool, Some(&json!("default")));
}

#[tokio::test]
async fn an_endpoint_keeps_its_address_on_the_way_out_if_the_pool_of_that_address_says_so() {
    for (address, ipv4) in [("10.2.0.8", true), ("10.1.0.8", false)] {
        let (mut api, view, _) = parts_with_pools().await;
        let (engine, mut orders) = mpsc::channel(1);
        api.engine = engine;
        let node = Node::of(api, view);
        let asked = but("addressing", json!({ "ipv4": address }));
        let ask = node.ask("PUT /endpoint/cilium-local:0", &asked);
        let order = async {
            let Some(Command::Create(row, answer)) = orders.recv().await else {
                panic!("nothing is made");
            };
            let _ = answer.send(Ok(*row.clone()));
            row.skip_masquerade
        };
        let ((status, made), keeps) = tokio::join!(ask, order);
        assert_eq!(status, StatusCode::CREATED, "{made}");
        assert_eq!(keeps, SkipMasquerade { ipv4, ipv6: false }, "{address}");
    }
    let (node, _) = node_with_pools().await;
    for (owner, keeps) in [("chosen", json!(true)), ("named", Value::Null)] {
        let what = format!("POST /ipam?owner=shop%2F{owner}");
        let (_, answer) = node.ask(&what, &Value::Null).await;
        assert_eq!(
            answer["ipv4"]["skip-masquerade"], keeps,
            "{owner}: {answer}"
        );
    }
}
