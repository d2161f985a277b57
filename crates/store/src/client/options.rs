//! How to reach the API server.

use std::cmp::Reverse;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::time::Duration;

/// How to reach the API server, and how hard to lean on it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Kubeconfig file, or several in the form of `PATH`: of each part the first one that has it counts, and those that are not
    /// there are passed over. Without one the service account of the pod is used.
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig; the one it names as current, if none is given.
    pub context: Option<String>,
    /// URLs that replace the kubeconfig's: the first is the home, the others are tried in turn while it does not answer.
    pub urls: Vec<String>,
    /// Sent as the user agent and as the field manager.
    pub name: &'static str,
    /// Requests a second, on average, starts of watches included; looks at the server's health are not counted.
    pub requests_per_second: f64,
    /// Requests that may come at once.
    pub burst: f64,
    /// Longest pause between two looks at the health of a server that answers; a random half of it is cut off.
    pub probe_every: Duration,
    /// A request without an answer for so long has failed.
    pub request_timeout: Duration,
    /// Where requests and events are counted.
    pub metrics: crate::Metrics,
}

impl Options {
    /// The rates and times of an agent.
    pub fn named(name: &'static str) -> Self {
        Self {
            kubeconfig: None,
            context: None,
            urls: Vec::new(),
            name,
            requests_per_second: 20.0,
            burst: 50.0,
            probe_every: Duration::from_secs(10),
            request_timeout: Duration::from_secs(15),
            metrics: crate::Metrics::default(),
        }
    }

    /// Puts the URLs into an order that is the node's own and the same at each start, so that the nodes of a cluster
    /// share the servers, and those of a server that fails share what is left (rendezvous hashing).
    pub fn order_for(&mut self, node: &str) {
        self.urls.sort_by_cached_key(|url| {
            let mut hasher = DefaultHasher::new();
            (node, url).hash(&mut hasher);
            Reverse(hasher.finish())
        });
    }
}
