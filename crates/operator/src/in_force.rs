//! On which nodes a policy is in force: the condition `InForce` of CiliumNetworkPolicy and its clusterwide form.
//!
//! Each node tells in a lease what it has in force ([`model::in_force`]); here that is held against the policies that there
//! are ([`fold`]), and what is new is written. A condition is read by every agent, so it is written seldom: once all nodes
//! have the policy, or when some still lack it after all had the time; and the larger the cluster the slower. See
//! docs/decisions/0013.

mod fold;
mod seen;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::cilium::{CiliumClusterwideNetworkPolicy, CiliumNetworkPolicy, PolicyStatus};
use api::kubernetes::{Condition, Lease, Resource};
use model::in_force::{DIGEST, NAMESPACE, REASON, Version, pause};
use model::policy::{Kind, ObjectKey};
use reconcile::{Table, TaskGroup};
use serde_json::json;
use store::Scope;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use fold::{NodeState, Statement, Status, fold};
use seen::{Seen, Waiting};

use crate::inputs::follow;
use crate::ipam;
use crate::leader::{Error, Leader, exactly};

const CONDITION: &str = "InForce";
/// What comes together is looked at together.
const GATHER: Duration = Duration::from_secs(1);
/// Without a change it is looked so often who fell silent.
const AGAIN: Duration = Duration::from_secs(10);
/// Conditions written before it is looked again what they should be.
const AT_ONCE: usize = 20;
/// Events that conditions cause a second: each write is one for every agent.
const EVENTS_PER_SECOND: u32 = 2000;
/// Between two writes it is so long at least, and at most, in a small and in a very large cluster.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// A policy, as far as this goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyRow {
    uid: Arc<str>,
    generation: i64,
    /// Version of the object.
    version: Arc<str>,
    conditions: Vec<Condition>,
}

impl PolicyRow {
    fn stated(&self) -> Option<Statement> {
        let mut conditions = self.conditions.iter();
        let condition = conditions.find(|of| of.condition == CONDITION)?;
        Some(Statement {
            status: Status::from_word(&condition.status)?,
            message: condition.message.clone(),
        })
    }

    /// All conditions, with this one as it should be.
    fn with(&self, statement: &Statement, now: &str) -> Vec<Condition> {
        let mut conditions = self.conditions.clone();
        let at = conditions.iter().position(|of| of.condition == CONDITION);
        let before = at.map(|at| conditions.remove(at));
        let same = before.filter(|of| of.status == statement.status.word());
        let since = same.and_then(|of| of.last_transition_time);
        conditions.push(Condition {
            condition: CONDITION.to_owned(),
            status: statement.status.word().to_owned(),
            reason: statement.status.reason().to_owned(),
            message: statement.message.clone(),
            last_transition_time: Some(since.unwrap_or_else(|| now.to_owned())),
            observed_generation: Some(self.generation),
        });
        conditions
    }
}

/// What a node tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRow {
    /// Another text with each renewal.
    renewed: Arc<str>,
    /// Without a renewal for so long the node is silent.
    silence: Duration,
    digest: Arc<str>,
    reason: Arc<str>,
}

fn lease_row(lease: &Lease) -> (Arc<str>, LeaseRow) {
    let annotation = |key: &str| lease.metadata.annotations.get(key).map(String::as_str);
    let seconds = lease.spec.lease_duration_seconds.unwrap_or_default();
    let row = LeaseRow {
        renewed: lease.spec.renew_time.as_deref().unwrap_or_default().into(),
        silence: Duration::from_secs(u64::try_from(seconds).unwrap_or_default()),
        digest: annotation(DIGEST).unwrap_or_default().into(),
        reason: annotation(REASON).unwrap_or_default().into(),
    };
    (lease.metadata.name.as_str().into(), row)
}

fn policy_row<R: Resource>(
    kind: Kind,
    object: &R,
    status: &PolicyStatus,
) -> (ObjectKey, PolicyRow) {
    let meta = object.meta();
    let key = ObjectKey {
        kind,
        namespace: meta.namespace.as_str().into(),
        name: meta.name.as_str().into(),
    };
    let row = PolicyRow {
        uid: meta.uid.as_str().into(),
        generation: meta.generation.unwrap_or_default(),
        version: meta.resource_version.as_str().into(),
        conditions: status.conditions.clone(),
    };
    (key, row)
}

/// Pause between two conditions, by the number of nodes that read them.
fn pause_of_writes(nodes: usize) -> Duration {
    let nodes = u32::try_from(nodes).unwrap_or(u32::MAX);
    let pause = Duration::from_secs(1) / EVENTS_PER_SECOND;
    pause.saturating_mul(nodes).clamp(PAUSES.0, PAUSES.1)
}

type Policies = Table<ObjectKey, PolicyRow>;

