//! Label and field selectors of list and watch requests.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::ApiError;
use crate::store::Key;

/// What a request is limited to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<FieldRequirement>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Name,
    Namespace,
    NodeName,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sense {
    Equal,
    Different,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct FieldRequirement {
    field: Field,
    sense: Sense,
    value: String,
}

/// The part of an object that selectors look at; the rest is skipped without being kept.
#[derive(Deserialize)]
struct Facts<'a> {
    #[serde(borrow, default)]
    metadata: Labels<'a>,
    #[serde(borrow, default)]
    spec: Option<Placement<'a>>,
}

#[derive(Deserialize, Default)]
struct Labels<'a> {
    #[serde(borrow, default)]
    labels: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Placement<'a> {
    #[serde(borrow, default)]
    node_name: Option<Cow<'a, str>>,
}

impl Selector {
    /// Reads the two query parameters.
    pub(crate) fn parse(labels: &str, fields: &str) -> Result<Self, ApiError> {
        let labels = split_outside_parentheses(labels)
            .map(parse_requirement)
            .collect::<Result<_, _>>()?;
        let fields = fields
            .split(',')
            .map(str::trim)
            .filter(|term| !term.is_empty());
        Ok(Self {
            labels,
            fields: fields.map(parse_field).collect::<Result<_, _>>()?,
        })
    }

    /// The same, limited to one name.
    pub(crate) fn with_name(mut self, name: &str) -> Self {
        self.fields.push(FieldRequirement {
            field: Field::Name,
            sense: Sense::Equal,
            value: name.to_owned(),
        });
        self
    }

    /// Whether everything matches.
    pub(crate) fn is_all(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Whether the stored object matches. One that does not read as JSON matches nothing.
    pub(crate) fn matches(&self, key: &Key, object: &[u8]) -> bool {
        let by_key = self
            .fields
            .iter()
            .all(|requirement| match requirement.field {
                Field::Name => requirement.holds(&key.name),
                Field::Namespace => requirement.holds(&key.namespace),
                Field::NodeName => true,
            });
        let needs_body =
            !self.labels.is_empty() || self.fields.iter().any(|r| r.field == Field::NodeName);
        if !by_key || !needs_body {
            return by_key;
        }
        let Ok(facts) = serde_json::from_slice::<Facts<'_>>(object) else {
            return false;
        };
        let node = facts
            .spec
            .and_then(|spec| spec.node_name)
            .unwrap_or_default();
        self.labels
            .iter()
            .all(|requirement| requirement.holds(&facts.metadata.labels))
            && self
                .fields
                .iter()
                .filter(|r| r.field == Field::NodeName)
                .all(|r| r.holds(&node))
    }
}

impl Requirement {
    fn holds(&self, labels: &BTreeMap<Cow<'_, str>, Cow<'_, str>>) -> bool {
        let found = |key: &String| labels.get(key.as_str());
        match self {
            Self::In(key, values) => {
                found(key).is_some_and(|value| values.iter().any(|v| v == value))
            }
            Self::NotIn(key, values) => {
                found(key).is_none_or(|value| values.iter().all(|v| v != value))
            }
            Self::Exists(key) => found(key).is_some(),
            Self::Absent(key) => found(key).is_none(),
        }
    }
}

impl FieldRequirement {
    fn holds(&self, value: &str) -> bool {
        (self.value == value) == (self.sense == Sense::Equal)
    }
}

fn split_outside_parentheses(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_i32;
    let terms = text.split(move |c: char| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    });
    terms.map(str::trim).filter(|term| !term.is_empty())
}

fn parse_requirement(term: &str) -> Result<Requirement, ApiError> {
    let refuse = || ApiError::bad_request(format!("labelSelector: \"{term}\" is not understood"));
    let key = |text: &str| {
        let text = text.trim();
        let fine = !text.is_empty()
            && !text.contains(|c: char| c.is_whitespace() || "()=!<>,".contains(c));
        if fine {
            Ok(text.to_owned())
        } else {
            Err(refuse())
        }
    };
    if let Some(open) = term.find('(') {
        let values = term[open..]
            .strip_prefix('(')
            .and_then(|rest| rest.strip_suffix(')'))
            .ok_or_else(refuse)?;
        let values: Vec<String> = values
            .split(',')
            .map(|value| value.trim().to_owned())
            .collect();
        let mut words = term[..open].split_whitespace();
        return match (words.next(), words.next(), words.next()) {
            (Some(name), Some("in"), None) => Ok(Requirement::In(key(name)?, values)),
            (Some(name), Some("notin"), None) => Ok(Requirement::NotIn(key(name)?, values)),
            _ => Err(refuse()),
        };
    }
    if let Some((name, value)) = term.split_once("!=") {
        return Ok(Requirement::NotIn(
            key(name)?,
            vec![value.trim().to_owned()],
        ));
    }
    if let Some((name, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
        return Ok(Requirement::In(key(name)?, vec![value.trim().to_owned()]));
    }
    match term.strip_prefix('!') {
        Some(name) => Ok(Requirement::Absent(key(name)?)),
        None => Ok(Requirement::Exists(key(term)?)),
    }
}

fn parse_field(term: &str) -> Result<FieldRequirement, ApiError> {
    let (name, sense, value) = if let Some((name, value)) = term.split_once("!=") {
        (name, Sense::Different, value)
    } else if let Some((name, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
        (name, Sense::Equal, value)
    } else {
        return Err(ApiError::bad_request(format!(
            "fieldSelector: \"{term}\" has no '='"
        )));
    };
    let field = match name.trim() {
        "metadata.name" => Field::Name,
        "metadata.namespace" => Field::Namespace,
        "spec.nodeName" => Field::NodeName,
        other => {
            let supported = "metadata.name, metadata.namespace and spec.nodeName are supported";
            return Err(ApiError::bad_request(format!(
                "fieldSelector: \"{other}\" cannot be selected by; {supported}"
            )));
        }
    };
    Ok(FieldRequirement {
        field,
        sense,
        value: value.trim().to_owned(),
    })
}

#[cfg(test)]
mod tests;
