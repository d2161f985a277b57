//! What an exporter is told: which events, which fields, into which file.

use std::{collections::BTreeSet, time::Duration};

use api::hubble::flow::FlowFilter;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer, de::Error as _};
use thiserror::Error;

use crate::{filter::Selection, mask::Mask};

/// Size of a file in MB at which it is rotated, if nothing is said.
const MAX_SIZE_MB: u64 = 10;
/// How many rotated files are kept, if nothing is said.
const MAX_BACKUPS: usize = 5;
/// Path that means the standard output of the agent.
pub(super) const STDOUT: &str = "stdout";

/// A setting that cannot be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{field}: {reason}")]
pub struct SettingError {
    /// The field.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

impl SettingError {
    pub(super) fn new(field: impl Into<String>, reason: &impl ToString) -> Self {
        Self {
            field: field.into(),
            reason: reason.to_string(),
        }
    }
}

/// An exporter.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Name, for metrics.
    #[serde(default)]
    pub name: String,
    /// File, or `stdout`.
    #[serde(default)]
    pub file_path: String,
    /// Only these fields of flows; none for all.
    #[serde(default)]
    pub field_mask: Vec<String>,
    /// Flows that are alike in these fields become one line with their number.
    #[serde(default)]
    pub field_aggregate: Vec<String>,
    /// How often these lines are written; zero for no aggregation.
    #[serde(default, deserialize_with = "duration")]
    pub aggregation_interval: Duration,
    /// Only flows that one of these selects; none for all, and for what is no flow.
    #[serde(default)]
    pub include_filters: Vec<FlowFilter>,
    /// No flows that one of these selects.
    #[serde(default)]
    pub exclude_filters: Vec<FlowFilter>,
    /// Size in MB at which a file is rotated; 0 for 10.
    #[serde(default)]
    pub file_max_size_mb: u64,
    /// How many rotated files are kept; 0 for 5.
    #[serde(default)]
    pub file_max_backups: usize,
    /// Whether rotated files are compressed.
    #[serde(default)]
    pub file_compress: bool,
    /// When it ends.
    #[serde(default)]
    pub end: Option<Timestamp>,
}

impl Target {
    /// Size in octets at which a file is rotated.
    pub(super) fn max_size(&self) -> u64 {
        let size = match self.file_max_size_mb {
            0 => MAX_SIZE_MB,
            size => size,
        };
        size.saturating_mul(1024 * 1024)
    }

    /// How many rotated files are kept.
    pub(super) fn backups(&self) -> usize {
        match self.file_max_backups {
            0 => MAX_BACKUPS,
            backups => backups,
        }
    }

    /// Whether it still writes at this time.
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.end.is_none_or(|end| end > now)
    }

    /// What it selects and shows.
    pub(super) fn plan(&self) -> Result<Plan, SettingError> {
        let filters = [&self.include_filters, &self.exclude_filters];
        let selection = Selection::compile(filters[0], filters[1]).map_err(|error| {
            let field = if error.list == "whitelist" {
                "includeFilters"
            } else {
                "excludeFilters"
            };
            let place = format!("{field}[{}].{}", error.index, error.field);
            SettingError::new(place, &error.reason)
        })?;
        let mask = |field: &str, paths: &[String]| {
            Mask::new(paths).map_err(|error| SettingError::new(field, &error))
        };
        let aggregate = mask("fieldAggregate", &self.field_aggregate)?;
        Ok(Plan {
            selection,
            mask: mask("fieldMask", &self.field_mask)?,
            aggregate: aggregate.filter(|_| !self.aggregation_interval.is_zero()),
        })
    }

    /// Checks everything that can be wrong with it.
    pub fn check(&self) -> Result<(), SettingError> {
        self.plan().map(|_| ())
    }
}

/// Compiled settings.
pub(super) struct Plan {
    pub(super) selection: Selection,
    pub(super) mask: Option<Mask>,
    pub(super) aggregate: Option<Mask>,
}

/// `10s`, or nanoseconds.
fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Given {
        Nanoseconds(u64),
        Text(String),
    }
    match Given::deserialize(from)? {
        Given::Nanoseconds(number) => Ok(Duration::from_nanos(number)),
        Given::Text(text) => {
            let parsed: SignedDuration = text.parse().map_err(D::Error::custom)?;
            parsed.try_into().map_err(D::Error::custom)
        }
    }
}

/// Reads filters as `hubble observe --print-raw-filters` prints them: JSON objects one after the other, or in a list.
pub fn filters(text: &str) -> Result<Vec<FlowFilter>, String> {
    let mut filters = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>() {
        let value = value.map_err(|error| error.to_string())?;
        // Read as what it looks like, so that the error names the field.
        if value.is_array() {
            let many: Vec<FlowFilter> =
                serde_json::from_value(value).map_err(|error| error.to_string())?;
            filters.extend(many);
        } else {
            filters.push(serde_json::from_value(value).map_err(|error| error.to_string())?);
        }
    }
    Ok(filters)
}

/// The file of exporters that may change while the agent runs.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    #[serde(default)]
    flow_logs: Vec<Target>,
}

/// Reads the text of the file, YAML. Each exporter has a name and a path, and no two the same.
pub fn read(text: &str) -> Result<Vec<Target>, SettingError> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let file: File =
        serde_yaml_ng::from_str(text).map_err(|error| SettingError::new("flowLogs", &error))?;
    let (mut names, mut paths) = (BTreeSet::new(), BTreeSet::new());
    for (index, target) in file.flow_logs.iter().enumerate() {
        let at = |field: &str| format!("flowLogs[{index}].{field}");
        for (field, value, taken) in [
            ("name", &target.name, &mut names),
            ("filePath", &target.file_path, &mut paths),
        ] {
            if value.is_empty() {
                return Err(SettingError::new(at(field), &"is missing"));
            }
            if !taken.insert(value.as_str()) {
                let reason = format!("{value:?} is taken by another exporter");
                return Err(SettingError::new(at(field), &reason));
            }
        }
        target
            .check()
            .map_err(|error| SettingError::new(at(&error.field), &error.reason))?;
    }
    Ok(file.flow_logs)
}

#[cfg(test)]
mod tests;
