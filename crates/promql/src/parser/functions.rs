//! The functions: what each takes and yields.

use crate::ast::{Expr, Function, Kind};

use Kind::{Matrix, Scalar, Text, Vector};

const fn of(name: &'static str, takes: &'static [Kind], yields: Kind) -> Function {
    Function {
        name,
        takes,
        optional: Some(0),
        yields,
    }
}

const fn optional(name: &'static str, takes: &'static [Kind], yields: Kind) -> Function {
    Function {
        name,
        takes,
        optional: Some(1),
        yields,
    }
}

/// All functions.
#[rustfmt::skip]
static FUNCTIONS: &[Function] = &[
    of("abs", &[Vector], Vector), of("absent", &[Vector], Vector), of("absent_over_time", &[Matrix], Vector),
    of("acos", &[Vector], Vector), of("acosh", &[Vector], Vector), of("asin", &[Vector], Vector), of("asinh", &[Vector], Vector),
    of("atan", &[Vector], Vector), of("atanh", &[Vector], Vector), of("avg_over_time", &[Matrix], Vector),
    of("ceil", &[Vector], Vector), of("changes", &[Matrix], Vector), of("clamp", &[Vector, Scalar, Scalar], Vector),
    of("clamp_max", &[Vector, Scalar], Vector), of("clamp_min", &[Vector, Scalar], Vector), of("cos", &[Vector], Vector),
    of("cosh", &[Vector], Vector), of("count_over_time", &[Matrix], Vector), optional("day_of_month", &[Vector], Vector),
    optional("day_of_week", &[Vector], Vector), optional("day_of_year", &[Vector], Vector),
    optional("days_in_month", &[Vector], Vector), of("deg", &[Vector], Vector), of("delta", &[Matrix], Vector),
    of("deriv", &[Matrix], Vector), of("exp", &[Vector], Vector), of("first_over_time", &[Matrix], Vector),
    of("floor", &[Vector], Vector), of("histogram_quantile", &[Scalar, Vector], Vector), optional("hour", &[Vector], Vector),
    of("idelta", &[Matrix], Vector), of("increase", &[Matrix], Vector), of("irate", &[Matrix], Vector),
    Function { name: "label_join", takes: &[Vector, Text, Text, Text], optional: None, yields: Vector },
    of("label_replace", &[Vector, Text, Text, Text, Text], Vector), of("last_over_time", &[Matrix], Vector),
    of("ln", &[Vector], Vector), of("log10", &[Vector], Vector), of("log2", &[Vector], Vector),
    of("max_over_time", &[Matrix], Vector), of("min_over_time", &[Matrix], Vector), optional("minute", &[Vector], Vector),
    optional("month", &[Vector], Vector), of("pi", &[], Scalar), of("predict_linear", &[Matrix, Scalar], Vector),
    of("present_over_time", &[Matrix], Vector), of("quantile_over_time", &[Scalar, Matrix], Vector), of("rad", &[Vector], Vector),
    of("rate", &[Matrix], Vector), of("resets", &[Matrix], Vector), optional("round", &[Vector, Scalar], Vector),
    of("scalar", &[Vector], Scalar), of("sgn", &[Vector], Vector), of("sin", &[Vector], Vector), of("sinh", &[Vector], Vector),
    of("sort", &[Vector], Vector), of("sort_desc", &[Vector], Vector), of("sqrt", &[Vector], Vector),
    of("stddev_over_time", &[Matrix], Vector), of("stdvar_over_time", &[Matrix], Vector), of("sum_over_time", &[Matrix], Vector),
    of("tan", &[Vector], Vector), of("tanh", &[Vector], Vector), of("time", &[], Scalar), of("timestamp", &[Vector], Vector),
    of("vector", &[Scalar], Vector), optional("year", &[Vector], Vector),
];

/// The function of a name.
pub(super) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

/// Whether a function takes these arguments; else why not.
pub(super) fn check(function: &Function, arguments: &[Expr]) -> Result<(), String> {
    let Function {
        name,
        takes,
        optional,
        ..
    } = function;
    let (most, found) = (takes.len(), arguments.len());
    // The last of those that may come several times may be missing, too.
    let least = most - optional.unwrap_or(1);
    if *optional == Some(0) && found != most {
        return Err(format!(
            "expected {most} argument(s) in call to {name:?}, got {found}"
        ));
    }
    if found < least {
        return Err(format!(
            "expected at least {least} argument(s) in call to {name:?}, got {found}"
        ));
    }
    if optional.is_some() && found > most {
        return Err(format!(
            "expected at most {most} argument(s) in call to {name:?}, got {found}"
        ));
    }
    for (at, argument) in arguments.iter().enumerate() {
        let Some(wanted) = takes.get(at).or(takes.last()) else {
            continue;
        };
        let kind = argument.kind();
        if kind != *wanted {
            return Err(format!(
                "expected type {} in call to function {name:?}, got {}",
                wanted.name(),
                kind.name()
            ));
        }
    }
    Ok(())
}
