//! The cluster family: what a person looks at or does from outside, through the API server and inside of our pods.

pub(crate) mod access;
pub(crate) mod config;
pub(crate) mod context;
mod forward;
pub(crate) mod install;
pub(crate) mod pod;
pub(crate) mod progress;
pub(crate) mod status;
pub(crate) mod sysdump;
pub(crate) mod version;

use std::time::Duration;

use anyhow::Context as _;
use futures::{StreamExt, stream};
use http::Method;
use serde_json::Value;
use store::{Client, Exec, Executed};

use access::AccessArgs;
use pod::Pod;

pub(crate) use forward::{Forward, Relay, run as forward};

/// Label and container of the agent's pods, as in upstream's chart.
pub(crate) const AGENT_LABELS: &str = "k8s-app=cilium";
/// The agent's container.
pub(crate) const AGENT_CONTAINER: &str = "cilium-agent";
/// The DaemonSet of agents.
pub(crate) const AGENT: &str = "cilium";
/// The ConfigMap that agents and operator are configured by.
pub(crate) const CONFIG: &str = "cilium-config";

/// Pods asked at once: enough to be quick, few enough not to be a load on the API server.
const AT_ONCE: usize = 16;
/// A command in a pod that tells something takes no longer.
const TELLING: Duration = Duration::from_secs(20);
/// And says no more, in bytes.
const MOST: usize = 64 << 20;

/// Which cluster, and where in it.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct ClusterArgs {
    #[command(flatten)]
    pub(crate) access: AccessArgs,
    /// Namespace that Axoneme is installed in
    #[arg(
        short,
        long,
        default_value = "kube-system",
        help_heading = "API server"
    )]
    pub(crate) namespace: String,
}

impl ClusterArgs {
    /// The cluster; nothing is connected yet.
    pub(crate) async fn open(&self) -> anyhow::Result<Cluster> {
        Ok(Cluster {
            client: self.access.client().await?,
            namespace: self.namespace.clone(),
        })
    }
}

/// A cluster, and the namespace that Axoneme is installed in.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) client: Client,
    pub(crate) namespace: String,
}

impl Cluster {
    /// An object by its path, if it is there.
    pub(crate) async fn find(&self, path: &str) -> anyhow::Result<Option<Value>> {
        match self.client.raw(Method::GET, path, None).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Pods of a namespace with these labels (in selector syntax), by name.
    pub(crate) async fn pods(&self, namespace: &str, labels: &str) -> anyhow::Result<Vec<Pod>> {
        let labels = labels.replace('=', "%3D").replace(',', "%2C");
        let path = format!("/api/v1/namespaces/{namespace}/pods?labelSelector={labels}");
        let objects = self.client.raw_list(&path).await?;
        let mut pods: Vec<Pod> = objects.iter().map(Pod::of).collect();
        pods.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(pods)
    }

    /// The agents' pods.
    pub(crate) async fn agents(&self) -> anyhow::Result<Vec<Pod>> {
        self.pods(&self.namespace, AGENT_LABELS)
            .await
            .context("cannot list the agents")
    }

    /// Runs a command in a container that tells something.
    pub(crate) async fn tell(
        &self,
        pod: &Pod,
        container: &str,
        command: &[&str],
    ) -> Result<Executed, store::Error> {
        let exec = Exec {
            namespace: pod.namespace.clone(),
            pod: pod.name.clone(),
            container: container.to_owned(),
            command: command.iter().map(ToString::to_string).collect(),
            limit: TELLING,
            most: MOST,
        };
        self.client.exec(&exec).await
    }

    /// What a command of the node client prints as JSON. It may fail nonetheless: `status` of an agent that is not well does.
    pub(crate) async fn agent_json(&self, agent: &Pod, words: &[&str]) -> anyhow::Result<Value> {
        let command: Vec<&str> = ["cilium-dbg"]
            .into_iter()
            .chain(words.iter().copied())
            .collect();
        let done = self.tell(agent, AGENT_CONTAINER, &command).await?;
        serde_json::from_slice(&done.stdout).map_err(|_| {
            let said = String::from_utf8_lossy(&done.stderr);
            let said = said.trim();
            let said = if said.is_empty() { "nothing" } else { said };
            anyhow::anyhow!(
                "`{}` ended with {} and said: {said}",
                command.join(" "),
                done.code
            )
        })
    }
}

/// Does something for each, several at once, and gives the results in the order of the things.
pub(crate) async fn each<'a, T, R, F>(things: &'a [T], mut act: impl FnMut(&'a T) -> F) -> Vec<R>
where
    F: Future<Output = R>,
{
    let acts = things.iter().map(&mut act).collect::<Vec<_>>();
    stream::iter(acts).buffered(AT_ONCE).collect().await
}

#[cfg(test)]
mod tests;
