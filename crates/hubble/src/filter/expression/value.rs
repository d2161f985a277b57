//! Values and functions that the library lacks, or has in a form that costs too much.

use std::any::Any;
use std::cmp::Ordering;
use std::sync::Arc;

use cel::common::traits::Comparer;
use cel::common::types::{CelBool, CelString, DYN_TYPE, STRING_TYPE, Type};
use cel::common::value::{CowVal, StaticVal, Val};
use cel::{DeclarationError, Env, ExecutionError};
use regex::{Regex, RegexBuilder};

use super::message::Message;

/// What `has(x.f)` is rewritten to: to the library, having a field and having a value for it are one thing.
pub(super) const HAS: &str = "@has";

/// Bytes that a compiled pattern may take, and what it learns of texts.
const PATTERN_SIZE: usize = 256 << 10;

static MOMENT: Type = Type::new_unspecified_type("timestamp");
static PATTERN: Type = PATTERN_TYPE;
const PATTERN_TYPE: Type = Type::new_unspecified_type("pattern");

/// Adds our functions.
pub(super) fn declare(to: &mut Env) -> Result<(), DeclarationError> {
    to.add_overload("timestamp", "timestamp", vec![STRING_TYPE], timestamp)?;
    to.add_overload(HAS, HAS, vec![DYN_TYPE, STRING_TYPE], has)?;
    to.add_member_overload(
        "matches",
        "matches",
        STRING_TYPE,
        vec![PATTERN_TYPE],
        matches,
    )
}

/// The two arguments of a function, where they are of these types.
macro_rules! arguments {
    ($arguments:ident, $first:ty, $second:ty) => {
        match $arguments.as_slice() {
            [first, second] => first
                .downcast_ref::<$first>()
                .zip(second.downcast_ref::<$second>())
                .ok_or_else(ExecutionError::missing_argument_or_target),
            _ => Err(ExecutionError::missing_argument_or_target()),
        }
    };
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "the signature of the library's functions"
)]
fn has<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let (message, field) = arguments!(arguments, Message, CelString<'_>)?;
    Ok(CowVal::owned(CelBool::from(message.has(field.inner())?)))
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "the signature of the library's functions"
)]
fn matches<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let (text, pattern) = arguments!(arguments, CelString<'_>, Pattern)?;
    Ok(CowVal::owned(CelBool::from(
        pattern.0.is_match(text.inner()),
    )))
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "the signature of the library's functions"
)]
fn timestamp<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let text = match arguments.as_slice() {
        [text] => text.downcast_ref::<CelString<'_>>(),
        _ => None,
    };
    let text = text.ok_or_else(ExecutionError::missing_argument_or_target)?;
    let moment: jiff::Timestamp = text
        .inner()
        .parse()
        .map_err(|error| ExecutionError::function_error("timestamp", error))?;
    Ok(CowVal::owned(Moment(moment)))
}

/// What `matches()` looks for, compiled once. Shared, as a copy of a `Regex` begins without what the first one learnt.
#[derive(Clone, Debug)]
pub(super) struct Pattern(Arc<Regex>);

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, regex::Error> {
        let regex = RegexBuilder::new(text)
            .size_limit(PATTERN_SIZE)
            .dfa_size_limit(PATTERN_SIZE)
            .build()?;
        Ok(Self(Arc::new(regex)))
    }

    /// The variable that holds a filter's pattern of this index; nobody can write such a name.
    pub(super) fn variable(index: usize) -> String {
        format!("@{index}")
    }
}

impl Val for Pattern {
    fn get_type(&self) -> &Type {
        &PATTERN
    }

    fn cel_type() -> &'static Type {
        &PATTERN
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Pattern {}

/// A point in time. The library's own needs a second library of time and all time zones there are.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Moment(jiff::Timestamp);

impl Moment {
    /// By seconds since 1970 and nanoseconds, as in `google.protobuf.Timestamp`; nothing if that is no time.
    pub(super) fn new(seconds: i64, nanoseconds: i32) -> Option<Self> {
        jiff::Timestamp::new(seconds, nanoseconds).ok().map(Self)
    }
}

impl Comparer for Moment {
    fn compare(&self, other: &dyn Val) -> Result<Ordering, ExecutionError> {
        match other.downcast_ref::<Self>() {
            Some(other) => Ok(self.0.cmp(&other.0)),
            None => Err(ExecutionError::UnexpectedType {
                got: other.get_type().name().to_owned(),
                want: "timestamp".to_owned(),
            }),
        }
    }
}

impl Val for Moment {
    fn get_type(&self) -> &Type {
        &MOMENT
    }

    fn cel_type() -> &'static Type {
        &MOMENT
    }

    fn as_comparer(&self) -> Option<&dyn Comparer> {
        Some(self)
    }

    fn equals(&self, other: &dyn Val) -> bool {
        other.downcast_ref::<Self>() == Some(self)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Moment {}
