//! From which pool a pod's addresses are: what its annotations say, else those of its namespace, else the pool whose selectors
//! match it, else the default.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Family;
use crate::labels::{Label, LabelSet, NAMESPACE, Source};
use crate::policy::field::{Field, Invalid};
use crate::selector::{Keys, LabelSelector, ParsedSelector};

/// Annotation: the pool for addresses of both families.
pub const POOL: &str = "ipam.cilium.io/ip-pool";
/// Annotation: the pool for IPv4 addresses.
pub const POOL_IPV4: &str = "ipam.cilium.io/ipv4-pool";
/// Annotation: the pool for IPv6 addresses.
pub const POOL_IPV6: &str = "ipam.cilium.io/ipv6-pool";
/// Annotation: `true`, and a pod that no pool selects has no address.
pub const MATCH_ONLY: &str = "ipam.cilium.io/require-pool-match";
/// Key of the label that selectors see beside those of the object: the name of the pod.
const NAME: &str = "io.kubernetes.pod.name";

/// Annotation of a pool: `true`, and pods with an address of it leave the cluster under that address.
pub const SKIP_MASQUERADE: &str = "ipam.cilium.io/skip-masquerade";

/// What the annotations of a pod or of a namespace say about pools.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    /// For both families.
    pub both: Option<Arc<str>>,
    /// For IPv4.
    pub ipv4: Option<Arc<str>>,
    /// For IPv6.
    pub ipv6: Option<Arc<str>>,
    /// Not the default pool, unless it is named or selects the pod.
    pub match_only: bool,
}

impl Wish {
    /// Reads annotations.
    pub fn read(annotations: &BTreeMap<String, String>) -> Self {
        let text = |key: &str| {
            let value = annotations.get(key).map(String::as_str);
            value.filter(|value| !value.is_empty()).map(Into::into)
        };
        Self {
            both: text(POOL),
            ipv4: text(POOL_IPV4),
            ipv6: text(POOL_IPV6),
            match_only: annotations
                .get(MATCH_ONLY)
                .is_some_and(|value| value == "true"),
        }
    }

    fn of(&self, family: Family) -> Option<&Arc<str>> {
        let one = match family {
            Family::Ipv4 => self.ipv4.as_ref(),
            Family::Ipv6 => self.ipv6.as_ref(),
        };
        one.or(self.both.as_ref())
    }
}

/// Whom a pool selects. Without either selector it selects nobody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PoolRow {
    /// It has IPv4 addresses.
    pub ipv4: bool,
    /// It has IPv6 addresses.
    pub ipv6: bool,
    /// Pods, by their labels, namespace and name.
    pub pods: Option<LabelSelector>,
    /// Namespaces, by their labels.
    pub namespaces: Option<LabelSelector>,
    /// Pods with an address of it leave the cluster under that address.
    pub skip_masquerade: bool,
}

impl PoolRow {
    /// Whom `spec.podSelector` and `spec.namespaceSelector` select. The error names the field.
    pub fn read(spec: &serde_json::Value) -> Result<Self, Invalid> {
        let spec = Field::root(spec);
        let selector = |name: &str| {
            let field = spec.get(name)?;
            let parsed = field.map(|field| ParsedSelector::parse(&field, Keys::Kubernetes));
            Ok(parsed.transpose()?.map(|parsed| parsed.into_selector([])))
        };
        Ok(Self {
            ipv4: spec.get("ipv4")?.is_some(),
            ipv6: spec.get("ipv6")?.is_some(),
            pods: selector("podSelector")?,
            namespaces: selector("namespaceSelector")?,
            skip_masquerade: false,
        })
    }

    fn selects(&self, facts: &Facts<'_>, (pod, namespace): (&LabelSet, &LabelSet)) -> bool {
        let has = match facts.family {
            Family::Ipv4 => self.ipv4,
            Family::Ipv6 => self.ipv6,
        };
        let matches =
            |of: &Option<LabelSelector>, labels| of.as_ref().is_none_or(|of| of.matches(labels));
        has && (self.pods.is_some() || self.namespaces.is_some())
            && matches(&self.pods, pod)
            && matches(&self.namespaces, namespace)
    }
}

/// Labels of an object.
pub type Labels = BTreeMap<Arc<str>, Arc<str>>;

/// What the choice depends on.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Family of the address.
    pub family: Family,
    /// Namespace and name of the pod.
    pub name: (&'a str, &'a str),
    /// The pod's wish and labels.
    pub pod: (&'a Wish, &'a Labels),
    /// The namespace's wish and labels.
    pub namespace: (&'a Wish, &'a Labels),
}

/// Why there is no pool for a pod.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoPool {
    /// Selectors of several pools match.
    #[error("pools {0} all select the pod for its {1} address, and only one may")]
    Several(String, Family),
    /// None matches, and the default is not wanted.
    #[error("no pool selects the pod for its {0} address, and {MATCH_ONLY} forbids the default")]
    None(Family),
}

fn labels<'a>(of: &'a Labels, more: impl IntoIterator<Item = (&'a str, &'a str)>) -> LabelSet {
    let own = of.iter().map(|(key, value)| (&**key, &**value));
    let label = |(key, value): (&str, &str)| Label::new(Source::K8s, key, value);
    own.chain(more).map(label).collect()
}

/// The pool of an address.
pub fn choose<'a>(
    facts: Facts<'_>,
    pools: impl Iterator<Item = (&'a Arc<str>, &'a PoolRow)>,
    default: &Arc<str>,
) -> Result<Arc<str>, NoPool> {
    let Facts { family, pod, .. } = facts;
    let named = pod.0.of(family).or_else(|| facts.namespace.0.of(family));
    if let Some(named) = named {
        return Ok(Arc::clone(named));
    }
    let of_pod = [(NAMESPACE, facts.name.0), (NAME, facts.name.1)];
    let sets = (labels(pod.1, of_pod), labels(facts.namespace.1, []));
    let mut found: Vec<&Arc<str>> = pools
        .filter(|(_, row)| row.selects(&facts, (&sets.0, &sets.1)))
        .map(|(name, _)| name)
        .collect();
    found.sort_unstable();
    match found.as_slice() {
        [one] => Ok(Arc::clone(one)),
        [] if pod.0.match_only || facts.namespace.0.match_only => Err(NoPool::None(family)),
        [] => Ok(Arc::clone(default)),
        several => {
            let names: Vec<&str> = several.iter().map(|name| &***name).collect();
            Err(NoPool::Several(names.join(", "), family))
        }
    }
}

#[cfg(test)]
mod tests;
