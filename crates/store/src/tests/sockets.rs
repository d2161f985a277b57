use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::kubernetes::Namespace;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};
use tokio_util::sync::CancellationToken;

use super::fake::{Fake, client, follow, serve, until_equal};
use crate::{Client, Error, Options, Scope};

fn write_kubeconfig(path: &Path, cluster: &Value, user: &Value) {
    let text = json!({ "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{ "name": "c", "cluster": cluster }],
        "users": [{ "name": "c", "user": user }],
        "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "c" } }] });
    std::fs::write(path, text.to_string()).unwrap();
}

#[tokio::test]
async fn a_server_that_accepts_and_says_nothing_is_left_for_the_next_url() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_url = format!("http://{}", silent.local_addr().unwrap());
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((stream, _)) = silent.accept().await {
            kept.push(stream);
        }
    });
    let fake = Fake::new(0);
    fake.set("a", "1");
    let client = client(&[silent_url, serve(&fake).await]).await;
    let stop = CancellationToken::new();
    tokio::spawn({
        let (client, stop) = (client.clone(), stop.clone());
        async move { client.guard(stop).await }
    });
    let table = follow(&client, &stop);
    until_equal(&table, &fake).await;
    assert_eq!(client.endpoint().borrow().index, 1);
    stop.cancel();
}

#[tokio::test]
async fn a_token_that_was_rotated_is_read_anew_when_the_old_one_is_refused() {
    let valid = Arc::new(Mutex::new("first".to_owned()));
    let answer = {
        let valid = Arc::clone(&valid);
        move |headers: HeaderMap| {
            let expected = format!("Bearer {}", valid.lock().unwrap());
            let known = headers["authorization"] == expected.as_str();
            let text = r#"{"metadata":{"resourceVersion":"1"},"items":[]}"#;
            std::future::ready(if known {
                (StatusCode::OK, text)
            } else {
                (StatusCode::UNAUTHORIZED, "{}")
            })
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = axum::Router::new()
        .route("/version", get(answer.clone()))
        .route("/api/v1/namespaces", get(answer));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let folder = tempfile::tempdir().unwrap();
    let (token, kubeconfig) = (folder.path().join("token"), folder.path().join("config"));
    std::fs::write(&token, "first").unwrap();
    let user = json!({ "tokenFile": token });
    write_kubeconfig(&kubeconfig, &json!({ "server": url }), &user);
    let mut options = Options::named("test");
    options.kubeconfig = Some(kubeconfig);
    options.probe_every = Duration::from_millis(200);
    let client = Client::new(options).await.unwrap();
    let stop = CancellationToken::new();
    tokio::spawn({
        let (client, stop) = (client.clone(), stop.clone());
        async move { client.guard(stop).await }
    });
    let list = async || {
        let page = client.list_page::<Namespace>(&Scope::all(), 1, "").await;
        page.map(|page| page.metadata.resource_version)
    };
    assert_eq!(list().await.unwrap(), "1");
    "second".clone_into(&mut valid.lock().unwrap());
    assert_eq!(list().await.unwrap_err().status(), Some(401));
    std::fs::write(&token, "second").unwrap();
    let start = std::time::Instant::now();
    while list().await.is_err() {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "the token is not read anew"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stop.cancel();
}

/// A TLS server on loopback with a certificate of its own, and that certificate as PEM.
async fn tls_server() -> (u16, String) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let body = r#"{"metadata":{"resourceVersion":"7"},"items":[]}"#;
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    (port, made.cert.pem())
}

async fn list_through(kubeconfig: &Path) -> Result<String, Error> {
    let mut options = Options::named("test");
    options.kubeconfig = Some(kubeconfig.to_owned());
    let client = Client::new(options).await?;
    let page = client.list_page::<Namespace>(&Scope::all(), 1, "").await?;
    Ok(page.metadata.resource_version)
}

#[tokio::test]
async fn a_server_must_have_a_certificate_of_the_authority_that_the_kubeconfig_names() {
    let (port, certificate) = tls_server().await;
    let (_, of_another) = tls_server().await;
    let folder = tempfile::tempdir().unwrap();
    let (authority, kubeconfig) = (folder.path().join("ca"), folder.path().join("config"));
    let cluster = json!({ "server": format!("https://127.0.0.1:{port}"), "certificate-authority": authority });
    write_kubeconfig(&kubeconfig, &cluster, &json!({}));
    std::fs::write(&authority, certificate).unwrap();
    assert_eq!(list_through(&kubeconfig).await.unwrap(), "7");
    std::fs::write(&authority, of_another).unwrap();
    let error = list_through(&kubeconfig).await.unwrap_err();
    assert!(matches!(error, Error::Unanswered { .. }), "{error}");
    assert!(
        error.to_string().contains("certificate"),
        "the cause is named: {error}"
    );
}

#[tokio::test]
async fn a_proxy_that_would_be_passed_by_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("config");
    let cluster =
        json!({ "server": "https://127.0.0.1:1", "proxy-url": "http://user:secret@10.0.0.9:3128" });
    write_kubeconfig(&kubeconfig, &cluster, &json!({}));
    let error = list_through(&kubeconfig).await.unwrap_err();
    assert!(matches!(error, Error::Config(_)), "{error}");
    assert_eq!(
        error.to_string(),
        "API server configuration: proxy 10.0.0.9 of the kubeconfig or HTTPS_PROXY is not supported"
    );
}

#[tokio::test]
async fn the_kernel_asks_a_silent_peer_whether_it_is_still_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let client = client(&[format!("http://{address}")]).await;
    let watch = tokio::spawn(async move {
        let limit = Duration::from_mins(5);
        let _ = client.watch::<Namespace>(&Scope::all(), "1", limit).await;
    });
    let (_stream, peer) = listener.accept().await.unwrap();
    // Fields of a socket: number, local, remote, state, queues, timer:expiry in ticks of 10 ms. Timer 2 is keepalive.
    // Both ends, because others of this process may still wait for the end of connections from the same port.
    let (from, to) = (peer.port(), address.port());
    let ends = format!(":{from:04X} 0100007F:{to:04X} ");
    let timer = || {
        let sockets = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
        let ours = sockets.lines().find(|line| line.contains(&ends));
        let field = ours.and_then(|line| line.split_whitespace().nth(5));
        field.unwrap_or_default().to_owned()
    };
    // Until the request is acknowledged the timer is that of retransmission.
    let mut now = timer();
    for _ in 0..100 {
        if now.starts_with("02:") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        now = timer();
    }
    let (kind, ticks) = now.split_once(':').expect("the socket is listed");
    assert_eq!(kind, "02", "{now}");
    let ticks = u32::from_str_radix(ticks, 16).unwrap();
    assert!((500..=1500).contains(&ticks), "within 15 s: {ticks}");
    watch.abort();
}
