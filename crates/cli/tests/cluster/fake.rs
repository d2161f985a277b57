//! A fake cluster: an API server that keeps objects by their paths and lets pods appear, with commands in those over WebSocket.

#![allow(clippy::unwrap_used, reason = "part of tests")]

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::exec;

/// What the cluster is like.
#[derive(Default)]
pub(crate) struct Content {
    /// By path.
    pub(crate) objects: BTreeMap<String, Value>,
    /// What every container logs.
    pub(crate) log: String,
    /// What the flow servers have seen.
    pub(crate) flows: Vec<Value>,
    /// Raised by each change of a policy.
    pub(crate) revision: i64,
    /// A pod in which no command can be run.
    pub(crate) broken: String,
    /// What agents say to `status`; their own word if there is none.
    pub(crate) status: Option<Value>,
    /// What health programs say; they are not there if nothing.
    pub(crate) health: Option<Value>,
    /// Packets dropped because a table was full.
    pub(crate) dropped: i64,
    /// So many more with each call.
    pub(crate) drops_by_call: i64,
    /// What came through forwarded ports.
    pub(crate) forwarded: Vec<u8>,
    /// Every request, with its method.
    pub(crate) asked: Vec<String>,
}

#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<Content>>);

impl Shared {
    pub(crate) fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap()
    }
}

/// A cluster of two nodes on which Axoneme is well.
pub(crate) struct Fake {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) shared: Shared,
    _runtime: tokio::runtime::Runtime,
}

/// What the program did.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Fake {
    pub(crate) fn start() -> Self {
        let shared = Shared(Arc::default());
        shared.content().objects = usual();
        "an INFO line\n".clone_into(&mut shared.content().log);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = axum::Router::new()
            .fallback(answer)
            .with_state(shared.clone());
        runtime.spawn(async move { axum::serve(listener, app).await });
        let directory = tempfile::tempdir().unwrap();
        let config = json!({ "apiVersion": "v1", "kind": "Config", "current-context": "lab",
            "clusters": [{ "name": "lab", "cluster": { "server": url } }],
            "contexts": [{ "name": "lab", "context": { "cluster": "lab", "user": "me" } },
                { "name": "other", "context": { "cluster": "lab", "user": "me" } }],
            "users": [{ "name": "me", "user": { "token": "CANARY-of-the-kubeconfig" } }] });
        std::fs::write(directory.path().join("kubeconfig"), config.to_string()).unwrap();
        Self {
            directory,
            shared,
            _runtime: runtime,
        }
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_axoneme"));
        command
            .args(words)
            .current_dir(self.directory.path())
            .env_clear()
            .env("KUBECONFIG", self.directory.path().join("kubeconfig"))
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, words: &[&str]) -> Ran {
        ran(&mut self.command(words))
    }
}

