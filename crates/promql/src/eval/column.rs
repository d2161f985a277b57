//! Series with a value, or none, at each time of a grid.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Grid, Line};
use crate::{Error, Labels, Sample};

/// A series over a grid.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub labels: Labels,
    pub values: Vec<Option<f64>>,
}

/// What an expression yields over a grid.
pub(super) enum Part {
    Scalar(Vec<f64>),
    Text(Arc<str>),
    Vector(Vec<Column>),
}

impl Part {
    pub(super) fn negated(self) -> Result<Self, Error> {
        Ok(match self {
            Self::Scalar(values) => Self::Scalar(values.into_iter().map(|value| -value).collect()),
            Self::Vector(columns) => Self::Vector(mapped(columns, |_, value| Some(-value))?),
            Self::Text(text) => Self::Text(text),
        })
    }
}

impl Column {
    pub(super) fn empty(labels: Labels, grid: Grid) -> Self {
        let values = vec![None; grid.count];
        Self { labels, values }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.values.iter().all(Option::is_none)
    }

    pub(super) fn into_line(self, grid: Grid) -> Line {
        let values = grid.times().zip(self.values);
        let samples = values
            .filter_map(|(time, value)| {
                Some(Sample {
                    time,
                    value: value?,
                })
            })
            .collect();
        Line {
            labels: self.labels,
            samples,
        }
    }
}

/// Each value by itself, under the labels without the metric's name. `of` gets the number of the time and the value.
pub(super) fn mapped(
    columns: Vec<Column>,
    of: impl Fn(usize, f64) -> Option<f64>,
) -> Result<Vec<Column>, Error> {
    let each = columns.into_iter().map(|column| Column {
        labels: column.labels.nameless(),
        values: column
            .values
            .into_iter()
            .enumerate()
            .map(|(at, value)| of(at, value?))
            .collect(),
    });
    unique(each.collect())
}

/// Columns of the same labels put together: at no time may two of them have a value.
pub(super) fn unique(columns: Vec<Column>) -> Result<Vec<Column>, Error> {
    let mut places: HashMap<Labels, usize> = HashMap::with_capacity(columns.len());
    let mut all: Vec<Column> = Vec::with_capacity(columns.len());
    for column in columns {
        let Some(place) = places.get(&column.labels) else {
            places.insert(column.labels.clone(), all.len());
            all.push(column);
            continue;
        };
        let Some(into) = all.get_mut(*place) else {
            continue;
        };
        for (own, other) in into.values.iter_mut().zip(column.values) {
            if own.is_some() && other.is_some() {
                return Err(Error::execution(
                    "vector cannot contain metrics with the same labelset",
                ));
            }
            *own = own.or(other);
        }
    }
    Ok(all)
}
