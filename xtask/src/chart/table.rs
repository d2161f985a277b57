//! The table of upstream's value names: `name state accepts why`, separated by tabs.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};

/// What becomes of a value here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It does what it says.
    Works,
    /// Only values that ask for nothing are accepted.
    Default,
    /// None is accepted.
    Refused,
}

/// One name.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    /// As in `--set`.
    pub(super) name: String,
    pub(super) state: State,
    /// Types of JSON, of a value that works; empty: those listed in `accepts` only.
    pub(super) types: Vec<String>,
    /// The only values that are accepted; empty: all of the types, or none.
    pub(super) accepts: Vec<Value>,
}

/// Parses the table, and checks that each row that does not work has a reason.
pub(super) fn parse(table: &str, reasons: &str) -> Result<Vec<Row>> {
    let reasons: BTreeSet<&str> = reasons
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(word, _)| word)
        .collect();
    let mut lines = table.lines();
    ensure!(
        lines.next() == Some("name\tstate\taccepts\twhy"),
        "the heading is another one"
    );
    let mut rows: Vec<Row> = Vec::new();
    for line in lines {
        let row = row(line, &reasons).with_context(|| format!("'{line}'"))?;
        if let Some(last) = rows.last() {
            ensure!(last.name < row.name, "{}: not in order", row.name);
        }
        rows.push(row);
    }
    Ok(rows)
}

fn row(line: &str, reasons: &BTreeSet<&str>) -> Result<Row> {
    let cells: Vec<&str> = line.split('\t').collect();
    let &[name, state, accepts, why] = cells.as_slice() else {
        bail!("{} cells instead of 4", cells.len());
    };
    let state = match state {
        "works" => State::Works,
        "default" => State::Default,
        "refused" => State::Refused,
        other => bail!("the state {other}"),
    };
    let (mut types, mut values) = (Vec::new(), Vec::new());
    if accepts.starts_with('[') {
        values = serde_json::from_str(accepts)?;
    } else if !accepts.is_empty() {
        types = accepts.split('|').map(str::to_owned).collect();
    }
    match state {
        State::Works => ensure!(
            why.is_empty() && (types.len() + values.len()) > 0,
            "no type"
        ),
        State::Default => ensure!(!values.is_empty(), "no value is accepted"),
        State::Refused => ensure!(accepts.is_empty(), "refused, and yet accepted"),
    }
    ensure!(
        state == State::Works || reasons.contains(why),
        "no reason '{why}'"
    );
    Ok(Row {
        name: name.to_owned(),
        state,
        types,
        accepts: values,
    })
}

/// Sets a value by its name, making the objects above it.
pub(super) fn set(values: &mut Value, name: &str, to: Value) {
    let mut at = values;
    for word in name.split('.') {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        at = &mut at[word];
    }
    *at = to;
}

/// Names of all values that are no objects, or that are rows of their own.
pub(super) fn leaves(values: &Value, name: &str, rows: &BTreeSet<&str>, to: &mut BTreeSet<String>) {
    match values {
        Value::Object(fields) if !rows.contains(name) && !fields.is_empty() => {
            for (key, value) in fields {
                let name = if name.is_empty() {
                    key.clone()
                } else {
                    format!("{name}.{key}")
                };
                leaves(value, &name, rows, to);
            }
        }
        _ => {
            to.insert(name.to_owned());
        }
    }
}