pub(crate) fn ran(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran {
        code: output.status.code().unwrap(),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

fn usual() -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    let mut add = |path: &str, object: Value| all.insert(path.to_owned(), object);
    let workload = |status: Value| json!({ "metadata": { "generation": 1 }, "spec": { "replicas": 1 }, "status": status });
    for (name, address) in [("n1", "192.0.2.1"), ("n2", "192.0.2.2")] {
        let status = json!({ "conditions": [{ "type": "Ready", "status": "True" }],
            "addresses": [{ "type": "InternalIP", "address": address }] });
        add(
            &format!("/api/v1/nodes/{name}"),
            json!({ "metadata": { "name": name }, "status": status }),
        );
    }
    add(
        "/apis/apps/v1/namespaces/kube-system/daemonsets/cilium",
        workload(json!({ "observedGeneration": 1,
        "desiredNumberScheduled": 2, "numberReady": 2, "updatedNumberScheduled": 2 })),
    );
    add(
        "/apis/apps/v1/namespaces/kube-system/deployments/cilium-operator",
        workload(json!({ "observedGeneration": 1,
        "readyReplicas": 1, "updatedReplicas": 1 })),
    );
    let agent = json!({ "k8s-app": "cilium" });
    let operator = json!({ "io.cilium/app": "operator" });
    for (name, node, labels, container) in [
        ("cilium-a", "n1", &agent, "cilium-agent"),
        ("cilium-b", "n2", &agent, "cilium-agent"),
        ("cilium-operator-x", "n1", &operator, "cilium-operator"),
    ] {
        let mut object = pod("kube-system", name, node, "192.0.2.9", labels);
        object["spec"]["hostNetwork"] = json!(true);
        object["spec"]["containers"] = json!([{ "name": container, "image": "axoneme:1" }]);
        object["status"]["containerStatuses"] =
            json!([{ "name": container, "restartCount": 0, "state": { "running": {} } }]);
        add(
            &format!("/api/v1/namespaces/kube-system/pods/{name}"),
            object,
        );
    }
    add(
        "/api/v1/namespaces/kube-system/configmaps/cilium-config",
        json!({ "metadata": { "name": "cilium-config" }, "data": { "enable-ipv4": "true", "routing-mode": "tunnel" } }),
    );
    add(
        "/apis/cilium.io/v2",
        json!({ "resources": [{ "name": "ciliumendpoints" }, { "name": "ciliumnetworkpolicies" },
        { "name": "ciliumnetworkpolicies/status" }] }),
    );
    add("/version", json!({ "gitVersion": "v1.37.2" }));
    all
}

pub(crate) fn pod(namespace: &str, name: &str, node: &str, address: &str, labels: &Value) -> Value {
    json!({ "metadata": { "namespace": namespace, "name": name, "labels": labels },
        "spec": { "nodeName": node, "containers": [{ "name": "main", "image": "agnhost:1" }] },
        "status": { "phase": "Running", "podIP": address, "podIPs": [{ "ip": address }],
            "containerStatuses": [{ "name": "main", "restartCount": 0, "state": { "running": {} } }],
            "conditions": [{ "type": "Ready", "status": "True" }] } })
}

fn refusal(code: StatusCode, message: &str) -> Response {
    let status = json!({ "kind": "Status", "status": "Failure", "code": code.as_u16(), "message": message, "reason": "X" });
    (code, status.to_string()).into_response()
}

async fn answer(State(shared): State<Shared>, mut request: Request) -> Response {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let query = exec::parameters(uri.query().unwrap_or_default());
    shared.content().asked.push(format!("{method} {uri}"));
    if uri.path().ends_with("/exec") || uri.path().ends_with("/portforward") {
        return exec::upgrade(shared, uri.path(), &query, &mut request);
    }
    if uri.path().ends_with("/log") {
        return shared.content().log.clone().into_response();
    }
    let body = axum::body::to_bytes(request.into_body(), 1 << 20)
        .await
        .unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let selector = query
        .iter()
        .find(|(name, _)| name == "labelSelector")
        .map(|(_, value)| value.as_str());
    decide(&mut shared.content(), &method, uri.path(), &body, selector)
}

fn decide(
    content: &mut Content,
    method: &Method,
    path: &str,
    body: &Value,
    selector: Option<&str>,
) -> Response {
    if path.contains("policies") && *method != Method::GET {
        content.revision += 1;
    }
    match *method {
        Method::POST => {
            let place = format!("{path}/{}", body["metadata"]["name"].as_str().unwrap());
            if content.objects.contains_key(&place) {
                return refusal(StatusCode::CONFLICT, "it exists");
            }
            content.objects.insert(place, body.clone());
            appear(content, path, body);
            body.to_string().into_response()
        }
        Method::DELETE => {
            let below = format!("{path}/");
            let before = content.objects.len();
            // Of a namespace all goes, whatever its group.
            let inside = path
                .strip_prefix("/api/v1")
                .filter(|rest| rest.starts_with("/namespaces/"))
                .map(|rest| format!("{rest}/"));
            content.objects.retain(|of, _| {
                of != path
                    && !of.starts_with(&below)
                    && !inside.as_ref().is_some_and(|inside| of.contains(inside))
            });
            if content.objects.len() == before {
                refusal(StatusCode::NOT_FOUND, "not found")
            } else {
                "{}".into_response()
            }
        }
        Method::PATCH => match content.objects.get_mut(path) {
            Some(object) => {
                merge(object, body);
                object.to_string().into_response()
            }
            None => refusal(StatusCode::NOT_FOUND, "not found"),
        },
        _ => match content.objects.get(path) {
            Some(object) => object.to_string().into_response(),
            None if is_collection(path) => {
                json!({ "metadata": {}, "items": list(content, path, selector) })
                    .to_string()
                    .into_response()
            }
            None => refusal(StatusCode::NOT_FOUND, "not found"),
        },
    }
}

/// Below the group's root an odd number of words is a collection: `pods`, `namespaces/x/pods`.
fn is_collection(path: &str) -> bool {
    let words: Vec<&str> = path.split('/').skip(1).collect();
    let root = if words.first() == Some(&"api") { 2 } else { 3 };
    words.len() > root && (words.len() - root) % 2 == 1
}

fn merge(object: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = json!({});
    }
    let fields = object.as_object_mut().unwrap();
    for (name, value) in patch {
        if value.is_null() {
            fields.remove(name);
        } else {
            merge(fields.entry(name).or_insert(Value::Null), value);
        }
    }
}

