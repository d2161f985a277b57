//! Selectors: which label sets are meant, with typed sources, and an index from labels to the selectors that match.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::labels::{LabelSet, Source};
use crate::policy::field::{Field, Invalid};

mod index;

pub use index::{SelectorId, SelectorIndex};

/// Which producer's labels a key is looked for in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeySource {
    /// Any of them.
    Any,
    /// Only this one.
    Is(Source),
}

/// Key of a requirement.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SelectorKey {
    /// Whose labels.
    pub source: KeySource,
    /// Key without the source.
    pub key: Arc<str>,
}

impl SelectorKey {
    /// A key of source `k8s`.
    pub fn k8s(key: impl Into<Arc<str>>) -> Self {
        Self {
            source: KeySource::Is(Source::K8s),
            key: key.into(),
        }
    }

    /// A key of source `reserved`.
    pub fn reserved(key: impl Into<Arc<str>>) -> Self {
        Self {
            source: KeySource::Is(Source::Reserved),
            key: key.into(),
        }
    }

    /// Whether this is a reserved label's key.
    pub fn is_reserved(&self) -> bool {
        self.source == KeySource::Is(Source::Reserved)
    }

    fn matches_any(&self, labels: &LabelSet, wanted: impl Fn(&str) -> bool) -> bool {
        match &self.source {
            KeySource::Is(source) => labels.get(source, &self.key).is_some_and(wanted),
            KeySource::Any => labels.any(&self.key).any(wanted),
        }
    }
}

impl fmt::Display for SelectorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            KeySource::Any => write!(f, "any:{}", self.key),
            KeySource::Is(source) => write!(f, "{source}:{}", self.key),
        }
    }
}

/// What is asked of a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operator {
    /// It has one of these values.
    In(BTreeSet<Arc<str>>),
    /// It is absent, or has none of these values.
    NotIn(BTreeSet<Arc<str>>),
    /// It is there.
    Exists,
    /// It is absent.
    DoesNotExist,
}

/// One condition of a selector.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Requirement {
    /// Of which label.
    pub key: SelectorKey,
    /// What about it.
    pub operator: Operator,
}

impl Requirement {
    /// The key has exactly this value.
    pub fn equals(key: SelectorKey, value: impl Into<Arc<str>>) -> Self {
        Self {
            key,
            operator: Operator::In([value.into()].into()),
        }
    }

    /// The key is there.
    pub fn exists(key: SelectorKey) -> Self {
        Self {
            key,
            operator: Operator::Exists,
        }
    }

    /// Whether a label set meets it.
    pub fn matches(&self, labels: &LabelSet) -> bool {
        match &self.operator {
            Operator::In(values) => self.key.matches_any(labels, |value| values.contains(value)),
            Operator::NotIn(values) => {
                !self.key.matches_any(labels, |value| values.contains(value))
            }
            Operator::Exists => self.key.matches_any(labels, |_| true),
            Operator::DoesNotExist => !self.key.matches_any(labels, |_| true),
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list =
            |values: &BTreeSet<Arc<str>>| values.iter().map(|v| &**v).collect::<Vec<_>>().join(",");
        match &self.operator {
            Operator::In(values) if values.len() == 1 => write!(f, "{}={}", self.key, list(values)),
            Operator::In(values) => write!(f, "{} in ({})", self.key, list(values)),
            Operator::NotIn(values) => write!(f, "{} notin ({})", self.key, list(values)),
            Operator::Exists => write!(f, "{}", self.key),
            Operator::DoesNotExist => write!(f, "!{}", self.key),
        }
    }
}

/// A conjunction of requirements; with none it matches every label set. Sorted, so that equal selectors are equal values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelSelector(Arc<[Requirement]>);

impl FromIterator<Requirement> for LabelSelector {
    fn from_iter<I: IntoIterator<Item = Requirement>>(requirements: I) -> Self {
        Self(
            requirements
                .into_iter()
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect(),
        )
    }
}

impl LabelSelector {
    /// A selector of one requirement.
    pub fn one(requirement: Requirement) -> Self {
        Self(Arc::new([requirement]))
    }

    /// The requirements in order.
    pub fn requirements(&self) -> &[Requirement] {
        &self.0
    }

    /// Whether a label set meets every requirement.
    pub fn matches(&self, labels: &LabelSet) -> bool {
        self.0.iter().all(|requirement| requirement.matches(labels))
    }

