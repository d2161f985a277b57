//! The API server behind one or several URLs: verbs on typed objects, at a bounded rate.

mod config;
mod error;
mod guard;
mod options;
mod path;
mod pods;
mod send;
mod update;

use std::sync::Arc;
use std::time::Duration;

use api::kubernetes::{List, ObjectMeta, Resource};
use arc_swap::ArcSwap;
use futures::future::BoxFuture;
use futures::{AsyncBufRead, TryStreamExt};
use http::Method;
use http_body_util::BodyExt;
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::watch;

use crate::pace::Pace;
pub use config::ContextNames;
pub use error::Error;
pub use options::Options;
use path::{Query, collection, object};
pub use pods::{Exec, Executed, LogPart};
use send::{Call, JSON, MERGE_PATCH};

/// Which objects of a kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Only of this namespace.
    pub namespace: Option<String>,
    /// Only those with these fields, as `spec.nodeName=n1`.
    pub fields: Option<String>,
    /// Only those with these labels, in selector syntax.
    pub labels: Option<String>,
}

impl Scope {
    /// All objects of the kind.
    pub fn all() -> Self {
        Self::default()
    }

    /// Those with these fields.
    pub fn fields(selector: impl Into<String>) -> Self {
        Self {
            fields: Some(selector.into()),
            ..Self::default()
        }
    }
}

/// One of the server's URLs, and which attempt at it this is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// Index of the URL.
    pub index: usize,
    /// Raised whenever connections should be made anew.
    pub attempt: u64,
}

/// Objects of a page, where all are wanted.
const PAGE: &str = "500";

struct Connection {
    endpoint: Endpoint,
    client: kube::Client,
}

/// Makes a client with new connections to the URL of an index.
pub(crate) type Connect =
    dyn Fn(usize) -> BoxFuture<'static, Result<kube::Client, Error>> + Send + Sync;

struct Shared {
    urls: usize,
    connect: Box<Connect>,
    current: ArcSwap<Connection>,
    changed: watch::Sender<Endpoint>,
    options: Options,
}

/// The API server. Clones share connections and rate.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    pace: Arc<Pace>,
}

