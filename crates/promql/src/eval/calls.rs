//! Functions.

use super::column::{Column, Part, mapped, unique};
use super::quantile::{ascending, of_histograms};
use super::ranges::Window;
use super::window::{self, Slope};
use super::{Grid, Query, dates, rewrite};
use crate::ast::{Expr, Function};
use crate::labels::Test;
use crate::{Error, Labels, Matcher, NAME};

impl Query<'_> {
    pub(super) fn call(
        &self,
        function: &Function,
        arguments: &[Expr],
        grid: Grid,
    ) -> Result<Part, Error> {
        let name = function.name;
        if let Some(part) = self.of_time(name, arguments, grid)? {
            return Ok(part);
        }
        if let Some(columns) = self.of_ranges(name, arguments, grid)? {
            return Ok(Part::Vector(columns));
        }
        let Some(first) = arguments.first() else {
            return Err(Error::execution(format!("{name} needs an argument")));
        };
        if let Some(of) = elementary(name) {
            return mapped(self.vector(first, grid)?, |_, value| Some(of(value))).map(Part::Vector);
        }
        match name {
            "absent" => self.absent(first, grid),
            "clamp" | "clamp_max" | "clamp_min" | "round" => self.limited(name, arguments, grid),
            "histogram_quantile" => {
                let (Some(shares), Some(columns)) = (arguments.first(), arguments.get(1)) else {
                    return Err(Error::execution("histogram_quantile needs two arguments"));
                };
                let (shares, columns) = (self.scalar(shares, grid)?, self.vector(columns, grid)?);
                of_histograms(&shares, &columns, grid).map(Part::Vector)
            }
            "label_join" | "label_replace" => self.relabelled(name, first, arguments, grid),
            "scalar" => {
                let columns = self.vector(first, grid)?;
                Ok(Part::Scalar(
                    (0..grid.count).map(|at| only(&columns, at)).collect(),
                ))
            }
            "sort" | "sort_desc" => Ok(Part::Vector(sorted(name, self.vector(first, grid)?))),
            "timestamp" => self.timestamp(first, grid),
            "vector" => {
                let values = self.scalar(first, grid)?.into_iter().map(Some).collect();
                let labels = Labels::default();
                Ok(Part::Vector(vec![Column { labels, values }]))
            }
            _ => Err(Error::execution(format!("{name} is not there"))),
        }
    }

    /// Functions of the time, or of values as times.
    #[allow(clippy::cast_precision_loss, reason = "the time in milliseconds")]
    fn of_time(&self, name: &str, arguments: &[Expr], grid: Grid) -> Result<Option<Part>, Error> {
        let seconds = grid.times().map(|time| time as f64 / 1000.0);
        if name == "time" {
            return Ok(Some(Part::Scalar(seconds.collect())));
        }
        if name == "pi" {
            return Ok(Some(Part::Scalar(vec![std::f64::consts::PI; grid.count])));
        }
        if !dates::is_one(name) {
            return Ok(None);
        }
        let columns = match arguments.first() {
            Some(argument) => self.vector(argument, grid)?,
            None => vec![Column {
                labels: Labels::default(),
                values: seconds.map(Some).collect(),
            }],
        };
        mapped(columns, |_, value| Some(dates::part(name, value)))
            .map(|columns| Some(Part::Vector(columns)))
    }

    /// Functions of a range vector.
    fn of_ranges(
        &self,
        name: &str,
        arguments: &[Expr],
        grid: Grid,
    ) -> Result<Option<Vec<Column>>, Error> {
        let (Some(first), second) = (arguments.first(), arguments.get(1)) else {
            return Ok(None);
        };
        let at = |values: &[f64], at: usize| values.get(at).copied().unwrap_or(f64::NAN);
        let columns = match (name, second) {
            ("absent_over_time", _) => {
                let found = self.over(first, grid, |_, _| Some(1.0))?;
                return Ok(Some(vec![missing(first, &found, grid)]));
            }
            ("predict_linear", Some(second)) => {
                let ahead = self.scalar(second, grid)?;
                self.over(first, grid, |time, window| {
                    window::predict(window, at(&ahead, time))
                })
            }
            ("quantile_over_time", Some(range)) => {
                let shares = self.scalar(first, grid)?;
                self.over(range, grid, |time, window| {
                    let share = at(&shares, time);
                    Some(window::quantile_over_time(window.samples, share))
                })
            }
            _ => match (of_window(name), name.strip_suffix("_over_time")) {
                (Some(of), _) => self.over(first, grid, |_, window| of(window)),
                (None, Some(which)) => self.over(first, grid, |_, window| {
                    window::over_time(which, window.samples)
                }),
                (None, None) => return Ok(None),
            },
        }?;
        // The first and the last value are those of the metric itself.
        if matches!(name, "first_over_time" | "last_over_time") {
            return Ok(Some(columns));
        }
        mapped(columns, |_, value| Some(value)).map(Some)
    }

    /// `label_join` and `label_replace`.
    fn relabelled(
        &self,
        name: &str,
        first: &Expr,
        arguments: &[Expr],
        grid: Grid,
    ) -> Result<Part, Error> {
        let texts = arguments.iter().skip(1);
        let texts = texts.map(|argument| match self.part(argument, grid)? {
            Part::Text(text) => Ok(text),
            _ => Err(Error::execution("a string was expected")),
        });
        let texts: Vec<_> = texts.collect::<Result<_, Error>>()?;
        let columns = self.vector(first, grid)?;
        let made = if name == "label_join" {
            rewrite::join(columns, &texts)
        } else {
            rewrite::replace(columns, &texts)
        };
        unique(made?).map(Part::Vector)
    }

    fn absent(&self, argument: &Expr, grid: Grid) -> Result<Part, Error> {
        let columns = self.vector(argument, grid)?;
        Ok(Part::Vector(vec![missing(argument, &columns, grid)]))
    }

    fn limited(&self, name: &str, arguments: &[Expr], grid: Grid) -> Result<Part, Error> {
        let given = |number: usize| {
            arguments
                .get(number)
                .map(|argument| self.scalar(argument, grid))
                .transpose()
        };
        let Some(first) = arguments.first() else {
            return Err(Error::execution(format!("{name} needs an argument")));
        };
        let (second, third) = (given(1)?, given(2)?);
        let at = |values: &Option<Vec<f64>>, at: usize, or: f64| {
            values
                .as_ref()
                .map_or(or, |of| of.get(at).copied().unwrap_or(or))
        };
        let columns = mapped(self.vector(first, grid)?, |time, value| match name {
            "clamp" => {
                let (least, most) = (at(&second, time, f64::NAN), at(&third, time, f64::NAN));
                (least <= most || least.is_nan() || most.is_nan())
                    .then(|| larger(least, smaller(most, value)))
            }
            "clamp_min" => Some(larger(at(&second, time, f64::NAN), value)),
            "clamp_max" => Some(smaller(at(&second, time, f64::NAN), value)),
            _ => {
                let inverse = 1.0 / at(&second, time, 1.0);
                Some((value * inverse + 0.5).floor() / inverse)
            }
        });
        columns.map(Part::Vector)
    }

    /// The time of each value: of a selector that of the sample, of everything else that which is asked for.
    #[allow(clippy::cast_precision_loss, reason = "the time in milliseconds")]
    fn timestamp(&self, argument: &Expr, grid: Grid) -> Result<Part, Error> {
        let columns = match argument.bare() {
            Expr::Vector(selector) => {
                let columns = self.select(selector, grid, |sample| sample.time as f64 / 1000.0)?;
                return mapped(columns, |_, value| Some(value)).map(Part::Vector);
            }
            other => self.vector(other, grid)?,
        };
        let times: Vec<f64> = grid.times().map(|time| time as f64 / 1000.0).collect();
        mapped(columns, |at, _| times.get(at).copied()).map(Part::Vector)
    }
}

