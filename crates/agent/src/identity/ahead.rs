//! Identities of pods that were just given to this node. Until the kubelet has made a pod's sandbox and asks for its network, the
//! identity of its labels is there, and the pod does not wait for the store.

use model::endpoint::PodName;
use reconcile::table::{Changes, Revision, Wake};
use tokio_util::sync::CancellationToken;

use super::{Error, Identities};
use crate::inputs::PodRow;

impl Identities {
    /// Finds or makes the identities of pods that come, until `stop`. Those that are there when the agent starts have theirs,
    /// or have ended.
    pub async fn ahead(self, stop: CancellationToken) {
        let mut subscription = self.inputs.pods.subscribe();
        let first = tokio::select! {
            () = stop.cancelled() => return,
            first = self.inputs.pods.until_initialized() => first,
        };
        let mut seen = first.revision();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                wake = subscription.changed() => if wake == Wake::WriterGone { return },
            }
            tokio::select! {
                () = stop.cancelled() => return,
                now = self.prepare(seen) => seen = now,
            }
        }
    }

    /// The identities of pods that changed after a revision; up to which they did.
    async fn prepare(&self, seen: Revision) -> Revision {
        let now = self.inputs.pods.snapshot();
        // So much at once that it cannot be told what is new: a pod asks itself.
        let Changes::Since(changes) = now.changes_since(seen) else {
            return now.revision();
        };
        for change in changes {
            if let Some(pod) = change.value.filter(|pod| !pod.host_network)
                && let Err(error) = self.of_pod(&change.key, &pod).await
            {
                tracing::debug!(pod = %change.key, %error, "no identity ahead of the pod, which will ask itself");
            }
        }
        now.revision()
    }

    async fn of_pod(&self, name: &PodName, pod: &PodRow) -> Result<(), Error> {
        let labels = self.labels(name, pod).await?;
        self.identity(&labels).await.map(drop)
    }
}
