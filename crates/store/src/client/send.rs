//! One request and its answer.

use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use kube::client::Body;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Client, Error};

pub(super) const JSON: &str = "application/json";
pub(super) const MERGE_PATCH: &str = "application/merge-patch+json";

/// Of what a server says to a refusal, so much is read, in bytes.
const SENTENCE: usize = 64 * 1024;
/// No server's wish to be left alone is respected for longer.
const LONGEST_WISH: Duration = Duration::from_mins(1);

/// What is asked for.
pub(super) struct Call<'a> {
    verb: &'static str,
    method: Method,
    /// With its parameters.
    path: &'a str,
    /// And its media type.
    body: Option<(Vec<u8>, &'static str)>,
}

/// A refusal in the form of the Kubernetes API (`Status`).
#[derive(Deserialize)]
struct Refusal {
    message: String,
}

impl<'a> Call<'a> {
    pub(super) fn new(verb: &'static str, method: Method, path: &'a str) -> Self {
        Self {
            verb,
            method,
            path,
            body: None,
        }
    }

    pub(super) fn with(
        mut self,
        value: &impl Serialize,
        kind: &'static str,
    ) -> Result<Self, Error> {
        let body = serde_json::to_vec(value).map_err(|error| self.failed(error.to_string()))?;
        self.body = Some((body, kind));
        Ok(self)
    }

    pub(super) fn failed(&self, message: String) -> Error {
        Error::Unanswered {
            verb: self.verb,
            path: self.path.to_owned(),
            message,
        }
    }

    pub(super) fn silent(&self) -> Error {
        self.failed("no answer in time".to_owned())
    }

    /// A refusal of which only status and sentence are known.
    pub(super) fn refusal(&self, status: u16, message: String) -> Error {
        Error::Refused {
            verb: self.verb,
            path: self.path.to_owned(),
            status,
            message,
            retry_after: None,
        }
    }

    /// With the whole chain of causes: the last of them is the one that helps.
    pub(super) fn broken(&self, error: &dyn std::error::Error) -> Error {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message = format!("{message}: {cause}");
            source = cause.source();
        }
        self.failed(message)
    }

    fn request(&self, name: &str) -> Result<Request<Body>, Error> {
        let mut target = self.path.to_owned();
        let mut request = Request::builder()
            .method(self.method.clone())
            .header("accept", JSON)
            .header("user-agent", name);
        if let Some((_, kind)) = &self.body {
            request = request.header("content-type", *kind);
        }
        if self.body.is_some() && self.method != Method::DELETE {
            target.push(if target.contains('?') { '&' } else { '?' });
            target.push_str("fieldManager=");
            target.push_str(name);
        }
        let body = self.body.as_ref().map(|(body, _)| body.clone());
        request
            .uri(target)
            .body(Body::from(body.unwrap_or_default()))
            .map_err(|error| self.failed(error.to_string()))
    }

    /// The status is that of HTTP: who answers in the server's place knows nothing of its form.
    async fn refused(&self, answer: Response<Body>) -> Error {
        let status = answer.status();
        let wish = answer.headers().get(RETRY_AFTER);
        let wish = wish.and_then(|wish| wish.to_str().ok()?.parse().ok());
        let body = Limited::new(answer.into_body(), SENTENCE).collect().await;
        let body = body.map(http_body_util::Collected::to_bytes);
        let body = body.unwrap_or_default();
        let message = match serde_json::from_slice::<Refusal>(&body) {
            Ok(refusal) => refusal.message,
            Err(_) => String::from_utf8_lossy(&body).trim().to_owned(),
        };
        Error::Refused {
            verb: self.verb,
            path: self.path.to_owned(),
            status: status.as_u16(),
            message,
            retry_after: wish.map(|wish| Duration::from_secs(wish).min(LONGEST_WISH)),
        }
    }
}

impl Client {
    /// The answer's head, if it is one of success.
    pub(super) async fn send(
        &self,
        through: &kube::Client,
        call: &Call<'_>,
    ) -> Result<Response<Body>, Error> {
        let options = &self.shared.options;
        let request = call.request(options.name)?;
        let begun = std::time::Instant::now();
        let answer = through.send(request).await;
        let code = match &answer {
            Ok(answer) => answer.status().as_u16().to_string(),
            Err(_) => "<error>".to_owned(),
        };
        let url = options.urls.get(self.shared.current.load().endpoint.index);
        let host = url.map_or("", |url| {
            url.split_once("://").map_or(&**url, |(_, host)| host)
        });
        let (method, took) = (call.method.as_str(), begun.elapsed());
        options.metrics.called(host, method, call.path, &code, took);
        match answer {
            Ok(answer) if answer.status().is_success() => Ok(answer),
            Ok(answer) if answer.status() == StatusCode::SWITCHING_PROTOCOLS => {
                Err(call.failed("the server speaks another protocol".to_owned()))
            }
            Ok(answer) => Err(call.refused(answer).await),
            Err(error) => Err(call.broken(&error)),
        }
    }

    /// The whole answer, in so much time.
    pub(super) async fn ask(
        &self,
        through: &kube::Client,
        call: &Call<'_>,
        limit: Duration,
    ) -> Result<Bytes, Error> {
        let answer = async {
            let body = self.send(through, call).await?.into_body();
            let body = body.collect().await.map_err(|error| call.broken(&error))?;
            Ok(body.to_bytes())
        };
        let answer = tokio::time::timeout(limit, answer).await;
        answer.unwrap_or_else(|_| Err(call.silent()))
    }

    /// The whole answer, when it is this client's turn.
    pub(super) async fn paced(&self, call: &Call<'_>) -> Result<Bytes, Error> {
        let begun = std::time::Instant::now();
        self.pace.wait().await;
        self.shared.options.metrics.waited(begun.elapsed());
        let connection = self.shared.current.load_full();
        let limit = self.shared.options.request_timeout;
        self.ask(&connection.client, call, limit).await
    }

    pub(super) async fn json<T: DeserializeOwned>(&self, call: &Call<'_>) -> Result<T, Error> {
        let answer = self.paced(call).await?;
        serde_json::from_slice(&answer)
            .map_err(|error| call.failed(format!("the answer cannot be read: {error}")))
    }
}
