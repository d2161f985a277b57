//! From which pool a pod's address is: CiliumPodIPPools, and the choice among them.

use std::sync::Arc;

use api::cilium::CiliumPodIPPool;
use model::endpoint::PodName;
use model::ipam::Family;
use model::ipam::choice::{Facts, NoPool, PoolRow, SKIP_MASQUERADE, choose};
use reconcile::{Table, TaskGroup};
use store::{Client, Scope, reflect};

use crate::config::{Config, Ipam};
use crate::identity::{self, Identities};
use crate::inputs::reflected;

/// Why no pool is chosen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The pod is not known.
    #[error(transparent)]
    Pod(#[from] identity::Error),
    /// Which pool it is, cannot be told yet.
    #[error("CiliumPodIPPools are not known yet")]
    Waiting,
    /// What pod, namespace and pools say leads to no pool.
    #[error("pod {0}: {1}")]
    None(PodName, NoPool),
}

/// The choice of pools.
#[derive(Clone)]
pub struct Pools {
    rows: Table<Arc<str>, PoolRow>,
    identities: Identities,
    default: Arc<str>,
}

impl Pools {
    /// Follows CiliumPodIPPools, if there are pools to choose from.
    pub fn follow(
        client: &Client,
        config: &Config,
        identities: &Identities,
        tasks: &TaskGroup,
    ) -> Option<Self> {
        (config.ipam == Ipam::MultiPool).then(|| Self {
            rows: reflected!(
                client,
                tasks,
                Scope::all(),
                "ciliumpodippools",
                CiliumPodIPPool,
                |of: CiliumPodIPPool| vec![(of.metadata.name.as_str().into(), row(&of))]
            ),
            identities: identities.clone(),
            default: Arc::clone(&config.pools.default),
        })
    }

    /// The pool for an address of an owner: of a pod as it is chosen, of anybody else the default.
    pub async fn choose(&self, owner: &str, family: Family) -> Result<Arc<str>, Error> {
        let Some((namespace, name)) = owner.split_once('/') else {
            return Ok(Arc::clone(&self.default));
        };
        let name = PodName {
            namespace: namespace.into(),
            name: name.into(),
        };
        let pod = self.identities.pod(&name).await?;
        let namespace = self.identities.namespace(&name).await;
        let pools = self.rows.snapshot();
        if !pools.is_initialized() {
            return Err(Error::Waiting);
        }
        let facts = Facts {
            family,
            name: (&name.namespace, &name.name),
            pod: (&pod.pools, &pod.labels),
            namespace: (&namespace.pools, &namespace.labels),
        };
        let chosen = choose(facts, pools.iter(), &self.default);
        chosen.map_err(|error| Error::None(name.clone(), error))
    }

    /// Whether pods with an address of the pool leave the cluster under that address.
    pub fn skips_masquerade(&self, pool: &Arc<str>) -> bool {
        let pools = self.rows.snapshot();
        pools.get(pool).is_some_and(|row| row.skip_masquerade)
    }

    /// Whether it is known that there is no such pool.
    pub fn is_missing(&self, pool: &Arc<str>) -> bool {
        let pools = self.rows.snapshot();
        pools.is_initialized() && pools.get(pool).is_none()
    }
}

#[cfg(test)]
impl Pools {
    /// Over a table that a test fills.
    pub(crate) fn over(rows: Table<Arc<str>, PoolRow>, identities: Identities) -> Self {
        Self {
            rows,
            identities,
            default: model::ipam::DEFAULT_POOL.into(),
        }
    }
}

/// A pool with a selector that cannot be read selects nobody.
fn row(of: &CiliumPodIPPool) -> PoolRow {
    let spec = serde_json::to_value(&of.spec).unwrap_or_default();
    let row = PoolRow::read(&spec).unwrap_or_else(|error| {
        tracing::warn!(pool = of.metadata.name, field = %error.path, problem = error.problem, "a pool selects nobody");
        PoolRow::default()
    });
    let said = of.metadata.annotations.get(SKIP_MASQUERADE);
    PoolRow {
        skip_masquerade: said.is_some_and(|said| said == "true"),
        ..row
    }
}

#[cfg(test)]
mod tests;
