//! From a namespace to a lab: create what is missing, wait until all is ready, and find out what there is.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use http::Method;
use serde_json::Value;

use super::lab::{External, Lab, Node, Peer, Role, Service};
use super::objects::{HOSTS, Plan};
use crate::cluster::pod::{Pod, list, number, text};
use crate::cluster::progress::Progress;
use crate::cluster::{self, Cluster};

const AGAIN: Duration = Duration::from_millis(500);
/// A namespace with a few pods is gone by then.
const GONE: Duration = Duration::from_mins(3);

/// How a lab is made.
pub(super) struct Setup<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) plan: &'a Plan,
    pub(super) externals: &'a [External],
    /// Begin with an empty namespace.
    pub(super) anew: bool,
    /// How long pods may take.
    pub(super) patience: Duration,
}

/// Nodes that take pods, in the order of their names.
pub(super) async fn usable_nodes(cluster: &Cluster) -> anyhow::Result<Vec<String>> {
    let nodes = cluster.client.raw_list("/api/v1/nodes").await?;
    let mut names: Vec<String> = nodes
        .iter()
        .filter(|node| takes_pods(node))
        .map(name)
        .collect();
    names.sort();
    anyhow::ensure!(
        !names.is_empty(),
        "no node is ready and takes pods: look at `kubectl get nodes`"
    );
    Ok(names)
}

fn name(object: &Value) -> String {
    text(object, "/metadata/name").to_owned()
}

fn takes_pods(node: &Value) -> bool {
    let ready = list(node, "/status/conditions")
        .iter()
        .any(|of| text(of, "/type") == "Ready" && text(of, "/status") == "True");
    let repels = |taint: &Value| matches!(text(taint, "/effect"), "NoSchedule" | "NoExecute");
    ready && !list(node, "/spec/taints").iter().any(repels)
}

/// Why a container waits for what will not come by itself.
const NEVER: [&str; 2] = ["ErrImageNeverPull", "InvalidImageName"];

