//! Which series a query reads, and of which times.

use crate::Matcher;
use crate::ast::{At, Expr, Shift};
use crate::eval::LOOKBACK;

/// Times from and until which a query from `start` to `end` reads values, milliseconds since the Unix epoch; none if it reads
/// nothing.
pub fn extent(expr: &Expr, start: i64, end: i64) -> Option<(i64, i64)> {
    let mut found: Option<(i64, i64)> = None;
    walk(expr, (start, end), (start, end), &mut |_, (from, until)| {
        let (least, most) = found.unwrap_or((from, until));
        found = Some((least.min(from), most.max(until)));
    });
    found
}

/// The matchers of all selectors of a query.
pub fn selectors(expr: &Expr) -> Vec<&[Matcher]> {
    let mut found = Vec::new();
    walk(expr, (0, 0), (0, 0), &mut |matchers, _| {
        found.push(matchers);
    });
    found
}

type Times = (i64, i64);

/// The times of an expression that is asked for `times` in a query of `query`.
fn shifted(shift: &Shift, times: Times, query: Times) -> Times {
    let (from, until) = match shift.at {
        None => times,
        Some(At::Start) => (query.0, query.0),
        Some(At::End) => (query.1, query.1),
        Some(At::Time(time)) => (time, time),
    };
    (
        from.saturating_sub(shift.offset),
        until.saturating_sub(shift.offset),
    )
}

fn walk<'a>(
    expr: &'a Expr,
    times: Times,
    query: Times,
    found: &mut impl FnMut(&'a [Matcher], Times),
) {
    match expr {
        Expr::Number(_) | Expr::Text(_) => {}
        Expr::Vector(selector) => {
            let (from, until) = shifted(&selector.shift, times, query);
            found(&selector.matchers, (from.saturating_sub(LOOKBACK), until));
        }
        Expr::Matrix { selector, range } => {
            let (from, until) = shifted(&selector.shift, times, query);
            found(&selector.matchers, (from.saturating_sub(*range), until));
        }
        Expr::Subquery {
            inner,
            range,
            shift,
            ..
        } => {
            let (from, until) = shifted(shift, times, query);
            walk(inner, (from.saturating_sub(*range), until), query, found);
        }
        Expr::Paren(inner) | Expr::Negate(inner) => walk(inner, times, query, found),
        Expr::Call { arguments, .. } => {
            for argument in arguments {
                walk(argument, times, query, found);
            }
        }
        Expr::Aggregate {
            parameter, inner, ..
        } => {
            if let Some(parameter) = parameter {
                walk(parameter, times, query, found);
            }
            walk(inner, times, query, found);
        }
        Expr::Binary { left, right, .. } => {
            walk(left, times, query, found);
            walk(right, times, query, found);
        }
    }
}
