//! Selectors, and what may follow an expression: a range, a subquery, `offset` and `@`.

use super::Parser;
use super::lexer::Token;
use crate::ast::{At, Expr, Kind, Selector, Shift};
use crate::labels::Matcher;
use crate::{Error, NAME};

/// Longest range or offset, milliseconds: what Go's duration holds, about 292 years.
const LONGEST: f64 = 9.2e15;

impl Parser<'_> {
    /// A selector whose name has been read.
    pub(super) fn selector(&mut self, name: Option<&str>) -> Result<Expr, Error> {
        let at = self.place();
        let mut matchers = Vec::new();
        if let Some(name) = name {
            matchers.push(Matcher::new(NAME, "=", name)?);
        }
        if self.takes_sign("{") {
            while !self.takes_sign("}") {
                matchers.push(self.matcher()?);
                if !self.takes_sign(",") && !self.is_sign("}") {
                    return Err(self.unexpected("label matching, expected \",\" or \"}\""));
                }
            }
        }
        let names = matchers.iter().filter(|matcher| {
            matcher.name == NAME && matches!(matcher.test, crate::labels::Test::Equal)
        });
        if name.is_some() && names.count() > 1 {
            return Err(self.failure(at, "metric name must not be set twice"));
        }
        if matchers.iter().all(|matcher| matcher.accepts("")) {
            return Err(self.failure(
                at,
                "vector selector must contain at least one non-empty matcher",
            ));
        }
        Ok(Expr::Vector(Selector {
            matchers,
            shift: Shift::default(),
        }))
    }

    fn matcher(&mut self) -> Result<Matcher, Error> {
        let at = self.place();
        let name = match self.take() {
            Token::Name(name) if !name.contains(':') => name,
            // A text alone is the name of the metric.
            Token::Text(name) if self.is_sign(",") || self.is_sign("}") => {
                return Matcher::new(NAME, "=", &name);
            }
            Token::Text(name) => name,
            _ => {
                self.next -= 1;
                return Err(self.unexpected("label matching, expected identifier or \"}\""));
            }
        };
        let operator = match self.peek() {
            Token::Sign(sign @ ("=" | "!=" | "=~" | "!~")) => *sign,
            _ => return Err(self.unexpected("label matching, expected label matching operator")),
        };
        self.take();
        let Token::Text(value) = self.peek().clone() else {
            return Err(self.unexpected("label matching, expected string"));
        };
        self.take();
        Matcher::new(&name, operator, &value).map_err(|error| self.failure(at, error.message))
    }

    /// A duration: a number is seconds.
    fn milliseconds(&mut self, context: &str) -> Result<i64, Error> {
        let at = self.place();
        let negates = self.takes_sign("-");
        let Token::Number(seconds) = *self.peek() else {
            return Err(self.unexpected(context));
        };
        self.take();
        let milliseconds = seconds * 1000.0;
        if !(0.0..LONGEST).contains(&milliseconds) {
            return Err(self.failure(at, "duration out of range"));
        }
        let milliseconds = milliseconds.round() as i64;
        Ok(if negates { -milliseconds } else { milliseconds })
    }

    fn positive(&mut self, context: &str) -> Result<i64, Error> {
        let at = self.place();
        let milliseconds = self.milliseconds(context)?;
        if milliseconds <= 0 {
            return Err(self.failure(at, "duration must be greater than 0"));
        }
        Ok(milliseconds)
    }

    /// An expression with all that follows it.
    pub(super) fn postfix(&mut self) -> Result<Expr, Error> {
        let at = self.place();
        let mut expr = self.primary()?;
        let mut has_offset = false;
        loop {
            if self.takes_sign("[") {
                expr = self.range(at, expr)?;
                has_offset = false;
            } else if self.takes_word("offset") {
                let offset = self.milliseconds("offset, expected duration")?;
                let shift = shift(&mut expr).ok_or_else(|| {
                    self.failure(at, "offset modifier must be preceded by an instant vector selector or range vector selector or a subquery")
                })?;
                shift.offset = offset;
                if std::mem::replace(&mut has_offset, true) {
                    return Err(self.failure(at, "offset may not be set multiple times"));
                }
            } else if self.takes_sign("@") {
                let time = self.at()?;
                let shift = shift(&mut expr).ok_or_else(|| {
                    self.failure(at, "@ modifier must be preceded by an instant vector selector or range vector selector or a subquery")
                })?;
                if shift.at.replace(time).is_some() {
                    return Err(self.failure(at, "@ <timestamp> may not be set multiple times"));
                }
            } else {
                return Ok(expr);
            }
        }
    }

    /// A range or a subquery whose bracket has been read.
    fn range(&mut self, at: usize, expr: Expr) -> Result<Expr, Error> {
        let range = self.positive("range, expected duration")?;
        if !self.takes_sign(":") {
            self.expect("]", "matrix selector, expected \"]\"")?;
            return match expr {
                Expr::Vector(selector) if selector.shift == Shift::default() => {
                    Ok(Expr::Matrix { selector, range })
                }
                Expr::Vector(_) => {
                    Err(self.failure(at, "no offset modifiers allowed before range"))
                }
                _ => Err(self.failure(at, "ranges only allowed for vector selectors")),
            };
        }
        let step = if self.is_sign("]") {
            None
        } else {
            Some(self.positive("subquery, expected duration")?)
        };
        self.expect("]", "subquery selector, expected \"]\"")?;
        if expr.kind() != Kind::Vector {
            return Err(self.failure(
                at,
                format!(
                    "subquery is only allowed on instant vector, got {} instead",
                    expr.kind().name()
                ),
            ));
        }
        Ok(Expr::Subquery {
            inner: Box::new(expr),
            range,
            step,
            shift: Shift::default(),
        })
    }

    /// The time after an `@`.
    fn at(&mut self) -> Result<At, Error> {
        for (word, at) in [("start", At::Start), ("end", At::End)] {
            if self.takes_word(word) {
                self.expect("(", "@")?;
                self.expect(")", "@")?;
                return Ok(at);
            }
        }
        let place = self.place();
        let negates = self.takes_sign("-");
        let Token::Number(seconds) = *self.peek() else {
            return Err(self.unexpected("@, expected timestamp"));
        };
        self.take();
        let milliseconds = seconds * 1000.0;
        if !milliseconds.is_finite() || milliseconds >= LONGEST {
            return Err(self.failure(
                place,
                format!("timestamp out of bounds for @ modifier: {seconds}"),
            ));
        }
        let milliseconds = milliseconds.round() as i64;
        Ok(At::Time(if negates { -milliseconds } else { milliseconds }))
    }
}

fn shift(expr: &mut Expr) -> Option<&mut Shift> {
    match expr {
        Expr::Vector(selector) | Expr::Matrix { selector, .. } => Some(&mut selector.shift),
        Expr::Subquery { shift, .. } => Some(shift),
        _ => None,
    }
}
