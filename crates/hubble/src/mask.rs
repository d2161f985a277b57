//! Field masks on flows: which fields of a reply the client wants.

use std::{collections::BTreeMap, sync::LazyLock};

use api::hubble::flow::Flow;
use prost::{
    Message,
    bytes::{Buf, BufMut},
    encoding::{WireType, decode_key, decode_varint, encode_varint},
};
use thiserror::Error;

/// A path that is not one of `flow.Flow`.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("field_mask: {path:?} is no field of flow.Flow")]
pub struct UnknownPath {
    /// The path.
    pub path: String,
}

/// The wanted part of a message.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    All,
    Fields(BTreeMap<u32, Part>),
}

/// The wanted fields of a flow.
#[derive(Debug)]
pub struct Mask(Part);

impl Mask {
    /// Checks the paths (as the definitions spell them, e.g. `source.pod_name`). No path is no mask.
    pub fn new(paths: &[String]) -> Result<Option<Self>, UnknownPath> {
        if paths.is_empty() {
            return Ok(None);
        }
        let mut root = Part::Fields(BTreeMap::new());
        for path in paths {
            root.add(path)
                .ok_or_else(|| UnknownPath { path: path.clone() })?;
        }
        Ok(Some(Self(root)))
    }

    /// The flow with nothing but the wanted fields.
    pub fn apply(&self, flow: &Flow) -> Flow {
        let encoded = flow.encode_to_vec();
        let mut kept = Vec::with_capacity(encoded.len());
        // What we encoded ourselves is well formed; should it not be, nothing is shown rather than too much.
        match copy(&self.0, &encoded, &mut kept) {
            Some(()) => Flow::decode(kept.as_slice()).unwrap_or_default(),
            None => Flow::default(),
        }
    }
}

impl Part {
    fn add(&mut self, path: &str) -> Option<()> {
        let mut message = ".flow.Flow";
        let mut part = self;
        let mut names = path.split('.').peekable();
        while let Some(name) = names.next() {
            let field = SCHEMA.get(message)?.get(name)?;
            let last = names.peek().is_none();
            if !last {
                message = field.message.as_deref()?;
            }
            let Self::Fields(fields) = part else {
                // The parent is wanted whole already; the rest of the path is only checked.
                return exists(message, names);
            };
            part = fields
                .entry(field.number)
                .or_insert_with(|| Self::Fields(BTreeMap::new()));
            if last {
                *part = Self::All;
                return Some(());
            }
        }
        None
    }
}

fn exists<'n>(
    mut message: &str,
    mut names: std::iter::Peekable<impl Iterator<Item = &'n str>>,
) -> Option<()> {
    while let Some(name) = names.next() {
        let field = SCHEMA.get(message)?.get(name)?;
        if names.peek().is_some() {
            message = field.message.as_deref()?;
        }
    }
    Some(())
}

/// Copies the wanted fields of an encoded message.
fn copy(part: &Part, mut from: &[u8], to: &mut Vec<u8>) -> Option<()> {
    let Part::Fields(fields) = part else {
        to.extend_from_slice(from);
        return Some(());
    };
    while from.has_remaining() {
        let start = from;
        let (number, wire_type) = decode_key(&mut from).ok()?;
        let payload = match wire_type {
            WireType::Varint => {
                decode_varint(&mut from).ok()?;
                None
            }
            WireType::SixtyFourBit => {
                from = from.get(8..)?;
                None
            }
            WireType::ThirtyTwoBit => {
                from = from.get(4..)?;
                None
            }
            WireType::LengthDelimited => {
                let length = usize::try_from(decode_varint(&mut from).ok()?).ok()?;
                let payload = from.get(..length)?;
                from = from.get(length..)?;
                Some(payload)
            }
            WireType::StartGroup | WireType::EndGroup => return None,
        };
        let whole = &start[..start.len() - from.len()];
        match (fields.get(&number), payload) {
            (None, _) => {}
            (Some(inner @ Part::Fields(_)), Some(payload)) => {
                let mut kept = Vec::new();
                copy(inner, payload, &mut kept)?;
                encode_varint(u64::from(number) << 3 | 2, to);
                encode_varint(kept.len() as u64, to);
                to.put_slice(&kept);
            }
            (Some(_), _) => to.extend_from_slice(whole),
        }
    }
    Some(())
}

struct Field {
    number: u32,
    /// Full name of its message, for message fields.
    message: Option<String>,
}

/// Fields by name, by full name of their message.
static SCHEMA: LazyLock<BTreeMap<String, BTreeMap<String, Field>>> = LazyLock::new(|| {
    let mut schema = BTreeMap::new();
    let set = FileSet::decode(api::hubble::FILE_DESCRIPTOR_SET).unwrap_or_default();
    for file in set.file {
        for message in file.message_type {
            collect(&format!(".{}", file.package), message, &mut schema);
        }
    }
    schema
});

/// Names of all fields of a message, by its full name.
#[cfg(test)]
pub(crate) fn fields_of(message: &str) -> impl Iterator<Item = String> {
    SCHEMA
        .get(message)
        .into_iter()
        .flatten()
        .map(|(name, _)| name.clone())
}

fn collect(
    scope: &str,
    message: MessageType,
    schema: &mut BTreeMap<String, BTreeMap<String, Field>>,
) {
    let name = format!("{scope}.{}", message.name);
    for nested in message.nested_type {
        collect(&name, nested, schema);
    }
    let fields = message.field.into_iter().map(|field| {
        let message = (field.r#type == MESSAGE).then_some(field.type_name);
        (
            field.name,
            Field {
                number: field.number.unsigned_abs(),
                message,
            },
        )
    });
    schema.insert(name, fields.collect());
}

/// Number of the type "message" in `google.protobuf.FieldDescriptorProto`.
const MESSAGE: i32 = 11;

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
}

#[derive(prost::Message)]
struct MessageType {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    field: Vec<FieldType>,
    #[prost(message, repeated, tag = "3")]
    nested_type: Vec<MessageType>,
}

#[derive(prost::Message)]
struct FieldType {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int32, tag = "3")]
    number: i32,
    #[prost(int32, tag = "5")]
    r#type: i32,
    #[prost(string, tag = "6")]
    type_name: String,
}

#[cfg(test)]
mod tests;
