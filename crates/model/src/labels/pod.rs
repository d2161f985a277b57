//! From a pod to its labels: what it says about itself, less what only we may say, plus what we know about it.

use super::{CLUSTER, Label, LabelFilter, LabelSet, NAMESPACE, NAMESPACE_LABELS, SERVICE_ACCOUNT};

/// Key prefixes that a pod may not use for itself.
const INTERNAL: &[&str] = &["io.cilium.k8s.", "io.kubernetes.pod."];

/// What is known of a pod.
#[derive(Clone, Copy, Debug)]
pub struct PodLabels<'a, P, N> {
    /// metadata.labels of the pod: pairs of key and value.
    pub pod: P,
    /// Its namespace.
    pub namespace: &'a str,
    /// metadata.labels of the namespace.
    pub namespace_labels: N,
    /// spec.serviceAccountName, when it is set.
    pub service_account: Option<&'a str>,
    /// Name of the cluster.
    pub cluster: &'a str,
}

/// The labels of a pod's identity.
///
/// Pod labels under the internal prefixes are dropped before anything else, at creation and at every update alike, so
/// that no pod can pass for one of another namespace, service account or cluster.
pub fn pod_labels<'a, P, N>(pod: PodLabels<'a, P, N>, filter: &LabelFilter) -> LabelSet
where
    P: IntoIterator<Item = (&'a str, &'a str)>,
    N: IntoIterator<Item = (&'a str, &'a str)>,
{
    let own = pod
        .pod
        .into_iter()
        .filter(|(key, _)| !INTERNAL.iter().any(|prefix| key.starts_with(prefix)));
    let own = own.map(|(key, value)| Label::k8s(key, value));
    let of_namespace = pod
        .namespace_labels
        .into_iter()
        .map(|(key, value)| Label::k8s(format!("{NAMESPACE_LABELS}.{key}"), value));
    let known = [
        Label::k8s(NAMESPACE, pod.namespace),
        Label::k8s(CLUSTER, pod.cluster),
    ];
    let account = pod.service_account.filter(|name| !name.is_empty());
    let account = account.map(|name| Label::k8s(SERVICE_ACCOUNT, name));
    own.chain(of_namespace)
        .chain(known)
        .chain(account)
        .filter(|label| filter.keeps(label))
        .collect()
}
