//! CiliumEndpoints whose pod is gone, is another one of its name, or has ended.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::cilium::CiliumEndpoint;
use api::kubernetes::{ObjectMeta, Pod};

use crate::leader::{Error, Leader};
use crate::metrics::{Metrics, Outcome};

/// Namespace and name.
type Name = (String, String);

/// An endpoint, and the pod that it is of.
struct Found {
    meta: ObjectMeta,
    owner: Option<String>,
}

/// A pod, as far as it matters whether it has an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PodState {
    uid: String,
    ended: bool,
}

/// One round.
pub async fn collect(leader: Leader, metrics: Arc<Metrics>) -> Result<(), Error> {
    // Endpoints first: a pod that is not in the later list has gone, and not just come.
    let endpoints = leader.list(found).await?;
    let pods: BTreeMap<Name, PodState> = leader.list(pod_state).await?.into_iter().collect();
    let mut failed = None;
    for Found { meta, owner } in endpoints {
        let name = (meta.namespace.clone(), meta.name.clone());
        if has_pod(owner.as_deref(), pods.get(&name)) {
            continue;
        }
        match leader.delete::<CiliumEndpoint>(&meta).await {
            Ok(()) => {
                tracing::info!(
                    namespace = name.0,
                    name = name.1,
                    "an endpoint without a pod is removed"
                );
                metrics.endpoint(Outcome::Success);
            }
            Err(error @ Error::NotLeading(_)) => return Err(error),
            // Its agent has written it meanwhile: of a new pod, maybe.
            Err(error) if error.is_outdated() => {}
            Err(error) => {
                metrics.endpoint(Outcome::Fail);
                failed = Some(error);
            }
        }
    }
    failed.map_or(Ok(()), Err)
}

fn found(endpoint: CiliumEndpoint) -> Found {
    let mut owners = endpoint.metadata.owner_references.iter();
    let owner = owners.find(|owner| owner.kind == "Pod");
    Found {
        owner: owner.map(|owner| owner.uid.clone()),
        meta: endpoint.metadata,
    }
}

fn pod_state(pod: Pod) -> (Name, PodState) {
    let state = PodState {
        uid: pod.metadata.uid,
        ended: matches!(pod.status.phase.as_str(), "Succeeded" | "Failed"),
    };
    ((pod.metadata.namespace, pod.metadata.name), state)
}

fn has_pod(owner: Option<&str>, pod: Option<&PodState>) -> bool {
    pod.is_some_and(|pod| !pod.ended && owner.is_none_or(|owner| owner == pod.uid))
}
