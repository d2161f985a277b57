//! Objects that are accepted while nothing acts on them: their status says so, so that nobody waits for what will not come.

use std::sync::Arc;
use std::time::Duration;

use api::cilium::{
    AcceptedStatus, CiliumBGPAdvertisement, CiliumBGPClusterConfig, CiliumBGPNodeConfig,
    CiliumBGPNodeConfigOverride, CiliumBGPPeerConfig, CiliumClusterwideEnvoyConfig,
    CiliumEgressGatewayPolicy, CiliumEnvoyConfig, CiliumGatewayClassConfig,
    CiliumL2AnnouncementPolicy, CiliumLoadBalancerIPPool, CiliumLocalRedirectPolicy,
};
use api::kubernetes::{Condition, Resource};
use model::endpoint::PodName;
use reconcile::{Backoff, Table, TaskGroup};
use store::Scope;
use tokio_util::sync::CancellationToken;

use crate::inputs::follow;
use crate::leader::{Error, Leader};

const CONDITION: &str = "Accepted";
const REASON: &str = "NotImplemented";
const GATHER: Duration = Duration::from_millis(100);
const RETRY: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_mins(5));

/// A kind that nothing acts on.
trait Idle: Resource {
    /// Whether its status is a resource of its own.
    const SEPARATE: bool;
    fn status(&self) -> &AcceptedStatus;
    fn status_mut(&mut self) -> &mut AcceptedStatus;
}

macro_rules! idle {
    ($($kind:ident $separate:literal),+ $(,)?) => {
        $(impl Idle for $kind {
            const SEPARATE: bool = $separate;
            fn status(&self) -> &AcceptedStatus {
                &self.status
            }
            fn status_mut(&mut self) -> &mut AcceptedStatus {
                &mut self.status
            }
        })+

        /// Starts to say so on the objects of all these kinds.
        pub fn start(leader: &Leader, duties: &TaskGroup) {
            $(start_kind::<$kind>(leader, duties);)+
        }

        #[cfg(test)]
        fn kinds() -> Vec<(&'static str, bool)> {
            vec![$((<$kind as Resource>::KIND, <$kind as Idle>::SEPARATE)),+]
        }
    };
}

idle!(
    CiliumEgressGatewayPolicy false,
    CiliumLocalRedirectPolicy false,
    CiliumLoadBalancerIPPool true,
    CiliumL2AnnouncementPolicy true,
    CiliumBGPClusterConfig true,
    CiliumBGPPeerConfig true,
    CiliumBGPAdvertisement false,
    CiliumBGPNodeConfig true,
    CiliumBGPNodeConfigOverride false,
    CiliumEnvoyConfig false,
    CiliumClusterwideEnvoyConfig false,
    CiliumGatewayClassConfig true,
);

/// An object: whether its status says what it should, and the version that says so or not.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    version: Arc<str>,
    stated: bool,
}

fn start_kind<R: Idle>(leader: &Leader, duties: &TaskGroup) {
    let row = |object: R| {
        let name = PodName {
            namespace: object.meta().namespace.as_str().into(),
            name: object.meta().name.as_str().into(),
        };
        let version = object.meta().resource_version.as_str().into();
        let stated = is_stated(&object);
        Some((name, Row { version, stated }))
    };
    let table = follow(leader.reader(), duties, (R::PLURAL, Scope::all()), row);
    let leader = leader.clone();
    duties.spawn("status of what nobody acts on", move |stop| {
        keep::<R>(leader, table, stop)
    });
}

fn message<R: Resource>() -> String {
    format!(
        "this version accepts objects of kind {} and does not act on them",
        R::KIND
    )
}

fn is_stated<R: Idle>(object: &R) -> bool {
    let mut conditions = object.status().conditions.iter();
    let found = conditions.find(|of| of.condition == CONDITION);
    found.is_some_and(|of| {
        of.status == "False" && of.reason == REASON && of.message == message::<R>()
    })
}

fn state<R: Idle>(object: &mut R, now: &str) {
    let condition = Condition {
        condition: CONDITION.to_owned(),
        status: "False".to_owned(),
        reason: REASON.to_owned(),
        message: message::<R>(),
        last_transition_time: Some(now.to_owned()),
        observed_generation: object.meta().generation,
    };
    let conditions = &mut object.status_mut().conditions;
    conditions.retain(|of| of.condition != CONDITION);
    conditions.push(condition);
}

async fn keep<R: Idle>(leader: Leader, table: Table<PodName, Row>, stop: CancellationToken) {
    let work = async {
        let mut changed = table.subscribe();
        let mut failures = 0;
        loop {
            let mut done = true;
            for (name, _) in table.snapshot().iter().filter(|(_, row)| !row.stated) {
                if let Err(error) = write::<R>(&leader, name).await {
                    if failures == 0 && !error.is_outdated() {
                        tracing::warn!(kind = R::KIND, %name, %error, "a status cannot be written, trying again");
                    }
                    done = false;
                }
            }
            failures = if done { 0 } else { failures + 1 };
            if done {
                changed.changed().await;
            } else {
                let pause = RETRY.after(failures, &mut rand::rng());
                tokio::time::sleep(pause).await;
            }
            tokio::time::sleep(GATHER).await;
        }
    };
    let _: Option<()> = stop.run_until_cancelled(work).await;
}

async fn write<R: Idle>(leader: &Leader, name: &PodName) -> Result<(), Error> {
    let namespace = Some(&*name.namespace).filter(|of| !of.is_empty());
    let Some(mut object) = leader.find::<R>(namespace, &name.name).await? else {
        return Ok(());
    };
    if is_stated(&object) {
        return Ok(());
    }
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
    state(&mut object, &now.to_string());
    let written = if R::SEPARATE {
        leader.replace_status(&object).await
    } else {
        leader.replace(&object).await
    };
    written.map(drop)
}

#[cfg(test)]
mod tests;
