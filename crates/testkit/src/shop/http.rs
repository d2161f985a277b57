//! An HTTP server that asks others before it answers, and the client that both it and load programs use.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json};
use axum::routing::get;
use hickory_proto::rr::RecordType;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};

const CALL_TIMEOUT: Duration = Duration::from_secs(3);
const BODY_LIMIT_BYTES: usize = 1 << 20;

/// How names become addresses.
#[derive(Clone, Copy, Debug)]
pub struct Resolver {
    /// The DNS server.
    pub server: Option<SocketAddr>,
    /// Which records to ask for.
    pub family: RecordType,
}

/// How a server answers.
#[derive(Clone, Debug)]
pub struct Answers {
    /// Its name.
    pub name: String,
    /// URLs that are fetched before each answer, one after the other.
    pub calls: Vec<String>,
    /// How their names become addresses.
    pub resolver: Resolver,
    /// How long it waits before that.
    pub delay: Duration,
    /// Status where every call succeeds.
    pub status: StatusCode,
}

/// Serves `GET /anything` on `listen`; the answer tells what came back from its calls.
pub async fn serve(listen: SocketAddr, answers: Answers) -> anyhow::Result<()> {
    let app = axum::Router::new()
        .fallback(get(answer))
        .with_state(Arc::new(answers));
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("bind {listen}"))?;
    axum::serve(listener, app).await.context("serve HTTP")
}

/// Accepts connections and resets each once it asks for something.
pub async fn reset(listen: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("bind {listen}"))?;
    loop {
        let (stream, _) = listener.accept().await.context("accept")?;
        // Who never asks holds up the others, which is well for a server like this.
        if stream.readable().await.is_ok() {
            rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))
                .context("linger not")?;
        }
    }
}

async fn answer(State(shop): State<Arc<Answers>>) -> impl IntoResponse {
    tokio::time::sleep(shop.delay).await;
    let mut called = Vec::new();
    let mut status = shop.status;
    for url in &shop.calls {
        match fetch(url, shop.resolver).await {
            Ok(body) => called.push(json!({ "url": url, "answer": body })),
            Err(error) => {
                status = StatusCode::BAD_GATEWAY;
                called.push(json!({ "url": url, "error": format!("{error:#}") }));
            }
        }
    }
    (status, Json(json!({ "from": shop.name, "called": called })))
}

/// Fetches `http://HOST[:PORT]/PATH`: resolves, connects, asks, and reads the answer as JSON.
pub async fn fetch(url: &str, resolver: Resolver) -> anyhow::Result<serde_json::Value> {
    tokio::time::timeout(CALL_TIMEOUT, exchange(url, resolver))
        .await
        .with_context(|| format!("{url}: no answer in 3 s"))?
}

async fn exchange(url: &str, resolver: Resolver) -> anyhow::Result<serde_json::Value> {
    let uri: axum::http::Uri = url.parse().with_context(|| format!("{url}: not a URL"))?;
    let host = uri
        .host()
        .with_context(|| format!("{url}: no host"))?
        .trim_matches(['[', ']']);
    let address = match (host.parse(), resolver.server) {
        (Ok(address), _) => address,
        (Err(_), Some(server)) => super::dns::resolve(server, host, resolver.family).await?,
        (Err(_), None) => bail!("{url}: a name, and no DNS server"),
    };
    let target = SocketAddr::new(address, uri.port_u16().unwrap_or(80));
    let stream = TcpStream::connect(target)
        .await
        .with_context(|| format!("connect to {target}"))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let request = hyper::Request::get(uri.path())
        .header("host", host)
        .header("connection", "close")
        .body(Empty::<Bytes>::new())?;
    let response = sender
        .send_request(request)
        .await
        .with_context(|| format!("ask {target}"))?;
    let status = response.status();
    let body = Limited::new(response.into_body(), BODY_LIMIT_BYTES)
        .collect()
        .await
        .map_err(|e| anyhow::anyhow!("{e}"))?;
    drop(sender);
    driver.abort();
    let bytes = body.to_bytes();
    if !status.is_success() {
        bail!(
            "{target} answered {status}: {}",
            String::from_utf8_lossy(&bytes)
        );
    }
    serde_json::from_slice(&bytes).with_context(|| format!("{target}: not JSON"))
}

/// Fetches `url` again and again, one line of JSON on standard output for each, `count` times or for ever.
pub async fn load(
    url: &str,
    every: Duration,
    count: Option<u64>,
    resolver: Resolver,
) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut done = 0;
    while count.is_none_or(|count| done < count) {
        ticks.tick().await;
        done += 1;
        let start = Instant::now();
        let result = fetch(url, resolver).await;
        let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        let line = match result {
            Ok(_) => json!({ "n": done, "url": url, "ok": true, "us": micros }),
            Err(error) => {
                json!({ "n": done, "url": url, "ok": false, "us": micros, "error": format!("{error:#}") })
            }
        };
        println_line(&line);
    }
    Ok(())
}

#[allow(clippy::print_stdout, reason = "the line is the result of the program")]
pub(super) fn println_line(line: &serde_json::Value) {
    println!("{line}");
}
