//! Requests to the API server, and how many objects they changed.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use local_api::{Method, Request};
use serde_json::Value;

use crate::bench::crowd;
use crate::cluster::{Cluster, place_of, status_of};

/// Objects in one page of a list.
const PAGE: usize = 500;

/// The way to the API server.
pub(super) struct Requests<'a> {
    cluster: &'a Cluster,
    changes: AtomicU64,
}

impl<'a> Requests<'a> {
    pub(super) fn to(cluster: &'a Cluster) -> Self {
        Self {
            cluster,
            changes: AtomicU64::new(0),
        }
    }

    /// Changes of objects so far, without heartbeats and without pods of nodes that are not here: no agent sees those.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// Creates many at once.
    pub(super) fn create_all(&self, objects: &[Value]) -> anyhow::Result<()> {
        crowd::create(self.cluster, objects)
    }

    pub(super) fn create(&self, object: &Value) -> anyhow::Result<()> {
        self.changed();
        self.cluster.create(object)
    }

    /// Creates one that may be there already; says whether it was not.
    pub(super) fn create_new(&self, object: &Value) -> anyhow::Result<bool> {
        match self.create(object) {
            Err(error) if status_of(&error) == Some(409) => Ok(false),
            result => result.map(|()| true),
        }
    }

    /// Creates one that no agent sees.
    pub(super) fn beside(&self, object: &Value) -> anyhow::Result<()> {
        self.cluster.create(object)
    }

    pub(super) fn delete(&self, object: &Value) -> anyhow::Result<()> {
        self.changed();
        self.cluster.delete(object)
    }

    /// Deletes one that no agent sees.
    pub(super) fn delete_beside(&self, object: &Value) -> anyhow::Result<()> {
        self.cluster.delete(object)
    }

    pub(super) fn apply(&self, object: &Value) -> anyhow::Result<()> {
        self.changed();
        self.cluster.apply(object)
    }

    pub(super) fn merge(&self, path: &str, patch: &Value) -> anyhow::Result<()> {
        self.changed();
        self.heartbeat(path, patch)
    }

    /// A merge that is none of the changes.
    pub(super) fn heartbeat(&self, path: &str, patch: &Value) -> anyhow::Result<()> {
        let request = Request::new(Method::Patch, path)
            .header("Content-Type", "application/merge-patch+json")
            .json(patch)?;
        self.cluster.api.send(&request)?;
        Ok(())
    }

    /// All objects of a collection.
    pub(super) fn list(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        let (mut all, mut token) = (Vec::new(), String::new());
        loop {
            let request = Request::new(Method::Get, path)
                .query("limit", &PAGE.to_string())
                .query("continue", &token);
            let mut page: Value = self.cluster.api.call(&request)?;
            let items = page.get_mut("items").map(Value::take);
            match items {
                Some(Value::Array(items)) => all.extend(items),
                _ => anyhow::bail!("{path} has no items"),
            }
            let next = page.pointer("/metadata/continue").and_then(Value::as_str);
            next.unwrap_or_default().clone_into(&mut token);
            if token.is_empty() {
                return Ok(all);
            }
        }
    }

    /// Path of an object.
    pub(super) fn path(object: &Value) -> anyhow::Result<String> {
        let (collection, name) = place_of(object).context("an object without a place")?;
        Ok(format!("{collection}/{name}"))
    }
}
