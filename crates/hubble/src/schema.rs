//! The definitions of messages and enums as data: fields by name, and a walk over an encoded message.

use std::{collections::BTreeMap, sync::LazyLock};

use prost::{
    Message as _,
    encoding::{WireType, decode_key, decode_varint},
};

/// Full name of the message that everything here begins with.
pub(crate) const FLOW: &str = ".flow.Flow";

/// Fields of a message by name.
pub(crate) type Message = BTreeMap<String, Field>;

/// A field of a message.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) number: u32,
    pub(crate) repeated: bool,
    pub(crate) of: Type,
}

/// What a field holds. The encodings of integers that no definition of ours uses are not told apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Double,
    Float,
    /// Two's complement in a varint; enums too.
    Signed,
    Unsigned,
    Bool,
    Text,
    Bytes,
    /// Full name of the message.
    Message(String),
    Other,
}

impl Field {
    /// Full name of the field's message, if it is one.
    pub(crate) fn message(&self) -> Option<&str> {
        match &self.of {
            Type::Message(name) => Some(name),
            _ => None,
        }
    }
}

/// The message of this full name, which begins with a dot.
pub(crate) fn message(name: &str) -> Option<&'static Message> {
    SCHEMA.messages.get(name)
}

/// The number of an enum's value, by full name with the dot in front: `.flow.Verdict.DROPPED`.
pub(crate) fn constant(name: &str) -> Option<i32> {
    let (of, value) = name.rsplit_once('.')?;
    SCHEMA.enums.get(of)?.get(value).copied()
}

/// One field of an encoded message.
pub(crate) struct Encoded<'a> {
    pub(crate) number: u32,
    /// Key and value.
    pub(crate) whole: &'a [u8],
    pub(crate) value: Wire<'a>,
}

/// A value as it is encoded.
#[derive(Clone, Copy)]
pub(crate) enum Wire<'a> {
    /// Varints, and the bits of what has a fixed length.
    Number(u64),
    Bytes(&'a [u8]),
}

/// Takes the next field off; nothing if the bytes are no message (groups are none either).
pub(crate) fn next<'a>(from: &mut &'a [u8]) -> Option<Encoded<'a>> {
    let start = *from;
    let (number, wire_type) = decode_key(from).ok()?;
    let value = match wire_type {
        WireType::Varint => Wire::Number(decode_varint(from).ok()?),
        WireType::SixtyFourBit => {
            let (bits, rest) = from.split_first_chunk()?;
            *from = rest;
            Wire::Number(u64::from_le_bytes(*bits))
        }
        WireType::ThirtyTwoBit => {
            let (bits, rest) = from.split_first_chunk()?;
            *from = rest;
            Wire::Number(u32::from_le_bytes(*bits).into())
        }
        WireType::LengthDelimited => {
            let length = usize::try_from(decode_varint(from).ok()?).ok()?;
            let (payload, rest) = from.split_at_checked(length)?;
            *from = rest;
            Wire::Bytes(payload)
        }
        WireType::StartGroup | WireType::EndGroup => return None,
    };
    let whole = start.get(..start.len() - from.len())?;
    Some(Encoded {
        number,
        whole,
        value,
    })
}

#[derive(Default)]
struct Schema {
    messages: BTreeMap<String, Message>,
    enums: BTreeMap<String, BTreeMap<String, i32>>,
}

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let mut schema = Schema::default();
    let set = FileSet::decode(api::hubble::FILE_DESCRIPTOR_SET).unwrap_or_default();
    for file in set.file {
        let scope = format!(".{}", file.package);
        for message in file.message_type {
            schema.message(&scope, message);
        }
        for of in file.enum_type {
            schema.enumeration(&scope, of);
        }
    }
    schema
});

impl Schema {
    fn message(&mut self, scope: &str, message: MessageType) {
        let name = format!("{scope}.{}", message.name);
        for nested in message.nested_type {
            self.message(&name, nested);
        }
        for of in message.enum_type {
            self.enumeration(&name, of);
        }
        let fields = message.field.into_iter().map(|field| {
            let described = Field {
                number: field.number.unsigned_abs(),
                repeated: field.label == REPEATED,
                of: type_of(field.r#type, field.type_name),
            };
            (field.name, described)
        });
        self.messages.insert(name, fields.collect());
    }

    fn enumeration(&mut self, scope: &str, of: EnumType) {
        let values = of.value.into_iter().map(|value| (value.name, value.number));
        self.enums
            .insert(format!("{scope}.{}", of.name), values.collect());
    }
}

/// By the numbers of `google.protobuf.FieldDescriptorProto.Type`.
fn type_of(number: i32, name: String) -> Type {
    match number {
        1 => Type::Double,
        2 => Type::Float,
        3 | 5 | 14 => Type::Signed,
        4 | 13 => Type::Unsigned,
        8 => Type::Bool,
        9 => Type::Text,
        11 => Type::Message(name),
        12 => Type::Bytes,
        _ => Type::Other,
    }
}

/// `LABEL_REPEATED` of `google.protobuf.FieldDescriptorProto`.
const REPEATED: i32 = 3;

// The few fields of google/protobuf/descriptor.proto that are needed here.

#[derive(prost::Message)]
struct FileSet {
    #[prost(message, repeated, tag = "1")]
    file: Vec<File>,
}

#[derive(prost::Message)]
struct File {
    #[prost(string, tag = "2")]
    package: String,
    #[prost(message, repeated, tag = "4")]
    message_type: Vec<MessageType>,
    #[prost(message, repeated, tag = "5")]
    enum_type: Vec<EnumType>,
}

#[derive(prost::Message)]
struct MessageType {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    field: Vec<FieldType>,
    #[prost(message, repeated, tag = "3")]
    nested_type: Vec<MessageType>,
    #[prost(message, repeated, tag = "4")]
    enum_type: Vec<EnumType>,
}

#[derive(prost::Message)]
struct EnumType {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    value: Vec<EnumValue>,
}

#[derive(prost::Message)]
struct EnumValue {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int32, tag = "2")]
    number: i32,
}

#[derive(prost::Message)]
struct FieldType {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int32, tag = "3")]
    number: i32,
    #[prost(int32, tag = "4")]
    label: i32,
    #[prost(int32, tag = "5")]
    r#type: i32,
    #[prost(string, tag = "6")]
    type_name: String,
}
