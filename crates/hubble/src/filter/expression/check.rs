//! What an expression may be: names, fields and functions that exist, and an end in sight.
//!
//! Evaluation recurses as deep as the expression is and loops over lists; both are bounded here, so that nothing that a
//! client writes can exhaust the stack, the memory or the processor. A loop goes over a list of the flow, or over a list
//! that is written out and not inside another loop: what one loop makes, another cannot go over, so that values cannot
//! double from loop to loop.

use cel::ParseErrors;
use cel::common::ast::{
    CallExpr, ComprehensionExpr, Expr, IdedExpr, LiteralValue, SelectExpr, operators,
};
use cel::common::types::{CelInt, CelString};
use cel::parser::PrattParser;

use super::VARIABLE;
use super::message::is_wrapper;
use super::value::{HAS, Pattern};
use crate::schema::{self, FLOW, Field, Type};

/// Bytes of one expression.
const LENGTH: usize = 1024;

/// How deep an expression may be. The library evaluates with about 5 KiB of stack a level where it is not optimised; the
/// server's threads have 2 MiB.
const DEPTH: usize = 64;

/// Parts of a filter's expressions that are evaluated for one flow, those in loops once per element.
const COST: usize = 4096;

/// Patterns in a filter's expressions: what they take is kept as long as the client listens.
const PATTERNS: usize = 16;

/// Elements that a list of a flow is taken to have: as many labels as most pods have and more.
const ELEMENTS: usize = 16;

