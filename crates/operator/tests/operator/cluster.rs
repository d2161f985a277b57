//! An operator of the test, and a cluster's objects.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request};
use hyper_util::client::legacy::Client as Http;
use hyper_util::rt::TokioExecutor;
use operator::config::{Config, Given};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::stores::Store;

pub(crate) const LEASE: &str =
    "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/cilium-operator-resource-lock";
pub(crate) const NODES: &str = "/apis/cilium.io/v2/ciliumnodes";
/// For operators of tests in which a lease runs out. The others keep theirs over pauses of a busy machine.
pub(crate) const SHORT_LEASE: [(&str, &str); 2] = [
    ("leader-election-lease-duration", "4s"),
    ("leader-election-renew-deadline", "1500ms"),
];

/// An operator in this process.
pub(crate) struct Operator {
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

pub(crate) fn config(url: &str, name: &str, pairs: &[(&str, &str)]) -> Config {
    let always = [
        ("k8s-api-server-urls", url),
        ("k8s-node-name", name),
        ("operator-k8s-client-qps", "10000"),
        ("operator-k8s-client-burst", "1000"),
        ("leader-election-lease-duration", "60s"),
        ("leader-election-renew-deadline", "40s"),
        ("leader-election-retry-period", "100ms"),
        ("operator-api-serve-addr", "127.0.0.1:0"),
    ];
    let pairs = always.into_iter().chain(pairs.iter().copied());
    Config::new(&Given::from_pairs(pairs)).unwrap()
}

impl Operator {
    pub(crate) fn start(url: &str, name: &str, pairs: &[(&str, &str)]) -> Self {
        Self::with(config(url, name, pairs))
    }

    /// One that takes a lease over soon and does not notice when its own has run out: how long the test's machine pauses ends
    /// no term of it.
    pub(crate) fn heedless(url: &str, name: &str, pairs: &[(&str, &str)]) -> Self {
        let mut config = config(url, name, &[&SHORT_LEASE[..], pairs].concat());
        config.lease.renew = Duration::from_mins(10);
        Self::with(config)
    }

    pub(crate) fn with(config: Config) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(operator::wiring::run(config, stop.clone()));
        Self { stop, task }
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.ended().await
    }

    pub(crate) async fn ended(self) -> anyhow::Result<()> {
        let ended = tokio::time::timeout(Duration::from_secs(20), self.task).await;
        ended.expect("it ends").expect("it does not panic")
    }
}

/// Who leads.
pub(crate) async fn holder(store: &Store) -> Option<String> {
    let lease = store.direct.raw(Method::GET, LEASE, None).await.ok()?;
    let holder = lease["spec"]["holderIdentity"].as_str()?.to_owned();
    (!holder.is_empty()).then_some(holder)
}

/// As an agent does.
pub(crate) async fn add_node(store: &Store, name: &str, ranges: &[&str]) {
    let node = json!({
        "apiVersion": "cilium.io/v2", "kind": "CiliumNode", "metadata": { "name": name },
        "spec": { "addresses": [{ "type": "InternalIP", "ip": "172.30.0.1" }], "ipam": { "podCIDRs": ranges } },
    });
    store.send(Method::POST, NODES, Some(&node)).await;
}

pub(crate) fn ranges_of(node: &Value) -> Vec<String> {
    let ranges = node["spec"]["ipam"]["podCIDRs"].as_array();
    let ranges = ranges.into_iter().flatten().filter_map(Value::as_str);
    ranges.map(str::to_owned).collect()
}

/// The first range of a node.
pub(crate) async fn range(store: &Store, name: &str) -> Option<String> {
    let node = store.get(&format!("{NODES}/{name}")).await;
    ranges_of(&node).into_iter().next()
}

pub(crate) async fn http(address: &str, path: &str) -> (u16, String) {
    let client = Http::builder(TokioExecutor::new()).build_http();
    let request = Request::get(format!("http://{address}{path}"));
    let answer = client
        .request(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    let code = answer.status().as_u16();
    let body = axum::body::to_bytes(Body::new(answer.into_body()), 1 << 20)
        .await
        .unwrap();
    (code, String::from_utf8(body.to_vec()).unwrap())
}

/// An address that no other socket of this machine gets before it is listened at: ports of 127.0.0.1 are handed out to
/// all that connect or listen.
pub(crate) fn free_address() -> String {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    let last = NEXT.fetch_add(1, Ordering::Relaxed);
    let listener =
        std::net::TcpListener::bind((Ipv4Addr::new(127, high | 1, low, last), 0)).unwrap();
    listener.local_addr().unwrap().to_string()
}

/// Names of all objects of a list.
pub(crate) async fn names(store: &Store, path: &str) -> BTreeSet<String> {
    let list = store.get(path).await;
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let names = items
        .iter()
        .map(|of| of["metadata"]["name"].as_str().unwrap().to_owned());
    names.collect()
}
