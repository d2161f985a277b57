//! Messages as values: fields are decoded when they are asked for.
//!
//! What is absent has the default of its type, as in every protobuf: no number is 0, no message is one without fields. A
//! wrapper (`google.protobuf.BoolValue` …) is its value, or null; a time is a time.

use std::any::Any;
use std::fmt;

use api::hubble::flow::Flow;
use cel::ExecutionError;
use cel::common::traits::Indexer;
use cel::common::types::{
    CelBool, CelBytes, CelDouble, CelInt, CelList, CelNull, CelString, CelUInt, Type,
};
use cel::common::value::{CowVal, StaticVal, Val};
use prost::Message as _;
use prost::bytes::Bytes;

use super::value::Moment;
use crate::schema::{self, FLOW, Field, Wire};

static MESSAGE: Type = Type::new_unspecified_type("message");

const TIMESTAMP: &str = ".google.protobuf.Timestamp";

/// An encoded message.
#[derive(Clone)]
pub(super) struct Message {
    name: &'static str,
    encoded: Bytes,
}

impl Message {
    pub(super) fn flow(flow: &Flow) -> Self {
        Self {
            name: FLOW,
            encoded: flow.encode_to_vec().into(),
        }
    }

    /// The values that a field has in the encoding.
    fn values(&self, number: u32) -> impl Iterator<Item = Wire<'_>> {
        let mut rest = &*self.encoded;
        std::iter::from_fn(move || {
            while !rest.is_empty() {
                let field = schema::next(&mut rest)?;
                if field.number == number {
                    return Some(field.value);
                }
            }
            None
        })
    }

    fn field(&self, name: &str) -> Result<&'static Field, ExecutionError> {
        schema::message(self.name)
            .and_then(|fields| fields.get(name))
            .ok_or_else(|| ExecutionError::no_such_key(name))
    }

    /// Whether a field is set: a list that is not empty, a message that is there, another value than the default.
    pub(super) fn has(&self, name: &str) -> Result<bool, ExecutionError> {
        Ok(self.values(self.field(name)?.number).next().is_some())
    }

    fn get(&self, name: &str) -> Result<Box<dyn Val>, ExecutionError> {
        let field = self.field(name)?;
        let mut values = self.values(field.number);
        if field.repeated {
            let values: Result<Vec<_>, _> = values.map(|value| self.decode(field, value)).collect();
            return Ok(Box::new(CelList::from(values?)));
        }
        match values.next() {
            Some(value) => self.decode(field, value),
            None => absent(field),
        }
    }

    fn decode(
        &self,
        field: &'static Field,
        value: Wire<'_>,
    ) -> Result<Box<dyn Val>, ExecutionError> {
        use schema::Type as Of;
        Ok(match (&field.of, value) {
            (Of::Double, Wire::Number(bits)) => Box::new(CelDouble::from(f64::from_bits(bits))),
            (Of::Float, Wire::Number(bits)) => {
                let bits = u32::try_from(bits).map_err(|_| malformed())?;
                Box::new(CelDouble::from(f64::from(f32::from_bits(bits))))
            }
            (Of::Signed, Wire::Number(number)) => Box::new(CelInt::from(number.cast_signed())),
            (Of::Unsigned, Wire::Number(number)) => Box::new(CelUInt::from(number)),
            (Of::Bool, Wire::Number(number)) => Box::new(CelBool::from(number != 0)),
            (Of::Text, Wire::Bytes(text)) => {
                let text = str::from_utf8(text).map_err(|_| malformed())?;
                Box::new(CelString::from(text.to_owned()))
            }
            (Of::Bytes, Wire::Bytes(bytes)) => Box::new(CelBytes::from(bytes.to_vec())),
            (Of::Message(name), Wire::Bytes(payload)) => {
                let message = Self {
                    name,
                    encoded: self.encoded.slice_ref(payload),
                };
                if name == TIMESTAMP {
                    Box::new(message.moment()?)
                } else if is_wrapper(name) {
                    message.get("value")?
                } else {
                    Box::new(message)
                }
            }
            _ => return Err(malformed()),
        })
    }

    fn moment(&self) -> Result<Moment, ExecutionError> {
        let number = |field| match self.values(field).next() {
            Some(Wire::Number(number)) => number.cast_signed(),
            _ => 0,
        };
        let nanoseconds = i32::try_from(number(2)).map_err(|_| malformed())?;
        Moment::new(number(1), nanoseconds).ok_or_else(malformed)
    }
}

/// What a field is that is not set.
fn absent(field: &'static Field) -> Result<Box<dyn Val>, ExecutionError> {
    use schema::Type as Of;
    Ok(match &field.of {
        Of::Double | Of::Float => Box::new(CelDouble::from(0.0)),
        Of::Signed => Box::new(CelInt::from(0)),
        Of::Unsigned => Box::new(CelUInt::from(0)),
        Of::Bool => Box::new(CelBool::FALSE),
        Of::Text => Box::new(CelString::from(String::new())),
        Of::Bytes => Box::new(CelBytes::from(Vec::new())),
        Of::Message(name) if name == TIMESTAMP => Box::new(Moment::default()),
        Of::Message(name) if is_wrapper(name) => Box::new(CelNull),
        Of::Message(name) => Box::new(Message {
            name,
            encoded: Bytes::new(),
        }),
        Of::Other => return Err(malformed()),
    })
}

/// Whether a message is a scalar that may be absent.
pub(super) fn is_wrapper(name: &str) -> bool {
    name.starts_with(".google.protobuf.") && name.ends_with("Value")
}

/// We encode flows ourselves, so this would be our fault; it matches nothing.
fn malformed() -> ExecutionError {
    ExecutionError::InternalError("a field is not encoded as it is defined".to_owned())
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Indexer for Message {
    fn get<'b, 'v>(&'b self, field: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        match field.downcast_ref::<CelString<'_>>() {
            Some(name) => Ok(CowVal::Owned(Self::get(self, name.inner())?)),
            None => Err(ExecutionError::UnexpectedType {
                got: field.get_type().name().to_owned(),
                want: "string".to_owned(),
            }),
        }
    }

    fn steal<'v>(self: Box<Self>, field: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        Indexer::get(&*self, field).map(CowVal::into_owned)
    }
}

impl Val for Message {
    fn get_type(&self) -> &Type {
        &MESSAGE
    }

    fn cel_type() -> &'static Type {
        &MESSAGE
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn equals(&self, other: &dyn Val) -> bool {
        other
            .downcast_ref::<Self>()
            .is_some_and(|other| self.name == other.name && self.encoded == other.encoded)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Message {}
