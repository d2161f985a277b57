//! Questions to Kubernetes: whose a token is (`TokenReview`), and what a user may do (`SubjectAccessReview`). Answers are believed
//! for half a minute.

use std::collections::HashMap;
use std::hash::Hash;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use store::{Client, Options};
use tokio::time::Instant;
use tonic::Status;

/// How long an answer is believed.
pub(super) const BELIEVED: Duration = Duration::from_secs(30);
/// How long the API server may take.
const LIMIT: Duration = Duration::from_secs(5);
/// Callers, and decisions on namespaces, that are remembered.
const USERS: usize = 1024;
const DECISIONS: usize = 16_384;
/// Questions a second, and at once: as many namespaces as a large cluster has.
const RATE: f64 = 200.0;
const BURST: f64 = 1000.0;

const TOKENS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const ACCESS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

type Digested = [u8; 32];

/// Somebody as the API server knows him.
pub(super) struct User {
    /// Of all that follows.
    digest: Digested,
    /// `user`, `uid`, `groups` and `extra`, as a `SubjectAccessReview` takes them.
    spec: Value,
}

/// Asks, and remembers for a while.
pub(in crate::relay) struct Reviews {
    client: Client,
    // A lock and no table: nobody waits for a change of what is known.
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// By the digest of the token.
    users: Remembered<Digested, Arc<User>>,
    /// By user and namespace.
    decisions: Remembered<(Digested, String), bool>,
}

/// Values with the time until which they are believed.
struct Remembered<K, V>(HashMap<K, (Instant, V)>);

impl<K, V> Default for Remembered<K, V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash, V: Clone> Remembered<K, V> {
    fn find(&self, key: &K, now: Instant) -> Option<V> {
        let (until, value) = self.0.get(key)?;
        (now < *until).then(|| value.clone())
    }

    fn remember(&mut self, key: K, value: V, now: Instant, most: usize) {
        if self.0.len() >= most {
            self.0.retain(|_, (until, _)| now < *until);
        }
        if self.0.len() >= most {
            self.0.clear();
        }
        self.0.insert(key, (now + BELIEVED, value));
    }
}

impl Reviews {
    /// Asks by a kubeconfig or, without one, as the service account of the pod.
    pub(super) async fn open(kubeconfig: Option<PathBuf>) -> Result<Self, store::Error> {
        let options = Options {
            kubeconfig,
            requests_per_second: RATE,
            burst: BURST,
            request_timeout: LIMIT,
            ..Options::named("axoneme-relay")
        };
        Ok(Self {
            client: Client::new(options).await?,
            known: Mutex::default(),
        })
    }

    /// Whose a token is.
    pub(super) async fn user(&self, token: &str) -> Result<Arc<User>, Status> {
        let digest: Digested = Sha256::digest(token.as_bytes()).into();
        let known = self.with(|known| known.users.find(&digest, Instant::now()));
        if let Some(user) = known {
            return Ok(user);
        }
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
            "spec": { "token": token },
        });
        let status = self.review(TOKENS, &review).await?;
        if status.get("authenticated") != Some(&Value::Bool(true)) {
            let why = status.get("error").and_then(Value::as_str);
            let why = why.unwrap_or("it may have expired");
            return Err(Status::unauthenticated(format!(
                "the token is not valid: {why}"
            )));
        }
        let user = Arc::new(User::read(status.get("user").unwrap_or(&Value::Null)));
        self.with(|known| {
            let (now, user) = (Instant::now(), Arc::clone(&user));
            known.users.remember(digest, user, now, USERS);
        });
        Ok(user)
    }

    /// Whether he may get flows of a namespace; of all where it is empty.
    pub(super) async fn may_see(&self, user: &User, namespace: &str) -> Result<bool, Status> {
        let key = (user.digest, namespace.to_owned());
        let known = self.with(|known| known.decisions.find(&key, Instant::now()));
        if let Some(decision) = known {
            return Ok(decision);
        }
        let mut spec = user.spec.clone();
        if let Some(spec) = spec.as_object_mut() {
            let attributes = json!({
                "verb": "get", "group": "axoneme.io", "resource": "flows", "namespace": namespace,
            });
            spec.insert("resourceAttributes".to_owned(), attributes);
        }
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec,
        });
        let status = self.review(ACCESS, &review).await?;
        let decision = status.get("allowed") == Some(&Value::Bool(true));
        self.with(|known| {
            let now = Instant::now();
            known.decisions.remember(key, decision, now, DECISIONS);
        });
        Ok(decision)
    }

    /// Creates a review; its status.
    async fn review(&self, path: &str, review: &Value) -> Result<Value, Status> {
        let answer = self.client.raw(Method::POST, path, Some(review)).await;
        let mut answer = answer.map_err(|error| {
            tracing::warn!(%error, "who may see what is not known");
            Status::unavailable(format!(
                "Kubernetes, which says who may see what, does not: {error}"
            ))
        })?;
        let status = answer.get_mut("status").map(Value::take);
        status.ok_or_else(|| Status::unavailable(format!("{path}: a review without a status")))
    }

    fn with<T>(&self, work: impl FnOnce(&mut Known) -> T) -> T {
        work(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl User {
    /// Reads the user of a `TokenReview`.
    fn read(user: &Value) -> Self {
        let of = |key: &str| user.get(key).cloned().unwrap_or(Value::Null);
        let mut spec = json!({ "user": of("username") });
        if let Some(spec) = spec.as_object_mut() {
            for key in ["uid", "groups", "extra"] {
                if !of(key).is_null() {
                    spec.insert(key.to_owned(), of(key));
                }
            }
        }
        Self {
            digest: Sha256::digest(spec.to_string().as_bytes()).into(),
            spec,
        }
    }
}

#[cfg(test)]
mod tests;
