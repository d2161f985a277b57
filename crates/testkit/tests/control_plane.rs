//! What an agent writes into the store, against the embedded one, with a tenth of all requests failing.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use agent::inputs::Inputs;
use agent::view::{View, ViewWriter, channel};
use agent::{announce, policy_status};
use apiserver::{Config, Running, Server};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use model::endpoint::{EndpointId, EndpointRow, LifeCycle, Mac, PodName};
use model::identity::Identity;
use model::labels::LabelSet;
use model::node::IpPair;
use model::policy::ParseOptions;
use reconcile::{Table, TaskGroup};
use serde_json::{Value, json};
use store::{Client, Options};

/// Fails a share of the requests that pass through it; half of those reach the server all the same.
struct Proxy {
    server: String,
    client: Http<HttpConnector, Body>,
    percent: u64,
    seed: Mutex<u64>,
    failed: AtomicU64,
}

impl Proxy {
    fn draw(&self) -> u64 {
        let mut seed = self.seed.lock().expect("no holder panicked");
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        *seed
    }
}

async fn forward(State(proxy): State<Arc<Proxy>>, mut request: Request) -> Response {
    let drawn = proxy.draw();
    let fails = drawn % 100 < proxy.percent;
    let refusal = || StatusCode::INTERNAL_SERVER_ERROR.into_response();
    if fails {
        proxy.failed.fetch_add(1, Ordering::Relaxed);
        if drawn >> 32 & 1 == 0 {
            return refusal();
        }
    }
    let path = request.uri().path_and_query().map_or("/", |of| of.as_str());
    *request.uri_mut() = format!("{}{path}", proxy.server)
        .parse::<Uri>()
        .expect("a URI");
    match proxy.client.request(request).await {
        Ok(_) if fails => refusal(),
        Ok(response) => response.map(Body::new),
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}

struct Store {
    _data: tempfile::TempDir,
    _server: Running,
    proxy: Arc<Proxy>,
    url: String,
    /// Past the proxy.
    direct: Client,
}

async fn client(url: &str) -> Client {
    let mut options = Options::named("test");
    options.urls = vec![url.to_owned()];
    options.requests_per_second = 10_000.0;
    options.burst = 1_000.0;
    Client::new(options).await.expect("a client")
}

impl Store {
    async fn start(percent: u64, seed: u64) -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let server = Server::start(Config::new(data.path()))
            .await
            .expect("the server starts");
        let at = server.url().expect("it listens on TCP");
        let proxy = Arc::new(Proxy {
            server: at.clone(),
            client: Http::builder(TokioExecutor::new()).build_http(),
            percent,
            seed: Mutex::new(seed),
            failed: AtomicU64::new(0),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port is free");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let app = axum::Router::new()
            .fallback(forward)
            .with_state(Arc::clone(&proxy));
        tokio::spawn(async move { axum::serve(listener, app).await });
        let direct = client(&at).await;
        Self {
            _data: data,
            _server: server,
            proxy,
            url,
            direct,
        }
    }

    async fn send(&self, method: Method, path: &str, object: Option<&Value>) -> Value {
        self.direct
            .raw(method, path, object)
            .await
            .expect("the store answers")
    }

    async fn get(&self, path: &str) -> Value {
        self.send(Method::GET, path, None).await
    }
}

/// Looks again and again until `found` gives something.
async fn until<T, F: Future<Output = Option<T>>>(what: &str, found: impl Fn() -> F) -> T {
    for _ in 0..600 {
        if let Some(found) = found().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what} does not come");
}

const POLICIES: &str = "/apis/cilium.io/v2/namespaces/default/ciliumnetworkpolicies";

fn policy(name: &str, from: &str) -> Value {
    json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy",
        "metadata": { "name": name, "namespace": "default" },
        "spec": { "endpointSelector": {}, "ingress": [{ "fromCIDR": [from] }] },
    })
}

fn valid(object: &Value) -> Option<(String, String)> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    let of = conditions.iter().find(|of| of["type"] == "Valid")?;
    let text = |field: &str| of[field].as_str().unwrap_or_default().to_owned();
    assert!(!text("lastTransitionTime").is_empty(), "{of}");
    Some((text("status"), text("message")))
}

async fn until_valid(store: &Store, name: &str, status: &str) -> String {
    let path = format!("{POLICIES}/{name}");
    until(&format!("{name}: {status}"), || async {
        let (now, message) = valid(&store.get(&path).await)?;
        (now == status).then_some(message)
    })
    .await
}

