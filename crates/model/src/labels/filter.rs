//! Which labels are security relevant: upstream's default patterns, the user's, and the rule that decides between them.

use std::sync::Arc;

use regex::Regex;
use serde_json::Value;

use super::{Label, LabelSet, Source};

/// Patterns of keys that make an identity; a source may stand before the colon.
const INCLUDED: &[&str] = &[
    "reserved:.*",
    r"io\.kubernetes\.pod\.namespace",
    r"io\.cilium\.k8s\.namespace\.labels",
    r"app\.kubernetes\.io",
    r"io\.cilium\.k8s\.policy\.cluster",
    r"io\.cilium\.k8s\.policy\.serviceaccount",
];

/// Patterns of keys that would make an identity per pod, or per roll-out.
const IGNORED: &[&str] = &[
    r"io\.kubernetes",
    r"kubernetes\.io",
    r"statefulset\.kubernetes\.io/pod-name",
    r"apps\.kubernetes\.io/pod-index",
    r"batch\.kubernetes\.io/job-completion-index",
    r"batch\.kubernetes\.io/controller-uid",
    r".*beta\.kubernetes\.io",
    r"k8s\.io",
    "pod-template-generation",
    "pod-template-hash",
    "controller-revision-hash",
    "controller-uid",
    "annotation.*",
    "etcd_node",
    r"topology\.kubernetes\.io",
];

/// Why a filter cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// A pattern is not a regular expression.
    #[error("label pattern {pattern:?}: {error}")]
    Pattern {
        /// As the user wrote it.
        pattern: String,
        /// What the parser said.
        error: Box<regex::Error>,
    },
    /// A prefix file has a wrong shape.
    #[error("label prefix file: {path}: {problem}")]
    File {
        /// Field path.
        path: String,
        /// What is wrong there.
        problem: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sense {
    Include,
    Ignore,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Author {
    Default,
    User,
}

#[derive(Clone, Debug)]
struct Pattern {
    source: Option<Source>,
    key: Regex,
    sense: Sense,
}

/// Decides which labels are part of an identity. Clones share the patterns: each compiled one has caches of its own, of many KiB.
#[derive(Clone, Debug)]
pub struct LabelFilter {
    patterns: Arc<Vec<Pattern>>,
    /// An include pattern of the user turns the filter into an allow-list.
    user_includes: bool,
}

impl LabelFilter {
    /// The default list alone.
    pub fn standard() -> Result<Self, FilterError> {
        Self::with_patterns(std::iter::empty())
    }

    /// The default list and the user's patterns: `[!][source:]regex`, matched at the start of the key.
    pub fn with_patterns<'a>(user: impl IntoIterator<Item = &'a str>) -> Result<Self, FilterError> {
        let mut filter = Self {
            patterns: Arc::default(),
            user_includes: false,
        };
        for pattern in INCLUDED {
            filter.add(pattern, Sense::Include, Author::Default)?;
        }
        for pattern in IGNORED {
            filter.add(pattern, Sense::Ignore, Author::Default)?;
        }
        for text in user
            .into_iter()
            .map(str::trim)
            .filter(|text| !text.is_empty())
        {
            match text.strip_prefix('!') {
                Some(rest) => filter.add(rest, Sense::Ignore, Author::User)?,
                None => filter.add(text, Sense::Include, Author::User)?,
            }
        }
        Ok(filter)
    }

    /// A `label-prefix-file`, which replaces the default list: {"version":1,"valid-prefixes":[{source,prefix,invert}]}.
    pub fn from_prefix_file(file: &Value) -> Result<Self, FilterError> {
        let wrong = |path: String, problem: &str| FilterError::File {
            path,
            problem: problem.to_owned(),
        };
        if file.get("version").and_then(Value::as_u64) != Some(1) {
            return Err(wrong("version".to_owned(), "must be 1"));
        }
        let prefixes = file.get("valid-prefixes").and_then(Value::as_array);
        let prefixes =
            prefixes.ok_or_else(|| wrong("valid-prefixes".to_owned(), "must be a list"))?;
        let mut filter = Self {
            patterns: Arc::default(),
            user_includes: false,
        };
        filter.add("reserved:.*", Sense::Include, Author::Default)?;
        for (at, prefix) in prefixes.iter().enumerate() {
            let text = |name: &str| match prefix.get(name) {
                None | Some(Value::Null) => Ok(""),
                Some(Value::String(text)) => Ok(text.as_str()),
                Some(_) => Err(wrong(
                    format!("valid-prefixes[{at}].{name}"),
                    "must be a string",
                )),
            };
            let sense = match prefix.get("invert") {
                None | Some(Value::Null | Value::Bool(false)) => Sense::Include,
                Some(Value::Bool(true)) => Sense::Ignore,
                Some(_) => {
                    return Err(wrong(
                        format!("valid-prefixes[{at}].invert"),
                        "must be true or false",
                    ));
                }
            };
            let (source, key) = (text("source")?, text("prefix")?);
            if key.is_empty() {
                return Err(wrong(
                    format!("valid-prefixes[{at}].prefix"),
                    "must not be empty",
                ));
            }
            let pattern = if source.is_empty() {
                key.to_owned()
            } else {
                format!("{source}:{key}")
            };
            filter.add(&pattern, sense, Author::User)?;
        }
        Ok(filter)
    }

    fn add(&mut self, text: &str, sense: Sense, author: Author) -> Result<(), FilterError> {
        let (source, key) = match text.split_once(':') {
            Some((source, key)) if !source.is_empty() => (Some(Source::from_word(source)), key),
            Some((_, key)) => (None, key),
            None => (None, text),
        };
        let key = Regex::new(&format!("^(?:{key})")).map_err(|error| FilterError::Pattern {
            pattern: text.to_owned(),
            error: Box::new(error),
        })?;
        self.user_includes |= (sense, author) == (Sense::Include, Author::User);
        Arc::make_mut(&mut self.patterns).push(Pattern { source, key, sense });
        Ok(())
    }

    /// Whether a label is part of an identity.
    ///
    /// The longest include that matches is held against the shortest ignore that matches; a label that nothing
    /// matches is kept unless the user gave an include pattern.
    pub fn keeps(&self, label: &Label) -> bool {
        let (mut included, mut ignored) = (0, 0);
        for pattern in &*self.patterns {
            if pattern
                .source
                .as_ref()
                .is_some_and(|source| *source != label.source)
            {
                continue;
            }
            let Some(found) = pattern.key.find(&label.key) else {
                continue;
            };
            match pattern.sense {
                Sense::Include => included = included.max(found.len()),
                Sense::Ignore if ignored == 0 => ignored = found.len(),
                Sense::Ignore => ignored = ignored.min(found.len()),
            }
        }
        included > ignored || (ignored == 0 && !self.user_includes)
    }

    /// The labels that are part of an identity.
    pub fn apply(&self, labels: &LabelSet) -> LabelSet {
        labels
            .iter()
            .filter(|label| self.keeps(label))
            .cloned()
            .collect()
    }
}
