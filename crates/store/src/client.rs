//! The API server behind one or several URLs: verbs on typed objects, and a watch over its health.

mod config;
mod options;
mod path;
mod update;

use std::sync::Arc;
use std::time::Duration;

use api::kubernetes::{List, Resource};
use arc_swap::ArcSwap;
use futures::AsyncBufRead;
use http::{Method, Request};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::pace::Pace;
use config::configs;
pub use options::Options;
use path::{Query, collection, object};
pub use update::Edit;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration does not lead to a server.
    #[error("API server configuration: {0}")]
    Config(String),
    /// The server refused: HTTP status, and its sentence.
    #[error("{verb} {path}: {status}: {message}")]
    Refused {
        /// What was tried.
        verb: &'static str,
        /// On what.
        path: String,
        /// HTTP status.
        status: u16,
        /// The server's sentence.
        message: String,
    },
    /// No answer, or none that can be read.
    #[error("{verb} {path}: {message}")]
    Unanswered {
        /// What was tried.
        verb: &'static str,
        /// On what.
        path: String,
        /// What happened.
        message: String,
    },
}

impl Error {
    /// The HTTP status of a refusal.
    pub fn status(&self) -> Option<u16> {
        if let Self::Refused { status, .. } = self {
            Some(*status)
        } else {
            None
        }
    }
    /// The object is not there.
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }
    /// The object exists already, or has changed since it was read.
    pub fn is_conflict(&self) -> bool {
        self.status() == Some(409)
    }
    /// The version asked for is too old to continue from.
    pub fn is_gone(&self) -> bool {
        self.status() == Some(410)
    }
}

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

