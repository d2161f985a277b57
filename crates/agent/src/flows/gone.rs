//! Pods that are no more, for those who count by pod.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use hubble::metrics::{KEPT_AFTER_POD, Metrics};
use model::endpoint::PodName;
use reconcile::{Changes, Snapshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::inputs::{Inputs, RemoteEndpoint};
use crate::view::ViewReader;

/// How often is looked; the series of a pod stay a minute anyway.
const EVERY: Duration = Duration::from_secs(5);

/// Which pods there are, and those that went.
struct Pods {
    announced: Snapshot<PodName, RemoteEndpoint>,
    local: BTreeSet<PodName>,
    gone: VecDeque<(Instant, PodName)>,
}

impl Pods {
    /// Notes the pods that are in neither list any more.
    fn follow(
        &mut self,
        announced: Snapshot<PodName, RemoteEndpoint>,
        local: BTreeSet<PodName>,
        now: Instant,
    ) {
        let before = std::mem::replace(&mut self.announced, announced);
        let mut gone: BTreeSet<PodName> = self.local.difference(&local).cloned().collect();
        self.local = local;
        match self.announced.changes_since(before.revision()) {
            Changes::Since(changes) => {
                let removed = changes.into_iter().filter(|of| of.value.is_none());
                gone.extend(removed.map(|of| of.key));
            }
            Changes::Everything => gone.extend(before.keys().cloned()),
        }
        let gone = gone.into_iter().filter(|pod| !self.is_there(pod));
        let gone: Vec<_> = gone.map(|pod| (now, pod)).collect();
        self.gone.extend(gone);
    }

    /// The pods that went long enough ago and did not come again.
    fn forgotten(&mut self, now: Instant) -> Vec<PodName> {
        let mut forgotten = Vec::new();
        while let Some((then, _)) = self.gone.front() {
            if now.saturating_duration_since(*then) < KEPT_AFTER_POD {
                break;
            }
            forgotten.extend(self.gone.pop_front().map(|(_, pod)| pod));
        }
        forgotten.retain(|pod| !self.is_there(pod));
        forgotten
    }

    fn is_there(&self, pod: &PodName) -> bool {
        self.local.contains(pod) || self.announced.get(pod).is_some()
    }
}

/// Drops the series of pods some time after their end, until `stop`.
pub async fn forget_pods(
    metrics: Arc<Metrics>,
    inputs: Inputs,
    view: ViewReader,
    stop: CancellationToken,
) {
    let local = || {
        let view = view.get();
        view.endpoints
            .iter()
            .filter_map(|row| row.pod.clone())
            .collect()
    };
    let mut pods = Pods {
        announced: inputs.endpoints.snapshot(),
        local: local(),
        gone: VecDeque::new(),
    };
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        let now = Instant::now();
        pods.follow(inputs.endpoints.snapshot(), local(), now);
        for pod in pods.forgotten(now) {
            metrics.forget(&pod.namespace, &pod.name);
        }
    }
}

#[cfg(test)]
mod tests;
