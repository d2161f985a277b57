use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures::{SinkExt, StreamExt};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Message, Role};

use super::*;
use crate::Options;

/// What a kubelet does with a command: what it says by channel, then its status; `None` ends the connection instead.
struct Said {
    messages: Vec<(u8, Vec<u8>)>,
    status: Option<Value>,
    /// It does not end.
    hangs: bool,
    refuse: Option<StatusCode>,
}

#[derive(Clone)]
struct Server {
    said: Arc<Said>,
    asked: Arc<Mutex<Vec<String>>>,
}

async fn answer(State(server): State<Server>, mut request: Request) -> Response {
    let target = request.uri().path_and_query().unwrap().to_string();
    server.asked.lock().unwrap().push(target.clone());
    if let Some(status) = server.said.refuse {
        let sentence = json!({ "kind": "Status", "status": "Failure", "code": status.as_u16(),
            "reason": "X", "message": "pods \"p\" may not be entered" });
        return (status, sentence.to_string()).into_response();
    }
    if target.contains("/log?") {
        return "a line\n".into_response();
    }
    let key = request.headers()["sec-websocket-key"].as_bytes();
    let accept = derive_accept_key(key);
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let raw = TokioIo::new(upgrade.await.unwrap());
        let socket = WebSocketStream::from_raw_socket(raw, Role::Server, None).await;
        if target.contains("/portforward") {
            echo_upper(socket).await;
        } else {
            speak(socket, &server.said).await;
        }
    });
    let headers = [
        ("connection", "Upgrade".to_owned()),
        ("upgrade", "websocket".to_owned()),
        ("sec-websocket-accept", accept),
        ("sec-websocket-protocol", "v4.channel.k8s.io".to_owned()),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

async fn speak(mut socket: Socket, said: &Said) {
    let status = said
        .status
        .iter()
        .map(|status| (3, status.to_string().into_bytes()));
    for (channel, bytes) in said.messages.iter().cloned().chain(status) {
        let frame: Vec<u8> = [channel].into_iter().chain(bytes).collect();
        socket.send(Message::binary(frame)).await.unwrap();
    }
    if said.hangs {
        std::future::pending::<()>().await;
    }
    let _ = socket.close(None).await;
}

/// A port behind which somebody shouts back: channel 0 is its data, 1 its errors, each begins with the port.
async fn echo_upper(mut socket: Socket) {
    let port = 80_u16.to_le_bytes();
    for channel in [0, 1] {
        socket
            .send(Message::binary(vec![channel, port[0], port[1]]))
            .await
            .unwrap();
    }
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Binary(bytes) = message {
            let answer = bytes.to_ascii_uppercase();
            let _ = socket.send(Message::binary(answer)).await;
        }
    }
}

async fn start(said: Said) -> (Client, Arc<Mutex<Vec<String>>>) {
    let server = Server {
        said: Arc::new(said),
        asked: Arc::default(),
    };
    let asked = Arc::clone(&server.asked);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = axum::Router::new().fallback(answer).with_state(server);
    tokio::spawn(async move { axum::serve(listener, app).await });
    let mut options = Options::named("test");
    options.urls = vec![url];
    (Client::new(options).await.unwrap(), asked)
}

fn date() -> Exec {
    Exec {
        namespace: "shop".to_owned(),
        pod: "web".to_owned(),
        container: "main".to_owned(),
        command: ["date", "-d", "1 + 1"].map(str::to_owned).to_vec(),
        limit: Duration::from_secs(5),
        most: 1 << 20,
    }
}

fn ended(code: i32) -> Value {
    if code == 0 {
        return json!({ "metadata": {}, "status": "Success" });
    }
    json!({ "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode", "message": "command terminated",
        "details": { "causes": [{ "reason": "ExitCode", "message": code.to_string() }] } })
}

fn says(messages: &[(u8, &[u8])], status: Option<Value>) -> Said {
    Said {
        messages: messages
            .iter()
            .map(|(channel, bytes)| (*channel, bytes.to_vec()))
            .collect(),
        status,
        hangs: false,
        refuse: None,
    }
}

