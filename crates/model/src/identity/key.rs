//! Labels as one text, which is how etcd's keys and values name an identity.
//!
//! The text is upstream's, octet for octet: `source:key=value;` for each label, sorted by key. Two agents find each other's
//! identities by it.

use crate::labels::{Label, LabelError, LabelSet};

/// Labels as text.
pub fn to_key(labels: &LabelSet) -> String {
    let mut sorted: Vec<&Label> = labels.iter().collect();
    // By the key alone: `app` is before `app.kubernetes.io/name`, although `=` is behind `.`.
    sorted.sort_by(|a, b| a.key.cmp(&b.key));
    let mut text = String::new();
    for label in sorted {
        text.extend([
            label.source.as_str(),
            ":",
            &label.key,
            "=",
            &label.value,
            ";",
        ]);
    }
    text
}

/// Reads labels; the error names the offending one.
pub fn from_key(text: &str) -> Result<LabelSet, LabelError> {
    let parts = text.split(';').filter(|part| !part.is_empty());
    parts.map(Label::parse).collect()
}

#[cfg(test)]
mod tests;