impl Client {
    /// Reads the configuration; nothing is connected yet.
    pub async fn new(options: Options) -> Result<Self, Error> {
        let of = options.clone();
        let connect = move |index| -> BoxFuture<'static, _> {
            let options = of.clone();
            Box::pin(async move { config::connect(&options, index).await })
        };
        Self::over(config::count(&options), Box::new(connect), options).await
    }

    /// What the kubeconfig says of the context that is meant.
    pub fn context(options: &Options) -> Result<ContextNames, Error> {
        config::names(options)
    }

    /// Over clients that `connect` makes, for each of `urls` indices.
    pub(crate) async fn over(
        urls: usize,
        connect: Box<Connect>,
        options: Options,
    ) -> Result<Self, Error> {
        let connection = Connection {
            endpoint: Endpoint::default(),
            client: connect(0).await?,
        };
        Ok(Self {
            pace: Arc::new(Pace::new(options.requests_per_second, options.burst)),
            shared: Arc::new(Shared {
                urls,
                connect,
                current: ArcSwap::from_pointee(connection),
                changed: watch::Sender::new(Endpoint::default()),
                options,
            }),
        })
    }

    /// The same server at a rate of its own, so that requests for which somebody waits do not queue behind those that can wait.
    pub fn at_pace(&self, requests_per_second: f64, burst: f64) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            pace: Arc::new(Pace::new(requests_per_second, burst)),
        }
    }

    /// Where requests and events are counted.
    pub(crate) fn metrics(&self) -> &crate::Metrics {
        &self.shared.options.metrics
    }

    /// Which URL is in use; changes when it stops answering.
    pub fn endpoint(&self) -> watch::Receiver<Endpoint> {
        self.shared.changed.subscribe()
    }

    /// One page of a list, or all of it in one (`limit` 0). The objects are left as text, so that one that cannot be read costs only itself.
    pub async fn list_page<R: Resource>(
        &self,
        scope: &Scope,
        limit: u32,
        token: &str,
    ) -> Result<List<Box<RawValue>>, Error> {
        let mut query = Query::new(&collection::<R>(scope.namespace.as_deref()));
        query.scope(scope);
        if limit > 0 {
            query.add("limit", &limit.to_string());
        }
        if !token.is_empty() {
            query.add("continue", token);
        }
        self.json(&Call::new("list", Method::GET, &query.text))
            .await
    }

    /// Lines of a watch from `version` on: one JSON event each.
    pub async fn watch<R: Resource>(
        &self,
        scope: &Scope,
        version: &str,
        limit: Duration,
    ) -> Result<impl AsyncBufRead + Unpin + Send + use<R>, Error> {
        let mut query = Query::new(&collection::<R>(scope.namespace.as_deref()));
        query
            .scope(scope)
            .add("watch", "1")
            .add("allowWatchBookmarks", "true");
        query
            .add("resourceVersion", version)
            .add("timeoutSeconds", &limit.as_secs().to_string());
        let call = Call::new("watch", Method::GET, &query.text);
        self.pace.wait().await;
        let connection = self.shared.current.load_full();
        let answer = self.send(&connection.client, &call);
        let limit = self.shared.options.request_timeout;
        let answer = tokio::time::timeout(limit, answer);
        let answer = answer.await.unwrap_or_else(|_| Err(call.silent()))?;
        let lines = answer.into_body().into_data_stream();
        Ok(lines.map_err(std::io::Error::other).into_async_read())
    }

    /// One object.
    pub async fn get<R: Resource>(&self, namespace: Option<&str>, name: &str) -> Result<R, Error> {
        let path = object::<R>(namespace, name);
        self.json(&Call::new("get", Method::GET, &path)).await
    }

    /// Creates an object.
    pub async fn create<R: Resource>(&self, new: &R) -> Result<R, Error> {
        let path = collection::<R>(namespace_of(new));
        let call = Call::new("create", Method::POST, &path).with(new, JSON)?;
        self.json(&call).await
    }

    /// Replaces an object as a whole, for kinds that are all ours; one that has changed since it was read is a conflict.
    pub async fn replace<R: Resource>(&self, new: &R) -> Result<R, Error> {
        let path = object::<R>(namespace_of(new), &new.meta().name);
        let call = Call::new("replace", Method::PUT, &path).with(new, JSON)?;
        self.json(&call).await
    }

    /// Replaces an object's status as a whole; an object that has changed since it was read is a conflict.
    pub async fn replace_status<R: Resource>(&self, new: &R) -> Result<R, Error> {
        let path = object::<R>(namespace_of(new), &new.meta().name) + "/status";
        let call = Call::new("replace", Method::PUT, &path).with(new, JSON)?;
        self.json(&call).await
    }

    /// Changes an object by a merge patch (RFC 7386), or its status.
    pub async fn merge<R: Resource>(
        &self,
        namespace: Option<&str>,
        name: &str,
        subresource: Option<&str>,
        patch: &serde_json::Value,
    ) -> Result<R, Error> {
        let mut path = object::<R>(namespace, name);
        if let Some(subresource) = subresource {
            path.push('/');
            path.push_str(subresource);
        }
        let call = Call::new("patch", Method::PATCH, &path).with(patch, MERGE_PATCH)?;
        self.json(&call).await
    }

    /// Deletes an object; one that is not there is fine.
    pub async fn delete<R: Resource>(
        &self,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<(), Error> {
        let path = object::<R>(namespace, name);
        match self
            .paced(&Call::new("delete", Method::DELETE, &path))
            .await
        {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    /// Deletes the object that was read, as it was read: another one of its name, or a change since, is a conflict. One that
    /// is not there is fine.
    pub async fn delete_unchanged<R: Resource>(&self, read: &ObjectMeta) -> Result<(), Error> {
        let namespace = Some(read.namespace.as_str()).filter(|of| !of.is_empty());
        let path = object::<R>(namespace, &read.name);
        let options = json!({
            "apiVersion": "v1", "kind": "DeleteOptions",
            "preconditions": { "uid": read.uid, "resourceVersion": read.resource_version },
        });
        let call = Call::new("delete", Method::DELETE, &path).with(&options, JSON)?;
        match self.paced(&call).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    /// Changes an object of any kind by a merge patch (RFC 7386).
    pub async fn raw_merge(
        &self,
        path: &str,
        patch: &serde_json::Value,
    ) -> Result<serde_json::Value, Error> {
        let call = Call::new("patch", Method::PATCH, path).with(patch, MERGE_PATCH)?;
        self.json(&call).await
    }

    /// All objects of a kind of which only the path is known (its collection, with parameters), page by page.
    pub async fn raw_list(&self, path: &str) -> Result<Vec<serde_json::Value>, Error> {
        let mut all = Vec::new();
        let mut token = String::new();
        loop {
            let mut query = Query::new(path);
            query.add("limit", PAGE);
            if !token.is_empty() {
                query.add("continue", &token);
            }
            let call = Call::new("list", Method::GET, &query.text);
            let page: List<serde_json::Value> = self.json(&call).await?;
            all.extend(page.items);
            token = page.metadata.continue_token;
            if token.is_empty() {
                return Ok(all);
            }
        }
    }

    /// Any request whose answer is JSON, for commands that take objects of any kind.
    pub async fn raw(
        &self,
        method: Method,
        path: &str,
        content: Option<&serde_json::Value>,
    ) -> Result<serde_json::Value, Error> {
        let mut call = Call::new("send", method, path);
        if let Some(content) = content {
            call = call.with(content, JSON)?;
        }
        self.json(&call).await
    }
}

fn namespace_of<R: Resource>(object: &R) -> Option<&str> {
    Some(object.meta().namespace.as_str()).filter(|namespace| !namespace.is_empty())
}

/// As JSON, for a comparison.
fn to_json(name: &str, value: &impl Serialize) -> Result<serde_json::Value, Error> {
    serde_json::to_value(value).map_err(|error| Error::Unanswered {
        verb: "compare",
        path: name.to_owned(),
        message: error.to_string(),
    })
}
