//! `build-config` against a fake API server that has a ConfigMap, a CiliumNodeConfig and a node with an annotation.

#![allow(clippy::unwrap_used, reason = "a failed step of a test ends the test")]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};

use serde_json::{Value, json};

fn object(path: &str) -> Option<Value> {
    match path.split('?').next()? {
        "/api/v1/namespaces/net/configmaps/cilium-config" => Some(json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "data": { "debug": "false", "ipam": "kubernetes", "mtu": "0" },
        })),
        "/apis/cilium.io/v2/namespaces/net/ciliumnodeconfigs" => Some(json!({
            "apiVersion": "cilium.io/v2", "kind": "CiliumNodeConfigList", "metadata": {},
            "items": [{
                "apiVersion": "cilium.io/v2", "kind": "CiliumNodeConfig",
                "metadata": { "name": "fast", "namespace": "net" },
                "spec": { "nodeSelector": { "matchLabels": { "nic": "fast" } }, "defaults": { "mtu": "9000" } },
            }],
        })),
        "/api/v1/nodes/n1" => Some(json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {
                "name": "n1", "labels": { "nic": "fast" },
                "annotations": { "config.cilium.io/debug": "true", "other": "x" },
            },
        })),
        _ => None,
    }
}

fn answer(stream: &TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut first = String::new();
        reader.read_line(&mut first).ok().filter(|read| *read > 0)?;
        let mut line = String::new();
        while line.trim() != "" || line.is_empty() {
            line.clear();
            reader.read_line(&mut line).ok()?;
        }
        let path = first.split(' ').nth(1)?.to_owned();
        let (status, body) = match object(&path) {
            Some(object) => ("200 OK", object),
            None => (
                "404 Not Found",
                json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404,
                    "reason": "NotFound", "message": format!("{path} is not there"), "metadata": {} }),
            ),
        };
        let body = body.to_string();
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let mut stream = stream;
        stream.write_all((head + &body).as_bytes()).ok()?;
    }
}

fn build(namespace: &str, words: &[&str]) -> (Output, tempfile::TempDir) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(&stream));
        }
    });
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_axoneme"))
        .args(["dbg", "build-config", "--k8s-api-server-urls", &url])
        .arg("--dest")
        .arg(directory.path().join("config-map"))
        .args(words)
        .env_clear()
        .env("K8S_NODE_NAME", "n1")
        .env("CILIUM_K8S_NAMESPACE", namespace)
        .output()
        .unwrap();
    (output, directory)
}

#[test]
fn the_node_overrides_its_config_object_which_overrides_the_map() {
    let (output, directory) = build("net", &[]);
    assert!(output.status.success(), "{output:?}");
    let read = |key: &str| std::fs::read_to_string(directory.path().join("config-map").join(key));
    assert_eq!(read("ipam").unwrap(), "kubernetes");
    assert_eq!(read("mtu").unwrap(), "9000");
    assert_eq!(read("debug").unwrap(), "true");
    assert!(read("other").is_err());
}

#[test]
fn a_key_that_may_not_be_overridden_is_named() {
    let (output, directory) = build("net", &["--deny-config-keys=debug"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("debug: may not be overridden, ignored"),
        "{said}"
    );
    let debug = std::fs::read_to_string(directory.path().join("config-map/debug")).unwrap();
    assert_eq!(debug, "false");
}

#[test]
fn a_map_that_is_not_there_fails_at_once_with_its_path() {
    let begun = std::time::Instant::now();
    let (output, _directory) = build("elsewhere", &[]);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("namespaces/elsewhere/configmaps/cilium-config"),
        "{said}"
    );
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
}