#[tokio::test]
async fn a_command_has_both_outputs_and_its_exit_code() {
    let long = vec![b'x'; 300_000];
    let said = says(&[(1, b"one "), (2, b"warning"), (1, &long)], Some(ended(7)));
    let (client, asked) = start(said).await;
    let done = client.exec(&date()).await.unwrap();
    assert_eq!(
        (done.code, done.stderr.as_slice()),
        (7, b"warning".as_slice())
    );
    assert_eq!(done.stdout.len(), 4 + long.len());
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 1);
    let (path, query) = asked[0].split_once('?').unwrap();
    assert_eq!(path, "/api/v1/namespaces/shop/pods/web/exec");
    let mut parts = BTreeMap::<&str, Vec<&str>>::new();
    for (name, value) in query.split('&').filter_map(|part| part.split_once('=')) {
        parts.entry(name).or_default().push(value);
    }
    assert_eq!(parts["command"], ["date", "-d", "1+%2B+1"]);
    assert_eq!(parts["container"], ["main"]);
    assert!(!parts.contains_key("stdin"));
}

#[tokio::test]
async fn success_is_zero() {
    let (client, _) = start(says(&[(1, b"ok")], Some(ended(0)))).await;
    let done = client.exec(&date()).await.unwrap();
    assert_eq!((done.code, done.stdout.as_slice()), (0, b"ok".as_slice()));
}

#[tokio::test]
async fn a_connection_that_ends_first_is_no_success() {
    let (client, _) = start(says(&[(1, b"half")], None)).await;
    let error = client.exec(&date()).await.unwrap_err().to_string();
    assert!(
        error.contains("the connection ended before the command"),
        "{error}"
    );
}

#[tokio::test]
async fn what_cannot_be_started_is_an_error_with_the_runtimes_sentence() {
    let status = json!({ "metadata": {}, "status": "Failure", "reason": "InternalError", "code": 500,
        "message": "exec: \"date\": executable file not found in $PATH" });
    let (client, _) = start(says(&[], Some(status))).await;
    let error = client.exec(&date()).await.unwrap_err().to_string();
    assert!(
        error.ends_with("executable file not found in $PATH"),
        "{error}"
    );
}

#[tokio::test]
async fn an_output_over_the_bound_is_an_error() {
    let (client, _) = start(says(&[(1, &[b'x'; 2000])], Some(ended(0)))).await;
    let exec = Exec {
        most: 1000,
        ..date()
    };
    let error = client.exec(&exec).await.unwrap_err().to_string();
    assert!(error.ends_with("it says more than 1000 bytes"), "{error}");
}

#[tokio::test]
async fn a_refusal_has_its_status() {
    let said = Said {
        refuse: Some(StatusCode::FORBIDDEN),
        ..says(&[], None)
    };
    let (client, _) = start(said).await;
    let error = client.exec(&date()).await.unwrap_err();
    assert_eq!(error.status(), Some(403));
    assert!(error.to_string().contains("may not be entered"), "{error}");
    let error = client.port_forward("shop", "web", 80).await.err().unwrap();
    assert_eq!(error.status(), Some(403));
}

#[tokio::test]
async fn a_command_without_an_end_fails_in_time() {
    let said = Said {
        hangs: true,
        ..says(&[(1, b"half")], None)
    };
    let (client, _) = start(said).await;
    let exec = Exec {
        limit: Duration::from_millis(300),
        ..date()
    };
    let error = client.exec(&exec).await.unwrap_err().to_string();
    assert!(error.contains("no end within"), "{error}");
}

#[tokio::test]
async fn bytes_go_to_a_port_and_come_back() {
    let (client, _) = start(says(&[], None)).await;
    let mut stream = client.port_forward("shop", "web", 80).await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    let mut back = [0; 5];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"HELLO");
}

#[tokio::test]
async fn a_log_is_read_in_part() {
    let (client, asked) = start(says(&[], None)).await;
    let part = LogPart {
        previous: true,
        lines: 10,
        ..LogPart::default()
    };
    let log = client.log("shop", "web", "main", part).await.unwrap();
    assert_eq!(&log[..], b"a line\n");
    assert_eq!(
        asked.lock().unwrap()[0],
        "/api/v1/namespaces/shop/pods/web/log?container=main&previous=true&tailLines=10"
    );
}
