//! What happened to each endpoint, as far as it was published: the answer of `/v1/endpoint/{id}/log`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Path, State};
use axum::response::Json;
use local_api::endpoint::EndpointStatusChange;
use model::endpoint::{EndpointId, EndpointRow, State as Life};
use model::identity::Identity;
use tokio_util::sync::CancellationToken;

use super::endpoint::{find, state};
use super::{Api, Refusal};
use crate::view::{View, ViewReader};

/// Changes that are kept of one endpoint; the oldest go.
const KEPT: usize = 100;

/// What a change is told by.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen {
    life: Life,
    identity: Option<Identity>,
    policy_revision: u64,
}

impl Seen {
    fn of(row: &EndpointRow) -> Self {
        Self {
            life: row.state(),
            identity: row.identity,
            policy_revision: row.policy_revision,
        }
    }

    fn message(self, before: Option<Self>) -> String {
        let identity = match self.identity {
            Some(id) => format!("identity {id}"),
            None => "no identity yet".to_owned(),
        };
        let revision = format!("policy revision {}", self.policy_revision);
        match before {
            None => format!("seen with {identity}, {revision}"),
            Some(before) if before.identity != self.identity => format!("{identity}, {revision}"),
            Some(before) if before.policy_revision != self.policy_revision => {
                format!("{revision} is in force")
            }
            Some(_) => format!("{identity}, {revision}"),
        }
    }
}

#[derive(Default)]
struct History {
    last: Option<Seen>,
    changes: VecDeque<EndpointStatusChange>,
}

/// The changes of all endpoints that are there.
#[derive(Clone, Default)]
pub struct EndpointLog {
    // Not a table: nobody but the API reads it, and a change is appended.
    by_endpoint: Arc<Mutex<BTreeMap<EndpointId, History>>>,
}

impl EndpointLog {
    /// Notes what the view shows, until `stop`.
    pub async fn follow(self, mut view: ViewReader, stop: CancellationToken) {
        loop {
            self.note(&view.get());
            tokio::select! {
                () = stop.cancelled() => return,
                changed = view.changed() => if !changed { return },
            }
        }
    }

    pub(super) fn note(&self, view: &View) {
        let mut all = self.lock();
        all.retain(|id, _| view.endpoint(*id).is_some());
        for row in &view.endpoints {
            let (now, history) = (Seen::of(row), all.entry(row.id).or_default());
            if history.last == Some(now) {
                continue;
            }
            let before = history.last.replace(now);
            if history.changes.len() == KEPT {
                history.changes.pop_front();
            }
            let refused = view.refused.get(&row.id);
            history.changes.push_back(EndpointStatusChange {
                timestamp: jiff::Timestamp::now().to_string(),
                code: if refused.is_some() { "failed" } else { "ok" }.to_owned(),
                message: refused.cloned().unwrap_or_else(|| now.message(before)),
                state: Some(state(now.life)),
            });
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<EndpointId, History>> {
        self.by_endpoint
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The changes of an endpoint, the newest first.
    pub(super) fn of(&self, id: EndpointId) -> Vec<EndpointStatusChange> {
        let all = self.lock();
        let changes = all.get(&id).map(|history| history.changes.iter().rev());
        changes.into_iter().flatten().cloned().collect()
    }
}

/// `GET /v1/endpoint/{id}/log`.
pub(super) async fn log(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Json<Vec<EndpointStatusChange>>, Refusal> {
    let id = find(&api.view.get(), &id)?.id;
    Ok(Json(api.log.of(id)))
}
