//! The answer to a query: each part of it as columns over the times that are asked for.

mod aggregate;
mod binary;
mod calls;
mod column;
mod dates;
mod quantile;
mod ranges;
mod rewrite;
mod select;
mod window;

use std::cell::Cell;
use std::sync::Arc;

use crate::ast::{Expr, Kind};
use crate::{Error, ErrorKind, Labels, Sample, Series};
use column::{Column, Part};

/// How old the last value of a series may be for the series to have a value, milliseconds (Prometheus' default).
pub(crate) const LOOKBACK: i64 = 5 * 60_000;

/// What a query may cost.
pub struct Limits<'a> {
    /// Samples that are read and computed on the way, those of all parts of the query together.
    pub samples: u64,
    /// Series that are read.
    pub series: u64,
    /// Times that a range may have.
    pub steps: i64,
    /// Milliseconds between two times of a subquery that does not say.
    pub subquery_step: i64,
    /// Whether the time is over; asked again and again.
    pub is_over: &'a (dyn Fn() -> bool + Sync),
}

impl Default for Limits<'_> {
    fn default() -> Self {
        Self {
            samples: 50_000_000,
            series: 200_000,
            steps: 11_000,
            subquery_step: 60_000,
            is_over: &|| false,
        }
    }
}

/// A series of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Its labels.
    pub labels: Labels,
    /// Its values in the order of their times; one for an instant vector.
    pub samples: Vec<Sample>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// One number.
    Scalar(Sample),
    /// A text, and the time of the query in milliseconds since the Unix epoch.
    Text(i64, Arc<str>),
    /// Series with one value each.
    Vector(Vec<Line>),
    /// Series with their values.
    Matrix(Vec<Line>),
}

/// The answer at one time, milliseconds since the Unix epoch.
pub fn instant(
    expr: &Expr,
    time: i64,
    series: &dyn Series,
    limits: &Limits<'_>,
) -> Result<Value, Error> {
    let grid = Grid {
        start: time,
        step: 1,
        count: 1,
    };
    let query = Query::new(series, limits, (time, time));
    if expr.kind() == Kind::Matrix {
        let ranges = query.ranges(expr, grid)?;
        return Ok(Value::Matrix(ranges.whole(grid)));
    }
    let line = |column: Column| {
        let value = column.values.first().copied().flatten()?;
        let samples = vec![Sample { time, value }];
        Some(Line {
            labels: column.labels,
            samples,
        })
    };
    Ok(match query.part(expr, grid)? {
        Part::Scalar(values) => Value::Scalar(Sample {
            time,
            value: values.first().copied().unwrap_or(f64::NAN),
        }),
        Part::Text(text) => Value::Text(time, text),
        Part::Vector(columns) => Value::Vector(columns.into_iter().filter_map(line).collect()),
    })
}

/// The answers at several times, from `start` to `end` at most, `step` apart; milliseconds. In the order of their labels.
pub fn range(
    expr: &Expr,
    (start, end): (i64, i64),
    step: i64,
    series: &dyn Series,
    limits: &Limits<'_>,
) -> Result<Vec<Line>, Error> {
    if !matches!(expr.kind(), Kind::Scalar | Kind::Vector) {
        let kind = expr.kind().name();
        return Err(Error::bad(format!(
            "invalid expression type {kind:?} for range query, must be Scalar or instant Vector"
        )));
    }
    if step <= 0 {
        return Err(Error::bad(
            "zero or negative query resolution step widths are not accepted. Try a positive integer",
        ));
    }
    if end < start {
        return Err(Error::bad("end timestamp must not be before start time"));
    }
    let grid = Grid::new(start, end, step);
    if grid.count as i64 > limits.steps {
        let most = limits.steps;
        return Err(Error::bad(format!(
            "exceeded maximum resolution of {most} points per timeseries. Try decreasing the query resolution (?step=XX)"
        )));
    }
    let query = Query::new(series, limits, (start, end));
    let columns = match query.part(expr, grid)? {
        Part::Scalar(values) => vec![Column {
            labels: Labels::default(),
            values: values.into_iter().map(Some).collect(),
        }],
        Part::Vector(columns) => columns,
        Part::Text(_) => Vec::new(),
    };
    let mut lines: Vec<Line> = columns
        .into_iter()
        .map(|column| column.into_line(grid))
        .collect();
    lines.retain(|line| !line.samples.is_empty());
    lines.sort_by(|one, other| one.labels.cmp(&other.labels));
    Ok(lines)
}

