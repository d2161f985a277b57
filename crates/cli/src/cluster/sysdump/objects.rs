//! Objects of the API server, and which pods are ours.

use http::Method;
use serde_json::Value;

use super::{Item, redact};
use crate::cluster::Cluster;
use crate::cluster::pod::{Pod, list, text};

/// A pod of ours.
pub(super) struct OwnPod {
    pub(super) pod: Pod,
    /// It is an agent.
    pub(super) is_agent: bool,
}

/// Labels of our pods.
const OWN: [&str; 4] = [
    crate::cluster::AGENT_LABELS,
    "io.cilium%2Fapp=operator",
    "k8s-app=hubble-relay",
    "k8s-app=hubble-ui",
];

/// All pods of ours.
pub(super) async fn own_pods(cluster: &Cluster) -> anyhow::Result<Vec<OwnPod>> {
    let mut all = Vec::new();
    for labels in OWN {
        let pods = cluster.pods(&cluster.namespace, labels).await?;
        let is_agent = labels == crate::cluster::AGENT_LABELS;
        all.extend(pods.into_iter().map(|pod| OwnPod { pod, is_agent }));
    }
    Ok(all)
}

/// Objects to be listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// As the file is called.
    name: String,
    path: String,
    /// Only objects whose name begins so.
    prefixes: &'static [&'static str],
}

/// Kinds of Kubernetes: name of the file, collection, and whether only ours in our namespace are meant.
const KNOWN: &[(&str, &str, bool)] = &[
    ("nodes", "/api/v1/nodes", false),
    ("namespaces", "/api/v1/namespaces", false),
    ("pods", "/api/v1/pods", false),
    ("services", "/api/v1/services", false),
    ("events", "/api/v1/events", false),
    (
        "endpointslices",
        "/apis/discovery.k8s.io/v1/endpointslices",
        false,
    ),
    (
        "networkpolicies",
        "/apis/networking.k8s.io/v1/networkpolicies",
        false,
    ),
    (
        "daemonsets",
        "/apis/apps/v1/namespaces/NAMESPACE/daemonsets",
        true,
    ),
    (
        "deployments",
        "/apis/apps/v1/namespaces/NAMESPACE/deployments",
        true,
    ),
    (
        "configmaps",
        "/api/v1/namespaces/NAMESPACE/configmaps",
        true,
    ),
    (
        "leases",
        "/apis/coordination.k8s.io/v1/namespaces/NAMESPACE/leases",
        true,
    ),
];

/// How the names of our objects begin.
const OURS: &[&str] = &["cilium", "hubble", "axoneme"];

/// All kinds that are collected: those of Kubernetes, and every kind of ours that the server has.
pub(super) async fn kinds(cluster: &Cluster) -> anyhow::Result<Vec<Kind>> {
    let known = KNOWN.iter().map(|(name, path, own)| Kind {
        name: (*name).to_owned(),
        path: path.replace("NAMESPACE", &cluster.namespace),
        prefixes: if *own { OURS } else { &[] },
    });
    let mut kinds: Vec<Kind> = known.collect();
    let mut seen: Vec<String> = Vec::new();
    for version in ["v2", "v2alpha1"] {
        let root = format!("/apis/cilium.io/{version}");
        let Some(resources) = cluster.find(&root).await? else {
            continue;
        };
        for resource in list(&resources, "/resources") {
            let plural = text(resource, "/name");
            if plural.contains('/') || seen.iter().any(|of| of == plural) {
                continue;
            }
            seen.push(plural.to_owned());
            kinds.push(Kind {
                name: plural.to_owned(),
                path: format!("{root}/{plural}"),
                prefixes: &[],
            });
        }
    }
    Ok(kinds)
}

/// The objects of a kind.
pub(super) fn item<'a>(cluster: &'a Cluster, kind: &'a Kind) -> Item<'a> {
    Item::new(format!("objects/{}.json", kind.name), async move {
        let mut objects = cluster.client.raw_list(&kind.path).await?;
        objects.retain(|object| {
            let name = text(object, "/metadata/name");
            kind.prefixes.is_empty() || kind.prefixes.iter().any(|of| name.starts_with(of))
        });
        objects.iter_mut().for_each(redact::prune);
        Ok(serde_json::to_vec_pretty(&objects)?)
    })
}

/// What the API server says of itself.
pub(super) fn version(cluster: &Cluster) -> Item<'_> {
    Item::new("objects/version.json".to_owned(), async move {
        let version: Value = cluster.client.raw(Method::GET, "/version", None).await?;
        Ok(serde_json::to_vec_pretty(&version)?)
    })
}
