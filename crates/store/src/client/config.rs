//! From options to one client per URL.

use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{ClientBuilder, ConfigExt};
use kube::config::{KubeConfigOptions, Kubeconfig};
use tower::{BoxError, ServiceBuilder};

use super::{Error, Options};

/// A connection that cannot be made within this time is not made.
const CONNECT: Duration = Duration::from_secs(5);
/// A peer that is gone without a word is noticed after this and three unanswered probes: 30 s.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(5);
const KEEPALIVE_PROBES: u32 = 3;
/// Longer than a node's quiet times between two requests, shorter than what load balancers forget connections after.
const IDLE: Duration = Duration::from_secs(30);

/// How many URLs there are.
pub(super) fn count(options: &Options) -> usize {
    options.urls.len().max(1)
}

/// A client with new connections to one of the URLs. Files are read anew: tokens, certificates and kubeconfigs are rotated.
pub(super) async fn connect(options: &Options, index: usize) -> Result<kube::Client, Error> {
    let config = config(options, index).await?;
    if let Some(proxy) = &config.proxy_url {
        // Not the whole of it: there may be a password inside.
        let host = proxy.host().unwrap_or_default();
        let why = format!("proxy {host} of the kubeconfig or HTTPS_PROXY is not supported");
        return Err(Error::Config(why));
    }
    client(&config).map_err(|error| Error::Config(error.to_string()))
}

async fn config(options: &Options, index: usize) -> Result<kube::Config, Error> {
    let wrong = |error: &dyn std::fmt::Display| Error::Config(error.to_string());
    let base = match &options.kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path)
                .map_err(|e| Error::Config(format!("{}: {e}", path.display())))?;
            let options = KubeConfigOptions::default();
            let config = kube::Config::from_custom_kubeconfig(file, &options).await;
            Some(config.map_err(|e| wrong(&e))?)
        }
        None if options.urls.is_empty() => Some(kube::Config::incluster().map_err(|e| wrong(&e))?),
        None => kube::Config::incluster().ok(),
    };
    let Some(url) = options.urls.get(index) else {
        return base.ok_or_else(|| Error::Config("no URL".to_owned()));
    };
    let uri: http::Uri = url
        .parse()
        .map_err(|e: http::uri::InvalidUri| Error::Config(format!("URL {url:?}: {e}")))?;
    let mut config = base.unwrap_or_else(|| kube::Config::new(uri.clone()));
    config.cluster_url = uri;
    Ok(config)
}

/// No retries in here: they are ours. A watch begins anew, a write is asked for again by its target.
fn client(config: &kube::Config) -> Result<kube::Client, kube::Error> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT));
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp.set_keepalive_interval(Some(KEEPALIVE_EVERY));
    tcp.set_keepalive_retries(Some(KEEPALIVE_PROBES));
    let https = config.rustls_https_connector_with_connector(tcp)?;
    let http = hyper_util::client::legacy::Builder::new(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .build(https);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(http);
    Ok(ClientBuilder::new(service, config.default_namespace.clone()).build())
}
