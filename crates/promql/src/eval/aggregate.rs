//! Groups of series put together.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use super::column::{Column, Part, unique};
use super::quantile::{ascending, quantile};
use super::window::{Sum, mean};
use super::{Grid, Query};
use crate::ast::{Aggregation, Expr, Grouping};
use crate::{Error, Labels, NAME};

impl Query<'_> {
    pub(super) fn aggregate(
        &self,
        aggregation: Aggregation,
        parameter: Option<&Expr>,
        inner: &Expr,
        grouping: &Grouping,
        grid: Grid,
    ) -> Result<Part, Error> {
        let parameter = parameter.map(|expr| self.part(expr, grid)).transpose()?;
        let columns = self.vector(inner, grid)?;
        let groups = groups(&columns, grouping);
        let made = match (aggregation, parameter) {
            (Aggregation::CountValues, Some(Part::Text(label))) => {
                return self.count_values(&label, &columns, grouping, grid);
            }
            (Aggregation::Topk | Aggregation::Bottomk, Some(Part::Scalar(most))) => {
                return best(aggregation, &most, &columns, &groups, grid).map(Part::Vector);
            }
            (Aggregation::Quantile, Some(Part::Scalar(shares))) => {
                let share = |at: usize| shares.get(at).copied().unwrap_or(f64::NAN);
                folded(&columns, groups, grid, |at, values| {
                    quantile(share(at), values)
                })
            }
            _ => folded(&columns, groups, grid, |_, values| {
                fold(aggregation, &values)
            }),
        };
        Ok(Part::Vector(made))
    }

    /// How many series of a group have each value.
    fn count_values(
        &self,
        label: &Arc<str>,
        columns: &[Column],
        grouping: &Grouping,
        grid: Grid,
    ) -> Result<Part, Error> {
        if label.is_empty() || label.starts_with(|letter: char| letter.is_ascii_digit()) {
            return Err(Error::execution(format!("invalid label name {label:?}")));
        }
        let mut counts: HashMap<Labels, Column> = HashMap::new();
        let mut order = Vec::new();
        for column in columns {
            let group = group(&column.labels, grouping);
            for (at, value) in column.values.iter().enumerate() {
                let Some(value) = value else { continue };
                let labels = group.with(label, &shown(*value));
                if !counts.contains_key(&labels) {
                    self.pay(grid.count)?;
                    order.push(labels.clone());
                }
                let counted = counts
                    .entry(labels)
                    .or_insert_with_key(|labels| Column::empty(labels.clone(), grid));
                if let Some(count) = counted.values.get_mut(at) {
                    *count = Some(count.unwrap_or_default() + 1.0);
                }
            }
        }
        Ok(Part::Vector(
            order
                .iter()
                .filter_map(|labels| counts.remove(labels))
                .collect(),
        ))
    }
}

/// A number as Prometheus writes it.
fn shown(value: f64) -> String {
    if value.is_nan() {
        "NaN".into()
    } else if value == f64::INFINITY {
        "+Inf".into()
    } else if value == f64::NEG_INFINITY {
        "-Inf".into()
    } else {
        value.to_string()
    }
}

fn group(labels: &Labels, grouping: &Grouping) -> Labels {
    let is_named = |name: &str| grouping.labels.iter().any(|of| of == name);
    if grouping.without {
        labels.only(|name| name != NAME && !is_named(name))
    } else {
        labels.only(is_named)
    }
}

/// Groups in the order in which they come, and the numbers of their columns.
fn groups(columns: &[Column], grouping: &Grouping) -> Vec<(Labels, Vec<usize>)> {
    let mut places: HashMap<Labels, usize> = HashMap::new();
    let mut groups: Vec<(Labels, Vec<usize>)> = Vec::new();
    for (number, column) in columns.iter().enumerate() {
        let labels = group(&column.labels, grouping);
        let place = *places.entry(labels.clone()).or_insert_with(|| {
            groups.push((labels, Vec::new()));
            groups.len() - 1
        });
        if let Some((_, members)) = groups.get_mut(place) {
            members.push(number);
        }
    }
    groups
}

