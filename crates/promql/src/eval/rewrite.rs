//! Labels made of labels.

use std::sync::Arc;

use super::column::Column;
use crate::Error;
use crate::labels::anchored;

/// `label_replace`: target, replacement, source, expression.
pub(super) fn replace(columns: Vec<Column>, texts: &[Arc<str>]) -> Result<Vec<Column>, Error> {
    let [target, replacement, source, expression] = texts else {
        return Err(Error::execution("label_replace needs five arguments"));
    };
    let expression = anchored(expression).map_err(|_| {
        Error::execution(format!(
            "invalid regular expression in label_replace(): {expression}"
        ))
    })?;
    check(target, "label_replace")?;
    let each = columns.into_iter().map(|column| {
        let Some(groups) = expression.captures(column.labels.get(source)) else {
            return column;
        };
        let mut value = String::new();
        groups.expand(replacement, &mut value);
        Column {
            labels: column.labels.with(target, &value),
            values: column.values,
        }
    });
    Ok(each.collect())
}

/// `label_join`: target, separator, sources.
pub(super) fn join(columns: Vec<Column>, texts: &[Arc<str>]) -> Result<Vec<Column>, Error> {
    let [target, separator, sources @ ..] = texts else {
        return Err(Error::execution("label_join needs three arguments"));
    };
    check(target, "label_join")?;
    let each = columns.into_iter().map(|column| {
        let values: Vec<&str> = sources
            .iter()
            .map(|source| column.labels.get(source))
            .collect();
        Column {
            labels: column.labels.with(target, &values.join(separator)),
            values: column.values,
        }
    });
    Ok(each.collect())
}

fn check(label: &str, function: &str) -> Result<(), Error> {
    if label.is_empty() {
        return Err(Error::execution(format!(
            "invalid destination label name in {function}(): {label}"
        )));
    }
    Ok(())
}