/// The part of an agent that says what is wrong with policies.
async fn conditions(store: &Store, tasks: &TaskGroup) {
    let client = client(&store.url).await;
    let inputs = Inputs::follow(&client, tasks, "n1", &ParseOptions::default());
    let (writer, desired) = Table::new("policy conditions", &["policies"]);
    let (reconciler, _) = policy_status::conditions(client, inputs.clone(), desired);
    tasks.spawn("conditions", move |stop| reconciler.run(stop));
    tasks.spawn("validity", move |stop| {
        policy_status::follow(inputs, writer, stop)
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_policy_is_in_its_status_with_the_fields_path() {
    let store = Store::start(10, 7).await;
    let tasks = TaskGroup::new();
    // Two agents that judge alike must not write against each other.
    conditions(&store, &tasks).await;
    conditions(&store, &tasks).await;
    for number in 0..8 {
        let good = policy(&format!("good{number}"), "10.0.0.0/8");
        store.send(Method::POST, POLICIES, Some(&good)).await;
        let mut bad = policy(&format!("bad{number}"), "10.0.0.300/8");
        bad["status"] = json!({});
        store.send(Method::POST, POLICIES, Some(&bad)).await;
    }
    for number in 0..8 {
        let message = until_valid(&store, &format!("bad{number}"), "False").await;
        assert!(
            message.starts_with("spec.ingress[0].fromCIDR[0]: "),
            "{message}"
        );
        until_valid(&store, &format!("good{number}"), "True").await;
    }
    let path = format!("{POLICIES}/bad3");
    let mut mended = store.get(&path).await;
    mended["spec"]["ingress"][0]["fromCIDR"][0] = "10.1.0.0/16".into();
    store.send(Method::PUT, &path, Some(&mended)).await;
    until_valid(&store, "bad3", "True").await;
    store
        .send(Method::DELETE, &format!("{POLICIES}/bad4"), None)
        .await;
    // Nobody goes on writing.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = store.get(POLICIES).await["items"].clone();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(store.get(POLICIES).await["items"], before);
    assert_eq!(before.as_array().map(Vec::len), Some(15));
    assert!(
        store.proxy.failed.load(Ordering::Relaxed) > 5,
        "no request failed"
    );
    tasks.shutdown(Duration::from_secs(2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clusterwide_policy_has_its_status_too() {
    let store = Store::start(0, 7).await;
    let tasks = TaskGroup::new();
    conditions(&store, &tasks).await;
    let path = "/apis/cilium.io/v2/ciliumclusterwidenetworkpolicies";
    let bad = json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumClusterwideNetworkPolicy", "metadata": { "name": "all" },
        "spec": { "endpointSelector": {}, "egress": [{ "toPorts": [{ "ports": [{ "port": "99999", "protocol": "TCP" }] }] }] },
    });
    store.send(Method::POST, path, Some(&bad)).await;
    let message = until("the condition", || async {
        let (status, message) = valid(&store.get(&format!("{path}/all")).await)?;
        (status == "False").then_some(message)
    })
    .await;
    assert!(
        message.starts_with("spec.egress[0].toPorts[0].ports[0].port"),
        "{message}"
    );
    tasks.shutdown(Duration::from_secs(2)).await;
}

fn endpoint(number: u16) -> EndpointRow {
    let name = format!("pod{number}");
    EndpointRow {
        id: EndpointId(number),
        pod: Some(PodName {
            namespace: "default".into(),
            name: name.as_str().into(),
        }),
        pod_uid: Some(format!("uid{number}").into()),
        container_id: name.as_str().into(),
        container_interface: "eth0".into(),
        netns: "".into(),
        netns_cookie: 0,
        ips: IpPair {
            v4: Some([10, 244, 1, number as u8].into()),
            v6: None,
        },
        mac: Mac::default(),
        host_mac: Mac::default(),
        ifname: format!("lxc{number}").into(),
        ifindex: u32::from(number),
        labels: LabelSet::empty(),
        identity: Some(Identity(1000 + u32::from(number))),
        named_ports: Vec::new(),
        service_account: None,
        policy_revision: 1,
        life: LifeCycle::created(),
    }
}

fn publish(view: &ViewWriter, numbers: impl Iterator<Item = u16>) {
    view.publish(View {
        revision: 1,
        endpoints: numbers.map(endpoint).collect(),
        waiting_for: Vec::new(),
        ..View::default()
    });
}

const ENDPOINTS: &str = "/apis/cilium.io/v2/namespaces/default/ciliumendpoints";

async fn announced(store: &Store) -> Vec<(String, i64)> {
    let list = store.get(ENDPOINTS).await;
    let mut all: Vec<_> = list["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|of| {
            let name = of["metadata"]["name"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            (
                name,
                of["status"]["identity"]["id"].as_i64().unwrap_or_default(),
            )
        })
        .collect();
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_are_announced_as_they_come_and_go_and_those_of_other_nodes_stay() {
    let store = Store::start(10, 11).await;
    let foreign = json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumEndpoint", "metadata": { "name": "foreign", "namespace": "default" },
        "status": { "identity": { "id": 77 }, "networking": { "node": "172.30.0.99", "addressing": [{ "ipv4": "10.244.9.9" }] } },
    });
    store.send(Method::POST, ENDPOINTS, Some(&foreign)).await;
    let tasks = TaskGroup::new();
    let addressing = agent::node::Addressing {
        node_ipv4: Some([172, 30, 0, 11].into()),
        node_ipv6: None,
        pods_ipv4: None,
        pods_ipv6: None,
    };
    let (view, reader) = channel();
    let (writer, desired) = Table::new("announced endpoints", &["endpoints"]);
    let through = client(&store.url).await;
    let (reconciler, _) = announce::endpoints(through, &addressing, desired);
    tasks.spawn("announced endpoints", move |stop| reconciler.run(stop));
    tasks.spawn("announcements", move |stop| {
        announce::follow(reader, addressing, writer, stop)
    });
    for numbers in [1..=20, 11..=30, 5..=9] {
        publish(&view, numbers.clone());
        let mut expected: Vec<(String, i64)> = numbers
            .map(|number| (format!("pod{number}"), 1000 + i64::from(number)))
            .chain([("foreign".to_owned(), 77)])
            .collect();
        expected.sort();
        until("what is to be announced", || async {
            (announced(&store).await == expected).then_some(())
        })
        .await;
    }
    assert!(
        store.proxy.failed.load(Ordering::Relaxed) > 0,
        "no request failed"
    );
    tasks.shutdown(Duration::from_secs(2)).await;
}