fn list(content: &Content, path: &str, selector: Option<&str>) -> Vec<Value> {
    let plural = path.rsplit('/').next().unwrap();
    let in_namespace = path.contains("/namespaces/");
    let root = path.strip_suffix(plural).unwrap();
    let here = |of: &str| {
        let Some((collection, _)) = of.rsplit_once('/') else {
            return false;
        };
        collection == path
            || (!in_namespace
                && collection.starts_with(root)
                && collection.ends_with(&format!("/{plural}")))
    };
    let selected =
        |object: &Value| match selector.map(|text| text.split_once('=').unwrap_or((text, ""))) {
            None => true,
            Some((key, "")) => object["metadata"]["labels"].get(key).is_some(),
            Some((key, value)) => object["metadata"]["labels"][key] == value,
        };
    let found = content
        .objects
        .iter()
        .filter(|(of, object)| here(of) && selected(object));
    found.map(|(_, object)| object.clone()).collect()
}

/// What controllers and kubelets would do.
fn appear(content: &mut Content, collection: &str, object: &Value) {
    let Some((_, rest)) = collection.split_once("/namespaces/") else {
        return;
    };
    let Some((namespace, plural)) = rest.split_once('/') else {
        return;
    };
    let name = object["metadata"]["name"].as_str().unwrap().to_owned();
    let labels = &object["spec"]["template"]["metadata"]["labels"];
    match plural {
        "services" => {
            let number = content.objects.len();
            let place = format!("{collection}/{name}");
            let service = content.objects.get_mut(&place).unwrap();
            service["spec"]["clusterIPs"] = json!([format!("10.96.0.{number}")]);
            service["spec"]["ports"][0]["nodePort"] = json!(30000 + number);
        }
        "deployments" => {
            let node = object.pointer("/spec/template/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution\
                /nodeSelectorTerms/0/matchFields/0/values/0").unwrap().as_str().unwrap().to_owned();
            let address = format!("10.0.0.{}", content.objects.len());
            let made = pod(
                namespace,
                &format!("{name}-5d4f8c-abcde"),
                &node,
                &address,
                labels,
            );
            put_pod(content, namespace, made);
        }
        "daemonsets" => {
            for (node, address) in [("n1", "192.0.2.1"), ("n2", "192.0.2.2")] {
                let mut made = pod(namespace, &format!("{name}-{node}"), node, address, labels);
                made["spec"]["hostNetwork"] = json!(true);
                put_pod(content, namespace, made);
            }
        }
        _ => {}
    }
}

fn put_pod(content: &mut Content, namespace: &str, pod: Value) {
    let name = pod["metadata"]["name"].as_str().unwrap();
    if pod["spec"]["hostNetwork"] != true {
        let endpoint = json!({ "metadata": { "namespace": namespace, "name": name } });
        content.objects.insert(
            format!("/apis/cilium.io/v2/namespaces/{namespace}/ciliumendpoints/{name}"),
            endpoint,
        );
    }
    content
        .objects
        .insert(format!("/api/v1/namespaces/{namespace}/pods/{name}"), pod);
}
