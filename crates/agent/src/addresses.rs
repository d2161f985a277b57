//! Addresses of pods: given to the plugin, confirmed by an endpoint, or taken back after a while.

pub(crate) mod pools;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use model::endpoint::EndpointRow;
use model::ipam::pools::{Use, Wants};
use model::ipam::{DEFAULT_POOL, Family, Ipam, IpamError, Lasting, Ranges, Token};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::metrics::Metrics;
use crate::node::Addressing;
use pools::{Pooled, kept};

/// An address that no endpoint has confirmed by then goes back.
const EXPIRY: Duration = if cfg!(test) {
    Duration::from_millis(20)
} else {
    Duration::from_mins(10)
};

/// Addresses that were given until they are confirmed, oldest first.
type Unconfirmed = Vec<(Instant, IpAddr, Token)>;

#[derive(Default)]
struct Held {
    ipam: Ipam,
    unconfirmed: Unconfirmed,
    pooled: Pooled,
}

/// The node's addresses, shared by all requests.
#[derive(Clone)]
pub struct Addresses {
    // Not a table: an address is chosen and taken in one step, by several callers.
    held: Arc<Mutex<Held>>,
    /// The pool for who names no other.
    default: Arc<str>,
    /// What this node wants of pools, if ranges come and go.
    wants: Option<Arc<Wants>>,
    /// What tells this run's tokens from a former run's, which count from one as well.
    run: u64,
    metrics: Metrics,
    /// Told of each address that is given, given back or refused, and of ranges that come and go.
    changed: Arc<watch::Sender<()>>,
}

impl Addresses {
    /// The node's ranges, less the routers, and less what endpoints from before a restart have.
    pub fn new(addressing: &Addressing, restored: &[EndpointRow]) -> Self {
        let v4 = addressing.pods_ipv4.map(Into::into).into_iter();
        let nets = v4.chain(addressing.pods_ipv6.map(Into::into)).collect();
        Self::over(&[(DEFAULT_POOL.into(), nets)].into(), addressing, restored)
    }

    /// The same with ranges of pools, which come and go. One of before the restart that the node's object has no more, although an
    /// endpoint has an address of it, stays until that goes, and nothing more is given from it.
    pub fn of_pools(
        ranges: &Ranges,
        addressing: &Addressing,
        config: &Config,
        restored: &[EndpointRow],
    ) -> Self {
        let mut all = ranges.clone();
        for (pool, nets) in kept(&config.state_dir) {
            let known = all.entry(pool).or_default();
            let lost = nets.into_iter().filter(|net| !known.contains(net));
            let lost: Vec<IpNet> = lost.collect();
            known.extend(lost);
        }
        let addresses = Self {
            default: Arc::clone(&config.pools.default),
            wants: Some(Arc::new(config.wants())),
            ..Self::over(&all, addressing, restored)
        };
        addresses.with(|held| {
            held.pooled.keep_in(&config.state_dir);
            held.ipam.take_in(ranges);
        });
        addresses
    }

    fn over(ranges: &Ranges, addressing: &Addressing, restored: &[EndpointRow]) -> Self {
        let mut ipam = Ipam::new(ranges);
        let router: Arc<str> = "router".into();
        for address in addressing.routers() {
            if let Err(error) = ipam.allocate_at(address, &router, Lasting::UntilReleased) {
                tracing::error!(%address, %error, "the router's address cannot be kept from pods");
            }
        }
        for row in restored {
            for address in row.ips.iter() {
                if let Err(error) = ipam.restore(address, &owner(row)) {
                    tracing::error!(endpoint = %row.id, %error, "an address in use belongs to another");
                }
            }
        }
        let held = Held {
            ipam,
            ..Held::default()
        };
        Self {
            held: Arc::new(Mutex::new(held)),
            default: DEFAULT_POOL.into(),
            wants: None,
            run: rand::random(),
            metrics: Metrics::default(),
            changed: Arc::new(watch::Sender::new(())),
        }
    }

    /// The same; what is given and given back is counted there.
    pub fn counted_in(self, metrics: Metrics) -> Self {
        Self { metrics, ..self }
    }

    /// A token as the plugin sees it, and back.
    fn masked(&self, token: Token) -> Token {
        Token(token.0 ^ self.run)
    }

