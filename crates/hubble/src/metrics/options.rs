//! Which metrics are wanted, and with which options: from one line of text, or from a file.

use std::collections::BTreeSet;

use api::hubble::flow::FlowFilter;
use serde::Deserialize;
use thiserror::Error;

/// A setting that cannot be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{metric}: {reason}")]
pub struct OptionError {
    /// Name of the metric.
    pub metric: String,
    /// What is wrong with it.
    pub reason: String,
}

impl OptionError {
    pub(super) fn new(metric: &str, reason: impl Into<String>) -> Self {
        Self {
            metric: metric.to_owned(),
            reason: reason.into(),
        }
    }
}

/// An option of a metric.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub struct ContextOption {
    /// Name of the option.
    pub name: String,
    /// Its values; none for one that is only there or not.
    #[serde(default)]
    pub values: Vec<String>,
}

/// A metric that is wanted.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Wanted {
    /// Name of the handler, e.g. `flow`.
    #[serde(default)]
    pub name: String,
    /// Its options.
    #[serde(default)]
    pub context_options: Vec<ContextOption>,
    /// Only flows that one of these selects; none for all.
    #[serde(default)]
    pub include_filters: Vec<FlowFilter>,
    /// No flows that one of these selects.
    #[serde(default)]
    pub exclude_filters: Vec<FlowFilter>,
}

impl Wanted {
    /// Reads one item of `hubble-metrics`: `name[:option[;option…]]`, an option being `flag` or `key=value|value`, the
    /// values of `labelsContext` parted by commas.
    pub fn parse(item: &str) -> Self {
        let (name, options) = item.split_once(':').unwrap_or((item, ""));
        let context_options = options
            .split(';')
            .filter(|option| !option.is_empty())
            .map(|option| {
                let (name, value) = option.split_once('=').unwrap_or((option, ""));
                let by = if name.eq_ignore_ascii_case("labelsContext") {
                    ','
                } else {
                    '|'
                };
                let values = value.split(by).filter(|value| !value.is_empty());
                ContextOption {
                    name: name.to_owned(),
                    values: values.map(str::to_owned).collect(),
                }
            })
            .collect();
        Self {
            name: name.to_owned(),
            context_options,
            ..Self::default()
        }
    }
}

/// Reads `hubble-metrics`: items with white space between them.
pub fn parse(text: &str) -> Vec<Wanted> {
    text.split_whitespace().map(Wanted::parse).collect()
}

/// The file of metrics that may change while the agent runs.
#[derive(Deserialize)]
struct File {
    #[serde(default)]
    metrics: Vec<Wanted>,
}

/// Reads the text of the file, YAML. Each metric has a name, and no two the same.
pub fn read(text: &str) -> Result<Vec<Wanted>, OptionError> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let file: File = serde_yaml_ng::from_str(text)
        .map_err(|error| OptionError::new("metrics", error.to_string()))?;
    let mut names = BTreeSet::new();
    for (index, wanted) in file.metrics.iter().enumerate() {
        let place = format!("metrics[{index}]");
        if wanted.name.is_empty() {
            return Err(OptionError::new(&place, "has no name"));
        }
        if !names.insert(wanted.name.as_str()) {
            let reason = format!("a second metric with the name {:?}", wanted.name);
            return Err(OptionError::new(&place, reason));
        }
    }
    Ok(file.metrics)
}

#[cfg(test)]
mod tests;
