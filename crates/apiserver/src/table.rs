//! Stored objects as clients want them: whole, metadata only, or as rows of a table.

mod age;
mod cells;
mod columns;
mod path;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::kinds::Kind;
use crate::store::Change;

/// What a table row carries beside its cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowObject {
    /// Nothing.
    None,
    /// The metadata.
    Metadata,
    /// The object.
    Whole,
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rendering {
    /// Objects as they are.
    Object,
    /// PartialObjectMetadata.
    Metadata,
    /// meta.k8s.io/v1 Table.
    Table(RowObject),
}

/// What a bookmark says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// All up to here has been seen.
    Progress,
    /// The present state ends here.
    InitialEventsEnd,
}

/// Encodes objects of one kind and version in one form.
#[derive(Clone, Debug)]
pub(crate) struct Renderer {
    kind: Arc<Kind>,
    version: String,
    rendering: Rendering,
    /// A table's columns are sent once per watch.
    headed: bool,
}

/// A list under construction.
pub(crate) struct ListBody<'a> {
    renderer: &'a Renderer,
    body: Vec<u8>,
    any: bool,
}

impl Renderer {
    pub(crate) fn new(kind: Arc<Kind>, version: String, rendering: Rendering) -> Self {
        Self {
            kind,
            version,
            rendering,
            headed: false,
        }
    }

    /// One object.
    pub(crate) fn object(&self, stored: &[u8]) -> Vec<u8> {
        match self.rendering {
            Rendering::Object => self.whole(stored),
            Rendering::Metadata => Self::metadata(stored).to_string().into_bytes(),
            Rendering::Table(row) => {
                let object = parse(stored);
                let revision = crate::object::meta(&object, "resourceVersion");
                json!({
                    "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": revision},
                    "columnDefinitions": self.definitions(), "rows": [self.row(row, stored)],
                })
                .to_string()
                .into_bytes()
            }
        }
    }

    /// A list read at `revision`.
    pub(crate) fn list(&self, revision: u64) -> ListBody<'_> {
        let metadata = json!({"resourceVersion": revision.to_string()});
        let head = match self.rendering {
            Rendering::Object => {
                let (kind, version) = (
                    format!("{}List", self.kind.kind),
                    self.kind.api_version(&self.version),
                );
                format!(
                    r#"{{"kind":"{kind}","apiVersion":"{version}","metadata":{metadata},"items":["#
                )
            }
            Rendering::Metadata => format!(
                r#"{{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","metadata":{metadata},"items":["#
            ),
            Rendering::Table(_) => format!(
                r#"{{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{metadata},"columnDefinitions":{},"rows":["#,
                self.definitions()
            ),
        };
        ListBody {
            renderer: self,
            body: head.into_bytes(),
            any: false,
        }
    }

    /// One line of a watch.
    pub(crate) fn event(&mut self, change: Change, stored: &[u8]) -> Vec<u8> {
        let name = match change {
            Change::Added => "ADDED",
            Change::Modified => "MODIFIED",
            Change::Deleted => "DELETED",
        };
        let object = match self.rendering {
            Rendering::Table(row) => self.table_event(row, stored),
            Rendering::Object | Rendering::Metadata => self.object(stored),
        };
        line(name, &object)
    }

    fn table_event(&mut self, row: RowObject, stored: &[u8]) -> Vec<u8> {
        let definitions = if self.headed {
            Value::Null
        } else {
            self.definitions()
        };
        self.headed = true;
        let mut table = json!({
            "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {}, "rows": [self.row(row, stored)],
        });
        table["columnDefinitions"] = definitions;
        table.to_string().into_bytes()
    }

    /// A line that carries a revision only.
    pub(crate) fn bookmark(&self, revision: u64, mark: Mark) -> Vec<u8> {
        let mut metadata =
            json!({"resourceVersion": revision.to_string(), "creationTimestamp": null});
        if mark == Mark::InitialEventsEnd {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let (kind, version) = match self.rendering {
            Rendering::Object => (self.kind.kind.clone(), self.kind.api_version(&self.version)),
            Rendering::Metadata => (
                "PartialObjectMetadata".to_owned(),
                "meta.k8s.io/v1".to_owned(),
            ),
            Rendering::Table(_) => ("Table".to_owned(), "meta.k8s.io/v1".to_owned()),
        };
        line(
            "BOOKMARK",
            json!({"kind": kind, "apiVersion": version, "metadata": metadata})
                .to_string()
                .as_bytes(),
        )
    }

    /// The line that ends a watch early.
    pub(crate) fn error(error: &ApiError) -> Vec<u8> {
        line(
            "ERROR",
            &serde_json::to_vec(error.status()).unwrap_or_default(),
        )
    }

    /// The type is not stored, because versions differ in it: it is put in front, without parsing the rest.
    fn whole(&self, stored: &[u8]) -> Vec<u8> {
        let version = self.kind.api_version(&self.version);
        let mut body =
            format!(r#"{{"apiVersion":"{version}","kind":"{}","#, self.kind.kind).into_bytes();
        body.extend_from_slice(stored.get(1..).unwrap_or(b"}"));
        body
    }

    fn metadata(stored: &[u8]) -> Value {
        let mut object = parse(stored);
        json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"].take()})
    }

    fn definitions(&self) -> Value {
        let headings = columns::headings(&self.kind, &self.version);
        headings
            .into_iter()
            .map(|(name, column_type, priority)| {
                let format = if name == "Name" { "name" } else { "" };
                json!({"name": name, "type": column_type, "format": format, "description": "", "priority": priority})
            })
            .collect()
    }

    fn row(&self, row: RowObject, stored: &[u8]) -> Value {
        let object = parse(stored);
        let cells = columns::cells(&self.kind, &self.version, &object, Timestamp::now());
        let carried = match row {
            RowObject::None => Value::Null,
            RowObject::Metadata => Self::metadata(stored),
            RowObject::Whole => parse(&self.whole(stored)),
        };
        let mut row = json!({"cells": cells});
        if !carried.is_null() {
            row["object"] = carried;
        }
        row
    }
}

impl ListBody<'_> {
    /// Adds an object.
    pub(crate) fn push(&mut self, stored: &[u8]) {
        if std::mem::replace(&mut self.any, true) {
            self.body.push(b',');
        }
        match self.renderer.rendering {
            Rendering::Table(row) => self
                .body
                .extend(self.renderer.row(row, stored).to_string().into_bytes()),
            Rendering::Object | Rendering::Metadata => {
                self.body.extend(self.renderer.object(stored));
            }
        }
    }

    /// The body.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.body.extend_from_slice(b"]}");
        self.body
    }
}

fn parse(stored: &[u8]) -> Value {
    serde_json::from_slice(stored).unwrap_or_default()
}

fn line(event: &str, object: &[u8]) -> Vec<u8> {
    let mut line = format!(r#"{{"type":"{event}","object":"#).into_bytes();
    line.extend_from_slice(object);
    line.extend_from_slice(b"}\n");
    line
}

#[cfg(test)]
mod tests;
