//! Alerting rules as Prometheus takes them: a file of groups, or the manifest of a `PrometheusRule`.

use std::collections::BTreeMap;
use std::time::Duration;

use promql::ast::{Expr, Kind};
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::template::Template;

/// How often a group is evaluated that does not say.
const INTERVAL: Duration = Duration::from_secs(30);
/// No group is evaluated more often.
const LEAST: Duration = Duration::from_secs(5);

/// A group of rules.
#[derive(Debug)]
pub(super) struct Group {
    /// Its name.
    pub(super) name: String,
    /// How often it is evaluated.
    pub(super) interval: Duration,
    /// In the order of the file.
    pub(super) rules: Vec<Rule>,
}

/// A rule.
#[derive(Debug, PartialEq)]
pub(super) struct Rule {
    /// What its alerts are called.
    pub(super) name: String,
    /// As it was written.
    pub(super) query: String,
    /// How long it has to be so until an alert fires.
    pub(super) hold: Duration,
    /// How long an alert fires on after it is not so any more.
    pub(super) keep: Duration,
    /// Labels of its alerts besides those of the series.
    pub(super) labels: BTreeMap<String, Template>,
    /// What its alerts say.
    pub(super) annotations: BTreeMap<String, Template>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupText {
    name: String,
    interval: Option<String>,
    #[serde(default)]
    rules: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    alert: String,
    expr: String,
    #[serde(rename = "for")]
    hold: Option<String>,
    keep_firing_for: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// Reads a file; an error names the group and the rule.
pub(super) fn read(text: &str) -> Result<Vec<Group>, String> {
    let file: Value = serde_yaml_ng::from_str(text).map_err(|error| error.to_string())?;
    let groups = file
        .get("groups")
        .or_else(|| file.get("spec")?.get("groups"));
    let groups = groups
        .and_then(Value::as_sequence)
        .ok_or("groups: a list is needed")?;
    let mut all: Vec<Group> = Vec::new();
    for (number, value) in groups.iter().enumerate() {
        let called = value
            .get("name")
            .and_then(Value::as_str)
            .map_or_else(|| format!("number {number}"), |name| format!("{name:?}"));
        let group = group(value).map_err(|reason| format!("group {called}: {reason}"))?;
        if all.iter().any(|other| other.name == group.name) {
            return Err(format!("group {called}: there are two of this name"));
        }
        all.push(group);
    }
    Ok(all)
}

fn group(value: &Value) -> Result<Group, String> {
    let text: GroupText =
        serde_yaml_ng::from_value(value.clone()).map_err(|error| error.to_string())?;
    let interval = duration("interval", text.interval.as_deref())?.unwrap_or(INTERVAL);
    if interval < LEAST {
        return Err(format!("interval: {} s at least", LEAST.as_secs()));
    }
    let rules = text.rules.iter().enumerate().map(|(number, value)| {
        let name = value.get("alert").and_then(Value::as_str);
        let called = name.map_or_else(|| format!("number {number}"), |name| format!("{name:?}"));
        rule(value).map_err(|reason| format!("rule {called}: {reason}"))
    });
    Ok(Group {
        rules: rules.collect::<Result<_, _>>()?,
        name: text.name,
        interval,
    })
}

fn rule(value: &Value) -> Result<Rule, String> {
    if value.get("record").is_some() {
        return Err("record: series are not recorded here, only alerts are evaluated".into());
    }
    let text: RuleText =
        serde_yaml_ng::from_value(value.clone()).map_err(|error| error.to_string())?;
    if text.alert.is_empty() {
        return Err("alert: a name is needed".into());
    }
    let expr: Expr = promql::parse(&text.expr).map_err(|error| format!("expr: {error}"))?;
    if !matches!(expr.kind(), Kind::Vector | Kind::Scalar) {
        return Err(format!(
            "expr: an instant vector or a scalar is needed, not a {}",
            expr.kind().name()
        ));
    }
    if text.labels.contains_key("alertname") {
        return Err("labels: alertname is the name of the rule".into());
    }
    Ok(Rule {
        hold: duration("for", text.hold.as_deref())?.unwrap_or_default(),
        keep: duration("keep_firing_for", text.keep_firing_for.as_deref())?.unwrap_or_default(),
        labels: templates("labels", text.labels)?,
        annotations: templates("annotations", text.annotations)?,
        name: text.alert,
        query: text.expr,
    })
}

fn duration(key: &str, text: Option<&str>) -> Result<Option<Duration>, String> {
    let Some(text) = text else { return Ok(None) };
    let milliseconds = if text == "0" {
        Some(0)
    } else {
        promql::duration(text)
    };
    let milliseconds = milliseconds.and_then(|of| u64::try_from(of).ok());
    milliseconds
        .map(|of| Some(Duration::from_millis(of)))
        .ok_or_else(|| format!("{key}: {text:?} is no duration such as 5m"))
}

fn templates(
    key: &str,
    texts: BTreeMap<String, String>,
) -> Result<BTreeMap<String, Template>, String> {
    let each = texts
        .into_iter()
        .map(|(name, text)| match Template::read(&text) {
            Ok(template) => Ok((name, template)),
            Err(reason) => Err(format!("{key}: {name}: {reason}")),
        });
    each.collect()
}

#[cfg(test)]
mod tests;