/// What is known of a value before there is one.
#[derive(Clone, Copy)]
enum Kind {
    Unknown,
    Bool,
    Number,
    Text,
    /// A time, bytes, a list that is written out.
    Other,
    /// By full name.
    Message(&'static str),
    /// A list of the flow, by its field.
    List(&'static Field),
}

impl Kind {
    /// The value of a field, or an element of it.
    fn of(field: &'static Field) -> Self {
        match &field.of {
            Type::Double | Type::Float | Type::Signed | Type::Unsigned => Self::Number,
            Type::Bool => Self::Bool,
            Type::Text => Self::Text,
            Type::Message(name) if is_wrapper(name) => schema::message(name)
                .and_then(|fields| fields.get("value"))
                .map_or(Self::Unknown, Self::of),
            Type::Message(name) if name == ".google.protobuf.Timestamp" => Self::Other,
            Type::Message(name) => Self::Message(name),
            Type::Bytes | Type::Other => Self::Other,
        }
    }

    fn may_be_bool(self) -> bool {
        matches!(self, Self::Bool | Self::Unknown)
    }

    /// Whether two values of these kinds may be equal, or one less than the other.
    fn compares(self, other: Self) -> bool {
        matches!(self, Self::Unknown)
            || matches!(other, Self::Unknown)
            || std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }
}

/// Checks the expressions of one filter.
#[derive(Default)]
pub(super) struct Checker {
    pub(super) patterns: Vec<Pattern>,
    /// Variables of the loops around.
    scope: Vec<(String, Kind)>,
    /// How often what is looked at is evaluated, per loop around.
    times: Vec<usize>,
    cost: usize,
    depth: usize,
}

impl Checker {
    /// Parses an expression and rewrites what the library cannot evaluate as it is.
    pub(super) fn compile(&mut self, text: &str) -> Result<IdedExpr, String> {
        if text.len() > LENGTH {
            return Err(format!("longer than {LENGTH} bytes"));
        }
        let mut expression = PrattParser::new()
            .parse(text)
            .map_err(|errors| first(&errors))?;
        if self.check(&mut expression)?.may_be_bool() {
            Ok(expression)
        } else {
            Err("is neither true nor false".to_owned())
        }
    }

    fn check(&mut self, expression: &mut IdedExpr) -> Result<Kind, String> {
        self.cost = self
            .times
            .iter()
            .fold(1_usize, |cost, times| cost.saturating_mul(*times))
            .saturating_add(self.cost);
        if self.cost > COST {
            return Err("costs too much for every flow".to_owned());
        }
        if self.depth == DEPTH {
            return Err(format!("deeper than {DEPTH} levels"));
        }
        self.depth += 1;
        let kind = self.checked(&mut expression.expr);
        self.depth -= 1;
        kind
    }

    fn checked(&mut self, expression: &mut Expr) -> Result<Kind, String> {
        if let Some(number) = self.constant(expression)? {
            *expression = Expr::Literal(LiteralValue::Int(CelInt::from(i64::from(number))));
        }
        match expression {
            Expr::Literal(literal) => Ok(of_literal(literal)),
            Expr::Ident(name) => self.variable(name).ok_or_else(|| unknown("name", name)),
            Expr::Select(select) => {
                let (kind, presence) = self.select(select)?;
                if let Some(presence) = presence {
                    *expression = Expr::Call(presence);
                }
                Ok(kind)
            }
            Expr::List(list) => {
                for element in &mut list.elements {
                    self.check(element)?;
                }
                Ok(Kind::Other)
            }
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::Map(_) => Err("maps are not supported".to_owned()),
            Expr::Struct(_) => Err("messages are not supported".to_owned()),
            Expr::Unspecified => Err("an operand is missing".to_owned()),
        }
    }

    fn variable(&self, name: &str) -> Option<Kind> {
        let inner = self.scope.iter().rev().find(|(known, _)| known == name);
        inner
            .map(|(_, kind)| *kind)
            .or_else(|| (name == VARIABLE).then_some(Kind::Message(FLOW)))
    }

    /// The number of `Verdict.DROPPED`, also as `flow.Verdict.DROPPED`; nothing if it is no name of that form.
    fn constant(&self, expression: &Expr) -> Result<Option<i32>, String> {
        let mut names = Vec::new();
        let mut at = expression;
        while let Expr::Select(select) = at {
            if select.test {
                return Ok(None);
            }
            names.push(select.field.as_str());
            at = &select.operand.expr;
        }
        let Expr::Ident(root) = at else {
            return Ok(None);
        };
        if names.is_empty() || self.variable(root).is_some() {
            return Ok(None);
        }
        names.push(root);
        names.reverse();
        let name = names.join(".");
        schema::constant(&format!(".flow.{name}"))
            .or_else(|| schema::constant(&format!(".{name}")))
            .map(Some)
            .ok_or_else(|| unknown("name", &name))
    }

    /// A field, or as a call whether it is set.
    fn select(&mut self, select: &mut SelectExpr) -> Result<(Kind, Option<CallExpr>), String> {
        let Kind::Message(message) = self.check(&mut select.operand)? else {
            return Err(format!(
                ".{}: what is before the point is no message of the flow",
                select.field
            ));
        };
        let field = schema::message(message)
            .and_then(|fields| fields.get(&select.field))
            .ok_or_else(|| {
                let message = message.trim_start_matches('.');
                format!("{message} has no field {:?}", select.field)
            })?;
        if select.test {
            let name = CelString::from(std::mem::take(&mut select.field));
            let name = Expr::Literal(LiteralValue::String(name));
            let presence = CallExpr {
                func_name: HAS.to_owned(),
                target: None,
                args: vec![
                    std::mem::take(&mut select.operand),
                    IdedExpr { id: 0, expr: name },
                ],
            };
            return Ok((Kind::Bool, Some(presence)));
        }
        if field.repeated {
            return Ok((Kind::List(field), None));
        }
        Ok((Kind::of(field), None))
    }

    fn call(&mut self, call: &mut CallExpr) -> Result<Kind, String> {
        if call.func_name == "matches" {
            return self.matches(call);
        }
        let mut kinds = Vec::with_capacity(call.args.len() + 1);
        for operand in call.target.as_deref_mut().into_iter().chain(&mut call.args) {
            kinds.push(self.check(operand)?);
        }
        result(&call.func_name, &kinds)
    }

    /// Compiles the pattern, which then is a variable; both forms of the call become one.
    fn matches(&mut self, call: &mut CallExpr) -> Result<Kind, String> {
        if call.target.is_none() && call.args.len() == 2 {
            call.target = Some(Box::new(call.args.remove(0)));
        }
        let (Some(text), [pattern]) = (&mut call.target, call.args.as_mut_slice()) else {
            return Err("matches() takes a text and a pattern".to_owned());
        };
        self.check(text)?;
        let Expr::Literal(LiteralValue::String(written)) = &pattern.expr else {
            return Err("the pattern of matches() must be written out".to_owned());
        };
        if self.patterns.len() == PATTERNS {
            return Err(format!("more than {PATTERNS} patterns"));
        }
        let compiled = Pattern::parse(written.inner()).map_err(|error| error.to_string())?;
        pattern.expr = Expr::Ident(Pattern::variable(self.patterns.len()));
        self.patterns.push(compiled);
        Ok(Kind::Bool)
    }

    fn comprehension(&mut self, of: &mut ComprehensionExpr) -> Result<Kind, String> {
        let written_out = match &of.iter_range.expr {
            Expr::List(list) if self.times.is_empty() && !list.elements.iter().any(loops) => {
                Some(list.elements.len())
            }
            _ => None,
        };
        let (element, elements) = match (self.check(&mut of.iter_range)?, written_out) {
            (Kind::List(field), _) => (Kind::of(field), ELEMENTS),
            (_, Some(elements)) => (Kind::Unknown, elements.max(1)),
            _ => {
                return Err(
                    "loops go over lists of the flow, or outermost over a list that is written out"
                        .to_owned(),
                );
            }
        };
        let result = self.check(&mut of.accu_init)?;
        let outer = self.scope.len();
        self.scope.push((of.accu_var.clone(), result));
        self.scope.push((of.iter_var.clone(), element));
        self.times.push(elements);
        let body = self
            .check(&mut of.loop_cond)
            .and_then(|_| self.check(&mut of.loop_step));
        self.times.pop();
        let result = body.and_then(|_| self.check(&mut of.result));
        self.scope.truncate(outer);
        result
    }
}

/// The kind of what a function or an operator returns, if it may be applied to such operands.
fn result(function: &str, operands: &[Kind]) -> Result<Kind, String> {
    match function {
        operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT => {
            if operands.iter().all(|operand| operand.may_be_bool()) {
                return Ok(Kind::Bool);
            }
            Err(format!("{function}: an operand is neither true nor false"))
        }
        operators::EQUALS
        | operators::NOT_EQUALS
        | operators::LESS
        | operators::LESS_EQUALS
        | operators::GREATER
        | operators::GREATER_EQUALS => match operands {
            [left, right] if left.compares(*right) => Ok(Kind::Bool),
            _ => Err(format!("{function}: the operands are never comparable")),
        },
        operators::IN
        | operators::NOT_STRICTLY_FALSE
        | "bool"
        | "contains"
        | "startsWith"
        | "endsWith" => Ok(Kind::Bool),
        operators::CONDITIONAL => match operands {
            [condition, yes, no] if condition.may_be_bool() && yes.compares(*no) => Ok(*yes),
            _ => Err(format!(
                "{function}: the condition or the choices do not fit"
            )),
        },
        operators::INDEX => Ok(match operands {
            [Kind::List(field), _] => Kind::of(field),
            _ => Kind::Unknown,
        }),
        operators::ADD => Ok(match operands {
            [Kind::List(_), _] => Kind::Other,
            [left, _] => *left,
            _ => Kind::Unknown,
        }),
        operators::SUBSTRACT
        | operators::MULTIPLY
        | operators::DIVIDE
        | operators::MODULO
        | operators::NEGATE
        | "size"
        | "int"
        | "uint"
        | "double" => Ok(Kind::Number),
        "string" => Ok(Kind::Text),
        "bytes" | "timestamp" => Ok(Kind::Other),
        _ => Err(unknown("function", function)),
    }
}

fn of_literal(literal: &LiteralValue) -> Kind {
    match literal {
        LiteralValue::Boolean(_) => Kind::Bool,
        LiteralValue::Int(_) | LiteralValue::UInt(_) | LiteralValue::Double(_) => Kind::Number,
        LiteralValue::String(_) => Kind::Text,
        LiteralValue::Bytes(_) => Kind::Other,
        LiteralValue::Null => Kind::Unknown,
    }
}

/// Whether a loop is in an element of a list; also where it is deeper than is looked at, which is refused anyway.
fn loops(expression: &IdedExpr) -> bool {
    fn within(expression: &IdedExpr, depth: usize) -> bool {
        let below = |inner: &IdedExpr| within(inner, depth + 1);
        depth > DEPTH
            || match &expression.expr {
                Expr::Comprehension(_) | Expr::Map(_) | Expr::Struct(_) => true,
                Expr::Call(call) => {
                    call.target.as_deref().is_some_and(below) || call.args.iter().any(below)
                }
                Expr::List(list) => list.elements.iter().any(below),
                Expr::Select(select) => below(&select.operand),
                Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => false,
            }
    }
    within(expression, 0)
}

fn unknown(what: &str, name: &str) -> String {
    format!("there is no {what} {name:?}")
}

fn first(errors: &ParseErrors) -> String {
    errors.errors.first().map_or_else(
        || "cannot be parsed".to_owned(),
        |error| {
            format!(
                "{} (line {}, column {})",
                error.msg, error.pos.0, error.pos.1
            )
        },
    )
}
