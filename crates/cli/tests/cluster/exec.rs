//! Commands in the pods of the fake cluster. Where there is any policy in a namespace, its pods reach nobody.

#![allow(clippy::unwrap_used, reason = "part of tests")]

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures::{SinkExt, StreamExt};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Message, Role};

use super::fake::{Content, Shared};

pub(crate) fn parameters(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(name, value)| (name.to_owned(), decode(value)))
        .collect()
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let hex: Vec<u8> = rest.by_ref().take(2).collect();
                let hex = std::str::from_utf8(&hex).unwrap();
                bytes.push(u8::from_str_radix(hex, 16).unwrap());
            }
            b'+' => bytes.push(b' '),
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// What a command does: exit code (`None` where it cannot be started), standard output, standard error.
type Done = (Option<i32>, String, &'static str);

pub(crate) fn upgrade(
    shared: Shared,
    path: &str,
    query: &[(String, String)],
    request: &mut Request,
) -> Response {
    let words: Vec<String> = query
        .iter()
        .filter(|(name, _)| name == "command")
        .map(|(_, value)| value.clone())
        .collect();
    if path.ends_with("/portforward") {
        return switch(request, move |socket| forward(socket, shared));
    }
    let parts: Vec<&str> = path.split('/').collect();
    let (namespace, pod) = (parts[4].to_owned(), parts[6].to_owned());
    if shared.content().broken == pod {
        return (
            StatusCode::INTERNAL_SERVER_ERROR,
            "the kubelet does not answer",
        )
            .into_response();
    }
    let (code, out, err) = run(&mut shared.content(), &namespace, &pod, &words);
    switch(request, move |mut socket| async move {
        for (channel, bytes) in [
            (1, out.as_bytes()),
            (2, err.as_bytes()),
            (3, status(code).to_string().as_bytes()),
        ] {
            let frame: Vec<u8> = [channel].into_iter().chain(bytes.iter().copied()).collect();
            let _ = socket.send(Message::binary(frame)).await;
        }
        let _ = socket.close(None).await;
    })
}

type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

/// Answers with a change to WebSocket, over which `act` then speaks.
fn switch<F>(request: &mut Request, act: impl FnOnce(Socket) -> F + Send + 'static) -> Response
where
    F: Future<Output = ()> + Send,
{
    let accept = derive_accept_key(request.headers()["sec-websocket-key"].as_bytes());
    let upgrade = hyper::upgrade::on(request);
    tokio::spawn(async move {
        let raw = TokioIo::new(upgrade.await.unwrap());
        act(WebSocketStream::from_raw_socket(raw, Role::Server, None).await).await;
    });
    let headers = [
        ("connection", "Upgrade".to_owned()),
        ("upgrade", "websocket".to_owned()),
        ("sec-websocket-accept", accept),
        ("sec-websocket-protocol", "v4.channel.k8s.io".to_owned()),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

/// A port behind which somebody writes down what comes and shouts it back; channel 0 is its data, 1 its errors.
async fn forward(mut socket: Socket, shared: Shared) {
    let port = 4245_u16.to_le_bytes();
    for channel in [0, 1] {
        let frame = vec![channel, port[0], port[1]];
        let _ = socket.send(Message::binary(frame)).await;
    }
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Binary(bytes) = message {
            shared.content().forwarded.extend(&bytes[1..]);
            let answer = bytes.to_ascii_uppercase();
            let _ = socket.send(Message::binary(answer)).await;
        }
    }
}

fn status(code: Option<i32>) -> Value {
    match code {
        Some(0) => json!({ "metadata": {}, "status": "Success" }),
        Some(code) => json!({ "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
            "details": { "causes": [{ "reason": "ExitCode", "message": code.to_string() }] } }),
        None => {
            json!({ "metadata": {}, "status": "Failure", "reason": "InternalError", "code": 500,
            "message": "exec: executable file not found in $PATH" })
        }
    }
}

fn policies(content: &Content, namespace: &str) -> Vec<String> {
    let inside = format!("/namespaces/{namespace}/");
    let all = content
        .objects
        .iter()
        .filter(|(path, _)| path.contains(&inside) && path.contains("policies/"));
    all.map(|(_, of)| {
        format!(
            "{} {namespace}/{}",
            of["kind"].as_str().unwrap(),
            of["metadata"]["name"].as_str().unwrap()
        )
    })
    .collect()
}

fn run(content: &mut Content, namespace: &str, pod: &str, words: &[String]) -> Done {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["curl", ..] => call(content, namespace, pod, &words),
        ["ping", ..] if words.contains(&"127.0.0.1") => (Some(0), String::new(), ""),
        ["ping", ..] => ping(content, namespace, pod, words.last().unwrap()),
        ["cilium-dbg", "policy", "get", ..] => {
            let all: Vec<Value> = namespaces(content)
                .iter()
                .flat_map(|of| policies(content, of))
                .map(|of| json!({ "policy": of }))
                .collect();
            said(
                &json!({ "revision": content.revision, "policy": serde_json::to_string_pretty(&all).unwrap() }),
            )
        }
        ["cilium-dbg", "endpoint", "list", ..] => {
            let pods = content
                .objects
                .iter()
                .filter(|(path, _)| path.contains("/pods/"));
            let endpoint = |of: &Value| {
                json!({ "status": { "state": "ready",
                "external-identifiers": { "pod-name": format!("{}/{}", of["metadata"]["namespace"].as_str().unwrap(), of["metadata"]["name"].as_str().unwrap()) },
                "policy": { "realized": { "policy-revision": content.revision } } } })
            };
            said(&Value::Array(pods.map(|(_, of)| endpoint(of)).collect()))
        }
        ["cilium-dbg", "status", ..] => {
            let well = json!({ "cilium": { "state": "Ok", "msg": "1.0" }, "controllers": [] });
            said(content.status.as_ref().unwrap_or(&well))
        }
        ["cilium-dbg", "version", ..] => said(&json!({ "Daemon": { "Version": "0.1.0" } })),
        ["cilium-dbg", "bpf", "metrics", ..] => said(
            &json!([{ "reason": "CT: Map insertion failed", "direction": "egress", "packets": content.dropped }]),
        ),
        ["hubble", "observe", ..] => {
            let lines: Vec<String> = content
                .flows
                .iter()
                .map(|flow| json!({ "flow": flow }).to_string())
                .collect();
            (Some(0), lines.join("\n"), "")
        }
        ["timeout", _, "iperf", "-s", ..] => (Some(0), String::new(), ""),
        ["iperf", "-c", ..] => (
            Some(0),
            "1,a,2,b,3,4,0.0-1.0,125000000,1000000000\n".to_owned(),
            "",
        ),
        ["cilium-health", "status", "--probe", "-o", "json"] if content.health.is_some() => {
            said(content.health.as_ref().unwrap())
        }
        ["cilium-health", ..] => (None, String::new(), ""),
        _ => (Some(0), "{}".to_owned(), ""),
    }
}

fn said(value: &Value) -> Done {
    (Some(0), value.to_string(), "")
}

fn namespaces(content: &Content) -> Vec<String> {
    let all = content
        .objects
        .keys()
        .filter_map(|path| path.strip_prefix("/api/v1/namespaces/"));
    all.filter(|rest| !rest.contains('/'))
        .map(str::to_owned)
        .collect()
}

fn address(content: &Content, namespace: &str, pod: &str) -> String {
    let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}");
    content.objects[&path]["status"]["podIP"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn remember(content: &mut Content, source: &str, destination: &str, l4: &Value, denied: bool) {
    let verdict = if denied { "DROPPED" } else { "FORWARDED" };
    let reason = if denied {
        "POLICY_DENIED"
    } else {
        "DROP_REASON_UNKNOWN"
    };
    content.flows.push(json!({ "verdict": verdict, "drop_reason_desc": reason, "traffic_direction": "EGRESS", "node_name": "n1",
        "IP": { "source": source, "destination": destination }, "l4": l4 }));
}

fn call(content: &mut Content, namespace: &str, pod: &str, words: &[&str]) -> Done {
    content.dropped += content.drops_by_call;
    let denied = !policies(content, namespace).is_empty();
    let after = |flag: &str| words[words.iter().position(|word| *word == flag).unwrap() + 1];
    let port: u16 = after("--local-port")
        .split('-')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let url = words.last().unwrap().strip_prefix("http://").unwrap();
    let (host, rest) = url.split_once(':').unwrap();
    let source = address(content, namespace, pod);
    let l4 = json!({ "TCP": { "source_port": port, "destination_port": rest.trim_end_matches('/').parse::<u16>().unwrap() } });
    remember(content, &source, host, &l4, denied);
    if denied {
        (Some(28), String::new(), "curl: (28) timed out")
    } else {
        (Some(0), String::new(), "")
    }
}

fn ping(content: &mut Content, namespace: &str, pod: &str, host: &str) -> Done {
    let denied = !policies(content, namespace).is_empty();
    let source = address(content, namespace, pod);
    remember(
        content,
        &source,
        host,
        &json!({ "ICMPv4": { "type": 8 } }),
        denied,
    );
    (Some(i32::from(denied)), String::new(), "")
}
