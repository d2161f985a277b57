//! One write: what it read, what it changes, and the events it leaves.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use redb::ReadableTable;
use serde_json::Value;

use super::{Change, Event, Key, StoreError};
use crate::error::ApiError;
use crate::object;

/// A write in progress. Its changes lie over the table until it is finished, so that a write that fails leaves nothing.
pub(crate) struct Transaction<'a> {
    table: &'a dyn Reader,
    rows: BTreeMap<String, Option<Vec<u8>>>,
    events: Vec<Event>,
    revision: u64,
}

/// What a finished write changes.
pub(super) struct Done {
    pub(super) rows: BTreeMap<String, Option<Vec<u8>>>,
    pub(super) events: Vec<Event>,
    pub(super) revision: u64,
}

/// The two reads a transaction needs, so that it does not carry the table's life times.
pub(super) trait Reader {
    fn get_row(&self, row: &str) -> Result<Option<Vec<u8>>, redb::StorageError>;
    fn range_rows(
        &self,
        from: &str,
        to: &str,
    ) -> Result<Vec<(String, Vec<u8>)>, redb::StorageError>;
}

impl Reader for redb::Table<'_, &'static str, &'static [u8]> {
    fn get_row(&self, row: &str) -> Result<Option<Vec<u8>>, redb::StorageError> {
        Ok(self.get(row)?.map(|value| value.value().to_vec()))
    }

    fn range_rows(
        &self,
        from: &str,
        to: &str,
    ) -> Result<Vec<(String, Vec<u8>)>, redb::StorageError> {
        let rows = self.range(from..to)?;
        rows.map(|row| row.map(|(key, value)| (key.value().to_owned(), value.value().to_vec())))
            .collect()
    }
}

impl<'a> Transaction<'a> {
    pub(super) fn new(table: &'a dyn Reader, revision: u64) -> Self {
        Self {
            table,
            rows: BTreeMap::new(),
            events: Vec::new(),
            revision,
        }
    }

    pub(super) fn finish(self) -> Done {
        Done {
            rows: self.rows,
            events: self.events,
            revision: self.revision,
        }
    }

    /// An object, without its type.
    pub(crate) fn get(&self, key: &Key) -> Result<Option<Value>, ApiError> {
        let row = key.row();
        let bytes = match self.rows.get(&row) {
            Some(changed) => changed.clone(),
            None => self.read(&row)?,
        };
        bytes.map(|bytes| parse(&row, &bytes)).transpose()
    }

    /// All objects of a resource (in a namespace).
    pub(crate) fn scan(
        &self,
        resource: &Arc<str>,
        namespace: Option<&str>,
    ) -> Result<Vec<(Key, Value)>, ApiError> {
        let (from, to) = Key::range(resource, namespace);
        let rows = self.table.range_rows(&from, &to);
        let rows = rows.map_err(|e| StoreError::database("list objects")(e.into()))?;
        let mut rows: BTreeMap<String, Vec<u8>> = rows.into_iter().collect();
        for (row, changed) in self.rows.range(from..to) {
            match changed {
                Some(bytes) => rows.insert(row.clone(), bytes.clone()),
                None => rows.remove(row),
            };
        }
        let keyed = rows
            .iter()
            .filter_map(|(row, bytes)| Some((Key::parse(resource, row)?, parse(row, bytes))));
        keyed.map(|(key, object)| Ok((key, object?))).collect()
    }

    /// Writes an object under the next revision and returns it as stored.
    pub(crate) fn put(
        &mut self,
        key: Key,
        mut object: Value,
        previous: Option<&Value>,
    ) -> Result<Bytes, ApiError> {
        self.revision += 1;
        object::set_revision(&mut object, self.revision);
        let bytes = Bytes::from(encode(&object)?);
        self.rows.insert(key.row(), Some(bytes.to_vec()));
        self.events.push(Event {
            revision: self.revision,
            key,
            change: if previous.is_some() {
                Change::Modified
            } else {
                Change::Added
            },
            object: bytes.clone(),
            previous: previous.map(encode).transpose()?.map(Bytes::from),
        });
        Ok(bytes)
    }

    /// Removes an object and returns its last state.
    pub(crate) fn remove(&mut self, key: Key, mut object: Value) -> Result<Bytes, ApiError> {
        let previous = Bytes::from(encode(&object)?);
        self.revision += 1;
        object::set_revision(&mut object, self.revision);
        let bytes = Bytes::from(encode(&object)?);
        self.rows.insert(key.row(), None);
        let change = Change::Deleted;
        self.events.push(Event {
            revision: self.revision,
            key,
            change,
            object: bytes.clone(),
            previous: Some(previous),
        });
        Ok(bytes)
    }

    /// Who holds a claim, as a service address.
    pub(crate) fn claimed_by(&self, claim: &str) -> Result<Option<String>, ApiError> {
        let row = format!("c/{claim}");
        let bytes = match self.rows.get(&row) {
            Some(changed) => changed.clone(),
            None => self.read(&row)?,
        };
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Takes a claim for `owner`.
    pub(crate) fn claim(&mut self, claim: &str, owner: &str) {
        self.rows
            .insert(format!("c/{claim}"), Some(owner.as_bytes().to_vec()));
    }

    /// Gives a claim back.
    pub(crate) fn release(&mut self, claim: &str) {
        self.rows.insert(format!("c/{claim}"), None);
    }

    fn read(&self, row: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.table
            .get_row(row)
            .map_err(|e| StoreError::database("read an object")(e.into()))
    }
}

fn parse(row: &str, bytes: &[u8]) -> Result<Value, ApiError> {
    let parsed = serde_json::from_slice(bytes);
    parsed.map_err(|e| {
        StoreError::Row {
            row: row.replace('\0', " "),
            why: e.to_string(),
        }
        .into()
    })
}

fn encode(object: &Value) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(object)
        .map_err(|e| ApiError::internal(format!("an object does not encode: {e}")))
}
