//! Who may see what: whoever asks shows a bearer token, and Kubernetes says whose it is and of which namespaces he may see flows.

mod flows;
pub(super) mod reviews;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use api::hubble::answers::Question;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::middleware::{self, Next};
use axum::response::Response;
use futures::StreamExt;
use futures::stream;
use tonic::Status;
use tonic::metadata::MetadataMap;

use super::clusters::Clusters;
use super::web;
use crate::answers::{Gathered, Rows, may_be_asked};
pub(super) use flows::veiled;
use reviews::{Reviews, User};

/// Namespaces of one caller that are asked about at the same time.
const AT_A_TIME: usize = 16;

/// Who decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AccessConfig {
    /// Nobody: everybody sees all.
    #[default]
    None,
    /// Kubernetes, by this kubeconfig or, without one, by the service account of the pod.
    Kubernetes(Option<PathBuf>),
}

/// Says what callers may see. Clones share what is known.
#[derive(Clone, Default)]
pub(super) struct Access {
    reviews: Option<Arc<Reviews>>,
}

impl Access {
    /// Access as it is configured.
    pub(super) async fn open(config: &AccessConfig) -> Result<Self, store::Error> {
        let reviews = match config {
            AccessConfig::None => None,
            AccessConfig::Kubernetes(kubeconfig) => {
                Some(Arc::new(Reviews::open(kubeconfig.clone()).await?))
            }
        };
        Ok(Self { reviews })
    }

    /// Whether anybody is asked who he is.
    pub(super) const fn is_limited(&self) -> bool {
        self.reviews.is_some()
    }

    /// What says in the headers of a request who sends it, as metadata of a call; nothing if nobody wants to know.
    pub(super) fn metadata(&self, headers: &HeaderMap) -> MetadataMap {
        let mut chosen = HeaderMap::new();
        if let Some(value) = headers.get("authorization").filter(|_| self.is_limited()) {
            chosen.insert("authorization", value.clone());
        }
        MetadataMap::from_headers(chosen)
    }

    /// What whoever sent a request with this metadata may see. Where that is not known it is an error, and nothing is seen.
    pub(super) async fn view(&self, metadata: &MetadataMap) -> Result<View, Status> {
        let Some(reviews) = &self.reviews else {
            return Ok(View::All);
        };
        let token = metadata
            .get("authorization")
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        let token = token.filter(|token| !token.is_empty()).ok_or_else(|| {
            Status::unauthenticated("a token of Kubernetes is needed (authorization: Bearer TOKEN)")
        })?;
        let user = reviews.user(token).await?;
        if reviews.may_see(&user, "").await? {
            return Ok(View::All);
        }
        Ok(View::Of(Caller {
            user,
            reviews: Arc::clone(reviews),
        }))
    }
}

/// What a caller may see.
pub(super) enum View {
    /// All namespaces, and what is of none.
    All,
    /// What begins or ends in some namespaces.
    Of(Caller),
}

impl View {
    /// The fields of a flow by which it is judged.
    pub(super) const fn looks_at(&self) -> &'static [&'static str] {
        match self {
            Self::All => &[],
            Self::Of(_) => &["source.namespace", "destination.namespace"],
        }
    }

    /// Whether a namespace may be seen.
    pub(super) async fn sees(&self, namespace: &str) -> Result<bool, Status> {
        match self {
            Self::All => Ok(true),
            Self::Of(caller) => caller.sees(namespace).await,
        }
    }

    /// Refuses who may not see all.
    pub(super) fn whole(&self) -> Result<(), Status> {
        match self {
            Self::All => Ok(()),
            Self::Of(_) => Err(Status::permission_denied(
                "only who may get flows.axoneme.io in all namespaces may ask for this",
            )),
        }
    }
}

/// Somebody who may see some namespaces.
#[derive(Clone)]
pub(super) struct Caller {
    user: Arc<User>,
    reviews: Arc<Reviews>,
}

impl Caller {
    /// Whether he may see a namespace; of what is in none he is told only beside what is in one.
    async fn sees(&self, namespace: &str) -> Result<bool, Status> {
        if namespace.is_empty() {
            return Ok(false);
        }
        self.reviews.may_see(&self.user, namespace).await
    }

    /// Which of these namespaces he may see.
    async fn seen(&self, namespaces: BTreeSet<String>) -> Result<BTreeMap<String, bool>, Status> {
        let decisions = stream::iter(namespaces).map(async |namespace| {
            let sees = self.sees(&namespace).await?;
            Ok::<_, Status>((namespace, sees))
        });
        let mut decisions = decisions.buffer_unordered(AT_A_TIME);
        let mut seen = BTreeMap::new();
        while let Some(decision) = decisions.next().await {
            let (namespace, sees) = decision?;
            seen.insert(namespace, sees);
        }
        Ok(seen)
    }
}

/// Rows of all clusters, as far as whoever asks may see them.
pub(super) struct Guarded {
    rows: Clusters,
    access: Access,
}

impl Guarded {
    /// These rows behind this access.
    pub(super) const fn new(rows: Clusters, access: Access) -> Self {
        Self { rows, access }
    }
}

impl Rows for Guarded {
    async fn rows(&self, question: Question, asker: &MetadataMap) -> Result<Gathered, Status> {
        let view = self.access.view(asker).await?;
        let mut gathered = self.rows.rows(question.clone(), asker).await?;
        if let View::Of(caller) = view {
            // What is not asked for is not withheld.
            gathered.rows.retain(|row| {
                let edge = row.edge.as_ref();
                edge.is_some_and(|edge| may_be_asked(edge, &question))
            });
            let seen = caller.seen(rows::namespaces(&gathered.rows)).await?;
            let withheld = rows::veil(&mut gathered.rows, &seen);
            gathered.withheld = gathered.withheld.saturating_add(withheld);
        }
        Ok(gathered)
    }
}

/// The routes of what is made of all namespaces, for those who may see all.
pub(super) fn of_whole(routes: Router, access: Access) -> Router {
    routes.layer(middleware::from_fn_with_state(access, whole))
}

async fn whole(State(access): State<Access>, request: Request, next: Next) -> Response {
    let view = access.view(&access.metadata(request.headers())).await;
    match view.and_then(|view| view.whole()) {
        Ok(()) => next.run(request).await,
        Err(status) => web::failed(&status),
    }
}
