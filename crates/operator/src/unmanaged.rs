//! Pods that no agent knows: they were started before their node's agent, and get their network when they start again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::cilium::CiliumEndpoint;
use api::kubernetes::{ObjectMeta, Pod};
use store::Scope;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::config::Unmanaged;
use crate::leader::{Error, Leader};
use crate::metrics::Metrics;

/// One name is restarted no sooner again, as upstream.
const REST: Duration = Duration::from_mins(5);

/// Restarts pods that no agent knows.
#[derive(Clone)]
pub struct Restarter {
    leader: Leader,
    duty: Unmanaged,
    metrics: Arc<Metrics>,
    // A table would not do: nobody but the restarter reads it.
    memory: Arc<Mutex<Memory>>,
}

#[derive(Default)]
struct Memory {
    /// uid → since when it is unmanaged in all looks.
    since: BTreeMap<String, Instant>,
    /// Namespace and name → when it was restarted.
    restarted: BTreeMap<(String, String), Instant>,
}

impl Restarter {
    /// Of the pods that the duty selects.
    pub fn new(leader: Leader, duty: Unmanaged, metrics: Arc<Metrics>) -> Self {
        Self {
            leader,
            duty,
            metrics,
            memory: Arc::default(),
        }
    }

    /// One look. One pod at most is restarted in it, so that of the servers of a name one is always there.
    pub async fn look(self) -> Result<(), Error> {
        let mut memory = self.memory.lock().await;
        let unmanaged = self.unmanaged().await?;
        self.metrics.unmanaged_pods(unmanaged.len());
        let now = Instant::now();
        memory
            .restarted
            .retain(|_, at| now.duration_since(*at) < REST);
        let before = std::mem::take(&mut memory.since);
        let mut chosen = None;
        for pod in &unmanaged {
            let since = before.get(&pod.uid).copied().unwrap_or(now);
            memory.since.insert(pod.uid.clone(), since);
            let name = (pod.namespace.clone(), pod.name.clone());
            let waited = now.duration_since(since) >= self.duty.every;
            if waited && chosen.is_none() && !memory.restarted.contains_key(&name) {
                chosen = Some((pod, name));
            }
        }
        let Some((pod, name)) = chosen else {
            return Ok(());
        };
        match self.leader.delete::<Pod>(pod).await {
            Err(error) if error.is_outdated() => Ok(()),
            Err(error) => Err(error),
            Ok(()) => {
                tracing::info!(
                    namespace = name.0,
                    name = name.1,
                    "a pod that no agent knows is restarted"
                );
                memory.restarted.insert(name, now);
                Ok(())
            }
        }
    }

    /// Running pods of a network of their own that no agent has announced.
    async fn unmanaged(&self) -> Result<Vec<ObjectMeta>, Error> {
        let scope = Scope {
            labels: Some(self.duty.selector.clone()),
            ..Scope::default()
        };
        let pods = self.leader.list_of(&scope, |pod: Pod| pod).await?;
        let mut unmanaged = Vec::new();
        for pod in pods.into_iter().filter(is_ours_to_know) {
            let (namespace, name) = (&pod.metadata.namespace, &pod.metadata.name);
            let endpoint = self.leader.find::<CiliumEndpoint>(Some(namespace), name);
            if endpoint.await?.is_none() {
                unmanaged.push(pod.metadata);
            }
        }
        Ok(unmanaged)
    }
}

fn is_ours_to_know(pod: &Pod) -> bool {
    let ends = pod.metadata.deletion_timestamp.is_some();
    pod.status.phase == "Running"
        && !pod.spec.host_network
        && !pod.spec.node_name.is_empty()
        && !ends
}
