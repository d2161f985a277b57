//! From options to one client configuration per URL.

use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};

use super::{Error, Options};

/// One configuration per URL.
pub(super) async fn configs(options: &Options) -> Result<Vec<kube::Config>, Error> {
    let wrong = |error: &dyn std::fmt::Display| Error::Config(error.to_string());
    let base = match &options.kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path)
                .map_err(|e| Error::Config(format!("{}: {e}", path.display())))?;
            Some(
                kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
                    .await
                    .map_err(|e| wrong(&e))?,
            )
        }
        None if options.urls.is_empty() => Some(kube::Config::incluster().map_err(|e| wrong(&e))?),
        None => kube::Config::incluster().ok(),
    };
    let mut configs = Vec::new();
    for url in &options.urls {
        let uri = url
            .parse()
            .map_err(|e: http::uri::InvalidUri| Error::Config(format!("URL {url:?}: {e}")))?;
        let mut config = base
            .clone()
            .unwrap_or_else(|| kube::Config::new(http::Uri::clone(&uri)));
        config.cluster_url = uri;
        configs.push(config);
    }
    if configs.is_empty() {
        configs.extend(base);
    }
    for config in &mut configs {
        config.connect_timeout = Some(Duration::from_secs(5));
        // Retries are ours: a watch begins anew, a write is asked for again by its target.
        config.default_retry = false;
    }
    Ok(configs)
}