/// The functions of a range alone.
fn of_window(name: &str) -> Option<fn(&Window<'_>) -> Option<f64>> {
    Some(match name {
        "changes" => |window| Some(window::changes(window.samples)),
        "resets" => |window| Some(window::resets(window.samples)),
        "delta" => |window| window::extrapolated(window, Slope::Delta),
        "rate" => |window| window::extrapolated(window, Slope::Rate),
        "increase" => |window| window::extrapolated(window, Slope::Increase),
        "irate" => |window| window::instant(window.samples, true),
        "idelta" => |window| window::instant(window.samples, false),
        "deriv" => |window| window::deriv(window.samples),
        _ => return None,
    })
}

/// In the order of the values at the first time; what is no number comes last in both.
fn sorted(name: &str, mut columns: Vec<Column>) -> Vec<Column> {
    let key = |column: &Column| column.values.first().copied().flatten().unwrap_or(f64::NAN);
    columns.sort_by(|one, other| {
        let (one, other) = (key(one), key(other));
        let order = if name == "sort" {
            ascending(one, other)
        } else {
            ascending(other, one)
        };
        one.is_nan().cmp(&other.is_nan()).then(order)
    });
    columns
}

/// The larger one as Go has it: infinity before what is no number, and that before all others.
fn larger(one: f64, other: f64) -> f64 {
    if one == f64::INFINITY || other == f64::INFINITY {
        f64::INFINITY
    } else if one.is_nan() || other.is_nan() {
        f64::NAN
    } else {
        one.max(other)
    }
}

