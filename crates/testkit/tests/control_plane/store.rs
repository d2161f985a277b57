//! The embedded store behind a proxy that fails a share of the requests.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use apiserver::{Config, Running, Server};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use store::{Client, Options};

/// Fails a share of the requests that pass through it; half of those reach the server all the same.
pub(crate) struct Proxy {
    server: String,
    client: Http<HttpConnector, Body>,
    pub(crate) percent: AtomicU64,
    seed: Mutex<u64>,
    pub(crate) failed: AtomicU64,
}

impl Proxy {
    fn draw(&self) -> u64 {
        let mut seed = self.seed.lock().expect("no holder panicked");
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        *seed
    }
}

async fn forward(State(proxy): State<Arc<Proxy>>, mut request: Request) -> Response {
    let drawn = proxy.draw();
    let fails = drawn % 100 < proxy.percent.load(Ordering::Relaxed);
    let refusal = || StatusCode::INTERNAL_SERVER_ERROR.into_response();
    if fails {
        proxy.failed.fetch_add(1, Ordering::Relaxed);
        if drawn >> 32 & 1 == 0 {
            return refusal();
        }
    }
    let path = request.uri().path_and_query().map_or("/", |of| of.as_str());
    *request.uri_mut() = format!("{}{path}", proxy.server)
        .parse::<Uri>()
        .expect("a URI");
    match proxy.client.request(request).await {
        Ok(_) if fails => refusal(),
        Ok(response) => response.map(Body::new),
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}

pub(crate) struct Store {
    _data: tempfile::TempDir,
    _server: Running,
    pub(crate) proxy: Arc<Proxy>,
    pub(crate) url: String,
    /// Past the proxy.
    pub(crate) direct: Client,
}

pub(crate) async fn client(url: &str) -> Client {
    let mut options = Options::named("test");
    options.urls = vec![url.to_owned()];
    options.requests_per_second = 10_000.0;
    options.burst = 1_000.0;
    Client::new(options).await.expect("a client")
}

impl Store {
    pub(crate) async fn start(percent: u64, seed: u64) -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let server = Server::start(Config::new(data.path()))
            .await
            .expect("the server starts");
        let at = server.url().expect("it listens on TCP");
        let proxy = Arc::new(Proxy {
            server: at.clone(),
            client: Http::builder(TokioExecutor::new()).build_http(),
            percent: AtomicU64::new(percent),
            seed: Mutex::new(seed),
            failed: AtomicU64::new(0),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port is free");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let app = axum::Router::new()
            .fallback(forward)
            .with_state(Arc::clone(&proxy));
        tokio::spawn(async move { axum::serve(listener, app).await });
        let direct = client(&at).await;
        Self {
            _data: data,
            _server: server,
            proxy,
            url,
            direct,
        }
    }

    pub(crate) async fn send(&self, method: Method, path: &str, object: Option<&Value>) -> Value {
        self.direct
            .raw(method, path, object)
            .await
            .expect("the store answers")
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.send(Method::GET, path, None).await
    }
}

/// Looks again and again until `found` gives something.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    found: impl Fn() -> F,
) -> T {
    for _ in 0..600 {
        if let Some(found) = found().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what} does not come");
}
