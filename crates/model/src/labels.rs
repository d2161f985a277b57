//! Labels: what an identity is made of, with typed sources, parsing, printing and the security-relevant filter.
//!
//! A label is `source:key=value`. The source is a type and never part of the key, so that a pod label which imitates
//! an internal one (`k8s:` pretending to be `reserved:`) is a different label. Sets are sorted and cheap to clone.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use crate::text;

pub mod filter;
pub mod pod;

pub use filter::{FilterError, LabelFilter};
pub use pod::{PodLabels, pod_labels};

/// Key of the label that names the namespace of a pod.
pub const NAMESPACE: &str = "io.kubernetes.pod.namespace";
/// Prefix of the keys that carry the labels of a pod's namespace; the namespace label's key follows after a dot.
pub const NAMESPACE_LABELS: &str = "io.cilium.k8s.namespace.labels";
/// Key of the label that names the cluster.
pub const CLUSTER: &str = "io.cilium.k8s.policy.cluster";
/// Key of the label that names the service account.
pub const SERVICE_ACCOUNT: &str = "io.cilium.k8s.policy.serviceaccount";
/// Key of the `cidrgroup:` label that says which group a prefix is a member of; the group's name follows after a slash.
pub const CIDR_GROUP_NAME: &str = "io.cilium.policy.cidrgroupname";

/// Who said so: the producer of a label.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// Kubernetes: pod labels, namespace, service account, cluster.
    K8s,
    /// Built in.
    Reserved,
    /// A prefix.
    Cidr,
    /// Membership of a CiliumCIDRGroup.
    CidrGroup,
    /// A name in a policy.
    Fqdn,
    /// A node's labels.
    Node,
    /// The container runtime's network configuration.
    Cni,
    /// The container runtime.
    Container,
    /// A file.
    Directory,
    /// Not said.
    Unspec,
    /// Any other producer.
    Other(Arc<str>),
}

impl Source {
    /// The word before the colon.
    pub fn as_str(&self) -> &str {
        match self {
            Self::K8s => "k8s",
            Self::Reserved => "reserved",
            Self::Cidr => "cidr",
            Self::CidrGroup => "cidrgroup",
            Self::Fqdn => "fqdn",
            Self::Node => "node",
            Self::Cni => "cni",
            Self::Container => "container",
            Self::Directory => "directory",
            Self::Unspec => "unspec",
            Self::Other(word) => word,
        }
    }

    /// The source that a word names.
    pub fn from_word(word: &str) -> Self {
        match word {
            "k8s" => Self::K8s,
            "reserved" => Self::Reserved,
            "cidr" => Self::Cidr,
            "cidrgroup" => Self::CidrGroup,
            "fqdn" => Self::Fqdn,
            "node" => Self::Node,
            "cni" => Self::Cni,
            "container" => Self::Container,
            "directory" => Self::Directory,
            "unspec" => Self::Unspec,
            other => Self::Other(other.into()),
        }
    }
}