fn smaller(one: f64, other: f64) -> f64 {
    -larger(-one, -other)
}

/// The value of the only series that has one; no number if there are none or several.
fn only(columns: &[Column], at: usize) -> f64 {
    let mut values = columns
        .iter()
        .filter_map(|column| column.values.get(at).copied().flatten());
    match (values.next(), values.next()) {
        (Some(value), None) => value,
        _ => f64::NAN,
    }
}

/// 1 at all times at which none of `columns` has a value, under the labels that the selector names.
fn missing(selector: &Expr, columns: &[Column], grid: Grid) -> Column {
    let matchers: &[Matcher] = match selector.bare() {
        Expr::Vector(selector) | Expr::Matrix { selector, .. } => &selector.matchers,
        _ => &[],
    };
    let named = matchers.iter().filter(|matcher| matcher.name != NAME);
    let labels = named.clone().filter(|matcher| {
        let of_same_name = named
            .clone()
            .filter(|other| other.name == matcher.name)
            .count();
        matches!(matcher.test, Test::Equal) && of_same_name == 1
    });
    let is_there = |at: usize| {
        columns
            .iter()
            .any(|column| column.values.get(at).is_some_and(Option::is_some))
    };
    Column {
        labels: labels
            .map(|matcher| (matcher.name.as_str(), matcher.value.as_str()))
            .collect(),
        values: (0..grid.count)
            .map(|at| (!is_there(at)).then_some(1.0))
            .collect(),
    }
}

/// The functions of one value.
fn elementary(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "abs" => f64::abs,
        "acos" => f64::acos,
        "acosh" => f64::acosh,
        "asin" => f64::asin,
        "asinh" => f64::asinh,
        "atan" => f64::atan,
        "atanh" => f64::atanh,
        "ceil" => f64::ceil,
        "cos" => f64::cos,
        "cosh" => f64::cosh,
        "deg" => f64::to_degrees,
        "exp" => f64::exp,
        "floor" => f64::floor,
        "ln" => f64::ln,
        "log10" => f64::log10,
        "log2" => f64::log2,
        "rad" => f64::to_radians,
        "sgn" => |value| {
            if value > 0.0 {
                1.0
            } else if value < 0.0 {
                -1.0
            } else {
                value
            }
        },
        "sin" => f64::sin,
        "sinh" => f64::sinh,
        "sqrt" => f64::sqrt,
        "tan" => f64::tan,
        "tanh" => f64::tanh,
        _ => return None,
    })
}
