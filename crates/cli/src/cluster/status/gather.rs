//! Facts: what the API server tells of our workloads and pods, and what each agent says of itself.

use std::collections::BTreeSet;

use local_api::health::StatusResponse;
use serde_json::Value;

use crate::cluster::pod::{Pod, text};
use crate::cluster::{AGENT, AGENT_LABELS, Cluster, each};

/// A workload of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// What it is for.
    pub(super) role: &'static str,
    /// `DaemonSet` or `Deployment`.
    pub(super) kind: &'static str,
    /// Its name.
    pub(super) name: &'static str,
    /// Labels of its pods.
    labels: &'static str,
    /// Its container.
    pub(super) container: &'static str,
    /// Without it nothing works.
    pub(super) needed: bool,
}

const fn deployment(role: &'static str, name: &'static str, labels: &'static str) -> Part {
    Part {
        role,
        kind: "Deployment",
        name,
        labels,
        container: name,
        needed: false,
    }
}

/// All workloads, as upstream's chart names them.
pub(super) const PARTS: [Part; 4] = [
    Part {
        role: "Agent",
        kind: "DaemonSet",
        name: AGENT,
        labels: AGENT_LABELS,
        container: crate::cluster::AGENT_CONTAINER,
        needed: true,
    },
    Part {
        needed: true,
        ..deployment("Operator", "cilium-operator", "io.cilium%2Fapp=operator")
    },
    deployment("Relay", "hubble-relay", "k8s-app=hubble-relay"),
    deployment("UI", "hubble-ui", "k8s-app=hubble-ui"),
];

/// A workload as it was found.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    /// The object, if it is there.
    pub(super) object: Option<Value>,
    /// Its pods.
    pub(super) pods: Vec<Pod>,
}

/// What an agent says of itself, or why it says nothing.
pub(super) type Said = Result<Box<StatusResponse>, String>;

/// All facts.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// In the order of [`PARTS`].
    pub(super) parts: Vec<Found>,
    /// What each agent says, with the agents that run.
    pub(super) agents: Vec<(Pod, Said)>,
    /// Pods of the cluster.
    pub(super) pods: Vec<Pod>,
    /// `namespace/name` of all endpoints; none if they are not registered as a kind.
    pub(super) endpoints: Option<BTreeSet<String>>,
}

/// Reads it all.
pub(super) async fn facts(cluster: &Cluster) -> anyhow::Result<Facts> {
    let mut parts = Vec::new();
    for part in PARTS {
        parts.push(found(cluster, part).await?);
    }
    let running = parts.first().map(|of| of.pods.clone()).unwrap_or_default();
    let running: Vec<Pod> = running.into_iter().filter(Pod::is_alive).collect();
    let said = each(&running, |pod| said(cluster, pod)).await;
    let pods = cluster.client.raw_list("/api/v1/pods").await?;
    Ok(Facts {
        agents: running.into_iter().zip(said).collect(),
        parts,
        pods: pods.iter().map(Pod::of).collect(),
        endpoints: endpoints(cluster).await?,
    })
}

async fn found(cluster: &Cluster, part: Part) -> anyhow::Result<Found> {
    let plural = if part.kind == "DaemonSet" {
        "daemonsets"
    } else {
        "deployments"
    };
    let namespace = &cluster.namespace;
    let path = format!(
        "/apis/apps/v1/namespaces/{namespace}/{plural}/{}",
        part.name
    );
    let Some(object) = cluster.find(&path).await? else {
        return Ok(Found::default());
    };
    Ok(Found {
        object: Some(object),
        pods: cluster.pods(namespace, part.labels).await?,
    })
}

async fn said(cluster: &Cluster, agent: &Pod) -> Said {
    let value = cluster.agent_json(agent, &["status", "-o", "json"]).await;
    let value = value.map_err(|error| format!("{error:#}"))?;
    let status = serde_json::from_value(value);
    status.map_err(|error| format!("its status has an unexpected shape: {error}"))
}

async fn endpoints(cluster: &Cluster) -> anyhow::Result<Option<BTreeSet<String>>> {
    match cluster
        .client
        .raw_list("/apis/cilium.io/v2/ciliumendpoints")
        .await
    {
        Ok(all) => {
            let name = |of: &Value| {
                format!(
                    "{}/{}",
                    text(of, "/metadata/namespace"),
                    text(of, "/metadata/name")
                )
            };
            Ok(Some(all.iter().map(name).collect()))
        }
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}
