//! Locks: one holder at a time, and what a holder does happens only while it is one.
//!
//! etcd's lock service makes the key that upstream's agents make themselves, so that both wait for each other. The key has a
//! lease of its own: a holder that dies is one no more after [`LEASE`].

use std::time::Duration;

use bytes::Bytes;

use super::client::{Error, Etcd};
use super::operations::is_there;
use super::proto::{Compare, LockClient, LockRequest};

/// Upstream's, for locks.
const LEASE: Duration = Duration::from_secs(25);

/// A lock that is held.
pub(super) struct Lock<'a> {
    etcd: &'a Etcd,
    lease: i64,
    key: String,
}

impl Etcd {
    /// Waits for a lock, as long as an answer may take.
    pub(super) async fn lock(&self, name: &str) -> Result<Lock<'_>, Error> {
        let lease = self.grant(LEASE).await?;
        let request = LockRequest {
            name: Bytes::copy_from_slice(name.as_bytes()),
            lease,
        };
        let call = |service| {
            let (mut client, request) = (LockClient::new(service), request.clone());
            async move { client.lock(request).await }
        };
        match self.ask("lock", name, call).await {
            Ok(answer) => Ok(Lock {
                etcd: self,
                lease,
                key: String::from_utf8_lossy(&answer.into_inner().key).into_owned(),
            }),
            Err(error) => {
                // Its place in the queue goes with it; when that fails too, at the end of the lease.
                let _ = self.revoke(lease).await;
                Err(error)
            }
        }
    }
}

impl Lock<'_> {
    /// We still are the holder: a condition of all that is written under the lock.
    pub(super) fn is_held(&self) -> Compare {
        is_there(&self.key)
    }

    /// Lets the next one have it.
    pub(super) async fn unlock(self) {
        if let Err(error) = self.etcd.revoke(self.lease).await {
            tracing::debug!(%error, "a lock ends with its lease");
        }
    }
}