struct Shared {
    clients: Vec<kube::Client>,
    current: ArcSwap<Endpoint>,
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
        let mut clients = Vec::new();
        for config in configs(&options).await? {
            clients.push(
                kube::Client::try_from(config).map_err(|error| Error::Config(error.to_string()))?,
            );
        }
        Ok(Self::over(clients, options))
    }

    fn over(clients: Vec<kube::Client>, options: Options) -> Self {
        let pace = Arc::new(Pace::new(options.requests_per_second, options.burst));
        let current = ArcSwap::from_pointee(Endpoint::default());
        let changed = watch::Sender::new(Endpoint::default());
        Self {
            shared: Arc::new(Shared {
                clients,
                current,
                changed,
                options,
            }),
            pace,
        }
    }

    /// The same server at a rate of its own, so that requests for which somebody waits do not queue behind those that can wait.
    pub fn at_pace(&self, requests_per_second: f64, burst: f64) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            pace: Arc::new(Pace::new(requests_per_second, burst)),
        }
    }

    /// Which URL is in use; changes when it stops answering.
    pub fn endpoint(&self) -> watch::Receiver<Endpoint> {
        self.shared.changed.subscribe()
    }

    /// Asks the server for its health until `stop`; after two silences the next URL is taken and every watch begins anew, so
    /// that a connection that is dead without saying so costs seconds and not minutes.
    pub async fn guard(&self, stop: CancellationToken) {
        let mut silences = 0_u32;
        let every = self.shared.options.probe_every;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(every) => {}
            }
            let probe = tokio::time::timeout(
                every.min(Duration::from_secs(5)),
                self.text("probe", Method::GET, "/version", None, ""),
            );
            let alive = match probe.await {
                Ok(Ok(_)) => true,
                // A server that refuses to tell its version answers; one that does not know us (401) is of no use.
                Ok(Err(error)) => error
                    .status()
                    .is_some_and(|status| status != 401 && status < 500),
                Err(_) => false,
            };
            silences = if alive { 0 } else { silences + 1 };
            if silences >= 2 {
                silences = 0;
                self.turn_to_next();
            }
        }
    }

    fn turn_to_next(&self) {
        let now = **self.shared.current.load();
        let next = Endpoint {
            index: (now.index + 1) % self.shared.clients.len().max(1),
            attempt: now.attempt + 1,
        };
        tracing::warn!(
            from = now.index,
            to = next.index,
            "the API server does not answer, connecting anew"
        );
        self.shared.current.store(Arc::new(next));
        self.shared.changed.send_replace(next);
    }

    /// One page of a list. The objects are left as text, so that one that cannot be read costs only itself.
    pub async fn list_page<R: Resource>(
        &self,
        scope: &Scope,
        limit: u32,
        token: &str,
    ) -> Result<List<Box<RawValue>>, Error> {
        let mut query = Query::new(&collection::<R>(scope.namespace.as_deref()));
        query.scope(scope).add("limit", &limit.to_string());
        if !token.is_empty() {
            query.add("continue", token);
        }
        self.json("list", Method::GET, &query.text, None).await
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
        let request = self.request("watch", Method::GET, &query.text, None, "")?;
        let client = self.client()?;
        let stream = tokio::time::timeout(
            self.shared.options.request_timeout,
            client.request_stream(request),
        );
        match stream.await {
            Ok(Ok(stream)) => Ok(Box::pin(stream)),
            Ok(Err(error)) => Err(failed("watch", &query.text, error)),
            Err(_) => Err(silent("watch", &query.text)),
        }
    }

    /// One object.
    pub async fn get<R: Resource>(&self, namespace: Option<&str>, name: &str) -> Result<R, Error> {
        self.json("get", Method::GET, &object::<R>(namespace, name), None)
            .await
    }

    /// Creates an object.
    pub async fn create<R: Resource>(&self, new: &R) -> Result<R, Error> {
        let path = collection::<R>(namespace_of(new));
        self.json(
            "create",
            Method::POST,
            &path,
            Some(body("create", &path, new)?),
        )
        .await
    }

    /// Replaces an object; one that has changed since it was read is a conflict.
    pub async fn replace<R: Resource>(&self, new: &R) -> Result<R, Error> {
        let path = object::<R>(namespace_of(new), &new.meta().name);
        self.json(
            "replace",
            Method::PUT,
            &path,
            Some(body("replace", &path, new)?),
        )
        .await
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
        let text = self
            .text(
                "patch",
                Method::PATCH,
                &path,
                Some(body("patch", &path, patch)?),
                "application/merge-patch+json",
            )
            .await?;
        decode("patch", &path, &text)
    }

    /// Deletes an object; one that is not there is fine.
    pub async fn delete<R: Resource>(
        &self,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<(), Error> {
        match self
            .text(
                "delete",
                Method::DELETE,
                &object::<R>(namespace, name),
                None,
                "",
            )
            .await
        {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    /// Any request whose answer is JSON, for commands that take objects of any kind.
    pub async fn raw(
        &self,
        method: Method,
        path: &str,
        content: Option<&serde_json::Value>,
    ) -> Result<serde_json::Value, Error> {
        let content = content
            .map(|content| body("send", path, content))
            .transpose()?;
        self.json("send", method, path, content).await
    }

    async fn json<T: DeserializeOwned>(
        &self,
        verb: &'static str,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<T, Error> {
        let text = self
            .text(verb, method, path, body, "application/json")
            .await?;
        decode(verb, path, &text)
    }

    async fn text(
        &self,
        verb: &'static str,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
        kind: &str,
    ) -> Result<String, Error> {
        let request = self.request(verb, method, path, body, kind)?;
        let client = self.client()?;
        if verb != "probe" {
            self.pace.wait().await;
        }
        match tokio::time::timeout(
            self.shared.options.request_timeout,
            client.request_text(request),
        )
        .await
        {
            Ok(result) => result.map_err(|error| failed(verb, path, error)),
            Err(_) => Err(silent(verb, path)),
        }
    }

    fn request(
        &self,
        verb: &'static str,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
        kind: &str,
    ) -> Result<Request<Vec<u8>>, Error> {
        let mut target = path.to_owned();
        if body.is_some() {
            target.push(if target.contains('?') { '&' } else { '?' });
            target.push_str("fieldManager=");
            target.push_str(self.shared.options.name);
        }
        let mut request = Request::builder()
            .method(method)
            .uri(target)
            .header("accept", "application/json");
        if body.is_some() {
            request = request.header("content-type", kind);
        }
        request
            .body(body.unwrap_or_default())
            .map_err(|error| Error::Unanswered {
                verb,
                path: path.to_owned(),
                message: error.to_string(),
            })
    }

    fn client(&self) -> Result<&kube::Client, Error> {
        let index = self.shared.current.load().index;
        self.shared
            .clients
            .get(index)
            .ok_or_else(|| Error::Config("no URL".to_owned()))
    }
}

fn namespace_of<R: Resource>(object: &R) -> Option<&str> {
    Some(object.meta().namespace.as_str()).filter(|namespace| !namespace.is_empty())
}

fn body(verb: &'static str, path: &str, value: &impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|error| Error::Unanswered {
        verb,
        path: path.to_owned(),
        message: error.to_string(),
    })
}

fn decode<T: DeserializeOwned>(verb: &'static str, path: &str, text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| Error::Unanswered {
        verb,
        path: path.to_owned(),
        message: format!("the answer cannot be read: {error}"),
    })
}

fn failed(verb: &'static str, path: &str, error: kube::Error) -> Error {
    match error {
        kube::Error::Api(status) => Error::Refused {
            verb,
            path: path.to_owned(),
            status: status.code,
            message: status.message.clone(),
        },
        other => {
            let mut message = other.to_string();
            let mut source = std::error::Error::source(&other);
            while let Some(cause) = source {
                message = format!("{message}: {cause}");
                source = cause.source();
            }
            Error::Unanswered {
                verb,
                path: path.to_owned(),
                message,
            }
        }
    }
}

fn silent(verb: &'static str, path: &str) -> Error {
    Error::Unanswered {
        verb,
        path: path.to_owned(),
        message: "no answer in time".to_owned(),
    }
}
