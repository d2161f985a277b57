//! What others' probes by HTTP are answered by: `GET /hello` with 200, on the node and in its health endpoint.
//!
//! Everybody in the network can ask, so a connection has little time and few are open at once. That is HTTP/1.1 (RFC 9112) as
//! far as a probe goes: the first line decides, and the connection ends with the answer.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;

/// Pause before a port that is in use is tried again, and after a connection that could not be taken.
const RETRY: Duration = Duration::from_secs(10);
/// Connections at the same time.
const AT_ONCE: usize = 64;
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest request, bytes.
const LIMIT: u64 = 1024;

/// Answers for ever.
pub(super) async fn serve(listener: TcpListener) {
    TcpListenerStream::new(listener)
        .for_each_concurrent(AT_ONCE, async |stream| match stream {
            // Whoever asked hears of what goes wrong.
            Ok(stream) => drop(tokio::time::timeout(PATIENCE, answer(stream)).await),
            Err(error) => {
                tracing::debug!(%error, "a connection of a probe could not be taken");
                tokio::time::sleep(RETRY).await;
            }
        })
        .await;
}

async fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut request = Vec::new();
    let mut part = [0; 256];
    let (mut reader, mut writer) = stream.split();
    let mut limited = (&mut reader).take(LIMIT);
    while !request.windows(4).any(|at| at == b"\r\n\r\n") {
        match limited.read(&mut part).await? {
            0 => return Ok(()),
            read => request.extend_from_slice(part.get(..read).unwrap_or_default()),
        }
    }
    let status = if request.starts_with(b"GET /hello ") {
        "200 OK"
    } else {
        "404 Not Found"
    };
    let text = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    writer.write_all(text.as_bytes()).await?;
    writer.shutdown().await
}

/// Answers at the node's own addresses, until `stop`.
pub async fn answer_at_all(addresses: Vec<IpAddr>, port: u16, stop: CancellationToken) {
    let all = addresses
        .into_iter()
        .map(|address| answer_at(SocketAddr::new(address, port)));
    stop.run_until_cancelled(futures::future::join_all(all))
        .await;
}

async fn answer_at(address: SocketAddr) {
    let mut told = false;
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => serve(listener).await,
            Err(error) if !told => {
                tracing::warn!(%address, %error, "cluster-health-port: other nodes' probes are not answered, trying again");
                told = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(RETRY).await;
    }
}
