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
    drawn: Mutex<Drawn>,
    failed: AtomicU64,
    held: Mutex<Option<Held>>,
    asked: Mutex<Vec<(Method, String)>>,
}

/// Requests that wait until they are let go, whatever becomes of who sent them.
#[derive(Clone)]
struct Held {
    method: Method,
    path: String,
}

/// Which requests fail: at 10 %, one of each ten in turn, so that few requests are enough for a failure.
struct Drawn {
    seed: u64,
    requests: u64,
    /// The one of its ten.
    chosen: u64,
}

impl Drawn {
    fn random(&mut self) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed
    }

    fn fails(&mut self, percent: u64) -> bool {
        let Some(of) = 100_u64.checked_div(percent) else {
            return false;
        };
        let place = self.requests % of;
        if place == 0 {
            self.chosen = self.random() % of;
        }
        self.requests += 1;
        place == self.chosen
    }
}

impl Proxy {
    /// Holds requests of this method whose path contains `path`, until [`Self::let_go`].
    #[allow(dead_code, reason = "each test binary uses a part of it")]
    pub(crate) fn hold(&self, method: Method, path: &str) {
        let path = path.to_owned();
        *self.held.lock().expect("no holder panicked") = Some(Held { method, path });
    }

    #[allow(dead_code, reason = "each test binary uses a part of it")]
    pub(crate) fn let_go(&self) {
        *self.held.lock().expect("no holder panicked") = None;
    }

    /// Method and path of what came so far.
    #[allow(dead_code, reason = "each test binary uses a part of it")]
    pub(crate) fn asked(&self) -> Vec<(Method, String)> {
        self.asked.lock().expect("no holder panicked").clone()
    }

    fn holds(&self, request: &Request) -> bool {
        let held = self.held.lock().expect("no holder panicked").clone();
        held.is_some_and(|held| {
            *request.method() == held.method && request.uri().path().contains(&held.path)
        })
    }

    /// Whether a request fails, and whether it reaches the server all the same.
    fn draw(&self) -> (bool, bool) {
        let mut drawn = self.drawn.lock().expect("no holder panicked");
        let fails = drawn.fails(self.percent.load(Ordering::Relaxed));
        (fails, drawn.random() >> 32 & 1 == 1)
    }
}

async fn forward(State(proxy): State<Arc<Proxy>>, request: Request) -> Response {
    let asked = (request.method().clone(), request.uri().path().to_owned());
    proxy.asked.lock().expect("no holder panicked").push(asked);
    if !proxy.holds(&request) {
        return pass(proxy, request).await;
    }
    // Whole, so that it does not matter whether its sender is still there then.
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await;
    let request = Request::from_parts(head, Body::from(body.unwrap_or_default()));
    let passed = tokio::spawn(async move {
        while proxy.holds(&request) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        pass(proxy, request).await
    });
    let lost = |_| StatusCode::BAD_GATEWAY.into_response();
    passed.await.unwrap_or_else(lost)
}

async fn pass(proxy: Arc<Proxy>, mut request: Request) -> Response {
    let (fails, reaches) = proxy.draw();
    let refusal = || StatusCode::INTERNAL_SERVER_ERROR.into_response();
    if fails {
        proxy.failed.fetch_add(1, Ordering::Relaxed);
        if !reaches {
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
    /// The server's own URL.
    #[allow(dead_code, reason = "each test binary uses a part of it")]
    pub(crate) at: String,
    /// Past the proxy.
    pub(crate) direct: Client,
}

/// Another way to a server, with failures of its own, and its URL.
pub(crate) async fn door(server: &str, percent: u64, seed: u64) -> (Arc<Proxy>, String) {
    let proxy = Arc::new(Proxy {
        server: server.to_owned(),
        client: Http::builder(TokioExecutor::new()).build_http(),
        percent: AtomicU64::new(percent),
        drawn: Mutex::new(Drawn {
            seed,
            requests: 0,
            chosen: 0,
        }),
        failed: AtomicU64::new(0),
        asked: Mutex::default(),
        held: Mutex::new(None),
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port is free");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    let app = axum::Router::new()
        .fallback(forward)
        .with_state(Arc::clone(&proxy));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (proxy, url)
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
        let (proxy, url) = door(&at, percent, seed).await;
        let direct = client(&at).await;
        Self {
            _data: data,
            _server: server,
            proxy,
            url,
            at,
            direct,
        }
    }

    pub(crate) async fn send(&self, method: Method, path: &str, object: Option<&Value>) -> Value {
        self.direct
            .raw(method, path, object)
            .await
            .expect("the store answers")
    }

    /// Without a failure a test of failures says nothing.
    pub(crate) fn assert_that_requests_failed(&self) {
        let failed = self.proxy.failed.load(Ordering::Relaxed);
        assert!(failed > 0, "no request failed");
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
