//! PromQL: parser and evaluator, over series that somebody else keeps; no I/O and no clock.
//!
//! The way of a query: [`parse`] (text to [`ast::Expr`], types checked) → [`extent`] (which times it reads) → [`instant`] or
//! [`range`] (a [`Value`]). What it computes is what Prometheus computes: `tests/golden.rs` holds it to the answers of a real
//! one. Native histograms and functions that Prometheus calls experimental are not there.

pub mod ast;
mod error;
mod eval;
mod extent;
pub mod labels;
mod parser;
pub mod series;

pub use error::{Error, ErrorKind};
pub use eval::{Limits, Line, Value, instant, range};
pub use extent::{extent, selectors};
pub use labels::{Labels, Matcher};
pub use parser::{duration, matchers, parse};
pub use series::{Found, Sample, Series};

/// The label that holds the name of a metric.
pub const NAME: &str = "__name__";
