//! From options to one client per URL.

use std::path::{Path, PathBuf};
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
            let file = kubeconfig(path)?;
            let options = KubeConfigOptions {
                context: options.context.clone(),
                ..KubeConfigOptions::default()
            };
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

/// The file, or what several come to. One that is named alone must be there, as for kubectl.
fn kubeconfig(paths: &Path) -> Result<Kubeconfig, Error> {
    let all: Vec<PathBuf> = std::env::split_paths(paths)
        .filter(|path| !path.as_os_str().is_empty())
        .collect();
    let alone = all.len() == 1;
    let mut merged: Option<Kubeconfig> = None;
    for path in all.iter().filter(|path| alone || path.exists()) {
        let wrong = |error| Error::Config(format!("{}: {error}", path.display()));
        let file = Kubeconfig::read_from(path).map_err(wrong)?;
        merged = Some(match merged {
            Some(before) => before.merge(file).map_err(wrong)?,
            None => file,
        });
    }
    merged.ok_or_else(|| Error::Config(format!("none of {} is there", paths.display())))
}

/// A context of a kubeconfig.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContextNames {
    /// Its name.
    pub context: String,
    /// The cluster.
    pub cluster: String,
    /// URL of the cluster's API server.
    pub server: String,
    /// Who asks.
    pub user: String,
    /// Namespace that is meant where none is named.
    pub namespace: String,
    /// Names of all contexts.
    pub all: Vec<String>,
}

/// The names of the context that the options mean.
pub(super) fn names(options: &Options) -> Result<ContextNames, Error> {
    let Some(path) = &options.kubeconfig else {
        return Err(Error::Config("no kubeconfig".to_owned()));
    };
    let file = kubeconfig(path)?;
    let name = options.context.clone().or(file.current_context.clone());
    let name = name.filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Error::Config("no context is current".to_owned()))?;
    let named = file.contexts.iter().find(|context| context.name == name);
    let context = named
        .and_then(|named| named.context.clone())
        .ok_or_else(|| Error::Config(format!("there is no context {name}")))?;
    let cluster = file
        .clusters
        .iter()
        .find(|cluster| cluster.name == context.cluster);
    let server = cluster.and_then(|cluster| cluster.cluster.as_ref()?.server.clone());
    Ok(ContextNames {
        context: name,
        server: server.unwrap_or_default(),
        cluster: context.cluster,
        user: context.user.unwrap_or_default(),
        namespace: context.namespace.unwrap_or_else(|| "default".to_owned()),
        all: file
            .contexts
            .iter()
            .map(|context| context.name.clone())
            .collect(),
    })
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

#[cfg(test)]
mod tests;