fn values_at(columns: &[Column], members: &[usize], at: usize) -> Vec<f64> {
    let columns = members.iter().filter_map(|number| columns.get(*number));
    columns
        .filter_map(|column| column.values.get(at).copied().flatten())
        .collect()
}

fn folded(
    columns: &[Column],
    groups: Vec<(Labels, Vec<usize>)>,
    grid: Grid,
    of: impl Fn(usize, Vec<f64>) -> f64,
) -> Vec<Column> {
    let each = groups.into_iter().map(|(labels, members)| {
        let values = (0..grid.count).map(|at| {
            let values = values_at(columns, &members, at);
            (!values.is_empty()).then(|| of(at, values))
        });
        Column {
            values: values.collect(),
            labels,
        }
    });
    each.collect()
}

#[allow(clippy::cast_precision_loss, reason = "series of one group")]
fn fold(aggregation: Aggregation, values: &[f64]) -> f64 {
    let all = values.iter().copied();
    let first = values.first().copied().unwrap_or(f64::NAN);
    match aggregation {
        Aggregation::Sum => {
            let mut sum = Sum::of(first);
            all.skip(1).for_each(|value| sum.add(value));
            sum.sum + sum.lost
        }
        Aggregation::Avg => mean(all),
        Aggregation::Min => all.fold(first, |least, value| {
            if least > value || least.is_nan() {
                value
            } else {
                least
            }
        }),
        Aggregation::Max => all.fold(first, |most, value| {
            if most < value || most.is_nan() {
                value
            } else {
                most
            }
        }),
        Aggregation::Count => values.len() as f64,
        Aggregation::Stddev => variance(values).sqrt(),
        Aggregation::Stdvar => variance(values),
        _ => 1.0,
    }
}

/// The mean square of the distance from the mean (Welford).
fn variance(values: &[f64]) -> f64 {
    let (mut mean, mut squares, mut count) = (0.0, 0.0, 0.0);
    for (number, value) in values.iter().enumerate() {
        count += 1.0;
        if number == 0 {
            mean = *value;
            squares = if value.is_finite() { 0.0 } else { f64::NAN };
            continue;
        }
        let distance = value - mean;
        mean += distance / count;
        squares += distance * (value - mean);
    }
    squares / count
}

/// `topk` and `bottomk`: the series themselves, each at the times when it is among the first of its group.
fn best(
    aggregation: Aggregation,
    most: &[f64],
    columns: &[Column],
    groups: &[(Labels, Vec<usize>)],
    grid: Grid,
) -> Result<Vec<Column>, Error> {
    let mut kept: Vec<Column> = columns
        .iter()
        .map(|column| Column::empty(column.labels.clone(), grid))
        .collect();
    let mut order = Vec::new();
    for (at, most) in most.iter().enumerate() {
        if most.is_nan() {
            return Err(Error::execution("Parameter value is NaN"));
        }
        let most = if *most < 1.0 { 0 } else { *most as usize };
        for (_, members) in groups {
            let value = |number: &usize| {
                columns
                    .get(*number)
                    .and_then(|column| column.values.get(at).copied().flatten())
            };
            let mut present: Vec<(usize, f64)> = members
                .iter()
                .filter_map(|number| Some((*number, value(number)?)))
                .collect();
            present.sort_by(|(_, one), (_, other)| ranked(aggregation, *one, *other));
            for (number, value) in present.into_iter().take(most) {
                if let Some(place) = kept
                    .get_mut(number)
                    .and_then(|column| column.values.get_mut(at))
                {
                    *place = Some(value);
                }
                if at == 0 {
                    order.push(number);
                }
            }
        }
    }
    if grid.count == 1 {
        // The order of an instant vector is seen.
        kept = order
            .iter()
            .filter_map(|number| kept.get(*number).cloned())
            .collect();
    }
    kept.retain(|column| !column.is_empty());
    unique(kept)
}

/// The order of `topk` and `bottomk`: what is no number comes last.
fn ranked(aggregation: Aggregation, one: f64, other: f64) -> Ordering {
    match (one.is_nan(), other.is_nan()) {
        (false, false) if aggregation == Aggregation::Topk => ascending(other, one),
        (false, false) => ascending(one, other),
        (is_none, other_is_none) => is_none.cmp(&other_is_none),
    }
}