    fn with<T>(&self, work: impl FnOnce(&mut Held) -> T) -> T {
        work(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Told of every change.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// All ranges.
    pub fn ranges(&self) -> Vec<IpNet> {
        self.with(|held| held.ipam.ranges().map(|(_, net)| net).collect())
    }

    /// How each pool is used.
    pub fn pools(&self) -> BTreeMap<Arc<str>, Use> {
        self.with(|held| held.ipam.pools())
    }

    /// The pool of an address, where there are pools to choose from.
    pub fn pool_of(&self, address: IpAddr) -> Option<Arc<str>> {
        self.wants.as_ref()?;
        self.with(|held| held.ipam.pool_of(address).cloned())
    }

    /// Whether there are pools to choose from.
    pub fn has_pools(&self) -> bool {
        self.wants.is_some()
    }

    /// Takes back what no endpoint has confirmed in time, until `stop`.
    pub async fn expire(self, stop: CancellationToken) {
        loop {
            self.expire_due();
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EXPIRY / 10) => {}
            }
        }
    }

    fn expire_due(&self) {
        self.with(|held| {
            let since = |(since, ..): &(Instant, IpAddr, Token)| since.elapsed() >= EXPIRY;
            let due = held.unconfirmed.partition_point(since);
            for (_, address, token) in held.unconfirmed.drain(..due) {
                if held.ipam.expire(address, token).is_some() {
                    tracing::warn!(%address, "an address was never used by an endpoint and is free again");
                }
            }
        });
    }

    /// Gives an address of the pool, or of the default; with a token it goes back by itself unless it is confirmed.
    pub fn allocate(
        &self,
        pool: Option<&Arc<str>>,
        family: Family,
        owner: &str,
        lasting: Lasting,
    ) -> Result<(IpAddr, Option<Token>), IpamError> {
        let (pool, owner) = (pool.unwrap_or(&self.default), owner.into());
        let given = self.with(|held| {
            let given = held.ipam.allocate(pool, family, &owner, lasting);
            if self.wants.is_some() {
                held.pooled
                    .note((Arc::clone(pool), family, owner), given.is_err());
            }
            if let Ok((address, Some(token))) = given {
                held.unconfirmed.push((Instant::now(), address, token));
            }
            given
        });
        self.changed.send_replace(());
        let (address, token) = given?;
        self.metrics.address("allocate", address);
        Ok((address, token.map(|token| self.masked(token))))
    }

    /// Takes a given address.
    pub fn allocate_at(&self, address: IpAddr, owner: &str) -> Result<(), IpamError> {
        let owner = owner.into();
        self.with(|held| {
            held.ipam
                .allocate_at(address, &owner, Lasting::UntilReleased)
        })?;
        self.changed.send_replace(());
        self.metrics.address("allocate", address);
        Ok(())
    }

    /// An endpoint uses the address now.
    pub fn confirm(&self, address: IpAddr, token: Token) -> Result<(), IpamError> {
        self.with(|held| held.ipam.confirm(address, self.masked(token)))
    }

    /// Takes an address back that no endpoint has confirmed, before its time.
    pub fn give_up(&self, address: IpAddr, token: Token) {
        let token = self.masked(token);
        if self.with(|held| held.ipam.expire(address, token)).is_some() {
            self.changed.send_replace(());
            self.metrics.address("release", address);
        }
    }

    /// Takes an address back, if it is that owner's; whoever it is when none is named.
    pub fn release(&self, address: IpAddr, owner: &str) -> Result<(), IpamError> {
        self.with(|held| {
            if owner.is_empty() {
                held.ipam.release(address)
            } else {
                held.ipam.release_from(address, owner)
            }
        })?;
        self.changed.send_replace(());
        self.metrics.address("release", address);
        Ok(())
    }

    /// Takes back what an endpoint had.
    pub fn release_all(&self, row: &EndpointRow) {
        for address in row.ips.iter() {
            match self.release(address, &owner(row)) {
                Ok(()) | Err(IpamError::NotInUse { .. }) => {}
                Err(error) => {
                    tracing::warn!(endpoint = %row.id, %error, "an address is not given back");
                }
            }
        }
    }

    /// All addresses in use and by whom.
    pub fn in_use(&self) -> BTreeMap<IpAddr, String> {
        self.with(|held| {
            held.ipam
                .leases()
                .iter()
                .map(|(address, lease)| (*address, lease.owner.to_string()))
                .collect()
        })
    }
}

/// Who has the addresses of the health endpoint.
pub const HEALTH: &str = "health";

/// Whose an endpoint's addresses are: its pod's, as the plugin names it.
pub fn owner(row: &EndpointRow) -> Arc<str> {
    if row.ends_with_agent() {
        return HEALTH.into();
    }
    row.pod
        .as_ref()
        .map_or_else(|| row.container_id.clone(), |pod| pod.to_string().into())
}

#[cfg(test)]
mod tests;
