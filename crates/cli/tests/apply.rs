//! `axoneme apply` against a fake API server that keeps objects by their paths.

#![allow(clippy::unwrap_used, reason = "a failed step of a test ends the test")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// Objects by path, and the version that was given last.
#[derive(Default)]
struct Objects {
    all: BTreeMap<String, Value>,
    version: u64,
    /// Refuse that many replacements as conflicts.
    conflicts: u32,
}

struct Server {
    directory: tempfile::TempDir,
    objects: Arc<Mutex<Objects>>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let directory = tempfile::tempdir().unwrap();
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{ "name": "c", "cluster": { "server": url } }],
            "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
            "users": [{ "name": "u", "user": {} }],
        });
        std::fs::write(directory.path().join("kubeconfig"), config.to_string()).unwrap();
        let objects = Arc::new(Mutex::new(Objects::default()));
        let shared = Arc::clone(&objects);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer(&stream, &mut shared.lock().unwrap());
            }
        });
        Self { directory, objects }
    }

    fn apply(&self, text: &str) -> (i32, String) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_axoneme"))
            .args(["apply", "-f", "-"])
            .env_clear()
            .env("KUBECONFIG", self.directory.path().join("kubeconfig"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        (output.status.code().unwrap(), said.concat())
    }
}

#[allow(clippy::unwrap_used, reason = "part of tests")]
fn answer(stream: &TcpStream, objects: &mut Objects) {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).unwrap();
    let mut length = 0;
    let mut line = "-".to_owned();
    while !line.trim().is_empty() {
        line.clear();
        reader.read_line(&mut line).unwrap();
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let mut words = first.split_whitespace();
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let path = target.split('?').next().unwrap();
    let (status, answer) = decide(
        method,
        path,
        serde_json::from_slice(&body).unwrap_or_default(),
        objects,
    );
    let text = answer.to_string();
    let mut stream = stream;
    let _ = write!(
        stream,
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    );
}

fn refusal(code: u16, message: &str) -> (u16, Value) {
    (
        code,
        json!({ "kind": "Status", "status": "Failure", "code": code, "message": message, "reason": "X" }),
    )
}

fn decide(method: &str, path: &str, mut object: Value, objects: &mut Objects) -> (u16, Value) {
    if path == "/api/v1" {
        let resources = json!([
            { "name": "pods/status", "kind": "Pod", "namespaced": true },
            { "name": "pods", "singularName": "pod", "kind": "Pod", "namespaced": true },
            { "name": "namespaces", "singularName": "namespace", "kind": "Namespace", "namespaced": false },
        ]);
        return (
            200,
            json!({ "kind": "APIResourceList", "resources": resources }),
        );
    }
    let place = match method {
        "POST" => format!(
            "{path}/{}",
            object["metadata"]["name"].as_str().unwrap_or_default()
        ),
        _ => path.to_owned(),
    };
    let old = objects.all.get(&place).cloned();
    match (method, old) {
        ("GET", Some(old)) => return (200, old),
        ("GET", None) => return refusal(404, "not found"),
        ("POST", Some(_)) => return refusal(409, "it exists"),
        ("PUT", Some(old)) => {
            if objects.conflicts > 0
                || object["metadata"]["resourceVersion"] != old["metadata"]["resourceVersion"]
            {
                objects.conflicts = objects.conflicts.saturating_sub(1);
                return refusal(409, "it has changed");
            }
            if object == old {
                return (200, old);
            }
        }
        _ if object["spec"]["bad"] == true => return refusal(422, "spec.bad: must not be true"),
        _ => {}
    }
    objects.version += 1;
    object["metadata"]["resourceVersion"] = objects.version.to_string().into();
    objects.all.insert(place, object.clone());
    (201, object)
}

const TWO: &str = "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}\n---\n\
                   {apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {a: 1}}\n";

#[test]
fn objects_are_created_left_or_replaced_and_a_namespace_is_filled_in() {
    let server = Server::start();
    assert_eq!(
        server.apply(TWO),
        (0, "namespace/shop created\npod/web created\n".to_owned())
    );
    assert!(
        server
            .objects
            .lock()
            .unwrap()
            .all
            .contains_key("/api/v1/namespaces/default/pods/web")
    );
    assert_eq!(
        server.apply(TWO),
        (
            0,
            "namespace/shop unchanged\npod/web unchanged\n".to_owned()
        )
    );
    let changed = TWO.replace("a: 1", "a: 2");
    assert_eq!(
        server.apply(&changed),
        (0, "namespace/shop unchanged\npod/web replaced\n".to_owned())
    );
    let objects = server.objects.lock().unwrap();
    assert_eq!(
        objects.all["/api/v1/namespaces/default/pods/web"]["spec"],
        json!({ "a": 2 })
    );
}

#[test]
fn a_conflict_is_tried_again_with_the_newest_version() {
    let server = Server::start();
    server.apply(TWO);
    server.objects.lock().unwrap().conflicts = 2;
    let (code, said) = server.apply(&TWO.replace("a: 1", "a: 3"));
    assert_eq!(
        (code, said.as_str()),
        (0, "namespace/shop unchanged\npod/web replaced\n")
    );
}

#[test]
fn one_refusal_does_not_stop_the_others_and_fails_the_command() {
    let server = Server::start();
    let (code, said) = server.apply(&format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: x}}, spec: {{bad: true}}}}\n---\n{TWO}"
    ));
    assert_eq!(code, 1);
    assert_eq!(
        said,
        "standard input, document 1: spec.bad: must not be true (422)\nnamespace/shop created\npod/web created\n\
         Error: 1 of 3 objects were refused\n"
    );
}

#[test]
fn a_kind_that_the_server_does_not_have_is_named() {
    let (code, said) =
        Server::start().apply("{apiVersion: v1, kind: Nonsense, metadata: {name: x}}");
    assert_eq!(code, 1);
    assert!(
        said.contains("the API server has no kind Nonsense in v1; is its definition installed?"),
        "{said}"
    );
}