/// The times at which something is asked for.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    start: i64,
    /// More than 0.
    step: i64,
    count: usize,
}

impl Grid {
    fn new(start: i64, end: i64, step: i64) -> Self {
        let count = if end < start {
            0
        } else {
            (end.saturating_sub(start) / step).saturating_add(1)
        };
        let count = usize::try_from(count).unwrap_or(0);
        Self { start, step, count }
    }

    fn times(self) -> impl Iterator<Item = i64> {
        (0..self.count as i64)
            .map(move |number| self.start.saturating_add(self.step.saturating_mul(number)))
    }

    fn last(self) -> i64 {
        self.times().last().unwrap_or(self.start)
    }
}

/// A query while it is answered.
struct Query<'a> {
    series: &'a dyn Series,
    limits: &'a Limits<'a>,
    /// Its beginning and its end, for `@ start()` and `@ end()`.
    times: (i64, i64),
    samples: Cell<u64>,
    read: Cell<u64>,
}

impl<'a> Query<'a> {
    fn new(series: &'a dyn Series, limits: &'a Limits<'a>, times: (i64, i64)) -> Self {
        Self {
            series,
            limits,
            times,
            samples: Cell::new(0),
            read: Cell::new(0),
        }
    }

    /// Counts samples that are kept for a while, and looks at the clock.
    fn pay(&self, samples: usize) -> Result<(), Error> {
        let sum = self.samples.get().saturating_add(samples as u64);
        self.samples.set(sum);
        if sum > self.limits.samples {
            let most = self.limits.samples;
            return Err(Error::execution(format!(
                "query processing would load too many samples into memory: the limit is {most}"
            )));
        }
        if (self.limits.is_over)() {
            return Err(Error {
                kind: ErrorKind::Timeout,
                message: "query timed out in expression evaluation".into(),
            });
        }
        Ok(())
    }

    /// Counts a series that is read.
    fn pay_series(&self) -> Result<(), Error> {
        self.read.set(self.read.get() + 1);
        let most = self.limits.series;
        if self.read.get() > most {
            return Err(Error::execution(format!(
                "query reads too many series: the limit is {most}"
            )));
        }
        Ok(())
    }

    fn part(&self, expr: &Expr, grid: Grid) -> Result<Part, Error> {
        self.pay(grid.count)?;
        let part = match expr {
            Expr::Number(number) => Part::Scalar(vec![*number; grid.count]),
            Expr::Text(text) => Part::Text(text.as_str().into()),
            Expr::Paren(inner) => return self.part(inner, grid),
            Expr::Vector(selector) => {
                Part::Vector(self.select(selector, grid, |sample| sample.value)?)
            }
            Expr::Negate(inner) => self.part(inner, grid)?.negated()?,
            Expr::Call {
                function,
                arguments,
            } => self.call(function, arguments, grid)?,
            Expr::Aggregate {
                aggregation,
                parameter,
                inner,
                grouping,
            } => self.aggregate(*aggregation, parameter.as_deref(), inner, grouping, grid)?,
            Expr::Binary { .. } => self.binary(expr, grid)?,
            // The parser lets no range vector come here.
            Expr::Matrix { .. } | Expr::Subquery { .. } => {
                return Err(Error::execution("a range vector has no value of its own"));
            }
        };
        if let Part::Vector(columns) = &part {
            self.pay(columns.len().saturating_mul(grid.count))?;
        }
        Ok(part)
    }

    fn vector(&self, expr: &Expr, grid: Grid) -> Result<Vec<Column>, Error> {
        match self.part(expr, grid)? {
            Part::Vector(columns) => Ok(columns),
            _ => Err(Error::execution("an instant vector was expected")),
        }
    }

    fn scalar(&self, expr: &Expr, grid: Grid) -> Result<Vec<f64>, Error> {
        match self.part(expr, grid)? {
            Part::Scalar(values) => Ok(values),
            _ => Err(Error::execution("a scalar was expected")),
        }
    }
}
