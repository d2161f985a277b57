//! What is written in a lease, and how long it must have stayed the same before it may be taken.

use std::time::Duration;

use api::kubernetes::{Lease, LeaseSpec};
use tokio::time::Instant;

/// A lease as it was seen, and since when it is so.
#[derive(Debug, Default)]
pub(super) struct Watch {
    seen: Option<(LeaseSpec, Instant)>,
}

impl Watch {
    /// Whether the lease may be taken: nobody holds it, or it is ours from a former life of this process, or it has not been
    /// renewed for as long as its holder said, by our clock.
    pub(super) fn is_free(
        &mut self,
        now_is: &LeaseSpec,
        holder: &str,
        ours: Duration,
        now: Instant,
    ) -> bool {
        let since = match &self.seen {
            Some((seen, since)) if seen == now_is => *since,
            _ => now,
        };
        self.seen = Some((now_is.clone(), since));
        let theirs = now_is.lease_duration_seconds.unwrap_or_default();
        let theirs = u64::try_from(theirs).map_or(ours, Duration::from_secs);
        let nobody = now_is.holder_identity.as_deref().is_none_or(str::is_empty);
        nobody || held_by(now_is, holder) || now.duration_since(since) > ours.max(theirs)
    }
}

pub(super) fn held_by(spec: &LeaseSpec, holder: &str) -> bool {
    spec.holder_identity.as_deref() == Some(holder)
}

/// Ours from now on.
pub(super) fn taken(found: &Lease, holder: &str, duration: Duration) -> Lease {
    let mut lease = renewed(found, duration);
    let changes_hands = !held_by(&found.spec, holder);
    let transitions = found.spec.lease_transitions;
    lease.spec.lease_transitions = match transitions {
        None => Some(0),
        Some(number) => Some(number.saturating_add(i32::from(changes_hands))),
    };
    lease.spec.holder_identity = Some(holder.to_owned());
    lease.spec.acquire_time.clone_from(&lease.spec.renew_time);
    lease
}

/// Renewed now.
pub(super) fn renewed(found: &Lease, duration: Duration) -> Lease {
    let mut lease = found.clone();
    lease.spec.renew_time = Some(micros(jiff::Timestamp::now()));
    lease.spec.lease_duration_seconds = Some(i32::try_from(duration.as_secs()).unwrap_or(i32::MAX));
    lease
}

/// Nobody's, as upstream's client writes it.
pub(super) fn released(found: &Lease) -> Lease {
    let mut lease = renewed(found, Duration::from_secs(1));
    lease.spec.holder_identity = Some(String::new());
    lease.spec.acquire_time.clone_from(&lease.spec.renew_time);
    lease
}

/// Exactly six digits of a second: other clients require them.
fn micros(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}
