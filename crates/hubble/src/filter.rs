//! Flow filters: compiled once with all their errors, then asked of each flow.
//!
//! A flow is selected if it matches one filter of the allow list (or that is empty) and none of the deny list. Within
//! a filter all populated fields must match; the values of one field are alternatives.

mod application;
mod expression;
mod labels;
mod network;
mod origin;
mod pattern;

use api::hubble::flow::{Flow, FlowFilter, Verdict};
use thiserror::Error;

use crate::flow::event_type;

pub use labels::{Selector, SelectorError};

/// A filter that cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{list}[{index}].{field}: {reason}")]
pub struct FilterError {
    /// Which list: `whitelist` or `blacklist`.
    pub list: &'static str,
    /// Which filter of the list, from 0.
    pub index: usize,
    /// Name of the field.
    pub field: &'static str,
    /// What is wrong with its value.
    pub reason: String,
}

/// A field of one filter that cannot be used.
#[derive(Debug)]
pub(crate) struct FieldError {
    pub(crate) field: &'static str,
    pub(crate) reason: String,
}

impl FieldError {
    pub(crate) fn new(field: &'static str, reason: impl Into<String>) -> Self {
        Self {
            field,
            reason: reason.into(),
        }
    }
}

/// Asks one field of a filter.
pub(crate) type Test = Box<dyn Fn(&Flow) -> bool + Send + Sync>;

/// Adds the tests of a group of fields.
pub(crate) type Group = fn(&FlowFilter, &mut Vec<Test>) -> Result<(), FieldError>;

/// In this order they are asked: what costs most is last.
const GROUPS: [Group; 5] = [
    event,
    network::tests,
    origin::tests,
    application::tests,
    expression::tests,
];

/// One compiled filter.
struct Filter {
    tests: Vec<Test>,
}

impl Filter {
    fn compile(filter: &FlowFilter) -> Result<Self, FieldError> {
        let mut tests = Vec::new();
        for group in GROUPS {
            group(filter, &mut tests)?;
        }
        Ok(Self { tests })
    }

    fn matches(&self, flow: &Flow) -> bool {
        self.tests.iter().all(|test| test(flow))
    }
}

/// An allow list and a deny list.
#[derive(Default)]
pub struct Selection {
    allow: Vec<Filter>,
    deny: Vec<Filter>,
}

impl Selection {
    /// Compiles both lists; the first field that cannot be used is the error.
    pub fn compile(allow: &[FlowFilter], deny: &[FlowFilter]) -> Result<Self, FilterError> {
        Ok(Self {
            allow: list("whitelist", allow)?,
            deny: list("blacklist", deny)?,
        })
    }

    /// Whether a flow is selected.
    pub fn matches(&self, flow: &Flow) -> bool {
        (self.allow.is_empty() || self.allow.iter().any(|filter| filter.matches(flow)))
            && !self.deny.iter().any(|filter| filter.matches(flow))
    }

    /// Whether flows of the same request are selected: one of them is allowed, and none denied.
    pub(crate) fn matches_one_of(&self, flows: &[&Flow]) -> bool {
        let is_one_of = |filters: &[Filter]| {
            flows
                .iter()
                .any(|flow| filters.iter().any(|of| of.matches(flow)))
        };
        (self.allow.is_empty() || is_one_of(&self.allow)) && !is_one_of(&self.deny)
    }

    /// Whether what is no flow is selected: an allow list names flows only.
    pub fn takes_others(&self) -> bool {
        self.allow.is_empty()
    }

    /// Whether everything is selected.
    pub fn is_everything(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty()
    }
}

fn list(name: &'static str, filters: &[FlowFilter]) -> Result<Vec<Filter>, FilterError> {
    filters
        .iter()
        .enumerate()
        .map(|(index, filter)| {
            Filter::compile(filter).map_err(|FieldError { field, reason }| FilterError {
                list: name,
                index,
                field,
                reason,
            })
        })
        .collect()
}

/// Adds a test that is passed when any of `values` passes; nothing if the field is empty.
pub(crate) fn any_of<T: Send + Sync + 'static>(
    tests: &mut Vec<Test>,
    values: Vec<T>,
    matches: impl Fn(&T, &Flow) -> bool + Send + Sync + 'static,
) {
    if !values.is_empty() {
        tests.push(Box::new(move |flow| {
            values.iter().any(|value| matches(value, flow))
        }));
    }
}

/// Fields about the event itself.
fn event(filter: &FlowFilter, tests: &mut Vec<Test>) -> Result<(), FieldError> {
    any_of(tests, filter.uuid.clone(), |uuid, flow| *uuid == flow.uuid);
    any_of(tests, filter.verdict.clone(), |verdict, flow| {
        *verdict == flow.verdict
    });
    any_of(tests, filter.drop_reason_desc.clone(), |reason, flow| {
        flow.verdict == i32::from(Verdict::Dropped) && *reason == flow.drop_reason_desc
    });
    any_of(tests, filter.event_type.clone(), |wanted, flow| {
        flow.event_type.as_ref().is_some_and(|seen| {
            (wanted.r#type == 0 || wanted.r#type == seen.r#type)
                && (!wanted.match_sub_type || wanted.sub_type == seen.sub_type)
        })
    });
    any_of(tests, filter.reply.clone(), |wanted, flow| {
        match &flow.is_reply {
            Some(is_reply) => is_reply.value == *wanted,
            None => flow.verdict == i32::from(Verdict::Dropped) && !*wanted,
        }
    });
    any_of(tests, filter.traffic_direction.clone(), |wanted, flow| {
        *wanted == flow.traffic_direction
    });
    any_of(tests, filter.interface.clone(), |wanted, flow| {
        flow.interface.as_ref().is_some_and(|seen| {
            (wanted.index == 0 || wanted.index == seen.index)
                && (wanted.name.is_empty() || wanted.name == seen.name)
        })
    });
    let nodes = compile("node_name", &filter.node_name, pattern::NodeName::parse)?;
    any_of(tests, nodes, |node, flow| node.matches(&flow.node_name));
    let selectors = compile("node_labels", &filter.node_labels, Selector::parse)?;
    any_of(tests, selectors, |selector, flow| {
        selector.matches(&flow.node_labels)
    });
    if application::wants_http(filter)
        && !filter.event_type.is_empty()
        && !filter
            .event_type
            .iter()
            .any(|wanted| wanted.r#type == event_type::ACCESS_LOG)
    {
        return Err(FieldError::new(
            "event_type",
            "filters on HTTP need the event type 129 (l7) among those given",
        ));
    }
    Ok(())
}

/// Parses every value of a field.
pub(crate) fn compile<V: AsRef<str>, T, E: ToString>(
    field: &'static str,
    values: &[V],
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<Vec<T>, FieldError> {
    values
        .iter()
        .map(|value| {
            parse(value.as_ref()).map_err(|error| FieldError::new(field, error.to_string()))
        })
        .collect()
}

#[cfg(test)]
mod tests;