impl Ord for Source {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl PartialOrd for Source {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One label. Ordered by source, key, value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label {
    /// Producer.
    pub source: Source,
    /// Key without the source.
    pub key: Arc<str>,
    /// Value, possibly empty.
    pub value: Arc<str>,
}

/// Why a text is not a label.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// Nothing between the source and the value.
    #[error("label {text:?} has no key")]
    NoKey {
        /// What was read.
        text: String,
    },
    /// A character that would make the printed form ambiguous or unprintable.
    #[error("label {text:?} has the character {character:?} in its {part}")]
    Character {
        /// What was read.
        text: String,
        /// The offender.
        character: char,
        /// "source", "key" or "value".
        part: &'static str,
    },
}

impl Label {
    /// A label from its parts.
    pub fn new(source: Source, key: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> Self {
        Self {
            source,
            key: key.into(),
            value: value.into(),
        }
    }

    /// A label with source `k8s`.
    pub fn k8s(key: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> Self {
        Self::new(Source::K8s, key, value)
    }

    /// A label with source `reserved` and no value, as `reserved:host`.
    pub fn reserved(key: impl Into<Arc<str>>) -> Self {
        Self::new(Source::Reserved, key, "")
    }

    /// Reads `source:key=value`; without a source it is `unspec`, without `=` the value is empty.
    ///
    /// The source ends at the first colon that stands before the first `=`.
    pub fn parse(text: &str) -> Result<Self, LabelError> {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        let (source, key) = match name.split_once(':') {
            Some((source, key)) if !source.is_empty() => (Source::from_word(source), key),
            Some((_, key)) => (Source::Unspec, key),
            None => (Source::Unspec, name),
        };
        if key.is_empty() {
            return Err(LabelError::NoKey {
                text: text.to_owned(),
            });
        }
        for (part, content) in [("source", source.as_str()), ("key", key), ("value", value)] {
            if let Some(character) = content
                .chars()
                .find(|c| c.is_control() || (part != "value" && c.is_whitespace()))
            {
                return Err(LabelError::Character {
                    text: text.to_owned(),
                    character,
                    part,
                });
            }
        }
        Ok(Self::new(source, text::shared(key), text::shared(value)))
    }

    /// `source:key`, the label's name in map form.
    pub fn name(&self) -> String {
        format!("{}:{}", self.source, self.key)
    }
}

/// `source:key=value`, or `source:key` when the value is empty.
impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.value.is_empty() {
            write!(f, "{}:{}", self.source, self.key)
        } else {
            write!(f, "{}:{}={}", self.source, self.key, self.value)
        }
    }
}

/// A set of labels with at most one value per source and key: sorted, immutable, cloned by a reference count.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelSet(Arc<[Label]>);

impl Default for LabelSet {
    fn default() -> Self {
        Self(Arc::new([]))
    }
}

impl LabelSet {
    /// The set with no label.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Reads a list of labels in text form.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, LabelError> {
        texts.into_iter().map(Label::parse).collect()
    }

    /// The labels in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Label> {
        self.0.iter()
    }

    /// How many labels.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no label.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of a label.
    pub fn get(&self, source: &Source, key: &str) -> Option<&str> {
        let order = |label: &Label| label.source.cmp(source).then_with(|| (*label.key).cmp(key));
        self.0
            .binary_search_by(order)
            .ok()
            .map(|at| &*self.0[at].value)
    }

    /// The values of a key, whatever their source.
    pub fn any<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |label| &*label.key == key)
            .map(|label| &*label.value)
    }

    /// Whether a reserved label is in the set.
    pub fn has_reserved(&self, key: &str) -> bool {
        self.get(&Source::Reserved, key).is_some()
    }

    /// The namespace of the pod that these labels belong to.
    pub fn namespace(&self) -> Option<&str> {
        self.get(&Source::K8s, NAMESPACE)
    }

    /// The labels in text form, sorted by that text, as the REST API and identities list them.
    pub fn to_texts(&self) -> Vec<String> {
        let mut texts: Vec<String> = self.iter().map(ToString::to_string).collect();
        texts.sort();
        texts
    }
}

/// The last of several labels with one source and key is kept.
impl FromIterator<Label> for LabelSet {
    fn from_iter<I: IntoIterator<Item = Label>>(labels: I) -> Self {
        let mut sorted: Vec<Label> = labels.into_iter().collect();
        sorted.sort_by(|a, b| a.source.cmp(&b.source).then_with(|| a.key.cmp(&b.key)));
        // The sort is stable: of equal names the later stands later, and replaces the earlier.
        let mut kept: Vec<Label> = Vec::with_capacity(sorted.len());
        for label in sorted {
            match kept.last_mut() {
                Some(last) if last.source == label.source && last.key == label.key => *last = label,
                _ => kept.push(label),
            }
        }
        Self(kept.into())
    }
}

impl<'a> IntoIterator for &'a LabelSet {
    type Item = &'a Label;
    type IntoIter = std::slice::Iter<'a, Label>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for LabelSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, label) in self.iter().enumerate() {
            write!(f, "{}{label}", if at == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl fmt::Debug for LabelSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{self}]")
    }
}

#[cfg(test)]
mod tests;
