//! What is wrong with a policy, said in its own status: the condition `Valid` of CiliumNetworkPolicy and its clusterwide form.
//!
//! Every agent judges every policy alike, so any of them may write. Each waits a moment by chance, looks again, and writes
//! only what is not yet there. A NetworkPolicy has no status: it is in the log and in `/v1/policy`.

use std::collections::BTreeMap;
use std::time::Duration;

use api::cilium::{CiliumClusterwideNetworkPolicy, CiliumNetworkPolicy, PolicyStatus};
use api::kubernetes::{Condition, Resource};
use model::policy::{Kind, ObjectKey};
use rand::Rng;
use reconcile::{Fetched, Options, Reconciler, StatusReader, Step, Table, TableWriter, Target};
use store::{Client, Error};
use tokio_util::sync::CancellationToken;

use crate::inputs::{Inputs, PolicyRow};

const VALID: &str = "Valid";
/// Agents spread their writes over so much time for each node of the cluster, and at most over [`LONGEST`].
const SPREAD: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(5);

/// What the condition says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stated {
    /// The policy can be understood.
    pub valid: bool,
    /// Why it cannot, beginning with the field's path.
    pub message: String,
}

impl Stated {
    fn of(row: &PolicyRow) -> Self {
        match &row.judged.fault {
            None => Self {
                valid: true,
                message: "the policy is valid".to_owned(),
            },
            // The same words on each node, whichever version it has, or no two would agree.
            Some(error) => Self {
                valid: false,
                message: format!(
                    "{error}; the last valid version, if there was one, stays in force"
                ),
            },
        }
    }

    /// What an object's status says now.
    pub fn read(status: &PolicyStatus) -> Option<Self> {
        let mut conditions = status.conditions.iter();
        let condition = conditions.find(|condition| condition.condition == VALID)?;
        Some(Self {
            valid: condition.status == "True",
            message: condition.message.clone(),
        })
    }

    fn condition(&self, before: Option<&Condition>) -> Condition {
        let status = if self.valid { "True" } else { "False" };
        let since = before
            .filter(|before| before.status == status)
            .and_then(|before| before.last_transition_time.clone());
        let now = || {
            jiff::Timestamp::now()
                .strftime("%Y-%m-%dT%H:%M:%SZ")
                .to_string()
        };
        Condition {
            condition: VALID.to_owned(),
            status: status.to_owned(),
            reason: if self.valid { "Valid" } else { "Invalid" }.to_owned(),
            message: self.message.clone(),
            last_transition_time: Some(since.unwrap_or_else(now)),
            observed_generation: None,
        }
    }
}

/// A kind whose objects have the condition.
trait HasStatus: Resource {
    fn status_mut(&mut self) -> &mut PolicyStatus;
}

impl HasStatus for CiliumNetworkPolicy {
    fn status_mut(&mut self) -> &mut PolicyStatus {
        &mut self.status
    }
}

impl HasStatus for CiliumClusterwideNetworkPolicy {
    fn status_mut(&mut self) -> &mut PolicyStatus {
        &mut self.status
    }
}

/// The conditions of all policies.
pub struct Conditions {
    client: Client,
    inputs: Inputs,
}

impl Conditions {
    fn row(&self, key: &ObjectKey) -> Option<std::sync::Arc<PolicyRow>> {
        match key.kind {
            Kind::CiliumNetworkPolicy => self.inputs.cilium_policies.get(key),
            Kind::CiliumClusterwideNetworkPolicy => self.inputs.clusterwide_policies.get(key),
            _ => None,
        }
    }

    async fn write<R: HasStatus>(&self, key: &ObjectKey, to: &Stated) -> Result<(), Error> {
        let namespace = Some(&*key.namespace).filter(|namespace| !namespace.is_empty());
        let state = |object: &mut R| {
            let status = object.status_mut();
            if Stated::read(status).as_ref() == Some(to) {
                return;
            }
            let conditions = &mut status.conditions;
            let valid = conditions.iter().position(|of| of.condition == VALID);
            let condition = to.condition(valid.and_then(|at| conditions.get(at)));
            match valid.and_then(|at| conditions.get_mut(at)) {
                Some(old) => *old = condition,
                None => conditions.push(condition),
            }
        };
        let written = self
            .client
            .update::<R>(namespace, &key.name, Some("status"), state);
        match written.await {
            Err(error) if error.is_not_found() => Ok(()),
            result => result.map(drop),
        }
    }
}

impl Target for Conditions {
    type Key = ObjectKey;
    type Value = Stated;
    type Cursor = ();
    type Error = Error;

    /// The tables follow the store anyway, statuses included.
    async fn fetch(&self, _from: Option<()>) -> Result<Fetched<ObjectKey, Stated, ()>, Error> {
        let tables = [
            self.inputs.cilium_policies.snapshot(),
            self.inputs.clusterwide_policies.snapshot(),
        ];
        let rows = tables.iter().flat_map(reconcile::Snapshot::iter);
        let stated = rows.filter_map(|(key, row)| Some((key.clone(), row.stated.clone()?)));
        Ok(Fetched {
            entries: stated.collect(),
            next: None,
        })
    }

    async fn apply(&self, step: &Step<ObjectKey, Stated>) -> Result<(), Error> {
        let (key, Some(to)) = (step.key(), step.to()) else {
            // The status went with its object.
            return Ok(());
        };
        let nodes = u32::try_from(self.inputs.nodes.snapshot().len()).unwrap_or(u32::MAX);
        let longest = SPREAD.saturating_mul(nodes).min(LONGEST);
        let pause = rand::rng().random_range(Duration::ZERO..=longest);
        tokio::time::sleep(pause).await;
        let now = self.row(key).and_then(|row| row.stated.clone());
        if now.as_ref() == Some(&**to) {
            return Ok(());
        }
        match key.kind {
            Kind::CiliumNetworkPolicy => self.write::<CiliumNetworkPolicy>(key, to).await,
            _ => self.write::<CiliumClusterwideNetworkPolicy>(key, to).await,
        }
    }
}

/// The reconciler of conditions, and its status.
pub fn conditions(
    client: Client,
    inputs: Inputs,
    desired: Table<ObjectKey, Stated>,
) -> (Reconciler<Conditions>, StatusReader<ObjectKey>) {
    let options = Options {
        concurrency: 8,
        step_timeout: Duration::from_secs(30),
        ..Options::default()
    };
    let target = Conditions { client, inputs };
    Reconciler::new("policy conditions", target, desired, options)
}

/// Keeps the desired table at what the policies say, until `stop`.
pub async fn follow(
    inputs: Inputs,
    mut writer: TableWriter<ObjectKey, Stated>,
    stop: CancellationToken,
) {
    let (cilium, clusterwide) = (&inputs.cilium_policies, &inputs.clusterwide_policies);
    let mut changed = (cilium.subscribe(), clusterwide.subscribe());
    loop {
        let tables = [cilium.snapshot(), clusterwide.snapshot()];
        let rows = tables.iter().flat_map(reconcile::Snapshot::iter);
        let desired: BTreeMap<ObjectKey, Stated> = rows
            .map(|(key, row)| (key.clone(), Stated::of(row)))
            .collect();
        writer.replace(desired);
        if tables.iter().all(reconcile::Snapshot::is_initialized) {
            writer.mark_initialized("policies");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            _ = changed.0.changed() => {}
            _ = changed.1.changed() => {}
        }
    }
}
