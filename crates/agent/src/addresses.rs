//! Addresses of pods: given to the plugin, confirmed by an endpoint, or taken back after a while.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use model::endpoint::EndpointRow;
use model::ipam::{Family, Ipam, IpamError, Lasting, Token};

use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::node::Addressing;

/// An address that no endpoint has confirmed by then goes back.
const EXPIRY: Duration = if cfg!(test) {
    Duration::from_millis(20)
} else {
    Duration::from_mins(10)
};

/// Addresses that were given until they are confirmed, oldest first.
type Unconfirmed = Vec<(Instant, IpAddr, Token)>;

/// The node's addresses, shared by all requests.
#[derive(Clone)]
pub struct Addresses {
    // Not a table: an address is chosen and taken in one step, by several callers.
    ipam: Arc<Mutex<(Ipam, Unconfirmed)>>,
    /// What tells this run's tokens from a former run's, which count from one as well.
    run: u64,
    metrics: Metrics,
}

impl Addresses {
    /// The node's ranges, less the routers, and less what endpoints from before a restart have.
    pub fn new(addressing: &Addressing, restored: &[EndpointRow]) -> Self {
        let ranges = addressing
            .pods_ipv4
            .map(Into::into)
            .into_iter()
            .chain(addressing.pods_ipv6.map(Into::into));
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
        Self {
            ipam: Arc::new(Mutex::new((ipam, Vec::new()))),
            run: rand::random(),
            metrics: Metrics::default(),
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

    fn with<T>(&self, work: impl FnOnce(&mut Ipam, &mut Unconfirmed) -> T) -> T {
        let mut locked = self.ipam.lock().unwrap_or_else(PoisonError::into_inner);
        let (ipam, unconfirmed) = &mut *locked;
        work(ipam, unconfirmed)
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
        self.with(|ipam, unconfirmed| {
            let due = unconfirmed.partition_point(|(since, ..)| since.elapsed() >= EXPIRY);
            for (_, address, token) in unconfirmed.drain(..due) {
                if ipam.expire(address, token).is_some() {
                    tracing::warn!(%address, "an address was never used by an endpoint and is free again");
                }
            }
        });
    }

    /// Gives an address; with a token it goes back by itself unless it is confirmed.
    pub fn allocate(
        &self,
        family: Family,
        owner: &str,
        lasting: Lasting,
    ) -> Result<(IpAddr, Option<Token>), IpamError> {
        let given = self.with(|ipam, _| ipam.allocate(family, &owner.into(), lasting))?;
        let (address, token) = given;
        self.metrics.address("allocate", address);
        if let Some(token) = token {
            self.with(|_, unconfirmed| unconfirmed.push((Instant::now(), address, token)));
        }
        Ok((address, token.map(|token| self.masked(token))))
    }

    /// Takes a given address.
    pub fn allocate_at(&self, address: IpAddr, owner: &str) -> Result<(), IpamError> {
        self.with(|ipam, _| ipam.allocate_at(address, &owner.into(), Lasting::UntilReleased))?;
        self.metrics.address("allocate", address);
        Ok(())
    }

    /// An endpoint uses the address now.
    pub fn confirm(&self, address: IpAddr, token: Token) -> Result<(), IpamError> {
        self.with(|ipam, _| ipam.confirm(address, self.masked(token)))
    }

    /// Takes an address back, if it is that owner's; whoever it is when none is named.
    pub fn release(&self, address: IpAddr, owner: &str) -> Result<(), IpamError> {
        self.with(|ipam, _| {
            if owner.is_empty() {
                ipam.release(address)
            } else {
                ipam.release_from(address, owner)
            }
        })?;
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
        self.with(|ipam, _| {
            ipam.leases()
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
