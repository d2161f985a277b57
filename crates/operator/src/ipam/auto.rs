//! Pools that the configuration names: created when they are not there, and left alone from then on.

use std::time::Duration;

use api::cilium::{CiliumPodIPPool, PodPoolSpec, PoolRanges};
use api::kubernetes::ObjectMeta;
use reconcile::Backoff;
use tokio_util::sync::CancellationToken;

use super::pools::pool_row;
use crate::leader::{Error, Leader};

const RETRY: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(15));

/// Reads `NAME=ipv4-cidrs:CIDR,…;ipv4-mask-size:N;ipv6-cidrs:…;ipv6-mask-size:N`, any number of them with blanks between.
pub fn read_pools(text: &str) -> Result<Vec<CiliumPodIPPool>, String> {
    text.split_whitespace().map(read_pool).collect()
}

fn read_pool(text: &str) -> Result<CiliumPodIPPool, String> {
    let (name, rest) = text
        .split_once('=')
        .ok_or_else(|| format!("{text:?} has no ="))?;
    let mut spec = PodPoolSpec::default();
    for part in rest.split(';').filter(|part| !part.is_empty()) {
        let (key, value) = part
            .split_once(':')
            .ok_or_else(|| format!("{part:?} has no :"))?;
        let family = match key.split_once('-') {
            Some(("ipv4", _)) => &mut spec.ipv4,
            Some(("ipv6", _)) => &mut spec.ipv6,
            _ => return Err(format!("{key:?} is of no family")),
        };
        let family: &mut PoolRanges = family.get_or_insert_default();
        match key.split_once('-') {
            Some((_, "cidrs")) => family.cidrs.extend(value.split(',').map(str::to_owned)),
            Some((_, "mask-size")) => {
                let length = value.parse();
                family.mask_size =
                    length.map_err(|_| format!("{value:?} is not a length of a prefix"))?;
            }
            _ => return Err(format!("{key:?} is unknown")),
        }
    }
    let pool = CiliumPodIPPool {
        metadata: ObjectMeta {
            name: name.to_owned(),
            ..ObjectMeta::default()
        },
        spec,
        ..CiliumPodIPPool::default()
    };
    let row = pool_row(&pool);
    match row.error.as_str() {
        "" if row.families.is_empty() => Err(format!("pool {name} has no ranges")),
        "" => Ok(pool),
        error => Err(format!("pool {name}: {error}")),
    }
}

/// Creates them, for as long as it takes.
pub async fn create(leader: Leader, pools: Vec<CiliumPodIPPool>, stop: CancellationToken) {
    let work = async {
        for pool in pools {
            let mut failures = 0;
            while let Err(error) = create_one(&leader, &pool).await {
                let name = &pool.metadata.name;
                tracing::warn!(pool = name, %error, "a pool cannot be created, trying again");
                failures += 1;
                let pause = RETRY.after(failures, &mut rand::rng());
                tokio::time::sleep(pause).await;
            }
        }
        std::future::pending::<()>().await;
    };
    let _: Option<()> = stop.run_until_cancelled(work).await;
}

async fn create_one(leader: &Leader, pool: &CiliumPodIPPool) -> Result<(), Error> {
    match leader.create(pool).await {
        Ok(_) => {
            tracing::info!(pool = pool.metadata.name, "a pool is created");
            Ok(())
        }
        // It is there: its ranges are its owner's affair.
        Err(Error::Store(error)) if error.is_conflict() => Ok(()),
        Err(error) => Err(error),
    }
}
