//! How to reach the API server.

use std::path::PathBuf;
use std::time::Duration;

/// How to reach the API server, and how hard to lean on it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Kubeconfig file; without one the service account of the pod is used.
    pub kubeconfig: Option<PathBuf>,
    /// URLs that replace the kubeconfig's, tried in turn.
    pub urls: Vec<String>,
    /// Sent as the user agent and as the field manager.
    pub name: &'static str,
    /// Requests a second, on average; watches are not counted.
    pub requests_per_second: f64,
    /// Requests that may come at once.
    pub burst: f64,
    /// Pause between two looks at the server's health.
    pub probe_every: Duration,
    /// A request without an answer for so long has failed.
    pub request_timeout: Duration,
}

impl Options {
    /// The rates and times of an agent.
    pub fn named(name: &'static str) -> Self {
        Self {
            kubeconfig: None,
            urls: Vec::new(),
            name,
            requests_per_second: 20.0,
            burst: 50.0,
            probe_every: Duration::from_secs(10),
            request_timeout: Duration::from_secs(15),
        }
    }
}
