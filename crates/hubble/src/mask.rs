//! Field masks on flows: which fields of a reply the client wants.

use std::collections::BTreeMap;

use api::hubble::flow::Flow;
use prost::{Message, bytes::BufMut, encoding::encode_varint};
use thiserror::Error;

use crate::schema::{self, FLOW, Wire};

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
        let mut message = FLOW;
        let mut part = self;
        let mut names = path.split('.').peekable();
        while let Some(name) = names.next() {
            let field = schema::message(message)?.get(name)?;
            let last = names.peek().is_none();
            if !last {
                message = field.message()?;
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
        let field = schema::message(message)?.get(name)?;
        if names.peek().is_some() {
            message = field.message()?;
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
    while !from.is_empty() {
        let encoded = schema::next(&mut from)?;
        let number = encoded.number;
        match (fields.get(&number), encoded.value) {
            (None, _) => {}
            (Some(inner @ Part::Fields(_)), Wire::Bytes(payload)) => {
                let mut kept = Vec::new();
                copy(inner, payload, &mut kept)?;
                encode_varint(u64::from(number) << 3 | 2, to);
                encode_varint(kept.len() as u64, to);
                to.put_slice(&kept);
            }
            (Some(_), _) => to.extend_from_slice(encoded.whole),
        }
    }
    Some(())
}

#[cfg(test)]
mod tests;
