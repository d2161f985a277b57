//! `experimental.cel_expression`: expressions of the Common Expression Language about a flow, `_flow`.
//!
//! Who may ask for flows may write any expression, so that none may cost more than a filter should: [`check`] bounds its
//! length, its depth and its loops before it is ever evaluated. A flow is encoded once for the expressions of a filter, and only if there are any; its fields are
//! read from that when an expression asks for them ([`message`]).
//!
//! The language: <https://github.com/google/cel-spec>. Numbers compare by value whatever their types are.

mod check;
mod message;
mod value;

use std::sync::{Arc, LazyLock};

use api::hubble::flow::{Flow, FlowFilter};
use cel::common::ast::IdedExpr;
use cel::common::types::CelBool;
use cel::{Context, DeclarationError, Env, Value};

use super::{FieldError, Test};
use check::Checker;
use message::Message;
use value::Pattern;

const FIELD: &str = "experimental.cel_expression";

/// Expressions of one filter; more make a request that is meant to cost.
const EXPRESSIONS: usize = 16;

/// The variable that is the flow.
const VARIABLE: &str = "_flow";

/// The functions of the language and ours. Made when the first expression comes.
static FUNCTIONS: LazyLock<Result<Arc<Env>, DeclarationError>> = LazyLock::new(|| {
    let mut functions = Env::stdlib();
    value::declare(&mut functions)?;
    Ok(Arc::new(functions))
});

/// The expressions of a filter.
struct Program {
    functions: Arc<Env>,
    expressions: Vec<IdedExpr>,
    /// What `matches()` looks for: the variables `@0`, `@1` and so on.
    patterns: Vec<Pattern>,
}

impl Program {
    fn compile(expressions: &[String]) -> Result<Self, String> {
        if expressions.len() > EXPRESSIONS {
            return Err(format!("more than {EXPRESSIONS} expressions"));
        }
        let functions = match &*FUNCTIONS {
            Ok(functions) => Arc::clone(functions),
            Err(error) => return Err(error.to_string()),
        };
        let mut checker = Checker::default();
        let expressions = expressions
            .iter()
            .map(|text| {
                checker
                    .compile(text)
                    .map_err(|reason| format!("{text:?}: {reason}"))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            functions,
            expressions,
            patterns: checker.patterns,
        })
    }

    /// Whether one of the expressions is true; one that cannot be evaluated is not.
    fn matches(&self, flow: &Flow) -> bool {
        let mut context = Context::with_env(Arc::clone(&self.functions));
        context.add_variable_as_val(VARIABLE, Box::new(Message::flow(flow)));
        for (index, pattern) in self.patterns.iter().enumerate() {
            context.add_variable_as_val(Pattern::variable(index), Box::new(pattern.clone()));
        }
        self.expressions.iter().any(|expression| {
            Value::resolve_val(expression, &context)
                .is_ok_and(|value| value.downcast_ref::<CelBool>() == Some(&CelBool::TRUE))
        })
    }
}

pub(super) fn tests(filter: &FlowFilter, tests: &mut Vec<Test>) -> Result<(), FieldError> {
    let Some(experimental) = &filter.experimental else {
        return Ok(());
    };
    if !experimental.cel_expression.is_empty() {
        let program = Program::compile(&experimental.cel_expression)
            .map_err(|reason| FieldError::new(FIELD, reason))?;
        tests.push(Box::new(move |flow| program.matches(flow)));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