/// Starts to say it on all policies.
pub fn start(leader: &Leader, nodes: Table<Arc<str>, ipam::NodeRow>, duties: &TaskGroup) {
    let client = leader.reader();
    let namespace = Scope {
        namespace: Some(NAMESPACE.to_owned()),
        ..Scope::default()
    };
    let leases = follow(
        client,
        duties,
        ("leases of nodes", namespace),
        |lease: Lease| Some(lease_row(&lease)),
    );
    let row =
        |of: CiliumNetworkPolicy| Some(policy_row(Kind::CiliumNetworkPolicy, &of, &of.status));
    let of_namespaces = follow(client, duties, ("ciliumnetworkpolicies", Scope::all()), row);
    let row = |of: CiliumClusterwideNetworkPolicy| {
        let kind = Kind::CiliumClusterwideNetworkPolicy;
        Some(policy_row(kind, &of, &of.status))
    };
    let name = "ciliumclusterwidenetworkpolicies";
    let clusterwide = follow(client, duties, (name, Scope::all()), row);
    let stater = Stater {
        leader: leader.clone(),
        policies: [of_namespaces, clusterwide],
        leases,
        nodes,
        seen: Seen::default(),
        waiting: Waiting::default(),
    };
    duties.spawn("where policies are in force", move |stop| stater.run(stop));
}

struct Stater {
    leader: Leader,
    policies: [Policies; 2],
    leases: Table<Arc<str>, LeaseRow>,
    nodes: Table<Arc<str>, ipam::NodeRow>,
    seen: Seen,
    waiting: Waiting,
}

impl Stater {
    async fn run(mut self, stop: CancellationToken) {
        let work = async {
            self.leases.until_initialized().await;
            self.nodes.until_initialized().await;
            for table in &self.policies {
                table.until_initialized().await;
            }
            let [one, two] = &self.policies;
            let mut changed = (
                self.leases.subscribe(),
                self.nodes.subscribe(),
                one.subscribe(),
                two.subscribe(),
            );
            loop {
                let done = self.round().await && self.waiting.is_empty();
                let pause = if done { AGAIN } else { GATHER };
                tokio::select! {
                    _ = changed.0.changed() => {}
                    _ = changed.1.changed() => {}
                    _ = changed.2.changed() => {}
                    _ = changed.3.changed() => {}
                    () = tokio::time::sleep(pause) => {}
                }
                tokio::time::sleep(GATHER).await;
            }
        };
        let _: Option<()> = stop.run_until_cancelled(work).await;
    }

    /// Writes some of what is to be written; says whether that was all.
    async fn round(&mut self) -> bool {
        let rows: BTreeMap<ObjectKey, PolicyRow> = self
            .policies
            .iter()
            .flat_map(|table| {
                let snapshot = table.snapshot();
                let rows = snapshot.iter();
                rows.map(|(key, row)| (key.clone(), row.clone()))
                    .collect::<Vec<_>>()
            })
            .collect();
        let nodes = self.nodes.snapshot();
        let states = self
            .seen
            .states(nodes.keys(), &self.leases.snapshot(), Instant::now());
        if states.is_empty() {
            return true;
        }
        let versions = rows.iter().map(|(key, row)| {
            let version = Version::new(&row.uid, row.generation);
            (key.clone(), (version, row.generation))
        });
        let statements = fold(&versions.collect(), &states);
        let stated = |key: &ObjectKey| rows.get(key).and_then(PolicyRow::stated);
        let settle = pause(nodes.len()) * 2;
        let due = self
            .waiting
            .due(&statements, stated, settle, Instant::now());
        let mut done = due.len() <= AT_ONCE;
        for key in due.into_iter().take(AT_ONCE) {
            let (Some(row), Some(statement)) = (rows.get(&key), statements.get(&key)) else {
                continue;
            };
            match self.write(&key, row, statement).await {
                Ok(()) => self.waiting.written(&key, Instant::now()),
                // The table will say what it is now.
                Err(error) if error.is_outdated() => done = false,
                Err(error) => {
                    tracing::warn!(policy = %key, %error, "where a policy is in force cannot be written, trying again");
                    done = false;
                }
            }
            tokio::time::sleep(pause_of_writes(nodes.len())).await;
        }
        done
    }

    async fn write(
        &self,
        key: &ObjectKey,
        row: &PolicyRow,
        statement: &Statement,
    ) -> Result<(), Error> {
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
        let conditions = row.with(statement, &now.to_string());
        let patch = json!({ "status": { "conditions": conditions } });
        let of = exactly(&key.namespace, &key.name, &row.uid, &row.version);
        let leader = &self.leader;
        if key.kind == Kind::CiliumNetworkPolicy {
            let written = leader.patch::<CiliumNetworkPolicy>(&of, Some("status"), patch);
            written.await.map(drop)
        } else {
            let written =
                leader.patch::<CiliumClusterwideNetworkPolicy>(&of, Some("status"), patch);
            written.await.map(drop)
        }
    }
}