impl Setup<'_> {
    /// Makes the lab, or finds the one that is there.
    pub(super) async fn lab(&self, progress: &mut Progress) -> anyhow::Result<Lab> {
        if self.anew {
            self.remove(progress).await?;
        }
        progress.say(&format!("creating pods in {}", self.plan.namespace));
        self.ensure("/api/v1/namespaces", &self.plan.namespace_object())
            .await?;
        for (collection, object) in self.plan.objects() {
            self.ensure(&collection, &object).await?;
        }
        let peers = self.ready(progress).await?;
        let agents = self.cluster.agents().await?;
        anyhow::ensure!(
            !agents.is_empty(),
            "no agent runs in {}",
            self.cluster.namespace
        );
        let client = peers.iter().find(|peer| peer.role == Role::Client);
        let client = client.context("there is no client")?;
        Ok(Lab {
            ping: self.has_ping(client).await?,
            services: self.services().await?,
            nodes: self.nodes().await?,
            config: cluster::config::read(self.cluster).await?,
            agents: agents.into_iter().filter(Pod::is_alive).collect(),
            cluster: self.cluster.clone(),
            namespace: self.plan.namespace.clone(),
            externals: self.externals.to_vec(),
            peers,
        })
    }

    async fn ensure(&self, collection: &str, object: &Value) -> anyhow::Result<()> {
        let client = &self.cluster.client;
        let deadline = Instant::now() + self.patience;
        loop {
            match client.raw(Method::POST, collection, Some(object)).await {
                Ok(_) => return Ok(()),
                Err(error) if error.is_conflict() => {
                    let path = format!("{collection}/{}", name(object));
                    client.raw_merge(&path, object).await?;
                    return Ok(());
                }
                // A service account is made a moment after its namespace.
                Err(error) if error.status() == Some(403) && Instant::now() < deadline => {
                    tokio::time::sleep(AGAIN).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn remove(&self, progress: &mut Progress) -> anyhow::Result<()> {
        let path = format!("/api/v1/namespaces/{}", self.plan.namespace);
        match self.cluster.client.raw(Method::DELETE, &path, None).await {
            Err(error) if error.is_not_found() => return Ok(()),
            answer => answer?,
        };
        let deadline = Instant::now() + GONE;
        while self.cluster.find(&path).await?.is_some() {
            progress.say(&format!(
                "waiting for the old {} to be gone",
                self.plan.namespace
            ));
            anyhow::ensure!(
                Instant::now() < deadline,
                "{} is not gone after {GONE:?}",
                self.plan.namespace
            );
            tokio::time::sleep(AGAIN).await;
        }
        Ok(())
    }

    /// Waits until every workload has its pod, ready and with an address.
    async fn ready(&self, progress: &mut Progress) -> anyhow::Result<Vec<Peer>> {
        let deadline = Instant::now() + self.patience;
        loop {
            let pods = self.cluster.pods(&self.plan.namespace, "name").await;
            let missing = match pods {
                Ok(pods) => match self.peers(&pods) {
                    Ok(peers) => return Ok(peers),
                    Err(missing) => missing,
                },
                Err(error) => format!("{error:#}"),
            };
            progress.say(&format!("waiting for pods: {missing}"));
            if NEVER.iter().any(|reason| missing.contains(reason)) {
                bail!("the pods of the tests cannot start: {missing}");
            }
            if Instant::now() >= deadline {
                bail!(
                    "the pods of the tests are not ready after {:?}: {missing}",
                    self.patience
                );
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    fn peers(&self, pods: &[Pod]) -> Result<Vec<Peer>, String> {
        let alive = || pods.iter().filter(|pod| pod.is_alive());
        let mut peers = Vec::new();
        for workload in self.plan.workloads() {
            let own: Vec<&Pod> = alive().filter(|pod| pod.is_of(workload.name)).collect();
            if own.len() > 1 {
                return Err(format!("{} is being replaced", workload.name));
            }
            peers.push(peer(workload.name, workload.role, own.first().copied())?);
        }
        for node in &self.plan.nodes {
            let mut own = alive().filter(|pod| pod.is_of(HOSTS) && pod.node == *node);
            peers.push(peer(HOSTS, Role::Host, own.next())?);
        }
        Ok(peers)
    }

    async fn services(&self) -> anyhow::Result<Vec<Service>> {
        let mut all = Vec::new();
        for workload in self.plan.workloads().filter(|of| of.role == Role::Echo) {
            let path = format!(
                "/api/v1/namespaces/{}/services/{}",
                self.plan.namespace, workload.name
            );
            let object = self.cluster.find(&path).await?;
            let object =
                object.with_context(|| format!("the service {} is gone", workload.name))?;
            let addresses = list(&object, "/spec/clusterIPs").iter();
            let addresses = addresses.filter_map(|of| of.as_str()?.parse().ok());
            let port = list(&object, "/spec/ports").first();
            let port = port
                .map(|port| number(port, "/nodePort"))
                .unwrap_or_default();
            all.push(Service {
                name: workload.name,
                addresses: addresses.collect(),
                node_port: u16::try_from(port).unwrap_or_default(),
            });
        }
        Ok(all)
    }

    async fn nodes(&self) -> anyhow::Result<Vec<Node>> {
        let objects = self.cluster.client.raw_list("/api/v1/nodes").await?;
        let node = |object: &Value| {
            let all = list(object, "/status/addresses").iter();
            let internal = all.filter(|of| text(of, "/type") == "InternalIP");
            Node {
                name: name(object),
                addresses: internal
                    .filter_map(|of| text(of, "/address").parse().ok())
                    .collect(),
            }
        };
        Ok(objects.iter().map(node).collect())
    }

    async fn has_ping(&self, client: &Peer) -> anyhow::Result<bool> {
        let local = if client.pod.addresses.iter().any(std::net::IpAddr::is_ipv4) {
            "127.0.0.1"
        } else {
            "::1"
        };
        let done = self
            .cluster
            .tell(&client.pod, "main", &["ping", "-c", "1", local])
            .await;
        match done {
            Ok(done) => Ok(done.code == 0),
            // The runtime does not find it.
            Err(error) if error.status().is_none() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

fn peer(name: &'static str, role: Role, pod: Option<&Pod>) -> Result<Peer, String> {
    let pod = pod.ok_or_else(|| format!("{name} has no pod"))?;
    if !pod.ready {
        return Err(format!("{} {}", pod.name, pod.trouble()));
    }
    if pod.addresses.is_empty() {
        return Err(format!("{} has no address", pod.name));
    }
    Ok(Peer {
        name,
        role,
        pod: pod.clone(),
    })
}
