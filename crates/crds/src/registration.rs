//! What to do about a definition, given the one that the cluster has: an older operator never takes anything back.

use std::fmt;

use api::kubernetes::CustomResourceDefinition;
use semver::Version;

use crate::SCHEMA_VERSION_LABEL;

/// What to do about a definition.
#[derive(Clone, Debug, PartialEq)]
pub enum Registration {
    /// There is none: create this one.
    Create(CustomResourceDefinition),
    /// There is an older one: replace it by this one, which carries its `resourceVersion`.
    Replace(CustomResourceDefinition),
    /// There is one, and it stays.
    Leave(WhyLeft),
}

/// Why a definition stays as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhyLeft {
    /// It is of our version.
    Same,
    /// It is of this newer version.
    Newer(Version),
    /// Its label is this, which is not a version, so it is somebody else's.
    Unreadable(String),
}

impl fmt::Display for WhyLeft {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Same => out.write_str("the schema is of this version"),
            Self::Newer(version) => write!(out, "the schema is newer: {version}"),
            Self::Unreadable(label) => write!(
                out,
                "label {SCHEMA_VERSION_LABEL} is {label:?}, which is not a version"
            ),
        }
    }
}

/// What to do to have `wanted`, when `found` is what the cluster has.
///
/// A definition is older if its version label is, by semantic versioning, or if it has none. What replaces it keeps its
/// metadata, with the label raised, its conversion, which belongs to whoever serves it, and its status.
pub fn registration(
    wanted: CustomResourceDefinition,
    found: Option<&CustomResourceDefinition>,
) -> Registration {
    let Some(found) = found else {
        return Registration::Create(wanted);
    };
    if let Some(why) = why_left(&wanted, found) {
        return Registration::Leave(why);
    }
    let mut new = found.clone();
    let conversion = found.spec.get("conversion");
    new.spec = wanted.spec;
    if let (Some(spec), Some(conversion)) = (new.spec.as_object_mut(), conversion) {
        spec.insert("conversion".to_owned(), conversion.clone());
    }
    new.metadata.labels.extend(wanted.metadata.labels);
    Registration::Replace(new)
}

fn why_left(
    wanted: &CustomResourceDefinition,
    found: &CustomResourceDefinition,
) -> Option<WhyLeft> {
    let label = found.metadata.labels.get(SCHEMA_VERSION_LABEL)?;
    let Ok(theirs) = Version::parse(label) else {
        return Some(WhyLeft::Unreadable(label.clone()));
    };
    let ours = wanted.metadata.labels.get(SCHEMA_VERSION_LABEL);
    let ours = ours.and_then(|label| Version::parse(label).ok())?;
    match theirs.cmp_precedence(&ours) {
        std::cmp::Ordering::Less => None,
        std::cmp::Ordering::Equal => Some(WhyLeft::Same),
        std::cmp::Ordering::Greater => Some(WhyLeft::Newer(theirs)),
    }
}

#[cfg(test)]
mod tests;