    /// The first requirement that a label set fails.
    pub fn failed<'a>(&'a self, labels: &LabelSet) -> Option<&'a Requirement> {
        self.0
            .iter()
            .find(|requirement| !requirement.matches(labels))
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("(everything)");
        }
        for (at, requirement) in self.0.iter().enumerate() {
            write!(f, "{}{requirement}", if at == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// How the keys of a selector in an object are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    /// Plain keys of Kubernetes labels.
    Kubernetes,
    /// Plain keys of the labels of a pod's namespace.
    Namespaces,
    /// Keys with an optional source; without one, any source.
    Sourced,
    /// Plain keys of `cidrgroup:` labels.
    CidrGroups,
}

/// The requirements of a selector, with those of matchLabels apart since a namespaced policy overrides them.
pub(crate) struct ParsedSelector {
    pub(crate) labels: Vec<Requirement>,
    pub(crate) expressions: Vec<Requirement>,
}

impl ParsedSelector {
    pub(crate) fn all(&self) -> impl Iterator<Item = &Requirement> {
        self.labels.iter().chain(&self.expressions)
    }

    pub(crate) fn into_selector(
        self,
        more: impl IntoIterator<Item = Requirement>,
    ) -> LabelSelector {
        self.labels
            .into_iter()
            .chain(self.expressions)
            .chain(more)
            .collect()
    }

    pub(crate) fn parse(field: &Field<'_>, keys: Keys) -> Result<Self, Invalid> {
        field.only(&["matchLabels", "matchExpressions"])?;
        let mut parsed = Self {
            labels: Vec::new(),
            expressions: Vec::new(),
        };
        if let Some(labels) = field.get("matchLabels")? {
            for (name, value) in labels.entries()? {
                let key = parse_key(name, keys).map_err(|problem| value.error(problem))?;
                parsed
                    .labels
                    .push(Requirement::equals(key, parse_value(&value)?));
            }
        }
        for expression in field.list("matchExpressions")?.unwrap_or_default() {
            parsed
                .expressions
                .push(parse_expression(&expression, keys)?);
        }
        Ok(parsed)
    }
}

fn parse_expression(field: &Field<'_>, keys: Keys) -> Result<Requirement, Invalid> {
    field.only(&["key", "operator", "values"])?;
    let name = field.required("key")?;
    let key = parse_key(name.text()?, keys).map_err(|problem| name.error(problem))?;
    let operator = field.required("operator")?;
    let values = field.list("values")?.unwrap_or_default();
    let values = values
        .iter()
        .map(parse_value)
        .collect::<Result<BTreeSet<_>, _>>()?;
    let listed = |values: BTreeSet<Arc<str>>| {
        if values.is_empty() {
            Err(field.error("values must name at least one value for In and NotIn"))
        } else {
            Ok(values)
        }
    };
    let unlisted = |operator| {
        if values.is_empty() {
            Ok(operator)
        } else {
            Err(field.error("values must be empty for Exists and DoesNotExist"))
        }
    };
    let operator = match operator.text()? {
        "In" => Operator::In(listed(values)?),
        "NotIn" => Operator::NotIn(listed(values)?),
        "Exists" => unlisted(Operator::Exists)?,
        "DoesNotExist" => unlisted(Operator::DoesNotExist)?,
        other => {
            return Err(operator.error(format!(
                "must be In, NotIn, Exists or DoesNotExist, is {other:?}"
            )));
        }
    };
    Ok(Requirement { key, operator })
}

/// The longest value, and the longest name part of a key, that Kubernetes admits.
const MAX_NAME: usize = 63;
/// The longest prefix of a key; internal keys prefix a full one with [`crate::labels::NAMESPACE_LABELS`].
const MAX_PREFIX: usize = 253 + 64;

fn is_name(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= MAX_NAME
        && edge(text.chars().next())
        && edge(text.chars().next_back())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

fn is_qualified(key: &str) -> bool {
    match key.rsplit_once('/') {
        None => {
            is_name(key)
                || key
                    .strip_prefix(crate::labels::NAMESPACE_LABELS)
                    .is_some_and(|rest| rest.strip_prefix('.').is_some_and(is_name))
        }
        Some((prefix, name)) => {
            is_name(name)
                && !prefix.is_empty()
                && prefix.len() <= MAX_PREFIX
                && prefix
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'))
        }
    }
}

fn parse_value(field: &Field<'_>) -> Result<Arc<str>, Invalid> {
    let text = field.text()?;
    if text.is_empty() || is_name(text) {
        return Ok(text.into());
    }
    Err(field.error(format!("{text:?} is not a label value: at most 63 letters, digits, '-', '_' or '.', alphanumeric at both ends")))
}

fn parse_key(text: &str, keys: Keys) -> Result<SelectorKey, String> {
    let refuse = || {
        format!(
            "{text:?} is not a label key: an optional DNS prefix and '/', then at most 63 letters, digits, '-', '_' or '.'"
        )
    };
    let (source, key) = match keys {
        Keys::Kubernetes => (KeySource::Is(Source::K8s), text.to_owned()),
        Keys::Namespaces => (
            KeySource::Is(Source::K8s),
            format!("{}.{text}", crate::labels::NAMESPACE_LABELS),
        ),
        Keys::CidrGroups => (KeySource::Is(Source::CidrGroup), text.to_owned()),
        Keys::Sourced => match text.split_once(':') {
            None => (KeySource::Any, text.to_owned()),
            Some(("any", key)) => (KeySource::Any, key.to_owned()),
            Some((word, key)) => match Source::from_word(word) {
                Source::Other(_) => return Err(format!("{word:?} is not a label source")),
                source => (KeySource::Is(source), key.to_owned()),
            },
        },
    };
    let free = matches!(source, KeySource::Is(Source::Cidr | Source::Fqdn));
    let checked = if keys == Keys::Namespaces { text } else { &key };
    if if free {
        key.is_empty()
    } else {
        !is_qualified(checked)
    } {
        return Err(refuse());
    }
    Ok(SelectorKey {
        source,
        key: key.into(),
    })
}

#[cfg(test)]
mod tests;
