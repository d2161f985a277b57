//! The API server as the leader sees it: reads go through, and each write is asked first whether this operator still leads.

use api::kubernetes::{ObjectMeta, Resource};
use serde_json::Value;
use store::{Client, Scope};

use crate::lease::{NotLeading, Term};

/// Objects in one answer.
const PAGE: u32 = 500;

/// Why a request of the leader failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It was not sent.
    #[error(transparent)]
    NotLeading(#[from] NotLeading),
    /// The store's answer.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Error {
    /// The object has changed since it was read, or is not there any more: what is to be done must be decided anew.
    pub fn is_outdated(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_conflict() || error.is_not_found())
    }
}

/// The API server, for as long as this operator leads.
#[derive(Clone)]
pub struct Leader {
    client: Client,
    term: Term,
}

impl Leader {
    /// In a term.
    pub fn new(client: Client, term: Term) -> Self {
        Self { client, term }
    }

    /// The term.
    pub fn term(&self) -> &Term {
        &self.term
    }

    /// For reading.
    pub fn reader(&self) -> &Client {
        &self.client
    }

    /// The same with a rate of its own.
    pub fn at_pace(&self, requests_per_second: f64, burst: f64) -> Self {
        Self {
            client: self.client.at_pace(requests_per_second, burst),
            term: self.term.clone(),
        }
    }

    fn writer(&self) -> Result<&Client, NotLeading> {
        if self.term.holds() {
            Ok(&self.client)
        } else {
            Err(NotLeading)
        }
    }

    /// The object as the store has it now. By a list: that is what upstream's roles let an operator do.
    pub async fn find<R: Resource>(
        &self,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Option<R>, Error> {
        let scope = Scope {
            namespace: namespace.map(str::to_owned),
            fields: Some(format!("metadata.name={name}")),
            labels: None,
        };
        let page = self.client.list_page::<R>(&scope, 0, "").await?;
        let mut found = page
            .items
            .iter()
            .map(|text| serde_json::from_str(text.get()));
        let found = found.next().transpose();
        Ok(found.map_err(|error| unreadable::<R>(&error))?)
    }

    /// All objects of a kind as the store has them now, each as what `row` makes of it. One that cannot be read is a
    /// failure: what is not known must not pass for what is not there.
    pub async fn list<R: Resource, T>(&self, row: impl Fn(R) -> T + Send) -> Result<Vec<T>, Error> {
        self.list_of(&Scope::all(), row).await
    }

    /// The same of some objects.
    pub async fn list_of<R: Resource, T>(
        &self,
        scope: &Scope,
        row: impl Fn(R) -> T + Send,
    ) -> Result<Vec<T>, Error> {
        let mut rows = Vec::new();
        let mut token = String::new();
        loop {
            let page = self.client.list_page::<R>(scope, PAGE, &token).await?;
            for text in page.items {
                let object = serde_json::from_str(text.get());
                rows.push(row(object.map_err(|error| unreadable::<R>(&error))?));
            }
            token = page.metadata.continue_token;
            if token.is_empty() {
                return Ok(rows);
            }
        }
    }

    /// Creates an object.
    pub async fn create<R: Resource>(&self, new: &R) -> Result<R, Error> {
        Ok(self.writer()?.create(new).await?)
    }

    /// Replaces an object that has not changed since it was read.
    pub async fn replace<R: Resource>(&self, new: &R) -> Result<R, Error> {
        Ok(self.writer()?.replace(new).await?)
    }

    /// Replaces the status of an object that has not changed since it was read.
    pub async fn replace_status<R: Resource>(&self, new: &R) -> Result<R, Error> {
        Ok(self.writer()?.replace_status(new).await?)
    }

    /// Changes what a merge patch names, in an object of this version.
    pub async fn patch<R: Resource>(
        &self,
        object: &ObjectMeta,
        subresource: Option<&str>,
        mut patch: Value,
    ) -> Result<R, Error> {
        patch["metadata"]["resourceVersion"] = object.resource_version.clone().into();
        let namespace = Some(object.namespace.as_str()).filter(|of| !of.is_empty());
        let writer = self.writer()?;
        Ok(writer
            .merge(namespace, &object.name, subresource, &patch)
            .await?)
    }

    /// Deletes an object that has not changed since it was read; one that is not there is fine.
    pub async fn delete<R: Resource>(&self, read: &ObjectMeta) -> Result<(), Error> {
        Ok(self.writer()?.delete_unchanged::<R>(read).await?)
    }
}

fn unreadable<R: Resource>(error: &serde_json::Error) -> store::Error {
    store::Error::Unanswered {
        verb: "list",
        path: R::PLURAL.to_owned(),
        message: format!("an object cannot be read: {error}"),
    }
}

/// Enough of an object's metadata to write it, or to delete exactly it.
pub fn exactly(namespace: &str, name: &str, uid: &str, version: &str) -> ObjectMeta {
    ObjectMeta {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        uid: uid.to_owned(),
        resource_version: version.to_owned(),
        ..ObjectMeta::default()
    }
}
