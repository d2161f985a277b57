//! A small HTTP/JSON driver, and a server of our own to drive where no other is named.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]
#![allow(dead_code, reason = "each test binary uses a part of the driver")]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use apiserver::{Config, Running, Server};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

/// Longest wait for anything that should come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A server by its address.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) authority: String,
}

/// A server, a namespace of its own in it, and what must live as long.
pub(crate) struct Bench {
    pub(crate) api: Api,
    pub(crate) namespace: String,
    pub(crate) own: Option<(Running, tempfile::TempDir)>,
}

impl Bench {
    /// The server named by `AXONEME_CONTRACT_URL` (plain HTTP, as `kubectl proxy` gives it), or one of our own.
    pub(crate) async fn new() -> Self {
        let own = match std::env::var("AXONEME_CONTRACT_URL") {
            Ok(url) => {
                return Self::on(
                    Api {
                        authority: url.trim_start_matches("http://").to_owned(),
                    },
                    None,
                )
                .await;
            }
            Err(_) => tempfile::tempdir().unwrap(),
        };
        let mut config = Config::new(own.path());
        config.bookmark_interval = Duration::from_millis(200);
        Self::start(config, own).await
    }

    pub(crate) async fn start(config: Config, directory: tempfile::TempDir) -> Self {
        let running = Server::start(config).await.unwrap();
        let authority = running.addr.unwrap().to_string();
        Self::on(Api { authority }, Some((running, directory))).await
    }

    async fn on(api: Api, own: Option<(Running, tempfile::TempDir)>) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let namespace = format!(
            "ax-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let body =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        let (code, answer) = api.post("/api/v1/namespaces", &body).await;
        assert_eq!(code, 201, "{answer}");
        Self {
            api,
            namespace,
            own,
        }
    }

    /// Path of a core resource in the namespace.
    pub(crate) fn core(&self, rest: &str) -> String {
        format!("/api/v1/namespaces/{}/{rest}", self.namespace)
    }

    /// Path of a resource of a group in the namespace.
    pub(crate) fn in_group(&self, group: &str, rest: &str) -> String {
        format!("/apis/{group}/namespaces/{}/{rest}", self.namespace)
    }

    /// Removes the namespace, so that a server that is not ours is left as it was.
    pub(crate) async fn end(self) {
        let path = format!("/api/v1/namespaces/{}", self.namespace);
        let (code, answer) = self.api.delete(&path, None).await;
        assert!(code < 300, "{answer}");
        if let Some((running, _directory)) = self.own {
            running.stop().await;
        }
    }

    /// Creates a config map with labels; returns it.
    pub(crate) async fn config_map(&self, name: &str, labels: Value) -> Value {
        let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}, "data": {"k": "v"}});
        let (code, object) = self.api.post(&self.core("configmaps"), &body).await;
        assert_eq!(code, 201, "{object}");
        object
    }
}

impl Api {
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> http::Response<Incoming> {
        let stream = TcpStream::connect(&self.authority).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.authority);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        sender
            .send_request(request.body(Full::new(Bytes::from(body))).unwrap())
            .await
            .unwrap()
    }

    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> (u16, Value) {
        let response = self
            .send(
                method,
                path,
                &[
                    ("content-type", content_type),
                    ("accept", "application/json"),
                ],
                body,
            )
            .await;
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
        (
            code,
            serde_json::from_slice(&bytes).unwrap_or_else(|_| text()),
        )
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.call("GET", path, "application/json", Vec::new()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.call(
            "POST",
            path,
            "application/json",
            body.to_string().into_bytes(),
        )
        .await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> (u16, Value) {
        self.call(
            "PUT",
            path,
            "application/json",
            body.to_string().into_bytes(),
        )
        .await
    }

    pub(crate) async fn merge(&self, path: &str, body: &Value) -> (u16, Value) {
        self.call(
            "PATCH",
            path,
            "application/merge-patch+json",
            body.to_string().into_bytes(),
        )
        .await
    }

    pub(crate) async fn json_patch(&self, path: &str, body: &Value) -> (u16, Value) {
        self.call(
            "PATCH",
            path,
            "application/json-patch+json",
            body.to_string().into_bytes(),
        )
        .await
    }

    pub(crate) async fn delete(&self, path: &str, options: Option<&Value>) -> (u16, Value) {
        let body = options
            .map(|options| options.to_string().into_bytes())
            .unwrap_or_default();
        self.call("DELETE", path, "application/json", body).await
    }

    /// Names in a list, sorted.
    pub(crate) async fn names(&self, path: &str) -> Vec<String> {
        let (code, list) = self.get(path).await;
        assert_eq!(code, 200, "{list}");
        let items = list["items"].as_array().unwrap().iter();
        let mut names: Vec<String> = items
            .map(|item| item["metadata"]["name"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    }

    pub(crate) async fn watch(&self, path: &str) -> Watch {
        let response = self
            .send("GET", path, &[("accept", "application/json")], Vec::new())
            .await;
        let code = response.status().as_u16();
        Watch {
            code,
            body: response.into_body(),
            buffer: Vec::new(),
            lines: VecDeque::new(),
        }
    }

    /// Asks until `fits`, or panics with the last answer.
    pub(crate) async fn until(&self, path: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            let (_, answer) = self.get(path).await;
            if fits(&answer) {
                return answer;
            }
            assert!(
                tokio::time::Instant::now() < end,
                "{path} never fitted: {answer:#}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A watch in progress.
pub(crate) struct Watch {
    pub(crate) code: u16,
    body: Incoming,
    buffer: Vec<u8>,
    lines: VecDeque<Value>,
}

impl Watch {
    /// The next event; `None` when the server ended the watch.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        tokio::time::timeout(PATIENCE, self.read())
            .await
            .expect("the watch stayed silent")
    }

    /// Type and name of the next event that is no bookmark.
    pub(crate) async fn change(&mut self) -> (String, String) {
        loop {
            let event = self.next().await.expect("the watch ended");
            if event["type"] != "BOOKMARK" {
                let name = event["object"]["metadata"]["name"]
                    .as_str()
                    .unwrap_or_default();
                return (event["type"].as_str().unwrap().to_owned(), name.to_owned());
            }
        }
    }

    async fn read(&mut self) -> Option<Value> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Some(line);
            }
            let frame = self.body.frame().await?.ok()?;
            self.buffer.extend_from_slice(&frame.into_data().ok()?);
            while let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                self.lines.push_back(serde_json::from_slice(&line).unwrap());
            }
        }
    }
}

/// The revision of an object or list, as text.
pub(crate) fn revision(object: &Value) -> &str {
    object["metadata"]["resourceVersion"].as_str().unwrap()
}

/// A CRD for `widgets` of a group of its own, with a separate status.
pub(crate) fn widgets(group: &str) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("widgets.{group}")},
        "spec": {
            "group": group, "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
                "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}]
            }]
        }
    })
}
